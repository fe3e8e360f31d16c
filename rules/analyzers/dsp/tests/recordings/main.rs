//! The analyzers on real recordings (`TRIPLINE_DATA`, by default `../shared/data` beside the project), natively.
//! With `TRIPLINE_PLOTS` set to a folder, the series that `docs/analyzers.md` draws are written there.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "these are tests"
)]

mod cwru;
mod feeds;
mod femto;
mod skab;

use std::{env, fmt::Write as _, fs, path::Path};

use feeds::Feed;
use rules_analyzers_dsp::{
    baseline, bearing, cavitation, hotelling, network, process_watch, vibration,
};
use tripline_analyzer::{Analyzer, Instance, Slot};

/// What a call gave: level, cause, outputs.
type Answer = (u8, u8, Vec<Slot>);

/// An analyzer with its exchange area; the host's part of a call is in [`Host`].
macro_rules! instance {
    ($analyzer:ty) => {
        Instance<
            $analyzer,
            { <$analyzer as Analyzer>::PARAMS },
            { <$analyzer as Analyzer>::INPUTS },
            { <$analyzer as Analyzer>::OUTPUTS },
            { <$analyzer as Analyzer>::SAMPLES },
        >
    };
}

type Baseline = instance!(baseline::Baseline);
type Bearing = instance!(bearing::Bearing);
type Cavitation = instance!(cavitation::Cavitation);
type Hotelling = instance!(hotelling::Hotelling);
type Network = instance!(network::Network);
type ProcessWatch = instance!(process_watch::ProcessWatch);
type Vibration = instance!(vibration::Vibration);

/// An instance as its host uses it.
trait Host {
    /// On the heap: some are a mebibyte.
    fn made(params: &[f64]) -> Box<Self>;
    fn call(&mut self, feed: &Feed, step: usize) -> Answer;
}

impl<A, const P: usize, const I: usize, const O: usize, const N: usize> Host
    for Instance<A, P, I, O, N>
where
    A: Analyzer<Sample = f32>,
{
    fn made(params: &[f64]) -> Box<Self> {
        let mut instance = Box::new(Self::new());
        instance.area.params.copy_from_slice(params);
        assert_eq!(instance.init(), 0, "{params:?}");
        instance
    }

    fn call(&mut self, feed: &Feed, number: usize) -> Answer {
        let step = &feed.steps[number];
        self.area.header = feed.header(number);
        self.area.inputs[..step.inputs.len()].copy_from_slice(&step.inputs);
        self.area.samples[..step.samples.len()].copy_from_slice(&step.samples);
        self.area.outputs.fill(Slot::BAD);
        let [level, cause, ..] = self.process().to_le_bytes();
        (level, cause, self.area.outputs.to_vec())
    }
}

/// Every answer to a feed.
fn run<H: Host>(feed: &Feed) -> Vec<Answer> {
    let mut host = H::made(&feed.params);
    (0..feed.steps.len())
        .map(|step| host.call(feed, step))
        .collect()
}

/// Place of the first answer of a level or worse.
fn first(answers: &[Answer], level: u8) -> Option<usize> {
    answers.iter().position(|answer| answer.0 >= level)
}

/// Writes a series for the plots, when asked.
fn plot(name: &str, head: &str, rows: impl Iterator<Item = Vec<f64>>) {
    let Ok(folder) = env::var("TRIPLINE_PLOTS") else {
        return;
    };
    let mut text = format!("{head}\n");
    for row in rows {
        let words: Vec<String> = row.iter().map(f64::to_string).collect();
        writeln!(text, "{}", words.join(",")).unwrap();
    }
    fs::create_dir_all(&folder).unwrap();
    fs::write(Path::new(&folder).join(format!("{name}.csv")), text).unwrap();
}

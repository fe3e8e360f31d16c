//! The host's part of a call, natively. Used by the native tests and by those that compare with guests.
#![allow(dead_code, reason = "each test program uses a part of it")]

use rules_analyzers_dsp::{
    baseline, bearing, cavitation, hotelling, imbalance, network, process_watch, vibration,
};
use tripline_analyzer::{Analyzer, Instance, Slot};

use crate::feeds::Feed;

/// What a call gave: level, cause, outputs.
pub(crate) type Answer = (u8, u8, Vec<Slot>);

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

pub(crate) type Baseline = instance!(baseline::Baseline);
pub(crate) type Bearing = instance!(bearing::Bearing);
pub(crate) type Cavitation = instance!(cavitation::Cavitation);
pub(crate) type Hotelling = instance!(hotelling::Hotelling);
pub(crate) type Imbalance = instance!(imbalance::Imbalance);
pub(crate) type Network = instance!(network::Network);
pub(crate) type ProcessWatch = instance!(process_watch::ProcessWatch);
pub(crate) type Vibration = instance!(vibration::Vibration);

/// An instance as its host uses it.
pub(crate) trait Host {
    /// On the heap: some are a mebibyte.
    fn made(params: &[f64]) -> Box<Self>;
    fn call(&mut self, feed: &Feed, step: usize) -> Answer;
    fn hash(&self) -> u64;
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

    fn hash(&self) -> u64 {
        self.state_hash().cast_unsigned()
    }
}

/// Every answer to a feed.
pub(crate) fn run<H: Host>(feed: &Feed) -> Vec<Answer> {
    let mut host = H::made(&feed.params);
    (0..feed.steps.len())
        .map(|step| host.call(feed, step))
        .collect()
}

/// Place of the first answer of a level or worse.
pub(crate) fn first(answers: &[Answer], level: u8) -> Option<usize> {
    answers.iter().position(|answer| answer.0 >= level)
}

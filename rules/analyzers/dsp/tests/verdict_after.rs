//! H-29: what a module's author says of `verdict_after` is what the module does, whatever it saw before.
//!
//! Random history, then a cause that lasts: behind as many calls or samples as the metadata say, verdict and outputs are those
//! that never change again. `bearing`, `hotelling`, `cavitation` and `process-watch` say nothing: an average, a smoothed mean
//! and a sum have no such end.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "these are tests"
)]

#[path = "recordings/feeds.rs"]
mod feeds;
#[path = "recordings/host.rs"]
mod host;
#[path = "recordings/random.rs"]
mod random;

use feeds::{Feed, Step, good};
use host::{Answer, Baseline, Host, Imbalance, Network, Vibration, run};
use random::Random;
use rules_sdk_gate::Module;

fn inspected(wasm: &[u8]) -> Module {
    rules_sdk_gate::inspect(wasm).unwrap()
}

/// Parameters by name, the others by their defaults.
fn params(module: &Module, given: &[(&str, f64)]) -> Vec<f64> {
    let value = |name: &str| given.iter().find(|(known, _)| *known == name);
    let params = module.metadata.params.iter();
    params
        .map(|param| match value(&param.name) {
            Some((_, value)) => *value,
            None => param.default.unwrap(),
        })
        .collect()
}

fn feed(params: Vec<f64>, rows: impl IntoIterator<Item = Vec<f64>>) -> Feed {
    let steps = rows.into_iter().map(|row| Step {
        inputs: row.into_iter().map(good).collect(),
        ..Step::default()
    });
    Feed {
        name: "made".to_owned(),
        params,
        rate_hz: 0.0,
        steps: steps.collect(),
    }
}

fn same(left: &Answer, right: &Answer) -> bool {
    let bits = |answer: &Answer| -> Vec<u64> {
        let outputs = answer.2.iter();
        outputs.map(|slot| slot.value.to_bits()).collect()
    };
    (left.0, left.1, bits(left)) == (right.0, right.1, bits(right))
}

/// Rows of a random number of both kinds, then the cause for long: each answer from the promised one on is the last one.
/// Whether a history exists in which the one before is not yet: else the promise says nothing.
fn holds<H: Host>(
    module: &Module,
    given: &[(&str, f64)],
    begin: &[Vec<f64>],
    quiet: &[f64],
    cause: &[f64],
    level: u8,
) {
    let params = params(module, given);
    let waits = module.metadata.waits(&params).unwrap();
    assert_eq!(waits.samples, 0);
    let calls = usize::try_from(waits.calls).unwrap();
    let mut tight = false;
    for seed in 0..200 {
        let mut random = Random::new(seed);
        let before = random.below(30);
        let mut rows = begin.to_vec();
        rows.extend((0..before).map(|_| match random.below(3) {
            0 => cause.to_vec(),
            _ => quiet.to_vec(),
        }));
        let behind = rows.len();
        rows.extend((0..200).map(|_| cause.to_vec()));
        let answers = run::<H>(&feed(params.clone(), rows));
        let last = answers.last().unwrap();
        assert_eq!(last.0, level, "the cause shows at all");
        for answer in &answers[behind + calls - 1..] {
            assert!(same(answer, last), "H-29: seed {seed}");
        }
        tight |= calls > 1 && !same(&answers[behind + calls - 2], last);
    }
    assert!(tight, "some history needs every call");
}

#[test]
fn h29_imbalance_speaks_after_the_calls_it_says() {
    let module = inspected(include_bytes!("../../guests/imbalance/imbalance.wasm"));
    let even = [10.0, 10.0, 10.0];
    let lost = [15.0, 15.0, 0.0];
    for confirm in [(1.0, 1.0), (3.0, 5.0), (7.0, 9.0)] {
        let given = [
            ("min-current", 1.0),
            ("confirm", confirm.0),
            ("confirm-of", confirm.1),
        ];
        if confirm.0 > 1.0 {
            holds::<Imbalance>(&module, &given, &[], &even, &lost, 2);
        } else {
            let params = params(&module, &given);
            assert_eq!(module.metadata.waits(&params).unwrap().calls, 1, "at once");
        }
    }
}

#[test]
fn h29_network_speaks_after_the_calls_it_says() {
    let module = inspected(include_bytes!("../../guests/network/network.wasm"));
    let well = [1.5, 1.5, 1.5, 1.5, 3.0, 4.0];
    let inner = [80.0, 3.0, 3.0, 3.0, 6.0, 7.0];
    let given = [("sure", 0.5), ("confirm", 3.0), ("confirm-of", 5.0)];
    holds::<Network>(&module, &given, &[], &well, &inner, 1);
}

#[test]
fn h29_baseline_speaks_after_the_calls_it_says_once_it_has_learned() {
    let module = inspected(include_bytes!("../../guests/baseline/baseline.wasm"));
    let (quiet, cause) = ([1.0, 3.0], [9.0, 40.0]);
    let given = [("settle", 2.0), ("learn", 5.0)];
    let learning = vec![quiet.to_vec(); 7];
    holds::<Baseline>(&module, &given, &learning, &quiet, &cause, 2);
    let fixed = [("level-base", 1.0), ("shape-base", 3.0)];
    let settled = vec![quiet.to_vec(); 50];
    holds::<Baseline>(&module, &fixed, &settled, &quiet, &cause, 2);
}

/// Blocks of any length, histories of any shape; the vibration that begins in the middle of a block counts from the next one.
#[test]
fn h29_vibration_speaks_after_the_samples_it_says() {
    const RATE: f64 = 4_096.0;
    let module = inspected(include_bytes!("../../guests/vibration/vibration.wasm"));
    let wave = |at: usize, peak: f64| {
        let angle = core::f64::consts::TAU * 128.0 * at as f64 / RATE;
        (peak * angle.sin()) as f32
    };
    for (confirm, of) in [(1.0, 1.0), (2.0, 3.0), (5.0, 8.0)] {
        let given = [
            ("machine", 2.0),
            ("record", 256.0),
            ("alert", 1.0),
            ("danger", 2.0),
            ("confirm", confirm),
            ("confirm-of", of),
        ];
        let params = params(&module, &given);
        let waits = module.metadata.waits(&params).unwrap();
        let promised = usize::try_from(waits.samples).unwrap();
        assert_eq!(waits.calls, 0);
        let mut latest = 0;
        for seed in 0..60 {
            let mut random = Random::new(seed);
            let block = 64 + random.below(400) as usize;
            let before = random.below(20) as usize;
            let behind = before + promised.div_ceil(block) + 20;
            let steps = (0..behind).map(|number| {
                let history = [0.01, 0.3, 5.0][random.below(3) as usize];
                let peak = if number < before { history } else { 5.0 };
                let samples = number * block..(number + 1) * block;
                Step {
                    samples: samples.map(|at| wave(at, peak)).collect(),
                    inputs: vec![good(1_500.0)],
                    ..Step::default()
                }
            });
            let feed = Feed {
                name: "made".to_owned(),
                params: params.clone(),
                rate_hz: RATE,
                steps: steps.collect(),
            };
            let answers = run::<Vibration>(&feed);
            let shown = |answer: &Answer| {
                // 5 g peak: RMS 3.54 g, within what a window over half a period more or less changes.
                answer.0 == 2 && (answer.2[2].value - 5.0 / 2.0_f64.sqrt()).abs() < 0.01
            };
            let needed = promised.div_ceil(block);
            for (number, answer) in answers.iter().enumerate().skip(before + needed - 1) {
                assert!(
                    shown(answer),
                    "H-29: seed {seed}, call {number}: {answer:?}"
                );
            }
            let silent = answers.iter().rposition(|answer| !shown(answer));
            let calls = silent.map_or(0, |silent| (silent + 1).saturating_sub(before));
            latest = latest.max(calls * block);
        }
        assert!(
            latest * 3 > promised,
            "{latest} of {promised} samples: the promise is no use"
        );
    }
}

//! H-41: what a module's author says of `remembers` is what the module does: after so many calls with news and usable inputs two
//! instances of different histories answer alike, bit for bit. The other modules say nothing: they learn, or gather records
//! wherever these begin, and no number of calls makes them forget.
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
use host::{Answer, Host, Imbalance, Network, run};
use random::Random;
use tripline_analyzer::Slot;

impl Random {
    /// Up to 40 calls, some of them with a bad input or without news.
    fn history(&mut self, rows: &[Vec<f64>]) -> Vec<Step> {
        let calls = self.below(40);
        (0..calls)
            .map(|_| {
                let mut step = self.row(rows);
                match self.below(5) {
                    0 => step.inputs[0].quality = 2,
                    1 => step.inputs.iter_mut().for_each(|input| input.changed = 0),
                    _ => {}
                }
                step
            })
            .collect()
    }

    fn row(&mut self, rows: &[Vec<f64>]) -> Step {
        let row = usize::try_from(self.below(rows.len() as u64)).unwrap();
        Step {
            inputs: rows[row].iter().copied().map(good).collect(),
            ..Step::default()
        }
    }
}

/// All that is compared.
fn bits(answer: &Answer) -> (u8, u8, Vec<(u64, u32)>) {
    let slot = |slot: &Slot| (slot.value.to_bits(), slot.quality);
    (answer.0, answer.1, answer.2.iter().map(slot).collect())
}

/// Whether two instances answer alike after the calls that the metadata promise; and whether fewer would not do, else the
/// promise says nothing.
fn holds<H: Host>(wasm: &[u8], given: &[(&str, f64)], rows: &[Vec<f64>]) {
    let module = rules_sdk_gate::inspect(wasm).unwrap();
    let params: Vec<f64> = module
        .metadata
        .params
        .iter()
        .map(|param| {
            let given = given.iter().find(|(name, _)| *name == param.name);
            given.map_or_else(|| param.default.unwrap(), |(_, value)| *value)
        })
        .collect();
    let calls = usize::try_from(module.metadata.remembers(&params).unwrap()).unwrap();
    let mut tight = false;
    for seed in 0..2_000 {
        let mut random = Random::new(seed);
        let (one, other) = (random.history(rows), random.history(rows));
        // Every fourth time the other is a clean instance, as in a replay.
        let other = if seed % 4 == 0 { Vec::new() } else { other };
        let shared: Vec<Step> = (0..calls + 3).map(|_| random.row(rows)).collect();
        let answers = [one, other].map(|mut steps| {
            let behind = steps.len();
            steps.extend(shared.iter().cloned());
            let feed = Feed {
                name: "made".to_owned(),
                params: params.clone(),
                rate_hz: 0.0,
                steps,
            };
            run::<H>(&feed).split_off(behind)
        });
        let [one, other] = answers.map(|all| all.iter().map(bits).collect::<Vec<_>>());
        assert_eq!(one[calls - 1..], other[calls - 1..], "H-41: seed {seed}");
        tight |= calls > 1 && one[calls - 2] != other[calls - 2];
    }
    assert!(tight || calls == 1, "some history needs every call");
}

const CONFIRMS: [(f64, f64); 4] = [(1.0, 1.0), (3.0, 5.0), (7.0, 9.0), (32.0, 64.0)];

#[test]
fn h41_imbalance_remembers_no_more_than_it_says() {
    let wasm = include_bytes!("../../guests/imbalance/imbalance.wasm");
    let rows = [
        vec![10.0, 10.0, 10.0],
        vec![15.0, 15.0, 0.0],
        vec![15.0, 15.0, 0.5],
        vec![12.0, 9.0, 9.0],
        vec![0.1, 0.1, 0.1],
    ];
    for (confirm, of) in CONFIRMS {
        let given = [
            ("min-current", 1.0),
            ("confirm", confirm),
            ("confirm-of", of),
        ];
        let rows = if of > 9.0 { &rows[..2] } else { &rows[..] };
        holds::<Imbalance>(wasm, &given, rows);
    }
}

#[test]
fn h41_network_remembers_no_more_than_it_says() {
    let wasm = include_bytes!("../../guests/network/network.wasm");
    let rows = [
        vec![1.5, 1.5, 1.5, 1.5, 3.0, 4.0],
        vec![80.0, 3.0, 3.0, 3.0, 6.0, 7.0],
        vec![3.0, 80.0, 3.0, 3.0, 6.0, 7.0],
        vec![3.0, 3.0, 80.0, 3.0, 6.0, 7.0],
    ];
    for (confirm, of) in &CONFIRMS[..3] {
        let given = [("sure", 0.5), ("confirm", *confirm), ("confirm-of", *of)];
        holds::<Network>(wasm, &given, &rows);
    }
}

//! What a simulated analyzer means, once more and natively: the module as its author would describe it, what stands around
//! it as the documentation does.

use crate::analysis::Called;
use crate::scenario::{Analyzer, SAMPLE_STEP, Trick};

/// What must come of a frame.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Outcome {
    /// An input was not usable, and it says so: danger, and nothing derived.
    Blind,
    /// Peak, mean, verdict, cause.
    Said(f64, f64, u8, u8),
    /// Its declared verdict, and nothing derived.
    Failed(Failure),
}

/// How a call failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Failure {
    /// It trapped.
    Trap,
    /// It used up its fuel.
    Fuel,
    /// It answered what is no answer.
    Nonsense,
    /// It changed its verdict too often.
    Flapping,
    /// There is nobody to ask.
    NoSpare,
}

/// An analyzer with its instances.
#[derive(Clone, Debug)]
pub(super) struct Twin {
    calls: u32,
    taken: usize,
    kept: [f64; 8],
    seated: bool,
    /// Instances that wait.
    pub(super) ready: u8,
    level: Option<u8>,
    changes: Vec<u64>,
}

impl Twin {
    pub(super) fn new(analyzer: &Analyzer) -> Self {
        Self {
            calls: 0,
            taken: 0,
            kept: [0.0; 8],
            seated: true,
            ready: analyzer.spares,
            level: None,
            changes: Vec::new(),
        }
    }

    /// One spare more, where one is missing.
    pub(super) fn refilled(&mut self, analyzer: &Analyzer) {
        self.ready = (self.ready + 1).min(analyzer.spares);
    }

    /// What a call must come to.
    pub(super) fn call(&mut self, analyzer: &Analyzer, called: &Called) -> Outcome {
        if !self.seated {
            self.seat();
        }
        if !self.seated {
            self.forget();
            return Outcome::Failed(Failure::NoSpare);
        }
        let outcome = self.says(analyzer, called);
        let level = match outcome {
            Outcome::Blind => 2,
            Outcome::Said(_, _, level, _) => level,
            Outcome::Failed(_) => {
                self.seat();
                return outcome;
            }
        };
        if self.flaps(analyzer, called.at, level) {
            self.seat();
            return Outcome::Failed(Failure::Flapping);
        }
        outcome
    }

    /// A fresh instance takes the seat, if there is one.
    fn seat(&mut self) {
        self.seated = self.ready > 0;
        self.ready = self.ready.saturating_sub(1);
        self.calls = 0;
        self.taken = 0;
        self.forget();
    }

    fn forget(&mut self) {
        self.level = None;
        self.changes.clear();
    }

    fn flaps(&mut self, analyzer: &Analyzer, at: u64, level: u8) -> bool {
        let before = self.level.replace(level);
        if before.is_none_or(|before| before == level) {
            return false;
        }
        self.changes.push(at);
        analyzer.flap.is_some_and(|(changes, within)| {
            let recent = self.changes.iter().filter(|then| at - **then <= within);
            recent.count() > usize::from(changes)
        })
    }

    fn says(&mut self, analyzer: &Analyzer, called: &Called) -> Outcome {
        self.calls += 1;
        if called.gap {
            self.taken = 0;
        }
        if called.inputs.iter().any(|input| !input.quality.is_usable()) {
            return Outcome::Blind;
        }
        let inputs = called.inputs.iter().map(|input| input.value);
        let samples = called.block.as_deref().unwrap_or(&[]);
        let samples = samples.chunks_exact(2).skip(2).map(|raw| {
            let raw = f64::from(i16::from_le_bytes([raw[0], raw[1]]));
            // As single precision, which holds each of them exactly.
            f64::from((raw * SAMPLE_STEP * analyzer.scale) as f32)
        });
        let value = inputs.chain(samples).fold(-1e6, f64::max);
        let trick = if value.floor().total_cmp(&analyzer.magic).is_eq() {
            analyzer.trick
        } else {
            Trick::None
        };
        match trick {
            Trick::Trap | Trick::Bounds => return Outcome::Failed(Failure::Trap),
            Trick::Endless => return Outcome::Failed(Failure::Fuel),
            Trick::NotFinite
            | Trick::Range
            | Trick::Quality
            | Trick::Nonsense
            | Trick::UnknownCause => return Outcome::Failed(Failure::Nonsense),
            Trick::None | Trick::Flap => {}
        }
        let keeps = usize::from(analyzer.keeps);
        self.kept[self.taken % keeps] = value;
        self.taken += 1;
        let kept = &self.kept[..self.taken.min(keeps)];
        let peak = kept.iter().copied().fold(-1e6, f64::max);
        let mean = kept.iter().sum::<f64>() / kept.len() as f64;
        let (level, cause) = match trick {
            Trick::Flap => ((self.calls & 1) as u8, 0),
            _ if peak > analyzer.danger => (2, 1),
            _ if peak > analyzer.alert => (1, 1),
            _ => (0, 0),
        };
        Outcome::Said(peak, mean, level, cause)
    }
}

#[cfg(test)]
mod tests {
    use appliance_sandbox::{AnalyzerFault, Frame, InputValue, OutputValue};
    use drivers_frame::{MonoNs, Quality};
    use rules_sdk_abi::Flags;

    use super::*;
    use crate::analysis::module;
    use crate::scenario::TRICKS;

    fn analyzer(inputs: usize, trick: Trick) -> Analyzer {
        Analyzer {
            device: 0,
            inputs: (0..inputs).collect(),
            wave: None,
            scale: 1.0,
            first: inputs,
            alert: 46.5,
            danger: 60.5,
            keeps: 3,
            magic: 31.0,
            trick,
            every: None,
            trips: true,
            spares: 2,
            flap: None,
            background: false,
            service: 0,
        }
    }

    #[test]
    fn the_module_and_its_twin_agree_on_every_trick_to_the_bit() {
        for (trick, inputs) in TRICKS.iter().flat_map(|trick| [(*trick, 1), (*trick, 2)]) {
            let analyzer = analyzer(inputs, trick);
            let (mut real, mut refiller) = module::of(&analyzer).with_spares(2).unwrap();
            let mut twin = Twin::new(&analyzer);
            let mut failed = 0;
            for (at, value) in (0..).zip([
                20.5, 47.5, 31.25, 31.5, 61.0, 22.0, 33.0, 31.0, 31.0, 31.0, 24.0,
            ]) {
                let input = |value, quality| InputValue {
                    value,
                    quality,
                    changed: true,
                };
                let blind = at == 6;
                let quality = if blind { Quality::Stale } else { Quality::Good };
                let mut inputs = vec![input(if blind { 0.0 } else { value }, quality); inputs];
                if let Some(second) = inputs.get_mut(1) {
                    *second = input(3.0, Quality::Good);
                }
                let called = Called {
                    analyzer: 0,
                    at,
                    gap: false,
                    inputs,
                    block: None,
                };
                let frame = Frame {
                    at: MonoNs::from_ns(at),
                    flags: Flags::default(),
                    inputs: &called.inputs,
                    block: None,
                };
                let mut outputs = [OutputValue::BAD; 2];
                let answer = real.process(&frame, &mut outputs);
                let expected = twin.call(&analyzer, &called);
                let agree = match (expected, answer) {
                    (Outcome::Blind, Ok(answer)) => {
                        answer.verdict.level as u8 == 2 && outputs == [OutputValue::BAD; 2]
                    }
                    (Outcome::Said(peak, mean, level, cause), Ok(answer)) => {
                        answer.verdict.level as u8 == level
                            && answer.verdict.cause == cause
                            && outputs[0].value.to_bits() == peak.to_bits()
                            && outputs[1].value.to_bits() == mean.to_bits()
                    }
                    (Outcome::Failed(failure), Err(fault)) => {
                        failed += 1;
                        failure
                            == match fault {
                                AnalyzerFault::Trap(_) => Failure::Trap,
                                AnalyzerFault::FuelExceeded { .. } => Failure::Fuel,
                                AnalyzerFault::NoSpare => Failure::NoSpare,
                                _ => Failure::Nonsense,
                            }
                    }
                    _ => false,
                };
                assert!(
                    agree,
                    "{trick:?} at {at}: {expected:?}, {answer:?}, {outputs:?}"
                );
                if at == 9 {
                    refiller.turn().unwrap();
                    twin.refilled(&analyzer);
                }
            }
            assert_eq!(failed > 0, trick != Trick::Flap, "{trick:?}");
        }
    }
}

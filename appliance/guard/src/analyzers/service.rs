//! What keeps analyzers supplied: spares are made anew, retired instances dropped, canaries tried in shadow instances,
//! calls replayed in clean ones.
//!
//! Which thread: its own, one a guard, scheduled as every other program and off the lanes' cores: all of it allocates. May it
//! block: for a canary's deadline, frame by frame. Were it late or dead, its canaries and comparisons would be overdue, and the lanes see
//! that by themselves.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use appliance_sandbox::{
    AnalyzerModule, Engine, Frame, InputValue, OutputValue, Refiller, Samples,
};
use drivers_frame::{MonoNs, Quality, Scaling};
use rt_config::limits;
use rules_bundle::CanaryPlan;
use rules_sdk_abi::{Flags, Level};

use super::canary::CanaryWord;
use super::replay::Comparisons;
use super::seats::now;
use crate::confine::{self, Calls};

/// A canary.
pub(super) struct Trial {
    pub(super) module: AnalyzerModule,
    pub(super) plan: CanaryPlan,
    /// Samples as the module's memory takes them.
    pub(super) block: Option<Vec<u8>>,
    pub(super) rate_hz: f64,
    pub(super) scaling: Scaling,
    pub(super) word: Arc<CanaryWord>,
    pub(super) due: MonoNs,
}

/// See the module.
#[derive(Default)]
pub(crate) struct Service {
    pub(super) refillers: Vec<Refiller>,
    pub(super) trials: Vec<Trial>,
    pub(super) comparisons: Comparisons,
}

impl Service {
    /// Takes over what a lane's analyzers need.
    pub(crate) fn join(&mut self, other: Self) {
        self.refillers.extend(other.refillers);
        self.trials.extend(other.trials);
        self.comparisons.all.extend(other.comparisons.all);
    }

    /// Whether there is nothing to do, ever.
    pub(crate) fn is_empty(&self) -> bool {
        self.refillers.is_empty()
    }

    /// Runs until the stop flag is set.
    pub(crate) fn run(mut self, engine: &Engine, stop: &AtomicBool) {
        engine.prepare_thread();
        if let Some(problem) = confine::thread(Calls::Analyzers) {
            say!("tripline-guard: degraded: {problem}");
        }
        while !stop.load(Ordering::Acquire) {
            for refiller in &mut self.refillers {
                // One that cannot be made now is tried again; an analyzer without spares says so itself.
                let _ = refiller.turn();
            }
            for trial in &mut self.trials {
                if now() >= trial.due {
                    trial.run();
                }
            }
            self.comparisons.turn();
            std::thread::sleep(Duration::from_millis(limits::ANALYZER_SERVICE_MS));
        }
    }
}

impl Trial {
    fn run(&mut self) {
        let spoke = self.spoke();
        let end = now();
        if spoke && end.since(self.due) <= self.plan.within {
            self.word.pass(self.due);
        } else {
            self.word.miss();
        }
        let next = self.due.after(self.plan.every);
        // Trials that were missed are not made up for.
        self.due = if next > end { next } else { end };
    }

    /// Whether a fresh instance says what is expected at the last of the frames.
    fn spoke(&self) -> bool {
        let Ok(mut instance) = self.module.instantiate() else {
            return false;
        };
        let expected = match self.plan.expect {
            rules_bundle::Level::Alert => Level::Alert,
            rules_bundle::Level::Danger => Level::Danger,
        };
        let inputs = stimulus(&self.plan.inputs);
        let mut outputs = vec![OutputValue::BAD; self.module.spec().outputs.len()];
        let mut said = None;
        for sequence in 0..self.plan.frames {
            let answer = instance.process(
                &Frame {
                    at: now(),
                    flags: Flags::CANARY,
                    inputs: &inputs,
                    block: self.block.as_deref().map(|bytes| Samples::Ready {
                        bytes,
                        sequence: u64::from(sequence),
                        rate_hz: self.rate_hz,
                        scaling: self.scaling,
                    }),
                },
                &mut outputs,
            );
            match answer {
                Ok(answer) => said = Some(answer.verdict.level),
                Err(_) => return false,
            }
        }
        said >= Some(expected)
    }
}

/// Inputs that are all good.
pub(super) fn stimulus(values: &[f64]) -> Vec<InputValue> {
    let good = |value: &f64| InputValue {
        value: *value,
        quality: Quality::Good,
        changed: true,
    };
    values.iter().map(good).collect()
}

//! From what a call left behind to the samples of its frame.

use appliance_sandbox::{AnalyzerFault, FlapLimiter, OutputValue};
use drivers_frame::{Cause, MonoNs, Quality, Sample, TagId, planted};
use rules_bundle::{AnalyzerPlan, FailureVerdict};
use rules_sdk_abi::{Level, Verdict};

use super::FrameFault;
use crate::checksum::Checksum;

/// What a frame came to: a verdict, or why there is none.
pub(crate) type Judged = Result<Verdict, FrameFault>;

/// Judges the frames of one analyzer, and puts them into the lane's words.
#[derive(Clone, Debug)]
pub struct Judge {
    outputs: Vec<TagId>,
    verdict: TagId,
    cause: TagId,
    on_failure: FailureVerdict,
    flap: Option<FlapLimiter>,
    checksum: u64,
}

impl Judge {
    /// For an analyzer of a checked plan.
    pub fn new(plan: &AnalyzerPlan) -> Self {
        let mut judge = Self {
            outputs: plan.outputs.iter().map(|output| output.tag).collect(),
            verdict: plan.verdict,
            cause: plan.cause,
            on_failure: plan.on_failure,
            flap: plan
                .flap
                .map(|flap| FlapLimiter::new(flap.changes, flap.within)),
            checksum: 0,
        };
        judge.checksum = judge.compute();
        judge
    }

    /// What a call came to.
    ///
    /// # Errors
    /// [`FrameFault`]: nothing of the frame counts. After [`FrameFault::Flapping`] the instance must be replaced.
    pub fn judge(
        &mut self,
        answer: Result<Verdict, AnalyzerFault>,
        at: MonoNs,
    ) -> Result<Verdict, FrameFault> {
        if planted!(GoneAnalyzerNormal) && answer == Err(AnalyzerFault::NoSpare) {
            let (level, cause) = (Level::Normal, 0);
            return Ok(Verdict { level, cause });
        }
        let Some(flap) = &mut self.flap else {
            return answer.map_err(FrameFault::Module);
        };
        match answer {
            Ok(verdict) if flap.observe(at, verdict.level) && !planted!(FlappingBelieved) => {
                flap.reset();
                Err(FrameFault::Flapping)
            }
            Ok(verdict) => Ok(verdict),
            Err(fault) => {
                if fault.instance_is_lost() {
                    // A fresh instance has not changed its mind yet.
                    flap.reset();
                }
                Err(FrameFault::Module(fault))
            }
        }
    }

    /// The tags of a frame: outputs first, then the verdict, then the cause.
    pub fn tags(&self) -> impl Iterator<Item = TagId> + '_ {
        self.outputs
            .iter()
            .copied()
            .chain([self.verdict, self.cause])
    }

    /// One sample of a frame, in the order of [`Judge::tags`]; `None` behind the last.
    pub fn sample(
        &self,
        position: usize,
        judged: Result<Verdict, FrameFault>,
        outputs: &[OutputValue],
        at: MonoNs,
    ) -> Option<Sample> {
        let sample = |tag, value, quality, cause| Sample {
            at,
            value,
            tag,
            quality,
            cause,
        };
        let good = |tag, value| sample(tag, value, Quality::Good, Cause::None);
        let failed = |tag| sample(tag, 0.0, Quality::Bad, Cause::AnalyzerFailed);
        let Some(behind) = position.checked_sub(self.outputs.len()) else {
            let tag = *self.outputs.get(position)?;
            if judged.is_err() {
                if planted!(FailedOutputsStayGood) {
                    return Some(good(tag, 20.0));
                }
                return Some(failed(tag));
            }
            // One that is missing was not written: bad.
            let output = outputs.get(position).copied().unwrap_or(OutputValue::BAD);
            return Some(match output.quality {
                Quality::Good => good(tag, output.value),
                quality => sample(tag, output.value, quality, Cause::AnalyzerSays),
            });
        };
        Some(match (behind, judged) {
            (0, Ok(verdict)) => good(self.verdict, number(verdict.level)),
            (0, Err(_)) => good(self.verdict, number(self.failure_level())),
            (1, Ok(verdict)) => good(self.cause, f64::from(verdict.cause)),
            (1, Err(_)) => failed(self.cause),
            _ => return None,
        })
    }

    /// The level of a frame that failed.
    pub const fn failure_level(&self) -> Level {
        match self.on_failure {
            FailureVerdict::Trip => Level::Danger,
            FailureVerdict::Alarm => Level::Alert,
        }
    }

    fn compute(&self) -> u64 {
        let trips = u64::from(self.on_failure == FailureVerdict::Trip);
        let tags = self.tags().map(|tag| u64::from(tag.0));
        tags.fold(Checksum::new().word(trips), Checksum::word).get()
    }

    /// Whether it is what was loaded (H-33).
    pub(crate) fn is_intact(&self) -> bool {
        self.compute() == self.checksum
    }
}

/// A level as the number of a verdict tag.
const fn number(level: Level) -> f64 {
    match level {
        Level::Normal => 0.0,
        Level::Alert => 1.0,
        Level::Danger => 2.0,
    }
}

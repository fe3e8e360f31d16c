//! `baseline`: values against what they were when the machine was known to be good.
//!
//! The baseline is the median of N observations after a settling time, then fixed: it never follows a machine into its
//! damage. Given as parameters it is not learned at all, which is what a machine that may not be healthy at start needs.

use tripline_analyzer::{Analyzer, Frame, Outputs, Refused, StateHash, Verdict};

use crate::{
    Confirm, Params,
    api::{Output, inputs, news, verdict, write},
    num::float,
    stats::median,
};

/// Most observations to learn from.
const LEARN_MAX: usize = 1024;
/// Largest ratio that is told.
const RATIO_MAX: f64 = 1e6;
const CAUSE_LEVEL: u8 = 1;
const CAUSE_IMPULSES: u8 = 2;

/// Learns the median of a run of values.
#[derive(Clone, Copy, Debug)]
pub struct Learner {
    seen: [f64; LEARN_MAX],
    count: usize,
    value: Option<f64>,
}

impl Learner {
    const NEW: Self = Self {
        seen: [0.0; LEARN_MAX],
        count: 0,
        value: None,
    };

    fn learn(&mut self, value: f64, of: usize) {
        if self.value.is_some() {
            return;
        }
        if let Some(slot) = self.seen.get_mut(self.count) {
            *slot = value;
            self.count = self.count.saturating_add(1);
        }
        if self.count >= of {
            let seen = self.seen.get_mut(..self.count).unwrap_or_default();
            // A baseline of nothing has no ratio: it is then one of noise.
            self.value = median(seen).map(|m| m.max(f64::MIN_POSITIVE));
        }
    }

    fn ratio(&self, value: f64) -> Option<f64> {
        self.value.map(|base| value / base)
    }

    fn hash(&self, hash: StateHash) -> StateHash {
        let seen = self.seen.get(..self.count).unwrap_or_default();
        hash.f64s(seen).f64(self.value.unwrap_or(-1.0))
    }
}

/// The analyzer. Inputs: 0 a level such as RMS, 1 a shape such as kurtosis; both above 0.
pub struct Baseline {
    level: Learner,
    shape: Learner,
    settle: usize,
    learn: usize,
    settled: usize,
    limits: [f64; 3],
    alert: Confirm,
    danger: Confirm,
    impulses: Confirm,
}

impl Baseline {
    /// The learned or given baseline of level and shape.
    #[must_use]
    pub const fn baseline(&self) -> (Option<f64>, Option<f64>) {
        (self.level.value, self.shape.value)
    }
}

impl Analyzer for Baseline {
    type Sample = f32;
    const PARAMS: usize = 9;
    const INPUTS: usize = 2;
    const OUTPUTS: usize = 5;
    const NEW: Self = Self {
        level: Learner::NEW,
        shape: Learner::NEW,
        settle: 0,
        learn: 0,
        settled: 0,
        limits: [0.0; 3],
        alert: Confirm::NEW,
        danger: Confirm::NEW,
        impulses: Confirm::NEW,
    };

    fn init(&mut self, params: &[f64]) -> Result<(), Refused> {
        let params = Params(params);
        self.settle = params.count(0, 0, 1_000_000)?;
        self.learn = params.count(1, 1, LEARN_MAX)?;
        self.limits = [params.positive(2)?, params.positive(3)?, params.number(4)?];
        if params.positive(3)? < params.positive(2)? {
            return Err(Refused::param(3));
        }
        self.alert = Confirm::from_params(params, 5)?;
        self.danger = self.alert;
        self.impulses = self.alert;
        let given = |at| {
            params
                .number(at)
                .map(|value| (value > 0.0).then_some(value))
        };
        self.level.value = given(7)?;
        self.shape.value = given(8)?;
        Ok(())
    }

    fn process(&mut self, frame: &Frame<'_, f32>, out: &mut Outputs<'_>) -> Verdict {
        let Some([level, shape]) = inputs(frame) else {
            return Verdict::NORMAL;
        };
        if news(frame, Self::INPUTS) {
            if self.settled < self.settle {
                self.settled = self.settled.saturating_add(1);
            } else {
                self.level.learn(level, self.learn);
                self.shape.learn(shape, self.learn);
            }
        }
        let (Some(level_ratio), Some(shape_ratio)) =
            (self.level.ratio(level), self.shape.ratio(shape))
        else {
            // Until it has learned there is nothing to compare with: uncertain, and told so.
            let one = Output::Uncertain(1.0);
            let none = Output::Uncertain(0.0);
            write(out, [one, one, none, none, Output::Good(0.0)]);
            return Verdict::NORMAL;
        };
        if news(frame, Self::INPUTS) {
            let [alert, danger, impulses] = self.limits;
            self.alert.observe(level_ratio >= alert);
            self.danger.observe(level_ratio >= danger);
            self.impulses
                .observe(impulses > 0.0 && shape_ratio >= impulses);
        }
        let base = |learner: &Learner| Output::Good(learner.value.unwrap_or(0.0));
        write(
            out,
            [
                Output::Good(level_ratio).within(0.0, RATIO_MAX),
                Output::Good(shape_ratio).within(0.0, RATIO_MAX),
                base(&self.level).within(0.0, RATIO_MAX),
                base(&self.shape).within(0.0, RATIO_MAX),
                Output::Good(1.0),
            ],
        );
        verdict(self.alert.holds(), self.danger.holds(), CAUSE_LEVEL).worse(verdict(
            self.impulses.holds(),
            false,
            CAUSE_IMPULSES,
        ))
    }

    fn state_hash(&self) -> u64 {
        let hash = StateHash::new().f64(float(self.settled));
        let hash = self.shape.hash(self.level.hash(hash));
        let confirms = [&self.alert, &self.danger, &self.impulses];
        confirms.iter().fold(hash, |hash, c| c.hash(hash)).finish()
    }
}

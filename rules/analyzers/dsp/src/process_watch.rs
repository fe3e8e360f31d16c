//! `process-watch`: one process value: how fast it moves, whether it moves at all, whether it has shifted.
//!
//! Times are those of arrival, so that rows which come unevenly are judged rightly.

use tripline_analyzer::{Analyzer, Frame, Outputs, Refused, StateHash, Verdict};

use crate::{
    Confirm, Cusum, Params,
    api::{Output, news, verdict, write},
    num::{float, seconds},
};

/// Observations that a slope may span.
const SPAN_MAX: usize = 64;
const VALUE_MAX: f64 = 1e12;
const CAUSE_RATE: u8 = 1;
const CAUSE_STUCK: u8 = 2;
const CAUSE_UP: u8 = 3;
const CAUSE_DOWN: u8 = 4;

/// The analyzer. Inputs: 0 the value, any unit.
pub struct ProcessWatch {
    span: usize,
    rate_limit: f64,
    stuck_band: f64,
    stuck_after_s: f64,
    settle: usize,
    learn: usize,
    allowance: f64,
    limit: f64,
    danger: f64,
    target: Option<f64>,
    confirm_rate: Confirm,

    recent: [(u64, f64); SPAN_MAX],
    count: usize,
    next: usize,
    settled: usize,
    learned: usize,
    sum: f64,
    cusum: Cusum,
    still: Option<(u64, f64)>,
}

impl ProcessWatch {
    /// The target that shifts are counted from; `None` while learning.
    #[must_use]
    pub const fn target(&self) -> Option<f64> {
        self.target
    }

    /// Slope per second by least squares over the newest observations; `None` before there are as many as the span.
    fn slope(&self) -> Option<f64> {
        if self.count < self.span {
            return None;
        }
        let recent = self.recent.get(..self.span)?;
        let first = recent.iter().map(|(at, _)| *at).min()?;
        let count = float(self.span);
        let time = |at: u64| seconds(first, at);
        let mean_t = recent.iter().map(|(at, _)| time(*at)).sum::<f64>() / count;
        let mean_v = recent.iter().map(|(_, v)| v).sum::<f64>() / count;
        let (mut both, mut square) = (0.0, 0.0);
        for (at, value) in recent {
            let t = time(*at) - mean_t;
            both += t * (value - mean_v);
            square += t * t;
        }
        (square > 0.0).then(|| both / square)
    }

    fn observe(&mut self, at_ns: u64, value: f64) {
        if let Some(slot) = self.recent.get_mut(self.next) {
            *slot = (at_ns, value);
        }
        self.next = self.next.saturating_add(1);
        if self.next >= self.span {
            self.next = 0;
        }
        self.count = self.count.saturating_add(1).min(SPAN_MAX);
        match self.still {
            Some((_, from)) if (value - from).abs() <= self.stuck_band => {}
            _ => self.still = Some((at_ns, value)),
        }
        let fast = self
            .slope()
            .is_some_and(|slope| slope.abs() > self.rate_limit);
        self.confirm_rate.observe(self.rate_limit > 0.0 && fast);
        if let Some(target) = self.target {
            // As a share of the target, so that one allowance suits one kind of machine at any size.
            let away = (value - target) / target.abs().max(1e-9);
            self.cusum
                .add(away, self.allowance, 2.0 * self.danger.max(self.limit));
        } else if self.settled < self.settle {
            self.settled = self.settled.saturating_add(1);
        } else {
            self.sum += value;
            self.learned = self.learned.saturating_add(1);
            if self.learned >= self.learn {
                self.target = Some(self.sum / float(self.learned));
            }
        }
    }
}

impl Analyzer for ProcessWatch {
    type Sample = f32;
    const PARAMS: usize = 12;
    const INPUTS: usize = 1;
    const OUTPUTS: usize = 4;
    const NEW: Self = Self {
        span: 0,
        rate_limit: 0.0,
        stuck_band: 0.0,
        stuck_after_s: 0.0,
        settle: 0,
        learn: 0,
        allowance: 0.0,
        limit: 0.0,
        danger: 0.0,
        target: None,
        confirm_rate: Confirm::NEW,
        recent: [(0, 0.0); SPAN_MAX],
        count: 0,
        next: 0,
        settled: 0,
        learned: 0,
        sum: 0.0,
        cusum: Cusum::NEW,
        still: None,
    };

    fn init(&mut self, params: &[f64]) -> Result<(), Refused> {
        let params = Params(params);
        self.span = params.count(0, 2, SPAN_MAX)?;
        self.rate_limit = params.number(1)?;
        self.confirm_rate = Confirm::from_params(params, 2)?;
        self.stuck_band = params.number(4)?;
        self.stuck_after_s = params.number(5)?;
        self.settle = params.count(6, 0, 1_000_000)?;
        self.learn = params.count(7, 0, 1_000_000)?;
        let target = params.number(8)?;
        // Nothing to learn: the target is given.
        self.target = (self.learn == 0).then_some(target);
        self.allowance = params.positive(9)? / 100.0;
        self.limit = params.positive(10)? / 100.0;
        self.danger = params.number(11)? / 100.0;
        Ok(())
    }

    fn process(&mut self, frame: &Frame<'_, f32>, out: &mut Outputs<'_>) -> Verdict {
        let Some(value) = frame.input(0).usable() else {
            // What comes after is not a step of what was before.
            self.count = 0;
            self.next = 0;
            self.still = None;
            return Verdict::NORMAL;
        };
        if news(frame, Self::INPUTS) {
            self.observe(frame.at_ns, value);
        }
        let still_s = self
            .still
            .map_or(0.0, |(from, _)| seconds(from, frame.at_ns));
        let learned = self.target.is_some();
        write(
            out,
            [
                self.slope()
                    .map_or(Output::Uncertain(0.0), Output::Good)
                    .within(-VALUE_MAX, VALUE_MAX),
                Output::Good(still_s).within(0.0, VALUE_MAX),
                Output::of(100.0 * self.cusum.high, learned).within(0.0, VALUE_MAX),
                Output::of(100.0 * self.cusum.low, learned).within(0.0, VALUE_MAX),
            ],
        );
        let stuck = self.stuck_after_s > 0.0 && still_s >= self.stuck_after_s;
        let shift = |sum: f64, cause| {
            verdict(
                sum >= self.limit,
                self.danger > 0.0 && sum >= self.danger,
                cause,
            )
        };
        verdict(self.confirm_rate.holds(), false, CAUSE_RATE)
            .worse(verdict(stuck, false, CAUSE_STUCK))
            .worse(shift(self.cusum.high, CAUSE_UP))
            .worse(shift(self.cusum.low, CAUSE_DOWN))
    }

    fn state_hash(&self) -> u64 {
        let hash = self
            .recent
            .iter()
            .fold(StateHash::new(), |hash, (at, v)| hash.u64(*at).f64(*v));
        let hash = hash
            .f64(float(self.count))
            .f64(float(self.next))
            .f64(float(self.settled))
            .f64(float(self.learned));
        let (from, still) = self.still.unwrap_or_default();
        let hash = hash.f64(self.sum).u64(from).f64(still);
        let hash = hash.f64(self.target.unwrap_or(f64::INFINITY));
        self.confirm_rate.hash(self.cusum.hash(hash)).finish()
    }
}

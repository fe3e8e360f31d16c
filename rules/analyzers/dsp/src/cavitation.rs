//! `cavitation`: an indicator for pumps: broadband vibration up, flow and pressure unsteady, against what they were.
//!
//! Cavitation raises broadband, high-frequency vibration and makes flow and head fluctuate before they fall (J. F. Guelich,
//! "Centrifugal Pumps", chapter 6). Each sign alone has other causes: the indicator counts signs, and a verdict asks for a
//! number of them.

use tripline_analyzer::{Analyzer, Frame, Outputs, Refused, StateHash, Verdict};

use crate::{
    Confirm, Params,
    api::{Output, inputs, news, verdict, write},
    num::float,
};

/// Observations in a window.
const WINDOW_MAX: usize = 64;
const RATIO_MAX: f64 = 1e6;
const CAUSE_CAVITATION: u8 = 1;

/// Spread of the newest values against the spread while learning.
#[derive(Clone, Copy, Debug)]
struct Spread {
    recent: [f64; WINDOW_MAX],
    next: usize,
    count: usize,
    base: f64,
    learned: usize,
}

impl Spread {
    const NEW: Self = Self {
        recent: [0.0; WINDOW_MAX],
        next: 0,
        count: 0,
        base: 0.0,
        learned: 0,
    };

    fn add(&mut self, value: f64, window: usize) {
        if let Some(slot) = self.recent.get_mut(self.next) {
            *slot = value;
        }
        self.next = self.next.saturating_add(1);
        if self.next >= window {
            self.next = 0;
        }
        self.count = self.count.saturating_add(1).min(window);
    }

    /// Standard deviation in the window.
    fn deviation(&self) -> f64 {
        let recent = self.recent.get(..self.count).unwrap_or_default();
        let count = float(recent.len().max(1));
        let mean = recent.iter().sum::<f64>() / count;
        libm::sqrt(recent.iter().map(|v| (v - mean) * (v - mean)).sum::<f64>() / count)
    }

    fn learn(&mut self) {
        self.learned = self.learned.saturating_add(1);
        self.base += (self.deviation() - self.base) / float(self.learned);
    }

    fn ratio(&self) -> f64 {
        self.deviation() / self.base.max(1e-9)
    }
}

/// The analyzer. Inputs: 0 vibration (band RMS), 1 flow, 2 pressure, any units.
pub struct Cavitation {
    window: usize,
    settle: usize,
    learn: usize,
    vibration_limit: f64,
    spread_limit: f64,
    signs: f64,
    confirm: Confirm,
    settled: usize,
    vibration: f64,
    level: f64,
    flow: Spread,
    pressure: Spread,
}

impl Analyzer for Cavitation {
    type Sample = f32;
    const PARAMS: usize = 8;
    const INPUTS: usize = 3;
    const OUTPUTS: usize = 4;
    const NEW: Self = Self {
        window: 0,
        settle: 0,
        learn: 0,
        vibration_limit: 0.0,
        spread_limit: 0.0,
        signs: 0.0,
        confirm: Confirm::NEW,
        settled: 0,
        vibration: 0.0,
        level: 0.0,
        flow: Spread::NEW,
        pressure: Spread::NEW,
    };

    fn init(&mut self, params: &[f64]) -> Result<(), Refused> {
        let params = Params(params);
        self.window = params.count(0, 4, WINDOW_MAX)?;
        self.settle = params.count(1, self.window, 1_000_000)?;
        self.learn = params.count(2, 1, 1_000_000)?;
        self.vibration_limit = params.positive(3)?;
        self.spread_limit = params.positive(4)?;
        self.signs = float(params.count(5, 1, 3)?);
        self.confirm = Confirm::from_params(params, 6)?;
        Ok(())
    }

    fn process(&mut self, frame: &Frame<'_, f32>, out: &mut Outputs<'_>) -> Verdict {
        let Some([vibration, flow, pressure]) = inputs(frame) else {
            return Verdict::NORMAL;
        };
        let learned = self.flow.learned >= self.learn;
        if news(frame, Self::INPUTS) {
            self.flow.add(flow, self.window);
            self.pressure.add(pressure, self.window);
            // Smoothed over about a window: a single reading is no level.
            let share = 2.0 / (float(self.window) + 1.0);
            self.level += (vibration - self.level) * if self.settled == 0 { 1.0 } else { share };
            if self.settled < self.settle {
                self.settled = self.settled.saturating_add(1);
            } else if !learned {
                self.flow.learn();
                self.pressure.learn();
                self.vibration += (vibration - self.vibration) / float(self.flow.learned);
            }
        }
        if self.flow.learned < self.learn {
            write(out, [Output::Uncertain(0.0); Self::OUTPUTS]);
            return Verdict::NORMAL;
        }
        let vibration_ratio = self.level / self.vibration.max(1e-12);
        let (flow_ratio, pressure_ratio) = (self.flow.ratio(), self.pressure.ratio());
        let signs = [
            vibration_ratio >= self.vibration_limit,
            flow_ratio >= self.spread_limit,
            pressure_ratio >= self.spread_limit,
        ];
        let indicator = float(signs.iter().filter(|sign| **sign).count());
        if news(frame, Self::INPUTS) {
            self.confirm.observe(indicator >= self.signs);
        }
        write(
            out,
            [
                Output::Good(indicator),
                Output::Good(vibration_ratio).within(0.0, RATIO_MAX),
                Output::Good(flow_ratio).within(0.0, RATIO_MAX),
                Output::Good(pressure_ratio).within(0.0, RATIO_MAX),
            ],
        );
        verdict(self.confirm.holds(), false, CAUSE_CAVITATION)
    }

    fn state_hash(&self) -> u64 {
        let hash = StateHash::new()
            .f64(float(self.settled))
            .f64(self.vibration)
            .f64(self.level);
        let spread = |hash: StateHash, s: &Spread| {
            hash.f64s(&s.recent)
                .f64(float(s.next))
                .f64(float(s.learned))
                .f64(s.base)
        };
        self.confirm
            .hash(spread(spread(hash, &self.flow), &self.pressure))
            .finish()
    }
}

//! `imbalance`: unbalance of a motor's three phase currents, and a lost phase.
//!
//! Unbalance in per cent is the largest distance of a phase from the mean of the three over that mean (NEMA MG 1, 12.45, which
//! defines it for voltages; the same figure is used of currents).

use tripline_analyzer::{Analyzer, Frame, Outputs, Refused, StateHash, Verdict};

use crate::{
    Confirm, Params,
    api::{Output, inputs, news, verdict, write},
};

const CAUSE_UNBALANCE: u8 = 1;
const CAUSE_PHASE: u8 = 2;
/// A phase below this share of the mean is lost.
const LOST_SHARE: f64 = 0.1;

/// Unbalance in per cent of three currents; `None` when their mean is not above 0.
#[must_use]
pub fn unbalance(currents: [f64; 3]) -> Option<f64> {
    let mean = currents.iter().sum::<f64>() / 3.0;
    (mean > 0.0).then(|| {
        let furthest = currents
            .iter()
            .map(|c| (c - mean).abs())
            .fold(0.0, f64::max);
        100.0 * furthest / mean
    })
}

/// The analyzer. Inputs: 0 to 2 the RMS currents of the phases, in any one unit.
pub struct Imbalance {
    current_min: f64,
    alert: f64,
    danger: f64,
    confirm: Confirm,
    confirm_danger: Confirm,
    confirm_phase: Confirm,
}

impl Analyzer for Imbalance {
    type Sample = f32;
    const PARAMS: usize = 5;
    const INPUTS: usize = 3;
    const OUTPUTS: usize = 3;
    const NEW: Self = Self {
        current_min: 0.0,
        alert: 0.0,
        danger: 0.0,
        confirm: Confirm::NEW,
        confirm_danger: Confirm::NEW,
        confirm_phase: Confirm::NEW,
    };

    fn init(&mut self, params: &[f64]) -> Result<(), Refused> {
        let params = Params(params);
        self.current_min = params.positive(0)?;
        self.alert = params.positive(1)?;
        self.danger = params.positive(2)?;
        if self.danger < self.alert {
            return Err(Refused::param(2));
        }
        self.confirm = Confirm::from_params(params, 3)?;
        self.confirm_danger = self.confirm;
        self.confirm_phase = self.confirm;
        Ok(())
    }

    fn process(&mut self, frame: &Frame<'_, f32>, out: &mut Outputs<'_>) -> Verdict {
        let Some([a, b, c]) = inputs(frame) else {
            return Verdict::NORMAL;
        };
        let currents = [a.max(0.0), b.max(0.0), c.max(0.0)];
        let mean = currents.iter().sum::<f64>() / 3.0;
        // A motor that is off, or idles below the limit, has no unbalance that means anything.
        let percent = unbalance(currents).filter(|_| mean >= self.current_min);
        let lost = percent.is_some() && currents.iter().any(|c| *c < LOST_SHARE * mean);
        if news(frame, Self::INPUTS) {
            self.confirm
                .observe(percent.is_some_and(|p| p >= self.alert));
            self.confirm_danger
                .observe(percent.is_some_and(|p| p >= self.danger));
            self.confirm_phase.observe(lost);
        }
        write(
            out,
            [
                percent
                    .map_or(Output::Uncertain(0.0), Output::Good)
                    .within(0.0, 1000.0),
                Output::Good(mean).within(0.0, 1e9),
                Output::Good(if lost { 1.0 } else { 0.0 }),
            ],
        );
        let phase = self.confirm_phase.holds();
        verdict(phase, phase, CAUSE_PHASE).worse(verdict(
            self.confirm.holds(),
            self.confirm_danger.holds(),
            CAUSE_UNBALANCE,
        ))
    }

    fn state_hash(&self) -> u64 {
        let confirms = [&self.confirm, &self.confirm_danger, &self.confirm_phase];
        confirms
            .iter()
            .fold(StateHash::new(), |hash, c| c.hash(hash))
            .finish()
    }
}

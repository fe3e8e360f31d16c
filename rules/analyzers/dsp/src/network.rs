//! `network`: a small neural network as a module: the example of learned inference inside a fuel bound.
//!
//! A multilayer perceptron with rectified units over six features of a bearing (four line strengths, kurtosis, crest),
//! trained off line (`rules/analyzers/tools/train.py`) on simulated signals only; its weights are compiled in from
//! `rules/analyzers/dsp/weights/bearing-net.txt`. Every operation is a multiplication, an addition or a logarithm of `libm`.

use tripline_analyzer::{Analyzer, Frame, Outputs, Refused, StateHash, Verdict};

use crate::{
    Confirm, Params,
    api::{Output, inputs, news, verdict, write},
};

/// Features in.
pub const FEATURES: usize = 6;
/// Hidden units.
pub const HIDDEN: usize = 12;
/// Classes out: normal, inner race, outer race, ball.
pub const CLASSES: usize = 4;

/// Weights by layer.
struct Weights {
    mean: [f64; FEATURES],
    scale: [f64; FEATURES],
    first: [[f64; FEATURES]; HIDDEN],
    first_bias: [f64; HIDDEN],
    second: [[f64; HIDDEN]; CLASSES],
    second_bias: [f64; CLASSES],
}

include!(concat!(env!("OUT_DIR"), "/weights.rs"));

/// Scores of the classes as probabilities, from features as the inputs bring them.
#[must_use]
pub fn infer(features: [f64; FEATURES]) -> [f64; CLASSES] {
    let mut scaled = [0.0; FEATURES];
    let standard = WEIGHTS.mean.iter().zip(&WEIGHTS.scale);
    for ((to, feature), (mean, scale)) in scaled.iter_mut().zip(features).zip(standard) {
        // Strengths span decades: their logarithm is what is near linear in severity.
        *to = (libm::log1p(feature.max(0.0)) - mean) / scale;
    }
    let dot = |row: &[f64], values: &[f64], bias: f64| {
        row.iter().zip(values).fold(bias, |sum, (w, v)| sum + w * v)
    };
    let mut hidden = [0.0_f64; HIDDEN];
    for ((to, row), bias) in hidden
        .iter_mut()
        .zip(&WEIGHTS.first)
        .zip(WEIGHTS.first_bias)
    {
        *to = dot(row, &scaled, bias).max(0.0);
    }
    let mut scores = [0.0; CLASSES];
    for ((to, row), bias) in scores
        .iter_mut()
        .zip(&WEIGHTS.second)
        .zip(WEIGHTS.second_bias)
    {
        *to = dot(row, &hidden, bias);
    }
    let highest = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let mut sum = 0.0;
    for score in &mut scores {
        *score = libm::exp(*score - highest);
        sum += *score;
    }
    scores.map(|score| score / sum)
}

/// The analyzer. Inputs: 0 to 3 strengths of inner race, outer race, ball and cage; 4 kurtosis; 5 crest.
pub struct Network {
    sure: f64,
    confirm: Confirm,
    class: u8,
}

impl Analyzer for Network {
    type Sample = f32;
    const PARAMS: usize = 3;
    const INPUTS: usize = FEATURES;
    const OUTPUTS: usize = 5;
    const NEW: Self = Self {
        sure: 0.0,
        confirm: Confirm::NEW,
        class: 0,
    };

    fn init(&mut self, params: &[f64]) -> Result<(), Refused> {
        let params = Params(params);
        self.sure = params.positive(0)?;
        self.confirm = Confirm::from_params(params, 1)?;
        Ok(())
    }

    fn process(&mut self, frame: &Frame<'_, f32>, out: &mut Outputs<'_>) -> Verdict {
        let Some(features) = inputs(frame) else {
            return Verdict::NORMAL;
        };
        let scores = infer(features);
        let mut best = (0_u8, 0.0);
        for (class, score) in (0_u8..).zip(scores) {
            if score > best.1 {
                best = (class, score);
            }
        }
        let (class, score) = best;
        let sure = score >= self.sure;
        if news(frame, Self::INPUTS) {
            self.confirm.observe(class != 0 && sure);
            if class != 0 && sure {
                self.class = class;
            }
        }
        let [normal, inner, outer, ball] = scores.map(Output::Good);
        write(
            out,
            [
                Output::of(f64::from(class), sure),
                normal,
                inner,
                outer,
                ball,
            ],
        );
        verdict(self.confirm.holds(), false, self.class)
    }

    fn state_hash(&self) -> u64 {
        self.confirm
            .hash(StateHash::new().u64(u64::from(self.class)))
            .finish()
    }
}

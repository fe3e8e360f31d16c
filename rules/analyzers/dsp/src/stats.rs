//! Moments of a block.

use crate::num::float;

/// What a block of samples looks like.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Moments {
    /// Mean, in the samples' unit.
    pub mean: f64,
    /// Root mean square about the mean.
    pub rms: f64,
    /// Largest distance from the mean.
    pub peak: f64,
    /// `peak / rms`; 0 for a constant.
    pub crest: f64,
    /// Fourth moment over the square of the second: 3 for Gaussian noise (Pearson's, not excess); 0 for a constant.
    pub kurtosis: f64,
}

/// The moments of a block, in two passes and double precision; `None` for an empty one.
#[must_use]
pub fn moments(samples: &[f32]) -> Option<Moments> {
    if samples.is_empty() {
        return None;
    }
    let count = float(samples.len());
    let mean = samples.iter().map(|s| f64::from(*s)).sum::<f64>() / count;
    let (mut second, mut fourth, mut peak) = (0.0, 0.0, 0.0_f64);
    for sample in samples {
        let away = f64::from(*sample) - mean;
        let square = away * away;
        second += square;
        fourth += square * square;
        peak = peak.max(away.abs());
    }
    let (second, fourth) = (second / count, fourth / count);
    let rms = libm::sqrt(second);
    // What rounding leaves of a constant is not noise.
    let flat = rms <= 1e-12 * mean.abs().max(1e-12);
    Some(Moments {
        mean,
        rms,
        peak,
        crest: if flat { 0.0 } else { peak / rms },
        kurtosis: if flat {
            0.0
        } else {
            fourth / (second * second)
        },
    })
}

/// The median; reorders the values. `None` for none.
pub fn median(values: &mut [f64]) -> Option<f64> {
    if values.is_empty() {
        return None;
    }
    let middle = values.len() / 2;
    let even = values.len().is_multiple_of(2);
    let (lower, upper, _) = values.select_nth_unstable_by(middle, f64::total_cmp);
    let upper = *upper;
    if !even {
        return Some(upper);
    }
    let lower = lower.iter().copied().max_by(f64::total_cmp)?;
    Some(0.5 * (lower + upper))
}

//! Power spectra of acceleration records, and what is read from them: RMS in a band, RMS velocity.

use core::f64::consts::TAU;

use crate::{
    fft::{Complex32, real_in_place},
    num::{float, index, single},
};

/// Standard gravity in mm/s^2 (ISO 80000-3): velocity in mm/s from acceleration in g.
pub const G_MM_S2: f64 = 9_806.65;
/// Mean square of a Hann window: what a power spectrum is divided by.
const HANN_POWER: f64 = 0.375;

/// Takes the mean away and applies a periodic Hann window. The cosine comes from a rotation in double precision, whose error
/// stays below 1e-11 over 32,768 steps: no call of a cosine for each sample.
pub fn hann(samples: &mut [f32]) {
    let count = float(samples.len().max(1));
    let mean = samples.iter().map(|s| f64::from(*s)).sum::<f64>() / count;
    let (sin_step, cos_step) = libm::sincos(TAU / count);
    let (mut sin, mut cos) = (0.0, 1.0);
    for sample in samples {
        *sample = single((f64::from(*sample) - mean) * (0.5 - 0.5 * cos));
        (sin, cos) = (
            sin * cos_step + cos * sin_step,
            cos * cos_step - sin * sin_step,
        );
    }
}

/// A one-sided power spectrum of a Hann-windowed record.
#[derive(Clone, Copy, Debug)]
pub struct Spectrum<'a> {
    bins: &'a [Complex32],
    hz: f64,
}

impl<'a> Spectrum<'a> {
    /// The spectrum of a record, in its memory; `None` unless its length is a power of two that the transform takes and the rate
    /// is above 0.
    pub fn of(record: &'a mut [f32], rate_hz: f64) -> Option<Self> {
        if !(rate_hz.is_finite() && rate_hz > 0.0) {
            return None;
        }
        let hz = rate_hz / float(record.len().max(1));
        hann(record);
        Some(Self {
            bins: real_in_place(record)?,
            hz,
        })
    }

    /// Sum over bins from `low` to `high` Hz of mean square times a weight by frequency.
    fn power(&self, low: f64, high: f64, weight: impl Fn(f64) -> f64) -> f64 {
        // Bin 0 holds the mean and, in its imaginary part, half the sampling rate: neither belongs to a band.
        let first = index(libm::ceil(low / self.hz)).max(1);
        let last = index(high / self.hz).min(self.bins.len().saturating_sub(1));
        let count = 2.0 * float(self.bins.len());
        let sum: f64 = self
            .bins
            .iter()
            .enumerate()
            .take(last.saturating_add(1))
            .skip(first)
            .map(|(bin, value)| f64::from(value.norm_sqr()) * weight(float(bin) * self.hz))
            .sum();
        2.0 * sum / (count * count * HANN_POWER)
    }

    /// RMS between two frequencies, in the record's unit.
    #[must_use]
    pub fn band_rms(&self, low_hz: f64, high_hz: f64) -> f64 {
        libm::sqrt(self.power(low_hz, high_hz, |_| 1.0))
    }

    /// RMS velocity in mm/s between two frequencies, of a record in g: each line divided by its angular frequency.
    #[must_use]
    pub fn velocity_rms(&self, low_hz: f64, high_hz: f64) -> f64 {
        let lowest = self.hz;
        libm::sqrt(self.power(low_hz.max(lowest), high_hz, |hz| {
            let omega = TAU * hz;
            G_MM_S2 * G_MM_S2 / (omega * omega)
        }))
    }

    /// Width of a bin in Hz.
    #[must_use]
    pub const fn bin_hz(&self) -> f64 {
        self.hz
    }
}

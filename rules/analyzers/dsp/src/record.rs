//! Blocks of any length gathered into records of a power of two with half overlap, so that resolution does not depend on
//! how a waveform is cut into messages.

use tripline_analyzer::StateHash;

use crate::num::{self, float};

/// Places in a record at which the shaft speed is kept.
pub(crate) const SPEEDS: usize = 64;

/// The newest samples, up to a record's length.
#[derive(Debug)]
pub(crate) struct Record<const N: usize> {
    samples: [f32; N],
    /// Shaft speed at each of `SPEEDS` equal parts.
    speeds: [f64; SPEEDS],
    filled: usize,
    length: usize,
}

impl<const N: usize> Record<N> {
    pub(crate) const NEW: Self = Self {
        samples: [0.0; N],
        speeds: [0.0; SPEEDS],
        filled: 0,
        length: 0,
    };

    /// Begins anew with a length, a power of two from 256 to `N`.
    pub(crate) const fn set_length(&mut self, length: usize) {
        self.length = length;
        self.filled = 0;
    }

    pub(crate) const fn clear(&mut self) {
        self.filled = 0;
    }

    /// Whether there is something to take, and it was told its length.
    pub(crate) const fn takes(&self, block: &[f32]) -> bool {
        self.length > 0 && !block.is_empty()
    }

    /// Takes from the front of `block` what fits, and leaves the rest; true when the record is full now.
    pub(crate) fn fill(&mut self, block: &mut &[f32], speed: f64) -> bool {
        let space = self.length.saturating_sub(self.filled);
        let (now, later) = block.split_at_checked(space).unwrap_or((block, &[]));
        let free = self.samples.get_mut(self.filled..).unwrap_or_default();
        if let Some(free) = free.get_mut(..now.len()) {
            free.copy_from_slice(now);
        }
        let part = (self.length / SPEEDS).max(1);
        let from = self.filled / part;
        self.filled = self.filled.saturating_add(now.len());
        let to = self.filled.div_ceil(part);
        let parts = self.speeds.iter_mut().skip(from);
        for part in parts.take(to.saturating_sub(from)) {
            *part = speed;
        }
        *block = later;
        self.filled == self.length && self.length > 0
    }

    /// The samples of a full record.
    pub(crate) fn samples(&self) -> &[f32] {
        self.samples.get(..self.filled).unwrap_or_default()
    }

    pub(crate) const fn speeds(&self) -> &[f64; SPEEDS] {
        &self.speeds
    }

    /// Lets the older half go.
    pub(crate) fn advance(&mut self) {
        let half = self.length / 2;
        if let Some(samples) = self.samples.get_mut(..self.length) {
            samples.copy_within(half.., 0);
        }
        self.speeds.rotate_left(SPEEDS / 2);
        self.filled = half;
    }

    pub(crate) fn hash(&self, hash: StateHash) -> StateHash {
        hash.f64(float(self.filled))
            .f32s(self.samples())
            .f64s(&self.speeds)
    }
}

/// The record length from a parameter: a power of two.
pub(crate) fn length_from(
    params: crate::Params<'_>,
    at: usize,
    min: usize,
    max: usize,
) -> Result<usize, tripline_analyzer::Refused> {
    let length = params.count(at, min, max)?;
    if length.is_power_of_two() {
        Ok(length)
    } else {
        Err(crate::api::refused(at))
    }
}

/// Mean of speeds, and their spread over it.
pub(crate) fn mean_and_spread(speeds: &[f64]) -> (f64, f64) {
    let (mut sum, mut low, mut high) = (0.0, f64::INFINITY, 0.0_f64);
    for speed in speeds {
        sum += speed;
        low = low.min(*speed);
        high = high.max(*speed);
    }
    let mean = sum / num::float(speeds.len().max(1));
    (mean, if mean > 0.0 { (high - low) / mean } else { 0.0 })
}

//! Cumulative sums (E. S. Page, "Continuous inspection schemes", Biometrika 41, 1954): finds a small lasting shift that no
//! limit on single values would.

use tripline_analyzer::StateHash;

/// A two-sided cumulative sum.
#[derive(Clone, Copy, Debug, Default)]
pub struct Cusum {
    /// Sum of what was above the target by more than the allowance.
    pub high: f64,
    /// Sum of what was below it.
    pub low: f64,
}

impl Cusum {
    /// Nothing summed.
    pub const NEW: Self = Self {
        high: 0.0,
        low: 0.0,
    };

    /// Takes the distance of a value from its target. `allowance`: what is left out of each side, in the same unit; half the shift
    /// to be found is the usual choice. `ceiling`: a sum does not grow above, so that it comes back in bounded time.
    pub fn add(&mut self, away: f64, allowance: f64, ceiling: f64) {
        self.high = (self.high + away - allowance).clamp(0.0, ceiling);
        self.low = (self.low - away - allowance).clamp(0.0, ceiling);
    }

    pub(crate) fn hash(&self, hash: StateHash) -> StateHash {
        hash.f64(self.high).f64(self.low)
    }
}

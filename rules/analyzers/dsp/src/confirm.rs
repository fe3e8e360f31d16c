//! Spike rejection: a thing counts when m of the last n observations say it (API 670 calls the like a time delay; n
//! observations are named here because blocks need not come at even times).

use tripline_analyzer::{Refused, StateHash};

use crate::Params;

/// Most observations that can be asked.
pub(crate) const OBSERVATIONS_MAX: usize = 64;

/// m of the last n.
#[derive(Clone, Copy, Debug)]
pub struct Confirm {
    history: u64,
    mask: u64,
    /// Observations that do not suffice: one fewer than are needed.
    spare: u32,
}

impl Confirm {
    /// Before it is given its numbers: never confirms.
    pub const NEW: Self = Self {
        history: 0,
        mask: 0,
        spare: 0,
    };

    /// m and n from two parameters, that of m first.
    ///
    /// # Errors
    /// [`Refused`] unless 1 <= m <= n <= 64.
    pub fn from_params(params: Params<'_>, at: usize) -> Result<Self, Refused> {
        let of = params.count(at.saturating_add(1), 1, OBSERVATIONS_MAX)?;
        let needed = params.count(at, 1, of)?;
        Ok(Self::new(needed, of))
    }

    /// m of n; n at most 64.
    #[must_use]
    pub fn new(needed: usize, of: usize) -> Self {
        let of = u32::try_from(of.clamp(1, OBSERVATIONS_MAX)).unwrap_or(1);
        Self {
            history: 0,
            mask: u64::MAX.checked_shr(64 - of).unwrap_or(0),
            spare: u32::try_from(needed.saturating_sub(1)).unwrap_or(u32::MAX),
        }
    }

    /// Takes an observation; whether the thing counts now.
    pub fn observe(&mut self, said: bool) -> bool {
        self.history = ((self.history << 1) | u64::from(said)) & self.mask;
        self.holds()
    }

    /// Whether it counts.
    #[must_use]
    pub const fn holds(&self) -> bool {
        self.history.count_ones() > self.spare
    }

    pub(crate) fn hash(&self, hash: StateHash) -> StateHash {
        hash.u64(self.history)
    }
}

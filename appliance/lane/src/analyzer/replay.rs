//! What comparisons with a clean instance say of an analyzer (H-41).
//!
//! ```text
//!             agrees                 differs
//!  waiting ──────────▶ agrees ──────────────────▶ differs ──┐ late: it stays, until one agrees
//!     │                 ▲  │ late                  ▲    ▲   │
//!     └──── late ───▶ late ◀───────────────────────┘    └───┘
//! ```

use drivers_frame::{DurNs, MonoNs};
use rules_bundle::ReplayPlan;

/// What its comparisons say of an analyzer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum ReplayState {
    /// It is not compared.
    #[default]
    None,
    /// The first comparison is not over yet.
    Waiting,
    /// A clean instance gave the same answer.
    Agrees,
    /// It did not: what the analyzer says is spoiled by what it saw before.
    Differs,
    /// None was over in time: nobody knows.
    Late,
}

/// News of comparisons.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReplayNews {
    /// One agreed.
    Agrees,
    /// One did not.
    Differs,
    /// None was over in time.
    Late,
}

impl ReplayState {
    /// What it is after these news.
    #[must_use]
    pub const fn after(self, news: ReplayNews) -> Self {
        match (self, news) {
            (Self::None, _) => Self::None,
            // What is known to be spoiled is not better for not having been looked at.
            (_, ReplayNews::Differs) | (Self::Differs, ReplayNews::Late) => Self::Differs,
            (_, ReplayNews::Agrees) => Self::Agrees,
            (_, ReplayNews::Late) => Self::Late,
        }
    }

    /// The words used on the control socket and in alerts; `None` when it is not compared.
    pub const fn as_str(self) -> Option<&'static str> {
        match self {
            Self::None => None,
            Self::Waiting => Some("waiting"),
            Self::Agrees => Some("agrees"),
            Self::Differs => Some("differs"),
            Self::Late => Some("late"),
        }
    }
}

/// Watches that comparisons come back in time.
#[derive(Clone, Copy, Debug)]
pub(super) struct Replay {
    patience: DurNs,
    /// When there must be news.
    pub(super) due: MonoNs,
}

impl Replay {
    pub(super) fn new(plan: &ReplayPlan, start: MonoNs) -> Self {
        let patience = plan.every.plus(plan.within);
        Self {
            patience,
            due: start.after(patience),
        }
    }

    /// The comparison that was due at `at` is over.
    pub(super) fn over(&mut self, at: MonoNs) {
        self.due = at.after(self.patience);
    }

    /// Whether it is overdue since now.
    pub(super) fn is_overdue(&mut self, now: MonoNs) -> bool {
        let overdue = now > self.due;
        if overdue {
            self.due = MonoNs::NEVER;
        }
        overdue
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn h41_every_state_and_news_has_the_written_successor() {
        use ReplayNews as N;
        use ReplayState as S;
        let table = [
            (S::None, [S::None, S::None, S::None]),
            (S::Waiting, [S::Agrees, S::Differs, S::Late]),
            (S::Agrees, [S::Agrees, S::Differs, S::Late]),
            (S::Differs, [S::Agrees, S::Differs, S::Differs]),
            (S::Late, [S::Agrees, S::Differs, S::Late]),
        ];
        for (state, successors) in table {
            for (news, successor) in [N::Agrees, N::Differs, N::Late].into_iter().zip(successors) {
                assert_eq!(state.after(news), successor, "H-41: {state:?} {news:?}");
            }
        }
    }
}

//! What is proved of an output's place in its device, as a table. `tests/golden/output.txt` shows it whole.
//!
//! ```text
//!                WantSafe (from every phase)          WantRun (from every phase)
//!                    │                                    │
//!                    ▼   Echoed        Matched            ▼    Echoed         Matched
//!   boot ────▶  Stopping ─────▶ StopEchoed ─────▶ Safe  Starting ─────▶ StartEchoed ─────▶ Running
//!                    ▲               │              │     ▲                 │                 │
//!                    └── Differs, Lost ─────────────┘     └── Differs, Lost ──────────────────┘
//! ```
//!
//! Without read-back an echo counts as `Echoed` and `Matched`. After `Differs` in `Running` the machine itself asks for
//! the safe value.

use crate::event::Confirmed;

/// What is proved.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Phase {
    /// The safe value is due, or on its way.
    Stopping,
    /// It was echoed; the place was not read back yet.
    StopEchoed,
    /// The place holds it.
    Safe,
    /// The run value is due, or on its way.
    Starting,
    /// It was echoed; the place was not read back yet.
    StartEchoed,
    /// The place holds it.
    Running,
}

/// What happens to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Act {
    /// The safe value is to be written.
    WantSafe,
    /// The run value is.
    WantRun,
    /// The device echoed the value that is wanted, and nothing else was sent behind it.
    Echoed,
    /// The place was read and holds it.
    Matched,
    /// The place was read and does not hold it, and had time to.
    Differs,
    /// The connection is gone: nothing is known of the device any more.
    Lost,
}

impl Phase {
    #[cfg(test)]
    pub(crate) const ALL: [Self; 6] = [
        Self::Stopping,
        Self::StopEchoed,
        Self::Safe,
        Self::Starting,
        Self::StartEchoed,
        Self::Running,
    ];

    /// The value that is wanted in this phase.
    pub(crate) const fn value(self) -> Confirmed {
        match self {
            Self::Stopping | Self::StopEchoed | Self::Safe => Confirmed::Safe,
            Self::Starting | Self::StartEchoed | Self::Running => Confirmed::Run,
        }
    }

    /// Whether the wanted value still has to be echoed.
    pub(crate) const fn is_open(self) -> bool {
        matches!(self, Self::Stopping | Self::Starting)
    }

    /// Whether the place was read and held the wanted value.
    pub(crate) const fn is_proved(self) -> bool {
        matches!(self, Self::Safe | Self::Running)
    }
}

impl Act {
    #[cfg(test)]
    pub(crate) const ALL: [Self; 6] = [
        Self::WantSafe,
        Self::WantRun,
        Self::Echoed,
        Self::Matched,
        Self::Differs,
        Self::Lost,
    ];
}

/// The phase after `act`; the same one when the act says nothing in this phase.
pub(crate) const fn next(phase: Phase, act: Act) -> Phase {
    use Act as A;
    use Phase as P;
    match (phase, act) {
        (P::Stopping | P::StopEchoed | P::Safe, A::WantSafe) => phase,
        (P::Starting | P::StartEchoed | P::Running, A::WantSafe) => P::Stopping,
        (P::Starting | P::StartEchoed | P::Running, A::WantRun) => phase,
        (P::Stopping | P::StopEchoed | P::Safe, A::WantRun) => P::Starting,

        (P::Stopping, A::Echoed) => P::StopEchoed,
        (P::Starting, A::Echoed) => P::StartEchoed,
        // A refresh proves no less than what is proved.
        (P::StopEchoed | P::Safe | P::StartEchoed | P::Running, A::Echoed) => phase,

        (P::StopEchoed, A::Matched) => P::Safe,
        (P::StartEchoed, A::Matched) => P::Running,
        // Without an echo of ours a look proves nothing: the value may be an old one.
        (P::Stopping | P::Safe | P::Starting | P::Running, A::Matched) => phase,

        (P::Stopping | P::StopEchoed | P::Safe, A::Differs | A::Lost) => P::Stopping,
        (P::Starting | P::StartEchoed | P::Running, A::Differs | A::Lost) => P::Starting,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_proved_only_by_its_echo_and_then_by_a_look() {
        for phase in Phase::ALL {
            for act in Act::ALL {
                let after = next(phase, act);
                if after.is_proved() && !phase.is_proved() {
                    assert_eq!(act, Act::Matched, "H-58");
                    assert!(matches!(phase, Phase::StopEchoed | Phase::StartEchoed));
                }
                if phase.is_open() && !after.is_open() {
                    assert_eq!(act, Act::Echoed, "H-57");
                }
                if matches!(act, Act::Differs | Act::Lost) {
                    assert!(after.is_open(), "{act:?} leaves nothing proved");
                    assert_eq!(after.value(), phase.value());
                }
            }
        }
    }

    #[test]
    fn i2_only_a_want_changes_the_value_and_a_stop_is_wanted_from_everywhere() {
        for phase in Phase::ALL {
            for act in Act::ALL {
                let after = next(phase, act);
                match act {
                    Act::WantSafe => assert_eq!(after.value(), Confirmed::Safe),
                    Act::WantRun => assert_eq!(after.value(), Confirmed::Run),
                    _ => assert_eq!(after.value(), phase.value(), "I2: {phase:?} {act:?}"),
                }
            }
        }
    }
}

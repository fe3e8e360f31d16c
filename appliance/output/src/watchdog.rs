//! The device's own watchdog: armed on every connection, read back, and looked at again and again (H-63, H-64).
//!
//! ```text
//!             LastDone               LastDone
//!   Writing ───────────▶ Verifying ───────────▶ Armed ◀┐ Done, LastDone
//!    ▲   ▲                   │ Failed            │  ▲└─┘
//!    │   │ Failed            ▼                   │  │ LastDone
//!    │   └─────────────── Looking ◀──────────────┘──┘
//!    └ Lost, from every phase            Failed
//! ```
//!
//! **Outputs of one station share its watchdog, and each arms it.** Some stations have to be stopped to be armed, so the
//! arming of one is a lapse to another that looks just then. Whoever finds it not armed therefore looks once more, and
//! arms only when it still is not: by then another may have done it.
//!
//! A register that arms and is refused with an exception does not fail the arming: stations refuse to be told while
//! their watchdog runs what they hold already. What is read back decides.

use drivers_frame::{DurNs, MonoNs, planted};
use drivers_modbus::codec::{ReadRequest, Table, WriteRequest};
use rules_bundle::{RegisterMatch, RegisterValue, WatchdogPlan};

use crate::event::OutputEvent;
use crate::in_flight::Ask;

/// How far the arming is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Arming {
    /// The registers that arm it are being written.
    Writing,
    /// Those that prove it are being read for the first time.
    Verifying,
    /// All held what they must; they are read again from time to time.
    Armed,
    /// One did not; they are read once more before anything is written.
    Looking,
}

/// What happens to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Step {
    /// A register was answered as it should be, and another follows.
    Done,
    /// It was the last one of its list.
    LastDone,
    /// A register holds what it must not, or was refused; or the device refused a write of the permit.
    Failed,
    /// The connection is gone.
    Lost,
}

impl Arming {
    #[cfg(test)]
    pub(crate) const ALL: [Self; 4] = [Self::Writing, Self::Verifying, Self::Armed, Self::Looking];
}

impl Step {
    #[cfg(test)]
    pub(crate) const ALL: [Self; 4] = [Self::Done, Self::LastDone, Self::Failed, Self::Lost];
}

/// The phase after `step`.
pub(crate) const fn next(phase: Arming, step: Step) -> Arming {
    match (phase, step) {
        (_, Step::Lost) => Arming::Writing,
        (Arming::Writing | Arming::Looking, Step::Failed) => Arming::Writing,
        (Arming::Verifying | Arming::Armed, Step::Failed) => Arming::Looking,
        (_, Step::Done) => phase,
        (Arming::Writing, Step::LastDone) => Arming::Verifying,
        (Arming::Verifying | Arming::Armed | Arming::Looking, Step::LastDone) => Arming::Armed,
    }
}

pub(crate) struct DeviceWatchdog {
    arm: Box<[RegisterValue]>,
    expect: Box<[RegisterMatch]>,
    check_every: DurNs,
    phase: Arming,
    /// Index into the list of the phase.
    at: usize,
    due: MonoNs,
    told: Option<bool>,
    note: Option<OutputEvent>,
}

impl DeviceWatchdog {
    pub(crate) fn new(plan: &WatchdogPlan) -> Self {
        let mut watchdog = Self {
            arm: plan.arm.clone().into_boxed_slice(),
            expect: plan.expect.clone().into_boxed_slice(),
            check_every: plan.check_every,
            phase: Arming::Writing,
            at: 0,
            due: MonoNs::ZERO,
            told: None,
            note: None,
        };
        watchdog.restart(Step::Lost, MonoNs::ZERO);
        watchdog
    }

    pub(crate) fn is_armed(&self) -> bool {
        self.phase == Arming::Armed
    }

    /// When the next register is due. Never when none is left to ask: a watchdog that proves nothing is never armed.
    pub(crate) fn due(&self) -> MonoNs {
        if self.ask().is_some() {
            self.due
        } else {
            MonoNs::NEVER
        }
    }

    /// The next register to write or to read.
    pub(crate) fn ask(&self) -> Option<Ask> {
        if self.phase == Arming::Writing {
            let RegisterValue { address, value } = *self.arm.get(self.at)?;
            let request = WriteRequest::Register { address, value };
            return Some(Ask::Arm { request });
        }
        let expected = *self.expect.get(self.at)?;
        Some(Ask::Check {
            expected,
            request: ReadRequest {
                table: Table::HoldingRegisters,
                address: expected.address,
                count: 1,
            },
        })
    }

    /// The register that was asked is as it should be.
    pub(crate) fn done(&mut self, now: MonoNs) {
        let length = match self.phase {
            Arming::Writing => self.arm.len(),
            Arming::Verifying | Arming::Armed | Arming::Looking => self.expect.len(),
        };
        self.at = self.at.saturating_add(1);
        self.due = now;
        if self.at < length {
            self.phase = next(self.phase, Step::Done);
            return;
        }
        self.phase = next(self.phase, Step::LastDone);
        self.at = 0;
        if self.is_armed() {
            self.due = now.after(self.check_every);
            if planted!(DeviceWatchdogLookedAtOnce) {
                self.due = MonoNs::NEVER;
            }
            self.tell(true, now);
        }
    }

    /// It is not, or the device refused to be written to. Looked at again: at once after a lapse, later after an arming
    /// that failed. Returns whether it was armed until now.
    pub(crate) fn failed(&mut self, now: MonoNs) -> bool {
        let lapsed = self.is_armed();
        let again = match self.phase {
            Arming::Armed | Arming::Looking => now,
            Arming::Writing | Arming::Verifying => now.after(self.check_every),
        };
        self.restart(Step::Failed, again);
        self.tell(false, now);
        lapsed
    }

    /// Nothing is known of the device any more.
    pub(crate) fn lost(&mut self, now: MonoNs) {
        self.restart(Step::Lost, now);
        if self.told == Some(true) {
            self.tell(false, now);
        }
    }

    /// What there is to tell, once.
    pub(crate) fn take_note(&mut self) -> Option<OutputEvent> {
        self.note.take()
    }

    fn restart(&mut self, step: Step, due: MonoNs) {
        self.phase = next(self.phase, step);
        self.at = 0;
        self.due = due;
        if self.arm.is_empty() && self.phase == Arming::Writing {
            self.phase = next(self.phase, Step::LastDone);
        }
    }

    fn tell(&mut self, armed: bool, at: MonoNs) {
        if self.told != Some(armed) {
            self.told = Some(armed);
            self.note = Some(OutputEvent::Watchdog { armed, at });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn h64_only_the_last_match_arms_and_nothing_that_failed_does() {
        for phase in Arming::ALL {
            for step in Step::ALL {
                let after = next(phase, step);
                if after == Arming::Armed && phase != Arming::Armed {
                    assert_eq!(step, Step::LastDone);
                    assert!(matches!(phase, Arming::Verifying | Arming::Looking));
                }
                if matches!(step, Step::Failed | Step::Lost) {
                    assert_ne!(after, Arming::Armed, "H-64");
                }
                if step == Step::Lost {
                    assert_eq!(after, Arming::Writing, "H-64: every connection arms anew");
                }
            }
        }
    }
}

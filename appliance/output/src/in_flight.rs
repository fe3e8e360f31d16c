//! What was asked and not answered yet. Replies come in the order of the requests.

use drivers_frame::{MonoNs, planted};
use drivers_modbus::codec::{ReadRequest, WriteRequest};
use rules_bundle::RegisterMatch;

use crate::event::{Confirmed, FaultCause};

/// One request, and a stop behind it. Nothing but a stop is ever sent while an answer is awaited, and a stop that is on
/// its way already is not sent again, so a stop always finds room.
const MOST: usize = 2;

/// What was asked.
#[derive(Clone, Copy)]
pub(crate) enum Ask {
    /// The run or the safe value.
    Write {
        value: Confirmed,
        request: WriteRequest,
    },
    /// The place, which should hold `expected`, the last value that was echoed.
    ReadBack {
        value: Confirmed,
        expected: Option<u16>,
        request: ReadRequest,
    },
    /// A register that arms the device's watchdog.
    Arm { request: WriteRequest },
    /// A register that shows whether it is armed.
    Check {
        expected: RegisterMatch,
        request: ReadRequest,
    },
}

impl Ask {
    /// What it means when no answer comes.
    const fn unanswered(&self) -> FaultCause {
        match self {
            Self::Write { .. } | Self::Arm { .. } => FaultCause::NotConfirmed,
            Self::ReadBack { .. } | Self::Check { .. } => FaultCause::NotAnswered,
        }
    }
}

/// A request on its way.
#[derive(Clone, Copy)]
pub(crate) struct Pending {
    pub(crate) ask: Ask,
    /// A stop was sent behind it: its answer no longer says what the device holds.
    pub(crate) superseded: bool,
    pub(crate) transaction: u16,
    pub(crate) sent: MonoNs,
    pub(crate) deadline: MonoNs,
}

/// Oldest first, without gaps.
#[derive(Clone, Copy, Default)]
pub(crate) struct InFlight {
    slots: [Option<Pending>; MOST],
}

impl InFlight {
    pub(crate) fn is_empty(&self) -> bool {
        self.oldest().is_none()
    }

    /// Whether a stop may be sent behind what is here.
    pub(crate) fn has_room_for_a_stop(&self) -> bool {
        let [_, last] = &self.slots;
        let stop_on_its_way = self.slots.iter().flatten().any(|pending| {
            matches!(
                pending.ask,
                Ask::Write {
                    value: Confirmed::Safe,
                    ..
                }
            )
        });
        last.is_none() && !stop_on_its_way
    }

    pub(crate) fn oldest(&self) -> Option<&Pending> {
        let [first, _] = &self.slots;
        first.as_ref()
    }

    pub(crate) fn take_oldest(&mut self) {
        let [first, second] = &mut self.slots;
        *first = second.take();
    }

    /// Appends. What is already here is superseded. `false` when there is no room, which no caller lets happen.
    pub(crate) fn push(&mut self, pending: Pending) -> bool {
        for before in self.slots.iter_mut().flatten() {
            before.superseded = true;
        }
        match self.slots.iter_mut().find(|slot| slot.is_none()) {
            Some(slot) => {
                *slot = Some(pending);
                true
            }
            None => false,
        }
    }

    pub(crate) fn clear(&mut self) {
        self.slots = [None; MOST];
    }

    /// What is past its deadline.
    pub(crate) fn overdue(&self, now: MonoNs) -> Option<FaultCause> {
        let mut pending = self.slots.iter().flatten();
        let late =
            pending.find(|pending| now > pending.deadline && !planted!(MissingEchoIgnored))?;
        Some(late.ask.unanswered())
    }

    /// The first deadline; never when nothing is awaited.
    pub(crate) fn deadline(&self) -> MonoNs {
        let deadlines = self.slots.iter().flatten().map(|pending| pending.deadline);
        deadlines.fold(MonoNs::NEVER, MonoNs::min)
    }
}

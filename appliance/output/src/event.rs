//! What an output is told and what it tells: numeric, `Copy`, so that a lane can look at it.

use drivers_frame::{DurNs, MonoNs};
use drivers_modbus::codec::ReplyError;

/// What the lane commands an output to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Permit {
    /// The machine may run: the run value is written and refreshed.
    Granted,
    /// It may not: the safe value is written, the permit no longer refreshed.
    Withheld,
}

/// Why an output failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultCause {
    /// A write was not echoed within its time.
    NotConfirmed,
    /// The device answered a write with something that is not the echo (wrong value, address, unit, or an exception).
    WrongEcho(ReplyError),
    /// A read-back or a look at the device's watchdog was not answered within its time.
    NotAnswered,
    /// The device answered a read with something that is not its reply.
    WrongReply(ReplyError),
    /// The write was echoed, and the place does not hold it (H-58): a gateway's cache, or a wrong map.
    ReadBackDiffers,
    /// Bytes that nobody asked for, or a length that cannot be.
    Unsolicited,
    /// The connection was lost.
    ConnectionLost,
}

impl FaultCause {
    /// The words used on the control socket and in alerts.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NotConfirmed => "write not confirmed in time",
            Self::WrongEcho(_) => "write answered wrongly",
            Self::NotAnswered => "read-back not answered in time",
            Self::WrongReply(_) => "read-back answered wrongly",
            Self::ReadBackDiffers => "write echoed but not done",
            Self::Unsolicited => "unsolicited bytes",
            Self::ConnectionLost => "connection lost",
        }
    }
}

/// Which value was confirmed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Confirmed {
    /// The run value.
    Run,
    /// The safe value.
    Safe,
}

/// What an output reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OutputEvent {
    /// The device holds the value, as far as it can say: the write was echoed exactly and, where the plan declares
    /// read-back, the place holds it. Reported again with each refresh; with read-back with each look instead.
    Confirmed {
        /// Which value.
        value: Confirmed,
        /// When the proof arrived.
        at: MonoNs,
        /// From the send of the write to its proof; of a repeated look, from the send of the read.
        round_trip: DurNs,
    },
    /// A write was not confirmed; it is repeated, over a new connection unless the device only refused it.
    Failed {
        /// When it was seen.
        at: MonoNs,
        /// Why.
        cause: FaultCause,
    },
    /// The place was proved to hold our value, and now holds another: another master writes to it, or the device dropped
    /// the permit by itself (H-60). The safe value is written at once, whatever is commanded: a permit that somebody took
    /// away is not given again before it was withheld and granted anew.
    Overwritten {
        /// When it was seen.
        at: MonoNs,
    },
    /// The device's own watchdog is armed and was read back, or is not any more (H-64). Told when it changes; the first
    /// thing told may be that it cannot be armed. While it is not armed no run value is sent.
    Watchdog {
        /// Whether it is.
        armed: bool,
        /// When it was seen.
        at: MonoNs,
    },
}

/// What an output has counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Run values sent.
    pub run_writes: u64,
    /// Safe values sent.
    pub safe_writes: u64,
    /// Writes echoed.
    pub confirmed: u64,
    /// Failures of any cause.
    pub failures: u64,
    /// Connections made.
    pub connects: u64,
    /// Connection attempts that failed.
    pub connect_failures: u64,
    /// Read-backs answered.
    pub read_backs: u64,
    /// Times that the place held what we did not write.
    pub overwritten: u64,
    /// Times that an armed device watchdog was found not armed.
    pub watchdog_lapses: u64,
}

//! One output's state machine: which value to write, when, and whether it was confirmed. No sockets, no clock.
//!
//! ```text
//!              set_permit(Withheld)                     echo of the safe value
//!   granted ───────────────────────▶ stopping ────────────────────────────────▶ safe
//!      ▲                               │  ▲ not echoed in time: close,            │
//!      │                               └──┘ connect again, write again            │
//!      └──────────────────────────── set_permit(Granted) ◀────────────────────────┘
//! ```
//!
//! While granted, the run value is written every refresh period; a device with a watchdog drops the permit when that
//! ends. While withheld, the safe value is written every refresh period too: a value that another master wrote back
//! does not stay, and the connection that the next stop needs is known to work. Both writes are idempotent, so a
//! repetition does no harm; nothing else is ever sent on this connection.

use drivers_frame::{DurNs, MonoNs};
use drivers_modbus::codec::{self, ReplyError, WriteRequest};
use rules_bundle::{OutputPlan, OutputTarget};

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
    /// The device answered with something that is not the echo (wrong value, address, unit, or an exception).
    WrongEcho(ReplyError),
    /// Bytes that nobody asked for, or a length that cannot be.
    Unsolicited,
    /// The connection was lost.
    ConnectionLost,
    /// More writes are unanswered than can be told apart.
    TooManyUnanswered,
}

impl FaultCause {
    /// The words used on the control socket and in alerts.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NotConfirmed => "write not confirmed in time",
            Self::WrongEcho(_) => "write answered wrongly",
            Self::Unsolicited => "unsolicited bytes",
            Self::ConnectionLost => "connection lost",
            Self::TooManyUnanswered => "too many unanswered writes",
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
    /// A write was echoed exactly.
    Confirmed {
        /// Which value.
        value: Confirmed,
        /// When the echo arrived.
        at: MonoNs,
        /// From send to echo.
        round_trip: DurNs,
    },
    /// A write was not confirmed; it is repeated over a new connection.
    Failed {
        /// When it was seen.
        at: MonoNs,
        /// Why.
        cause: FaultCause,
    },
}

/// What an output has counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Run values sent.
    pub run_writes: u64,
    /// Safe values sent.
    pub safe_writes: u64,
    /// Writes confirmed.
    pub confirmed: u64,
    /// Failures of any cause.
    pub failures: u64,
    /// Connections made.
    pub connects: u64,
    /// Connection attempts that failed.
    pub connect_failures: u64,
}

/// Writes that may be unanswered at a time: a refresh on its way, the stop behind it, and a spare of each.
const UNANSWERED_MAX: usize = 4;

#[derive(Clone, Copy)]
struct Unanswered {
    value: Confirmed,
    transaction: u16,
    sent: MonoNs,
    deadline: MonoNs,
}

/// One output's state machine.
pub struct Machine {
    unit: u8,
    run: WriteRequest,
    safe: WriteRequest,
    /// Both frames are encoded at load; only the transaction id changes.
    run_frame: [u8; codec::REQUEST_BYTES],
    safe_frame: [u8; codec::REQUEST_BYTES],
    refresh: DurNs,
    confirm_within: DurNs,
    permit: Permit,
    next_write: MonoNs,
    transaction: u16,
    unanswered: [Option<Unanswered>; UNANSWERED_MAX],
    counters: Counters,
}

impl Machine {
    /// A withheld output: the safe value is the first thing it writes.
    pub fn new(plan: &OutputPlan) -> Self {
        let (run, safe) = match plan.target {
            OutputTarget::Coil { address, run } => (
                WriteRequest::Coil { address, on: run },
                WriteRequest::Coil { address, on: !run },
            ),
            OutputTarget::Register { address, run, safe } => (
                WriteRequest::Register { address, value: run },
                WriteRequest::Register { address, value: safe },
            ),
        };
        let mut machine = Self {
            unit: plan.unit,
            run,
            safe,
            run_frame: [0; codec::REQUEST_BYTES],
            safe_frame: [0; codec::REQUEST_BYTES],
            refresh: plan.refresh,
            confirm_within: plan.confirm_within,
            permit: Permit::Withheld,
            next_write: MonoNs::ZERO,
            transaction: 0,
            unanswered: [None; UNANSWERED_MAX],
            counters: Counters::default(),
        };
        codec::encode_write(&mut machine.run_frame, 0, machine.unit, &machine.run);
        codec::encode_write(&mut machine.safe_frame, 0, machine.unit, &machine.safe);
        machine
    }

    /// What is commanded now.
    pub fn permit(&self) -> Permit {
        self.permit
    }

    /// Counters since start.
    pub fn counters(&self) -> Counters {
        self.counters
    }

    pub(crate) fn counters_mut(&mut self) -> &mut Counters {
        &mut self.counters
    }

    /// Commands it. A change is due for writing at once.
    pub fn set_permit(&mut self, permit: Permit, now: MonoNs) {
        if self.permit != permit {
            self.permit = permit;
            self.next_write = now;
        }
    }

    /// The frame to send now, if one is due. Whoever takes it must send it or report the connection lost.
    ///
    /// A stop does not wait for the answer to a refresh that is on its way: it is sent behind it at once.
    pub fn frame_due(&mut self, now: MonoNs) -> Option<[u8; codec::REQUEST_BYTES]> {
        if now < self.next_write {
            return None;
        }
        let (value, frame) = match self.permit {
            Permit::Granted => (Confirmed::Run, &mut self.run_frame),
            Permit::Withheld => (Confirmed::Safe, &mut self.safe_frame),
        };
        let waiting = |entry: &Unanswered| entry.value == value;
        if self.unanswered.iter().flatten().any(waiting) {
            return None;
        }
        // Full only if echoes of two changes back and forth are still missing: their deadline will close the connection.
        let free = self.unanswered.iter_mut().find(|entry| entry.is_none())?;
        self.transaction = self.transaction.wrapping_add(1);
        *free = Some(Unanswered {
            value,
            transaction: self.transaction,
            sent: now,
            deadline: now.after(self.confirm_within),
        });
        self.next_write = now.after(self.refresh);
        match value {
            Confirmed::Run => self.counters.run_writes = self.counters.run_writes.saturating_add(1),
            Confirmed::Safe => self.counters.safe_writes = self.counters.safe_writes.saturating_add(1),
        }
        let [high, low] = self.transaction.to_be_bytes();
        let (first, second) = (0, 1);
        if let Some(byte) = frame.get_mut(first) {
            *byte = high;
        }
        if let Some(byte) = frame.get_mut(second) {
            *byte = low;
        }
        Some(*frame)
    }

    /// Takes a complete reply.
    ///
    /// # Errors
    /// [`FaultCause`]: the connection must be closed; [`Machine::connection_lost`] follows.
    pub fn on_reply(&mut self, adu: &[u8], now: MonoNs) -> Result<OutputEvent, FaultCause> {
        // Replies come in the order of the requests; the oldest is the one that was sent first.
        let oldest = self
            .unanswered
            .iter_mut()
            .filter(|entry| entry.is_some())
            .min_by_key(|entry| entry.map_or(MonoNs::NEVER, |entry| entry.sent))
            .ok_or(FaultCause::Unsolicited)?;
        let Some(entry) = *oldest else {
            return Err(FaultCause::Unsolicited);
        };
        let request = match entry.value {
            Confirmed::Run => &self.run,
            Confirmed::Safe => &self.safe,
        };
        codec::check_write_reply(adu, entry.transaction, self.unit, request).map_err(FaultCause::WrongEcho)?;
        *oldest = None;
        self.counters.confirmed = self.counters.confirmed.saturating_add(1);
        Ok(OutputEvent::Confirmed {
            value: entry.value,
            at: now,
            round_trip: now.since(entry.sent),
        })
    }

    /// Whether a write is past its confirmation time.
    pub fn overdue(&self, now: MonoNs) -> bool {
        self.unanswered.iter().flatten().any(|entry| now > entry.deadline)
    }

    /// The connection is gone: what was unanswered stays so, and the present value is due as soon as there is a new one.
    pub fn connection_lost(&mut self, now: MonoNs) {
        self.unanswered = [None; UNANSWERED_MAX];
        self.next_write = now;
    }

    /// When something is due: a write or a confirmation.
    pub fn next_due(&self) -> MonoNs {
        self.unanswered
            .iter()
            .flatten()
            .map(|entry| entry.deadline)
            .fold(self.next_write, MonoNs::min)
    }

    /// Whether a reply is awaited.
    pub fn awaits_reply(&self) -> bool {
        self.unanswered.iter().any(Option::is_some)
    }
}

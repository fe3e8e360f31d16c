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
}

impl FaultCause {
    /// The words used on the control socket and in alerts.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NotConfirmed => "write not confirmed in time",
            Self::WrongEcho(_) => "write answered wrongly",
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
    /// A write was echoed exactly.
    Confirmed {
        /// Which value.
        value: Confirmed,
        /// When the echo arrived.
        at: MonoNs,
        /// From send to echo.
        round_trip: DurNs,
    },
    /// Another master's value was read.
    Overwritten {
        /// When it was seen.
        at: MonoNs,
    },
    /// The device's own watchdog is armed and was read back, or is not any more.
    Watchdog {
        /// Whether it is.
        armed: bool,
        /// When it was seen.
        at: MonoNs,
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
    /// The other value was sent behind it: its echo no longer says what the device holds.
    superseded: bool,
    transaction: u16,
    /// Position in the order of sending; times may be equal.
    order: u64,
    sent: MonoNs,
    deadline: MonoNs,
}

/// The write that stops.
pub fn safe_request(target: OutputTarget) -> WriteRequest {
    match target {
        OutputTarget::Coil { address, run } => WriteRequest::Coil { address, on: !run },
        OutputTarget::Register { address, safe, .. } | OutputTarget::Counter { address, safe } => {
            WriteRequest::Register {
                address,
                value: safe,
            }
        }
        OutputTarget::Toggle { address, safe } => WriteRequest::Coil { address, on: safe },
    }
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
    sent: u64,
    unanswered: [Option<Unanswered>; UNANSWERED_MAX],
    counters: Counters,
}

impl Machine {
    /// A withheld output: the safe value is the first thing it writes.
    pub fn new(plan: &OutputPlan) -> Self {
        let safe = safe_request(plan.target);
        let run = match plan.target {
            OutputTarget::Coil { address, run } => WriteRequest::Coil { address, on: run },
            OutputTarget::Register { address, run, .. } => WriteRequest::Register {
                address,
                value: run,
            },
            OutputTarget::Counter { address, .. } => WriteRequest::Register { address, value: 1 },
            OutputTarget::Toggle { address, safe } => WriteRequest::Coil { address, on: !safe },
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
            sent: 0,
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
        // The newest write is already this value and waits for its echo: another one would prove nothing more.
        if self
            .unanswered
            .iter()
            .flatten()
            .any(|entry| entry.value == value && !entry.superseded)
        {
            return None;
        }
        for entry in self.unanswered.iter_mut().flatten() {
            entry.superseded = true;
        }
        // Full only if echoes of two changes back and forth are still missing: their deadline will close the connection.
        let free = self.unanswered.iter_mut().find(|entry| entry.is_none())?;
        self.transaction = self.transaction.wrapping_add(1);
        self.sent = self.sent.wrapping_add(1);
        *free = Some(Unanswered {
            value,
            superseded: false,
            transaction: self.transaction,
            order: self.sent,
            sent: now,
            deadline: now.after(self.confirm_within),
        });
        self.next_write = now.after(self.refresh);
        match value {
            Confirmed::Run => self.counters.run_writes = self.counters.run_writes.saturating_add(1),
            Confirmed::Safe => {
                self.counters.safe_writes = self.counters.safe_writes.saturating_add(1)
            }
        }
        let [first, second, ..] = frame;
        [*first, *second] = self.transaction.to_be_bytes();
        Some(*frame)
    }

    /// Takes a complete reply. `None` when another value was sent behind the confirmed one, so that nothing is proved.
    ///
    /// # Errors
    /// [`FaultCause`]: the connection must be closed; [`Machine::connection_lost`] follows.
    pub fn on_reply(&mut self, adu: &[u8], now: MonoNs) -> Result<Option<OutputEvent>, FaultCause> {
        // Replies come in the order of the requests; the oldest is the one that was sent first.
        let oldest = self
            .unanswered
            .iter_mut()
            .filter(|entry| entry.is_some())
            .min_by_key(|entry| entry.map_or(u64::MAX, |entry| entry.order))
            .ok_or(FaultCause::Unsolicited)?;
        let Some(entry) = *oldest else {
            return Err(FaultCause::Unsolicited);
        };
        let request = match entry.value {
            Confirmed::Run => &self.run,
            Confirmed::Safe => &self.safe,
        };
        codec::check_write_reply(adu, entry.transaction, self.unit, request)
            .map_err(FaultCause::WrongEcho)?;
        *oldest = None;
        self.counters.confirmed = self.counters.confirmed.saturating_add(1);
        Ok((!entry.superseded).then(|| OutputEvent::Confirmed {
            value: entry.value,
            at: now,
            round_trip: now.since(entry.sent),
        }))
    }

    /// Whether a write is past its confirmation time.
    pub fn overdue(&self, now: MonoNs) -> bool {
        self.unanswered
            .iter()
            .flatten()
            .any(|entry| now > entry.deadline)
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

#[cfg(test)]
mod tests {
    use drivers_modbus::codec::server;

    use super::*;

    fn plan() -> OutputPlan {
        OutputPlan {
            name: "press_run".into(),
            host: "127.0.0.1".into(),
            port: 502,
            unit: 1,
            device: "press_io".into(),
            target: OutputTarget::Coil {
                address: 7,
                run: true,
            },
            refresh: DurNs::from_ms(100),
            confirm_within: DurNs::from_ms(50),
            connect_timeout: DurNs::from_ms(500),
            backoff_min: DurNs::from_ms(20),
            backoff_max: DurNs::from_ms(200),
            group: 0,
            stop: rules_bundle::StopCategory::Zero,
            read_back: None,
            feedback: None,
            escalate_to: None,
            watchdog: None,
            device_time: DurNs::ZERO,
        }
    }

    fn ms(ms: u64) -> MonoNs {
        MonoNs::from_ns(ms * 1_000_000)
    }

    /// Function, address and value of a request.
    fn sent(frame: [u8; codec::REQUEST_BYTES]) -> (u8, u16, u16) {
        let word = |at: usize| u16::from_be_bytes([frame[at], frame[at + 1]]);
        (frame[7], word(8), word(10))
    }

    const STOP: (u8, u16, u16) = (5, 7, 0x0000);
    const RUN: (u8, u16, u16) = (5, 7, 0xFF00);

    fn value(event: Option<OutputEvent>) -> Option<Confirmed> {
        match event {
            Some(OutputEvent::Confirmed { value, .. }) => Some(value),
            _ => None,
        }
    }

    #[test]
    fn boot_writes_the_safe_value_first() {
        let mut machine = Machine::new(&plan());
        assert_eq!(sent(machine.frame_due(ms(0)).unwrap()), STOP, "I9");
    }

    #[test]
    fn the_permit_is_refreshed_only_while_granted() {
        let mut machine = Machine::new(&plan());
        machine.set_permit(Permit::Granted, ms(0));
        let mut runs = 0;
        for step in 0..100 {
            if let Some(frame) = machine.frame_due(ms(step * 10)) {
                assert_eq!(sent(frame), RUN);
                runs += 1;
                assert_eq!(
                    value(machine.on_reply(&frame, ms(step * 10)).unwrap()),
                    Some(Confirmed::Run)
                );
            }
        }
        assert_eq!(runs, 10);
        machine.set_permit(Permit::Withheld, ms(1_000));
        for step in 100..200 {
            if let Some(frame) = machine.frame_due(ms(step * 10)) {
                assert_eq!(sent(frame), STOP, "I2");
                machine.on_reply(&frame, ms(step * 10)).unwrap();
            }
        }
    }

    #[test]
    fn a_stop_does_not_wait_for_the_answer_to_a_refresh() {
        let mut machine = Machine::new(&plan());
        machine.set_permit(Permit::Granted, ms(0));
        let refresh = machine.frame_due(ms(0)).unwrap();
        machine.set_permit(Permit::Withheld, ms(1));
        let stop = machine.frame_due(ms(1)).unwrap();
        assert_eq!(sent(stop), STOP);
        assert_eq!(
            value(machine.on_reply(&refresh, ms(2)).unwrap()),
            None,
            "the run echo proves nothing any more"
        );
        assert_eq!(
            value(machine.on_reply(&stop, ms(3)).unwrap()),
            Some(Confirmed::Safe)
        );
    }

    #[test]
    fn a_stop_is_written_again_when_a_run_went_out_behind_the_last_one() {
        let mut machine = Machine::new(&plan());
        let first = machine.frame_due(ms(0)).unwrap();
        machine.set_permit(Permit::Granted, ms(1));
        let run = machine.frame_due(ms(1)).unwrap();
        machine.set_permit(Permit::Withheld, ms(2));
        let second = machine.frame_due(ms(2)).unwrap();
        assert_eq!((sent(run), sent(second)), (RUN, STOP));
        assert_eq!(
            value(machine.on_reply(&first, ms(3)).unwrap()),
            None,
            "a run was sent behind it"
        );
        assert_eq!(value(machine.on_reply(&run, ms(3)).unwrap()), None);
        assert_eq!(
            value(machine.on_reply(&second, ms(3)).unwrap()),
            Some(Confirmed::Safe)
        );
    }

    #[test]
    fn a_stop_that_is_not_echoed_is_overdue_and_written_again_on_the_next_connection() {
        let mut machine = Machine::new(&plan());
        machine.frame_due(ms(0)).unwrap();
        assert!(!machine.overdue(ms(50)));
        assert!(machine.overdue(ms(51)), "H-57");
        machine.connection_lost(ms(51));
        assert_eq!(sent(machine.frame_due(ms(51)).unwrap()), STOP);
    }

    #[test]
    fn anything_but_the_exact_echo_is_a_fault() {
        for position in 0..12 {
            let mut machine = Machine::new(&plan());
            let mut echo = machine.frame_due(ms(0)).unwrap();
            echo[position] ^= 1;
            assert!(
                machine.on_reply(&echo, ms(1)).is_err(),
                "H-57: byte {position}"
            );
        }
        let mut machine = Machine::new(&plan());
        let request = machine.frame_due(ms(0)).unwrap();
        let request = server::decode_request(&request).unwrap();
        let mut buffer = [0; 260];
        let exception =
            server::encode_exception(&mut buffer, request.transaction, request.unit, 5, 6);
        assert!(matches!(
            machine.on_reply(exception.unwrap(), ms(1)),
            Err(FaultCause::WrongEcho(_))
        ));
        let mut idle = Machine::new(&plan());
        assert_eq!(
            idle.on_reply(&[0; 12], ms(1)),
            Err(FaultCause::Unsolicited),
            "H-13"
        );
    }
}

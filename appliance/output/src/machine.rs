//! One output's state machine: which value to write, when, and whether it was proved. No sockets, no clock.
//!
//! Three small machines make it: what is proved of the place ([`crate::phase`]), the device's watchdog
//! ([`crate::watchdog`]) and the read-back ([`crate::read_back`]). While granted, the run value is written every refresh
//! period; a device with a watchdog drops the permit when that ends. While withheld, the safe value is written every
//! refresh period too: a value that another master wrote back does not stay, and the connection that the next stop needs
//! is known to work.
//!
//! **One request at a time, and a stop behind it at once.** A refresh, a read-back and a look at the watchdog wait for
//! each other, and the one that is due longest goes first, so none starves. A stop waits for nothing.
//!
//! **When the safe value is written although the permit is granted**: the device's watchdog is declared and not armed, or
//! somebody took the permit away ([`OutputEvent::Overwritten`]) and it was not withheld since.

use drivers_frame::{DurNs, MonoNs, planted};
use drivers_modbus::codec::{self, ReplyError, WriteRequest};
use rules_bundle::OutputPlan;

use crate::event::{Confirmed, Counters, FaultCause, OutputEvent, Permit};
use crate::in_flight::{Ask, InFlight, Pending};
use crate::phase::{self, Act, Phase};
use crate::read_back::{Look, ReadBack};
use crate::value::{Frame, Values, wire_value};
use crate::watchdog::DeviceWatchdog;

/// What a machine is for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Duty {
    /// Drives the output.
    Drive,
    /// Keeps a second connection warm with a look at the place, and writes nothing.
    StandBy { every: DurNs, due: MonoNs },
    /// Stood by, was fired: writes the safe value and nothing else.
    Fired { every: DurNs },
}

/// What is sent next.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Next {
    Write,
    ReadBack,
    Watchdog,
}

/// One output's state machine.
pub struct Machine {
    values: Values,
    refresh: DurNs,
    confirm_within: DurNs,
    /// After a write that the device refused.
    retry: DurNs,
    duty: Duty,
    permit: Permit,
    /// The permit was granted and somebody else took it away.
    taken: bool,
    phase: Phase,
    next_write: MonoNs,
    /// When the write was sent that the next proof is for.
    written: MonoNs,
    /// The value echoed last on this connection.
    held: Option<u16>,
    /// The value echoed before it, and when it was replaced: a counter's place may show it a little longer.
    before: Option<(u16, MonoNs)>,
    /// The newest value sent on this connection was the run value.
    run_went_last: bool,
    /// Something was written on this connection; before that the device's watchdog has to wait.
    greeted: bool,
    /// A refused write was answered by arming the device's watchdog anew, not by closing the connection. Once.
    excused: bool,
    read_back: Option<ReadBack>,
    watchdog: Option<DeviceWatchdog>,
    transaction: u16,
    in_flight: InFlight,
    counters: Counters,
}

impl Machine {
    /// A withheld output: the safe value is the first thing it writes.
    pub fn new(plan: &OutputPlan) -> Self {
        Self {
            values: Values::new(plan.unit, plan.target),
            refresh: plan.refresh,
            confirm_within: plan.confirm_within,
            retry: plan.backoff_max.min(plan.refresh),
            duty: Duty::Drive,
            permit: Permit::Withheld,
            taken: false,
            phase: Phase::Stopping,
            next_write: MonoNs::ZERO,
            written: MonoNs::ZERO,
            held: None,
            before: None,
            run_went_last: false,
            greeted: false,
            excused: false,
            read_back: plan.read_back.map(ReadBack::new),
            watchdog: plan.watchdog.as_ref().map(DeviceWatchdog::new),
            transaction: 0,
            in_flight: InFlight::default(),
            counters: Counters::default(),
        }
    }

    /// A machine that can only stop: it looks at the place every `every`, which harms nothing and keeps the connection
    /// known to work, and writes nothing until [`Machine::fire`]. It has no permit to give and arms no watchdog.
    pub fn standing_by(plan: &OutputPlan, every: DurNs) -> Self {
        Self {
            duty: Duty::StandBy {
                every,
                due: MonoNs::ZERO,
            },
            watchdog: None,
            ..Self::new(plan)
        }
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

    /// Commands it. A change is due for writing at once. A machine that stands by, or was fired, stays withheld.
    pub fn set_permit(&mut self, permit: Permit, now: MonoNs) {
        if self.permit == permit || self.duty != Duty::Drive {
            return;
        }
        self.permit = permit;
        self.taken = false;
        if permit == Permit::Withheld {
            // Proved anew, also where the safe value stood already because a permit could not be used.
            self.phase = phase::next(self.phase, Act::Lost);
            self.next_write = now;
        }
        self.aim(now);
    }

    /// Writes the safe value now and every refresh period, if this machine stands by.
    pub fn fire(&mut self, now: MonoNs) {
        if let Duty::StandBy { every, .. } = self.duty {
            self.duty = Duty::Fired { every };
            self.phase = phase::next(self.phase, Act::Lost);
            self.next_write = now;
        }
    }

    /// Goes back to standing by after [`Machine::fire`].
    pub fn stand_down(&mut self, now: MonoNs) {
        if let Duty::Fired { every } = self.duty {
            self.duty = Duty::StandBy { every, due: now };
            if let Some(read_back) = &mut self.read_back {
                read_back.rest();
            }
        }
    }

    /// Whether the safe value is proved: echoed and, where declared, read back.
    pub fn is_safe(&self) -> bool {
        self.phase == Phase::Safe
    }

    /// Whether the device's own watchdog is armed and was read back; `None` when none is declared.
    pub fn watchdog_armed(&self) -> Option<bool> {
        self.watchdog.as_ref().map(DeviceWatchdog::is_armed)
    }

    /// The frame to send now, if one is due. Whoever takes it must send it or report the connection lost.
    ///
    /// A stop does not wait for the answer to what is on its way: it is sent behind it at once.
    pub fn frame_due(&mut self, now: MonoNs) -> Option<Frame> {
        let (due, next) = self.next();
        if now < due {
            return None;
        }
        self.transaction = self.transaction.wrapping_add(1);
        let (ask, frame) = self.ask(next, now)?;
        let sent = self.in_flight.push(Pending {
            ask,
            superseded: false,
            transaction: self.transaction,
            sent: now,
            deadline: now.after(self.confirm_within),
        });
        sent.then_some(frame)
    }

    /// Takes a complete reply. `None` when nothing follows from it; then and otherwise ask [`Machine::take_note`] too.
    ///
    /// # Errors
    /// [`FaultCause`]: the connection must be closed; [`Machine::connection_lost`] follows.
    pub fn on_reply(&mut self, adu: &[u8], now: MonoNs) -> Result<Option<OutputEvent>, FaultCause> {
        let pending = *self.in_flight.oldest().ok_or(FaultCause::Unsolicited)?;
        let (transaction, unit) = (pending.transaction, self.values.unit());
        let event = match pending.ask {
            Ask::Write { value, request } => {
                match codec::check_write_reply(adu, transaction, unit, &request) {
                    Ok(()) => self.echoed(&pending, value, request, now),
                    Err(_) if planted!(EchoUnchecked) => self.echoed(&pending, value, request, now),
                    Err(error) => Some(self.refused(error, now)?),
                }
            }
            Ask::ReadBack {
                value,
                expected,
                request,
            } => match codec::check_read_reply(adu, transaction, unit, &request) {
                Ok(data) => {
                    let holds = (expected, wire_value(&data));
                    self.looked(&pending, value, holds, now)?
                }
                // The connection is sound, which is all that a machine standing by asked for.
                Err(ReplyError::Exception(_))
                    if self.stands_by() || (pending.superseded && self.duty != Duty::Drive) =>
                {
                    None
                }
                Err(error) => return Err(FaultCause::WrongReply(error)),
            },
            Ask::Arm { request } => {
                match codec::check_write_reply(adu, transaction, unit, &request) {
                    Ok(()) | Err(ReplyError::Exception(_)) => self.watchdog_step(true, now),
                    Err(error) => return Err(FaultCause::WrongEcho(error)),
                }
                None
            }
            Ask::Check { expected, request } => {
                match codec::check_read_reply(adu, transaction, unit, &request) {
                    Ok(data) => {
                        let held = wire_value(&data) & expected.mask;
                        let right = held == expected.value || planted!(DeviceWatchdogAssumed);
                        self.watchdog_step(right, now);
                    }
                    Err(ReplyError::Exception(_)) => self.watchdog_step(false, now),
                    Err(error) => return Err(FaultCause::WrongReply(error)),
                }
                None
            }
        };
        self.in_flight.take_oldest();
        Ok(event)
    }

    /// What there is to tell besides: the device's watchdog. At most one, once.
    pub fn take_note(&mut self) -> Option<OutputEvent> {
        self.watchdog.as_mut()?.take_note()
    }

    /// Whether a run value is the newest that was sent on this connection: one that is given up must not deliver it
    /// behind a stop that goes over the next.
    pub(crate) fn run_went_last(&self) -> bool {
        self.run_went_last
    }

    /// What is past its time, if anything.
    pub fn overdue(&self, now: MonoNs) -> Option<FaultCause> {
        self.in_flight.overdue(now)
    }

    /// The connection is gone: what was unanswered stays so, and the present value is due as soon as there is a new one.
    pub fn connection_lost(&mut self, now: MonoNs) {
        self.in_flight.clear();
        self.phase = phase::next(self.phase, Act::Lost);
        self.held = None;
        self.before = None;
        self.run_went_last = false;
        self.greeted = false;
        self.excused = false;
        self.next_write = now;
        if let Some(read_back) = &mut self.read_back {
            read_back.rest();
        }
        if let Duty::StandBy { due, .. } = &mut self.duty {
            *due = now;
        }
        if let Some(watchdog) = &mut self.watchdog {
            watchdog.lost(now);
        }
        self.aim(now);
    }

    /// When something is due: something to send or an answer.
    pub fn next_due(&self) -> MonoNs {
        self.next().0.min(self.in_flight.deadline())
    }

    /// Whether a reply is awaited.
    pub fn awaits_reply(&self) -> bool {
        !self.in_flight.is_empty()
    }

    fn stands_by(&self) -> bool {
        matches!(self.duty, Duty::StandBy { .. })
    }

    /// What may be sent next, and when.
    fn next(&self) -> (MonoNs, Next) {
        if !self.in_flight.is_empty() {
            let stops = !planted!(StopWaitsForEcho)
                && self.phase == Phase::Stopping
                && !self.stands_by()
                && self.in_flight.has_room_for_a_stop();
            let due = if stops {
                self.next_write
            } else {
                MonoNs::NEVER
            };
            return (due, Next::Write);
        }
        if let Duty::StandBy { due, .. } = self.duty {
            return (due, Next::ReadBack);
        }
        let look = self.read_back.as_ref().map_or(MonoNs::NEVER, ReadBack::due);
        let watchdog = self
            .watchdog
            .as_ref()
            .filter(|_| self.greeted)
            .map_or(MonoNs::NEVER, DeviceWatchdog::due);
        // What is due longest goes first; of two, the one further up.
        let mut next = (self.next_write, Next::Write);
        for other in [(look, Next::ReadBack), (watchdog, Next::Watchdog)] {
            if other.0 < next.0 {
                next = other;
            }
        }
        next
    }

    fn ask(&mut self, next: Next, now: MonoNs) -> Option<(Ask, Frame)> {
        let transaction = self.transaction;
        let value = self.phase.value();
        match next {
            Next::Write => {
                let count = match value {
                    Confirmed::Run => &mut self.counters.run_writes,
                    Confirmed::Safe => &mut self.counters.safe_writes,
                };
                *count = count.saturating_add(1);
                self.run_went_last = value == Confirmed::Run;
                let (request, frame) = match value {
                    Confirmed::Run => self.values.run(transaction),
                    Confirmed::Safe => self.values.safe(transaction),
                };
                self.next_write = now.after(self.refresh);
                if planted!(WatchdogFedLate) && value == Confirmed::Run {
                    self.next_write = now.after(self.refresh.times(4));
                }
                if planted!(SafeWrittenOnce) && value == Confirmed::Safe {
                    self.next_write = MonoNs::NEVER;
                }
                self.greeted = true;
                Some((Ask::Write { value, request }, frame))
            }
            Next::ReadBack => {
                if let Duty::StandBy { every, due } = &mut self.duty {
                    *due = now.after(*every);
                } else if let Some(read_back) = &mut self.read_back {
                    read_back.sent();
                }
                let request = self.values.place();
                let ask = Ask::ReadBack {
                    value,
                    expected: self.held,
                    request,
                };
                Some((ask, self.values.read(transaction, &request)))
            }
            Next::Watchdog => {
                let ask = self.watchdog.as_ref()?.ask()?;
                let frame = match &ask {
                    Ask::Arm { request } => self.values.write(transaction, request),
                    Ask::Check { request, .. } => self.values.read(transaction, request),
                    Ask::Write { .. } | Ask::ReadBack { .. } => return None,
                };
                Some((ask, frame))
            }
        }
    }

    /// Brings the phase to the value that is wanted now.
    fn aim(&mut self, now: MonoNs) {
        let runs = self.duty == Duty::Drive
            && (self.permit == Permit::Granted || planted!(PermitWhileLatched))
            && !self.taken
            && (self.watchdog_armed() != Some(false) || planted!(PermitUnguarded));
        let act = if runs { Act::WantRun } else { Act::WantSafe };
        let after = phase::next(self.phase, act);
        if after.value() != self.phase.value() {
            self.next_write = now;
            if let Some(read_back) = &mut self.read_back {
                read_back.rest();
            }
        }
        self.phase = after;
    }

    fn echoed(
        &mut self,
        pending: &Pending,
        value: Confirmed,
        request: WriteRequest,
        now: MonoNs,
    ) -> Option<OutputEvent> {
        self.counters.confirmed = self.counters.confirmed.saturating_add(1);
        self.excused = false;
        let word = request.wire_value();
        let before = self.held.replace(word);
        if pending.superseded || value != self.phase.value() {
            return None;
        }
        let first = self.phase.is_open();
        if first {
            self.before = None;
        }
        self.phase = phase::next(self.phase, Act::Echoed);
        match &mut self.read_back {
            None => {
                self.phase = phase::next(self.phase, Act::Matched);
                Some(OutputEvent::Confirmed {
                    value,
                    at: now,
                    round_trip: now.since(pending.sent),
                })
            }
            Some(read_back) => {
                if first {
                    self.written = pending.sent;
                    read_back.begin(now);
                } else if before != Some(word) {
                    read_back.changed(now);
                    self.before = before.map(|word| (word, now));
                }
                None
            }
        }
    }

    /// A write was answered with something else than its echo.
    fn refused(&mut self, error: ReplyError, now: MonoNs) -> Result<OutputEvent, FaultCause> {
        let cause = FaultCause::WrongEcho(error);
        let (ReplyError::Exception(_), Some(watchdog)) = (error, &mut self.watchdog) else {
            return Err(cause);
        };
        // A station whose watchdog ran out refuses every write until it is armed again. The connection is sound; closing
        // it would only bring the same answer on the next one.
        if self.excused {
            return Err(cause);
        }
        self.excused = true;
        let lapsed = watchdog.failed(now);
        watchdog.lost(now);
        self.count_lapse(lapsed);
        self.counters.failures = self.counters.failures.saturating_add(1);
        self.phase = phase::next(self.phase, Act::Differs);
        self.held = None;
        self.aim(now);
        self.next_write = self.next_write.max(now.after(self.retry));
        Ok(OutputEvent::Failed { at: now, cause })
    }

    fn looked(
        &mut self,
        pending: &Pending,
        value: Confirmed,
        (expected, held): (Option<u16>, u16),
        now: MonoNs,
    ) -> Result<Option<OutputEvent>, FaultCause> {
        self.counters.read_backs = self.counters.read_backs.saturating_add(1);
        // With another value on its way, or due, the look says nothing; the echo of that one begins anew.
        if self.stands_by() || pending.superseded || value != self.phase.value() {
            return Ok(None);
        }
        let Some(read_back) = &mut self.read_back else {
            return Ok(None);
        };
        let follows = self.phase == Phase::Running
            && self.before.is_some_and(|(word, replaced)| {
                word == held && !read_back.is_settled(replaced, now)
            });
        let matches = expected == Some(held) || follows || planted!(ReadBackUncompared);
        match read_back.look(matches, now) {
            Look::Matches => {
                let since = if self.phase.is_proved() {
                    pending.sent
                } else {
                    self.written
                };
                self.phase = phase::next(self.phase, Act::Matched);
                Ok(Some(OutputEvent::Confirmed {
                    value,
                    at: now,
                    round_trip: now.since(since),
                }))
            }
            Look::TooEarly => {
                if value == Confirmed::Safe {
                    // Writing a stop once more does no harm.
                    self.next_write = now;
                }
                Ok(None)
            }
            Look::Differs if self.phase.is_proved() => Ok(Some(self.overwritten(now))),
            Look::Differs => Err(FaultCause::ReadBackDiffers),
        }
    }

    fn overwritten(&mut self, now: MonoNs) -> OutputEvent {
        self.counters.overwritten = self.counters.overwritten.saturating_add(1);
        self.phase = phase::next(self.phase, Act::Differs);
        self.next_write = now;
        // Whoever took a permit away had a reason: another master stops the machine, or its own watchdog did.
        self.taken = self.permit == Permit::Granted;
        self.aim(now);
        OutputEvent::Overwritten { at: now }
    }

    fn watchdog_step(&mut self, right: bool, now: MonoNs) {
        let Some(watchdog) = &mut self.watchdog else {
            return;
        };
        let was_armed = watchdog.is_armed();
        let mut lapsed = false;
        if right {
            watchdog.done(now);
        } else {
            lapsed = watchdog.failed(now);
        }
        let armed = watchdog.is_armed();
        self.count_lapse(lapsed);
        if armed && !was_armed && self.phase.is_open() {
            // A station that refused writes until now takes them from here on.
            self.next_write = now;
        }
        self.aim(now);
    }

    fn count_lapse(&mut self, lapsed: bool) {
        let lapses = &mut self.counters.watchdog_lapses;
        *lapses = lapses.saturating_add(u64::from(lapsed));
    }
}

#[cfg(test)]
mod tests;

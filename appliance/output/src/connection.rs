//! An output and its own connection: pre-connected, non-blocking, never shared with acquisition (H-61).

use std::net::SocketAddr;
use std::os::fd::BorrowedFd;

use drivers_frame::{Clock, DurNs, MonoNs};
use drivers_modbus::codec::{FrameReader, Framing};
use drivers_modbus::transport::{Connect, Link, Received, Wire};
use rules_bundle::OutputPlan;

use crate::event::{Counters, FaultCause, OutputEvent, Permit};
use crate::machine::Machine;

#[derive(Clone, Copy, PartialEq, Eq)]
enum LinkState {
    Down { retry_at: MonoNs },
    Connecting { deadline: MonoNs },
    Up,
}

/// When an output wants to be stepped again, and what may wake it before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutputIdle {
    /// The latest time for the next step.
    pub until: MonoNs,
    /// The connection is up: an answer is awaited, or its end would show.
    pub wants_read: bool,
    /// A connection attempt is on its way.
    pub wants_write: bool,
}

/// One output with its connection.
pub struct OutputConnection<W = Link> {
    machine: Machine,
    link: W,
    state: LinkState,
    address: SocketAddr,
    reader: FrameReader,
    connect_timeout: DurNs,
    backoff_min: DurNs,
    backoff_max: DurNs,
    backoff: DurNs,
    /// A value was proved on this connection.
    proved: bool,
}

impl OutputConnection {
    /// A withheld output at `address`, connected by its first steps.
    pub fn new(plan: &OutputPlan, address: SocketAddr) -> Self {
        Self::over(plan, address, Link::new())
    }

    /// A second connection to an output that can only stop it, for a thread that watches the lane. Its steps connect it
    /// and keep it known to work by looking at the place every `every`; it writes nothing until [`Self::fire`]. It takes
    /// no permit: [`Self::drive`] grants nothing.
    pub fn standing_by(plan: &OutputPlan, address: SocketAddr, every: DurNs) -> Self {
        Self::standing_by_over(plan, address, every, Link::new())
    }

    /// The descriptor to wait on; `None` while not open.
    pub fn fd(&self) -> Option<BorrowedFd<'_>> {
        self.link.fd()
    }
}

impl<W: Wire> OutputConnection<W> {
    /// The same as [`OutputConnection::new`] over another kind of connection.
    pub fn over(plan: &OutputPlan, address: SocketAddr, link: W) -> Self {
        Self::with(Machine::new(plan), plan, address, link)
    }

    /// The same as [`OutputConnection::standing_by`] over another kind of connection.
    pub fn standing_by_over(plan: &OutputPlan, address: SocketAddr, every: DurNs, link: W) -> Self {
        Self::with(Machine::standing_by(plan, every), plan, address, link)
    }

    fn with(machine: Machine, plan: &OutputPlan, address: SocketAddr, link: W) -> Self {
        Self {
            machine,
            link,
            state: LinkState::Down {
                retry_at: MonoNs::ZERO,
            },
            address,
            reader: FrameReader::new(),
            connect_timeout: plan.connect_timeout,
            backoff_min: plan.backoff_min,
            backoff_max: plan.backoff_max,
            backoff: plan.backoff_min,
            proved: false,
        }
    }

    /// Commands the permit and sends a change at once: the way of a stop. Returns what went wrong, if the connection
    /// broke on it. Costs one comparison when nothing changed, one `send` when something did.
    pub fn drive(&mut self, permit: Permit, now: MonoNs) -> Option<OutputEvent> {
        if self.machine.permit() == permit {
            return None;
        }
        self.machine.set_permit(permit, now);
        self.send_due(now)
    }

    /// Writes the safe value at once and then every refresh period, if this connection stands by; the steps go on with
    /// it, over a new connection if need be. Costs one `send`. Returns what went wrong, if the connection broke on it.
    pub fn fire(&mut self, now: MonoNs) -> Option<OutputEvent> {
        self.machine.fire(now);
        self.send_due(now)
    }

    /// Stands by again after [`Self::fire`].
    pub fn stand_down(&mut self, now: MonoNs) {
        self.machine.stand_down(now);
    }

    /// One step: connect, take answers, refresh, look, notice a missing answer. At most one `recv` and one `send`; calls
    /// `report` at most twice for each answer (there are at most two) and twice for a failure.
    pub fn step(&mut self, clock: &impl Clock, mut report: impl FnMut(OutputEvent)) -> OutputIdle {
        let now = clock.now();
        match self.state {
            LinkState::Down { retry_at } if now >= retry_at => self.connect(now),
            LinkState::Connecting { deadline } => self.poll_connect(now, deadline),
            LinkState::Up | LinkState::Down { .. } => {}
        }
        if self.state == LinkState::Up {
            // Also when nothing is awaited: a connection that ended must not look up until the next write.
            self.receive(clock, &mut report);
            if self.state == LinkState::Up
                && let Some(cause) = self.machine.overdue(now)
            {
                report(self.fail(cause, now));
            }
            if let Some(event) = self.send_due(now) {
                report(event);
            }
        }
        // Also what a failed `drive` or `fire` left to tell.
        if let Some(note) = self.machine.take_note() {
            report(note);
        }
        self.idle()
    }

    /// Whether the connection is up.
    pub fn is_up(&self) -> bool {
        self.state == LinkState::Up
    }

    /// What is commanded now.
    pub fn permit(&self) -> Permit {
        self.machine.permit()
    }

    /// Whether the safe value is proved on this connection.
    pub fn is_safe(&self) -> bool {
        self.machine.is_safe()
    }

    /// Whether the device's own watchdog is armed and was read back; `None` when none is declared.
    pub fn watchdog_armed(&self) -> Option<bool> {
        self.machine.watchdog_armed()
    }

    /// Counters since start.
    pub fn counters(&self) -> Counters {
        self.machine.counters()
    }

    /// What the output waits for.
    pub fn idle(&self) -> OutputIdle {
        match self.state {
            LinkState::Down { retry_at } => OutputIdle {
                until: retry_at,
                wants_read: false,
                wants_write: false,
            },
            LinkState::Connecting { deadline } => OutputIdle {
                until: deadline,
                wants_read: false,
                wants_write: true,
            },
            LinkState::Up => OutputIdle {
                until: self.machine.next_due(),
                // Also while nothing is awaited: the end of a connection shows as readable.
                wants_read: true,
                wants_write: false,
            },
        }
    }

    fn send_due(&mut self, now: MonoNs) -> Option<OutputEvent> {
        if self.state != LinkState::Up {
            return None;
        }
        let frame = self.machine.frame_due(now)?;
        match self.link.send(&frame) {
            Ok(sent) if sent == frame.len() => None,
            // A frame that was cut in two, or not taken at all, leaves the stream in an unknown state.
            Ok(_) | Err(_) => Some(self.fail(FaultCause::ConnectionLost, now)),
        }
    }

    fn receive(&mut self, clock: &impl Clock, report: &mut impl FnMut(OutputEvent)) {
        let mut buffer = [0; 64];
        match self.link.recv(&mut buffer) {
            Ok(Received::Empty) => {}
            Ok(Received::Bytes(count)) => {
                let now = clock.now();
                if let Err(cause) = self.take(buffer.get(..count).unwrap_or(&[]), now, report) {
                    report(self.fail(cause, now));
                }
            }
            Ok(Received::Eof) | Err(_) => {
                let now = clock.now();
                report(self.fail(FaultCause::ConnectionLost, now));
            }
        }
    }

    /// Takes the bytes of one or more answers: a stop may have been sent right behind something else.
    fn take(
        &mut self,
        mut bytes: &[u8],
        now: MonoNs,
        report: &mut impl FnMut(OutputEvent),
    ) -> Result<(), FaultCause> {
        while !bytes.is_empty() {
            match self
                .reader
                .push(bytes)
                .map_err(|_| FaultCause::Unsolicited)?
            {
                Framing::Incomplete => break,
                Framing::Complete { excess } => {
                    let event = self.machine.on_reply(self.reader.adu(), now)?;
                    self.reader.clear();
                    if matches!(event, Some(OutputEvent::Confirmed { .. })) {
                        self.proved = true;
                        self.backoff = self.backoff_min;
                    }
                    if let Some(event) = event {
                        report(event);
                    }
                    if let Some(note) = self.machine.take_note() {
                        report(note);
                    }
                    bytes = bytes
                        .get(bytes.len().saturating_sub(excess)..)
                        .unwrap_or(&[]);
                }
            }
        }
        Ok(())
    }

    fn connect(&mut self, now: MonoNs) {
        match self.link.start(self.address) {
            Ok(()) => {
                self.state = LinkState::Connecting {
                    deadline: now.after(self.connect_timeout),
                };
            }
            Err(_) => self.connect_failed(now),
        }
    }

    fn poll_connect(&mut self, now: MonoNs, deadline: MonoNs) {
        match self.link.poll_connect() {
            Ok(Connect::Up) => {
                self.state = LinkState::Up;
                self.proved = false;
                self.reader.clear();
                let counters = self.machine.counters_mut();
                counters.connects = counters.connects.saturating_add(1);
            }
            Ok(Connect::InProgress) if now <= deadline => {}
            Ok(Connect::InProgress) | Err(_) => self.connect_failed(now),
        }
    }

    fn connect_failed(&mut self, now: MonoNs) {
        let counters = self.machine.counters_mut();
        counters.connect_failures = counters.connect_failures.saturating_add(1);
        self.back_off(now);
    }

    fn back_off(&mut self, now: MonoNs) {
        self.link.close();
        self.state = LinkState::Down {
            retry_at: now.after(self.backoff),
        };
        self.backoff = self.backoff.times(2).min(self.backoff_max);
    }

    fn fail(&mut self, cause: FaultCause, now: MonoNs) -> OutputEvent {
        let counters = self.machine.counters_mut();
        counters.failures = counters.failures.saturating_add(1);
        if self.machine.run_went_last() {
            // What the kernel still holds is a permit, and the stop goes over another connection: they have no order.
            self.link.abort();
        }
        self.machine.connection_lost(now);
        if self.proved {
            // A connection that worked is replaced without waiting: a stop may be due. One that never proved anything
            // is not: a device that answers every write wrongly would be connected to without pause.
            self.link.close();
            self.state = LinkState::Down { retry_at: now };
        } else {
            self.back_off(now);
        }
        OutputEvent::Failed { at: now, cause }
    }
}

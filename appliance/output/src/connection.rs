//! An output and its own connection: pre-connected, non-blocking, never shared with reads (H-61).

use std::net::SocketAddr;
use std::os::fd::BorrowedFd;

use drivers_frame::{Clock, DurNs, MonoNs};
use drivers_modbus::codec::{FrameReader, Framing};
use drivers_modbus::transport::{Connect, Link, Received, Wire};
use rules_bundle::OutputPlan;

use crate::machine::{Counters, FaultCause, Machine, OutputEvent, Permit};

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
    /// An echo is awaited.
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
    /// A write was confirmed on this connection.
    proved: bool,
}

impl OutputConnection {
    /// A withheld output at `address`, connected by its first steps.
    pub fn new(plan: &OutputPlan, address: SocketAddr) -> Self {
        Self::over(plan, address, Link::new())
    }

    /// The descriptor to wait on; `None` while not open.
    pub fn fd(&self) -> Option<BorrowedFd<'_>> {
        self.link.fd()
    }
}

impl<W: Wire> OutputConnection<W> {
    /// The same over another kind of connection.
    pub fn over(plan: &OutputPlan, address: SocketAddr, link: W) -> Self {
        Self {
            machine: Machine::new(plan),
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
        self.write_due(now)
    }

    /// One step: connect, take an echo, refresh, notice a missing confirmation. At most one `recv` and one `send`;
    /// calls `report` at most once for an echo and once for a failure.
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
            if self.state == LinkState::Up && self.machine.overdue(now) {
                report(self.fail(FaultCause::NotConfirmed, now));
            }
            if let Some(event) = self.write_due(now) {
                report(event);
            }
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

    fn write_due(&mut self, now: MonoNs) -> Option<OutputEvent> {
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

    /// Takes the bytes of one or more echoes: a stop may have been sent right behind a refresh.
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
                    self.proved = true;
                    self.backoff = self.backoff_min;
                    if let Some(event) = event {
                        report(event);
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
        self.machine.connection_lost(now);
        if self.proved {
            // A connection that worked is replaced without waiting: a stop may be due. One that never confirmed
            // anything is not: a device that answers every write wrongly would be connected to without pause.
            self.link.close();
            self.state = LinkState::Down { retry_at: now };
        } else {
            self.back_off(now);
        }
        OutputEvent::Failed { at: now, cause }
    }
}

//! A session stepped over a link.

use std::os::fd::BorrowedFd;

use drivers_frame::{Clock, FrameSink, MonoNs, Step};

use super::{Connect, Link, Received, Wire};
use crate::limits::RECV_BYTES;
use crate::session::{Action, Counters, Outcome, Session};

/// One device's session and its connection.
///
/// Each step makes at most one `recv` or one `send`. While a reply is awaited, a step that finds nothing is one clock
/// reading and one `recv`, so a lane may spin on it.
#[derive(Debug)]
pub struct Driver<W = Link> {
    session: Session,
    link: W,
    buf: [u8; RECV_BYTES],
}

impl Driver {
    /// Not connected; the first step starts to connect.
    pub fn new(session: Session) -> Self {
        Self::over(session, Link::new())
    }

    /// The descriptor to wait on; `None` while not connected. It is another one after every reconnect.
    pub fn fd(&self) -> Option<BorrowedFd<'_>> {
        self.link.fd()
    }
}

impl<W: Wire> Driver<W> {
    /// The same over another kind of connection.
    pub fn over(session: Session, link: W) -> Self {
        Self {
            session,
            link,
            buf: [0; RECV_BYTES],
        }
    }

    /// Does what is due, without waiting.
    pub fn step(&mut self, clock: &impl Clock, sink: &mut impl FrameSink) -> Step {
        let now = clock.now();
        match self.session.action(now) {
            Action::Connect => self.connect(now),
            Action::PollConnect { deadline } => self.poll_connect(now, deadline),
            Action::Send => self.send(now),
            Action::Receive { deadline } => self.receive(clock, deadline, sink),
            Action::Close => {
                self.link.close();
                self.session.on_closed();
                Step::Progress
            }
            Action::Wait { until } => Step::Idle {
                until,
                wants_read: false,
                wants_write: false,
            },
        }
    }

    /// The session: its state, its blocks, its last error.
    pub const fn session(&self) -> &Session {
        &self.session
    }

    /// The session, to take its changes from.
    pub const fn session_mut(&mut self) -> &mut Session {
        &mut self.session
    }

    /// What happened so far.
    pub const fn counters(&self) -> Counters {
        self.session.counters()
    }

    fn connect(&mut self, now: MonoNs) -> Step {
        match self.link.start(self.session.config().address) {
            Ok(()) => self.session.on_connecting(now),
            Err(fault) => self.session.on_connect_failed(now, fault),
        }
        Step::Progress
    }

    fn poll_connect(&mut self, now: MonoNs, deadline: MonoNs) -> Step {
        match self.link.poll_connect() {
            Ok(Connect::InProgress) => {
                return Step::Idle {
                    until: deadline,
                    wants_read: false,
                    wants_write: true,
                };
            }
            Ok(Connect::Up) => self.session.on_connected(now),
            Err(fault) => self.session.on_connect_failed(now, fault),
        }
        Step::Progress
    }

    fn send(&mut self, now: MonoNs) -> Step {
        match self.link.send(&self.session.request()) {
            Ok(sent) => self.session.on_sent(now, sent),
            Err(fault) => self.session.on_io_error(now, fault),
        }
        Step::Progress
    }

    fn receive(&mut self, clock: &impl Clock, deadline: MonoNs, sink: &mut impl FrameSink) -> Step {
        let (received, in_place) = match self.session.space() {
            Some(mut places) => (self.link.recv_scattered(&mut places), true),
            None => (self.link.recv(&mut self.buf), false),
        };
        let at = clock.now();
        match received {
            Ok(Received::Bytes(count)) => {
                let outcome = if in_place {
                    self.session.on_received(at, count, sink)
                } else {
                    let bytes = self.buf.get(..count).unwrap_or(&[]);
                    self.session.on_bytes(at, bytes, sink)
                };
                return match outcome {
                    Outcome::Frame => Step::Frame,
                    Outcome::Progress => Step::Progress,
                };
            }
            Ok(Received::Empty) => {
                return Step::Idle {
                    until: deadline,
                    wants_read: true,
                    wants_write: false,
                };
            }
            Ok(Received::Eof) => self.session.on_eof(at),
            Err(fault) => self.session.on_io_error(at, fault),
        }
        Step::Progress
    }
}

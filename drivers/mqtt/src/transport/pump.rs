//! Moves bytes between a socket and a session: connect, handshake, send, receive, one thing a step.

use super::stream::{Received, Stream};
use super::tls::TlsClient;
use crate::codec::StreamReader;
use crate::config::{BrokerConfig, ConfigError};
use crate::counters::LinkError;
use crate::session::{Handled, Session};
use drivers_frame::{Clock, DurNs, MonoNs};
use rustix::fd::BorrowedFd;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};

/// What a step led to.
pub(super) enum Pumped {
    Handled(Handled),
    Progress,
    Idle {
        until: MonoNs,
        wants_read: bool,
        wants_write: bool,
    },
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    Tcp,
    Tls,
    Open,
}

pub(super) struct Pump {
    host: String,
    port: u16,
    tls: Option<TlsClient>,
    user_timeout: DurNs,
    stream: Option<Stream>,
    phase: Phase,
    reader: StreamReader,
    /// When the bytes in the reader came: right after the `recv` that brought them (H-24).
    received_at: MonoNs,
    resolved: Option<Result<SocketAddr, LinkError>>,
    /// Goes through the addresses of a name, one an attempt.
    attempt: usize,
}

impl Pump {
    /// `block_bytes`: bytes of the buffers for blocks of waveforms, if there are any.
    pub(super) fn new(
        broker: &BrokerConfig,
        block_bytes: Option<usize>,
    ) -> Result<Self, ConfigError> {
        let tls = broker
            .tls
            .as_ref()
            .map(|tls| TlsClient::new(tls, &broker.host))
            .transpose()
            .map_err(ConfigError::Tls)?;
        Ok(Self {
            host: broker.host.clone(),
            port: broker.port,
            tls,
            user_timeout: broker.keep_alive,
            stream: None,
            phase: Phase::Tcp,
            reader: block_bytes.map_or_else(StreamReader::new, StreamReader::for_blocks),
            received_at: MonoNs::ZERO,
            resolved: None,
            attempt: 0,
        })
    }

    /// What packets come from: to hand a buffer over right after [`Pumped::Handled`].
    pub(super) fn reader_mut(&mut self) -> &mut StreamReader {
        &mut self.reader
    }

    pub(super) fn fd(&self) -> Option<BorrowedFd<'_>> {
        self.stream.as_ref().map(Stream::fd)
    }

    /// Resolves the broker's name for the next attempt; may block. [`Pump::step`] does it itself otherwise.
    ///
    /// An address needs no name service: neither blocks nor allocates.
    pub(super) fn resolve(&mut self) {
        if let Ok(address) = self.host.parse::<IpAddr>() {
            self.resolved = Some(Ok(SocketAddr::new(address, self.port)));
            return;
        }
        let addresses = (self.host.as_str(), self.port).to_socket_addrs();
        let addresses: Vec<SocketAddr> = addresses.map(Iterator::collect).unwrap_or_default();
        let index = self.attempt.checked_rem(addresses.len()).unwrap_or(0);
        self.attempt = self.attempt.wrapping_add(1);
        let address = addresses.get(index).copied();
        self.resolved = Some(address.ok_or(LinkError::NameNotResolved));
    }

    /// Closes the socket.
    pub(super) fn close(&mut self) {
        self.stream = None;
        self.reader.clear();
    }

    /// One step. Errors end the link inside; the session knows why.
    pub(super) fn step(&mut self, session: &mut impl Session, clock: &impl Clock) -> Pumped {
        let done = match self.stream {
            None => self.start(session, clock),
            Some(_) if self.phase == Phase::Open => self.exchange(session, clock),
            Some(_) => self.connecting(session, clock),
        };
        done.unwrap_or_else(|error| {
            self.close();
            session.link_mut().fail(clock.now(), error);
            Pumped::Progress
        })
    }

    fn start(
        &mut self,
        session: &mut impl Session,
        clock: &impl Clock,
    ) -> Result<Pumped, LinkError> {
        let now = clock.now();
        if !session.link().connect_due(now) {
            return Ok(Pumped::Idle {
                until: session.deadline(),
                wants_read: false,
                wants_write: false,
            });
        }
        session.link_mut().begin(now);
        if self.resolved.is_none() {
            self.resolve();
        }
        let address = self
            .resolved
            .take()
            .unwrap_or(Err(LinkError::NameNotResolved))?;
        let tls = self.tls.as_ref().map(TlsClient::connection).transpose();
        let tls = tls.map_err(LinkError::Tls)?;
        self.reader.clear();
        self.phase = Phase::Tcp;
        self.stream = Some(Stream::connect(address, tls, self.user_timeout)?);
        Ok(Pumped::Progress)
    }

    fn connecting(
        &mut self,
        session: &mut impl Session,
        clock: &impl Clock,
    ) -> Result<Pumped, LinkError> {
        let Some(stream) = &mut self.stream else {
            return Ok(Pumped::Progress);
        };
        if self.phase == Phase::Tcp && stream.tcp_connected()? {
            self.phase = Phase::Tls;
        }
        if self.phase == Phase::Tls && stream.handshake()? {
            self.phase = Phase::Open;
            session.link_mut().established(clock.now())?;
            return Ok(Pumped::Progress);
        }
        session.tick(clock.now())?;
        let in_tls = self.phase == Phase::Tls && stream.is_tls();
        Ok(Pumped::Idle {
            until: session.deadline(),
            wants_read: in_tls,
            wants_write: !in_tls || stream.has_backlog(),
        })
    }

    /// With an open stream: first what is buffered, then what waits for the socket, then one read.
    fn exchange(
        &mut self,
        session: &mut impl Session,
        clock: &impl Clock,
    ) -> Result<Pumped, LinkError> {
        let Some(stream) = &mut self.stream else {
            return Ok(Pumped::Progress);
        };
        if let Some(raw) = self.reader.next().map_err(LinkError::Protocol)? {
            return session.handle(raw, self.received_at).map(Pumped::Handled);
        }
        session.link_mut().ping_if_due(self.received_at)?;
        if !session.link().output().is_empty() || stream.has_backlog() {
            let wrote = stream.send(session.link().output())?;
            session.link_mut().wrote(clock.now(), wrote);
        }
        let stuck = !session.link().output().is_empty() || stream.has_backlog();
        match stream.receive(self.reader.space())? {
            Received::Bytes(count) => {
                self.received_at = clock.now();
                self.reader.commit(count);
                match self.reader.next().map_err(LinkError::Protocol)? {
                    Some(raw) => session.handle(raw, self.received_at).map(Pumped::Handled),
                    None => Ok(Pumped::Progress),
                }
            }
            Received::Nothing => {
                session.tick(clock.now())?;
                if !stuck && !session.link().output().is_empty() {
                    return Ok(Pumped::Progress);
                }
                Ok(Pumped::Idle {
                    until: session.deadline(),
                    wants_read: true,
                    wants_write: stuck,
                })
            }
        }
    }

    /// Leaves in order: DISCONNECT, one attempt to send it, close.
    pub(super) fn leave(&mut self, session: &mut impl Session, now: MonoNs) {
        let open = self.phase == Phase::Open;
        if let Some(stream) = self.stream.as_mut().filter(|_| open) {
            session.link_mut().leave(now);
            // If the socket does not take it the broker publishes the will, which is then the truth.
            let _ = stream.send(session.link().output());
        }
        if self.stream.is_some() {
            self.close();
            session.link_mut().fail(now, LinkError::Stopped);
        }
    }
}

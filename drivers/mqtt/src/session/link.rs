//! What subscriber and publisher share: connecting, back-off, keep-alive by progress, and deadlines for everything.

use super::backoff::Backoff;
use super::output::Output;
use crate::codec::{self, Connack, Connect, EncodeError, Kind, ProtocolError, QoS, WillRef};
use crate::config::{BrokerConfig, ConfigError, Will};
use crate::counters::{Counters, LinkChange, LinkError, count};
use crate::limits::OUTPUT_BYTES;
use crate::secret::Secret;
use drivers_frame::{DurNs, MonoNs};

/// Where a link stands. Any error leads to `Disconnected`, whatever the state.
///
/// ```text
///        retry_at               TCP, TLS            CONNACK 0             SUBACK: every topic granted
/// Disconnected ──▶ Connecting ──────────▶ AwaitConnack ──▶ Subscribing ──────────────────▶ Up
///      ▲               │ deadline              │ deadline     │ deadline                   │ silence,
///      └───────────────┴───────────────────────┴──────────────┴────────────────────────────┘ stall, close
/// ```
/// A publisher goes from `AwaitConnack` straight to `Up`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkState {
    /// No socket; the next attempt is due at `retry_at`.
    Disconnected {
        /// Earliest time of the next attempt.
        retry_at: MonoNs,
    },
    /// TCP, and TLS if configured, are under way.
    Connecting {
        /// Given up after.
        deadline: MonoNs,
    },
    /// CONNECT was sent.
    AwaitConnack {
        /// Given up after.
        deadline: MonoNs,
    },
    /// SUBSCRIBE was sent.
    Subscribing {
        /// Given up after.
        deadline: MonoNs,
    },
    /// Connected; every subscription granted.
    Up {
        /// Since when.
        since: MonoNs,
    },
}

/// What became of [`Link::output`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wrote {
    /// Bytes of the output that were taken over, and must not be offered again.
    pub accepted: usize,
    /// Whether the socket took any byte at all.
    pub progressed: bool,
    /// Whether the transport holds bytes that the socket has not taken (TLS records).
    pub backlog: bool,
}

/// The base of both sessions.
#[derive(Debug)]
pub struct Link {
    /// CONNECT, encoded once: a configuration that cannot be encoded never reaches the network.
    connect: Box<[u8]>,
    connect_timeout: DurNs,
    keep_alive: DurNs,
    backoff: Backoff,
    backoff_max: DurNs,
    state: LinkState,
    output: Output,
    last_sent: MonoNs,
    /// When the last whole packet came. Bytes that never become a packet are no sign of life (a peer that sends one
    /// byte a second would otherwise look alive for ever).
    last_received: MonoNs,
    ping_at: Option<MonoNs>,
    /// Since when the socket has taken nothing although something waits.
    write_since: Option<MonoNs>,
    change: Option<LinkChange>,
    pub(super) counters: Counters,
}

impl Link {
    /// A link that may connect at once.
    pub(super) fn new(broker: &BrokerConfig, will: Option<&Will>) -> Result<Self, ConfigError> {
        broker.check()?;
        let packet = Connect {
            client_id: &broker.client_id,
            clean_session: true,
            keep_alive_s: broker.keep_alive_s()?,
            will: will.map(|will| WillRef {
                topic: &will.topic,
                payload: &will.payload,
                qos: QoS::from_level(will.qos).unwrap_or(QoS::AtLeastOnce),
                retain: will.retain,
            }),
            username: broker.username.as_deref(),
            password: broker.password.as_ref().map(Secret::expose),
        };
        let mut connect = vec![0; OUTPUT_BYTES];
        let length = codec::connect(&mut connect, &packet).map_err(|error| match error {
            EncodeError::PasswordWithoutUser => ConfigError::PasswordWithoutUser,
            _ => ConfigError::WillTooLarge(will.map_or(0, |will| will.payload.len())),
        })?;
        connect.truncate(length);
        Ok(Self {
            connect: connect.into_boxed_slice(),
            connect_timeout: broker.connect_timeout,
            keep_alive: broker.keep_alive,
            backoff: Backoff::new(broker.backoff),
            backoff_max: broker.backoff.max,
            state: LinkState::Disconnected {
                retry_at: MonoNs::ZERO,
            },
            output: Output::new(),
            last_sent: MonoNs::ZERO,
            last_received: MonoNs::ZERO,
            ping_at: None,
            write_since: None,
            change: None,
            counters: Counters::default(),
        })
    }

    /// Where the link stands.
    pub fn state(&self) -> LinkState {
        self.state
    }

    /// Whether it is connected and every subscription was granted.
    pub fn is_up(&self) -> bool {
        matches!(self.state, LinkState::Up { .. })
    }

    /// A copy of the counters.
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// The edge since the last call, if there was one.
    pub fn take_change(&mut self) -> Option<LinkChange> {
        self.change.take()
    }

    /// Whether an attempt is due.
    pub fn connect_due(&self, now: MonoNs) -> bool {
        matches!(self.state, LinkState::Disconnected { retry_at } if retry_at <= now)
    }

    /// An attempt begins.
    pub fn begin(&mut self, now: MonoNs) {
        count(&mut self.counters.attempts);
        self.state = LinkState::Connecting {
            deadline: now.after(self.connect_timeout),
        };
    }

    /// TCP, and TLS if configured, have come about: CONNECT is queued.
    ///
    /// # Errors
    /// [`LinkError::WriteStalled`] when CONNECT does not fit the output, which making the link has excluded.
    pub fn established(&mut self, now: MonoNs) -> Result<(), LinkError> {
        self.output.clear();
        self.write_since = None;
        self.ping_at = None;
        self.last_sent = now;
        self.last_received = now;
        self.state = LinkState::AwaitConnack {
            deadline: now.after(self.connect_timeout),
        };
        let connect = &self.connect;
        let queued = self.output.push(|buffer| {
            let needed = connect.len();
            let room = buffer.len();
            let target = buffer
                .get_mut(..needed)
                .ok_or(EncodeError::Buffer { needed, room })?;
            target.copy_from_slice(connect);
            Ok(needed)
        });
        self.write_since = Some(now);
        queued.map_err(|_| LinkError::WriteStalled)
    }

    /// CONNACK has come.
    pub(super) fn connack(&mut self, connack: Connack) -> Result<(), LinkError> {
        if !matches!(self.state, LinkState::AwaitConnack { .. }) {
            return Err(unexpected(Kind::Connack));
        }
        match connack.refusal {
            Some(refusal) => Err(LinkError::Refused(refusal)),
            // We asked for a clean session (3.2.2.2). A broker that says otherwise mixes us up with another client.
            None if connack.session_present => {
                Err(LinkError::Protocol(ProtocolError::SessionPresent))
            }
            None => Ok(()),
        }
    }

    /// SUBSCRIBE was queued.
    pub(super) fn subscribing(&mut self, now: MonoNs) {
        self.state = LinkState::Subscribing {
            deadline: now.after(self.connect_timeout),
        };
    }

    /// Everything was granted.
    pub(super) fn up(&mut self, now: MonoNs) {
        count(&mut self.counters.ups);
        self.state = LinkState::Up { since: now };
        self.change = Some(LinkChange::Up);
    }

    /// The attempt or the link is over. Counts, and sets the time of the next attempt. A link that was up for less than
    /// the longest back-off does not reset it: a broker that accepts and throws out cannot cause a storm.
    pub fn fail(&mut self, now: MonoNs, error: LinkError) {
        let up_since = match self.state {
            LinkState::Up { since } => Some(since),
            _ => None,
        };
        if up_since.is_some_and(|since| now.since(since) >= self.backoff_max) {
            self.backoff.reset();
        }
        self.counters.failed(error, up_since.is_some());
        self.change = Some(match up_since {
            Some(_) => LinkChange::Down(error),
            None => LinkChange::AttemptFailed(error),
        });
        self.output.clear();
        self.write_since = None;
        self.ping_at = None;
        self.state = LinkState::Disconnected {
            retry_at: now.after(self.backoff.wait()),
        };
    }

    /// Bytes for the socket.
    pub fn output(&self) -> &[u8] {
        self.output.bytes()
    }

    /// Bytes that [`Link::queue`] still takes.
    pub(super) fn room(&self) -> usize {
        self.output.room()
    }

    /// Queues one packet.
    pub(super) fn queue(
        &mut self,
        now: MonoNs,
        encode: impl FnOnce(&mut [u8]) -> Result<usize, EncodeError>,
    ) -> Result<(), LinkError> {
        let was_empty = self.output.is_empty();
        self.output
            .push(encode)
            .map_err(|_| LinkError::WriteStalled)?;
        if was_empty && self.write_since.is_none() {
            self.write_since = Some(now);
        }
        Ok(())
    }

    /// Queues DISCONNECT if the broker knows us, so that it discards the will.
    pub fn leave(&mut self, now: MonoNs) {
        if !matches!(
            self.state,
            LinkState::Disconnected { .. } | LinkState::Connecting { .. }
        ) {
            // Without room the connection is closed all the same, and the will tells the rest.
            let _ = self.queue(now, codec::disconnect);
        }
    }

    /// What became of the output.
    pub fn wrote(&mut self, now: MonoNs, wrote: Wrote) {
        self.output.consume(wrote.accepted);
        if wrote.progressed {
            self.last_sent = now;
        }
        if self.output.is_empty() && !wrote.backlog {
            self.write_since = None;
        } else if wrote.progressed || self.write_since.is_none() {
            self.write_since = Some(now);
        }
    }

    /// A whole packet has come.
    pub(super) fn received(&mut self, at: MonoNs) {
        self.last_received = at;
    }

    /// PINGRESP has come.
    pub(super) fn pingresp(&mut self) {
        self.ping_at = None;
    }

    fn half_keep_alive(&self) -> DurNs {
        DurNs::from_ns(self.keep_alive.as_ns() >> 1)
    }

    /// When a PINGREQ is due: half a keep-alive after the last sent byte (3.1.2.10 allows a whole one) or the last
    /// received packet, whichever is older. A link on which we only talk is tested as well as one on which we only hear.
    fn ping_due(&self) -> MonoNs {
        match self.ping_at {
            Some(_) => MonoNs::NEVER,
            None => self
                .last_sent
                .min(self.last_received)
                .after(self.half_keep_alive()),
        }
    }

    /// Checks the deadline of the state, and with a connection those of progress. Queues a PINGREQ when one is due.
    pub(super) fn tick(&mut self, now: MonoNs) -> Result<(), LinkError> {
        let overdue = |deadline: MonoNs, error| if now >= deadline { Err(error) } else { Ok(()) };
        match self.state {
            LinkState::Disconnected { .. } => return Ok(()),
            LinkState::Connecting { deadline } => {
                return overdue(deadline, LinkError::ConnectTimeout);
            }
            LinkState::AwaitConnack { deadline } => overdue(deadline, LinkError::ConnackTimeout)?,
            LinkState::Subscribing { deadline } => overdue(deadline, LinkError::SubackTimeout)?,
            LinkState::Up { .. } => {}
        }
        overdue(self.write_deadline(), LinkError::WriteStalled)?;
        overdue(self.ping_deadline(), LinkError::PingrespOverdue)?;
        overdue(self.silence_deadline(), LinkError::Silent)?;
        self.ping_if_due(now)
    }

    /// Queues a PINGREQ when one is due. Apart from the deadlines, because it must also happen while data pours in.
    ///
    /// # Errors
    /// [`LinkError::WriteStalled`] when the output is full.
    pub fn ping_if_due(&mut self, now: MonoNs) -> Result<(), LinkError> {
        // Before CONNACK nothing but CONNECT is sent; that state has its own deadline.
        let connected = matches!(
            self.state,
            LinkState::Subscribing { .. } | LinkState::Up { .. }
        );
        if connected && now >= self.ping_due() {
            self.queue(now, codec::pingreq)?;
            self.ping_at = Some(now);
            count(&mut self.counters.pings);
        }
        Ok(())
    }

    fn write_deadline(&self) -> MonoNs {
        self.write_since
            .map_or(MonoNs::NEVER, |since| since.after(self.half_keep_alive()))
    }

    fn ping_deadline(&self) -> MonoNs {
        self.ping_at
            .map_or(MonoNs::NEVER, |at| at.after(self.half_keep_alive()))
    }

    /// One and a half keep-alives: after it the broker has given us up too (3.1.2.10). The PINGRESP deadline comes
    /// first unless this thread itself was held up (a suspended host).
    fn silence_deadline(&self) -> MonoNs {
        let half = self.half_keep_alive();
        self.last_received.after(self.keep_alive).after(half)
    }

    /// When [`Link::tick`] must be called next.
    pub(super) fn deadline(&self) -> MonoNs {
        let progress = self
            .write_deadline()
            .min(self.ping_deadline())
            .min(self.silence_deadline());
        match self.state {
            LinkState::Disconnected { retry_at } => retry_at,
            LinkState::Connecting { deadline } => deadline,
            LinkState::AwaitConnack { deadline } => deadline.min(progress),
            LinkState::Subscribing { deadline } => deadline.min(progress).min(self.ping_due()),
            LinkState::Up { .. } => progress.min(self.ping_due()),
        }
    }
}

/// A packet that has no business here.
pub(super) const fn unexpected(kind: Kind) -> LinkError {
    LinkError::Protocol(ProtocolError::Unexpected(kind))
}

//! The alert publisher: an outbox that forgets nothing until the broker has acknowledged it.

use super::link::{Link, LinkState, unexpected};
use super::{Handled, Session};
use crate::codec::{self, EncodeError, Packet, PacketId, ProtocolError, Publish, Raw, check_topic};
use crate::config::{ConfigError, PublisherConfig};
use crate::counters::{LinkError, count};
use crate::limits::{IN_FLIGHT_MAX, OUTBOX_BYTES_MAX};
use drivers_frame::{DurNs, MonoNs};
use rt_config::limits::{ALERT_OUTBOX_MAX, MQTT_PACKET_BYTES_MAX};
use std::collections::VecDeque;
use std::fmt;

/// Names one publish, in the order in which they were taken; never used twice by one publisher.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PacketToken(pub u64);

/// Why a publish was not taken. Nothing of it was kept: the caller decides what to drop (H-77).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PublishError {
    /// The outbox holds as many messages as it may.
    Full {
        /// Messages waiting.
        waiting: usize,
    },
    /// The outbox holds as many bytes as it may.
    BytesFull {
        /// Bytes waiting.
        waiting: usize,
    },
    /// The topic is malformed or holds a wildcard.
    Topic(ProtocolError),
    /// The message does not fit a packet; its bytes.
    TooLarge {
        /// Bytes of topic and payload.
        bytes: usize,
    },
    /// The publisher was shut down.
    Stopped,
}

impl fmt::Display for PublishError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full { waiting } => write!(
                f,
                "the outbox is full ({waiting} messages wait for the broker); check the broker"
            ),
            Self::BytesFull { waiting } => write!(
                f,
                "the outbox is full ({waiting} bytes wait for the broker); check the broker"
            ),
            Self::Topic(error) => write!(f, "the topic cannot be used: {error}"),
            Self::TooLarge { bytes } => write!(
                f,
                "topic and payload of {bytes} bytes do not fit a packet of {MQTT_PACKET_BYTES_MAX}"
            ),
            Self::Stopped => f.write_str("the publisher was shut down"),
        }
    }
}

impl std::error::Error for PublishError {}

/// A message, checked: ready for the outbox.
#[derive(Debug)]
pub(crate) struct Message {
    topic: Box<str>,
    payload: Box<[u8]>,
    retain: bool,
}

/// Bytes around topic and payload: first byte, remaining length, topic length, packet id.
const PUBLISH_OVERHEAD: usize = 1 + 4 + 2 + 2;

impl Message {
    /// # Errors
    /// [`PublishError::Topic`], [`PublishError::TooLarge`].
    pub(crate) fn new(topic: &str, payload: &[u8], retain: bool) -> Result<Self, PublishError> {
        check_topic(topic).map_err(PublishError::Topic)?;
        let bytes = topic.len().saturating_add(payload.len());
        if bytes.saturating_add(PUBLISH_OVERHEAD) > MQTT_PACKET_BYTES_MAX {
            return Err(PublishError::TooLarge { bytes });
        }
        Ok(Self {
            topic: topic.into(),
            payload: payload.into(),
            retain,
        })
    }

    pub(crate) fn bytes(&self) -> usize {
        self.topic.len().saturating_add(self.payload.len())
    }
}

#[derive(Debug)]
struct Entry {
    token: PacketToken,
    message: Message,
    /// Set when it was first put on a wire.
    packet_id: Option<PacketId>,
    /// When it was put on this connection's wire; `None` when it has yet to be.
    sent_at: Option<MonoNs>,
}

/// The publisher's state machine. Everything is QoS 1.
///
/// A message leaves the outbox only by its own PUBACK. After any reconnect all that were sent and not acknowledged are
/// sent again, in order, with DUP and their old packet ids, whatever the broker says about a session: the outbox is here,
/// so a broker that forgets loses nothing. At most [`IN_FLIGHT_MAX`] wait for their PUBACK at a time.
///
/// A PUBACK is the broker's word that it has taken the message, not that anyone has seen it (measured: a broker with
/// default settings loses what it acknowledged when it is killed). Who must know publishes state topics retained, and
/// repeats until a reader answers (H-76).
#[derive(Debug)]
pub struct PublisherSession {
    link: Link,
    ack_timeout: DurNs,
    /// In the order of their tokens; the first ones are in flight.
    outbox: VecDeque<Entry>,
    bytes: usize,
    next_token: u64,
    last_id: PacketId,
}

impl PublisherSession {
    /// Checks the configuration.
    ///
    /// # Errors
    /// The first [`ConfigError`].
    pub fn new(config: &PublisherConfig) -> Result<Self, ConfigError> {
        config.check()?;
        Ok(Self {
            link: Link::new(&config.broker, config.will.as_ref())?,
            ack_timeout: config.ack_timeout,
            outbox: VecDeque::new(),
            bytes: 0,
            next_token: 0,
            last_id: PacketId::MAX,
        })
    }

    /// Takes a message into the outbox, whether or not the broker is there.
    ///
    /// # Errors
    /// [`PublishError`]; nothing was taken.
    pub fn publish(
        &mut self,
        topic: &str,
        payload: &[u8],
        retain: bool,
    ) -> Result<PacketToken, PublishError> {
        self.admit(Message::new(topic, payload, retain)?)
    }

    /// Takes a checked message.
    pub(crate) fn admit(&mut self, message: Message) -> Result<PacketToken, PublishError> {
        let refused = if self.outbox.len() >= ALERT_OUTBOX_MAX {
            Some(PublishError::Full {
                waiting: self.outbox.len(),
            })
        } else if self.bytes.saturating_add(message.bytes()) > OUTBOX_BYTES_MAX {
            Some(PublishError::BytesFull {
                waiting: self.bytes,
            })
        } else {
            None
        };
        if let Some(error) = refused {
            count(&mut self.link.counters.outbox_full);
            return Err(error);
        }
        let token = PacketToken(self.next_token);
        self.next_token = self.next_token.saturating_add(1);
        self.bytes = self.bytes.saturating_add(message.bytes());
        self.outbox.push_back(Entry {
            token,
            message,
            packet_id: None,
            sent_at: None,
        });
        count(&mut self.link.counters.accepted);
        Ok(token)
    }

    /// Whether the broker has acknowledged `token`. False for tokens of another publisher that lie in the future.
    pub fn is_delivered(&self, token: PacketToken) -> bool {
        token.0 < self.next_token
            && self
                .outbox
                .binary_search_by_key(&token, |entry| entry.token)
                .is_err()
    }

    /// Messages that are not acknowledged.
    pub fn waiting(&self) -> usize {
        self.outbox.len()
    }

    /// The next packet id that no message in flight has.
    fn free_id(&mut self) -> PacketId {
        loop {
            let next = self.last_id.checked_add(1).unwrap_or(PacketId::MIN);
            self.last_id = next;
            let mut in_flight = self.outbox.iter().take(IN_FLIGHT_MAX);
            // Ends: at most IN_FLIGHT_MAX of 65,535 ids are taken.
            if !in_flight.any(|entry| entry.packet_id == Some(next)) {
                return next;
            }
        }
    }

    /// Puts the messages of the window that this connection has not seen on the wire.
    fn fill(&mut self, now: MonoNs) -> Result<(), LinkError> {
        if !self.link.is_up() {
            return Ok(());
        }
        for index in 0..IN_FLIGHT_MAX {
            let Some(entry) = self.outbox.get(index) else {
                break;
            };
            if entry.sent_at.is_some() {
                continue;
            }
            if self.link.room() < entry.message.bytes().saturating_add(PUBLISH_OVERHEAD) {
                break;
            }
            let (id, dup) = match entry.packet_id {
                Some(id) => (id, true),
                None => (self.free_id(), false),
            };
            self.send(index, id, dup, now)?;
        }
        Ok(())
    }

    fn send(
        &mut self,
        index: usize,
        id: PacketId,
        dup: bool,
        now: MonoNs,
    ) -> Result<(), LinkError> {
        let Some(entry) = self.outbox.get_mut(index) else {
            return Ok(());
        };
        let packet = Publish {
            dup,
            retain: entry.message.retain,
            topic: &entry.message.topic,
            packet_id: Some(id),
            payload: &entry.message.payload,
        };
        let encode =
            |buffer: &mut [u8]| -> Result<usize, EncodeError> { codec::publish(buffer, &packet) };
        self.link.queue(now, encode)?;
        entry.packet_id = Some(id);
        entry.sent_at = Some(now);
        count(&mut self.link.counters.sent);
        if dup {
            count(&mut self.link.counters.resent);
        }
        Ok(())
    }

    fn connected(&mut self, now: MonoNs) -> Result<Handled, LinkError> {
        for entry in self.outbox.iter_mut().take(IN_FLIGHT_MAX) {
            entry.sent_at = None;
        }
        self.link.up(now);
        self.fill(now)?;
        Ok(Handled::Up)
    }

    fn puback(&mut self, id: PacketId, now: MonoNs) -> Result<Handled, LinkError> {
        if !self.link.is_up() {
            return Err(unexpected(codec::Kind::Puback));
        }
        let mut in_flight = self.outbox.iter().take(IN_FLIGHT_MAX);
        let found =
            in_flight.position(|entry| entry.packet_id == Some(id) && entry.sent_at.is_some());
        let Some(entry) = found.and_then(|index| self.outbox.remove(index)) else {
            // A second PUBACK for the same message, for example. It delivers nothing, and closing over it would only
            // delay the alerts that wait.
            count(&mut self.link.counters.puback_unknown);
            return Ok(Handled::Nothing);
        };
        self.bytes = self.bytes.saturating_sub(entry.message.bytes());
        count(&mut self.link.counters.delivered);
        self.fill(now)?;
        Ok(Handled::Delivered(entry.token))
    }

    /// When the oldest message in flight must have its PUBACK.
    fn ack_deadline(&self) -> MonoNs {
        if !self.link.is_up() {
            return MonoNs::NEVER;
        }
        let in_flight = self.outbox.iter().take(IN_FLIGHT_MAX);
        let oldest = in_flight.filter_map(|entry| entry.sent_at).min();
        oldest.map_or(MonoNs::NEVER, |at| at.after(self.ack_timeout))
    }
}

impl Session for PublisherSession {
    fn link(&self) -> &Link {
        &self.link
    }

    fn link_mut(&mut self) -> &mut Link {
        &mut self.link
    }

    fn handle(&mut self, raw: Raw<'_>, at: MonoNs) -> Result<Handled, LinkError> {
        let (first, body) = match raw {
            // Nothing was subscribed to.
            Raw::Oversize(_) => return Err(unexpected(codec::Kind::Publish)),
            Raw::Packet { first, body } => (first, body),
        };
        let packet = codec::decode(first, body).map_err(LinkError::Protocol)?;
        self.link.received(at);
        match packet {
            Packet::Puback(id) => self.puback(id, at),
            Packet::Pingresp => {
                self.link.pingresp();
                Ok(Handled::Nothing)
            }
            Packet::Connack(connack) => {
                self.link.connack(connack)?;
                self.connected(at)
            }
            other => Err(unexpected(other.kind())),
        }
    }

    fn tick(&mut self, now: MonoNs) -> Result<(), LinkError> {
        self.link.tick(now)?;
        if now >= self.ack_deadline() {
            return Err(LinkError::PubackOverdue);
        }
        self.fill(now)
    }

    fn deadline(&self) -> MonoNs {
        // What waits in the outbox and fits the window is sent by the next tick: at once.
        let fresh = self.outbox.iter().take(IN_FLIGHT_MAX);
        let waits = matches!(self.link.state(), LinkState::Up { .. })
            && self.link.output().is_empty()
            && fresh.into_iter().any(|entry| entry.sent_at.is_none());
        if waits {
            return MonoNs::ZERO;
        }
        self.link.deadline().min(self.ack_deadline())
    }
}

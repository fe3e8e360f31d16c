//! MQTT 3.1.1 packets: strict decoding, encoding into fixed buffers, and a stream reader. Pure: bytes in, bytes out.
//!
//! Which thread: any. May it block: no. Worst case: linear in the packet, at most
//! [`rt_config::limits::MQTT_PACKET_BYTES_MAX`] bytes. It allocates once, when a [`StreamReader`] is made.
//! Hazards: H-21 (giant packets are skipped, never stored; a malformed length is fatal).
//!
//! Section numbers are those of OASIS `mqtt-v3.1.1-os`. The server's side (CONNECT and SUBSCRIBE in, CONNACK and SUBACK
//! out) is here as well, for the simulated plant and for tests. QoS 2 and UNSUBSCRIBE are not spoken: they are refused.

mod decode;
mod encode;
mod reader;

pub use decode::{SubscribeTopics, check_filter, check_topic, decode};
pub use encode::{
    EncodeError, connack, connect, disconnect, pingreq, pingresp, puback, publish, set_dup, suback,
    subscribe,
};
pub use reader::{Filled, Oversize, Raw, StreamReader};

use std::num::NonZeroU16;

/// A packet identifier; never 0 (2.3.1).
pub type PacketId = NonZeroU16;

/// Quality of service. 2 is not spoken: a sensor's value is idempotent, and an alert carries its own identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum QoS {
    /// At most once.
    AtMostOnce = 0,
    /// At least once: acknowledged with PUBACK.
    AtLeastOnce = 1,
}

impl QoS {
    /// The number on the wire.
    pub const fn level(self) -> u8 {
        match self {
            Self::AtMostOnce => 0,
            Self::AtLeastOnce => 1,
        }
    }

    /// From the number on the wire or in a pack; `None` for 2 and above.
    pub const fn from_level(level: u8) -> Option<Self> {
        match level {
            0 => Some(Self::AtMostOnce),
            1 => Some(Self::AtLeastOnce),
            _ => None,
        }
    }
}

/// Kind of a control packet: the upper four bits of its first byte (2.2.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Kind {
    /// Client asks to connect.
    Connect = 1,
    /// Server's answer to CONNECT.
    Connack = 2,
    /// A message.
    Publish = 3,
    /// Acknowledges a QoS 1 message.
    Puback = 4,
    /// QoS 2, first answer: not spoken.
    Pubrec = 5,
    /// QoS 2, second step: not spoken.
    Pubrel = 6,
    /// QoS 2, last answer: not spoken.
    Pubcomp = 7,
    /// Client asks for topics.
    Subscribe = 8,
    /// Server's answer to SUBSCRIBE.
    Suback = 9,
    /// Not spoken.
    Unsubscribe = 10,
    /// Not spoken.
    Unsuback = 11,
    /// Client asks for a sign of life.
    Pingreq = 12,
    /// Server's sign of life.
    Pingresp = 13,
    /// Client leaves in order; the will is discarded.
    Disconnect = 14,
}

impl Kind {
    /// From the first byte of a packet; `None` for the reserved kinds 0 and 15.
    pub const fn from_first_byte(first: u8) -> Option<Self> {
        Some(match first >> 4 {
            1 => Self::Connect,
            2 => Self::Connack,
            3 => Self::Publish,
            4 => Self::Puback,
            5 => Self::Pubrec,
            6 => Self::Pubrel,
            7 => Self::Pubcomp,
            8 => Self::Subscribe,
            9 => Self::Suback,
            10 => Self::Unsubscribe,
            11 => Self::Unsuback,
            12 => Self::Pingreq,
            13 => Self::Pingresp,
            14 => Self::Disconnect,
            _ => return None,
        })
    }
}

/// What a packet did wrong. Every one of them closes the connection: a peer that breaks the protocol once is not read on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ProtocolError {
    /// The fourth length byte asks for a fifth (2.2.3).
    RemainingLengthMalformed,
    /// Kind 0 or 15 (2.2.1).
    ReservedKind {
        /// The first byte received.
        first: u8,
    },
    /// The lower four bits of the first byte are not what the kind demands (2.2.2).
    ReservedFlags {
        /// The first byte received.
        first: u8,
    },
    /// A packet of this kind has no business in this direction or in this state.
    Unexpected(Kind),
    /// QoS 2 was never asked for and is not spoken.
    Qos2(Kind),
    /// Both QoS bits are set (3.3.1.2).
    Qos3,
    /// DUP on a QoS 0 message (3.3.1.1).
    DupWithQos0,
    /// Packet id 0 (2.3.1).
    PacketIdZero,
    /// The packet's length is not that of its content.
    Length {
        /// Which packet.
        kind: Kind,
        /// Bytes needed, as far as could be told.
        expected: u32,
        /// Bytes there.
        received: u32,
    },
    /// A string is not UTF-8 (1.5.3).
    NotUtf8,
    /// A string holds U+0000 (1.5.3).
    NulInString,
    /// A topic of no characters (4.7.3).
    TopicEmpty,
    /// A topic longer than any that is asked for here.
    TopicTooLong {
        /// Bytes of the topic.
        bytes: u32,
    },
    /// `+` or `#` in the topic of a message (3.3.2.1).
    WildcardInTopic,
    /// A topic filter with a wildcard out of place (4.7.1).
    FilterMalformed,
    /// CONNACK flags other than 0 or 1 (3.2.2.1).
    ConnackFlags(u8),
    /// CONNACK return code above 5 (3.2.2.3).
    ConnackCode(u8),
    /// "Session present" although a clean session was asked for (3.2.2.2).
    SessionPresent,
    /// SUBACK return code other than 0, 1, 2, 0x80 (3.9.3).
    SubackCode(u8),
    /// SUBACK grants more than was asked for (3.9.3).
    SubackQosRaised,
    /// SUBACK for a packet id that is not waiting.
    SubackId {
        /// The id that is waiting.
        expected: u16,
        /// The id received.
        received: u16,
    },
    /// CONNECT of another protocol or version (3.1.2).
    ConnectProtocol,
    /// CONNECT flags that contradict one another (3.1.2.3 and following).
    ConnectFlags(u8),
}

impl std::fmt::Display for ProtocolError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::RemainingLengthMalformed => {
                write!(f, "remaining length runs into a fifth byte (2.2.3)")
            }
            Self::ReservedKind { first } => {
                write!(f, "reserved packet kind, first byte {first:#04x} (2.2.1)")
            }
            Self::ReservedFlags { first } => {
                write!(f, "reserved flags set, first byte {first:#04x} (2.2.2)")
            }
            Self::Unexpected(kind) => write!(f, "{kind:?} is not expected here"),
            Self::Qos2(kind) => write!(f, "{kind:?} uses QoS 2, which was not asked for"),
            Self::Qos3 => write!(f, "QoS 3 does not exist (3.3.1.2)"),
            Self::DupWithQos0 => write!(f, "DUP set on a QoS 0 message (3.3.1.1)"),
            Self::PacketIdZero => write!(f, "packet id 0 (2.3.1)"),
            Self::Length {
                kind,
                expected,
                received,
            } => write!(
                f,
                "{kind:?} is {received} bytes long, its content needs {expected}"
            ),
            Self::NotUtf8 => write!(f, "a string is not UTF-8 (1.5.3)"),
            Self::NulInString => write!(f, "a string holds U+0000 (1.5.3)"),
            Self::TopicEmpty => write!(f, "an empty topic (4.7.3)"),
            Self::TopicTooLong { bytes } => write!(
                f,
                "a topic of {bytes} bytes; at most {} are used here",
                rt_config::limits::MQTT_TOPIC_BYTES_MAX
            ),
            Self::WildcardInTopic => write!(f, "`+` or `#` in a message's topic (3.3.2.1)"),
            Self::FilterMalformed => write!(f, "a wildcard out of place in a filter (4.7.1)"),
            Self::ConnackFlags(flags) => write!(f, "CONNACK flags {flags:#04x} (3.2.2.1)"),
            Self::ConnackCode(code) => write!(f, "CONNACK return code {code} (3.2.2.3)"),
            Self::SessionPresent => {
                write!(f, "session present after a clean session was asked for")
            }
            Self::SubackCode(code) => write!(f, "SUBACK return code {code:#04x} (3.9.3)"),
            Self::SubackQosRaised => write!(f, "SUBACK grants more than was asked for"),
            Self::SubackId { expected, received } => {
                write!(f, "SUBACK for packet id {received}, waiting for {expected}")
            }
            Self::ConnectProtocol => write!(f, "CONNECT is not MQTT 3.1.1"),
            Self::ConnectFlags(flags) => write!(f, "CONNECT flags {flags:#04x} contradict"),
        }
    }
}

/// Why a server refused a CONNECT (3.2.2.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum ConnectRefusal {
    /// The server does not speak protocol level 4.
    ProtocolVersion = 1,
    /// The server does not allow this client id.
    ClientId = 2,
    /// The MQTT service is not available.
    Unavailable = 3,
    /// User name or password are malformed or wrong.
    Credentials = 4,
    /// The client is not authorised.
    NotAuthorized = 5,
}

impl ConnectRefusal {
    /// The return code on the wire.
    pub const fn code(self) -> u8 {
        match self {
            Self::ProtocolVersion => 1,
            Self::ClientId => 2,
            Self::Unavailable => 3,
            Self::Credentials => 4,
            Self::NotAuthorized => 5,
        }
    }

    /// From the return code; `None` for 0 (accepted) and for codes that do not exist.
    pub const fn from_code(code: u8) -> Option<Self> {
        Some(match code {
            1 => Self::ProtocolVersion,
            2 => Self::ClientId,
            3 => Self::Unavailable,
            4 => Self::Credentials,
            5 => Self::NotAuthorized,
            _ => return None,
        })
    }
}

/// A last will: what the server publishes when the client is lost without DISCONNECT (3.1.2.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WillRef<'a> {
    /// Topic, exact.
    pub topic: &'a str,
    /// Payload.
    pub payload: &'a [u8],
    /// Quality of service of the will's publication.
    pub qos: QoS,
    /// Whether the will is kept for later subscribers.
    pub retain: bool,
}

/// CONNECT (3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Connect<'a> {
    /// Client id.
    pub client_id: &'a str,
    /// Whether the server forgets the session.
    pub clean_session: bool,
    /// Keep-alive in seconds; 0 switches it off, which clients of this crate never ask for.
    pub keep_alive_s: u16,
    /// Last will.
    pub will: Option<WillRef<'a>>,
    /// User name.
    pub username: Option<&'a str>,
    /// Password; only together with a user name (3.1.2.9).
    pub password: Option<&'a [u8]>,
}

/// CONNACK (3.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Connack {
    /// Whether the server held a session for the client.
    pub session_present: bool,
    /// Why the connection was refused; `None` when it was accepted.
    pub refusal: Option<ConnectRefusal>,
}

/// PUBLISH (3.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Publish<'a> {
    /// May have been sent before.
    pub dup: bool,
    /// To the server: keep it. From the server: it was kept, and is old.
    pub retain: bool,
    /// Topic, exact.
    pub topic: &'a str,
    /// Present exactly when the quality of service is 1.
    pub packet_id: Option<PacketId>,
    /// Payload.
    pub payload: &'a [u8],
}

/// SUBACK's verdict on one topic (3.9.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Grant {
    /// Granted with at most this QoS level (0, 1 or 2).
    Granted(u8),
    /// Refused: 0x80.
    Refused,
}

impl Grant {
    /// From a return code.
    ///
    /// # Errors
    /// [`ProtocolError::SubackCode`] for codes that do not exist.
    pub const fn from_code(code: u8) -> Result<Self, ProtocolError> {
        match code {
            0..=2 => Ok(Self::Granted(code)),
            0x80 => Ok(Self::Refused),
            _ => Err(ProtocolError::SubackCode(code)),
        }
    }
}

/// A decoded packet, borrowing from the reader's buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Packet<'a> {
    /// 3.1
    Connect(Connect<'a>),
    /// 3.2
    Connack(Connack),
    /// 3.3
    Publish(Publish<'a>),
    /// 3.4
    Puback(PacketId),
    /// 3.8
    Subscribe(PacketId, SubscribeTopics<'a>),
    /// 3.9: return codes in the order of the topics, each checked to exist.
    Suback(PacketId, &'a [u8]),
    /// 3.12
    Pingreq,
    /// 3.13
    Pingresp,
    /// 3.14
    Disconnect,
}

impl Packet<'_> {
    /// Which kind it is.
    pub const fn kind(&self) -> Kind {
        match self {
            Self::Connect(_) => Kind::Connect,
            Self::Connack(_) => Kind::Connack,
            Self::Publish(_) => Kind::Publish,
            Self::Puback(_) => Kind::Puback,
            Self::Subscribe(..) => Kind::Subscribe,
            Self::Suback(..) => Kind::Suback,
            Self::Pingreq => Kind::Pingreq,
            Self::Pingresp => Kind::Pingresp,
            Self::Disconnect => Kind::Disconnect,
        }
    }
}

#[cfg(test)]
mod tests;

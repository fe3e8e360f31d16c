//! From the body of one packet to a [`Packet`]. Nothing is copied; every byte must be accounted for.

use super::{
    Connack, Connect, ConnectRefusal, Grant, Kind, Packet, PacketId, ProtocolError, Publish, QoS,
    WillRef,
};
use rt_config::limits::MQTT_TOPIC_BYTES_MAX;

/// Saturating, for error reports only.
pub(super) fn u32_of(bytes: usize) -> u32 {
    u32::try_from(bytes).unwrap_or(u32::MAX)
}

/// Takes fields off the front of a body, naming the packet when it is too short.
struct Cursor<'a> {
    rest: &'a [u8],
    kind: Kind,
}

impl<'a> Cursor<'a> {
    fn take(&mut self, bytes: usize) -> Result<&'a [u8], ProtocolError> {
        match self.rest.split_at_checked(bytes) {
            Some((head, rest)) => {
                self.rest = rest;
                Ok(head)
            }
            None => Err(self.length(bytes)),
        }
    }

    fn length(&self, expected: usize) -> ProtocolError {
        ProtocolError::Length {
            kind: self.kind,
            expected: u32_of(expected),
            received: u32_of(self.rest.len()),
        }
    }

    fn u8(&mut self) -> Result<u8, ProtocolError> {
        self.take(1)
            .map(|bytes| bytes.first().copied().unwrap_or(0))
    }

    fn u16(&mut self) -> Result<u16, ProtocolError> {
        let bytes = self.take(2)?;
        Ok(bytes
            .first_chunk()
            .map_or(0, |pair| u16::from_be_bytes(*pair)))
    }

    fn bytes(&mut self) -> Result<&'a [u8], ProtocolError> {
        let length = self.u16()?;
        self.take(usize::from(length))
    }

    fn string(&mut self) -> Result<&'a str, ProtocolError> {
        let text = std::str::from_utf8(self.bytes()?).map_err(|_| ProtocolError::NotUtf8)?;
        if text.contains('\0') {
            return Err(ProtocolError::NulInString);
        }
        Ok(text)
    }

    fn packet_id(&mut self) -> Result<PacketId, ProtocolError> {
        PacketId::new(self.u16()?).ok_or(ProtocolError::PacketIdZero)
    }

    fn end(&self) -> Result<(), ProtocolError> {
        if self.rest.is_empty() {
            Ok(())
        } else {
            Err(self.length(0))
        }
    }
}

/// Decodes one packet from its first byte and its body (what the remaining length counts).
///
/// # Errors
/// [`ProtocolError`]; the connection must then be closed.
pub fn decode(first: u8, body: &[u8]) -> Result<Packet<'_>, ProtocolError> {
    let kind = check_first(first)?;
    let mut cursor = Cursor { rest: body, kind };
    let packet = match kind {
        Kind::Connect => Packet::Connect(connect(&mut cursor)?),
        Kind::Connack => Packet::Connack(connack(&mut cursor)?),
        Kind::Publish => return publish(first, cursor).map(Packet::Publish),
        Kind::Puback => Packet::Puback(cursor.packet_id()?),
        Kind::Subscribe => return subscribe(cursor),
        Kind::Suback => return suback(cursor),
        Kind::Pingreq => Packet::Pingreq,
        Kind::Pingresp => Packet::Pingresp,
        Kind::Disconnect => Packet::Disconnect,
        Kind::Pubrec | Kind::Pubrel | Kind::Pubcomp => return Err(ProtocolError::Qos2(kind)),
        Kind::Unsubscribe | Kind::Unsuback => return Err(ProtocolError::Unexpected(kind)),
    };
    cursor.end()?;
    Ok(packet)
}

/// Checks kind and flags of a first byte (2.2.1, 2.2.2), so that garbage is refused before its length is believed.
pub(super) fn check_first(first: u8) -> Result<Kind, ProtocolError> {
    let kind = Kind::from_first_byte(first).ok_or(ProtocolError::ReservedKind { first })?;
    let flags = first & 0x0F;
    match kind {
        Kind::Publish => match (flags >> 1) & 3 {
            0 if flags & 8 != 0 => Err(ProtocolError::DupWithQos0),
            0 | 1 => Ok(kind),
            2 => Err(ProtocolError::Qos2(kind)),
            _ => Err(ProtocolError::Qos3),
        },
        Kind::Pubrel | Kind::Subscribe | Kind::Unsubscribe if flags == 2 => Ok(kind),
        Kind::Pubrel | Kind::Subscribe | Kind::Unsubscribe => {
            Err(ProtocolError::ReservedFlags { first })
        }
        _ if flags == 0 => Ok(kind),
        _ => Err(ProtocolError::ReservedFlags { first }),
    }
}

fn connect<'a>(cursor: &mut Cursor<'a>) -> Result<Connect<'a>, ProtocolError> {
    if cursor.bytes()? != b"MQTT" || cursor.u8()? != 4 {
        return Err(ProtocolError::ConnectProtocol);
    }
    let flags = cursor.u8()?;
    let has_will = flags & 0x04 != 0;
    let (has_user, has_password) = (flags & 0x80 != 0, flags & 0x40 != 0);
    if flags & 1 != 0 || (!has_will && flags & 0x38 != 0) || (has_password && !has_user) {
        return Err(ProtocolError::ConnectFlags(flags));
    }
    let qos = match QoS::from_level((flags >> 3) & 3) {
        Some(qos) => qos,
        None if (flags >> 3) & 3 == 2 => return Err(ProtocolError::Qos2(Kind::Connect)),
        None => return Err(ProtocolError::Qos3),
    };
    let keep_alive_s = cursor.u16()?;
    let client_id = cursor.string()?;
    let will = if has_will {
        let topic = cursor.string()?;
        check_topic(topic)?;
        Some(WillRef {
            topic,
            payload: cursor.bytes()?,
            qos,
            retain: flags & 0x20 != 0,
        })
    } else {
        None
    };
    Ok(Connect {
        client_id,
        clean_session: flags & 2 != 0,
        keep_alive_s,
        will,
        username: has_user.then(|| cursor.string()).transpose()?,
        password: has_password.then(|| cursor.bytes()).transpose()?,
    })
}

fn connack(cursor: &mut Cursor<'_>) -> Result<Connack, ProtocolError> {
    let flags = cursor.u8()?;
    if flags > 1 {
        return Err(ProtocolError::ConnackFlags(flags));
    }
    let code = cursor.u8()?;
    let refusal = ConnectRefusal::from_code(code);
    if refusal.is_none() && code != 0 {
        return Err(ProtocolError::ConnackCode(code));
    }
    if refusal.is_some() && flags != 0 {
        return Err(ProtocolError::ConnackFlags(flags)); // 3.2.2.2: refused means no session
    }
    Ok(Connack {
        session_present: flags == 1,
        refusal,
    })
}

fn publish(first: u8, mut cursor: Cursor<'_>) -> Result<Publish<'_>, ProtocolError> {
    let topic = cursor.string()?;
    check_topic(topic)?;
    let packet_id = if first & 0x06 == 0 {
        None
    } else {
        Some(cursor.packet_id()?)
    };
    Ok(Publish {
        dup: first & 8 != 0,
        retain: first & 1 != 0,
        topic,
        packet_id,
        payload: cursor.rest,
    })
}

/// What can be told of a PUBLISH from the start of its body: topic and packet id. `None` when more bytes are needed.
pub(super) fn publish_head(
    first: u8,
    start: &[u8],
) -> Result<Option<(&str, Option<PacketId>)>, ProtocolError> {
    let Some(length) = start
        .first_chunk::<2>()
        .map(|pair| u16::from_be_bytes(*pair))
    else {
        return Ok(None);
    };
    let length = usize::from(length);
    if length > MQTT_TOPIC_BYTES_MAX {
        return Err(ProtocolError::TopicTooLong {
            bytes: u32_of(length),
        });
    }
    if start.len() < length.saturating_add(4) {
        return Ok(None);
    }
    let cursor = Cursor {
        rest: start,
        kind: Kind::Publish,
    };
    let publish = publish(first, cursor)?;
    Ok(Some((publish.topic, publish.packet_id)))
}

fn subscribe(mut cursor: Cursor<'_>) -> Result<Packet<'_>, ProtocolError> {
    let id = cursor.packet_id()?;
    let topics = SubscribeTopics { rest: cursor.rest };
    // Walk it once, so that iterating later cannot fail. 3.8.3: at least one topic.
    if cursor.rest.is_empty() {
        return Err(cursor.length(4));
    }
    while !cursor.rest.is_empty() {
        check_filter(cursor.string()?)?;
        match cursor.u8()? {
            0 | 1 => {}
            2 => return Err(ProtocolError::Qos2(Kind::Subscribe)),
            _ => return Err(ProtocolError::Qos3),
        }
    }
    Ok(Packet::Subscribe(id, topics))
}

fn suback(mut cursor: Cursor<'_>) -> Result<Packet<'_>, ProtocolError> {
    let id = cursor.packet_id()?;
    if cursor.rest.is_empty() {
        return Err(cursor.length(1));
    }
    for code in cursor.rest {
        Grant::from_code(*code)?;
    }
    Ok(Packet::Suback(id, cursor.rest))
}

/// The topics of a SUBSCRIBE: filter and asked QoS, in order. Checked when the packet was decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SubscribeTopics<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for SubscribeTopics<'a> {
    type Item = (&'a str, QoS);

    fn next(&mut self) -> Option<Self::Item> {
        let mut cursor = Cursor {
            rest: self.rest,
            kind: Kind::Subscribe,
        };
        let filter = cursor.string().ok()?;
        let qos = QoS::from_level(cursor.u8().ok()?)?;
        self.rest = cursor.rest;
        Some((filter, qos))
    }
}

/// Checks the topic of a message: not empty, not too long, no U+0000, no wildcard (4.7.3, 3.3.2.1).
///
/// # Errors
/// [`ProtocolError`] naming what is wrong.
pub fn check_topic(topic: &str) -> Result<(), ProtocolError> {
    check_filter_text(topic)?;
    if topic.contains(['+', '#']) {
        return Err(ProtocolError::WildcardInTopic);
    }
    Ok(())
}

/// Checks a topic filter: `+` alone in its level, `#` alone in the last one (4.7.1).
///
/// # Errors
/// [`ProtocolError`] naming what is wrong.
pub fn check_filter(filter: &str) -> Result<(), ProtocolError> {
    check_filter_text(filter)?;
    let mut levels = filter.split('/').peekable();
    while let Some(level) = levels.next() {
        let wild = level.contains(['+', '#']);
        if wild && (level.len() != 1 || (level == "#" && levels.peek().is_some())) {
            return Err(ProtocolError::FilterMalformed);
        }
    }
    Ok(())
}

fn check_filter_text(text: &str) -> Result<(), ProtocolError> {
    if text.is_empty() {
        return Err(ProtocolError::TopicEmpty);
    }
    if text.len() > MQTT_TOPIC_BYTES_MAX {
        return Err(ProtocolError::TopicTooLong {
            bytes: u32_of(text.len()),
        });
    }
    if text.contains('\0') {
        return Err(ProtocolError::NulInString);
    }
    Ok(())
}

//! Encoding into buffers that the caller owns. Each function returns the number of bytes written.

use super::{Connack, Connect, ConnectRefusal, Grant, PacketId, Publish, QoS};

/// Largest remaining length: four bytes of seven bits (2.2.3).
const REMAINING_LENGTH_MAX: usize = 268_435_455;

/// Why a packet could not be encoded. Nothing usable was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EncodeError {
    /// The buffer is smaller than the packet.
    Buffer {
        /// Bytes needed, as far as could be told.
        needed: usize,
        /// Bytes of the buffer.
        room: usize,
    },
    /// A string or a will's payload is longer than its 16-bit length can say.
    Field {
        /// Bytes of the field.
        bytes: usize,
    },
    /// The packet is longer than its remaining length can say.
    Packet {
        /// Bytes of the body.
        bytes: usize,
    },
    /// A password without a user name (3.1.2.9).
    PasswordWithoutUser,
    /// SUBSCRIBE or SUBACK without a topic (3.8.3).
    NoTopic,
}

struct Writer<'a> {
    buffer: &'a mut [u8],
    length: usize,
}

impl<'a> Writer<'a> {
    /// Starts a packet: first byte and remaining length.
    fn start(buffer: &'a mut [u8], first: u8, remaining: usize) -> Result<Self, EncodeError> {
        if remaining > REMAINING_LENGTH_MAX {
            return Err(EncodeError::Packet { bytes: remaining });
        }
        let mut writer = Self { buffer, length: 0 };
        writer.byte(first)?;
        let mut rest = remaining;
        loop {
            let low = u8::try_from(rest & 0x7F).unwrap_or(0);
            rest >>= 7;
            if rest == 0 {
                writer.byte(low)?;
                return Ok(writer);
            }
            writer.byte(low | 0x80)?;
        }
    }

    fn put(&mut self, bytes: &[u8]) -> Result<(), EncodeError> {
        let room = self.buffer.len();
        let end = self.length.saturating_add(bytes.len());
        match self.buffer.get_mut(self.length..end) {
            Some(target) => {
                target.copy_from_slice(bytes);
                self.length = end;
                Ok(())
            }
            None => Err(EncodeError::Buffer { needed: end, room }),
        }
    }

    fn byte(&mut self, byte: u8) -> Result<(), EncodeError> {
        self.put(&[byte])
    }

    fn u16(&mut self, value: u16) -> Result<(), EncodeError> {
        self.put(&value.to_be_bytes())
    }

    fn field(&mut self, bytes: &[u8]) -> Result<(), EncodeError> {
        let length =
            u16::try_from(bytes.len()).map_err(|_| EncodeError::Field { bytes: bytes.len() })?;
        self.u16(length)?;
        self.put(bytes)
    }
}

/// Length of a field with its 16-bit length before it.
fn field_length(bytes: &[u8]) -> usize {
    bytes.len().saturating_add(2)
}

/// CONNECT (3.1).
///
/// # Errors
/// [`EncodeError`].
pub fn connect(buffer: &mut [u8], connect: &Connect<'_>) -> Result<usize, EncodeError> {
    if connect.password.is_some() && connect.username.is_none() {
        return Err(EncodeError::PasswordWithoutUser);
    }
    let mut flags = u8::from(connect.clean_session) << 1;
    let mut remaining = 10_usize.saturating_add(field_length(connect.client_id.as_bytes()));
    if let Some(will) = &connect.will {
        flags |= 0x04 | (will.qos.level() << 3) | (u8::from(will.retain) << 5);
        remaining = remaining
            .saturating_add(field_length(will.topic.as_bytes()))
            .saturating_add(field_length(will.payload));
    }
    if let Some(username) = connect.username {
        flags |= 0x80;
        remaining = remaining.saturating_add(field_length(username.as_bytes()));
    }
    if let Some(password) = connect.password {
        flags |= 0x40;
        remaining = remaining.saturating_add(field_length(password));
    }
    let mut writer = Writer::start(buffer, 0x10, remaining)?;
    writer.field(b"MQTT")?;
    writer.byte(4)?;
    writer.byte(flags)?;
    writer.u16(connect.keep_alive_s)?;
    writer.field(connect.client_id.as_bytes())?;
    if let Some(will) = &connect.will {
        writer.field(will.topic.as_bytes())?;
        writer.field(will.payload)?;
    }
    if let Some(username) = connect.username {
        writer.field(username.as_bytes())?;
    }
    if let Some(password) = connect.password {
        writer.field(password)?;
    }
    Ok(writer.length)
}

/// CONNACK (3.2); the server's side.
///
/// # Errors
/// [`EncodeError::Buffer`].
pub fn connack(buffer: &mut [u8], connack: Connack) -> Result<usize, EncodeError> {
    let mut writer = Writer::start(buffer, 0x20, 2)?;
    writer.byte(u8::from(connack.session_present))?;
    writer.byte(connack.refusal.map_or(0, ConnectRefusal::code))?;
    Ok(writer.length)
}

/// PUBLISH (3.3). The topic is taken as it is; see [`super::check_topic`].
///
/// # Errors
/// [`EncodeError`].
pub fn publish(buffer: &mut [u8], publish: &Publish<'_>) -> Result<usize, EncodeError> {
    let mut first = 0x30 | (u8::from(publish.dup) << 3) | u8::from(publish.retain);
    let mut remaining =
        field_length(publish.topic.as_bytes()).saturating_add(publish.payload.len());
    if publish.packet_id.is_some() {
        first |= 0x02;
        remaining = remaining.saturating_add(2);
    }
    let mut writer = Writer::start(buffer, first, remaining)?;
    writer.field(publish.topic.as_bytes())?;
    if let Some(id) = publish.packet_id {
        writer.u16(id.get())?;
    }
    writer.put(publish.payload)?;
    Ok(writer.length)
}

/// Sets DUP in the first byte of an encoded QoS 1 PUBLISH.
pub fn set_dup(packet: &mut [u8]) {
    if let Some(first) = packet.first_mut() {
        *first |= 0x08;
    }
}

/// PUBACK (3.4).
///
/// # Errors
/// [`EncodeError::Buffer`].
pub fn puback(buffer: &mut [u8], id: PacketId) -> Result<usize, EncodeError> {
    let mut writer = Writer::start(buffer, 0x40, 2)?;
    writer.u16(id.get())?;
    Ok(writer.length)
}

/// SUBSCRIBE (3.8) for `topics` with the QoS that each asks for.
///
/// # Errors
/// [`EncodeError`].
pub fn subscribe<'t>(
    buffer: &mut [u8],
    id: PacketId,
    topics: impl Iterator<Item = (&'t str, QoS)> + Clone,
) -> Result<usize, EncodeError> {
    let body = topics.clone().fold(0_usize, |sum, (topic, _)| {
        sum.saturating_add(field_length(topic.as_bytes()))
            .saturating_add(1)
    });
    if body == 0 {
        return Err(EncodeError::NoTopic);
    }
    let mut writer = Writer::start(buffer, 0x82, body.saturating_add(2))?;
    writer.u16(id.get())?;
    for (topic, qos) in topics {
        writer.field(topic.as_bytes())?;
        writer.byte(qos.level())?;
    }
    Ok(writer.length)
}

/// SUBACK (3.9); the server's side.
///
/// # Errors
/// [`EncodeError`].
pub fn suback(buffer: &mut [u8], id: PacketId, grants: &[Grant]) -> Result<usize, EncodeError> {
    if grants.is_empty() {
        return Err(EncodeError::NoTopic);
    }
    let mut writer = Writer::start(buffer, 0x90, grants.len().saturating_add(2))?;
    writer.u16(id.get())?;
    for grant in grants {
        writer.byte(match grant {
            Grant::Granted(level) => *level,
            Grant::Refused => 0x80,
        })?;
    }
    Ok(writer.length)
}

/// PINGREQ (3.12).
///
/// # Errors
/// [`EncodeError::Buffer`].
pub fn pingreq(buffer: &mut [u8]) -> Result<usize, EncodeError> {
    Writer::start(buffer, 0xC0, 0).map(|writer| writer.length)
}

/// PINGRESP (3.13); the server's side.
///
/// # Errors
/// [`EncodeError::Buffer`].
pub fn pingresp(buffer: &mut [u8]) -> Result<usize, EncodeError> {
    Writer::start(buffer, 0xD0, 0).map(|writer| writer.length)
}

/// DISCONNECT (3.14).
///
/// # Errors
/// [`EncodeError::Buffer`].
pub fn disconnect(buffer: &mut [u8]) -> Result<usize, EncodeError> {
    Writer::start(buffer, 0xE0, 0).map(|writer| writer.length)
}

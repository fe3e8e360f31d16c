//! From a stream of bytes to whole packets, with one buffer of fixed size.

use super::decode::{check_first, publish_head, u32_of};
use super::{Kind, PacketId, ProtocolError};
use rt_config::limits::{MQTT_PACKET_BYTES_MAX, MQTT_TOPIC_BYTES_MAX};

/// A message too large to be stored. Its payload is skipped as it arrives; its head is kept, so that it can be
/// acknowledged (else the server's window for us would fill up) and its tags can be marked bad (H-21).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Oversize<'a> {
    /// Topic, exact.
    pub topic: &'a str,
    /// Present exactly when the quality of service is 1.
    pub packet_id: Option<PacketId>,
    /// May have been sent before.
    pub dup: bool,
    /// Was kept by the server, and is old.
    pub retain: bool,
    /// Bytes of the whole packet.
    pub bytes: u32,
}

/// What the reader found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Raw<'a> {
    /// A whole packet: its first byte and its body, for [`super::decode`].
    Packet {
        /// Kind and flags.
        first: u8,
        /// What the remaining length counts.
        body: &'a [u8],
    },
    /// A message larger than the buffer. It may still be arriving; the rest is skipped.
    Oversize(Oversize<'a>),
}

/// Cuts a stream into packets.
///
/// ```text
/// recv -> space() -> commit(n) -> next()? -> Some(packet) ... None -> recv
/// ```
/// Allocates its buffer once. Whatever way the bytes are split, the packets are the same.
///
/// A reader for blocks ([`StreamReader::for_blocks`]) never asks for bytes of two packets at once. So a packet lies alone
/// at the start of the buffer, no byte is ever moved, and the buffer can be handed over with the packet in it. It
/// costs a small packet one `recv` more.
#[derive(Debug)]
pub struct StreamReader {
    buffer: Box<[u8]>,
    /// Whether a `recv` may bring more than one packet.
    many: bool,
    /// First byte not yet handed out.
    start: usize,
    /// First byte not yet received.
    end: usize,
    /// Bytes of an oversize packet still to come and to be thrown away.
    skip: usize,
}

impl Default for StreamReader {
    fn default() -> Self {
        Self::new()
    }
}

/// A buffer, and the end of the packet in it.
pub type Filled = (Box<[u8]>, usize);

/// Bytes that are asked for while the head of an oversize packet is not whole: more than fixed header, topic and packet
/// id take, less than any packet that is oversize.
const HEAD_BYTES: usize = 1_024;

const _: () = assert!(HEAD_BYTES > 5 + 2 + MQTT_TOPIC_BYTES_MAX + 2);
const _: () = assert!(HEAD_BYTES < MQTT_PACKET_BYTES_MAX);

/// The fixed header, once it is whole.
struct Header {
    first: u8,
    kind: Kind,
    /// Bytes of first byte and remaining length.
    head: usize,
    /// Bytes of the whole packet.
    total: usize,
}

impl StreamReader {
    /// A reader for packets of at most [`MQTT_PACKET_BYTES_MAX`] bytes.
    pub fn new() -> Self {
        Self::with(MQTT_PACKET_BYTES_MAX, true)
    }

    fn with(bytes: usize, many: bool) -> Self {
        Self {
            buffer: vec![0; bytes].into_boxed_slice(),
            many,
            start: 0,
            end: 0,
            skip: 0,
        }
    }

    /// A reader for packets of at most `bytes` bytes (at least [`MQTT_PACKET_BYTES_MAX`]), one at a time.
    pub fn for_blocks(bytes: usize) -> Self {
        Self::with(bytes.max(MQTT_PACKET_BYTES_MAX), false)
    }

    /// Takes `empty` for the buffer that holds the packet handed out last, and returns that buffer and the packet's end in
    /// it. `empty` comes back when it is smaller, or when bytes of another packet are in the buffer.
    ///
    /// # Errors
    /// `empty` itself.
    pub fn exchange(&mut self, empty: Box<[u8]>) -> Result<Filled, Box<[u8]>> {
        if self.many || self.start != self.end || empty.len() < self.buffer.len() {
            return Err(empty);
        }
        let end = self.end;
        self.clear();
        Ok((std::mem::replace(&mut self.buffer, empty), end))
    }

    /// Forgets everything: for a new connection.
    pub fn clear(&mut self) {
        self.start = 0;
        self.end = 0;
        self.skip = 0;
    }

    /// Where to receive into. Never empty after [`StreamReader::next`] has returned `None`: an incomplete packet is
    /// moved to the front, and packets that do not fit are not kept.
    pub fn space(&mut self) -> &mut [u8] {
        if self.start > 0 {
            self.buffer.copy_within(self.start..self.end, 0);
            self.end = self.end.saturating_sub(self.start);
            self.start = 0;
        }
        let wanted = self.wanted();
        let space = self.buffer.get_mut(self.end..).unwrap_or_default();
        let wanted = wanted.min(space.len());
        space.get_mut(..wanted).unwrap_or_default()
    }

    /// How many bytes may be asked for.
    fn wanted(&self) -> usize {
        if self.many {
            return usize::MAX;
        }
        if self.skip > 0 {
            return self.skip;
        }
        let received = self.end.saturating_sub(self.start);
        match (self.header(), received) {
            (Ok(Some(header)), _) if header.total > self.buffer.len() => {
                HEAD_BYTES.saturating_sub(received).max(1)
            }
            (Ok(Some(header)), _) => header.total.saturating_sub(received).max(1),
            // Every packet has two bytes; one whose length goes on in a third has at least 128 more.
            (_, 0 | 1) => 2_usize.saturating_sub(received),
            _ => 5_usize.saturating_sub(received).max(1),
        }
    }

    /// Takes over `count` bytes that were received into [`StreamReader::space`].
    pub fn commit(&mut self, count: usize) {
        self.end = self.end.saturating_add(count).min(self.buffer.len());
        self.drop_skipped();
    }

    /// Whether some bytes of an unfinished packet have arrived.
    pub fn is_mid_packet(&self) -> bool {
        self.skip > 0 || self.start < self.end
    }

    fn drop_skipped(&mut self) {
        let count = self.skip.min(self.end.saturating_sub(self.start));
        self.start = self.start.saturating_add(count);
        self.skip = self.skip.saturating_sub(count);
    }

    /// The next packet, or `None` when more bytes are needed.
    ///
    /// # Errors
    /// [`ProtocolError`]: a reserved kind or flag, a malformed remaining length, or a packet that is no message and
    /// yet larger than the buffer. The stream cannot be read on; close it.
    #[expect(
        clippy::should_implement_trait,
        reason = "an iterator cannot lend from its own buffer"
    )]
    pub fn next(&mut self) -> Result<Option<Raw<'_>>, ProtocolError> {
        let Some(header) = self.header()? else {
            return Ok(None);
        };
        let received = self.end.saturating_sub(self.start);
        if header.total > self.buffer.len() {
            return self.oversize(&header);
        }
        if received < header.total {
            return Ok(None);
        }
        let body_start = self.start.saturating_add(header.head);
        self.start = self.start.saturating_add(header.total);
        let body = self.buffer.get(body_start..self.start).unwrap_or_default();
        Ok(Some(Raw::Packet {
            first: header.first,
            body,
        }))
    }

    /// Kind, flags and remaining length (2.2), checked as soon as each byte is there.
    fn header(&self) -> Result<Option<Header>, ProtocolError> {
        let bytes = self.buffer.get(self.start..self.end).unwrap_or_default();
        let Some((&first, rest)) = bytes.split_first() else {
            return Ok(None);
        };
        let kind = check_first(first)?;
        let mut length = 0_usize;
        for (index, byte) in rest.iter().take(4).enumerate() {
            let shift = u32::try_from(index).unwrap_or(0).saturating_mul(7);
            length |= usize::from(byte & 0x7F).checked_shl(shift).unwrap_or(0);
            if byte & 0x80 == 0 {
                let head = index.saturating_add(2);
                let total = head.saturating_add(length);
                return Ok(Some(Header {
                    first,
                    kind,
                    head,
                    total,
                }));
            }
        }
        if rest.len() >= 4 {
            return Err(ProtocolError::RemainingLengthMalformed);
        }
        Ok(None)
    }

    fn oversize(&mut self, header: &Header) -> Result<Option<Raw<'_>>, ProtocolError> {
        if header.kind != Kind::Publish {
            return Err(ProtocolError::Length {
                kind: header.kind,
                expected: u32_of(self.buffer.len()),
                received: u32_of(header.total),
            });
        }
        let body_start = self.start.saturating_add(header.head);
        let start = self.buffer.get(body_start..self.end).unwrap_or_default();
        if publish_head(header.first, start)?.is_none() {
            return Ok(None);
        }
        let (from, to) = (body_start, self.end);
        self.skip = header.total;
        self.drop_skipped();
        // Read again, now that the reader has moved on: the bytes lie where they were.
        let head = publish_head(header.first, self.buffer.get(from..to).unwrap_or_default())?;
        Ok(head.map(|(topic, packet_id)| {
            Raw::Oversize(Oversize {
                topic,
                packet_id,
                dup: header.first & 8 != 0,
                retain: header.first & 1 != 0,
                bytes: u32_of(header.total),
            })
        }))
    }
}

//! A stream of bytes to one complete ADU, in a fixed buffer.

use rt_config::limits::MODBUS_ADU_BYTES_MAX;

use super::{FrameError, LENGTH_MAX, LENGTH_MIN, PREFIX_BYTES, word};

/// What the bytes so far amount to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// More bytes are needed.
    Incomplete,
    /// [`FrameReader::adu`] is a complete ADU.
    Complete {
        /// Bytes of the last push that lie beyond the ADU. They answer no request: the stream is poisoned (H-13).
        excess: usize,
    },
}

/// Gathers the bytes of one ADU however the network cut them.
///
/// It holds one ADU and no more: a client with one request outstanding has no use for a second, and what it does not
/// store cannot be mistaken for a reply later.
#[derive(Clone, Debug)]
pub struct FrameReader {
    buf: [u8; MODBUS_ADU_BYTES_MAX],
    /// Bytes in `buf`; never above [`Self::wanted`].
    filled: usize,
    /// Bytes of the ADU once its length is known, before that the bytes up to and with the length field.
    wanted: usize,
}

impl FrameReader {
    /// An empty reader.
    pub const fn new() -> Self {
        Self {
            buf: [0; MODBUS_ADU_BYTES_MAX],
            filled: 0,
            wanted: PREFIX_BYTES,
        }
    }

    /// Forgets everything: before a request, and on every new connection.
    pub const fn clear(&mut self) {
        self.filled = 0;
        self.wanted = PREFIX_BYTES;
    }

    /// Bytes gathered so far.
    pub const fn filled(&self) -> usize {
        self.filled
    }

    /// The complete ADU; empty while it is not complete.
    pub fn adu(&self) -> &[u8] {
        if self.is_complete() {
            self.buf.get(..self.filled).unwrap_or(&[])
        } else {
            &[]
        }
    }

    /// Takes the next bytes of the stream.
    ///
    /// # Errors
    /// [`FrameError`] as soon as the header shows it, without waiting for what a wrong length announces (H-11). The
    /// reader is then of no use until [`Self::clear`], and so is the stream.
    pub fn push(&mut self, bytes: &[u8]) -> Result<Framing, FrameError> {
        let mut rest = self.take(bytes);
        if self.wanted == PREFIX_BYTES {
            self.check_protocol()?;
            if self.filled < PREFIX_BYTES {
                return Ok(Framing::Incomplete);
            }
            self.read_length()?;
            rest = self.take(rest);
        }
        if self.is_complete() {
            Ok(Framing::Complete { excess: rest.len() })
        } else {
            Ok(Framing::Incomplete)
        }
    }

    /// `wanted` is above the prefix once the length is known, because the smallest length is 2.
    const fn is_complete(&self) -> bool {
        self.wanted > PREFIX_BYTES && self.filled == self.wanted
    }

    /// Stores what is wanted of `bytes` and returns the rest.
    fn take<'a>(&mut self, bytes: &'a [u8]) -> &'a [u8] {
        let count = bytes.len().min(self.wanted.saturating_sub(self.filled));
        let end = self.filled.saturating_add(count);
        let (Some((head, rest)), Some(room)) = (
            bytes.split_at_checked(count),
            self.buf.get_mut(self.filled..end),
        ) else {
            return bytes;
        };
        room.copy_from_slice(head);
        self.filled = end;
        rest
    }

    fn check_protocol(&self) -> Result<(), FrameError> {
        match word(self.buf.get(..self.filled).unwrap_or(&[]), 2) {
            None | Some(0) => Ok(()),
            Some(received) => Err(FrameError::Protocol { received }),
        }
    }

    fn read_length(&mut self) -> Result<(), FrameError> {
        let received = word(&self.buf, 4).unwrap_or(0);
        if !(LENGTH_MIN..=LENGTH_MAX).contains(&received) {
            return Err(FrameError::Length { received });
        }
        self.wanted = PREFIX_BYTES.saturating_add(usize::from(received));
        Ok(())
    }
}

impl Default for FrameReader {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const REPLY: [u8; 13] = [0, 7, 0, 0, 0, 7, 1, 3, 4, 0xDE, 0xAD, 0xBE, 0xEF];

    #[test]
    fn a_frame_is_complete_at_its_last_byte_and_not_before() {
        let mut reader = FrameReader::new();
        for (i, byte) in REPLY.iter().enumerate() {
            assert!(reader.adu().is_empty());
            let last = i + 1 == REPLY.len();
            let expected = if last {
                Framing::Complete { excess: 0 }
            } else {
                Framing::Incomplete
            };
            assert_eq!(reader.push(&[*byte]), Ok(expected));
        }
        assert_eq!(reader.adu(), REPLY);
    }

    #[test]
    fn h_13_bytes_beyond_a_frame_are_counted_and_never_stored() {
        let mut reader = FrameReader::new();
        let twice: Vec<u8> = REPLY.iter().chain(&REPLY).copied().collect();
        assert_eq!(reader.push(&twice), Ok(Framing::Complete { excess: 13 }));
        assert_eq!(reader.adu(), REPLY);
        assert_eq!(reader.push(&[1, 2]), Ok(Framing::Complete { excess: 2 }));
        reader.clear();
        assert_eq!(reader.push(&[]), Ok(Framing::Incomplete));
        assert_eq!(reader.filled(), 0);
    }

    #[test]
    fn h_11_every_length_outside_2_to_254_is_refused_with_the_sixth_byte() {
        for length in 0..=u16::MAX {
            let [high, low] = length.to_be_bytes();
            let mut reader = FrameReader::new();
            let result = reader.push(&[0, 1, 0, 0, high, low]);
            if (2..=254).contains(&length) {
                assert_eq!(result, Ok(Framing::Incomplete));
            } else {
                assert_eq!(result, Err(FrameError::Length { received: length }));
            }
        }
    }

    #[test]
    fn the_largest_frame_fits() {
        let mut reader = FrameReader::new();
        let mut adu = vec![0u8; MODBUS_ADU_BYTES_MAX];
        adu[5] = 254;
        assert_eq!(reader.push(&adu), Ok(Framing::Complete { excess: 0 }));
        assert_eq!(reader.adu().len(), MODBUS_ADU_BYTES_MAX);
    }

    #[test]
    fn a_foreign_protocol_is_refused_with_the_fourth_byte() {
        let mut reader = FrameReader::new();
        assert_eq!(reader.push(b"HT"), Ok(Framing::Incomplete));
        assert_eq!(
            reader.push(b"TP"),
            Err(FrameError::Protocol { received: 0x5450 })
        );
    }
}

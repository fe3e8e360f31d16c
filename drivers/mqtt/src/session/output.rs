//! Bytes waiting for the socket, in one buffer of fixed size.

use crate::codec::EncodeError;
use crate::limits::OUTPUT_BYTES;

/// First in, first out. Allocates once.
#[derive(Debug)]
pub(super) struct Output {
    buffer: Box<[u8]>,
    start: usize,
    end: usize,
}

impl Output {
    pub(super) fn new() -> Self {
        Self {
            buffer: vec![0; OUTPUT_BYTES].into_boxed_slice(),
            start: 0,
            end: 0,
        }
    }

    pub(super) fn clear(&mut self) {
        self.start = 0;
        self.end = 0;
    }

    pub(super) fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// Bytes that still fit.
    pub(super) fn room(&self) -> usize {
        let used = self.end.saturating_sub(self.start);
        self.buffer.len().saturating_sub(used)
    }

    pub(super) fn bytes(&self) -> &[u8] {
        self.buffer.get(self.start..self.end).unwrap_or_default()
    }

    /// Encodes one packet at the end; all of it or nothing.
    pub(super) fn push(
        &mut self,
        encode: impl FnOnce(&mut [u8]) -> Result<usize, EncodeError>,
    ) -> Result<(), EncodeError> {
        if self.start > 0 {
            self.buffer.copy_within(self.start..self.end, 0);
            self.end = self.end.saturating_sub(self.start);
            self.start = 0;
        }
        let free = self.buffer.get_mut(self.end..).unwrap_or_default();
        let written = encode(free)?;
        self.end = self.end.saturating_add(written).min(self.buffer.len());
        Ok(())
    }

    /// Drops `count` bytes from the front: they are with the socket.
    pub(super) fn consume(&mut self, count: usize) {
        self.start = self.start.saturating_add(count).min(self.end);
        if self.is_empty() {
            self.clear();
        }
    }
}

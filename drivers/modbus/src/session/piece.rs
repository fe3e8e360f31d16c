//! A reply whose registers belong into a block: its head is kept here, its data are received where they belong.
//!
//! ```text
//! reply   | 7 header | function | byte count | registers ...           | (nothing may follow)
//! goes to | head                             | the block, at its place | spill
//! ```
//!
//! Hazards: H-7 to H-9 and H-11 (the same checks as for every reply), H-13 (what follows a reply lands in the spill).

use std::io::IoSliceMut;

use crate::codec::{
    FrameError, LENGTH_MAX, LENGTH_MIN, PREFIX_BYTES, ReadRequest, ReplyError, check_read_head,
    word,
};

/// Bytes before the registers; exactly an exception reply.
const HEAD_BYTES: usize = 9;
/// Bytes beyond a reply that are asked for. One would do to see that there are any.
const SPILL_BYTES: usize = 64;

/// What the bytes so far amount to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Progress {
    /// More are needed.
    Incomplete,
    /// The reply is whole and right, and its registers are in place.
    Complete,
    /// So many bytes came after the reply.
    Excess(usize),
    /// The stream has lost its framing.
    Frame(FrameError),
    /// Not the reply to the request, or an exception reply, which is whole.
    Reply(ReplyError),
}

/// Gathers one reply.
#[derive(Debug)]
pub(super) struct PieceReader {
    head: [u8; HEAD_BYTES],
    spill: [u8; SPILL_BYTES],
    filled: usize,
}

impl PieceReader {
    pub(super) const fn new() -> Self {
        Self {
            head: [0; HEAD_BYTES],
            spill: [0; SPILL_BYTES],
            filled: 0,
        }
    }

    /// Forgets everything: before a request.
    pub(super) const fn clear(&mut self) {
        self.filled = 0;
    }

    /// Bytes of the reply so far.
    pub(super) const fn filled(&self) -> usize {
        self.filled
    }

    /// Where the next bytes go; `data` is the place of all the registers.
    pub(super) fn space<'a>(&'a mut self, data: &'a mut [u8]) -> [IoSliceMut<'a>; 3] {
        let in_head = self.filled.min(HEAD_BYTES);
        let in_data = self.filled.saturating_sub(in_head).min(data.len());
        [
            IoSliceMut::new(self.head.get_mut(in_head..).unwrap_or_default()),
            IoSliceMut::new(data.get_mut(in_data..).unwrap_or_default()),
            IoSliceMut::new(&mut self.spill),
        ]
    }

    /// Takes over `count` bytes that were received into [`PieceReader::space`], and looks at them as early as it can.
    pub(super) fn take(
        &mut self,
        count: usize,
        transaction: u16,
        unit: u8,
        request: &ReadRequest,
    ) -> Progress {
        self.filled = self.filled.saturating_add(count);
        let head = self.head.get(..self.filled).unwrap_or(&self.head);
        if let Some(received) = word(head, 2).filter(|protocol| *protocol != 0) {
            return Progress::Frame(FrameError::Protocol { received });
        }
        let Some(received) = word(head, 4) else {
            return Progress::Incomplete;
        };
        if !(LENGTH_MIN..=LENGTH_MAX).contains(&received) {
            return Progress::Frame(FrameError::Length { received });
        }
        let total = PREFIX_BYTES.saturating_add(usize::from(received));
        if self.filled > total {
            return Progress::Excess(self.filled.saturating_sub(total));
        }
        let Some(head) = head.get(..total.min(HEAD_BYTES)) else {
            return Progress::Incomplete;
        };
        match check_read_head(head, total, transaction, unit, request) {
            Err(error) => Progress::Reply(error),
            Ok(()) if self.filled == total => Progress::Complete,
            Ok(()) => Progress::Incomplete,
        }
    }
}

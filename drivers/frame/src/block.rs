//! Waveform blocks: a run of samples that stays in the buffer it was received into until it is written to where it is
//! analysed (`docs/waveforms.md`).
//!
//! ```text
//!          socket ── recv ──▶ buffer ──(the buffer moves)──▶ lane ── write_f32, write_i16 ──▶ guest's memory
//!                               ▲                              │
//!                               └────── FrameSink::take_empty ─┘  the buffer comes back
//! ```
//!
//! The one copy is the writing: it sets the byte order, scales, and looks at every sample, in one pass.
//!
//! Which thread: acquisition or a lane. May it block: no. Worst case: one pass over 256 KiB. Nothing here allocates;
//! buffers are made by whoever builds the queue.
//! Hazards: H-17 to H-19 (loss, repetition, order of blocks), H-21 (wrong length, not finite), H-25 (no buffer left).

mod order;
mod rate;
mod write;

pub use order::{BlockOrder, BlockPlace, SequenceType};
pub use rate::{RateCheck, RateWatch};
pub use write::BlockFault;

use alloc::boxed::Box;

use crate::{ByteOrder, Cause, MonoNs, WordOrder};

/// Index of a waveform within its lane, resolved when the bundle was built.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct WaveformId(pub u16);

/// How a device stores a waveform's sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum SampleKind {
    /// IEEE 754 binary32: four bytes, two registers.
    F32,
    /// Two's complement: two bytes, one register.
    I16,
}

impl SampleKind {
    /// Bytes of one sample.
    pub const fn bytes(self) -> usize {
        match self {
            Self::F32 => 4,
            Self::I16 => 2,
        }
    }

    /// Registers of one sample.
    pub const fn registers(self) -> usize {
        match self {
            Self::F32 => 2,
            Self::I16 => 1,
        }
    }
}

/// How the bytes of a sample lie in a buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct SampleLayout {
    /// Storage type.
    pub kind: SampleKind,
    /// Order of the two words of an `F32`.
    pub words: WordOrder,
    /// Order of the bytes within each word.
    pub bytes: ByteOrder,
}

impl SampleLayout {
    /// In a binary payload, where one order says all.
    pub const fn payload(kind: SampleKind, order: ByteOrder) -> Self {
        Self {
            kind,
            words: match order {
                ByteOrder::BigEndian => WordOrder::BigEndian,
                ByteOrder::LittleEndian => WordOrder::LittleEndian,
            },
            bytes: order,
        }
    }

    /// In registers, as they are on the wire.
    pub const fn registers(kind: SampleKind, words: WordOrder, bytes: ByteOrder) -> Self {
        Self { kind, words, bytes }
    }
}

/// What is known of a block beside its samples.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BlockHead {
    /// Which waveform.
    pub waveform: WaveformId,
    /// When it arrived: right after the `recv` of a message's last byte; of a register window, right after the `recv`
    /// that showed its sequence before its samples were read, because they are no newer than that.
    pub at: MonoNs,
    /// Counts up by 1 from block to block; by more when blocks are missing; never down, whatever the source does.
    pub sequence: u64,
    /// Samples are missing between the block before and this one, or nobody knows that none are.
    pub gap: bool,
    /// How its samples lie in the buffer.
    pub layout: SampleLayout,
    /// How many samples; at least one.
    pub count: u32,
    /// Samples a second, as the pack says.
    pub rate_hz: f64,
}

/// A block and the buffer that holds it. Its owner gives the buffer back when it is done; dropping it would free memory.
#[derive(Debug)]
pub struct Block {
    head: BlockHead,
    buffer: Box<[u8]>,
    /// First byte of the first sample.
    start: usize,
}

impl Block {
    /// A block whose samples begin at byte `start` of `buffer`.
    ///
    /// # Errors
    /// The buffer, when they reach beyond its end or there are none.
    pub fn new(head: BlockHead, buffer: Box<[u8]>, start: usize) -> Result<Self, Box<[u8]>> {
        let length = usize::try_from(head.count)
            .ok()
            .and_then(|count| count.checked_mul(head.layout.kind.bytes()));
        let end = length.and_then(|length| start.checked_add(length));
        if head.count == 0 || end.is_none_or(|end| end > buffer.len()) {
            return Err(buffer);
        }
        Ok(Self {
            head,
            buffer,
            start,
        })
    }

    /// What is known of it.
    pub const fn head(&self) -> &BlockHead {
        &self.head
    }

    /// Its samples' bytes as they were received.
    pub fn raw(&self) -> &[u8] {
        let length = usize::try_from(self.head.count)
            .unwrap_or(0)
            .saturating_mul(self.head.layout.kind.bytes());
        let end = self.start.saturating_add(length);
        self.buffer.get(self.start..end).unwrap_or(&[])
    }

    /// The buffer, to be filled again.
    pub fn into_buffer(self) -> Box<[u8]> {
        self.buffer
    }
}

/// What a driver tells of a waveform.
#[derive(Debug)]
pub enum BlockNews {
    /// A block.
    Block(Block),
    /// What came instead of a block cannot be used: the waveform is bad until the next block.
    Bad {
        /// Which waveform.
        waveform: WaveformId,
        /// When it arrived.
        at: MonoNs,
        /// Why.
        cause: Cause,
    },
}

/// What happened to the blocks of a device since it was made. All saturate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BlockCounters {
    /// Blocks handed over.
    pub blocks: u64,
    /// Of those, such as have a gap before them.
    pub gaps: u64,
    /// Blocks that the sequence says are missing (H-17).
    pub missing: u64,
    /// Blocks dropped because they came before (H-18).
    pub repeated: u64,
    /// Blocks dropped because they are older than the newest (H-19).
    pub old: u64,
    /// Times a source began its sequence anew.
    pub restarts: u64,
    /// Messages of a wrong length, register windows that the device refused (H-21, H-10).
    pub malformed: u64,
    /// Register windows that changed while they were read, and were dropped.
    pub torn: u64,
    /// Blocks not taken because their source samples at another rate than the pack says.
    pub wrong_rate: u64,
    /// Blocks lost because no buffer was free (H-25).
    pub no_buffer: u64,
}

impl BlockCounters {
    /// Everything that went wrong with blocks, but for refused reads and messages of a wrong length.
    pub const fn faults(&self) -> u64 {
        self.missing
            .saturating_add(self.repeated)
            .saturating_add(self.old)
            .saturating_add(self.restarts)
            .saturating_add(self.torn)
            .saturating_add(self.wrong_rate)
            .saturating_add(self.no_buffer)
    }

    /// Adds `by` to a counter.
    pub const fn add(counter: &mut u64, by: u64) {
        *counter = counter.saturating_add(by);
    }
}

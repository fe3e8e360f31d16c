//! Points to read blocks: neighbours are read together, within a gap limit and the protocol's.
//!
//! Coalescing turned 83 requests into 14 on a real device, at a fifth of the time; but some devices refuse a range with
//! a hole in it (exception 2). So a block can be split, down to single points, and what was learned stays.
//!
//! Which thread: [`blocks`] runs while things are set up and allocates; [`Plan::split`] runs on a lane and does not.
//! Hazards: H-9 (what is asked is what is checked), H-10 (exception 2).

use std::collections::BTreeSet;

use drivers_frame::block::SequenceType;
use drivers_frame::{DurNs, TagId, ValueType, WaveformId};
use rt_config::limits::{
    FRAME_SAMPLES_MAX, MODBUS_BITS_MAX, MODBUS_BLOCKS_MAX, MODBUS_REGISTERS_MAX, TAGS_MAX,
};

use crate::codec::{ReadRequest, Table};
use crate::config::{Point, Window};

/// One read and the points it serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Block {
    /// What is asked of the device.
    pub request: ReadRequest,
    /// Index of its first point in [`Plan::points`].
    pub first: usize,
    /// How many points; at least one, at most [`FRAME_SAMPLES_MAX`].
    pub points: usize,
}

/// Why a device's configuration cannot be run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PlanError {
    /// No point: there is nothing to read.
    NoPoints,
    /// More points than a lane has tags.
    TooManyPoints {
        /// Limit.
        max: usize,
        /// Points given.
        received: usize,
    },
    /// Two points would give samples of one tag.
    DuplicateTag {
        /// The tag.
        tag: TagId,
    },
    /// The value reaches beyond address 65535.
    AddressRange {
        /// Whose point.
        tag: TagId,
        /// Its address.
        address: u16,
        /// Registers it takes.
        width: u16,
    },
    /// A point in a table of bits whose type is not `Bool`.
    NotABit {
        /// Whose point.
        tag: TagId,
    },
    /// A bit of a register beyond 15.
    BitRange {
        /// Whose point.
        tag: TagId,
        /// The bit.
        bit: u8,
    },
    /// More blocks than a device may have.
    TooManyBlocks {
        /// Limit.
        max: usize,
        /// Blocks needed.
        received: usize,
    },
    /// A window in a table of bits.
    WindowOfBits {
        /// Whose.
        waveform: WaveformId,
    },
    /// A window without samples, or one that reaches beyond address 65535.
    WindowRange {
        /// Whose.
        waveform: WaveformId,
        /// Its samples.
        samples: u32,
    },
    /// The sequence register lies in the window.
    SequenceInWindow {
        /// Whose.
        waveform: WaveformId,
    },
    /// The sequence number is narrower than a register, or reaches beyond address 65535.
    SequenceType {
        /// Whose.
        waveform: WaveformId,
    },
    /// A window's rate or period is not above zero.
    WindowTime {
        /// Whose.
        waveform: WaveformId,
    },
    /// Two windows would give blocks of one waveform.
    DuplicateWaveform {
        /// Which.
        waveform: WaveformId,
    },
    /// `timeout` is zero.
    NoTimeout,
    /// `connect_timeout` is zero.
    NoConnectTimeout,
    /// A poll period of zero.
    NoPeriod,
    /// `backoff.min` is zero or above `backoff.max`.
    BackoffOrder,
}

impl core::fmt::Display for PlanError {
    /// What is wrong, and how to mend it.
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::NoPoints => write!(
                f,
                "the device has nothing to read; give it at least one tag or waveform"
            ),
            Self::TooManyPoints { max, received } => write!(
                f,
                "{received} points, at most {max}; spread the tags over more devices"
            ),
            Self::DuplicateTag { tag } => write!(
                f,
                "tag {} is read twice; keep one of its points, or give the other its own tag",
                tag.0
            ),
            Self::AddressRange {
                tag,
                address,
                width,
            } => write!(
                f,
                "tag {}: {width} registers from address {address} reach beyond 65535; addresses count from 0, \
                 without the leading 3 or 4 of a manual's numbering",
                tag.0
            ),
            Self::NotABit { tag } => write!(
                f,
                "tag {}: coils and discrete inputs hold bits; use type bool, or a register table",
                tag.0
            ),
            Self::BitRange { tag, bit } => {
                write!(f, "tag {}: bit {bit} of a register; use 0 to 15", tag.0)
            }
            Self::TooManyBlocks { max, received } => write!(
                f,
                "{received} reads a cycle, at most {max}; raise max_gap, or spread the tags over more devices"
            ),
            Self::WindowOfBits { waveform } => write!(
                f,
                "waveform {}: its window is in a table of bits; samples are in holding or input registers",
                waveform.0
            ),
            Self::WindowRange { waveform, samples } => write!(
                f,
                "waveform {}: a window of {samples} samples from its address on; give it at least one, and none beyond register 65535",
                waveform.0
            ),
            Self::SequenceInWindow { waveform } => write!(
                f,
                "waveform {}: its sequence register is one of the window's; name the register that counts the blocks",
                waveform.0
            ),
            Self::SequenceType { waveform } => write!(
                f,
                "waveform {}: its sequence number must be u16, u32 or u64, in registers up to 65535",
                waveform.0
            ),
            Self::WindowTime { waveform } => write!(
                f,
                "waveform {}: rate and period must be above 0",
                waveform.0
            ),
            Self::DuplicateWaveform { waveform } => write!(
                f,
                "waveform {} has two windows; give each window its own waveform",
                waveform.0
            ),
            Self::NoTimeout => write!(f, "timeout is 0; give the device time to answer"),
            Self::NoConnectTimeout => {
                write!(f, "connect_timeout is 0; give the device time to accept")
            }
            Self::NoPeriod => write!(f, "poll period is 0; use continuous polling for that"),
            Self::BackoffOrder => write!(
                f,
                "back-off must rise from above 0; make min above 0 and max at least min"
            ),
        }
    }
}

impl std::error::Error for PlanError {}

/// The blocks that read `points`, in the order of tables and addresses. A value of several registers is never split
/// between two reads, because its halves would be of different moments.
///
/// # Errors
/// [`PlanError`] names the point or limit and the way out.
pub fn blocks(points: &[Point], max_gap: u16) -> Result<Vec<Block>, PlanError> {
    Ok(Plan::new(points.to_vec(), max_gap)?.blocks)
}

/// Points in reading order, and the blocks that read them.
#[derive(Clone, Debug)]
pub struct Plan {
    points: Vec<Point>,
    blocks: Vec<Block>,
    /// Blocks there may be after splitting; reserved from the start.
    capacity: usize,
}

impl Plan {
    /// Sorts and checks the points and lays the blocks.
    ///
    /// # Errors
    /// As [`blocks`].
    pub fn new(mut points: Vec<Point>, max_gap: u16) -> Result<Self, PlanError> {
        check(&points)?;
        // The wider first at one address, so that the order does not depend on the configuration's.
        points.sort_by_key(|point| {
            let width = core::cmp::Reverse(point.width());
            (point.table, point.address, width, point.tag)
        });
        let mut starts = vec![0];
        let mut start = 0;
        for index in 1..points.len() {
            if !fits(&points, start, index, max_gap) {
                starts.push(index);
                start = index;
            }
        }
        if starts.len() > MODBUS_BLOCKS_MAX {
            return Err(PlanError::TooManyBlocks {
                max: MODBUS_BLOCKS_MAX,
                received: starts.len(),
            });
        }
        let capacity = points.len().min(MODBUS_BLOCKS_MAX);
        let mut blocks = Vec::with_capacity(capacity);
        let ends = starts.iter().skip(1).copied().chain([points.len()]);
        for (first, end) in starts.iter().copied().zip(ends) {
            blocks.extend(block(&points, first, end));
        }
        Ok(Self {
            points,
            blocks,
            capacity,
        })
    }

    /// The blocks, in reading order.
    pub fn blocks(&self) -> &[Block] {
        &self.blocks
    }

    /// All points, in reading order.
    pub fn points(&self) -> &[Point] {
        &self.points
    }

    /// The points of `block`.
    pub fn points_of(&self, block: &Block) -> &[Point] {
        let end = block.first.saturating_add(block.points);
        self.points.get(block.first..end).unwrap_or(&[])
    }

    /// Nothing to read: a device with windows only.
    pub(crate) const fn empty() -> Self {
        Self {
            points: Vec::new(),
            blocks: Vec::new(),
            capacity: 0,
        }
    }

    /// Points of the block that has most.
    pub fn widest_frame(&self) -> usize {
        let counts = self.blocks.iter().map(|block| block.points);
        counts.max().unwrap_or(0)
    }

    /// Splits block `index` in two at its widest gap, at the one nearest to the middle among equals: the hole is what a
    /// device refuses as a rule. Returns false when it has one point only or the table of blocks is full.
    ///
    /// Does not allocate.
    pub fn split(&mut self, index: usize) -> bool {
        if self.blocks.len() >= self.capacity {
            return false;
        }
        let Some(whole) = self.blocks.get(index).copied() else {
            return false;
        };
        let end = whole.first.saturating_add(whole.points);
        let Some(cut) = self.widest_gap(whole.first, end) else {
            return false;
        };
        let (Some(left), Some(right)) = (
            block(&self.points, whole.first, cut),
            block(&self.points, cut, end),
        ) else {
            return false;
        };
        let Some(place) = self.blocks.get_mut(index) else {
            return false;
        };
        *place = left;
        self.blocks.insert(index.saturating_add(1), right);
        true
    }

    /// The index in `first+1..end` before which the gap is widest.
    fn widest_gap(&self, first: usize, end: usize) -> Option<usize> {
        let points = self.points.get(first..end)?;
        let middle = points.len() >> 1;
        let mut reach = points.first()?.end();
        let mut best: Option<(u32, core::cmp::Reverse<usize>, usize)> = None;
        for (offset, point) in points.iter().enumerate().skip(1) {
            let gap = u32::from(point.address).saturating_sub(reach);
            let candidate = (gap, core::cmp::Reverse(offset.abs_diff(middle)), offset);
            best = Some(best.map_or(candidate, |best| best.max(candidate)));
            reach = reach.max(point.end());
        }
        best.map(|(_, _, offset)| first.saturating_add(offset))
    }
}

/// Whether windows can be read.
///
/// # Errors
/// [`PlanError`] for the first that cannot.
pub(crate) fn check_windows(windows: &[Window]) -> Result<(), PlanError> {
    let mut seen = BTreeSet::new();
    for window in windows {
        let waveform = window.waveform;
        if !seen.insert(waveform) {
            return Err(PlanError::DuplicateWaveform { waveform });
        }
        if window.table.is_bits() {
            return Err(PlanError::WindowOfBits { waveform });
        }
        let address = usize::from(window.address);
        let end = address.saturating_add(window.bytes() >> 1);
        if window.count == 0 || end > usize::from(u16::MAX).saturating_add(1) {
            return Err(PlanError::WindowRange {
                waveform,
                samples: window.count,
            });
        }
        let sequence = usize::from(window.sequence);
        let sequence_end = sequence.saturating_add(usize::from(window.sequence_registers()));
        if sequence < end && address < sequence_end {
            return Err(PlanError::SequenceInWindow { waveform });
        }
        if window.sequence_kind == SequenceType::U8
            || sequence_end > usize::from(u16::MAX).saturating_add(1)
        {
            return Err(PlanError::SequenceType { waveform });
        }
        let rate = window.rate_hz;
        if !(rate.is_finite() && rate > 0.0) || window.every == DurNs::ZERO {
            return Err(PlanError::WindowTime { waveform });
        }
    }
    Ok(())
}

fn check(points: &[Point]) -> Result<(), PlanError> {
    if points.is_empty() {
        return Err(PlanError::NoPoints);
    }
    if points.len() > TAGS_MAX {
        return Err(PlanError::TooManyPoints {
            max: TAGS_MAX,
            received: points.len(),
        });
    }
    let mut seen = BTreeSet::new();
    for point in points {
        let tag = point.tag;
        let is_bool = point.codec.kind == ValueType::Bool;
        if !seen.insert(tag) {
            return Err(PlanError::DuplicateTag { tag });
        }
        if point.table.is_bits() && !is_bool {
            return Err(PlanError::NotABit { tag });
        }
        if is_bool && !point.table.is_bits() && point.codec.bit > 15 {
            let bit = point.codec.bit;
            return Err(PlanError::BitRange { tag, bit });
        }
        if point.end() > u32::from(u16::MAX).saturating_add(1) {
            return Err(PlanError::AddressRange {
                tag,
                address: point.address,
                width: point.width(),
            });
        }
    }
    Ok(())
}

/// Largest count this client asks of a table at once.
const fn count_max(table: Table) -> u16 {
    if table.is_bits() {
        MODBUS_BITS_MAX
    } else {
        MODBUS_REGISTERS_MAX
    }
}

/// Whether the point at `index` can be read together with those from `start` on.
fn fits(points: &[Point], start: usize, index: usize, max_gap: u16) -> bool {
    let (Some(first), Some(next), Some(before)) = (
        points.get(start),
        points.get(index),
        points.get(start..index),
    ) else {
        return false;
    };
    let reach = before.iter().map(Point::end).max().unwrap_or(0);
    let gap = u32::from(next.address).saturating_sub(reach);
    let span = reach
        .max(next.end())
        .saturating_sub(u32::from(first.address));
    first.table == next.table
        && gap <= u32::from(max_gap)
        && span <= u32::from(count_max(first.table))
        && before.len() < FRAME_SAMPLES_MAX
}

/// The block that reads `points[first..end]`; `None` only for an empty range.
fn block(points: &[Point], first: usize, end: usize) -> Option<Block> {
    let own = points.get(first..end)?;
    let start = own.first()?;
    let reach = own.iter().map(Point::end).max()?;
    let count = reach.saturating_sub(u32::from(start.address));
    Some(Block {
        request: ReadRequest {
            table: start.table,
            address: start.address,
            count: u16::try_from(count).ok()?,
        },
        first,
        points: own.len(),
    })
}

#[cfg(test)]
#[path = "plan_tests.rs"]
mod tests;

//! What a session is told: one device, how often, how long, and which points.

use std::net::SocketAddr;

use drivers_frame::block::{RateCheck, SequenceType};
use drivers_frame::{DeviceId, DurNs, SampleLayout, TagId, ValueCodec, WaveformId};

use crate::codec::Table;

/// One device behind one connection.
#[derive(Clone, Debug, PartialEq)]
pub struct DeviceConfig {
    /// Which device of the lane; labels what is counted.
    pub device: DeviceId,
    /// Where it listens; the registered port is 502.
    pub address: SocketAddr,
    /// Unit identifier, sent with every request and demanded of every reply. 255 or 1 for a device that is no gateway.
    pub unit: u8,
    /// When its points are read.
    pub poll: Poll,
    /// From the request's `send` to the last byte of its reply. Absolute: bytes that trickle in do not prolong it (H-14).
    pub timeout: DurNs,
    /// From the start of a connection attempt to its success.
    pub connect_timeout: DurNs,
    /// Wait between connection attempts.
    pub backoff: Backoff,
    /// Unused bits or registers that may lie between two points read together.
    pub max_gap: u16,
    /// What is read.
    pub points: Vec<Point>,
    /// Windows that hold blocks of waveforms. Of points and windows there is at least one.
    pub windows: Vec<Window>,
}

impl DeviceConfig {
    /// Bytes of the buffers that blocks are received into. `None` without windows.
    pub fn block_buffer_bytes(&self) -> Option<usize> {
        self.windows.iter().map(Window::bytes).max()
    }
}

/// A window of registers that holds a block of a waveform, and the register that counts its blocks.
///
/// The device must exchange number and window as one, between two requests. One that counts before it has written all of
/// the new samples, or after it has written some, shows windows of two blocks as whole ones, and no reader can see that.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Window {
    /// Which waveform.
    pub waveform: WaveformId,
    /// Holding or input registers; the sequence register is in the same table.
    pub table: Table,
    /// Its first register, counted from 0.
    pub address: u16,
    /// Samples of each block.
    pub count: u32,
    /// How samples lie in registers.
    pub layout: SampleLayout,
    /// The sequence register, or the first of it: counts up by 1 with each block and wraps.
    pub sequence: u16,
    /// Its type: one, two or four registers, in the order of the layout.
    pub sequence_kind: SequenceType,
    /// How often it is read. A block is older than its time by at most that and the time that a cycle over the points takes.
    pub every: DurNs,
    /// Samples a second.
    pub rate_hz: f64,
    /// Whether that is held against the arrivals.
    pub rate_check: RateCheck,
}

impl Window {
    /// Bytes of a block.
    pub fn bytes(&self) -> usize {
        usize::try_from(self.count)
            .unwrap_or(usize::MAX)
            .saturating_mul(self.layout.kind.bytes())
    }

    /// Registers of its sequence number.
    pub(crate) const fn sequence_registers(&self) -> u16 {
        match self.sequence_kind {
            SequenceType::U8 | SequenceType::U16 => 1,
            SequenceType::U32 => 2,
            SequenceType::U64 => 4,
        }
    }

    /// Its registers; 65,535 for more than there can be.
    pub(crate) fn registers(&self) -> u16 {
        u16::try_from(self.bytes() >> 1).unwrap_or(u16::MAX)
    }
}

/// When the points of a device are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Poll {
    /// The next request follows the reply.
    Continuous,
    /// A cycle over all blocks is due every so often, counted from the first after connecting.
    Every(DurNs),
}

/// Wait between connection attempts: doubles from `min` to `max` with every failure, starts again at `min` after the
/// first right reply (not after a mere connect: a device that accepts and drops must not be hammered, H-16).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    /// First wait; above zero.
    pub min: DurNs,
    /// Longest wait; not below `min`.
    pub max: DurNs,
}

/// One tag's place in the device.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Point {
    /// Whose samples it gives.
    pub tag: TagId,
    /// Which table.
    pub table: Table,
    /// First address, counted from 0.
    pub address: u16,
    /// How bits or registers become a value.
    pub codec: ValueCodec,
}

impl Point {
    /// Bits or registers the point takes, from 1 to 4.
    pub fn width(&self) -> u16 {
        u16::try_from(self.codec.kind.words()).unwrap_or(u16::MAX)
    }

    /// The first address after the point; up to 65536.
    pub(crate) fn end(&self) -> u32 {
        u32::from(self.address).saturating_add(u32::from(self.width()))
    }
}

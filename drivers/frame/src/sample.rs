//! Samples, and the way drivers hand them over.

use alloc::boxed::Box;

use crate::{BlockNews, Cause, MonoNs, Quality};

/// Index of a tag within its lane, resolved when the bundle was built.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct TagId(pub u16);

/// Index of a device within its lane, resolved when the bundle was built.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct DeviceId(pub u16);

/// One value of a tag.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Sample {
    /// Monotonic time right after the bytes were received.
    pub at: MonoNs,
    /// The value in the tag's unit, after scale and offset; a `bool` is 0.0 or 1.0. Meaningless unless the quality is usable.
    pub value: f64,
    /// Which tag.
    pub tag: TagId,
    /// Whether the value may be used.
    pub quality: Quality,
    /// Why not, when it is not good.
    pub cause: Cause,
}

/// The queue had no room for the frame. The frame is lost as a whole, was counted by the queue, and the lane
/// will hold the device's channels bad until a fresh sample of each arrives (H-25).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueueFull;

/// Where a driver puts a frame: the samples that one read delivered together; and blocks of waveforms.
///
/// Implementations never block and never allocate. One that takes no waveforms leaves out what is about blocks: every
/// block is then lost and counted by the driver.
pub trait FrameSink {
    /// Hands over all samples of one frame, or none of them.
    ///
    /// # Errors
    /// [`QueueFull`] when there is no room for the whole frame. The driver goes on; it does not retry.
    fn push_frame(&mut self, samples: &[Sample]) -> Result<(), QueueFull>;

    /// An empty buffer for a block, as large as the driver said that it needs when it was made; `None` when all are in
    /// use. Whoever is done with a block puts its buffer back where this takes it from.
    fn take_empty(&mut self) -> Option<Box<[u8]>> {
        None
    }

    /// Hands over a block, or that there is none: [`BlockNews::Bad`].
    ///
    /// # Errors
    /// The news itself when there is no room for it. The driver keeps the buffer, and the next block has a gap.
    fn push_block(&mut self, news: BlockNews) -> Result<(), BlockNews> {
        Err(news)
    }
}

/// What one step of a driver did. Whoever steps drivers need not know their protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// A frame was pushed (or counted as lost in a full queue) and nothing was sent after it: run the tick, or wake
    /// the lane, before the next step, so that a stop leaves before the next request or acknowledgement.
    Frame,
    /// Something was done; step again.
    Progress,
    /// Nothing to do until the driver's descriptor is ready in one of the ways named, or `until` has come.
    Idle {
        /// When to step in any case.
        until: MonoNs,
        /// Step when the descriptor is readable.
        wants_read: bool,
        /// Step when the descriptor is writable.
        wants_write: bool,
    },
}

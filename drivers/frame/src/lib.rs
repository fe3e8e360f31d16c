//! The shared words of Tripline: time, tag, sample, quality, and how raw bytes become a value.
//!
//! Which thread: any. May it block: no. Worst case: every function here is constant time, but the writing of a waveform
//! block, which is one pass over it.
//! No dependencies (the `serde` feature adds serde's derives for the plan in a bundle).
//! Hazards: H-1 (NE 43 bands, range), H-5 (range), H-9 and H-21 (never a number from a short or non-finite value).
#![no_std]
#![forbid(unsafe_code)]
#![cfg_attr(
    not(test),
    deny(
        clippy::indexing_slicing,
        clippy::as_conversions,
        clippy::arithmetic_side_effects
    )
)]

extern crate alloc;

pub mod block;
pub mod current;
mod decode;
pub mod planted;
mod quality;
mod sample;
mod time;

pub use block::{Block, BlockCounters, BlockHead, BlockNews, SampleKind, SampleLayout, WaveformId};
pub use current::CurrentLoop;
pub use decode::{ByteOrder, Decoded, Range, Scaling, ValueCodec, ValueType, WordOrder};
pub use quality::{Cause, Quality};
pub use sample::{DeviceId, FrameSink, QueueFull, Sample, Step, TagId};
pub use time::{Clock, DurNs, MonoNs};

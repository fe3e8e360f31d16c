//! The analyzers we ship (`docs/analyzers.md`) and their signal processing, without a host: the guest crates in
//! `rules/analyzers/guests` wrap them, the tests here run them natively.
//!
//! Which thread: whatever calls a guest. May it block: no. It allocates nothing: an analyzer is one value of fixed size that
//! begins as [`tripline_analyzer::Analyzer::NEW`], all zero, and so lies in a guest's data without being written in its file. Worst case: the
//! fuel in each guest's metadata. Hazards: H-2 (a value that is stuck), H-3 (drift), H-4 (spikes), each of a measured value that
//! no rule can see by itself.
//!
//! The same inputs give the same bits natively and in a guest: whole numbers, IEEE 754 addition, multiplication,
//! division or square root, tables of `microfft`, or software of `libm`; none of them depends on the target.
#![no_std]
#![forbid(unsafe_code)]
#![cfg_attr(
    not(test),
    deny(clippy::indexing_slicing, clippy::as_conversions, clippy::panic)
)]

#[cfg(test)]
extern crate std;

mod api;
pub mod baseline;
pub mod bearing;
pub mod cavitation;
mod confirm;
mod cusum;
pub mod envelope;
pub mod fft;
pub mod fixed;
pub mod hotelling;
pub mod imbalance;
pub mod lines;
pub mod network;
mod num;
pub mod process_watch;
mod record;
pub mod spectrum;
pub mod stats;
pub mod vibration;

pub use api::Params;
pub use confirm::Confirm;
pub use cusum::Cusum;

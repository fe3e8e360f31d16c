//! What the tests and benchmarks across crates share: the product's binaries, a running guard, packs made to measure.
//!
//! Nothing in the product depends on this crate.
#![forbid(unsafe_code)]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test harness: what it needs and does not find fails the test that asked"
)]

pub mod binaries;
pub mod guard;
pub mod hostile;
pub mod packs;
pub mod peers;
pub mod stand;

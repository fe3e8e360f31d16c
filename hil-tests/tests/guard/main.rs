//! The real guard, started as a process, against devices and clients that fail in every way they can: end to end, over
//! real sockets. Each test names the hazards and invariants it covers.
#![forbid(unsafe_code)]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "the lint's exception for tests does not reach the helpers of a test program"
)]

mod acts;
mod analyzers;
mod confined;
mod control;
mod envelopes;
mod host;
mod inputs;
mod kept;
mod life;
mod limits;
mod outputs;
mod outside;
mod refusals;
mod reset;
mod rights;
mod tree;
mod watchdog;

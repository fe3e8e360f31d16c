//! The real guard with servers, brokers and clients of others, so that a misreading of a standard on our side meets
//! somebody who does not share it. What is not installed is left out, loudly: see `hil_tests::peers`.
#![forbid(unsafe_code)]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "the lint's exception for tests does not reach the helpers of a test program"
)]

mod envelope;
mod libmodbus;
mod mosquitto;
mod pymodbus;

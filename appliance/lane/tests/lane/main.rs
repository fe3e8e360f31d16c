//! The lane as its guard uses it.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod analyzers;
mod common;
mod people;
mod proofs;
mod rules;
mod votes;

//! The simulator: the real lane, drivers' sessions, queues, outputs and latches in virtual time under one seed, against
//! simulated devices, a broker, a network, operators and faults, judged by an oracle that knows the plant's truth.
//!
//! How to run, read and repeat it: `docs/simulation.md`. Nothing in the product depends on this crate.
//!
//! ```text
//! seed -> scenario (devices, tags, rules, outputs) -> world: safety phase with faults -> heal -> must arm again
//!                                                        |  after every step
//!                                                        v
//!                                                     oracle: I1-I9 against the plant's truth
//! ```
//!
//! Same seed, same digest: no sockets, no threads, no clock, no map that orders by chance.
#![forbid(unsafe_code)]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test tool: what cannot be ends the run that met it"
)]

pub mod analysis;
pub mod broker;
pub mod campaign;
pub mod coverage;
pub mod digest;
pub mod fault;
pub mod faults;
pub mod guard;
pub mod net;
pub mod oracle;
pub mod plant;
#[cfg(feature = "planted")]
pub mod planted;
pub mod reading;
pub mod rng;
pub mod scenario;
pub mod world;

pub use world::{Options, Outcome, run};

/// States that a campaign must reach, or it has not looked.
pub const SOMETIMES: &[&str] = &[
    "frame lost in a full queue",
    "bad sample",
    "reset refused at the press",
    "reset pressed",
    "reset refused",
    "reset accepted",
    "stale tag",
    "rule active by condition",
    "rule active by bad input",
    "rule pending",
    "delay not reached",
    "output connection down",
    "output runs",
    "armed again after healing",
    "a permit of a dead guard arrives",
    "a condition lasted its deadline",
    "another master was overruled",
    "a hang longer than every watchdog",
    "operator trip",
    "a welded contactor escalated",
    "bypass begun",
    "channel passivated",
    "second bypass of a voting refused",
    "vote against a stop with a bad channel",
    "setpoints multiplied",
    "rule inhibited",
    "a permission ended before its switch",
    "reset button pressed",
    "reset by the button",
    "pending although the newest sample is false",
    "m of n fired",
    "the cap of a debounce fired",
    "channel lags behind the others",
    "channel deviates from the others",
    "spike dropped",
    "implausible change",
    "frozen channel",
    "a sensor stands still",
    "channel acknowledged",
    "a controlled stop had its time",
    "a controlled stop failed",
    "a stop without an echo escalated",
    "a stop was confirmed by its place",
    "envelope: corruption",
    "envelope: repetition",
    "envelope: wrong sequence",
    "envelope: loss",
    "envelope: delay",
    "envelope: insertion",
    "envelope: masquerade",
    "envelope: addressing",
    "an error within the budget",
    "more errors than the budget",
    "a topic is within its budget again",
    "the wall clock went back between two turns",
    "the wall clock jumped during a bypass",
    "an analyzer trapped",
    "an analyzer out of fuel",
    "an analyzer answered nonsense",
    "an analyzer flapped",
    "an analyzer was blind",
    "a spare took over",
    "no spare was left",
    "class background answered",
    "a frame for class background dropped",
    "a verdict stopped an output",
    "a derived value stopped an output",
    "a block analysed",
    "a block with a gap before it",
    "a block that cannot be used",
];

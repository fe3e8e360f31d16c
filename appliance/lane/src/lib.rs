//! The tick: ingest, analyse, evaluate, vote, latch, drive, record. Pure: time and frames come in as arguments.
//!
//! Which thread: one pinned lane thread; the same code runs in tests, in simulation and in benchmarks. May it block:
//! no. After [`Lane::new`] nothing here allocates, locks, formats or reads a clock; `hil-tests/tests/sealed.rs` makes
//! that a fact. Worst case of a tick: every rule due, 10,000 rules of at most 100 ns each; it grows with what
//! changed, not with the pack. Hazards: H-17, H-25 (overflow holds channels bad), H-27 (silence is stale), H-35 to
//! H-38 (a rule module that misbehaves is a trip), H-42 (comparison fault), H-49 (bad votes to trip), H-53 (one code
//! path clears a latch). Invariants: I2, I3, I4, I6.
//!
//! Words: a *latch* holds an output stopped; its *first-out* is the cause that closed it; *hold* tells a condition
//! with a dead band that its rule is active; a slot is *usable* when its value may decide.
#![forbid(unsafe_code)]
#![cfg_attr(
    not(test),
    deny(
        clippy::indexing_slicing,
        clippy::as_conversions,
        clippy::arithmetic_side_effects
    )
)]

pub mod analyzer;
pub mod block_queue;
pub mod bypass;
mod checksum;
mod complement;
mod enable;
mod event;
mod freshness;
mod health;
mod lane;
mod latch;
mod proof;
pub mod queue;
pub mod reset;
mod rule;
mod signature;
mod slots;
mod tags;
pub mod vote;
mod voting;
mod window;

pub use bypass::{BypassRefusal, Point};
pub use complement::Complement;
pub use event::{Event, EventKind, Hold, LatchCause, ResetRefusal, RuleCause};
pub use lane::{ChannelView, Checkpoint, Counters, Lane, LaneError, ProofView, RuleEngine};
pub use latch::Latch;
pub use rule::RuleState;
pub use signature::EXPECTED_SIGNATURE;
pub use tags::TagView;

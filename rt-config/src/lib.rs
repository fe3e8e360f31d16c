//! Every limit with its reason; the real-time host: thread plan, memory locking, pinning, the sealing allocator.
//!
//! This crate speaks to the operating system, so it is one of the few that may contain `unsafe`; each block says why it
//! is sound. Everything here runs before a lane is sealed, except [`seal`]'s counting and [`clock`].

pub mod clock;
pub mod cpu;
pub mod host;
pub mod limits;
pub mod place;
pub mod reserve;
pub mod seal;

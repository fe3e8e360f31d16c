//! What moves a machine: run permit, stop, refresh, confirmation. State machines without sockets, and their connection.
//!
//! Which thread: the lane's. May it block: no; every socket is non-blocking. Worst case: one `send` and one `recv` a
//! call. Nothing allocates after construction. Hazards: H-57 (a write that is lost is repeated until confirmed), H-61
//! (own, pre-connected connection), H-63 (the permit must be refreshed; a dead guard refreshes nothing).
//! Invariant: I2, no permit is sent while withheld.
#![forbid(unsafe_code)]
#![cfg_attr(
    not(test),
    deny(
        clippy::indexing_slicing,
        clippy::as_conversions,
        clippy::arithmetic_side_effects
    )
)]

mod connection;
mod machine;

pub use connection::{OutputConnection, OutputIdle};
pub use machine::{Confirmed, Counters, FaultCause, Machine, OutputEvent, Permit, safe_request};

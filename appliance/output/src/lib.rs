//! What moves a machine: run permit, stop, refresh, confirmation. State machines without sockets, and their connection.
//!
//! Which thread: the lane's; a connection that stands by ([`OutputConnection::standing_by`]) belongs to the thread that
//! watches the lane. May it block: no; every socket is non-blocking. Worst case: one `send` and one `recv` a call. Nothing
//! allocates after construction.
//! Hazards: H-57 (a write that is lost is repeated until confirmed), H-58 (the place is read back), H-60 (another master
//! is seen and written over), H-61 (own, pre-connected connection), H-63 (the permit must be refreshed; a dead guard
//! refreshes nothing), H-64 (the device's watchdog is armed before the first run value, and looked at again).
//! Invariant: I2, no permit is sent while withheld.
//!
//! | module | what |
//! |---|---|
//! | `event` | what an output is told and what it tells |
//! | `value` | what a permit looks like on the wire: level, counter, toggle |
//! | `phase` | what is proved of the place, as a table |
//! | `read_back`, `watchdog` | when to look at the place and at the device's watchdog, and what follows |
//! | `in_flight` | what was asked and not answered; replies match in order |
//! | `machine` | the three together, without sockets and clock |
//! | `connection` | a machine on its own socket |
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
mod event;
mod in_flight;
mod machine;
mod phase;
mod read_back;
#[cfg(test)]
mod tables;
mod value;
mod watchdog;

pub use connection::{OutputConnection, OutputIdle};
pub use event::{Confirmed, Counters, FaultCause, OutputEvent, Permit};
pub use machine::Machine;
pub use value::safe_request;

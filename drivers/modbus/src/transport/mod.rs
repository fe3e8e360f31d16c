//! Sockets: one non-blocking TCP connection ([`Link`]), and a session stepped over it ([`Driver`]).
//!
//! Which thread: a lane. May it block: no. Worst case: one `recv` or `send`, or the few calls of a connection attempt.
//! Hazards: H-13, H-14, H-15, H-16.

mod driver;
mod link;
mod wire;

pub use crate::fault::IoFault;
pub use driver::Driver;
pub use drivers_frame::Step;
pub use link::{Connect, Link, Received};
pub use wire::Wire;

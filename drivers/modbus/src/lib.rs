//! Strict Modbus/TCP client: codec (bytes, pure), session (state machine, no sockets), transport (sockets).
//!
//! | module | what | knows |
//! |---|---|---|
//! | [`codec`] | requests to bytes, bytes to checked replies; fixed buffers | nothing |
//! | [`config`], [`plan`] | what is read, and in which blocks | the codec |
//! | [`session`] | one device's connection, schedule and back-off | time, as an argument |
//! | [`transport`] | one non-blocking TCP connection, and the driver that steps a session over it | sockets, clock |
//!
//! Which thread: a lane (acquisition inline, and the output side through [`codec`] and [`transport::Link`]).
//! May it block: never; sockets are non-blocking and every wait has an absolute deadline that the caller sees.
//! Worst case: one system call and one reply of at most [`rt_config::limits::MODBUS_ADU_BYTES_MAX`] bytes a step; nothing is
//! allocated after construction.
//! Hazards: H-6 to H-16. What a reply must fulfil before one value of it counts is listed at
//! [`codec::check_read_reply`]; what closes a connection at [`session::Session`].
#![forbid(unsafe_code)]
#![cfg_attr(
    not(test),
    deny(
        clippy::indexing_slicing,
        clippy::as_conversions,
        clippy::arithmetic_side_effects
    )
)]

pub mod codec;
pub mod config;
mod fault;
pub mod limits;
pub mod plan;
pub mod session;
pub mod transport;

pub use config::{Backoff, DeviceConfig, Point, Poll, Window};
pub use plan::{Block, PlanError};
pub use session::{Counters, LinkChange, LinkState, Session, SessionError};
pub use transport::{Connect, Driver, IoFault, Link, Received, Step};

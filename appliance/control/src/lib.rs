//! The control socket's protocol and its client: what the guard, the desk, the command line and tests share.
//!
//! One JSON object a line, over a Unix socket. A request has `"op"`; its answer is one line with `"reply"`. After
//! `events` the connection carries events, one a line, until it is closed. Which thread: never a lane.
#![forbid(unsafe_code)]

mod client;
mod events;
mod latency;
mod status;

use serde::{Deserialize, Serialize};

pub use client::{Client, ClientError, EventStream};
pub use events::{Event, EventBody};
pub use latency::{Distribution, Latency, RuleLatency, StageLatency};
pub use status::{DeviceStatus, LaneStatus, OutputStatus, RuleStatus, State, Status, TagStatus};

/// What may be asked of a guard.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "op", rename_all = "snake_case", deny_unknown_fields)]
pub enum Request {
    /// The whole state.
    Status {},
    /// Every tag's value and quality.
    Tags {},
    /// Histograms.
    Latency {},
    /// Releases every latch, if every cause is gone.
    Reset {},
    /// Stops every output.
    Trip {
        /// Why, for the record.
        reason: String,
    },
    /// Sends every event after this sequence number, then each new one.
    Events {
        /// Last sequence number already known; 0 for all that are kept.
        after: u64,
    },
}

/// The answer to a request.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "reply", rename_all = "snake_case")]
pub enum Reply {
    /// To `status`.
    Status(Box<Status>),
    /// To `tags`.
    Tags {
        /// Every tag of every lane.
        tags: Vec<TagStatus>,
    },
    /// To `latency`.
    Latency(Box<Latency>),
    /// To `reset` and `trip`: done.
    Done {},
    /// To `reset`: refused, nothing was released.
    Refused {
        /// What stands against it.
        cause: String,
        /// What to do about it.
        help: String,
    },
    /// To `events`: what follows are events.
    Events {
        /// Sequence number of the newest event.
        newest: u64,
        /// Events after the one asked for that are no longer kept.
        lost: u64,
    },
    /// The request could not be understood or answered.
    Error {
        /// Why.
        cause: String,
    },
}

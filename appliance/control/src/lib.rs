//! The control socket's protocol and its client: what the guard, the desk, the command line and tests share.
//!
//! One JSON object a line, over a Unix socket. A request has `"op"`; its answer is one line with `"reply"`. After
//! `events` the connection carries events, one a line, until it is closed. Which thread: never a lane.
//!
//! Looking and stopping need no rights; whatever gives a machine back its freedom does: see [`Request::needs_rights`].
#![forbid(unsafe_code)]

mod act;
mod client;
mod events;
mod latency;
mod status;
pub mod wall_time;

use serde::{Deserialize, Serialize};

pub use act::{Actor, Nonce, NonceError};
pub use client::{Client, ClientError, EventStream, Reset};
pub use events::{Event, EventBody};
pub use latency::{Distribution, Latency, RuleLatency, StageLatency};
pub use status::{
    AnalyzerStatus, BypassStatus, ChannelStatus, DeviceStatus, GroupStatus, LaneStatus,
    OutputProof, OutputStatus, Proof, Reason, RuleStatus, SentinelStatus, ShelvedStatus, State,
    Status, TagStatus, VotingStatus,
};

/// What may be asked of a guard. `who` is a name for the record; the user that asks is recorded beside it whatever it
/// says. An empty `who` is that user.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "op", rename_all = "snake_case", deny_unknown_fields)]
pub enum Request {
    /// The whole state.
    Status {},
    /// Every tag's value and quality.
    Tags {},
    /// Histograms.
    Latency {},
    /// Presses the reset. Nothing is released yet; refused at once when something stands against it.
    ResetPress {
        /// Who presses.
        who: String,
    },
    /// Releases the reset, not before `hold_min_ns` and not after `hold_max_ns` since the press: every latch is released,
    /// if every cause is gone. Only the user that pressed may.
    ResetRelease {
        /// What the press was answered with.
        nonce: Nonce,
    },
    /// Acknowledges channels that went bad and may come back only after somebody has looked (reintegration).
    Acknowledge {
        /// One tag; all of them when absent.
        tag: Option<String>,
        /// Who.
        who: String,
    },
    /// Withholds one channel's vote, or a rule's, for a time. At most one a voting.
    Bypass {
        /// `VOTING/TAG`, or a rule's id.
        point: String,
        /// Who.
        who: String,
        /// Why, for the record; not empty.
        why: String,
        /// For how long, in nanoseconds; at most what the pack allows there.
        for_ns: u64,
    },
    /// Ends a bypass before its time.
    BypassEnd {
        /// As it was begun.
        point: String,
        /// Who.
        who: String,
    },
    /// Silences the notification of an alert for a limited time. Never of a danger.
    Shelve {
        /// The rule.
        rule: String,
        /// Who.
        who: String,
        /// Why, for the record; not empty.
        why: String,
        /// For how long, in nanoseconds; at most 24 hours.
        for_ns: u64,
    },
    /// Ends shelving before its time.
    Unshelve {
        /// The rule.
        rule: String,
        /// Who.
        who: String,
    },
    /// Lifts a hold of the guard: what it found of its host or itself and no rule can clear. A reset is still needed.
    Lift {
        /// Which, as the status names it: `crash loop`.
        hold: String,
        /// Who.
        who: String,
    },
    /// Stops every output. Anybody who reaches the socket may.
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

impl Request {
    /// What the request does, if it needs rights: `reset`, `bypass`, ... Looking needs none; nor does a stop.
    #[must_use]
    pub const fn needs_rights(&self) -> Option<&'static str> {
        match self {
            Self::ResetPress { .. } | Self::ResetRelease { .. } => Some("reset"),
            Self::Acknowledge { .. } => Some("acknowledge"),
            Self::Bypass { .. } | Self::BypassEnd { .. } => Some("bypass"),
            Self::Shelve { .. } | Self::Unshelve { .. } => Some("shelve"),
            Self::Lift { .. } => Some("lift"),
            Self::Status {}
            | Self::Tags {}
            | Self::Latency {}
            | Self::Trip { .. }
            | Self::Events { .. } => None,
        }
    }
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
    /// To `reset_press`: now hold it, then release it.
    ResetPressed {
        /// For the release. Good for one, and not for long.
        nonce: Nonce,
        /// Shortest time until the release, in nanoseconds.
        hold_min_ns: u64,
        /// Longest time until the release, in nanoseconds.
        hold_max_ns: u64,
    },
    /// To `acknowledge`: done.
    Acknowledged {
        /// Channels that may come back now, once they are good.
        channels: u64,
    },
    /// To every other act: done.
    Done {},
    /// To an act: refused, nothing was done.
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

#[cfg(test)]
mod tests {
    use super::*;

    /// The rights of every request, as a table: a new request must be put on one side or the other.
    #[test]
    fn a_stop_needs_no_rights_and_whatever_frees_a_machine_does() {
        let text = || "x".to_owned();
        let free = [
            Request::Status {},
            Request::Tags {},
            Request::Latency {},
            Request::Trip { reason: text() },
            Request::Events { after: 0 },
        ];
        for request in free {
            assert_eq!(request.needs_rights(), None, "{request:?}");
        }
        let acts = [
            (Request::ResetPress { who: text() }, "reset"),
            (Request::ResetRelease { nonce: Nonce(1) }, "reset"),
            (
                Request::Acknowledge {
                    tag: None,
                    who: text(),
                },
                "acknowledge",
            ),
            (
                Request::Bypass {
                    point: text(),
                    who: text(),
                    why: text(),
                    for_ns: 1,
                },
                "bypass",
            ),
            (
                Request::BypassEnd {
                    point: text(),
                    who: text(),
                },
                "bypass",
            ),
            (
                Request::Shelve {
                    rule: text(),
                    who: text(),
                    why: text(),
                    for_ns: 1,
                },
                "shelve",
            ),
            (
                Request::Unshelve {
                    rule: text(),
                    who: text(),
                },
                "shelve",
            ),
            (
                Request::Lift {
                    hold: text(),
                    who: text(),
                },
                "lift",
            ),
        ];
        for (request, act) in acts {
            assert_eq!(request.needs_rights(), Some(act), "{request:?}");
            let line = serde_json::to_string(&request).unwrap();
            assert_eq!(
                serde_json::from_str::<Request>(&line).unwrap(),
                request,
                "{line}"
            );
        }
    }
}

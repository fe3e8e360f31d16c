//! Events, as they leave the guard: names instead of indices.

use serde::{Deserialize, Serialize};

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// Counts up by one from 1 since the guard started.
    pub seq: u64,
    /// Monotonic time in nanoseconds.
    pub at_ns: u64,
    /// Wall time in nanoseconds since 1970, for people.
    pub wall_ns: u64,
    /// Lane; `all` for what concerns every lane.
    pub lane: String,
    /// What.
    #[serde(flatten)]
    pub body: EventBody,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum EventBody {
    /// A rule changed its state.
    Rule {
        /// The rule.
        rule: String,
        /// `alert` or `danger`.
        level: String,
        /// State before: `waiting`, `normal`, `pending`, `active`.
        from: String,
        /// State after.
        state: String,
        /// Why: `clear`, `condition`, `bad input`, or a fault of the rule module.
        cause: String,
        /// The tag that decided.
        tag: Option<String>,
        /// Its value, absent when its quality is not usable.
        value: Option<f64>,
        /// Its unit.
        unit: Option<String>,
        /// Its quality.
        quality: Option<String>,
        /// Why the quality is not good.
        quality_cause: Option<String>,
    },
    /// An output was stopped and latched.
    Latched {
        /// The output.
        output: String,
        /// First-out.
        cause: String,
        /// The rule, when one was the cause.
        rule: Option<String>,
    },
    /// An output was released by a reset.
    Released {
        /// The output.
        output: String,
    },
    /// A rule's stop was confirmed by every output it stopped.
    StopConfirmed {
        /// The rule.
        rule: String,
        /// From sample to confirmation.
        latency_ns: u64,
        /// Whether the rule's deadline was missed.
        missed: bool,
    },
    /// Somebody asked for a stop of every output.
    TripRequested {
        /// Why, in their words.
        reason: String,
    },
    /// A reset was refused.
    ResetRefused {
        /// What stood against it.
        cause: String,
    },
    /// A device's link came up or went down.
    Link {
        /// The device.
        device: String,
        /// Whether it is up now.
        up: bool,
        /// Why it went down.
        cause: Option<String>,
    },
    /// An output's write was not confirmed; it is repeated.
    OutputFault {
        /// The output.
        output: String,
        /// Why.
        cause: String,
    },
    /// The guard found something about itself, or about the host it runs on.
    SelfCheck {
        /// What looked: `watchdog`, `timing`, `bound`, `host`, `state`, `memory`, `crash_loop`.
        check: String,
        /// Whether outputs were stopped for it.
        stopped: bool,
        /// What it found, and what to do.
        detail: String,
    },
}

//! Events, as they leave the guard: names instead of indices.

use serde::{Deserialize, Serialize};

use crate::Actor;

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
        /// Who.
        by: Actor,
    },
    /// A reset was pressed; nothing is released yet.
    ResetPressed {
        /// Who; absent when it was the reset button.
        by: Option<Actor>,
    },
    /// A reset was released, and the latches with it; an event for each of them stands beside this one.
    Reset {
        /// Who; absent when it was the reset button.
        by: Option<Actor>,
    },
    /// A reset was refused.
    ResetRefused {
        /// What stood against it.
        cause: String,
        /// Who tried; absent when it was the reset button.
        by: Option<Actor>,
    },
    /// Somebody without rights asked for an act; nothing was done.
    NotAllowed {
        /// Which: `reset`, `bypass`, `shelve`, `acknowledge`, `lift`.
        act: String,
        /// What was missing.
        cause: String,
        /// Who.
        by: Actor,
    },
    /// An act was refused although its rights were there; nothing was done.
    ActRefused {
        /// Which: `bypass`, `shelve`, `acknowledge`, `lift`.
        act: String,
        /// What it was for: a point, a rule, a tag, a hold.
        of: String,
        /// What stood against it.
        cause: String,
        /// Who.
        by: Actor,
    },
    /// Channels that were bad may come back.
    Acknowledged {
        /// The tag; absent when all were acknowledged.
        tag: Option<String>,
        /// How many channels waited for it.
        channels: u64,
        /// Who.
        by: Actor,
    },
    /// A channel's vote, or a rule's, is withheld.
    Bypassed {
        /// `VOTING/TAG`, or the rule's id.
        point: String,
        /// Who.
        by: Actor,
        /// Why, in their words.
        why: String,
        /// For how long, in nanoseconds.
        for_ns: u64,
        /// Until when by the wall clock, in nanoseconds since 1970: for people, the monotonic clock decides.
        until_wall_ns: u64,
    },
    /// A bypass is still in force: said again and again until it ends (H-55).
    BypassReminder {
        /// `VOTING/TAG`, or the rule's id.
        point: String,
        /// Who began it.
        by: Actor,
        /// Why, in their words.
        why: String,
        /// Time left, in nanoseconds.
        remaining_ns: u64,
    },
    /// A bypass ended: the vote counts again.
    BypassEnded {
        /// `VOTING/TAG`, or the rule's id.
        point: String,
        /// Who ended it; absent when its time was up.
        by: Option<Actor>,
    },
    /// An alert's notification is silenced.
    Shelved {
        /// The rule.
        rule: String,
        /// Who.
        by: Actor,
        /// Why, in their words.
        why: String,
        /// For how long, in nanoseconds.
        for_ns: u64,
        /// Until when by the wall clock, in nanoseconds since 1970: for people, the monotonic clock decides.
        until_wall_ns: u64,
    },
    /// An alert is told again.
    Unshelved {
        /// The rule.
        rule: String,
        /// Who; absent when its time was up.
        by: Option<Actor>,
    },
    /// A hold was lifted. A reset is still needed.
    Lifted {
        /// Which.
        hold: String,
        /// Who; absent when its reason went away by itself.
        by: Option<Actor>,
    },
    /// A voting's channel changed its health.
    Channel {
        /// The voting.
        voting: String,
        /// The channel's tag.
        tag: String,
        /// `good`, `bad` or `bypassed`.
        health: String,
        /// Why it is bad.
        cause: Option<String>,
        /// How the voting decides now: `2oo3`, `2oo3, 1 bad: now 1oo2`; absent when it is not known.
        decides: Option<String>,
    },
    /// A channel began or ceased to differ from its redundant sisters by more than the pack's alert limit (H-3).
    Deviation {
        /// The voting.
        voting: String,
        /// The channel's tag.
        tag: String,
        /// Whether it differs now.
        on: bool,
    },
    /// A channel is replaced by its bad state (passivated), or came back.
    Input {
        /// The tag.
        tag: String,
        /// Whether it is passivated now.
        passivated: bool,
        /// Why.
        cause: Option<String>,
        /// Whether it waits for an acknowledgement to come back.
        needs_acknowledgement: bool,
    },
    /// A rule's setpoints are multiplied, or no longer (API 670).
    Multiplier {
        /// The rule.
        rule: String,
        /// Whether they are now.
        on: bool,
    },
    /// A rule is inhibited, or no longer.
    Inhibit {
        /// The rule.
        rule: String,
        /// Whether it is now.
        on: bool,
    },
    /// An analyzer's verdict has another level than before.
    Analyzer {
        /// The analyzer.
        analyzer: String,
        /// `normal`, `alert` or `danger`.
        level: String,
        /// What it says is the cause.
        cause: Option<String>,
    },
    /// An analyzer failed: its derived values are bad, and its verdict is the one that the pack declares (H-35 to H-39).
    AnalyzerFault {
        /// The analyzer.
        analyzer: String,
        /// How.
        cause: String,
        /// The verdict in its place: `alert` or `danger`.
        verdict: String,
    },
    /// A spare instance of an analyzer took over.
    AnalyzerReplaced {
        /// The analyzer.
        analyzer: String,
        /// Spares that are left.
        left: u64,
    },
    /// A known-bad frame did not make a shadow instance of an analyzer speak: nothing that it says counts (H-40). Or it does
    /// again.
    Canary {
        /// The analyzer.
        analyzer: String,
        /// Whether it is missed now.
        missed: bool,
    },
    /// An analyzer was compared with a clean instance of its module that was given the same newest calls (H-41), and that came to
    /// something else than the time before.
    Replay {
        /// The analyzer.
        analyzer: String,
        /// `differs`: what it says is spoiled by what it saw before, and counts all the same; `late`: no comparison was over in
        /// time; `agrees` again.
        result: String,
    },
    /// The actuator did not follow the output within its time (H-59).
    EdmFault {
        /// The output.
        output: String,
    },
    /// Another master wrote over an output; it was written again at once (H-60).
    Overwritten {
        /// The output.
        output: String,
    },
    /// A device's own watchdog was armed, or its arming is lost (H-64).
    DeviceWatchdog {
        /// The output.
        output: String,
        /// Whether it is armed now.
        armed: bool,
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

//! The state of a guard.
//!
//! A field that is absent was not measured or is not known to this guard; it is never guessed.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::Actor;

/// What people need to know first.
///
/// ```text
///            reset                     a cause                      reset, every cause gone
///  safe ──────────────▶ armed ─────────────────────▶ tripped ─────────────────────────▶ armed
///  (start)               ▲ │ protection is reduced      ▲
///                        │ ▼                            │ a cause
///                      degraded ────────────────────────┘
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Stopped since the start, or going down: nobody has armed it, and no cause has tripped it.
    Safe,
    /// Permits flow, rules watch, and nothing reduces what they protect.
    Armed,
    /// Something demanded a stop: at least one trip group is latched by a cause.
    Tripped,
    /// Permits flow and rules watch, but with less than the pack and this host should give: see the reasons.
    Degraded,
}

impl State {
    /// The word shown to people.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Safe => "safe",
            Self::Armed => "armed",
            Self::Tripped => "tripped",
            Self::Degraded => "degraded",
        }
    }

    /// Whether no output is latched, so that permits flow.
    pub const fn permits(self) -> bool {
        matches!(self, Self::Armed | Self::Degraded)
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Why the state is what it is, or what else is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reason {
    /// The state that it speaks for.
    pub state: State,
    /// In words.
    pub text: String,
}

/// The whole state.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// See [`State`].
    pub state: State,
    /// Every reason, those of the state first. Empty when armed.
    pub reasons: Vec<Reason>,
    /// What stands against a reset now; absent when armed or when nothing does.
    pub reset_refusal: Option<String>,
    /// What this host does not grant; empty when nothing is missing.
    pub degraded: Vec<String>,
    /// Group whose members may reset, bypass, shelve, acknowledge and lift; absent when only root and the guard's own
    /// user may.
    pub operators: Option<String>,
    /// Alerts whose notification is silenced for now.
    pub shelved: Vec<ShelvedStatus>,
    /// The second watcher of the lanes; absent when there is none.
    pub sentinel: Option<SentinelStatus>,
    /// Name of the pack.
    pub pack: String,
    /// Version of the pack.
    pub version: String,
    /// Content hash of the bundle.
    pub bundle: String,
    /// Process id of the guard.
    pub pid: u32,
    /// Time since start, in nanoseconds.
    pub uptime_ns: u64,
    /// Resident memory in bytes.
    pub resident_bytes: Option<u64>,
    /// Allocations made by lanes after they were sealed: 0 unless there is a defect.
    pub lane_allocations: u64,
    /// Sequence number of the newest event.
    pub events: u64,
    /// Events that were lost because nobody took them in time.
    pub events_lost: u64,
    /// The lanes.
    pub lanes: Vec<LaneStatus>,
}

/// A lane.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LaneStatus {
    /// Its name.
    pub name: String,
    /// Core it is pinned to.
    pub core: Option<usize>,
    /// `fifo 40` or `ordinary`.
    pub scheduling: String,
    /// `spin` or `park`.
    pub wait: String,
    /// Ticks since start.
    pub ticks: u64,
    /// Samples taken.
    pub samples: u64,
    /// Samples older than what was known, dropped.
    pub out_of_order: u64,
    /// Frames lost in full queues.
    pub frames_lost: u64,
    /// Rules evaluated.
    pub evaluations: u64,
    /// Times the two evaluations of a rule differed.
    pub comparison_faults: u64,
    /// Samples that windows dropped because they came faster than planned.
    pub window_overruns: u64,
    /// Devices.
    pub devices: Vec<DeviceStatus>,
    /// Analyzers, in the order in which they run.
    #[serde(default)]
    pub analyzers: Vec<AnalyzerStatus>,
    /// Rules.
    pub rules: Vec<RuleStatus>,
    /// Votings.
    pub votings: Vec<VotingStatus>,
    /// Bypasses in force.
    pub bypasses: Vec<BypassStatus>,
    /// Trip groups.
    pub groups: Vec<GroupStatus>,
    /// Outputs.
    pub outputs: Vec<OutputStatus>,
    /// What holds every output stopped and no rule can clear: `crash loop`, `host too slow`, ...; absent when this guard
    /// does not tell.
    pub holds: Option<Vec<String>>,
}

/// An analyzer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AnalyzerStatus {
    /// Its id.
    pub name: String,
    /// The module's name.
    pub module: String,
    /// The module's version.
    pub version: u32,
    /// `safety`: called on the lane, in the tick; `background`: on a thread of its own.
    pub class: String,
    /// Who signed the module; absent when nobody did.
    pub signer: Option<String>,
    /// Frames that it was asked about.
    pub calls: u64,
    /// Frames that counted for nothing: it failed, or they were dropped.
    pub faults: u64,
    /// Times that a spare took over.
    pub replaced: u64,
    /// Spare instances that wait; absent when there is not even one to call.
    pub spares: Option<u64>,
    /// What counts since its newest frame: `normal`, `alert`, `danger`; absent before the first.
    pub verdict: Option<String>,
    /// What it says is the cause.
    pub cause: Option<String>,
    /// Why its newest frame counted for nothing; absent when it counted.
    pub fault: Option<String>,
    /// `alive` or `missed`; absent when it has no canary.
    pub canary: Option<String>,
    /// Comparisons with a clean instance: `waiting` for the first, `agrees`, `differs` or `late`; absent when it is not
    /// compared.
    #[serde(default)]
    pub replay: Option<String>,
    /// Fuel that 99 of 100 calls did with.
    pub fuel_p99: Option<u64>,
    /// Fuel that it may use in a call.
    pub fuel_limit: u64,
    /// Time that 99 of 100 calls did with, in nanoseconds.
    pub time_p99_ns: Option<u64>,
    /// The longest call, in nanoseconds.
    pub time_max_ns: Option<u64>,
    /// Time that a call may take, in nanoseconds.
    pub deadline_ns: u64,
}

/// Channels that decide together.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct VotingStatus {
    /// Its id.
    pub name: String,
    /// As the pack says: `2oo3`.
    pub form: String,
    /// As it decides now, with bad and bypassed channels: `1oo2`; absent when it is not known.
    pub decides: Option<String>,
    /// Its channels.
    pub channels: Vec<ChannelStatus>,
}

impl VotingStatus {
    /// Channels with this health.
    fn count(&self, health: &str) -> usize {
        let is = |channel: &&ChannelStatus| channel.health.as_deref() == Some(health);
        self.channels.iter().filter(is).count()
    }
}

impl fmt::Display for VotingStatus {
    /// `2oo3`, or what is left of it: `2oo3, 1 bad: now 1oo2`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.form)?;
        for health in ["bad", "bypassed"] {
            let count = self.count(health);
            if count > 0 {
                write!(f, ", {count} {health}")?;
            }
        }
        match self.decides.as_ref().filter(|now| **now != self.form) {
            Some(now) => write!(f, ": now {now}"),
            None => Ok(()),
        }
    }
}

/// A channel of a voting.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ChannelStatus {
    /// Its tag.
    pub tag: String,
    /// `good`, `bad` or `bypassed`; absent when it is not known.
    pub health: Option<String>,
    /// Whether it votes to trip, by its value or because it is bad; absent when it is not known.
    pub votes: Option<bool>,
    /// Why it is bad.
    pub cause: Option<String>,
}

/// A bypass that is in force.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BypassStatus {
    /// `VOTING/TAG`, or the rule's id.
    pub point: String,
    /// Who began it.
    pub by: Actor,
    /// Why, in their words.
    pub why: String,
    /// Until when by the wall clock, in nanoseconds since 1970: for people, the monotonic clock decides.
    pub until_wall_ns: u64,
    /// Time left, in nanoseconds.
    pub remaining_ns: u64,
}

/// An alert whose notification is silenced.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ShelvedStatus {
    /// The rule.
    pub rule: String,
    /// Who shelved it.
    pub by: Actor,
    /// Why, in their words.
    pub why: String,
    /// Until when by the wall clock, in nanoseconds since 1970: for people, the monotonic clock decides.
    pub until_wall_ns: u64,
    /// Time left, in nanoseconds.
    pub remaining_ns: u64,
}

/// Outputs that are latched and released together.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GroupStatus {
    /// Its id.
    pub name: String,
    /// First-out of its latch; absent when it is released.
    pub first_out: Option<String>,
    /// The rule that latched it, when one did.
    pub rule: Option<String>,
    /// How long it has been latched, in nanoseconds.
    pub latched_for_ns: Option<u64>,
    /// When it was latched by the wall clock, in nanoseconds since 1970.
    pub latched_wall_ns: Option<u64>,
    /// What it was latched by before the guard was started again; absent when it was not, or nobody knows.
    pub before_restart: Option<String>,
    /// Its outputs.
    pub outputs: Vec<String>,
}

/// The second watcher of the lanes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SentinelStatus {
    /// `watching`, `stopped the outputs`, ...
    pub state: String,
    /// Why, and on which core it runs.
    pub detail: Option<String>,
    /// Whether a hardware watchdog (`/dev/watchdog`) or the service manager watches the guard; absent when it is not known.
    pub watched_by: Option<String>,
}

/// A device.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DeviceStatus {
    /// Its name.
    pub name: String,
    /// `modbus` or `mqtt`.
    pub kind: String,
    /// `up`, `connecting` or `down`.
    pub link: String,
    /// Why it last went down.
    pub last_error: Option<String>,
    /// Requests sent (Modbus) or connections made (MQTT).
    pub requests: u64,
    /// Replies or messages taken.
    pub replies: u64,
    /// Anomalies, timeouts, refused messages.
    pub anomalies: u64,
    /// Connections made.
    pub connects: u64,
}

/// A rule.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RuleStatus {
    /// Its id.
    pub id: String,
    /// `alert` or `danger`.
    pub level: String,
    /// `waiting`, `normal`, `pending`, `active`.
    pub state: String,
    /// Why.
    pub cause: String,
    /// What to tell people.
    pub message: String,
    /// Whether its setpoints are multiplied now; absent when it has no multiplier, or it is not known.
    pub multiplied: Option<bool>,
    /// Whether it is inhibited now; absent when it has no inhibit, or it is not known.
    pub inhibited: Option<bool>,
    /// Computed worst case from sample to confirmed stop, in nanoseconds; absent where the guard does not know one.
    pub bound_ns: Option<u64>,
    /// Longest measured since the guard started, in nanoseconds; absent when it has stopped nothing yet.
    pub measured_max_ns: Option<u64>,
}

/// How far something is proved.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Proof {
    /// It is as it should be, and this was seen.
    Proved,
    /// It is being waited for, within its time.
    Waiting,
    /// It did not come, or was wrong.
    Failed,
}

impl Proof {
    /// The word shown to people.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Proved => "proved",
            Self::Waiting => "waiting",
            Self::Failed => "FAILED",
        }
    }
}

/// What proves that an output did what it was told. Absent: not declared in the pack, or not known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutputProof {
    /// The device's echo of the write.
    pub echo: Option<Proof>,
    /// The place read back holds what was written.
    pub read_back: Option<Proof>,
    /// The actuator followed (feedback, EDM).
    pub feedback: Option<Proof>,
    /// The device's own watchdog is armed and was read back.
    pub watchdog: Option<Proof>,
}

/// An output.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OutputStatus {
    /// Its name.
    pub name: String,
    /// Its trip group.
    pub group: String,
    /// `granted` or `withheld`.
    pub permit: String,
    /// First-out of its latch; absent when it is released.
    pub first_out: Option<String>,
    /// The rule that latched it, when one did.
    pub rule: Option<String>,
    /// How long it has been latched, in nanoseconds.
    pub latched_for_ns: Option<u64>,
    /// Whether the connection to its device is up.
    pub connected: bool,
    /// Whether the last write of the present value was confirmed.
    pub confirmed: bool,
    /// What proves it.
    pub proof: OutputProof,
    /// Writes confirmed.
    pub confirmations: u64,
    /// Failures.
    pub failures: u64,
}

/// A tag.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TagStatus {
    /// Lane.
    pub lane: String,
    /// Its name.
    pub name: String,
    /// Its value; absent unless usable.
    pub value: Option<f64>,
    /// Its unit.
    pub unit: String,
    /// `good`, `uncertain`, `bad`, `stale`.
    pub quality: String,
    /// Why not good.
    pub cause: Option<String>,
    /// Age in nanoseconds.
    pub age_ns: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_comes_through_the_socket_bit_for_bit() {
        for value in [
            9_007_199_254_740_991.0,
            0.1,
            f64::MIN_POSITIVE,
            f64::MAX,
            -1.0 / 3.0,
        ] {
            let tag = TagStatus {
                lane: "main".into(),
                name: "x".into(),
                value: Some(value),
                unit: "1".into(),
                quality: "good".into(),
                cause: None,
                age_ns: 0,
            };
            let line = serde_json::to_string(&tag).unwrap();
            let read: TagStatus = serde_json::from_str(&line).unwrap();
            assert_eq!(
                read.value.map(f64::to_bits),
                Some(value.to_bits()),
                "{line}"
            );
        }
    }
}

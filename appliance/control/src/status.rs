//! The state of a guard.

use serde::{Deserialize, Serialize};

/// What people need to know first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// At least one output is latched: its machine is stopped.
    Tripped,
    /// No output is latched: permits flow, rules watch.
    Armed,
    /// The guard is going down; everything is stopped.
    Stopping,
}

impl State {
    /// The word shown to people.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Tripped => "tripped",
            Self::Armed => "armed",
            Self::Stopping => "stopping",
        }
    }
}

/// The whole state.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// Armed or tripped.
    pub state: State,
    /// What stands against a reset now; absent when armed or when nothing does.
    pub reset_refusal: Option<String>,
    /// What this host does not grant; empty when nothing is missing.
    pub degraded: Vec<String>,
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
    /// Rules.
    pub rules: Vec<RuleStatus>,
    /// Outputs.
    pub outputs: Vec<OutputStatus>,
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
}

/// An output.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OutputStatus {
    /// Its name.
    pub name: String,
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

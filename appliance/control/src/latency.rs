//! Latencies, as distributions over the time since the guard started.

use serde::{Deserialize, Serialize};

/// All latencies of a guard. Times in nanoseconds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Latency {
    /// Wording that every page with a latency shows.
    pub notice: String,
    /// Per lane and stage.
    pub stages: Vec<StageLatency>,
    /// Per rule that has stopped something.
    pub rules: Vec<RuleLatency>,
}

/// One stage of one lane.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StageLatency {
    /// Lane.
    pub lane: String,
    /// `acquire_to_ingest`, `evaluate`, `drive` or `confirm`.
    pub stage: String,
    /// Its distribution.
    pub distribution: Distribution,
}

/// From sample to confirmed stop, one rule.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RuleLatency {
    /// Lane.
    pub lane: String,
    /// Rule.
    pub rule: String,
    /// What the pack promises.
    pub deadline_ns: Option<u64>,
    /// The rule's on-delay, which is part of every figure.
    pub on_delay_ns: u64,
    /// Computed worst case from sample to confirmed stop; absent where the guard does not know one.
    pub bound_ns: Option<u64>,
    /// Stops that came later than the deadline.
    pub missed: u64,
    /// Its distribution.
    pub distribution: Distribution,
}

/// A distribution: exact minimum, maximum and count; percentiles to the histogram's three significant digits.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Distribution {
    /// Values recorded.
    pub count: u64,
    /// Smallest.
    pub min_ns: u64,
    /// Mean.
    pub mean_ns: u64,
    /// Median.
    pub p50_ns: u64,
    /// 90th percentile.
    pub p90_ns: u64,
    /// 99th percentile.
    pub p99_ns: u64,
    /// 99.9th percentile.
    pub p999_ns: u64,
    /// Largest, exact.
    pub max_ns: u64,
    /// Percentile steps for an `.hgrm` file: (value in ns, quantile, count up to it).
    pub steps: Vec<(u64, f64, u64)>,
}

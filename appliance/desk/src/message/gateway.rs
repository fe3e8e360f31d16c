//! The gateway's own state, and its last will.

use serde::Serialize;

use super::{PackFacts, json};

/// The gateway's own state, retained; its last will is [`offline`].
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct GatewayStatus {
    /// Whether the desk is there.
    pub online: bool,
    /// When this was said.
    pub time: String,
    /// Pack.
    pub pack: String,
    /// Its version.
    pub version: String,
    /// Content hash of the bundle.
    pub bundle: String,
    /// `up` or `down`.
    pub guard: String,
    /// `safe`, `armed`, `tripped`, `degraded`; absent while the guard is down.
    pub state: Option<String>,
    /// Why, in words, those of the state first.
    pub reasons: Vec<String>,
    /// What stands against a reset.
    pub reset_refusal: Option<String>,
    /// What the host does not grant.
    pub degraded: Vec<String>,
    /// Rules whose alerts are silenced for now.
    pub shelved: Vec<String>,
    /// The second watcher of the lanes, absent when there is none or it is not known.
    pub sentinel: Option<String>,
    /// The guard's process.
    pub guard_pid: Option<u32>,
    /// Seconds after which a reader that heard nothing may take the gateway for silent.
    pub silent_after_s: u64,
    /// How the alerts are doing.
    pub alerts: AlertCounts,
}

/// How the alerts are doing, since the desk started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct AlertCounts {
    /// Messages acknowledged by the broker.
    pub delivered: u64,
    /// Messages waiting for the broker.
    pub waiting: usize,
    /// Alerts dropped because the outbox was full (H-77).
    pub dropped: u64,
    /// Alerts that were not told because their rules are shelved.
    pub shelved: u64,
    /// Events that the guard no longer kept when the desk came back.
    pub events_lost: u64,
    /// Times the broker was reached.
    pub connects: u64,
}

/// Payload that says that nobody watches any more. `reason` says whether that was meant.
#[must_use]
pub fn offline(facts: &PackFacts, reason: &str, time: Option<String>) -> Vec<u8> {
    #[derive(Serialize)]
    struct Offline<'a> {
        online: bool,
        reason: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        time: Option<String>,
        pack: &'a str,
        version: &'a str,
        bundle: &'a str,
    }
    json(&Offline {
        online: false,
        reason,
        time,
        pack: &facts.name,
        version: &facts.version,
        bundle: &facts.bundle,
    })
}

//! What is published: topics and JSON payloads. Pure: an event and the pack go in, messages come out.
//!
//! `docs/alerts.md` is the reference for readers. Fields are only ever added.
//!
//! | module | what |
//! |---|---|
//! | `body` | the fields of one event; how much it matters |
//! | `state` | retained states: rules, outputs, votings, devices, bypasses |
//! | `gateway` | the gateway's own state, and its last will |

mod body;
mod gateway;
mod state;

use std::collections::HashMap;

use appliance_control::{Event, EventBody};
use rules_bundle::Plan;
use serde::Serialize;

use crate::wall_time::rfc3339;

pub use body::Priority;
pub use gateway::{AlertCounts, GatewayStatus, offline};
pub use state::{
    BypassesState, DeviceState, OutputState, Retained, RuleState, Shelving, VotingState,
};

/// What the desk knows of the pack that the guard runs: an event names a rule, this says what to tell people about it.
#[derive(Clone, Debug)]
pub struct PackFacts {
    name: String,
    version: String,
    bundle: String,
    /// `<prefix>/<pack>`.
    root: String,
    rules: HashMap<String, RuleFacts>,
}

#[derive(Clone, Debug)]
struct RuleFacts {
    level: &'static str,
    message: String,
    outputs: Vec<String>,
    deadline_ns: Option<u64>,
    runbook: Option<String>,
    tags: Vec<String>,
}

/// How much it hurts to lose a message (H-77).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Class {
    /// An alert, a link: dropped first.
    Tell,
    /// A danger, a stop, a latch.
    Stop,
}

/// One message for the broker.
#[derive(Clone, Debug, PartialEq)]
pub struct Message {
    /// Where to.
    pub topic: String,
    /// JSON.
    pub payload: Vec<u8>,
    /// How much it matters.
    pub class: Class,
}

/// What every event message begins with.
#[derive(Serialize)]
struct Envelope<'a, B: Serialize> {
    seq: u64,
    time: String,
    mono_ns: u64,
    pack: &'a str,
    version: &'a str,
    bundle: &'a str,
    guard_pid: u32,
    lane: &'a str,
    priority: Priority,
    #[serde(flatten)]
    body: B,
}

impl PackFacts {
    /// From the plan of the bundle with this hash. `prefix` is the first part of every topic.
    #[must_use]
    pub fn new(plan: &Plan, bundle: String, prefix: &str) -> Self {
        let rules = plan.lanes.iter().flat_map(|lane| {
            lane.rules.iter().map(|rule| {
                let outputs = rule
                    .stops
                    .iter()
                    .filter_map(|index| lane.outputs.get(usize::from(*index)));
                let facts = RuleFacts {
                    level: rule.level.as_str(),
                    message: rule.message.clone(),
                    outputs: outputs.map(|output| output.name.clone()).collect(),
                    deadline_ns: rule.deadline.map(drivers_frame::DurNs::as_ns),
                    runbook: rule.runbook.clone(),
                    tags: rule.tags.clone(),
                };
                (rule.id.clone(), facts)
            })
        });
        Self {
            name: plan.name.clone(),
            version: plan.version.clone(),
            bundle,
            root: format!("{prefix}/{}", plan.name),
            rules: rules.collect(),
        }
    }

    /// The pack's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The pack's version.
    #[must_use]
    pub fn version(&self) -> &str {
        &self.version
    }

    /// Content hash of the bundle.
    #[must_use]
    pub fn bundle(&self) -> &str {
        &self.bundle
    }

    /// What the pack tells people about a rule.
    #[must_use]
    pub fn message_of(&self, rule: &str) -> Option<&str> {
        self.rules.get(rule).map(|facts| facts.message.as_str())
    }

    /// Topic of the gateway's own state.
    #[must_use]
    pub fn status_topic(&self) -> String {
        format!("{}/status", self.root)
    }

    /// The message of an event. Per-rule events go to the rule's alert topic, all others to `<root>/events`. `repeats`:
    /// how many events like this one came before it and were not published (output faults only).
    #[must_use]
    pub fn message(&self, event: &Event, guard_pid: u32, repeats: u64) -> Message {
        let no_rule = RuleFacts {
            level: "",
            message: String::new(),
            outputs: Vec::new(),
            deadline_ns: None,
            runbook: None,
            tags: Vec::new(),
        };
        let facts = |rule: &str| self.rules.get(rule).unwrap_or(&no_rule);
        let topic = match &event.body {
            EventBody::Rule { rule, .. } | EventBody::StopConfirmed { rule, .. } => {
                format!("{}/alerts/{rule}", self.root)
            }
            _ => format!("{}/events", self.root),
        };
        let payload = match &event.body {
            body @ EventBody::Rule { rule, .. } => {
                self.json(event, guard_pid, body::rule_alert(body, facts(rule)))
            }
            body @ EventBody::StopConfirmed { rule, .. } => {
                self.json(event, guard_pid, body::stop_confirmed(body, facts(rule)))
            }
            body @ EventBody::OutputFault { .. } => {
                self.json(event, guard_pid, body::repeated(body, repeats))
            }
            body => match body::timed(body) {
                Some(timed) => self.json(event, guard_pid, timed),
                None => self.json(event, guard_pid, body),
            },
        };
        Message {
            topic,
            payload,
            class: body::class(&event.body),
        }
    }

    fn json<B: Serialize>(&self, event: &Event, guard_pid: u32, body: B) -> Vec<u8> {
        json(&Envelope {
            seq: event.seq,
            time: rfc3339(event.wall_ns),
            mono_ns: event.at_ns,
            pack: &self.name,
            version: &self.version,
            bundle: &self.bundle,
            guard_pid,
            lane: &event.lane,
            priority: body::priority(&event.body),
            body,
        })
    }
}

/// JSON of a value that cannot fail to be JSON: strings, numbers and lists under string keys. A number that is not finite
/// becomes null.
pub(crate) fn json<T: Serialize>(value: &T) -> Vec<u8> {
    serde_json::to_vec(value).unwrap_or_default()
}

//! What is published: topics and JSON payloads. Pure: an event and the pack go in, messages come out.
//!
//! `docs/alerts.md` is the reference for readers. Fields are only ever added.

use std::collections::HashMap;

use appliance_control::{DeviceStatus, Event, EventBody, OutputStatus, RuleStatus};
use rules_bundle::{Level, Plan};
use serde::Serialize;

use crate::NOTICE;
use crate::wall_time::rfc3339;

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
    #[serde(flatten)]
    body: B,
}

#[derive(Serialize)]
struct RuleAlert<'a> {
    event: &'static str,
    rule: &'a str,
    level: &'a str,
    state: &'a str,
    previous: &'a str,
    cause: &'a str,
    message: &'a str,
    tag: Option<&'a str>,
    value: Option<f64>,
    unit: Option<&'a str>,
    quality: Option<&'a str>,
    quality_cause: Option<&'a str>,
    outputs: &'a [String],
    runbook: Option<&'a str>,
    tags: &'a [String],
}

#[derive(Serialize)]
struct StopConfirmed<'a> {
    event: &'static str,
    rule: &'a str,
    latency_ms: f64,
    deadline_ms: Option<f64>,
    missed: bool,
    outputs: &'a [String],
    notice: &'static str,
}

/// An output fault, and how many like it were left out before.
#[derive(Serialize)]
struct Repeated<'a> {
    #[serde(flatten)]
    body: &'a EventBody,
    repeats: u64,
}

/// State of a rule, retained.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RuleState {
    /// Sequence number of the event that brought this state, or of the newest event when the state was asked for.
    pub seq: u64,
    /// Since when; absent when the state was asked for and the event is not known.
    pub since: Option<String>,
    /// The rule.
    pub rule: String,
    /// `alert` or `danger`.
    pub level: String,
    /// `waiting`, `normal`, `pending`, `active`.
    pub state: String,
    /// Why.
    pub cause: String,
    /// What to tell people.
    pub message: String,
}

/// State of an output, retained.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct OutputState {
    /// See [`RuleState::seq`].
    pub seq: u64,
    /// See [`RuleState::since`].
    pub since: Option<String>,
    /// The output.
    pub output: String,
    /// Whether it is latched: stopped until a reset.
    pub latched: bool,
    /// First-out cause of the latch.
    pub first_out: Option<String>,
    /// The rule that latched it, when one did.
    pub rule: Option<String>,
    /// `granted` or `withheld`.
    pub permit: String,
    /// Whether its device is connected; absent until it was asked for.
    pub connected: Option<bool>,
    /// Whether the last write was confirmed; absent until it was asked for.
    pub confirmed: Option<bool>,
}

/// Link of a device, retained.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct DeviceState {
    /// See [`RuleState::seq`].
    pub seq: u64,
    /// See [`RuleState::since`].
    pub since: Option<String>,
    /// The device.
    pub device: String,
    /// `up`, `connecting` or `down`.
    pub link: String,
    /// Why it last went down.
    pub cause: Option<String>,
}

/// A retained state, with its topic.
#[derive(Clone, Debug, PartialEq)]
pub enum Retained {
    /// `<root>/state/<rule>`.
    Rule(RuleState),
    /// `<root>/outputs/<output>`.
    Output(OutputState),
    /// `<root>/devices/<device>`.
    Device(DeviceState),
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
        let events = || format!("{}/events", self.root);
        let alerts = |rule: &str| format!("{}/alerts/{rule}", self.root);
        let (topic, payload) = match &event.body {
            EventBody::Rule { rule, .. } => {
                let payload = self.json(event, guard_pid, rule_alert(&event.body, facts(rule)));
                (alerts(rule), payload)
            }
            EventBody::StopConfirmed {
                rule,
                latency_ns,
                missed,
            } => {
                let body = StopConfirmed {
                    event: "stop_confirmed",
                    rule,
                    latency_ms: ms(*latency_ns),
                    deadline_ms: facts(rule).deadline_ns.map(ms),
                    missed: *missed,
                    outputs: &facts(rule).outputs,
                    notice: NOTICE,
                };
                (alerts(rule), self.json(event, guard_pid, body))
            }
            body @ EventBody::OutputFault { .. } => (
                events(),
                self.json(event, guard_pid, Repeated { body, repeats }),
            ),
            body => (events(), self.json(event, guard_pid, body)),
        };
        Message {
            topic,
            payload,
            class: class(&event.body),
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
            body,
        })
    }

    /// The state that an event brings.
    #[must_use]
    pub fn state_of_event(&self, event: &Event) -> Option<Retained> {
        let seq = event.seq;
        let since = Some(rfc3339(event.wall_ns));
        match &event.body {
            EventBody::Rule {
                rule,
                level,
                state,
                cause,
                ..
            } => Some(Retained::Rule(RuleState {
                seq,
                since,
                rule: rule.clone(),
                level: level.clone(),
                state: state.clone(),
                cause: cause.clone(),
                message: self.message_of(rule).unwrap_or_default().to_owned(),
            })),
            EventBody::Latched {
                output,
                cause,
                rule,
            } => Some(Retained::Output(OutputState {
                seq,
                since,
                output: output.clone(),
                latched: true,
                first_out: Some(cause.clone()),
                rule: rule.clone(),
                permit: "withheld".to_owned(),
                connected: None,
                confirmed: None,
            })),
            EventBody::Released { output } => Some(Retained::Output(OutputState {
                seq,
                since,
                output: output.clone(),
                latched: false,
                first_out: None,
                rule: None,
                permit: "granted".to_owned(),
                connected: None,
                confirmed: None,
            })),
            EventBody::Link { device, up, cause } => Some(Retained::Device(DeviceState {
                seq,
                since,
                device: device.clone(),
                link: if *up { "up" } else { "down" }.to_owned(),
                cause: cause.clone(),
            })),
            _ => None,
        }
    }
}

impl Retained {
    /// A rule as the guard's status shows it when `seq` was its newest event.
    #[must_use]
    pub fn of_rule(rule: &RuleStatus, seq: u64) -> Self {
        Self::Rule(RuleState {
            seq,
            since: None,
            rule: rule.id.clone(),
            level: rule.level.clone(),
            state: rule.state.clone(),
            cause: rule.cause.clone(),
            message: rule.message.clone(),
        })
    }

    /// An output as the guard's status shows it when `seq` was its newest event.
    #[must_use]
    pub fn of_output(output: &OutputStatus, seq: u64) -> Self {
        Self::Output(OutputState {
            seq,
            since: None,
            output: output.name.clone(),
            latched: output.first_out.is_some(),
            first_out: output.first_out.clone(),
            rule: output.rule.clone(),
            permit: output.permit.clone(),
            connected: Some(output.connected),
            confirmed: Some(output.confirmed),
        })
    }

    /// A device as the guard's status shows it when `seq` was its newest event.
    #[must_use]
    pub fn of_device(device: &DeviceStatus, seq: u64) -> Self {
        Self::Device(DeviceState {
            seq,
            since: None,
            device: device.name.clone(),
            link: device.link.clone(),
            cause: device.last_error.clone(),
        })
    }

    /// Its topic under the pack's root.
    #[must_use]
    pub fn topic(&self, facts: &PackFacts) -> String {
        let root = &facts.root;
        match self {
            Self::Rule(state) => format!("{root}/state/{}", state.rule),
            Self::Output(state) => format!("{root}/outputs/{}", state.output),
            Self::Device(state) => format!("{root}/devices/{}", state.device),
        }
    }

    /// The event this state is of, or the newest one when it was asked for.
    #[must_use]
    pub const fn seq(&self) -> u64 {
        match self {
            Self::Rule(state) => state.seq,
            Self::Output(state) => state.seq,
            Self::Device(state) => state.seq,
        }
    }

    /// Takes over from the state known before what this one does not know: since when, if nothing changed, and what only
    /// the status tells. Returns whether it says anything new.
    pub fn merge(&mut self, before: &Self) -> bool {
        match (&mut *self, before) {
            (Self::Rule(now), Self::Rule(was))
                if now.since.is_none() && (&now.state, &now.cause) == (&was.state, &was.cause) =>
            {
                (now.seq, now.since) = (was.seq, was.since.clone());
            }
            (Self::Output(now), Self::Output(was)) => {
                now.connected = now.connected.or(was.connected);
                now.confirmed = now.confirmed.or(was.confirmed);
                if now.since.is_none()
                    && (now.latched, &now.first_out) == (was.latched, &was.first_out)
                {
                    (now.seq, now.since) = (was.seq, was.since.clone());
                }
            }
            (Self::Device(now), Self::Device(was))
                if now.since.is_none() && now.link == was.link =>
            {
                (now.seq, now.since) = (was.seq, was.since.clone());
            }
            _ => {}
        }
        *self != *before
    }

    /// JSON. `facts` adds pack, version and bundle.
    #[must_use]
    pub fn payload(&self, facts: &PackFacts) -> Vec<u8> {
        #[derive(Serialize)]
        struct Wrapped<'a, S: Serialize> {
            pack: &'a str,
            version: &'a str,
            bundle: &'a str,
            #[serde(flatten)]
            state: &'a S,
        }
        fn wrapped<S: Serialize>(facts: &PackFacts, state: &S) -> Vec<u8> {
            json(&Wrapped {
                pack: &facts.name,
                version: &facts.version,
                bundle: &facts.bundle,
                state,
            })
        }
        match self {
            Self::Rule(state) => wrapped(facts, state),
            Self::Output(state) => wrapped(facts, state),
            Self::Device(state) => wrapped(facts, state),
        }
    }
}

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
    /// `armed`, `tripped`, `stopping`; absent while the guard is down.
    pub state: Option<String>,
    /// What stands against a reset.
    pub reset_refusal: Option<String>,
    /// What the host does not grant.
    pub degraded: Vec<String>,
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

/// JSON of a value that cannot fail to be JSON: strings, numbers and lists under string keys. A number that is not finite
/// becomes null.
pub(crate) fn json<T: Serialize>(value: &T) -> Vec<u8> {
    serde_json::to_vec(value).unwrap_or_default()
}

fn rule_alert<'a>(body: &'a EventBody, facts: &'a RuleFacts) -> Option<RuleAlert<'a>> {
    let EventBody::Rule {
        rule,
        level,
        from,
        state,
        cause,
        tag,
        value,
        unit,
        quality,
        quality_cause,
    } = body
    else {
        return None;
    };
    Some(RuleAlert {
        event: "rule",
        rule,
        level: if level.is_empty() { facts.level } else { level },
        state,
        previous: from,
        cause,
        message: &facts.message,
        tag: tag.as_deref(),
        value: *value,
        unit: unit.as_deref(),
        quality: quality.as_deref(),
        quality_cause: quality_cause.as_deref(),
        outputs: &facts.outputs,
        runbook: facts.runbook.as_deref(),
        tags: &facts.tags,
    })
}

fn class(body: &EventBody) -> Class {
    match body {
        EventBody::Rule { level, .. } if level != Level::Danger.as_str() => Class::Tell,
        EventBody::Link { .. } => Class::Tell,
        _ => Class::Stop,
    }
}

fn ms(ns: u64) -> f64 {
    std::time::Duration::from_nanos(ns).as_secs_f64() * 1e3
}

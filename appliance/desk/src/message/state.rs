//! Retained states: what is, as opposed to what happened.

use appliance_control::{
    Actor, BypassStatus, ChannelStatus, DeviceStatus, Event, EventBody, OutputProof, OutputStatus,
    RuleStatus, VotingStatus,
};
use serde::Serialize;

use super::{PackFacts, json};
use crate::wall_time::rfc3339;

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
    /// Its alarm in the words of ISA-18.2: `normal`, `active`, `shelved`, `suppressed`, `out of service`. Whether a person
    /// has acknowledged it is not known here.
    pub alarm: &'static str,
    /// Until when it is not told, by whom and why; absent when it is.
    pub shelved: Option<Shelving>,
}

/// How an alert is shelved.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Shelving {
    /// Until when, for people.
    pub until: String,
    /// Who shelved it.
    pub by: Actor,
    /// Why.
    pub why: String,
}

impl RuleState {
    /// Whether it is shelved, and with that what its alarm is.
    fn shelve(&mut self, shelved: Option<Shelving>) {
        self.shelved = shelved;
        self.alarm = match (&self.shelved, self.cause.as_str(), self.state.as_str()) {
            (Some(_), ..) => "shelved",
            (None, "bypassed", _) => "out of service",
            (None, "inhibited", _) => "suppressed",
            (None, _, "active") => "active",
            _ => "normal",
        };
    }
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
    /// What proves it: echo, read-back, feedback, the watchdog of its device; absent until it was asked for.
    pub proof: Option<OutputProof>,
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

/// Health of a voting, retained.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct VotingState {
    /// See [`RuleState::seq`].
    pub seq: u64,
    /// See [`RuleState::since`].
    pub since: Option<String>,
    /// The voting.
    pub voting: String,
    /// In words: `2oo3, 1 bad: now 1oo2`.
    pub summary: String,
    /// As the pack says: `2oo3`.
    pub form: String,
    /// As it decides now; absent when it is not known.
    pub decides: Option<String>,
    /// Its channels.
    pub channels: Vec<ChannelStatus>,
}

/// A bypass in force.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Bypass {
    /// `VOTING/TAG`, or the rule's id.
    pub point: String,
    /// Who began it.
    pub by: Actor,
    /// Why.
    pub why: String,
    /// Until when, for people.
    pub until: String,
}

/// The bypasses in force, retained: none is also said.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct BypassesState {
    /// See [`RuleState::seq`].
    pub seq: u64,
    /// See [`RuleState::since`].
    pub since: Option<String>,
    /// Every one.
    pub bypasses: Vec<Bypass>,
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
    /// `<root>/votings/<voting>`.
    Voting(VotingState),
    /// `<root>/bypasses`.
    Bypasses(BypassesState),
}

impl PackFacts {
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
            } => {
                let mut state = RuleState {
                    seq,
                    since,
                    rule: rule.clone(),
                    level: level.clone(),
                    state: state.clone(),
                    cause: cause.clone(),
                    message: self.message_of(rule).unwrap_or_default().to_owned(),
                    alarm: "",
                    shelved: None,
                };
                state.shelve(None);
                Some(Retained::Rule(state))
            }
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
                proof: None,
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
                proof: None,
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
        let mut state = RuleState {
            seq,
            since: None,
            rule: rule.id.clone(),
            level: rule.level.clone(),
            state: rule.state.clone(),
            cause: rule.cause.clone(),
            message: rule.message.clone(),
            alarm: "",
            shelved: None,
        };
        state.shelve(None);
        Self::Rule(state)
    }

    /// The rule that it is of, if it is of one.
    #[must_use]
    pub fn rule(&self) -> Option<&str> {
        match self {
            Self::Rule(state) => Some(&state.rule),
            _ => None,
        }
    }

    /// The same, of event `seq`, shelved like this.
    #[must_use]
    pub fn shelved(mut self, seq: u64, shelved: Option<Shelving>) -> Self {
        if let Self::Rule(state) = &mut self {
            state.seq = seq;
            state.shelve(shelved);
        }
        self
    }

    /// A voting as the guard's status shows it when `seq` was its newest event.
    #[must_use]
    pub fn of_voting(voting: &VotingStatus, seq: u64) -> Self {
        Self::Voting(VotingState {
            seq,
            since: None,
            voting: voting.name.clone(),
            summary: voting.to_string(),
            form: voting.form.clone(),
            decides: voting.decides.clone(),
            channels: voting.channels.clone(),
        })
    }

    /// The bypasses as the guard's status shows them when `seq` was its newest event.
    pub fn of_bypasses<'a>(bypasses: impl Iterator<Item = &'a BypassStatus>, seq: u64) -> Self {
        let bypass = |bypass: &BypassStatus| Bypass {
            point: bypass.point.clone(),
            by: bypass.by.clone(),
            why: bypass.why.clone(),
            until: rfc3339(bypass.until_wall_ns),
        };
        Self::Bypasses(BypassesState {
            seq,
            since: None,
            bypasses: bypasses.map(bypass).collect(),
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
            proof: Some(output.proof),
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
            Self::Voting(state) => format!("{root}/votings/{}", state.voting),
            Self::Bypasses(_) => format!("{root}/bypasses"),
        }
    }

    /// The event this state is of, or the newest one when it was asked for.
    #[must_use]
    pub const fn seq(&self) -> u64 {
        match self {
            Self::Rule(state) => state.seq,
            Self::Output(state) => state.seq,
            Self::Device(state) => state.seq,
            Self::Voting(state) => state.seq,
            Self::Bypasses(state) => state.seq,
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
                now.proof = now.proof.or(was.proof);
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
            (Self::Voting(now), Self::Voting(was))
                if (&now.summary, &now.channels) == (&was.summary, &was.channels) =>
            {
                (now.seq, now.since) = (was.seq, was.since.clone());
            }
            (Self::Bypasses(now), Self::Bypasses(was)) if now.bypasses == was.bypasses => {
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
            Self::Voting(state) => wrapped(facts, state),
            Self::Bypasses(state) => wrapped(facts, state),
        }
    }
}

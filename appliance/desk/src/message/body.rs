//! The fields of one event, and how much it matters.

use appliance_control::{Actor, EventBody};
use rules_bundle::Level;
use serde::Serialize;

use super::{Class, RuleFacts};
use crate::NOTICE;
use crate::wall_time::rfc3339;

#[derive(Serialize)]
pub(super) struct RuleAlert<'a> {
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
pub(super) struct StopConfirmed<'a> {
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
pub(super) struct Repeated<'a> {
    #[serde(flatten)]
    body: &'a EventBody,
    repeats: u64,
}

/// What has times in it, as people read them: what was done until when, and what is left of it.
#[derive(Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub(super) enum Timed<'a> {
    Bypassed {
        point: &'a str,
        by: &'a Actor,
        why: &'a str,
        for_s: f64,
        until: String,
    },
    BypassReminder {
        point: &'a str,
        by: &'a Actor,
        why: &'a str,
        remaining_s: f64,
    },
    Shelved {
        rule: &'a str,
        by: &'a Actor,
        why: &'a str,
        for_s: f64,
        until: String,
    },
}

/// How soon somebody should look (ISA-18.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Priority {
    /// For the record.
    Low,
    /// Soon: something protects less than it should, or an alert is active.
    Medium,
    /// Now: a machine was stopped, or its stop cannot be relied on.
    High,
}

/// See [`Priority`].
pub(super) fn priority(body: &EventBody) -> Priority {
    match body {
        EventBody::Rule { level, state, .. } if state == "active" => {
            if level == Level::Alert.as_str() {
                Priority::Medium
            } else {
                Priority::High
            }
        }
        EventBody::Latched { .. }
        | EventBody::TripRequested { .. }
        | EventBody::StopConfirmed { missed: true, .. }
        | EventBody::EdmFault { .. }
        | EventBody::Overwritten { .. }
        | EventBody::DeviceWatchdog { armed: false, .. }
        | EventBody::AnalyzerFault { .. }
        | EventBody::Canary { missed: true, .. }
        | EventBody::SelfCheck { stopped: true, .. } => Priority::High,
        EventBody::Replay { result, .. } if result == "differs" => Priority::High,
        EventBody::Replay { result, .. } if result != "agrees" => Priority::Medium,
        EventBody::Bypassed { .. }
        | EventBody::BypassReminder { .. }
        | EventBody::BypassEnded { .. }
        | EventBody::Deviation { on: true, .. }
        | EventBody::Input {
            passivated: true, ..
        }
        | EventBody::Multiplier { on: true, .. }
        | EventBody::Inhibit { on: true, .. }
        | EventBody::OutputFault { .. }
        | EventBody::SelfCheck { stopped: false, .. }
        | EventBody::ResetRefused { .. }
        | EventBody::NotAllowed { .. }
        | EventBody::Link { up: false, .. } => Priority::Medium,
        EventBody::Channel { health, .. } if health != "good" => Priority::Medium,
        EventBody::Analyzer { level, .. } if level != "normal" => Priority::Medium,
        _ => Priority::Low,
    }
}

/// What may be dropped first when the outbox is full: alerts, links, and what is only for the record.
pub(super) fn class(body: &EventBody) -> Class {
    match body {
        EventBody::Rule { level, .. } if level != Level::Danger.as_str() => Class::Tell,
        EventBody::Rule { .. }
        | EventBody::Latched { .. }
        | EventBody::Released { .. }
        | EventBody::StopConfirmed { .. }
        | EventBody::TripRequested { .. }
        | EventBody::Reset { .. }
        | EventBody::ResetRefused { .. }
        | EventBody::OutputFault { .. }
        | EventBody::Bypassed { .. }
        | EventBody::BypassReminder { .. }
        | EventBody::BypassEnded { .. }
        | EventBody::Lifted { .. }
        | EventBody::Channel { .. }
        | EventBody::EdmFault { .. }
        | EventBody::Overwritten { .. }
        | EventBody::DeviceWatchdog { .. }
        | EventBody::AnalyzerFault { .. }
        | EventBody::Canary { .. }
        | EventBody::Replay { .. }
        | EventBody::SelfCheck { .. } => Class::Stop,
        _ => Class::Tell,
    }
}

/// Times as people read them; `None` for an event without.
pub(super) fn timed(body: &EventBody) -> Option<Timed<'_>> {
    Some(match body {
        EventBody::Bypassed {
            point,
            by,
            why,
            for_ns,
            until_wall_ns,
        } => Timed::Bypassed {
            point,
            by,
            why,
            for_s: seconds(*for_ns),
            until: rfc3339(*until_wall_ns),
        },
        EventBody::BypassReminder {
            point,
            by,
            why,
            remaining_ns,
        } => Timed::BypassReminder {
            point,
            by,
            why,
            remaining_s: seconds(*remaining_ns),
        },
        EventBody::Shelved {
            rule,
            by,
            why,
            for_ns,
            until_wall_ns,
        } => Timed::Shelved {
            rule,
            by,
            why,
            for_s: seconds(*for_ns),
            until: rfc3339(*until_wall_ns),
        },
        _ => return None,
    })
}

/// `None` for another event.
pub(super) fn stop_confirmed<'a>(
    body: &'a EventBody,
    facts: &'a RuleFacts,
) -> Option<StopConfirmed<'a>> {
    let EventBody::StopConfirmed {
        rule,
        latency_ns,
        missed,
    } = body
    else {
        return None;
    };
    Some(StopConfirmed {
        event: "stop_confirmed",
        rule,
        latency_ms: ms(*latency_ns),
        deadline_ms: facts.deadline_ns.map(ms),
        missed: *missed,
        outputs: &facts.outputs,
        notice: NOTICE,
    })
}

pub(super) const fn repeated(body: &EventBody, repeats: u64) -> Repeated<'_> {
    Repeated { body, repeats }
}

/// `None` for another event.
pub(super) fn rule_alert<'a>(body: &'a EventBody, facts: &'a RuleFacts) -> Option<RuleAlert<'a>> {
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

fn seconds(ns: u64) -> f64 {
    std::time::Duration::from_nanos(ns).as_secs_f64()
}

fn ms(ns: u64) -> f64 {
    seconds(ns) * 1e3
}

//! From indices to names: what people, the desk and alerts read.

mod analyzers;
mod names;
mod refusal;
mod silent;
mod views;

use appliance_control::{
    DeviceStatus, Distribution, EventBody, LaneStatus, OutputStatus, RuleStatus, TagStatus,
};
use appliance_lane::{EventKind, Hold, LatchCause};
use appliance_output::Permit;
use drivers_frame::{Cause, TagId};
use rules_bundle::{LanePlan, ModulePlan};

use crate::acquire::LinkStats;
use crate::message::Snapshot;
use crate::pulse::Orders;
use crate::stages::Recorder;
use names::{channel_name, group_name, tag_name, voting_name};
pub(crate) use names::{device_name, output_name, point_name, rule_name};
pub(crate) use refusal::{refusal_cause, refusal_help};

pub(crate) use analyzers::analyzer_statuses;
pub(crate) use silent::silent_lane_status;

/// A lane's event in names; `None` for what the main thread records itself, with who did it and why.
pub(crate) fn event_body(
    plan: &LanePlan,
    modules: &[ModulePlan],
    kind: &EventKind,
) -> Option<EventBody> {
    Some(match *kind {
        EventKind::Rule {
            rule,
            from,
            to,
            cause,
            tag,
            value,
            quality,
            quality_cause,
        } => {
            let tag = tag.and_then(|TagId(tag)| plan.tags.get(usize::from(tag)));
            let level = plan
                .rules
                .get(usize::from(rule))
                .map_or("danger", |rule| rule.level.as_str());
            EventBody::Rule {
                rule: rule_name(plan, rule),
                level: level.to_owned(),
                from: from.as_str().to_owned(),
                state: to.as_str().to_owned(),
                cause: cause.as_str().to_owned(),
                value: (tag.is_some() && quality.is_usable()).then_some(value),
                unit: tag.map(|tag| tag.unit.clone()),
                quality: tag.map(|_| quality.as_str().to_owned()),
                quality_cause: (!quality.is_usable()).then(|| quality_cause.as_str().to_owned()),
                tag: tag.map(|tag| tag.name.clone()),
            }
        }
        EventKind::Latched { output, cause } => EventBody::Latched {
            output: output_name(plan, output),
            cause: cause.as_str().to_owned(),
            rule: latching_rule(plan, cause),
        },
        EventKind::Released { output } => EventBody::Released {
            output: output_name(plan, output),
        },
        EventKind::StopConfirmed {
            rule,
            latency,
            missed,
        } => EventBody::StopConfirmed {
            rule: rule_name(plan, rule),
            latency_ns: latency.as_ns(),
            missed,
        },
        EventKind::ResetRefused(refusal) => EventBody::ResetRefused {
            cause: refusal_cause(plan, refusal),
            by: None,
        },
        EventKind::ResetPressed { button: true } => EventBody::ResetPressed { by: None },
        EventKind::ResetPressed { button: false }
        | EventKind::BypassBegun { .. }
        | EventKind::Lifted(_) => return None,
        EventKind::BypassEnded { point, expired } => {
            if !expired {
                return None;
            }
            EventBody::BypassEnded {
                point: point_name(plan, point),
                by: None,
            }
        }
        EventKind::Channel {
            voting,
            channel,
            cause,
        } => EventBody::Channel {
            voting: voting_name(plan, voting),
            tag: channel_name(plan, voting, channel),
            health: if cause == Cause::None { "good" } else { "bad" }.to_owned(),
            cause: (cause != Cause::None).then(|| cause.as_str().to_owned()),
            decides: None,
        },
        EventKind::Deviation {
            voting,
            channel,
            on,
        } => EventBody::Deviation {
            voting: voting_name(plan, voting),
            tag: channel_name(plan, voting, channel),
            on,
        },
        EventKind::Passivated { tag, cause } => input(plan, tag, true, Some(cause), false),
        EventKind::AwaitsAcknowledgement { tag } => input(plan, tag, true, None, true),
        EventKind::Reintegrated { tag } => input(plan, tag, false, None, false),
        EventKind::Multiplier { rule, on } => EventBody::Multiplier {
            rule: rule_name(plan, rule),
            on,
        },
        EventKind::Inhibit { rule, on } => EventBody::Inhibit {
            rule: rule_name(plan, rule),
            on,
        },
        EventKind::EdmFault { output } => EventBody::EdmFault {
            output: output_name(plan, output),
        },
        EventKind::Escalated { output, to } => EventBody::OutputFault {
            output: output_name(plan, output),
            cause: format!(
                "its stop was not proved in time; {} is stopped instead",
                output_name(plan, to)
            ),
        },
        EventKind::Overwritten { output } => EventBody::Overwritten {
            output: output_name(plan, output),
        },
        EventKind::DeviceWatchdog { output, armed } => EventBody::DeviceWatchdog {
            output: output_name(plan, output),
            armed,
        },
        EventKind::AnalyzerVerdict { .. }
        | EventKind::AnalyzerFailed { .. }
        | EventKind::AnalyzerReplaced { .. }
        | EventKind::CanaryMissed { .. }
        | EventKind::CanaryPassed { .. }
        | EventKind::Replayed { .. } => return analyzers::event_body(plan, modules, kind),
        EventKind::Held(hold) => EventBody::SelfCheck {
            check: match hold {
                Hold::HostTooSlow => "host",
                Hold::CrashLoop => "crash_loop",
                Hold::Watchdog => "watchdog",
                Hold::Memory => "memory",
            }
            .to_owned(),
            stopped: true,
            detail: format!("{}: every output of the lane is stopped", hold.as_str()),
        },
    })
}

fn input(
    plan: &LanePlan,
    TagId(tag): TagId,
    passivated: bool,
    cause: Option<Cause>,
    needs_acknowledgement: bool,
) -> EventBody {
    EventBody::Input {
        tag: tag_name(plan, tag),
        passivated,
        cause: cause.map(|cause| cause.as_str().to_owned()),
        needs_acknowledgement,
    }
}

pub(crate) fn latching_rule(plan: &LanePlan, cause: LatchCause) -> Option<String> {
    match cause {
        LatchCause::Rule { rule, .. } => Some(rule_name(plan, rule)),
        _ => None,
    }
}

/// What a lane is, apart from what it did.
pub(crate) struct Placement {
    pub(crate) core: Option<usize>,
    pub(crate) scheduling: String,
    pub(crate) wait: &'static str,
}

/// A lane's state in names.
pub(crate) fn lane_status(
    plan: &LanePlan,
    placement: &Placement,
    snapshot: &Snapshot,
    links: &[Option<LinkStats>],
    orders: &Orders,
) -> LaneStatus {
    let counters = snapshot.counters;
    let permission = |rule: usize, declared: bool| {
        let on = snapshot.views.permissions.get(rule).copied();
        on.filter(|_| declared)
    };
    LaneStatus {
        name: plan.name.clone(),
        core: placement.core,
        scheduling: placement.scheduling.clone(),
        wait: placement.wait.to_owned(),
        ticks: counters.ticks,
        samples: counters.samples,
        out_of_order: counters.out_of_order,
        frames_lost: counters.frames_lost,
        evaluations: counters.evaluations,
        comparison_faults: counters.comparison_faults,
        window_overruns: snapshot.window_overruns,
        devices: plan
            .devices
            .iter()
            .zip(links)
            .filter_map(|(device, link)| Some(device_status(&device.name, link.as_ref()?)))
            .collect(),
        analyzers: Vec::new(),
        rules: plan
            .rules
            .iter()
            .zip(&snapshot.rules)
            .enumerate()
            .map(|(index, (rule, (state, cause)))| RuleStatus {
                id: rule.id.clone(),
                level: rule.level.as_str().to_owned(),
                state: state.as_str().to_owned(),
                cause: cause.as_str().to_owned(),
                message: rule.message.clone(),
                multiplied: permission(index, rule.multiplier.is_some())
                    .map(|(multiplied, _)| multiplied),
                inhibited: permission(index, rule.inhibit.is_some())
                    .map(|(_, inhibited)| inhibited),
                bound_ns: None,
                measured_max_ns: None,
            })
            .collect(),
        votings: views::votings(plan, Some(&snapshot.views)),
        bypasses: Vec::new(),
        groups: views::groups(plan, snapshot),
        holds: Some(views::holds(&snapshot.views)),
        outputs: plan
            .outputs
            .iter()
            .zip(&snapshot.outputs)
            .enumerate()
            .map(|(index, (output, state))| OutputStatus {
                name: output.name.clone(),
                group: group_name(plan, output.group),
                // What the sentinel stopped is withheld, also in the turn in which the lane learns of it.
                permit: match state.permit {
                    Permit::Granted if !orders.is_forbidden() => "granted",
                    Permit::Granted | Permit::Withheld => "withheld",
                }
                .to_owned(),
                first_out: silent::watchdog_words(orders)
                    .or_else(|| Some(state.latch?.first_out.as_str().to_owned())),
                rule: state
                    .latch
                    .and_then(|latch| latching_rule(plan, latch.first_out)),
                latched_for_ns: state.latch.map(|latch| snapshot.at.since(latch.at).as_ns()),
                connected: state.connected,
                confirmed: state.confirmed,
                proof: views::proof(index, output, state, snapshot),
                confirmations: state.counters.confirmed,
                failures: state.counters.failures,
            })
            .collect(),
    }
}

fn device_status(name: &str, stats: &LinkStats) -> DeviceStatus {
    use drivers_modbus::session::LinkState as Modbus;
    use drivers_mqtt::session::LinkState as Mqtt;
    let sum = |counts: &[u64]| {
        counts
            .iter()
            .fold(0, |sum: u64, count| sum.saturating_add(*count))
    };
    match stats {
        LinkStats::Modbus {
            link,
            counters,
            last_error,
        } => DeviceStatus {
            name: name.to_owned(),
            kind: "modbus".to_owned(),
            link: match link {
                Modbus::Down => "down",
                Modbus::Connecting => "connecting",
                Modbus::Up => "up",
            }
            .to_owned(),
            last_error: last_error.map(|error| error.to_string()),
            requests: counters.requests,
            replies: counters.replies,
            anomalies: sum(&[
                counters.anomalies,
                counters.timeouts,
                counters.exceptions,
                counters.blocks.faults(),
            ]),
            connects: counters.connects,
        },
        LinkStats::Mqtt { link, counters } => DeviceStatus {
            name: name.to_owned(),
            kind: "mqtt".to_owned(),
            link: match link {
                Mqtt::Up { .. } => "up",
                Mqtt::Disconnected { .. } => "down",
                Mqtt::Connecting { .. } | Mqtt::AwaitConnack { .. } | Mqtt::Subscribing { .. } => {
                    "connecting"
                }
            }
            .to_owned(),
            last_error: counters.last_error.map(|error| error.to_string()),
            requests: counters.attempts,
            replies: counters.messages,
            anomalies: sum(&[
                counters.malformed,
                counters.oversize,
                counters.dropped_retained,
                counters.dropped_duplicate,
                envelope_anomalies(&counters.envelope),
                counters.blocks.malformed,
                counters.blocks.faults(),
                counters.protocol_errors,
                counters.progress_timeouts,
            ]),
            connects: counters.ups,
        },
    }
}

/// Every error that envelopes showed, a source whose clock was set included (H-24).
fn envelope_anomalies(counters: &drivers_mqtt::EnvelopeCounters) -> u64 {
    drivers_mqtt::envelope::EnvelopeError::ALL
        .iter()
        .fold(counters.clock_jumps, |sum, error| {
            sum.saturating_add(counters.of(*error))
        })
}

/// A lane's tags in names.
pub(crate) fn tag_statuses<'a>(
    plan: &'a LanePlan,
    snapshot: &'a Snapshot,
) -> impl Iterator<Item = TagStatus> {
    plan.tags
        .iter()
        .zip(&snapshot.tags)
        .map(|(tag, view)| TagStatus {
            lane: plan.name.clone(),
            name: tag.name.clone(),
            value: view.quality.is_usable().then_some(view.value),
            unit: tag.unit.clone(),
            quality: view.quality.as_str().to_owned(),
            cause: (view.cause != drivers_frame::Cause::None)
                .then(|| view.cause.as_str().to_owned()),
            age_ns: snapshot.at.since(view.at).as_ns(),
        })
}

/// A histogram in figures.
pub(crate) fn distribution(recorder: &Recorder) -> Distribution {
    let histogram = &recorder.histogram;
    if histogram.is_empty() {
        return Distribution::default();
    }
    let at = |quantile: f64| histogram.value_at_quantile(quantile).min(recorder.max_ns);
    Distribution {
        count: histogram.len(),
        min_ns: recorder.min_ns,
        mean_ns: whole(histogram.mean()),
        p50_ns: at(0.50),
        p90_ns: at(0.90),
        p99_ns: at(0.99),
        p999_ns: at(0.999),
        max_ns: recorder.max_ns,
        steps: histogram
            .iter_quantiles(5)
            .scan(0_u64, |total, step| {
                *total = total.saturating_add(step.count_since_last_iteration());
                Some((
                    step.value_iterated_to().min(recorder.max_ns),
                    step.quantile_iterated_to(),
                    *total,
                ))
            })
            .collect(),
    }
}

#[expect(
    clippy::as_conversions,
    reason = "a mean of at most 10^10 ns, rounded to a whole one"
)]
fn whole(value: f64) -> u64 {
    value as u64
}

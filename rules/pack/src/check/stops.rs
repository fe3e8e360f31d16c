//! What proves that an output stopped, and what follows when it does not: categories, groups, read-back, feedback,
//! escalation.

use std::collections::HashMap;

use drivers_frame::DurNs;
use rules_bundle::ReadBackPlan;

use super::model::{Feedback, Index, ModbusLink, Output, Stop};
use super::switch::Switches;
use super::text::{check_id, positive};
use super::watchdogs::{one_watchdog_a_station, refreshed_in_time, watchdog_plan};
use super::{ns, unknown_name};
use crate::finding::Code;
use crate::raw::{self, Watchdog};
use crate::read::{Cx, Map, Named, Span};
use crate::scalar::Text;

/// The keys of one output that name no other output.
pub(super) fn own_keys(
    raw: &raw::Output,
    modbus: Option<&ModbusLink>,
    switches: &Switches<'_>,
    output: &mut Output,
    cx: &mut Cx<'_, '_>,
) {
    if let Some(group) = raw.group.as_ref() {
        check_id("group", &group.value, &group.span, cx);
        output.group = Some((group.value.clone(), group.span.clone()));
    }
    output.read_back = raw.read_back.as_ref().map(|read_back| ReadBackPlan {
        period: ns(positive("every", read_back.every.get(), 0, cx)),
        within: ns(positive("within", read_back.within.get(), 0, cx)),
    });
    output.feedback = raw.feedback.as_ref().and_then(|feedback| {
        let within_ns = positive("within", feedback.within.get(), 0, cx);
        let name = feedback.tag.get()?;
        let tag = switches.boolean("feedback", name, cx)?;
        Some(Feedback {
            tag,
            safe: feedback.safe.get()?.value,
            within_ns,
            span: name.span.clone(),
        })
    });
    output.device_time_ns = raw.device_time.as_ref().map(|time| time.ns);
    output.watchdog_stated = raw.has("watchdog");
    if let Some(Watchdog::Some(record)) = raw.watchdog.as_ref() {
        output.watchdog = watchdog_plan(record, modbus, cx);
        refreshed_in_time(output, record, cx);
    }
}

/// The keys that name other outputs.
pub(super) fn others(
    map: &Map<raw::Output>,
    outputs: &mut [Output],
    index: &Index<'_>,
    cx: &mut Cx<'_, '_>,
) {
    for (at, named) in map.entries.iter().enumerate() {
        let Some(raw) = named.value.as_ref() else {
            continue;
        };
        let stop = stop(named, raw, at, outputs, index, cx);
        let escalate_to = raw.escalate_to.as_ref().and_then(|name| {
            let other = output_of(name, index, cx)?;
            (!itself("escalates to", at, other, name, cx)).then(|| (other, name.span.clone()))
        });
        if let Some(output) = outputs.get_mut(at) {
            output.stop = stop;
            output.escalate_to = escalate_to;
        }
    }
    one_watchdog_a_station(outputs, cx);
    categories(map, outputs, cx);
    circles(outputs, cx);
    groups(outputs, cx);
}

fn output_of(name: &Text, index: &Index<'_>, cx: &mut Cx<'_, '_>) -> Option<usize> {
    let found = index.get(name.value.as_str()).copied();
    if found.is_none() {
        unknown_name("output", name, index.keys().copied(), "under `outputs`", cx);
    }
    found
}

fn itself(what: &str, at: usize, other: usize, name: &Text, cx: &mut Cx<'_, '_>) -> bool {
    if at == other {
        cx.findings
            .error(
                Code::BadEscalation,
                &name.span,
                format!("`{}` {what} itself", name.value),
                "name another output, one that removes the energy by another way",
            )
            .label("the same output");
    }
    at == other
}

fn stop(
    named: &Named<raw::Output>,
    raw: &raw::Output,
    at: usize,
    outputs: &[Output],
    index: &Index<'_>,
    cx: &mut Cx<'_, '_>,
) -> Stop {
    let Some(stop) = raw.stop.as_ref() else {
        return Stop::Zero;
    };
    let Some(category) = stop.category.get() else {
        return Stop::Zero;
    };
    if category.value == 0 {
        for key in ["controlled_by", "power_off_after"] {
            if let Some(span) = stop.key_span(key) {
                cx.findings.error(
                    Code::BadStopCategory,
                    span,
                    format!("category 0 removes the power at once, so `{key}` has no meaning"),
                    format!("remove `{key}`, or write `category: 1`"),
                );
            }
        }
        return Stop::Zero;
    }
    let mut missing = false;
    for key in ["controlled_by", "power_off_after"] {
        if !stop.has(key) {
            missing = true;
            cx.findings
                .error(
                    Code::BadStopCategory,
                    &stop.at,
                    format!(
                        "category 1 is a controlled stop and then no power, but `{key}` is missing"
                    ),
                    "write `stop: { category: 1, controlled_by: drive_stop, power_off_after: 2s }`",
                )
                .label(format!("needs `{key}`"));
        }
    }
    let power_off_after_ns = positive("power_off_after", stop.power_off_after.as_ref(), 0, cx);
    let Some(name) = stop.controlled_by.as_ref().filter(|_| !missing) else {
        return Stop::Zero;
    };
    let Some(other) = output_of(name, index, cx) else {
        return Stop::Zero;
    };
    if itself("is controlled by", at, other, name, cx) {
        return Stop::Zero;
    }
    let group = |at: usize| outputs.get(at).and_then(|output| output.group.as_ref());
    let together = group(at)
        .zip(group(other))
        .is_some_and(|(own, its)| own.0 == its.0);
    if !together {
        cx.findings
            .error(
                Code::BadStopCategory,
                &name.span,
                format!(
                    "`{}` and `{}` are not of one group, so one could stop without the other",
                    named.name, name.value
                ),
                format!(
                    "give both the same `group:`, such as `group: {}`",
                    named.name
                ),
            )
            .label("another group");
    }
    Stop::One {
        controlled_by: other,
        power_off_after_ns,
    }
}

/// Who asks for a controlled stop must do so at once.
fn categories(map: &Map<raw::Output>, outputs: &[Output], cx: &mut Cx<'_, '_>) {
    for (output, named) in outputs.iter().zip(&map.entries) {
        let Stop::One { controlled_by, .. } = output.stop else {
            continue;
        };
        let other = outputs.get(controlled_by);
        let late = other.filter(|other| matches!(other.stop, Stop::One { .. }));
        let raw = named.value.as_ref().and_then(|raw| raw.stop.as_ref());
        if let (Some(other), Some(stop)) = (late, raw) {
            cx.findings.error(
                Code::BadStopCategory,
                stop.key_span("controlled_by").unwrap_or(&stop.at),
                format!(
                    "`{}` is of category 1 itself, so it does not ask at once",
                    other.name
                ),
                "let an output of category 0 ask for the controlled stop",
            );
        }
    }
}

/// Escalation must end somewhere.
fn circles(outputs: &[Output], cx: &mut Cx<'_, '_>) {
    let mut told = vec![false; outputs.len()];
    for (start, output) in outputs.iter().enumerate() {
        let mut way = vec![start];
        let mut next = output.escalate_to.as_ref().map(|(next, _)| *next);
        while let Some(at) = next {
            if at == start {
                break;
            }
            if way.contains(&at) {
                // A circle further on is told where it begins.
                next = None;
                break;
            }
            way.push(at);
            next = (outputs.get(at))
                .and_then(|output| output.escalate_to.as_ref())
                .map(|(next, _)| *next);
        }
        let known = told.get(start).copied().unwrap_or(true);
        let Some((_, span)) = output
            .escalate_to
            .as_ref()
            .filter(|_| next == Some(start) && !known)
        else {
            continue;
        };
        for at in &way {
            if let Some(told) = told.get_mut(*at) {
                *told = true;
            }
        }
        let names: Vec<&str> = way
            .iter()
            .chain([&start])
            .filter_map(|at| outputs.get(*at))
            .map(|output| output.name.as_str())
            .collect();
        cx.findings
            .error(
                Code::BadEscalation,
                span,
                format!("the escalation runs in a circle: {}", names.join(" -> ")),
                "let the last of them escalate to nothing: it is the final means, such as the main breaker",
            )
            .label("leads back");
    }
}

/// A group with the name of an output that is not in it would be mistaken for that output's own.
fn groups(outputs: &[Output], cx: &mut Cx<'_, '_>) {
    let own: HashMap<&str, &Output> = outputs
        .iter()
        .filter(|output| output.group.is_none())
        .map(|output| (output.name.as_str(), output))
        .collect();
    for output in outputs {
        if let Some((group, span)) = &output.group
            && own.contains_key(group.as_str())
        {
            cx.findings
                .error(
                    Code::NameTaken,
                    span,
                    format!("`{group}` is a group, and also an output that is not in it"),
                    "an output without `group` has a group of its name: add it to this one, or name the group otherwise",
                )
                .label("name taken");
        }
    }
}

/// Lanes and stops of outputs that no rule names: those of a latched group, and those that are escalated to.
pub(super) fn settle(outputs: &mut [Output], switches: &Switches<'_>, cx: &mut Cx<'_, '_>) {
    let mut told = vec![false; outputs.len()];
    // Each round carries lanes one step further; a way is no longer than there are outputs.
    for _ in 0..outputs.len() {
        let mut steps: Vec<(usize, (usize, String), bool, Span)> = Vec::new();
        let mut by_group: HashMap<String, (usize, String, bool)> = HashMap::new();
        for output in outputs.iter() {
            if let (Some((group, _)), Some((lane, by))) = (&output.group, &output.lane) {
                let entry = by_group
                    .entry(group.clone())
                    .or_insert_with(|| (*lane, by.clone(), output.stopped));
                entry.2 |= output.stopped;
            }
        }
        for (at, output) in outputs.iter().enumerate() {
            let group = output.group.as_ref();
            if let Some((span, (lane, by, stopped))) =
                group.and_then(|(group, span)| Some((span, by_group.get(group)?)))
            {
                steps.push((at, (*lane, by.clone()), *stopped, span.clone()));
            }
            if let (Some((to, span)), Some(lane)) = (&output.escalate_to, &output.lane) {
                steps.push((*to, lane.clone(), output.stopped, span.clone()));
            }
        }
        let mut changed = false;
        for (at, (lane, by), stopped, span) in steps {
            let Some(output) = outputs.get_mut(at) else {
                continue;
            };
            changed |= stopped && !output.stopped;
            output.stopped |= stopped;
            match &output.lane {
                None => {
                    output.lane = Some((lane, by));
                    changed = true;
                }
                Some((other, _)) if *other != lane => {
                    let Some(told) = told.get_mut(at).filter(|told| !**told) else {
                        continue;
                    };
                    *told = true;
                    let name = |lane: usize| {
                        let lane = switches.lanes.get(lane);
                        lane.map_or("?", |lane| lane.name.as_str())
                    };
                    cx.findings
                        .error(
                            Code::TwoLanes,
                            &span,
                            format!(
                                "`{}` would belong to two lanes: `{}` and `{}`",
                                output.name,
                                name(*other),
                                name(lane)
                            ),
                            "lanes share nothing: groups and escalations stay within one lane",
                        )
                        .label("two lanes");
                }
                Some(_) => {}
            }
        }
        if !changed {
            break;
        }
    }
    for output in outputs.iter() {
        if let (Some(feedback), Some((lane, _))) = (&output.feedback, &output.lane) {
            let what = format!("the output `{}`", output.name);
            switches.same_lane(&what, feedback.tag, *lane, &feedback.span, cx);
        }
    }
}

/// What is allowed and probably not meant. Called when the pack has no error.
pub(super) fn lint(outputs: &[Output], cx: &mut Cx<'_, '_>) {
    for output in outputs {
        if !output.watchdog_stated {
            cx.findings
                .warning(
                    Code::NoWatchdog,
                    &output.span,
                    format!(
                        "when this computer dies, `{}` keeps its last value unless its device drops it",
                        output.name
                    ),
                    "describe the device's watchdog, `watchdog: { profile: wago_750, time: 500ms }`, or state that there is \
                     none, `watchdog: none`",
                )
                .label("no watchdog");
        }
        match output.device_time_ns {
            None => {
                cx.findings
                    .warning(
                        Code::NoDeviceTime,
                        &output.span,
                        format!(
                            "nobody says how long `{}` takes from the written stop to the removed energy",
                            output.name
                        ),
                        "add what the data sheets say, such as `device_time: 20ms`; `0s` if the deadline is for the write only",
                    )
                    .label("no `device_time`");
            }
            Some(time) => {
                let late = (output.feedback.as_ref()).filter(|feedback| feedback.within_ns < time);
                if let Some(feedback) = late {
                    cx.findings
                        .warning(
                            Code::FeedbackTooShort,
                            &feedback.span,
                            format!(
                                "the feedback is expected within {}, and the device takes {}",
                                DurNs::from_ns(feedback.within_ns),
                                DurNs::from_ns(time)
                            ),
                            "write a `within` longer than `device_time`, or every stop is told as a fault",
                        )
                        .label("sooner than the device");
                }
            }
        }
    }
}

//! What is allowed but probably not meant: things nobody uses, times finer than the timer, one register of two types.

use std::collections::{HashMap, HashSet};

use drivers_frame::{DurNs, ValueCodec, ValueType};
use rt_config::limits::{CONDITIONS_MAX, STALE_CLASSES_MAX, WINDOWS_MAX};
use rules_bundle::{Level, Table};
use rules_expr::Input;

use super::model::{Device, Lane, Link, Output, Place, Rule, Tag, Voting, Waveform};
use crate::finding::Code;
use crate::read::Cx;

/// Everything that was checked part by part.
pub(super) struct All<'c> {
    pub(super) lanes: &'c [Lane],
    pub(super) devices: &'c [Device],
    pub(super) tags: &'c [Tag],
    pub(super) waveforms: &'c [Waveform],
    pub(super) votings: &'c [Voting],
    pub(super) outputs: &'c [Output],
    pub(super) rules: &'c [Rule],
}

/// Looks at the pack as a whole.
pub(super) fn whole(all: &All<'_>, stops_are_clear: bool, cx: &mut Cx<'_, '_>) {
    if stops_are_clear {
        unused_outputs(all, cx);
    }
    stale_classes(all, cx);
    windows(all, cx);
    conditions(all, cx);
    // With errors, what is not used may only be misspelt where it is; so the remarks wait until the pack is right.
    if cx.findings.errors() > 0 {
        return;
    }
    unused_tags(all, cx);
    unused_devices(all, cx);
    unused_lanes(all, cx);
    two_types(all, cx);
    finer_than_timer(all, cx);
    super::votings::lint(all, cx);
    super::stops::lint(all.outputs, cx);
    super::trust::lint(all, cx);
    alerts_too_late(all, cx);
}

/// What a simple condition looks at: which voting, which input, in which direction.
type Looked<'r> = (Option<usize>, &'r Input, bool);

/// An alert whose limit is not reached before the danger's tells people what they already know.
fn alerts_too_late(all: &All<'_>, cx: &mut Cx<'_, '_>) {
    let mut dangers: HashMap<Looked<'_>, (f64, &Rule)> = HashMap::new();
    for rule in all.rules.iter().filter(|rule| rule.level == Level::Danger) {
        let Some(point) = rule.compiled.setpoint() else {
            continue;
        };
        let key = (rule.voting, point.input, point.above);
        let first = dangers.entry(key).or_insert((point.value, rule));
        // Of several dangers the one that is reached first counts.
        if (point.above && point.value < first.0) || (!point.above && point.value > first.0) {
            *first = (point.value, rule);
        }
    }
    for rule in all.rules.iter().filter(|rule| rule.level == Level::Alert) {
        let Some(point) = rule.compiled.setpoint() else {
            continue;
        };
        let Some((limit, danger)) = dangers.get(&(rule.voting, point.input, point.above)) else {
            continue;
        };
        let sooner = if point.above {
            point.value < *limit
        } else {
            point.value > *limit
        };
        if sooner {
            continue;
        }
        cx.findings
            .warning(
                Code::AlertTooLate,
                &rule.when_span,
                format!(
                    "the alert `{}` cannot come before the danger `{}`, whose limit is reached first",
                    rule.id, danger.id
                ),
                "give the alert a limit that is reached sooner, so that people can act before the machine stops",
            )
            .label("not before the danger");
    }
}

fn unused_tags(all: &All<'_>, cx: &mut Cx<'_, '_>) {
    for tag in all.tags.iter().filter(|tag| !tag.used.get()) {
        cx.findings
            .warning(
                Code::UnusedTag,
                &tag.span,
                format!("no rule reads the tag `{}`", tag.name),
                "use it in a `when`, or remove it; it is read from the device all the same",
            )
            .label("not read");
    }
}

fn unused_devices(all: &All<'_>, cx: &mut Cx<'_, '_>) {
    for device in all.devices.iter().filter(|device| !device.used) {
        cx.findings
            .warning(
                Code::UnusedDevice,
                &device.span,
                format!("no tag and no output uses the device `{}`", device.name),
                "add tags or outputs with this `device`, or remove it",
            )
            .label("not used");
    }
}

/// A lane without devices is a pinned thread that waits for nothing.
fn unused_lanes(all: &All<'_>, cx: &mut Cx<'_, '_>) {
    let busy = |index: usize| all.devices.iter().any(|device| device.lane == Some(index));
    // The lane that is there without being written needs no remark.
    for (_, lane) in all
        .lanes
        .iter()
        .enumerate()
        .filter(|(index, lane)| !lane.span.is_empty() && !busy(*index))
    {
        cx.findings
            .warning(
                Code::UnusedLane,
                &lane.span,
                format!("no device belongs to the lane `{}`", lane.name),
                "write `lane:` in a device, or remove the lane: it would hold a core and do nothing",
            )
            .label("nothing to do");
    }
}

/// An output that nothing stops would look like protection and be none.
fn unused_outputs(all: &All<'_>, cx: &mut Cx<'_, '_>) {
    for output in all.outputs.iter().filter(|output| !output.stopped) {
        cx.findings
            .error(
                Code::OutputUnused,
                &output.span,
                format!("no rule stops the output `{}`", output.name),
                "name it in the `stops` of a danger rule, or remove it: its permit would be renewed whatever happens",
            )
            .label("never stopped");
    }
}

fn two_types(all: &All<'_>, cx: &mut Cx<'_, '_>) {
    let mut first: HashMap<(usize, Table, u16), (&Tag, ValueCodec)> = HashMap::new();
    for tag in all.tags {
        let (Some(device), Some(Place::Modbus { table, address }), Some(codec)) =
            (tag.device, &tag.place, tag.codec)
        else {
            continue;
        };
        match first.get(&(device, *table, *address)) {
            Some((earlier, other)) if differ(codec, *other) => {
                cx.findings
                    .warning(
                        Code::TwoTypes,
                        &tag.span,
                        format!(
                            "`{}` and `{}` read the same register with different types",
                            earlier.name, tag.name
                        ),
                        "check the address and type of both against the device's manual",
                    )
                    .label("same register, other type");
            }
            Some(_) => {}
            None => {
                first.insert((device, *table, *address), (tag, codec));
            }
        }
    }
}

/// Different bits of one register, and one register scaled in two ways, are ordinary.
fn differ(a: ValueCodec, b: ValueCodec) -> bool {
    a.kind != b.kind || (a.kind != ValueType::Bool && (a.words != b.words || a.bytes != b.bytes))
}

fn stale_classes(all: &All<'_>, cx: &mut Cx<'_, '_>) {
    let mut classes: HashMap<usize, HashSet<(usize, u64)>> = HashMap::new();
    let mut told = HashSet::new();
    for tag in all.tags.iter().filter(|tag| tag.stale_after_ns > 0) {
        let Some(index) = tag.device else { continue };
        let Some(device) = all.devices.get(index) else {
            continue;
        };
        let (Some(lane), Some(Link::Modbus(_) | Link::Mqtt(_))) =
            (device.lane, device.link.as_ref())
        else {
            continue;
        };
        let class = classes.entry(lane).or_default();
        class.insert((index, tag.stale_after_ns));
        if class.len() > STALE_CLASSES_MAX && told.insert(lane) {
            cx.findings.error(
                Code::StaleClasses,
                &tag.span,
                format!("the devices of one lane have more than {STALE_CLASSES_MAX} different values of `stale_after`, counted device by device"),
                "round them to a few, such as 50ms, 100ms, 500ms and 2s: the lane looks at each value of each device every tick",
            );
        }
    }
}

fn windows(all: &All<'_>, cx: &mut Cx<'_, '_>) {
    let mut windows: HashMap<usize, HashSet<Input>> = HashMap::new();
    for rule in all.rules {
        let lane = windows.entry(rule.lane).or_default();
        let inputs = rule.inputs(all.votings, all.tags);
        lane.extend(
            inputs
                .into_iter()
                .filter(|input| matches!(input, Input::Window { .. })),
        );
    }
    for (lane, found) in windows
        .iter()
        .filter(|(_, found)| found.len() > WINDOWS_MAX)
    {
        let Some(lane) = all.lanes.get(*lane) else {
            continue;
        };
        cx.findings.error(
            Code::TooMany,
            &lane.span,
            format!("the rules of lane `{}` use {} different windows; at most {WINDOWS_MAX} are allowed", lane.name, found.len()),
            "use the same function and span in several rules, or divide the devices among lanes",
        );
    }
}

/// A rule with a voting has one condition a channel, twice with a multiplier.
fn conditions(all: &All<'_>, cx: &mut Cx<'_, '_>) {
    let mut counts: HashMap<usize, (usize, &Rule)> = HashMap::new();
    for rule in all.rules {
        let channels = rule.channels(all.votings, all.tags).len();
        let own = channels.saturating_mul(if rule.raised.is_some() { 2 } else { 1 });
        let count = counts.entry(rule.lane).or_insert((0, rule));
        let before = count.0;
        *count = (before.saturating_add(own), rule);
        if before <= CONDITIONS_MAX && count.0 > CONDITIONS_MAX {
            cx.findings.error(
                Code::TooMany,
                &rule.when_span,
                format!("the rules of this lane have more than {CONDITIONS_MAX} conditions, one a channel"),
                "divide the devices among lanes, or the rules among packs",
            );
        }
    }
}

fn finer_than_timer(all: &All<'_>, cx: &mut Cx<'_, '_>) {
    let timer = |lane: Option<usize>| {
        lane.and_then(|lane| all.lanes.get(lane))
            .map_or(0, |lane| lane.timer_ns)
    };
    for output in all.outputs {
        let timer = timer(output.lane.as_ref().map(|(lane, _)| *lane));
        if output.refresh_ns > 0 && output.refresh_ns < timer {
            cx.findings.warning(
                Code::FinerThanTimer,
                &output.refresh_span,
                format!(
                    "the permit cannot be renewed every {}: the lane looks every {}",
                    DurNs::from_ns(output.refresh_ns),
                    DurNs::from_ns(timer)
                ),
                "write a longer `refresh`, or a shorter `timer` under `lanes`",
            );
        }
    }
    for tag in all.tags {
        let device = tag.device.and_then(|device| all.devices.get(device));
        let timer = timer(device.and_then(|device| device.lane));
        let mqtt = device.is_some_and(|device| matches!(device.link, Some(Link::Mqtt(_))));
        if tag.stale_after_ns > 0 && tag.stale_after_ns < timer {
            cx.findings.warning(
                Code::FinerThanTimer,
                &tag.span,
                format!(
                    "`{}` is stale after {}, but {} looks every {}",
                    tag.name,
                    DurNs::from_ns(tag.stale_after_ns),
                    if mqtt { "the lane" } else { "its lane" },
                    DurNs::from_ns(timer)
                ),
                "write a longer `stale_after`, or a shorter `timer` under `lanes`",
            );
        }
    }
}

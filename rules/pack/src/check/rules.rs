//! Rules: conditions compiled, outputs resolved, reaction times summed.

use std::collections::HashMap;

use drivers_frame::DurNs;
use rt_config::limits::{ID_BYTES_MAX, RULE_STOPS_MAX, RULES_MAX, WINDOW_SAMPLES_MAX};
use rules_bundle::Level;
use rules_expr::{Compiled, DeadBand, Input, parse_quantity};

use super::expression::{self, Place};
use super::model::{Device, Index, Lane, Link, Output, Rule, Tag};
use super::names::Names;
use super::text::{check_id, check_text, ordinary_text, positive};
use super::{at_most, unknown_name};
use crate::finding::Code;
use crate::limits::{CONTINUOUS_PERIOD_NS, MQTT_PERIOD_NS, RULE_WORDS_MAX};
use crate::raw::{self, LevelWord};
use crate::read::{Cx, List, Span};

/// What rules refer to.
pub(super) struct World<'w> {
    pub(super) lanes: &'w [Lane],
    pub(super) devices: &'w [Device],
    pub(super) tags: &'w [Tag],
    pub(super) names: &'w Names<'w>,
    pub(super) output_index: &'w Index<'w>,
}

/// Checks the rules. Those with errors are left out; the pack does not load then.
pub(super) fn rules(
    list: &List<raw::Rule>,
    world: &World<'_>,
    outputs: &mut [Output],
    cx: &mut Cx<'_, '_>,
) -> Vec<Rule> {
    at_most("rules", list.items.len(), RULES_MAX, &list.at, cx);
    if list.items.is_empty() {
        cx.findings.warning(
            Code::NoRules,
            &list.at,
            "the pack has no rules, so it protects nothing",
            "add a rule: `- { id: too_fast, when: speed > 100 rpm, level: alert }`",
        );
    }
    let mut ids: HashMap<&str, &Span> = HashMap::new();
    let mut checked = Vec::with_capacity(list.items.len().min(RULES_MAX));
    for raw in list.items.iter().take(RULES_MAX) {
        if let Some(id) = raw.id.get() {
            check_id("rule", &id.value, &id.span, cx);
            match ids.get(id.value.as_str()) {
                Some(first) => cx.repeated(&id.value, &id.span, first),
                None => {
                    ids.insert(&id.value, &id.span);
                }
            }
        }
        checked.extend(rule(raw, world, outputs, cx));
    }
    checked
}

fn rule(
    raw: &raw::Rule,
    world: &World<'_>,
    outputs: &mut [Output],
    cx: &mut Cx<'_, '_>,
) -> Option<Rule> {
    let on_delay_ns = raw.r#for.as_ref().map_or(0, |delay| delay.ns);
    let compiled = condition(raw, world, cx);
    let lane = compiled
        .as_ref()
        .and_then(|compiled| lane_of(raw, compiled, world, cx));
    let stops = stops(raw, world, cx);
    if let Some(lane) = lane {
        claim_outputs(raw, lane, &stops, world, outputs, cx);
    }
    for stop in &stops {
        if let Some(output) = outputs.get_mut(*stop) {
            output.stopped = true;
        }
    }
    let deadline_ns = deadline(
        raw,
        on_delay_ns,
        compiled.as_ref(),
        &stops,
        world,
        outputs,
        cx,
    );
    let message = ordinary_text("the message", raw.message.as_ref(), cx);
    let runbook = ordinary_text("the runbook", raw.runbook.as_ref(), cx);
    let tags = raw.tags.as_ref().map_or(&[][..], |tags| &tags.items);
    if let Some(list) = raw.tags.as_ref() {
        at_most(
            "words in one rule",
            list.items.len(),
            RULE_WORDS_MAX,
            &list.at,
            cx,
        );
    }
    for word in tags {
        check_text("a word in `tags`", word, ID_BYTES_MAX, cx);
    }
    let id = raw.id.get()?.value.clone();
    Some(Rule {
        message: message.unwrap_or_else(|| id.clone()),
        id,
        when: raw.when.get()?.text.trim().to_owned(),
        lane: lane?,
        compiled: compiled?,
        on_delay_ns,
        level: level(*raw.level.get()?),
        stops,
        deadline_ns,
        tags: tags.iter().map(|word| word.value.clone()).collect(),
        runbook,
    })
}

fn level(word: LevelWord) -> Level {
    match word {
        LevelWord::Alert => Level::Alert,
        LevelWord::Danger => Level::Danger,
    }
}

/// Compiles `when` with the dead band, and looks at what it reads.
fn condition(raw: &raw::Rule, world: &World<'_>, cx: &mut Cx<'_, '_>) -> Option<Compiled> {
    let dead_band = match raw.dead_band.as_ref() {
        None if raw.has("dead_band") => return None,
        None => None,
        Some(written) => Some(dead_band(written, cx)?),
    };
    let when = raw.when.get()?;
    let place = Place {
        when,
        dead_band: raw.dead_band.as_ref().map(|band| &band.span),
    };
    world.names.begin(cx.findings.worth_suggesting());
    let compiled = match rules_expr::compile(when.text.as_str(), world.names, dead_band) {
        Ok(compiled) => compiled,
        Err(errors) => {
            if !world.names.touched_broken() {
                expression::report_errors(&errors, &place, world.names, cx);
            }
            return None;
        }
    };
    if compiled.inputs().is_empty() {
        cx.findings
            .error(
                Code::ConstantRule,
                &when.span,
                "the condition depends on no tag, so it is always true or always false",
                "compare a tag with a set point, such as `press.temperature > 80 degC`",
            )
            .label("never changes");
        return None;
    }
    expression::report_warnings(compiled.warnings(), &place, cx);
    judge_windows(&compiled, when, world, cx);
    Some(compiled)
}

fn dead_band(written: &crate::scalar::Quantity, cx: &mut Cx<'_, '_>) -> Option<DeadBand> {
    let (message, help) = match parse_quantity(&written.text) {
        Ok((value, unit)) if value > 0.0 => return Some(DeadBand { value, unit }),
        Ok(_) => (
            "a dead band is greater than zero".to_owned(),
            "write how far the value must come back, such as `0.5 mm/s`, or remove `dead_band`"
                .to_owned(),
        ),
        Err(cause) => super::split_help(&cause.to_string()),
    };
    cx.findings
        .error(Code::BadDeadBand, &written.span, message, help);
    None
}

/// Shortest time between two samples of a tag. `None` when its device is not known.
pub(super) fn sample_period_ns(tag: &Tag, devices: &[Device]) -> Option<u64> {
    match devices.get(tag.device?)?.link.as_ref()? {
        Link::Modbus(modbus) => Some(modbus.poll_ns.unwrap_or(CONTINUOUS_PERIOD_NS)),
        Link::Mqtt(_) => Some(MQTT_PERIOD_NS),
    }
}

/// A window must hold its samples, and at least two of them.
fn judge_windows(
    compiled: &Compiled,
    when: &crate::scalar::Expression,
    world: &World<'_>,
    cx: &mut Cx<'_, '_>,
) {
    for input in compiled.inputs() {
        let Input::Window {
            function,
            tag: name,
            span_ns,
        } = input
        else {
            continue;
        };
        let Some(tag) = world
            .names
            .tag_index(name)
            .and_then(|index| world.tags.get(index))
        else {
            continue;
        };
        let Some(period) = sample_period_ns(tag, world.devices).filter(|period| *period > 0) else {
            continue;
        };
        let samples = span_ns / period;
        let most = u64::try_from(WINDOW_SAMPLES_MAX).unwrap_or(u64::MAX);
        let shown = format!(
            "{}({name}, {})",
            function.as_str(),
            DurNs::from_ns(*span_ns)
        );
        let every = DurNs::from_ns(period);
        if samples > most {
            let longest = DurNs::from_ns(period.saturating_mul(most));
            let slower = DurNs::from_ns((span_ns / most).saturating_add(1).next_multiple_of(1_000));
            cx.findings
                .error(
                    Code::WindowTooLong,
                    &when.span,
                    format!("`{shown}` holds {samples} samples (one every {every}); at most {most} are kept"),
                    format!("shorten the window to {longest}, or read the device no faster than every {slower}"),
                )
                .label("window too long");
        } else if samples == 0 {
            cx.findings
                .warning(
                    Code::ExpressionLint,
                    &when.span,
                    format!("`{shown}` is shorter than the time between two samples, {every}"),
                    format!(
                        "make the window several times as long, such as {}",
                        DurNs::from_ns(period.saturating_mul(10))
                    ),
                )
                .label("window too short");
        }
    }
}

/// The lane whose tags the condition reads.
fn lane_of(
    raw: &raw::Rule,
    compiled: &Compiled,
    world: &World<'_>,
    cx: &mut Cx<'_, '_>,
) -> Option<usize> {
    let mut found: Option<(usize, &str)> = None;
    for input in compiled.inputs() {
        let tag = world
            .names
            .tag_index(input.tag())
            .and_then(|index| world.tags.get(index))?;
        let lane = world.devices.get(tag.device?)?.lane?;
        match found {
            Some((first, name)) if first != lane => {
                let lane_name =
                    |lane: usize| world.lanes.get(lane).map_or("?", |lane| lane.name.as_str());
                cx.findings
                    .error(
                        Code::TwoLanes,
                        &raw.when.get()?.span,
                        format!(
                            "the condition reads two lanes: `{name}` belongs to `{}`, `{}` to `{}`",
                            lane_name(first),
                            tag.name,
                            lane_name(lane)
                        ),
                        "put both devices in one lane, or split the rule: lanes share nothing, so that one cannot delay \
                         the other",
                    )
                    .label("spans two lanes");
                return None;
            }
            _ => found = Some((lane, tag.name.as_str())),
        }
    }
    found.map(|(lane, _)| lane)
}

/// Resolves `stops`, and holds it against the level.
fn stops(raw: &raw::Rule, world: &World<'_>, cx: &mut Cx<'_, '_>) -> Vec<usize> {
    let is_danger = raw.level.get() == Some(&LevelWord::Danger);
    let Some(list) = raw.stops.as_ref() else {
        if is_danger && !raw.has("stops") {
            cx.findings
                .error(
                    Code::StopsMissing,
                    &raw.at,
                    "a danger rule stops at least one output, this one names none",
                    "add `stops: [output]`, or write `level: alert` if people are only to be told",
                )
                .label("needs `stops`");
        }
        return Vec::new();
    };
    if is_danger && list.items.is_empty() {
        cx.findings.error(
            Code::StopsMissing,
            &list.at,
            "a danger rule stops at least one output, this list is empty",
            "name an output, or write `level: alert` if people are only to be told",
        );
    } else if raw.level.get() == Some(&LevelWord::Alert) {
        cx.findings
            .error(
                Code::StopsMissing,
                &list.at,
                "an alert tells people and stops nothing",
                "write `level: danger` if it must stop the machine, or remove `stops`",
            )
            .label("not with `level: alert`");
    }
    at_most(
        "outputs stopped by one rule",
        list.items.len(),
        RULE_STOPS_MAX,
        &list.at,
        cx,
    );
    let mut seen: HashMap<usize, &Span> = HashMap::new();
    let mut stops = Vec::new();
    for name in &list.items {
        let Some(index) = world.output_index.get(name.value.as_str()).copied() else {
            unknown_name(
                "output",
                name,
                world.output_index.keys().copied(),
                "under `outputs`",
                cx,
            );
            continue;
        };
        match seen.get(&index) {
            Some(first) => cx.repeated(&name.value, &name.span, first),
            None => {
                seen.insert(index, &name.span);
                stops.push(index);
            }
        }
    }
    stops
}

/// Whether it is known of every rule what it stops; otherwise an output may only seem to be unused.
pub(super) fn stops_are_clear(list: &List<raw::Rule>, world: &World<'_>) -> bool {
    list.complete
        && list.items.iter().all(|rule| match rule.stops.as_ref() {
            Some(stops) => {
                stops.complete
                    && stops
                        .items
                        .iter()
                        .all(|name| world.output_index.contains_key(name.value.as_str()))
            }
            None => rule.level.get() == Some(&LevelWord::Alert) && !rule.has("stops"),
        })
}

/// An output belongs to the lane of the rules that stop it.
fn claim_outputs(
    raw: &raw::Rule,
    lane: usize,
    stops: &[usize],
    world: &World<'_>,
    outputs: &mut [Output],
    cx: &mut Cx<'_, '_>,
) {
    let Some(id) = raw.id.get() else { return };
    for stop in stops {
        let Some(output) = outputs.get_mut(*stop) else {
            continue;
        };
        match &output.lane {
            None => output.lane = Some((lane, id.value.clone())),
            Some((first, rule)) if *first != lane => {
                let lane_name =
                    |lane: usize| world.lanes.get(lane).map_or("?", |lane| lane.name.as_str());
                cx.findings
                    .error(
                        Code::TwoLanes,
                        raw.stops.as_ref().map_or(&raw.at, |stops| &stops.at),
                        format!(
                            "`{}` is stopped from two lanes: by `{rule}` in `{}`, by `{}` in `{}`",
                            output.name,
                            lane_name(*first),
                            id.value,
                            lane_name(lane)
                        ),
                        "put the devices of both rules in one lane, or give each lane its own output",
                    )
                    .label("stopped from two lanes");
            }
            Some(_) => {}
        }
    }
}

/// Holds `deadline` against the level and against what the reaction takes at worst.
fn deadline(
    raw: &raw::Rule,
    on_delay_ns: u64,
    compiled: Option<&Compiled>,
    stops: &[usize],
    world: &World<'_>,
    outputs: &[Output],
    cx: &mut Cx<'_, '_>,
) -> Option<u64> {
    let level = *raw.level.get()?;
    let Some(written) = raw.deadline.as_ref() else {
        if level == LevelWord::Danger && !raw.has("deadline") {
            cx.findings
                .error(
                    Code::DeadlineMissing,
                    &raw.at,
                    "a danger rule promises a time from sample to confirmed stop, this one does not",
                    "add `deadline:`, such as `deadline: 100ms`; keep it within half of the process safety time",
                )
                .label("needs `deadline`");
        }
        return None;
    };
    if level == LevelWord::Alert {
        cx.findings.error(
            Code::DeadlineMissing,
            &written.span,
            "a deadline is the promise of a stop, and an alert stops nothing",
            "remove `deadline`, or write `level: danger`",
        );
        return None;
    }
    let deadline_ns = positive("deadline", Some(written), 0, cx);
    let slowest = compiled?
        .inputs()
        .iter()
        .filter_map(|input| {
            let tag = world
                .names
                .tag_index(input.tag())
                .and_then(|index| world.tags.get(index))?;
            match world.devices.get(tag.device?)?.link.as_ref()? {
                Link::Modbus(modbus) => modbus.poll_ns.map(|poll| (poll, tag.name.as_str())),
                Link::Mqtt(_) => None,
            }
        })
        .max()
        .unwrap_or((0, ""));
    let confirm = stops
        .iter()
        .filter_map(|stop| outputs.get(*stop))
        .map(|output| output.confirm_within_ns)
        .max();
    judge_deadline(
        written,
        deadline_ns,
        on_delay_ns,
        slowest,
        confirm.unwrap_or(0),
        cx,
    );
    Some(deadline_ns)
}

fn judge_deadline(
    written: &crate::scalar::Duration,
    deadline_ns: u64,
    on_delay_ns: u64,
    (poll_ns, slowest): (u64, &str),
    confirm_ns: u64,
    cx: &mut Cx<'_, '_>,
) {
    let needed = on_delay_ns.saturating_add(poll_ns);
    let shown = DurNs::from_ns;
    let delay = (on_delay_ns > 0).then(|| format!("`for` {}", shown(on_delay_ns)));
    let poll = (poll_ns > 0).then(|| format!("poll of `{slowest}` {}", shown(poll_ns)));
    let terms: Vec<String> = delay.into_iter().chain(poll).collect();
    let with_confirm = needed.saturating_add(confirm_ns);
    if deadline_ns > 0 && deadline_ns <= needed {
        cx.findings
            .error(
                Code::DeadlineTooShort,
                &written.span,
                format!("the deadline {} cannot be met: {} = {}", shown(deadline_ns), terms.join(" + "), shown(needed)),
                format!(
                    "allow at least {} (that sum and `confirm_within` {}), shorten `for`, or poll faster",
                    shown(with_confirm.saturating_add(1).next_multiple_of(1_000_000)),
                    shown(confirm_ns)
                ),
            )
            .label("too short");
    } else if deadline_ns > 0 && deadline_ns < with_confirm {
        cx.findings
            .warning(
                Code::TightDeadline,
                &written.span,
                format!(
                    "a write that is confirmed just in time misses the deadline {}: {} + `confirm_within` {} = {}",
                    shown(deadline_ns),
                    terms.join(" + "),
                    shown(confirm_ns),
                    shown(with_confirm)
                ),
                format!("allow at least {}, or shorten one of these times", shown(with_confirm)),
            )
            .label("no reserve for the confirmation");
    }
}

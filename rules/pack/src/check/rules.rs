//! Rules: conditions compiled, outputs resolved, reaction times summed.

use std::collections::HashMap;

use drivers_frame::DurNs;
use rt_config::limits::{ID_BYTES_MAX, RULE_STOPS_MAX, RULES_MAX, WINDOW_SAMPLES_MAX};
use rules_bundle::Level;
use rules_expr::{Compiled, DeadBand, Input, parse_quantity};

use super::decide;
use super::expression::{self, Place};
use super::model::{CHANNEL, Device, Index, Lane, Link, Output, Rule, Tag, Voting, of_channel};
use super::names::Names;
use super::switch::Switches;
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
    pub(super) votings: &'w [Voting],
    pub(super) voting_index: &'w Index<'w>,
    pub(super) names: &'w Names<'w>,
    pub(super) output_index: &'w Index<'w>,
    pub(super) switches: &'w Switches<'w>,
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
    let off_delay_ns = raw.off_delay.as_ref().map_or(0, |delay| delay.ns);
    let voting = voting_of(raw, world, cx);
    let when = match voting {
        // Of a voting that is itself wrong, the condition cannot be judged.
        Err(Unknown) => None,
        Ok(voting) => condition(raw, voting, world, cx),
    };
    let lane = when
        .as_ref()
        .and_then(|(compiled, _)| lane_of(raw, compiled, voting.ok().flatten(), world, cx));
    let stops = stops(raw, world, cx);
    if let Some(lane) = lane {
        claim_outputs(raw, lane, &stops, world, outputs, cx);
    }
    for stop in &stops {
        if let Some(output) = outputs.get_mut(*stop) {
            output.stopped = true;
        }
    }
    let extra = decide::extra(raw, lane, world.switches, cx);
    let deadline = deadline(raw, cx);
    let process_safety_time = decide::safety_time(raw, cx);
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
    let (compiled, raised) = when?;
    let written = raw.when.get()?;
    Some(Rule {
        message: message.unwrap_or_else(|| id.clone()),
        id,
        when: written.text.trim().to_owned(),
        when_span: written.span.clone(),
        lane: lane?,
        compiled,
        raised,
        voting: voting.ok().flatten(),
        on_delay_ns,
        off_delay_ns,
        debounce: extra.debounce,
        multiplier: extra.multiplier,
        inhibit: extra.inhibit,
        bypass_ns: extra.bypass_ns,
        level: level(*raw.level.get()?),
        stops,
        deadline,
        process_safety_time,
        tags: tags.iter().map(|word| word.value.clone()).collect(),
        runbook,
    })
}

/// A voting that does not resolve or is itself wrong, which has been reported.
#[derive(Clone, Copy)]
struct Unknown;

/// The voting of a rule.
fn voting_of(
    raw: &raw::Rule,
    world: &World<'_>,
    cx: &mut Cx<'_, '_>,
) -> Result<Option<usize>, Unknown> {
    let Some(name) = raw.voting.as_ref() else {
        return if raw.has("voting") {
            Err(Unknown)
        } else {
            Ok(None)
        };
    };
    let index = world.voting_index.get(name.value.as_str()).copied();
    let Some((index, voting)) = index.and_then(|index| Some((index, world.votings.get(index)?)))
    else {
        unknown_name(
            "voting",
            name,
            world.voting_index.keys().copied(),
            "under `votings`",
            cx,
        );
        return Err(Unknown);
    };
    voting.used.set(true);
    if let Some(bypass) = raw.bypass.as_ref() {
        cx.findings
            .error(
                Code::BadBypass,
                &bypass.span,
                "a rule with a voting is bypassed by channel, one at a time",
                format!("state `bypass` under the voting `{}` instead", voting.name),
            )
            .label("not here");
    }
    if voting.channels.is_empty() {
        return Err(Unknown);
    }
    Ok(Some(index))
}

fn level(word: LevelWord) -> Level {
    match word {
        LevelWord::Alert => Level::Alert,
        LevelWord::Danger => Level::Danger,
    }
}

/// Compiles `when` with the dead band, once more with the multiplied set point, and looks at what it reads.
fn condition(
    raw: &raw::Rule,
    voting: Option<usize>,
    world: &World<'_>,
    cx: &mut Cx<'_, '_>,
) -> Option<(Compiled, Option<Compiled>)> {
    let dead_band = match raw.dead_band.as_ref() {
        None if raw.has("dead_band") => return None,
        None => None,
        Some(written) => Some(dead_band(written, cx)?),
    };
    let when = raw.when.get()?;
    let multiplier = raw.multiplier.as_ref();
    let factor = multiplier.and_then(|multiplier| multiplier.factor.get());
    let place = Place {
        when,
        dead_band: raw.dead_band.as_ref().map(|band| &band.span),
        multiplier: factor.map(|factor| &factor.span),
    };
    let voting = voting.and_then(|voting| world.votings.get(voting));
    let channel = voting.and_then(|voting| voting.channels.first()).copied();
    world.names.begin(cx.findings.worth_suggesting(), channel);
    let compiled = match rules_expr::compile(when.text.as_str(), world.names, dead_band.clone()) {
        Ok(compiled) => compiled,
        Err(errors) => {
            if !world.names.touched_broken() {
                expression::report_errors(&errors, &place, world.names, cx);
            }
            return None;
        }
    };
    if let Some(voting) = voting
        && !world.names.read_channel()
    {
        cx.findings
            .error(
                Code::BadChannel,
                &when.span,
                format!("the rule has a voting, but its condition does not say `{CHANNEL}`"),
                format!(
                    "write `{CHANNEL}` where the tag of each channel of `{}` belongs: `when: {CHANNEL} > 90 degC`",
                    voting.name
                ),
            )
            .label("the same for every channel");
        return None;
    }
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
    judge_windows(&compiled, voting, when, world, cx);
    let Some(factor) = factor else {
        return Some((compiled, None));
    };
    match rules_expr::compile_raised(when.text.as_str(), world.names, dead_band, factor.value) {
        Ok(raised) => Some((compiled, Some(raised))),
        Err(errors) => {
            expression::report_errors(&errors, &place, world.names, cx);
            None
        }
    }
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
    voting: Option<&Voting>,
    when: &crate::scalar::Expression,
    world: &World<'_>,
    cx: &mut Cx<'_, '_>,
) {
    let own = compiled
        .inputs()
        .iter()
        .filter(|input| input.tag() != CHANNEL);
    let channels = voting.map_or(&[][..], |voting| &voting.channels);
    let names = channels.iter().filter_map(|tag| world.tags.get(*tag));
    let of_channels = names.flat_map(|tag| {
        let inputs = compiled.inputs().iter();
        let inputs = inputs.filter(|input| input.tag() == CHANNEL);
        inputs.map(|input| of_channel(input, &tag.name))
    });
    for input in &own.cloned().chain(of_channels).collect::<Vec<_>>() {
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
    voting: Option<usize>,
    world: &World<'_>,
    cx: &mut Cx<'_, '_>,
) -> Option<usize> {
    // All channels are of one lane, so the first stands for them.
    let channel = voting
        .and_then(|voting| world.votings.get(voting))
        .and_then(|voting| voting.channels.first());
    let mut found: Option<(usize, &str)> = None;
    for input in compiled.inputs() {
        let index = if input.tag() == CHANNEL {
            channel.copied()
        } else {
            world.names.tag_index(input.tag())
        };
        let tag = index.and_then(|index| world.tags.get(index))?;
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

/// Holds `deadline` against the level. Whether it can be kept is judged when the plan is known.
fn deadline(raw: &raw::Rule, cx: &mut Cx<'_, '_>) -> Option<(u64, Span)> {
    let level = *raw.level.get()?;
    let Some(written) = raw.deadline.as_ref() else {
        if level == LevelWord::Danger && !raw.has("deadline") {
            cx.findings
                .error(
                    Code::DeadlineMissing,
                    &raw.at,
                    "a danger rule promises a time from cause to confirmed stop, this one does not",
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
    Some((
        positive("deadline", Some(written), 0, cx),
        written.span.clone(),
    ))
}

//! Rules: conditions compiled, outputs resolved, reaction times summed.

use std::borrow::Cow;
use std::collections::HashMap;

use rt_config::limits::{ID_BYTES_MAX, RULE_STOPS_MAX, RULES_MAX};
use rules_bundle::Level;
use rules_expr::Compiled;

use super::condition::condition;
use super::decide;
use super::model::{CHANNEL, Device, Index, Lane, Output, Rule, Tag, Voting};
use super::names::Names;
use super::switch::Switches;
use super::text::{check_id, check_text, ordinary_text, positive};
use super::{at_most, unknown_name};
use crate::finding::Code;
use crate::limits::RULE_WORDS_MAX;
use crate::raw::{self, LevelWord};
use crate::read::{Cx, List, Named, Span};

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

/// The rules as they are written. None are needed where analyzers alone stop machines: a verdict that `stops` something is
/// a rule. `None` when nothing can be said about rules, which is reported.
pub(super) fn written<'p>(
    pack: &'p raw::Pack,
    cx: &mut Cx<'_, '_>,
) -> Option<Cow<'p, List<raw::Rule>>> {
    if let Some(list) = &pack.rules {
        return Some(Cow::Borrowed(list));
    }
    if pack.has("rules") {
        return None;
    }
    let analyzers = pack.analyzers.as_ref().map_or(&[][..], |map| &map.entries);
    let stops = |analyzer: &Named<raw::Analyzer>| {
        let verdict = analyzer.value.as_ref()?.verdict.as_ref()?;
        // One that could not be read is reported where it stands.
        Some(match &verdict.stops {
            Some(stops) => !stops.complete || !stops.items.is_empty(),
            None => verdict.has("stops"),
        })
    };
    if analyzers
        .iter()
        .any(|analyzer| stops(analyzer) == Some(true))
    {
        return Some(Cow::Owned(List {
            complete: true,
            at: pack.at.clone(),
            ..List::default()
        }));
    }
    let (message, help) = if analyzers.is_empty() {
        (
            "the key `rules` is missing",
            "add `rules:`; docs/pack-reference.md says what it means",
        )
    } else {
        (
            "the key `rules` is missing, and no verdict of an analyzer stops anything",
            "name what the danger of an analyzer stops, `verdict: { stops: [output], deadline: 500ms }`, or add `rules:`",
        )
    };
    cx.findings
        .error(Code::MissingKey, &pack.at, message, help)
        .label("needs `rules`");
    None
}

/// Checks the rules, and those that analyzers' verdicts are. Those with errors are left out; the pack does not load then.
pub(super) fn rules(
    list: &List<raw::Rule>,
    verdicts: &[raw::Rule],
    world: &World<'_>,
    outputs: &mut [Output],
    cx: &mut Cx<'_, '_>,
) -> Vec<Rule> {
    let count = list.items.len().saturating_add(verdicts.len());
    at_most("rules", count, RULES_MAX, &list.at, cx);
    if count == 0 {
        cx.findings.warning(
            Code::NoRules,
            &list.at,
            "the pack has no rules, so it protects nothing",
            "add a rule: `- { id: too_fast, when: speed > 100 rpm, level: alert }`",
        );
    }
    let mut ids: HashMap<&str, &Span> = HashMap::new();
    let mut checked = Vec::with_capacity(count.min(RULES_MAX));
    for raw in list.items.iter().chain(verdicts).take(RULES_MAX) {
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
pub(super) fn stops_are_clear(
    list: &List<raw::Rule>,
    verdicts: &[raw::Rule],
    world: &World<'_>,
) -> bool {
    let mut rules = list.items.iter().chain(verdicts);
    list.complete
        && rules.all(|rule| match rule.stops.as_ref() {
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

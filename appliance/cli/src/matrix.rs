//! `matrix`: cause and effect, rules by outputs, as a safety engineer signs it.

use std::path::Path;

use rules_bundle::{
    Budget, LanePlan, OnBad, OutputPlan, OutputTarget, Plan, RulePlan, StopCategory,
};
use serde::Serialize;

use crate::args::Format;
use crate::build;
use crate::error::{CliError, Exit};
use crate::out::Out;
use crate::pack::loaded;
use crate::paint::Tone;
use crate::settings::Settings;
use crate::table::{Align, Cell, Table, toned};
use crate::units;

/// `tripline matrix PACK`.
pub(crate) fn matrix(
    path: &Path,
    format: Format,
    settings: &Settings,
    out: &mut Out,
) -> Result<Exit, CliError> {
    let checked = loaded(build::check_pack(path, settings.unsigned), settings)?;
    let matrix = Matrix::new(&checked.plan);
    match format {
        Format::Json => out.json(&matrix)?,
        Format::Text => print(&matrix, out)?,
    }
    Ok(Exit::Ok)
}

/// What the JSON holds. Times in nanoseconds.
#[derive(Debug, Serialize)]
struct Matrix<'p> {
    pack: &'p str,
    version: &'p str,
    lanes: Vec<Lane<'p>>,
}

#[derive(Debug, Serialize)]
struct Lane<'p> {
    name: &'p str,
    rules: Vec<Rule<'p>>,
    outputs: Vec<Output<'p>>,
}

#[derive(Debug, Serialize)]
struct Rule<'p> {
    id: &'p str,
    level: &'static str,
    when: &'p str,
    vote: Option<Vote<'p>>,
    on_delay_ns: u64,
    off_delay_ns: u64,
    debounce: Option<Debounce>,
    multiplier: Option<Held<'p>>,
    inhibit: Option<Held<'p>>,
    bypass_at_most_ns: Option<u64>,
    deadline_ns: Option<u64>,
    worst_case_ns: Option<u64>,
    worst_case_silent_ns: Option<u64>,
    process_safety_time_ns: Option<u64>,
    effects: Vec<Effect<'p>>,
}

#[derive(Debug, Serialize)]
struct Vote<'p> {
    voting: &'p str,
    need: u8,
    of: usize,
    channels: Vec<&'p str>,
    on_bad: &'static str,
    bypass_at_most_ns: Option<u64>,
}

#[derive(Debug, Serialize)]
struct Debounce {
    need: u8,
    of: u8,
    within_ns: u64,
}

/// A time-limited permission.
#[derive(Debug, Serialize)]
struct Held<'p> {
    #[serde(skip_serializing_if = "Option::is_none")]
    factor: Option<f64>,
    r#while: &'p str,
    at_most_ns: u64,
}

/// What a rule does to an output.
#[derive(Debug, Serialize)]
struct Effect<'p> {
    output: &'p str,
    /// `named` in the rule's `stops`; latched with the `group` of one that is; by `escalation`, when one of them does not
    /// prove its stop.
    by: &'static str,
    /// After this time (stop category 1).
    after_ns: u64,
}

#[derive(Debug, Serialize)]
struct Output<'p> {
    name: &'p str,
    device: &'p str,
    writes: String,
    group: &'p str,
    category: u8,
    controlled_by: Option<&'p str>,
    power_off_after_ns: Option<u64>,
    confirm_within_ns: u64,
    read_back_within_ns: Option<u64>,
    feedback: Option<&'p str>,
    feedback_within_ns: Option<u64>,
    escalates_to: Option<&'p str>,
    watchdog: Option<&'p str>,
    watchdog_time_ns: Option<u64>,
    device_time_ns: u64,
}

impl<'p> Matrix<'p> {
    fn new(plan: &'p Plan) -> Self {
        Self {
            pack: &plan.name,
            version: &plan.version,
            lanes: plan.lanes.iter().map(lane).collect(),
        }
    }
}

fn lane(lane: &LanePlan) -> Lane<'_> {
    let budget = Budget::new(lane);
    let rules = lane.rules.iter().enumerate();
    Lane {
        name: &lane.name,
        rules: rules
            .map(|(index, plan)| rule(lane, plan, index, &budget))
            .collect(),
        outputs: lane.outputs.iter().map(|plan| output(lane, plan)).collect(),
    }
}

fn tag(lane: &LanePlan, tag: drivers_frame::TagId) -> &str {
    lane.tags
        .get(usize::from(tag.0))
        .map_or("?", |tag| tag.name.as_str())
}

fn output_name(lane: &LanePlan, index: u16) -> &str {
    lane.outputs
        .get(usize::from(index))
        .map_or("?", |output| output.name.as_str())
}

fn rule<'p>(lane: &'p LanePlan, plan: &'p RulePlan, index: usize, budget: &Budget<'_>) -> Rule<'p> {
    let voting = plan
        .voting
        .and_then(|voting| lane.votings.get(usize::from(voting)));
    let vote = voting.map(|voting| Vote {
        voting: &voting.name,
        need: voting.need,
        of: voting.channels.len(),
        channels: voting
            .channels
            .iter()
            .map(|channel| tag(lane, *channel))
            .collect(),
        on_bad: match voting.on_bad {
            OnBad::Trip => "trip",
            OnBad::Exclude => "exclude",
        },
        bypass_at_most_ns: voting.bypass_at_most.map(|time| time.as_ns()),
    });
    let worst = plan.deadline.map(|_| budget.worst_case(index));
    Rule {
        id: &plan.id,
        level: plan.level.as_str(),
        when: &plan.when,
        vote,
        on_delay_ns: plan.on_delay.as_ns(),
        off_delay_ns: plan.off_delay.as_ns(),
        debounce: plan.debounce.map(|debounce| Debounce {
            need: debounce.need,
            of: debounce.of,
            within_ns: debounce.within.as_ns(),
        }),
        multiplier: plan.multiplier.map(|multiplier| Held {
            factor: Some(multiplier.factor),
            r#while: tag(lane, multiplier.enable.tag),
            at_most_ns: multiplier.enable.at_most.as_ns(),
        }),
        inhibit: plan.inhibit.map(|inhibit| Held {
            factor: None,
            r#while: tag(lane, inhibit.tag),
            at_most_ns: inhibit.at_most.as_ns(),
        }),
        bypass_at_most_ns: plan.bypass_at_most.map(|time| time.as_ns()),
        deadline_ns: plan.deadline.map(|time| time.as_ns()),
        worst_case_ns: worst.as_ref().map(|worst| worst.condition.total().as_ns()),
        worst_case_silent_ns: worst.as_ref().map(|worst| worst.loss.total().as_ns()),
        process_safety_time_ns: plan.process_safety_time.map(|time| time.as_ns()),
        effects: effects(lane, plan),
    }
}

/// The outputs that a rule names, those that are latched with them, and those that these escalate to.
fn effects<'p>(lane: &'p LanePlan, rule: &RulePlan) -> Vec<Effect<'p>> {
    let stopped: Vec<&OutputPlan> = rule
        .stops
        .iter()
        .filter_map(|index| lane.outputs.get(usize::from(*index)))
        .collect();
    let escalated = escalated(lane, &stopped);
    lane.outputs
        .iter()
        .enumerate()
        .filter_map(|(index, output)| {
            let named = stopped.iter().any(|stop| stop.name == output.name);
            let grouped = stopped.iter().any(|stop| stop.group == output.group);
            let by = match (named, grouped) {
                (true, _) => "named",
                (false, true) => "group",
                (false, false) if escalated.contains(&index) => "escalation",
                (false, false) => return None,
            };
            Some(Effect {
                output: &output.name,
                by,
                after_ns: match output.stop {
                    StopCategory::Zero => 0,
                    StopCategory::One {
                        power_off_after, ..
                    } => power_off_after.as_ns(),
                },
            })
        })
        .collect()
}

/// Every output on the ways of escalation from those that are latched.
fn escalated(lane: &LanePlan, stopped: &[&OutputPlan]) -> Vec<usize> {
    let latched = |output: &&OutputPlan| stopped.iter().any(|stop| stop.group == output.group);
    let mut found = Vec::new();
    for output in lane.outputs.iter().filter(latched) {
        let mut next = output.escalate_to;
        // A plan has no circles; what is known ends the way all the same.
        while let Some(index) = next.map(usize::from).filter(|index| !found.contains(index)) {
            found.push(index);
            next = lane
                .outputs
                .get(index)
                .and_then(|output| output.escalate_to);
        }
    }
    found
}

fn output<'p>(lane: &'p LanePlan, plan: &'p OutputPlan) -> Output<'p> {
    let (category, controlled_by, power_off_after_ns) = match plan.stop {
        StopCategory::Zero => (0, None, None),
        StopCategory::One {
            controlled_by,
            power_off_after,
        } => (
            1,
            Some(output_name(lane, controlled_by)),
            Some(power_off_after.as_ns()),
        ),
    };
    let watchdog = plan.watchdog.as_ref();
    Output {
        name: &plan.name,
        device: &plan.device,
        writes: writes(plan.target),
        group: lane
            .trip_groups
            .get(usize::from(plan.group))
            .map_or("?", |group| group.name.as_str()),
        category,
        controlled_by,
        power_off_after_ns,
        confirm_within_ns: plan.confirm_within.as_ns(),
        read_back_within_ns: plan.read_back.map(|read_back| read_back.within.as_ns()),
        feedback: plan.feedback.map(|feedback| tag(lane, feedback.tag)),
        feedback_within_ns: plan.feedback.map(|feedback| feedback.within.as_ns()),
        escalates_to: plan.escalate_to.map(|other| output_name(lane, other)),
        watchdog: watchdog.map(|watchdog| watchdog.profile.as_str()),
        watchdog_time_ns: watchdog.map(|watchdog| watchdog.time.as_ns()),
        device_time_ns: plan.device_time.as_ns(),
    }
}

/// The written place, 0-based, and the value that stops.
fn writes(target: OutputTarget) -> String {
    match target {
        OutputTarget::Coil { address, run } => format!("coil {address}, {} stops", !run),
        OutputTarget::Register { address, safe, .. } => format!("register {address}, {safe} stops"),
        OutputTarget::Counter { address, safe } => {
            format!("register {address} counts, {safe} stops")
        }
        OutputTarget::Toggle { address, safe } => format!("coil {address} toggles, {safe} stops"),
    }
}

fn print(matrix: &Matrix<'_>, out: &mut Out) -> Result<(), CliError> {
    let title = format!("{} {}", matrix.pack, matrix.version);
    let title = out.tone(Tone::Strong, title).to_string();
    out.line(format_args!("{title}: cause and effect"))?;
    for lane in &matrix.lanes {
        out.line("")?;
        let name = out
            .tone(Tone::Strong, format_args!("lane {}", lane.name))
            .to_string();
        out.line(name)?;
        out.text(causes(lane).painted(out.paint()))?;
        if !lane.outputs.is_empty() {
            out.line("")?;
            out.text(outputs(lane).painted(out.paint()))?;
        }
    }
    out.line("")?;
    out.line("X: named by the rule. G: latched with its group. E: when one of these does not prove its stop. +time: the power follows a controlled stop (category 1).")
}

/// Rules by outputs.
fn causes(lane: &Lane<'_>) -> Table {
    let mut table = Table::new([
        ("rule", Align::Left),
        ("level", Align::Left),
        ("vote", Align::Left),
        ("delay", Align::Left),
        ("held back", Align::Left),
        ("deadline", Align::Right),
    ]);
    for output in &lane.outputs {
        table.column(output.name, Align::Left);
    }
    for rule in &lane.rules {
        let mut cells: Vec<Cell> = vec![
            rule.id.into(),
            rule.level.into(),
            vote(rule).into(),
            delay(rule).into(),
            held_back(rule).into(),
            rule.deadline_ns
                .map_or_else(|| "-".into(), units::time)
                .into(),
        ];
        for output in &lane.outputs {
            let effect = rule
                .effects
                .iter()
                .find(|effect| effect.output == output.name);
            cells.push(effect.map_or_else(
                || toned(Tone::Faint, "."),
                |effect| {
                    let sign = match effect.by {
                        "named" => "X",
                        "group" => "G",
                        _ => "E",
                    };
                    let text = match effect.after_ns {
                        0 => sign.to_owned(),
                        after => format!("{sign} +{}", units::time(after)),
                    };
                    toned(Tone::Strong, text)
                },
            ));
        }
        table.wide_row(cells);
    }
    table
}

fn vote(rule: &Rule<'_>) -> String {
    match &rule.vote {
        None => "1oo1".to_owned(),
        Some(vote) => {
            let excluded = if vote.on_bad == "exclude" {
                ", bad left out"
            } else {
                ""
            };
            format!(
                "{}oo{} of {}{excluded}",
                vote.need,
                vote.of,
                vote.channels.join(", ")
            )
        }
    }
}

fn delay(rule: &Rule<'_>) -> String {
    let mut parts = Vec::new();
    if let Some(debounce) = &rule.debounce {
        parts.push(format!(
            "{} of {} in {}",
            debounce.need,
            debounce.of,
            units::time(debounce.within_ns)
        ));
    }
    for (word, time) in [("on", rule.on_delay_ns), ("off", rule.off_delay_ns)] {
        if time > 0 {
            parts.push(format!("{word} {}", units::time(time)));
        }
    }
    or_dash(parts)
}

fn held_back(rule: &Rule<'_>) -> String {
    let mut parts = Vec::new();
    if let Some(multiplier) = &rule.multiplier {
        parts.push(format!(
            "x{} while {} ({})",
            multiplier.factor.unwrap_or(1.0),
            multiplier.r#while,
            units::span(multiplier.at_most_ns)
        ));
    }
    if let Some(inhibit) = &rule.inhibit {
        parts.push(format!(
            "inhibit while {} ({})",
            inhibit.r#while,
            units::span(inhibit.at_most_ns)
        ));
    }
    let of_channel = rule.vote.as_ref().and_then(|vote| vote.bypass_at_most_ns);
    if let Some(bypass) = rule.bypass_at_most_ns {
        parts.push(format!("bypass {}", units::span(bypass)));
    } else if let Some(bypass) = of_channel {
        parts.push(format!("bypass of a channel {}", units::span(bypass)));
    }
    or_dash(parts)
}

fn or_dash(parts: Vec<String>) -> String {
    if parts.is_empty() {
        "-".to_owned()
    } else {
        parts.join("; ")
    }
}

/// What each output does, and what proves it.
fn outputs(lane: &Lane<'_>) -> Table {
    let mut table = Table::new([
        ("output", Align::Left),
        ("group", Align::Left),
        ("category", Align::Left),
        ("writes", Align::Left),
        ("proved by", Align::Left),
        ("escalates to", Align::Left),
        ("watchdog", Align::Left),
        ("device", Align::Right),
    ]);
    for output in &lane.outputs {
        let category = match (output.controlled_by, output.power_off_after_ns) {
            (Some(by), Some(after)) => format!("1, {} after {by}", units::time(after)),
            _ => output.category.to_string(),
        };
        let mut proved = vec![format!("echo {}", units::time(output.confirm_within_ns))];
        if let Some(within) = output.read_back_within_ns {
            proved.push(format!("read-back {}", units::time(within)));
        }
        if let (Some(tag), Some(within)) = (output.feedback, output.feedback_within_ns) {
            proved.push(format!("{tag} {}", units::time(within)));
        }
        let watchdog = match (output.watchdog, output.watchdog_time_ns) {
            (Some(profile), Some(time)) => format!("{profile} {}", units::time(time)),
            _ => "-".to_owned(),
        };
        table.row([
            output.name.into(),
            output.group.into(),
            category.into(),
            output.writes.as_str().into(),
            proved.join(", ").into(),
            output.escalates_to.unwrap_or("-").into(),
            watchdog.into(),
            units::time(output.device_time_ns).into(),
        ]);
    }
    table
}

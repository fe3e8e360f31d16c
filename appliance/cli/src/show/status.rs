//! The state of a guard, for people: the answer first, then the reasons.

use appliance_control::{LaneStatus, State, Status};

use super::tables;
use crate::act::{bypass_table, shelved_table};
use crate::error::CliError;
use crate::out::Out;
use crate::paint::Tone;
use crate::settings::Settings;
use crate::table::Table;
use crate::units;

pub(super) fn print(status: &Status, settings: &Settings, out: &mut Out) -> Result<(), CliError> {
    head(status, settings, out)?;
    below(bypass_table(status), out)?;
    below(shelved_table(status), out)?;
    for lane in &status.lanes {
        out.line("")?;
        lane_head(lane, out)?;
        let groups = tables::groups(&lane.groups).without_empty_columns();
        out.text(groups.painted(out.paint()))?;
        below(tables::outputs(&lane.outputs), out)?;
        below(
            tables::analyzers(&lane.analyzers).without_empty_columns(),
            out,
        )?;
        below(tables::votings(&lane.votings).without_empty_columns(), out)?;
        let (rules, left_out) = tables::rules(&lane.rules, &status.shelved);
        below(rules.without_empty_columns(), out)?;
        if left_out > 0 {
            out.line(format_args!(
                "  {left_out} of {} rules are normal and not listed",
                lane.rules.len()
            ))?;
        }
        below(tables::devices(&lane.devices).without_empty_columns(), out)?;
    }
    Ok(())
}

/// A table with an empty line before it, if it has rows.
fn below(table: Table, out: &mut Out) -> Result<(), CliError> {
    if table.is_empty() {
        return Ok(());
    }
    out.line("")?;
    out.text(table.painted(out.paint()))
}

fn head(status: &Status, settings: &Settings, out: &mut Out) -> Result<(), CliError> {
    let tone = match status.state {
        State::Armed => Tone::Good,
        State::Degraded | State::Safe => Tone::Warn,
        State::Tripped => Tone::Bad,
    };
    let state = status.state.as_str().to_uppercase();
    let state = out.tone(tone, state).to_string();
    let first = status.reasons.first().map(|reason| reason.text.as_str());
    let why = first.unwrap_or("permits are granted, rules watch, nothing is reduced");
    out.line(format_args!("{state}  {why}"))?;
    // The first column says what each further reason speaks for: a stop, or what protects less than it should.
    for reason in status.reasons.iter().skip(1) {
        let head = if reason.state == status.state {
            "and"
        } else {
            reason.state.as_str()
        };
        out.line(format_args!("  {head:<10}{}", reason.text))?;
    }
    if !status.state.permits() {
        let reset = settings.command("reset");
        match &status.reset_refusal {
            Some(refusal) => out.line(format_args!("reset   refused now: {refusal}"))?,
            None => out.line(format_args!(
                "reset   nothing stands against it; look at the machine, then: {reset}"
            ))?,
        }
    }
    out.line(format_args!("pack    {} {}", status.pack, status.version))?;
    out.line(format_args!("bundle  {}", status.bundle))?;
    let memory = status
        .resident_bytes
        .map_or("unknown memory".to_owned(), units::size);
    out.line(format_args!(
        "guard   process {}, up {}, {memory}, {} events",
        status.pid,
        units::span(status.uptime_ns),
        status.events,
    ))?;
    if let Some(sentinel) = &status.sentinel {
        let detail = [&sentinel.detail, &sentinel.watched_by];
        let detail: Vec<_> = detail.into_iter().flatten().map(String::as_str).collect();
        let detail = detail.join(", ");
        out.line(format_args!(
            "watch   sentinel {}, {detail}",
            sentinel.state
        ))?;
    }
    if let Some(group) = &status.operators {
        out.line(format_args!(
            "rights  members of group {group} may reset, bypass, shelve, acknowledge; everybody may look and stop"
        ))?;
    }
    defect(status.lane_allocations, "allocations by sealed lanes", out)?;
    defect(status.events_lost, "events lost in the guard", out)
}

/// A counter that stays 0 unless something is wrong is shown only then.
fn defect(count: u64, what: &str, out: &mut Out) -> Result<(), CliError> {
    if count == 0 {
        return Ok(());
    }
    let line = out
        .tone(Tone::Bad, format_args!("{count} {what}"))
        .to_string();
    out.line(line)
}

fn lane_head(lane: &LaneStatus, out: &mut Out) -> Result<(), CliError> {
    let name = out
        .tone(Tone::Strong, format_args!("lane {}", lane.name))
        .to_string();
    let core = lane
        .core
        .map_or("any core".to_owned(), |core| format!("core {core}"));
    out.line(format_args!(
        "{name}  {core}, {}, {}, {} ticks, {} samples, {} evaluations",
        lane.scheduling, lane.wait, lane.ticks, lane.samples, lane.evaluations
    ))?;
    for (count, what) in [
        (
            lane.comparison_faults,
            "differences between the two evaluations of a rule",
        ),
        (lane.frames_lost, "frames lost in full queues"),
        (
            lane.out_of_order,
            "samples dropped because newer ones were known",
        ),
        (lane.window_overruns, "samples dropped by windows"),
    ] {
        defect(count, what, out)?;
    }
    Ok(())
}

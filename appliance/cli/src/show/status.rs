//! The state of a guard, for people: the answer first, then the reasons.

use appliance_control::{DeviceStatus, LaneStatus, OutputStatus, RuleStatus, State, Status};

use crate::error::CliError;
use crate::out::Out;
use crate::paint::Tone;
use crate::settings::Settings;
use crate::table::{Align, Table, toned};
use crate::units;

/// Rules that are all listed. Of a larger pack only those that are not normal are.
const RULES_LISTED: usize = 40;

pub(super) fn print(status: &Status, settings: &Settings, out: &mut Out) -> Result<(), CliError> {
    head(status, settings, out)?;
    for lane in &status.lanes {
        out.line("")?;
        lane_head(lane, out)?;
        out.text(outputs(&lane.outputs).painted(out.paint()))?;
        out.line("")?;
        rules(&lane.rules, out)?;
        out.line("")?;
        out.text(devices(&lane.devices).painted(out.paint()))?;
    }
    Ok(())
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
    let why = first.unwrap_or("permits are granted, rules watch");
    out.line(format_args!("{state}  {why}"))?;
    for reason in status.reasons.iter().skip(1) {
        out.line(format_args!("  {}: {}", reason.state, reason.text))?;
    }
    if !status.state.permits() {
        let reset = settings.command("reset");
        match &status.reset_refusal {
            Some(refusal) => out.line(format_args!("a reset is refused now: {refusal}"))?,
            None => out.line(format_args!("no cause is left; release with: {reset}"))?,
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

fn outputs(outputs: &[OutputStatus]) -> Table {
    let mut table = Table::new([
        ("output", Align::Left),
        ("permit", Align::Left),
        ("confirmed", Align::Left),
        ("link", Align::Left),
        ("writes", Align::Right),
        ("failures", Align::Right),
        ("first cause", Align::Left),
        ("rule", Align::Left),
        ("for", Align::Right),
    ]);
    for output in outputs {
        let yes = |is: bool, word: &str, no: &str| {
            toned(
                if is { Tone::Good } else { Tone::Bad },
                if is { word } else { no },
            )
        };
        table.row([
            output.name.as_str().into(),
            yes(output.permit == "granted", &output.permit, &output.permit),
            yes(output.confirmed, "yes", "no"),
            yes(output.connected, "up", "down"),
            output.confirmations.to_string().into(),
            output.failures.to_string().into(),
            output.first_out.as_deref().unwrap_or_default().into(),
            output.rule.as_deref().unwrap_or_default().into(),
            output
                .latched_for_ns
                .map_or(String::new(), units::span)
                .into(),
        ]);
    }
    table
}

fn rules(rules: &[RuleStatus], out: &mut Out) -> Result<(), CliError> {
    let mut table = Table::new([
        ("rule", Align::Left),
        ("level", Align::Left),
        ("state", Align::Left),
        ("cause", Align::Left),
        ("message", Align::Left),
    ]);
    let quiet = |rule: &&RuleStatus| rule.state == "normal";
    let short = rules.len() > RULES_LISTED;
    for rule in rules.iter().filter(|rule| !(short && quiet(rule))) {
        let tone = match (rule.state.as_str(), rule.level.as_str()) {
            ("normal", _) => Tone::Good,
            ("active", "danger") => Tone::Bad,
            _ => Tone::Warn,
        };
        let message = if quiet(&rule) { "" } else { &rule.message };
        table.row([
            rule.id.as_str().into(),
            rule.level.as_str().into(),
            toned(tone, rule.state.as_str()),
            rule.cause.as_str().into(),
            message.into(),
        ]);
    }
    if !table.is_empty() {
        out.text(table.painted(out.paint()))?;
    }
    if short {
        let normal = rules.iter().filter(quiet).count();
        out.line(format_args!(
            "  {normal} of {} rules are normal and not listed",
            rules.len()
        ))?;
    }
    Ok(())
}

fn devices(devices: &[DeviceStatus]) -> Table {
    let mut table = Table::new([
        ("device", Align::Left),
        ("kind", Align::Left),
        ("link", Align::Left),
        ("requests", Align::Right),
        ("replies", Align::Right),
        ("anomalies", Align::Right),
        ("connects", Align::Right),
        ("last error", Align::Left),
    ]);
    for device in devices {
        let tone = if device.link == "up" {
            Tone::Good
        } else {
            Tone::Bad
        };
        table.row([
            device.name.as_str().into(),
            device.kind.as_str().into(),
            toned(tone, device.link.as_str()),
            device.requests.to_string().into(),
            device.replies.to_string().into(),
            device.anomalies.to_string().into(),
            device.connects.to_string().into(),
            device.last_error.as_deref().unwrap_or_default().into(),
        ]);
    }
    table
}

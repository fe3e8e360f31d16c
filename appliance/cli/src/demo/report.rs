//! What happened, told in order.

use std::time::Duration;

use appliance_control::EventBody;

use super::RULE;
use super::evidence::Evidence;
use super::stage::Stage;
use crate::error::CliError;
use crate::latency::{self, ask_latency};
use crate::out::Out;
use crate::paint::Tone;
use crate::units;

/// The trip, in the order of its events.
pub(super) fn trip(evidence: &Evidence, stage: &Stage, out: &mut Out) -> Result<(), CliError> {
    heading("What happened", out)?;
    let at = |time: Duration| format!("{:>12}", format!("+{}", time_of(time)));
    let on_delay = evidence
        .latency
        .as_ref()
        .map_or(0, |latency| latency.on_delay_ns);
    out.line(format_args!(
        "{:>12}  the device sent the first of the too high vibration values",
        "0"
    ))?;
    if on_delay > 0 {
        let time = at(Duration::from_nanos(on_delay));
        out.line(format_args!(
            "{time}  the rule's on-delay was over: so long must it last (`for` in the pack)"
        ))?;
    }
    match evidence.timing.reaction() {
        Some(reaction) => {
            let line = format!(
                "{}  the device received the write that stops the press",
                at(reaction)
            );
            let line = out.tone(Tone::Strong, line).to_string();
            out.line(line)?;
            let ours = reaction.saturating_sub(Duration::from_nanos(on_delay));
            out.line(format_args!(
                "{:>12}  (by the device's own stopwatch; without the on-delay: {}, of which the poll period is a part)",
                "",
                time_of(ours)
            ))?;
        }
        None => out.line("the device received no stop")?,
    }
    if let Some((latency, _)) = evidence.confirmed {
        out.line(format_args!(
            "{}  the guard had the device's echo: stop confirmed",
            at(latency)
        ))?;
        out.line(format_args!(
            "{:>12}  (by the guard's clock, from the arrival of the value)",
            ""
        ))?;
    }
    if let Some((cause, rule)) = &evidence.first_out {
        let rule = rule.as_deref().unwrap_or("no rule");
        out.line(format_args!(
            "{:>12}  first cause, latched: {rule} ({cause})",
            ""
        ))?;
    }
    if let Some(EventBody::Rule {
        tag: Some(tag),
        value: Some(value),
        unit,
        ..
    }) = evidence.rule.as_ref().map(|event| &event.body)
    {
        let unit = unit.as_deref().unwrap_or_default();
        out.line(format_args!(
            "{:>12}  deciding value: {tag} = {} {unit}",
            "",
            units::value(*value)
        ))?;
    }
    let now = stage.plant.snapshot().readings;
    out.line(format_args!(
        "{:>12}  the motor is off, the shaft has coasted down to {:.0} rpm",
        "", now.speed_rpm
    ))?;
    alert(evidence, out)
}

fn alert(evidence: &Evidence, out: &mut Out) -> Result<(), CliError> {
    heading("The alert, as a subscriber got it from the broker", out)?;
    match &evidence.alert {
        Some(alert) => {
            out.line(format_args!("topic {}", alert.topic))?;
            out.json(&alert.json)
        }
        None => out.line("none came"),
    }
}

/// The guard's histograms.
pub(super) fn latency(stage: &Stage, out: &mut Out) -> Result<(), CliError> {
    heading("Latency, measured by the guard", out)?;
    latency::print(&ask_latency(stage.socket())?, out)
}

/// What to try.
pub(super) fn next(stage: &Stage, once: bool, out: &mut Out) -> Result<(), CliError> {
    heading("What to try next", out)?;
    if once {
        out.line("Without --once the demo goes on, and a second terminal can ask and act:")?;
    } else {
        out.line("In a second terminal, while this goes on:")?;
    }
    for (command, why) in [
        ("status", "armed or tripped, and why"),
        ("tags", "every value with its quality and age"),
        ("latency", "the table above, up to date"),
        ("events --follow", "what happens, as it happens"),
        ("reset", "release the trip; refused while a cause is there"),
        ("trip --reason test", "stop the press yourself"),
    ] {
        out.line(format_args!("  {}", stage.command(command)))?;
        let why = out
            .tone(Tone::Faint, format_args!("      {why}"))
            .to_string();
        out.line(why)?;
    }
    if !once {
        out.line(format_args!(
            "The guard's own messages: {}",
            stage.log().display()
        ))?;
    }
    out.line(format_args!(
        "The rule that stopped the press is `{RULE}` in the pack named above."
    ))
}

fn heading(text: &str, out: &mut Out) -> Result<(), CliError> {
    out.line("")?;
    let text = out.tone(Tone::Strong, text).to_string();
    out.line(text)
}

fn time_of(time: Duration) -> String {
    units::time(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX))
}

//! What happened, told in order.

use std::time::Duration;

use appliance_control::EventBody;

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
    let at = |time: Duration| format!("{:>12}", format!("+{:.3} ms", time.as_secs_f64() * 1e3));
    let on_delay = evidence
        .latency
        .as_ref()
        .map_or(0, |latency| latency.on_delay_ns);
    let begin = match &stage.module {
        None => "the device sent the first of the too high vibration values".to_owned(),
        Some(module) => format!("the block arrived in which {module} saw the damage"),
    };
    out.line(format_args!("{:>12}  {begin}", "0"))?;
    if on_delay > 0 {
        let time = at(Duration::from_nanos(on_delay));
        out.line(format_args!(
            "{time}  the rule's on-delay was over: so long must it last (`for` in the pack)"
        ))?;
    }
    // The device's stopwatch begins at a high vibration value: it knows nothing of blocks.
    let stopwatch = evidence
        .timing
        .reaction()
        .filter(|_| stage.module.is_none());
    match stopwatch {
        Some(reaction) => {
            let line = format!(
                "{}  the device received the write that stops the press",
                at(reaction)
            );
            let line = out.tone(Tone::Strong, line).to_string();
            out.line(line)?;
            let ours = reaction.saturating_sub(Duration::from_nanos(on_delay));
            out.line(format_args!(
                "{:>12}  (by the device's own stopwatch; {} without the on-delay)",
                "",
                time_of(ours)
            ))?;
        }
        None if evidence.timing.stop_written.is_some() => {
            let line = format!(
                "{:>12}  the device received the write that stops the press",
                ""
            );
            let line = out.tone(Tone::Strong, line).to_string();
            out.line(line)?;
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
        // A plain number has the unit "1".
        let unit = match unit.as_deref() {
            None | Some("1") => String::new(),
            Some(unit) => format!(" {unit}"),
        };
        out.line(format_args!(
            "{:>12}  deciding value: {tag} = {}{unit}",
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
            out.text(one_field_a_line(&alert.text))
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
        let again = stage.program();
        out.line(format_args!("  {again} demo"))?;
        return out
            .line("      goes on until Ctrl-C; a second terminal can then ask, trip and reset");
    }
    out.line("In a second terminal, while this goes on:")?;
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
        "The rule that stopped the press is `{}` in the pack named above.",
        stage.rule
    ))
}

fn heading(text: &str, out: &mut Out) -> Result<(), CliError> {
    out.line("")?;
    let text = out.tone(Tone::Strong, text).to_string();
    out.line(text)
}

/// A JSON object as it came, one field of the outermost level a line. Text in, text out: order and numbers stay.
fn one_field_a_line(json: &str) -> String {
    let mut text = String::new();
    let (mut depth, mut quoted, mut escaped) = (0_usize, false, false);
    for letter in json.chars() {
        let outside = !quoted;
        match letter {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            '{' | '[' if outside => depth = depth.saturating_add(1),
            '}' | ']' if outside => depth = depth.saturating_sub(1),
            _ => {}
        }
        if outside && letter == '}' && depth == 0 {
            text.push('\n');
        }
        text.push(letter);
        if outside && depth == 1 && matches!(letter, '{' | ',') {
            text.push_str("\n  ");
        } else if outside && matches!(letter, ':' | ',') {
            text.push(' ');
        }
    }
    text.push('\n');
    text
}

fn time_of(time: Duration) -> String {
    units::time(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_keeps_its_order_and_its_strings() {
        let json = r#"{"z":1,"a":["x, y",{"k":2}],"s":"\"{,:"}"#;
        let expected =
            "{\n  \"z\": 1,\n  \"a\": [\"x, y\", {\"k\": 2}],\n  \"s\": \"\\\"{,:\"\n}\n";
        assert_eq!(one_field_a_line(json), expected);
    }
}

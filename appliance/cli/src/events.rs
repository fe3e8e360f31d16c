//! `events`: what happened.

use std::time::Duration;

use appliance_control::{Client, ClientError, Event, EventBody, Reply, Request};
use appliance_desk::notice::Described;
use appliance_desk::signals::StopSignal;
use appliance_desk::wall_time::time_of_day;

use crate::args::Format;
use crate::error::{CliError, Exit};
use crate::limits::LOOK_EVERY;
use crate::out::{Out, note};
use crate::paint::Tone;
use crate::settings::Settings;

/// How long a guard may take for the next of the events it has. They lie ready; this bounds a hang.
const NEXT_WITHIN: Duration = Duration::from_secs(2);

/// `tripline events`.
pub(crate) fn events(
    follow: bool,
    format: Format,
    settings: &Settings,
    out: &mut Out,
) -> Result<Exit, CliError> {
    let stop = StopSignal::register().map_err(CliError::Signals)?;
    let newest = newest(settings)?;
    let (mut stream, lost) = Client::connect(&settings.socket)?.events(0)?;
    if lost > 0 {
        note(format_args!("{lost} older events are no longer kept"));
    }
    let mut seen = lost;
    while !stop.is_set() && (follow || seen < newest) {
        let wait = if follow { LOOK_EVERY } else { NEXT_WITHIN };
        match stream.next(wait)? {
            Some(event) => {
                seen = event.seq;
                print(&event, format, out)?;
            }
            None if follow => {}
            None => break,
        }
    }
    Ok(Exit::Ok)
}

/// Where the events end that exist now.
fn newest(settings: &Settings) -> Result<u64, CliError> {
    match Client::connect(&settings.socket)?.ask(&Request::Status {})? {
        Reply::Status(status) => Ok(status.events),
        _ => Err(ClientError::Unexpected.into()),
    }
}

fn print(event: &Event, format: Format, out: &mut Out) -> Result<(), CliError> {
    match format {
        Format::Json => out.line(serde_json::to_string(event).map_err(CliError::Json)?),
        Format::Text => {
            let line = line(event, out);
            out.line(line)
        }
    }
}

/// An event as one line: time of day (UTC), what.
pub(crate) fn line(event: &Event, out: &Out) -> String {
    let time = time_of_day(event.wall_ns);
    let time = out.tone(Tone::Faint, time);
    format!("{time}  {}", out.tone(tone(&event.body), Described(event)))
}

fn tone(body: &EventBody) -> Tone {
    match body {
        EventBody::Rule { level, state, .. } if state == "active" => {
            if level == "danger" {
                Tone::Bad
            } else {
                Tone::Warn
            }
        }
        EventBody::Latched { .. }
        | EventBody::TripRequested { .. }
        | EventBody::StopConfirmed { missed: true, .. }
        | EventBody::SelfCheck { stopped: true, .. }
        | EventBody::AnalyzerFault { .. }
        | EventBody::Canary { missed: true, .. }
        | EventBody::EdmFault { .. }
        | EventBody::Overwritten { .. }
        | EventBody::DeviceWatchdog { armed: false, .. } => Tone::Bad,
        EventBody::Replay { result, .. } => match result.as_str() {
            "agrees" => Tone::Plain,
            "late" => Tone::Warn,
            _ => Tone::Bad,
        },
        EventBody::Released { .. } | EventBody::Reset { .. } => Tone::Good,
        EventBody::ResetRefused { .. }
        | EventBody::NotAllowed { .. }
        | EventBody::ActRefused { .. }
        | EventBody::Bypassed { .. }
        | EventBody::BypassReminder { .. }
        | EventBody::Shelved { .. }
        | EventBody::Deviation { on: true, .. }
        | EventBody::Input {
            passivated: true, ..
        }
        | EventBody::Multiplier { on: true, .. }
        | EventBody::Inhibit { on: true, .. }
        | EventBody::SelfCheck { stopped: false, .. }
        | EventBody::OutputFault { .. }
        | EventBody::Link { up: false, .. } => Tone::Warn,
        EventBody::Channel { health, .. } if health != "good" => Tone::Warn,
        EventBody::Analyzer { level, .. } if level != "normal" => Tone::Warn,
        EventBody::Channel { .. }
        | EventBody::Rule { .. }
        | EventBody::StopConfirmed { missed: false, .. }
        | EventBody::ResetPressed { .. }
        | EventBody::Acknowledged { .. }
        | EventBody::BypassEnded { .. }
        | EventBody::Unshelved { .. }
        | EventBody::Lifted { .. }
        | EventBody::Deviation { on: false, .. }
        | EventBody::Analyzer { .. }
        | EventBody::AnalyzerReplaced { .. }
        | EventBody::Canary { missed: false, .. }
        | EventBody::Input {
            passivated: false, ..
        }
        | EventBody::Multiplier { on: false, .. }
        | EventBody::Inhibit { on: false, .. }
        | EventBody::DeviceWatchdog { armed: true, .. }
        | EventBody::Link { up: true, .. } => Tone::Plain,
    }
}

//! What an operator can do: `reset`, `trip`, `acknowledge`, `bypass`, `shelve`, `lift`.

mod bypass;
mod shelve;

use std::path::Path;

use appliance_control::{Client, ClientError, GroupStatus, Reply, Request, Reset, Status};

use crate::error::{CliError, Exit};
use crate::out::{Out, note};
use crate::paint::Tone;
use crate::settings::Settings;

pub(crate) use bypass::{bypass, table as bypass_table};
pub(crate) use shelve::{shelve, table as shelved_table};

/// Asks for a reset: presses, holds, releases.
pub(crate) fn ask_reset(socket: &Path, who: &str) -> Result<Reset, ClientError> {
    Client::connect(socket)?.reset(who)
}

/// `tripline reset`.
pub(crate) fn reset(who: &str, settings: &Settings, out: &mut Out) -> Result<Exit, CliError> {
    let before = status(settings)?;
    match ask_reset(&settings.socket, who)? {
        Reset::Done => {
            let done = out.tone(Tone::Good, "RESET").to_string();
            out.line(format_args!("{done}  permits are granted; released:"))?;
            for group in latched(&before) {
                out.line(released(group))?;
            }
            Ok(Exit::Ok)
        }
        Reset::Refused { cause, help } => Ok(refused("reset", &cause, &help, settings)),
    }
}

fn latched(status: &Status) -> impl Iterator<Item = &GroupStatus> {
    let groups = status.lanes.iter().flat_map(|lane| &lane.groups);
    groups.filter(|group| group.first_out.is_some())
}

/// `  press: press_run, conveyor_run (was: condition, by bearing_vibration_danger)`
fn released(group: &GroupStatus) -> String {
    let outputs = group.outputs.join(", ");
    let cause = group.first_out.as_deref().unwrap_or_default();
    let by = group
        .rule
        .as_ref()
        .map_or(String::new(), |rule| format!(", by {rule}"));
    if group.outputs.len() == 1 && outputs == group.name {
        format!("  {outputs} (was: {cause}{by})")
    } else {
        format!("  {}: {outputs} (was: {cause}{by})", group.name)
    }
}

/// `tripline trip --reason`.
pub(crate) fn trip(reason: &str, settings: &Settings, out: &mut Out) -> Result<Exit, CliError> {
    let request = Request::Trip {
        reason: reason.to_owned(),
    };
    do_it("trip", &request, settings, |_| {
        let done = out.tone(Tone::Bad, "TRIPPED").to_string();
        let status = settings.command("status");
        out.line(format_args!("{done}  every output is stopped and latched"))?;
        out.line(format_args!(
            "  see that the stops are confirmed:  {status}"
        ))
    })
}

/// `tripline acknowledge [TAG]`.
pub(crate) fn acknowledge(
    tag: Option<&str>,
    who: &str,
    settings: &Settings,
    out: &mut Out,
) -> Result<Exit, CliError> {
    let request = Request::Acknowledge {
        tag: tag.map(str::to_owned),
        who: who.to_owned(),
    };
    do_it("acknowledge", &request, settings, |reply| {
        let channels = match reply {
            Reply::Acknowledged { channels } => channels,
            _ => 0,
        };
        match (channels, tag) {
            (0, Some(tag)) => out.line(format_args!("{tag} does not wait to be acknowledged")),
            (0, None) => out.line("no input waits to be acknowledged"),
            (1, _) => out.line("acknowledged: 1 input comes back with its next good sample"),
            (more, _) => out.line(format_args!(
                "acknowledged: {more} inputs come back with their next good samples"
            )),
        }
    })
}

/// `tripline lift HOLD`.
pub(crate) fn lift(
    hold: &str,
    who: &str,
    settings: &Settings,
    out: &mut Out,
) -> Result<Exit, CliError> {
    let request = Request::Lift {
        hold: hold.to_owned(),
        who: who.to_owned(),
    };
    do_it("lift", &request, settings, |_| {
        let reset = settings.command("reset");
        out.line(format_args!(
            "lifted: {hold}. Every output is still latched; release with: {reset}"
        ))
    })
}

/// Asks the guard to do something, and tells what came of it.
fn do_it(
    what: &str,
    request: &Request,
    settings: &Settings,
    done: impl FnOnce(Reply) -> Result<(), CliError>,
) -> Result<Exit, CliError> {
    match Client::connect(&settings.socket)?.ask(request)? {
        Reply::Refused { cause, help } => Ok(refused(what, &cause, &help, settings)),
        reply @ (Reply::Done {} | Reply::Acknowledged { .. }) => done(reply).map(|()| Exit::Ok),
        _ => Err(ClientError::Unexpected.into()),
    }
}

fn refused(what: &str, cause: &str, help: &str, settings: &Settings) -> Exit {
    let head = format!("{what} refused:");
    let head = settings.error_paint.text(Tone::Bad, head);
    note(format_args!("{head} {cause}"));
    note(format_args!("  {help}"));
    Exit::Failed
}

fn status(settings: &Settings) -> Result<Status, ClientError> {
    match Client::connect(&settings.socket)?.ask(&Request::Status {})? {
        Reply::Status(status) => Ok(*status),
        _ => Err(ClientError::Unexpected),
    }
}

/// A length of time as people type it: `30m`, `90s`, `1h`, `1.5 h`. Nanoseconds.
pub(crate) fn lasting(text: &str) -> Result<u64, String> {
    let text = text.trim();
    // In a pack `m` is a metre; here only times are meant.
    let minutes = text
        .strip_suffix('m')
        .filter(|number| number.ends_with(|last: char| last.is_ascii_digit() || last == ' '));
    let text = minutes.map_or_else(|| text.to_owned(), |number| format!("{number}min"));
    match rules_expr::parse_duration(&text) {
        Ok(0) => Err("no time at all; write for example `30m` or `1h`".to_owned()),
        Ok(ns) => Ok(ns),
        Err(error) => Err(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_people_type_them() {
        const MINUTE: u64 = 60_000_000_000;
        for (text, minutes) in [
            ("30m", 30),
            ("30 m", 30),
            ("30min", 30),
            ("90s", 1),
            ("1h", 60),
            ("1.5h", 90),
            ("24 h", 1_440),
        ] {
            assert_eq!(lasting(text).map(|ns| ns / MINUTE), Ok(minutes), "{text}");
        }
        for wrong in ["", "30", "m", "0m", "-1h", "1 mm", "1e9h", "soon"] {
            assert!(lasting(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn what_was_released_is_named_with_its_first_cause() {
        let group = |name: &str, outputs: &[&str], rule: Option<&str>| GroupStatus {
            name: name.into(),
            first_out: Some("condition".into()),
            rule: rule.map(str::to_owned),
            latched_for_ns: None,
            latched_wall_ns: None,
            before_restart: None,
            outputs: outputs.iter().map(|name| (*name).to_owned()).collect(),
        };
        assert_eq!(
            released(&group("press", &["press_run", "belt_run"], Some("hot"))),
            "  press: press_run, belt_run (was: condition, by hot)"
        );
        assert_eq!(
            released(&group("pump_run", &["pump_run"], None)),
            "  pump_run (was: condition)"
        );
    }
}

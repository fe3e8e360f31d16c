//! `reset` and `trip`: the two things an operator can do.

use std::path::Path;

use appliance_control::{Client, ClientError, Reply, Request, Reset};

use crate::error::{CliError, Exit};
use crate::out::{Out, note};
use crate::paint::Tone;
use crate::settings::Settings;

/// Asks for a reset: presses, holds, releases.
pub(crate) fn ask_reset(socket: &Path, who: &str) -> Result<Reset, ClientError> {
    Client::connect(socket)?.reset(who)
}

/// `tripline reset`.
pub(crate) fn reset(who: &str, settings: &Settings, out: &mut Out) -> Result<Exit, CliError> {
    match ask_reset(&settings.socket, who)? {
        Reset::Done => {
            let done = out.tone(Tone::Good, "reset").to_string();
            out.line(format_args!(
                "{done}: every latch is released, permits are granted"
            ))?;
            Ok(Exit::Ok)
        }
        Reset::Refused { cause, help } => {
            let refused = settings.error_paint.text(Tone::Bad, "reset refused:");
            note(format_args!("{refused} {cause}"));
            note(format_args!("  {help}"));
            Ok(Exit::Failed)
        }
    }
}

/// `tripline trip --reason`.
pub(crate) fn trip(reason: &str, settings: &Settings, out: &mut Out) -> Result<Exit, CliError> {
    let request = Request::Trip {
        reason: reason.to_owned(),
    };
    match Client::connect(&settings.socket)?.ask(&request)? {
        Reply::Done {} => {
            let done = out.tone(Tone::Bad, "tripped").to_string();
            let status = settings.command("status");
            out.line(format_args!("{done}: every output is stopped and latched"))?;
            out.line(format_args!(
                "  see that the stops are confirmed:  {status}"
            ))?;
            Ok(Exit::Ok)
        }
        Reply::Refused { cause, help } => {
            let refused = settings.error_paint.text(Tone::Bad, "trip refused:");
            note(format_args!("{refused} {cause}"));
            note(format_args!("  {help}"));
            Ok(Exit::Failed)
        }
        _ => Err(ClientError::Unexpected.into()),
    }
}

//! Standard output and standard error. A reader that closes its pipe (`| head`) ends the command without a fuss.

use std::fmt::Display;
use std::io::{self, Write as _};

use crate::error::{CliError, Exit};
use crate::paint::{Paint, Painted, Tone};
use crate::settings::Settings;

/// Standard output.
pub(crate) struct Out {
    paint: Paint,
}

impl Out {
    pub(crate) const fn new(paint: Paint) -> Self {
        Self { paint }
    }

    pub(crate) const fn paint(&self) -> Paint {
        self.paint
    }

    pub(crate) fn tone<T: Display>(&self, tone: Tone, text: T) -> Painted<T> {
        self.paint.text(tone, text)
    }

    /// One line.
    pub(crate) fn line(&mut self, text: impl Display) -> Result<(), CliError> {
        let mut stdout = io::stdout().lock();
        writeln!(stdout, "{text}")
            .and_then(|()| stdout.flush())
            .map_err(CliError::Output)
    }

    /// Text that ends its own lines.
    pub(crate) fn text(&mut self, text: impl Display) -> Result<(), CliError> {
        let mut stdout = io::stdout().lock();
        write!(stdout, "{text}")
            .and_then(|()| stdout.flush())
            .map_err(CliError::Output)
    }

    /// Pretty JSON.
    pub(crate) fn json(&mut self, value: &impl serde::Serialize) -> Result<(), CliError> {
        let text = serde_json::to_string_pretty(value).map_err(CliError::Json)?;
        self.line(text)
    }
}

/// A line on standard error; nobody is left to tell when that fails.
pub(crate) fn note(text: impl Display) {
    let _ = writeln!(io::stderr().lock(), "{text}");
}

/// Says what went wrong, if anything did.
pub(crate) fn report(ended: Result<Exit, CliError>, settings: &Settings) -> Exit {
    match ended {
        Ok(exit) => exit,
        Err(CliError::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => Exit::Ok,
        // The findings have been shown already, each with its own way out.
        Err(CliError::Findings) => Exit::Failed,
        Err(error) => {
            let head = settings.error_paint.text(Tone::Bad, "error:");
            note(format_args!("{head} {error}"));
            Exit::Failed
        }
    }
}

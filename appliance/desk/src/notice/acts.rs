//! The words for what people did, and for what protects less than it should.

use std::fmt;
use std::time::Duration;

use appliance_control::EventBody;

use super::By;
use crate::wall_time::time_of_day;

/// Every event that [`super::Described`] does not describe itself.
pub(super) fn describe(body: &EventBody, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    match body {
        EventBody::ResetPressed { by } => {
            write!(f, "reset pressed{}", Button(by.is_none(), By(by.as_ref())))
        }
        EventBody::Reset { by } => {
            write!(f, "RESET{}", Button(by.is_none(), By(by.as_ref())))
        }
        EventBody::NotAllowed { act, cause, by } => {
            write!(f, "{act} asked for by {by}, without the right to: {cause}")
        }
        EventBody::ActRefused { act, of, cause, by } => {
            write!(f, "{act} of {} by {by} refused: {cause}", of.escape_debug())
        }
        EventBody::Acknowledged { tag, channels, by } => {
            let of = tag.as_deref().unwrap_or("every input");
            write!(f, "{of} acknowledged by {by}: {channels} may come back")
        }
        EventBody::Bypassed {
            point,
            by,
            why,
            until_wall_ns,
            ..
        } => write!(
            f,
            "BYPASS {point}: its vote is withheld by {by} until {}: {}",
            time_of_day(*until_wall_ns),
            why.escape_debug()
        ),
        EventBody::BypassReminder {
            point,
            by,
            why,
            remaining_ns,
        } => write!(
            f,
            "BYPASS {point} is still in force, {} left (by {by}: {})",
            Span(*remaining_ns),
            why.escape_debug()
        ),
        EventBody::BypassEnded {
            point,
            by: Some(by),
        } => {
            write!(f, "bypass of {point} ended by {by}: its vote counts again")
        }
        EventBody::BypassEnded { point, by: None } => {
            write!(
                f,
                "bypass of {point} ended, its time is up: its vote counts again"
            )
        }
        EventBody::Shelved {
            rule,
            by,
            why,
            until_wall_ns,
            ..
        } => write!(
            f,
            "alert {rule} shelved by {by} until {}: {}",
            time_of_day(*until_wall_ns),
            why.escape_debug()
        ),
        EventBody::Unshelved { rule, by: Some(by) } => {
            write!(f, "alert {rule} unshelved by {by}: it is told again")
        }
        EventBody::Unshelved { rule, by: None } => {
            write!(
                f,
                "alert {rule} unshelved, its time is up: it is told again"
            )
        }
        EventBody::Lifted { hold, by } => {
            write!(f, "hold lifted{}: {hold}", By(by.as_ref()))
        }
        other => watch(other, f),
    }
}

/// What was seen, not done.
fn watch(body: &EventBody, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    match body {
        EventBody::Channel {
            voting,
            tag,
            health,
            cause,
            decides,
        } => {
            write!(f, "voting {voting}: channel {tag} is {health}")?;
            if let Some(cause) = cause {
                write!(f, " ({cause})")?;
            }
            match decides {
                Some(decides) => write!(f, "; it decides as {decides}"),
                None => Ok(()),
            }
        }
        EventBody::Deviation {
            voting,
            tag,
            on: true,
        } => write!(f, "voting {voting}: channel {tag} differs from the others"),
        EventBody::Deviation {
            voting,
            tag,
            on: false,
        } => write!(
            f,
            "voting {voting}: channel {tag} agrees with the others again"
        ),
        EventBody::Input {
            tag,
            passivated: true,
            cause,
            needs_acknowledgement,
        } => {
            write!(f, "input {tag} is passivated")?;
            if let Some(cause) = cause {
                write!(f, " ({cause})")?;
            }
            if *needs_acknowledgement {
                f.write_str("; it comes back only after `tripline acknowledge`")?;
            }
            Ok(())
        }
        EventBody::Input {
            tag,
            passivated: false,
            ..
        } => write!(f, "input {tag} is back"),
        EventBody::Multiplier { rule, on } => write!(
            f,
            "rule {rule}: its setpoints are {}",
            if *on {
                "MULTIPLIED"
            } else {
                "as written again"
            }
        ),
        EventBody::Inhibit { rule, on } => write!(
            f,
            "rule {rule}: it is {}",
            if *on {
                "INHIBITED"
            } else {
                "no longer inhibited"
            }
        ),
        EventBody::EdmFault { output } => write!(
            f,
            "EDM FAULT output {output}: the actuator did not follow; go and look at the machine"
        ),
        EventBody::Overwritten { output } => write!(
            f,
            "output {output} was overwritten by another master; it was written again at once"
        ),
        EventBody::DeviceWatchdog {
            output,
            armed: true,
        } => write!(f, "output {output}: the watchdog of its device is armed"),
        EventBody::DeviceWatchdog {
            output,
            armed: false,
        } => write!(
            f,
            "output {output}: the watchdog of its device is NOT ARMED; it would not stop if the guard died"
        ),
        other => analyzer(other, f),
    }
}

/// What analyzers say, and what is said of them.
fn analyzer(body: &EventBody, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    match body {
        EventBody::Analyzer {
            analyzer,
            level,
            cause,
        } => {
            write!(f, "analyzer {analyzer}: {level}")?;
            match cause {
                Some(cause) => write!(f, " ({cause})"),
                None => Ok(()),
            }
        }
        EventBody::AnalyzerFault {
            analyzer,
            cause,
            verdict,
        } => write!(
            f,
            "ANALYZER FAULT {analyzer}: {cause}; its values are bad, its verdict counts as {verdict}"
        ),
        EventBody::AnalyzerReplaced { analyzer, left } => {
            write!(f, "analyzer {analyzer}: a spare took over, {left} left")
        }
        EventBody::Canary {
            analyzer,
            missed: true,
        } => write!(
            f,
            "CANARY MISSED analyzer {analyzer}: a known-bad frame did not make it speak; nothing that it says counts"
        ),
        EventBody::Canary {
            analyzer,
            missed: false,
        } => write!(f, "analyzer {analyzer}: its canary makes it speak again"),
        EventBody::Replay { analyzer, result } => match result.as_str() {
            "agrees" => write!(f, "analyzer {analyzer}: answers as a clean instance again"),
            "late" => write!(
                f,
                "analyzer {analyzer}: not compared with a clean instance in time; whether its history has spoiled it is not known"
            ),
            _ => write!(
                f,
                "REPLAY DIFFERS analyzer {analyzer}: a clean instance answers otherwise; what it saw before has spoiled it, and what it says still counts"
            ),
        },
        // Described by the caller.
        _ => Ok(()),
    }
}

/// ` by the reset button`, or whoever it was.
struct Button<'a>(bool, By<'a>);

impl fmt::Display for Button<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 {
            f.write_str(" by the reset button")
        } else {
            self.1.fmt(f)
        }
    }
}

/// Time left, as people say it.
struct Span(u64);

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = Duration::from_nanos(self.0).as_secs();
        match seconds {
            0..60 => write!(f, "{seconds} s"),
            60..3_600 => write!(f, "{} min", seconds / 60),
            _ => write!(f, "{} h {:02} min", seconds / 3_600, seconds / 60 % 60),
        }
    }
}

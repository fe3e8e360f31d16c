//! `demo`: a simulated press, and everything else real: the guard in its own process, the desk here, sockets between.
//!
//! ```text
//! plant ─▶ pack ─▶ guard and desk ─▶ reset ─▶ the press runs ─▶ the bearing fails ─▶ trip ─▶ what happened
//!                                      ▲                                                        │
//!                                      └──── bearing replaced, until Ctrl-C ◀───────────────────┘ (--once: the end)
//! ```

mod alerts;
mod analyzer;
mod evidence;
mod report;
mod stage;

use std::path::Path;
use std::time::{Duration, Instant};

use appliance_desk::NOTICE;
use appliance_desk::signals::StopSignal;

use appliance_control::Reset;

use crate::act;
use crate::error::{CliError, Exit};
use crate::out::Out;
use crate::paint::Tone;
use crate::settings::Settings;
use analyzer::Cast;
use evidence::{Evidence, Missed};
use stage::Stage;

/// The rule that must be the first cause, unless an analyzer decides; and the output whose stop is timed.
const RULE: &str = "bearing_vibration_danger";
/// See [`RULE`].
const OUTPUT: &str = "press_run";
/// How long the press runs well before its bearing fails.
const RUNS_WELL: Duration = Duration::from_secs(4);
/// In the second round and later: time to look around.
const RUNS_WELL_AGAIN: Duration = Duration::from_secs(20);
/// How long the inputs may take to become good after the start.
const RESET_WITHIN: Duration = Duration::from_secs(15);
/// From the bearing's failure to the trip; the simulated wear takes about five seconds.
const TRIP_WITHIN: Duration = Duration::from_secs(40);
/// From the trip to its alert, its confirmation and its figures.
const EVIDENCE_WITHIN: Duration = Duration::from_secs(10);
/// Until the shaft stands still.
const COAST_WITHIN: Duration = Duration::from_secs(30);

/// What goes on in the wait for an operator's reset.
const WAIT_HINT_EVERY: Duration = Duration::from_secs(30);

/// `tripline demo`.
pub(crate) fn demo(
    once: bool,
    seed: u64,
    analyzer: Option<&Path>,
    settings: &Settings,
    out: &mut Out,
) -> Result<Exit, CliError> {
    let cast = analyzer.map(Cast::read).transpose()?;
    let stop = StopSignal::register().map_err(CliError::Signals)?;
    intro(out)?;
    let mut stage = Stage::build(seed, cast.as_ref(), settings, &stop, out)?;
    let played = play(&mut stage, once, &stop, out);
    // Whatever went wrong: the guard goes to its safe state, and the temporary directory goes away.
    let (outcome, farewell) = stage.strike();
    let missed = played?;
    out.line("")?;
    out.line(outcome)?;
    if farewell.undelivered > 0 {
        out.line(format_args!(
            "{} messages did not reach the broker",
            farewell.undelivered
        ))?;
    }
    if !outcome.is_good() {
        return Ok(Exit::Failed);
    }
    Ok(if missed { Exit::Failed } else { Exit::Ok })
}

fn intro(out: &mut Out) -> Result<(), CliError> {
    let title = out.tone(Tone::Strong, "Tripline demo").to_string();
    out.line(format_args!(
        "{title}: a press whose bearing fails, and what stops it."
    ))?;
    out.line(
        "The press is simulated. The protection process, the alerts and every socket are real.",
    )?;
    let notice = format!("Tripline is {NOTICE}.");
    let notice = out.tone(Tone::Faint, notice).to_string();
    out.line(notice)?;
    out.line("")
}

/// Returns whether anything was missed.
fn play(stage: &mut Stage, once: bool, stop: &StopSignal, out: &mut Out) -> Result<bool, CliError> {
    let mut missed = first_reset(stage, stop, out)?;
    let mut runs_well = RUNS_WELL;
    loop {
        if stop.is_set() || missed {
            // `--once` that was interrupted has shown nothing.
            return Ok(missed || once);
        }
        let lap = Evidence::begin(stage);
        match lap_until_trip(stage, runs_well, stop, out)? {
            Lap::Tripped => {}
            Lap::Interrupted => return Ok(once),
            Lap::NotTripped => return Ok(true),
            Lap::TooEarly if once => {
                verdict(&[Missed::StoppedTooEarly], out)?;
                return Ok(true);
            }
            Lap::TooEarly => {
                out.line("")?;
                out.line("The press was stopped while its bearing was good. By you? The reason:")?;
                out.line(format_args!("  {}", stage.command("status")))?;
                wait_for_operator(stage, stop, out)?;
                continue;
            }
        }
        let evidence = lap.gather(stage, stop, Instant::now() + EVIDENCE_WITHIN);
        stage.coast(COAST_WITHIN, stop, out)?;
        let found = evidence.missed(stage);
        report::trip(&evidence, stage, out)?;
        report::latency(stage, out)?;
        missed = !found.is_empty();
        verdict(&found, out)?;
        report::next(stage, once, out)?;
        if once || stop.is_set() {
            return Ok(missed);
        }
        wait_for_operator(stage, stop, out)?;
        runs_well = RUNS_WELL_AGAIN;
    }
}

/// Asks for a reset until the inputs are good. True when it never was granted.
fn first_reset(stage: &mut Stage, stop: &StopSignal, out: &mut Out) -> Result<bool, CliError> {
    out.line(
        "The guard has started, and its outputs are stopped and latched: it always starts so.",
    )?;
    out.line("Only a person may release it (`tripline reset`). Here the demo plays that person.")?;
    let deadline = Instant::now() + RESET_WITHIN;
    loop {
        let (cause, help) = match act::ask_reset(stage.socket(), "the demo")? {
            Reset::Done => {
                let done = out.tone(Tone::Good, "reset granted").to_string();
                out.line(format_args!(
                    "{done}: the run permits flow, the motor starts."
                ))?;
                return Ok(false);
            }
            Reset::Refused { cause, help } => (cause, help),
        };
        if stop.is_set() {
            return Ok(false);
        }
        if Instant::now() >= deadline {
            verdict(&[Missed::ResetRefused { cause, help }], out)?;
            return Ok(true);
        }
        stage.pass(Duration::from_millis(50));
    }
}

/// How a lap went.
enum Lap {
    /// The bearing failed and the press was stopped.
    Tripped,
    /// The press was stopped before its bearing failed: by somebody at another terminal, or for another cause.
    TooEarly,
    /// The bearing failed and the press still runs.
    NotTripped,
    /// Ctrl-C.
    Interrupted,
}

/// The press runs, the bearing fails, the guard trips.
fn lap_until_trip(
    stage: &mut Stage,
    runs_well: Duration,
    stop: &StopSignal,
    out: &mut Out,
) -> Result<Lap, CliError> {
    out.line("")?;
    stage.heading(out)?;
    stage.watch(Instant::now() + runs_well, stop, out)?;
    if stop.is_set() {
        return Ok(Lap::Interrupted);
    }
    if stage.is_stopped() {
        return Ok(Lap::TooEarly);
    }
    let line = out
        .tone(
            Tone::Warn,
            "the bearing begins to fail; nobody told Tripline",
        )
        .to_string();
    out.line(format_args!("  {line}"))?;
    stage.fail_bearing();
    stage.watch(Instant::now() + TRIP_WITHIN, stop, out)?;
    if stop.is_set() {
        return Ok(Lap::Interrupted);
    }
    if stage.is_stopped() {
        return Ok(Lap::Tripped);
    }
    verdict(&[Missed::NoStop], out)?;
    Ok(Lap::NotTripped)
}

fn verdict(missed: &[Missed], out: &mut Out) -> Result<(), CliError> {
    out.line("")?;
    if missed.is_empty() {
        let line = out.tone(
            Tone::Good,
            "Nothing was missed: right cause, stop in time, confirmed, alert received.",
        );
        let line = line.to_string();
        return out.line(line);
    }
    for miss in missed {
        let head = out.tone(Tone::Bad, "MISSED").to_string();
        out.line(format_args!("{head}  {miss}"))?;
    }
    Ok(())
}

/// The bearing is replaced; a person resets from another terminal.
fn wait_for_operator(stage: &mut Stage, stop: &StopSignal, out: &mut Out) -> Result<(), CliError> {
    out.line("")?;
    out.line(
        "The bearing has been replaced. The press stands until you reset it. Ctrl-C ends the demo.",
    )?;
    stage.replace_bearing();
    let mut hint_at = Instant::now() + WAIT_HINT_EVERY;
    while !stop.is_set() && stage.is_stopped() {
        stage.pass(Duration::from_millis(100));
        if Instant::now() >= hint_at {
            hint_at = Instant::now() + WAIT_HINT_EVERY;
            out.line(format_args!(
                "  still waiting for: {}",
                stage.command("reset")
            ))?;
        }
    }
    if !stop.is_set() {
        out.line("")?;
        let line = out
            .tone(
                Tone::Good,
                "You reset it: the motor starts again, and this bearing will fail too.",
            )
            .to_string();
        out.line(line)?;
    }
    Ok(())
}

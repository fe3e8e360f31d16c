//! The floor and the peers: the programs, and how the rig starts them.

mod floor;
mod peer_rumqttc;
mod peer_tokio;
mod start;

use std::fmt::Display;
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};

use rustix::process::{Signal, set_parent_process_death_signal};

pub(crate) use start::own_entries;

use crate::host;
use crate::options::Child;

/// Runs a child's program. Returns only when it cannot go on.
pub(crate) fn run_child(child: Child) -> ExitCode {
    let (Child::FloorBlocking(target)
    | Child::FloorSpinning(target)
    | Child::TokioModbus(target)
    | Child::Rumqttc { target, .. }) = child
    else {
        return pinned(child);
    };
    let ended = match settle(target.cpu) {
        Err(e) => Err(e),
        Ok(()) => match child {
            Child::FloorBlocking(_) => explained(floor::blocking(target.device)),
            Child::FloorSpinning(_) => explained(floor::spinning(target.device)),
            Child::TokioModbus(_) => peer_tokio::run(target.device),
            Child::Rumqttc { broker, .. } => peer_rumqttc::run(target.device, broker),
            Child::Pinned { .. } => Ok(()),
        },
    };
    complain(ended.err())
}

fn pinned(child: Child) -> ExitCode {
    let Child::Pinned { cpu, program } = child else {
        return ExitCode::FAILURE;
    };
    if let Err(e) = settle(cpu) {
        return complain(Some(e));
    }
    let mut words = program.into_iter();
    let Some(first) = words.next() else {
        return complain(Some("no program was given after --".to_owned()));
    };
    let e = Command::new(&first).args(words).exec();
    complain(Some(format!("{}: {e}", first.display())))
}

/// Binds this process to its core, and asks to be ended with the rig.
fn settle(cpu: usize) -> Result<(), String> {
    host::pin(cpu).map_err(|e| format!("cannot stay on core {cpu}: {e}; choose another core"))?;
    set_parent_process_death_signal(Some(Signal::KILL))
        .map_err(|e| format!("cannot ask to be ended with the rig: {e}"))
}

fn explained<T, E: Display>(result: Result<T, E>) -> Result<T, String> {
    result.map_err(|e| e.to_string())
}

#[expect(
    clippy::print_stderr,
    reason = "a program for people: what it prints ends in the report"
)]
fn complain(why: Option<String>) -> ExitCode {
    let why = why.unwrap_or_else(|| "it ended without a reason".to_owned());
    eprintln!("{why}");
    ExitCode::FAILURE
}

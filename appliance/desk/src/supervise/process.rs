//! A guard's process: our child, or one that was found.

use std::env;
use std::fs::File;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fd::OwnedFd;
use rustix::process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open, pidfd_send_signal};

use super::{GuardCommand, StartError};
use crate::notice::GuardExit;

/// Name of the guard's program.
const PROGRAM: &str = "tripline-guard";
/// Names another program than the one beside ours.
const OVERRIDE: &str = "TRIPLINE_GUARD";

/// Why the guard's program was not found.
#[derive(Debug, thiserror::Error)]
pub enum FindError {
    /// Our own place is unknown.
    #[error(
        "cannot tell where this program is ({0}), so the guard beside it is not found. Name it in TRIPLINE_GUARD"
    )]
    OwnPath(io::Error),
    /// It is not there.
    #[error("no guard at {path}. Build it with `cargo build --release -p appliance-guard` (or without --release, as `tripline` was built), or name it in TRIPLINE_GUARD", path = .0.display())]
    Missing(PathBuf),
}

/// The guard's program: `TRIPLINE_GUARD`, or `tripline-guard` beside the running program.
///
/// # Errors
/// [`FindError`].
pub fn find_guard() -> Result<PathBuf, FindError> {
    let path = match env::var_os(OVERRIDE) {
        Some(path) => PathBuf::from(path),
        None => env::current_exe()
            .map_err(FindError::OwnPath)?
            .with_file_name(PROGRAM),
    };
    if path.is_file() {
        Ok(path)
    } else {
        Err(FindError::Missing(path))
    }
}

/// A guard that was started or found.
#[derive(Debug)]
pub(super) enum Guard {
    /// Our child: its exit code is known.
    Child(Child),
    /// Found running. The descriptor names this process for ever, where a number could be given to another.
    Adopted {
        /// Names the process.
        process: OwnedFd,
        /// For people.
        pid: u32,
    },
}

impl Guard {
    pub(super) fn spawn(command: &GuardCommand) -> Result<Self, StartError> {
        let stderr = match &command.log {
            None => Stdio::inherit(),
            Some(path) => {
                // Append: what the guard before this one said when it died must stay readable.
                let file = File::options().create(true).append(true).open(path);
                Stdio::from(file.map_err(|source| StartError::Log {
                    path: path.clone(),
                    source,
                })?)
            }
        };
        let child = Command::new(&command.program)
            .arg("--bundle")
            .arg(&command.bundle)
            .arg("--bundle-key")
            .arg(&command.bundle_key)
            .arg("--socket")
            .arg(&command.socket)
            .args(
                command
                    .operators
                    .iter()
                    .flat_map(|group| ["--operators", group]),
            )
            .args(command.allow_unsigned.then_some("--allow-unsigned"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(stderr)
            // Ctrl-C is for us: the guard is then asked to stop, and its answer is waited for.
            .process_group(0)
            .spawn();
        child.map(Self::Child).map_err(|source| StartError::Spawn {
            program: command.program.clone(),
            source,
        })
    }

    pub(super) fn adopt(pid: u32) -> io::Result<Self> {
        let raw = i32::try_from(pid).ok().and_then(Pid::from_raw);
        let raw = raw.ok_or(io::ErrorKind::InvalidInput)?;
        let process = pidfd_open(raw, PidfdFlags::empty())?;
        Ok(Self::Adopted { process, pid })
    }

    pub(super) fn pid(&self) -> u32 {
        match self {
            Self::Child(child) => child.id(),
            Self::Adopted { pid, .. } => *pid,
        }
    }

    pub(super) fn terminate(&self) -> io::Result<()> {
        match self {
            Self::Child(child) => kill_process(Pid::from_child(child), Signal::TERM)?,
            Self::Adopted { process, .. } => pidfd_send_signal(process, Signal::TERM)?,
        }
        Ok(())
    }

    /// How it ended, if it did.
    pub(super) fn ended(&mut self) -> Option<GuardExit> {
        match self {
            Self::Child(child) => match child.try_wait() {
                Ok(status) => status.map(GuardExit::of),
                // Somebody else reaped it: gone, without a code.
                Err(_) => Some(GuardExit::Unseen),
            },
            Self::Adopted { process, .. } => {
                let mut fds = [PollFd::new(process, PollFlags::IN)];
                let at_once = Timespec {
                    tv_sec: 0,
                    tv_nsec: 0,
                };
                let ready = poll(&mut fds, Some(&at_once));
                matches!(ready, Ok(count) if count > 0).then_some(GuardExit::Unseen)
            }
        }
    }
}

//! Starts or adopts the guard, restarts it when it dies, stops it in order.
//!
//! The guard must outlive the desk: it gets a process group of its own (so that Ctrl-C reaches only the desk, which then
//! asks the guard to stop) and no parent-death signal. A desk that comes back adopts the guard that it finds.
//!
//! ```text
//!          answers                  dies, fewer than 3 in a minute
//! start ─────────────▶ watching ──────────────────────────────────▶ waiting ──▶ starting ─▶ watching
//!   │ adopt ──────────▶   │  │ dies a 3rd time: crash loop, stays down (H-83)       │ does not answer: a death too
//!                         │  └ ends with 0, 7 (asked by another) or 2, 3 (refuses): stays down
//!                         └ stop: SIGTERM, up to 5 s
//! ```
//!
//! Which thread: one of its own. May it block: yes. A restarted guard is tripped until an operator resets it (I9).

mod policy;
mod process;

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use appliance_control::{Client, Reply, Request, Status};

use crate::limits::{LOOK_EVERY, READY_WITHIN, STOP_WITHIN};
use crate::notice::{GuardExit, Notice, Notices};
use policy::{Policy, Step};
use process::Guard;

pub use process::{FindError, find_guard};

/// How a guard is started.
#[derive(Clone, Debug)]
pub struct GuardCommand {
    /// The program; see [`find_guard`].
    pub program: PathBuf,
    /// The bundle. It must stay where it is: a restart reads it again.
    pub bundle: PathBuf,
    /// The key that the bundle was sealed with.
    pub bundle_key: PathBuf,
    /// Content hash of the bundle.
    pub hash: String,
    /// Where the guard listens.
    pub socket: PathBuf,
    /// Group whose members may act; `None`: only root and our own user.
    pub operators: Option<String>,
    /// Whether packs and modules that nobody has signed may run: for development, and shown in the state.
    pub allow_unsigned: bool,
    /// Where its messages go; `None`: to our standard error.
    pub log: Option<PathBuf>,
}

/// Why no guard runs.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Another bundle runs at this socket.
    #[error(
        "a guard (process {pid}) already runs pack {pack} with bundle {bundle} at this socket. Stop it (kill -TERM {pid}) or choose another socket with --socket"
    )]
    OtherBundle {
        /// Its process.
        pid: u32,
        /// Its pack.
        pack: String,
        /// Its content hash.
        bundle: String,
    },
    /// The program could not be started.
    #[error("{program}: {source}. Build the guard with `cargo build --release -p appliance-guard`, or name it in TRIPLINE_GUARD", program = program.display())]
    Spawn {
        /// The program.
        program: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// The log file could not be made.
    #[error("{path}: {source}. The guard's messages go there", path = path.display())]
    Log {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// It ended before its socket answered.
    #[error("the guard ended before it was ready: {0}")]
    Ended(GuardExit),
    /// Its socket did not answer.
    #[error("the guard runs but its socket did not answer within {} s; it was asked to stop", READY_WITHIN.as_secs())]
    Silent,
    /// It was asked to stop while it started.
    #[error("stopped while the guard was starting")]
    Stopped,
    /// An adopted guard could not be watched.
    #[error("the guard that runs (process {pid}) cannot be watched: {source}")]
    Adopt {
        /// Its process.
        pid: u32,
        /// What the operating system said.
        source: io::Error,
    },
    /// The operating system gave no thread.
    #[error("no thread to watch the guard: {0}. Check the limits on threads (ulimit -u)")]
    Thread(io::Error),
}

/// How the watch over the guard ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// We asked it to stop, and it did.
    Stopped(GuardExit),
    /// We asked it to stop, and it still runs.
    StillRunning {
        /// Its process.
        pid: u32,
    },
    /// Somebody else asked it to stop.
    StoppedByOther(GuardExit),
    /// It refuses to run; starting it again would not help.
    Refused(GuardExit),
    /// It died too often and stays down.
    CrashLoop,
}

impl Outcome {
    /// Whether all went as asked.
    #[must_use]
    pub const fn is_good(self) -> bool {
        matches!(self, Self::Stopped(GuardExit::Code(0) | GuardExit::Unseen))
    }
}

impl std::fmt::Display for Outcome {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Stopped(exit) => write!(f, "guard stopped: {exit}"),
            Self::StillRunning { pid } => write!(
                f,
                "guard (process {pid}) did not stop within {} s and still runs; look at `tripline status`, or end it with kill -KILL {pid}: the devices' watchdogs then drop the permits",
                STOP_WITHIN.as_secs()
            ),
            Self::StoppedByOther(exit) => write!(f, "guard was stopped by somebody else: {exit}"),
            Self::Refused(exit) => write!(f, "guard stays down: {exit}"),
            Self::CrashLoop => f.write_str("guard stays down: it died too often"),
        }
    }
}

/// The watch over one guard.
pub struct Supervisor {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<Outcome>>,
    adopted: bool,
}

impl Supervisor {
    /// Starts the guard, or adopts one that runs the same bundle at the same socket, and returns when its socket answers.
    /// `give_up` is asked while waiting.
    ///
    /// # Errors
    /// [`StartError`]; no guard of ours runs then.
    pub fn start(
        command: GuardCommand,
        notices: Notices,
        give_up: impl Fn() -> bool,
    ) -> Result<Self, StartError> {
        let (guard, adopted) = match running(&command)? {
            Some(guard) => (guard, true),
            None => (ready(&command, &give_up)?, false),
        };
        let stop = Arc::new(AtomicBool::new(false));
        let watch = Watch {
            command,
            notices,
            stop: Arc::clone(&stop),
            policy: Policy::default(),
        };
        let thread = std::thread::Builder::new()
            .name("desk-supervise".into())
            .spawn(move || watch.run(guard))
            .map_err(StartError::Thread)?;
        Ok(Self {
            stop,
            thread: Some(thread),
            adopted,
        })
    }

    /// Whether the guard was found running.
    #[must_use]
    pub const fn adopted(&self) -> bool {
        self.adopted
    }

    /// Whether the watch has ended by itself: the guard stays down.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.thread.as_ref().is_none_or(JoinHandle::is_finished)
    }

    /// Asks the guard to go to the safe state and end, and waits for it.
    #[must_use]
    pub fn stop(mut self) -> Outcome {
        self.stop.store(true, Ordering::Release);
        let outcome = self.thread.take().and_then(|thread| thread.join().ok());
        outcome.unwrap_or(Outcome::StoppedByOther(GuardExit::Unseen))
    }
}

// Dropping a supervisor without `stop` leaves the guard running, on purpose: an error in the desk stops no machine.

/// A guard that already runs here, if it is ours to take.
fn running(command: &GuardCommand) -> Result<Option<Guard>, StartError> {
    let Some(status) = status_of(command) else {
        return Ok(None);
    };
    if status.bundle != command.hash {
        return Err(StartError::OtherBundle {
            pid: status.pid,
            pack: status.pack,
            bundle: status.bundle,
        });
    }
    let pid = status.pid;
    let guard = Guard::adopt(pid).map_err(|source| StartError::Adopt { pid, source })?;
    Ok(Some(guard))
}

fn status_of(command: &GuardCommand) -> Option<Status> {
    let mut client = Client::connect(&command.socket).ok()?;
    match client.ask(&Request::Status {}).ok()? {
        Reply::Status(status) => Some(*status),
        _ => None,
    }
}

/// Starts a guard and waits until it answers.
fn ready(command: &GuardCommand, give_up: &impl Fn() -> bool) -> Result<Guard, StartError> {
    let mut guard = Guard::spawn(command)?;
    let deadline = Instant::now() + READY_WITHIN;
    loop {
        if let Some(exit) = guard.ended() {
            return Err(StartError::Ended(exit));
        }
        if status_of(command).is_some_and(|status| status.pid == guard.pid()) {
            return Ok(guard);
        }
        let error = if give_up() {
            StartError::Stopped
        } else if Instant::now() >= deadline {
            StartError::Silent
        } else {
            std::thread::sleep(LOOK_EVERY / 5);
            continue;
        };
        end(&mut guard);
        return Err(error);
    }
}

/// SIGTERM, and up to [`STOP_WITHIN`] for the guard to confirm its stops.
fn end(guard: &mut Guard) -> Option<GuardExit> {
    // Fails when it has just ended; the wait then sees that.
    let _ = guard.terminate();
    let deadline = Instant::now() + STOP_WITHIN;
    while Instant::now() < deadline {
        if let Some(exit) = guard.ended() {
            return Some(exit);
        }
        std::thread::sleep(LOOK_EVERY / 5);
    }
    guard.ended()
}

struct Watch {
    command: GuardCommand,
    notices: Notices,
    stop: Arc<AtomicBool>,
    policy: Policy,
}

impl Watch {
    fn stopping(&self) -> bool {
        self.stop.load(Ordering::Acquire)
    }

    fn run(mut self, mut guard: Guard) -> Outcome {
        loop {
            let exit = loop {
                if let Some(exit) = guard.ended() {
                    break exit;
                }
                if self.stopping() {
                    return end(&mut guard)
                        .map_or(Outcome::StillRunning { pid: guard.pid() }, Outcome::Stopped);
                }
                std::thread::sleep(LOOK_EVERY);
            };
            guard = match self.replace(exit) {
                Ok(guard) => guard,
                Err(outcome) => return outcome,
            };
        }
    }

    /// The guard ended with `exit`: another one, unless it must stay down.
    fn replace(&mut self, mut exit: GuardExit) -> Result<Guard, Outcome> {
        loop {
            self.notices.tell(Notice::GuardDied(exit));
            if self.stopping() {
                return Err(Outcome::Stopped(exit));
            }
            let wait = match self.policy.died(exit, Instant::now()) {
                Step::Restart(wait) => wait,
                Step::StayDown(outcome) => {
                    if let Outcome::CrashLoop = outcome {
                        let deaths = self.policy.deaths();
                        self.notices.tell(Notice::CrashLoop { deaths });
                    }
                    return Err(outcome);
                }
            };
            self.notices.tell(Notice::Restarting(wait));
            self.pause(wait);
            let stop = Arc::clone(&self.stop);
            match ready(&self.command, &|| stop.load(Ordering::Acquire)) {
                Ok(guard) => return Ok(guard),
                Err(StartError::Ended(next)) => exit = next,
                Err(error) => {
                    self.notices.tell(Notice::RestartFailed(error.to_string()));
                    exit = GuardExit::Unseen;
                }
            }
        }
    }

    fn pause(&self, wait: Duration) {
        let until = Instant::now() + wait;
        while Instant::now() < until && !self.stopping() {
            std::thread::sleep(LOOK_EVERY.min(wait));
        }
    }
}

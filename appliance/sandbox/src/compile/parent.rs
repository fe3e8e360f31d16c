//! The side that asks for a compilation, bounds it, and says which bound was reached.

use std::io::{self, Read, Write as _};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rt_config::limits;

use super::child::{COMPILE_COMMAND, INPUT, NOT_CONFINED, REFUSED};

/// Bounds of one compilation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CompileLimits {
    /// Address space of the process, bytes.
    pub memory_bytes: u64,
    /// Its processor time, seconds.
    pub cpu_s: u64,
    /// Time on the clock on the wall: a host that is loaded is not a bomb.
    pub wall: Duration,
    /// Bytes of the artefact.
    pub artefact_bytes: usize,
}

impl Default for CompileLimits {
    /// Those of [`limits`].
    fn default() -> Self {
        Self {
            memory_bytes: limits::COMPILE_MEMORY_BYTES,
            cpu_s: limits::COMPILE_CPU_S,
            wall: Duration::from_secs(limits::COMPILE_WALL_S),
            artefact_bytes: limits::COMPILE_ARTEFACT_BYTES_MAX,
        }
    }
}

/// Why no artefact came.
#[derive(Debug, thiserror::Error)]
pub enum LimitedError {
    /// The program could not be started.
    #[error("{program}: could not be started to compile the module: {source}")]
    Start {
        /// Which.
        program: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The compiler refused the module.
    #[error("{0}")]
    Refused(String),
    /// It used up its memory.
    #[error("compiling took more than {0} bytes of memory; make the module's functions smaller")]
    Memory(u64),
    /// It used up its processor time.
    #[error(
        "compiling took more than {0} s of processor time; make the module's functions smaller"
    )]
    Cpu(u64),
    /// It took too long.
    #[error(
        "compiling took longer than {0:?}; make the module's functions smaller, or build when the host is idle"
    )]
    Wall(Duration),
    /// The artefact is too large.
    #[error("the machine code has more than {0} bytes; make the module smaller")]
    Artefact(usize),
    /// This host does not let a process confine itself. Nothing foreign is compiled then.
    #[error("the compiler could not confine itself on this host, so nothing was compiled: {0}")]
    NotConfined(String),
    /// It ended otherwise.
    #[error("the compiler ended with {status}: {message}; do not use this module")]
    Crashed {
        /// How.
        status: ExitStatus,
        /// The first of what it said.
        message: String,
    },
}

/// Compiles a foreign module in a process of its own, within `limits`. `program` is one that calls [`super::serve`] when its first
/// argument is [`COMPILE_COMMAND`]: `tripline`. It gets an empty environment and only its three pipes.
///
/// # Errors
/// [`LimitedError`]; the process is gone when this returns.
pub fn compile_limited(
    program: &Path,
    wasm: &[u8],
    limits: CompileLimits,
) -> Result<Vec<u8>, LimitedError> {
    let started = Instant::now();
    let mut child = Command::new(program)
        .arg(COMPILE_COMMAND)
        .arg(limits.memory_bytes.to_string())
        .arg(limits.cpu_s.to_string())
        .env_clear()
        .current_dir("/")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|source| LimitedError::Start {
            program: program.to_owned(),
            source,
        })?;
    let (input, output, error) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let (ended, artefact, message) = std::thread::scope(|scope| {
        scope.spawn(move || {
            // One that ends before it has read everything says why by other means.
            input.map(|mut input| input.write_all(wasm))
        });
        let artefact = scope.spawn(move || read(output, limits.artefact_bytes.saturating_add(1)));
        let message = scope.spawn(move || read(error, MESSAGE_BYTES_MAX));
        let ended = wait(&mut child, started, limits.wall);
        (
            ended,
            artefact.join().unwrap_or_default(),
            message.join().unwrap_or_default(),
        )
    });
    let message = String::from_utf8_lossy(&message).trim().to_owned();
    let Some(status) = ended else {
        return Err(LimitedError::Wall(limits.wall));
    };
    if artefact.len() > limits.artefact_bytes {
        return Err(LimitedError::Artefact(limits.artefact_bytes));
    }
    if status.success() {
        return Ok(artefact);
    }
    Err(failure(status, message, limits))
}

/// Bytes of what a compiler says that are kept: an error with its context.
const MESSAGE_BYTES_MAX: usize = 4_096;
/// Time between two looks at whether it has ended.
const LOOK: Duration = Duration::from_millis(2);

/// At most so many bytes; the rest is refused, so that the writer ends.
fn read(from: Option<impl Read>, most: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    if let Some(from) = from {
        let most = u64::try_from(most).unwrap_or(u64::MAX);
        // What was read until an error is what there is.
        let _ = from.take(most).read_to_end(&mut bytes);
    }
    bytes
}

/// How it ended; `None` when it had to be killed.
fn wait(child: &mut Child, started: Instant, wall: Duration) -> Option<ExitStatus> {
    loop {
        match child.try_wait() {
            Ok(Some(status)) => return Some(status),
            Ok(None) if started.elapsed() < wall => std::thread::sleep(LOOK),
            Ok(None) | Err(_) => {
                // It may have ended just now; either way it is gone after this.
                let _ = child.kill();
                let _ = child.wait();
                return None;
            }
        }
    }
}

fn failure(status: ExitStatus, message: String, limits: CompileLimits) -> LimitedError {
    // How the allocator of Rust's standard library says that there is no more.
    let out_of_memory = message.contains("memory allocation of");
    let code = status.code().and_then(|code| u8::try_from(code).ok());
    match (code, status.signal()) {
        (_, Some(libc::SIGXCPU)) => LimitedError::Cpu(limits.cpu_s),
        (_, Some(libc::SIGABRT)) if out_of_memory => LimitedError::Memory(limits.memory_bytes),
        (Some(REFUSED | INPUT), _) => LimitedError::Refused(message),
        (Some(NOT_CONFINED), _) => LimitedError::NotConfined(message),
        _ => LimitedError::Crashed { status, message },
    }
}

//! The process that compiles: confines itself, then reads, compiles, writes.

use std::io::{self, Read as _, Write as _};
use std::process::ExitCode;

use rt_config::limits;
use rustix::process::{Resource, Rlimit, setrlimit};
use seccompiler::{BpfProgram, SeccompAction, SeccompFilter, TargetArch};

use super::compile;
use crate::Engine;

/// The (hidden) subcommand under which a program calls [`serve`]. Two numbers follow it: bytes of memory, seconds of
/// processor time.
pub const COMPILE_COMMAND: &str = "compile-module";

/// Exit codes, for the parent. 101 is a panic's.
pub(super) const REFUSED: u8 = 10;
pub(super) const NOT_CONFINED: u8 = 11;
pub(super) const INPUT: u8 = 12;

/// Compiles the module on standard input and writes the artefact to standard output. Confines the process first, for good:
/// to be called by a program that does nothing else.
///
/// `arguments` are what followed [`COMPILE_COMMAND`].
pub fn serve(arguments: &[String]) -> ExitCode {
    match try_serve(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err((code, message)) => {
            // The parent's last line of defence is the exit code; a text that does not arrive changes nothing.
            let _ = writeln!(io::stderr(), "{message}");
            ExitCode::from(code)
        }
    }
}

fn try_serve(arguments: &[String]) -> Result<(), (u8, String)> {
    let not_confined = |message: String| (NOT_CONFINED, message);
    let number = |index: usize| arguments.get(index).and_then(|text| text.parse().ok());
    let (Some(memory), Some(seconds)) = (number(0), number(1)) else {
        return Err(not_confined(format!(
            "usage: {COMPILE_COMMAND} BYTES-OF-MEMORY SECONDS; started by `tripline build`, not by people"
        )));
    };
    // Looks at the processor and at nothing foreign; some hosts answer that from a file.
    let engine = Engine::new().map_err(|error| not_confined(error.to_string()))?;
    confine(memory, seconds).map_err(not_confined)?;

    let input = |error: io::Error| (INPUT, format!("standard input or output: {error}"));
    let most = limits::ANALYZER_MODULE_BYTES_MAX;
    let mut wasm = Vec::with_capacity(most);
    let one_more = u64::try_from(most).unwrap_or(u64::MAX).saturating_add(1);
    io::stdin()
        .lock()
        .take(one_more)
        .read_to_end(&mut wasm)
        .map_err(input)?;
    if wasm.len() > most {
        return Err((INPUT, format!("the module has more than {most} bytes")));
    }
    let native = compile(&engine, &wasm).map_err(|error| (REFUSED, error.to_string()))?;
    let mut output = io::stdout().lock();
    output
        .write_all(&native)
        .and_then(|()| output.flush())
        .map_err(input)
}

/// Limits of the process, then a filter of system calls. Neither can be lifted again.
fn confine(memory: u64, seconds: u64) -> Result<(), String> {
    let set = |resource, soft: u64, hard: u64| {
        let limit = Rlimit {
            current: Some(soft),
            maximum: Some(hard),
        };
        setrlimit(resource, limit).map_err(|error| format!("{resource:?}: {error}"))
    };
    set(Resource::As, memory, memory)?;
    // The first signal says which limit it was, the second cannot be ignored.
    set(Resource::Cpu, seconds, seconds.saturating_add(1))?;
    set(Resource::Nofile, 3, 3)?;
    set(Resource::Fsize, 0, 0)?;
    set(Resource::Core, 0, 0)?;
    // Without effect for root; the filter below refuses new processes to everybody.
    set(Resource::Nproc, 0, 0)?;
    let filter = filter().map_err(|error| format!("seccomp: {error}"))?;
    seccompiler::apply_filter(&filter).map_err(|error| format!("seccomp: {error}"))
}

/// What remains: reading and writing what is open, memory, the end. No file can be opened, no socket or process made, no
/// other process looked at: EPERM.
fn filter() -> Result<BpfProgram, seccompiler::Error> {
    const ALLOWED: &[i64] = &[
        libc::SYS_read,
        libc::SYS_readv,
        libc::SYS_write,
        libc::SYS_writev,
        libc::SYS_close,
        libc::SYS_fstat,
        libc::SYS_brk,
        libc::SYS_mmap,
        libc::SYS_munmap,
        libc::SYS_mremap,
        libc::SYS_mprotect,
        libc::SYS_madvise,
        libc::SYS_futex,
        libc::SYS_getrandom,
        libc::SYS_clock_gettime,
        libc::SYS_sched_yield,
        libc::SYS_sched_getaffinity,
        libc::SYS_rt_sigaction,
        libc::SYS_rt_sigprocmask,
        libc::SYS_rt_sigreturn,
        libc::SYS_sigaltstack,
        // A panic or an abort.
        libc::SYS_getpid,
        libc::SYS_gettid,
        libc::SYS_tgkill,
        libc::SYS_exit,
        libc::SYS_exit_group,
    ];
    let eperm = u32::try_from(libc::EPERM).unwrap_or(1);
    let filter = SeccompFilter::new(
        ALLOWED.iter().map(|call| (*call, Vec::new())).collect(),
        SeccompAction::Errno(eperm),
        SeccompAction::Allow,
        TargetArch::try_from(std::env::consts::ARCH)?,
    )?;
    Ok(BpfProgram::try_from(filter)?)
}

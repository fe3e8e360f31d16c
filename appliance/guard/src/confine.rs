//! What is taken away from the guard, so that a module that breaks out of the sandbox finds little (H-43).
//!
//! Three walls behind the sandbox, all of them for good: no thread can give itself back what it has lost.
//!
//! 1. The whole process, before the first foreign instance is made: no new privileges; files and ports beyond those that
//!    this pack needs are closed (`files`, landlock); the system calls that nobody here makes end the process (`calls`).
//! 2. Lanes, the sentinel and the threads of analyzers: only the system calls on a list; no executable memory (I11).
//! 3. The main thread once it serves, the thread that writes what is kept, and acquisition threads that ask no name service: no
//!    executable memory, no new threads.
//!
//! A forbidden system call ends the whole guard with SIGSYS: permits lapse, the devices' watchdogs stop the machine, and
//! whoever restarts the guard finds it tripped. A forbidden file is an error like any other.
//!
//! Which thread: each confines itself, before it is sealed. May it block: at start only. Afterwards the kernel answers for
//! an allowed call from a table; it costs a lane some nanoseconds a call (docs/safety-manual.md).
//! Sources: seccomp(2), Linux `Documentation/userspace-api/{seccomp_filter,landlock}.rst`.

mod calls;
mod files;

use std::sync::OnceLock;

use landlock::RulesetStatus;
use seccompiler::{BpfProgram, apply_filter, apply_filter_all_threads};

pub(crate) use files::Needs;

/// What a thread does, as far as its system calls go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Calls {
    /// A lane, or the sentinel: sockets and sleeping.
    Lane,
    /// Analyzers beside a lane, and the count of their deadlines: memory and sleeping.
    Analyzers,
    /// The main thread once every other has started, who writes what is kept, and who reads sources without names.
    Settled,
}

/// The filters of threads, when the process has its own.
struct Filters {
    lane: BpfProgram,
    analyzers: BpfProgram,
    settled: BpfProgram,
}

static FILTERS: OnceLock<Filters> = OnceLock::new();

/// Confines the process, or not when `unconfined` says so. Returns what was not granted, in words for people.
pub(crate) fn process(needs: &Needs, unconfined: bool) -> Vec<String> {
    if unconfined {
        return vec![
            "the guard is not confined: what breaks out of the sandbox can do what this user can. Leave --unconfined out"
                .to_owned(),
        ];
    }
    let mut problems = Vec::new();
    let files = match files::close(needs) {
        Ok(RulesetStatus::NotEnforced) => Some("this kernel has no landlock".to_owned()),
        Ok(_) => None,
        Err(error) => Some(format!("landlock: {error}")),
    };
    problems.extend(files.map(|cause| {
        format!(
            "files are not closed to the guard ({cause}): what breaks out of the sandbox reads and writes what this user can. Use Linux 5.13 or later with landlock among its security modules (lsm=)"
        )
    }));
    if let Err(error) = filter() {
        problems.push(format!(
            "system calls are not filtered ({error}): what breaks out of the sandbox can do what this user can. Use a kernel with CONFIG_SECCOMP_FILTER, and a container that grants it"
        ));
    }
    problems
}

/// Filters the system calls of every thread that runs, and keeps the filters of those to come.
fn filter() -> Result<(), seccompiler::Error> {
    let filters = Filters {
        lane: calls::lane()?,
        analyzers: calls::analyzers()?,
        settled: calls::settled()?,
    };
    apply_filter_all_threads(&calls::no_clone3()?)?;
    apply_filter_all_threads(&calls::everybody()?)?;
    // A trace would read files that are closed now, and a thread must live to the end of its panic (H-30).
    std::panic::set_hook(Box::new(|panic| {
        let thread = std::thread::current();
        let name = thread.name().unwrap_or("unnamed");
        let words = panic.payload_as_str().unwrap_or("no words");
        match panic.location() {
            Some(at) => say!("tripline-guard: thread {name} panicked at {at}: {words}"),
            None => say!("tripline-guard: thread {name} panicked: {words}"),
        }
    }));
    // There is one process, and it is confined once.
    let _ = FILTERS.set(filters);
    Ok(())
}

/// Confines the calling thread for good, where the process is. Says what was not granted.
pub(crate) fn thread(calls: Calls) -> Option<String> {
    let filters = FILTERS.get()?;
    let filter = match calls {
        Calls::Lane => &filters.lane,
        Calls::Analyzers => &filters.analyzers,
        Calls::Settled => &filters.settled,
    };
    let error = apply_filter(filter).err()?;
    let thread = std::thread::current();
    let name = thread.name().unwrap_or("a thread");
    Some(format!(
        "{name}: its system calls are not filtered ({error})"
    ))
}

#[cfg(test)]
mod tests;

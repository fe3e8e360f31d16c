//! What a real-time process asks of the host: scheduling policy, locked memory, no deep idle, a quiet allocator.
//!
//! Every call says what it could not get; nothing is assumed.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};

/// Highest `SCHED_FIFO` priority a lane may have: threaded interrupts run at 50 and must not starve.
pub const FIFO_PRIORITY_MAX: u8 = 49;

/// Gives the calling thread `SCHED_FIFO` with `priority` (1 to [`FIFO_PRIORITY_MAX`]).
///
/// # Errors
/// The kernel's: `EPERM` without `CAP_SYS_NICE` or an rtprio limit; `EINVAL` for a priority out of range.
pub fn set_fifo(priority: u8) -> io::Result<()> {
    if priority == 0 || priority > FIFO_PRIORITY_MAX {
        return Err(io::Error::from_raw_os_error(libc::EINVAL));
    }
    set_scheduler(libc::SCHED_FIFO, i32::from(priority))
}

/// Gives the calling thread the ordinary scheduler, with the best nice value it may have.
///
/// # Errors
/// The kernel's. A nice value that is not allowed is not an error: fairness is then ordinary.
pub fn set_ordinary() -> io::Result<()> {
    set_scheduler(libc::SCHED_OTHER, 0)?;
    #[expect(
        unsafe_code,
        reason = "no safe wrapper sets the nice value of one thread"
    )]
    // SAFETY: setpriority takes three integers and touches no memory; 0 means the calling thread on Linux.
    let result = unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, -20) };
    let _ = result;
    Ok(())
}

fn set_scheduler(policy: libc::c_int, priority: libc::c_int) -> io::Result<()> {
    let parameters = libc::sched_param {
        sched_priority: priority,
    };
    #[expect(unsafe_code, reason = "no safe wrapper offers sched_setscheduler")]
    // SAFETY: `parameters` is a live, initialised sched_param for the duration of the call; 0 names the calling thread.
    let result = unsafe { libc::sched_setscheduler(0, policy, &raw const parameters) };
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// Sets the calling thread's timer slack to 1 ns (ordinary threads' default is 50 us).
///
/// # Errors
/// The kernel's.
pub fn set_timer_slack() -> io::Result<()> {
    #[expect(unsafe_code, reason = "no safe wrapper offers PR_SET_TIMERSLACK")]
    // SAFETY: prctl(PR_SET_TIMERSLACK) takes an integer and touches no memory of ours.
    let result = unsafe { libc::prctl(libc::PR_SET_TIMERSLACK, 1_u64) };
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// Locks all memory of the process, present and future.
///
/// # Errors
/// `EPERM` or `ENOMEM` without `CAP_IPC_LOCK` or a sufficient memlock limit.
pub fn lock_memory() -> io::Result<()> {
    use rustix::mm::{MlockAllFlags, mlockall};
    Ok(mlockall(MlockAllFlags::CURRENT | MlockAllFlags::FUTURE)?)
}

/// Tells the C allocator to keep what it has: no mapping or trimming after start, and one arena. A sibling thread that
/// maps or unmaps memory interrupts a lane far more often than a sibling process does. Does nothing on other C libraries than glibc.
pub fn quiet_allocator() {
    #[cfg(target_env = "gnu")]
    for (parameter, value) in [
        (libc::M_ARENA_MAX, 1),
        (libc::M_MMAP_MAX, 0),
        (libc::M_TRIM_THRESHOLD, i32::MAX),
    ] {
        #[expect(unsafe_code, reason = "glibc's allocator has no other switch")]
        // SAFETY: mallopt takes two integers; called from the main thread before any other exists.
        let _ = unsafe { libc::mallopt(parameter, value) };
    }
}

/// Holds the processor out of deep idle states for as long as it lives: waking up from one costs more than a whole exchange (`stop_latency --no-hold`).
pub struct NoDeepIdle {
    _file: File,
}

impl NoDeepIdle {
    /// Opens `/dev/cpu_dma_latency` and asks for 0 us.
    ///
    /// # Errors
    /// When the device is missing or not writable (root only by default).
    pub fn hold() -> io::Result<Self> {
        let mut file = OpenOptions::new()
            .write(true)
            .open("/dev/cpu_dma_latency")?;
        file.write_all(&0_i32.to_ne_bytes())?;
        Ok(Self { _file: file })
    }
}

/// Touches `bytes` of the calling thread's stack, so that the lane does not fault on it later.
#[inline(never)]
pub fn prefault_stack() {
    // Half of what a lane's stack has: the rest was touched by the thread's own start or never will be.
    const TOUCHED: usize = crate::limits::LANE_STACK_BYTES / 4;
    #[expect(
        clippy::large_stack_arrays,
        reason = "touching the stack is the purpose; a quarter of what lane threads reserve"
    )]
    let mut touched = [0_u8; TOUCHED];
    for page in touched.iter_mut().step_by(4096) {
        *page = 1;
    }
    std::hint::black_box(&mut touched);
}

/// Resident memory of this process in bytes, from `/proc/self/statm`; `None` where that cannot be read.
pub fn resident_bytes() -> Option<u64> {
    let statm = std::fs::read_to_string("/proc/self/statm").ok()?;
    let pages: u64 = statm.split_whitespace().nth(1)?.parse().ok()?;
    let page_bytes = u64::try_from(rustix::param::page_size()).ok()?;
    pages.checked_mul(page_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_priority_that_would_starve_interrupts_is_refused() {
        for priority in [0, 50, 99] {
            assert_eq!(
                set_fifo(priority).unwrap_err().raw_os_error(),
                Some(libc::EINVAL),
                "{priority}"
            );
        }
    }

    #[test]
    fn resident_memory_is_known_and_plausible() {
        let bytes = resident_bytes().unwrap();
        assert!(bytes > 100_000, "{bytes}");
    }
}

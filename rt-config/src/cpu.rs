//! Which cores there are, and pinning a thread to one.
//!
//! Core lists come from `/sys/devices/system/cpu/{online,isolated}`: the process's own affinity mask leaves isolated
//! cores out.

use std::fs;
use std::io;

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// Cores of the host.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cores {
    /// Cores that run and that this process was given: the isolated ones, and those of its affinity mask.
    pub online: Vec<usize>,
    /// Cores that the kernel schedules nothing on by itself (`isolcpus=`).
    pub isolated: Vec<usize>,
}

impl Cores {
    /// Reads the kernel's lists. Unreadable lists are empty.
    pub fn read() -> Self {
        let list = |name: &str| {
            fs::read_to_string(format!("/sys/devices/system/cpu/{name}"))
                .map(|text| parse_list(&text))
                .unwrap_or_default()
        };
        let isolated = list("isolated");
        let given = sched_getaffinity(None).ok();
        let usable = |core: &usize| {
            isolated.contains(core)
                || given.is_none_or(|given| *core < CpuSet::MAX_CPU && given.is_set(*core))
        };
        Self {
            online: list("online").into_iter().filter(usable).collect(),
            isolated,
        }
    }

    /// The core for the `index`th lane when the pack names none: isolated ones first, else from the highest down, so
    /// that core 0, where most interrupts go, is used last. `None` on a host with a single core.
    pub fn choose(&self, index: usize) -> Option<usize> {
        if let Some(core) = self.isolated.get(index) {
            return Some(*core);
        }
        if self.online.len() < 2 {
            return None;
        }
        let others = self
            .online
            .iter()
            .rev()
            .filter(|core| !self.isolated.contains(core));
        others
            .copied()
            .nth(index.saturating_sub(self.isolated.len()))
    }
}

/// Parses the kernel's list format: `0-2,5`.
fn parse_list(text: &str) -> Vec<usize> {
    let mut cores = Vec::new();
    for part in text.trim().split(',').filter(|part| !part.is_empty()) {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        if let (Ok(first), Ok(last)) = (first.parse::<usize>(), last.parse::<usize>()) {
            cores.extend(first..=last.min(first.saturating_add(CpuSet::MAX_CPU)));
        }
    }
    cores
}

/// Pins the calling thread to one core and reads the mask back.
///
/// # Errors
/// The kernel's, when the core does not exist or is not allowed (cpuset), or when the mask read back differs.
pub fn pin_to(core: usize) -> io::Result<()> {
    if core >= CpuSet::MAX_CPU {
        return Err(io::Error::from_raw_os_error(libc::EINVAL));
    }
    let mut wanted = CpuSet::new();
    wanted.set(core);
    sched_setaffinity(None, &wanted)?;
    if sched_getaffinity(None)? != wanted {
        return Err(io::Error::other(
            "the core was accepted but the mask read back differs",
        ));
    }
    Ok(())
}

/// Keeps the calling thread off these cores, if others are left to it. Threads that it starts inherit that.
///
/// # Errors
/// The kernel's.
pub fn stay_off(cores: &[usize]) -> io::Result<()> {
    let mut mask = sched_getaffinity(None)?;
    for core in cores.iter().filter(|core| **core < CpuSet::MAX_CPU) {
        mask.unset(*core);
    }
    if mask.count() == 0 {
        return Ok(());
    }
    Ok(sched_setaffinity(None, &mask)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_list_format_is_understood() {
        assert_eq!(parse_list("0-2,5\n"), [0, 1, 2, 5]);
        assert_eq!(parse_list("\n"), [] as [usize; 0]);
        assert_eq!(parse_list("x,3"), [3]);
    }

    #[test]
    fn isolated_cores_are_chosen_first_and_core_zero_last() {
        let cores = Cores {
            online: vec![0, 1, 2, 3],
            isolated: vec![2],
        };
        let chosen: Vec<_> = (0..5).map(|index| cores.choose(index)).collect();
        assert_eq!(chosen, [Some(2), Some(3), Some(1), Some(0), None]);
        let single = Cores {
            online: vec![0],
            isolated: vec![],
        };
        assert_eq!(single.choose(0), None);
    }

    #[test]
    fn a_thread_can_be_pinned_to_a_core_that_exists_and_to_no_other() {
        let cores = Cores::read();
        let core = *cores.online.last().unwrap();
        std::thread::spawn(move || {
            pin_to(core).unwrap();
            assert!(pin_to(100_000).is_err());
        })
        .join()
        .unwrap();
    }
}

//! The host: cores, sleep states, stolen time, and what the report says about the machine.
//!
//! Everything here that needs root degrades to a sentence in the report, never to silence.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// Binds the calling thread to one core.
pub(crate) fn pin(cpu: usize) -> io::Result<()> {
    if cpu >= CpuSet::MAX_CPU {
        return Err(io::Error::from(io::ErrorKind::InvalidInput));
    }
    let mut set = CpuSet::new();
    set.set(cpu);
    sched_setaffinity(None, &set)?;
    // A container may accept the mask and keep its own.
    let kept = sched_getaffinity(None)?;
    if kept.count() == 1 && kept.is_set(cpu) {
        Ok(())
    } else {
        Err(io::Error::from(io::ErrorKind::PermissionDenied))
    }
}

/// The cores this process may use, in order.
pub(crate) fn cores() -> io::Result<Vec<usize>> {
    let set = sched_getaffinity(None)?;
    Ok((0..CpuSet::MAX_CPU).filter(|c| set.is_set(*c)).collect())
}

/// The cores' sleep states, held off for as long as this lives.
pub(crate) struct SleepStates {
    _held: Option<File>,
    /// For the report: held, or why not.
    pub(crate) said: String,
}

/// Holds every core of the machine out of deep sleep (Linux PM QoS): for all systems, or for none.
pub(crate) fn hold_sleep_states(wanted: bool) -> SleepStates {
    const PATH: &str = "/dev/cpu_dma_latency";
    if !wanted {
        return SleepStates {
            _held: None,
            said: "not held for anyone (--no-hold)".to_owned(),
        };
    }
    let opened = OpenOptions::new().write(true).open(PATH).and_then(|mut f| {
        f.write_all(&0_i32.to_ne_bytes())?;
        Ok(f)
    });
    match opened {
        Ok(file) => SleepStates {
            _held: Some(file),
            said: format!("held for all ({PATH} open with 0)"),
        },
        Err(e) => SleepStates {
            _held: None,
            said: format!(
                "NOT held for anyone: {PATH}: {e}; run as root, or expect every sleeping system to be slower"
            ),
        },
    }
}

/// Time the hypervisor gave to others, summed over these cores, in clock ticks (10 ms). None where it is not told.
pub(crate) fn stolen_ticks(cpus: &[usize]) -> Option<u64> {
    let stat = fs::read_to_string("/proc/stat").ok()?;
    stolen_in(&stat, cpus)
}

fn stolen_in(stat: &str, cpus: &[usize]) -> Option<u64> {
    let mut sum = 0;
    for cpu in cpus {
        let label = format!("cpu{cpu}");
        let line = stat
            .lines()
            .find(|l| l.split_whitespace().next() == Some(label.as_str()))?;
        // cpuN user nice system idle iowait irq softirq steal (proc_stat(5))
        sum += line.split_whitespace().nth(8)?.parse::<u64>().ok()?;
    }
    Some(sum)
}

/// Microseconds in which some task of this machine waited for a core, so far (pressure stall information).
pub(crate) fn waited_us() -> Option<u64> {
    waited_in(&fs::read_to_string("/proc/pressure/cpu").ok()?)
}

fn waited_in(pressure: &str) -> Option<u64> {
    let some = pressure.lines().find(|l| l.starts_with("some"))?;
    some.rsplit_once("total=")?.1.trim().parse().ok()
}

/// What the report says about the machine.
#[derive(Debug, Clone, serde::Serialize)]
pub(crate) struct Facts {
    pub(crate) kernel: String,
    pub(crate) processor: String,
    pub(crate) hypervisor: bool,
    pub(crate) online: String,
    pub(crate) isolated: String,
    pub(crate) clock: String,
}

pub(crate) fn facts() -> Facts {
    let line = |path: &str| {
        fs::read_to_string(path)
            .map(|s| s.trim().to_owned())
            .unwrap_or_default()
    };
    let cpuinfo = line("/proc/cpuinfo");
    let field = |name: &str| {
        cpuinfo
            .lines()
            .find(|l| l.starts_with(name))
            .and_then(|l| l.split_once(':'))
            .map_or_else(String::new, |(_, v)| v.trim().to_owned())
    };
    Facts {
        kernel: line("/proc/sys/kernel/osrelease"),
        processor: field("model name"),
        hypervisor: field("flags").split(' ').any(|f| f == "hypervisor"),
        online: line("/sys/devices/system/cpu/online"),
        isolated: line("/sys/devices/system/cpu/isolated"),
        clock: line("/sys/devices/system/clocksource/clocksource0/current_clocksource"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stolen_time_is_the_eighth_number_of_the_asked_cores() {
        let stat = "cpu  1 2 3 4 5 6 7 99 0 0\n\
                    cpu0 1 2 3 4 5 6 7 8 0 0\n\
                    cpu1 1 2 3 4 5 6 7 30 0 0\n\
                    cpu10 1 2 3 4 5 6 7 500 0 0\n";
        assert_eq!(stolen_in(stat, &[0, 1]), Some(38));
        assert_eq!(stolen_in(stat, &[1]), Some(30));
        assert_eq!(stolen_in(stat, &[2]), None);
    }

    #[test]
    fn waiting_is_the_total_of_the_some_line() {
        let pressure = "some avg10=0.18 avg60=0.03 avg300=0.04 total=3210570\n\
                        full avg10=0.00 avg60=0.00 avg300=0.00 total=7\n";
        assert_eq!(waited_in(pressure), Some(3_210_570));
        assert_eq!(waited_in(""), None);
    }

    #[test]
    fn this_thread_can_be_pinned_to_each_core_it_may_use() {
        for cpu in cores().unwrap() {
            std::thread::spawn(move || pin(cpu).unwrap())
                .join()
                .unwrap();
        }
        assert!(pin(usize::MAX).is_err());
    }
}

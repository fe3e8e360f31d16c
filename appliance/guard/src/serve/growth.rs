//! Whether the guard's memory grows (H-34).
//!
//! A lane allocates nothing once it is sealed, and what the main thread keeps is bounded, so a guard that has settled stays as
//! large as it is. One that grows has a leak, and weeks later the kernel would end it: people are told long before.

use appliance_control::EventBody;
use drivers_frame::{DurNs, MonoNs};
use rt_config::clock::{monotonic_ns, wall_ns};
use rt_config::host;
use rt_config::limits::{MEMORY_GROWTH_BYTES, MEMORY_LOOK_MS, MEMORY_SETTLE_MS};

use super::Guard;

/// Resident memory over time, against what it was when the guard had settled.
pub(super) struct GrowthWatch {
    started: MonoNs,
    due: MonoNs,
    settled: Option<(MonoNs, u64)>,
    /// At the look before, bytes: what is there for a moment, such as instances for comparisons, is no growth.
    before: Option<u64>,
    /// Growth that is told next, bytes.
    next: u64,
    /// That it cannot be read was told.
    blind: bool,
}

impl GrowthWatch {
    pub(super) fn new(now: MonoNs) -> Self {
        Self {
            started: now,
            due: now.after(DurNs::from_ms(MEMORY_SETTLE_MS)),
            settled: None,
            before: None,
            blind: false,
            next: MEMORY_GROWTH_BYTES,
        }
    }

    /// Takes a look when one is due, with what `resident` gives in bytes; what to tell, once each time that the growth has
    /// doubled and is still there at the next look. Once, too, when nothing can be seen.
    pub(super) fn look(
        &mut self,
        now: MonoNs,
        resident: impl FnOnce() -> Option<u64>,
    ) -> Option<String> {
        if now < self.due {
            return None;
        }
        self.due = now.after(DurNs::from_ms(MEMORY_LOOK_MS));
        let Some(resident) = resident() else {
            let told = std::mem::replace(&mut self.blind, true);
            return (!told).then(|| {
                "memory cannot be read (/proc/self/statm): a leak of the guard would not be told".to_owned()
            });
        };
        let resident = resident.min(self.before.replace(resident).unwrap_or(resident));
        let (since, settled) = *self.settled.get_or_insert((now, resident));
        let grown = resident.saturating_sub(settled);
        if grown < self.next {
            return None;
        }
        self.next = grown.saturating_mul(2);
        let hours = now.since(since).as_ns() / 3_600_000_000_000;
        let up = now.since(self.started).as_ns() / 3_600_000_000_000;
        Some(format!(
            "memory grows: {} MiB more within {hours} h ({} MiB now, {up} h after the start). This is a defect of the guard; it goes on protecting. Report it, and restart the guard while the machine may stand",
            mib(grown),
            mib(resident)
        ))
    }
}

/// Mebibytes with one decimal, rounded down.
fn mib(bytes: u64) -> String {
    let tenths = bytes.saturating_mul(10) >> 20;
    format!("{}.{}", tenths / 10, tenths % 10)
}

impl Guard {
    /// Looks at the memory now and then.
    pub(super) fn watch_growth(&mut self) {
        let now = monotonic_ns();
        let told = self.growth.look(MonoNs::from_ns(now), host::resident_bytes);
        let Some(problem) = told else { return };
        say!("tripline-guard: degraded: {problem}");
        let body = EventBody::SelfCheck {
            check: "growth".to_owned(),
            stopped: false,
            detail: problem.clone(),
        };
        self.log.push(now, wall_ns(), "all", body);
        let lacks = &mut self.parts.degraded;
        lacks.retain(|lack| !lack.starts_with("memory grows"));
        lacks.push(problem);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR_MS: u64 = 3_600_000;

    fn watch(sizes: impl Fn(u64) -> u64, hours: u64) -> Vec<(u64, String)> {
        let at = |ms: u64| MonoNs::from_ns(ms * 1_000_000);
        let mut watch = GrowthWatch::new(at(0));
        let minutes = 0..hours * 60;
        let looks = minutes.filter_map(|minute| {
            let told = watch.look(at(minute * 60_000), || Some(sizes(minute)));
            told.map(|told| (minute, told))
        });
        looks.collect()
    }

    #[test]
    fn h34_a_leak_is_told_long_before_the_kernel_ends_the_guard_and_then_when_it_doubled() {
        // 1 KiB a minute, from 14 MiB: 16 MiB in 11 days.
        let told = watch(|minute| (14 << 20) + minute * 1024, 24 * 40);
        let settle = MEMORY_SETTLE_MS / 60_000;
        let first = MEMORY_GROWTH_BYTES / 1024;
        let minutes: Vec<u64> = told.iter().map(|(minute, _)| minute - settle).collect();
        // Each at the look behind the one that saw it.
        assert_eq!(minutes, [first + 1, 2 * first + 1], "H-34");
        assert!(told[0].1.contains("16.0 MiB more within 273 h"), "{told:?}");
    }

    #[test]
    fn h34_what_grows_while_it_settles_or_goes_up_and_down_is_no_leak() {
        let settle = MEMORY_SETTLE_MS / 60_000;
        let filling = |minute: u64| (14 << 20) + minute.min(settle) * (8 << 20);
        assert!(watch(filling, 24 * 30).is_empty());
        let breathing = |minute: u64| (14 << 20) + (minute % 7) * (1 << 20);
        assert!(watch(breathing, 24 * 30).is_empty());
        // Instances for comparisons that all are due once an hour.
        let comparing = |minute: u64| (14 << 20) + u64::from(minute % 60 == 30) * (32 << 20);
        assert!(watch(comparing, 24 * 30).is_empty());
    }

    #[test]
    fn h34_a_size_that_cannot_be_read_is_told_once() {
        let mut watch = GrowthWatch::new(MonoNs::from_ns(0));
        let at = |hours: u64| MonoNs::from_ns(hours * HOUR_MS * 1_000_000);
        let told = watch.look(at(10), || None).unwrap();
        assert!(told.contains("cannot be read"), "H-34: {told}");
        assert_eq!(watch.look(at(11), || None), None);
        assert_eq!(watch.look(at(12), || Some(14 << 20)), None);
    }
}

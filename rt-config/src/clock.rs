//! The two clocks of the host. Monotonic time decides; wall time labels.

use rustix::time::{ClockId, clock_gettime};

/// Monotonic time in nanoseconds (`CLOCK_MONOTONIC`; a vDSO call of about 20 ns where the clock source allows).
pub fn monotonic_ns() -> u64 {
    nanoseconds(clock_gettime(ClockId::Monotonic))
}

/// Wall time in nanoseconds since 1970 (`CLOCK_REALTIME`). Labels records; never decides.
pub fn wall_ns() -> u64 {
    nanoseconds(clock_gettime(ClockId::Realtime))
}

fn nanoseconds(time: rustix::time::Timespec) -> u64 {
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    let fraction = u64::try_from(time.tv_nsec).unwrap_or(0);
    seconds
        .saturating_mul(1_000_000_000)
        .saturating_add(fraction)
}

#[cfg(test)]
mod tests {
    #[test]
    fn monotonic_time_does_not_go_back() {
        let first = super::monotonic_ns();
        let second = super::monotonic_ns();
        assert!(second >= first);
    }
}

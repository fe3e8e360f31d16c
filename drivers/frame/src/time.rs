//! Monotonic time, in nanoseconds. Wall time labels records and is never used to decide (see `docs/architecture.md`).

/// A point on the host's monotonic clock (`CLOCK_MONOTONIC`), in nanoseconds since an arbitrary start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct MonoNs(u64);

/// A span of time in nanoseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct DurNs(u64);

impl MonoNs {
    /// The clock's origin. No sample is ever older.
    pub const ZERO: Self = Self(0);
    /// Later than anything that happens: the "never due" value of a timer.
    pub const NEVER: Self = Self(u64::MAX);

    /// From nanoseconds.
    pub const fn from_ns(ns: u64) -> Self {
        Self(ns)
    }

    /// In nanoseconds.
    pub const fn as_ns(self) -> u64 {
        self.0
    }

    /// Time from `earlier` to `self`; zero when `earlier` is the later one (two threads' stamps may cross by a little).
    pub const fn since(self, earlier: Self) -> DurNs {
        DurNs(self.0.saturating_sub(earlier.0))
    }

    /// This point plus `span`; [`MonoNs::NEVER`] on overflow, so that a timer never wraps into the past.
    pub const fn after(self, span: DurNs) -> Self {
        Self(self.0.saturating_add(span.0))
    }
}

impl DurNs {
    /// No time at all.
    pub const ZERO: Self = Self(0);

    /// From nanoseconds.
    pub const fn from_ns(ns: u64) -> Self {
        Self(ns)
    }

    /// From microseconds; saturates.
    pub const fn from_us(us: u64) -> Self {
        Self(us.saturating_mul(1_000))
    }

    /// From milliseconds; saturates.
    pub const fn from_ms(ms: u64) -> Self {
        Self(ms.saturating_mul(1_000_000))
    }

    /// In nanoseconds.
    pub const fn as_ns(self) -> u64 {
        self.0
    }

    /// Sum; saturates.
    pub const fn plus(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }

    /// `self` times `factor`; saturates.
    pub const fn times(self, factor: u64) -> Self {
        Self(self.0.saturating_mul(factor))
    }
}

impl core::fmt::Display for DurNs {
    /// The shortest exact unit: `250ns`, `40us`, `15ms`, `2s`.
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        for (unit, name) in [(1_000_000_000, "s"), (1_000_000, "ms"), (1_000, "us")] {
            if self.0 != 0 && self.0.checked_rem(unit) == Some(0) {
                return write!(f, "{}{name}", self.0.checked_div(unit).unwrap_or(0));
            }
        }
        write!(f, "{}ns", self.0)
    }
}

/// Where a driver takes the time of arrival from: the host's clock in the guard, virtual time in the simulator.
pub trait Clock {
    /// Now, on the monotonic clock.
    fn now(&self) -> MonoNs;
}

impl<F: Fn() -> MonoNs> Clock for F {
    fn now(&self) -> MonoNs {
        self()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    extern crate std;
    use std::string::ToString;

    #[test]
    fn time_saturates_and_never_wraps() {
        assert_eq!(MonoNs::NEVER.after(DurNs::from_ms(1)), MonoNs::NEVER);
        assert_eq!(MonoNs::from_ns(5).since(MonoNs::from_ns(9)), DurNs::ZERO);
        assert_eq!(DurNs::from_ms(u64::MAX), DurNs::from_ns(u64::MAX));
    }

    #[test]
    fn spans_print_in_their_shortest_exact_unit() {
        assert_eq!(DurNs::from_ms(1_500).to_string(), "1500ms");
        assert_eq!(DurNs::from_ms(2_000).to_string(), "2s");
        assert_eq!(DurNs::from_ns(1_001).to_string(), "1001ns");
        assert_eq!(DurNs::ZERO.to_string(), "0ns");
    }
}

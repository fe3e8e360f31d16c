//! What an analyzer costs: time and fuel of its calls, in fixed histograms with a single writer.

use drivers_frame::DurNs;
use hdrhistogram::Histogram;
use rt_config::limits;

/// Longest time that is told apart: the longest deadline.
const LONGEST_NS: u64 = limits::ANALYZER_DEADLINE_MAX_MS * 1_000_000;

/// Two significant digits: there may be 32 analyzers, and a hundredth more or less decides nothing.
const DIGITS: u8 = 2;

/// See the module.
pub(crate) struct Figures {
    pub(crate) time: Histogram<u64>,
    pub(crate) time_max: DurNs,
    pub(crate) fuel: Histogram<u64>,
}

impl Figures {
    /// Empty, with all memory it will ever need. `None` never happens: the bounds are constants that fit.
    pub(crate) fn new() -> Option<Self> {
        Some(Self {
            time: Histogram::new_with_bounds(1, LONGEST_NS, DIGITS).ok()?,
            time_max: DurNs::ZERO,
            fuel: Histogram::new_with_bounds(1, limits::ANALYZER_FUEL_MAX, DIGITS).ok()?,
        })
    }

    /// A call; without fuel one that did not come back.
    pub(crate) fn record(&mut self, time: DurNs, fuel: Option<u64>) {
        self.time.saturating_record(time.as_ns());
        self.time_max = self.time_max.max(time);
        if let Some(fuel) = fuel {
            self.fuel.saturating_record(fuel);
        }
    }

    /// Adds another one and empties it.
    pub(crate) fn absorb(&mut self, other: &mut Self) {
        // Same bounds: adding cannot fail.
        let _ = self.time.add(&other.time);
        let _ = self.fuel.add(&other.fuel);
        self.time_max = self.time_max.max(other.time_max);
        other.time.reset();
        other.fuel.reset();
        other.time_max = DurNs::ZERO;
    }

    /// Fuel that 99 of 100 calls did with; `None` before the first.
    pub(crate) fn fuel_p99(&self) -> Option<u64> {
        (!self.fuel.is_empty()).then(|| self.fuel.value_at_quantile(0.99))
    }

    /// Time that 99 of 100 calls did with; `None` before the first.
    pub(crate) fn time_p99_ns(&self) -> Option<u64> {
        let max = self.time_max.as_ns();
        (!self.time.is_empty()).then(|| self.time.value_at_quantile(0.99).min(max))
    }
}

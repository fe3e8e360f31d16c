//! When a cycle over all blocks is due: absolute times, no drift.

use drivers_frame::{DurNs, MonoNs};

use crate::config::Poll;

/// Due times of one connection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Schedule {
    poll: Poll,
    /// Due time of the current cycle; all later ones lie whole periods after it.
    cycle: MonoNs,
}

impl Schedule {
    pub(crate) const fn new(poll: Poll) -> Self {
        Self {
            poll,
            cycle: MonoNs::ZERO,
        }
    }

    /// A connection is up: its first cycle is due at once, because every value is old by now.
    pub(crate) const fn start(&mut self, now: MonoNs) -> MonoNs {
        self.cycle = now;
        now
    }

    /// When the next cycle is due; between two cycles only.
    pub(crate) const fn due(&self) -> MonoNs {
        self.cycle
    }

    /// A cycle begins at `now`. Returns the periods that passed since it was due: they are not made up for.
    pub(crate) fn begin(&mut self, now: MonoNs) -> u64 {
        let Poll::Every(period) = self.poll else {
            return 0;
        };
        let late = now.since(self.cycle).as_ns();
        let missed = late.checked_div(period.as_ns()).unwrap_or(0);
        self.advance(period, missed);
        missed
    }

    /// A cycle has ended at `now`. Returns when the next is due, and how many due times passed meanwhile.
    pub(crate) fn finish(&mut self, now: MonoNs) -> (MonoNs, u64) {
        let Poll::Every(period) = self.poll else {
            self.cycle = now;
            return (now, 0);
        };
        let took = now.since(self.cycle).as_ns();
        // A cycle that ends exactly when the next is due has missed nothing.
        let periods = took.div_ceil(period.as_ns().max(1)).max(1);
        self.advance(period, periods);
        (self.cycle, periods.saturating_sub(1))
    }

    const fn advance(&mut self, period: DurNs, periods: u64) {
        self.cycle = self.cycle.after(period.times(periods));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(ms: u64) -> MonoNs {
        MonoNs::from_ns(ms * 1_000_000)
    }

    fn every_ten() -> Schedule {
        let mut schedule = Schedule::new(Poll::Every(DurNs::from_ms(10)));
        schedule.start(at(100));
        schedule
    }

    #[test]
    fn due_times_do_not_drift_with_the_time_a_cycle_takes() {
        let mut schedule = every_ten();
        for cycle in 0..1_000 {
            let due = 100 + cycle * 10;
            assert_eq!(schedule.begin(at(due + 1)), 0);
            assert_eq!(schedule.finish(at(due + 3)), (at(due + 10), 0));
        }
    }

    #[test]
    fn a_long_cycle_skips_what_it_missed_and_counts_it() {
        let mut schedule = every_ten();
        assert_eq!(schedule.finish(at(110)), (at(110), 0));
        assert_eq!(schedule.finish(at(121)), (at(130), 1));
        assert_eq!(schedule.finish(at(175)), (at(180), 4));
    }

    #[test]
    fn a_late_beginning_counts_and_stays_on_the_grid() {
        let mut schedule = every_ten();
        assert_eq!(schedule.begin(at(109)), 0);
        assert_eq!(schedule.begin(at(137)), 3);
        assert_eq!(schedule.finish(at(138)), (at(140), 0));
    }

    #[test]
    fn continuous_is_due_at_once() {
        let mut schedule = Schedule::new(Poll::Continuous);
        assert_eq!(schedule.start(at(5)), at(5));
        assert_eq!(schedule.begin(at(900)), 0);
        assert_eq!(schedule.finish(at(901)), (at(901), 0));
    }
}

//! Whether a guard that ended is started again. Pure: time comes in as an argument.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::Outcome;
use crate::limits::{CRASH_WINDOW, CRASHES_MAX, RESTART_WAIT};
use crate::notice::GuardExit;

/// What to do about a guard that ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Start it again after this time.
    Restart(Duration),
    /// Leave it down.
    StayDown(Outcome),
}

/// The deaths within the window.
#[derive(Debug, Default)]
pub(super) struct Policy {
    deaths: VecDeque<Instant>,
}

impl Policy {
    /// Deaths within the window, the last one included.
    pub(super) fn deaths(&self) -> usize {
        self.deaths.len()
    }

    /// A guard that was not asked by us to end has ended.
    pub(super) fn died(&mut self, exit: GuardExit, now: Instant) -> Step {
        if exit.is_refusal() {
            return Step::StayDown(Outcome::Refused(exit));
        }
        if exit.was_asked() {
            return Step::StayDown(Outcome::StoppedByOther(exit));
        }
        let old = |death: &Instant| now.saturating_duration_since(*death) >= CRASH_WINDOW;
        while self.deaths.front().is_some_and(old) {
            self.deaths.pop_front();
        }
        self.deaths.push_back(now);
        if self.deaths.len() >= CRASHES_MAX {
            return Step::StayDown(Outcome::CrashLoop);
        }
        let doubled = u32::try_from(self.deaths.len())
            .unwrap_or(u32::MAX)
            .saturating_sub(1);
        Step::Restart(RESTART_WAIT.saturating_mul(2_u32.saturating_pow(doubled)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LANE_DIED: GuardExit = GuardExit::Code(6);

    #[test]
    fn three_deaths_within_a_minute_stay_down() {
        let mut policy = Policy::default();
        let start = Instant::now();
        assert_eq!(policy.died(LANE_DIED, start), Step::Restart(RESTART_WAIT));
        let second = policy.died(GuardExit::Signal(11), start + Duration::from_secs(20));
        assert_eq!(second, Step::Restart(RESTART_WAIT * 2), "the wait grows");
        let third = policy.died(LANE_DIED, start + Duration::from_secs(59));
        assert_eq!(third, Step::StayDown(Outcome::CrashLoop), "H-83");
    }

    #[test]
    fn deaths_that_are_a_minute_old_are_forgiven() {
        let mut policy = Policy::default();
        let start = Instant::now();
        for minute in 0..10 {
            let at = start + CRASH_WINDOW * minute;
            assert_eq!(
                policy.died(LANE_DIED, at),
                Step::Restart(RESTART_WAIT),
                "minute {minute}"
            );
        }
    }

    #[test]
    fn a_refusal_and_a_wish_are_not_deaths() {
        let mut policy = Policy::default();
        let now = Instant::now();
        for code in [2, 3] {
            let exit = GuardExit::Code(code);
            assert_eq!(
                policy.died(exit, now),
                Step::StayDown(Outcome::Refused(exit))
            );
        }
        for code in [0, 7] {
            let exit = GuardExit::Code(code);
            assert_eq!(
                policy.died(exit, now),
                Step::StayDown(Outcome::StoppedByOther(exit))
            );
        }
        assert_eq!(policy.deaths(), 0);
    }
}

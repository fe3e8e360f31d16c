//! What a thread with real-time priority leaves of its core to everybody else.
//!
//! A parked lane sleeps while it waits. When its input is always there (a device that is polled without a period and
//! answers within microseconds, a topic that is flooded), it never waits: it would starve whatever shares its core, the
//! guard's own main thread among it, until the kernel takes it off its core for 50 ms of a second, in which no stop leaves
//! either. So a parked lane, and an acquisition thread, sleep for [`rt_config::limits::REST_US`] when they have not slept
//! that long in the last [`rt_config::limits::REST_EVERY_US`]. Nothing that is due waits for that: only inputs do.
//!
//! Which thread: a lane, an acquisition thread; each has its own. Worst case: two comparisons.

use drivers_frame::{DurNs, MonoNs};
use rt_config::limits::{NAP_US, REST_EVERY_US, REST_US};

const WINDOW: DurNs = DurNs::from_us(REST_EVERY_US);
const NAP: DurNs = DurNs::from_us(NAP_US);
/// Longest time for which inputs wait because their reader rests.
pub(crate) const REST: DurNs = DurNs::from_us(REST_US);

/// How much a thread has slept in the present window.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Share {
    since: MonoNs,
    slept: DurNs,
}

impl Share {
    /// Begins to count at `now`.
    pub(crate) const fn new(now: MonoNs) -> Self {
        Self {
            since: now,
            slept: DurNs::ZERO,
        }
    }

    /// For how long the thread must sleep before it reads another input; `None` while it need not.
    pub(crate) fn owed(&mut self, now: MonoNs) -> Option<DurNs> {
        if now.since(self.since) < WINDOW {
            return None;
        }
        if self.slept < REST {
            let owed = REST.as_ns().saturating_sub(self.slept.as_ns());
            return Some(DurNs::from_ns(owed));
        }
        *self = Self::new(now);
        None
    }

    /// It slept. What is too short to be a sleep does not count.
    pub(crate) fn slept(&mut self, from: MonoNs, to: MonoNs) {
        let span = to.since(from);
        if span >= NAP {
            self.slept = self.slept.plus(span);
        }
        if to.since(self.since) >= WINDOW && self.slept >= REST {
            *self = Self::new(to);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs a thread for a second that works for `work` and then would sleep for `idle`; how much of it it slept, and the
    /// longest time without a rest.
    fn second(work: DurNs, idle: DurNs) -> (DurNs, DurNs) {
        let mut now = MonoNs::ZERO;
        let mut share = Share::new(now);
        let (mut slept, mut awake, mut longest) = (DurNs::ZERO, DurNs::ZERO, DurNs::ZERO);
        while now < MonoNs::from_ns(1_000_000_000) {
            now = now.after(work);
            awake = awake.plus(work);
            longest = longest.max(awake);
            let span = share.owed(now).unwrap_or(idle);
            let from = now;
            now = now.after(span);
            share.slept(from, now);
            slept = slept.plus(span);
            if span >= REST {
                awake = DurNs::ZERO;
            }
        }
        (slept, longest)
    }

    #[test]
    fn a_thread_that_never_waits_leaves_its_share_in_every_window() {
        for work in [1, 5, 40, 300].map(DurNs::from_us) {
            let (slept, longest) = second(work, DurNs::ZERO);
            let share = slept.as_ns() as f64 / 1e9;
            assert!((0.055..0.065).contains(&share), "{work}: {share}");
            assert!(longest <= WINDOW.plus(work), "{work}: {longest}");
        }
    }

    #[test]
    fn what_is_too_short_to_be_a_sleep_is_none() {
        let (slept, longest) = second(DurNs::from_us(5), DurNs::from_us(2));
        assert!(slept >= DurNs::from_ms(55), "{slept}");
        assert!(longest <= WINDOW.plus(DurNs::from_us(5)), "{longest}");
    }

    #[test]
    fn a_thread_that_waits_anyway_never_rests_for_the_others() {
        let mut share = Share::new(MonoNs::ZERO);
        let mut now = MonoNs::ZERO;
        for _ in 0..10_000 {
            now = now.after(DurNs::from_us(50));
            assert_eq!(share.owed(now), None);
            let from = now;
            now = now.after(DurNs::from_us(100));
            share.slept(from, now);
        }
    }

    #[test]
    fn a_rest_that_is_interrupted_goes_on() {
        let mut share = Share::new(MonoNs::ZERO);
        let now = MonoNs::ZERO.after(WINDOW);
        assert_eq!(share.owed(now), Some(REST));
        let woken = now.after(DurNs::from_us(100));
        share.slept(now, woken);
        let rest = DurNs::from_ns(REST.as_ns() - 100_000);
        assert_eq!(share.owed(woken), Some(rest));
        let end = woken.after(rest);
        share.slept(woken, end);
        assert_eq!(share.owed(end), None);
    }
}

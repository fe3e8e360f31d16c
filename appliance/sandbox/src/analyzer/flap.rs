//! An analyzer that cannot make up its mind is not one to trust (H-39).

use drivers_frame::{DurNs, MonoNs};
use rt_config::limits;
use rules_sdk_abi::Level;

/// Times of changes that are kept.
const KEPT: usize = {
    #[expect(clippy::as_conversions, reason = "widening, at compile time")]
    {
        limits::ANALYZER_FLAPS_MAX as usize
    }
};

/// Counts how often a verdict's level changes within a time. Memory is fixed; every call is constant time.
#[derive(Clone, Debug)]
pub struct FlapLimiter {
    changes: usize,
    within: DurNs,
    /// Times of the newest changes, a ring; the oldest is at `next`.
    at: [MonoNs; KEPT],
    kept: usize,
    next: usize,
    level: Option<Level>,
}

impl FlapLimiter {
    /// Lets `changes` changes of level within `within` pass; one more is flapping. `changes` is at least 1 and at most
    /// [`limits::ANALYZER_FLAPS_MAX`]; what lies outside is moved inside.
    pub fn new(changes: u8, within: DurNs) -> Self {
        Self {
            changes: usize::from(changes).clamp(1, KEPT),
            within,
            at: [MonoNs::ZERO; KEPT],
            kept: 0,
            next: 0,
            level: None,
        }
    }

    /// Takes the level of a frame. True when this is a change that is one too many: the frame is then answered with the
    /// declared failure verdict. A level that rests is never flapping.
    pub fn observe(&mut self, now: MonoNs, level: Level) -> bool {
        let changed = self.level.is_some_and(|before| before != level);
        self.level = Some(level);
        if !changed {
            return false;
        }
        // The ring holds the last `changes` changes: this one is one too many when the oldest of them is still within.
        let too_many = self.kept >= self.changes
            && self
                .at
                .get(self.next)
                .is_some_and(|oldest| now.since(*oldest) <= self.within);
        if let Some(slot) = self.at.get_mut(self.next) {
            *slot = now;
        }
        self.next = self.next.saturating_add(1);
        if self.next >= self.changes {
            self.next = 0;
        }
        self.kept = self.kept.saturating_add(1).min(self.changes);
        too_many
    }

    /// Forgets everything: for a new instance.
    pub fn reset(&mut self) {
        self.kept = 0;
        self.next = 0;
        self.level = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> MonoNs {
        MonoNs::from_ns(ms * 1_000_000)
    }

    fn toggled(step: u64) -> Level {
        if step.is_multiple_of(2) {
            Level::Normal
        } else {
            Level::Danger
        }
    }

    #[test]
    fn h39_the_change_after_the_allowed_ones_is_flapping() {
        for changes in [1_u8, 3, 32] {
            let mut limiter = FlapLimiter::new(changes, DurNs::from_ms(1_000));
            let flapped = (0..=100)
                .position(|step| limiter.observe(at(step), toggled(step)))
                .unwrap();
            // Step 0 is the first level, which is no change.
            assert_eq!(flapped, usize::from(changes) + 1, "H-39");
            let last = flapped as u64;
            assert!(!limiter.observe(at(101), toggled(last)), "it rests");
            limiter.reset();
            assert!(!limiter.observe(at(102), toggled(last + 1)), "forgotten");
        }
    }

    #[test]
    fn changes_that_are_far_enough_apart_are_none_too_many() {
        // Three changes within 30 ms are allowed; a change each 10 ms makes the fourth last lie exactly 30 ms back.
        for (period, flaps) in [(10, true), (11, false)] {
            let mut limiter = FlapLimiter::new(3, DurNs::from_ms(30));
            let flapped = (0..1_000).any(|step| limiter.observe(at(step * period), toggled(step)));
            assert_eq!(flapped, flaps, "{period}");
        }
    }

    #[test]
    fn it_counts_as_a_plain_list_of_times_does() {
        let mut state = 1_u64;
        for changes in [1_u8, 2, 5, 32] {
            let within = DurNs::from_ms(50);
            let mut limiter = FlapLimiter::new(changes, within);
            let (mut now, mut level, mut list) = (0, None, Vec::new());
            let mut seen = [0; 2];
            for _ in 0..5_000 {
                state = state
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1);
                now += (state >> 33) % (75 / u64::from(changes) + 1);
                let next = [Level::Normal, Level::Alert, Level::Danger][(state >> 60) as usize % 3];
                let changed = level.is_some_and(|before| before != next);
                level = Some(next);
                let mut expected = false;
                if changed {
                    list.push(now);
                    let recent = list.iter().filter(|then| now - **then <= 50).count();
                    expected = recent > usize::from(changes);
                }
                seen[usize::from(expected)] += 1;
                assert_eq!(limiter.observe(at(now), next), expected);
            }
            assert!(seen.iter().all(|count| *count > 50), "{changes}: {seen:?}");
        }
    }
}

//! The wall clock: it jumps, and nothing that decides may notice (H-79).

use crate::rng::Rng;
use crate::scenario::MS;

/// How far the wall clock is ahead of monotonic time, from when on.
#[derive(Clone, Debug)]
pub(super) struct WallClock(Vec<(u64, i64)>);

impl WallClock {
    /// One that jumps forwards and backwards throughout `length`, or never. Drawn from the seed by itself, so that all
    /// else is drawn the same.
    pub(super) fn draw(seed: u64, jumps: bool, length: u64) -> Self {
        let mut rng = Rng::new(seed ^ 0x5741_4C4C);
        let mut clock = vec![(0, 3_600_000 * MS as i64)];
        let mut at = 0;
        while jumps && clock.len() < 200 && at < length {
            at += rng.between(200, 3_000) * MS;
            // From a step of NTP to a wrong day.
            let most = *rng.pick(&[20, 5_000, 3_000_000]);
            let ahead = rng.between(0, 2 * most) as i64 - most as i64;
            clock.push((at, 3_600_000 * MS as i64 + ahead * MS as i64));
        }
        Self(clock)
    }

    /// How far it is ahead at `now`.
    pub(super) fn ahead(&self, now: u64) -> i64 {
        let passed = self.0.partition_point(|(at, _)| *at <= now);
        self.0[passed.saturating_sub(1)].1
    }
}

//! How long to wait before the next connection attempt (H-16).

use drivers_frame::DurNs;

use crate::config::Backoff;

/// Doubling waits with a jitter that a seed determines: devices that fail together are not tried together for ever, and
/// a run with the same seed waits the same.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BackoffState {
    config: Backoff,
    base: DurNs,
    random: u64,
}

impl BackoffState {
    pub(crate) const fn new(config: Backoff, seed: u64) -> Self {
        // xorshift never leaves 0; the constant is any odd number.
        let random = if seed == 0 {
            0x9E37_79B9_7F4A_7C15
        } else {
            seed
        };
        Self {
            config,
            base: config.min,
            random,
        }
    }

    /// The wait after one more failure: between half the doubled wait and all of it, and always within the limits.
    pub(crate) fn next_wait(&mut self) -> DurNs {
        let base = self.base.as_ns();
        let low = (base >> 1).max(self.config.min.as_ns());
        let room = base.saturating_sub(low).saturating_add(1);
        let jitter = self.next_random().checked_rem(room).unwrap_or(0);
        self.base = self.base.times(2).min(self.config.max);
        DurNs::from_ns(low.saturating_add(jitter))
    }

    /// The device has answered: the next failure is a first one again.
    pub(crate) const fn reset(&mut self) {
        self.base = self.config.min;
    }

    /// xorshift64 (Marsaglia 2003).
    const fn next_random(&mut self) -> u64 {
        let mut x = self.random;
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        self.random = x;
        x
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONFIG: Backoff = Backoff {
        min: DurNs::from_ms(100),
        max: DurNs::from_ms(5_000),
    };

    fn waits(seed: u64, count: usize) -> Vec<DurNs> {
        let mut state = BackoffState::new(CONFIG, seed);
        (0..count).map(|_| state.next_wait()).collect()
    }

    #[test]
    fn h_16_waits_double_within_their_limits() {
        for seed in 0..200 {
            let mut base = 100;
            for wait in waits(seed, 12) {
                let low = DurNs::from_ms((base / 2).max(100));
                assert!(low <= wait && wait <= DurNs::from_ms(base));
                base = (base * 2).min(5_000);
            }
        }
    }

    #[test]
    fn jitter_depends_on_the_seed_and_on_nothing_else() {
        assert_eq!(waits(7, 10), waits(7, 10));
        assert_ne!(waits(7, 10), waits(8, 10));
    }

    #[test]
    fn an_answer_starts_anew() {
        let mut state = BackoffState::new(CONFIG, 3);
        for _ in 0..8 {
            state.next_wait();
        }
        state.reset();
        assert_eq!(state.next_wait(), CONFIG.min);
    }
}

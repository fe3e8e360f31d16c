//! Waits between attempts: exponential, with seeded jitter.

use crate::config::BackoffConfig;
use drivers_frame::DurNs;

/// Doubles from the configured minimum to the maximum; each wait is shortened at random by up to half, so that a
/// hundred gateways do not come back to a broker in step.
#[derive(Clone, Debug)]
pub struct Backoff {
    config: BackoffConfig,
    next: DurNs,
    state: u64,
}

impl Backoff {
    /// Starts at the minimum.
    pub fn new(config: BackoffConfig) -> Self {
        Self {
            config,
            next: config.min,
            state: config.seed,
        }
    }

    /// Back to the minimum: the link has proved itself.
    pub fn reset(&mut self) {
        self.next = self.config.min;
    }

    /// The next wait, between half and all of the current step.
    pub fn wait(&mut self) -> DurNs {
        let step = self.next;
        self.next = step.times(2).min(self.config.max);
        let half = step.as_ns() >> 1;
        let jitter = self.random().checked_rem(half.saturating_add(1));
        DurNs::from_ns(step.as_ns().saturating_sub(jitter.unwrap_or(0)))
    }

    /// SplitMix64 (Steele, Lea, Flood: Fast Splittable Pseudorandom Number Generators, 2014): any seed is a good seed.
    fn random(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn backoff(seed: u64) -> Backoff {
        Backoff::new(BackoffConfig {
            min: DurNs::from_ms(100),
            max: DurNs::from_ms(1_000),
            seed,
        })
    }

    #[test]
    fn waits_double_to_the_maximum_within_their_jitter() {
        for seed in 0..50 {
            let mut backoff = backoff(seed);
            for step in [100, 200, 400, 800, 1_000, 1_000, 1_000] {
                let wait = backoff.wait();
                assert!(wait <= DurNs::from_ms(step), "seed {seed}: {wait}");
                assert!(wait >= DurNs::from_ms(step / 2), "seed {seed}: {wait}");
            }
            backoff.reset();
            assert!(backoff.wait() <= DurNs::from_ms(100));
        }
    }

    #[test]
    fn a_seed_repeats_and_seeds_differ() {
        let run = |seed| (0..5).map(|_| backoff(seed).wait()).collect::<Vec<_>>();
        assert_eq!(run(7), run(7));
        assert_ne!(backoff(7).wait(), backoff(8).wait());
    }
}

//! Whether a source samples at the rate that the pack says: a wrong rate moves every frequency, and what is looked for is then
//! found nowhere.
//!
//! On its way a block can only be late. So the earliest of many, measured against the time that their samples span, shows
//! how the source's clock runs: `lead` is the span of all samples since the beginning less the time since then, and the highest
//! lead of one window is held against that of the window before. A source that pauses between blocks has a lead that
//! falls anyhow; of it only the other direction can be judged.

use crate::{DurNs, MonoNs};

/// Windows are at least so many blocks long.
const WINDOW_BLOCKS: u64 = 16;
/// And at least this, in ns: arrivals are uncertain by some tenths of a second on a bad network.
const WINDOW_MIN_NS: u64 = 10_000_000_000;
/// What is tolerated, in percent. Fault frequencies are looked for within 1 to 3 percent; clocks differ by 0.1 at most.
const TOLERATED_PERCENT: u64 = 5;

/// What is known of the time between a source's blocks, and so what can be judged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum RateCheck {
    /// Nothing: blocks overlap, or are played faster than they were recorded.
    #[default]
    Off,
    /// The source pauses between blocks: its rate may not be higher than stated.
    NotFaster,
    /// No time lies between one block and the next.
    Exact,
}

/// The highest lead of a window.
#[derive(Clone, Copy, Debug)]
struct Peak {
    lead_ns: i128,
    at: MonoNs,
}

/// Watches the rate of one waveform's blocks.
#[derive(Clone, Copy, Debug)]
pub struct RateWatch {
    block_ns: u64,
    window: DurNs,
    check: RateCheck,
    /// Number and arrival of the block that leads are counted from.
    origin: Option<(u64, MonoNs)>,
    before: Option<Peak>,
    now: Peak,
    until: MonoNs,
    right: bool,
}

impl RateWatch {
    /// For blocks of `count` samples at `rate_hz`, which is above zero.
    pub fn new(count: u32, rate_hz: f64, check: RateCheck) -> Self {
        let block = span(count, rate_hz);
        let block_ns = block.as_ns();
        let window = block_ns.saturating_mul(WINDOW_BLOCKS).max(WINDOW_MIN_NS);
        Self {
            block_ns,
            window: DurNs::from_ns(window),
            check,
            origin: None,
            before: None,
            now: Peak {
                lead_ns: 0,
                at: MonoNs::ZERO,
            },
            until: MonoNs::ZERO,
            right: true,
        }
    }

    /// Takes note of block `number`, which arrived `at`; `uncertain` when nobody knows how many lie before it. Returns whether
    /// the rate is right, as far as is known: a verdict holds until the end of the next window.
    pub fn note(&mut self, number: u64, at: MonoNs, uncertain: bool) -> bool {
        let origin = self.origin.filter(|_| !uncertain);
        let Some((first, since)) = origin else {
            self.origin = Some((number, at));
            self.before = None;
            self.begin(Peak { lead_ns: 0, at });
            return self.right;
        };
        let span =
            i128::from(number.saturating_sub(first)).saturating_mul(i128::from(self.block_ns));
        let lead_ns = span.saturating_sub(i128::from(at.since(since).as_ns()));
        let here = Peak { lead_ns, at };
        if at >= self.until {
            if let Some(before) = self.before {
                self.right = self.judge(before, self.now);
            }
            self.before = Some(self.now);
            self.begin(here);
        } else if lead_ns > self.now.lead_ns {
            self.now = here;
        }
        self.right
    }

    fn begin(&mut self, peak: Peak) {
        self.now = peak;
        self.until = peak.at.after(self.window);
    }

    fn judge(&self, before: Peak, now: Peak) -> bool {
        let time = now.at.since(before.at).as_ns().max(self.window.as_ns());
        let hundredth = time.checked_div(100).unwrap_or(0);
        let tolerated = i128::from(hundredth.saturating_mul(TOLERATED_PERCENT));
        let rise = now.lead_ns.saturating_sub(before.lead_ns);
        match self.check {
            RateCheck::Off => true,
            RateCheck::NotFaster => rise <= tolerated,
            RateCheck::Exact => rise.abs() <= tolerated,
        }
    }
}

/// The time that a block spans.
#[expect(
    clippy::as_conversions,
    reason = "the cast saturates: a rate that is none gives the longest time or none, and no verdict either way"
)]
fn span(count: u32, rate_hz: f64) -> DurNs {
    DurNs::from_ns((f64::from(count) / rate_hz * 1e9) as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Blocks of 100 ms, sampled `percent` too fast, late by what `late_ms` says; the verdicts after 60 s and at any time.
    fn watch(percent: i64, check: RateCheck, late_ms: impl Fn(u64) -> u64) -> (bool, bool) {
        let mut watch = RateWatch::new(100, 1_000.0, check);
        let (mut last, mut always) = (true, true);
        for number in 0..600 {
            let real_us = 100_000 * 100 / (100 + percent);
            let at = number * real_us.unsigned_abs() + late_ms(number) * 1_000;
            last = watch.note(number, MonoNs::from_ns(at * 1_000), number == 0);
            always &= last;
        }
        (last, always)
    }

    #[test]
    fn a_wrong_rate_is_seen_within_three_windows_and_a_right_one_never_is() {
        for check in [RateCheck::NotFaster, RateCheck::Exact] {
            assert_eq!(watch(0, check, |_| 0), (true, true));
            assert_eq!(watch(3, check, |_| 0), (true, true), "tolerated");
            for percent in [7, 10, 100] {
                assert_eq!(watch(percent, check, |_| 0), (false, false));
            }
        }
        assert_eq!(watch(-10, RateCheck::Exact, |_| 0), (false, false));
        assert_eq!(watch(-50, RateCheck::Exact, |_| 0), (false, false));
        assert_eq!(watch(100, RateCheck::Off, |_| 0), (true, true));
        assert_eq!(
            watch(-50, RateCheck::NotFaster, |_| 0),
            (true, true),
            "it may pause"
        );
    }

    #[test]
    fn late_blocks_are_no_wrong_rate() {
        let jitter = |n: u64| n * 7_919 % 300;
        assert_eq!(watch(0, RateCheck::Exact, jitter), (true, true));
        // Three seconds in which nothing came, and then all at once.
        let stall = |n: u64| {
            (0..30)
                .contains(&(n.wrapping_sub(200)))
                .then(|| 3_000 - (n - 200) * 100)
        };
        assert_eq!(
            watch(0, RateCheck::Exact, |n| stall(n).unwrap_or(0)),
            (true, true)
        );
        assert_eq!(watch(10, RateCheck::Exact, jitter), (false, false));
    }

    #[test]
    fn missing_blocks_count_and_an_unknown_number_begins_anew() {
        let mut watch = RateWatch::new(100, 1_000.0, RateCheck::Exact);
        // Every third block is lost; the numbers say so.
        for number in (0..900).filter(|number| number % 3 != 1) {
            let at = MonoNs::from_ns(number * 100_000_000);
            assert!(watch.note(number, at, number == 0));
        }
        let mut watch = RateWatch::new(100, 1_000.0, RateCheck::Exact);
        // Half the blocks are lost and nobody knows: told each time, nothing is judged.
        for number in 0..900 {
            let at = MonoNs::from_ns(number * 200_000_000);
            assert!(watch.note(number, at, true));
        }
    }

    #[test]
    fn a_source_that_is_mended_is_right_again() {
        let mut watch = RateWatch::new(100, 1_000.0, RateCheck::Exact);
        let mut at = 0;
        let mut right = true;
        for number in 0..1_200_u64 {
            at += if number < 500 {
                80_000_000
            } else {
                100_000_000
            };
            right = watch.note(number, MonoNs::from_ns(at), number == 0);
            if number == 499 {
                assert!(!right);
            }
        }
        assert!(right);
    }
}

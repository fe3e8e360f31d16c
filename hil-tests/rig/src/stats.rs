//! Percentiles of one round, and what many rounds say together.

/// The nearest-rank percentile of sorted values: the smallest that at least `per_mille` thousandths do not exceed.
pub(crate) fn percentile(sorted: &[u64], per_mille: usize) -> Option<u64> {
    let rank = (sorted.len() * per_mille).div_ceil(1_000).max(1);
    sorted.get(rank - 1).copied()
}

/// A median with its interval.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize)]
pub(crate) struct Median {
    pub(crate) median: f64,
    /// Lower end of the interval.
    pub(crate) low: f64,
    /// Upper end of the interval.
    pub(crate) high: f64,
    /// Probability that the interval covers the true median: at least 0.95 from six values on.
    pub(crate) coverage: f64,
    /// Values it was taken from.
    pub(crate) values: usize,
}

/// The median of independent values and its narrowest symmetric order-statistics interval of at least 95 %
/// (David and Nagaraja, Order Statistics, 7.1): no distribution is assumed. Below six values no such interval exists;
/// it is then the whole range, with its true coverage.
pub(crate) fn median(values: &[f64]) -> Option<Median> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let n = sorted.len();
    let upper = *sorted.get(n / 2)?;
    let middle = if n % 2 == 1 {
        upper
    } else {
        f64::midpoint(sorted[n / 2 - 1], upper)
    };
    // Tail(k) = P(fewer than k of n values lie below the median) = sum of C(n, i) / 2^n over i < k.
    let mut term = 0.5_f64.powi(i32::try_from(n).unwrap_or(i32::MAX));
    let mut tail = term;
    let mut k = 1;
    for i in 0..n / 2 {
        let next = term * count(n - i) / count(i + 1);
        if tail + next > 0.025 || 2 * (k + 1) > n {
            break;
        }
        term = next;
        tail += term;
        k += 1;
    }
    Some(Median {
        median: middle,
        low: sorted[k - 1],
        high: sorted[n - k],
        coverage: (1.0 - 2.0 * tail).max(0.0),
        values: n,
    })
}

fn count(n: usize) -> f64 {
    u32::try_from(n).map_or(f64::INFINITY, f64::from)
}

/// A small generator for quiet times and the order of a round (SplitMix64): its seed is printed, so a run's
/// schedule can be had again.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `end`; 0 when `end` is 0. The bias of the remainder is below 2^-32 for the spans used here.
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.next().checked_rem(end).unwrap_or(0)
    }

    pub(crate) fn shuffle<T>(&mut self, items: &mut [T]) {
        for i in (1..items.len()).rev() {
            let end = u64::try_from(i).unwrap_or(u64::MAX).saturating_add(1);
            let j = usize::try_from(self.below(end)).unwrap_or(i);
            items.swap(i, j);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_nearest_rank() {
        let values: Vec<u64> = (1..=200).collect();
        assert_eq!(percentile(&values, 500), Some(100));
        assert_eq!(percentile(&values, 990), Some(198));
        assert_eq!(percentile(&values, 999), Some(200));
        assert_eq!(percentile(&values, 1_000), Some(200));
        assert_eq!(percentile(&[7], 500), Some(7));
        assert_eq!(percentile(&[], 500), None);
    }

    #[test]
    fn the_interval_is_the_known_one() {
        // Published tables of this interval: n = 20 gives ranks 6 and 15 at 95.86 %, n = 10 ranks 2 and 9 at 97.85 %,
        // n = 6 the range at 96.88 %.
        for (n, low, high, coverage) in [
            (20, 6.0, 15.0, 0.9586),
            (10, 2.0, 9.0, 0.9785),
            (6, 1.0, 6.0, 0.9688),
            (5, 1.0, 5.0, 0.9375),
        ] {
            let values: Vec<f64> = (1..=n).map(f64::from).rev().collect();
            let m = median(&values).unwrap();
            assert!((m.median - f64::from(n + 1) / 2.0).abs() < 1e-12);
            assert!((m.low - low).abs() < 1e-12, "n = {n}: {m:?}");
            assert!((m.high - high).abs() < 1e-12, "n = {n}: {m:?}");
            assert!((m.coverage - coverage).abs() < 1e-3, "n = {n}: {m:?}");
        }
        let one = median(&[3.0]).unwrap();
        assert!(one.coverage.abs() < 1e-12, "one value proves nothing");
        assert!(median(&[]).is_none());
    }

    #[test]
    fn the_generator_is_the_published_one_and_a_shuffle_loses_nothing() {
        // First outputs of SplitMix64 for seed 1234567 (reference implementation by S. Vigna).
        let mut random = Random::new(1_234_567);
        assert_eq!(random.next(), 6_457_827_717_110_365_317);
        assert_eq!(random.next(), 3_203_168_211_198_807_973);
        let mut items: Vec<u32> = (0..50).collect();
        random.shuffle(&mut items);
        assert_ne!(items, (0..50).collect::<Vec<_>>());
        items.sort_unstable();
        assert_eq!(items, (0..50).collect::<Vec<_>>());
    }
}

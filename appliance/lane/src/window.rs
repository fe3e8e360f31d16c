//! Windows over a tag: average, extremes, rms, rate, delta and deviation of its last samples.
//!
//! A window is the samples of the last `span` before the newest one, so it changes only when a sample arrives.
//! Memory is reserved once. A push and all functions but the extremes are constant time on average; the worst case is
//! one pass over the ring (`WINDOW_SAMPLES_MAX`), for `min` and `max` at every sample, for the others once a turn of the
//! ring (running sums are computed anew so that rounding cannot build up), when a long silence lets every sample fall out
//! at once, and for a deviation when its digits would be lost.
//!
//! A window is *usable* only when it spans its full length since the last gap and every sample in it was usable: an
//! average over half a window, or over a hole, would look like a measurement.

use drivers_frame::{MonoNs, TagId};
use rules_bundle::{WindowFunction, WindowPlan};

#[derive(Clone, Copy, Default)]
struct Point {
    at: MonoNs,
    value: f64,
    usable: bool,
}

/// One window.
pub(crate) struct Window {
    function: WindowFunction,
    pub(crate) tag: TagId,
    span_ns: u64,
    ring: Vec<Point>,
    head: usize,
    len: usize,
    unusable: usize,
    /// Pushes since the running sums were last computed from the ring.
    pushes: usize,
    sums: Sums,
    /// Since when samples have arrived without a gap.
    covered_since: Option<MonoNs>,
    /// Samples dropped because they came faster than the pack's poll period allows for.
    pub(crate) overruns: u64,
}

/// Sums about a pivot near the data, so that a small deviation on a large mean keeps its digits.
#[derive(Clone, Copy, Default)]
struct Sums {
    pivot: f64,
    first: f64,
    second: f64,
    /// The largest that `second` has been: what was added and taken away again left its rounding.
    peak: f64,
}

/// Times the largest sum of squares may be above that of the deviations: 2^-53 of it is then a part in ten million of them.
const PEAK_RATIO_MAX: f64 = 1e9;

impl Sums {
    fn add(&mut self, value: f64) {
        let offset = value - self.pivot;
        self.first += offset;
        self.second += offset * offset;
        self.peak = self.peak.max(self.second);
    }

    fn remove(&mut self, value: f64) {
        let offset = value - self.pivot;
        self.first -= offset;
        self.second -= offset * offset;
    }

    /// Mean of the squared deviations from the mean, of `count` samples.
    fn variance(&self, count: f64) -> f64 {
        let mean = self.first / count;
        (self.second / count - mean * mean).max(0.0)
    }
}

impl Window {
    pub(crate) fn new(plan: &WindowPlan) -> Self {
        Self {
            function: plan.function,
            tag: plan.tag,
            span_ns: plan.span.as_ns(),
            ring: vec![Point::default(); usize::try_from(plan.capacity.max(2)).unwrap_or(2)],
            head: 0,
            len: 0,
            unusable: 0,
            pushes: 0,
            sums: Sums::default(),
            covered_since: None,
            overruns: 0,
        }
    }

    /// A sample arrived. Samples must come in the order of their time.
    pub(crate) fn push(&mut self, at: MonoNs, value: f64, usable: bool) {
        let value = if usable { value } else { 0.0 };
        while let Some(oldest) = self.get(0) {
            if at.since(oldest.at).as_ns() <= self.span_ns {
                break;
            }
            self.pop();
        }
        if self.len == self.ring.len() {
            self.overruns = self.overruns.saturating_add(1);
            self.pop();
        }
        self.covered_since.get_or_insert(at);
        let index = self.wrap(self.head.saturating_add(self.len));
        if let Some(cell) = self.ring.get_mut(index) {
            *cell = Point { at, value, usable };
        }
        self.len = self.len.saturating_add(1);
        if usable {
            self.sums.add(value);
        } else {
            self.unusable = self.unusable.saturating_add(1);
        }
        self.pushes = self.pushes.saturating_add(1);
        if self.pushes >= self.ring.len() || self.is_rough() {
            self.recompute();
        }
    }

    /// Whether rounding may show in a deviation: the data went far from the pivot, or a sample that was far has left.
    fn is_rough(&self) -> bool {
        let count = self.count();
        self.function == WindowFunction::Stddev
            && self.sums.peak > PEAK_RATIO_MAX * count * self.sums.variance(count)
    }

    /// The tag went stale: what follows is a new beginning.
    pub(crate) fn gap(&mut self) {
        self.head = 0;
        self.len = 0;
        self.unusable = 0;
        self.covered_since = None;
        self.recompute();
    }

    /// Whether it only lacks time: samples come, all usable, but it does not span its length yet.
    pub(crate) fn filling(&self) -> bool {
        let covered = match (
            self.covered_since,
            self.len.checked_sub(1).and_then(|last| self.get(last)),
        ) {
            (Some(since), Some(newest)) => newest.at.since(since).as_ns() >= self.span_ns,
            _ => false,
        };
        self.unusable == 0 && !covered
    }

    /// The value, or `None` when it may not decide.
    pub(crate) fn value(&self) -> Option<f64> {
        let newest = self.get(self.len.checked_sub(1)?)?;
        let covered = newest.at.since(self.covered_since?).as_ns() >= self.span_ns;
        if self.unusable > 0 || !covered {
            return None;
        }
        let oldest = self.get(0)?;
        let value = match self.function {
            WindowFunction::Avg => self.sums.pivot + self.sums.first / self.count(),
            WindowFunction::Min => self.fold(f64::INFINITY, f64::min),
            WindowFunction::Max => self.fold(f64::NEG_INFINITY, f64::max),
            WindowFunction::Rms => self.mean_square().sqrt(),
            WindowFunction::Stddev => self.sums.variance(self.count()).sqrt(),
            WindowFunction::Delta => newest.value - oldest.value,
            WindowFunction::Rate => {
                let seconds = seconds(newest.at.since(oldest.at).as_ns());
                (newest.value - oldest.value) / seconds
            }
        };
        value.is_finite().then_some(value)
    }

    fn mean_square(&self) -> f64 {
        let pivot = self.sums.pivot;
        (self.sums.second / self.count()
            + 2.0 * pivot * self.sums.first / self.count()
            + pivot * pivot)
            .max(0.0)
    }

    fn fold(&self, start: f64, pick: fn(f64, f64) -> f64) -> f64 {
        let (tail, front) = self.ring.split_at(self.head.min(self.ring.len()));
        let points = front.iter().chain(tail).take(self.len);
        points.fold(start, |best, point| pick(best, point.value))
    }

    #[expect(
        clippy::as_conversions,
        reason = "at most WINDOW_SAMPLES_MAX, exact as a float"
    )]
    fn count(&self) -> f64 {
        self.len as f64
    }

    fn get(&self, offset: usize) -> Option<Point> {
        if offset >= self.len {
            return None;
        }
        self.ring
            .get(self.wrap(self.head.saturating_add(offset)))
            .copied()
    }

    fn wrap(&self, index: usize) -> usize {
        index.checked_sub(self.ring.len()).unwrap_or(index)
    }

    fn pop(&mut self) {
        let Some(oldest) = self.get(0) else { return };
        if oldest.usable {
            self.sums.remove(oldest.value);
        } else {
            self.unusable = self.unusable.saturating_sub(1);
        }
        self.head = self.wrap(self.head.saturating_add(1));
        self.len = self.len.saturating_sub(1);
    }

    fn recompute(&mut self) {
        self.pushes = 0;
        let mut sums = Sums {
            pivot: self
                .get(0)
                .filter(|point| point.usable)
                .map_or(0.0, |point| point.value),
            ..Sums::default()
        };
        let (tail, front) = self.ring.split_at(self.head.min(self.ring.len()));
        for point in front
            .iter()
            .chain(tail)
            .take(self.len)
            .filter(|point| point.usable)
        {
            sums.add(point.value);
        }
        self.sums = sums;
    }
}

#[expect(
    clippy::as_conversions,
    reason = "a span of time as a float for a division"
)]
fn seconds(ns: u64) -> f64 {
    ns as f64 / 1e9
}

#[cfg(test)]
mod tests {
    use drivers_frame::DurNs;
    use proptest::prelude::*;

    use super::*;

    const FUNCTIONS: [WindowFunction; 7] = [
        WindowFunction::Avg,
        WindowFunction::Min,
        WindowFunction::Max,
        WindowFunction::Rms,
        WindowFunction::Rate,
        WindowFunction::Delta,
        WindowFunction::Stddev,
    ];

    fn window(function: WindowFunction, span_ms: u64, capacity: u32) -> Window {
        Window::new(&WindowPlan {
            function,
            tag: TagId(0),
            span: DurNs::from_ms(span_ms),
            capacity,
        })
    }

    fn ms(ms: u64) -> MonoNs {
        MonoNs::from_ns(ms * 1_000_000)
    }

    #[test]
    fn a_window_is_not_usable_until_it_spans_its_length() {
        let mut average = window(WindowFunction::Avg, 100, 32);
        for step in 0..10 {
            average.push(ms(step * 10), 5.0, true);
            assert_eq!(average.value(), None, "{step}");
        }
        average.push(ms(100), 5.0, true);
        assert_eq!(average.value(), Some(5.0));
        average.gap();
        average.push(ms(1_000), 5.0, true);
        assert_eq!(average.value(), None, "after a gap it begins anew");
    }

    #[test]
    fn one_bad_sample_makes_the_window_unusable_until_it_has_left() {
        let mut largest = window(WindowFunction::Max, 30, 32);
        for step in 0..10 {
            largest.push(ms(step * 10), 1.0, step != 4);
            let expected = (step == 3 || step > 7).then_some(1.0);
            assert_eq!(largest.value(), expected, "I6, step {step}");
        }
    }

    #[test]
    fn a_rate_over_no_time_is_not_a_number_and_so_not_usable() {
        let mut rate = window(WindowFunction::Rate, 0, 4);
        rate.push(ms(1), 1.0, true);
        assert_eq!(rate.value(), None);
    }

    #[test]
    fn samples_faster_than_planned_are_counted() {
        let mut average = window(WindowFunction::Avg, 100, 4);
        for step in 0..10 {
            average.push(ms(step), 1.0, true);
        }
        assert_eq!(average.overruns, 6);
    }

    #[test]
    fn a_small_deviation_on_a_large_mean_keeps_its_digits_from_the_first_sample_on() {
        for leap in [None, Some(20), Some(50)] {
            let mut deviation = window(WindowFunction::Stddev, 20, 256);
            for step in 0..90_u64 {
                let level = if leap.is_some_and(|leap| step < leap) {
                    0.0
                } else {
                    -1e6
                };
                // One and the other by turns: 21 samples deviate by 0.04 nearly.
                let swing = if step % 2 == 0 { 0.04 } else { -0.04 };
                deviation.push(ms(step), level + swing, true);
                let settled = leap.unwrap_or(0) + 20;
                if step >= settled {
                    let value = deviation.value().unwrap();
                    assert!(
                        (value - 0.04).abs() < 1e-4,
                        "{value}, step {step} of {leap:?}"
                    );
                }
            }
        }
    }

    #[test]
    fn a_spike_leaves_nothing_of_itself_in_a_deviation() {
        let mut deviation = window(WindowFunction::Stddev, 20, 4_096);
        for step in 0..200_u64 {
            let swing = if step % 2 == 0 { 1e-3 } else { -1e-3 };
            deviation.push(ms(step), if step == 100 { 1e9 } else { swing }, true);
            if step > 120 {
                let value = deviation.value().unwrap();
                assert!((value - 1e-3).abs() < 1e-5, "{value}, step {step}");
            }
        }
    }

    #[test]
    fn samples_that_are_all_the_same_do_not_deviate_and_are_not_added_up_anew() {
        let mut deviation = window(WindowFunction::Stddev, 20, 64);
        for step in 0..300_u64 {
            deviation.push(ms(step), if step < 10 { 7.0 } else { 0.1 }, true);
            if step > 40 {
                assert_eq!(deviation.value(), Some(0.0));
                assert!(!deviation.is_rough());
            }
        }
    }

    proptest! {
        /// Running sums agree with computing from scratch, also after many turns of the ring and on a large offset.
        #[test]
        fn running_values_agree_with_values_from_scratch(
            steps in prop::collection::vec((1_u64..20, -50.0_f64..50.0), 50..400),
            offset in prop::sample::select(vec![0.0, 1e3, -1e6]),
            span in 30_u64..200,
        ) {
            for function in FUNCTIONS {
                let mut running = window(function, span, 256);
                let mut now = 0;
                let mut all: Vec<(u64, f64)> = Vec::new();
                for (wait, value) in &steps {
                    now += wait;
                    let value = value + offset;
                    all.push((now, value));
                    running.push(ms(now), value, true);
                    let inside: Vec<f64> = all.iter().filter(|(at, _)| now - at <= span).map(|(_, value)| *value).collect();
                    let first = all.iter().find(|(at, _)| now - at <= span).unwrap().0;
                    let covered = now - all[0].0 >= span;
                    let count = inside.len() as f64;
                    let mean = inside.iter().sum::<f64>() / count;
                    let expected = match function {
                        WindowFunction::Avg => mean,
                        WindowFunction::Min => inside.iter().copied().fold(f64::INFINITY, f64::min),
                        WindowFunction::Max => inside.iter().copied().fold(f64::NEG_INFINITY, f64::max),
                        WindowFunction::Rms => (inside.iter().map(|v| v * v).sum::<f64>() / count).sqrt(),
                        WindowFunction::Delta => inside[inside.len() - 1] - inside[0],
                        WindowFunction::Rate => (inside[inside.len() - 1] - inside[0]) / ((now - first) as f64 / 1e3),
                        WindowFunction::Stddev => {
                            (inside.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / count).sqrt()
                        }
                    };
                    match running.value() {
                        None => prop_assert!(!covered || !expected.is_finite()),
                        Some(value) => {
                            prop_assert!(covered);
                            let scale = 1e-9 * (1.0 + offset.abs() + expected.abs());
                            let scale = if function == WindowFunction::Stddev {
                                1e-7 + 1e-4 * expected
                            } else {
                                scale
                            };
                            prop_assert!((value - expected).abs() <= scale, "{function:?}: {value} {expected}");
                        }
                    }
                }
            }
        }
    }
}

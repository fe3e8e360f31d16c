//! Fourier transforms in whole numbers.
//!
//! Why not floats: in a guest every float operation is followed by four instructions that make its NaN canonical, and no float
//! survives the calls behind a loop's checks in a register. Whole numbers pay neither (docs/analyzer-sdk.md, "What is dear").
//!
//! A [`Point`] is a complex number of two 32-bit parts in one word: one load and one store with its check instead of two. Every
//! transform divides by its length, so that nothing grows: with parts of at most 2^30 the magnitude is at most 2^30.5; four of
//! them times a root of unity of 30 bits are below 2^63. The rounding of a pass is half a unit; what goes in is scaled
//! up to those 30 bits first, so that the error of a transform is about that of single precision.

use core::num::Wrapping;

use crate::num::{float, whole};

/// Real values are transformed two in a point: shortest length.
pub const REAL_MIN: usize = 256;
/// Bits of a root of unity behind the point.
const ONE_BITS: usize = 30;
/// Largest part that a transform takes is 2 to this.
pub(crate) const PART_BITS: u32 = 30;

/// 64 bits that wrap: the bounds above say that they do not, and no check costs anything.
pub(crate) type Wide = Wrapping<i64>;

/// A complex number: real part in the low half, imaginary part in the high half.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Point(u64);

/// The same, unpacked.
pub(crate) type Parts = (Wide, Wide);

const HIGH: u64 = 0xffff_ffff_0000_0000;

#[allow(
    clippy::as_conversions,
    reason = "halves of a word are taken apart and put together"
)]
impl Point {
    /// Zero.
    pub const ZERO: Self = Self(0);

    /// Both parts.
    #[inline(always)]
    pub(crate) const fn parts(self) -> Parts {
        (
            Wrapping(self.0 as i32 as i64),
            Wrapping((self.0 as i64) >> 32),
        )
    }

    /// From parts of at most 31 bits and sign.
    #[inline(always)]
    pub(crate) const fn of(re: i64, im: i64) -> Self {
        Self((re as u64 & !HIGH) | ((im as u64) << 32))
    }

    /// From parts times 2^32, rounded.
    #[inline(always)]
    fn rounded((re, im): Parts) -> Self {
        let half = Wrapping(1 << 31);
        Self(((re + half).0 as u64 >> 32) | ((im + half).0 as u64 & HIGH))
    }
}

#[inline(always)]
fn add(a: Parts, b: Parts) -> Parts {
    (a.0 + b.0, a.1 + b.1)
}

#[inline(always)]
fn sub(a: Parts, b: Parts) -> Parts {
    (a.0 - b.0, a.1 - b.1)
}

#[inline(always)]
fn times(a: Parts, b: Parts) -> Parts {
    (a.0 * b.0 - a.1 * b.1, a.0 * b.1 + a.1 * b.0)
}

const UNITY: Parts = (Wrapping(1 << ONE_BITS), Wrapping(0));

/// Fills the table of the first quarter turn: `table[k]` = exp(-2 pi i k / (4 x its length)). Once, in an analyzer's `init`.
pub fn fill_roots(table: &mut [Point]) {
    let step = core::f64::consts::FRAC_PI_2 / float(table.len().max(1));
    for (number, root) in table.iter_mut().enumerate() {
        let (sin, cos) = libm::sincos(float(number) * step);
        let scaled = |value: f64| whole(libm::round(value * float(1 << ONE_BITS)));
        *root = Point::of(scaled(cos), scaled(-sin));
    }
}

/// By how many bits values up to `largest` may be shifted up, to stay below 2^`bits`.
pub(crate) const fn headroom(largest: u64, bits: u32) -> u32 {
    if largest == 0 {
        return 0;
    }
    bits.saturating_sub(u64::BITS.saturating_sub(largest.leading_zeros()))
}

/// A root of unity, its square and its cube.
type Roots = (Parts, Parts, Parts);

/// From the table's root, by the formulas for twice and three times an angle.
#[inline(always)]
fn roots(root: Point) -> Roots {
    let one = UNITY.0;
    let (cos, sin) = root.parts();
    let cos2 = ((cos * cos) >> (ONE_BITS - 1)) - one;
    let sin2 = (cos * sin) >> (ONE_BITS - 1);
    let cos3 = (cos * (cos2 + cos2 - one)) >> ONE_BITS;
    let sin3 = (sin * (cos2 + cos2 + one)) >> ONE_BITS;
    ((cos, sin), (cos2, sin2), (cos3, sin3))
}

/// Four points of a transform and a quarter of it: radix 4, decimation in frequency.
#[inline(always)]
fn butterfly(a: Parts, b: Parts, c: Parts, d: Parts, roots: Roots) -> [Point; 4] {
    let (one, two, three) = roots;
    let (even, odd) = (add(a, c), sub(a, c));
    let (even_b, (re, im)) = (add(b, d), sub(b, d));
    let sum = add(even, even_b);
    [
        Point::rounded((sum.0 << ONE_BITS, sum.1 << ONE_BITS)),
        Point::rounded(times((odd.0 + im, odd.1 - re), one)),
        Point::rounded(times(sub(even, even_b), two)),
        Point::rounded(times((odd.0 - im, odd.1 + re), three)),
    ]
}

/// Four equal parts of a slice.
fn quarters(points: &[Point]) -> Option<[&[Point]; 4]> {
    let quarter = points.len() / 4;
    let (a, rest) = points.split_at_checked(quarter)?;
    let (b, rest) = rest.split_at_checked(quarter)?;
    let (c, d) = rest.split_at_checked(quarter)?;
    Some([a, b, c, d])
}

/// The same, to write to.
fn quarters_mut(points: &mut [Point]) -> Option<[&mut [Point]; 4]> {
    let quarter = points.len() / 4;
    let (a, rest) = points.split_at_mut_checked(quarter)?;
    let (b, rest) = rest.split_at_mut_checked(quarter)?;
    let (c, d) = rest.split_at_mut_checked(quarter)?;
    Some([a, b, c, d])
}

/// The first pass: a butterfly for each root.
#[inline(always)]
fn first_pass(
    from: &[Point],
    to: &mut [Point],
    table: impl Iterator<Item = Point>,
    load: impl Fn(Point) -> Parts,
) -> Option<()> {
    let [a, b, c, d] = quarters(from)?;
    let to = to.as_chunks_mut::<4>().0;
    let from = a.iter().zip(b).zip(c).zip(d);
    for ((to, (((a, b), c), d)), root) in to.iter_mut().zip(from).zip(table) {
        *to = butterfly(load(*a), load(*b), load(*c), load(*d), roots(root));
    }
    Some(())
}

/// A later pass: butterflies of `span` neighbours for each root; the span is a multiple of 4.
fn middle_pass(
    from: &[Point],
    to: &mut [Point],
    span: usize,
    table: impl Iterator<Item = Point>,
) -> Option<()> {
    let [a, b, c, d] = quarters(from)?.map(|quarter| quarter.chunks_exact(span));
    let to = to.chunks_exact_mut(span.saturating_mul(4));
    for ((to, (((a, b), c), d)), root) in to.zip(a.zip(b).zip(c).zip(d)).zip(table) {
        neighbours([a, b, c, d], to, roots(root))?;
    }
    Some(())
}

/// Butterflies of neighbours, four in a round: the checks of a loop are as dear as half a butterfly.
#[inline(always)]
fn neighbours(from: [&[Point]; 4], to: &mut [Point], roots: Roots) -> Option<()> {
    let [a, b, c, d] = from.map(|part| part.as_chunks::<4>().0);
    let [to_a, to_b, to_c, to_d] = quarters_mut(to)?.map(|part| part.as_chunks_mut::<4>().0);
    let from = a.iter().zip(b).zip(c).zip(d);
    let to = to_a.iter_mut().zip(to_b).zip(to_c).zip(to_d);
    for ((((a, b), c), d), (((to_a, to_b), to_c), to_d)) in from.zip(to) {
        let from = a.iter().zip(b).zip(c).zip(d);
        let to = to_a.iter_mut().zip(to_b).zip(to_c).zip(to_d);
        for ((((a, b), c), d), (((to_a, to_b), to_c), to_d)) in from.zip(to) {
            let (a, b, c, d) = (a.parts(), b.parts(), c.parts(), d.parts());
            [*to_a, *to_b, *to_c, *to_d] = butterfly(a, b, c, d, roots);
        }
    }
    Some(())
}

/// The last pass of a length that is no power of 4: sums and differences of halves.
fn halves(from: &[Point], to: &mut [Point]) -> Option<()> {
    let half = from.len() / 2;
    let (a, b) = from.split_at_checked(half)?;
    let (sums, differences) = to.split_at_mut_checked(half)?;
    let from = a.as_chunks::<4>().0.iter().zip(b.as_chunks::<4>().0);
    let to = sums.as_chunks_mut::<4>().0.iter_mut();
    let to = to.zip(differences.as_chunks_mut::<4>().0);
    for ((a, b), (sums, differences)) in from.zip(to) {
        let to = sums.iter_mut().zip(differences);
        for ((a, b), (to_sum, to_difference)) in a.iter().zip(b).zip(to) {
            let (sum, difference) = (add(a.parts(), b.parts()), sub(a.parts(), b.parts()));
            *to_sum = Point::rounded((sum.0 << 31, sum.1 << 31));
            *to_difference = Point::rounded((difference.0 << 31, difference.1 << 31));
        }
    }
    Some(())
}

/// Two buffers of equal length between which passes go back and forth, and the table of roots.
#[derive(Debug)]
pub struct Workspace<'a> {
    /// Where the values are.
    pub(crate) front: &'a mut [Point],
    /// Where the next pass writes.
    pub(crate) back: &'a mut [Point],
    table: &'a [Point],
}

impl<'a> Workspace<'a> {
    /// Two buffers of half the length of the longest record, and a table of a quarter of it that [`fill_roots`] has filled.
    /// `None` unless the lengths are so and powers of two.
    #[must_use]
    pub fn new(front: &'a mut [Point], back: &'a mut [Point], table: &'a [Point]) -> Option<Self> {
        let fits = front.len() == back.len()
            && table.len().checked_mul(2)? == front.len()
            && front.len().is_power_of_two()
            && front.len() >= REAL_MIN / 2;
        fits.then_some(Self { front, back, table })
    }

    /// Samples that fit.
    #[must_use]
    pub const fn capacity(&self) -> usize {
        self.front.len().saturating_mul(2)
    }

    pub(crate) const fn flip(&mut self) {
        core::mem::swap(&mut self.front, &mut self.back);
    }

    /// The roots of one turn in `steps`, a power of two of at most the capacity: those of the first quarter.
    fn roots(&self, steps: usize) -> Option<impl Iterator<Item = Point> + Clone + use<'a>> {
        let stride = self.capacity().checked_div(steps).filter(|s| *s > 0)?;
        Some(self.table.iter().step_by(stride).copied())
    }

    /// The transform of the first `count` points, in natural order and divided by `count`. `load` scales what is there to parts of
    /// at most 2^30. `None` unless the count is a power of two from 128 to the length of a buffer.
    #[inline(always)]
    pub(crate) fn transform(&mut self, count: usize, load: impl Fn(Point) -> Parts) -> Option<()> {
        if !count.is_power_of_two() || count < REAL_MIN / 2 {
            return None;
        }
        let table = self.roots(count)?;
        let (from, to) = (self.front.get(..count)?, self.back.get_mut(..count)?);
        first_pass(from, to, table, load)?;
        self.flip();
        self.later_passes(count)
    }

    #[inline(never)]
    fn later_passes(&mut self, count: usize) -> Option<()> {
        let (mut span, mut left) = (4_usize, count / 4);
        while left > 1 {
            let table = self.roots(left)?;
            let (from, to) = (self.front.get(..count)?, self.back.get_mut(..count)?);
            match left {
                2 => halves(from, to)?,
                4 => neighbours(quarters(from)?, to, (UNITY, UNITY, UNITY))?,
                _ => middle_pass(from, to, span, table)?,
            }
            self.flip();
            span = span.saturating_mul(4);
            left /= 4;
        }
        Some(())
    }

    /// The lines from `first` to `last` of twice `count` real values, whose transform two by two is in front: in front
    /// after it, from place `at` on, divided by the number of values. Returns what covers the bits of their parts.
    #[inline(never)]
    pub(crate) fn lines(
        &mut self,
        count: usize,
        first: usize,
        last: usize,
        at: usize,
    ) -> Option<u64> {
        let half = count / 2;
        let table = self.roots(count.checked_mul(2)?)?;
        let front = self.front.get(..count)?;
        let lines = self.back.get_mut(at..)?;
        let lines = lines.get_mut(..=last.checked_sub(first)?)?;
        if first == 0 || last >= count {
            return None;
        }
        // exp(-i x) in the second quarter is -i times that in the first.
        let split = half.clamp(first, last.checked_add(1)?);
        let (lower, upper) = lines.split_at_mut_checked(split.checked_sub(first)?)?;
        let mut bits = 0;
        if !lower.is_empty() {
            let up = front.get(first..split)?;
            let down = front.get(count.checked_sub(split)?.checked_add(1)?..)?;
            let down = down.get(..up.len())?;
            bits |= separate(lower, up, down, table.clone().skip(first), |root| root);
        }
        if !upper.is_empty() {
            let from = split.max(first);
            let up = front.get(from..=last)?;
            let down = front.get(count.checked_sub(last)?..=count.checked_sub(from)?)?;
            let turn = |(cos, sin): Parts| (sin, -cos);
            bits |= separate(upper, up, down, table.skip(from.checked_sub(half)?), turn);
        }
        self.flip();
        Some(bits)
    }
}

/// Lines of real values from the transform of their pairs: `up` from the first line, `down` to its mirror, read backwards.
#[inline(always)]
fn separate(
    lines: &mut [Point],
    up: &[Point],
    down: &[Point],
    table: impl Iterator<Item = Point>,
    turn: impl Fn(Parts) -> Parts,
) -> u64 {
    let mut bits = Wrapping(0);
    let from = up.iter().zip(down.iter().rev());
    for ((line, (a, b)), root) in lines.iter_mut().zip(from).zip(table) {
        let (a, b, (cos, sin)) = (a.parts(), b.parts(), turn(root.parts()));
        let (sum, difference) = ((a.0 + b.0, a.1 - b.1), (a.0 - b.0, a.1 + b.1));
        // Half of: sum - i x root x difference, and the division of the number of values by that of the pairs.
        let re = (sum.0 << ONE_BITS) + cos * difference.1 + sin * difference.0;
        let im = (sum.1 << ONE_BITS) + sin * difference.1 - cos * difference.0;
        bits |= (re ^ (re >> 63)) | (im ^ (im >> 63));
        *line = Point::rounded((re, im));
    }
    (bits.0 >> 32).cast_unsigned().saturating_add(1)
}

#[cfg(test)]
mod tests {
    use std::{vec, vec::Vec};

    use super::*;

    /// The bounds of this module's head: the largest parts in the patterns that add up most, each transform against its sum.
    #[test]
    fn nothing_overflows_with_the_largest_parts_and_the_error_is_a_few_units() {
        let most = 1_i64 << PART_BITS;
        let patterns: [fn(usize) -> (i64, i64); 6] = [
            |_| (1, 1),
            |at| if at % 2 == 0 { (1, 1) } else { (-1, -1) },
            |at| [(1, 1), (1, -1), (-1, -1), (-1, 1)][at % 4],
            |at| [(1, 1), (-1, 1), (-1, -1), (1, -1)][at % 4],
            |at| if at % 8 < 4 { (1, -1) } else { (-1, 1) },
            |at| if at * 7 % 11 < 5 { (1, -1) } else { (-1, -1) },
        ];
        for count in [128, 256, 512] {
            for pattern in patterns {
                let mut roots = vec![Point::ZERO; count];
                fill_roots(&mut roots);
                let values: Vec<_> = (0..count).map(pattern).collect();
                let mut front = vec![Point::ZERO; 2 * count];
                let mut back = front.clone();
                for (to, (re, im)) in front.iter_mut().zip(&values) {
                    *to = Point::of(re * most, im * most);
                }
                let mut workspace = Workspace::new(&mut front, &mut back, &roots).unwrap();
                workspace.transform(count, Point::parts).unwrap();
                for (bin, got) in workspace.front.iter().take(count).enumerate() {
                    let mut sum = (0.0, 0.0);
                    for (at, (re, im)) in values.iter().enumerate() {
                        let turn = core::f64::consts::TAU * float(bin * at % count) / float(count);
                        let (sin, cos) = libm::sincos(turn);
                        sum.0 += *re as f64 * cos + *im as f64 * sin;
                        sum.1 += *im as f64 * cos - *re as f64 * sin;
                    }
                    let scale = most as f64 / float(count);
                    let (re, im) = got.parts();
                    let away =
                        libm::hypot(re.0 as f64 - sum.0 * scale, im.0 as f64 - sum.1 * scale);
                    assert!(away < 16.0, "{count}, line {bin}: {away} units");
                }
            }
        }
    }

    #[test]
    fn a_workspace_of_other_lengths_is_refused() {
        let points = |count| vec![Point::ZERO; count];
        for (front, back, table) in [
            (256, 128, 128),
            (256, 256, 256),
            (192, 192, 96),
            (64, 64, 32),
        ] {
            let (mut front, mut back) = (points(front), points(back));
            assert!(Workspace::new(&mut front, &mut back, &points(table)).is_none());
        }
        let (mut front, mut back, table) = (points(256), points(256), points(128));
        let mut workspace = Workspace::new(&mut front, &mut back, &table).unwrap();
        assert_eq!(workspace.capacity(), 512);
        for count in [0, 64, 192, 512] {
            assert!(
                workspace.transform(count, Point::parts).is_none(),
                "{count}"
            );
        }
        assert!(
            workspace.lines(256, 0, 5, 0).is_none(),
            "the mean is no line"
        );
        assert!(
            workspace.lines(256, 1, 256, 0).is_none(),
            "nor is half the rate"
        );
    }
}

//! The envelope of a band, its spectrum, and resampling by shaft angle; all in whole numbers ([`crate::fixed`] says why).
//!
//! Method: the analytic signal of the band from one transform (positive frequencies of the band only, doubled), moved to
//! 0 Hz, which its magnitude does not see, and transformed back with as many points as the band needs. That is the magnitude of
//! the Hilbert transform's analytic signal of the band-passed record, at a lower rate (R. B. Randall, J. Antoni, "Rolling
//! element bearing diagnostics - a tutorial", MSSP 25, 2011). The Hann window of its spectrum is the sum of three
//! neighbouring lines (F. J. Harris, "On the use of windows for harmonic analysis with the discrete Fourier transform",
//! Proc. IEEE 66, 1978, section VI): no pass over the points, and a mean that is taken away is a line of 0.

use core::num::Wrapping;

use crate::{
    fixed::{PART_BITS, Point, REAL_MIN, Wide, Workspace, headroom},
    num::{float, index, nearest, real, root, single, whole},
};

/// A band in Hz.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Band {
    /// Lower edge.
    pub low_hz: f64,
    /// Upper edge.
    pub high_hz: f64,
}

/// Real values in the front of a workspace, two in a point.
#[derive(Clone, Copy, Debug)]
pub struct Wave {
    /// How many.
    count: usize,
    /// What 1 is worth, in the samples' unit: a power of two.
    unit: f64,
    /// The whole number that is nearest to their mean, or 0.
    mean: i64,
    /// Bits by which they may be shifted up once the mean is taken away.
    up: u32,
}

/// Exponent of the largest number, as it lies in a float, below which all are taken for 0: 2^-87.
const EXPONENT_MIN: u32 = 40;
/// Exponent of what is not finite.
const EXPONENT_MAX: u32 = 255;
/// Bits that the largest sample has, in whole numbers.
const SAMPLE_BITS: u32 = 29;

/// A sample in whole numbers, those of [`SAMPLE_BITS`] for samples of this exponent. By its bits: no float operation.
#[inline(always)]
fn fixed(sample: f32, exponent: u32) -> Wide {
    let bits = sample.to_bits();
    let own = (bits >> 23) & EXPONENT_MAX;
    // The fraction with its leading 1 on top of 32 bits, and 3 above.
    let shift = exponent.wrapping_sub(own).wrapping_add(3).min(63);
    let size = u64::from((bits << 8) | 0x8000_0000).wrapping_shr(shift);
    let sign = Wrapping(i64::from(bits.cast_signed() >> 31));
    (Wrapping(size.cast_signed()) ^ sign) - sign
}

impl Wave {
    /// Brings samples into the front. `None` when their number is no power of two from [`REAL_MIN`] to the capacity, or one is
    /// not finite.
    #[inline(never)]
    pub fn load(workspace: &mut Workspace<'_>, samples: &[f32]) -> Option<Self> {
        let count = samples.len();
        let front = workspace.front.get_mut(..count / 2)?;
        if !count.is_power_of_two() || count < REAL_MIN {
            return None;
        }
        let rounds = samples.as_chunks::<8>().0;
        let mut most = [0; 2];
        for round in rounds {
            let [a, b, c, d, e, f, g, h] = round.map(|sample| sample.to_bits() << 1);
            let [even, odd] = &mut most;
            *even = (*even).max(a).max(c).max(e).max(g);
            *odd = (*odd).max(b).max(d).max(f).max(h);
        }
        let [even, odd] = most;
        let exponent = even.max(odd) >> 24;
        if exponent == EXPONENT_MAX {
            return None;
        }
        if exponent < EXPONENT_MIN {
            front.fill(Point::ZERO);
            return Some(Extent::NONE.wave(count, 1.0));
        }
        let mut extent = Extent::NONE;
        for (points, round) in front.as_chunks_mut::<4>().0.iter_mut().zip(rounds) {
            for (point, pair) in points.iter_mut().zip(round.as_chunks::<2>().0) {
                let [a, b] = pair.map(|sample| fixed(sample, exponent));
                *point = extent.pair(a.0, b.0);
            }
        }
        Some(extent.wave(count, power_of_two(exponent, SAMPLE_BITS)))
    }

    /// How many values.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.count
    }

    /// Whether there are none: never.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The values, in the samples' unit.
    pub fn values<'a>(&self, workspace: &'a Workspace<'_>) -> impl Iterator<Item = f64> + use<'a> {
        let unit = self.unit;
        let points = workspace.front.iter().take(self.count / 2);
        points.flat_map(move |point| {
            let (even, odd) = point.parts();
            [real(even.0) * unit, real(odd.0) * unit]
        })
    }

    /// Their mean.
    #[must_use]
    pub fn mean(&self) -> f64 {
        real(self.mean) * self.unit
    }

    /// Transforms the values without their mean, two by two, and returns what 1 is worth then.
    fn transform(&self, workspace: &mut Workspace<'_>) -> Option<f64> {
        let (mean, up) = (Wrapping(self.mean), bits(self.up));
        workspace.transform(self.count / 2, |point| {
            let (even, odd) = point.parts();
            ((even - mean) << up, (odd - mean) << up)
        })?;
        Some(self.unit * shrink(self.up))
    }
}

/// Sum and bounds of values.
struct Extent {
    sum: Wide,
    low: i64,
    high: i64,
}

impl Extent {
    /// Of none.
    const NONE: Self = Self {
        sum: Wrapping(0),
        low: i64::MAX,
        high: i64::MIN,
    };

    /// Two more values, as they are kept.
    #[inline(always)]
    fn pair(&mut self, even: i64, odd: i64) -> Point {
        self.sum += even;
        self.sum += odd;
        self.low = self.low.min(even).min(odd);
        self.high = self.high.max(even).max(odd);
        Point::of(even, odd)
    }

    /// That many values, a power of two, of which 1 is worth `unit`.
    fn wave(&self, count: usize, unit: f64) -> Wave {
        let mean = self.sum.0 >> count.trailing_zeros();
        let away = self.high.abs_diff(mean).max(self.low.abs_diff(mean));
        Wave {
            count,
            unit,
            mean,
            up: headroom(away, PART_BITS),
        }
    }
}

/// What 1 is worth among samples of this exponent that have so many bits.
fn power_of_two(exponent: u32, bits: u32) -> f64 {
    // A float of this exponent is below 2^(exponent - 126).
    let above = u64::from(exponent).saturating_add(1023 - 126);
    f64::from_bits(above.saturating_sub(u64::from(bits)) << 52)
}

/// 2 to the power of minus `bits`.
fn shrink(bits: u32) -> f64 {
    f64::from_bits(1023_u64.saturating_sub(u64::from(bits)) << 52)
}

/// A count of bits, to shift by.
fn bits(count: u32) -> usize {
    usize::try_from(count).unwrap_or(0)
}

/// The envelope of a record within a band, at the rate `its length / record length x rate`, in the front of the workspace.
/// `reach_hz`: up to where the envelope's spectrum is wanted free of aliases. `None` when the length is none that the transform
/// takes, or half of it is not, or the band is empty, or a sample is not finite.
pub fn envelope(
    workspace: &mut Workspace<'_>,
    samples: &[f32],
    rate_hz: f64,
    band: Band,
    reach_hz: f64,
) -> Option<Wave> {
    let count = float(samples.len());
    let most = samples.len() / 2;
    if !(rate_hz.is_finite() && rate_hz > 0.0) || most < REAL_MIN {
        return None;
    }
    let hz = rate_hz / count;
    let first = index(libm::ceil(band.low_hz / hz)).max(1);
    let last = index(band.high_hz / hz).min(most.saturating_sub(1));
    let lines = last.checked_add(1)?.checked_sub(first).filter(|l| *l > 0)?;
    let wanted = lines.saturating_add(index(reach_hz / hz));
    let points = wanted.checked_next_power_of_two()?.clamp(REAL_MIN, most);
    let unit = Wave::load(workspace, samples)?.transform(workspace)?;
    let covered = workspace.lines(most, first, last, 0)?;
    workspace.front.get_mut(lines..points)?.fill(Point::ZERO);
    // A bit less than a transform takes: a magnitude is up to 1.4 times a part, and is a part of the next.
    let up = headroom(covered, PART_BITS - 1);
    let shift = bits(up);
    // The inverse: parts exchanged, which the magnitude does not see.
    workspace.transform(points, |point| {
        let (re, im) = point.parts();
        (im << shift, re << shift)
    })?;
    let front = workspace.front.get_mut(..points)?;
    let back = workspace.back.get_mut(..points / 2)?;
    let extent = magnitudes(front, back);
    workspace.flip();
    // Doubled for the one side; the transform has divided by its length.
    Some(extent.wave(points, unit * shrink(up) * 2.0 * float(points)))
}

/// Magnitudes of complex values, two in a point.
#[inline(never)]
fn magnitudes(from: &[Point], to: &mut [Point]) -> Extent {
    let mut extent = Extent::NONE;
    let from = from.as_chunks::<8>().0.iter();
    for (to, from) in to.as_chunks_mut::<4>().0.iter_mut().zip(from) {
        for (to, pair) in to.iter_mut().zip(from.as_chunks::<2>().0) {
            let [a, b] = pair.map(|point| {
                let (re, im) = point.parts();
                root((re * re + im * im).0)
            });
            *to = extent.pair(a, b);
        }
    }
    extent
}

/// Blends the power spectrum of an envelope into `average`, of which it becomes a `share`: squared amplitudes of its lines
/// under a Hann window, without its mean. Its bins are one turn of the record apart: bin = frequency x seconds of the record, or
/// order x turns of the shaft when it was resampled by angle. Returns how many there are.
pub fn power_spectrum(
    workspace: &mut Workspace<'_>,
    wave: &Wave,
    average: &mut [f32],
    share: f64,
) -> Option<usize> {
    let unit = wave.transform(workspace)?;
    let half = wave.count / 2;
    let average = average.get_mut(..half)?;
    let (even, odd) = workspace.front.first()?.parts();
    workspace.lines(half, 1, half.checked_sub(1)?, 2)?;
    // Behind the last line: that at half the rate, which is real. Before the first: 0, for the mean is gone, and before that
    // what makes the power of bin 0 vanish.
    let highest = Point::of(((even - odd) >> 1).0, 0);
    *workspace.front.get_mut(half.checked_add(1)?)? = highest;
    let [before, zero, first, ..] = &mut *workspace.front else {
        return None;
    };
    let (re, im) = first.parts();
    (*before, *zero) = (Point::of((-re).0, (-im).0), Point::ZERO);
    let shares = (single(unit), single(unit * share));
    blend(workspace.front, average, single(1.0 - share), shares);
    Some(half)
}

/// Each number becomes `keep` of what it was plus the squared magnitude under a Hann window, times both `shares`, of the line behind
/// the one of its place. Two, for their product may be less than single precision holds.
#[inline(never)]
fn blend(lines: &[Point], average: &mut [f32], keep: f32, shares: (f32, f32)) {
    let behind = lines.as_chunks::<4>().0.iter().skip(1);
    let lines = lines.as_chunks::<4>().0.iter().zip(behind);
    for (average, (lines, behind)) in average.as_chunks_mut::<4>().0.iter_mut().zip(lines) {
        let ([a, b, c, d], [e, f, ..]) = (lines.map(Point::parts), behind.map(Point::parts));
        let powers = [(a, b, c), (b, c, d), (c, d, e), (d, e, f)].map(|(before, here, after)| {
            // Four times the line under the window; an amplitude is four times a line's magnitude.
            let re = here.0 + here.0 - before.0 - after.0;
            let im = here.1 + here.1 - before.1 - after.1;
            (re * re + im * im).0
        });
        for (average, power) in average.iter_mut().zip(powers) {
            *average = *average * keep + nearest(power) * shares.0 * shares.1;
        }
    }
}

/// Resamples values that are even in time to even steps of shaft angle (computed order tracking: K. R. Fyfe, E. D. S. Munck,
/// MSSP 11, 1997), linearly between neighbours. `speeds`: shaft speed in each of as many equal parts of the record.
/// `None`, and nothing changed, when the shaft stood still in some part.
pub fn by_angle(workspace: &mut Workspace<'_>, wave: &Wave, speeds: &[f64]) -> Option<Wave> {
    if speeds.is_empty() || speeds.iter().any(|speed| *speed <= 0.0) {
        return None;
    }
    let values = workspace.front.get(..wave.count / 2)?;
    let value = |at: usize| {
        let point = values.get(at / 2).or(values.last());
        let (even, odd) = point.copied().unwrap_or_default().parts();
        real(if at.is_multiple_of(2) { even.0 } else { odd.0 })
    };
    let parts = float(speeds.len());
    let total: f64 = speeds.iter().sum();
    let per_point = parts / float(wave.count.max(1));
    let step = total / float(wave.count.max(1));
    // Within a part the speed is constant, so that angle is a broken line of time: walk along it once.
    let mut rest = speeds.iter();
    let (mut speed, mut angle, mut part) = (*rest.next()?, 0.0, 0.0);
    let mut resampled = |number: usize| {
        let wanted = float(number) * step;
        while wanted >= angle + speed {
            let Some(next) = rest.next() else { break };
            angle += speed;
            part += 1.0;
            speed = *next;
        }
        let place = (part + (wanted - angle) / speed) / per_point;
        let before = index(place).min(wave.count.saturating_sub(1));
        let after = before.saturating_add(1).min(wave.count.saturating_sub(1));
        let left = value(before);
        let between = left + (place - float(before)) * (value(after) - left);
        whole(between)
    };
    let back = workspace.back.get_mut(..wave.count / 2)?;
    let mut extent = Extent::NONE;
    for (number, to) in back.iter_mut().enumerate() {
        let even = number.saturating_mul(2);
        let (even, odd) = (resampled(even), resampled(even.saturating_add(1)));
        *to = extent.pair(even, odd);
    }
    workspace.flip();
    Some(extent.wave(wave.count, wave.unit))
}

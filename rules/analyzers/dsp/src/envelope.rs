//! The envelope of a band, its spectrum, and resampling by shaft angle.
//!
//! Method: the analytic signal of the band from one transform (positive frequencies of the band only, doubled), moved to
//! 0 Hz, which its magnitude does not see, and transformed back with as many points as the band needs. That is the magnitude of
//! the Hilbert transform's analytic signal of the band-passed record, at a lower rate (R. B. Randall, J. Antoni, "Rolling
//! element bearing diagnostics - a tutorial", MSSP 25, 2011).

use crate::{
    fft::{Complex32, REAL_MIN, inverse_in_place, real_in_place},
    num::{float, index, single},
    spectrum::hann,
};

/// A band in Hz.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Band {
    /// Lower edge.
    pub low_hz: f64,
    /// Upper edge.
    pub high_hz: f64,
}

/// The envelope of a record within a band, in `work`, which held the record: the first points of it, at the rate
/// `points / record length x rate`. `spare`: at least half the record's length. `reach_hz`: up to where the envelope's spectrum
/// is wanted free of aliases. `None` when the length is none that the transform takes, or
/// half of it is not, or the band is empty.
pub fn envelope<'a>(
    work: &'a mut [f32],
    spare: &mut [Complex32],
    rate_hz: f64,
    band: Band,
    reach_hz: f64,
) -> Option<&'a mut [f32]> {
    let length = work.len();
    let count = float(length);
    let most = length / 2;
    if !(rate_hz.is_finite() && rate_hz > 0.0) || most < REAL_MIN {
        return None;
    }
    let mean = work.iter().map(|s| f64::from(*s)).sum::<f64>() / count;
    for sample in work.iter_mut() {
        *sample = single(f64::from(*sample) - mean);
    }
    let spectrum = real_in_place(work)?;
    let hz = rate_hz / count;
    let first = index(libm::ceil(band.low_hz / hz)).max(1);
    let last = index(band.high_hz / hz).min(spectrum.len().saturating_sub(1));
    let lines = spectrum.get(first..=last).filter(|l| !l.is_empty())?;
    let wanted = lines.len().saturating_add(index(reach_hz / hz));
    let points = wanted.checked_next_power_of_two()?.clamp(REAL_MIN, most);
    let analytic = spare.get_mut(..points)?;
    let (filled, rest) = analytic.split_at_mut_checked(lines.len())?;
    filled.copy_from_slice(lines);
    rest.fill(Complex32::new(0.0, 0.0));
    let analytic = inverse_in_place(analytic)?;
    // Doubled for the one side, and scaled for the change of length.
    let scale = single(2.0 * float(points) / count);
    let envelope = work.get_mut(..points)?;
    for (to, value) in envelope.iter_mut().zip(analytic) {
        *to = scale * libm::sqrtf(value.norm_sqr());
    }
    Some(envelope)
}

/// The power spectrum of an envelope, in its memory: squared amplitudes of its lines. Its bins are one turn of the record
/// apart: bin = frequency x seconds of the record, or order x turns of the shaft when it was resampled by angle.
pub fn power_spectrum(envelope: &mut [f32]) -> Option<impl Iterator<Item = f32> + '_> {
    let count = float(envelope.len());
    hann(envelope);
    let scale = single((4.0 / count) * (4.0 / count));
    let bins = real_in_place(envelope)?;
    if let Some(first) = bins.first_mut() {
        *first = Complex32::new(0.0, 0.0);
    }
    Some(bins.iter().map(move |bin| bin.norm_sqr() * scale))
}

/// Resamples values that are even in time to even steps of shaft angle (computed order tracking: K. R. Fyfe, E. D. S. Munck,
/// MSSP 11, 1997), linearly between neighbours. `speeds`: shaft speed in each of as many equal parts of the record; `to`: as long
/// as `values`. Returns the turns within the record per unit of speed and time, which is the mean speed; `None` when the shaft
/// stood still in some part.
pub fn by_angle(values: &[f32], speeds: &[f64], to: &mut [f32]) -> Option<f64> {
    if speeds.is_empty() || speeds.iter().any(|speed| *speed <= 0.0) {
        return None;
    }
    let parts = float(speeds.len());
    let total: f64 = speeds.iter().sum();
    let per_point = parts / float(values.len().max(1));
    let step = total / float(to.len().max(1));
    // Within a part the speed is constant, so that angle is a broken line of time: walk along it once.
    let mut rest = speeds.iter();
    let (mut speed, mut angle, mut part) = (*rest.next()?, 0.0, 0.0);
    for (number, to) in to.iter_mut().enumerate() {
        let wanted = float(number) * step;
        while wanted >= angle + speed {
            let Some(next) = rest.next() else { break };
            angle += speed;
            part += 1.0;
            speed = *next;
        }
        let place = (part + (wanted - angle) / speed) / per_point;
        let before = index(place);
        let share = single(place - float(before));
        let left = values.get(before).or(values.last())?;
        let right = values.get(before.saturating_add(1)).or(values.last())?;
        *to = left + share * (right - left);
    }
    Some(total / parts)
}

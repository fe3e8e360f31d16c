//! Frames for any module, made from its metadata alone: always the same for the same metadata.

use rules_sdk_abi::metadata::Metadata;
use rules_sdk_abi::{Flags, Header, SampleFormat};
use rules_sdk_reference::Input;

/// Frames of one series.
const FRAMES: u32 = 96;
/// Nanoseconds between two frames.
const PERIOD_NS: u64 = 20_000_000;
/// Values that inputs are given, in turn: without knowing their range, some are usual and some are not.
const VALUES: [f64; 8] = [0.0, 1.0, 20.0, 50.0, 1_500.0, -1.0, 0.001, 1e9];

/// One frame.
#[derive(Clone, Debug, PartialEq)]
pub struct Stimulus {
    /// Header.
    pub header: Header,
    /// Inputs.
    pub inputs: Vec<Input>,
    /// Samples, as they lie in the module's memory.
    pub samples: Vec<u8>,
}

/// A generator of numbers that look random and are not (Marsaglia 2003, xorshift64).
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// Below `end`, which is not 0.
    fn below(&mut self, end: u32) -> u32 {
        let low = u32::try_from(self.next() & u64::from(u32::MAX)).unwrap_or_default();
        low.checked_rem(end).unwrap_or_default()
    }

    /// From -1 to 1.
    fn signed(&mut self) -> f64 {
        let half = f64::from(u32::MAX) / 2.0;
        f64::from(self.below(u32::MAX)) / half - 1.0
    }
}

/// Parameters of a series: defaults, and in the place of those without one the lowest, middle or highest value.
pub fn params(metadata: &Metadata, series: u32) -> Vec<f64> {
    let place = f64::from(series) / 2.0;
    metadata
        .params
        .iter()
        .map(|param| {
            let between = param.min + (param.max - param.min) * place;
            match param.default {
                Some(default) if series == 0 => default,
                _ => between.clamp(param.min, param.max),
            }
        })
        .collect()
}

/// The frames of a series: 0, 1, 2 and so on differ.
pub fn stimuli(metadata: &Metadata, series: u32) -> Vec<Stimulus> {
    let mut numbers = Numbers(0x9e37_79b9_7f4a_7c15 ^ u64::from(series.wrapping_add(1)));
    (0..FRAMES)
        .map(|frame| one(metadata, frame, &mut numbers))
        .collect()
}

fn one(metadata: &Metadata, frame: u32, numbers: &mut Numbers) -> Stimulus {
    let mut flags = Flags::default();
    if frame == 0 {
        flags = flags.with(Flags::RESTARTED);
    }
    let gap = metadata.waveform.is_some() && numbers.below(8) == 0;
    if gap {
        flags = flags.with(Flags::GAP);
    }
    let (scale, offset) = match metadata.waveform.as_ref().map(|waveform| waveform.format) {
        Some(SampleFormat::I16) => (0.001, -0.25),
        _ => (1.0, 0.0),
    };
    let (count, samples) = block(metadata, frame, numbers);
    Stimulus {
        header: Header {
            samples: count,
            flags,
            at_ns: u64::from(frame).saturating_mul(PERIOD_NS),
            sequence: u64::from(frame),
            rate_hz: 12_000.0,
            scale,
            offset,
        },
        inputs: metadata.inputs.iter().map(|_| input(numbers)).collect(),
        samples,
    }
}

fn input(numbers: &mut Numbers) -> Input {
    let quality = match numbers.below(10) {
        0 => 2,
        1 => 3,
        2 => 1,
        _ => 0,
    };
    let at = usize::try_from(numbers.below(8)).unwrap_or_default();
    let value = VALUES.get(at).copied().unwrap_or_default();
    Input {
        // As the host does: what may not be used is 0.
        value: if quality >= 2 { 0.0 } else { value },
        quality,
        changed: numbers.below(2) == 0,
    }
}

/// How many samples, and their bytes.
fn block(metadata: &Metadata, frame: u32, numbers: &mut Numbers) -> (u32, Vec<u8>) {
    let Some(waveform) = &metadata.waveform else {
        return (0, Vec::new());
    };
    let more = waveform.samples_max.saturating_sub(waveform.samples_min);
    let count = match numbers.below(5) {
        0 => return (0, Vec::new()),
        1 => waveform.samples_min,
        2 => waveform.samples_max,
        _ => waveform
            .samples_min
            .saturating_add(numbers.below(more.saturating_add(1))),
    };
    let kind = numbers.below(5);
    // From a thousandth to some tens, in the waveform's unit.
    let amplitude = 10.0_f64.powi(i32::try_from(frame % 5).unwrap_or_default()) / 1_000.0;
    let turn = std::f64::consts::TAU * (0.001 + f64::from(frame) * 0.0007);
    let mut bytes = Vec::new();
    for index in 0..count {
        let place = f64::from(index);
        let value = match kind {
            0 => 0.0,
            1 => numbers.signed(),
            2 => (place * turn).sin() + numbers.signed() * 0.1,
            // A shock every 97 samples, as a damaged bearing gives.
            3 => (-f64::from(index % 97) / 9.0).exp() * (place * 2.0).sin() * 3.0,
            _ => 1.0,
        } * amplitude;
        match waveform.format {
            SampleFormat::F32 => bytes.extend(single(value).to_le_bytes()),
            SampleFormat::I16 => bytes.extend(whole(value * 1_000.0).to_le_bytes()),
        }
    }
    (count, bytes)
}

/// The nearest `f32`: there is no conversion from `f64` but `as`.
#[allow(clippy::as_conversions, reason = "rounds as IEEE 754 says")]
fn single(value: f64) -> f32 {
    value as f32
}

/// The nearest `i16`, saturated.
#[allow(clippy::as_conversions, reason = "saturates")]
fn whole(value: f64) -> i16 {
    value as i16
}

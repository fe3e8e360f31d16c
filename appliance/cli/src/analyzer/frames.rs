//! From recorded cases to the frames that a module is given: samples read, times counted.

use std::path::{Path, PathBuf};

use drivers_frame::{MonoNs, Quality};
use rules_pack::module::{Block, Case, Expect, Frame, InputValue, Waveform};
use rules_sdk_abi::SampleFormat;
use rules_sdk_abi::metadata::Metadata;

use super::AnalyzerFailure;
use crate::build;
use crate::error::CliError;

/// Bytes of one recording: a quarter of an hour at 50 kHz.
const RECORDING_BYTES_MAX: usize = 256 * 1024 * 1024;
/// Time of the first frame: not 0, which a module might take for "never".
const FIRST_NS: u64 = 1_000_000_000;
/// Time between frames without a block: a tenth of a second.
const STEP_NS: u64 = 100_000_000;

/// A frame as a module gets it.
#[derive(Clone, Debug)]
pub(crate) struct Given {
    /// Its number in the case, from 1.
    pub(crate) number: u64,
    /// When.
    pub(crate) at: MonoNs,
    /// Inputs, in the order of the metadata.
    pub(crate) inputs: Vec<appliance_sandbox::InputValue>,
    /// Samples as they lie in the module's memory, little-endian; empty for none.
    pub(crate) samples: Vec<u8>,
    /// Number of the block.
    pub(crate) sequence: u64,
    /// Samples a second.
    pub(crate) rate_hz: f64,
    /// Whether samples are missing before it.
    pub(crate) gap: bool,
    /// What must come of it.
    pub(crate) expect: Option<Expect>,
    /// Where it stands.
    pub(crate) span: std::ops::Range<usize>,
}

/// The frames of a case. Recordings lie in `folder`.
///
/// # Errors
/// A recording that cannot be read, or a block that the module does not take.
pub(crate) fn frames(
    case: &Case,
    metadata: &Metadata,
    folder: &Path,
) -> Result<Vec<Given>, CliError> {
    let mut at = FIRST_NS;
    let mut sequence = 0;
    let mut inputs: Vec<_> = metadata
        .inputs
        .iter()
        .map(|_| appliance_sandbox::InputValue {
            value: 0.0,
            quality: Quality::Bad,
            changed: true,
        })
        .collect();
    let mut given = Vec::new();
    let mut number = 0;
    for frame in &case.frames {
        let samples = match &frame.block {
            None => Vec::new(),
            Some(block) => samples(block, metadata, folder)?,
        };
        for _ in 0..frame.repeat {
            for input in &mut inputs {
                input.changed = number == 0;
            }
            // Named again with each repetition: a new sample of the same value.
            take_inputs(frame, metadata, &mut inputs);
            number += 1;
            let rate_hz = frame.block.as_ref().map_or(0.0, |block| block.rate_hz);
            if frame.block.is_some() {
                // A gap is two numbers at once.
                sequence += if frame.gap && sequence > 0 { 2 } else { 1 };
            }
            given.push(Given {
                number,
                at: MonoNs::from_ns(at),
                inputs: inputs.clone(),
                samples: samples.clone(),
                sequence,
                rate_hz,
                gap: frame.gap,
                expect: frame.expect.clone(),
                span: frame.span.clone(),
            });
            at = at.saturating_add(step_ns(&samples, metadata, rate_hz));
        }
    }
    Ok(given)
}

fn take_inputs(frame: &Frame, metadata: &Metadata, inputs: &mut [appliance_sandbox::InputValue]) {
    for (name, value) in &frame.inputs {
        let position = metadata.inputs.iter().position(|input| input.name == *name);
        let Some(input) = position.and_then(|position| inputs.get_mut(position)) else {
            continue;
        };
        let (value, quality) = match value {
            InputValue::Good(value) => (*value, Quality::Good),
            InputValue::Bad => (0.0, Quality::Bad),
            InputValue::Stale => (0.0, Quality::Stale),
        };
        *input = appliance_sandbox::InputValue {
            value,
            quality,
            changed: true,
        };
    }
}

/// As long as the block lasts.
fn step_ns(samples: &[u8], metadata: &Metadata, rate_hz: f64) -> u64 {
    let Some(waveform) = metadata.waveform.as_ref().filter(|_| rate_hz > 0.0) else {
        return STEP_NS;
    };
    let bytes = usize::try_from(waveform.format.bytes()).unwrap_or(1);
    let count = u32::try_from(samples.len() / bytes).unwrap_or(u32::MAX);
    let seconds = f64::from(count) / rate_hz;
    std::time::Duration::try_from_secs_f64(seconds)
        .ok()
        .and_then(|step| u64::try_from(step.as_nanos()).ok())
        .unwrap_or(STEP_NS)
}

/// The samples of a block, and the file that they come from. Recordings lie in `folder`.
///
/// # Errors
/// A recording that cannot be read, or is too short.
pub(crate) fn values(
    block: &Block,
    folder: &Path,
) -> Result<(Vec<f64>, Option<PathBuf>), CliError> {
    let wanted = block.count.and_then(|count| usize::try_from(count).ok());
    let (mut values, path) = match &block.waveform {
        Waveform::Samples(samples) => (samples.clone(), None),
        Waveform::Sine(sine) => {
            let values = (0..block.count.unwrap_or(0)).map(|index| {
                let phase = f64::from(index) * sine.frequency_hz / block.rate_hz;
                sine.offset + sine.amplitude * (std::f64::consts::TAU * phase).sin()
            });
            (values.collect(), None)
        }
        Waveform::File { name, first } => {
            let path = folder.join(name);
            (recording(&path, *first, wanted)?, Some(path))
        }
    };
    values.truncate(wanted.unwrap_or(usize::MAX));
    Ok((values, path))
}

fn samples(block: &Block, metadata: &Metadata, folder: &Path) -> Result<Vec<u8>, CliError> {
    // The cases were checked: a block is given to modules that take one.
    let Some(waveform) = &metadata.waveform else {
        return Ok(Vec::new());
    };
    let (values, path) = self::values(block, folder)?;
    let count = u32::try_from(values.len()).unwrap_or(u32::MAX);
    if !(waveform.samples_min..=waveform.samples_max).contains(&count) {
        return Err(AnalyzerFailure::Recording {
            path: path.unwrap_or_else(|| PathBuf::from("a block")),
            what: format!(
                "{count} samples; the module takes {} to {}. Give `count`",
                waveform.samples_min, waveform.samples_max
            ),
        }
        .into());
    }
    Ok(encode(&values, waveform.format))
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "a recording in the module's own format"
)]
pub(crate) fn encode(values: &[f64], format: SampleFormat) -> Vec<u8> {
    match format {
        SampleFormat::F32 => values
            .iter()
            .flat_map(|value| (*value as f32).to_le_bytes())
            .collect(),
        SampleFormat::I16 => values
            .iter()
            .flat_map(|value| (value.round() as i16).to_le_bytes())
            .collect(),
    }
}

fn recording(path: &Path, first: u32, wanted: Option<usize>) -> Result<Vec<f64>, CliError> {
    let bytes = build::read_at_most(path, RECORDING_BYTES_MAX)?;
    let first = usize::try_from(first).unwrap_or(usize::MAX);
    let refuse = |what: String| AnalyzerFailure::Recording {
        path: path.to_owned(),
        what,
    };
    let (samples, rest) = bytes.as_chunks::<4>();
    if !rest.is_empty() {
        return Err(refuse(format!(
            "{} bytes are no whole number of f32 samples",
            bytes.len()
        ))
        .into());
    }
    let end = wanted.map_or(samples.len(), |wanted| first.saturating_add(wanted));
    let chosen = samples.get(first..end).ok_or_else(|| {
        refuse(format!(
            "it has {} samples; {first} to {end} are asked for",
            samples.len()
        ))
    })?;
    Ok(chosen
        .iter()
        .map(|sample| f64::from(f32::from_le_bytes(*sample)))
        .collect())
}

//! Waveforms of a simulated plant: samples from a function, a list or a recording, played in blocks, either as MQTT
//! messages ([`WavePublisher`]) or in a window of Modbus registers with a sequence register ([`WindowStation`]).
//!
//! Which thread: each has its own. May it block: no, but for [`recording`], which reads a file. Hazards made here: H-10, H-17,
//! H-18, H-19, H-21, and windows that change while they are read.

mod publisher;
mod window;

pub use publisher::{PayloadForm, SequenceForm, WaveFault, WavePublisher, WaveTopic};
pub use window::{WindowFault, WindowStation};

use std::path::PathBuf;

/// Where samples come from: sample `n` of a signal that never ends.
pub struct Signal(Box<dyn FnMut(u64) -> f32 + Send>);

impl std::fmt::Debug for Signal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Signal(..)")
    }
}

impl Signal {
    /// Computed, sample by sample.
    pub fn computed(signal: impl FnMut(u64) -> f32 + Send + 'static) -> Self {
        Self(Box::new(signal))
    }

    /// `samples`, again and again. Silence when there are none.
    #[must_use]
    pub fn looped(samples: Vec<f32>) -> Self {
        Self::computed(move |n| {
            let length = u64::try_from(samples.len()).unwrap_or(u64::MAX).max(1);
            let index = usize::try_from(n % length).unwrap_or(0);
            samples.get(index).copied().unwrap_or(0.0)
        })
    }

    /// The samples of block `block` of `count` samples.
    fn block(&mut self, block: u64, count: usize) -> Vec<f32> {
        let count = u64::try_from(count).unwrap_or(0);
        let first = block.saturating_mul(count);
        (first..first.saturating_add(count))
            .map(&mut self.0)
            .collect()
    }
}

/// How a block's samples are stored.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum SampleForm {
    /// IEEE 754 binary32.
    F32,
    /// Two's complement of 16 bits: the sample divided by this, rounded, held within the range.
    I16(f32),
}

impl SampleForm {
    /// The sample as an integer of 16 bits.
    fn whole(scale: f32, sample: f32) -> i16 {
        (sample / scale)
            .round()
            .clamp(f32::from(i16::MIN), f32::from(i16::MAX)) as i16
    }
}

/// A recording of the folder that `TRIPLINE_DATA` names (by default `../shared/data` from the project's root), for example
/// `cwru/105_IR007_0hp_DE_12k.f32`: raw little-endian `f32`.
///
/// # Errors
/// A sentence that says which file was looked for, and what to set.
pub fn recording(file: &str) -> Result<Vec<f32>, String> {
    let folder = std::env::var_os("TRIPLINE_DATA").map_or_else(
        || PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/data")),
        PathBuf::from,
    );
    let path = folder.join(file);
    let bytes = std::fs::read(&path).map_err(|error| {
        format!(
            "no recording {}: {error}; set TRIPLINE_DATA to the folder of recordings",
            path.display()
        )
    })?;
    let (samples, rest) = bytes.as_chunks::<4>();
    if rest.is_empty() {
        Ok(samples.iter().map(|s| f32::from_le_bytes(*s)).collect())
    } else {
        Err(format!(
            "{}: {} bytes are no whole number of f32",
            path.display(),
            bytes.len()
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_played_again_and_again_in_blocks() {
        let mut signal = Signal::looped(vec![1.0, 2.0, 3.0]);
        assert_eq!(signal.block(0, 2), [1.0, 2.0]);
        assert_eq!(signal.block(1, 2), [3.0, 1.0]);
        assert_eq!(Signal::looped(Vec::new()).block(5, 2), [0.0, 0.0]);
    }

    #[test]
    fn a_recording_that_is_not_there_says_what_to_do() {
        let error = recording("none/such.f32").unwrap_err();
        assert!(
            error.contains("none/such.f32") && error.contains("TRIPLINE_DATA"),
            "{error}"
        );
    }
}

//! What an analyzer sees of a call.

use crate::instance::{Header, Slot};

/// Health of an input or output, worst last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quality {
    /// Trustworthy.
    Good,
    /// Usable, with doubt.
    Uncertain,
    /// Not usable.
    Bad,
    /// Too old.
    Stale,
}

impl Quality {
    pub(crate) const fn code(self) -> u32 {
        match self {
            Self::Good => 0,
            Self::Uncertain => 1,
            Self::Bad => 2,
            Self::Stale => 3,
        }
    }

    /// Whether a value of this quality may be used.
    pub const fn usable(self) -> bool {
        matches!(self, Self::Good | Self::Uncertain)
    }

    const fn of(code: u32) -> Self {
        match code {
            0 => Self::Good,
            1 => Self::Uncertain,
            3 => Self::Stale,
            _ => Self::Bad,
        }
    }
}

mod sealed {
    pub trait Sealed {}
    impl Sealed for f32 {}
    impl Sealed for i16 {}
}

/// `f32` or `i16`.
pub trait Sample: Copy + sealed::Sealed + 'static {
    /// Zero: what lies in the area before the first block.
    const ZERO: Self;
    /// As `f64`, exactly.
    fn to_f64(self) -> f64;
}

impl Sample for f32 {
    const ZERO: Self = 0.0;
    fn to_f64(self) -> f64 {
        f64::from(self)
    }
}

impl Sample for i16 {
    const ZERO: Self = 0;
    fn to_f64(self) -> f64 {
        f64::from(self)
    }
}

/// A scalar input.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Input {
    /// In the unit of the metadata; 0 when not usable.
    pub value: f64,
    /// Its quality.
    pub quality: Quality,
    /// Whether it changed since the last call.
    pub changed: bool,
}

impl Input {
    /// The value when it may be used.
    pub fn usable(self) -> Option<f64> {
        self.quality.usable().then_some(self.value)
    }
}

/// A waveform block.
#[derive(Clone, Copy, Debug)]
pub struct Block<'a, S> {
    /// The samples, oldest first; never empty, never more than the analyzer's `SAMPLES`.
    pub samples: &'a [S],
    /// Samples a second.
    pub rate_hz: f64,
    /// value = raw x scale + offset; 1 for `f32`.
    pub scale: f64,
    /// See `scale`; 0 for `f32`.
    pub offset: f64,
    /// Counted up by 1 a block.
    pub sequence: u64,
    /// Samples are missing between the last block and this one.
    pub gap: bool,
}

impl<S: Sample> Block<'_, S> {
    /// The samples in their unit.
    pub fn values(&self) -> impl ExactSizeIterator<Item = f64> + '_ {
        self.samples
            .iter()
            .map(|raw| raw.to_f64() * self.scale + self.offset)
    }
}

/// What one call brings.
#[derive(Clone, Copy, Debug)]
pub struct Frame<'a, S> {
    /// The newest block, when this call brings one.
    pub block: Option<Block<'a, S>>,
    /// Arrival of what caused the call: nanoseconds on the host's monotonic clock.
    pub at_ns: u64,
    /// First frame of this instance.
    pub restarted: bool,
    /// The frame is a stimulus, and this instance does not decide.
    pub canary: bool,
    inputs: &'a [Slot],
}

impl<'a, S: Sample> Frame<'a, S> {
    pub(crate) fn new(header: &Header, inputs: &'a [Slot], samples: &'a [S]) -> Self {
        let count = usize::try_from(header.samples).unwrap_or(usize::MAX);
        Self {
            block: samples
                .get(..count)
                .filter(|samples| !samples.is_empty())
                .map(|samples| Block {
                    samples,
                    rate_hz: header.rate_hz,
                    scale: header.scale,
                    offset: header.offset,
                    sequence: header.sequence,
                    gap: header.flags & Header::GAP != 0,
                }),
            at_ns: header.at_ns,
            restarted: header.flags & Header::RESTARTED != 0,
            canary: header.flags & Header::CANARY != 0,
            inputs,
        }
    }

    /// The input with this number, from 0 in the order of the metadata; one that does not exist is bad.
    pub fn input(&self, number: usize) -> Input {
        self.inputs.get(number).map_or(
            Input {
                value: 0.0,
                quality: Quality::Bad,
                changed: false,
            },
            |slot| Input {
                value: slot.value,
                quality: Quality::of(slot.quality),
                changed: slot.changed != 0,
            },
        )
    }
}

/// Where derived values are written. Each is bad until it is; a number that does not exist is ignored.
#[derive(Debug)]
pub struct Outputs<'a> {
    slots: &'a mut [Slot],
}

impl<'a> Outputs<'a> {
    pub(crate) fn new(slots: &'a mut [Slot]) -> Self {
        Self { slots }
    }

    /// A trustworthy value. It must be finite and within the range of the metadata, or the analyzer has failed.
    pub fn good(&mut self, number: usize, value: f64) {
        self.write(number, value, Quality::Good);
    }

    /// A value with doubt; finite and within the range, too.
    pub fn uncertain(&mut self, number: usize, value: f64) {
        self.write(number, value, Quality::Uncertain);
    }

    /// No value.
    pub fn bad(&mut self, number: usize) {
        self.write(number, 0.0, Quality::Bad);
    }

    fn write(&mut self, number: usize, value: f64, quality: Quality) {
        if let Some(slot) = self.slots.get_mut(number) {
            *slot = Slot {
                value,
                quality: quality.code(),
                changed: 0,
            };
        }
    }
}

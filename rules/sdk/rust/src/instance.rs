//! The exchange area as a type, and an analyzer with its area.

use crate::{Analyzer, Frame, Outputs, Sample};

/// The header, as the host writes it.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Header {
    /// Samples in the block; 0 for none.
    pub samples: u32,
    /// [`Header::RESTARTED`], [`Header::GAP`], [`Header::CANARY`].
    pub flags: u32,
    /// Arrival, monotonic nanoseconds.
    pub at_ns: u64,
    /// Sequence number of the block.
    pub sequence: u64,
    /// Samples a second.
    pub rate_hz: f64,
    /// value = raw x scale + offset.
    pub scale: f64,
    /// See `scale`.
    pub offset: f64,
    /// Zero.
    pub reserved: [u64; 2],
}

impl Header {
    /// First frame of this instance.
    pub const RESTARTED: u32 = 1;
    /// Samples are missing before this block.
    pub const GAP: u32 = 2;
    /// A stimulus, given to an instance that does not decide.
    pub const CANARY: u32 = 4;

    /// Zeros: what lies there before the host writes.
    pub const EMPTY: Self = Self {
        samples: 0,
        flags: 0,
        at_ns: 0,
        sequence: 0,
        rate_hz: 0.0,
        scale: 0.0,
        offset: 0.0,
        reserved: [0; 2],
    };
}

/// An input or output, as it lies in the area.
#[derive(Clone, Copy, Debug, PartialEq)]
#[repr(C, align(16))]
pub struct Slot {
    /// Value.
    pub value: f64,
    /// 0 good, 1 uncertain, 2 bad, 3 stale.
    pub quality: u32,
    /// Of an input: 1 when it changed. Of an output: 0.
    pub changed: u32,
}

impl Slot {
    /// Zeros: what lies there before the host writes.
    pub const EMPTY: Self = Self {
        value: 0.0,
        quality: 0,
        changed: 0,
    };

    /// What the host writes into outputs before each call.
    pub const BAD: Self = Self {
        value: 0.0,
        quality: 2,
        changed: 0,
    };
}

/// The exchange area, laid out as `docs/analyzer-abi.md` says: alignment does what "rounded up to 16" asks for.
#[derive(Debug)]
#[repr(C, align(16))]
pub struct Area<
    S,
    const PARAMS: usize,
    const INPUTS: usize,
    const OUTPUTS: usize,
    const SAMPLES: usize,
> {
    /// Header.
    pub header: Header,
    /// Parameters.
    pub params: [f64; PARAMS],
    /// Inputs.
    pub inputs: [Slot; INPUTS],
    /// Outputs.
    pub outputs: [Slot; OUTPUTS],
    /// Samples.
    pub samples: [S; SAMPLES],
}

/// An analyzer with its exchange area: what [`crate::export!`] makes a static of, and what a native test plays host to.
#[derive(Debug)]
#[repr(C)]
pub struct Instance<
    A: Analyzer,
    const PARAMS: usize,
    const INPUTS: usize,
    const OUTPUTS: usize,
    const SAMPLES: usize,
> {
    /// What the host writes and reads.
    pub area: Area<A::Sample, PARAMS, INPUTS, OUTPUTS, SAMPLES>,
    /// The analyzer.
    pub analyzer: A,
}

impl<A: Analyzer, const P: usize, const I: usize, const O: usize, const N: usize> Default
    for Instance<A, P, I, O, N>
{
    fn default() -> Self {
        Self::new()
    }
}

impl<A: Analyzer, const P: usize, const I: usize, const O: usize, const N: usize>
    Instance<A, P, I, O, N>
{
    /// A fresh one. The area is all zeros: where [`Analyzer::NEW`] is too, a static of it takes no byte of the module.
    pub const fn new() -> Self {
        const {
            assert!(
                P == A::PARAMS && I == A::INPUTS && O == A::OUTPUTS && N == A::SAMPLES,
                "the counts of the instance are those of its analyzer"
            );
        }
        Self {
            area: Area {
                header: Header::EMPTY,
                params: [0.0; P],
                inputs: [Slot::EMPTY; I],
                outputs: [Slot::EMPTY; O],
                samples: [A::Sample::ZERO; N],
            },
            analyzer: A::NEW,
        }
    }

    /// `tl_init`.
    pub fn init(&mut self) -> i32 {
        match self.analyzer.init(&self.area.params) {
            Ok(()) => 0,
            Err(refused) => refused.code(),
        }
    }

    /// `tl_process`.
    pub fn process(&mut self) -> i64 {
        let frame = Frame::new(&self.area.header, &self.area.inputs, &self.area.samples);
        let mut outputs = Outputs::new(&mut self.area.outputs);
        self.analyzer.process(&frame, &mut outputs).pack()
    }

    /// `tl_state_hash`.
    pub fn state_hash(&self) -> i64 {
        self.analyzer.state_hash().cast_signed()
    }
}

//! Analyzers: foreign modules that turn inputs and blocks into derived values and a verdict, as the lane sees them.
//!
//! Which thread: the lane's for class safety; [`Judge`] also on the thread of class background. May it block: no. Worst
//! case: one analyzer's deadline a frame, beside a few dozen samples. Hazards: H-35 to H-39 (whatever goes wrong in a call is
//! the declared verdict in the same tick), H-40 (a canary that did not speak in time), H-41 (a clean
//! instance that answers otherwise, told as an alarm), I4 (what is derived from nothing new
//! grows stale by itself).

mod judge;
mod replay;
mod state;

use appliance_sandbox::{AnalyzerFault, InputValue, OutputFault, OutputValue};
use drivers_frame::{Block, MonoNs};
use rules_sdk_abi::Verdict;

pub use judge::Judge;
pub use replay::{ReplayNews, ReplayState};
pub(crate) use state::{Analyzer, Due, analyzers};
pub use state::{AnalyzerView, CanaryState};

/// Why a frame of an analyzer counts for nothing. Its verdict is the declared one then, never a log line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FrameFault {
    /// The module gave no answer, or one that is none (H-35 to H-39).
    Module(AnalyzerFault),
    /// Its verdict changed too often (H-39).
    Flapping,
    /// A shadow instance did not speak up at a known-bad frame in time (H-40).
    Canary,
}

impl FrameFault {
    /// Whether another one needs no words of its own.
    pub fn is_like(self, other: Self) -> bool {
        self.as_str() == other.as_str()
    }

    /// The words used on the control socket and in alerts.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Flapping => "its verdict changes too often",
            Self::Canary => "the canary did not make it speak",
            Self::Module(fault) => match fault {
                AnalyzerFault::Trap(_) => "trapped",
                AnalyzerFault::FuelExceeded { .. } => "out of fuel",
                AnalyzerFault::Deadline => "deadline exceeded",
                AnalyzerFault::NonsenseVerdict(_) => "returned no verdict",
                AnalyzerFault::NonsenseOutput { what, .. } => match what {
                    OutputFault::NotFinite => "an output is not a finite number",
                    OutputFault::OutOfRange => "an output is out of its range",
                    OutputFault::Quality => "an output has a quality that it may not have",
                    OutputFault::Reserved => "an output has bits that must be 0",
                },
                AnalyzerFault::SampleNotFinite => "a sample of its block is not finite",
                AnalyzerFault::Block { .. } => "a block does not fit it",
                AnalyzerFault::Counts => "it is not wired as its module",
                AnalyzerFault::NoSpare => "no spare instance is left",
            },
        }
    }
}

/// One call of an analyzer.
#[derive(Clone, Copy, Debug)]
pub struct Call<'a> {
    /// Arrival of what caused it.
    pub at: MonoNs,
    /// Samples are missing between the block of its last call and this one.
    pub gap: bool,
    /// Scalar inputs, in the order of the metadata.
    pub inputs: &'a [InputValue],
    /// The block that this call brings.
    pub block: Option<&'a Block>,
}

/// What runs a lane's analyzers: sandboxed instances in the product, misbehaving native ones in tests.
///
/// Analyzers are numbered in the order of [`LanePlan::analyzers`](rules_bundle::LanePlan::analyzers). Nothing here may
/// block or, while nothing fails, allocate.
pub trait AnalyzerEngine {
    /// Calls an analyzer of class safety. Outputs are finite and within their ranges, or bad.
    ///
    /// # Errors
    /// [`AnalyzerFault`]. When the instance is lost by it, a spare is in its place already, or none was left.
    fn process(
        &mut self,
        analyzer: usize,
        call: &Call<'_>,
        outputs: &mut [OutputValue],
    ) -> Result<Verdict, AnalyzerFault>;

    /// Puts a spare in the place of an instance that the lane does not trust any more.
    fn replace(&mut self, analyzer: usize);

    /// Instances that wait; `None` when there is not even one to call.
    fn spares(&self, analyzer: usize) -> Option<u8>;

    /// Notes a frame for an analyzer of class background. What it takes of the call it copies, but not the block.
    fn stage(&mut self, analyzer: usize, call: &Call<'_>);

    /// Hands over what was staged, and the block that all of it is about. Never waits.
    ///
    /// # Errors
    /// The block, when there is no room: the frames are dropped.
    fn submit(&mut self, block: Option<Block>) -> Result<(), Option<Block>>;
}

/// Of a lane without analyzers.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoAnalyzers;

impl AnalyzerEngine for NoAnalyzers {
    fn process(
        &mut self,
        _analyzer: usize,
        _call: &Call<'_>,
        _outputs: &mut [OutputValue],
    ) -> Result<Verdict, AnalyzerFault> {
        // A lane that has analyzers and nothing that runs them must not be silent.
        Err(AnalyzerFault::NoSpare)
    }

    fn replace(&mut self, _analyzer: usize) {}

    fn spares(&self, _analyzer: usize) -> Option<u8> {
        None
    }

    fn stage(&mut self, _analyzer: usize, _call: &Call<'_>) {}

    fn submit(&mut self, block: Option<Block>) -> Result<(), Option<Block>> {
        Err(block)
    }
}

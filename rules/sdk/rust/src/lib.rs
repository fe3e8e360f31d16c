//! Write a Tripline analyzer in Rust: implement [`Analyzer`], name the type in [`export!`], build a `cdylib` for
//! `wasm32-unknown-unknown`. How to start: `docs/analyzer-sdk.md`. What happens underneath: `docs/analyzer-abi.md`.
//!
//! ```
//! use tripline_analyzer::{Analyzer, Frame, Outputs, Refused, StateHash, Verdict};
//!
//! /// The largest sample against a limit.
//! struct Peak {
//!     limit: f64,
//! }
//!
//! impl Analyzer for Peak {
//!     type Sample = f32;
//!     const PARAMS: usize = 1;
//!     const OUTPUTS: usize = 1;
//!     const SAMPLES: usize = 1024;
//!     const NEW: Self = Self { limit: 0.0 };
//!
//!     fn init(&mut self, params: &[f64]) -> Result<(), Refused> {
//!         let &[limit] = params else { return Err(Refused::COMBINATION) };
//!         self.limit = limit;
//!         Ok(())
//!     }
//!
//!     fn process(&mut self, frame: &Frame<'_, f32>, out: &mut Outputs<'_>) -> Verdict {
//!         let Some(block) = frame.block else { return Verdict::NORMAL };
//!         let peak = block.samples.iter().fold(0.0_f64, |peak, x| peak.max(f64::from(x.abs())));
//!         out.good(0, peak);
//!         if peak > self.limit { Verdict::danger(1) } else { Verdict::NORMAL }
//!     }
//!
//!     fn state_hash(&self) -> u64 {
//!         StateHash::new().f64(self.limit).finish()
//!     }
//! }
//!
//! tripline_analyzer::export!(Peak);
//! ```
//!
//! No allocator, no start function, no imports: all memory is one static that [`export!`] makes. The same code runs
//! natively under test, in an [`Instance`] that the test owns.
#![no_std]

#[cfg(target_endian = "big")]
compile_error!(
    "the exchange area is little-endian; WebAssembly is, and so must be the host of the tests"
);

mod export;
mod frame;
mod hash;
mod instance;
mod verdict;

pub use export::Shared;
pub use frame::{Block, Frame, Input, Outputs, Quality, Sample};
pub use hash::StateHash;
pub use instance::{Area, Header, Instance, Slot};
pub use verdict::{Refused, Verdict};

/// An analyzer: parameters once, then frames. Which exports call what is in `docs/analyzer-abi.md`.
///
/// The four counts and the sample type say the same as the module's metadata (`analyzer.yaml`); the host lays the
/// exchange area out by the metadata, so that they must agree.
pub trait Analyzer: Sized {
    /// How samples come: `f32`, scaled by the host, or `i16` as the device sent them. Any of both without a waveform.
    type Sample: Sample;
    /// Parameters.
    const PARAMS: usize = 0;
    /// Scalar inputs.
    const INPUTS: usize = 0;
    /// Derived values.
    const OUTPUTS: usize;
    /// Most samples of a block: the metadata's `samples_max`, 0 without a waveform.
    const SAMPLES: usize = 0;
    /// What lies in memory before [`Analyzer::init`]. In static memory, so that large state costs neither stack nor copy;
    /// all zeros, it takes no byte of the module either.
    const NEW: Self;

    /// Takes the parameters, in the order of the metadata and within its ranges.
    ///
    /// # Errors
    /// [`Refused`]: which parameter it will not work with. The instance is dropped then.
    fn init(&mut self, params: &[f64]) -> Result<(), Refused>;

    /// Takes one frame, writes outputs, says a verdict. An output that is not written is bad.
    fn process(&mut self, frame: &Frame<'_, Self::Sample>, out: &mut Outputs<'_>) -> Verdict;

    /// A hash of all that the next verdict depends on, made with [`StateHash`].
    fn state_hash(&self) -> u64;
}

/// In a guest a panic is a trap: the host drops the instance and its declared verdict holds.
#[cfg(all(target_arch = "wasm32", target_os = "unknown"))]
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    core::arch::wasm32::unreachable()
}

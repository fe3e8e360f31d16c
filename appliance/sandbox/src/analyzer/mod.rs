//! Analyzers: foreign modules of the ABI `core/1` (`docs/analyzer-abi.md`), each instance in a store of its own.
//!
//! ```text
//!  AnalyzerModule::load ─▶ instantiate ─▶ AnalyzerInstance ─▶ Analyzer (one in the seat, spares behind it) ─▶ process
//!      native code          tl_area, params, tl_init                        ▲          │ lost
//!                                 ▲                                         │ ready    ▼ retired
//!                                 └──────────── Refiller, off the lane ─────┴──────────┘
//! ```
//!
//! Which thread: [`AnalyzerModule`] and [`Refiller`] off the lane, [`Analyzer::process`] on it. May a call block: no.
//! Worst case of a call: its fuel at the calibrated price, and apart from that its deadline plus three ticks plus one
//! bulk operation ([`Ticker`](crate::Ticker)). A call that succeeds allocates nothing. Hazards: H-35 to H-39, H-41.

mod fault;
mod flap;
mod instance;
mod kept;
mod module;
mod replay;
mod spare;

pub use fault::{AnalyzerFault, OutputFault, TrapKind};
pub use flap::FlapLimiter;
pub use instance::{AnalyzerInstance, Answer, Frame, InputValue, OutputValue, Samples};
pub use module::{AnalyzerError, AnalyzerModule, AnalyzerSpec, WaveformSpec};
pub use replay::{ReplaySpec, ReplayStep, Replayer};
pub use spare::{Analyzer, Refiller};

//! The only crate that names wasmtime: engine configuration, ahead-of-time loading, fuel-bounded calls.
//!
//! Which thread: [`RuleModule`] belongs to one lane thread; [`Engine`] is made once a process. May a call block: no.
//! Worst case of a call: the fuel bound of its rule, straight-line code without loops or calls. After
//! [`RuleModule::load`] a successful call allocates nothing. A trap allocates twice, inside wasmtime and before anybody can
//! prevent it; both come from [`rt_config::reserve`] and are given back before the call returns. Hazards: H-35 to H-38 (a rule module cannot loop, grow or recurse, and
//! what it does all the same is a fault), H-43 (trimmed configuration), H-72 (artefacts of another version refused).
#![cfg_attr(
    not(test),
    deny(
        clippy::indexing_slicing,
        clippy::as_conversions,
        clippy::arithmetic_side_effects
    )
)]

mod analyzer;
#[cfg(feature = "compile")]
mod compile;
mod config;
mod module;
mod price;

pub use analyzer::{
    Analyzer, AnalyzerError, AnalyzerFault, AnalyzerInstance, AnalyzerModule, AnalyzerSpec, Answer,
    FlapLimiter, Frame, InputValue, OutputFault, OutputValue, Refiller, ReplaySpec, ReplayStep,
    Replayer, Samples, TrapKind, WaveformSpec,
};
#[cfg(feature = "compile")]
pub use compile::{
    COMPILE_COMMAND, CompileError, CompileLimits, LimitedError, compile, compile_limited, serve,
};
#[cfg(feature = "compile")]
#[doc(hidden)]
pub use config::config_for_benchmark;
pub use config::{Engine, EngineError, Ticker};
pub use module::{CallFault, LoadError, NativeCode, RuleModule, SLOT_BYTES};

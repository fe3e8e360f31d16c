//! Ahead-of-time compilation. For the pack compiler; the guard is built without it.
//!
//! Our own rules are compiled by [`compile`], in the process that asks. A foreign module is compiled by
//! [`compile_limited`] in a process of its own, which confines itself before it reads a byte of it (H-44):
//!
//! ```text
//!  compile_limited ── wasm ──▶ stdin │ serve: limits of memory, time, files; no network, files, processes │
//!        ▲                           │ Cranelift                                                          │
//!        └──── artefact ─────────────┘ stdout; what went wrong on stderr, and an exit code
//! ```
//!
//! What this cannot do: tell a wrong artefact from a right one. A module that took over the compiler could write machine
//! code of its own. That is why modules are signed, tried against a second engine, and the gate bounds what a compiler sees.

mod child;
mod parent;

pub use child::{COMPILE_COMMAND, serve};
pub use parent::{CompileLimits, LimitedError, compile_limited};

use crate::Engine;

/// Why a module could not be compiled.
#[derive(Debug, thiserror::Error)]
#[error("the module could not be compiled: {0:#}")]
pub struct CompileError(#[source] wasmtime::Error);

/// Compiles a WebAssembly module for this host. The result loads only with [`crate::RuleModule::load`] of the same
/// version on a host with the same CPU features.
///
/// # Errors
/// [`CompileError`] when the module is not valid WebAssembly or uses a feature that is switched off.
pub fn compile(engine: &Engine, wasm: &[u8]) -> Result<Vec<u8>, CompileError> {
    engine.0.precompile_module(wasm).map_err(CompileError)
}

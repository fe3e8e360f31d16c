//! Ahead-of-time compilation. For the pack compiler; the guard is built without it.

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

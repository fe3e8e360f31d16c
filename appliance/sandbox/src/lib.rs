//! The only crate that names wasmtime: engine configuration, ahead-of-time loading, fuel-bounded calls.

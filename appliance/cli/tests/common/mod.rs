//! The module that the tests of the command line write, build, sign and install.
#![allow(
    clippy::unwrap_used,
    reason = "a helper of a test fails as its test does"
)]

use rules_sdk_abi::metadata::Metadata;

/// Adds its input and its parameter; danger when the sum is above 10. Counts calls in its state.
pub(crate) const ADDER: &str = r#"(module
    (memory (export "memory") 1 1)
    (global $calls (mut i64) (i64.const 0))
    (func (export "tl_area") (result i32) (i32.const 32))
    (func (export "tl_init") (result i32) (i32.const 0))
    (func (export "tl_process") (result i64)
        (global.set $calls (i64.add (global.get $calls) (i64.const 1)))
        (f64.store (i32.const 128) (f64.add (f64.load (i32.const 112)) (f64.load (i32.const 96))))
        (i32.store (i32.const 136) (i32.load (i32.const 120)))
        (select (i64.const 0x102) (i64.const 0) (f64.gt (f64.load (i32.const 128)) (f64.const 10))))
    (func (export "tl_state_hash") (result i64) (global.get $calls)))"#;

/// What it says of itself.
pub(crate) const METADATA: &str = r#"{"abi":"core/1","name":"adder","version":3,"summary":"Adds",
    "inputs":[{"name":"a","unit":"bar"}],"outputs":[{"name":"sum","unit":"bar","min":-9,"max":999}],
    "params":[{"name":"b","unit":"bar","min":0,"max":9,"default":1}],"causes":["sum-high"],"worst_case":{"fuel":1000}}"#;

/// A module from its text, with metadata.
pub(crate) fn module(text: &str, metadata: &str) -> Vec<u8> {
    let wasm = wat::parse_str(text).unwrap();
    let metadata = Metadata::parse(metadata.as_bytes()).unwrap();
    rules_sdk_gate::attach_metadata(&wasm, &metadata).unwrap()
}

//! Files beside the packs of these tests: modules made from text, and blocks of samples.

use rules_bundle::SignaturePlan;
use rules_pack::Beside;
use rules_sdk_abi::metadata::Metadata;

/// A module that answers normal, whatever it is given.
const QUIET: &str = r#"(module
  (memory (export "memory") 2 2)
  (func (export "tl_area") (result i32) i32.const 1024)
  (func (export "tl_init") (result i32) i32.const 0)
  (func (export "tl_process") (result i64) i64.const 0)
  (func (export "tl_state_hash") (result i64) i64.const 7))"#;

const BEARING: &str = r#"{
  "abi": "core/1", "name": "bearing-watch", "version": 3, "summary": "a bearing",
  "inputs": [{ "name": "speed", "unit": "Hz" }],
  "waveform": { "name": "vibration", "unit": "m/s²", "format": "f32", "samples_min": 256, "samples_max": 4096 },
  "outputs": [{ "name": "rms", "unit": "g", "min": 0, "max": 1000 }, { "name": "peak-hold", "unit": "m/s²", "min": 0, "max": 10000 }],
  "params": [{ "name": "limit", "unit": "g", "min": 0, "max": 100, "default": 2.5 },
             { "name": "balls", "unit": "1", "min": 3, "max": 50 }],
  "causes": ["rms-high"], "worst_case": { "fuel": 200000 } }"#;

const TREND: &str = r#"{
  "abi": "core/1", "name": "trend", "version": 1,
  "inputs": [{ "name": "value", "unit": "bar" }],
  "outputs": [{ "name": "slope", "unit": "bar/s", "min": -100, "max": 100 }],
  "worst_case": { "fuel": 500 } }"#;

const RAW: &str = r#"{
  "abi": "core/1", "name": "raw-watch", "version": 1,
  "waveform": { "name": "vibration", "unit": "g", "format": "i16", "samples_min": 256, "samples_max": 1024 },
  "outputs": [{ "name": "rms", "unit": "g", "min": 0, "max": 1000 }],
  "worst_case": { "fuel": 500 } }"#;

/// The files, by name.
pub(crate) struct Shelf;

impl Beside for Shelf {
    fn read(&self, path: &str, most: usize) -> Result<Vec<u8>, String> {
        let samples = |count: usize, value: f32| -> Vec<u8> {
            (0..count).flat_map(|_| value.to_le_bytes()).collect()
        };
        Ok(match path {
            "bearing.wasm" | "unsigned.wasm" | "foreign.wasm" => module(QUIET, BEARING),
            "patient.wasm" => module(
                QUIET,
                &BEARING
                    .replace(
                        r#""params": ["#,
                        r#""params": [{ "name": "record", "unit": "1", "min": 1, "max": 4096 }, "#,
                    )
                    .replace(
                        r#""fuel": 200000"#,
                        r#""fuel": 200000, "verdict_after": [{ "calls": ["limit"] }, { "samples": ["record", "balls"] }]"#,
                    ),
            ),
            "slow.wasm" => module(
                QUIET,
                &TREND
                    .replace("bar/s", "bar")
                    .replace(
                        r#""worst_case""#,
                        r#""params": [{ "name": "of", "unit": "1", "min": 1, "max": 64 }], "worst_case""#,
                    )
                    .replace(
                        r#""fuel": 500"#,
                        r#""fuel": 500, "verdict_after": [{ "calls": ["of"] }]"#,
                    ),
            ),
            "recalls.wasm" => module(
                QUIET,
                &BEARING.replace(
                    r#""fuel": 200000"#,
                    r#""fuel": 200000, "remembers": { "calls": 1, "params": ["balls"] }"#,
                ),
            ),
            "hoards.wasm" => module(
                QUIET,
                &BEARING.replace(
                    r#""fuel": 200000"#,
                    r#""fuel": 200000, "remembers": { "calls": 100, "params": ["balls"] }"#,
                ),
            ),
            "trend.wasm" => module(QUIET, TREND),
            "sum.wasm" => module(
                QUIET,
                &TREND.replace("bar/s", "bar").replace("slope", "slope-sum"),
            ),
            "raw.wasm" => module(QUIET, RAW),
            "furlong.wasm" => module(QUIET, &TREND.replace("bar/s", "furlong")),
            "imports.wasm" => module(
                &QUIET.replace(
                    "(module",
                    r#"(module (import "env" "now" (func (result i64)))"#,
                ),
                TREND,
            ),
            "text.wasm" => b"not a module".to_vec(),
            "fault.f32" => samples(1024, 9.5),
            "short.f32" => samples(10, 9.5),
            "nan.f32" => samples(1024, f32::NAN),
            "huge.f32" => vec![0; most + 1],
            _ => return Err("there is no such file".to_owned()),
        })
    }

    fn vouch(&self, path: &str, _: &Metadata, _: &[u8]) -> Result<Option<SignaturePlan>, String> {
        match path {
            "unsigned.wasm" => Ok(None),
            "foreign.wasm" => Err(
                "none of the trusted keys made its signature. Trust its author's key, or sign it yourself"
                    .to_owned(),
            ),
            _ => Ok(Some(SignaturePlan {
                signer: "works".to_owned(),
                expires: None,
            })),
        }
    }
}

fn module(text: &str, metadata: &str) -> Vec<u8> {
    let wasm = wat::parse_str(text).expect("the test's module");
    let metadata = Metadata::parse(metadata.as_bytes()).expect("the test's metadata");
    rules_sdk_gate::attach_metadata(&wasm, &metadata).expect("a module with metadata")
}

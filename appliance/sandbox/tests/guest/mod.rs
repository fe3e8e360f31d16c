//! Guests in the WebAssembly text format, small enough to be read.
#![allow(
    dead_code,
    clippy::unwrap_used,
    reason = "tests, each with its own needs"
)]

use appliance_sandbox::{AnalyzerModule, AnalyzerSpec, Engine, Frame, InputValue, WaveformSpec};
use drivers_frame::{DurNs, MonoNs, Quality};
use rules_sdk_abi::{Flags, SampleFormat};

/// Where the exchange area of every guest here begins. With one parameter, one input, one output and a waveform of `f32`:
/// parameter at 64, input at 80, output at 96, samples at 112.
pub(crate) const AREA: u32 = 1024;

/// A guest; each function is what stands between its parentheses.
pub(crate) struct Guest<'a> {
    pub(crate) memory: &'a str,
    pub(crate) area: &'a str,
    pub(crate) init: &'a str,
    pub(crate) process: String,
    pub(crate) hash: &'a str,
    pub(crate) more: &'a str,
}

impl Guest<'_> {
    /// One whose `tl_process` is this.
    pub(crate) fn new(process: &str) -> Self {
        Self {
            memory: "1 1",
            area: "(i32.const 1024)",
            init: "(i32.const 0)",
            process: process.into(),
            hash: "(i64.const 42)",
            more: "",
        }
    }

    pub(crate) fn wasm(&self) -> Vec<u8> {
        let Self {
            memory,
            area,
            init,
            process,
            hash,
            more,
        } = self;
        let text = format!(
            "(module (memory (export \"memory\") {memory})
              (func (export \"tl_area\") (result i32) {area})
              (func (export \"tl_init\") (result i32) {init})
              (func $process (export \"tl_process\") (result i64) {process})
              (func (export \"tl_state_hash\") (result i64) {hash})
              {more})"
        );
        wat::parse_str(&text).unwrap_or_else(|error| panic!("{error}\n{text}"))
    }

    pub(crate) fn load(&self, engine: &Engine, spec: AnalyzerSpec) -> AnalyzerModule {
        AnalyzerModule::from_wasm(engine, &self.wasm(), spec).unwrap()
    }
}

/// One parameter, one input, one output from -100 to 100, up to 16 samples.
pub(crate) fn spec() -> AnalyzerSpec {
    AnalyzerSpec {
        params: vec![2.5],
        inputs: 1,
        outputs: vec![(-100.0, 100.0)],
        waveform: Some(WaveformSpec {
            format: SampleFormat::F32,
            samples_min: 1,
            samples_max: 16,
        }),
        causes: 3,
        fuel: 100_000,
        deadline: DurNs::from_ms(5),
    }
}

pub(crate) const INPUT: InputValue = InputValue {
    value: 4.0,
    quality: Quality::Good,
    changed: true,
};

/// A frame without a block.
pub(crate) fn frame(inputs: &[InputValue]) -> Frame<'_> {
    Frame {
        at: MonoNs::from_ns(77),
        flags: Flags::default(),
        inputs,
        block: None,
    }
}

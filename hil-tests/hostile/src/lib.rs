//! Hostile WebAssembly against the way of an analyzer into the product: gate, compilation in a limited process, sandbox.
//!
//! ```text
//!  module ─▶ gate ─▶ compile_limited ─▶ load, instantiate ─▶ frames ─▶ verdict, outputs
//!              │            │                  │                │
//!              └────────────┴── refused ───────┴──── fault ─────┘      each of these is a good end
//! ```
//!
//! | module | holds |
//! |---|---|
//! | here | the way, and what must be true of everything that gets through ([`Wrong`]) |
//! | [`attacks`] | modules written by hand, each with the end it must have |
//! | [`smith`] | modules made by wasm-smith from a seed |
//!
//! A wrong accept is a module that runs though the ABI forbids what it is (judged here apart from the gate), or an answer
//! outside the ABI that reached the caller.

pub mod attacks;
pub mod smith;

use std::path::Path;

use appliance_sandbox::{
    AnalyzerError, AnalyzerFault, AnalyzerInstance, AnalyzerModule, AnalyzerSpec, CompileLimits,
    Engine, FlapLimiter, Frame, InputValue, LimitedError, NativeCode, OutputValue, Samples,
    WaveformSpec, compile_limited,
};
use drivers_frame::{DurNs, MonoNs, Quality, Scaling};
use rules_sdk_abi::{Flags, Level, SampleFormat};
use rules_sdk_gate::{Refusal, Rule};
use wasmparser::{ExternalKind, Operator, Parser, Payload};

/// How a module's way ended.
#[derive(Debug)]
pub enum End {
    /// The gate refused it.
    Gate(Refusal),
    /// The compiler refused it, or reached a limit.
    Compile(LimitedError),
    /// It was not taken when it was loaded or set up.
    Start(AnalyzerError),
    /// A frame ended in a fault; the first.
    Fault(AnalyzerFault),
    /// Its verdict changed too often.
    Flapping,
    /// Every frame had an answer within the ABI.
    Answered,
}

impl End {
    /// A word for tables.
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Gate(_) => "refused by the gate",
            Self::Compile(_) => "refused by the compiler",
            Self::Start(_) => "refused at start",
            Self::Fault(_) => "fault",
            Self::Flapping => "flapping",
            Self::Answered => "answered within the ABI",
        }
    }

    /// The gate's rule, when it was that.
    pub const fn rule(&self) -> Option<Rule> {
        match self {
            Self::Gate(refusal) => Some(refusal.rule),
            _ => None,
        }
    }
}

/// What must never happen.
#[derive(Debug)]
pub struct Wrong(pub String);

/// The way, with everything that is made once.
pub struct Way<'a> {
    /// The engine, as in the guard.
    pub engine: Engine,
    /// A program that compiles when it is called so.
    pub compiler: &'a Path,
    /// Frames that a module is given.
    pub frames: u64,
    /// Fuel of each.
    pub fuel: u64,
    /// Deadline of each.
    pub deadline: DurNs,
}

/// Changes of verdict within a second of frames (one a millisecond) that are taken.
const FLAPS: u8 = 8;

impl Way<'_> {
    /// Sends a module all the way.
    ///
    /// # Errors
    /// [`Wrong`]: a wrong accept.
    pub fn send(&self, wasm: &[u8]) -> Result<End, Wrong> {
        let module = match rules_sdk_gate::inspect(wasm) {
            Ok(module) => module,
            Err(refusal) => return Ok(End::Gate(refusal)),
        };
        forbidden(wasm)?;
        let native = match compile_limited(self.compiler, wasm, CompileLimits::default()) {
            Ok(native) => native,
            Err(error) => return Ok(End::Compile(error)),
        };
        let metadata = &module.metadata;
        let causes = u8::try_from(metadata.causes.len()).unwrap_or(u8::MAX);
        let spec = AnalyzerSpec {
            params: metadata
                .params
                .iter()
                .map(|param| param.default.unwrap_or(param.min))
                .collect(),
            inputs: u8::try_from(metadata.inputs.len()).unwrap_or(u8::MAX),
            outputs: metadata
                .outputs
                .iter()
                .map(|output| (output.min, output.max))
                .collect(),
            waveform: metadata.waveform.as_ref().map(|waveform| WaveformSpec {
                format: waveform.format,
                samples_min: waveform.samples_min,
                samples_max: waveform.samples_max,
            }),
            causes,
            fuel: self.fuel,
            deadline: self.deadline,
        };
        #[expect(unsafe_code, reason = "loading machine code")]
        // SAFETY: the bytes are what this crate's own compiler process answered above, and were not touched since.
        let code = unsafe { NativeCode::vouch(&native) };
        let loaded = match AnalyzerModule::load(&self.engine, &code, spec) {
            Ok(loaded) => loaded,
            Err(error) => return Ok(End::Start(error)),
        };
        match loaded.instantiate() {
            Ok(instance) => self.run(instance, loaded.spec()),
            Err(error) => Ok(End::Start(error)),
        }
    }

    /// Gives it frames and judges every answer.
    fn run(&self, mut instance: AnalyzerInstance, spec: &AnalyzerSpec) -> Result<End, Wrong> {
        let mut flaps = FlapLimiter::new(FLAPS, DurNs::from_ms(1_000));
        let samples: Vec<u8> = match spec.waveform.map(|waveform| waveform.format) {
            Some(SampleFormat::F32) => (0..16_u8)
                .flat_map(|n| f32::from(n).to_le_bytes())
                .collect(),
            _ => (0..32).collect(),
        };
        for number in 0..self.frames {
            let inputs: Vec<InputValue> = (0..spec.inputs)
                .map(|input| InputValue {
                    value: f64::from(input) + 0.5,
                    quality: Quality::Good,
                    changed: true,
                })
                .collect();
            let at = MonoNs::from_ns(number.saturating_mul(1_000_000));
            let frame = Frame {
                at,
                flags: Flags::default(),
                inputs: &inputs,
                block: spec.waveform.is_some().then_some(Samples::Ready {
                    bytes: &samples,
                    sequence: number,
                    rate_hz: 12_000.0,
                    scaling: Scaling::default(),
                }),
            };
            let mut outputs = vec![OutputValue::BAD; spec.outputs.len()];
            let result = instance.process(&frame, &mut outputs);
            judge(spec, &outputs, result.is_ok())?;
            let answer = match result {
                Ok(answer) => answer,
                Err(fault) => return Ok(End::Fault(fault)),
            };
            if answer.verdict.cause > spec.causes
                || (answer.verdict.level == Level::Normal && answer.verdict.cause != 0)
            {
                return Err(Wrong(format!(
                    "verdict {:?} reached the caller",
                    answer.verdict
                )));
            }
            if answer.fuel > spec.fuel {
                return Err(Wrong(format!("{} fuel used of {}", answer.fuel, spec.fuel)));
            }
            if flaps.observe(at, answer.verdict.level) {
                return Ok(End::Flapping);
            }
        }
        if let Err(fault) = instance.state_hash() {
            return Ok(End::Fault(fault));
        }
        Ok(End::Answered)
    }
}

/// Whether every output is what the ABI lets reach a caller.
fn judge(spec: &AnalyzerSpec, outputs: &[OutputValue], answered: bool) -> Result<(), Wrong> {
    for (output, (min, max)) in outputs.iter().zip(&spec.outputs) {
        let good = match output.quality {
            Quality::Good | Quality::Uncertain => {
                answered && output.value.is_finite() && (*min..=*max).contains(&output.value)
            }
            Quality::Bad => output.value == 0.0,
            Quality::Stale => false,
        };
        if !good {
            return Err(Wrong(format!(
                "output {output:?} reached the caller, answered: {answered}"
            )));
        }
    }
    Ok(())
}

/// What the ABI forbids, looked for apart from the gate that has just let it pass: with nothing but a parser.
fn forbidden(wasm: &[u8]) -> Result<(), Wrong> {
    let wrong = |what: &str| Err(Wrong(format!("the gate let pass {what}")));
    let (mut memories, mut functions) = (0, 0);
    for payload in Parser::new(0).parse_all(wasm) {
        let Ok(payload) = payload else {
            return wrong("what cannot be parsed");
        };
        match payload {
            Payload::ImportSection(imports) if imports.count() > 0 => return wrong("imports"),
            Payload::StartSection { .. } => return wrong("a start function"),
            Payload::TagSection(_) => {
                return wrong("tags");
            }
            Payload::MemorySection(section) => {
                for memory in section.into_iter().flatten() {
                    memories += 1;
                    let fixed = memory.maximum == Some(memory.initial) && memory.initial <= 16;
                    if !fixed || memory.memory64 || memory.shared || memory.page_size_log2.is_some()
                    {
                        return wrong("a memory that is not fixed");
                    }
                }
            }
            Payload::TableSection(section) => {
                for table in section.into_iter().flatten() {
                    let kind = table.ty;
                    if kind.maximum != Some(kind.initial) || kind.initial > 1_024 || kind.table64 {
                        return wrong("a table that is not fixed");
                    }
                }
            }
            Payload::ExportSection(section) => {
                for export in section.into_iter().flatten() {
                    let known = rules_sdk_abi::export::HARMLESS.contains(&export.name)
                        || [
                            "memory",
                            "tl_area",
                            "tl_init",
                            "tl_process",
                            "tl_state_hash",
                        ]
                        .contains(&export.name);
                    if !known {
                        return wrong("an export that the ABI does not know");
                    }
                    functions += u32::from(export.kind == ExternalKind::Func);
                }
            }
            Payload::CodeSectionEntry(body) => {
                if body.as_bytes().len() > 128 * 1024 + 16 {
                    return wrong("a function that is too long");
                }
                let Ok(operators) = body.get_operators_reader() else {
                    return wrong("code that cannot be read");
                };
                for operator in operators {
                    match operator {
                        Ok(Operator::MemoryGrow { .. } | Operator::TableGrow { .. }) => {
                            return wrong("growth");
                        }
                        Ok(Operator::ReturnCall { .. } | Operator::ReturnCallIndirect { .. }) => {
                            return wrong("a tail call");
                        }
                        Ok(_) => {}
                        Err(_) => return wrong("an operator that cannot be read"),
                    }
                }
            }
            _ => {}
        }
    }
    if memories != 1 || functions != 4 {
        return wrong("another number of memories or functions");
    }
    Ok(())
}

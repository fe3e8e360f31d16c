//! The same frames through the product's sandbox, twice, and through the second engine: outputs, verdicts and state hashes
//! bit for bit, or the module is not installed (H-42: a wrong compilation). And every canary must speak: one that does not
//! would take its analyzer out of service at the first trial.

use std::path::Path;

use appliance_lane::analyzer::FrameFault;
use appliance_sandbox::{AnalyzerFault, AnalyzerModule, Engine};
use rt_config::limits;
use rules_bundle::{AnalyzerPlan, CanaryPlan, Level, Plan};
use rules_pack::ModuleFile;
use rules_pack::module::{Block, Case, Frame, InputValue, Sine, Waveform};
use rules_sdk_abi::metadata::Metadata;
use rules_sdk_abi::{Level as Said, SampleFormat};
use rules_sdk_reference::Reference;

use super::{Beside, Tried};
use crate::analyzer::frames::{Given, frames};
use crate::analyzer::trial::{self, differs, run, same};
use crate::build::{BuildError, read_at_most};

/// Frames that every analyzer is tried with, whatever is recorded: of a sine through its whole range of lengths.
const MADE_UP: u32 = 4;
/// Bytes of a file of recorded cases: as much as `tripline analyzer test` reads.
const CASES_BYTES_MAX: usize = limits::PACK_BYTES_MAX;

/// Tries every module of the plan.
pub(super) fn modules(engine: &Engine, plan: &Plan, beside: &Beside) -> Result<Tried, BuildError> {
    let mut tried = Tried {
        modules: plan.modules.len(),
        ..Tried::default()
    };
    for module in &beside.modules {
        let folder = beside.folder.join(&module.path);
        let folder = folder.parent().unwrap_or(Path::new("."));
        for case in recorded(module, beside)? {
            let trial = Trial {
                engine,
                module,
                params: params(&module.metadata, &case),
                fuel: module.metadata.worst_case.fuel,
            };
            let given = frames(&case, &module.metadata, folder)
                .map_err(|error| trial.refuse(&case.name, error.to_string()))?;
            let (count, answered) = trial.both(&case.name, &given)?;
            if let Err(fault) = answered {
                let words = FrameFault::Module(fault).as_str();
                return Err(trial.refuse(
                    &case.name,
                    format!("frame {count}: {words}, with the fuel that its author states"),
                ));
            }
            tried.frames = tried.frames.saturating_add(count);
            tried.recorded = tried.recorded.saturating_add(count);
        }
    }
    for lane in &plan.lanes {
        for (_, name, analyzer) in lane.analyzers() {
            let index = usize::from(analyzer.module);
            let Some(module) = beside.modules.get(index) else {
                continue;
            };
            let trial = Trial {
                engine,
                module,
                params: analyzer.params.clone(),
                fuel: analyzer.fuel,
            };
            let rate_hz = analyzer
                .waveform
                .and_then(|used| lane.waveforms.get(usize::from(used.index.0)))
                .map_or(1.0, |waveform| waveform.rate_hz);
            let case = made_up(&module.metadata, rate_hz);
            let given = trial.frames(&case)?;
            let (count, _) = trial.both(&format!("frames made up for {name}"), &given)?;
            tried.frames = tried.frames.saturating_add(count);
            if let Some(canary) = &analyzer.canary {
                let count = speaks(&trial, name, analyzer, canary, beside, rate_hz)?;
                tried.frames = tried.frames.saturating_add(count);
                tried.canaries = tried.canaries.saturating_add(1);
            }
        }
    }
    Ok(tried)
}

/// The cases in the file beside the module, if there is one.
pub(crate) fn recorded(module: &ModuleFile, beside: &Beside) -> Result<Vec<Case>, BuildError> {
    let path = beside.folder.join(&module.path);
    let path = path.with_extension("cases.yaml");
    if !path.exists() {
        return Ok(Vec::new());
    }
    let bytes = read_at_most(&path, CASES_BYTES_MAX)?;
    let text = String::from_utf8_lossy(&bytes).into_owned();
    rules_pack::module::cases(&path.to_string_lossy(), &text, &module.metadata).map_err(
        |findings| BuildError::Findings {
            path,
            findings,
            text,
        },
    )
}

/// Parameters of a recorded case. What has no default is given: the cases were checked.
pub(crate) fn params(metadata: &Metadata, case: &Case) -> Vec<f64> {
    metadata
        .params
        .iter()
        .map(|param| {
            let given = case.params.iter().find(|(name, _)| *name == param.name);
            let value = given.map(|(_, value)| *value).or(param.default);
            value.unwrap_or(param.min)
        })
        .collect()
}

/// The last verdict, or why there is none.
type Answered = Result<Said, AnalyzerFault>;

/// One instance's parameters, in both engines.
struct Trial<'t> {
    engine: &'t Engine,
    module: &'t ModuleFile,
    params: Vec<f64>,
    fuel: u64,
}

impl Trial<'_> {
    fn refuse(&self, what: &str, cause: String) -> BuildError {
        BuildError::Tried {
            module: self.module.path.clone(),
            what: what.to_owned(),
            cause,
        }
    }

    fn frames(&self, case: &Case) -> Result<Vec<Given>, BuildError> {
        // Nothing of it lies in a file.
        frames(case, &self.module.metadata, Path::new("."))
            .map_err(|error| self.refuse(&case.name, error.to_string()))
    }

    /// Gives the frames to two instances and to the second engine. Returns how many, and the last verdict; what comes after
    /// a frame that failed is another instance's life.
    fn both(&self, what: &str, given: &[Given]) -> Result<(u64, Answered), BuildError> {
        let module = self.module;
        let second = Reference::new(&module.wasm, &module.metadata, &self.params)
            .map_err(|error| self.refuse(what, format!("the second engine: {error}")))?;
        self.against(what, given, second)
    }

    fn against(
        &self,
        what: &str,
        given: &[Given],
        mut second: Reference,
    ) -> Result<(u64, Answered), BuildError> {
        let metadata = &self.module.metadata;
        let wasm = &self.module.wasm;
        let spec = trial::spec(metadata, self.params.clone(), self.fuel);
        let loaded = AnalyzerModule::from_wasm(self.engine, wasm, spec)
            .map_err(|error| self.refuse(what, error.to_string()))?;
        let instance = || {
            loaded
                .instantiate()
                .map_err(|error| self.refuse(what, error.to_string()))
        };
        let (mut one, mut two) = (instance()?, instance()?);
        let mut count = 0_u64;
        let mut said = Said::Normal;
        for frame in given {
            let first = run(&mut one, metadata, frame);
            let again = run(&mut two, metadata, frame);
            count = count.saturating_add(1);
            let place =
                |cause: String| self.refuse(what, format!("frame {}: {cause}", frame.number));
            if !same(&first, &again) {
                return Err(place(
                    "two instances gave different answers to the same frames".to_owned(),
                ));
            }
            if let Some(cause) = differs(&first, &mut second, frame, metadata) {
                return Err(place(cause));
            }
            match &first.answer {
                Ok(answer) => said = answer.verdict.level,
                Err(fault) => return Ok((count, Err(*fault))),
            }
        }
        Ok((count, Ok(said)))
    }
}

/// Frames that look like something, for modules of which nothing is recorded.
fn made_up(metadata: &Metadata, rate_hz: f64) -> Case {
    let frame = |number: u32| {
        let level = f64::from(number);
        Frame {
            repeat: 1,
            inputs: metadata
                .inputs
                .iter()
                .map(|input| (input.name.clone(), InputValue::Good(1.0 + 10.0 * level)))
                .collect(),
            block: metadata.waveform.as_ref().map(|waveform| Block {
                waveform: Waveform::Sine(Sine {
                    amplitude: 1.0 + level,
                    frequency_hz: rate_hz * 0.05 * (1.0 + level),
                    offset: 0.1,
                }),
                count: Some(if number.is_multiple_of(2) {
                    waveform.samples_max
                } else {
                    waveform.samples_min
                }),
                rate_hz,
            }),
            gap: number == 2,
            expect: None,
            span: 0..0,
        }
    };
    Case {
        name: "made up".to_owned(),
        params: Vec::new(),
        frames: (0..MADE_UP).map(frame).collect(),
    }
}

/// Whether the canary's frames make the module say what the pack expects.
fn speaks(
    trial: &Trial<'_>,
    name: &str,
    analyzer: &AnalyzerPlan,
    canary: &CanaryPlan,
    beside: &Beside,
    rate_hz: f64,
) -> Result<u64, BuildError> {
    let metadata = &trial.module.metadata;
    let block = canary
        .block
        .and_then(|index| beside.blocks.get(usize::from(index)))
        .zip(metadata.waveform.as_ref())
        .map(|(bytes, waveform)| Block {
            waveform: Waveform::Samples(values(bytes, waveform.format)),
            count: None,
            rate_hz,
        });
    let inputs = metadata.inputs.iter().zip(&canary.inputs);
    let case = Case {
        name: "canary".to_owned(),
        params: Vec::new(),
        frames: vec![Frame {
            repeat: u32::from(canary.frames),
            inputs: inputs
                .map(|(input, value)| (input.name.clone(), InputValue::Good(*value)))
                .collect(),
            block,
            gap: false,
            expect: None,
            span: 0..0,
        }],
    };
    let what = format!("the canary of {name}");
    let (count, said) = trial.both(&what, &trial.frames(&case)?)?;
    let expected = match canary.expect {
        Level::Alert => Said::Alert,
        Level::Danger => Said::Danger,
    };
    let found = match said {
        Ok(said) if said >= expected => return Ok(count),
        Ok(Said::Normal) => "it says normal",
        Ok(Said::Alert) => "it says alert",
        Ok(Said::Danger) => "it says danger",
        Err(fault) => FrameFault::Module(fault).as_str(),
    };
    Err(trial.refuse(
        &what,
        format!(
            "{found} after {} frame(s), and the pack expects {}. Give a stimulus that must alarm with these parameters, or more \
             `frames`; its limit of fuel is {}",
            canary.frames,
            canary.expect.as_str(),
            analyzer.fuel
        ),
    ))
}

/// Samples as they lie in a module's memory.
pub(crate) fn values(bytes: &[u8], format: SampleFormat) -> Vec<f64> {
    match format {
        SampleFormat::F32 => {
            let (samples, _) = bytes.as_chunks::<4>();
            samples
                .iter()
                .map(|sample| f64::from(f32::from_le_bytes(*sample)))
                .collect()
        }
        SampleFormat::I16 => {
            let (samples, _) = bytes.as_chunks::<2>();
            samples
                .iter()
                .map(|sample| f64::from(i16::from_le_bytes(*sample)))
                .collect()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Answers its input plus `more`.
    fn module(more: u8) -> ModuleFile {
        let text = format!(
            r#"(module
                (memory (export "memory") 1 1)
                (func (export "tl_area") (result i32) (i32.const 32))
                (func (export "tl_init") (result i32) (i32.const 0))
                (func (export "tl_process") (result i64)
                    (f64.store (i32.const 112) (f64.add (f64.load (i32.const 96)) (f64.const {more})))
                    (i32.store (i32.const 120) (i32.const 0))
                    (i64.const 0))
                (func (export "tl_state_hash") (result i64) (i64.const 0)))"#
        );
        let json = r#"{"abi":"core/1","name":"adder","version":1,"inputs":[{"name":"a","unit":"bar"}],
            "outputs":[{"name":"sum","unit":"bar","min":-9,"max":999}],"worst_case":{"fuel":1000}}"#;
        let metadata = Metadata::parse(json.as_bytes()).unwrap();
        let wasm = wat::parse_str(text).unwrap();
        ModuleFile {
            path: "adder.wasm".into(),
            wasm: rules_sdk_gate::attach_metadata(&wasm, &metadata).unwrap(),
            metadata,
        }
    }

    #[test]
    fn h42_an_engine_that_computes_otherwise_is_noticed() {
        let engine = Engine::new().unwrap();
        let (right, wrong) = (module(1), module(2));
        let trial = Trial {
            engine: &engine,
            module: &right,
            params: vec![],
            fuel: 1_000,
        };
        let given = trial.frames(&made_up(&right.metadata, 1.0)).unwrap();
        let second =
            |module: &ModuleFile| Reference::new(&module.wasm, &module.metadata, &[]).unwrap();
        let (count, answered) = trial.against("frames", &given, second(&right)).unwrap();
        assert_eq!((count, answered), (u64::from(MADE_UP), Ok(Said::Normal)));
        let error = trial.against("frames", &given, second(&wrong)).unwrap_err();
        assert!(
            error
                .to_string()
                .starts_with("adder.wasm, frames: frame 1: `sum`: the second engine says 3"),
            "H-42: {error}"
        );
    }
}

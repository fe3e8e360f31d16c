//! An analyzer's module: machine code, and what the plan says of it.

use std::sync::Arc;

use drivers_frame::DurNs;
use rt_config::limits;
use rules_sdk_abi::{Layout, SampleFormat, export};
use wasmtime::{ExternType, Module, ValType};

use super::AnalyzerFault;
use crate::{Engine, NativeCode};

/// The waveform that a module takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WaveformSpec {
    /// How samples lie in its memory.
    pub format: SampleFormat,
    /// Fewest samples of a block.
    pub samples_min: u32,
    /// Most samples of a block, for which the exchange area has room.
    pub samples_max: u32,
}

/// What the plan says of an analyzer. From the module's metadata and the pack.
#[derive(Clone, Debug, PartialEq)]
pub struct AnalyzerSpec {
    /// Parameters, in the order of the metadata; finite.
    pub params: Vec<f64>,
    /// Scalar inputs.
    pub inputs: u8,
    /// Lowest and highest value of each output, in the order of the metadata.
    pub outputs: Vec<(f64, f64)>,
    /// The waveform, when it takes one.
    pub waveform: Option<WaveformSpec>,
    /// Causes that the metadata names.
    pub causes: u8,
    /// Fuel of one `tl_process`.
    pub fuel: u64,
    /// Time of one `tl_process`. Stopped no sooner, and at most three ticks ([`limits::EPOCH_TICK_US`]) and one bulk
    /// operation later ([`Ticker`](crate::Ticker)).
    pub deadline: DurNs,
}

/// Why an analyzer could not be loaded or instantiated. Never on a lane.
#[derive(Debug, thiserror::Error)]
pub enum AnalyzerError {
    /// Another version, other settings, or another CPU.
    #[error(
        "the machine code does not fit this program or this CPU: {0:#}. Build the bundle again on this host"
    )]
    Artefact(#[source] wasmtime::Error),
    /// It could not be set up: memory, table, data that does not fit.
    #[error("the module could not be instantiated: {0:#}")]
    Instantiate(#[source] wasmtime::Error),
    /// It has imports: analyzers have none.
    #[error("the module has {0} imports; none is allowed")]
    Imports(usize),
    /// A required export is missing or has another type.
    #[error("the module does not export `{0}` with the type that the ABI core/1 gives it")]
    Export(&'static str),
    /// Its memory is too large, or may grow.
    #[error(
        "the module's memory has {minimum} to {maximum:?} pages of 64 KiB; needed is one fixed size of at most {most} pages"
    )]
    Memory {
        /// Pages at the start.
        minimum: u64,
        /// Pages at most.
        maximum: Option<u64>,
        /// The limit.
        most: u64,
    },
    /// The plan's specification is none.
    #[error("the specification of the analyzer is not usable: {0}")]
    Spec(&'static str),
    /// The exchange area is not where it may be.
    #[error(
        "tl_area returned {address:#x}: {bytes} bytes from there must lie within the {memory} bytes of memory, at a multiple of 16, and the address must not change"
    )]
    Area {
        /// What `tl_area` returned, as unsigned.
        address: u32,
        /// Bytes the area needs.
        bytes: u32,
        /// Bytes of memory.
        memory: usize,
    },
    /// `tl_init` refused one parameter.
    #[error("tl_init refused parameter {0} (from 1, in the order of the metadata)")]
    Param(u32),
    /// `tl_init` refused the parameters together.
    #[error(
        "tl_init refused the parameters: each is within its range, together they make no sense"
    )]
    Combination,
    /// `tl_init` returned what the ABI does not know.
    #[error("tl_init returned {0}; the ABI knows 0, -1 and the number of a parameter")]
    Init(i32),
    /// `tl_area` or `tl_init` ended otherwise than by returning.
    #[error("{function} failed: {fault:?}")]
    Call {
        /// Which.
        function: &'static str,
        /// How.
        fault: AnalyzerFault,
    },
}

/// A loaded module that has the ABI's exports, with its specification. Cheap to clone.
#[derive(Clone)]
pub struct AnalyzerModule {
    pub(super) engine: Engine,
    pub(super) module: Module,
    pub(super) shape: Arc<Shape>,
}

/// The specification, resolved.
pub(super) struct Shape {
    pub(super) spec: AnalyzerSpec,
    pub(super) layout: Layout,
    pub(super) ticks: u64,
}

impl AnalyzerModule {
    /// Loads machine code and checks that it exports what the ABI asks for.
    ///
    /// # Errors
    /// [`AnalyzerError`]; the module is then not used at all.
    pub fn load(
        engine: &Engine,
        code: &NativeCode<'_>,
        spec: AnalyzerSpec,
    ) -> Result<Self, AnalyzerError> {
        let module = code.module(engine).map_err(AnalyzerError::Artefact)?;
        Self::checked(engine, module, spec)
    }

    /// As [`AnalyzerModule::load`], from WebAssembly, which is compiled now. It must have passed the gate.
    ///
    /// # Errors
    /// [`AnalyzerError`]; the module is then not used at all.
    #[cfg(feature = "compile")]
    pub fn from_wasm(
        engine: &Engine,
        wasm: &[u8],
        spec: AnalyzerSpec,
    ) -> Result<Self, AnalyzerError> {
        let module = Module::new(&engine.0, wasm).map_err(AnalyzerError::Artefact)?;
        Self::checked(engine, module, spec)
    }

    /// The same code for another use of it: other parameters, other bounds. Compiles nothing.
    ///
    /// # Errors
    /// [`AnalyzerError`], as of [`AnalyzerModule::load`].
    pub fn with_spec(&self, spec: AnalyzerSpec) -> Result<Self, AnalyzerError> {
        Self::checked(&self.engine, self.module.clone(), spec)
    }

    fn checked(engine: &Engine, module: Module, spec: AnalyzerSpec) -> Result<Self, AnalyzerError> {
        let imports = module.imports().len();
        if imports != 0 {
            return Err(AnalyzerError::Imports(imports));
        }
        check_memory(&module)?;
        for (name, result) in [
            (export::AREA, ValType::I32),
            (export::INIT, ValType::I32),
            (export::PROCESS, ValType::I64),
            (export::STATE_HASH, ValType::I64),
        ] {
            check_function(&module, name, &result)?;
        }
        let layout = check_spec(&spec)?;
        let ticks = engine.ticks(spec.deadline);
        Ok(Self {
            engine: engine.clone(),
            module,
            shape: Arc::new(Shape {
                spec,
                layout,
                ticks,
            }),
        })
    }

    /// What the plan says of it.
    pub fn spec(&self) -> &AnalyzerSpec {
        &self.shape.spec
    }
}

fn check_memory(module: &Module) -> Result<(), AnalyzerError> {
    let Some(ExternType::Memory(memory)) = module.get_export(export::MEMORY) else {
        return Err(AnalyzerError::Export(export::MEMORY));
    };
    let (minimum, maximum) = (memory.minimum(), memory.maximum());
    if maximum != Some(minimum) || minimum > limits::ANALYZER_PAGES_MAX {
        return Err(AnalyzerError::Memory {
            minimum,
            maximum,
            most: limits::ANALYZER_PAGES_MAX,
        });
    }
    Ok(())
}

fn check_function(
    module: &Module,
    name: &'static str,
    expected: &ValType,
) -> Result<(), AnalyzerError> {
    let Some(ExternType::Func(function)) = module.get_export(name) else {
        return Err(AnalyzerError::Export(name));
    };
    let mut results = function.results();
    let fits = function.params().len() == 0
        && results.len() == 1
        && results
            .next()
            .is_some_and(|result| ValType::eq(&result, expected));
    fits.then_some(()).ok_or(AnalyzerError::Export(name))
}

fn check_spec(spec: &AnalyzerSpec) -> Result<Layout, AnalyzerError> {
    let refuse = |why| Err(AnalyzerError::Spec(why));
    if spec.params.iter().any(|param| !param.is_finite()) {
        return refuse("a parameter is not finite");
    }
    if spec.outputs.is_empty() {
        return refuse("it has no outputs");
    }
    if spec
        .outputs
        .iter()
        .any(|(min, max)| !min.is_finite() || !max.is_finite() || min > max)
    {
        return refuse("an output's range is none");
    }
    if let Some(waveform) = &spec.waveform
        && (waveform.samples_min == 0
            || waveform.samples_min > waveform.samples_max
            || waveform.samples_max > limits::WAVEFORM_SAMPLES_MAX)
    {
        return refuse("the numbers of samples are not in order");
    }
    if spec.fuel == 0 || spec.fuel > limits::ANALYZER_FUEL_MAX {
        return refuse("its fuel is 0 or beyond the limit");
    }
    let count = |len: usize| {
        u32::try_from(len)
            .ok()
            .filter(|_| len <= limits::ANALYZER_ENTRIES_MAX)
    };
    let layout = count(spec.params.len())
        .zip(count(spec.outputs.len()))
        .and_then(|(params, outputs)| {
            let waveform = spec
                .waveform
                .as_ref()
                .map(|waveform| (waveform.format, waveform.samples_max));
            Layout::new(params, u32::from(spec.inputs), outputs, waveform)
        });
    layout.ok_or(AnalyzerError::Spec("it has too many parameters or outputs"))
}

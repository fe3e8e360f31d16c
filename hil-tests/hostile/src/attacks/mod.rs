//! Modules written by hand to do harm, each with the end that it must have.

mod files;
mod outputs;
mod parts;
mod processes;
mod sizes;

use appliance_sandbox::{AnalyzerError, AnalyzerFault, LimitedError};
use rules_sdk_abi::metadata::Metadata;
use rules_sdk_gate::Rule;

use crate::End;

/// The metadata of every module here: one input, a block of 1 to 16 samples, one output from -100 to 100, one parameter, three
/// causes. In memory: header at 1024, parameter at 1088, input at 1104, output at 1120, samples at 1136.
pub const METADATA: &str = r#"{"abi":"core/1","name":"attack","version":1,
 "inputs":[{"name":"speed","unit":"rpm"}],
 "waveform":{"name":"vibration","unit":"g","format":"f32","samples_min":1,"samples_max":16},
 "outputs":[{"name":"rms","unit":"g","min":-100,"max":100}],
 "params":[{"name":"limit","unit":"g","min":0,"max":10,"default":2.5}],
 "causes":["a","b","c"],"worst_case":{"fuel":1000000}}"#;

/// What must become of a module.
#[derive(Clone, Copy)]
pub enum Must {
    /// The gate refuses it by this rule.
    Gate(Rule),
    /// The compiler reaches a limit, or the module runs within the ABI: a bomb that a fast host defuses is none.
    Compile,
    /// It is refused when it is set up.
    Start(fn(&AnalyzerError) -> bool),
    /// A frame ends so.
    Fault(fn(AnalyzerFault) -> bool),
    /// It flaps.
    Flap,
    /// It answers within the ABI: it has hurt nobody but itself.
    Answer,
}

impl Must {
    /// Whether that is how it ended.
    pub fn holds(self, end: &End) -> bool {
        match (self, end) {
            (Self::Gate(rule), End::Gate(refusal)) => refusal.rule == rule,
            (
                Self::Compile,
                End::Answered
                | End::Compile(
                    LimitedError::Cpu(_)
                    | LimitedError::Wall(_)
                    | LimitedError::Memory(_)
                    | LimitedError::Refused(_),
                ),
            ) => true,
            (Self::Start(expected), End::Start(error)) => expected(error),
            (Self::Fault(expected), End::Fault(fault)) => expected(*fault),
            (Self::Flap, End::Flapping) | (Self::Answer, End::Answered) => true,
            _ => false,
        }
    }
}

/// An attack.
pub struct Attack {
    /// What it tries.
    pub name: &'static str,
    /// The module.
    pub wasm: Vec<u8>,
    /// Its end.
    pub must: Must,
}

/// A module from parts: memory, `tl_area`, `tl_init`, `tl_process`, `tl_state_hash`, and what else it has.
struct Parts<'a>([&'a str; 6]);

const WELL: [&str; 6] = [
    "(memory (export \"memory\") 1 1)",
    "(func (export \"tl_area\") (result i32) (i32.const 1024))",
    "(func (export \"tl_init\") (result i32) (i32.const 0))",
    "(func $process (export \"tl_process\") (result i64) (i64.const 0))",
    "(func (export \"tl_state_hash\") (result i64) (i64.const 7))",
    "",
];

impl<'a> Parts<'a> {
    fn with(mut self, part: usize, text: &'a str) -> Self {
        if let Some(place) = self.0.get_mut(part) {
            *place = text;
        }
        self
    }

    fn text(&self) -> String {
        format!("(module {})", self.0.join("\n"))
    }
}

/// The text as a module with metadata. Text that is no module stays text: the gate's to refuse.
fn wasm(text: &str) -> Vec<u8> {
    let Ok(wasm) = wat::parse_str(text) else {
        return text.as_bytes().to_vec();
    };
    let metadata = Metadata::parse(METADATA.as_bytes());
    match metadata.map(|metadata| rules_sdk_gate::attach_metadata(&wasm, &metadata)) {
        Ok(Ok(attached)) => attached,
        _ => wasm,
    }
}

const MEMORY: usize = 0;
const AREA: usize = 1;
const INIT: usize = 2;
const PROCESS: usize = 3;
const HASH: usize = 4;
const MORE: usize = 5;

fn fuel(fault: AnalyzerFault) -> bool {
    matches!(fault, AnalyzerFault::FuelExceeded { .. })
}

fn nonsense(fault: AnalyzerFault) -> bool {
    matches!(fault, AnalyzerFault::NonsenseVerdict(_))
}

/// Every attack.
pub fn all() -> Vec<Attack> {
    let mut all = Vec::new();
    parts::parts(&mut all);
    processes::processes(&mut all);
    outputs::outputs(&mut all);
    sizes::sizes(&mut all);
    files::files(&mut all);
    all
}

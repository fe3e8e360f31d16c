//! Modules written by hand to do harm, each with the end that it must have.

use appliance_sandbox::{AnalyzerError, AnalyzerFault, LimitedError, OutputFault, TrapKind};
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
    parts(&mut all);
    processes(&mut all);
    outputs(&mut all);
    sizes(&mut all);
    files(&mut all);
    all
}

/// One part is not as the ABI wants it.
fn parts(all: &mut Vec<Attack>) {
    use Must::{Fault, Gate, Start};
    let cases: &[(&'static str, usize, &str, Must)] = &[
        (
            "memory without an end",
            MEMORY,
            "(memory (export \"memory\") 1)",
            Gate(Rule::Memory),
        ),
        (
            "memory that may grow",
            MEMORY,
            "(memory (export \"memory\") 1 2)",
            Gate(Rule::Memory),
        ),
        (
            "memory of 17 pages",
            MEMORY,
            "(memory (export \"memory\") 17 17)",
            Gate(Rule::Memory),
        ),
        (
            "memory of 4 GiB",
            MEMORY,
            "(memory (export \"memory\") 65536 65536)",
            Gate(Rule::Memory),
        ),
        (
            "memory of 64 bits",
            MEMORY,
            "(memory (export \"memory\") i64 1 1)",
            Gate(Rule::Proposal),
        ),
        (
            "shared memory",
            MEMORY,
            "(memory (export \"memory\") 1 1 shared)",
            Gate(Rule::Proposal),
        ),
        (
            "pages of one byte",
            MEMORY,
            "(memory (export \"memory\") 65536 65536 (pagesize 1))",
            Gate(Rule::Proposal),
        ),
        ("no memory", MEMORY, "", Gate(Rule::Memory)),
        (
            "memory that nobody sees",
            MEMORY,
            "(memory 1 1)",
            Gate(Rule::Exports),
        ),
        ("two memories", MORE, "(memory 1 1)", Gate(Rule::Memory)),
        (
            "a giant table",
            MORE,
            "(table 100000000 100000000 funcref)",
            Gate(Rule::Table),
        ),
        (
            "a table of 1,025",
            MORE,
            "(table 1025 1025 funcref)",
            Gate(Rule::Table),
        ),
        (
            "a table that may grow",
            MORE,
            "(table 1 funcref)",
            Gate(Rule::Table),
        ),
        (
            "a table of host references",
            MORE,
            "(table 1 1 externref)",
            Gate(Rule::Proposal),
        ),
        (
            "a start function",
            MORE,
            "(func $go) (start $go)",
            Gate(Rule::Start),
        ),
        (
            "an export too many",
            MORE,
            "(func (export \"_start\"))",
            Gate(Rule::Exports),
        ),
        (
            "an export that shadows",
            MORE,
            "(global (export \"__data_start\") i32 (i32.const 0))",
            Gate(Rule::Exports),
        ),
        (
            "data beyond memory",
            MORE,
            "(data (i32.const 65535) \"ab\")",
            Gate(Rule::Data),
        ),
        (
            "data before memory",
            MORE,
            "(data (i32.const -1) \"a\")",
            Gate(Rule::Data),
        ),
        (
            "elements beyond the table",
            MORE,
            "(table 1 1 funcref) (elem (i32.const 1) $process)",
            Gate(Rule::Elements),
        ),
        (
            "area that is not aligned",
            AREA,
            "(func (export \"tl_area\") (result i32) (i32.const 1025))",
            Start(|e| matches!(e, AnalyzerError::Area { .. })),
        ),
        (
            "area over the end",
            AREA,
            "(func (export \"tl_area\") (result i32) (i32.const 65520))",
            Start(|e| matches!(e, AnalyzerError::Area { .. })),
        ),
        (
            "area that wraps around",
            AREA,
            "(func (export \"tl_area\") (result i32) (i32.const -16))",
            Start(|e| matches!(e, AnalyzerError::Area { .. })),
        ),
        (
            "area that never comes",
            AREA,
            "(func (export \"tl_area\") (result i32) (loop (br 0)) (i32.const 0))",
            Start(|e| {
                matches!(
                    e,
                    AnalyzerError::Call {
                        function: "tl_area",
                        ..
                    }
                )
            }),
        ),
        (
            "area with a parameter",
            AREA,
            "(func (export \"tl_area\") (param i32) (result i32) (i32.const 1024))",
            Gate(Rule::Exports),
        ),
        ("no area", AREA, "", Gate(Rule::Exports)),
        (
            "init that refuses",
            INIT,
            "(func (export \"tl_init\") (result i32) (i32.const 1))",
            Start(|e| matches!(e, AnalyzerError::Param(1))),
        ),
        (
            "init that refuses what is not there",
            INIT,
            "(func (export \"tl_init\") (result i32) (i32.const 77))",
            Start(|e| matches!(e, AnalyzerError::Init(77))),
        ),
        (
            "init that traps",
            INIT,
            "(func (export \"tl_init\") (result i32) unreachable)",
            Start(|e| {
                matches!(
                    e,
                    AnalyzerError::Call {
                        function: "tl_init",
                        ..
                    }
                )
            }),
        ),
        (
            "init without end",
            INIT,
            "(func (export \"tl_init\") (result i32) (loop (br 0)) (i32.const 0))",
            Start(|e| {
                matches!(
                    e,
                    AnalyzerError::Call {
                        function: "tl_init",
                        ..
                    }
                )
            }),
        ),
        (
            "a verdict of 32 bits",
            PROCESS,
            "(func $process (export \"tl_process\") (result i32) (i32.const 0))",
            Gate(Rule::Exports),
        ),
        (
            "a verdict that is a float",
            PROCESS,
            "(func $process (export \"tl_process\") (result f64) (f64.const 0))",
            Gate(Rule::Exports),
        ),
        (
            "a state without end",
            HASH,
            "(func (export \"tl_state_hash\") (result i64) (loop (br 0)) (i64.const 0))",
            Fault(fuel),
        ),
        (
            "a state that traps",
            HASH,
            "(func (export \"tl_state_hash\") (result i64) unreachable)",
            Fault(|f| f == AnalyzerFault::Trap(TrapKind::Unreachable)),
        ),
    ];
    for (name, part, text, must) in cases {
        let text = Parts(WELL).with(*part, text).text();
        all.push(Attack {
            name,
            wasm: wasm(&text),
            must: *must,
        });
    }
    for (name, import) in [
        (
            "a function of the host",
            "(import \"env\" \"abort\" (func))",
        ),
        (
            "a memory of the host",
            "(import \"env\" \"memory\" (memory 1 1))",
        ),
        (
            "a clock of WASI",
            "(import \"wasi_snapshot_preview1\" \"clock_time_get\" (func (param i32 i64 i32) (result i32)))",
        ),
    ] {
        let text = format!("(module {import} {})", WELL.join("\n"));
        all.push(Attack {
            name,
            wasm: wasm(&text),
            must: Gate(Rule::Imports),
        });
    }
}

/// A module whose `tl_process` is this.
fn process(body: &str) -> Vec<u8> {
    let function = format!(
        "(func $process (export \"tl_process\") (result i64) (local $i i32) (local $l i64) (local $x f64) {body})"
    );
    let more = "(global $n (mut i32) (i32.const 0)) (table 4 4 funcref) (elem (i32.const 0) $process $other)
        (func $other (param i32) (result i32) (local.get 0)) (data $data \"abc\") (elem $elements func $process)";
    let memory = "(memory (export \"memory\") 16 16)";
    wasm(
        &Parts(WELL)
            .with(PROCESS, &function)
            .with(MORE, more)
            .with(MEMORY, memory)
            .text(),
    )
}

/// What `tl_process` does is the attack.
fn processes(all: &mut Vec<Attack>) {
    use Must::{Answer, Fault, Flap, Gate};
    let trap = |kind: TrapKind| -> Must {
        match kind {
            TrapKind::StackOverflow => Fault(|f| f == AnalyzerFault::Trap(TrapKind::StackOverflow)),
            TrapKind::DivisionByZero => {
                Fault(|f| f == AnalyzerFault::Trap(TrapKind::DivisionByZero))
            }
            TrapKind::MemoryOutOfBounds => {
                Fault(|f| f == AnalyzerFault::Trap(TrapKind::MemoryOutOfBounds))
            }
            TrapKind::IndirectCall => Fault(|f| f == AnalyzerFault::Trap(TrapKind::IndirectCall)),
            TrapKind::TableOutOfBounds => {
                Fault(|f| f == AnalyzerFault::Trap(TrapKind::TableOutOfBounds))
            }
            TrapKind::BadConversion => Fault(|f| f == AnalyzerFault::Trap(TrapKind::BadConversion)),
            TrapKind::IntegerOverflow => {
                Fault(|f| f == AnalyzerFault::Trap(TrapKind::IntegerOverflow))
            }
            _ => Fault(|f| f == AnalyzerFault::Trap(TrapKind::Unreachable)),
        }
    };
    let zero = " (i64.const 0)";
    let cases: &[(&'static str, &str, Must)] = &[
        (
            "memory.grow by nothing",
            "(drop (memory.grow (i32.const 0)))",
            Gate(Rule::Growth),
        ),
        (
            "memory.grow by all",
            "(loop (drop (memory.grow (i32.const 65535))) (br 0))",
            Gate(Rule::Growth),
        ),
        (
            "table.grow",
            "(drop (table.grow 0 (ref.null func) (i32.const 1)))",
            Gate(Rule::Growth),
        ),
        (
            "vectors",
            "(drop (i32x4.extract_lane 0 (v128.const i32x4 1 2 3 4)))",
            Gate(Rule::Proposal),
        ),
        (
            "a tail call",
            "(return_call $process)",
            Gate(Rule::Proposal),
        ),
        (
            "an atomic",
            "(drop (i32.atomic.load (i32.const 0)))",
            Gate(Rule::Proposal),
        ),
        ("a loop without end", "(loop (br 0))", Fault(fuel)),
        (
            "1 MiB filled for ever",
            "(loop (memory.fill (i32.const 0) (i32.const 7) (i32.const 1048576)) (br 0))",
            Fault(fuel),
        ),
        (
            "1 MiB copied over itself for ever",
            "(loop (memory.copy (i32.const 1) (i32.const 0) (i32.const 1048575)) (br 0))",
            Fault(fuel),
        ),
        (
            "divisions for ever",
            "(local.set $l (i64.const -1)) (loop (local.set $l (i64.div_u (i64.const -1) (i64.or (local.get $l) (i64.const 1)))) (br 0))",
            Fault(fuel),
        ),
        (
            "roots for ever",
            "(local.set $x (f64.const 3)) (loop (local.set $x (f64.sqrt (local.get $x))) (br 0))",
            Fault(fuel),
        ),
        (
            "denormals for ever",
            "(local.set $x (f64.const 1e-310)) (loop (local.set $x (f64.mul (local.get $x) (f64.const 0.9999999))) (br 0))",
            Fault(fuel),
        ),
        (
            "a walk past every cache",
            "(loop (local.set $i (i32.and (i32.mul (i32.add (i32.load (local.get $i)) (i32.add (local.get $i) (i32.const 0x9e3779b9))) (i32.const 0x85ebca6b)) (i32.const 0xffff8))) (br 0))",
            Fault(fuel),
        ),
        (
            "segments dropped for ever",
            "(loop (elem.drop $elements) (data.drop $data) (br 0))",
            Fault(fuel),
        ),
        (
            "indirect calls for ever",
            "(loop (drop (call_indirect (param i32) (result i32) (i32.const 1) (i32.const 1))) (br 0))",
            Fault(fuel),
        ),
        (
            "recursion",
            "(drop (call $process))",
            trap(TrapKind::StackOverflow),
        ),
        (
            "recursion through the table",
            "(drop (call_indirect (result i64) (i32.const 0)))",
            trap(TrapKind::StackOverflow),
        ),
        ("unreachable", "unreachable", trap(TrapKind::Unreachable)),
        (
            "division by zero",
            "(drop (i64.rem_s (i64.const 1) (local.get $l)))",
            trap(TrapKind::DivisionByZero),
        ),
        (
            "the smallest by -1",
            "(drop (i64.div_s (i64.const 0x8000000000000000) (i64.sub (local.get $l) (i64.const 1))))",
            trap(TrapKind::IntegerOverflow),
        ),
        (
            "NaN as an integer",
            "(drop (i32.trunc_f64_s (f64.div (local.get $x) (local.get $x))))",
            trap(TrapKind::BadConversion),
        ),
        (
            "read at the end",
            "(drop (i64.load (i32.const 1048569)))",
            trap(TrapKind::MemoryOutOfBounds),
        ),
        (
            "read at an offset that wraps",
            "(drop (i64.load offset=4294967295 (i32.const -1)))",
            trap(TrapKind::MemoryOutOfBounds),
        ),
        (
            "written before memory",
            "(i32.store8 (i32.const -1) (i32.const 1))",
            trap(TrapKind::MemoryOutOfBounds),
        ),
        (
            "filled over the end",
            "(memory.fill (i32.const 1048575) (i32.const 1) (i32.const 2))",
            trap(TrapKind::MemoryOutOfBounds),
        ),
        (
            "initialised from beyond",
            "(memory.init $data (i32.const 0) (i32.const 2) (i32.const 2))",
            trap(TrapKind::MemoryOutOfBounds),
        ),
        (
            "a call of nothing",
            "(drop (call_indirect (result i64) (i32.const 3)))",
            trap(TrapKind::IndirectCall),
        ),
        (
            "a call of another type",
            "(drop (call_indirect (result i64) (i32.const 1)))",
            trap(TrapKind::IndirectCall),
        ),
        (
            "a call beyond the table",
            "(drop (call_indirect (result i64) (i32.const 4)))",
            trap(TrapKind::TableOutOfBounds),
        ),
        (
            "a trap in the tenth frame",
            "(global.set $n (i32.add (global.get $n) (i32.const 1))) (if (i32.eq (global.get $n) (i32.const 10)) (then unreachable))",
            trap(TrapKind::Unreachable),
        ),
        (
            "its own frame forged",
            "(memory.fill (i32.const 1024) (i32.const 0) (i32.const 96))",
            Answer,
        ),
        (
            "half of memory zeroed",
            "(memory.fill (i32.const 0) (i32.const 0) (i32.const 524288))",
            Answer,
        ),
    ];
    for (name, body, must) in cases {
        all.push(Attack {
            name,
            wasm: process(&format!("{body}{zero}")),
            must: *must,
        });
    }
    for (name, verdict, must) in [
        ("level 3", "(i64.const 3)", Fault(nonsense)),
        ("all bits", "(i64.const -1)", Fault(nonsense)),
        ("normal with a cause", "(i64.const 0x100)", Fault(nonsense)),
        (
            "a cause that nobody named",
            "(i64.const 0x402)",
            Fault(nonsense),
        ),
        (
            "the highest bit",
            "(i64.const 0x8000000000000002)",
            Fault(nonsense),
        ),
        (
            "a verdict that flaps",
            "(i64.and (i64.extend_i32_u (i32.shl (i32.wrap_i64 (i64.load (i32.const 1040))) (i32.const 1))) (i64.const 2))",
            Flap,
        ),
    ] {
        all.push(Attack {
            name,
            wasm: process(verdict),
            must,
        });
    }
}

/// What it writes as its output is the attack.
fn outputs(all: &mut Vec<Attack>) {
    fn of(what: OutputFault) -> Must {
        match what {
            OutputFault::NotFinite => Must::Fault(|f| {
                matches!(
                    f,
                    AnalyzerFault::NonsenseOutput {
                        index: 0,
                        what: OutputFault::NotFinite
                    }
                )
            }),
            OutputFault::OutOfRange => Must::Fault(|f| {
                matches!(
                    f,
                    AnalyzerFault::NonsenseOutput {
                        index: 0,
                        what: OutputFault::OutOfRange
                    }
                )
            }),
            OutputFault::Quality => Must::Fault(|f| {
                matches!(
                    f,
                    AnalyzerFault::NonsenseOutput {
                        index: 0,
                        what: OutputFault::Quality
                    }
                )
            }),
            OutputFault::Reserved => Must::Fault(|f| {
                matches!(
                    f,
                    AnalyzerFault::NonsenseOutput {
                        index: 0,
                        what: OutputFault::Reserved
                    }
                )
            }),
        }
    }
    for (name, bits, quality, reserved, must) in [
        (
            "NaN",
            "0x7ff8000000000000",
            0,
            0,
            of(OutputFault::NotFinite),
        ),
        (
            "NaN that signals, with a message",
            "0x7ff4deadbeefcafe",
            0,
            0,
            of(OutputFault::NotFinite),
        ),
        (
            "NaN, negative, uncertain",
            "0xfff8000000000001",
            1,
            0,
            of(OutputFault::NotFinite),
        ),
        (
            "infinity",
            "0x7ff0000000000000",
            0,
            0,
            of(OutputFault::NotFinite),
        ),
        (
            "beyond the range",
            "0x4059000000000001",
            0,
            0,
            of(OutputFault::OutOfRange),
        ),
        (
            "the largest",
            "0xffefffffffffffff",
            1,
            0,
            of(OutputFault::OutOfRange),
        ),
        ("stale", "0", 3, 0, of(OutputFault::Quality)),
        ("no quality", "0", 0x100, 0, of(OutputFault::Quality)),
        (
            "a message where nothing may be",
            "0",
            0,
            1,
            of(OutputFault::Reserved),
        ),
        ("NaN that is bad", "0x7ff8000000000000", 2, 0, Must::Answer),
        ("a denormal", "1", 0, 0, Must::Answer),
        ("minus zero", "0x8000000000000000", 0, 0, Must::Answer),
    ] {
        let body = format!(
            "(i64.store (i32.const 1120) (i64.const {bits})) (i32.store (i32.const 1128) (i32.const {quality}))
             (i32.store (i32.const 1132) (i32.const {reserved})) (i64.const 0)"
        );
        all.push(Attack {
            name,
            wasm: process(&body),
            must,
        });
    }
}

/// Too much of something, and what a compiler chokes on.
fn sizes(all: &mut Vec<Attack>) {
    use Must::{Compile, Gate};
    let more = |text: &str| wasm(&Parts(WELL).with(MORE, text).text());
    let mut push = |name, wasm, must| all.push(Attack { name, wasm, must });
    push(
        "5,000 functions",
        more(&"(func)".repeat(5_000)),
        Gate(Rule::Functions),
    );
    push(
        "2,000 globals",
        more(&"(global i32 (i32.const 0))".repeat(2_000)),
        Gate(Rule::Globals),
    );
    push(
        "1,001 locals",
        more(&format!("(func {})", "(local i32)".repeat(1_001))),
        Gate(Rule::Locals),
    );
    push(
        "2,000 blocks in one another",
        more(&format!(
            "(func {} {})",
            "(block ".repeat(2_000),
            ")".repeat(2_000)
        )),
        Gate(Rule::Nesting),
    );
    push(
        "a choice of 100,000",
        more(&format!(
            "(func (br_table {} (i32.const 0)))",
            "0 ".repeat(100_000)
        )),
        Gate(Rule::Branches),
    );
    push(
        "a function of 200 KiB",
        more(&format!(
            "(func (local i64) {})",
            "(local.set 0 (i64.add (local.get 0) (i64.const 5)))".repeat(30_000)
        )),
        Gate(Rule::Code),
    );
    push(
        "a module of 2 MiB",
        more(&format!("(data (i32.const 0) \"{}\")", "a".repeat(2 << 20))),
        Gate(Rule::Size),
    );
    push(
        "100 results",
        more(&format!(
            "(func (result {}) unreachable)",
            "i32 ".repeat(100)
        )),
        Gate(Rule::Types),
    );
    let chain = "(local.set 0 (i64.add (local.get 0) (i64.xor (local.get 0) (i64.const 5))))";
    push(
        "the longest function that may be",
        more(&format!(
            "(func (param i64) (result i64) {} (local.get 0))",
            chain.repeat(10_000)
        )),
        Compile,
    );
    push("900 locals that all live", more(&live(900, 400)), Compile);
    push(
        "500 blocks with ways out of each",
        more(&ways_out(500)),
        Compile,
    );
}

/// Locals that are all needed at the end, in so many blocks with a way out of each.
fn live(locals: usize, blocks: usize) -> String {
    let mut text = format!(
        "(func (param i32) (result i32) {}",
        "(local i32)".repeat(locals)
    );
    for block in 0..blocks {
        let local = 1 + block % locals;
        text += &format!(
            "(block (local.set {local} (i32.add (local.get {local}) (local.get 0))) (br_if 0 (local.get {local}))"
        );
    }
    text += &")".repeat(blocks);
    for local in 1..=locals {
        text += &format!("(local.set 0 (i32.add (local.get 0) (local.get {local})))");
    }
    text + "(local.get 0))"
}

fn ways_out(depth: usize) -> String {
    let mut text = String::from("(func (param i32)");
    for level in 0..depth {
        text += "(block (local.set 0 (i32.add (local.get 0) (i32.const 1)))";
        for out in (0..=level).step_by(10) {
            text += &format!("(br_if {out} (local.get 0))");
        }
    }
    text + &")".repeat(depth) + ")"
}

/// What is no module at all, or carries the wrong card.
fn files(all: &mut Vec<Attack>) {
    use Must::Gate;
    let good = wasm(&Parts(WELL).text());
    let bare = wat::parse_str(Parts(WELL).text()).unwrap_or_default();
    let mut push = |name, wasm, must| all.push(Attack { name, wasm, must });
    push("nothing", Vec::new(), Gate(Rule::Invalid));
    push(
        "machine code",
        b"\x7fELF\x02\x01\x01\0".to_vec(),
        Gate(Rule::Invalid),
    );
    push(
        "a component",
        b"\0asm\x0d\0\x01\0".to_vec(),
        Gate(Rule::Proposal),
    );
    push(
        "the first half",
        good.get(..good.len() / 2).unwrap_or_default().to_vec(),
        Gate(Rule::Invalid),
    );
    push("without metadata", bare.clone(), Gate(Rule::Section));
    push(
        "metadata twice",
        [good.clone(), section(METADATA)].concat(),
        Gate(Rule::Section),
    );
    push(
        "another ABI",
        [bare.clone(), section(&METADATA.replace("core/1", "core/2"))].concat(),
        Gate(Rule::Metadata),
    );
    push(
        "metadata that is no JSON",
        [bare.clone(), section("{{{{")].concat(),
        Gate(Rule::Metadata),
    );
    push(
        "metadata nested deep",
        [bare.clone(), section(&"[".repeat(10_000))].concat(),
        Gate(Rule::Metadata),
    );
    push(
        "an area larger than memory",
        [
            bare,
            section(&METADATA.replace("\"samples_max\":16", "\"samples_max\":65536")),
        ]
        .concat(),
        Gate(Rule::Area),
    );
}

/// A custom section with metadata.
fn section(json: &str) -> Vec<u8> {
    let name = rules_sdk_abi::METADATA_SECTION.as_bytes();
    let mut content = length(name.len());
    content.extend_from_slice(name);
    content.extend_from_slice(json.as_bytes());
    let mut section = vec![0];
    section.extend(length(content.len()));
    section.extend(content);
    section
}

/// LEB128.
fn length(mut length: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let [low, ..] = (length & 0x7F).to_le_bytes();
        length >>= 7;
        if length == 0 {
            bytes.push(low);
            return bytes;
        }
        bytes.push(low | 0x80);
    }
}

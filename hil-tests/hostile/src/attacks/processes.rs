//! Modules whose `tl_process` is the attack.

use appliance_sandbox::{AnalyzerFault, TrapKind};
use rules_sdk_gate::Rule;

use super::{Attack, MEMORY, MORE, Must, PROCESS, Parts, WELL, fuel, nonsense, wasm};

/// A module whose `tl_process` is this.
pub(super) fn process(body: &str) -> Vec<u8> {
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
pub(super) fn processes(all: &mut Vec<Attack>) {
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
            "more than its fuel, without a loop",
            "(memory.fill (i32.const 0) (i32.const 0) (i32.const 1048576))",
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

//! Modules in which one part is not as the ABI wants it.

use appliance_sandbox::{AnalyzerError, AnalyzerFault, TrapKind};
use rules_sdk_gate::Rule;

use super::{AREA, Attack, HASH, INIT, MEMORY, MORE, Must, PROCESS, Parts, WELL, fuel, wasm};

/// One part is not as the ABI wants it.
pub(super) fn parts(all: &mut Vec<Attack>) {
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

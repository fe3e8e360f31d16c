//! Modules that write what they must not.

use appliance_sandbox::{AnalyzerFault, OutputFault};

use super::processes::process;
use super::{Attack, Must};

/// What it writes as its output is the attack.
pub(super) fn outputs(all: &mut Vec<Attack>) {
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

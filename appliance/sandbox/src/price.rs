//! What operators cost in fuel.
//!
//! Wasmtime charges one unit for every operator, whatever it takes: then the same fuel buys thirty times more time when it is
//! spent on dropping element segments than on additions. This table makes a unit worth about the same everywhere, on the
//! slower of the processors that a gateway has (64-bit division took 40 to 90 cycles before Ice Lake, a square
//! root up to 20: Agner Fog, "Instruction tables"). What it comes to is measured by
//! `cargo bench -p appliance-sandbox --features compile --bench analyzers -- fuel`; the figures are in `docs/benchmarks.md`.
//!
//! Prices are part of the ahead-of-time code: an artefact made under another table is refused when it is loaded. The rules'
//! compiler computes with the same ([`limits::FUEL_F64_DIV`], [`limits::FUEL_F64_SQRT`]); of what it emits nothing
//! else costs more than one.

use rt_config::limits;
use wasmtime::{OperatorCost, VariableOperatorCost};

/// Integer division of 32 bits, and the remainder.
const DIVIDE_32: u8 = 8;
/// The same of 64 bits.
const DIVIDE_64: u8 = 16;
/// Rounding of floats to whole floats: one instruction, slower than an addition.
const ROUND: u8 = 3;
/// Floats to integers: several instructions, and checks.
const TRUNCATE: u8 = 3;
/// A call: fuel is stored and read again, the stack and the epoch are checked.
const CALL: u8 = 6;
/// The same through the table, with a check of the type.
const CALL_INDIRECT: u8 = 8;
/// A bulk operation on memory, besides its bytes: a call into the host.
const BULK: u8 = 8;
/// A bulk operation on the table, besides its elements.
const BULK_TABLE: u8 = 30;
/// What the gate refuses: asks the operating system for memory. Dear, should it ever be let through.
const GROW: u8 = u8::MAX;

/// The table for compiler and guard alike.
pub(crate) fn prices() -> OperatorCost {
    OperatorCost {
        I32DivS: DIVIDE_32,
        I32DivU: DIVIDE_32,
        I32RemS: DIVIDE_32,
        I32RemU: DIVIDE_32,
        I64DivS: DIVIDE_64,
        I64DivU: DIVIDE_64,
        I64RemS: DIVIDE_64,
        I64RemU: DIVIDE_64,
        F32Div: limits::FUEL_F32_DIV,
        F64Div: limits::FUEL_F64_DIV,
        F32Sqrt: limits::FUEL_F32_SQRT,
        F64Sqrt: limits::FUEL_F64_SQRT,
        F32Ceil: ROUND,
        F32Floor: ROUND,
        F32Trunc: ROUND,
        F32Nearest: ROUND,
        F64Ceil: ROUND,
        F64Floor: ROUND,
        F64Trunc: ROUND,
        F64Nearest: ROUND,
        I32TruncF32S: TRUNCATE,
        I32TruncF32U: TRUNCATE,
        I32TruncF64S: TRUNCATE,
        I32TruncF64U: TRUNCATE,
        I64TruncF32S: TRUNCATE,
        I64TruncF32U: TRUNCATE,
        I64TruncF64S: TRUNCATE,
        I64TruncF64U: TRUNCATE,
        I32TruncSatF32S: TRUNCATE,
        I32TruncSatF32U: TRUNCATE,
        I32TruncSatF64S: TRUNCATE,
        I32TruncSatF64U: TRUNCATE,
        I64TruncSatF32S: TRUNCATE,
        I64TruncSatF32U: TRUNCATE,
        I64TruncSatF64S: TRUNCATE,
        I64TruncSatF64U: TRUNCATE,
        // Two conversions and a choice between them.
        F32ConvertI64U: ROUND,
        F64ConvertI64U: ROUND,
        Call: CALL,
        CallIndirect: CALL_INDIRECT,
        MemoryFill: BULK,
        MemoryCopy: BULK,
        MemoryInit: BULK,
        DataDrop: BULK,
        TableFill: BULK_TABLE,
        TableCopy: BULK_TABLE,
        TableInit: BULK_TABLE,
        ElemDrop: BULK_TABLE,
        TableGet: CALL_INDIRECT,
        TableSet: CALL_INDIRECT,
        RefFunc: BULK_TABLE,
        MemoryGrow: GROW,
        TableGrow: GROW,
        variable: VariableOperatorCost {
            // A byte for a unit is dear for what a copy takes; it bounds how long one that nothing interrupts may be.
            memory_copy_per_byte: 1,
            memory_fill_per_byte: 1,
            memory_init_per_byte: 1,
            memory_grow_per_page: GROW,
            table_copy_per_element: 2,
            table_fill_per_element: 2,
            table_init_per_element: 4,
            table_grow_per_element: GROW,
            ..VariableOperatorCost::new()
        },
        ..OperatorCost::new()
    }
}

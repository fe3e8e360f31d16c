//! The WebAssembly form: one module for a lane's rules, straight-line code, nothing that can trap or loop.
//!
//! Layout, shared with the host that fills it:
//! - memory `memory`, minimum equal to maximum, at least one page, at most `RULE_MEMORY_BYTES_MAX`;
//! - slot `i`: binary64 little-endian at byte `16 * i`, 32-bit usable flag (0 or 1) at byte `16 * i + 8`;
//! - rule `i`: export `r{i}`, `(hold: i32) -> i32` with [`crate::Tri::code`]'s values; `hold` is 0 or 1.
//!
//! Inside, an unusable number is a NaN: it survives every operation by itself, and comparisons test for it. An
//! infinity would not survive (1 / (1 / 0) is 0), so it becomes a NaN where it arises: `x + (x - x)` is x for a
//! finite x and a NaN otherwise. The sign of a zero may get lost on the way; nothing in the language can see it, since
//! dividing by either zero is unusable. Which NaN it is cannot be seen either. No imports, start, table or data; only
//! operators of the first release of WebAssembly (2017).
//!
//! Which thread: the pack compiler's, never a lane's. May it block: no. Worst case: linear in the operations.
//! Hazards: H-35 and H-38 (no loop, no trap), H-36 (no memory growth, a few hundred fuel), H-42 (compared with the
//! native evaluator).

use crate::ir::{Op, Program, ProgramError};
use rt_config::limits::{RULE_MEMORY_BYTES_MAX, RULES_MAX};
use std::fmt;
use wasm_encoder::{
    CodeSection, ExportKind, ExportSection, Function, FunctionSection, InstructionSink, MemArg,
    MemArgTarget, MemorySection, MemoryType, Module, TypeSection, ValType,
};

/// Bytes of one slot: eight for the value, four for the flag, four unused so that values stay aligned.
pub const SLOT_BYTES: usize = 16;
/// Byte of the usable flag within a slot.
pub const USABLE_OFFSET: usize = 8;
/// Bytes of one page of WebAssembly memory.
pub const PAGE_BYTES: usize = 65_536;
/// Most slots a module can have.
pub const SLOTS_MAX: usize = RULE_MEMORY_BYTES_MAX / SLOT_BYTES;
/// Name of the exported memory.
pub const MEMORY_EXPORT: &str = "memory";

const _: () = assert!(
    RULE_MEMORY_BYTES_MAX.is_multiple_of(PAGE_BYTES),
    "memory comes in pages"
);

/// Why no module is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ModuleError {
    /// More rules than `RULES_MAX`.
    TooManyRules {
        /// How many there are.
        received: usize,
    },
    /// More slots than [`SLOTS_MAX`].
    TooManySlots {
        /// How many there are.
        received: u32,
    },
    /// A program does not fit the slots.
    Program {
        /// Index of the rule.
        rule: usize,
        /// What is wrong with it.
        cause: ProgramError,
    },
}

impl fmt::Display for ModuleError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooManyRules { received } => write!(
                f,
                "{received} rules in one lane, at most {RULES_MAX}; give some of them to another lane"
            ),
            Self::TooManySlots { received } => write!(
                f,
                "{received} slots (tags, windows, ages) in one lane, at most {SLOTS_MAX}; give some rules to another lane"
            ),
            Self::Program { rule, cause } => write!(f, "rule {rule}: {cause}"),
        }
    }
}

impl std::error::Error for ModuleError {}

/// The name under which rule `index` is exported.
pub fn rule_export(index: usize) -> String {
    format!("r{index}")
}

/// Pages of memory a module with this many slots has.
pub fn pages(slots: u32) -> u64 {
    let slots = u64::from(slots);
    (slots * SLOT_BYTES as u64)
        .div_ceil(PAGE_BYTES as u64)
        .max(1)
}

/// Makes the module of a lane: function `i` is `programs[i]`.
///
/// # Errors
/// Too many rules or slots, or a program that asks for a slot beyond `slots`.
pub fn module(programs: &[&Program], slots: u32) -> Result<Vec<u8>, ModuleError> {
    if programs.len() > RULES_MAX {
        return Err(ModuleError::TooManyRules {
            received: programs.len(),
        });
    }
    let slot_count = usize::try_from(slots).unwrap_or(usize::MAX);
    if slot_count > SLOTS_MAX {
        return Err(ModuleError::TooManySlots { received: slots });
    }
    for (rule, program) in programs.iter().enumerate() {
        program
            .check(slot_count)
            .map_err(|cause| ModuleError::Program { rule, cause })?;
    }

    let mut types = TypeSection::new();
    types.ty().function([ValType::I32], [ValType::I32]);
    let mut memories = MemorySection::new();
    memories.memory(MemoryType {
        minimum: pages(slots),
        maximum: Some(pages(slots)),
        memory64: false,
        shared: false,
        page_size_log2: None,
    });
    let mut functions = FunctionSection::new();
    let mut exports = ExportSection::new();
    let mut code = CodeSection::new();
    exports.export(MEMORY_EXPORT, ExportKind::Memory, 0);
    for (index, program) in (0_u32..).zip(programs) {
        functions.function(0);
        exports.export(&format!("r{index}"), ExportKind::Func, index);
        code.function(&function(program));
    }
    let mut module = Module::new();
    module
        .section(&types)
        .section(&functions)
        .section(&memories)
        .section(&exports)
        .section(&code);
    Ok(module.finish())
}

/// The function's only parameter.
const HOLD: u32 = 0;
// Scratch locals, never live from one operation to the next.
const A: u32 = 1;
const B: u32 = 2;
const P: u32 = 3;
const Q: u32 = 4;

const FALSE: i32 = 0;
const BAD: i32 = 2;

fn function(program: &Program) -> Function {
    let mut function = Function::new([(2, ValType::F64), (2, ValType::I32)]);
    let mut sink = function.instructions();
    for op in program.ops() {
        emit(&mut sink, *op);
    }
    sink.end();
    function
}

fn emit(sink: &mut InstructionSink<'_>, op: Op) {
    match op {
        Op::Slot(slot) => {
            load(sink, slot);
            finite_or_nan(sink);
        }
        Op::SlotBool(slot) => {
            load(sink, slot);
            sink.local_tee(A)
                .f64_const(1.0.into())
                .f64_eq()
                .local_tee(P);
            sink.i32_const(BAD);
            sink.local_get(P);
            sink.local_get(A).f64_const(0.0.into()).f64_eq();
            sink.i32_or().select();
        }
        Op::Const(value) => {
            sink.f64_const(value.into());
        }
        Op::Bool(value) => {
            sink.i32_const(i32::from(value));
        }
        Op::HoldOffset(value) => {
            sink.f64_const(value.into()).f64_const(0.0.into());
            sink.local_get(HOLD).select();
        }
        Op::Add => arithmetic(sink, |sink| sink.f64_add()),
        Op::Sub => arithmetic(sink, |sink| sink.f64_sub()),
        Op::Mul => arithmetic(sink, |sink| sink.f64_mul()),
        Op::Div => arithmetic(sink, |sink| sink.f64_div()),
        // These give a finite number or a NaN when their operands are finite numbers or NaNs.
        Op::Min => {
            sink.f64_min();
        }
        Op::Max => {
            sink.f64_max();
        }
        Op::Neg => {
            sink.f64_neg();
        }
        Op::Abs => {
            sink.f64_abs();
        }
        Op::Sqrt => {
            sink.f64_sqrt();
        }
        Op::Less => compare(sink, |sink| sink.f64_lt()),
        Op::LessEqual => compare(sink, |sink| sink.f64_le()),
        Op::Greater => compare(sink, |sink| sink.f64_gt()),
        Op::GreaterEqual => compare(sink, |sink| sink.f64_ge()),
        Op::Equal => compare(sink, |sink| sink.f64_eq()),
        Op::NotEqual => compare(sink, |sink| sink.f64_ne()),
        Op::And => {
            // The product is 0 if either is false, 1 if both are true, 2 or 4 otherwise; 4 >> 1 is 2.
            sink.i32_mul().local_tee(P);
            sink.local_get(P).i32_const(2).i32_shr_u();
            sink.i32_shr_u();
        }
        Op::Or => {
            // 0 | 2 is 2 and 1 | anything has bit 0: then bit 1 is cleared.
            sink.i32_or().local_tee(P);
            sink.local_get(P).i32_const(1).i32_shl();
            sink.i32_const(-1).i32_xor().i32_and();
        }
        Op::Not => {
            // Is it 0; bit 1 stays.
            sink.local_tee(P).i32_eqz();
            sink.local_get(P).i32_const(2).i32_and();
            sink.i32_or();
        }
        Op::Same => {
            sink.local_set(Q).local_tee(P).local_get(Q).i32_eq();
            sink.i32_const(BAD);
            sink.local_get(P).local_get(Q).i32_or();
            sink.i32_const(BAD).i32_lt_u().select();
        }
        Op::Choose => {
            sink.local_tee(P).select();
            sink.f64_const(f64::NAN.into());
            sink.local_get(P).i32_const(BAD).i32_ne().select();
        }
        Op::ChooseBool => {
            sink.local_tee(P).select();
            sink.i32_const(BAD);
            sink.local_get(P).i32_const(BAD).i32_ne().select();
        }
    }
}

/// Pushes the slot's value, or a NaN when its flag is 0.
fn load(sink: &mut InstructionSink<'_>, slot: u32) {
    let base = u64::from(slot) * SLOT_BYTES as u64;
    sink.i32_const(FALSE).f64_load(MemArg {
        offset: base,
        align: 3,
        target: MemArgTarget::Memory(0),
        ordering: None,
    });
    sink.f64_const(f64::NAN.into());
    sink.i32_const(FALSE).i32_load(MemArg {
        offset: base + USABLE_OFFSET as u64,
        align: 2,
        target: MemArgTarget::Memory(0),
        ordering: None,
    });
    sink.select();
}

/// Turns an infinity into a NaN.
fn finite_or_nan(sink: &mut InstructionSink<'_>) {
    sink.local_tee(A)
        .local_get(A)
        .local_get(A)
        .f64_sub()
        .f64_add();
}

type Emit = for<'a, 'b> fn(&'a mut InstructionSink<'b>) -> &'a mut InstructionSink<'b>;

fn arithmetic(sink: &mut InstructionSink<'_>, operation: Emit) {
    operation(sink);
    finite_or_nan(sink);
}

/// Bad if either is a NaN: then their difference is one (finite operands may overflow to an infinity, not to a NaN).
fn compare(sink: &mut InstructionSink<'_>, relation: Emit) {
    sink.local_set(B).local_tee(A).local_get(B);
    relation(sink);
    sink.i32_const(BAD);
    sink.local_get(A).local_get(B).f64_sub();
    sink.local_tee(A).local_get(A).f64_eq().select();
}

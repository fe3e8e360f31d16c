//! Just enough of WebAssembly to run a rule module in a test without an engine: the operators that the compiler emits,
//! by their definition in the specification. Anything else is a failed test.

use crate::{SlotValue, wasm};
use wasmparser::{Operator, Parser, Payload};

#[derive(Clone, Copy, Debug)]
enum Cell {
    I32(i32),
    F64(f64),
}

impl Cell {
    fn i32(self) -> i32 {
        match self {
            Self::I32(value) => value,
            Self::F64(_) => panic!("an i32 was expected"),
        }
    }

    fn f64(self) -> f64 {
        match self {
            Self::F64(value) => value,
            Self::I32(_) => panic!("an f64 was expected"),
        }
    }
}

/// The memory that holds `slots`, laid out as documented.
pub(crate) fn memory(slots: &[SlotValue]) -> Vec<u8> {
    let mut bytes = vec![0; slots.len() * wasm::SLOT_BYTES];
    for (chunk, slot) in bytes.chunks_exact_mut(wasm::SLOT_BYTES).zip(slots) {
        chunk[..8].copy_from_slice(&slot.value.to_le_bytes());
        chunk[wasm::USABLE_OFFSET..wasm::USABLE_OFFSET + 4]
            .copy_from_slice(&i32::from(slot.usable).to_le_bytes());
    }
    bytes
}

/// Runs the only function of `module`.
pub(crate) fn run(module: &[u8], memory: &[u8], hold: bool) -> i32 {
    for payload in Parser::new(0).parse_all(module) {
        if let Payload::CodeSectionEntry(body) = payload.unwrap() {
            let mut locals = vec![Cell::I32(i32::from(hold))];
            for local in body.get_locals_reader().unwrap() {
                let (count, kind) = local.unwrap();
                let zero = match kind {
                    wasmparser::ValType::F64 => Cell::F64(0.0),
                    _ => Cell::I32(0),
                };
                locals.extend(vec![zero; count as usize]);
            }
            let mut stack = Vec::new();
            for operator in body.get_operators_reader().unwrap() {
                step(&operator.unwrap(), &mut stack, &mut locals, memory);
            }
            assert_eq!(stack.len(), 1, "one result");
            return stack[0].i32();
        }
    }
    panic!("a module without code");
}

fn min(a: f64, b: f64) -> f64 {
    if a.is_nan() || b.is_nan() {
        f64::NAN
    } else {
        a.min(b)
    }
}

fn max(a: f64, b: f64) -> f64 {
    if a.is_nan() || b.is_nan() {
        f64::NAN
    } else {
        a.max(b)
    }
}

#[expect(clippy::float_cmp, reason = "f64.eq and f64.ne of the specification")]
fn step(operator: &Operator<'_>, stack: &mut Vec<Cell>, locals: &mut [Cell], memory: &[u8]) {
    let mut pop = || stack.pop().unwrap();
    let result = match *operator {
        Operator::I32Const { value } => Cell::I32(value),
        Operator::F64Const { value } => Cell::F64(f64::from_bits(value.bits())),
        Operator::LocalGet { local_index } => locals[local_index as usize],
        Operator::LocalSet { local_index } => {
            locals[local_index as usize] = pop();
            return;
        }
        Operator::LocalTee { local_index } => {
            let value = pop();
            locals[local_index as usize] = value;
            value
        }
        Operator::F64Load { memarg } => {
            let at = pop().i32() as usize + memarg.offset as usize;
            Cell::F64(f64::from_le_bytes(memory[at..at + 8].try_into().unwrap()))
        }
        Operator::I32Load { memarg } => {
            let at = pop().i32() as usize + memarg.offset as usize;
            Cell::I32(i32::from_le_bytes(memory[at..at + 4].try_into().unwrap()))
        }
        Operator::Select => {
            let (condition, b, a) = (pop().i32(), pop(), pop());
            if condition == 0 { b } else { a }
        }
        Operator::I32Eqz => Cell::I32(i32::from(pop().i32() == 0)),
        Operator::F64Neg => Cell::F64(-pop().f64()),
        Operator::F64Abs => Cell::F64(pop().f64().abs()),
        Operator::F64Sqrt => Cell::F64(pop().f64().sqrt()),
        Operator::End => return,
        _ => {
            let (b, a) = (pop(), pop());
            match (a, b) {
                (Cell::I32(a), Cell::I32(b)) => Cell::I32(integers(operator, a, b)),
                _ => floats(operator, a.f64(), b.f64()),
            }
        }
    };
    stack.push(result);

    fn integers(operator: &Operator<'_>, a: i32, b: i32) -> i32 {
        match operator {
            Operator::I32Eq => i32::from(a == b),
            Operator::I32Ne => i32::from(a != b),
            Operator::I32LtU => i32::from((a as u32) < b as u32),
            Operator::I32Mul => a.wrapping_mul(b),
            Operator::I32And => a & b,
            Operator::I32Or => a | b,
            Operator::I32Xor => a ^ b,
            Operator::I32Shl => a.wrapping_shl(b as u32),
            Operator::I32ShrU => (a as u32).wrapping_shr(b as u32) as i32,
            other => panic!("{other:?} is not expected in a rule"),
        }
    }

    fn floats(operator: &Operator<'_>, a: f64, b: f64) -> Cell {
        match operator {
            Operator::F64Eq => Cell::I32(i32::from(a == b)),
            Operator::F64Ne => Cell::I32(i32::from(a != b)),
            Operator::F64Lt => Cell::I32(i32::from(a < b)),
            Operator::F64Le => Cell::I32(i32::from(a <= b)),
            Operator::F64Gt => Cell::I32(i32::from(a > b)),
            Operator::F64Ge => Cell::I32(i32::from(a >= b)),
            Operator::F64Add => Cell::F64(a + b),
            Operator::F64Sub => Cell::F64(a - b),
            Operator::F64Mul => Cell::F64(a * b),
            Operator::F64Div => Cell::F64(a / b),
            Operator::F64Min => Cell::F64(min(a, b)),
            Operator::F64Max => Cell::F64(max(a, b)),
            other => panic!("{other:?} is not expected in a rule"),
        }
    }
}

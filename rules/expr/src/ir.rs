//! Compiled expressions: postfix operations, verified before anything evaluates them.
//!
//! Which thread: built off the lane, read by it. May it block: no. Worst case: verification is one pass over at most
//! `EXPRESSION_OPS_MAX` operations.
//! Hazards: H-48 (a slot that does not exist), H-67 (a program that did not come from the compiler).

use rt_config::limits::{EXPRESSION_DEPTH_MAX, EXPRESSION_OPS_MAX, FUEL_F64_DIV, FUEL_F64_SQRT};
use serde::{Deserialize, Serialize};
use std::fmt;

/// Three-valued truth. `Bad` is neither: something the answer depends on was not usable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[repr(u8)]
pub enum Tri {
    /// The condition is not present.
    False = 0,
    /// The condition is present.
    True = 1,
    /// It cannot be told. Never treated as `False`.
    Bad = 2,
}

impl Tri {
    /// What a compiled rule returns for this value.
    pub const fn code(self) -> i32 {
        match self {
            Self::False => 0,
            Self::True => 1,
            Self::Bad => 2,
        }
    }

    /// From what a compiled rule returned; anything but 0, 1 and 2 is `None`, which is a fault of the evaluator.
    pub const fn from_code(code: i32) -> Option<Self> {
        match code {
            0 => Some(Self::False),
            1 => Some(Self::True),
            2 => Some(Self::Bad),
            _ => None,
        }
    }
}

/// One input as the lane hands it over.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SlotValue {
    /// In the unit the expression was compiled for; booleans are 0.0 and 1.0.
    pub value: f64,
    /// False for bad and stale. A value that is not finite is never usable, whatever this says.
    pub usable: bool,
}

/// One operation on a stack of numbers and truth values. Operands are popped right to left.
///
/// A number is usable or not; an operation on an unusable number, or one whose result is not finite, gives an
/// unusable number.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub enum Op {
    /// Pushes the number in this slot.
    Slot(u32),
    /// Pushes the truth value in this slot: 1.0 is true, 0.0 is false, anything else is bad.
    SlotBool(u32),
    /// Pushes a finite constant.
    Const(f64),
    /// Pushes a constant truth value.
    Bool(bool),
    /// Pushes this finite number while the rule is held, else 0: the dead band.
    HoldOffset(f64),
    /// a + b.
    Add,
    /// a - b.
    Sub,
    /// a * b.
    Mul,
    /// a / b; unusable when b is zero.
    Div,
    /// The smaller of two.
    Min,
    /// The larger of two.
    Max,
    /// -a.
    Neg,
    /// |a|.
    Abs,
    /// The square root; unusable for a negative number.
    Sqrt,
    /// a < b; bad when either is unusable, as for all comparisons.
    Less,
    /// a <= b.
    LessEqual,
    /// a > b.
    Greater,
    /// a >= b.
    GreaterEqual,
    /// a == b, exactly.
    Equal,
    /// a != b, exactly.
    NotEqual,
    /// Kleene's conjunction: false if either is false, else bad if either is bad, else true.
    And,
    /// Kleene's disjunction: true if either is true, else bad if either is bad, else false.
    Or,
    /// Negation; bad stays bad.
    Not,
    /// True if both truth values are the same; bad if either is bad.
    Same,
    /// Pops condition, b, a; pushes a or b, both numbers; unusable when the condition is bad.
    Choose,
    /// As [`Op::Choose`] with truth values; bad when the condition is bad.
    ChooseBool,
}

#[expect(clippy::as_conversions, reason = "`u64::from` is not const")]
const fn price(fuel: u8) -> u64 {
    fuel as u64
}

#[expect(clippy::as_conversions, reason = "`u64::from` is not const")]
const fn word(slot: u32) -> u64 {
    slot as u64
}

/// Fuel that wasmtime charges for entering a function, before its first operator.
///
/// Source: wasmtime 48, `FuncEnvironment::new` ("even empty functions should consume at least some fuel").
pub const FUEL_ENTRY: u64 = 1;

/// The most fuel one operation takes.
pub const OP_FUEL_MAX: u64 = 17;

impl Op {
    /// How many WebAssembly operators the operation becomes. A test counts them in the emitted module.
    pub const fn instructions(self) -> u64 {
        match self {
            Self::Slot(_) => 11,
            Self::SlotBool(_) => 17,
            Self::Const(_) | Self::Bool(_) | Self::Min | Self::Max => 1,
            Self::Neg | Self::Abs | Self::Sqrt => 1,
            Self::HoldOffset(_) => 4,
            Self::Add | Self::Sub | Self::Mul | Self::Div => 6,
            Self::Less
            | Self::LessEqual
            | Self::Greater
            | Self::GreaterEqual
            | Self::Equal
            | Self::NotEqual => 12,
            Self::And | Self::Not => 6,
            Self::Or => 8,
            Self::Same => 11,
            Self::Choose | Self::ChooseBool => 7,
        }
    }

    /// Fuel of the operation: 1 for each operator, except for the two that take longer and are priced so.
    pub const fn fuel(self) -> u64 {
        let dearer = match self {
            Self::Div => FUEL_F64_DIV,
            Self::Sqrt => FUEL_F64_SQRT,
            _ => 1,
        };
        self.instructions()
            .saturating_add(price(dearer))
            .saturating_sub(1)
    }

    /// The operation as two words: which one, and its operand. Different operations give different words.
    pub const fn words(self) -> (u64, u64) {
        match self {
            Self::Slot(slot) => (1, word(slot)),
            Self::SlotBool(slot) => (2, word(slot)),
            Self::Const(value) => (3, value.to_bits()),
            Self::Bool(value) => (4, if value { 1 } else { 0 }),
            Self::HoldOffset(value) => (5, value.to_bits()),
            Self::Add => (6, 0),
            Self::Sub => (7, 0),
            Self::Mul => (8, 0),
            Self::Div => (9, 0),
            Self::Min => (10, 0),
            Self::Max => (11, 0),
            Self::Neg => (12, 0),
            Self::Abs => (13, 0),
            Self::Sqrt => (14, 0),
            Self::Less => (15, 0),
            Self::LessEqual => (16, 0),
            Self::Greater => (17, 0),
            Self::GreaterEqual => (18, 0),
            Self::Equal => (19, 0),
            Self::NotEqual => (20, 0),
            Self::And => (21, 0),
            Self::Or => (22, 0),
            Self::Not => (23, 0),
            Self::Same => (24, 0),
            Self::Choose => (25, 0),
            Self::ChooseBool => (26, 0),
        }
    }

    /// Operands and result, for verification.
    const fn signature(self) -> (&'static [Kind], Kind) {
        use Kind::{Number, Truth};
        match self {
            Self::Slot(_) | Self::Const(_) | Self::HoldOffset(_) => (&[], Number),
            Self::SlotBool(_) | Self::Bool(_) => (&[], Truth),
            Self::Add | Self::Sub | Self::Mul | Self::Div | Self::Min | Self::Max => {
                (&[Number, Number], Number)
            }
            Self::Neg | Self::Abs | Self::Sqrt => (&[Number], Number),
            Self::Less
            | Self::LessEqual
            | Self::Greater
            | Self::GreaterEqual
            | Self::Equal
            | Self::NotEqual => (&[Number, Number], Truth),
            Self::And | Self::Or | Self::Same => (&[Truth, Truth], Truth),
            Self::Not => (&[Truth], Truth),
            Self::Choose => (&[Number, Number, Truth], Number),
            Self::ChooseBool => (&[Truth, Truth, Truth], Truth),
        }
    }
}

/// Wasmtime's fuel for one call of the function that `ops` become, with the sandbox's cost table: every operator costs
/// one, a division and a square root more, `end` nothing. The code has no branches, so this is not a bound but the exact amount, for every input.
pub fn fuel_of(ops: &[Op]) -> u64 {
    ops.iter()
        .fold(FUEL_ENTRY, |fuel, op| fuel.saturating_add(op.fuel()))
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Number,
    Truth,
}

/// Why a program is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProgramError {
    /// No operations at all.
    Empty,
    /// More operations than `EXPRESSION_OPS_MAX`.
    TooManyOps {
        /// How many there are.
        received: usize,
    },
    /// The stack would be deeper than `EXPRESSION_DEPTH_MAX`.
    TooDeep {
        /// Index of the operation.
        at: usize,
    },
    /// An operation finds too few operands, or one of the wrong kind.
    Operand {
        /// Index of the operation.
        at: usize,
    },
    /// A constant that is not finite.
    NotFinite {
        /// Index of the operation.
        at: usize,
    },
    /// A slot that the lane does not have.
    Slot {
        /// Index of the operation.
        at: usize,
        /// The slot it asks for.
        received: u32,
        /// How many slots there are.
        slots: usize,
    },
    /// The operations do not leave exactly one truth value.
    Result,
}

impl fmt::Display for ProgramError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => write!(f, "a program without operations")?,
            Self::TooManyOps { received } => write!(
                f,
                "{received} operations, at most {EXPRESSION_OPS_MAX} are allowed"
            )?,
            Self::TooDeep { at } => write!(
                f,
                "operation {at} needs a stack deeper than {EXPRESSION_DEPTH_MAX}"
            )?,
            Self::Operand { at } => {
                write!(f, "operation {at} does not find the operands it needs")?
            }
            Self::NotFinite { at } => {
                write!(f, "operation {at} holds a constant that is not finite")?
            }
            Self::Slot {
                at,
                received,
                slots,
            } => write!(
                f,
                "operation {at} asks for slot {received}, there are {slots}"
            )?,
            Self::Result => write!(f, "the operations do not leave exactly one truth value")?,
        }
        write!(f, "; build the bundle again from its pack")
    }
}

impl std::error::Error for ProgramError {}

/// A compiled rule. Whatever its origin, its operations have been verified: stack discipline, kinds, limits, finite
/// constants. Slot indices depend on the lane: see [`Program::check`].
///
/// Serialised as its operations only; fuel and depth are computed anew, so that a stored program cannot lie about them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(into = "Vec<Op>", try_from = "Vec<Op>")]
pub struct Program {
    ops: Vec<Op>,
    fuel: u64,
    depth: u16,
}

impl From<Program> for Vec<Op> {
    fn from(program: Program) -> Self {
        program.ops
    }
}

impl TryFrom<Vec<Op>> for Program {
    type Error = ProgramError;

    fn try_from(ops: Vec<Op>) -> Result<Self, ProgramError> {
        Self::new(ops)
    }
}

impl Program {
    /// Verifies `ops` and computes fuel and depth.
    ///
    /// # Errors
    /// The first thing that is wrong with them.
    pub fn new(ops: Vec<Op>) -> Result<Self, ProgramError> {
        let depth = verify(&ops)?;
        Ok(Self {
            fuel: fuel_of(&ops),
            depth,
            ops,
        })
    }

    /// Verifies that every slot exists among `slots` many (and, cheaply, everything else once more).
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn check(&self, slots: usize) -> Result<(), ProgramError> {
        verify(&self.ops)?;
        for (at, op) in self.ops.iter().enumerate() {
            if let Op::Slot(received) | Op::SlotBool(received) = *op {
                if usize::try_from(received).is_ok_and(|slot| slot < slots) {
                    continue;
                }
                return Err(ProgramError::Slot {
                    at,
                    received,
                    slots,
                });
            }
        }
        Ok(())
    }

    /// The same program with slot `i` replaced by `slots[i]`. A slot that is not listed stays, to be found by
    /// [`Program::check`].
    pub(crate) fn with_slots(&self, slots: &[u32]) -> Self {
        let linked = |slot: u32| {
            let listed = usize::try_from(slot).ok().and_then(|at| slots.get(at));
            listed.copied().unwrap_or(slot)
        };
        let mut program = self.clone();
        for op in &mut program.ops {
            if let Op::Slot(slot) | Op::SlotBool(slot) = op {
                *slot = linked(*slot);
            }
        }
        program
    }

    /// The operations, in order of evaluation.
    pub fn ops(&self) -> &[Op] {
        &self.ops
    }

    /// Exact wasmtime fuel of one call (see [`fuel_of`]).
    pub fn fuel(&self) -> u64 {
        self.fuel
    }

    /// Most values on the stack at a time; at least 1, at most `EXPRESSION_DEPTH_MAX`.
    pub fn depth(&self) -> u16 {
        self.depth
    }
}

/// Runs the operations on kinds instead of values; returns the deepest stack.
fn verify(ops: &[Op]) -> Result<u16, ProgramError> {
    if ops.is_empty() {
        return Err(ProgramError::Empty);
    }
    if ops.len() > EXPRESSION_OPS_MAX {
        return Err(ProgramError::TooManyOps {
            received: ops.len(),
        });
    }
    let mut stack: Vec<Kind> = Vec::with_capacity(EXPRESSION_DEPTH_MAX);
    let mut depth = 0_usize;
    for (at, op) in ops.iter().enumerate() {
        if let Op::Const(number) | Op::HoldOffset(number) = op
            && !number.is_finite()
        {
            return Err(ProgramError::NotFinite { at });
        }
        let (operands, result) = op.signature();
        for kind in operands.iter().rev() {
            if stack.pop() != Some(*kind) {
                return Err(ProgramError::Operand { at });
            }
        }
        if stack.len() == EXPRESSION_DEPTH_MAX {
            return Err(ProgramError::TooDeep { at });
        }
        stack.push(result);
        depth = depth.max(stack.len());
    }
    if stack != [Kind::Truth] {
        return Err(ProgramError::Result);
    }
    u16::try_from(depth).map_err(|_| ProgramError::TooDeep { at: ops.len() })
}

const _: () = assert!(EXPRESSION_DEPTH_MAX <= 65_535, "a depth is 16 bits");

#[cfg(test)]
mod tests;

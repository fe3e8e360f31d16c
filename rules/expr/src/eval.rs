//! The native evaluator: the second of two, so that a fault of the first shows as a difference.
//!
//! It shares nothing with the WebAssembly form but the operations: here a number carries a flag, there an unusable
//! number is a NaN; here truth is an enum, there arithmetic on 0, 1 and 2.
//!
//! Which thread: the lane. May it block: no. Worst case: `EXPRESSION_OPS_MAX` operations of constant time; no
//! allocation, no panic, no loop but the one over the operations.
//! Hazards: H-21 (non-finite input), H-38 (nothing traps), H-42 (the comparison that finds a miscompilation).
#![deny(
    clippy::indexing_slicing,
    clippy::as_conversions,
    clippy::arithmetic_side_effects
)]

use crate::ir::{Op, Program, SlotValue, Tri};
use rt_config::limits::EXPRESSION_DEPTH_MAX;

/// Stack of most rules; a short one is cheaper to clear than the deepest.
const SHALLOW: usize = 8;

/// Evaluates `program` on the lane's `slots`. `hold` is true while the rule is active: then its dead band applies.
///
/// A program that passed [`Program::check`] for this number of slots always has an answer. Should a slot be missing
/// nevertheless, the answer is [`Tri::Bad`].
pub fn eval(program: &Program, slots: &[SlotValue], hold: bool) -> Tri {
    let result = if usize::from(program.depth()) <= SHALLOW {
        run::<SHALLOW>(program.ops(), slots, hold)
    } else {
        run::<EXPRESSION_DEPTH_MAX>(program.ops(), slots, hold)
    };
    result.unwrap_or(Tri::Bad)
}

#[derive(Clone, Copy)]
struct Number {
    value: f64,
    usable: bool,
}

#[derive(Clone, Copy)]
enum Cell {
    Number(Number),
    Truth(Tri),
}

struct Stack<const N: usize> {
    cells: [Cell; N],
    top: usize,
}

impl<const N: usize> Stack<N> {
    #[inline]
    fn push(&mut self, cell: Cell) -> Option<()> {
        *self.cells.get_mut(self.top)? = cell;
        self.top = self.top.wrapping_add(1);
        Some(())
    }

    #[inline]
    fn pop(&mut self) -> Option<Cell> {
        self.top = self.top.checked_sub(1)?;
        self.cells.get(self.top).copied()
    }

    #[inline]
    fn number(&mut self) -> Option<Number> {
        match self.pop()? {
            Cell::Number(number) => Some(number),
            Cell::Truth(_) => None,
        }
    }

    #[inline]
    fn truth(&mut self) -> Option<Tri> {
        match self.pop()? {
            Cell::Truth(truth) => Some(truth),
            Cell::Number(_) => None,
        }
    }

    #[inline]
    fn numbers(&mut self, operation: impl Fn(f64, f64) -> f64) -> Option<Cell> {
        let b = self.number()?;
        let a = self.number()?;
        Some(number(operation(a.value, b.value), a.usable && b.usable))
    }

    #[inline]
    fn unary(&mut self, operation: impl Fn(f64) -> f64) -> Option<Cell> {
        let a = self.number()?;
        Some(number(operation(a.value), a.usable))
    }

    #[inline]
    fn compare(&mut self, relation: impl Fn(f64, f64) -> bool) -> Option<Cell> {
        let b = self.number()?;
        let a = self.number()?;
        Some(Cell::Truth(if a.usable && b.usable {
            truth(relation(a.value, b.value))
        } else {
            Tri::Bad
        }))
    }
}

/// A number that is usable only if it is finite, too.
#[inline]
fn number(value: f64, usable: bool) -> Cell {
    Cell::Number(Number {
        value,
        usable: usable && value.is_finite(),
    })
}

#[inline]
const fn truth(value: bool) -> Tri {
    if value { Tri::True } else { Tri::False }
}

#[inline]
const fn and(a: Tri, b: Tri) -> Tri {
    match (a, b) {
        (Tri::False, _) | (_, Tri::False) => Tri::False,
        (Tri::Bad, _) | (_, Tri::Bad) => Tri::Bad,
        (Tri::True, Tri::True) => Tri::True,
    }
}

#[inline]
const fn or(a: Tri, b: Tri) -> Tri {
    match (a, b) {
        (Tri::True, _) | (_, Tri::True) => Tri::True,
        (Tri::Bad, _) | (_, Tri::Bad) => Tri::Bad,
        (Tri::False, Tri::False) => Tri::False,
    }
}

#[inline]
const fn not(a: Tri) -> Tri {
    match a {
        Tri::False => Tri::True,
        Tri::True => Tri::False,
        Tri::Bad => Tri::Bad,
    }
}

#[inline]
const fn same(a: Tri, b: Tri) -> Tri {
    match (a, b) {
        (Tri::Bad, _) | (_, Tri::Bad) => Tri::Bad,
        (Tri::True, Tri::True) | (Tri::False, Tri::False) => Tri::True,
        _ => Tri::False,
    }
}

/// Exact equality is the point of `==` in the language; the compiler warns the author.
#[expect(clippy::float_cmp, reason = "the language's == is exact by definition")]
#[inline]
fn equal(a: f64, b: f64) -> bool {
    a == b
}

#[inline]
fn load(slots: &[SlotValue], slot: u32) -> Option<SlotValue> {
    slots.get(usize::try_from(slot).ok()?).copied()
}

fn load_truth(slots: &[SlotValue], slot: u32) -> Option<Tri> {
    let SlotValue { value, usable } = load(slots, slot)?;
    Some(if usable && equal(value, 1.0) {
        Tri::True
    } else if usable && equal(value, 0.0) {
        Tri::False
    } else {
        Tri::Bad
    })
}

fn run<const N: usize>(ops: &[Op], slots: &[SlotValue], hold: bool) -> Option<Tri> {
    let mut stack = Stack {
        cells: [Cell::Truth(Tri::Bad); N],
        top: 0,
    };
    for op in ops {
        let cell = match *op {
            Op::Slot(slot) => {
                let SlotValue { value, usable } = load(slots, slot)?;
                number(value, usable)
            }
            Op::SlotBool(slot) => Cell::Truth(load_truth(slots, slot)?),
            Op::Const(value) => number(value, true),
            Op::Bool(value) => Cell::Truth(truth(value)),
            Op::HoldOffset(value) => number(if hold { value } else { 0.0 }, true),
            Op::Add => stack.numbers(|a, b| a + b)?,
            Op::Sub => stack.numbers(|a, b| a - b)?,
            Op::Mul => stack.numbers(|a, b| a * b)?,
            Op::Div => stack.numbers(|a, b| a / b)?,
            Op::Min => stack.numbers(|a, b| if b < a { b } else { a })?,
            Op::Max => stack.numbers(|a, b| if b > a { b } else { a })?,
            Op::Neg => stack.unary(|a| -a)?,
            Op::Abs => stack.unary(f64::abs)?,
            Op::Sqrt => stack.unary(f64::sqrt)?,
            Op::Less => stack.compare(|a, b| a < b)?,
            Op::LessEqual => stack.compare(|a, b| a <= b)?,
            Op::Greater => stack.compare(|a, b| a > b)?,
            Op::GreaterEqual => stack.compare(|a, b| a >= b)?,
            Op::Equal => stack.compare(equal)?,
            Op::NotEqual => stack.compare(|a, b| !equal(a, b))?,
            Op::And | Op::Or | Op::Same => {
                let b = stack.truth()?;
                let a = stack.truth()?;
                Cell::Truth(match *op {
                    Op::And => and(a, b),
                    Op::Or => or(a, b),
                    _ => same(a, b),
                })
            }
            Op::Not => Cell::Truth(not(stack.truth()?)),
            Op::Choose => {
                let condition = stack.truth()?;
                let b = stack.number()?;
                let a = stack.number()?;
                Cell::Number(match condition {
                    Tri::True => a,
                    Tri::False => b,
                    Tri::Bad => Number {
                        value: 0.0,
                        usable: false,
                    },
                })
            }
            Op::ChooseBool => {
                let condition = stack.truth()?;
                let b = stack.truth()?;
                let a = stack.truth()?;
                Cell::Truth(match condition {
                    Tri::True => a,
                    Tri::False => b,
                    Tri::Bad => Tri::Bad,
                })
            }
        };
        stack.push(cell)?;
    }
    stack.truth()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Tri; 3] = [Tri::False, Tri::True, Tri::Bad];

    fn slot(tri: Tri) -> SlotValue {
        SlotValue {
            value: if tri == Tri::True { 1.0 } else { 0.0 },
            usable: tri != Tri::Bad,
        }
    }

    fn run_on(ops: &[Op], slots: &[SlotValue]) -> Tri {
        let program = Program::new(ops.to_vec()).unwrap();
        program.check(slots.len()).unwrap();
        eval(&program, slots, false)
    }

    /// Kleene's logic by its definition: the answer, if it is the same whatever the bad operands might have been.
    fn by_definition(operands: &[Tri], f: impl Fn(&[bool]) -> bool) -> Tri {
        let mut seen = [false; 2];
        for bits in 0..1_usize << operands.len() {
            let world: Vec<bool> = (0..operands.len()).map(|i| bits >> i & 1 == 1).collect();
            let possible = operands
                .iter()
                .zip(&world)
                .all(|(operand, value)| match operand {
                    Tri::Bad => true,
                    known => *known == truth(*value),
                });
            if possible {
                seen[usize::from(f(&world))] = true;
            }
        }
        match seen {
            [true, false] => Tri::False,
            [false, true] => Tri::True,
            _ => Tri::Bad,
        }
    }

    #[test]
    fn logic_is_kleenes_for_every_operand() {
        for a in ALL {
            let not = run_on(&[Op::SlotBool(0), Op::Not], &[slot(a)]);
            assert_eq!(not, by_definition(&[a], |w| !w[0]), "!{a:?}");
            for b in ALL {
                let both =
                    |op| run_on(&[Op::SlotBool(0), Op::SlotBool(1), op], &[slot(a), slot(b)]);
                assert_eq!(
                    both(Op::And),
                    by_definition(&[a, b], |w| w[0] && w[1]),
                    "{a:?} && {b:?}"
                );
                assert_eq!(
                    both(Op::Or),
                    by_definition(&[a, b], |w| w[0] || w[1]),
                    "{a:?} || {b:?}"
                );
                assert_eq!(
                    both(Op::Same),
                    by_definition(&[a, b], |w| w[0] == w[1]),
                    "{a:?} == {b:?}"
                );
                for condition in ALL {
                    let chosen = run_on(
                        &[
                            Op::SlotBool(0),
                            Op::SlotBool(1),
                            Op::SlotBool(2),
                            Op::ChooseBool,
                        ],
                        &[slot(a), slot(b), slot(condition)],
                    );
                    let expected = match condition {
                        Tri::True => a,
                        Tri::False => b,
                        Tri::Bad => Tri::Bad,
                    };
                    assert_eq!(chosen, expected, "{condition:?} ? {a:?} : {b:?}");
                }
            }
        }
    }

    #[test]
    fn an_unusable_or_non_finite_number_is_never_compared() {
        for (value, usable) in [
            (1.0, false),
            (f64::NAN, true),
            (f64::INFINITY, true),
            (f64::NEG_INFINITY, true),
        ] {
            for op in [
                Op::Less,
                Op::LessEqual,
                Op::Greater,
                Op::GreaterEqual,
                Op::Equal,
                Op::NotEqual,
            ] {
                let slots = [SlotValue { value, usable }];
                assert_eq!(
                    run_on(&[Op::Slot(0), Op::Const(0.0), op], &slots),
                    Tri::Bad,
                    "H-21: {value} {op:?}"
                );
                assert_eq!(
                    run_on(&[Op::Const(0.0), Op::Slot(0), op], &slots),
                    Tri::Bad,
                    "H-21: {value} {op:?}"
                );
            }
        }
    }

    #[test]
    fn arithmetic_without_an_answer_is_bad_and_stays_bad() {
        let bad = |ops: &[Op]| {
            let mut ops = ops.to_vec();
            ops.extend([Op::Const(1e9), Op::Less]);
            run_on(&ops, &[])
        };
        assert_eq!(
            bad(&[Op::Const(1.0), Op::Const(0.0), Op::Div]),
            Tri::Bad,
            "H-38"
        );
        assert_eq!(bad(&[Op::Const(0.0), Op::Const(0.0), Op::Div]), Tri::Bad);
        assert_eq!(bad(&[Op::Const(-1.0), Op::Sqrt]), Tri::Bad);
        assert_eq!(
            bad(&[Op::Const(f64::MAX), Op::Const(f64::MAX), Op::Add]),
            Tri::Bad
        );
        // 1 / (1 / 0) would be 0 in IEEE arithmetic.
        let twice = [
            Op::Const(1.0),
            Op::Const(1.0),
            Op::Const(0.0),
            Op::Div,
            Op::Div,
        ];
        assert_eq!(
            bad(&twice),
            Tri::Bad,
            "an infinity must not be divided away"
        );
        assert_eq!(
            bad(&[Op::Const(-0.0), Op::Sqrt]),
            Tri::True,
            "minus zero is zero"
        );
    }

    #[test]
    fn a_boolean_slot_is_zero_or_one() {
        for (value, expected) in [
            (0.0, Tri::False),
            (-0.0, Tri::False),
            (1.0, Tri::True),
            (0.5, Tri::Bad),
            (2.0, Tri::Bad),
            (f64::NAN, Tri::Bad),
            (f64::INFINITY, Tri::Bad),
        ] {
            let slots = [SlotValue {
                value,
                usable: true,
            }];
            assert_eq!(run_on(&[Op::SlotBool(0)], &slots), expected, "{value}");
        }
    }

    #[test]
    fn a_missing_slot_is_bad_not_a_panic() {
        let program = Program::new(vec![Op::Slot(7), Op::Const(1.0), Op::Greater]).unwrap();
        assert_eq!(eval(&program, &[], false), Tri::Bad, "H-48");
    }
}

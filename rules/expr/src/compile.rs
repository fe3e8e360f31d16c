//! From text to a linkable expression.

use crate::check::Checker;
use crate::error::{ErrorCause, ExprError, Warning};
use crate::ir::{Op, Program, ProgramError};
use crate::lexer::error;
use crate::parser::parse;
use crate::scope::{Input, Scope};
use crate::unit::Unit;
use rt_config::limits::{EXPRESSION_BYTES_MAX, EXPRESSION_OPS_MAX};

/// How far a value must come back before an active rule clears.
#[derive(Clone, Debug, PartialEq)]
pub struct DeadBand {
    /// Width in `unit`: positive and finite.
    pub value: f64,
    /// A unit that converts to that of exactly one comparison. For temperatures the width is a difference: 5 degC and
    /// 5 K are the same.
    pub unit: Unit,
}

/// A checked expression whose inputs have not been given slots yet.
#[derive(Clone, Debug, PartialEq)]
pub struct Compiled {
    program: Program,
    inputs: Vec<Input>,
    warnings: Vec<Warning>,
}

/// What a simple condition compares.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Setpoint<'c> {
    /// The tag or window.
    pub input: &'c Input,
    /// True when the condition is true above `value`, false when it is true below.
    pub above: bool,
    /// The constant, in the input's unit.
    pub value: f64,
}

impl Compiled {
    /// What the expression needs, without repetition, in the order of first use.
    pub fn inputs(&self) -> &[Input] {
        &self.inputs
    }

    /// What may be unwise in it.
    pub fn warnings(&self) -> &[Warning] {
        &self.warnings
    }

    /// Exact wasmtime fuel of one evaluation; linking does not change it.
    pub fn fuel(&self) -> u64 {
        self.program.fuel()
    }

    /// The set point, when the whole condition is one ordered comparison of a tag or a window with a constant.
    pub fn setpoint(&self) -> Option<Setpoint<'_>> {
        // A dead band adds its offset to the constant.
        let (first, second, relation) = match self.program.ops() {
            [first, second, relation]
            | [first, second, Op::HoldOffset(_), Op::Add, relation]
            | [first, Op::HoldOffset(_), Op::Add, second, relation] => (first, second, relation),
            _ => return None,
        };
        let greater = match relation {
            Op::Greater | Op::GreaterEqual => true,
            Op::Less | Op::LessEqual => false,
            _ => return None,
        };
        let (slot, value, above) = match (first, second) {
            (Op::Slot(slot), Op::Const(value)) => (*slot, *value, greater),
            (Op::Const(value), Op::Slot(slot)) => (*slot, *value, !greater),
            _ => return None,
        };
        let input = self.inputs.get(usize::try_from(slot).ok()?)?;
        Some(Setpoint {
            input,
            above,
            value,
        })
    }

    /// The program for a lane in which each input has the slot that `slot_of` names. Called once for each input.
    pub fn link(&self, slot_of: impl FnMut(&Input) -> u32) -> Program {
        let slots: Vec<u32> = self.inputs.iter().map(slot_of).collect();
        self.program.with_slots(&slots)
    }
}

/// Compiles `source` with the names of `scope`. With a dead band the expression must have exactly one ordered
/// comparison of numbers in a unit that the dead band's converts to; its threshold moves while the rule is held.
///
/// # Errors
/// Everything that is wrong, as far as it can be told at once: all lexical errors, or the first syntax error, or all
/// errors of names, types and units. Never an empty list.
pub fn compile(
    source: &str,
    scope: &dyn Scope,
    dead_band: Option<DeadBand>,
) -> Result<Compiled, Vec<ExprError>> {
    build(source, scope, dead_band, None)
}

/// As [`compile`], with the set point multiplied by `factor` (API 670: setpoint multiplier). The expression must have
/// exactly one ordered comparison of numbers: of a tag or a window with a constant above zero, true above it.
///
/// # Errors
/// As [`compile`]; [`ErrorCause::Multiplier`] when there is not exactly one such comparison, when it is true below its set
/// point, when the set point is not above zero or its unit has an arbitrary zero, or when `factor` is not above 1.
pub fn compile_raised(
    source: &str,
    scope: &dyn Scope,
    dead_band: Option<DeadBand>,
    factor: f64,
) -> Result<Compiled, Vec<ExprError>> {
    if !(factor.is_finite() && factor > 1.0) {
        return Err(vec![error(
            0..source.len(),
            ErrorCause::Multiplier,
            format!("a set point multiplied by {factor} is not raised"),
            "give a factor above 1, or leave the multiplier out",
        )]);
    }
    build(source, scope, dead_band, Some(factor))
}

fn build(
    source: &str,
    scope: &dyn Scope,
    dead_band: Option<DeadBand>,
    factor: Option<f64>,
) -> Result<Compiled, Vec<ExprError>> {
    if source.len() > EXPRESSION_BYTES_MAX {
        return Err(vec![error(
            0..source.len(),
            ErrorCause::TooLong,
            format!(
                "{} bytes, at most {EXPRESSION_BYTES_MAX} are allowed",
                source.len()
            ),
            "split it into several rules",
        )]);
    }
    if let Some(band) = &dead_band
        && !(band.value.is_finite() && band.value > 0.0)
    {
        return Err(vec![error(
            0..source.len(),
            ErrorCause::DeadBand,
            format!(
                "a dead band of {} {} is not possible",
                band.value, band.unit
            ),
            "give a positive number, or leave the dead band out",
        )]);
    }
    let root = parse(source)?;
    let checked = Checker::new(source, scope, dead_band.as_ref(), factor).rule(&root)?;
    let program = Program::new(checked.ops).map_err(|cause| vec![refused(source, cause)])?;
    Ok(Compiled {
        program,
        inputs: checked.inputs,
        warnings: checked.warnings,
    })
}

fn refused(source: &str, cause: ProgramError) -> ExprError {
    let (kind, message) = match cause {
        ProgramError::TooManyOps { received } => (
            ErrorCause::TooManyOps,
            format!("{received} operations, at most {EXPRESSION_OPS_MAX} are allowed"),
        ),
        ProgramError::TooDeep { .. } => (
            ErrorCause::TooDeep,
            "too many values wait for one another while it is evaluated".to_owned(),
        ),
        // The checker produces no other fault; should it, the rule must not run.
        other => (ErrorCause::TypeMismatch, other.to_string()),
    };
    error(
        0..source.len(),
        kind,
        message,
        "split it into several rules",
    )
}

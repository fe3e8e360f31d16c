//! Comparisons, and the dead band of one of them.

use super::number::Number;
use super::{Checker, Sense, Value};
use crate::ast::{Node, Relation, Span};
use crate::error::{ErrorCause, WarningCause};
use crate::ir::Op;

impl Checker<'_> {
    pub(super) fn compare(
        &mut self,
        relation: Relation,
        left: &Node,
        right: &Node,
        span: &Span,
        sense: Sense,
    ) -> Value {
        let a = self.value(left, Sense::Mixed);
        let b = self.value(right, Sense::Mixed);
        match (a, b) {
            (Value::Broken, _) | (_, Value::Broken) => Value::Broken,
            (Value::Number(a), Value::Number(b)) => {
                let Some((a, b)) = self.same_unit(a, &left.span, b, &right.span) else {
                    return Value::Broken;
                };
                self.compare_numbers(relation, a, b, span, sense)
            }
            (Value::Truth(a), Value::Truth(b)) => self.compare_truths(relation, a, b, span),
            (
                Value::Quality { ops: a, word: left },
                Value::Quality {
                    ops: b,
                    word: right,
                },
            ) => {
                self.warn_bad_leaves_out_stale(relation, left.as_deref(), right.as_deref(), span);
                Value::Truth(relate(relation, a, b))
            }
            (a, b) => {
                let quality =
                    matches!(a, Value::Quality { .. }) || matches!(b, Value::Quality { .. });
                let (cause, help) = if quality {
                    (
                        ErrorCause::Quality,
                        "compare `quality(tag)` with good, uncertain, bad or stale",
                    )
                } else {
                    (
                        ErrorCause::TypeMismatch,
                        "compare numbers with numbers and conditions with conditions",
                    )
                };
                self.report(
                    span,
                    cause,
                    format!("{} cannot be compared with {}", a.describe(), b.describe()),
                    help,
                );
                Value::Broken
            }
        }
    }

    fn compare_truths(&mut self, relation: Relation, a: Vec<Op>, b: Vec<Op>, span: &Span) -> Value {
        if relation.is_ordered() {
            self.report(
                span,
                ErrorCause::TypeMismatch,
                format!(
                    "conditions have no order, `{}` needs numbers",
                    relation.sign()
                ),
                "use `==` or `!=`, or `&&` and `||`",
            );
            return Value::Broken;
        }
        let mut ops = a;
        ops.extend(b);
        ops.push(Op::Same);
        if relation == Relation::NotEqual {
            ops.push(Op::Not);
        }
        Value::Truth(ops)
    }

    fn compare_numbers(
        &mut self,
        relation: Relation,
        a: Number,
        b: Number,
        span: &Span,
        sense: Sense,
    ) -> Value {
        if a.constant.is_some() && b.constant.is_some() {
            self.warn(
                span,
                WarningCause::Constant,
                "both sides are constants, so the answer never changes".to_owned(),
                "compare a tag with a set point",
            );
        }
        if !relation.is_ordered() {
            self.warn_float_equality(relation, &a, &b, span);
            return Value::Truth(relate(relation, a.ops, b.ops));
        }
        let Some((a, b)) = self.raise(relation, a, b, span, sense) else {
            return Value::Broken;
        };
        let Some(band) = self.dead_band else {
            return Value::Truth(relate(relation, a.ops, b.ops));
        };
        let fits =
            a.unit.same_dimension(&band.unit) && a.unit.is_percent() == band.unit.is_percent();
        if !fits {
            let unit = a.unit.to_string();
            if !self.unbanded.contains(&unit) {
                self.unbanded.push(unit);
            }
            return Value::Truth(relate(relation, a.ops, b.ops));
        }
        self.banded.push(self.outer_span(span));
        // Raising the right side makes `<` easier to hold and `>` harder.
        let up = match sense {
            Sense::Direct => matches!(relation, Relation::Less | Relation::LessEqual),
            Sense::Inverted => matches!(relation, Relation::Greater | Relation::GreaterEqual),
            Sense::Mixed => {
                self.report(
                    span,
                    ErrorCause::DeadBand,
                    "it cannot be told which way the dead band moves this comparison: it stands in the condition of `?:`, under `==`, or within a number",
                    "write it with `&&`, `||` and `!` only, or remove the dead band",
                );
                return Value::Broken;
            }
        };
        let width = band
            .unit
            .difference_conversion_to(&a.unit)
            .map_or(f64::NAN, |conversion| {
                conversion.apply_to_literal(band.value)
            });
        if !(width.is_finite() && width > 0.0) {
            self.report(
                span,
                ErrorCause::DeadBand,
                format!(
                    "the dead band {} {} is not a positive number in {}",
                    band.value, band.unit, a.unit
                ),
                "give a dead band that is small beside the set point but not nothing",
            );
            return Value::Broken;
        }
        // The constant side is the threshold; moving the left side up is moving the right side down.
        let threshold_left = a.constant.is_some() && b.constant.is_none();
        let offset = if up == threshold_left { -width } else { width };
        let threshold = if threshold_left {
            a.constant
        } else {
            b.constant
        };
        if threshold.is_some_and(|value| !(value + offset).is_finite()) {
            self.report(
                span,
                ErrorCause::NeverUsable,
                "the set point moved by the dead band is not a finite number",
                "use a smaller set point or dead band",
            );
            return Value::Broken;
        }
        let shift = [Op::HoldOffset(offset), Op::Add];
        let (mut left, mut right) = (a.ops, b.ops);
        if threshold_left {
            left.extend(shift);
        } else {
            right.extend(shift);
        }
        Value::Truth(relate(relation, left, right))
    }

    /// Multiplies the set point, when the rule has a multiplier. `None` after an error was reported.
    fn raise(
        &mut self,
        relation: Relation,
        mut a: Number,
        mut b: Number,
        span: &Span,
        sense: Sense,
    ) -> Option<(Number, Number)> {
        let Some(factor) = self.factor else {
            return Some((a, b));
        };
        self.raised.push(self.outer_span(span));
        let threshold_left = a.constant.is_some();
        let (threshold, measured) = if threshold_left { (&a, &b) } else { (&b, &a) };
        let greater = matches!(relation, Relation::Greater | Relation::GreaterEqual);
        // `x > s` and `s < x` are true above the set point; under `!` the direction turns.
        let above = match sense {
            Sense::Direct => Some(greater != threshold_left),
            Sense::Inverted => Some(greater == threshold_left),
            Sense::Mixed => None,
        };
        let (problem, help) = match (threshold.constant, above) {
            _ if !matches!(measured.ops.as_slice(), [Op::Slot(_)]) => (
                "a multiplier raises the set point of a tag or a window, and this compares something else",
                "write `tag > constant`, without computing on either side",
            ),
            (None, _) => (
                "a multiplier raises a constant set point, and both sides of this are measured",
                "compare a tag or a window with a constant",
            ),
            (_, None) => (
                "it cannot be told whether a raised set point makes this rule harder to trip",
                "write it with `&&`, `||` and `!` only, or remove the multiplier",
            ),
            (_, Some(false)) => (
                "a multiplier raises a limit that trips above it; raising this one would trip sooner",
                "use `inhibit` for a limit that trips below it, or remove the multiplier",
            ),
            _ if threshold.unit.is_affine() => (
                "a multiple of a temperature depends on where the scale's zero lies",
                "write a second rule with the higher limit instead of a multiplier",
            ),
            (Some(value), _) if value <= 0.0 => (
                "a set point that is not above zero is not raised by multiplying it",
                "write a second rule with the higher limit instead of a multiplier",
            ),
            (Some(value), _) if !(value * factor).is_finite() => (
                "the multiplied set point is not a finite number",
                "use a smaller set point or factor",
            ),
            (Some(value), _) => {
                let raised = Number::constant(value * factor, threshold.unit.clone());
                if threshold_left {
                    a = raised;
                } else {
                    b = raised;
                }
                return Some((a, b));
            }
        };
        self.report(span, ErrorCause::Multiplier, problem, help);
        None
    }

    fn warn_float_equality(&mut self, relation: Relation, a: &Number, b: &Number, span: &Span) {
        // A counted value as it arrived against a whole number is exact: state words are compared like that.
        let whole = |number: &Number| {
            number
                .constant
                .is_some_and(|value| value.fract().abs() <= 0.0)
        };
        let counted = a.unit.is_dimensionless() && !a.unit.is_percent();
        let state_word = counted && ((a.is_tag && whole(b)) || (b.is_tag && whole(a)));
        if state_word {
            return;
        }
        let sign = relation.sign();
        let unit = if counted {
            String::new()
        } else {
            format!(" {}", a.unit.difference_unit())
        };
        self.warn(
            span,
            WarningCause::FloatEquality,
            format!("`{sign}` between measured numbers is true or false by the last bit"),
            &if relation == Relation::Equal {
                format!("compare with a tolerance: `abs(a - b) < 0.1{unit}`")
            } else {
                format!("compare with a tolerance: `abs(a - b) >= 0.1{unit}`")
            },
        );
    }

    fn warn_bad_leaves_out_stale(
        &mut self,
        relation: Relation,
        left: Option<&str>,
        right: Option<&str>,
        span: &Span,
    ) {
        let word = left.or(right);
        if relation.is_ordered() || word != Some("bad") {
            return;
        }
        let (sign, meant) = if relation == Relation::Equal {
            ("==", ">= bad")
        } else {
            ("!=", "< bad")
        };
        self.warn(
            span,
            WarningCause::QualityEquality,
            format!("`{sign} bad` treats a stale value like a good one"),
            &format!("write `quality(tag) {meant}`, or name stale as well"),
        );
    }
}

fn relate(relation: Relation, a: Vec<Op>, b: Vec<Op>) -> Vec<Op> {
    let mut ops = a;
    ops.extend(b);
    ops.push(match relation {
        Relation::Less => Op::Less,
        Relation::LessEqual => Op::LessEqual,
        Relation::Greater => Op::Greater,
        Relation::GreaterEqual => Op::GreaterEqual,
        Relation::Equal => Op::Equal,
        Relation::NotEqual => Op::NotEqual,
    });
    ops
}

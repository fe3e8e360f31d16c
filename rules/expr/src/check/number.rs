//! Numbers with units: conversion, arithmetic, folding of constants.

use super::{Checker, Value};
use crate::ast::{Arithmetic, Node, Span};
use crate::error::ErrorCause;
use crate::ir::Op;
use crate::unit::{Conversion, Unit};

/// A number in some unit.
pub(super) struct Number {
    pub(super) ops: Vec<Op>,
    pub(super) unit: Unit,
    /// Its value, when it is known at compile time; then `ops` is that one constant.
    pub(super) constant: Option<f64>,
    /// Made of literals without units only, so nobody has said what it measures.
    pub(super) bare: bool,
    /// A tag as it is, with nothing computed from it.
    pub(super) is_tag: bool,
}

impl Number {
    pub(super) fn literal(value: f64, unit: Option<Unit>) -> Self {
        Self {
            bare: unit.is_none(),
            ..Self::constant(value, unit.unwrap_or(Unit::ONE))
        }
    }

    pub(super) fn constant(value: f64, unit: Unit) -> Self {
        Self {
            ops: vec![Op::Const(value)],
            unit,
            constant: Some(value),
            bare: false,
            is_tag: false,
        }
    }

    pub(super) fn slot(slot: u32, unit: Unit) -> Self {
        Self {
            ops: vec![Op::Slot(slot)],
            unit,
            constant: None,
            bare: false,
            is_tag: true,
        }
    }

    pub(super) fn describe(&self) -> String {
        if self.bare {
            return "a number without a unit".to_owned();
        }
        match self.unit.quantity() {
            _ if self.unit == Unit::ONE => "a number".to_owned(),
            Some(quantity) => format!("a number in {} ({quantity})", self.unit),
            None => format!("a number in {}", self.unit),
        }
    }

    /// A literal of the same unit, for a way out.
    pub(super) fn example(&self) -> String {
        if self.unit.is_dimensionless() && !self.unit.is_percent() {
            "10".to_owned()
        } else {
            format!("10 {}", self.unit)
        }
    }

    /// The same quantity in another unit. The result of a constant may be infinite; the caller checks.
    pub(super) fn converted(mut self, conversion: Conversion, unit: &Unit) -> Self {
        self.unit = unit.clone();
        if conversion.is_identity() {
            return self;
        }
        self.is_tag = false;
        if let Some(value) = self.constant {
            let value = conversion.apply_to_literal(value);
            self.constant = Some(value);
            self.ops = vec![Op::Const(value)];
            return self;
        }
        let steps = [
            (conversion.multiplier, 1.0, Op::Mul),
            (conversion.divisor, 1.0, Op::Div),
            (conversion.summand, 0.0, Op::Add),
        ];
        for (operand, neutral, op) in steps {
            if f64::to_bits(operand) != f64::to_bits(neutral) {
                self.ops.extend([Op::Const(operand), op]);
            }
        }
        self
    }

    /// `op` of two numbers; folded when both are constants.
    pub(super) fn combined(
        mut self,
        other: Self,
        op: Op,
        unit: Unit,
        fold: fn(f64, f64) -> f64,
    ) -> Self {
        let constant = self.constant.zip(other.constant).map(|(a, b)| fold(a, b));
        self.ops = match constant {
            Some(value) => vec![Op::Const(value)],
            None => {
                self.ops.extend(other.ops);
                self.ops.push(op);
                self.ops
            }
        };
        Self {
            ops: self.ops,
            unit,
            constant,
            bare: self.bare && other.bare,
            is_tag: false,
        }
    }

    /// `op` of one number; folded when it is a constant.
    pub(super) fn changed(mut self, op: Op, unit: Unit, fold: fn(f64) -> f64) -> Self {
        self.constant = self.constant.map(fold);
        match self.constant {
            Some(value) => self.ops = vec![Op::Const(value)],
            None => self.ops.push(op),
        }
        Self {
            unit,
            is_tag: false,
            ..self
        }
    }

    /// This number if `condition`, else `other`; both in one unit already.
    pub(super) fn chosen(mut self, other: Self, condition: Vec<Op>) -> Self {
        self.ops.extend(other.ops);
        self.ops.extend(condition);
        self.ops.push(Op::Choose);
        Self {
            constant: None,
            bare: self.bare && other.bare,
            is_tag: false,
            ..self
        }
    }
}

impl Checker<'_> {
    /// Refuses a constant that is not finite: the rule would be bad for ever.
    pub(super) fn usable(&mut self, number: Number, span: &Span) -> Option<Number> {
        if number.constant.is_none_or(f64::is_finite) {
            return Some(number);
        }
        self.report(
            span,
            ErrorCause::NeverUsable,
            "these constants give no finite number (division by zero, overflow, root of a negative number)",
            "correct the constants: as it is, the rule would be bad for ever",
        );
        None
    }

    /// Brings two numbers to one unit: a constant is converted rather than a measured number, else the right one.
    pub(super) fn same_unit(
        &mut self,
        a: Number,
        a_span: &Span,
        b: Number,
        b_span: &Span,
    ) -> Option<(Number, Number)> {
        let (first, second) = (a.bare, b.bare);
        if first != second {
            let (bare, bare_span, other) = if first {
                (&a, a_span, &b)
            } else {
                (&b, b_span, &a)
            };
            if !other.unit.is_dimensionless() || other.unit.is_percent() {
                self.bare_number(bare, bare_span, other);
                return None;
            }
        }
        let swap = a.constant.is_some() && b.constant.is_none();
        let (from, to) = if swap { (&a, &b) } else { (&b, &a) };
        let Some(conversion) = from.unit.conversion_to(&to.unit) else {
            self.no_conversion(&a, a_span, &b, b_span);
            return None;
        };
        let mut unit = to.unit.clone();
        if !from.unit.is_difference() {
            // A temperature in K and a difference: the pair may be temperatures.
            unit = unit.not_a_difference();
        }
        let (mut a, mut b) = if swap {
            (self.usable(a.converted(conversion, &unit), a_span)?, b)
        } else {
            (a, self.usable(b.converted(conversion, &unit), b_span)?)
        };
        a.unit = unit.clone();
        b.unit = unit;
        Some((a, b))
    }

    fn bare_number(&mut self, bare: &Number, span: &Span, other: &Number) {
        let text = match bare.constant {
            Some(value) => format!("{value}"),
            None => "...".to_owned(),
        };
        let way_out = if other.unit.is_percent() {
            format!("write `{text} %`; for a ratio divide by `100 %`")
        } else if other.unit.is_affine() || crate::unit::parse_unit(other.unit.symbol()).is_some() {
            format!("write `{text} {}`", other.unit)
        } else {
            format!("give it a unit that converts to {}", other.unit)
        };
        self.report(
            span,
            ErrorCause::BareNumber,
            format!("a number without a unit meets {}", other.describe()),
            way_out,
        );
    }

    fn no_conversion(&mut self, a: &Number, a_span: &Span, b: &Number, b_span: &Span) {
        let span = a_span.start.min(b_span.start)..a_span.end.max(b_span.end);
        if a.unit.same_dimension(&b.unit) {
            self.report(
                &span,
                ErrorCause::Temperature,
                "a temperature and a temperature difference cannot stand for each other",
                "give the difference in K: `t1 - t2 > 5 K`",
            );
            return;
        }
        // The constant is what can be rewritten; without one, speak of the right side.
        let (side, fixed, other) = if a.constant.is_some() && b.constant.is_none() {
            ("left", &b, &a)
        } else {
            ("right", &a, &b)
        };
        let alternatives = fixed.unit.alternatives();
        let help = if alternatives.is_empty() {
            "both sides must measure the same quantity; check the units of the tags".to_owned()
        } else {
            format!(
                "give the {side} side in {}, or use a tag that measures {}",
                alternatives.join(", "),
                other
                    .unit
                    .quantity()
                    .unwrap_or("the same as the other side")
            )
        };
        self.report(
            &span,
            ErrorCause::UnitMismatch,
            format!(
                "{} does not convert to {}",
                quantity(&other.unit),
                quantity(&fixed.unit)
            ),
            help,
        );
    }

    pub(super) fn negate(&mut self, inner: &Node) -> Value {
        let Some(number) = self.number(inner) else {
            return Value::Broken;
        };
        if number.unit.is_affine() {
            self.affine(&inner.span, "the negative of a temperature", &number.unit);
            return Value::Broken;
        }
        let unit = number.unit.clone();
        Value::Number(number.changed(Op::Neg, unit, |a| -a))
    }

    pub(super) fn affine(&mut self, span: &Span, what: &str, unit: &Unit) {
        self.report(
            span,
            ErrorCause::Temperature,
            format!("{what} in {unit} means nothing: its zero is not the absence of heat"),
            "only compare, subtract, average or limit such temperatures; the mean of two is `t1 + (t2 - t1) / 2`",
        );
    }

    pub(super) fn arithmetic(&mut self, first: &Node, rest: &[(Arithmetic, Node)]) -> Value {
        let mut total = self.number(first);
        let mut span = first.span.clone();
        for (operation, node) in rest {
            let right = self.number(node);
            total = match (total, right) {
                (Some(a), Some(b)) => match operation {
                    Arithmetic::Add | Arithmetic::Sub => {
                        self.sum(a, &span, *operation, b, &node.span)
                    }
                    Arithmetic::Mul | Arithmetic::Div => {
                        self.product(a, &span, *operation, b, &node.span)
                    }
                },
                _ => None,
            };
            span = first.span.start..node.span.end;
        }
        total.map_or(Value::Broken, Value::Number)
    }

    fn product(
        &mut self,
        a: Number,
        a_span: &Span,
        operation: Arithmetic,
        b: Number,
        b_span: &Span,
    ) -> Option<Number> {
        for (number, span) in [(&a, a_span), (&b, b_span)] {
            if number.unit.is_affine() {
                let unit = number.unit.clone();
                self.affine(span, "a multiple or a ratio of a temperature", &unit);
                return None;
            }
        }
        let span = a_span.start..b_span.end;
        let multiply = operation == Arithmetic::Mul;
        let unit = if multiply {
            a.unit.product(&b.unit)
        } else {
            a.unit.quotient(&b.unit)
        };
        let Some(unit) = unit else {
            self.report(
                &span,
                ErrorCause::UnitMismatch,
                format!(
                    "the unit of `{}` is beyond what can be computed",
                    self.snippet(&span)
                ),
                "multiply fewer quantities",
            );
            return None;
        };
        if !multiply && b.constant.is_some_and(|divisor| divisor.abs() <= 0.0) {
            return self.usable(Number::constant(f64::NAN, unit), &span);
        }
        let number = if multiply {
            a.combined(b, Op::Mul, unit, |a, b| a * b)
        } else {
            a.combined(b, Op::Div, unit, |a, b| a / b)
        };
        self.usable(number, &span)
    }

    fn sum(
        &mut self,
        a: Number,
        a_span: &Span,
        operation: Arithmetic,
        b: Number,
        b_span: &Span,
    ) -> Option<Number> {
        let span = a_span.start..b_span.end;
        let affine = a.unit.is_affine() || b.unit.is_affine();
        let (a, b, unit) = if affine && a.unit.same_dimension(&b.unit) {
            self.temperatures(a, operation, b, &span)?
        } else {
            let (a, b) = self.same_unit(a, a_span, b, b_span)?;
            let unit = a.unit.clone();
            (a, b, unit)
        };
        let number = if operation == Arithmetic::Add {
            a.combined(b, Op::Add, unit, |a, b| a + b)
        } else {
            a.combined(b, Op::Sub, unit, |a, b| a - b)
        };
        self.usable(number, &span)
    }

    /// Sums of temperatures, at least one of them with an offset: point - point = difference, point +- difference =
    /// point. Everything else is refused.
    fn temperatures(
        &mut self,
        a: Number,
        operation: Arithmetic,
        b: Number,
        span: &Span,
    ) -> Option<(Number, Number, Unit)> {
        let refuse = |checker: &mut Self, message: &str, help: &str| {
            checker.report(span, ErrorCause::Temperature, message, help);
            None
        };
        match (a.unit.is_affine(), operation, b.unit.is_affine()) {
            (true, Arithmetic::Sub, true) => {
                let conversion = b.unit.conversion_to(&a.unit)?;
                let unit = a.unit.clone();
                let b = b.converted(conversion, &unit);
                Some((a, b, unit.difference_unit()))
            }
            (true, Arithmetic::Sub, false) if !b.unit.is_difference() && b.constant.is_none() => {
                refuse(
                    self,
                    "it cannot be told whether the right side in K is a temperature or a difference",
                    "if it is a temperature, give its tag the unit degC; if it is a difference, write `t + (-d)`",
                )
            }
            (true, _, false) => {
                let conversion = b.unit.difference_conversion_to(&a.unit)?;
                let unit = a.unit.clone();
                let b = b.converted(conversion, &unit);
                Some((a, b, unit))
            }
            (false, Arithmetic::Add, true) => {
                let conversion = a.unit.difference_conversion_to(&b.unit)?;
                let unit = b.unit.clone();
                let a = a.converted(conversion, &unit);
                Some((a, b, unit))
            }
            (false, _, true) if !a.unit.is_difference() => {
                let conversion = b.unit.conversion_to(&a.unit)?;
                let unit = a.unit.clone();
                let b = b.converted(conversion, &unit);
                Some((a, b, unit.difference_unit()))
            }
            (false, _, true) => refuse(
                self,
                "a temperature cannot be subtracted from a temperature difference",
                "turn it round: `t - (t1 - t2)`",
            ),
            _ => refuse(
                self,
                "the sum of two temperatures means nothing",
                "the mean of two is `t1 + (t2 - t1) / 2`; a rise is given in K: `t1 + 5 K`",
            ),
        }
    }
}

/// A unit with what it measures, as a noun: "g (acceleration)".
pub(super) fn quantity(unit: &Unit) -> String {
    match unit.quantity() {
        Some("plain number") if *unit == Unit::ONE => "a plain number".to_owned(),
        Some(quantity) => format!("{unit} ({quantity})"),
        None => unit.to_string(),
    }
}

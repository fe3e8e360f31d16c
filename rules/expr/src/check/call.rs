//! Functions: plain ones, windows over a tag's samples, age and quality.

use super::number::Number;
use super::{Checker, Value};
use crate::ast::{Kind, Node, Span};
use crate::error::{ErrorCause, nearest};
use crate::ir::Op;
use crate::scope::{Input, TagKind, WindowFunction};
use crate::unit::Unit;

/// Every function's name, for "did you mean".
const FUNCTIONS: [&str; 12] = [
    "abs", "age", "avg", "clamp", "delta", "max", "min", "quality", "rate", "rms", "sqrt", "stddev",
];

/// Longest span in nanoseconds: 104 days, up to which a binary64 holds whole nanoseconds.
const SPAN_NS_MAX: f64 = 9_007_199_254_740_992.0;

impl Checker<'_> {
    pub(super) fn call(
        &mut self,
        function: &str,
        name_span: &Span,
        arguments: &[Node],
        span: &Span,
    ) -> Value {
        let number = match function {
            "abs" => self
                .one_number(function, arguments, span)
                .and_then(|(number, at)| {
                    if number.unit.is_affine() {
                        let unit = number.unit.clone();
                        self.affine(&at, "the magnitude of a temperature", &unit);
                        return None;
                    }
                    let unit = number.unit.clone();
                    Some(number.changed(Op::Abs, unit, f64::abs))
                }),
            "sqrt" => self
                .one_number(function, arguments, span)
                .and_then(|(number, at)| self.square_root(number, &at, span)),
            "clamp" => self.clamp(arguments, span),
            "min" | "max" if !self.is_window(arguments) => self.extreme(function, arguments, span),
            "age" => self.one_tag(function, arguments, span).map(|tag| Number {
                is_tag: false,
                ..Number::slot(self.input(Input::Age(tag)), Unit::NANOSECOND)
            }),
            "quality" => {
                return match self.one_tag(function, arguments, span) {
                    Some(tag) => Value::Quality {
                        ops: vec![Op::Slot(self.input(Input::Quality(tag)))],
                        word: None,
                    },
                    None => Value::Broken,
                };
            }
            name => match WindowFunction::from_name(name) {
                Some(window) => self.window(window, arguments, span),
                None => {
                    self.unknown_function(name, name_span);
                    None
                }
            },
        };
        number.map_or(Value::Broken, Value::Number)
    }

    fn unknown_function(&mut self, name: &str, span: &Span) {
        let meant = match name {
            "mean" | "average" => Some("avg"),
            "std" | "stdev" | "sigma" => Some("stddev"),
            "derivative" | "slope" => Some("rate"),
            "diff" | "change" => Some("delta"),
            "limit" => Some("clamp"),
            _ => nearest(name, FUNCTIONS.into_iter()),
        };
        let help = match meant {
            Some(known) => format!("did you mean `{known}`?"),
            None => format!("the functions are {}", FUNCTIONS.join(", ")),
        };
        self.report(
            span,
            ErrorCause::UnknownFunction,
            format!("there is no function `{name}`"),
            help,
        );
    }

    fn count(
        &mut self,
        function: &str,
        usage: &str,
        arguments: &[Node],
        expected: usize,
        span: &Span,
    ) -> Option<()> {
        if arguments.len() == expected {
            return Some(());
        }
        self.report(
            span,
            ErrorCause::ArgumentCount,
            format!(
                "`{function}` takes {expected} argument{}, here are {}",
                if expected == 1 { "" } else { "s" },
                arguments.len()
            ),
            format!("write `{usage}`"),
        );
        None
    }

    fn one_number(
        &mut self,
        function: &str,
        arguments: &[Node],
        span: &Span,
    ) -> Option<(Number, Span)> {
        self.count(function, &format!("{function}(x)"), arguments, 1, span)?;
        let argument = arguments.first()?;
        Some((self.number(argument)?, argument.span.clone()))
    }

    fn one_tag(&mut self, function: &str, arguments: &[Node], span: &Span) -> Option<String> {
        self.count(function, &format!("{function}(tag)"), arguments, 1, span)?;
        let argument = arguments.first()?;
        let name = self.tag_name(argument)?;
        self.tag(&name, &argument.span)?;
        Some(name)
    }

    fn tag_name(&mut self, node: &Node) -> Option<String> {
        if let Kind::Name(name) = &node.kind {
            return Some(name.clone());
        }
        self.report(
            &node.span,
            ErrorCause::TagExpected,
            format!(
                "the name of a tag is needed here, not `{}`",
                self.snippet(&node.span)
            ),
            "this function looks at one tag's samples; name the tag itself",
        );
        None
    }

    fn square_root(&mut self, number: Number, at: &Span, span: &Span) -> Option<Number> {
        if number.unit.is_affine() {
            let unit = number.unit.clone();
            self.affine(at, "the root of a temperature", &unit);
            return None;
        }
        let Some((unit, conversion)) = number.unit.square_root() else {
            self.report(
                at,
                ErrorCause::UnitMismatch,
                format!("the root of {} has no unit", number.describe()),
                "take the root of a square, for instance `sqrt(x * x + y * y)`",
            );
            return None;
        };
        let scaled = number.unit.clone();
        let number = number.converted(conversion, &scaled);
        let number = number.changed(Op::Sqrt, unit, f64::sqrt);
        self.usable(number, span)
    }

    fn clamp(&mut self, arguments: &[Node], span: &Span) -> Option<Number> {
        self.count("clamp", "clamp(x, low, high)", arguments, 3, span)?;
        let [x, low, high] = arguments else {
            return None;
        };
        let value = self.number(x);
        let lower = self.number(low);
        let upper = self.number(high);
        let (value, lower, upper) = (value?, lower?, upper?);
        let (value, lower) = self.same_unit(value, &x.span, lower, &low.span)?;
        let lower_constant = lower.constant;
        let unit = value.unit.clone();
        let at_least = value.combined(lower, Op::Max, unit, larger);
        let whole = x.span.start..low.span.end;
        let before = at_least.unit.clone();
        let (at_least, upper) = self.same_unit(at_least, &whole, upper, &high.span)?;
        if before == at_least.unit
            && let Some((lower, upper)) = lower_constant.zip(upper.constant)
            && lower > upper
        {
            self.report(
                span,
                ErrorCause::NeverUsable,
                "the lower limit of `clamp` is above the upper one",
                "write `clamp(x, low, high)` with low below high",
            );
            return None;
        }
        let unit = at_least.unit.clone();
        Some(at_least.combined(upper, Op::Min, unit, smaller))
    }

    /// `min` and `max` of two or more numbers.
    fn extreme(&mut self, function: &str, arguments: &[Node], span: &Span) -> Option<Number> {
        if arguments.len() < 2 {
            self.report(
                span,
                ErrorCause::ArgumentCount,
                format!(
                    "`{function}` takes at least 2 arguments, here are {}",
                    arguments.len()
                ),
                format!(
                    "write `{function}(x, y)`, or `{function}(tag, 500ms)` for the last half second"
                ),
            );
            return None;
        }
        let numbers: Vec<Option<Number>> = arguments.iter().map(|node| self.number(node)).collect();
        let mut total: Option<(Number, Span)> = None;
        for (number, node) in numbers.into_iter().zip(arguments) {
            let number = number?;
            total = Some(match total {
                None => (number, node.span.clone()),
                Some((so_far, at)) => {
                    let (a, b) = self.same_unit(so_far, &at, number, &node.span)?;
                    let unit = a.unit.clone();
                    let combined = if function == "min" {
                        a.combined(b, Op::Min, unit, smaller)
                    } else {
                        a.combined(b, Op::Max, unit, larger)
                    };
                    (combined, at.start..node.span.end)
                }
            });
        }
        total.map(|(number, _)| number)
    }

    /// Whether `min` or `max` is meant over time: two arguments, the second a duration literal, the first a tag that
    /// does not itself measure time.
    fn is_window(&self, arguments: &[Node]) -> bool {
        let [tag, span] = arguments else { return false };
        let duration =
            matches!(&span.kind, Kind::Number { unit: Some(unit), .. } if unit.is_time());
        let Kind::Name(name) = &tag.kind else {
            return false;
        };
        let tag = self.scope.tag(name);
        duration && tag.is_some_and(|tag| tag.kind == TagKind::Bool || !tag.unit.is_time())
    }

    fn window(
        &mut self,
        function: WindowFunction,
        arguments: &[Node],
        span: &Span,
    ) -> Option<Number> {
        let name = function.as_str();
        self.count(name, &format!("{name}(tag, 500ms)"), arguments, 2, span)?;
        let [tag_node, span_node] = arguments else {
            return None;
        };
        let tag_name = self.tag_name(tag_node);
        let span_ns = self.span_ns(name, span_node);
        let tag_name = tag_name?;
        let tag = self.tag(&tag_name, &tag_node.span)?;
        if tag.kind == TagKind::Bool {
            self.report(
                &tag_node.span,
                ErrorCause::TypeMismatch,
                format!("`{name}` needs a number, `{tag_name}` is a condition (true or false)"),
                "a condition that must last is a rule with an on-delay",
            );
            return None;
        }
        let unit = match function {
            WindowFunction::Avg | WindowFunction::Min | WindowFunction::Max => Some(tag.unit),
            WindowFunction::Rms if tag.unit.is_affine() => {
                self.affine(
                    &tag_node.span,
                    "the root mean square of a temperature",
                    &tag.unit,
                );
                return None;
            }
            WindowFunction::Rms => Some(tag.unit),
            WindowFunction::Delta | WindowFunction::Stddev => Some(tag.unit.difference_unit()),
            WindowFunction::Rate => tag.unit.difference_unit().quotient(&Unit::SECOND),
        };
        let Some(unit) = unit else {
            self.report(
                &tag_node.span,
                ErrorCause::UnitMismatch,
                format!("the rate of `{tag_name}` has no unit that can be computed"),
                "check the unit of the tag",
            );
            return None;
        };
        let slot = self.input(Input::Window {
            function,
            tag: tag_name,
            span_ns: span_ns?,
        });
        Some(Number {
            is_tag: false,
            ..Number::slot(slot, unit)
        })
    }

    fn span_ns(&mut self, function: &str, node: &Node) -> Option<u64> {
        let length = match &node.kind {
            Kind::Number {
                value,
                unit: Some(unit),
            } if unit.is_time() => unit.convert(*value, &Unit::NANOSECOND),
            _ => {
                self.report(
                    &node.span,
                    ErrorCause::DurationExpected,
                    format!(
                        "the second argument of `{function}` must be a duration, not `{}`",
                        self.snippet(&node.span)
                    ),
                    format!(
                        "write the span as a number with a unit of time: `{function}(tag, 500ms)`"
                    ),
                );
                return None;
            }
        };
        let length = length.unwrap_or(f64::NAN).round();
        if !(1.0..=SPAN_NS_MAX).contains(&length) {
            self.report(
                &node.span,
                ErrorCause::DurationExpected,
                format!("a window of {} is not possible", self.snippet(&node.span)),
                "write a span of at least 1 ns and at most 104 days",
            );
            return None;
        }
        // A whole number between 1 and 2^53: the cast is exact.
        Some(length as u64)
    }
}

fn smaller(a: f64, b: f64) -> f64 {
    if b < a { b } else { a }
}

fn larger(a: f64, b: f64) -> f64 {
    if b > a { b } else { a }
}

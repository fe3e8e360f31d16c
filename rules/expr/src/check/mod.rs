//! Names, types and units; the tree becomes postfix operations.
//!
//! Conversions are settled here: wherever one side is a constant it is the constant that is converted, so that
//! `tag > 0.0071 m/s` on a tag in mm/s costs no more than `tag > 7.1 mm/s`.

mod call;
mod compare;
mod name;
mod number;

use crate::ast::{Kind, Node, Span};
use crate::compile::DeadBand;
use crate::error::{ErrorCause, ExprError, Warning, WarningCause};
use crate::ir::Op;
use crate::scope::{Input, Scope};
use number::Number;
use rt_config::limits::EXPRESSION_DEPTH_MAX;

/// What a part of an expression is, with the operations that compute it.
enum Value {
    Truth(Vec<Op>),
    Number(Number),
    /// A number 0 to 3 with a meaning; `word` for a literal.
    Quality {
        ops: Vec<Op>,
        word: Option<String>,
    },
    /// Wrong, and already reported.
    Broken,
}

impl Value {
    fn describe(&self) -> String {
        match self {
            Self::Truth(_) => "a condition (true or false)".to_owned(),
            Self::Number(number) => number.describe(),
            Self::Quality { .. } => "a quality".to_owned(),
            Self::Broken => "wrong".to_owned(),
        }
    }
}

/// Whether a comparison that becomes true makes the rule true. Decides which way a dead band moves its threshold.
#[derive(Clone, Copy, PartialEq)]
enum Sense {
    /// It helps to make the rule true.
    Direct,
    /// It helps to make the rule false: it stands under an odd number of `!`.
    Inverted,
    /// Both or neither: it stands in the condition of `?:`, under `==`, or within a number.
    Mixed,
}

impl Sense {
    const fn inverted(self) -> Self {
        match self {
            Self::Direct => Self::Inverted,
            Self::Inverted => Self::Direct,
            Self::Mixed => Self::Mixed,
        }
    }
}

/// A macro being expanded.
struct Expansion<'a> {
    name: String,
    text: &'a str,
    /// Where the outermost macro is used, in the rule's own text.
    used_at: Span,
}

pub(crate) struct Checker<'a> {
    scope: &'a dyn Scope,
    source: &'a str,
    dead_band: Option<&'a DeadBand>,
    /// What the set point is multiplied by.
    factor: Option<f64>,
    /// Ordered comparisons of numbers, when there is a factor.
    raised: Vec<Span>,
    expansions: Vec<Expansion<'a>>,
    expanded_bytes: usize,
    depth: usize,
    too_long: bool,
    /// Comparisons that the dead band fits.
    banded: Vec<Span>,
    /// Units of ordered comparisons that it does not fit, for the error.
    unbanded: Vec<String>,
    inputs: Vec<Input>,
    errors: Vec<ExprError>,
    warnings: Vec<Warning>,
}

/// What checking a whole expression gives.
pub(crate) struct Checked {
    pub(crate) ops: Vec<Op>,
    pub(crate) inputs: Vec<Input>,
    pub(crate) warnings: Vec<Warning>,
}

impl<'a> Checker<'a> {
    pub(crate) fn new(
        source: &'a str,
        scope: &'a dyn Scope,
        dead_band: Option<&'a DeadBand>,
        factor: Option<f64>,
    ) -> Self {
        Self {
            scope,
            source,
            dead_band,
            factor,
            raised: Vec::new(),
            expansions: Vec::new(),
            expanded_bytes: source.len(),
            depth: 0,
            too_long: false,
            banded: Vec::new(),
            unbanded: Vec::new(),
            inputs: Vec::new(),
            errors: Vec::new(),
            warnings: Vec::new(),
        }
    }

    /// Checks a whole rule.
    pub(crate) fn rule(mut self, root: &Node) -> Result<Checked, Vec<ExprError>> {
        let value = self.value(root, Sense::Direct);
        let ops = match value {
            Value::Truth(ops) => ops,
            Value::Broken => Vec::new(),
            Value::Number(ref number) => {
                let example = number.unit.to_string();
                let help = if number.unit.is_dimensionless() && !number.unit.is_percent() {
                    "compare it with a set point, for instance `... > 10`".to_owned()
                } else {
                    format!("compare it with a set point, for instance `... > 10 {example}`")
                };
                self.report(
                    &root.span,
                    ErrorCause::TypeMismatch,
                    format!("a rule must be a condition, this is {}", value.describe()),
                    help,
                );
                Vec::new()
            }
            Value::Quality { .. } => {
                self.report(
                    &root.span,
                    ErrorCause::TypeMismatch,
                    "a rule must be a condition, this is a quality",
                    "compare it, for instance `quality(tag) >= bad`",
                );
                Vec::new()
            }
        };
        if self.errors.is_empty() {
            self.check_dead_band(&root.span);
            self.check_multiplier(&root.span);
        }
        if !self.errors.is_empty() {
            return Err(self.errors);
        }
        if self.inputs.is_empty() && self.warnings.is_empty() {
            self.warn(
                &root.span,
                WarningCause::Constant,
                "the rule depends on no tag, so it never changes".to_owned(),
                "compare a tag with a set point",
            );
        }
        Ok(Checked {
            ops,
            inputs: self.inputs,
            warnings: self.warnings,
        })
    }

    /// A multiplier raises one set point; which of two is meant, nobody could see.
    fn check_multiplier(&mut self, whole: &Span) {
        if self.factor.is_none() {
            return;
        }
        let (span, message) = match self.raised.as_slice() {
            [_] => return,
            [] => (
                whole.clone(),
                "the multiplier finds no set point: the rule compares no numbers with `<`, `<=`, `>` or `>=`"
                    .to_owned(),
            ),
            [_, second, ..] => (
                second.clone(),
                format!(
                    "the multiplier would raise {} set points of this rule, this is the second",
                    self.raised.len()
                ),
            ),
        };
        // The spans in `raised` are of the rule's own text already.
        self.errors.push(ExprError {
            span,
            cause: ErrorCause::Multiplier,
            message,
            help: "write one comparison of a tag or a window with a constant, and split the rest into rules of their own"
                .to_owned(),
            in_macro: None,
        });
    }

    fn check_dead_band(&mut self, whole: &Span) {
        let Some(band) = self.dead_band else { return };
        let band = format!("{} {}", band.value, band.unit);
        let span = match self.banded.as_slice() {
            [_] => return,
            [_, second, ..] => second.clone(),
            [] => whole.clone(),
        };
        let (message, help) = if self.banded.is_empty() {
            let found = if self.unbanded.is_empty() {
                "it compares no numbers with `<`, `<=`, `>` or `>=`".to_owned()
            } else {
                format!("it compares in {}", self.unbanded.join(", "))
            };
            (
                format!("the dead band {band} fits no comparison of this rule: {found}"),
                "give the dead band in the unit of the comparison it belongs to, or remove it"
                    .to_owned(),
            )
        } else {
            (
                format!(
                    "the dead band {band} fits {} comparisons of this rule, this is the second",
                    self.banded.len()
                ),
                "split it into one rule for each comparison, or remove the dead band".to_owned(),
            )
        };
        // The spans in `banded` are of the rule's own text already.
        self.errors.push(ExprError {
            span,
            cause: ErrorCause::DeadBand,
            message,
            help,
            in_macro: None,
        });
    }

    /// The text that is being checked: the rule's, or the innermost macro's.
    fn text(&self) -> &'a str {
        self.expansions.last().map_or(self.source, |e| e.text)
    }

    fn snippet(&self, span: &Span) -> &'a str {
        self.text().get(span.clone()).unwrap_or("")
    }

    /// `span` of the current text as one of the rule's own text.
    fn outer_span(&self, span: &Span) -> Span {
        self.expansions
            .first()
            .map_or_else(|| span.clone(), |e| e.used_at.clone())
    }

    fn report(
        &mut self,
        span: &Span,
        cause: ErrorCause,
        message: impl Into<String>,
        help: impl Into<String>,
    ) {
        let message = message.into();
        let in_macro = self.expansions.last().map(|e| e.name.clone());
        let message = match &in_macro {
            Some(name) => format!("in macro `{name}`, at `{}`: {message}", self.snippet(span)),
            None => message,
        };
        self.errors.push(ExprError {
            span: self.outer_span(span),
            cause,
            message,
            help: help.into(),
            in_macro,
        });
    }

    fn warn(&mut self, span: &Span, cause: WarningCause, message: String, help: &str) {
        let message = match self.expansions.last() {
            Some(e) => format!(
                "in macro `{}`, at `{}`: {message}",
                e.name,
                self.snippet(span)
            ),
            None => message,
        };
        self.warnings.push(Warning {
            span: self.outer_span(span),
            cause,
            message,
            help: help.to_owned(),
        });
    }

    /// The index of `input` among the distinct inputs.
    fn input(&mut self, input: Input) -> u32 {
        let at = match self.inputs.iter().position(|known| *known == input) {
            Some(at) => at,
            None => {
                self.inputs.push(input);
                self.inputs.len() - 1
            }
        };
        // An expression's length bounds the count far below 2^32.
        u32::try_from(at).unwrap_or(u32::MAX)
    }

    /// Checks any node. `sense` matters to conditions only.
    fn value(&mut self, node: &Node, sense: Sense) -> Value {
        if self.depth == EXPRESSION_DEPTH_MAX {
            self.report(
                &node.span,
                ErrorCause::TooDeep,
                format!("nested deeper than {EXPRESSION_DEPTH_MAX} levels, macros included"),
                "split the expression into several rules",
            );
            return Value::Broken;
        }
        self.depth += 1;
        let value = match &node.kind {
            Kind::Number { value, unit } => Value::Number(Number::literal(*value, unit.clone())),
            Kind::Bool(value) => Value::Truth(vec![Op::Bool(*value)]),
            Kind::Name(name) => self.name(name, &node.span, sense),
            Kind::Call {
                function,
                name_span,
                arguments,
            } => self.call(function, name_span, arguments, &node.span),
            Kind::Negate(inner) => self.negate(inner),
            Kind::Not(inner) => self.not(inner, node, sense),
            Kind::Arithmetic { first, rest } => self.arithmetic(first, rest),
            Kind::Compare {
                relation,
                left,
                right,
            } => self.compare(*relation, left, right, &node.span, sense),
            Kind::All(nodes) => self.logic(nodes, Op::And, sense),
            Kind::Any(nodes) => self.logic(nodes, Op::Or, sense),
            Kind::Choose { condition, yes, no } => self.choose(condition, yes, no, node, sense),
        };
        self.depth -= 1;
        value
    }

    /// Checks a node that must be a condition.
    fn truth(&mut self, node: &Node, sense: Sense) -> Option<Vec<Op>> {
        let value = self.value(node, sense);
        let help = match &value {
            Value::Truth(_) => None,
            Value::Broken => return None,
            Value::Number(number) => Some(format!(
                "compare it: `{} > {}`",
                self.snippet(&node.span),
                number.example()
            )),
            Value::Quality { .. } => Some("compare it: `quality(tag) >= bad`".to_owned()),
        };
        if let Some(help) = help {
            self.report(
                &node.span,
                ErrorCause::TypeMismatch,
                format!("a condition is needed here, this is {}", value.describe()),
                help,
            );
            return None;
        }
        match value {
            Value::Truth(ops) => Some(ops),
            _ => None,
        }
    }

    /// Checks a node that must be a number.
    fn number(&mut self, node: &Node) -> Option<Number> {
        match self.value(node, Sense::Mixed) {
            Value::Number(number) => Some(number),
            Value::Broken => None,
            value => {
                self.report(
                    &node.span,
                    ErrorCause::TypeMismatch,
                    format!("a number is needed here, this is {}", value.describe()),
                    "a condition becomes a number with `condition ? 1 : 0`",
                );
                None
            }
        }
    }

    fn not(&mut self, inner: &Node, node: &Node, sense: Sense) -> Value {
        // `!x > 3` reads as (!x) > 3: say so instead of only "not a condition".
        let before = self.errors.len();
        let Some(mut ops) = self.truth(inner, sense.inverted()) else {
            if self.errors.len() == before + 1
                && let Some(last) = self.errors.last_mut()
                && last.cause == ErrorCause::TypeMismatch
                && matches!(inner.kind, Kind::Name(_))
                && node.span.start < inner.span.start
            {
                last.help
                    .push_str("; to negate a comparison put it in parentheses: `!(x > 3)`");
            }
            return Value::Broken;
        };
        ops.push(Op::Not);
        Value::Truth(ops)
    }

    fn logic(&mut self, nodes: &[Node], op: Op, sense: Sense) -> Value {
        let mut all: Option<Vec<Op>> = None;
        let mut broken = false;
        for node in nodes {
            let Some(ops) = self.truth(node, sense) else {
                broken = true;
                continue;
            };
            match &mut all {
                None => all = Some(ops),
                Some(all) => {
                    all.extend(ops);
                    all.push(op);
                }
            }
        }
        match all {
            Some(ops) if !broken => Value::Truth(ops),
            _ => Value::Broken,
        }
    }

    fn choose(
        &mut self,
        condition: &Node,
        yes: &Node,
        no: &Node,
        node: &Node,
        sense: Sense,
    ) -> Value {
        let condition = self.truth(condition, Sense::Mixed);
        let left = self.value(yes, sense);
        let right = self.value(no, sense);
        let Some(condition) = condition else {
            return Value::Broken;
        };
        match (left, right) {
            (Value::Broken, _) | (_, Value::Broken) => Value::Broken,
            (Value::Truth(mut ops), Value::Truth(other)) => {
                ops.extend(other);
                ops.extend(condition);
                ops.push(Op::ChooseBool);
                Value::Truth(ops)
            }
            (Value::Number(a), Value::Number(b)) => {
                let Some((a, b)) = self.same_unit(a, &yes.span, b, &no.span) else {
                    return Value::Broken;
                };
                Value::Number(a.chosen(b, condition))
            }
            (left, right) => {
                self.report(
                    &node.span,
                    ErrorCause::TypeMismatch,
                    format!(
                        "the two sides of `:` differ: {} and {}",
                        left.describe(),
                        right.describe()
                    ),
                    "both must be conditions, or both numbers of one kind of unit",
                );
                Value::Broken
            }
        }
    }
}

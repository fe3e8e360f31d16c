//! The scalar types of the format: text, numbers, booleans, durations. Each knows its place and its JSON Schema.

use std::borrow::Cow;

use rules_expr::DurationError;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use crate::finding::Code;
use crate::limits::DURATION_NS_MAX;
use crate::read::{Cx, PlainKind, Read, Span, describe, plain_kind, short};
use crate::yaml::{Kind, Node, Style};

/// Text. A number or boolean must be quoted to be one.
#[derive(Clone, Debug)]
pub(crate) struct Text {
    pub(crate) value: String,
    pub(crate) span: Span,
}

impl Read for Text {
    fn read(node: &Node, owner: &Span, cx: &mut Cx<'_, '_>) -> Option<Self> {
        let (text, style) = cx.scalar(node, owner, "text")?;
        if style == Style::Plain && plain_kind(text) != PlainKind::Text {
            cx.wrong_type(node, owner, "text");
            return None;
        }
        Some(Self {
            value: text.to_owned(),
            span: node.span.clone(),
        })
    }
}

/// An expression, or a quantity: any scalar, read by the expression language.
#[derive(Clone, Debug)]
pub(crate) struct Expression {
    pub(crate) text: String,
    pub(crate) style: Style,
    pub(crate) span: Span,
}

impl Read for Expression {
    fn read(node: &Node, owner: &Span, cx: &mut Cx<'_, '_>) -> Option<Self> {
        let (text, style) = cx.scalar(node, owner, "an expression")?;
        Some(Self {
            text: text.to_owned(),
            style,
            span: node.span.clone(),
        })
    }
}

/// A value with a unit, such as `7.1 mm/s`.
#[derive(Clone, Debug)]
pub(crate) struct Quantity {
    pub(crate) text: String,
    pub(crate) span: Span,
}

impl Read for Quantity {
    fn read(node: &Node, owner: &Span, cx: &mut Cx<'_, '_>) -> Option<Self> {
        let (text, _) = cx.scalar(node, owner, "a number with its unit, such as `7.1 mm/s`")?;
        Some(Self {
            text: text.trim().to_owned(),
            span: node.span.clone(),
        })
    }
}

/// A finite number.
#[derive(Clone, Debug)]
pub(crate) struct Number {
    pub(crate) value: f64,
    pub(crate) span: Span,
}

impl Read for Number {
    fn read(node: &Node, owner: &Span, cx: &mut Cx<'_, '_>) -> Option<Self> {
        let (text, style) = cx.scalar(node, owner, "a number")?;
        if style != Style::Plain || plain_kind(text) != PlainKind::Number {
            cx.wrong_type(node, owner, "a number");
            return None;
        }
        let value = match integer(text) {
            Some(Ok(value)) => finite_from_integer(value),
            Some(Err(LeadingZero)) => {
                leading_zero(node, text, cx);
                return None;
            }
            None => text.parse::<f64>().ok().filter(|value| value.is_finite()),
        };
        if value.is_none() {
            cx.findings
                .error(
                    Code::NotFinite,
                    &node.span,
                    format!("`{}` is not a finite number", short(text)),
                    "write a number that a 64-bit float can hold; infinity and not-a-number have no place in a pack",
                )
                .label("not finite");
        }
        Some(Self {
            value: value?,
            span: node.span.clone(),
        })
    }
}

/// An integer from `MIN` to `MAX`.
#[derive(Clone, Debug)]
pub(crate) struct Int<const MIN: i64, const MAX: i64> {
    pub(crate) value: i64,
    pub(crate) span: Span,
}

impl<const MIN: i64, const MAX: i64> Int<MIN, MAX> {
    /// The value as a smaller type. `MIN` and `MAX` make sure that it fits; the fallback is never reached by them.
    pub(crate) fn to<T: TryFrom<i64> + Default>(&self) -> T {
        T::try_from(self.value).unwrap_or_default()
    }
}

impl<const MIN: i64, const MAX: i64> Read for Int<MIN, MAX> {
    fn read(node: &Node, owner: &Span, cx: &mut Cx<'_, '_>) -> Option<Self> {
        let (text, style) = cx.scalar(node, owner, "a whole number")?;
        let value = match integer(text).filter(|_| style == Style::Plain) {
            Some(Ok(value)) => value,
            Some(Err(LeadingZero)) => {
                leading_zero(node, text, cx);
                return None;
            }
            None => {
                cx.wrong_type(node, owner, "a whole number");
                return None;
            }
        };
        match i64::try_from(value)
            .ok()
            .filter(|value| (MIN..=MAX).contains(value))
        {
            Some(value) => Some(Self {
                value,
                span: node.span.clone(),
            }),
            None => {
                cx.findings
                    .error(
                        Code::OutOfBounds,
                        &node.span,
                        format!("{} is outside what is allowed here", short(text)),
                        format!("write a whole number from {MIN} to {MAX}"),
                    )
                    .label(format!("not within {MIN} to {MAX}"));
                None
            }
        }
    }
}

/// `007` is 7 to some and octal to others.
struct LeadingZero;

/// Reads a decimal, `0x` or `0o` integer; `None` when it is none. Saturates, so that a huge one is out of bounds.
fn integer(text: &str) -> Option<Result<i128, LeadingZero>> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let (radix, digits) = match digits.get(..2) {
        Some("0x") => (16, digits.get(2..)?),
        Some("0o") => (8, digits.get(2..)?),
        _ => (10, digits),
    };
    if digits.is_empty() || !digits.chars().all(|c| c.is_digit(radix)) {
        return None;
    }
    if radix == 10 && digits.len() > 1 && digits.starts_with('0') {
        return Some(Err(LeadingZero));
    }
    let value = i128::from_str_radix(digits, radix).unwrap_or(i128::MAX);
    Some(Ok(if negative {
        value.saturating_neg()
    } else {
        value
    }))
}

#[expect(
    clippy::as_conversions,
    reason = "a literal is rounded to the nearest double like any other literal"
)]
fn finite_from_integer(value: i128) -> Option<f64> {
    let number = value as f64;
    (value != i128::MAX && value != -i128::MAX).then_some(number)
}

fn leading_zero(node: &Node, text: &str, cx: &mut Cx<'_, '_>) {
    let plain = text.trim_start_matches(['0', '-', '+']);
    let plain = if plain.is_empty() { "0" } else { plain };
    cx.findings.error(
        Code::WrongType,
        &node.span,
        format!(
            "`{}` has a leading zero: decimal to some readers, octal to others",
            short(text)
        ),
        format!("write `{}`", short(plain)),
    );
}

/// `true` or `false`, and nothing else.
#[derive(Clone, Debug)]
pub(crate) struct Bool {
    pub(crate) value: bool,
    pub(crate) span: Span,
}

impl Read for Bool {
    fn read(node: &Node, owner: &Span, cx: &mut Cx<'_, '_>) -> Option<Self> {
        let (text, style) = cx.scalar(node, owner, "`true` or `false`")?;
        let value = match (text, style) {
            ("true", Style::Plain) => true,
            ("false", Style::Plain) => false,
            _ => {
                not_a_bool(node, text, cx);
                return None;
            }
        };
        Some(Self {
            value,
            span: node.span.clone(),
        })
    }
}

fn not_a_bool(node: &Node, text: &str, cx: &mut Cx<'_, '_>) {
    let help = match text.to_ascii_lowercase().as_str() {
        "yes" | "on" | "y" | "true" | "1" => "write `true`",
        "no" | "off" | "n" | "false" | "0" => "write `false`",
        _ => "write `true` or `false`, without quotes",
    };
    let found = describe(node);
    cx.findings
        .error(
            Code::WrongType,
            &node.span,
            format!("expected `true` or `false`, found {found}"),
            help,
        )
        .label("not a boolean");
}

/// The value that permits an output to run, or stops it: a boolean (coil) or a number (register).
#[derive(Clone, Debug)]
pub(crate) enum OutputValue {
    Flag(Bool),
    Word(Int<0, 65_535>),
}

impl OutputValue {
    pub(crate) fn span(&self) -> &Span {
        match self {
            Self::Flag(flag) => &flag.span,
            Self::Word(word) => &word.span,
        }
    }
}

impl Read for OutputValue {
    fn read(node: &Node, owner: &Span, cx: &mut Cx<'_, '_>) -> Option<Self> {
        match &node.kind {
            Kind::Scalar(text, Style::Plain) if plain_kind(text) == PlainKind::Number => {
                Int::read(node, owner, cx).map(Self::Word)
            }
            _ => Bool::read(node, owner, cx).map(Self::Flag),
        }
    }
}

/// A span of time, such as `10ms`.
#[derive(Clone, Debug)]
pub(crate) struct Duration {
    pub(crate) ns: u64,
    pub(crate) span: Span,
}

impl Read for Duration {
    fn read(node: &Node, owner: &Span, cx: &mut Cx<'_, '_>) -> Option<Self> {
        let (text, _) = cx.scalar(node, owner, "a duration, such as `10ms`")?;
        let problem = match rules_expr::parse_duration(text) {
            Ok(ns) if ns <= DURATION_NS_MAX => {
                return Some(Self {
                    ns,
                    span: node.span.clone(),
                });
            }
            Ok(_) | Err(DurationError::TooLong { .. }) => {
                format!("`{}` is longer than a day", short(text))
            }
            Err(DurationError::Negative { .. }) => format!("`{}` is negative", short(text)),
            Err(_) => format!("`{}` is not a duration", short(text)),
        };
        let (label, help) = if plain_kind(text) == PlainKind::Number {
            ("no unit", format!("add the unit: `{text}ms`, `{text}s`"))
        } else {
            (
                "",
                "write a number and one of ns, us, ms, s, min, h, such as `250us`, `10ms` or `2s`; at most `24h`"
                    .to_owned(),
            )
        };
        cx.findings
            .error(Code::BadDuration, &node.span, problem, help)
            .label(label);
        None
    }
}

/// How often a device is read.
#[derive(Clone, Debug)]
pub(crate) enum Poll {
    Continuous,
    Every(Duration),
}

impl Read for Poll {
    fn read(node: &Node, owner: &Span, cx: &mut Cx<'_, '_>) -> Option<Self> {
        match &node.kind {
            Kind::Scalar(text, _) if text == "continuous" => Some(Self::Continuous),
            _ => Duration::read(node, owner, cx).map(Self::Every),
        }
    }
}

/// Both ends of a range.
#[derive(Clone, Debug)]
pub(crate) struct Bounds {
    pub(crate) min: Number,
    pub(crate) max: Number,
    pub(crate) at: Span,
}

impl Read for Bounds {
    fn read(node: &Node, owner: &Span, cx: &mut Cx<'_, '_>) -> Option<Self> {
        let Kind::List(items) = &node.kind else {
            cx.wrong_type(node, owner, "a list of two numbers, such as `[0, 50]`");
            return None;
        };
        let [min, max] = items.as_slice() else {
            let key = cx.source.get(owner.clone()).unwrap_or_default();
            let (what, help) = match key {
                "raw" => (
                    "`raw`",
                    "write what is stored at 4 mA and at 20 mA: `raw: [0, 27648]`",
                ),
                "measures" => (
                    "`measures`",
                    "write what 4 mA and 20 mA measure, in the tag's unit: `measures: [0, 150]`",
                ),
                _ => (
                    "a range",
                    "write the lowest and the highest valid value in the tag's unit: `range: [0, 50]`",
                ),
            };
            cx.findings.error(
                Code::WrongType,
                &node.span,
                format!("{what} has two ends, this list has {} items", items.len()),
                help,
            );
            return None;
        };
        let (min, max) = (Number::read(min, owner, cx), Number::read(max, owner, cx));
        Some(Self {
            min: min?,
            max: max?,
            at: owner.clone(),
        })
    }
}

/// The format version.
#[derive(Clone, Debug)]
pub(crate) struct Version;

impl Read for Version {
    fn read(node: &Node, owner: &Span, cx: &mut Cx<'_, '_>) -> Option<Self> {
        match cx.scalar(node, owner, "the format version, `1`")? {
            ("1", Style::Plain) => Some(Self),
            (other, _) => {
                cx.findings
                    .error(
                        Code::FormatVersion,
                        &node.span,
                        format!(
                            "version `{}` of the pack format is not known to this program",
                            short(other)
                        ),
                        "write `tripline: 1`, or use a newer program for a newer pack",
                    )
                    .label("only 1 is supported");
                None
            }
        }
    }
}

macro_rules! inline_schema {
    ([$($generics:tt)*] $name:ty, $title:literal, $schema:tt) => {
        impl $($generics)* JsonSchema for $name {
            fn inline_schema() -> bool {
                true
            }

            fn schema_name() -> Cow<'static, str> {
                $title.into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!($schema)
            }
        }
    };
}

/// What `parse_duration` reads, for editors.
const DURATION_PATTERN: &str = r"^[0-9]+(\.[0-9]+)? ?(ns|us|ms|s|min|h)$";

inline_schema!([] Text, "Text", { "type": "string", "minLength": 1 });
inline_schema!([] Expression, "Expression", { "type": "string", "minLength": 1 });
inline_schema!([] Quantity, "Quantity", { "type": ["string", "number"] });
inline_schema!([] Number, "Number", { "type": "number" });
inline_schema!([<const MIN: i64, const MAX: i64>] Int<MIN, MAX>, "Integer", { "type": "integer", "minimum": MIN, "maximum": MAX });
inline_schema!([] Bool, "Boolean", { "type": "boolean" });
inline_schema!([] OutputValue, "OutputValue", {
    "anyOf": [{ "type": "boolean" }, { "type": "integer", "minimum": 0, "maximum": 65_535 }]
});
inline_schema!([] Duration, "Duration", { "type": "string", "pattern": DURATION_PATTERN });
inline_schema!([] Poll, "Poll", {
    "anyOf": [{ "const": "continuous" }, { "type": "string", "pattern": DURATION_PATTERN }]
});
inline_schema!([] Bounds, "Range", { "type": "array", "items": { "type": "number" }, "minItems": 2, "maxItems": 2 });
inline_schema!([] Version, "Version", { "const": 1 });

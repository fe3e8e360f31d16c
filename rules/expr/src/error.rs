//! What is wrong with an expression: where, what, and how to mend it.

use std::fmt;
use std::ops::Range;

/// Why an expression is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorCause {
    /// A character that begins nothing in the language.
    Character,
    /// A number that cannot be represented.
    Number,
    /// A word directly after a number that is no unit.
    UnknownUnit,
    /// The text does not follow the grammar.
    Syntax,
    /// Two comparisons in a row: `1 < x < 3`.
    ChainedComparison,
    /// Longer than `EXPRESSION_BYTES_MAX`, macros expanded.
    TooLong,
    /// Nested deeper than `EXPRESSION_DEPTH_MAX`.
    TooDeep,
    /// More than `EXPRESSION_OPS_MAX` operations.
    TooManyOps,
    /// No tag, constant or macro of this name.
    UnknownName,
    /// The name means more than one thing.
    AmbiguousName,
    /// No function of this name.
    UnknownFunction,
    /// A macro that uses itself, perhaps through others.
    MacroRecursion,
    /// A function has too few or too many arguments.
    ArgumentCount,
    /// The argument must be the name of a tag.
    TagExpected,
    /// The argument must be a duration such as `500ms`.
    DurationExpected,
    /// The two sides measure different quantities.
    UnitMismatch,
    /// A number without a unit meets a quantity.
    BareNumber,
    /// A number where a condition is needed, or the other way round.
    TypeMismatch,
    /// A temperature with an offset used as if zero degrees were nothing.
    Temperature,
    /// Quality compared with something that is no quality.
    Quality,
    /// Constants that never give a usable number, such as a division by zero.
    NeverUsable,
    /// The dead band does not belong to exactly one comparison.
    DeadBand,
    /// The set point that a multiplier raises is not exactly one, or cannot be raised.
    Multiplier,
}

/// One thing that is wrong with an expression.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExprError {
    /// Bytes of the source it is about. Inside a macro: where the macro is used.
    pub span: Range<usize>,
    /// Why.
    pub cause: ErrorCause,
    /// What, in a sentence without a full stop.
    pub message: String,
    /// How to mend it.
    pub help: String,
    /// The macro whose text is at fault, innermost.
    pub in_macro: Option<String>,
}

impl ExprError {
    /// The error with the line of `source` it is about and a caret under the place.
    pub fn render(&self, source: &str) -> String {
        render(source, &self.span, "error", &self.message, &self.help)
    }
}

impl fmt::Display for ExprError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}; {}", self.message, self.help)
    }
}

impl std::error::Error for ExprError {}

/// What may be unwise in an expression that is accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum WarningCause {
    /// `==` or `!=` between measured numbers.
    FloatEquality,
    /// The expression, or a comparison in it, does not depend on any input.
    Constant,
    /// `quality(tag) == good` and the like leave out a neighbouring quality.
    QualityEquality,
}

/// One remark on an accepted expression.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning {
    /// Bytes of the source it is about.
    pub span: Range<usize>,
    /// Why.
    pub cause: WarningCause,
    /// What, in a sentence without a full stop.
    pub message: String,
    /// What to write instead.
    pub help: String,
}

impl Warning {
    /// The warning with the line of `source` it is about and a caret under the place.
    pub fn render(&self, source: &str) -> String {
        render(source, &self.span, "warning", &self.message, &self.help)
    }
}

fn render(source: &str, span: &Range<usize>, kind: &str, message: &str, help: &str) -> String {
    let start = span.start.min(source.len());
    let before = source.get(..start).unwrap_or("");
    let line_start = before.rfind('\n').map_or(0, |at| at + 1);
    let line = source
        .get(line_start..)
        .and_then(|rest| rest.lines().next())
        .unwrap_or("");
    let column = before.get(line_start..).unwrap_or("").chars().count();
    let marked = source
        .get(start..span.end.min(line_start + line.len()).max(start))
        .unwrap_or("");
    let carets = "^".repeat(marked.chars().count().max(1));
    format!(
        "{kind}: {message}\n  | {line}\n  | {}{carets}\n  = {help}",
        " ".repeat(column)
    )
}

/// The known name nearest to `name`, if it is near enough to be a slip of the pen.
pub(crate) fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let allowed = (name.chars().count() / 3).max(1);
    known
        .filter(|candidate| candidate.len().abs_diff(name.len()) <= allowed * 4)
        .map(|candidate| (distance(name, candidate), candidate))
        .filter(|(distance, _)| *distance <= allowed)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// Levenshtein's distance in characters, case ignored.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.to_lowercase().chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.to_lowercase().chars().enumerate() {
        let mut diagonal = i;
        let mut left = i + 1;
        for (cell, y) in row.iter_mut().skip(1).zip(&b) {
            let substitution = diagonal + usize::from(x != *y);
            diagonal = *cell;
            left = substitution.min(diagonal + 1).min(left + 1);
            *cell = left;
        }
        if let Some(first) = row.first_mut() {
            *first = i + 1;
        }
    }
    row.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_are_found_and_strangers_are_not() {
        let known = ["press.bearing.vibration", "press.speed", "oil.level"];
        let near = |name| nearest(name, known.iter().copied());
        assert_eq!(
            near("press.bearing.vibraton"),
            Some("press.bearing.vibration")
        );
        assert_eq!(near("Press.Speed"), Some("press.speed"));
        assert_eq!(near("oil_level"), Some("oil.level"));
        assert_eq!(near("conveyor"), None);
        assert_eq!(distance("kitten", "sitting"), 3);
        assert_eq!(distance("", "ab"), 2);
    }

    #[test]
    fn the_caret_counts_characters_not_bytes() {
        let error = ExprError {
            span: 9..10,
            cause: ErrorCause::Syntax,
            message: "m".into(),
            help: "h".into(),
            in_macro: None,
        };
        // "°" takes two bytes.
        assert_eq!(
            error.render("80 °C > x"),
            "error: m\n  | 80 °C > x\n  |         ^\n  = h"
        );
        assert_eq!(
            error.render("a > 1 &&\nb"),
            "error: m\n  | b\n  | ^\n  = h",
            "second line"
        );
    }
}

//! Findings of the expression language, moved to their place in the file.

use rules_expr::{ErrorCause, ExprError, Warning};

use super::model::CHANNEL;
use super::names::Names;
use crate::finding::Code;
use crate::read::{Cx, Span};
use crate::scalar::Expression;
use crate::yaml::Style;

/// Where an expression is written, its dead band and its multiplier.
pub(super) struct Place<'p> {
    pub(super) when: &'p Expression,
    pub(super) dead_band: Option<&'p Span>,
    pub(super) multiplier: Option<&'p Span>,
}

impl Place<'_> {
    /// Where a part of the expression is in the file; `None` when the file writes it differently (escapes, folding).
    fn locate(&self, part: &Span, source: &str) -> Option<Span> {
        let written = source.get(self.when.span.clone())?;
        let skip: usize = match self.when.style {
            Style::Plain => 0,
            Style::Quoted
                if written.get(1..written.len().saturating_sub(1))
                    == Some(self.when.text.as_str()) =>
            {
                1
            }
            Style::Quoted | Style::Block => return self.locate_text(part, written),
        };
        let start = self.when.span.start.saturating_add(skip);
        let text = source.get(start..start.saturating_add(self.when.text.len()))?;
        // An expression may end too early: then the last character is what can be pointed to.
        let last = text
            .char_indices()
            .next_back()
            .map_or(0, |(offset, _)| offset);
        let from = if part.start >= text.len() {
            last
        } else {
            part.start
        };
        let to = part.end.clamp(from, text.len());
        Some(start.saturating_add(from)..start.saturating_add(to))
    }

    /// The part, if its text stands exactly once in the expression and in the file.
    fn locate_text(&self, part: &Span, written: &str) -> Option<Span> {
        let text = self
            .when
            .text
            .get(part.clone())
            .filter(|text| !text.is_empty())?;
        let once = |whole: &str| whole.match_indices(text).nth(1).is_none();
        let offset = written.find(text)?;
        let start = self.when.span.start.saturating_add(offset);
        (once(&self.when.text) && once(written)).then(|| start..start.saturating_add(text.len()))
    }
}

/// Reports errors of an expression.
pub(super) fn report_errors(
    errors: &[ExprError],
    place: &Place<'_>,
    names: &Names<'_>,
    cx: &mut Cx<'_, '_>,
) {
    for error in errors {
        let is_channel = place.when.text.get(error.span.clone()) == Some(CHANNEL);
        let (code, label) = match error.cause {
            ErrorCause::UnknownName if is_channel => (Code::BadChannel, "no voting"),
            ErrorCause::UnknownName => (Code::UnknownName, "not a tag, constant or macro"),
            ErrorCause::DeadBand => (Code::BadDeadBand, ""),
            ErrorCause::Multiplier => (Code::BadMultiplier, ""),
            ErrorCause::UnitMismatch => (Code::BadExpression, "units differ"),
            ErrorCause::UnknownUnit => (Code::BadExpression, "unknown unit"),
            ErrorCause::BareNumber => (Code::BadExpression, "no unit"),
            ErrorCause::UnknownFunction => (Code::BadExpression, "unknown function"),
            _ => (Code::BadExpression, ""),
        };
        let located = place.locate(&error.span, cx.source);
        let span = match (error.cause, place.dead_band, place.multiplier) {
            (ErrorCause::DeadBand, Some(dead_band), _) => dead_band.clone(),
            (ErrorCause::Multiplier, _, Some(multiplier)) => multiplier.clone(),
            _ => located
                .clone()
                .unwrap_or_else(|| first_line(&place.when.span, cx.source)),
        };
        let draft = cx.findings.error(
            code,
            &span,
            error.message.clone(),
            help_for(error, place, names),
        );
        draft.label(if located.is_some() {
            label
        } else {
            "in this expression"
        });
        if located.is_none() {
            draft.note(excerpt(&place.when.text, &error.span));
        }
    }
}

/// The way out of an error; for a name that nothing has, our own guess where the language has none.
fn help_for(error: &ExprError, place: &Place<'_>, names: &Names<'_>) -> String {
    let text = place.when.text.get(error.span.clone());
    if error.cause == ErrorCause::UnknownName && text == Some(CHANNEL) {
        return "`channel` stands for each channel of a voting: add `voting:` with its name to this rule".to_owned();
    }
    let guess = match error.cause {
        ErrorCause::UnknownName
            if error.in_macro.is_none() && !error.help.starts_with("did you mean") =>
        {
            place
                .when
                .text
                .get(error.span.clone())
                .and_then(|name| names.similar(name))
        }
        _ => None,
    };
    guess.map_or_else(
        || error.help.clone(),
        |name| format!("did you mean `{name}`?"),
    )
}

/// Reports remarks on an expression.
pub(super) fn report_warnings(warnings: &[Warning], place: &Place<'_>, cx: &mut Cx<'_, '_>) {
    for warning in warnings {
        let located = place.locate(&warning.span, cx.source);
        let span = located
            .clone()
            .unwrap_or_else(|| first_line(&place.when.span, cx.source));
        let draft = cx.findings.warning(
            Code::ExpressionLint,
            &span,
            warning.message.clone(),
            warning.help.clone(),
        );
        if located.is_none() {
            draft.note(excerpt(&place.when.text, &warning.span));
        }
    }
}

/// The first line of a span, so that carets stay on one line.
fn first_line(span: &Span, source: &str) -> Span {
    let text = source.get(span.clone()).unwrap_or_default();
    let length = text.lines().next().map_or(0, |line| line.trim_end().len());
    span.start..span.start.saturating_add(length)
}

/// The expression as the parser saw it, with a caret.
fn excerpt(text: &str, part: &Span) -> String {
    let start = part.start.min(text.len());
    let before = text.get(..start).unwrap_or_default();
    let line_start = before.rfind('\n').map_or(0, |at| at.saturating_add(1));
    let line = text
        .get(line_start..)
        .and_then(|rest| rest.lines().next())
        .unwrap_or_default();
    let column = before
        .get(line_start..)
        .map_or(0, |text| text.chars().count());
    let end = part
        .end
        .min(line_start.saturating_add(line.len()))
        .max(start);
    let carets = text
        .get(start..end)
        .map_or(1, |text| text.chars().count().max(1));
    let line = line.replace('\t', " ");
    format!(
        "the expression reads
{line}
{}{}",
        " ".repeat(column),
        "^".repeat(carets)
    )
}

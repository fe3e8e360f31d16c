//! Names: tags, constants, macros, and what was meant by one that is none of them.

use super::number::Number;
use super::{Checker, Expansion, Sense, Value};
use crate::ast::Span;
use crate::error::{ErrorCause, nearest};
use crate::ir::Op;
use crate::parser::parse;
use crate::scope::{Input, TagInfo, TagKind, quality_word};
use crate::unit::{is_unit_word, unit_names};
use rt_config::limits::EXPRESSION_BYTES_MAX;

impl<'a> Checker<'a> {
    /// The tag called `name`, or `None` with an error that says what it is instead.
    pub(super) fn tag(&mut self, name: &str, span: &Span) -> Option<TagInfo> {
        if let Some(tag) = self.scope.tag(name) {
            return Some(tag);
        }
        let is = if self.scope.constant(name).is_some() {
            "a constant"
        } else if self.scope.macro_source(name).is_some() {
            "a macro"
        } else {
            self.unknown(name, span);
            return None;
        };
        self.report(
            span,
            ErrorCause::TagExpected,
            format!("the name of a tag is needed here, `{name}` is {is}"),
            "this function looks at one tag's samples; name the tag itself",
        );
        None
    }

    fn unknown(&mut self, name: &str, span: &Span) {
        if let Some(unit) = self.half_a_unit(span) {
            self.report(
                span,
                ErrorCause::UnknownName,
                format!("no tag, constant or macro is called `{name}`"),
                format!("did you mean the unit `{unit}`?"),
            );
            return;
        }
        let names = self.scope.names();
        let help = match nearest(name, names.into_iter()) {
            Some(known) => format!("did you mean `{known}`?"),
            None => "declare a tag, constant or macro of this name, or correct it".to_owned(),
        };
        self.report(
            span,
            ErrorCause::UnknownName,
            format!("no tag, constant or macro is called `{name}`"),
            help,
        );
    }

    /// The unit meant by `mm/sec`, of which the lexer could only take `mm`: a name may follow a division sign.
    fn half_a_unit(&self, name: &Span) -> Option<&'static str> {
        let text = self.text();
        let before = text.get(..name.start)?;
        let length = before
            .strip_suffix('/')?
            .chars()
            .rev()
            .take_while(|c| is_unit_word(*c));
        let start = name.start - 1 - length.map(char::len_utf8).sum::<usize>();
        let word = text
            .get(start..name.end)?
            .trim_start_matches(|c: char| c.is_ascii_digit() || c == '.');
        nearest(word, unit_names().into_iter()).filter(|unit| unit.contains('/'))
    }

    pub(super) fn name(&mut self, name: &str, span: &Span, sense: Sense) -> Value {
        if let Some(quality) = quality_word(name) {
            return Value::Quality {
                ops: vec![Op::Const(quality)],
                word: Some(name.to_owned()),
            };
        }
        let tag = self.scope.tag(name);
        let constant = self.scope.constant(name);
        let text = self.scope.macro_source(name);
        let meanings = usize::from(tag.is_some())
            + usize::from(constant.is_some())
            + usize::from(text.is_some());
        if meanings > 1 {
            self.report(
                span,
                ErrorCause::AmbiguousName,
                format!("`{name}` is declared more than once, as tag, constant or macro"),
                "rename all but one",
            );
            return Value::Broken;
        }
        if let Some(tag) = tag {
            let slot = self.input(Input::Tag(name.to_owned()));
            return match tag.kind {
                TagKind::Bool => Value::Truth(vec![Op::SlotBool(slot)]),
                TagKind::Number => Value::Number(Number::slot(slot, tag.unit)),
            };
        }
        if let Some(constant) = constant {
            if !constant.value.is_finite() {
                self.report(
                    span,
                    ErrorCause::NeverUsable,
                    format!("the constant `{name}` is not a finite number"),
                    "correct its declaration",
                );
                return Value::Broken;
            }
            return Value::Number(Number::constant(constant.value, constant.unit));
        }
        match text {
            Some(text) => self.expand(name, text, span, sense),
            None => {
                self.unknown(name, span);
                Value::Broken
            }
        }
    }

    /// A macro is checked where it is used, as if in parentheses; its names mean what they mean everywhere.
    fn expand(&mut self, name: &str, text: &'a str, span: &Span, sense: Sense) -> Value {
        if self.expansions.iter().any(|e| e.name == name) {
            let path: Vec<&str> = self.expansions.iter().map(|e| e.name.as_str()).collect();
            let path = format!("{} -> {name}", path.join(" -> "));
            self.report(
                span,
                ErrorCause::MacroRecursion,
                format!("the macro `{name}` uses itself: {path}"),
                "a macro is replaced by its text, so it cannot contain itself; break the circle",
            );
            return Value::Broken;
        }
        self.expanded_bytes = self.expanded_bytes.saturating_add(text.len());
        if self.expanded_bytes > EXPRESSION_BYTES_MAX {
            // Once is enough: every further macro would say the same.
            if !self.too_long {
                self.too_long = true;
                self.report(
                    span,
                    ErrorCause::TooLong,
                    format!("longer than {EXPRESSION_BYTES_MAX} bytes once macros are replaced by their text"),
                    "split it into several rules",
                );
            }
            return Value::Broken;
        }
        let used_at = self.outer_span(span);
        self.expansions.push(Expansion {
            name: name.to_owned(),
            text,
            used_at,
        });
        let value = match parse(text) {
            Ok(node) => self.value(&node, sense),
            Err(errors) => {
                for error in errors {
                    self.report(&error.span, error.cause, error.message, error.help);
                }
                Value::Broken
            }
        };
        self.expansions.pop();
        value
    }
}

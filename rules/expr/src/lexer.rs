//! Text to tokens. A number takes its unit with it: `7.1 mm/s` is one token.

use crate::error::{ErrorCause, ExprError, nearest};
use crate::unit::{Unit, is_unit_word, longest_unit, unit_names};
use std::ops::Range;

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Token {
    Number { value: f64, unit: Option<Unit> },
    Name(String),
    True,
    False,
    Plus,
    Minus,
    Star,
    Slash,
    Less,
    LessEqual,
    Greater,
    GreaterEqual,
    Equal,
    NotEqual,
    And,
    Or,
    Not,
    Question,
    Colon,
    Comma,
    Open,
    Close,
    End,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Spanned {
    pub(crate) token: Token,
    pub(crate) span: Range<usize>,
}

pub(crate) fn error(
    span: Range<usize>,
    cause: ErrorCause,
    message: impl Into<String>,
    help: impl Into<String>,
) -> ExprError {
    ExprError {
        span,
        cause,
        message: message.into(),
        help: help.into(),
        in_macro: None,
    }
}

/// All tokens, the last one [`Token::End`]; or every lexical error.
pub(crate) fn lex(source: &str) -> Result<Vec<Spanned>, Vec<ExprError>> {
    let mut lexer = Lexer { source, at: 0 };
    let mut tokens = Vec::new();
    let mut errors = Vec::new();
    loop {
        lexer.skip_space();
        let start = lexer.at;
        match lexer.next() {
            Ok(token) => {
                let end = token == Token::End;
                tokens.push(Spanned {
                    token,
                    span: start..lexer.at,
                });
                if end {
                    break;
                }
            }
            Err(found) => errors.push(found),
        }
    }
    if errors.is_empty() {
        Ok(tokens)
    } else {
        Err(errors)
    }
}

struct Lexer<'a> {
    source: &'a str,
    at: usize,
}

const TWO: &[(&str, Token)] = &[
    ("<=", Token::LessEqual),
    (">=", Token::GreaterEqual),
    ("==", Token::Equal),
    ("!=", Token::NotEqual),
    ("&&", Token::And),
    ("||", Token::Or),
];

impl<'a> Lexer<'a> {
    fn rest(&self) -> &'a str {
        self.source.get(self.at..).unwrap_or("")
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn skip_space(&mut self) {
        let rest = self.rest();
        self.at += rest.len() - rest.trim_start().len();
    }

    /// Always moves on, unless at the end.
    fn next(&mut self) -> Result<Token, ExprError> {
        let Some(first) = self.peek() else {
            return Ok(Token::End);
        };
        if first.is_ascii_digit() {
            return self.number();
        }
        if first.is_alphabetic() || first == '_' {
            return Ok(self.name());
        }
        for (text, token) in TWO {
            if self.rest().starts_with(text) {
                self.at += text.len();
                return Ok(token.clone());
            }
        }
        let start = self.at;
        self.at += first.len_utf8();
        Ok(match first {
            '+' => Token::Plus,
            '-' => Token::Minus,
            '*' => Token::Star,
            '/' => Token::Slash,
            '<' => Token::Less,
            '>' => Token::Greater,
            '!' => Token::Not,
            '?' => Token::Question,
            ':' => Token::Colon,
            ',' => Token::Comma,
            '(' => Token::Open,
            ')' => Token::Close,
            other => {
                return Err(error(
                    start..self.at,
                    ErrorCause::Character,
                    format!("`{other}` means nothing here"),
                    character_help(other),
                ));
            }
        })
    }

    fn take_while(&mut self, accept: impl Fn(char) -> bool) -> &'a str {
        let rest = self.rest();
        let length = rest.find(|c| !accept(c)).unwrap_or(rest.len());
        self.at += length;
        rest.get(..length).unwrap_or("")
    }

    fn name(&mut self) -> Token {
        // Tag names may contain dots and digits, but not end with a dot.
        let start = self.at;
        let word = self.take_while(|c| c.is_alphanumeric() || c == '_' || c == '.');
        let word = word.trim_end_matches('.');
        self.at = start + word.len();
        match word {
            "true" => Token::True,
            "false" => Token::False,
            word => Token::Name(word.to_owned()),
        }
    }

    fn number(&mut self) -> Result<Token, ExprError> {
        let start = self.at;
        self.take_while(|c| c.is_ascii_digit());
        if self.rest().starts_with('.') && self.digit_at(1) {
            self.at += 1;
            self.take_while(|c| c.is_ascii_digit());
        }
        if self.rest().starts_with(['e', 'E']) {
            let sign = usize::from(
                self.rest()
                    .get(1..)
                    .is_some_and(|rest| rest.starts_with(['+', '-'])),
            );
            if self.digit_at(1 + sign) {
                self.at += 1 + sign;
                self.take_while(|c| c.is_ascii_digit());
            }
        }
        let text = self.source.get(start..self.at).unwrap_or("");
        let value = text.parse::<f64>().unwrap_or(f64::NAN);
        let span = start..self.at;
        if !value.is_finite() {
            return Err(error(
                span,
                ErrorCause::Number,
                format!("`{text}` is too large for a number"),
                format!("write a number of at most {:e}", f64::MAX),
            ));
        }
        let number_end = self.at;
        if self.rest().starts_with('.') {
            self.at += 1;
            return Err(error(
                start..self.at,
                ErrorCause::Number,
                format!("`{text}.` is not a number"),
                format!("write `{text}.0` or `{text}`"),
            ));
        }
        self.skip_space();
        if let Some((unit, length)) = longest_unit(self.rest()) {
            self.at += length;
            return Ok(Token::Number {
                value,
                unit: Some(unit),
            });
        }
        if self
            .rest()
            .starts_with(|c: char| c.is_alphabetic() || c == '°' || c == '_')
        {
            return Err(self.unknown_unit(text));
        }
        self.at = number_end;
        Ok(Token::Number { value, unit: None })
    }

    fn digit_at(&self, offset: usize) -> bool {
        self.rest()
            .get(offset..)
            .is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
    }

    fn unknown_unit(&mut self, number: &str) -> ExprError {
        let start = self.at;
        // A compound such as "mm/sec" is shown whole.
        let word = self.take_while(|c| is_unit_word(c) || c == '/');
        let help = match word {
            "and" | "or" | "not" => format!("the words of logic are `&&`, `||` and `!`: after {number} write the sign"),
            _ => match nearest(word, unit_names().into_iter()) {
                Some(unit) => format!("did you mean `{number} {unit}`? The units are listed in docs/expressions.md"),
                None => "the units are listed in docs/expressions.md; a product needs a sign, as in `2 * x`".to_owned(),
            },
        };
        error(
            start..self.at,
            ErrorCause::UnknownUnit,
            format!("`{word}` after {number} is not a unit"),
            help,
        )
    }
}

fn character_help(c: char) -> &'static str {
    match c {
        '=' => "write `==` to compare",
        '&' => "write `&&` for and",
        '|' => "write `||` for or",
        '.' => "a number begins with a digit: write `0.5`",
        '"' | '\'' => "names and words are written without quotes",
        '%' => "`%` is a unit and stands after a number: `12 %`",
        '°' => "`°C` is a unit and stands after a number: `80 °C`",
        '[' | ']' | '{' | '}' => "only round parentheses are used",
        '≤' => "write `<=`",
        '≥' => "write `>=`",
        '≠' => "write `!=`",
        '×' | '·' => "write `*`",
        _ => "remove it, or see docs/expressions.md for the syntax",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::unit::parse_unit;

    fn tokens(source: &str) -> Vec<Token> {
        let mut tokens: Vec<Token> = lex(source).unwrap().into_iter().map(|t| t.token).collect();
        assert_eq!(tokens.pop(), Some(Token::End));
        tokens
    }

    fn number(value: f64, unit: &str) -> Token {
        Token::Number {
            value,
            unit: (!unit.is_empty()).then(|| parse_unit(unit).unwrap()),
        }
    }

    #[test]
    fn numbers_take_their_units_with_them() {
        for (source, value, unit) in [
            ("7.1 mm/s", 7.1, "mm/s"),
            ("7.1mm/s", 7.1, "mm/s"),
            ("80 degC", 80.0, "degC"),
            ("80 °C", 80.0, "degC"),
            ("500ms", 500.0, "ms"),
            ("3 g", 3.0, "g"),
            ("12 %", 12.0, "%"),
            ("12%", 12.0, "%"),
            ("5 µm", 5.0, "um"),
            ("9.81 m/s²", 9.81, "m/s2"),
            ("1e3 rpm", 1000.0, "rpm"),
            ("1.5E-3", 0.0015, ""),
            ("42", 42.0, ""),
            ("2 m3/h", 2.0, "m3/h"),
        ] {
            assert_eq!(tokens(source), [number(value, unit)], "{source}");
        }
    }

    #[test]
    fn a_unit_does_not_swallow_a_division() {
        assert_eq!(
            tokens("100 mm/speed"),
            [
                number(100.0, "mm"),
                Token::Slash,
                Token::Name("speed".into())
            ]
        );
        assert_eq!(
            tokens("10/s"),
            [number(10.0, ""), Token::Slash, Token::Name("s".into())]
        );
    }

    #[test]
    fn names_and_signs() {
        assert_eq!(
            tokens("!press.bearing_1.vib<=x&&true||false"),
            [
                Token::Not,
                Token::Name("press.bearing_1.vib".into()),
                Token::LessEqual,
                Token::Name("x".into()),
                Token::And,
                Token::True,
                Token::Or,
                Token::False
            ]
        );
    }

    #[test]
    fn every_lexical_error_is_reported() {
        let errors = lex("vib = 3 & 7 mmm/s $ 1e999").unwrap_err();
        let causes: Vec<ErrorCause> = errors.iter().map(|e| e.cause).collect();
        assert_eq!(
            causes,
            [
                ErrorCause::Character,
                ErrorCause::Character,
                ErrorCause::UnknownUnit,
                ErrorCause::Character,
                ErrorCause::Number
            ]
        );
        assert_eq!(errors[2].message, "`mmm/s` after 7 is not a unit");
        assert!(errors[2].help.contains("`7 mm/s`"), "{}", errors[2].help);
        assert_eq!(lex("5.").unwrap_err()[0].cause, ErrorCause::Number);
        assert_eq!(lex(".5").unwrap_err()[0].cause, ErrorCause::Character);
    }

    #[test]
    fn spans_are_bytes_of_the_source() {
        let tokens = lex("80 °C < t").unwrap();
        let spans: Vec<_> = tokens.iter().map(|t| t.span.clone()).collect();
        assert_eq!(spans, [0..6, 7..8, 9..10, 10..10]);
    }
}

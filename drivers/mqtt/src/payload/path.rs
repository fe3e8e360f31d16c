//! Where in a JSON document a value lies: a JSON pointer (RFC 6901) or the singular part of a JSONPath (RFC 9535).

use crate::limits::{JSON_PATH_BYTES_MAX, JSON_STEPS_MAX};
use std::fmt;

/// One step down.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum JsonStep {
    /// A member of an object.
    Key(Box<str>),
    /// An element of an array; in an object, the member of this name. RFC 6901 (4) lets the document decide, and both
    /// notations compile to the same steps.
    Index(u32),
}

impl JsonStep {
    /// A decimal without leading zeros is an index, all else is a name.
    fn from_token(token: &str) -> Self {
        let canonical = token == "0" || !token.starts_with(['0', '+']);
        match token.parse() {
            Ok(index) if canonical => Self::Index(index),
            _ => Self::Key(token.into()),
        }
    }
}

/// A compiled path to one value. Made by [`JsonPath::parse`].
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct JsonPath {
    steps: Box<[JsonStep]>,
}

/// What is wrong with a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PathErrorKind {
    /// Nothing at all.
    Empty,
    /// Longer than the limit, or deeper.
    TooLong,
    /// `~` not followed by 0 or 1 in a pointer.
    BadEscape,
    /// A name is missing: `a..b`, `a.`, `.a`.
    EmptyName,
    /// `[` without its `]`, or a quote without its end.
    Unclosed,
    /// What stands in `[ ]` is neither a number nor a quoted name.
    BadIndex,
    /// A wildcard, slice, filter, union or descendant step: it would match more than one value.
    NotSingular,
    /// Something after `]` that is neither `.` nor `[`.
    BadContinuation,
    /// A control character or white space outside a quoted name.
    BadCharacter,
}

/// Why a path was refused, and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PathError {
    /// Byte offset in the path.
    pub at: usize,
    /// What is wrong.
    pub kind: PathErrorKind,
}

impl fmt::Display for PathError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match self.kind {
            PathErrorKind::Empty => "the path is empty; write `$` for the whole document",
            PathErrorKind::TooLong => {
                "the path is too long or too deep; at most 512 bytes, 32 steps"
            }
            PathErrorKind::BadEscape => "`~` stands alone; write `~0` for `~` and `~1` for `/`",
            PathErrorKind::EmptyName => {
                "a name is missing; write `a.b`, or a pointer (`/a//b`) if the name really is empty"
            }
            PathErrorKind::Unclosed => {
                "a bracket or quote is not closed; write `[0]` or `['name']`"
            }
            PathErrorKind::BadIndex => {
                "an index is a number without leading zeros up to 4294967295; a name is quoted: `['name']`"
            }
            PathErrorKind::NotSingular => {
                "this matches more than one value; name exactly one, for example `$.data[0].value`"
            }
            PathErrorKind::BadContinuation => "after `]` comes `.`, `[` or the end",
            PathErrorKind::BadCharacter => {
                "white space or a control character; quote the name: `['my name']`"
            }
        };
        write!(f, "at byte {}: {text}", self.at)
    }
}

impl std::error::Error for PathError {}

impl JsonPath {
    /// Compiles a pointer (`/data/0/value`) or a path (`$.data[0].value`, `data[0].value`, `$['my name']`).
    /// `$` alone is the whole document.
    ///
    /// # Errors
    /// [`PathError`], with the place and a way out.
    pub fn parse(text: &str) -> Result<Self, PathError> {
        if text.is_empty() {
            return Err(error(0, PathErrorKind::Empty));
        }
        if text.len() > JSON_PATH_BYTES_MAX {
            return Err(error(JSON_PATH_BYTES_MAX, PathErrorKind::TooLong));
        }
        let steps = if text.starts_with('/') {
            parse_pointer(text)?
        } else {
            PathParser { text, at: 0 }.parse()?
        };
        if steps.len() > JSON_STEPS_MAX {
            return Err(error(text.len(), PathErrorKind::TooLong));
        }
        Ok(Self {
            steps: steps.into_boxed_slice(),
        })
    }

    /// The steps from the root; none for the whole document.
    pub fn steps(&self) -> &[JsonStep] {
        &self.steps
    }
}

impl fmt::Display for JsonPath {
    /// As a pointer; `$` for the whole document.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.steps.is_empty() {
            return write!(f, "$");
        }
        for step in &self.steps {
            match step {
                JsonStep::Key(key) => write!(f, "/{}", key.replace('~', "~0").replace('/', "~1"))?,
                JsonStep::Index(index) => write!(f, "/{index}")?,
            }
        }
        Ok(())
    }
}

const fn error(at: usize, kind: PathErrorKind) -> PathError {
    PathError { at, kind }
}

/// RFC 6901: tokens between slashes, `~1` is `/`, `~0` is `~`.
fn parse_pointer(text: &str) -> Result<Vec<JsonStep>, PathError> {
    let mut steps = Vec::new();
    let mut at = 1_usize;
    for token in text.split('/').skip(1) {
        let mut rest = token;
        let mut offset = at;
        while let Some((before, after)) = rest.split_once('~') {
            offset = offset.saturating_add(before.len());
            if !after.starts_with(['0', '1']) {
                return Err(error(offset, PathErrorKind::BadEscape));
            }
            offset = offset.saturating_add(1);
            rest = after;
        }
        let name = token.replace("~1", "/").replace("~0", "~");
        steps.push(JsonStep::from_token(&name));
        at = at.saturating_add(token.len()).saturating_add(1);
    }
    Ok(steps)
}

/// The singular queries of RFC 9535, 2.3.5.1, with the leading `$` left to taste.
struct PathParser<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> PathParser<'a> {
    fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn eat(&mut self, prefix: char) -> bool {
        let found = self.rest().starts_with(prefix);
        if found {
            self.at = self.at.saturating_add(prefix.len_utf8());
        }
        found
    }

    fn fail<T>(&self, kind: PathErrorKind) -> Result<T, PathError> {
        Err(error(self.at, kind))
    }

    fn parse(&mut self) -> Result<Vec<JsonStep>, PathError> {
        let mut steps = Vec::new();
        let rooted = self.eat('$');
        if !rooted && !self.rest().starts_with('[') {
            steps.push(self.name()?);
        }
        while !self.rest().is_empty() {
            if self.eat('[') {
                steps.push(self.bracket()?);
            } else if self.eat('.') {
                steps.push(self.name()?);
            } else {
                return self.fail(PathErrorKind::BadContinuation);
            }
        }
        Ok(steps)
    }

    fn name(&mut self) -> Result<JsonStep, PathError> {
        let rest = self.rest();
        if rest.starts_with('*') || (rest.starts_with('.') && self.at > 1) {
            return self.fail(PathErrorKind::NotSingular);
        }
        let length = rest.find(['.', '[']).unwrap_or(rest.len());
        let name = rest.get(..length).unwrap_or_default();
        if name.is_empty() {
            return self.fail(PathErrorKind::EmptyName);
        }
        if let Some(bad) = name.find(|c: char| c.is_whitespace() || c.is_control()) {
            return Err(error(
                self.at.saturating_add(bad),
                PathErrorKind::BadCharacter,
            ));
        }
        if let Some(bad) = name.find([']', '*', '\'', '"']) {
            let kind = if name.get(bad..).is_some_and(|tail| tail.starts_with('*')) {
                PathErrorKind::NotSingular
            } else {
                PathErrorKind::BadContinuation
            };
            return Err(error(self.at.saturating_add(bad), kind));
        }
        self.at = self.at.saturating_add(length);
        Ok(JsonStep::from_token(name))
    }

    fn bracket(&mut self) -> Result<JsonStep, PathError> {
        for quote in ['\'', '"'] {
            if self.eat(quote) {
                let rest = self.rest();
                let Some(length) = rest.find(quote) else {
                    return self.fail(PathErrorKind::Unclosed);
                };
                let name = rest.get(..length).unwrap_or_default();
                self.at = self.at.saturating_add(length).saturating_add(1);
                return if self.eat(']') {
                    Ok(JsonStep::from_token(name))
                } else {
                    self.fail(PathErrorKind::Unclosed)
                };
            }
        }
        let rest = self.rest();
        let Some(length) = rest.find(']') else {
            return self.fail(PathErrorKind::Unclosed);
        };
        let token = rest.get(..length).unwrap_or_default();
        if token.contains(['*', ':', '?', ',']) || token.starts_with('-') {
            return self.fail(PathErrorKind::NotSingular);
        }
        match JsonStep::from_token(token) {
            step @ JsonStep::Index(_) => {
                self.at = self.at.saturating_add(length).saturating_add(1);
                Ok(step)
            }
            JsonStep::Key(_) => self.fail(PathErrorKind::BadIndex),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn pointer_and_path_compile_to_the_same_steps() {
        let pointer = JsonPath::parse("/data/0/value").unwrap();
        for text in [
            "$.data[0].value",
            "data[0].value",
            "data.0.value",
            "$['data'][0][\"value\"]",
        ] {
            assert_eq!(JsonPath::parse(text).unwrap(), pointer, "{text}");
        }
        assert_eq!(pointer.to_string(), "/data/0/value");
        assert!(JsonPath::parse("$").unwrap().steps().is_empty());
    }

    #[test]
    fn escapes_quotes_and_odd_names() {
        let key = |text: &str| JsonPath::parse(text).unwrap().steps().to_vec();
        assert_eq!(key("/a~1b~0c"), [JsonStep::Key("a/b~c".into())]);
        assert_eq!(key("/~01"), [JsonStep::Key("~1".into())]);
        assert_eq!(key("$['a.b c']"), [JsonStep::Key("a.b c".into())]);
        assert_eq!(key("/01"), [JsonStep::Key("01".into())]);
        assert_eq!(key("/"), [JsonStep::Key("".into())]);
        assert_eq!(key("/4294967295"), [JsonStep::Index(u32::MAX)]);
        assert_eq!(key("/4294967296"), [JsonStep::Key("4294967296".into())]);
    }

    #[test]
    fn every_wrong_path_says_where_and_how() {
        use PathErrorKind::*;
        for (text, at, kind) in [
            ("", 0, Empty),
            ("/a~2", 2, BadEscape),
            ("/a~", 2, BadEscape),
            ("$..a", 2, NotSingular),
            ("a..b", 2, NotSingular),
            (".a", 0, EmptyName),
            ("a.", 2, EmptyName),
            ("$.*", 2, NotSingular),
            ("a[*]", 2, NotSingular),
            ("a[1:2]", 2, NotSingular),
            ("a[?(@.x)]", 2, NotSingular),
            ("a[-1]", 2, NotSingular),
            ("a[0", 2, Unclosed),
            ("a['b]", 3, Unclosed),
            ("a['b'", 5, Unclosed),
            ("a[b]", 2, BadIndex),
            ("a[01]", 2, BadIndex),
            ("a[]", 2, BadIndex),
            ("a[0]b", 4, BadContinuation),
            ("a b", 1, BadCharacter),
            ("$a", 1, BadContinuation),
        ] {
            assert_eq!(
                JsonPath::parse(text),
                Err(PathError { at, kind }),
                "{text:?}"
            );
        }
        let deep = "/a".repeat(JSON_STEPS_MAX + 1);
        assert_eq!(JsonPath::parse(&deep).unwrap_err().kind, TooLong);
        assert!(
            JsonPath::parse("a[*]")
                .unwrap_err()
                .to_string()
                .contains("at byte 2")
        );
    }

    proptest! {
        #[test]
        fn any_text_parses_or_says_where(text in "\\PC{0,60}") {
            match JsonPath::parse(&text) {
                Ok(path) => prop_assert_eq!(JsonPath::parse(&path.to_string()).unwrap(), path),
                Err(error) => prop_assert!(error.at <= text.len()),
            }
        }
    }
}

//! From nodes to typed records: every wrong key, type, word and number is reported, and reading goes on.
//!
//! One declaration of a record gives its fields, its reader, its list of known keys and its JSON Schema, so that the
//! four cannot differ.

mod collection;

use std::borrow::Cow;
use std::ops::Range;

use schemars::{JsonSchema, Schema, SchemaGenerator};

use crate::finding::{Code, Findings};
use crate::suggest::nearest;
use crate::yaml::{Entry, Kind, Node, Style};

pub(crate) use collection::{List, Map, Named};

/// Bytes of the source.
pub(crate) type Span = Range<usize>;

/// What a reader needs besides the node.
pub(crate) struct Cx<'a, 'l> {
    pub(crate) source: &'a str,
    pub(crate) findings: &'a mut Findings<'l>,
}

/// Something that can be read from a node.
pub(crate) trait Read: Sized {
    /// Reads, or reports why not. `owner` is the key under which the node stands: where a missing value is reported.
    fn read(node: &Node, owner: &Span, cx: &mut Cx<'_, '_>) -> Option<Self>;
}

/// A field of a record: required or optional.
pub(crate) trait Slot {
    /// Whether its absence is an error.
    const REQUIRED: bool;
    /// Reads the value into the slot. A slot stays empty when the value is wrong, which has then been reported.
    fn fill(&mut self, entry: &Entry, cx: &mut Cx<'_, '_>);
}

impl<T: Read> Slot for Option<T> {
    const REQUIRED: bool = false;

    fn fill(&mut self, entry: &Entry, cx: &mut Cx<'_, '_>) {
        *self = T::read(&entry.value, &entry.key_span, cx);
    }
}

/// A required field. Empty only after an error was reported.
#[derive(Clone, Debug)]
pub(crate) struct Req<T>(Option<T>);

impl<T> Default for Req<T> {
    fn default() -> Self {
        Self(None)
    }
}

impl<T> Req<T> {
    pub(crate) fn get(&self) -> Option<&T> {
        self.0.as_ref()
    }

    /// What was not read but made.
    pub(crate) const fn of(value: T) -> Self {
        Self(Some(value))
    }
}

impl<T: Read> Slot for Req<T> {
    const REQUIRED: bool = true;

    fn fill(&mut self, entry: &Entry, cx: &mut Cx<'_, '_>) {
        self.0 = T::read(&entry.value, &entry.key_span, cx);
    }
}

impl<T: JsonSchema> JsonSchema for Req<T> {
    fn schema_name() -> Cow<'static, str> {
        T::schema_name()
    }

    fn schema_id() -> Cow<'static, str> {
        T::schema_id()
    }

    fn inline_schema() -> bool {
        T::inline_schema()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        T::json_schema(generator)
    }
}

/// Declares a record: fields, reader, known keys, JSON Schema.
macro_rules! record {
    ($(#[$meta:meta])* $name:ident { $($(#[$field_meta:meta])* $field:ident : $ty:ty),* $(,)? }) => {
        #[derive(Clone, Debug, Default, schemars::JsonSchema)]
        #[schemars(deny_unknown_fields)]
        $(#[$meta])*
        pub(crate) struct $name {
            $($(#[$field_meta])* pub(crate) $field: $ty,)*
            /// The key under which the record stands.
            #[schemars(skip)]
            #[allow(dead_code, reason = "not every record is pointed at")]
            pub(crate) at: $crate::read::Span,
            /// Keys that were written, whether or not their values could be read.
            #[schemars(skip)]
            given: Vec<(&'static str, $crate::read::Span)>,
        }

        impl $name {
            /// Whether a key was written, even if its value could not be read.
            #[allow(dead_code, reason = "not every record has keys whose absence depends on others")]
            pub(crate) fn has(&self, key: &str) -> bool {
                self.key_span(key).is_some()
            }

            /// Where a key was written.
            pub(crate) fn key_span(&self, key: &str) -> Option<&$crate::read::Span> {
                self.given.iter().find(|(given, _)| *given == key).map(|(_, span)| span)
            }
        }

        impl $crate::read::Read for $name {
            fn read(
                node: &$crate::yaml::Node,
                owner: &$crate::read::Span,
                cx: &mut $crate::read::Cx<'_, '_>,
            ) -> Option<Self> {
                use $crate::read::{Slot, key_of};
                const KEYS: &[(&'static str, bool)] = &[$((key_of(stringify!($field)), <$ty as Slot>::REQUIRED),)*];
                let entries = cx.entries(node, owner)?;
                let mut record = Self { at: owner.clone(), ..Self::default() };
                let mut seen: Vec<&$crate::yaml::Entry> = Vec::with_capacity(KEYS.len());
                for entry in entries {
                    // Known keys only are remembered, so that a flood of unknown ones costs no more than its length.
                    if cx.is_repeated(entry, &seen) {
                        continue;
                    }
                    $(if entry.key == key_of(stringify!($field)) {
                        record.given.push((key_of(stringify!($field)), entry.key_span.clone()));
                        record.$field.fill(entry, cx);
                        seen.push(entry);
                        continue;
                    })*
                    if let Some(meant) = cx.unknown_key(entry, KEYS) {
                        record.given.push((meant, entry.key_span.clone()));
                    }
                }
                cx.missing_keys(KEYS, &record.given, owner);
                Some(record)
            }
        }
    };
}
pub(crate) use record;

/// Declares a set of words.
macro_rules! choice {
    ($(#[$meta:meta])* $name:ident { $($(#[$word_meta:meta])* $word:ident = $text:literal),* $(,)? }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, schemars::JsonSchema)]
        #[schemars(inline)]
        pub(crate) enum $name {
            $($(#[$word_meta])* #[schemars(rename = $text)] $word,)*
        }

        impl $crate::read::Read for $name {
            fn read(
                node: &$crate::yaml::Node,
                owner: &$crate::read::Span,
                cx: &mut $crate::read::Cx<'_, '_>,
            ) -> Option<Self> {
                const WORDS: &[&str] = &[$($text),*];
                match cx.scalar(node, owner, "a word")? {
                    $(($text, _) => Some(Self::$word),)*
                    (other, _) => {
                        cx.unknown_choice(node, other, WORDS);
                        None
                    }
                }
            }
        }
    };
}
pub(crate) use choice;

/// The key of a field: `type` for `r#type`.
pub(crate) const fn key_of(field: &'static str) -> &'static str {
    match field.as_bytes() {
        [b'r', b'#', ..] => field.split_at(2).1,
        _ => field,
    }
}

impl Cx<'_, '_> {
    /// The entries of a mapping, or a finding.
    pub(crate) fn entries<'n>(&mut self, node: &'n Node, owner: &Span) -> Option<&'n [Entry]> {
        match &node.kind {
            Kind::Map(entries) => Some(entries),
            _ => {
                self.wrong_type(node, owner, "a mapping (`key: value` lines)");
                None
            }
        }
    }

    /// The text of a scalar and how it was written, or a finding.
    pub(crate) fn scalar<'n>(
        &mut self,
        node: &'n Node,
        owner: &Span,
        expected: &str,
    ) -> Option<(&'n str, Style)> {
        match &node.kind {
            Kind::Scalar(text, style) => Some((text, *style)),
            _ => {
                self.wrong_type(node, owner, expected);
                None
            }
        }
    }

    /// Reports a value of the wrong type.
    pub(crate) fn wrong_type(&mut self, node: &Node, owner: &Span, expected: &str) {
        if let Kind::Null = node.kind {
            let key = self
                .source
                .get(owner.clone())
                .unwrap_or_default()
                .to_owned();
            let message = if key.is_empty() {
                format!("expected {expected}, found nothing")
            } else {
                format!("`{key}` has no value; expected {expected}")
            };
            let span = if owner.is_empty() { &node.span } else { owner };
            self.findings.error(
                Code::WrongType,
                span,
                message,
                "give it a value, or remove the key",
            );
            return;
        }
        let found = describe(node);
        let help = self.type_help(node, expected);
        self.findings
            .error(
                Code::WrongType,
                &node.span,
                format!("expected {expected}, found {found}"),
                help,
            )
            .label(format!("this is {found}"));
    }

    fn type_help(&self, node: &Node, expected: &str) -> String {
        match &node.kind {
            Kind::Scalar(text, Style::Plain) if expected.starts_with("text") && single_line(text) => {
                format!("write it in quotes: \"{text}\"")
            }
            Kind::Scalar(_, Style::Quoted) if !expected.starts_with("text") => {
                "write it without quotes; a quoted value is always text".into()
            }
            Kind::Scalar(..) if expected.starts_with("a list") => "write the items in brackets: [first, second]".into(),
            Kind::Scalar(..) if expected.starts_with("a mapping") => {
                "write `key: value` lines, indented below this key; docs/pack-reference.md lists the keys".into()
            }
            _ => format!("write {expected} here; docs/pack-reference.md shows every key with an example"),
        }
    }

    /// Whether the key was given before; reports it.
    pub(crate) fn is_repeated(&mut self, entry: &Entry, seen: &[&Entry]) -> bool {
        match seen.iter().find(|earlier| earlier.key == entry.key) {
            Some(first) => {
                self.repeated(&entry.key, &entry.key_span, &first.key_span);
                true
            }
            None => false,
        }
    }

    /// Reports a second definition.
    pub(crate) fn repeated(&mut self, name: &str, span: &Span, first: &Span) {
        let line = self.findings.line_of(first);
        self.findings
            .error(
                Code::DuplicateKey,
                span,
                format!("`{}` is given twice", short(name)),
                "keep one of the two, or give the second its own name",
            )
            .label("given again")
            .note(format!("first given in line {line}"));
    }

    /// Reports an unknown key. Returns the key that was probably meant, which then counts as given.
    pub(crate) fn unknown_key(
        &mut self,
        entry: &Entry,
        keys: &[(&'static str, bool)],
    ) -> Option<&'static str> {
        let names = keys.iter().map(|(name, _)| *name);
        let meant = nearest(&entry.key, names.clone());
        let help = match meant {
            Some(name) => format!("did you mean `{name}`?"),
            None => format!("known keys here are {}", list_of(names)),
        };
        self.findings
            .error(
                Code::UnknownKey,
                &entry.key_span,
                format!("unknown key `{}`", short(&entry.key)),
                help,
            )
            .label("not a key of this mapping");
        meant
    }

    pub(crate) fn missing_keys(
        &mut self,
        keys: &[(&str, bool)],
        given: &[(&str, Span)],
        owner: &Span,
    ) {
        let missing = keys
            .iter()
            .filter(|(name, required)| *required && !given.iter().any(|(given, _)| given == name));
        for (name, _) in missing {
            let owner_key = self.source.get(owner.clone()).unwrap_or_default();
            let message = if owner_key.is_empty() {
                format!("the key `{name}` is missing")
            } else {
                format!("the key `{name}` is missing in `{owner_key}`")
            };
            self.findings
                .error(Code::MissingKey, owner, message, missing_help(name))
                .label(format!("needs `{name}`"));
        }
    }

    pub(crate) fn unknown_choice(&mut self, node: &Node, found: &str, words: &[&str]) {
        let all = list_of(words.iter().copied());
        let help = match nearest(found, words.iter().copied()) {
            Some(word) => format!("did you mean `{word}`? Allowed are {all}"),
            None => format!("allowed are {all}"),
        };
        self.findings.error(
            Code::UnknownChoice,
            &node.span,
            format!("`{}` is not an allowed value", short(found)),
            help,
        );
    }
}

/// The way out for the keys whose absence is a question, not a slip.
fn missing_help(name: &str) -> String {
    let why = match name {
        "tripline" => "the format version stands first in every pack: `tripline: 1`",
        "addressing" => {
            "write `addressing: zero_based` when the device's manual counts from 0 (as the protocol does), \
             `addressing: one_based` when it counts from 1"
        }
        "poll" => "write how often the device is read, such as `poll: 10ms`, or `poll: continuous`",
        "stale_after" => {
            "write the age at which a value is no longer trusted, such as `stale_after: 100ms`; a stale input trips"
        }
        "refresh" => {
            "write how often the run permit is renewed, such as `refresh: 100ms`; well below the device's own watchdog"
        }
        "confirm_within" => "write how soon a write must be echoed, such as `confirm_within: 50ms`",
        "level" => "write `level: alert` to tell people, `level: danger` to stop outputs",
        _ => return format!("add `{name}:`; docs/pack-reference.md says what it means"),
    };
    why.into()
}

/// `a`, `b` and `c`, in backticks.
pub(crate) fn list_of<'w>(words: impl Iterator<Item = &'w str>) -> String {
    let words: Vec<String> = words.map(|word| format!("`{word}`")).collect();
    match words.split_last() {
        None => "none".into(),
        Some((last, [])) => last.clone(),
        Some((last, rest)) => format!("{} and {last}", rest.join(", ")),
    }
}

fn single_line(text: &str) -> bool {
    text.len() <= 60 && !text.contains(['"', '\\', '\n'])
}

/// What a node is, in words.
pub(crate) fn describe(node: &Node) -> String {
    match &node.kind {
        Kind::Null => "nothing".into(),
        Kind::List(_) => "a list".into(),
        Kind::Map(_) => "a mapping".into(),
        Kind::Scalar(text, Style::Plain) => match plain_kind(text) {
            PlainKind::Bool => format!("the boolean `{text}`"),
            PlainKind::Number => format!("the number `{}`", short(text)),
            PlainKind::Text => format!("the text `{}`", short(text)),
        },
        Kind::Scalar(text, _) => format!("the text `{}`", short(text)),
    }
}

/// At most 40 characters of a text, on one line.
pub(crate) fn short(text: &str) -> String {
    let line = text.lines().next().unwrap_or_default();
    if line.chars().count() > 40 || line.len() < text.trim_end().len() {
        let mut cut: String = line.chars().take(40).collect();
        cut.push_str("...");
        return cut;
    }
    line.to_owned()
}

/// What an unquoted scalar is in YAML 1.2 (core schema, 10.3.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PlainKind {
    Bool,
    Number,
    Text,
}

pub(crate) fn plain_kind(text: &str) -> PlainKind {
    match text {
        "true" | "false" | "True" | "False" | "TRUE" | "FALSE" => PlainKind::Bool,
        _ if is_number(text) => PlainKind::Number,
        _ => PlainKind::Text,
    }
}

fn is_number(text: &str) -> bool {
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    match unsigned {
        ".inf" | ".Inf" | ".INF" | ".nan" | ".NaN" | ".NAN" => return true,
        _ => {}
    }
    if let Some(digits) = unsigned.strip_prefix("0x") {
        return !digits.is_empty() && digits.chars().all(|c| c.is_ascii_hexdigit());
    }
    if let Some(digits) = unsigned.strip_prefix("0o") {
        return !digits.is_empty() && digits.chars().all(|c| matches!(c, '0'..='7'));
    }
    let begins = unsigned.starts_with(|c: char| c.is_ascii_digit() || c == '.');
    begins
        && unsigned
            .chars()
            .all(|c| c.is_ascii_digit() || matches!(c, '.' | 'e' | 'E' | '+' | '-'))
        && unsigned.parse::<f64>().is_ok()
}

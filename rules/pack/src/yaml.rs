//! The only module that names serde-saphyr: YAML text in, a tree of nodes with byte spans out.
//!
//! Which thread: the compiler's. May it block: no. Worst case: linear in the text, bounded by the budget below.
//! Hazards: H-46 (alias bombs, depth, duplicate keys, silently typed words).
//!
//! The tree is untyped on purpose: types are judged by `read`, which knows what a key wants and therefore can say
//! all that is wrong at once. A typed serde structure would stop at the first wrong scalar.

mod place;

use std::fmt;
use std::ops::Range;

use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_saphyr::{DuplicateKeyPolicy, Error, Spanned};

use place::{floor_border, sign_before, span_of};

/// Nodes (scalars, lists, mappings) one pack may hold. A pack at all other limits has about 650,000.
const NODES_MAX: usize = 1_500_000;
/// Nesting of lists and mappings. The format itself needs six.
const DEPTH_MAX: usize = 16;

/// How a scalar was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Style {
    /// Without quotes on one line: the text is the source, byte for byte.
    Plain,
    /// `'single'` or `"double"` quotes on one line.
    Quoted,
    /// `|` or `>` blocks, and anything that goes over several lines.
    Block,
}

/// What a node is.
#[derive(Clone, Debug)]
pub(crate) enum Kind {
    /// No value at all: `key:` or `null` or `~`.
    Null,
    /// A scalar, undecided between text, number and boolean unless quoted.
    Scalar(String, Style),
    /// A list.
    List(Vec<Node>),
    /// A mapping in the order of the file; keys may repeat.
    Map(Vec<Entry>),
}

/// A node and where it is.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    /// What it is.
    pub(crate) kind: Kind,
    /// Bytes of the source, quotes included. Lists and mappings span their first byte only.
    pub(crate) span: Range<usize>,
}

/// One key and its value.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    /// The key; a scalar.
    pub(crate) key: String,
    /// Where the key is.
    pub(crate) key_span: Range<usize>,
    /// The value.
    pub(crate) value: Node,
}

/// Why the text is not YAML, or not the YAML that packs are written in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct YamlError {
    /// Which byte.
    pub(crate) span: Range<usize>,
    /// What is wrong.
    pub(crate) problem: Problem,
}

/// Kinds of [`YamlError`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Problem {
    /// `*alias`, `&anchor`, `<<` or a `!tag`.
    Indirection,
    /// More nodes, or deeper nesting, than a pack can need.
    TooLarge,
    /// More than one document in the file.
    Documents,
    /// A key that is a list or a mapping.
    Key,
    /// Not YAML; the parser's own words.
    Syntax(String),
}

/// Reads `source` into a tree.
///
/// # Errors
/// [`YamlError`]: the first place at which the text is not YAML. Reading cannot go on after it.
pub(crate) fn parse(source: &str) -> Result<Node, YamlError> {
    let options = serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_events: NODES_MAX * 2,
            max_nodes: NODES_MAX,
            max_depth: DEPTH_MAX,
            flow_nesting_limit: DEPTH_MAX,
            max_aliases: 0,
            max_anchors: 0,
            max_documents: 1,
            max_merge_keys: 0,
            max_inclusion_depth: 0,
        },
        // Repeated keys are let through so that all of them can be reported, with the place of the first.
        duplicate_keys: DuplicateKeyPolicy::LastWins,
        merge_keys: serde_saphyr::MergeKeyPolicy::AsOrdinary,
        // Passed through as numbers, so that their text is taken from the source; `scalar` refuses them.
        non_finite_float_policy: serde_saphyr::NonFiniteFloatPolicy::PassThrough,
        strict_booleans: true,
        reject_unsupported_tags: true,
        emit_comments: false,
        with_snippet: false,
    };
    let tree = serde_saphyr::from_str_with_options::<Spanned<Raw>>(source, options)
        .map_err(|error| explain(&error, source))?;
    let mut finish = Finish {
        source,
        fault: None,
    };
    let node = finish.node(tree);
    match finish.fault {
        Some(fault) => Err(fault),
        None => Ok(node),
    }
}

/// What serde hands over; scalars keep their text only where the source does not have it (escapes, folding).
enum Raw {
    Null,
    /// A number or boolean that the parser recognised: its text is in the source.
    InSource,
    Text(String),
    List(Vec<Spanned<Raw>>),
    Map(Vec<(Spanned<Raw>, Spanned<Raw>)>),
}

impl<'de> Deserialize<'de> for Raw {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(RawVisitor)
    }
}

struct RawVisitor;

impl<'de> Visitor<'de> for RawVisitor {
    type Value = Raw;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("any YAML node")
    }

    fn visit_bool<E>(self, _: bool) -> Result<Raw, E> {
        Ok(Raw::InSource)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Raw, E> {
        Ok(Raw::InSource)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Raw, E> {
        Ok(Raw::InSource)
    }

    fn visit_i128<E>(self, _: i128) -> Result<Raw, E> {
        Ok(Raw::InSource)
    }

    fn visit_u128<E>(self, _: u128) -> Result<Raw, E> {
        Ok(Raw::InSource)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Raw, E> {
        Ok(Raw::InSource)
    }

    fn visit_str<E>(self, text: &str) -> Result<Raw, E> {
        Ok(Raw::Text(text.to_owned()))
    }

    fn visit_string<E>(self, text: String) -> Result<Raw, E> {
        Ok(Raw::Text(text))
    }

    fn visit_unit<E>(self) -> Result<Raw, E> {
        Ok(Raw::Null)
    }

    fn visit_none<E>(self) -> Result<Raw, E> {
        Ok(Raw::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Raw, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = access.next_element()? {
            if items.len() >= NODES_MAX {
                return Err(A::Error::custom("too many items"));
            }
            items.push(item);
        }
        Ok(Raw::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Raw, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = access.next_entry()? {
            if entries.len() >= NODES_MAX {
                return Err(A::Error::custom("too many keys"));
            }
            entries.push(entry);
        }
        Ok(Raw::Map(entries))
    }
}

/// Turns the raw tree into nodes with spans that lie in the source, on character borders.
struct Finish<'a> {
    source: &'a str,
    fault: Option<YamlError>,
}

impl Finish<'_> {
    fn node(&mut self, raw: Spanned<Raw>) -> Node {
        let span = span_of(&raw.referenced, self.source);
        self.refuse_indirection(&span);
        let kind = match raw.value {
            Raw::Null => Kind::Null,
            Raw::InSource => {
                let text = self.source.get(span.clone()).unwrap_or_default();
                Kind::Scalar(text.trim().to_owned(), Style::Plain)
            }
            Raw::Text(text) => {
                let style = self.style(&span, &text);
                Kind::Scalar(text, style)
            }
            Raw::List(items) => Kind::List(items.into_iter().map(|item| self.node(item)).collect()),
            Raw::Map(entries) => Kind::Map(
                entries
                    .into_iter()
                    .map(|(key, value)| self.entry(key, value))
                    .collect(),
            ),
        };
        Node { kind, span }
    }

    fn entry(&mut self, key: Spanned<Raw>, value: Spanned<Raw>) -> Entry {
        let key = self.node(key);
        let text = match key.kind {
            Kind::Scalar(text, _) => text,
            Kind::Null => self
                .source
                .get(key.span.clone())
                .unwrap_or_default()
                .to_owned(),
            Kind::List(_) | Kind::Map(_) => {
                self.fail(key.span.clone(), Problem::Key);
                String::new()
            }
        };
        if text == "<<" {
            self.fail(key.span.clone(), Problem::Indirection);
        }
        Entry {
            key: text,
            key_span: key.span,
            value: self.node(value),
        }
    }

    /// The parser drops tags that it knows (`!!str`) and starts the span after them.
    fn refuse_indirection(&mut self, span: &Range<usize>) {
        if self.fault.is_some() {
            return;
        }
        // A tag that is longer than this is none of YAML's own; looking further would make long lines quadratic.
        let from = floor_border(self.source, span.start.saturating_sub(64));
        let before = self.source.get(from..span.start).unwrap_or_default();
        let line = before.rsplit('\n').next().unwrap_or_default();
        let word = line
            .trim_end()
            .rsplit([' ', '\t', '[', '{', ','])
            .next()
            .unwrap_or_default();
        let starts = |text: &str| text.starts_with(['&', '*', '!']);
        if self.source.get(span.start..).is_some_and(starts)
            || (line.len() > word.len() && starts(word))
        {
            self.fail(sign_before(span.clone(), self.source), Problem::Indirection);
        }
    }

    fn fail(&mut self, span: Range<usize>, problem: Problem) {
        self.fault.get_or_insert(YamlError { span, problem });
    }

    fn style(&self, span: &Range<usize>, text: &str) -> Style {
        let written = self.source.get(span.clone()).unwrap_or_default();
        match written.as_bytes().first() {
            _ if written.contains('\n') => Style::Block,
            Some(b'"' | b'\'') => Style::Quoted,
            _ if written.trim() == text => Style::Plain,
            _ => Style::Block,
        }
    }
}

/// The parser's error in our words; its own where it knows better.
fn explain(error: &Error, source: &str) -> YamlError {
    let error = error.without_snippet();
    let span = error
        .location()
        .map_or(0..0, |location| span_of(&location, source));
    let text = error.to_string();
    let here = source.get(span.start..).unwrap_or_default();
    let problem = match error {
        Error::MultipleDocuments { .. } => Problem::Documents,
        Error::Budget { breach, .. } => budget_problem(&format!("{breach:?}")),
        _ if text.contains("recursion limit") || text.contains("nesting") => Problem::TooLarge,
        _ if text.contains("alias")
            || text.contains(" tag")
            || text.contains("anchor")
            || here.starts_with(['&', '*', '!']) =>
        {
            Problem::Indirection
        }
        _ => Problem::Syntax(text),
    };
    let span = if problem == Problem::Indirection {
        sign_before(span, source)
    } else {
        span
    };
    YamlError { span, problem }
}

fn budget_problem(breach: &str) -> Problem {
    if breach.contains("Alias") || breach.contains("Anchor") || breach.contains("Merge") {
        Problem::Indirection
    } else if breach.contains("Document") {
        Problem::Documents
    } else {
        Problem::TooLarge
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(node: &Node, found: &mut Vec<(String, Style)>) {
        match &node.kind {
            Kind::Null => {}
            Kind::Scalar(text, style) => found.push((text.clone(), *style)),
            Kind::List(items) => items.iter().for_each(|item| texts(item, found)),
            Kind::Map(entries) => entries.iter().for_each(|entry| texts(&entry.value, found)),
        }
    }

    fn scalars(source: &str) -> Vec<(String, Style)> {
        let mut found = Vec::new();
        texts(&parse(source).unwrap(), &mut found);
        found
    }

    fn refused(source: &str) -> (Problem, String) {
        let error = parse(source).unwrap_err();
        (error.problem, source[error.span].to_owned())
    }

    #[test]
    fn scalars_keep_their_text_and_are_not_typed() {
        let source = "a: 1.50\nb: [x, 'y z', \"q\\tq\", 0x1F, yes, .nan, 1e999, 99999999999999999999, TRUE]\n";
        let plain = |text: &str| (text.to_owned(), Style::Plain);
        let quoted = |text: &str| (text.to_owned(), Style::Quoted);
        assert_eq!(
            scalars(source),
            [
                plain("1.50"),
                plain("x"),
                quoted("y z"),
                quoted("q\tq"),
                plain("0x1F"),
                plain("yes"),
                plain(".nan"),
                plain("1e999"),
                plain("99999999999999999999"),
                plain("TRUE"),
            ]
        );
    }

    #[test]
    fn what_goes_over_several_lines_is_a_block() {
        let source = "e: |\n  line 1\n  line 2\nf: >-\n  fold\n  ed\ng: plain over\n  two lines\n";
        let block = |text: &str| (text.to_owned(), Style::Block);
        assert_eq!(
            scalars(source),
            [
                block("line 1\nline 2\n"),
                block("fold ed"),
                block("plain over two lines")
            ]
        );
    }

    #[test]
    fn spans_are_the_bytes_of_the_source_in_all_kinds_of_files() {
        for source in [
            "k: v w   # c\n",
            "\u{feff}k: v w\n",
            "x: 'ü'\r\nk: v w\r\n",
            "{\"ü\": 1, k: v w}",
        ] {
            let Kind::Map(entries) = parse(source).unwrap().kind else {
                panic!("{source}")
            };
            let entry = entries.iter().find(|entry| entry.key == "k").unwrap();
            assert_eq!(&source[entry.value.span.clone()], "v w", "{source:?}");
            assert_eq!(&source[entry.key_span.clone()], "k", "{source:?}");
        }
    }

    #[test]
    fn repeated_keys_are_kept_for_the_reader_to_report() {
        let Kind::Map(entries) = parse("a: 1\nb: 2\na: 3\n").unwrap().kind else {
            panic!()
        };
        assert_eq!(
            entries
                .iter()
                .map(|entry| entry.key.as_str())
                .collect::<Vec<_>>(),
            ["a", "b", "a"]
        );
    }

    #[test]
    fn indirection_is_refused_before_it_can_grow() {
        // H-46: a bomb of aliases costs nothing, because there are no aliases.
        let bomb = "a: &a [x, x]\nb: &b [*a, *a]\nc: &c [*b, *b]\nd: [*c, *c]\n";
        for source in [
            bomb,
            "a: &x 1\n",
            "a: *x\n",
            "a: !!str 1\n",
            "a: [!foo 1]\n",
            "a: !foo 1\n",
            "<<: { a: 1 }\n",
        ] {
            assert_eq!(refused(source).0, Problem::Indirection, "H-46: {source}");
        }
    }

    #[test]
    fn what_is_not_one_shallow_document_is_refused() {
        let deep = format!("a: {}{}", "[".repeat(60), "]".repeat(60));
        assert_eq!(refused(&deep).0, Problem::TooLarge, "H-46");
        let block: String = (0..60)
            .map(|depth| format!("{}a:\n", " ".repeat(depth)))
            .collect();
        assert_eq!(refused(&block).0, Problem::TooLarge, "H-46");
        assert_eq!(
            refused("a: 1\n---\nb: 2\n"),
            (Problem::Documents, "---".to_owned())
        );
        assert_eq!(refused("[a]: 1\n").0, Problem::Key);
        for source in ["a: [1\nb: 2", "a: \"x\n", "a: b: c\n", "a: x\n b: y\n"] {
            let (problem, _) = refused(source);
            assert!(
                matches!(problem, Problem::Syntax(_)),
                "{source}: {problem:?}"
            );
        }
    }
}

//! What names in expressions mean: tags, constants, macros.

use std::cell::Cell;
use std::collections::HashMap;

use rules_expr::{Constant, Scope, TagInfo, TagKind, Unit, parse_quantity};

use super::at_most;
use super::model::{CHANNEL, Tag};
use super::text::check_name;
use crate::finding::Code;
use crate::limits::NAMES_MAX;
use crate::raw;
use crate::read::{Cx, Map, Span};
use crate::scalar::{Expression, Quantity};
use crate::suggest::nearest;

/// A constant or macro.
struct Word<T> {
    /// `None` when it was wrong.
    value: Option<T>,
    span: Span,
    used: Cell<bool>,
}

/// Everything that expressions can name.
pub(super) struct Names<'n> {
    tags: &'n [Tag],
    index: HashMap<&'n str, usize>,
    constants: HashMap<&'n str, Word<Constant>>,
    macros: HashMap<&'n str, Word<&'n str>>,
    /// All names in alphabetical order, so that suggestions do not depend on the order of a hash table.
    sorted: Vec<&'n str>,
    /// Whether the last expression named something that was already reported as wrong.
    broken: Cell<bool>,
    /// Whether to look for similar names; a search walks through all of them.
    suggest: Cell<bool>,
    /// The tag that stands for each channel of the voting whose rule is looked at, and whether it was asked for.
    channel: Cell<Option<usize>>,
    channel_read: Cell<bool>,
    /// Analyzers that are wrong: what they would derive is not known.
    wrong: Vec<String>,
}

impl<'n> Names<'n> {
    pub(super) fn new(
        tags: &'n [Tag],
        wrong: Vec<String>,
        pack: &'n raw::Pack,
        cx: &mut Cx<'_, '_>,
    ) -> Self {
        let mut names = Self {
            tags,
            index: super::model::index(tags.iter().map(|tag| tag.name.as_str())),
            constants: HashMap::new(),
            macros: HashMap::new(),
            sorted: Vec::new(),
            broken: Cell::new(false),
            suggest: Cell::new(true),
            channel: Cell::new(None),
            channel_read: Cell::new(false),
            wrong,
        };
        names.constants = constants(pack.constants.as_ref(), cx);
        names.macros = macros(pack.macros.as_ref(), cx);
        names.report_taken(cx);
        let all = names
            .index
            .keys()
            .chain(names.constants.keys())
            .chain(names.macros.keys());
        names.sorted = all.copied().collect();
        names.sorted.sort_unstable();
        names
    }

    /// A name must mean one thing only.
    fn report_taken(&self, cx: &mut Cx<'_, '_>) {
        let mut report = |name: &str, span: &Span, kind: &str, other: &str| {
            cx.findings
                .error(
                    Code::NameTaken,
                    span,
                    format!("`{name}` is a {kind} and also a {other}"),
                    "rename one of them; an expression could not tell which is meant",
                )
                .label("name taken");
        };
        for (name, word) in &self.constants {
            if self.index.contains_key(name) {
                report(name, &word.span, "constant", "tag");
            }
        }
        for (name, word) in &self.macros {
            if self.index.contains_key(name) {
                report(name, &word.span, "macro", "tag");
            } else if self.constants.contains_key(name) {
                report(name, &word.span, "macro", "constant");
            }
        }
    }

    /// Starts a new expression. `channel` is one channel of the rule's voting; the others are of the same kind and unit.
    pub(super) fn begin(&self, suggest: bool, channel: Option<usize>) {
        self.broken.set(false);
        self.suggest.set(suggest);
        self.channel.set(channel);
        self.channel_read.set(false);
    }

    /// Whether the expression since [`Names::begin`] said `channel`.
    pub(super) fn read_channel(&self) -> bool {
        self.channel_read.get()
    }

    /// Whether the expression since [`Names::begin`] named something that is itself wrong, so that its own errors may
    /// only be consequences.
    pub(super) fn touched_broken(&self) -> bool {
        self.broken.get()
    }

    /// The name that was probably meant, with swapped letters taken as one slip.
    pub(super) fn similar(&self, name: &str) -> Option<&'n str> {
        if self.suggest.get() {
            nearest(name, self.sorted.iter().copied())
        } else {
            None
        }
    }

    /// The index of a tag.
    pub(super) fn tag_index(&self, name: &str) -> Option<usize> {
        self.index.get(name).copied()
    }

    /// Reports constants and macros that no rule uses.
    pub(super) fn lint_unused(&self, cx: &mut Cx<'_, '_>) {
        let constants = self
            .constants
            .iter()
            .map(|(name, word)| ("constant", name, &word.span, word.used.get()));
        let macros = self
            .macros
            .iter()
            .map(|(name, word)| ("macro", name, &word.span, word.used.get()));
        for (kind, name, span, _) in constants.chain(macros).filter(|(.., used)| !used) {
            cx.findings
                .warning(
                    Code::UnusedName,
                    span,
                    format!("no rule uses the {kind} `{name}`"),
                    "use it in a `when`, or remove it",
                )
                .label("not used");
        }
    }
}

/// Whether a name is that of an output of this analyzer.
pub(super) fn is_of(name: &str, analyzer: &str) -> bool {
    let rest = name.strip_prefix(analyzer);
    rest.is_some_and(|rest| rest.starts_with('.'))
}

fn constants<'n>(
    map: Option<&'n Map<Quantity>>,
    cx: &mut Cx<'_, '_>,
) -> HashMap<&'n str, Word<Constant>> {
    let mut constants = HashMap::new();
    if let Some(map) = map {
        at_most("constants", map.entries.len(), NAMES_MAX, &map.at, cx);
    }
    for named in map.map_or(&[][..], |map| &map.entries) {
        check_name("constant", &named.name, &named.span, cx);
        let value =
            named
                .value
                .as_ref()
                .and_then(|quantity| match parse_quantity(&quantity.text) {
                    Ok((value, unit)) => Some(Constant { value, unit }),
                    Err(cause) => {
                        let (message, help) = super::split_help(&cause.to_string());
                        cx.findings
                            .error(Code::BadConstant, &quantity.span, message, help);
                        None
                    }
                });
        let word = Word {
            value,
            span: named.span.clone(),
            used: Cell::new(false),
        };
        constants.entry(named.name.as_str()).or_insert(word);
    }
    constants
}

fn macros<'n>(
    map: Option<&'n Map<Expression>>,
    cx: &mut Cx<'_, '_>,
) -> HashMap<&'n str, Word<&'n str>> {
    let mut macros = HashMap::new();
    if let Some(map) = map {
        at_most("macros", map.entries.len(), NAMES_MAX, &map.at, cx);
    }
    for named in map.map_or(&[][..], |map| &map.entries) {
        check_name("macro", &named.name, &named.span, cx);
        let value = named
            .value
            .as_ref()
            .map(|expression| expression.text.as_str());
        let word = Word {
            value,
            span: named.span.clone(),
            used: Cell::new(false),
        };
        macros.entry(named.name.as_str()).or_insert(word);
    }
    macros
}

impl Scope for Names<'_> {
    fn tag(&self, name: &str) -> Option<TagInfo> {
        let index = if name == CHANNEL {
            self.channel_read.set(true);
            self.channel.get()
        } else {
            self.tag_index(name)
        };
        if index.is_none() && self.wrong.iter().any(|analyzer| is_of(name, analyzer)) {
            self.broken.set(true);
        }
        let tag = index.and_then(|index| self.tags.get(index))?;
        tag.used.set(true);
        if !tag.known {
            self.broken.set(true);
            return None;
        }
        Some(TagInfo {
            unit: tag.unit.clone().unwrap_or(Unit::ONE),
            kind: if tag.is_bool {
                TagKind::Bool
            } else {
                TagKind::Number
            },
        })
    }

    fn constant(&self, name: &str) -> Option<Constant> {
        let word = self.constants.get(name)?;
        word.used.set(true);
        if word.value.is_none() {
            self.broken.set(true);
        }
        word.value.clone()
    }

    fn macro_source(&self, name: &str) -> Option<&str> {
        let word = self.macros.get(name)?;
        word.used.set(true);
        if word.value.is_none() {
            self.broken.set(true);
        }
        word.value
    }

    fn names(&self) -> Vec<&str> {
        if self.suggest.get() {
            self.sorted.clone()
        } else {
            Vec::new()
        }
    }
}

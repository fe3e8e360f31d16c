//! The rules, and how a module is refused by one.

use std::fmt;

/// A rule of the gate. Its code never changes and is never given to another: authors search for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Rule {
    /// The file is too large.
    Size,
    /// Not a valid core module.
    Invalid,
    /// Uses a proposal that is switched off.
    Proposal,
    /// Too many functions.
    Functions,
    /// Too many locals in a function.
    Locals,
    /// Too much code in a function.
    Code,
    /// Imports something.
    Imports,
    /// Has a start function.
    Start,
    /// The memory is missing, can grow, or is too large.
    Memory,
    /// The table can grow, or is too large.
    Table,
    /// Too many globals.
    Globals,
    /// Too many types, or one with too many parameters or results.
    Types,
    /// Grows its memory or table.
    Growth,
    /// A `br_table` with too many targets.
    Branches,
    /// Blocks too deep in one another.
    Nesting,
    /// A data segment outside the memory, or too many.
    Data,
    /// An element segment outside the table, or too many.
    Elements,
    /// An export is missing, not known, or of another type.
    Exports,
    /// The metadata is missing, there twice, or too large.
    Section,
    /// The metadata says what it must not.
    Metadata,
    /// The exchange area does not fit into the memory.
    Area,
}

impl Rule {
    /// All, in the order of their codes.
    pub const ALL: [Self; 21] = [
        Self::Size,
        Self::Invalid,
        Self::Proposal,
        Self::Functions,
        Self::Locals,
        Self::Code,
        Self::Imports,
        Self::Start,
        Self::Memory,
        Self::Table,
        Self::Globals,
        Self::Types,
        Self::Growth,
        Self::Branches,
        Self::Nesting,
        Self::Data,
        Self::Elements,
        Self::Exports,
        Self::Section,
        Self::Metadata,
        Self::Area,
    ];

    /// Code and word, such as `G07 imports`.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Size => "G01 size",
            Self::Invalid => "G02 invalid",
            Self::Proposal => "G03 proposal",
            Self::Functions => "G04 functions",
            Self::Locals => "G05 locals",
            Self::Code => "G06 code",
            Self::Imports => "G07 imports",
            Self::Start => "G08 start",
            Self::Memory => "G09 memory",
            Self::Table => "G10 table",
            Self::Globals => "G11 globals",
            Self::Types => "G12 types",
            Self::Growth => "G13 growth",
            Self::Branches => "G14 branches",
            Self::Nesting => "G15 nesting",
            Self::Data => "G16 data",
            Self::Elements => "G17 elements",
            Self::Exports => "G18 exports",
            Self::Section => "G19 section",
            Self::Metadata => "G20 metadata",
            Self::Area => "G21 area",
        }
    }

    /// How an author mends it.
    pub const fn mend(self) -> &'static str {
        match self {
            Self::Size => {
                "build for size (`opt-level = \"s\"`, `-Oz`) and without names (`strip`); large tables belong into parameters"
            }
            Self::Invalid => {
                "build a core module for wasm32 (no component, no text format) and give the linker's output unchanged"
            }
            Self::Proposal => {
                "switch the proposal off in the compiler (`-C target-cpu=mvp`, `-mcpu=mvp`, `--disable`), or leave the instruction out"
            }
            Self::Functions => "link only what is used (`--gc-sections`, `lto = true`)",
            Self::Locals | Self::Code | Self::Nesting => {
                "divide the function into smaller ones, or forbid inlining into it"
            }
            Self::Imports => {
                "an analyzer calls nobody: leave out input, output, time, random numbers, and what aborts by calling the host"
            }
            Self::Start => {
                "do what the start function does in `tl_init`; export `tl_init` instead of `main` or `_initialize`"
            }
            Self::Memory => {
                "give the linker both `--initial-memory` and `--max-memory`, equal, a multiple of 65536"
            }
            Self::Table => "leave out `--growable-table`; call fewer functions by pointer",
            Self::Globals | Self::Types => {
                "link only what is used; pass a pointer instead of many values"
            }
            Self::Growth => "use no allocator that grows: keep what is needed in static memory",
            Self::Branches => "divide the choice, or look the value up in a table",
            Self::Data | Self::Elements => {
                "let the linker lay out memory and table, and give it a larger `--initial-memory`"
            }
            Self::Exports => {
                "export `memory`, `tl_area`, `tl_init`, `tl_process` and `tl_state_hash` with the types in docs/analyzer-abi.md, and nothing else"
            }
            Self::Section => "attach the metadata once, with `tripline analyzer build`",
            Self::Metadata => {
                "mend `analyzer.yaml` as docs/analyzer-abi.md says, and attach it again with `tripline analyzer build`"
            }
            Self::Area => {
                "give the linker a larger `--initial-memory` and `--max-memory`, or the metadata a smaller `samples_max`"
            }
        }
    }
}

/// Why a module was refused: by which rule, at which byte, what was found there. Prints all three and how to mend it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The rule.
    pub rule: Rule,
    /// Byte in the file at which it was seen.
    pub offset: u64,
    /// What was found, and what is allowed.
    pub what: String,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}, at byte {:#x}: {}. To mend it: {}",
            self.rule.code(),
            self.offset,
            self.what,
            self.rule.mend()
        )
    }
}

impl std::error::Error for Refusal {}

pub(crate) fn refuse(rule: Rule, offset: u64, what: impl Into<String>) -> Refusal {
    Refusal {
        rule,
        offset,
        what: what.into(),
    }
}

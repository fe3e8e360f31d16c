//! The gate: what a module must be before anything compiles, signs or runs it (`docs/analyzer-abi.md`, "The module").
//!
//! Which thread: never a lane's; the command line and the pack compiler call it. May it block: no. Worst case: two passes
//! over at most [`rt_config::limits::ANALYZER_MODULE_BYTES_MAX`] bytes; nothing is executed, and no loop or allocation is
//! longer than the file, whatever it claims of itself. Hazards: H-35 to H-38 (what cannot grow, recurse into the host or
//! wait is refused or bounded here), H-44 (limits of what a compiler is given), H-48 and H-72 (exports and ABI number).
#![cfg_attr(
    not(test),
    deny(
        clippy::indexing_slicing,
        clippy::as_conversions,
        clippy::arithmetic_side_effects
    )
)]
#![forbid(unsafe_code)]

mod attach;
mod function;
mod inspect;
mod refusal;
mod sections;

use rules_sdk_abi::{Layout, metadata::Metadata};

pub use attach::{AttachError, attach_metadata};
pub use inspect::inspect;
pub use refusal::{Refusal, Rule};

/// A module that passed the gate. Made by [`inspect`] alone.
#[derive(Clone, Debug, PartialEq)]
pub struct Module {
    /// What it says of itself.
    pub metadata: Metadata,
    /// Layout of its exchange area, which fits into its memory.
    pub layout: Layout,
    /// Bytes of its memory, which never change.
    pub memory_bytes: u32,
    /// What it is made of.
    pub counts: Counts,
    /// Its custom sections, the metadata among them, in their order.
    pub custom_sections: Vec<CustomSection>,
}

/// What a module is made of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Bytes of the file.
    pub bytes: u64,
    /// Types.
    pub types: u32,
    /// Functions.
    pub functions: u32,
    /// Most locals of one function, its parameters included.
    pub locals_max: u32,
    /// Bytes of code of all functions.
    pub code_bytes: u64,
    /// Bytes of code of the largest function.
    pub code_bytes_max: u64,
    /// Deepest nesting of blocks.
    pub nesting_max: u32,
    /// Most targets of a `br_table`.
    pub branches_max: u32,
    /// Tables, none or one.
    pub tables: u32,
    /// Elements of the table.
    pub table_elements: u64,
    /// Globals.
    pub globals: u32,
    /// Data segments.
    pub data_segments: u32,
    /// Bytes in data segments.
    pub data_bytes: u64,
}

/// Where a custom section lies in the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CustomSection {
    /// Its name.
    pub name: String,
    /// First byte of its content, after the name.
    pub start: u64,
    /// First byte behind it.
    pub end: u64,
}

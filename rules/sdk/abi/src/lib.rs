//! The analyzer ABI `core/1` (`docs/analyzer-abi.md`): names of exports, layout of the exchange area, packed verdict, and
//! with the feature `metadata` what a module says of itself.
//!
//! Which thread: any. May it block: no. Worst case: everything but the metadata is constant time and allocates nothing.
//! Hazards: H-39 (a verdict or output outside the ABI is nonsense), H-72 (the ABI number is part of the module).
#![cfg_attr(
    not(test),
    deny(
        clippy::indexing_slicing,
        clippy::as_conversions,
        clippy::arithmetic_side_effects
    )
)]
#![forbid(unsafe_code)]

mod layout;
#[cfg(feature = "metadata")]
pub mod metadata;
mod verdict;

pub use layout::{
    Flags, HEADER_BYTES, Header, Layout, PARAM_BYTES, SampleFormat, VALUE_BYTES, encode_header,
};
pub use verdict::{Level, Nonsense, Verdict};

/// The ABI's name, as modules state it.
pub const ABI: &str = "core/1";
/// Name of the custom section with the metadata.
pub const METADATA_SECTION: &str = "tripline.analyzer";

/// The exports a module must have.
pub mod export {
    /// The memory.
    pub const MEMORY: &str = "memory";
    /// `() -> i32`: address of the exchange area.
    pub const AREA: &str = "tl_area";
    /// `() -> i32`: takes the parameters.
    pub const INIT: &str = "tl_init";
    /// `() -> i64`: takes a frame, returns the packed verdict.
    pub const PROCESS: &str = "tl_process";
    /// `() -> i64`: hash of the state.
    pub const STATE_HASH: &str = "tl_state_hash";
    /// What linkers export without being asked: allowed, never used.
    pub const HARMLESS: [&str; 3] = ["__data_end", "__heap_base", "__indirect_function_table"];
}

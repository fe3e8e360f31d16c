//! The bundle: the resolved plan that a guard runs, its container, content hash, tag and verification.
//!
//! Which thread: the guard's main thread at load, never a lane. May it block: no. What it reads are bytes already in
//! memory, so that what was verified is what runs (H-67). Hazards: H-48 (unresolved names), H-67, H-72 (version skew), I13.
#![forbid(unsafe_code)]

pub mod budget;
mod check;
mod container;
mod key;
mod plan;
#[cfg(any(test, feature = "testing"))]
pub mod testing;

pub use budget::{Budget, WorstCase, worst_case};
pub use check::PlanError;
pub use container::{
    Bundle, BundleError, Code, ContentHash, LaneCode, ModuleCode, SealError, is_bundle, open, seal,
};
pub use key::{BundleKey, KeyError};
pub use plan::*;

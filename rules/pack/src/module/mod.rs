//! The two files beside an analyzer's sources: what the module is (`analyzer.yaml`), and recorded frames with what the
//! module must make of them (`NAME.cases.yaml`). Both are for `tripline analyzer`, none is part of a pack.

mod cases;
mod metadata;

pub use cases::{
    Block, Case, Expect, Expected, Failure, Frame, InputValue, Sine, Waveform, parse as cases,
    report,
};
pub(crate) use cases::{RawBlock, block};
pub use metadata::parse as metadata;

//! What is done with a guest after its own compiler: metadata attached, gate passed, and two builds of it compared.
//!
//! Which thread: the command line's; nothing of it is in a guard. May it block: no. Worst case: [`compare`] interprets
//! some hundred frames. Hazards: H-42 (a module that another toolchain built must answer with the same bits).
#![cfg_attr(
    not(test),
    deny(
        clippy::indexing_slicing,
        clippy::as_conversions,
        clippy::arithmetic_side_effects
    )
)]
#![forbid(unsafe_code)]

mod compare;
mod stimulus;

use rules_sdk_gate::{Module, attach_metadata, inspect};

pub use compare::{Compared, compare};
pub use stimulus::{Stimulus, params, stimuli};

/// What a compiler built, with the metadata of `analyzer.yaml` attached, past the gate.
///
/// # Errors
/// What is wrong, ready to be printed: findings in the YAML with their places, or the gate's refusal.
pub fn finish(file_name: &str, yaml: &str, wasm: &[u8]) -> Result<(Module, Vec<u8>), String> {
    let metadata = rules_pack::module::metadata(file_name, yaml)
        .map_err(|findings| rules_pack::render(&findings, yaml, false))?;
    let bytes = attach_metadata(wasm, &metadata).map_err(|error| error.to_string())?;
    let module = inspect(&bytes).map_err(|refusal| refusal.to_string())?;
    Ok((module, bytes))
}

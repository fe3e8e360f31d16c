//! What a pack names beside itself: modules, and blocks of samples. Whoever loads a pack says where these are, and whom to
//! trust; the checks here read no file themselves.

use rules_bundle::SignaturePlan;
use rules_sdk_abi::metadata::Metadata;

/// Files beside a pack.
pub trait Beside {
    /// The bytes of the file at `path`, relative to the pack. Of one that is longer than `most` at least one byte more than
    /// that.
    ///
    /// # Errors
    /// Why not, for people.
    fn read(&self, path: &str, most: usize) -> Result<Vec<u8>, String>;

    /// Who vouches for the module at `path`, whose bytes are `wasm`; `None`: nobody, and that is allowed here. The caller
    /// goes on with these very bytes (H-67).
    ///
    /// # Errors
    /// Why it is not trusted, and what to do: `cause; way out` or `cause. Way out`.
    fn vouch(
        &self,
        path: &str,
        metadata: &Metadata,
        wasm: &[u8],
    ) -> Result<Option<SignaturePlan>, String>;
}

/// A pack that stands alone: every file that it names is refused.
#[derive(Clone, Copy, Debug, Default)]
pub struct Alone;

impl Beside for Alone {
    fn read(&self, _: &str, _: usize) -> Result<Vec<u8>, String> {
        Err("no file beside the pack can be read here".to_owned())
    }

    fn vouch(&self, _: &str, _: &Metadata, _: &[u8]) -> Result<Option<SignaturePlan>, String> {
        Err("nobody is trusted here".to_owned())
    }
}

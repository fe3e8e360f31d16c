//! Who made a module or a pack, and whether it may run here.
//!
//! A signature is a file in minisign's format beside what it signs (`bearing.wasm.minisig`); its trusted comment, which the
//! signature covers, is the [`Manifest`]: what it is, which version, for which gateway, until when. Keys that are trusted are
//! minisign public keys in a folder ([`KeyRing`]). Versions only ever rise ([`Versions`]).
//!
//! Which thread: any of the command line, never a lane, never the guard: a guard is given bundles that were made from
//! verified files. May it block: it reads files. Hazards: H-65 (unsigned, wrong key, expired, meant for another gateway),
//! H-66 (an older version), H-67 (what is verified are the bytes in memory that are then used), H-79 (an expiry fails
//! closed when the clock went back), I13.
#![forbid(unsafe_code)]

mod admit;
mod date;
mod keys;
mod manifest;
#[cfg(feature = "sign")]
mod sign;
mod versions;

pub use admit::{Artefact, Policy, Refusal, Trust};
pub use date::Date;
pub use keys::{KeyError, KeyRing};
pub use manifest::{Kind, Manifest, ManifestError, Target};
#[cfg(feature = "sign")]
pub use sign::{SignError, Signer, generate};
pub use versions::{Versions, VersionsError};

/// What is appended to a file's name for its signature.
pub const SIGNATURE_SUFFIX: &str = ".minisig";

/// Limits, with the reason for each value.
pub mod limits {
    /// Bytes of a public key file: minisign's has about 110, a comment may be longer.
    pub const KEY_FILE_BYTES_MAX: u64 = 1_024;
    /// Bytes of a signature file: about 320, with a trusted comment of up to 512.
    pub const SIGNATURE_BYTES_MAX: u64 = 2_048;
    /// Keys in a folder. A plant trusts a few people.
    pub const KEYS_MAX: usize = 64;
    /// Bytes of the file of versions: a hundred bytes for each id.
    pub const VERSIONS_BYTES_MAX: u64 = 1024 * 1024;
    /// Bytes of an id in a manifest: as ids in packs.
    pub const ID_BYTES_MAX: usize = 96;
    /// Seconds that the wall clock may be behind the latest time seen before signatures that expire are refused: an hour
    /// for a clock that is set by hand.
    pub const CLOCK_BACK_MAX_S: u64 = 3_600;
}

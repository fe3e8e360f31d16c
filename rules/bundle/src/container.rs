//! The container: a header, sections, and a tag that only this host could have made.
//!
//! ```text
//! offset  bytes  what
//! 0       16     "TRIPLINE BUNDLE\n"
//! 16      4      container version, little-endian
//! 20      8      bytes of the body
//! 28      32     SHA-256 of the body: the content hash, the bundle's id
//! 60      ...    body: sections of {kind u32, index u32, bytes u64, content}
//! end-32  32     tag: HMAC-SHA-256 with this host's key over a label and everything above
//! ```
//!
//! The tag is verified first, over the bytes as they are; nothing of a file whose tag is wrong is used, and its header is
//! looked at only to say in words what may have happened.

use std::fmt;
use std::path::PathBuf;

use rt_config::limits;
use sha2::{Digest, Sha256};

use crate::key::TAG_BYTES;
use crate::{BundleKey, ModulePlan, Plan, PlanError};

const MAGIC: &[u8; 16] = b"TRIPLINE BUNDLE\n";
/// Changes whenever the container or the encoding of the plan does.
const VERSION: u32 = 6;
const HEADER_BYTES: usize = 60;
const SECTION_HEADER_BYTES: usize = 16;

const KIND_PLAN: u32 = 1;
const KIND_RULES_WASM: u32 = 2;
const KIND_RULES_NATIVE: u32 = 3;
const KIND_SOURCE: u32 = 4;
const KIND_MODULE_WASM: u32 = 5;
const KIND_MODULE_NATIVE: u32 = 6;
const KIND_BLOCK: u32 = 7;

/// SHA-256 over a bundle's body.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct ContentHash(pub [u8; 32]);

impl fmt::Display for ContentHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for ContentHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// A lane's compiled rules: the WebAssembly, and the machine code made from it on this host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LaneCode {
    /// The rule module as WebAssembly: what the machine code was made from, kept beside it.
    pub wasm: Vec<u8>,
    /// The same module compiled ahead of time.
    pub native: Vec<u8>,
}

/// A foreign module: the WebAssembly that was verified, and the machine code made from it on this host. A guard runs the
/// machine code; the WebAssembly is kept for people and for rebuilding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModuleCode {
    /// The `.wasm`.
    pub wasm: Vec<u8>,
    /// The same compiled ahead of time.
    pub native: Vec<u8>,
}

/// What a bundle holds besides its plan and its source.
#[derive(Clone, Copy, Debug, Default)]
pub struct Code<'a> {
    /// Compiled rules, one entry a lane.
    pub lanes: &'a [LaneCode],
    /// Foreign modules, one entry for each of [`Plan::modules`].
    pub modules: &'a [ModuleCode],
    /// Blocks of samples, one entry for each of [`Plan::blocks`].
    pub blocks: &'a [Vec<u8>],
}

/// An opened bundle.
#[derive(Clone, Debug, PartialEq)]
pub struct Bundle {
    /// The plan, checked.
    pub plan: Plan,
    /// Compiled rules, one entry a lane.
    pub lanes: Vec<LaneCode>,
    /// Foreign modules, one entry for each of [`Plan::modules`].
    pub modules: Vec<ModuleCode>,
    /// Blocks of samples, one entry for each of [`Plan::blocks`], as a module's memory takes them.
    pub blocks: Vec<Vec<u8>>,
    /// The pack as it was written, for people.
    pub source: String,
    /// The content hash, also the bundle's id.
    pub hash: ContentHash,
}

/// Why a bundle could not be sealed.
#[derive(Debug, thiserror::Error)]
pub enum SealError {
    /// The plan breaks a limit or is inconsistent.
    #[error("the plan is not valid: {0}")]
    Plan(#[from] PlanError),
    /// The plan could not be written.
    #[error("the plan could not be encoded: {0}")]
    Encode(#[from] postcard::Error),
    /// Not one entry for each lane, module or block.
    #[error("{planned} {what} in the plan, but content for {given}")]
    Count {
        /// Lanes, modules or blocks.
        what: &'static str,
        /// In the plan.
        planned: usize,
        /// Entries given.
        given: usize,
    },
    /// A module or block that is not the one in the plan.
    #[error("{what} {index} is not the one that the plan names")]
    Mismatch {
        /// Module or block.
        what: &'static str,
        /// Its index.
        index: usize,
    },
    /// Larger than a guard accepts.
    #[error("the bundle would take {bytes} bytes; a guard accepts {max}. Split the pack")]
    TooLarge {
        /// Bytes of the body.
        bytes: usize,
        /// The limit.
        max: usize,
    },
}

/// Why bytes are not a bundle that may run. Nothing of a refused bundle is used.
#[derive(Debug, thiserror::Error)]
pub enum BundleError {
    /// Not a bundle.
    #[error(
        "this is not a bundle (it does not start with \"TRIPLINE BUNDLE\"). Make one: tripline build PACK -o FILE"
    )]
    NotABundle,
    /// Made by another version.
    #[error(
        "container version {found}, this program reads version {expected}. Build the bundle again with this version's `tripline build`"
    )]
    Version {
        /// Version in the file.
        found: u32,
        /// Version this program reads.
        expected: u32,
    },
    /// Larger than accepted.
    #[error("{bytes} bytes, at most {max} are accepted")]
    TooLarge {
        /// Size found.
        bytes: usize,
        /// The limit.
        max: usize,
    },
    /// Shorter or longer than its header says.
    #[error(
        "the header announces {expected} bytes of content, the file holds {found}: it was cut off or extended. Copy or build it again"
    )]
    Length {
        /// Bytes announced.
        expected: u64,
        /// Bytes present.
        found: usize,
    },
    /// The content does not match its hash.
    #[error(
        "the content does not match its hash (expected {expected}, found {found}): the file was damaged or changed. Copy or build it again"
    )]
    Hash {
        /// Hash in the header.
        expected: ContentHash,
        /// Hash of the content.
        found: ContentHash,
    },
    /// Whole, but without the tag of this host.
    #[error(
        "this bundle was not built on this host, or by another user: its tag was not made with the key {key}. Build it here: tripline build PACK -o FILE",
        key = key.display()
    )]
    NotOurs {
        /// Where the key came from.
        key: PathBuf,
    },
    /// A section that does not belong.
    #[error("section at byte {offset}: {cause}")]
    Section {
        /// Where in the body.
        offset: usize,
        /// What is wrong.
        cause: &'static str,
    },
    /// The plan could not be read.
    #[error("the plan could not be decoded: {0}")]
    Decode(#[from] postcard::Error),
    /// The plan breaks a limit or is inconsistent.
    #[error("the plan is not valid: {0}")]
    Plan(#[from] PlanError),
}

/// Seals a plan and its code into a bundle's bytes, with this host's tag.
///
/// # Errors
/// [`SealError`] when the plan is not valid or the bundle would be larger than a guard accepts.
pub fn seal(
    plan: &Plan,
    code: Code<'_>,
    source: &str,
    key: &BundleKey,
) -> Result<Vec<u8>, SealError> {
    plan.check()?;
    for (what, planned, given) in [
        ("lanes", plan.lanes.len(), code.lanes.len()),
        ("modules", plan.modules.len(), code.modules.len()),
        ("blocks", plan.blocks.len(), code.blocks.len()),
    ] {
        if planned != given {
            return Err(SealError::Count {
                what,
                planned,
                given,
            });
        }
    }
    for (index, (planned, given)) in plan.modules.iter().zip(code.modules).enumerate() {
        if !is_module(planned, &given.wasm) {
            return Err(SealError::Mismatch {
                what: "module",
                index,
            });
        }
    }
    for (index, (bytes, given)) in plan.blocks.iter().zip(code.blocks).enumerate() {
        if u32::try_from(given.len()) != Ok(*bytes) {
            return Err(SealError::Mismatch {
                what: "block",
                index,
            });
        }
    }
    let mut body = Vec::new();
    push_section(&mut body, KIND_PLAN, 0, &postcard::to_stdvec(plan)?);
    for (index, code) in (0_u32..).zip(code.lanes) {
        push_section(&mut body, KIND_RULES_WASM, index, &code.wasm);
        push_section(&mut body, KIND_RULES_NATIVE, index, &code.native);
    }
    for (index, code) in (0_u32..).zip(code.modules) {
        push_section(&mut body, KIND_MODULE_WASM, index, &code.wasm);
        push_section(&mut body, KIND_MODULE_NATIVE, index, &code.native);
    }
    for (index, block) in (0_u32..).zip(code.blocks) {
        push_section(&mut body, KIND_BLOCK, index, block);
    }
    push_section(&mut body, KIND_SOURCE, 0, source.as_bytes());
    let bytes = body
        .len()
        .saturating_add(HEADER_BYTES)
        .saturating_add(TAG_BYTES);
    if bytes > limits::BUNDLE_BYTES_MAX {
        return Err(SealError::TooLarge {
            bytes,
            max: limits::BUNDLE_BYTES_MAX,
        });
    }
    let mut sealed = Vec::with_capacity(bytes);
    sealed.extend_from_slice(MAGIC);
    sealed.extend_from_slice(&VERSION.to_le_bytes());
    sealed.extend_from_slice(&u64::try_from(body.len()).unwrap_or(u64::MAX).to_le_bytes());
    sealed.extend_from_slice(&Sha256::digest(&body));
    sealed.extend_from_slice(&body);
    let tag = key.tag(&sealed);
    sealed.extend_from_slice(&tag);
    Ok(sealed)
}

/// Whether these bytes are the module that the plan names.
fn is_module(planned: &ModulePlan, wasm: &[u8]) -> bool {
    let hash: [u8; 32] = Sha256::digest(wasm).into();
    hash == planned.sha256
}

fn push_section(body: &mut Vec<u8>, kind: u32, index: u32, content: &[u8]) {
    body.extend_from_slice(&kind.to_le_bytes());
    body.extend_from_slice(&index.to_le_bytes());
    body.extend_from_slice(
        &u64::try_from(content.len())
            .unwrap_or(u64::MAX)
            .to_le_bytes(),
    );
    body.extend_from_slice(content);
}

/// Whether bytes begin as bundles do: what else they are, [`open`] says.
pub fn is_bundle(bytes: &[u8]) -> bool {
    bytes.starts_with(MAGIC)
}

/// Opens a bundle: verifies the tag before anything is read of it, then header, hash, sections and plan, in this order.
///
/// # Errors
/// [`BundleError`]; nothing of the content is used then.
pub fn open(bytes: &[u8], key: &BundleKey) -> Result<Bundle, BundleError> {
    if bytes.len() > limits::BUNDLE_BYTES_MAX {
        return Err(BundleError::TooLarge {
            bytes: bytes.len(),
            max: limits::BUNDLE_BYTES_MAX,
        });
    }
    let ours = bytes
        .split_last_chunk::<TAG_BYTES>()
        .filter(|(container, tag)| key.made(tag.as_slice(), container));
    let Some((container, _)) = ours else {
        return Err(why_not_ours(bytes, key));
    };
    let (hash, body) = read_header(container)?;
    read_body(body, hash)
}

/// What to say of a file that was not sealed with this key. Whatever it is, it is refused.
fn why_not_ours(bytes: &[u8], key: &BundleKey) -> BundleError {
    // What is too short for a tag is told by what it has of a header.
    let container = bytes
        .split_last_chunk::<TAG_BYTES>()
        .map_or(bytes, |(container, _)| container);
    match read_header(container) {
        Err(damaged) => damaged,
        Ok(_) => BundleError::NotOurs {
            key: key.place().to_owned(),
        },
    }
}

/// The content hash, which is right, and the body.
fn read_header(container: &[u8]) -> Result<(ContentHash, &[u8]), BundleError> {
    let mut header = Reader { rest: container };
    if header.take(MAGIC.len()) != Some(MAGIC.as_slice()) {
        return Err(BundleError::NotABundle);
    }
    let version = header.u32().ok_or(BundleError::NotABundle)?;
    if version != VERSION {
        return Err(BundleError::Version {
            found: version,
            expected: VERSION,
        });
    }
    let length = header.u64().ok_or(BundleError::NotABundle)?;
    let expected = header
        .take(32)
        .and_then(|hash| hash.try_into().ok())
        .map(ContentHash)
        .ok_or(BundleError::NotABundle)?;
    let body = header.rest;
    if u64::try_from(body.len()) != Ok(length) {
        return Err(BundleError::Length {
            expected: length,
            found: body.len(),
        });
    }
    let found = ContentHash(Sha256::digest(body).into());
    if found != expected {
        return Err(BundleError::Hash { expected, found });
    }
    Ok((expected, body))
}

fn read_body(body: &[u8], hash: ContentHash) -> Result<Bundle, BundleError> {
    let mut sections = Sections {
        reader: Reader { rest: body },
        bytes: body.len(),
    };
    let plan: Plan = postcard::from_bytes(sections.expect(KIND_PLAN, 0)?)?;
    plan.check()?;
    let mut lanes = Vec::with_capacity(plan.lanes.len());
    for (index, _) in (0_u32..).zip(&plan.lanes) {
        lanes.push(LaneCode {
            wasm: sections.expect(KIND_RULES_WASM, index)?.to_vec(),
            native: sections.expect(KIND_RULES_NATIVE, index)?.to_vec(),
        });
    }
    let mut modules = Vec::with_capacity(plan.modules.len());
    for (index, planned) in (0_u32..).zip(&plan.modules) {
        let offset = sections.offset();
        let wasm = sections.expect(KIND_MODULE_WASM, index)?.to_vec();
        if !is_module(planned, &wasm) {
            return Err(BundleError::Section {
                offset,
                cause: "the module is not the one that the plan names",
            });
        }
        modules.push(ModuleCode {
            wasm,
            native: sections.expect(KIND_MODULE_NATIVE, index)?.to_vec(),
        });
    }
    let mut blocks = Vec::with_capacity(plan.blocks.len());
    for (index, bytes) in (0_u32..).zip(&plan.blocks) {
        let offset = sections.offset();
        let block = sections.expect(KIND_BLOCK, index)?.to_vec();
        if u32::try_from(block.len()) != Ok(*bytes) {
            return Err(BundleError::Section {
                offset,
                cause: "the block is not as long as the plan says",
            });
        }
        blocks.push(block);
    }
    let source_at = sections.offset();
    let source = String::from_utf8(sections.expect(KIND_SOURCE, 0)?.to_vec()).map_err(|_| {
        BundleError::Section {
            offset: source_at,
            cause: "the pack's source is not UTF-8",
        }
    })?;
    if !sections.reader.rest.is_empty() {
        return Err(BundleError::Section {
            offset: sections.offset(),
            cause: "content after the last section",
        });
    }
    Ok(Bundle {
        plan,
        lanes,
        modules,
        blocks,
        source,
        hash,
    })
}

struct Sections<'a> {
    reader: Reader<'a>,
    bytes: usize,
}

impl<'a> Sections<'a> {
    fn offset(&self) -> usize {
        self.bytes.saturating_sub(self.reader.rest.len())
    }

    fn expect(&mut self, kind: u32, index: u32) -> Result<&'a [u8], BundleError> {
        let offset = self.offset();
        let fail = |cause| BundleError::Section { offset, cause };
        if self.reader.rest.len() < SECTION_HEADER_BYTES {
            return Err(fail("a section is missing"));
        }
        if self.reader.u32() != Some(kind) || self.reader.u32() != Some(index) {
            return Err(fail("another section was expected here"));
        }
        self.reader
            .u64()
            .and_then(|bytes| usize::try_from(bytes).ok())
            .and_then(|bytes| self.reader.take(bytes))
            .ok_or_else(|| fail("the section is longer than the file"))
    }
}

struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (head, rest) = self.rest.split_at_checked(count)?;
        self.rest = rest;
        Some(head)
    }

    fn u32(&mut self) -> Option<u32> {
        self.take(4)
            .and_then(|bytes| bytes.try_into().ok())
            .map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Option<u64> {
        self.take(8)
            .and_then(|bytes| bytes.try_into().ok())
            .map(u64::from_le_bytes)
    }
}

#[cfg(test)]
mod tests;

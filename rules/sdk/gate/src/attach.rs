//! Attaching metadata to a module.

use rules_sdk_abi::{
    METADATA_SECTION,
    metadata::{Metadata, MetadataError, SECTION_BYTES_MAX},
};
use wasmparser::BinaryReader;

use crate::{Refusal, Rule, refusal::refuse};

/// Magic number and version.
const PREAMBLE: &[u8] = b"\0asm\x01\0\0\0";
/// Section id of custom sections.
const CUSTOM: u8 = 0;

/// Why metadata could not be attached.
#[derive(Debug, thiserror::Error)]
pub enum AttachError {
    /// The metadata says what it must not.
    #[error("the metadata: {0}")]
    Metadata(#[from] MetadataError),
    /// The file is not a module.
    #[error("the module: {0}")]
    Module(#[from] Refusal),
}

/// The module with this metadata as its last section; metadata that it had is taken out, all else stays as it is.
/// The same module and metadata give the same bytes. [`crate::inspect`] judges the whole.
///
/// # Errors
/// [`AttachError`]: the metadata is not what the ABI allows, or the sections of the file cannot be told apart.
pub fn attach_metadata(wasm: &[u8], metadata: &Metadata) -> Result<Vec<u8>, AttachError> {
    metadata.check()?;
    let json = serde_json::to_vec(metadata).map_err(|error| MetadataError {
        at: "metadata".to_owned(),
        what: error.to_string(),
    })?;
    if json.len() > SECTION_BYTES_MAX {
        return Err(MetadataError {
            at: "metadata".to_owned(),
            what: format!("{} bytes; at most {SECTION_BYTES_MAX}", json.len()),
        }
        .into());
    }
    let mut out = without_metadata(wasm)?;
    let mut content = Vec::with_capacity(json.len().saturating_add(32));
    push_bytes(&mut content, METADATA_SECTION.as_bytes());
    content.extend_from_slice(&json);
    out.push(CUSTOM);
    push_bytes(&mut out, &content);
    Ok(out)
}

fn without_metadata(wasm: &[u8]) -> Result<Vec<u8>, Refusal> {
    let Some(sections) = wasm.strip_prefix(PREAMBLE) else {
        return Err(refuse(
            Rule::Invalid,
            0,
            "the file does not begin as a core module, version 1",
        ));
    };
    let mut out = Vec::with_capacity(wasm.len());
    out.extend_from_slice(PREAMBLE);
    // The preamble's 8 bytes come before the first section.
    let mut reader = BinaryReader::new(sections, 8);
    while !reader.eof() {
        let start = reader.current_position();
        let is_metadata = skip_section(&mut reader)
            .map_err(|error| refuse(Rule::Invalid, error.offset(), error.message()))?;
        if !is_metadata {
            out.extend_from_slice(
                sections
                    .get(start..reader.current_position())
                    .unwrap_or_default(),
            );
        }
    }
    Ok(out)
}

/// Skips a section; whether it was metadata.
fn skip_section(reader: &mut BinaryReader<'_>) -> wasmparser::Result<bool> {
    let id = reader.read_u8()?;
    let mut content = reader.read_reader()?;
    Ok(id == CUSTOM && content.read_string()? == METADATA_SECTION)
}

/// Length as LEB128, then the bytes.
fn push_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    let mut rest = bytes.len();
    loop {
        let low = rest.to_le_bytes().first().copied().unwrap_or_default() & 0x7f;
        rest >>= 7;
        if rest == 0 {
            out.push(low);
            break;
        }
        out.push(low | 0x80);
    }
    out.extend_from_slice(bytes);
}

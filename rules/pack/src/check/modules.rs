//! Files that a pack names: modules through the gate and the question who vouches for them, and blocks of samples.

use std::collections::HashMap;

use rt_config::limits::{ANALYZER_MODULE_BYTES_MAX, MODULES_MAX, WAVEFORM_PAYLOAD_BYTES_MAX};
use rules_bundle::{ModulePlan, ModuleWaveform};
use rules_sdk_abi::SampleFormat;
use rules_sdk_abi::metadata::Metadata;
use sha2::{Digest as _, Sha256};

use super::text::check_text;
use crate::beside::Beside;
use crate::finding::Code;
use crate::read::{Cx, Span};
use crate::scalar::Text;

/// What was read of the files beside the pack. Each file is read once, whoever names it.
#[derive(Default)]
pub(crate) struct Modules {
    pub(crate) plans: Vec<ModulePlan>,
    pub(crate) files: Vec<ModuleFile>,
    pub(crate) blocks: Vec<Vec<u8>>,
    metadata: Vec<Metadata>,
    /// `None`: refused, which was reported.
    by_path: HashMap<String, Option<usize>>,
    blocks_by_path: HashMap<(String, SampleFormat), Option<u16>>,
}

/// A module's file.
#[derive(Clone, Debug, PartialEq)]
pub struct ModuleFile {
    /// Where it is, as the pack says.
    pub path: String,
    /// What it says of itself.
    pub metadata: Metadata,
    /// Its bytes, as they were inspected.
    pub wasm: Vec<u8>,
}

impl Modules {
    /// What the module at `index` says of itself.
    pub(super) fn metadata(&self, index: usize) -> Option<&Metadata> {
        self.metadata.get(index)
    }

    /// The index of the module that `path` names.
    pub(super) fn module(
        &mut self,
        path: &Text,
        beside: &dyn Beside,
        cx: &mut Cx<'_, '_>,
    ) -> Option<usize> {
        if let Some(known) = self.by_path.get(&path.value) {
            return *known;
        }
        let index = self.read(path, beside, cx);
        self.by_path.insert(path.value.clone(), index);
        index
    }

    fn read(&mut self, path: &Text, beside: &dyn Beside, cx: &mut Cx<'_, '_>) -> Option<usize> {
        let wasm = file("module", path, ANALYZER_MODULE_BYTES_MAX, beside, cx)?;
        let module = match rules_sdk_gate::inspect(&wasm) {
            Ok(module) => module,
            Err(refusal) => {
                cx.findings
                    .error(
                        Code::ModuleRefused,
                        &path.span,
                        format!(
                            "the module does not pass rule {}: {} (byte {})",
                            refusal.rule.code(),
                            // The validator quotes bytes as they are.
                            refusal
                                .what
                                .replace(|character: char| character.is_control(), "."),
                            refusal.offset
                        ),
                        refusal.rule.mend(),
                    )
                    .label("refused");
                return None;
            }
        };
        let metadata = module.metadata;
        let signature = match beside.vouch(&path.value, &metadata, &wasm) {
            Ok(signature) => signature,
            Err(cause) => {
                let (cause, help) = cause
                    .split_once(". ")
                    .or_else(|| cause.split_once("; "))
                    .unwrap_or((&cause, "give it a signature by a key that is trusted here"));
                cx.findings
                    .error(
                        Code::ModuleRefused,
                        &path.span,
                        format!("the module `{}` is not trusted: {cause}", metadata.name),
                        help,
                    )
                    .label("not trusted");
                return None;
            }
        };
        if signature.is_none() {
            cx.findings
                .warning(
                    Code::UnsignedModule,
                    &path.span,
                    format!("nobody vouches for the module `{}`: it is not signed", metadata.name),
                    "for development only; sign it with `tripline sign` before a machine hangs on it",
                )
                .label("unsigned");
        }
        if self.plans.len() >= MODULES_MAX {
            cx.findings
                .error(
                    Code::TooMany,
                    &path.span,
                    format!("more than {MODULES_MAX} modules"),
                    "divide the analyzers among several packs, each with its own guard",
                )
                .label("one too many");
            return None;
        }
        let count = |count: usize| u16::try_from(count).unwrap_or(u16::MAX);
        self.plans.push(ModulePlan {
            name: metadata.name.clone(),
            version: metadata.version,
            sha256: Sha256::digest(&wasm).into(),
            signature,
            params: count(metadata.params.len()),
            inputs: count(metadata.inputs.len()),
            outputs: count(metadata.outputs.len()),
            waveform: metadata.waveform.as_ref().map(|waveform| ModuleWaveform {
                format: waveform.format,
                samples_min: waveform.samples_min,
                samples_max: waveform.samples_max,
            }),
            causes: metadata.causes.clone(),
            memory_bytes: module.memory_bytes,
        });
        self.metadata.push(metadata.clone());
        self.files.push(ModuleFile {
            path: path.value.clone(),
            metadata,
            wasm,
        });
        self.plans.len().checked_sub(1)
    }

    /// The index of the block in the file that `path` names: samples of a module that takes such a waveform.
    pub(super) fn block(
        &mut self,
        path: &Text,
        waveform: &rules_sdk_abi::metadata::Waveform,
        beside: &dyn Beside,
        cx: &mut Cx<'_, '_>,
    ) -> Option<u16> {
        let key = (path.value.clone(), waveform.format);
        if let Some(known) = self.blocks_by_path.get(&key) {
            let index = (*known)?;
            let bytes = self.blocks.get(usize::from(index))?;
            return fits(bytes, waveform, &path.span, cx).then_some(index);
        }
        let bytes = file("block", path, WAVEFORM_PAYLOAD_BYTES_MAX, beside, cx);
        let index = bytes.and_then(|bytes| {
            if !fits(&bytes, waveform, &path.span, cx) {
                return None;
            }
            let index = u16::try_from(self.blocks.len()).ok()?;
            self.blocks.push(bytes);
            Some(index)
        });
        self.blocks_by_path.insert(key, index);
        index
    }
}

/// The bytes of a file beside the pack.
fn file(
    what: &str,
    path: &Text,
    most: usize,
    beside: &dyn Beside,
    cx: &mut Cx<'_, '_>,
) -> Option<Vec<u8>> {
    if !check_text("the path", path, rt_config::limits::TEXT_BYTES_MAX, cx) {
        return None;
    }
    let (problem, help) = match beside.read(&path.value, most) {
        Ok(bytes) if bytes.len() <= most => return Some(bytes),
        Ok(_) => (
            format!("the {what} `{}` has more than {most} bytes", path.value),
            "give the file that was meant; the limits are in docs/pack-reference.md",
        ),
        Err(cause) => (
            format!("the {what} `{}` cannot be read: {cause}", path.value),
            "write its path relative to the pack's own folder, and check that the file is there",
        ),
    };
    cx.findings
        .error(Code::FileMissing, &path.span, problem, help)
        .label("not read");
    None
}

/// Whether a block is one that the module takes.
fn fits(
    bytes: &[u8],
    waveform: &rules_sdk_abi::metadata::Waveform,
    span: &Span,
    cx: &mut Cx<'_, '_>,
) -> bool {
    let size = usize::try_from(waveform.format.bytes()).unwrap_or(1);
    let samples = bytes.len() / size;
    let whole = bytes.len().is_multiple_of(size);
    let (min, max) = (waveform.samples_min, waveform.samples_max);
    let in_range = u32::try_from(samples).is_ok_and(|samples| (min..=max).contains(&samples));
    let finite = waveform.format == SampleFormat::I16
        || bytes
            .as_chunks::<4>()
            .0
            .iter()
            .all(|sample| f32::from_le_bytes(*sample).is_finite());
    let (problem, help) = if !whole || !in_range {
        let format = match waveform.format {
            SampleFormat::F32 => "f32",
            SampleFormat::I16 => "i16",
        };
        (
            format!(
                "the block has {} bytes; the module takes {min} to {max} samples of {format}, {size} bytes each",
                bytes.len()
            ),
            "give a file with nothing but samples, little-endian, as long as the module takes them",
        )
    } else if !finite {
        (
            "the block holds samples that are not finite".to_owned(),
            "give a file of f32 samples, little-endian, in the unit of the module's waveform",
        )
    } else {
        return true;
    };
    cx.findings
        .error(Code::BadCanary, span, problem, help)
        .label("not a block of this module");
    false
}

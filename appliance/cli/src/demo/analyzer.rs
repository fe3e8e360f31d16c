//! `demo --analyzer FILE`: a module decides in place of the vibration rule. It hears an accelerometer on the bearing.

use std::path::{Path, PathBuf};

use drivers_sim::plant::accelerometer::{HEADER_BYTES, RATE_HZ, TOPIC};
use rules_sdk_abi::SampleFormat;
use rules_sdk_abi::metadata::Metadata;

use crate::analyzer::{AnalyzerFailure, read_module};
use crate::build;
use crate::error::CliError;

/// Samples of a block, when the module takes so many: a twelfth of a second.
const SAMPLES: u32 = 1_024;
/// The rule of the pack whose place the module takes.
const RULE: &str = super::RULE;
/// What the press can give to a module's inputs, by their units.
const SOURCES: [(&str, &str); 5] = [
    ("rpm", "press.shaft.speed"),
    ("Hz", "press.shaft.speed"),
    ("mm/s", "press.bearing.vibration"),
    ("bar", "hydraulics.pressure"),
    ("degC", "press.bearing.temperature"),
];

/// A module and what it needs of the demonstration.
pub(super) struct Cast {
    /// Where its copy lies, beside the demonstration's pack.
    file: &'static str,
    wasm: Vec<u8>,
    signature: Option<Vec<u8>>,
    metadata: Metadata,
    /// Samples of a block; `None` for a module that takes no waveform.
    pub(super) samples: Option<u32>,
}

impl Cast {
    /// Reads the module, and sees that the press can feed it.
    pub(super) fn read(path: &Path) -> Result<Self, CliError> {
        let (wasm, module) = read_module(path)?;
        let metadata = module.metadata;
        let refuse = |what: String| AnalyzerFailure::Recording {
            path: path.to_owned(),
            what: format!("the demonstration's press cannot feed it: {what}"),
        };
        if let Some(waveform) = &metadata.waveform
            && (waveform.unit != "g" || waveform.format != SampleFormat::F32)
        {
            return Err(refuse(format!(
                "its waveform is `{}` as {:?}; the press has an acceleration in g as f32",
                waveform.unit, waveform.format
            ))
            .into());
        }
        for input in &metadata.inputs {
            if source(&input.unit).is_none() {
                let known: Vec<_> = SOURCES.iter().map(|(unit, _)| *unit).collect();
                return Err(refuse(format!(
                    "its input `{}` is in `{}`; the press has {}",
                    input.name,
                    input.unit,
                    known.join(", ")
                ))
                .into());
            }
        }
        if let Some(param) = metadata.params.iter().find(|param| param.default.is_none()) {
            return Err(refuse(format!("its parameter `{}` has no default", param.name)).into());
        }
        let samples = metadata
            .waveform
            .as_ref()
            .map(|waveform| SAMPLES.clamp(waveform.samples_min, waveform.samples_max));
        let signature = signature_path(path);
        let signature = if signature.exists() {
            Some(build::read_any(&signature)?)
        } else {
            None
        };
        Ok(Self {
            file: "analyzer.wasm",
            wasm,
            signature,
            metadata,
            samples,
        })
    }

    /// The rule that its verdict is.
    pub(super) fn rule(&self) -> String {
        format!("{}_danger", self.id())
    }

    /// What it is, for people.
    pub(super) fn title(&self) -> String {
        format!("{} version {}", self.metadata.name, self.metadata.version)
    }

    fn id(&self) -> String {
        self.metadata.name.replace('-', "_")
    }

    /// Puts module and signature beside the pack.
    pub(super) fn place(&self, folder: &Path) -> Result<(), CliError> {
        let write = |path: PathBuf, bytes: &[u8]| {
            build::write_whole(&path, bytes).map_err(|source| CliError::File { path, source })
        };
        let path = folder.join(self.file);
        if let Some(signature) = &self.signature {
            write(signature_path(&path), signature)?;
        }
        write(path, &self.wasm)
    }

    /// The demonstration's pack with the module in place of the vibration rule.
    pub(super) fn pack(&self, pack: &str) -> String {
        let mut text = without_rule(pack, RULE);
        if let (Some(waveform), Some(samples)) = (&self.metadata.waveform, self.samples) {
            let period_ms = samples.saturating_mul(1_000).div_ceil(RATE_HZ);
            text.push_str(&format!(
                "
waveforms:
  press.bearing.acceleration:
    device: line_broker
    topic: {TOPIC}
    first: {HEADER_BYTES}
    sequence: {{ offset: 0, type: u32 }}
    type: f32
    byte_order: little
    rate: {RATE_HZ} Hz
    samples: {samples}
    unit: {}
    stale_after: {}ms
    period: {}ms
",
                waveform.unit,
                period_ms.saturating_mul(4).saturating_add(500),
                period_ms.saturating_add(100),
            ));
        }
        text.push_str(&format!(
            "
analyzers:
  {}:
    module: {}
    class: safety
    deadline: 50ms
    verdict:
      stops: [press_run, conveyor_run]
      deadline: 5s
      message: The analyzer says that the bearing is failing. The press was stopped.
",
            self.id(),
            self.file
        ));
        if !self.metadata.inputs.is_empty() {
            text.push_str("    inputs:\n");
            for input in &self.metadata.inputs {
                let tag = source(&input.unit).unwrap_or_default();
                text.push_str(&format!("      {}: {tag}\n", input.name));
            }
        }
        if self.metadata.waveform.is_some() {
            text.push_str("    waveform: press.bearing.acceleration\n");
        }
        text
    }
}

fn source(unit: &str) -> Option<&'static str> {
    SOURCES
        .iter()
        .find(|(known, _)| *known == unit)
        .map(|(_, tag)| *tag)
}

fn signature_path(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(rules_sdk_trust::SIGNATURE_SUFFIX);
    PathBuf::from(name)
}

/// The pack's text without one of its rules.
fn without_rule(pack: &str, rule: &str) -> String {
    let head = format!("  - id: {rule}\n");
    let Some((before, rest)) = pack.split_once(&head) else {
        return pack.to_owned();
    };
    let after = rest
        .find("\n  - id: ")
        .and_then(|end| rest.get(end.saturating_add(1)..))
        .unwrap_or_default();
    format!("{before}{after}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_is_taken_out_whole() {
        let pack =
            "rules:\n  - id: a\n    when: x\n\n  - id: b\n    when: y\n\n  - id: c\n    when: z\n";
        assert_eq!(
            without_rule(pack, "b"),
            "rules:\n  - id: a\n    when: x\n\n  - id: c\n    when: z\n"
        );
        assert_eq!(without_rule(pack, "d"), pack);
    }
}

//! What a module says of itself: the custom section [`crate::METADATA_SECTION`], JSON.

mod worst_case;

use serde::{Deserialize, Serialize};

use crate::{ABI, Layout, SampleFormat};

pub use worst_case::{Remembers, Wait, Waits, WorstCase};

/// Most entries of each list.
pub const ENTRIES_MAX: usize = 32;
/// Most bytes of the section's content.
pub const SECTION_BYTES_MAX: usize = 16 * 1024;
/// Most samples a block may have.
pub const SAMPLES_MAX: u32 = 65_536;
/// Most bytes of a name, and of a unit.
pub const NAME_BYTES_MAX: usize = 64;
/// The unit of an input that takes a value in whatever unit its tag has.
pub const ANY_UNIT: &str = "any";
/// Most of what a parameter counts: samples, calls.
pub const COUNT_MAX: f64 = 1e6;
/// Most calls that [`Remembers`] may come to.
pub const REMEMBERS_MAX: u32 = 1_024;
/// Most bytes of the summary.
pub const SUMMARY_BYTES_MAX: usize = 200;

/// The metadata of a module. Made by [`Metadata::parse`], which checks it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Metadata {
    /// [`ABI`].
    pub abi: String,
    /// The analyzer's id.
    pub name: String,
    /// Its version, from 1; only ever rises.
    pub version: u32,
    /// What it does, in a sentence.
    #[serde(default)]
    pub summary: String,
    /// Scalar inputs, in their order in the exchange area.
    #[serde(default)]
    pub inputs: Vec<Input>,
    /// The waveform, when it takes one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waveform: Option<Waveform>,
    /// Derived values, in their order in the exchange area.
    pub outputs: Vec<Output>,
    /// Parameters, in their order in the exchange area.
    #[serde(default)]
    pub params: Vec<Param>,
    /// Causes of its verdicts; the verdict's number counts from 1.
    #[serde(default)]
    pub causes: Vec<String>,
    /// What its author says it costs.
    pub worst_case: WorstCase,
}

/// A scalar input.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// Name.
    pub name: String,
    /// Unit that the module expects, or [`ANY_UNIT`].
    pub unit: String,
}

/// A waveform input.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Waveform {
    /// Name.
    pub name: String,
    /// Unit of its samples, after scale and offset.
    pub unit: String,
    /// How they lie in memory.
    pub format: SampleFormat,
    /// Fewest samples of a block.
    pub samples_min: u32,
    /// Most.
    pub samples_max: u32,
}

/// A derived value.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Output {
    /// Name.
    pub name: String,
    /// Unit.
    pub unit: String,
    /// Lowest value that is not nonsense.
    pub min: f64,
    /// Highest.
    pub max: f64,
}

/// A parameter.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Param {
    /// Name.
    pub name: String,
    /// Unit.
    pub unit: String,
    /// Lowest value.
    pub min: f64,
    /// Highest.
    pub max: f64,
    /// Value when the pack gives none; without it the pack must.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default: Option<f64>,
}

/// Why metadata was refused: which entry, and what it must be.
#[derive(Debug, thiserror::Error)]
#[error("{at}: {what}")]
pub struct MetadataError {
    /// Where, as a path in the JSON.
    pub at: String,
    /// What is wrong, and how to mend it.
    pub what: String,
}

fn refuse(at: impl Into<String>, what: impl Into<String>) -> MetadataError {
    MetadataError {
        at: at.into(),
        what: what.into(),
    }
}

impl Metadata {
    /// The metadata in a section's content, checked.
    ///
    /// # Errors
    /// [`MetadataError`].
    pub fn parse(json: &[u8]) -> Result<Self, MetadataError> {
        if json.len() > SECTION_BYTES_MAX {
            return Err(refuse(
                "metadata",
                format!("{} bytes; at most {SECTION_BYTES_MAX}", json.len()),
            ));
        }
        let metadata: Self = serde_json::from_slice(json).map_err(|error| {
            refuse(
                format!("metadata, line {} column {}", error.line(), error.column()),
                error.to_string(),
            )
        })?;
        metadata.check()?;
        Ok(metadata)
    }

    /// Whether every entry is what the ABI allows.
    ///
    /// # Errors
    /// [`MetadataError`] for the first that is not.
    pub fn check(&self) -> Result<(), MetadataError> {
        if self.abi != ABI {
            return Err(refuse(
                "abi",
                format!("`{}`; this version runs `{ABI}` only", self.abi),
            ));
        }
        name("name", &self.name)?;
        if self.version == 0 {
            return Err(refuse("version", "0; versions count from 1"));
        }
        text("summary", &self.summary, SUMMARY_BYTES_MAX)?;
        self.check_lists()?;
        self.check_waveform()?;
        for output in &self.outputs {
            let at = format!("outputs.{}", output.name);
            range(&at, output.min, output.max)?;
        }
        for param in &self.params {
            let at = format!("params.{}", param.name);
            range(&at, param.min, param.max)?;
            if let Some(default) = param.default
                && !(param.min..=param.max).contains(&default)
            {
                return Err(refuse(
                    at,
                    format!(
                        "the default {default} is not within {} and {}",
                        param.min, param.max
                    ),
                ));
            }
        }
        if self.worst_case.fuel == 0 {
            return Err(refuse(
                "worst_case.fuel",
                "0; measure it with `tripline analyzer bench`",
            ));
        }
        self.check_waits()?;
        self.check_remembers()
    }

    fn check_lists(&self) -> Result<(), MetadataError> {
        let inputs = self
            .inputs
            .iter()
            .map(|input| (&input.name, Some(&input.unit)));
        let outputs = self
            .outputs
            .iter()
            .map(|output| (&output.name, Some(&output.unit)));
        let params = self
            .params
            .iter()
            .map(|param| (&param.name, Some(&param.unit)));
        list("inputs", inputs)?;
        list("outputs", outputs)?;
        list("params", params)?;
        list("causes", self.causes.iter().map(|cause| (cause, None)))?;
        if self.outputs.is_empty() {
            return Err(refuse(
                "outputs",
                "none; an analyzer gives at least one derived value",
            ));
        }
        if self.inputs.is_empty() && self.waveform.is_none() {
            return Err(refuse(
                "inputs",
                "none, and no waveform; an analyzer needs something to look at",
            ));
        }
        if let Some(reserved) = self
            .outputs
            .iter()
            .find(|output| ["verdict", "cause"].contains(&output.name.as_str()))
        {
            return Err(refuse(
                format!("outputs.{}", reserved.name),
                "`verdict` and `cause` are the analyzer's own; choose another name",
            ));
        }
        Ok(())
    }

    fn check_waveform(&self) -> Result<(), MetadataError> {
        let Some(waveform) = &self.waveform else {
            return Ok(());
        };
        name("waveform.name", &waveform.name)?;
        text("waveform.unit", &waveform.unit, NAME_BYTES_MAX)?;
        if waveform.samples_min == 0
            || waveform.samples_min > waveform.samples_max
            || waveform.samples_max > SAMPLES_MAX
        {
            return Err(refuse(
                "waveform",
                format!(
                    "{} to {} samples; needed is 1 <= samples_min <= samples_max <= {SAMPLES_MAX}",
                    waveform.samples_min, waveform.samples_max
                ),
            ));
        }
        Ok(())
    }

    /// The layout of its exchange area.
    pub fn layout(&self) -> Option<Layout> {
        let count = |len: usize| u32::try_from(len).ok();
        Layout::new(
            count(self.params.len())?,
            count(self.inputs.len())?,
            count(self.outputs.len())?,
            self.waveform
                .as_ref()
                .map(|waveform| (waveform.format, waveform.samples_max)),
        )
    }
}

fn list<'a>(
    at: &str,
    entries: impl Iterator<Item = (&'a String, Option<&'a String>)>,
) -> Result<(), MetadataError> {
    let mut seen: Vec<&str> = Vec::new();
    for (entry, unit) in entries {
        let at = format!("{at}.{entry}");
        name(&at, entry)?;
        if let Some(unit) = unit {
            text(&at, unit, NAME_BYTES_MAX)?;
        }
        if seen.contains(&entry.as_str()) {
            return Err(refuse(at, "named twice"));
        }
        seen.push(entry);
    }
    if seen.len() > ENTRIES_MAX {
        return Err(refuse(
            at,
            format!("{} entries; at most {ENTRIES_MAX}", seen.len()),
        ));
    }
    Ok(())
}

fn name(at: &str, name: &str) -> Result<(), MetadataError> {
    let allowed =
        |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-_".contains(&byte);
    let starts = name.as_bytes().first().is_some_and(u8::is_ascii_lowercase);
    if !starts || name.len() > NAME_BYTES_MAX || !name.bytes().all(allowed) {
        return Err(refuse(
            at,
            format!(
                "`{}` is no name; use at most {NAME_BYTES_MAX} of a-z, 0-9, - and _, beginning with a letter",
                name.escape_debug()
            ),
        ));
    }
    Ok(())
}

fn text(at: &str, text: &str, max: usize) -> Result<(), MetadataError> {
    if text.len() > max || text.chars().any(char::is_control) {
        return Err(refuse(
            at,
            format!(
                "{} bytes; at most {max}, and no control characters",
                text.len()
            ),
        ));
    }
    Ok(())
}

fn range(at: &str, min: f64, max: f64) -> Result<(), MetadataError> {
    if !min.is_finite() || !max.is_finite() || min > max {
        return Err(refuse(
            at,
            format!("min {min}, max {max}; both must be finite, and min at most max"),
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests;

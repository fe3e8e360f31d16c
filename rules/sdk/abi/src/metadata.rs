//! What a module says of itself: the custom section [`crate::METADATA_SECTION`], JSON.

use serde::{Deserialize, Serialize};

use crate::{ABI, Layout, SampleFormat};

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

/// What a call costs at most, in its author's words.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WorstCase {
    /// Fuel of the most expensive `tl_process`.
    pub fuel: u64,
    /// What must pass behind a lasting cause until all that it derives shows it: the sum of these. None: it speaks at the
    /// first call. `None`: its author does not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verdict_after: Option<Vec<Wait>>,
    /// How many calls its answers depend on. `None`: its author does not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remembers: Option<Remembers>,
}

/// How much history a module's answers depend on: `calls` times the product of these parameters. After so many calls in a row,
/// the one that is answered included, each with news, usable inputs and no gap, any two instances give the same answer bit for
/// bit, whatever they saw before (H-41).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Remembers {
    /// Calls; 1 without parameters: nothing is remembered.
    pub calls: u32,
    /// Parameters that they are multiplied with.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub params: Vec<String>,
}

/// Something that a module waits for: the product of these parameters, and of 1 when there are none.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Wait {
    /// So many calls, each with news.
    Calls(Vec<String>),
    /// So many samples of its waveform.
    Samples(Vec<String>),
}

impl Wait {
    /// The parameters.
    pub fn params(&self) -> &[String] {
        match self {
            Self::Calls(params) | Self::Samples(params) => params,
        }
    }
}

/// What a module waits for, with the values of its parameters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Waits {
    /// Calls.
    pub calls: u64,
    /// Samples.
    pub samples: u64,
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

    fn check_remembers(&self) -> Result<(), MetadataError> {
        let at = "worst_case.remembers";
        let Some(remembers) = &self.worst_case.remembers else {
            return Ok(());
        };
        if remembers.calls == 0 || remembers.calls > REMEMBERS_MAX {
            return Err(refuse(
                at,
                format!(
                    "{} calls; 1 (nothing is remembered) to {REMEMBERS_MAX}",
                    remembers.calls
                ),
            ));
        }
        self.check_counts(at, &remembers.params)
    }

    /// Whether these are parameters that count something.
    fn check_counts(&self, at: &str, params: &[String]) -> Result<(), MetadataError> {
        if params.len() > ENTRIES_MAX {
            return Err(refuse(
                at,
                format!("{} parameters; at most {ENTRIES_MAX}", params.len()),
            ));
        }
        for param in params {
            let known = self.params.iter().find(|known| known.name == *param);
            match known {
                None => return Err(refuse(at, format!("there is no parameter `{param}`"))),
                Some(known) if known.min < 0.0 || known.max > COUNT_MAX => {
                    return Err(refuse(
                        at,
                        format!(
                            "`{param}` may be {} to {}; what counts is 0 to {COUNT_MAX}",
                            known.min, known.max
                        ),
                    ));
                }
                Some(_) => {}
            }
        }
        Ok(())
    }

    /// The product of parameters, with these values in their order.
    fn product(&self, names: &[String], params: &[f64]) -> u64 {
        names.iter().fold(1_u64, |product, name| {
            let at = self.params.iter().position(|param| param.name == *name);
            let value = at.and_then(|at| params.get(at)).copied();
            product.saturating_mul(count(value.unwrap_or(COUNT_MAX)))
        })
    }

    /// How many calls its answers depend on with these parameters, in their order, at least 1; `None` when its author does not
    /// say. May exceed [`REMEMBERS_MAX`].
    pub fn remembers(&self, params: &[f64]) -> Option<u64> {
        let remembers = self.worst_case.remembers.as_ref()?;
        let product = self.product(&remembers.params, params);
        Some(u64::from(remembers.calls).saturating_mul(product).max(1))
    }

    fn check_waits(&self) -> Result<(), MetadataError> {
        let at = "worst_case.verdict_after";
        let waits = self.worst_case.verdict_after.as_deref().unwrap_or_default();
        if waits.len() > ENTRIES_MAX {
            return Err(refuse(
                at,
                format!("{} entries; at most {ENTRIES_MAX}", waits.len()),
            ));
        }
        for wait in waits {
            if self.waveform.is_none() && matches!(wait, Wait::Samples(_)) {
                return Err(refuse(at, "`samples` without a waveform; say `calls`"));
            }
            if wait.params().is_empty() {
                return Err(refuse(
                    at,
                    format!("name 1 to {ENTRIES_MAX} parameters that are multiplied"),
                ));
            }
            self.check_counts(at, wait.params())?;
        }
        Ok(())
    }

    /// What the module waits for with these parameters, in their order; `None` when its author does not say.
    pub fn waits(&self, params: &[f64]) -> Option<Waits> {
        let mut sum = Waits::default();
        for wait in self.worst_case.verdict_after.as_ref()? {
            let product = self.product(wait.params(), params);
            let of = match wait {
                Wait::Calls(_) => &mut sum.calls,
                Wait::Samples(_) => &mut sum.samples,
            };
            *of = of.saturating_add(product);
        }
        Some(sum)
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

/// A count, rounded up.
#[allow(
    clippy::as_conversions,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "saturates, and what is no number is none"
)]
fn count(value: f64) -> u64 {
    value.ceil() as u64
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
mod tests {
    use super::*;

    const EXAMPLE: &str = r#"{
        "abi": "core/1", "name": "level-watch", "version": 1, "summary": "RMS against a limit",
        "inputs": [{ "name": "speed", "unit": "rpm" }],
        "waveform": { "name": "vibration", "unit": "g", "format": "f32", "samples_min": 256, "samples_max": 4096 },
        "outputs": [{ "name": "rms", "unit": "g", "min": 0, "max": 1000 }],
        "params": [{ "name": "limit", "unit": "g", "min": 0, "max": 1000, "default": 2.5 }],
        "causes": ["rms-high"],
        "worst_case": { "fuel": 200000 }
    }"#;

    #[test]
    fn the_example_is_metadata_and_survives_a_round_trip() {
        let metadata = Metadata::parse(EXAMPLE.as_bytes()).unwrap();
        assert_eq!(metadata.layout().unwrap().samples, 64 + 16 + 16 + 16);
        let again = serde_json::to_vec(&metadata).unwrap();
        assert_eq!(Metadata::parse(&again).unwrap(), metadata);
    }

    #[test]
    fn h72_what_the_abi_does_not_allow_is_refused_with_its_place() {
        for (from, to, at) in [
            ("core/1", "core/2", "abi"),
            ("level-watch", "Level", "name"),
            (r#""version": 1"#, r#""version": 0"#, "version"),
            (r#""summary""#, r#""sumary""#, "metadata, line 2 column"),
            (r#""samples_min": 256"#, r#""samples_min": 0"#, "waveform"),
            (
                r#""samples_max": 4096"#,
                r#""samples_max": 65537"#,
                "waveform",
            ),
            (r#""rms""#, r#""verdict""#, "outputs.verdict"),
            (r#""default": 2.5"#, r#""default": 1001"#, "params.limit"),
            (r#""fuel": 200000"#, r#""fuel": 0"#, "worst_case.fuel"),
            (r#"["rms-high"]"#, r#"["a", "a"]"#, "causes.a"),
            (
                r#""fuel": 200000"#,
                r#""fuel": 1, "verdict_after": [{ "calls": ["limits"] }]"#,
                "worst_case.verdict_after",
            ),
            (
                r#""fuel": 200000"#,
                r#""fuel": 1, "verdict_after": [{ "samples": [] }]"#,
                "worst_case.verdict_after",
            ),
            (
                r#""fuel": 200000"#,
                r#""fuel": 1, "verdict_after": [{ "blocks": ["limit"] }]"#,
                "metadata, line 8 column",
            ),
            (
                r#""fuel": 200000"#,
                r#""fuel": 1, "remembers": { "calls": 0 }"#,
                "worst_case.remembers",
            ),
            (
                r#""fuel": 200000"#,
                r#""fuel": 1, "remembers": { "calls": 1025 }"#,
                "worst_case.remembers",
            ),
            (
                r#""fuel": 200000"#,
                r#""fuel": 1, "remembers": { "calls": 1, "params": ["limits"] }"#,
                "worst_case.remembers",
            ),
        ] {
            assert!(EXAMPLE.contains(from), "{from}");
            let error = Metadata::parse(EXAMPLE.replace(from, to).as_bytes()).unwrap_err();
            assert!(error.at.starts_with(at), "H-72: {from} -> {to}: {error}");
        }
    }

    #[test]
    fn h41_what_a_module_remembers_is_a_product_of_its_parameters() {
        let with = |remembers: &str| {
            let json = EXAMPLE.replace(r#""fuel": 200000"#, &format!(r#""fuel": 9{remembers}"#));
            Metadata::parse(json.as_bytes()).unwrap()
        };
        assert_eq!(with("").remembers(&[2.5]), None, "H-41: nobody said");
        let nothing = with(r#", "remembers": { "calls": 1 }"#);
        assert_eq!(nothing.remembers(&[2.5]), Some(1));
        let some = with(r#", "remembers": { "calls": 4, "params": ["limit"] }"#);
        assert_eq!(some.remembers(&[2.5]), Some(12), "H-41: rounded up");
        assert_eq!(some.remembers(&[0.0]), Some(1), "the call itself");
        let again = serde_json::to_vec(&some).unwrap();
        assert_eq!(Metadata::parse(&again).unwrap(), some);
    }

    #[test]
    fn h29_what_a_module_waits_for_is_a_sum_of_products_of_its_parameters() {
        let with = |waits: &str| {
            let json = EXAMPLE
                .replace(
                    r#""params": ["#,
                    r#""params": [{ "name": "record", "unit": "1", "min": 16, "max": 4096 },
                       { "name": "of", "unit": "1", "min": 1, "max": 64, "default": 3 }, "#,
                )
                .replace(r#""fuel": 200000"#, &format!(r#""fuel": 9{waits}"#));
            Metadata::parse(json.as_bytes()).unwrap()
        };
        let params = [1024.0, 4.5, 2.5];
        assert_eq!(with("").waits(&params), None, "H-29: nobody said");
        let at_once = with(r#", "verdict_after": []"#);
        assert_eq!(at_once.waits(&params), Some(Waits::default()));
        let waits = with(
            r#", "verdict_after": [{ "samples": ["record"] }, { "samples": ["record", "of"] }, { "calls": ["of"] }]"#,
        );
        let expected = Waits {
            calls: 5,
            samples: 1024 + 1024 * 5,
        };
        assert_eq!(waits.waits(&params), Some(expected), "H-29: rounded up");
        let again = serde_json::to_vec(&waits).unwrap();
        assert_eq!(Metadata::parse(&again).unwrap(), waits);
    }
}

//! Recorded frames and what a module must make of them.
//!
//! ```yaml
//! cases:
//!   - name: a strong line at 50 Hz
//!     params: { limit: 2.5 }
//!     frames:
//!       - block: { sine: { amplitude: 4, frequency_hz: 50 }, count: 1024 }
//!         rate_hz: 12000
//!         inputs: { speed: 1500 }
//!         expect: { verdict: danger, cause: rms-high, outputs: { rms: [2.82, 2.84] } }
//!       - { block: { file: quiet.f32, count: 1024 }, rate_hz: 12000, repeat: 10, expect: { verdict: normal } }
//! ```
//!
//! Meaning, for whoever runs a case: an instance of its own, with these parameters (defaults for those not named), is given
//! the frames in order, at times that follow from samples and rate. An input that is not named is bad until a frame names
//! it, and then keeps its value. A frame that is given several times brings new samples of what it names, of the same value.

use std::ops::Range;

use rules_sdk_abi::Level;
use rules_sdk_abi::metadata::{Metadata, SAMPLES_MAX};

use crate::cases::named;
use crate::finding::{Code, Finding, Findings};
use crate::read::{Cx, List, Map, Read, Req, Span, choice, record};
use crate::scalar::{Bool, Bounds, Int, Number, Text};
use crate::source::Lines;
use crate::yaml::{Kind, Node};

/// One instance's life.
#[derive(Clone, Debug, PartialEq)]
pub struct Case {
    /// What it shows.
    pub name: String,
    /// Parameters that differ from their defaults.
    pub params: Vec<(String, f64)>,
    /// Frames, in order.
    pub frames: Vec<Frame>,
}

/// A frame, given once or several times.
#[derive(Clone, Debug, PartialEq)]
pub struct Frame {
    /// How often.
    pub repeat: u32,
    /// Inputs that are new.
    pub inputs: Vec<(String, InputValue)>,
    /// A waveform block.
    pub block: Option<Block>,
    /// Whether samples are missing before it.
    pub gap: bool,
    /// What must come of it, each time; `None` of whatever comes.
    pub expect: Option<Expect>,
    /// Bytes of the file, to point at.
    pub span: Range<usize>,
}

/// An input's value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum InputValue {
    /// Good.
    Good(f64),
    /// Bad.
    Bad,
    /// Stale.
    Stale,
}

/// A waveform block.
#[derive(Clone, Debug, PartialEq)]
pub struct Block {
    /// Samples.
    pub waveform: Waveform,
    /// How many; `None` is all that there are.
    pub count: Option<u32>,
    /// Samples a second.
    pub rate_hz: f64,
}

/// Where samples come from.
#[derive(Clone, Debug, PartialEq)]
pub enum Waveform {
    /// A file of little-endian f32 beside the cases, from a sample on.
    File {
        /// Its name.
        name: String,
        /// First sample.
        first: u32,
    },
    /// Written out.
    Samples(Vec<f64>),
    /// A sine.
    Sine(Sine),
}

/// A sine, from phase 0 in each block.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sine {
    /// Peak, in the waveform's unit.
    pub amplitude: f64,
    /// Frequency in Hz.
    pub frequency_hz: f64,
    /// Mean.
    pub offset: f64,
}

/// What must come of a frame.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Expect {
    /// The verdict's level.
    pub verdict: Option<Level>,
    /// The verdict's cause.
    pub cause: Option<String>,
    /// Outputs.
    pub outputs: Vec<(String, Expected)>,
}

/// An output.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Expected {
    /// From, to; both allowed.
    Within(f64, f64),
    /// Not usable.
    Bad,
}

/// A frame that came out otherwise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The case.
    pub case: String,
    /// The frame, from 1, repetitions counted.
    pub frame: u64,
    /// Bytes of the file where it stands.
    pub span: Range<usize>,
    /// What was expected, and what was found.
    pub what: String,
}

record! {
    /// Recorded frames.
    CaseFile {
        /// The cases.
        cases: Req<List<RawCase>>,
    }
}

record! {
    /// One instance's life.
    RawCase {
        /// What it shows.
        name: Req<Text>,
        /// Parameters that differ from their defaults.
        params: Option<Map<Number>>,
        /// Its frames.
        frames: Req<List<RawFrame>>,
    }
}

record! {
    /// A frame.
    RawFrame {
        /// How often it is given.
        repeat: Option<Int<1, 1_000_000>>,
        /// Inputs that are new.
        inputs: Option<Map<RawInput>>,
        /// A waveform block.
        block: Option<RawBlock>,
        /// Samples a second.
        rate_hz: Option<Number>,
        /// Samples are missing before the block.
        gap: Option<Bool>,
        /// What must come of it.
        expect: Option<RawExpect>,
    }
}

record! {
    /// A waveform block.
    RawBlock {
        /// A file of little-endian f32 beside this one.
        file: Option<Text>,
        /// First sample taken of the file.
        first: Option<Int<0, 4_294_967_295>>,
        /// Samples, written out.
        samples: Option<List<Number>>,
        /// A sine.
        sine: Option<RawSine>,
        /// How many samples.
        count: Option<Int<1, { SAMPLES_MAX as i64 }>>,
    }
}

record! {
    /// A sine.
    RawSine {
        /// Peak.
        amplitude: Req<Number>,
        /// Frequency.
        frequency_hz: Req<Number>,
        /// Mean.
        offset: Option<Number>,
    }
}

record! {
    /// What must come of a frame.
    RawExpect {
        /// The verdict.
        verdict: Option<LevelWord>,
        /// Its cause.
        cause: Option<Text>,
        /// Outputs.
        outputs: Option<Map<RawExpected>>,
    }
}

choice! {
    /// Level of a verdict.
    LevelWord {
        /// Nothing.
        Normal = "normal",
        /// Tell.
        Alert = "alert",
        /// Stop.
        Danger = "danger",
    }
}

/// A number, `bad` or `stale`.
#[derive(Clone, Debug, schemars::JsonSchema)]
#[schemars(transparent)]
pub(crate) struct RawInput(#[schemars(with = "serde_json::Value")] InputValue);

impl Read for RawInput {
    fn read(node: &Node, owner: &Span, cx: &mut Cx<'_, '_>) -> Option<Self> {
        match &node.kind {
            Kind::Scalar(text, _) if text == "bad" => Some(Self(InputValue::Bad)),
            Kind::Scalar(text, _) if text == "stale" => Some(Self(InputValue::Stale)),
            _ => Number::read(node, owner, cx).map(|number| Self(InputValue::Good(number.value))),
        }
    }
}

/// A number, a list of the lowest and the highest, or `bad`.
#[derive(Clone, Debug, schemars::JsonSchema)]
#[schemars(transparent)]
pub(crate) struct RawExpected(#[schemars(with = "serde_json::Value")] Expected);

impl Read for RawExpected {
    fn read(node: &Node, owner: &Span, cx: &mut Cx<'_, '_>) -> Option<Self> {
        let (low, high) = match &node.kind {
            Kind::Scalar(text, _) if text == "bad" => return Some(Self(Expected::Bad)),
            Kind::List(_) => {
                let bounds = Bounds::read(node, owner, cx)?;
                (bounds.min.value, bounds.max.value)
            }
            _ => {
                let value = Number::read(node, owner, cx)?.value;
                (value, value)
            }
        };
        if low > high {
            cx.findings.error(
                Code::BadRange,
                &node.span,
                format!("nothing lies between {low} and {high}"),
                "write the lower one first",
            );
            return None;
        }
        Some(Self(Expected::Within(low, high)))
    }
}

/// Failures as findings, each at its line.
pub fn report(file_name: &str, source: &str, failures: &[Failure]) -> Vec<Finding> {
    let lines = Lines::new(source);
    let mut findings = Findings::new(&lines);
    for failure in failures {
        findings.error(
            Code::CaseFailed,
            &failure.span,
            format!(
                "case \"{}\", frame {}: {}",
                failure.case, failure.frame, failure.what
            ),
            "if the recording is right, mend the module; if not, mend the case",
        );
    }
    findings.finish(file_name)
}

/// Reads the cases of a module with this metadata.
///
/// # Errors
/// All findings, as [`crate::load`].
pub fn parse(
    file_name: &str,
    source: &str,
    metadata: &Metadata,
) -> Result<Vec<Case>, Vec<Finding>> {
    let lines = Lines::new(source);
    let mut findings = Findings::new(&lines);
    let cases = read(source, metadata, &mut findings);
    let failed = findings.errors() > 0;
    match cases {
        Some(cases) if !failed => Ok(cases),
        _ => Err(findings.finish(file_name)),
    }
}

fn read(source: &str, metadata: &Metadata, findings: &mut Findings<'_>) -> Option<Vec<Case>> {
    let root = crate::parse(source, findings)?;
    let mut cx = Cx { source, findings };
    let file = CaseFile::read(&root, &(0..0), &mut cx)?;
    let mut cases = Vec::new();
    for raw in &file.cases.get()?.items {
        let (Some(name), Some(frames)) = (raw.name.get(), raw.frames.get()) else {
            continue;
        };
        let params: Vec<&str> = metadata
            .params
            .iter()
            .map(|param| param.name.as_str())
            .collect();
        let given = named("module", "parameter", raw.params.as_ref(), &params, &mut cx);
        for param in &metadata.params {
            if param.default.is_none() && !given.iter().any(|(name, _)| *name == param.name) {
                cx.findings.error(
                    Code::MissingKey,
                    &raw.at,
                    format!(
                        "the parameter `{}` has no default and is not given",
                        param.name
                    ),
                    "give it under `params`",
                );
            }
        }
        cases.push(Case {
            name: name.value.clone(),
            params: given
                .into_iter()
                .map(|(name, number)| (name, number.value))
                .collect(),
            frames: frames
                .items
                .iter()
                .map(|raw| frame(raw, metadata, &mut cx))
                .collect(),
        });
    }
    Some(cases)
}

fn frame(raw: &RawFrame, metadata: &Metadata, cx: &mut Cx<'_, '_>) -> Frame {
    let inputs: Vec<&str> = metadata
        .inputs
        .iter()
        .map(|input| input.name.as_str())
        .collect();
    let given = named("module", "input", raw.inputs.as_ref(), &inputs, cx);
    if raw.block.is_some() && metadata.waveform.is_none() {
        cx.findings.error(
            Code::UnknownName,
            &raw.at,
            "the module takes no waveform",
            "leave `block` out",
        );
    }
    Frame {
        repeat: raw.repeat.as_ref().map_or(1, Int::to),
        inputs: given.into_iter().map(|(name, raw)| (name, raw.0)).collect(),
        block: raw
            .block
            .as_ref()
            .and_then(|block| self::block(block, raw.rate_hz.as_ref(), cx)),
        gap: raw.gap.as_ref().is_some_and(|gap| gap.value),
        expect: raw.expect.as_ref().map(|raw| expect(raw, metadata, cx)),
        span: raw.at.clone(),
    }
}

pub(crate) fn block(raw: &RawBlock, rate: Option<&Number>, cx: &mut Cx<'_, '_>) -> Option<Block> {
    let rate_hz = rate.map(|rate| rate.value).filter(|rate| *rate > 0.0);
    if rate_hz.is_none() {
        cx.findings.error(
            Code::MissingKey,
            &raw.at,
            "a block has a sampling rate above 0",
            "give samples a second, beside `block`: `rate_hz: 12000`",
        );
    }
    let sine = |raw: &RawSine| {
        Some(Waveform::Sine(Sine {
            amplitude: raw.amplitude.get()?.value,
            frequency_hz: raw.frequency_hz.get()?.value,
            offset: raw.offset.as_ref().map_or(0.0, |offset| offset.value),
        }))
    };
    let waveform = match (&raw.file, &raw.samples, &raw.sine) {
        (Some(file), None, None) => Some(Waveform::File {
            name: file.value.clone(),
            first: raw.first.as_ref().map_or(0, Int::to),
        }),
        (None, Some(samples), None) => Some(Waveform::Samples(
            samples.items.iter().map(|sample| sample.value).collect(),
        )),
        (None, None, Some(raw)) => sine(raw),
        _ => {
            cx.findings.error(
                Code::OneOf,
                &raw.at,
                "a block comes from exactly one of `file`, `samples` and `sine`",
                "such as `block: { file: quiet.f32, count: 1024 }`",
            );
            None
        }
    };
    let count: Option<u32> = raw.count.as_ref().map(Int::to);
    if raw.sine.is_some() && count.is_none() {
        cx.findings.error(
            Code::MissingKey,
            &raw.at,
            "a sine goes on for ever",
            "say how many samples of it: `count: 1024`",
        );
    }
    Some(Block {
        waveform: waveform?,
        count,
        rate_hz: rate_hz?,
    })
}

fn expect(raw: &RawExpect, metadata: &Metadata, cx: &mut Cx<'_, '_>) -> Expect {
    let outputs: Vec<&str> = metadata
        .outputs
        .iter()
        .map(|output| output.name.as_str())
        .collect();
    let cause = raw.cause.as_ref().map(|cause| cause.value.clone());
    if let (Some(cause), Some(text)) = (&cause, &raw.cause)
        && !metadata.causes.contains(cause)
    {
        cx.findings.error(
            Code::UnknownName,
            &text.span,
            format!("the module has no cause `{cause}`"),
            "its causes are listed in its metadata: `tripline analyzer inspect`",
        );
    }
    Expect {
        verdict: raw.verdict.map(|word| match word {
            LevelWord::Normal => Level::Normal,
            LevelWord::Alert => Level::Alert,
            LevelWord::Danger => Level::Danger,
        }),
        cause,
        outputs: named("module", "output", raw.outputs.as_ref(), &outputs, cx)
            .into_iter()
            .map(|(name, raw)| (name, raw.0))
            .collect(),
    }
}

#[cfg(test)]
mod tests;

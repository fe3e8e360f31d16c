//! `analyzer.yaml`: the module's metadata as its author writes it. The same keys as in the module's custom section
//! (`docs/analyzer-abi.md`).

use rules_sdk_abi::SampleFormat;
use rules_sdk_abi::metadata::{self, Metadata, MetadataError, REMEMBERS_MAX, SAMPLES_MAX};

use crate::finding::{Code, Finding, Findings};
use crate::read::{Cx, List, Read as _, Req, choice, record};
use crate::scalar::{Int, Number, Text};
use crate::source::Lines;

record! {
    /// What a module is.
    RawMetadata {
        /// `core/1`.
        abi: Req<Text>,
        /// The analyzer's id.
        name: Req<Text>,
        /// Its version; only ever rises.
        version: Req<Int<1, 4_294_967_295>>,
        /// What it does, in a sentence.
        summary: Option<Text>,
        /// Scalar inputs.
        inputs: Option<List<RawInput>>,
        /// The waveform.
        waveform: Option<RawWaveform>,
        /// Derived values.
        outputs: Req<List<RawOutput>>,
        /// Parameters.
        params: Option<List<RawParam>>,
        /// Causes of its verdicts, counted from 1.
        causes: Option<List<Text>>,
        /// What it costs at most.
        worst_case: Req<RawWorstCase>,
    }
}

record! {
    /// A scalar input.
    RawInput {
        /// Name.
        name: Req<Text>,
        /// Unit.
        unit: Req<Text>,
    }
}

record! {
    /// A waveform.
    RawWaveform {
        /// Name.
        name: Req<Text>,
        /// Unit.
        unit: Req<Text>,
        /// How its samples lie in memory.
        format: Req<Format>,
        /// Fewest samples of a block.
        samples_min: Req<Int<1, { SAMPLES_MAX as i64 }>>,
        /// Most.
        samples_max: Req<Int<1, { SAMPLES_MAX as i64 }>>,
    }
}

choice! {
    /// How samples lie in memory.
    Format {
        /// Scaled by the host.
        F32 = "f32",
        /// As the device sent it.
        I16 = "i16",
    }
}

record! {
    /// A derived value.
    RawOutput {
        /// Name.
        name: Req<Text>,
        /// Unit.
        unit: Req<Text>,
        /// Lowest value that is not nonsense.
        min: Req<Number>,
        /// Highest.
        max: Req<Number>,
    }
}

record! {
    /// A parameter.
    RawParam {
        /// Name.
        name: Req<Text>,
        /// Unit.
        unit: Req<Text>,
        /// Lowest value.
        min: Req<Number>,
        /// Highest.
        max: Req<Number>,
        /// Value when the pack gives none.
        default: Option<Number>,
    }
}

record! {
    /// What a call costs.
    RawWorstCase {
        /// Fuel.
        fuel: Req<Int<1, { i64::MAX }>>,
        /// What must pass behind a lasting cause until all that it derives shows it.
        verdict_after: Option<List<RawWait>>,
        /// How many calls its answers depend on.
        remembers: Option<RawRemembers>,
    }
}

record! {
    /// Calls, times the product of parameters.
    RawRemembers {
        /// Calls; 1 without parameters: nothing is remembered.
        calls: Req<Int<1, { REMEMBERS_MAX as i64 }>>,
        /// Parameters that they are multiplied with.
        params: Option<List<Text>>,
    }
}

record! {
    /// Something that a module waits for: exactly one of the two, a product of parameters.
    RawWait {
        /// Calls with news.
        calls: Option<List<Text>>,
        /// Samples of the waveform.
        samples: Option<List<Text>>,
    }
}

/// Reads `analyzer.yaml`.
///
/// # Errors
/// All findings, as [`crate::load`].
pub fn parse(file_name: &str, source: &str) -> Result<Metadata, Vec<Finding>> {
    let lines = Lines::new(source);
    let mut findings = Findings::new(&lines);
    let metadata = read(source, &mut findings);
    let failed = findings.errors() > 0;
    match metadata {
        Some(metadata) if !failed => Ok(metadata),
        _ => Err(findings.finish(file_name)),
    }
}

fn read(source: &str, findings: &mut Findings<'_>) -> Option<Metadata> {
    let root = crate::parse(source, findings)?;
    let mut cx = Cx { source, findings };
    let raw = RawMetadata::read(&root, &(0..0), &mut cx)?;
    let metadata = resolve(&raw, &mut cx)?;
    if let Err(MetadataError { at, what }) = metadata.check() {
        let key = at.split('.').next().unwrap_or_default();
        let span = raw.key_span(key).cloned().unwrap_or(0..0);
        cx.findings.error(
            Code::BadModule,
            &span,
            format!("{at}: {what}"),
            "docs/analyzer-abi.md says what each key may be",
        );
    }
    Some(metadata)
}

fn resolve(raw: &RawMetadata, cx: &mut Cx<'_, '_>) -> Option<Metadata> {
    let text = |text: &Req<Text>| text.get().map(|text| text.value.clone());
    let number = |number: &Req<Number>| number.get().map(|number| number.value);
    let input = |raw: &RawInput| {
        Some(metadata::Input {
            name: text(&raw.name)?,
            unit: text(&raw.unit)?,
        })
    };
    let output = |raw: &RawOutput| {
        Some(metadata::Output {
            name: text(&raw.name)?,
            unit: text(&raw.unit)?,
            min: number(&raw.min)?,
            max: number(&raw.max)?,
        })
    };
    let param = |raw: &RawParam| {
        Some(metadata::Param {
            name: text(&raw.name)?,
            unit: text(&raw.unit)?,
            min: number(&raw.min)?,
            max: number(&raw.max)?,
            default: raw.default.as_ref().map(|default| default.value),
        })
    };
    let waveform = |raw: &RawWaveform| {
        Some(metadata::Waveform {
            name: text(&raw.name)?,
            unit: text(&raw.unit)?,
            format: match raw.format.get()? {
                Format::F32 => SampleFormat::F32,
                Format::I16 => SampleFormat::I16,
            },
            samples_min: raw.samples_min.get()?.to(),
            samples_max: raw.samples_max.get()?.to(),
        })
    };
    let waveform = match &raw.waveform {
        None => None,
        Some(raw) => Some(waveform(raw)?),
    };
    Some(Metadata {
        abi: text(&raw.abi)?,
        name: text(&raw.name)?,
        version: raw.version.get()?.to(),
        summary: raw
            .summary
            .as_ref()
            .map(|summary| summary.value.clone())
            .unwrap_or_default(),
        inputs: all(raw.inputs.as_ref(), input)?,
        waveform,
        outputs: all(raw.outputs.get(), output)?,
        params: all(raw.params.as_ref(), param)?,
        causes: all(raw.causes.as_ref(), |cause| Some(cause.value.clone()))?,
        worst_case: worst_case(raw.worst_case.get()?, cx)?,
    })
}

fn worst_case(raw: &RawWorstCase, cx: &mut Cx<'_, '_>) -> Option<metadata::WorstCase> {
    let names = |list: &List<Text>| {
        let names = list.items.iter().map(|name| name.value.clone());
        names.collect::<Vec<_>>()
    };
    let remembers = match &raw.remembers {
        None => None,
        Some(raw) => Some(metadata::Remembers {
            calls: raw.calls.get()?.to(),
            params: raw.params.as_ref().map(names).unwrap_or_default(),
        }),
    };
    let verdict_after = match &raw.verdict_after {
        None => None,
        Some(waits) => {
            let mut all = Vec::with_capacity(waits.items.len());
            for raw in &waits.items {
                all.push(match (&raw.calls, &raw.samples) {
                    (Some(calls), None) => metadata::Wait::Calls(names(calls)),
                    (None, Some(samples)) => metadata::Wait::Samples(names(samples)),
                    _ => {
                        cx.findings.error(
                            Code::BadModule,
                            &raw.at,
                            "a wait is `calls` or `samples`",
                            "write `{ calls: [confirm-of] }` or `{ samples: [record, confirm-of] }`",
                        );
                        return None;
                    }
                });
            }
            Some(all)
        }
    };
    Some(metadata::WorstCase {
        fuel: raw.fuel.get()?.to(),
        verdict_after,
        remembers,
    })
}

fn all<R, T>(list: Option<&List<R>>, one: impl Fn(&R) -> Option<T>) -> Option<Vec<T>> {
    list.map_or(Some(Vec::new()), |list| {
        list.items.iter().map(one).collect()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOURCE: &str = "\
abi: core/1
name: level-watch
version: 2
inputs:
  - { name: speed, unit: rpm }
waveform: { name: vibration, unit: g, format: f32, samples_min: 256, samples_max: 4096 }
outputs:
  - { name: rms, unit: g, min: 0, max: 1000 }
params:
  - { name: limit, unit: g, min: 0, max: 1000, default: 2.5 }
causes: [rms-high]
worst_case: { fuel: 200000 }
";

    #[test]
    fn metadata_is_read() {
        let metadata = parse("analyzer.yaml", SOURCE).unwrap();
        assert_eq!(
            (metadata.name.as_str(), metadata.version),
            ("level-watch", 2)
        );
        assert_eq!(metadata.waveform.unwrap().samples_max, 4096);
        assert_eq!(metadata.params[0].default, Some(2.5));
        assert_eq!(metadata.worst_case.fuel, 200_000);
        assert_eq!(metadata.worst_case.verdict_after, None);
        assert_eq!(metadata.worst_case.remembers, None);
        let remembers = "fuel: 1, remembers: { calls: 2, params: [limit] }";
        let remembers = parse("a", &SOURCE.replace("fuel: 200000", remembers)).unwrap();
        assert_eq!(remembers.remembers(&[2.5]), Some(6), "H-41");
        let waits = "fuel: 1, verdict_after: [{ calls: [limit] }, { samples: [limit, limit] }]";
        let waits = parse("a", &SOURCE.replace("fuel: 200000", waits)).unwrap();
        let limits = |count| vec!["limit".to_owned(); count];
        assert_eq!(
            waits.worst_case.verdict_after,
            Some(vec![
                metadata::Wait::Calls(limits(1)),
                metadata::Wait::Samples(limits(2))
            ])
        );
    }

    #[test]
    fn what_is_wrong_is_shown_at_its_key() {
        for (from, to, line, code) in [
            ("abi: core/1", "abi: core/2", 1, 140),
            ("version: 2", "version: 0", 3, 15),
            ("name: rms", "name: verdict", 7, 140),
            ("causes: [rms-high]", "causes: [a, a]", 11, 140),
            ("format: f32", "format: f64", 6, 14),
            ("worst_case: { fuel: 200000 }\n", "", 1, 11),
            (
                "fuel: 200000",
                "fuel: 1, verdict_after: [{ calls: [limits] }]",
                12,
                140,
            ),
            ("fuel: 200000", "fuel: 1, verdict_after: [{}]", 12, 140),
            (
                "fuel: 200000",
                "fuel: 1, remembers: { calls: 1, params: [limits] }",
                12,
                140,
            ),
            (
                "fuel: 200000",
                "fuel: 1, verdict_after: [{ blocks: [limit] }]",
                12,
                10,
            ),
            ("unit: rpm", "unti: rpm", 5, 10),
        ] {
            assert!(SOURCE.contains(from), "{from}");
            let findings = parse("a", &SOURCE.replace(from, to)).unwrap_err();
            let finding = &findings[0];
            assert_eq!(
                (finding.line, finding.code.number()),
                (line, code),
                "{to}: {finding:?}"
            );
        }
    }
}

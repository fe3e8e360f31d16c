//! `inspect`: a module through the gate.

use std::path::Path;

use rules_sdk_abi::SampleFormat;
use rules_sdk_abi::metadata::{Remembers, Wait};
use rules_sdk_gate::Module;
use serde_json::json;

use super::read_module;
use crate::args::Format;
use crate::error::{CliError, Exit};
use crate::out::Out;
use crate::paint::Tone;
use crate::table::{Align, Table};
use crate::units;

/// `tripline analyzer inspect FILE`.
pub(super) fn inspect(path: &Path, format: Format, out: &mut Out) -> Result<Exit, CliError> {
    let (bytes, module) = read_module(path)?;
    let hash = sha256(&bytes);
    match format {
        Format::Json => out.json(&json!({
            "sha256": hash,
            "metadata": module.metadata,
            "memory_bytes": module.memory_bytes,
            "area_bytes": module.layout.bytes,
            "functions": module.counts.functions,
            "code_bytes": module.counts.code_bytes,
            "file_bytes": module.counts.bytes,
        }))?,
        Format::Text => show(&module, &hash, out)?,
    }
    Ok(Exit::Ok)
}

fn show(module: &Module, hash: &str, out: &mut Out) -> Result<(), CliError> {
    let metadata = &module.metadata;
    let head = out
        .tone(
            Tone::Strong,
            format!("{} version {}", metadata.name, metadata.version),
        )
        .to_string();
    out.line(format_args!("{head}  ({})", metadata.abi))?;
    if !metadata.summary.is_empty() {
        out.line(format_args!("  {}", metadata.summary))?;
    }
    out.line(format_args!("  sha256  {hash}"))?;
    let mut table = Table::new([
        ("", Align::Left),
        ("name", Align::Left),
        ("unit", Align::Left),
        ("range", Align::Left),
        ("default", Align::Right),
    ]);
    let mut row = |what: &str, name: &str, unit: &str, range: String, default: String| {
        table.row([
            what.into(),
            name.into(),
            unit.into(),
            range.into(),
            default.into(),
        ]);
    };
    for input in &metadata.inputs {
        row(
            "input",
            &input.name,
            &input.unit,
            String::new(),
            String::new(),
        );
    }
    if let Some(waveform) = &metadata.waveform {
        let format = match waveform.format {
            SampleFormat::F32 => "f32",
            SampleFormat::I16 => "i16",
        };
        let range = format!(
            "{} to {} samples, {format}",
            waveform.samples_min, waveform.samples_max
        );
        row(
            "waveform",
            &waveform.name,
            &waveform.unit,
            range,
            String::new(),
        );
    }
    for param in &metadata.params {
        let range = format!("{} to {}", param.min, param.max);
        let default = param
            .default
            .map_or_else(|| "must be given".into(), |value| value.to_string());
        row("parameter", &param.name, &param.unit, range, default);
    }
    for output in &metadata.outputs {
        let range = format!("{} to {}", output.min, output.max);
        row("output", &output.name, &output.unit, range, String::new());
    }
    out.text(table.painted(out.paint()))?;
    if !metadata.causes.is_empty() {
        out.line(format_args!("  causes   {}", metadata.causes.join(", ")))?;
    }
    let counts = &module.counts;
    out.line(format_args!(
        "  fuel     at most {} a call, by its author's word",
        metadata.worst_case.fuel
    ))?;
    out.line(format_args!(
        "  verdict  {}",
        verdict_after(metadata.worst_case.verdict_after.as_deref())
    ))?;
    out.line(format_args!(
        "  replay   {}",
        remembers(metadata.worst_case.remembers.as_ref())
    ))?;
    out.line(format_args!(
        "  memory   {}, fixed; exchange area {}",
        units::size(module.memory_bytes.into()),
        units::size(module.layout.bytes.into())
    ))?;
    out.line(format_args!(
        "  code     {} in {} functions; no imports, no growth, no start function",
        units::size(counts.code_bytes),
        counts.functions
    ))?;
    let good = out.tone(Tone::Good, "passed the gate").to_string();
    out.line(good)
}

/// When it speaks, by its author's word.
fn verdict_after(waits: Option<&[Wait]>) -> String {
    let Some(waits) = waits else {
        return "nobody says how long after a cause: not in reaction times".into();
    };
    if waits.is_empty() {
        return "in the first call after a cause".into();
    }
    let words: Vec<String> = waits
        .iter()
        .map(|wait| {
            let one = match wait {
                Wait::Calls(_) => "call",
                Wait::Samples(_) => "sample",
            };
            match wait.params() {
                [] => format!("1 {one}"),
                params => format!("{} {one}s", product(params)),
            }
        })
        .collect();
    format!("after a cause, at most {}", words.join(" + "))
}

/// The names of parameters, marked as such: one is called `record`, and is no word of ours.
fn product(params: &[String]) -> String {
    let names: Vec<String> = params.iter().map(|name| format!("`{name}`")).collect();
    names.join(" x ")
}

/// Whether it can be compared with a clean instance, by its author's word.
fn remembers(remembers: Option<&Remembers>) -> String {
    let Some(Remembers { calls, params }) = remembers else {
        return "nobody says how much it remembers: cannot be compared with a clean instance"
            .into();
    };
    if params.is_empty() && *calls == 1 {
        return "remembers nothing: each call can be compared with a clean instance".into();
    }
    let factors: Vec<String> = Some(calls)
        .filter(|calls| **calls != 1)
        .map(ToString::to_string)
        .into_iter()
        .chain(Some(product(params)).filter(|_| !params.is_empty()))
        .collect();
    format!(
        "remembers {} calls with news: can be compared with a clean instance",
        factors.join(" x ")
    )
}

/// Of the file, as hexadecimal digits.
pub(crate) fn sha256(bytes: &[u8]) -> String {
    let digest = ring::digest::digest(&ring::digest::SHA256, bytes);
    digest
        .as_ref()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_module_waits_for_and_remembers_tells_parameters_from_words() {
        let params = |names: &[&str]| names.iter().map(ToString::to_string).collect::<Vec<_>>();
        let waits = [
            Wait::Samples(params(&["record"])),
            Wait::Samples(params(&["record", "confirm"])),
            Wait::Calls(params(&[])),
        ];
        assert_eq!(
            verdict_after(Some(&waits)),
            "after a cause, at most `record` samples + `record` x `confirm` samples + 1 call"
        );
        let kept = Remembers {
            calls: 2,
            params: params(&["confirm-of"]),
        };
        assert_eq!(
            remembers(Some(&kept)),
            "remembers 2 x `confirm-of` calls with news: can be compared with a clean instance"
        );
    }
}

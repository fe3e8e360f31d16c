//! `test`, `bench`: a module with its recorded frames, in the product's own sandbox and in the second engine.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use appliance_sandbox::{
    AnalyzerFault, AnalyzerInstance, AnalyzerModule, AnalyzerSpec, Answer, Engine, OutputValue,
    Samples, WaveformSpec,
};
use drivers_frame::{DurNs, Quality, Scaling};
use rt_config::limits;
use rules_pack::module::{Case, Expect, Expected, Failure};
use rules_sdk_abi::metadata::Metadata;
use rules_sdk_abi::{Flags, Header, Level, Verdict};
use rules_sdk_reference::{Input, Reference};

use super::frames::{Given, frames};
use super::{AnalyzerFailure, read_module, read_text};
use crate::error::{CliError, Exit};
use crate::out::{Out, note};
use crate::paint::Tone;
use crate::settings::Settings;
use crate::table::{Align, Table};
use crate::units;

/// Time of a call in here: a trial is not late, whatever the machine does meanwhile.
const PATIENCE: DurNs = DurNs::from_ms(60_000);

/// What one frame came to.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Outcome {
    pub(crate) answer: Result<Answer, AnalyzerFault>,
    outputs: Vec<OutputValue>,
    state: Option<u64>,
}

/// A module that can be tried.
struct Trial {
    path: PathBuf,
    metadata: Metadata,
    wasm: Vec<u8>,
    engine: Engine,
    cases: Vec<Case>,
    cases_path: PathBuf,
    cases_text: String,
}

/// `tripline analyzer test FILE`.
pub(super) fn test(
    path: &Path,
    cases: Option<&Path>,
    settings: &Settings,
    out: &mut Out,
) -> Result<Exit, CliError> {
    let trial = Trial::load(path, cases, settings)?;
    let mut failures = Vec::new();
    let mut count = 0_usize;
    for case in &trial.cases {
        let given = frames(case, &trial.metadata, trial.folder())?;
        count = count.saturating_add(given.len());
        trial.compare(case, &given, &mut failures)?;
    }
    if !failures.is_empty() {
        let name = trial.cases_path.to_string_lossy();
        let findings = rules_pack::module::report(&name, &trial.cases_text, &failures);
        let colors = settings.error_paint.colors();
        note(rules_pack::render(&findings, &trial.cases_text, colors).trim_end());
        return Err(CliError::CaseFindings);
    }
    let head = out.tone(Tone::Good, "as recorded").to_string();
    out.line(format_args!(
        "{head}: {} in {}; the same bits twice, and in the second engine",
        units::counted(count, "frame"),
        units::counted(trial.cases.len(), "case")
    ))?;
    Ok(Exit::Ok)
}

/// `tripline analyzer bench FILE`.
pub(super) fn bench(
    path: &Path,
    cases: Option<&Path>,
    settings: &Settings,
    out: &mut Out,
) -> Result<Exit, CliError> {
    let trial = Trial::load(path, cases, settings)?;
    let mut table = Table::new([
        ("case", Align::Left),
        ("frames", Align::Right),
        ("fuel, median", Align::Right),
        ("fuel, most", Align::Right),
        ("time, median", Align::Right),
        ("time, most", Align::Right),
        ("ns a fuel", Align::Right),
        ("worst frame", Align::Right),
    ]);
    let mut most = 0;
    for case in &trial.cases {
        let cost = trial.cost(case)?;
        most = most.max(cost.fuel_max);
        table.row([
            case.name.as_str().into(),
            cost.frames.to_string().into(),
            cost.fuel_median.to_string().into(),
            cost.fuel_max.to_string().into(),
            units::time(cost.median_ns).into(),
            units::time(cost.max_ns).into(),
            format!("{:.2}", cost.ns_per_fuel).into(),
            format!("{}", cost.worst).into(),
        ]);
    }
    out.text(table.painted(out.paint()))?;
    let stated = trial.metadata.worst_case.fuel;
    out.line(format_args!(
        "most fuel of a frame: {most}; the module states {stated}{}",
        if most > stated {
            ": state more in analyzer.yaml, a pack allows what is stated"
        } else {
            ""
        }
    ))?;
    out.line("Times are this machine's, now. A pack's `fuel` bounds a call; its price is calibrated where it runs.")?;
    out.line("Machine protection and supervisory stop, not a certified safety component.")?;
    Ok(if most > stated {
        Exit::Failed
    } else {
        Exit::Ok
    })
}

/// What a case's frames cost.
struct Cost {
    frames: usize,
    fuel_median: u64,
    fuel_max: u64,
    median_ns: u64,
    max_ns: u64,
    ns_per_fuel: f64,
    worst: u64,
}

impl Trial {
    fn load(path: &Path, cases: Option<&Path>, settings: &Settings) -> Result<Self, CliError> {
        let (wasm, module) = read_module(path)?;
        let cases_path = cases.map_or_else(|| path.with_extension("cases.yaml"), Path::to_owned);
        let cases_text = read_text(&cases_path)?;
        let name = cases_path.to_string_lossy();
        let cases = rules_pack::module::cases(&name, &cases_text, &module.metadata).map_err(
            |findings| {
                let colors = settings.error_paint.colors();
                note(rules_pack::render(&findings, &cases_text, colors).trim_end());
                CliError::Findings
            },
        )?;
        Ok(Self {
            path: path.to_owned(),
            metadata: module.metadata,
            wasm,
            engine: Engine::new().map_err(AnalyzerFailure::Engine)?,
            cases,
            cases_path,
            cases_text,
        })
    }

    fn folder(&self) -> &Path {
        self.cases_path.parent().unwrap_or(Path::new("."))
    }

    fn params(&self, case: &Case) -> Vec<f64> {
        let value = |param: &rules_sdk_abi::metadata::Param| {
            let given = case.params.iter().find(|(name, _)| *name == param.name);
            given.map(|(_, value)| *value).or(param.default)
        };
        // The cases were checked: what has no default is given.
        self.metadata
            .params
            .iter()
            .map(|param| value(param).unwrap_or(param.min))
            .collect()
    }

    fn instance(&self, case: &Case) -> Result<AnalyzerInstance, AnalyzerFailure> {
        let spec = spec(&self.metadata, self.params(case), limits::ANALYZER_FUEL_MAX);
        let failed = |source| AnalyzerFailure::Instance {
            path: self.path.clone(),
            source,
        };
        AnalyzerModule::from_wasm(&self.engine, &self.wasm, spec)
            .and_then(|module| module.instantiate())
            .map_err(failed)
    }

    /// Gives the case's frames to two instances and to the second engine, and looks at what was expected.
    fn compare(
        &self,
        case: &Case,
        given: &[Given],
        failures: &mut Vec<Failure>,
    ) -> Result<(), CliError> {
        let mut one = self.instance(case)?;
        let mut two = self.instance(case)?;
        let mut second = Reference::new(&self.wasm, &self.metadata, &self.params(case)).ok();
        for frame in given {
            let mut fail = |what: String| {
                failures.push(Failure {
                    case: case.name.clone(),
                    frame: frame.number,
                    span: frame.span.clone(),
                    what,
                });
            };
            let first = run(&mut one, &self.metadata, frame);
            let again = run(&mut two, &self.metadata, frame);
            if !same(&first, &again) {
                fail("two instances gave different answers to the same frames".into());
            }
            match &mut second {
                None => fail("the second engine does not instantiate the module".into()),
                Some(reference) => {
                    if let Some(what) = differs(&first, reference, frame, &self.metadata) {
                        fail(what);
                    }
                }
            }
            if let Some(expect) = &frame.expect {
                for what in judge(&first, expect, &self.metadata) {
                    fail(what);
                }
            }
            // What comes after a failed frame is another instance's life.
            if first.answer.is_err() {
                if frame.expect.is_none() {
                    fail(words(&first));
                }
                break;
            }
        }
        Ok(())
    }

    fn cost(&self, case: &Case) -> Result<Cost, CliError> {
        let given = frames(case, &self.metadata, self.folder())?;
        let mut instance = self.instance(case)?;
        let mut fuel = Vec::with_capacity(given.len());
        let mut times = Vec::with_capacity(given.len());
        for frame in &given {
            let began = Instant::now();
            let outcome = answer(&mut instance, &self.metadata, frame);
            let took = began.elapsed();
            let Ok(answer) = outcome.0 else {
                return Err(AnalyzerFailure::Recording {
                    path: self.cases_path.clone(),
                    what: format!(
                        "case \"{}\", frame {}: {:?}",
                        case.name, frame.number, outcome.0
                    ),
                }
                .into());
            };
            fuel.push(answer.fuel);
            times.push(took);
        }
        Ok(summary(&fuel, &times))
    }
}

fn summary(fuel: &[u64], times: &[Duration]) -> Cost {
    let ns = |time: &Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
    let mut times: Vec<u64> = times.iter().map(ns).collect();
    let total =
        |all: &[u64]| units::to_f64(all.iter().fold(0, |sum, one| sum.saturating_add(*one)));
    let ns_per_fuel = total(&times) / total(fuel).max(1.0);
    let worst = (1..).zip(fuel).max_by_key(|(_, fuel)| **fuel);
    let worst = worst.map_or(0, |(number, _)| number);
    let mut sorted = fuel.to_vec();
    sorted.sort_unstable();
    times.sort_unstable();
    let median = |all: &[u64]| all.get(all.len() / 2).copied().unwrap_or(0);
    Cost {
        frames: sorted.len(),
        fuel_median: median(&sorted),
        fuel_max: sorted.last().copied().unwrap_or(0),
        median_ns: median(&times),
        max_ns: times.last().copied().unwrap_or(0),
        ns_per_fuel,
        worst,
    }
}

/// What a sandbox must know of a module.
pub(crate) fn spec(metadata: &Metadata, params: Vec<f64>, fuel: u64) -> AnalyzerSpec {
    let count = |len: usize| u8::try_from(len).unwrap_or(u8::MAX);
    AnalyzerSpec {
        params,
        inputs: count(metadata.inputs.len()),
        outputs: metadata
            .outputs
            .iter()
            .map(|output| (output.min, output.max))
            .collect(),
        waveform: metadata.waveform.as_ref().map(|waveform| WaveformSpec {
            format: waveform.format,
            samples_min: waveform.samples_min,
            samples_max: waveform.samples_max,
        }),
        causes: count(metadata.causes.len()),
        fuel,
        deadline: PATIENCE,
    }
}

fn answer(
    instance: &mut AnalyzerInstance,
    metadata: &Metadata,
    frame: &Given,
) -> (Result<Answer, AnalyzerFault>, Vec<OutputValue>) {
    let mut outputs = vec![OutputValue::BAD; metadata.outputs.len()];
    let samples = (!frame.samples.is_empty()).then(|| Samples::Ready {
        bytes: &frame.samples,
        sequence: frame.sequence,
        rate_hz: frame.rate_hz,
        scaling: Scaling::default(),
    });
    let frame = appliance_sandbox::Frame {
        at: frame.at,
        flags: if frame.gap {
            Flags::GAP
        } else {
            Flags::default()
        },
        inputs: &frame.inputs,
        block: samples,
    };
    let answer = instance.process(&frame, &mut outputs);
    (answer, outputs)
}

pub(crate) fn run(instance: &mut AnalyzerInstance, metadata: &Metadata, frame: &Given) -> Outcome {
    let (answer, outputs) = answer(instance, metadata, frame);
    let state = answer.is_ok().then(|| instance.state_hash().ok()).flatten();
    Outcome {
        answer,
        outputs,
        state,
    }
}

/// Bit for bit.
pub(crate) fn same(one: &Outcome, two: &Outcome) -> bool {
    let bits = |outcome: &Outcome| {
        outcome
            .outputs
            .iter()
            .map(|output| (output.value.to_bits(), output.quality))
            .collect::<Vec<_>>()
    };
    one.answer == two.answer && one.state == two.state && bits(one) == bits(two)
}

/// What the second engine says otherwise.
pub(crate) fn differs(
    first: &Outcome,
    reference: &mut Reference,
    frame: &Given,
    metadata: &Metadata,
) -> Option<String> {
    let quality = |quality| match quality {
        Quality::Good => 0,
        Quality::Uncertain => 1,
        Quality::Bad => 2,
        Quality::Stale => 3,
    };
    let inputs: Vec<Input> = frame
        .inputs
        .iter()
        .map(|input| Input {
            value: if input.quality.is_usable() {
                input.value
            } else {
                0.0
            },
            quality: quality(input.quality),
            changed: input.changed,
        })
        .collect();
    let bytes = metadata
        .waveform
        .as_ref()
        .map_or(1, |waveform| waveform.format.bytes());
    let count = u32::try_from(frame.samples.len()).unwrap_or(u32::MAX) / bytes.max(1);
    let restarted = if frame.number == 1 {
        Flags::RESTARTED
    } else {
        Flags::default()
    };
    let gap = if frame.gap {
        Flags::GAP
    } else {
        Flags::default()
    };
    let block = !frame.samples.is_empty();
    let header = Header {
        samples: count,
        flags: restarted.with(gap),
        at_ns: frame.at.as_ns(),
        sequence: if block { frame.sequence } else { 0 },
        rate_hz: if block { frame.rate_hz } else { 0.0 },
        scale: 1.0,
        offset: 0.0,
    };
    let raw = reference.process(&header, &inputs, &frame.samples);
    let raw = match (raw, &first.answer) {
        (Ok(raw), Ok(_)) => raw,
        // Both ended without an answer, or the product refused what came back: there is nothing to compare.
        (_, Err(_)) => return None,
        (Err(error), Ok(_)) => return Some(format!("the second engine: {error}")),
    };
    let causes = u8::try_from(metadata.causes.len()).unwrap_or(u8::MAX);
    let verdict = first.answer.as_ref().map(|answer| answer.verdict).ok();
    if Verdict::unpack(raw.verdict, causes).ok() != verdict {
        return Some(format!(
            "the second engine says {:#x}, the product {verdict:?}",
            raw.verdict
        ));
    }
    for ((output, second), named) in first
        .outputs
        .iter()
        .zip(&raw.outputs)
        .zip(&metadata.outputs)
    {
        let usable = output.quality.is_usable();
        let same_value = !usable || output.value.to_bits() == second.0;
        if !same_value || quality(output.quality) != second.1 {
            return Some(format!(
                "`{}`: the second engine says {} (quality {}), the product {} ({:?})",
                named.name,
                f64::from_bits(second.0),
                second.1,
                output.value,
                output.quality
            ));
        }
    }
    let state = reference.state_hash().ok();
    (state != first.state).then(|| {
        format!(
            "the second engine's state hash is {state:x?}, the product's {:x?}",
            first.state
        )
    })
}

/// What is not as expected.
fn judge(outcome: &Outcome, expect: &Expect, metadata: &Metadata) -> Vec<String> {
    let Ok(answer) = &outcome.answer else {
        return vec![words(outcome)];
    };
    let mut wrong = Vec::new();
    let verdict = answer.verdict;
    if let Some(expected) = expect.verdict.filter(|expected| *expected != verdict.level) {
        wrong.push(format!(
            "the verdict is {}, expected {}",
            level(verdict.level),
            level(expected)
        ));
    }
    let cause = usize::from(verdict.cause)
        .checked_sub(1)
        .and_then(|index| metadata.causes.get(index));
    if let Some(expected) = expect
        .cause
        .as_ref()
        .filter(|expected| Some(*expected) != cause)
    {
        let found = cause.map_or("none", String::as_str);
        wrong.push(format!("the cause is {found}, expected {expected}"));
    }
    for (name, expected) in &expect.outputs {
        let position = metadata
            .outputs
            .iter()
            .position(|output| output.name == *name);
        let Some(output) = position.and_then(|position| outcome.outputs.get(position)) else {
            continue;
        };
        let usable = output.quality.is_usable();
        match expected {
            Expected::Bad if usable => {
                wrong.push(format!("`{name}` is {}, expected bad", output.value));
            }
            Expected::Within(low, high) if !usable || !(*low..=*high).contains(&output.value) => {
                let found = if usable {
                    output.value.to_string()
                } else {
                    "bad".into()
                };
                wrong.push(format!("`{name}` is {found}, expected {low} to {high}"));
            }
            Expected::Bad | Expected::Within(..) => {}
        }
    }
    wrong
}

fn words(outcome: &Outcome) -> String {
    match &outcome.answer {
        Ok(answer) => format!("{:?}", answer.verdict),
        Err(fault) => format!("the module failed: {fault:?}"),
    }
}

fn level(level: Level) -> &'static str {
    match level {
        Level::Normal => "normal",
        Level::Alert => "alert",
        Level::Danger => "danger",
    }
}

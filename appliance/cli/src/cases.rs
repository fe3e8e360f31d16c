//! Recorded inputs and expected verdicts, run through the real lane with virtual time. `tripline test` does it when asked,
//! `tripline build` does it in any case and refuses a pack that decides otherwise than its cases say (H-5).

mod seats;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use appliance_lane::analyzer::ReplayNews;
use appliance_lane::{Lane, LaneError, RuleState};
use appliance_sandbox::{Engine, LoadError, RuleModule};
use drivers_frame::block::{Block, BlockHead, SampleKind, SampleLayout, WaveformId};
use drivers_frame::{ByteOrder, Cause, Decoded, DeviceId, DurNs, MonoNs, Quality, Sample, TagId};
use rules_bundle::{Bundle, LanePlan, Level, LinkPlan, WaveformPlan};
use rules_pack::Finding;
use rules_pack::cases::{self, Blocks, Case, Stimulus, Verdict};
use rules_sdk_abi::SampleFormat;

use crate::analyzer::frames;
use crate::build::{Built, read_at_most};
use seats::{Results, Seats};

/// How often an MQTT source is taken to publish, unless its pack says.
const PUBLISH_MS: u64 = 50;

/// Why cases could not be run, or what they found.
#[derive(Debug, thiserror::Error)]
pub enum CasesError {
    /// The file cannot be read.
    #[error("{path}: {source}", path = path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// Nobody has recorded any.
    #[error(
        "{path}: no cases are recorded: there is no such file. What a case is says docs/pack-reference.md, *Cases*; --cases names another file",
        path = path.display()
    )]
    NoCases {
        /// Where they would be.
        path: PathBuf,
    },
    /// The cases have errors, or the pack decides otherwise. [`rules_pack::render`] shows them.
    #[error("{path}: {count} of the recorded cases' lines are not as they should be", path = path.display(), count = findings.len())]
    Findings {
        /// The file.
        path: PathBuf,
        /// What is wrong, and where.
        findings: Vec<Finding>,
        /// The text they are in.
        text: String,
    },
    /// This host cannot run the compiler.
    #[error(transparent)]
    Engine(#[from] appliance_sandbox::EngineError),
    /// A lane's rules do not load.
    #[error("the rules of lane {lane} do not load: {source}")]
    Load {
        /// The lane.
        lane: String,
        /// Why.
        source: LoadError,
    },
    /// A lane's analyzers cannot be made.
    #[error("the analyzers of lane {lane}: {cause}")]
    Analyzers {
        /// The lane.
        lane: String,
        /// Why.
        cause: String,
    },
    /// A block of a case cannot be given.
    #[error("case \"{case}\", the blocks of {waveform}: {cause}")]
    Block {
        /// The case.
        case: String,
        /// The waveform.
        waveform: String,
        /// Why.
        cause: String,
    },
    /// A lane cannot be made.
    #[error("lane {lane}: {source}")]
    Lane {
        /// The lane.
        lane: String,
        /// Why.
        source: LaneError,
    },
}

/// What running all cases of a pack gave.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Outcome {
    expectations: usize,
    failures: Vec<cases::Failure>,
}

/// How many cases and verdicts were as expected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Passed {
    /// Cases.
    pub cases: usize,
    /// Verdicts.
    pub expectations: usize,
}

/// The place of a pack's cases: `NAME.cases.yaml` beside `NAME.yaml`.
pub fn beside(pack: &Path) -> PathBuf {
    pack.with_extension("cases.yaml")
}

/// Runs the cases in `path` on what was built from their pack.
///
/// # Errors
/// [`CasesError`].
pub fn check(path: &Path, built: &Built) -> Result<Passed, CasesError> {
    let read = |source: std::io::Error| {
        let path = path.to_owned();
        if source.kind() == std::io::ErrorKind::NotFound {
            CasesError::NoCases { path }
        } else {
            CasesError::Read { path, source }
        }
    };
    // One byte more than a pack may have: enough for the checker to say that it is too large.
    let bytes = read_at_most(path, rt_config::limits::PACK_BYTES_MAX.saturating_add(1)).map_err(
        |error| match error {
            crate::build::BuildError::Read { source, .. } => read(source),
            other => read(std::io::Error::other(other.to_string())),
        },
    )?;
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let name = path.to_string_lossy();
    let refuse = |findings| CasesError::Findings {
        path: path.to_owned(),
        findings,
        text: text.clone(),
    };
    let parsed = cases::parse(&name, &text, &built.bundle.plan).map_err(refuse)?;
    let outcome = run(&built.bundle, &parsed, path, &Engine::new()?)?;
    if !outcome.failures.is_empty() {
        return Err(refuse(cases::report(&name, &text, &outcome.failures)));
    }
    Ok(Passed {
        cases: parsed.len(),
        expectations: outcome.expectations,
    })
}

/// Runs every case on fresh lanes of the bundle, with its own rule modules compiled anew from their WebAssembly.
fn run(
    bundle: &Bundle,
    cases: &[Case],
    path: &Path,
    engine: &Engine,
) -> Result<Outcome, CasesError> {
    let mut outcome = Outcome::default();
    let folder = path.parent().unwrap_or(Path::new("."));
    for case in cases {
        run_case(bundle, case, folder, engine, &mut outcome)?;
    }
    Ok(outcome)
}

fn run_case(
    bundle: &Bundle,
    case: &Case,
    folder: &Path,
    engine: &Engine,
    outcome: &mut Outcome,
) -> Result<(), CasesError> {
    let mut lanes = bundle
        .plan
        .lanes
        .iter()
        .zip(&bundle.lanes)
        .map(|(plan, code)| Run::new(plan, &code.wasm, bundle, engine))
        .collect::<Result<Vec<_>, _>>()?;
    let mut ms = 0;
    for step in &case.steps {
        while ms < step.at_ms {
            lanes
                .iter_mut()
                .for_each(|lane| lane.step(ms, &BTreeSet::new()));
            ms = ms.saturating_add(1);
        }
        for lane in &mut lanes {
            let mut fresh = BTreeSet::new();
            for (name, stimulus) in &step.set {
                if let Some(TagId(tag)) = lane.plan.tag(name) {
                    lane.values.insert(tag, *stimulus);
                    fresh.insert(tag);
                }
            }
            for (name, blocks) in &step.blocks {
                lane.set_blocks(name, blocks, step.at_ms, folder)
                    .map_err(|cause| CasesError::Block {
                        case: case.name.clone(),
                        waveform: name.clone(),
                        cause,
                    })?;
            }
            lane.step(ms, &fresh);
        }
        ms = ms.saturating_add(1);
        for (rule, expected) in &step.expect {
            outcome.expectations = outcome.expectations.saturating_add(1);
            let found = lanes.iter().find_map(|lane| lane.verdict(rule));
            if let Some(found) = found.filter(|found| found != expected) {
                outcome.failures.push(cases::Failure {
                    case: case.name.clone(),
                    at_ms: step.at_ms,
                    span: step.span.clone(),
                    rule: rule.clone(),
                    expected: *expected,
                    found,
                });
            }
        }
    }
    Ok(())
}

/// A block that arrives again and again.
struct Recurring {
    bytes: Vec<u8>,
    since_ms: u64,
    every_ms: u64,
    sequence: u64,
}

/// One lane under a case.
struct Run<'a> {
    plan: &'a LanePlan,
    lane: Lane<RuleModule, Seats>,
    values: BTreeMap<u16, Stimulus>,
    blocks: BTreeMap<u16, Recurring>,
    results: Results,
    /// Analyzers with a canary, and how often it comes.
    canaries: Vec<(u16, u64)>,
    /// Analyzers that are compared with a clean instance, and how often.
    replays: Vec<(u16, u64)>,
    tripped: BTreeSet<u16>,
}

impl<'a> Run<'a> {
    fn new(
        plan: &'a LanePlan,
        wasm: &[u8],
        bundle: &Bundle,
        engine: &Engine,
    ) -> Result<Self, CasesError> {
        let lane = || plan.name.clone();
        let slots = usize::try_from(plan.slots()).unwrap_or(usize::MAX);
        let module = RuleModule::from_wasm(engine, wasm, plan.programs().count(), slots).map_err(
            |source| CasesError::Load {
                lane: lane(),
                source,
            },
        )?;
        let results = Results::default();
        let seats =
            Seats::new(plan, bundle, engine, &results).map_err(|cause| CasesError::Analyzers {
                lane: lane(),
                cause,
            })?;
        Ok(Self {
            plan,
            lane: Lane::with_analyzers(plan, module, seats, MonoNs::ZERO).map_err(|source| {
                CasesError::Lane {
                    lane: lane(),
                    source,
                }
            })?,
            values: BTreeMap::new(),
            blocks: BTreeMap::new(),
            results,
            canaries: seats::canaries(plan),
            replays: seats::replays(plan),
            tripped: BTreeSet::new(),
        })
    }

    fn period_ms(&self, tag: u16) -> u64 {
        let device = self
            .plan
            .tags
            .get(usize::from(tag))
            .map_or(DeviceId(u16::MAX), |tag| tag.device);
        let link = self.plan.devices.get(usize::from(device.0));
        let period = match link.map(|device| &device.link) {
            Some(LinkPlan::Modbus(modbus)) => modbus.poll.map_or(0, DurNs::as_ns),
            Some(LinkPlan::Mqtt(_) | LinkPlan::Analyzer(_)) | None => return PUBLISH_MS,
        };
        period.checked_div(1_000_000).unwrap_or(0).max(1)
    }

    /// One millisecond: what is set arrives again when its device is read, what a step just set arrives now.
    fn step(&mut self, ms: u64, fresh: &BTreeSet<u16>) {
        let at = MonoNs::from_ns(ms.saturating_mul(1_000_000));
        for (tag, stimulus) in &self.values {
            let due = ms.is_multiple_of(self.period_ms(*tag));
            if !due && !fresh.contains(tag) {
                continue;
            }
            let (value, quality, cause) = match stimulus {
                Stimulus::Value(value) => (*value, Quality::Good, Cause::None),
                Stimulus::Registers(registers) => {
                    let decoded = cases::point(self.plan, TagId(*tag))
                        .map_or(Decoded::bad(Cause::Malformed), |point| {
                            point.codec.decode_registers(registers.words())
                        });
                    (decoded.value, decoded.quality, decoded.cause)
                }
                Stimulus::Bad => (0.0, Quality::Bad, Cause::Malformed),
                Stimulus::Silent => continue,
            };
            self.lane.ingest(&Sample {
                at,
                value,
                tag: TagId(*tag),
                quality,
                cause,
            });
        }
        // What the background derived from the last millisecond.
        for sample in self.results.take() {
            self.lane.ingest(&sample);
        }
        self.step_blocks(ms, at);
        for (analyzer, every) in &self.canaries {
            if ms.is_multiple_of(*every) {
                self.lane.canary_passed(*analyzer, at, at);
            }
        }
        for (analyzer, every) in &self.replays {
            if ms.is_multiple_of(*every) {
                self.lane.replayed(*analyzer, ReplayNews::Agrees, at, at);
            }
        }
        self.lane.tick(at);
        while self.lane.take_block().is_some() {}
        for (index, rule) in (0_u16..).zip(&self.plan.rules) {
            let active = self
                .lane
                .rule(index)
                .is_some_and(|(state, ..)| state == RuleState::Active);
            if rule.level == Level::Danger && active {
                self.tripped.insert(index);
            }
        }
        self.lane.clear_events();
    }

    /// From now on blocks like this arrive, at once and with every period of the waveform.
    fn set_blocks(
        &mut self,
        name: &str,
        blocks: &Blocks,
        ms: u64,
        folder: &Path,
    ) -> Result<(), String> {
        let waveforms = (0_u16..).zip(&self.plan.waveforms);
        let Some((index, waveform)) = waveforms
            .into_iter()
            .find(|(_, waveform)| waveform.name == name)
        else {
            // Of another lane.
            return Ok(());
        };
        let Blocks::Like(block) = blocks else {
            self.blocks.remove(&index);
            return Ok(());
        };
        let (values, _) = frames::values(block, folder).map_err(|error| error.to_string())?;
        if u32::try_from(values.len()) != Ok(waveform.samples) {
            return Err(format!(
                "{} samples, and its blocks have {}",
                values.len(),
                waveform.samples
            ));
        }
        let sequence = self.blocks.get(&index).map_or(0, |before| before.sequence);
        let every = waveform.period.unwrap_or(waveform.span()).as_ns();
        let recurring = Recurring {
            bytes: as_sent(&values, waveform),
            since_ms: ms,
            every_ms: every.div_ceil(1_000_000).max(1),
            sequence,
        };
        self.blocks.insert(index, recurring);
        Ok(())
    }

    fn step_blocks(&mut self, ms: u64, at: MonoNs) {
        for (index, recurring) in &mut self.blocks {
            let Some(waveform) = self.plan.waveforms.get(usize::from(*index)) else {
                continue;
            };
            let since = ms.saturating_sub(recurring.since_ms);
            if !since.is_multiple_of(recurring.every_ms) {
                continue;
            }
            recurring.sequence = recurring.sequence.saturating_add(1);
            let head = BlockHead {
                waveform: WaveformId(*index),
                at,
                sequence: recurring.sequence,
                gap: recurring.sequence == 1,
                layout: SampleLayout::payload(waveform.format, ByteOrder::LittleEndian),
                count: waveform.samples,
                rate_hz: waveform.rate_hz,
            };
            if let Ok(block) = Block::new(head, recurring.bytes.clone().into_boxed_slice(), 0) {
                let _ = self.lane.ingest_block(block);
            }
        }
    }

    fn verdict(&self, rule: &str) -> Option<Verdict> {
        let position = self.plan.rules.iter().position(|known| known.id == rule)?;
        let index = u16::try_from(position).ok()?;
        if self.tripped.contains(&index) {
            return Some(Verdict::Danger);
        }
        Some(match self.lane.rule(index)?.0 {
            RuleState::Waiting | RuleState::Normal => Verdict::Normal,
            RuleState::Pending => Verdict::Pending,
            RuleState::Active => Verdict::Alert,
        })
    }
}

/// Samples as the waveform's source stores them, little-endian.
fn as_sent(values: &[f64], waveform: &WaveformPlan) -> Vec<u8> {
    let raw: Vec<f64> = values
        .iter()
        .map(|value| (value - waveform.offset) / waveform.scale)
        .collect();
    let format = match waveform.format {
        SampleKind::F32 => SampleFormat::F32,
        SampleKind::I16 => SampleFormat::I16,
    };
    frames::encode(&raw, format)
}

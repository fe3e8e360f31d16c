//! What somebody has declared to be bad, or well: the canaries of the pack, the pack's recorded cases, and those beside each
//! module. What an analyzer makes of a signal only its module knows, so a stimulus for it is never computed here, and never
//! chosen by asking the module: one that is politely dead would then be believed.
//!
//! | source | gives |
//! |---|---|
//! | canary in the pack | the block and the inputs at which the analyzer must say danger |
//! | `PACK.cases.yaml` | what is quiet; steps after which a rule must be `danger` |
//! | `MODULE.cases.yaml` | with the parameters and the rate of the pack: frames that are `normal`, frames that are `danger`, and outputs |

mod frames;
mod steps;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use drivers_frame::TagId;
use rules_bundle::{AnalyzerPlan, LanePlan, Level, Plan, WaveformPlan, WaveformSource};
use rules_pack::cases;
use rules_pack::module;
use rules_sdk_abi::metadata::Metadata;

use super::ProofError;
use super::scene::{Piece, Play, Scene, Stimulus, Untested, inputs_of};
use crate::build::{Checked, read_at_most};
use crate::install::both;

/// Everything that is declared beside a pack.
pub(super) struct Known {
    /// The pack's cases, and the name of their file.
    cases: Vec<cases::Case>,
    pub(super) file: String,
    folder: PathBuf,
    /// Modules, in the order of the plan.
    modules: Vec<Module>,
    /// Blocks of canaries, in the order of the plan.
    blocks: Vec<Vec<u8>>,
}

struct Module {
    metadata: Metadata,
    cases: Vec<module::Case>,
    /// The name of their file.
    file: String,
    folder: PathBuf,
}

/// What a lane's inputs show while nothing trips.
pub(super) struct Rest {
    pub(super) tags: Vec<(TagId, f64)>,
    /// One for each waveform.
    pub(super) waves: Vec<Play>,
}

impl Known {
    /// Reads what is declared beside the pack.
    pub(super) fn read(checked: &Checked) -> Result<Self, ProofError> {
        let beside = &checked.beside;
        let mut modules = Vec::new();
        for module in &beside.modules {
            let path = beside
                .folder
                .join(&module.path)
                .with_extension("cases.yaml");
            modules.push(Module {
                metadata: module.metadata.clone(),
                cases: both::recorded(module, beside)?,
                file: name(&path),
                folder: path.parent().unwrap_or(Path::new(".")).to_owned(),
            });
        }
        let path = crate::cases::beside(&checked.path);
        Ok(Self {
            cases: of_pack(&path, &checked.plan)?,
            file: name(&path),
            folder: beside.folder.clone(),
            modules,
            blocks: beside.blocks.clone(),
        })
    }

    /// What a lane's inputs show while nothing trips: what is recorded as quiet, else silence.
    pub(super) fn rest(&self, lane: &LanePlan) -> Rest {
        let mut rest = Rest {
            tags: Vec::new(),
            waves: lane
                .waveforms
                .iter()
                // A signal of 0 in the waveform's unit.
                .map(|wave| for_ever(vec![raw(wave, 0.0)]))
                .collect(),
        };
        for (_, _, analyzer) in lane.analyzers() {
            self.quiet_frames(lane, analyzer, &mut rest);
        }
        // Plain rules say by themselves where they are quiet.
        if lane.analyzers().next().is_some() {
            self.quiet_steps(lane, &mut rest);
        }
        rest
    }

    /// What must trip a rule that reads what analyzers derive, and what of it cannot be tested.
    pub(super) fn stimuli(
        &self,
        lane: &LanePlan,
        scene: &Scene<'_>,
        rule: usize,
    ) -> (Vec<Stimulus>, Vec<Untested>) {
        let Some(known) = lane.rules.get(rule) else {
            return (Vec::new(), Vec::new());
        };
        let mut stimuli = self.of_cases(lane, scene, rule);
        let mut reasons = Vec::new();
        let mut untested = Vec::new();
        for (_, name, analyzer) in of_rule(lane, known) {
            match self.of_canary(lane, scene, rule, name, analyzer) {
                Ok(Some(stimulus)) => stimuli.push(stimulus),
                Ok(None) => {}
                Err(reason) => reasons.push(reason),
            }
            let (found, open) = self.of_module(lane, scene, rule, name, analyzer);
            stimuli.extend(found);
            reasons.extend(open);
            if let Some(silent) = silence(lane, analyzer) {
                stimuli.extend(forged(lane, &silent));
                stimuli.push(silent);
            } else if stimuli.iter().all(Stimulus::shows_values) {
                untested.push(Untested {
                    what: format!("rule {}, failure of what {name} looks at", known.id),
                    why: format!(
                        "what it makes of a bad input is its own affair: record a case in {} in which one is `silent` and the rule is `danger`",
                        self.file
                    ),
                });
            }
        }
        if !stimuli.iter().any(Stimulus::shows_values) {
            reasons.dedup();
            let names: Vec<&str> = of_rule(lane, known).map(|(_, name, _)| name).collect();
            let reasons = if reasons.is_empty() {
                String::new()
            } else {
                format!(" ({})", reasons.join("; "))
            };
            untested.push(Untested {
                what: format!("rule {}, what {} must say", known.id, names.join(" and ")),
                why: format!(
                    "nothing is declared that must make it act{reasons}. Add a canary that expects danger, or a case in {} that ends with `{}: danger`",
                    self.file, known.id
                ),
            });
        }
        untested.extend(self.plain_inputs(lane, scene, rule, &stimuli));
        (stimuli, untested)
    }

    /// Inputs of drivers beside what analyzers derive: each would have to decide in a state that only they can make.
    fn plain_inputs(
        &self,
        lane: &LanePlan,
        scene: &Scene<'_>,
        rule: usize,
        stimuli: &[Stimulus],
    ) -> Vec<Untested> {
        let Some(known) = lane.rules.get(rule) else {
            return Vec::new();
        };
        let moved: BTreeSet<usize> = stimuli
            .iter()
            .flat_map(Stimulus::moments)
            .flat_map(|(inputs, _)| inputs.iter().map(|(tag, _)| usize::from(tag.0)))
            .collect();
        inputs_of(lane, &known.programs)
            .into_iter()
            .filter(|tag| !scene.moves_itself(*tag) && !moved.contains(tag))
            .filter_map(|tag| lane.tags.get(tag))
            .map(|tag| Untested {
                what: format!("rule {}, input {}", known.id, tag.name),
                why: format!(
                    "it decides together with what an analyzer says: record a case in {} in which it does",
                    self.file
                ),
            })
            .collect()
    }
}

/// The analyzers whose values a rule reads.
pub(super) fn of_rule<'l>(
    lane: &'l LanePlan,
    rule: &rules_bundle::RulePlan,
) -> impl Iterator<Item = (usize, &'l str, &'l AnalyzerPlan)> {
    let inputs = inputs_of(lane, &rule.programs);
    lane.analyzers().filter(move |(device, _, _)| {
        let of_it = |tag: &usize| {
            let tag = lane.tags.get(*tag);
            tag.is_some_and(|tag| usize::from(tag.device.0) == *device)
        };
        inputs.iter().any(of_it)
    })
}

/// The waveform that an analyzer looks at.
fn wave_of<'l>(lane: &'l LanePlan, analyzer: &AnalyzerPlan) -> Option<(usize, &'l WaveformPlan)> {
    let index = usize::from(analyzer.waveform?.index.0);
    Some((index, lane.waveforms.get(index)?))
}

/// The waveform of an analyzer falls silent.
pub(super) fn silence(lane: &LanePlan, analyzer: &AnalyzerPlan) -> Option<Stimulus> {
    let (index, wave) = wave_of(lane, analyzer)?;
    let own = lane.tags.get(usize::from(analyzer.verdict.0));
    Some(Stimulus {
        waves: vec![(index, Play::Silent)],
        takes: own.map_or(wave.stale_after, |tag| {
            tag.stale_after.max(wave.stale_after)
        }),
        ..Stimulus::default()
    })
}

/// The same with wrong envelopes, when its blocks are in some.
fn forged(lane: &LanePlan, silent: &Stimulus) -> Option<Stimulus> {
    let (index, _) = silent.waves.first()?;
    let wave = lane.waveforms.get(*index)?;
    let wrapped = matches!(
        &wave.source,
        WaveformSource::Mqtt {
            envelope: Some(_),
            ..
        }
    );
    wrapped.then(|| Stimulus {
        waves: vec![(*index, Play::Forged)],
        ..silent.clone()
    })
}

/// What the source of a waveform sends for a value in its unit.
fn raw(wave: &WaveformPlan, value: f64) -> f64 {
    (value - wave.offset) / wave.scale
}

fn for_ever(raw: Vec<f64>) -> Play {
    Play::Pieces(vec![Piece {
        raw: Arc::from(raw),
        blocks: u32::MAX,
    }])
}

/// The cases beside the pack; none when there is no file.
fn of_pack(path: &Path, plan: &Plan) -> Result<Vec<cases::Case>, ProofError> {
    if !path.exists() {
        return Ok(Vec::new());
    }
    let bytes = read_at_most(path, rt_config::limits::PACK_BYTES_MAX)?;
    let text = String::from_utf8_lossy(&bytes);
    cases::parse(&path.to_string_lossy(), &text, plan)
        .map_err(|findings| ProofError::Cases(rules_pack::render(&findings, &text, false)))
}

fn name(path: &Path) -> String {
    path.file_name()
        .map_or_else(String::new, |name| name.to_string_lossy().into_owned())
}

/// Whether a rule stops something.
fn is_danger(lane: &LanePlan, id: &str) -> bool {
    let mut rules = lane.rules.iter();
    rules.any(|rule| rule.id == id && rule.level == Level::Danger)
}

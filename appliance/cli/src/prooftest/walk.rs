//! Walks every path of a pack against simulated devices: the real guard in its own process, on its own socket, in a
//! temporary folder.

mod judge;
mod limits;
mod process;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use drivers_frame::TagId;
use rules_bundle::{LanePlan, Level, Plan, RulePlan};

use super::known::{Known, of_rule};
use super::report::{Mode, NotTested, Outcome, PathResult, Report};
use super::rig::{Faults, World};
use super::scene::{Do, Play, Scene, Stimulus, Untested};
use super::watch::{self, Watch};
use super::{ProofError, Say};
use crate::build::{self, BuildError, Checked};
use crate::trust;
use limits::{limit, outputs_of, slack, span};
use process::GuardProcess;

/// How long a guard may take until it answers, or ends.
const GUARD_WITHIN: Duration = Duration::from_secs(30);
/// Beyond what the pack lets everything take, how long a path or a reset is waited for: it is then late, not lost.
const PATIENCE: Duration = Duration::from_secs(5);
/// After a reset that was granted; then it is tried again.
const RUNS_WITHIN: Duration = Duration::from_secs(2);
/// How often is looked.
const LOOK_EVERY: Duration = Duration::from_millis(1);

/// Proves every path of a checked pack on simulated devices. `program` is the guard.
///
/// # Errors
/// [`ProofError`]: the test could not be made. What it found is in the report.
pub fn simulate(
    checked: Checked,
    faults: &Faults,
    program: &Path,
    only: Option<&str>,
    say: Say<'_>,
) -> Result<Report, ProofError> {
    let known = Known::read(&checked)?;
    let folder = process::folder()?;
    // Nothing is left of this guard: its key goes with its folder.
    let key = trust::bundle_key_at(&folder.path().join("bundle.key")).map_err(BuildError::Key)?;
    let original = Checked {
        path: checked.path.clone(),
        text: checked.text.clone(),
        plan: checked.plan.clone(),
        warnings: Vec::new(),
        beside: checked.beside.clone(),
    };
    let original = build::compile(original, &key)?;
    let mut report = Report::begin(
        Mode::Simulated,
        &checked.plan,
        original.bundle.hash.to_string(),
    );
    let mut untested = Vec::new();
    let mut plan = checked.plan.clone();
    let world = World::build(&mut plan, faults).map_err(ProofError::World)?;
    let built = Checked {
        path: checked.path,
        text: checked.text,
        plan: plan.clone(),
        warnings: Vec::new(),
        beside: checked.beside,
    };
    let built = build::compile(built, &key)?;
    let mut scenes = Vec::with_capacity(plan.lanes.len());
    let mut rests = Vec::with_capacity(plan.lanes.len());
    for lane in &plan.lanes {
        let rest = known.rest(lane);
        let scene = Scene::new(lane, &rest.tags).map_err(|rules| ProofError::NeverQuiet {
            lane: lane.name.clone(),
            rules,
        })?;
        rests.push(rest.waves);
        scenes.push(scene);
    }
    let mut walk = Walk {
        world: &world,
        known: &known,
        rests: &rests,
        socket: PathBuf::new(),
        slack: slack(&plan),
        say,
    };
    for (index, (lane, scene)) in plan.lanes.iter().zip(&scenes).enumerate() {
        walk.calm(index, lane, scene);
    }
    let guard = GuardProcess::start(program, folder, &built.bytes, &key)?;
    walk.socket.clone_from(&guard.socket);
    walk.all(&plan, &mut scenes, only, &mut report, &mut untested)?;
    report
        .not_tested
        .extend(untested.into_iter().map(NotTested::from));
    drop(guard);
    Ok(report.end())
}

impl From<Untested> for NotTested {
    fn from(open: Untested) -> Self {
        Self {
            what: open.what,
            why: open.why,
        }
    }
}

/// What stands against a reset, and what to do when only the recorded cases can help.
fn with_what_to_do(cause: String, lane: &LanePlan, scene: &Scene<'_>, file: &str) -> String {
    let mut rules = lane.rules.iter().enumerate();
    let of_analyzers = rules.any(|(number, rule)| {
        scene.is_of_analyzers(number) && cause.split_whitespace().any(|word| word == rule.id)
    });
    if of_analyzers {
        format!(
            "{cause}; when the analyzer was not shown what is quiet for it: record that in {file} as the first step of a case in which the rule is to be `normal`"
        )
    } else {
        cause
    }
}

/// Contactors move their own feedback.
fn is_feedback(lane: &LanePlan, tag: u16) -> bool {
    let mut feedbacks = lane.outputs.iter().filter_map(|output| output.feedback);
    feedbacks.any(|feedback| feedback.tag.0 == tag)
}

struct Walk<'a> {
    world: &'a World,
    known: &'a Known,
    /// What waveforms show while nothing trips, by lane.
    rests: &'a [Vec<Play>],
    socket: PathBuf,
    slack: Duration,
    say: Say<'a>,
}

/// Whether the walk can go on.
enum Next {
    Go,
    /// The guard does not let itself be reset: what stands against it.
    Stuck(String),
}

impl Walk<'_> {
    fn all(
        &mut self,
        plan: &Plan,
        scenes: &mut [Scene<'_>],
        only: Option<&str>,
        report: &mut Report,
        untested: &mut Vec<Untested>,
    ) -> Result<(), ProofError> {
        let mut stuck: Option<String> = None;
        for (index, (lane, scene)) in plan.lanes.iter().zip(scenes).enumerate() {
            for (number, rule) in lane.rules.iter().enumerate() {
                if rule.level != Level::Danger || only.is_some_and(|only| only != rule.id) {
                    continue;
                }
                if let Some(cause) = &stuck {
                    report.broken_off.get_or_insert_with(|| cause.clone());
                    untested.push(Untested {
                        what: format!("rule {}", rule.id),
                        why: format!("the guard could not be reset before it: {cause}"),
                    });
                    if scene.is_of_analyzers(number) {
                        report.note_unproved(&lane.name, &rule.id);
                    }
                    continue;
                }
                let (stimuli, open) = if scene.is_of_analyzers(number) {
                    self.known.stimuli(lane, scene, number)
                } else {
                    self.plain_stimuli(lane, scene, number)
                };
                untested.extend(open);
                let stands = scene.stands_after_the_stop(number);
                for stimulus in stimuli {
                    let stands = stands && !stimulus.passes;
                    for (tag, value) in &stimulus.before {
                        self.world.apply(index, *tag, Do::Show(*value));
                    }
                    for (wave, play) in &stimulus.before_waves {
                        self.world.play(index, *wave, play);
                    }
                    self.settle();
                    if let Next::Stuck(cause) = self.arm(plan)? {
                        untested.push(Untested {
                            what: format!("rule {}: {}", rule.id, stimulus.describe(lane)),
                            why: format!("the guard could not be reset before it: {cause}"),
                        });
                        // What somebody recorded as the beginning of a case may itself stop: the others are walked.
                        self.calm(index, lane, scene);
                        self.settle();
                        if stimulus.origin.is_some() && matches!(self.arm(plan)?, Next::Go) {
                            continue;
                        }
                        let cause = with_what_to_do(cause, lane, scene, &self.known.file);
                        report.broken_off = Some(cause.clone());
                        stuck = Some(cause);
                        break;
                    }
                    let result = self.path(index, lane, rule, &stimulus, stands)?;
                    (self.say)(&format!(
                        "{:<10}  {}: {}",
                        result.outcome.as_str(),
                        result.rule,
                        result.stimulus
                    ));
                    report.paths.push(result);
                    self.calm(index, lane, scene);
                }
                if scene.is_of_analyzers(number) {
                    report.note_unproved(&lane.name, &rule.id);
                }
            }
        }
        Ok(())
    }

    /// Shows on every input the value at which nothing trips.
    fn calm(&self, index: usize, lane: &LanePlan, scene: &Scene<'_>) {
        for (tag, value) in (0_u16..).zip(&scene.values) {
            if !scene.is_fixed(usize::from(tag)) || !is_feedback(lane, tag) {
                self.world.apply(index, TagId(tag), Do::Show(*value));
            }
        }
        for (wave, play) in self.rests.get(index).into_iter().flatten().enumerate() {
            self.world.play(index, wave, play);
        }
    }

    /// What must trip a rule over plain inputs: computed, else recorded.
    fn plain_stimuli(
        &self,
        lane: &LanePlan,
        scene: &mut Scene<'_>,
        rule: usize,
    ) -> (Vec<Stimulus>, Vec<Untested>) {
        let (mut stimuli, mut open) = scene.stimuli(rule);
        if stimuli.iter().any(Stimulus::shows_values) {
            return (stimuli, open);
        }
        let recorded = self.known.of_cases(lane, scene, rule);
        for stimulus in recorded.into_iter().filter(Stimulus::shows_values) {
            for (tag, _) in stimulus.moments().flat_map(|(inputs, _)| inputs) {
                let tag = lane.tags.get(usize::from(tag.0));
                let ending = tag.map(|tag| format!(", value of {}", tag.name));
                open.retain(|open| !ending.as_ref().is_some_and(|end| open.what.ends_with(end)));
            }
            stimuli.push(stimulus);
        }
        (stimuli, open)
    }

    /// Until every input shows what it is to show.
    fn settle(&self) {
        let until = Instant::now() + PATIENCE + self.slack;
        while self.world.moves() && Instant::now() < until {
            std::thread::sleep(LOOK_EVERY * 5);
        }
    }

    fn act(&self, lane: usize, inputs: &[(TagId, Do)], waves: &[(usize, Play)]) {
        for (tag, act) in inputs {
            self.world.apply(lane, *tag, *act);
        }
        for (wave, play) in waves {
            self.world.play(lane, *wave, play);
        }
    }

    /// Resets until everything runs.
    fn arm(&mut self, plan: &Plan) -> Result<Next, ProofError> {
        let until = Instant::now() + PATIENCE + self.slack;
        loop {
            if self.all_run(plan)? {
                return Ok(Next::Go);
            }
            let cause = match watch::reset(&self.socket)? {
                Ok(()) => {
                    let running = (Instant::now() + RUNS_WITHIN).min(until);
                    while Instant::now() < running {
                        if self.all_run(plan)? {
                            return Ok(Next::Go);
                        }
                        std::thread::sleep(LOOK_EVERY * 5);
                    }
                    "it was granted, and an output did not run after it".to_owned()
                }
                Err(refusal) => refusal,
            };
            if Instant::now() >= until {
                return Ok(Next::Stuck(cause));
            }
            std::thread::sleep(LOOK_EVERY * 20);
        }
    }

    fn all_run(&self, plan: &Plan) -> Result<bool, ProofError> {
        let status = watch::status(&self.socket)?;
        for (index, lane) in plan.lanes.iter().enumerate() {
            for (number, output) in lane.outputs.iter().enumerate() {
                let granted = watch::output(&status, &lane.name, &output.name)
                    .is_some_and(|state| state.permit == "granted" && state.confirmed);
                if !granted || !self.world.runs(index, number) {
                    return Ok(false);
                }
            }
        }
        Ok(status.state.permits())
    }

    /// `stands`: what makes the rule true is there as long as it is shown.
    fn path(
        &mut self,
        index: usize,
        lane: &LanePlan,
        rule: &RulePlan,
        stimulus: &Stimulus,
        stands: bool,
    ) -> Result<PathResult, ProofError> {
        let mut watch = Watch::begin(&self.socket, &rule.id)?;
        let stopped: Vec<usize> = outputs_of(lane, rule);
        let limit = limit(lane, rule, stimulus, self.world, index);
        let mut words = stimulus.describe(lane);
        if let Some((tag, Do::Fail)) = stimulus.inputs.first() {
            words.push_str(&format!(" ({})", self.world.way_of_failing(index, *tag)));
        }
        let began = self.world.now();
        self.act(index, &stimulus.inputs, &stimulus.waves);
        let mut later = stimulus.later.iter().peekable();
        let mut agreed = false;
        let mut ask_at = Instant::now();
        let give_up = Instant::now() + span(limit) + self.slack + PATIENCE;
        while Instant::now() < give_up {
            watch.take(LOOK_EVERY)?;
            let passed = self.world.now().saturating_sub(began);
            while let Some(moment) = later.next_if(|moment| moment.after <= passed) {
                self.act(index, &moment.inputs, &moment.waves);
            }
            let all_safe = stopped
                .iter()
                .all(|output| self.has_stopped(index, *output, began));
            if watch.cause.is_some() && all_safe && Instant::now() >= ask_at {
                ask_at = Instant::now() + LOOK_EVERY * 10;
                if self.guard_agrees(lane, &stopped)? {
                    agreed = true;
                    break;
                }
            }
            if !watch.edm_faults.is_empty() {
                break;
            }
        }
        let reset_refused = if agreed && stands && stimulus.later.is_empty() {
            self.is_reset_refused(lane, rule)?
        } else {
            None
        };
        // What was said meanwhile.
        watch.take(LOOK_EVERY * 20)?;
        let mut outputs = Vec::new();
        let mut why = None;
        for number in stopped {
            let (result, reason) = self.judge(index, lane, number, began, limit, &watch);
            why = why.or(reason);
            outputs.push(result);
        }
        let cause = watch.cause.clone();
        let analyzers: Vec<String> = of_rule(lane, rule)
            .map(|(_, name, _)| name.to_owned())
            .collect();
        let failed = watch
            .failed
            .iter()
            .find(|(name, _)| analyzers.contains(name));
        let faster = watch.latched_by.iter().find(|other| **other != rule.id);
        let outcome = if let (None, None, Some(other)) = (&cause, &why, faster) {
            why = Some(format!(
                "rule {other} stopped the outputs first, and this one did not become active"
            ));
            Outcome::NotProved
        } else if cause.is_none() {
            why = Some(match (failed, why) {
                (Some((analyzer, fault)), _) => format!("{analyzer} failed ({fault})"),
                (None, _) if analyzers.is_empty() => "the rule did not see it".to_owned(),
                (None, _) => format!(
                    "{} said nothing that makes the rule true",
                    analyzers.join(" and ")
                ),
            });
            Outcome::Failed
        } else if outputs.iter().any(|output| !output.passed) {
            Outcome::Failed
        } else if watch.missed {
            why = Some("the guard says that the rule's deadline was missed".to_owned());
            Outcome::Failed
        } else if reset_refused == Some(false) {
            why = Some("it was reset while its cause stood".to_owned());
            Outcome::Failed
        } else if let Some((analyzer, fault)) = failed.filter(|_| stimulus.shows_values()) {
            why = Some(format!(
                "stopped because {analyzer} failed ({fault}), not because of what it said"
            ));
            Outcome::NotProved
        } else if stimulus.shows_values() && cause.as_deref() != Some("condition") {
            why = Some(format!(
                "stopped by `{}`, not by its condition: the setpoint is not proved",
                cause.as_deref().unwrap_or_default()
            ));
            Outcome::NotProved
        } else {
            Outcome::Passed
        };
        Ok(PathResult {
            lane: lane.name.clone(),
            rule: rule.id.clone(),
            stimulus: words,
            stimulus_sha256: stimulus.origin.as_ref().map(|_| stimulus.digest()),
            analyzers,
            outcome,
            why,
            cause,
            limit_ns: limit.as_ns(),
            confirmed_ns: watch.confirmed_ns,
            reset_refused,
            outputs,
        })
    }
}

//! The same paths on the machine itself: the guard that protects it, its devices, and a person who applies the stimulus.
//!
//! Nothing is moved without a word of that person: the reset that lets the machine run, and each stimulus, which is theirs
//! to apply. The guard alone stops; this only looks and writes down.

use std::io::{self, BufRead as _, Write as _};
use std::path::Path;
use std::time::{Duration, Instant};

use appliance_control::Proof;
use rules_bundle::{BundleKey, LanePlan, Level, RulePlan};

use super::ProofError;
use super::known::{of_rule, silence};
use super::report::{Mode, NotTested, Outcome, OutputResult, PathResult, Report};
use super::scene::{Scene, Stimulus};
use super::watch::{self, Watch};
use crate::build::{self, BuildError, Checked};

/// How long a person may take to apply a stimulus.
const APPLIED_WITHIN: Duration = Duration::from_secs(120);
/// How long the machine may take to run after a reset, and to be proved stopped after a trip.
const MACHINE_WITHIN: Duration = Duration::from_secs(30);
/// How often is looked.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// What the person said.
enum Word {
    Go,
    Skip,
}

/// Proves what a person lets it prove. `asks`: whether each step needs a word.
pub(super) fn on_the_machine(
    checked: Checked,
    socket: &Path,
    only: Option<&str>,
    asks: bool,
) -> Result<Report, ProofError> {
    // What runs has been built; here it is only compared.
    let key = BundleKey::of_this_process().map_err(BuildError::Key)?;
    let built = build::compile(checked, &key)?;
    let plan = &built.bundle.plan;
    let hash = built.bundle.hash.to_string();
    let running = watch::status(socket)?.bundle.clone();
    if running != hash {
        return Err(ProofError::OtherBundle {
            running,
            pack: hash,
        });
    }
    let mut report = Report::begin(Mode::Machine, plan, hash);
    for lane in &plan.lanes {
        let mut scene = match Scene::new(lane, &[]) {
            Ok(scene) => scene,
            Err(rules) => {
                return Err(ProofError::NeverQuiet {
                    lane: lane.name.clone(),
                    rules,
                });
            }
        };
        for (number, rule) in lane.rules.iter().enumerate() {
            if rule.level != Level::Danger || only.is_some_and(|only| only != rule.id) {
                continue;
            }
            let (stimuli, open) = if scene.is_of_analyzers(number) {
                (of_analyzers(lane, rule), Vec::new())
            } else {
                scene.stimuli(number)
            };
            report
                .not_tested
                .extend(open.into_iter().map(NotTested::from));
            for stimulus in stimuli {
                let what = format!("rule {}: {}", rule.id, stimulus.describe(lane));
                if stimulus.forges() {
                    let why = "nobody is asked to forge messages: --simulate does it".to_owned();
                    report.not_tested.push(NotTested { what, why });
                    continue;
                }
                match path(socket, lane, rule, &stimulus, asks)? {
                    Ok(result) => report.paths.push(result),
                    Err(why) => report.not_tested.push(NotTested { what, why }),
                }
            }
            if scene.is_of_analyzers(number) {
                report.note_unproved(&lane.name, &rule.id);
            }
        }
    }
    Ok(report.end())
}

/// What a person must do for a rule that reads what analyzers derive: which signal that takes, they know.
fn of_analyzers(lane: &LanePlan, rule: &RulePlan) -> Vec<Stimulus> {
    let name = |tag: drivers_frame::TagId| {
        let tag = lane.tags.get(usize::from(tag.0));
        tag.map(|tag| tag.name.as_str())
    };
    let mut stimuli = Vec::new();
    let mut looks_at = Vec::new();
    for (_, analyzer, plan) in of_rule(lane, rule) {
        let wave = plan.waveform.map(|used| usize::from(used.index.0));
        let wave = wave.and_then(|index| lane.waveforms.get(index));
        let tags = plan.inputs.iter().filter_map(|input| name(input.tag));
        let signals: Vec<&str> = wave
            .map(|wave| wave.name.as_str())
            .into_iter()
            .chain(tags)
            .collect();
        looks_at.push(format!("{analyzer} ({})", signals.join(", ")));
        stimuli.extend(silence(lane, plan));
    }
    let shown = Stimulus {
        origin: Some(format!(
            "a signal that makes this rule true by what {} says: a shaker, a calibrator, or recorded blocks in the place of the sensor",
            looks_at.join(" and ")
        )),
        ..Stimulus::default()
    };
    stimuli.insert(0, shown);
    stimuli
}

/// One path. `Err` says why it was not walked.
fn path(
    socket: &Path,
    lane: &LanePlan,
    rule: &RulePlan,
    stimulus: &Stimulus,
    asks: bool,
) -> Result<Result<PathResult, String>, ProofError> {
    let outputs: Vec<String> = rule
        .stops
        .iter()
        .filter_map(|output| lane.outputs.get(usize::from(*output)))
        .map(|output| output.name.clone())
        .collect();
    let Some(first) = outputs.first() else {
        return Ok(Err("the rule stops nothing".to_owned()));
    };
    tell("")?;
    tell(&format!("Rule {}: {}", rule.id, rule.message))?;
    tell(&format!("  stops {}", outputs.join(", ")))?;
    tell(&format!("  stimulus: {}", stimulus.describe(lane)))?;
    if !stimulus.before.is_empty() {
        tell("  Bring the machine into the state before `then` first, without the rest.")?;
    }
    if !watch::status(socket)?.state.permits() {
        tell(
            "  The machine is stopped. For this test it must run: the next step is a reset, and MAY START IT.",
        )?;
        if asks && matches!(ask(first)?, Word::Skip) {
            return Ok(Err("left out by the person at the machine".to_owned()));
        }
        if let Err(cause) = run(socket)? {
            return Ok(Err(format!("the guard could not be reset: {cause}")));
        }
    }
    tell("  The machine runs. The next step is yours: the stimulus, which must STOP it.")?;
    if asks && matches!(ask(first)?, Word::Skip) {
        return Ok(Err("left out by the person at the machine".to_owned()));
    }
    let mut watch = Watch::begin(socket, &rule.id)?;
    tell(&format!(
        "  Apply it now: {} (within {} s)",
        stimulus.describe(lane),
        APPLIED_WITHIN.as_secs()
    ))?;
    let until = Instant::now() + APPLIED_WITHIN;
    while watch.cause.is_none() && Instant::now() < until {
        watch.take(LOOK_EVERY)?;
    }
    let mut results = Vec::new();
    let mut why = None;
    if watch.cause.is_none() {
        why = Some(
            "the rule did not become active: the stimulus was not applied, or was not seen"
                .to_owned(),
        );
    } else {
        settle(socket, lane, &outputs, &mut watch)?;
    }
    let status = watch::status(socket)?;
    for name in outputs {
        let state = watch::output(&status, &lane.name, &name);
        let planned = lane.outputs.iter().find(|output| output.name == name);
        let has_feedback = planned.is_some_and(|output| output.feedback.is_some());
        let stopped = state.is_some_and(|state| {
            state.permit == "withheld"
                && state.confirmed
                && state
                    .proof
                    .read_back
                    .is_none_or(|proof| proof == Proof::Proved)
        });
        let followed = !watch.edm_faults.contains(&name)
            && (!has_feedback
                || state.is_some_and(|state| state.proof.feedback == Some(Proof::Proved)));
        if watch.cause.is_some() && !stopped {
            why.get_or_insert_with(|| format!("the stop of {name} is not proved"));
        } else if watch.cause.is_some() && !followed {
            why.get_or_insert_with(|| {
                format!("{name} was stopped and its actuator did not follow (EDM fault)")
            });
        }
        results.push(OutputResult {
            output: name,
            safe_after_ns: None,
            feedback_after_ns: None,
            has_feedback,
            passed: stopped && followed,
        });
    }
    let analyzers: Vec<String> = of_rule(lane, rule)
        .map(|(_, name, _)| name.to_owned())
        .collect();
    let failed = watch
        .failed
        .iter()
        .find(|(name, _)| analyzers.contains(name));
    let outcome = if watch.cause.is_none() {
        Outcome::NotProved
    } else if results.iter().any(|output| !output.passed) {
        Outcome::Failed
    } else if watch.missed {
        why = Some("the guard says that the rule's deadline was missed".to_owned());
        Outcome::Failed
    } else if let Some((analyzer, fault)) = failed.filter(|_| stimulus.shows_values()) {
        why = Some(format!(
            "stopped because {analyzer} failed ({fault}), not because of what it said"
        ));
        Outcome::NotProved
    } else if stimulus.shows_values() && watch.cause.as_deref() != Some("condition") {
        why = Some(
            "stopped by a bad input, not by its condition: the setpoint is not proved".to_owned(),
        );
        Outcome::NotProved
    } else {
        Outcome::Passed
    };
    tell(&format!("  {}", outcome.as_str()))?;
    if let Some(why) = &why {
        tell(&format!("  {why}"))?;
    }
    tell("  Take the stimulus away again.")?;
    Ok(Ok(PathResult {
        lane: lane.name.clone(),
        rule: rule.id.clone(),
        stimulus: stimulus.describe(lane),
        // What a person applied is in their own record.
        stimulus_sha256: None,
        analyzers,
        outcome,
        why,
        cause: watch.cause.clone(),
        limit_ns: rule.deadline.map_or(0, drivers_frame::DurNs::as_ns),
        confirmed_ns: watch.confirmed_ns,
        reset_refused: None,
        outputs: results,
    }))
}

/// Resets until the permits flow.
fn run(socket: &Path) -> Result<Result<(), String>, ProofError> {
    let until = Instant::now() + APPLIED_WITHIN;
    let mut told = String::new();
    loop {
        match watch::reset(socket)? {
            Ok(()) => return Ok(Ok(())),
            Err(cause) if Instant::now() >= until => return Ok(Err(cause)),
            Err(cause) => {
                if cause != told {
                    tell(&format!("  the reset is refused: {cause}"))?;
                    told = cause;
                }
            }
        }
        std::thread::sleep(LOOK_EVERY * 10);
    }
}

/// Waits until every stop is proved, or its time is over.
fn settle(
    socket: &Path,
    lane: &LanePlan,
    outputs: &[String],
    watch: &mut Watch,
) -> Result<(), ProofError> {
    let until = Instant::now() + MACHINE_WITHIN;
    while Instant::now() < until && watch.edm_faults.is_empty() {
        watch.take(LOOK_EVERY)?;
        let status = watch::status(socket)?;
        let proved = outputs.iter().all(|name| {
            watch::output(&status, &lane.name, name).is_some_and(|state| {
                let proof = &state.proof;
                state.permit == "withheld"
                    && state.confirmed
                    && proof.feedback.is_none_or(|proof| proof == Proof::Proved)
                    && proof.read_back.is_none_or(|proof| proof == Proof::Proved)
            })
        });
        if proved {
            break;
        }
    }
    Ok(watch.take(LOOK_EVERY)?)
}

fn tell(line: &str) -> Result<(), ProofError> {
    let mut stdout = io::stdout().lock();
    writeln!(stdout, "{line}")
        .and_then(|()| stdout.flush())
        .map_err(ProofError::Terminal)
}

/// Asks for the output's name: a word that nobody types by mistake.
fn ask(output: &str) -> Result<Word, ProofError> {
    loop {
        let mut stdout = io::stdout().lock();
        write!(
            stdout,
            "  Type {output} to go on, s to leave this path out, q to end: "
        )
        .and_then(|()| stdout.flush())
        .map_err(ProofError::Terminal)?;
        drop(stdout);
        let mut line = String::new();
        let read = io::stdin().lock().read_line(&mut line);
        if read.map_err(ProofError::Terminal)? == 0 {
            return Err(ProofError::Ended);
        }
        match line.trim() {
            "q" => return Err(ProofError::Ended),
            "s" => return Ok(Word::Skip),
            word if word == output => return Ok(Word::Go),
            _ => {}
        }
    }
}

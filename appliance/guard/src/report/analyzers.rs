//! Analyzers in names.

use std::sync::{Arc, Mutex};

use appliance_control::{AnalyzerStatus, EventBody};
use appliance_lane::EventKind;
use appliance_lane::analyzer::CanaryState;
use rules_bundle::{AnalyzerPlan, FailureVerdict, LanePlan, ModulePlan};

use crate::analyzers::{BackgroundView, Figures};
use crate::message::Snapshot;

/// The name and plan of an analyzer, by the number that the lane knows it by.
fn find(plan: &LanePlan, analyzer: u16) -> Option<(&str, &AnalyzerPlan)> {
    let mut analyzers = plan.analyzers();
    let (_, name, plan) = analyzers.nth(usize::from(analyzer))?;
    Some((name, plan))
}

/// The word of a cause, by its number in a verdict.
fn cause_word(modules: &[ModulePlan], plan: &AnalyzerPlan, cause: u8) -> Option<String> {
    let module = modules.get(usize::from(plan.module))?;
    let position = usize::from(cause).checked_sub(1)?;
    module.causes.get(position).cloned()
}

/// An analyzer's event in names; `None` when it is no event of an analyzer, or of one that does not exist.
pub(super) fn event_body(
    plan: &LanePlan,
    modules: &[ModulePlan],
    kind: &EventKind,
) -> Option<EventBody> {
    Some(match *kind {
        EventKind::AnalyzerVerdict { analyzer, verdict } => {
            let (name, plan) = find(plan, analyzer)?;
            EventBody::Analyzer {
                analyzer: name.to_owned(),
                level: level_word(verdict.level).to_owned(),
                cause: cause_word(modules, plan, verdict.cause),
            }
        }
        EventKind::AnalyzerFailed { analyzer, fault } => {
            let (name, plan) = find(plan, analyzer)?;
            EventBody::AnalyzerFault {
                analyzer: name.to_owned(),
                cause: fault.as_str().to_owned(),
                verdict: failure_word(plan).to_owned(),
            }
        }
        EventKind::AnalyzerReplaced { analyzer, left } => EventBody::AnalyzerReplaced {
            analyzer: find(plan, analyzer)?.0.to_owned(),
            left: u64::from(left),
        },
        EventKind::CanaryMissed { analyzer } => canary(plan, analyzer, true)?,
        EventKind::CanaryPassed { analyzer } => canary(plan, analyzer, false)?,
        EventKind::Replayed { analyzer, state } => EventBody::Replay {
            analyzer: find(plan, analyzer)?.0.to_owned(),
            result: state.as_str()?.to_owned(),
        },
        _ => return None,
    })
}

fn canary(plan: &LanePlan, analyzer: u16, missed: bool) -> Option<EventBody> {
    Some(EventBody::Canary {
        analyzer: find(plan, analyzer)?.0.to_owned(),
        missed,
    })
}

/// The word of the verdict that counts when it failed.
const fn failure_word(plan: &AnalyzerPlan) -> &'static str {
    match plan.on_failure {
        FailureVerdict::Trip => "danger",
        FailureVerdict::Alarm => "alert",
    }
}

/// A lane's analyzers in names. `views` are those of class background, by number; `figures` what was added up so far.
pub(crate) fn analyzer_statuses(
    plan: &LanePlan,
    modules: &[ModulePlan],
    snapshot: &Snapshot,
    views: &[Option<Arc<Mutex<BackgroundView>>>],
    figures: &[Figures],
) -> Vec<AnalyzerStatus> {
    plan.analyzers()
        .zip(&snapshot.analyzers)
        .zip(views)
        .zip(figures)
        .filter_map(|((((_, name, analyzer), state), view), figures)| {
            let module = modules.get(usize::from(analyzer.module))?;
            let mut status = AnalyzerStatus {
                name: name.to_owned(),
                module: module.name.clone(),
                version: module.version,
                class: analyzer.class.as_str().to_owned(),
                signer: module
                    .signature
                    .as_ref()
                    .map(|signature| signature.signer.clone()),
                calls: state.view.calls,
                faults: state.view.faults,
                replaced: state.view.replaced,
                spares: state.spares.map(u64::from),
                verdict: None,
                cause: None,
                fault: None,
                canary: match state.view.canary {
                    CanaryState::None => None,
                    CanaryState::Alive => Some("alive".to_owned()),
                    CanaryState::Missed => Some("missed".to_owned()),
                },
                replay: state.view.replay.as_str().map(ToOwned::to_owned),
                fuel_p99: None,
                fuel_limit: analyzer.fuel,
                time_p99_ns: None,
                time_max_ns: None,
                deadline_ns: analyzer.deadline.as_ns(),
            };
            let mut last = state.view.last;
            // A poisoned lock is a thread that panicked: what it showed before still stands.
            let view = view
                .as_ref()
                .map(|view| view.lock().unwrap_or_else(|poisoned| poisoned.into_inner()));
            if let Some(view) = &view {
                status.faults = status.faults.saturating_add(view.faults);
                status.replaced = view.replaced;
                status.spares = view.spares.map(u64::from);
                last = view.last;
                costs(&mut status, &view.figures);
            } else {
                costs(&mut status, figures);
            }
            match last {
                None => {}
                Some(Ok(verdict)) => {
                    status.verdict = Some(level_word(verdict.level).to_owned());
                    status.cause = cause_word(modules, analyzer, verdict.cause);
                }
                Some(Err(fault)) => {
                    status.verdict = Some(failure_word(analyzer).to_owned());
                    status.fault = Some(fault.as_str().to_owned());
                }
            }
            Some(status)
        })
        .collect()
}

fn costs(status: &mut AnalyzerStatus, figures: &Figures) {
    status.fuel_p99 = figures.fuel_p99();
    status.time_p99_ns = figures.time_p99_ns();
    status.time_max_ns = status
        .time_p99_ns
        .is_some()
        .then(|| figures.time_max.as_ns());
}

/// The word of a level.
const fn level_word(level: rules_sdk_abi::Level) -> &'static str {
    match level {
        rules_sdk_abi::Level::Normal => "normal",
        rules_sdk_abi::Level::Alert => "alert",
        rules_sdk_abi::Level::Danger => "danger",
    }
}

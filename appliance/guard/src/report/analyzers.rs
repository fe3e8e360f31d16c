//! Analyzers in names.

use appliance_control::EventBody;
use appliance_lane::EventKind;
use rules_bundle::{AnalyzerPlan, FailureVerdict, LanePlan, ModulePlan};

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
                verdict: match plan.on_failure {
                    FailureVerdict::Trip => "danger",
                    FailureVerdict::Alarm => "alert",
                }
                .to_owned(),
            }
        }
        EventKind::AnalyzerReplaced { analyzer, left } => EventBody::AnalyzerReplaced {
            analyzer: find(plan, analyzer)?.0.to_owned(),
            left: u64::from(left),
        },
        EventKind::CanaryMissed { analyzer } => canary(plan, analyzer, true)?,
        EventKind::CanaryPassed { analyzer } => canary(plan, analyzer, false)?,
        _ => return None,
    })
}

fn canary(plan: &LanePlan, analyzer: u16, missed: bool) -> Option<EventBody> {
    Some(EventBody::Canary {
        analyzer: find(plan, analyzer)?.0.to_owned(),
        missed,
    })
}

/// The word of a level.
pub(crate) const fn level_word(level: rules_sdk_abi::Level) -> &'static str {
    match level {
        rules_sdk_abi::Level::Normal => "normal",
        rules_sdk_abi::Level::Alert => "alert",
        rules_sdk_abi::Level::Danger => "danger",
    }
}

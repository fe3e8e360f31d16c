//! What is allowed of analyzers but probably not meant: a stop that hangs on the background, a silent analyzer that nothing
//! tries, a waveform that nobody looks at.

use rules_bundle::{AnalyzerClass, Level};

use super::lints::All;
use super::model::Link;
use crate::finding::Code;
use crate::read::Cx;

/// Remarks on a pack's analyzers.
pub(super) fn lint(all: &All<'_>, cx: &mut Cx<'_, '_>) {
    background_dangers(all, cx);
    no_canary(all, cx);
    unused_waveforms(all, cx);
}

/// A danger rule that waits for what nobody promised in time.
fn background_dangers(all: &All<'_>, cx: &mut Cx<'_, '_>) {
    for rule in all.rules.iter().filter(|rule| rule.level == Level::Danger) {
        let inputs = rule.inputs(all.votings, all.tags);
        let background = inputs.iter().find_map(|input| {
            let tag = all.tags.iter().find(|tag| tag.name == input.tag())?;
            let device = all.devices.get(tag.device?)?;
            match &device.link {
                Some(Link::Analyzer(analyzer))
                    if analyzer.plan.class == AnalyzerClass::Background =>
                {
                    Some((tag, device))
                }
                _ => None,
            }
        });
        let Some((tag, device)) = background else {
            continue;
        };
        cx.findings
            .warning(
                Code::BackgroundDanger,
                &rule.when_span,
                format!(
                    "the stop of `{}` hangs on `{}`, which `{}` derives in the background: no time is promised for it",
                    rule.id, tag.name, device.name
                ),
                "give the analyzer the class `safety`, or let the rule be an alert; until its outputs are stale nothing stops",
            )
            .label("from the background");
    }
}

/// An analyzer that says nothing may have nothing to say, or be dead.
fn no_canary(all: &All<'_>, cx: &mut Cx<'_, '_>) {
    for device in all.devices {
        let Some(Link::Analyzer(analyzer)) = &device.link else {
            continue;
        };
        if analyzer.plan.class == AnalyzerClass::Safety && analyzer.plan.canary.is_none() {
            cx.findings
                .warning(
                    Code::NoCanary,
                    &analyzer.class_span,
                    format!(
                        "nothing shows that `{}` would speak if it had to",
                        device.name
                    ),
                    "add a `canary`: a frame that must alarm, given to a copy now and then",
                )
                .label("never tried");
        }
    }
}

fn unused_waveforms(all: &All<'_>, cx: &mut Cx<'_, '_>) {
    for waveform in all.waveforms.iter().filter(|waveform| !waveform.used.get()) {
        cx.findings
            .warning(
                Code::UnusedWaveform,
                &waveform.span,
                format!("no analyzer looks at the waveform `{}`", waveform.name),
                "name it in an analyzer, `waveform:`, or remove it; its blocks are read all the same",
            )
            .label("not looked at");
    }
}

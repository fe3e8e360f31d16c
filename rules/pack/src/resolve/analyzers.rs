//! Waveforms and analyzers of one lane: the pack's indices become the lane's.

use drivers_frame::{TagId, WaveformId};
use rules_bundle::{AnalyzerInput, AnalyzerOutput, AnalyzerPlan, WaveformPlan, WaveformUse};

use super::Ids;
use crate::check::Parts;

/// The waveforms of a lane, by their ids there.
pub(super) fn waveforms(parts: &Parts<'_>, ids: &Ids) -> Option<Vec<WaveformPlan>> {
    let mut ordered: Vec<(&usize, &WaveformId)> = ids.waveforms.iter().collect();
    ordered.sort_by_key(|(_, id)| id.0);
    ordered
        .into_iter()
        .map(|(index, _)| {
            let waveform = parts.waveforms.get(*index)?;
            Some(WaveformPlan {
                device: *ids.devices.get(&waveform.device?)?,
                ..waveform.plan.clone()?
            })
        })
        .collect()
}

/// An analyzer with the lane's indices.
pub(super) fn plan(pack: &AnalyzerPlan, ids: &Ids) -> Option<AnalyzerPlan> {
    let tag = |tag: TagId| ids.tags.get(&usize::from(tag.0)).copied();
    Some(AnalyzerPlan {
        inputs: pack
            .inputs
            .iter()
            .map(|input| {
                Some(AnalyzerInput {
                    tag: tag(input.tag)?,
                    ..*input
                })
            })
            .collect::<Option<_>>()?,
        waveform: match pack.waveform {
            None => None,
            Some(used) => Some(WaveformUse {
                index: *ids.waveforms.get(&usize::from(used.index.0))?,
                ..used
            }),
        },
        outputs: pack
            .outputs
            .iter()
            .map(|output| {
                Some(AnalyzerOutput {
                    tag: tag(output.tag)?,
                    ..*output
                })
            })
            .collect::<Option<_>>()?,
        verdict: tag(pack.verdict)?,
        cause: tag(pack.cause)?,
        ..pack.clone()
    })
}

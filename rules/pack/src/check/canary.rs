//! Canaries: a stimulus that is known to be bad, and what the analyzer must say to it.

use rt_config::limits::CANARY_EVERY_MIN_MS;
use rules_bundle::{CanaryPlan, Level};
use rules_sdk_abi::metadata::Metadata;

use super::modules::Modules;
use super::ns;
use super::text::positive;
use super::wiring::{by_input, in_unit, missing};
use crate::beside::Beside;
use crate::finding::Code;
use crate::raw::{self, LevelWord};
use crate::read::Cx;

/// Checks a canary against its module.
pub(super) fn canary(
    raw: &raw::Canary,
    module: &Metadata,
    modules: &mut Modules,
    beside: &dyn Beside,
    cx: &mut Cx<'_, '_>,
) -> Option<CanaryPlan> {
    let every = positive("every", raw.every.get(), 0, cx);
    let within = positive("within", raw.within.get(), 0, cx);
    let least = CANARY_EVERY_MIN_MS.saturating_mul(1_000_000);
    if let Some(written) = raw.every.get().filter(|_| every > 0 && every < least) {
        cx.findings
            .error(
                Code::BadCanary,
                &written.span,
                format!(
                    "a trial costs as much as a frame, so at most one every {} is allowed",
                    ns(least)
                ),
                "write how long a dead analyzer may go unnoticed, such as `every: 1min`",
            )
            .label("too often");
        return None;
    }
    if let Some(written) = raw.within.get().filter(|_| every > 0 && within > every) {
        cx.findings
            .error(
                Code::BadCanary,
                &written.span,
                "the next trial would be due before this one has to be over",
                "write a `within` that is not longer than `every`",
            )
            .label("longer than `every`");
        return None;
    }
    let inputs = stimulus(raw, module, cx);
    let block = match (&module.waveform, &raw.block) {
        (None, None) => Some(None),
        (None, Some(path)) => {
            cx.findings
                .error(
                    Code::BadCanary,
                    &path.span,
                    format!("the module `{}` takes no waveform", module.name),
                    "remove `block`",
                )
                .label("not taken");
            None
        }
        (Some(_), None) => {
            if !raw.has("block") {
                cx.findings
                    .error(
                        Code::BadCanary,
                        &raw.at,
                        format!(
                            "the module `{}` takes a waveform, and its canary brings none",
                            module.name
                        ),
                        "record a block that must alarm and name its file: `block: outer-race.f32`",
                    )
                    .label("needs `block`");
            }
            None
        }
        (Some(waveform), Some(path)) => modules.block(path, waveform, beside, cx).map(Some),
    };
    raw.every.get()?;
    raw.within.get()?;
    Some(CanaryPlan {
        every: ns(every),
        expect: match raw.expect {
            Some(LevelWord::Alert) => Level::Alert,
            Some(LevelWord::Danger) | None => Level::Danger,
        },
        within: ns(within),
        frames: raw.frames.as_ref().map_or(1, |frames| frames.to()),
        inputs: inputs?,
        block: block?,
    })
}

fn stimulus(raw: &raw::Canary, module: &Metadata, cx: &mut Cx<'_, '_>) -> Option<Vec<f64>> {
    if raw.has("inputs") && raw.inputs.is_none() {
        return None;
    }
    let (given, absent) = by_input(raw.inputs.as_ref(), module, cx);
    missing(
        "input",
        &absent,
        "give each a value under the canary's `inputs`, with its unit: a stimulus is a whole frame",
        module,
        raw.key_span("inputs").unwrap_or(&raw.at),
        cx,
    );
    let pairs = module.inputs.iter().zip(given);
    // Every one is looked at, so that all are reported.
    let values: Vec<Option<f64>> = pairs
        .map(|(input, given)| {
            let value = given?.value.as_ref()?;
            in_unit(value, &input.unit, "input", &input.name, cx)
        })
        .collect();
    values.into_iter().collect()
}

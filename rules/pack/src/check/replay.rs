//! Replays: the newest calls of an analyzer, given to a clean instance.

use drivers_frame::DurNs;
use rt_config::limits::{ANALYZER_RECORD_BYTES_MAX, ANALYZER_REMEMBERS_MAX, REPLAY_EVERY_MIN_MS};
use rules_bundle::ReplayPlan;
use rules_sdk_abi::SampleFormat;
use rules_sdk_abi::metadata::{Metadata, REMEMBERS_MAX};

use super::ns;
use super::text::positive;
use crate::finding::Code;
use crate::raw;
use crate::read::Cx;

const _: () = assert!(ANALYZER_REMEMBERS_MAX == REMEMBERS_MAX, "one limit");

/// What is kept of a call, and how often there is one.
pub(super) struct Kept {
    /// Scalar inputs.
    pub(super) inputs: usize,
    /// Samples of a block.
    pub(super) block: Option<(SampleFormat, u32)>,
    /// Shortest time between two calls.
    pub(super) period_ns: u64,
}

/// Checks a replay against its module, whose parameters are `params`.
pub(super) fn replay(
    raw: &raw::Replay,
    module: &Metadata,
    params: &[f64],
    kept: &Kept,
    cx: &mut Cx<'_, '_>,
) -> Option<ReplayPlan> {
    let every = positive("every", raw.every.get(), 0, cx);
    let within = positive("within", raw.within.get(), 0, cx);
    let (written_every, written_within) = (raw.every.get()?, raw.within.get()?);
    let mut refuse = |span, problem: String, help: String, label: &str| {
        cx.findings
            .error(Code::BadReplay, span, problem, help)
            .label(label);
    };
    if every == 0 || within == 0 {
        return None;
    }
    let least = DurNs::from_ms(REPLAY_EVERY_MIN_MS);
    if ns(every) < least {
        refuse(
            &written_every.span,
            format!("each comparison makes an instance anew, so at most one every {least} is allowed"),
            "write how long an analyzer may go on that its own history has spoiled, such as `every: 10min`".to_owned(),
            "too often",
        );
        return None;
    }
    if within > every {
        refuse(
            &written_within.span,
            "the next comparison would be due before this one has to be over".to_owned(),
            "write a `within` that is not longer than `every`".to_owned(),
            "longer than `every`",
        );
        return None;
    }
    let Some(calls) = module.remembers(params) else {
        refuse(
            &raw.at,
            format!(
                "the author of `{}` does not say how much it remembers: after how many calls a clean instance must answer the same is not known",
                module.name
            ),
            "remove `replay`, or ask the author to state `worst_case.remembers` (docs/analyzer-abi.md)"
                .to_owned(),
            "cannot be compared",
        );
        return None;
    };
    let most = u64::from(ANALYZER_REMEMBERS_MAX);
    if calls > most {
        refuse(
            &raw.at,
            format!(
                "with these parameters `{}` remembers {calls} calls; at most {most} can be replayed",
                module.name
            ),
            "remove `replay`, or give it parameters with which it remembers less".to_owned(),
            "too many calls",
        );
        return None;
    }
    let bytes = ReplayPlan::bytes(calls, kept.inputs, kept.block);
    if bytes > ANALYZER_RECORD_BYTES_MAX {
        refuse(
            &raw.at,
            format!(
                "the {calls} calls that `{}` remembers take {bytes} bytes; at most {ANALYZER_RECORD_BYTES_MAX} are kept",
                module.name
            ),
            "remove `replay`, give it parameters with which it remembers less, or shorter blocks"
                .to_owned(),
            "too much memory",
        );
        return None;
    }
    let calling = DurNs::from_ns(kept.period_ns).times(calls);
    // Whole milliseconds, upwards: for people.
    let calling = DurNs::from_ms(calling.as_ns().div_ceil(1_000_000));
    if ns(within) < calling {
        refuse(
            &written_within.span,
            format!(
                "the {calls} calls that `{}` remembers alone take {calling}",
                module.name
            ),
            format!(
                "write a `within` of more than {calling}, with as much again for calls that bring nothing new"
            ),
            "too short",
        );
        return None;
    }
    Some(ReplayPlan {
        every: ns(every),
        within: ns(within),
        calls: u32::try_from(calls).ok()?,
    })
}

//! What makes a value believable: current loops, checks over time, coming back, envelopes.

use std::collections::HashMap;

use drivers_frame::{CurrentLoop, DurNs, Range, Scaling, ValueType};
use rules_bundle::{CheckPlan, EnvelopePlan, ErrorBudget, FrozenCheck, RateCheck, Reintegration};

use super::meaning::representable;
use super::model::{Link, Place, Tag};
use super::ns;
use super::tags::meaningless;
use super::text::{check_text, positive};
use crate::finding::Code;
use crate::raw::{self, EnvelopeCheck, Reintegrate};
use crate::read::{Cx, Span};
use crate::scalar::{Bounds, Number};
use rt_config::limits::{ENVELOPE_SOURCE_BYTES_MAX, TEXT_BYTES_MAX};

/// Where the live band of a 4-20 mA loop begins, and how wide it is, in mA.
const LIVE_FROM_MA: f64 = 4.0;
const LIVE_MA: f64 = 16.0;

/// What one current loop gives.
pub(super) struct Loop {
    pub(super) scaling: Scaling,
    /// What 4 and 20 mA measure. For people: the bands of NE 43 judge the value.
    pub(super) range: Range,
    pub(super) current: CurrentLoop,
}

/// Scaling and bands of a current loop.
pub(super) fn current_loop(
    raw: &raw::Tag,
    kind: Option<ValueType>,
    cx: &mut Cx<'_, '_>,
) -> Option<Loop> {
    let keys = [
        ("scale", Code::BadCurrentLoop),
        ("offset", Code::BadCurrentLoop),
        ("range", Code::BadCurrentLoop),
    ];
    meaningless(
        raw,
        &keys,
        "a current loop, whose `raw` and `measures` say it",
        cx,
    );
    let current = raw.current_loop.as_ref()?;
    let (stored, measures) = (current.raw.get()?, current.measures.get()?);
    let scale = slope(stored, measures, cx)?;
    if let Some((low, high)) = kind.and_then(representable) {
        let ends = [&stored.min, &stored.max];
        let outside = |number: &&&Number| !(low..=high).contains(&number.value);
        if let Some(number) = ends.iter().find(outside) {
            cx.findings
                .error(
                    Code::BadCurrentLoop,
                    &number.span,
                    format!(
                        "{} is not a value of this type, which holds {low} to {high}",
                        number.value
                    ),
                    "write what the input module stores at 4 mA and at 20 mA, and check `type`",
                )
                .label("cannot be stored");
            return None;
        }
    }
    let (low, high) = (stored.min.value, stored.max.value);
    let ma_scale = LIVE_MA / (high - low);
    Some(Loop {
        scaling: Scaling {
            scale,
            offset: measures.min.value - low * scale,
        },
        range: Range {
            min: measures.min.value.min(measures.max.value),
            max: measures.min.value.max(measures.max.value),
        },
        current: CurrentLoop {
            ma_scale,
            ma_offset: LIVE_FROM_MA - low * ma_scale,
        },
    })
}

/// What one step of the stored number measures.
fn slope(stored: &Bounds, measures: &Bounds, cx: &mut Cx<'_, '_>) -> Option<f64> {
    for (key, bounds) in [("raw", stored), ("measures", measures)] {
        let span = bounds.max.value - bounds.min.value;
        if !(span.is_finite() && span.abs() >= f64::MIN_POSITIVE) {
            cx.findings
                .error(
                    Code::BadCurrentLoop,
                    &bounds.at,
                    format!("`{key}` is the same at 4 mA and at 20 mA, or too far apart"),
                    "write both ends of the loop: `current_loop: { raw: [0, 27648], measures: [0, 150] }`",
                )
                .label("measures nothing");
            return None;
        }
    }
    let step = (measures.max.value - measures.min.value) / (stored.max.value - stored.min.value);
    (step.is_finite() && step.abs() >= f64::MIN_POSITIVE).then_some(step)
}

/// Checks over time, the way back, and what is for topics only.
pub(super) fn judge(raw: &raw::Tag, link: Option<&Link>, tag: &mut Tag, cx: &mut Cx<'_, '_>) {
    if tag.is_bool {
        let keys = [
            ("rate", Code::BadInputCheck),
            ("frozen", Code::BadInputCheck),
        ];
        meaningless(
            raw,
            &keys,
            "a boolean, which jumps when it changes and stands still when it does not",
            cx,
        );
    } else {
        tag.checks.rate = raw.rate.as_ref().and_then(|rate| rate_check(rate, cx));
        tag.checks.frozen = raw
            .frozen
            .as_ref()
            .and_then(|frozen| frozen_check(frozen, cx));
    }
    tag.reintegration = match raw.reintegrate.as_ref() {
        None => Reintegration::After(DurNs::ZERO),
        Some(Reintegrate::Acknowledge) => Reintegration::Acknowledge,
        Some(Reintegrate::After(after)) => {
            Reintegration::After(ns(after.after.get().map_or(0, |after| after.ns)))
        }
    };
    if matches!(link, Some(Link::Modbus(_))) {
        let keys = [("period", Code::MqttOnly), ("envelope", Code::MqttOnly)];
        meaningless(
            raw,
            &keys,
            "a Modbus tag, which is asked and identified by its request",
            cx,
        );
        return;
    }
    if let Some(period) = raw.period.as_ref() {
        let period_ns = positive("period", Some(period), 0, cx);
        if tag.stale_after_ns > 0 && period_ns >= tag.stale_after_ns {
            cx.findings
                .error(
                    Code::AlwaysStale,
                    &period.span,
                    format!(
                        "the tag would be stale between any two messages: they come every {}, and it is stale after {}",
                        ns(period_ns),
                        ns(tag.stale_after_ns)
                    ),
                    "write a `stale_after` of several periods, or correct the period",
                )
                .label("not shorter than `stale_after`");
        }
        tag.period = Some((period_ns, period.span.clone()));
    }
    tag.envelope = raw
        .envelope
        .as_ref()
        .and_then(|envelope| Some((envelope_plan(envelope, cx)?, envelope.at.clone())));
}

fn rate_check(rate: &raw::Rate, cx: &mut Cx<'_, '_>) -> Option<RateCheck> {
    let per_second = rate.per_second.get()?;
    if per_second.value <= 0.0 {
        cx.findings
            .error(
                Code::BadInputCheck,
                &per_second.span,
                "a quantity that cannot change needs no sensor",
                "write the fastest change that is physically possible, in the tag's unit a second: `per_second: 20`",
            )
            .label("not above zero");
        return None;
    }
    Some(RateCheck {
        per_second: per_second.value,
        tolerated: rate.tolerate.as_ref().map_or(0, |count| count.to()),
    })
}

fn frozen_check(frozen: &raw::Frozen, cx: &mut Cx<'_, '_>) -> Option<FrozenCheck> {
    let lasting = positive("for", frozen.r#for.get(), 0, cx);
    let noise = frozen.noise.get()?;
    if noise.value < 0.0 {
        cx.findings
            .error(
                Code::BadInputCheck,
                &noise.span,
                "a span from lowest to highest cannot be negative",
                "write how much a living sensor moves at least, in the tag's unit, such as `noise: 0.05`; 0 for any change",
            )
            .label("negative");
        return None;
    }
    Some(FrozenCheck {
        noise: noise.value,
        lasting: ns(lasting),
    })
}

pub(super) fn envelope_plan(envelope: &raw::Envelope, cx: &mut Cx<'_, '_>) -> Option<EnvelopePlan> {
    let max_delay = envelope
        .max_delay
        .as_ref()
        .map(|delay| ns(positive("max_delay", Some(delay), 0, cx)));
    let budget = match envelope.budget.as_ref() {
        None => ErrorBudget {
            errors: 0,
            // Without errors to count any span is as good; it must only not be zero.
            within: DurNs::from_ms(1_000),
        },
        Some(budget) => ErrorBudget {
            errors: budget.errors.get().map_or(0, |errors| errors.to()),
            within: ns(positive("within", budget.within.get(), 0, cx)),
        },
    };
    let source = envelope.source.get()?;
    // Stands in a line of words separated by spaces; the guard would refuse it at its start.
    if check_text("`source`", source, ENVELOPE_SOURCE_BYTES_MAX, cx)
        && !source.value.bytes().all(|byte| byte.is_ascii_graphic())
    {
        cx.findings.error(
            Code::BadText,
            &source.span,
            "`source` holds spaces or characters beyond ASCII".to_owned(),
            "write it as one word of ASCII, such as `press-7`, as its publisher writes it"
                .to_owned(),
        );
    }
    let check = match envelope.check.get()? {
        EnvelopeCheck::Crc32c => CheckPlan::Crc32c,
        EnvelopeCheck::Keyed(keyed) => {
            let file = keyed.hmac_sha256.get()?.key_file.get()?;
            check_text("`key_file`", file, TEXT_BYTES_MAX, cx);
            CheckPlan::HmacSha256 {
                key_file: file.value.clone(),
            }
        }
    };
    Some(EnvelopePlan {
        source: source.value.clone(),
        check,
        max_delay,
        budget,
    })
}

/// A topic has one publisher and one envelope, whichever of its tags says so.
pub(super) fn topics_agree(tags: &[Tag], cx: &mut Cx<'_, '_>) {
    let mut periods: HashMap<(usize, &str), (u64, &Tag)> = HashMap::new();
    let mut envelopes: HashMap<(usize, &str), (&EnvelopePlan, &Tag)> = HashMap::new();
    for tag in tags {
        let (Some(device), Some(Place::Mqtt { topic, .. })) = (tag.device, &tag.place) else {
            continue;
        };
        let key = (device, topic.as_str());
        if let Some((period, span)) = &tag.period {
            let first = periods.entry(key).or_insert((*period, tag));
            if first.0 != *period {
                disagree("period", &first.1.name, Code::BadTopic, span, cx);
            }
        }
        if let Some((envelope, span)) = &tag.envelope {
            let first = envelopes.entry(key).or_insert((envelope, tag));
            if first.0 != envelope {
                disagree("envelope", &first.1.name, Code::BadEnvelope, span, cx);
            }
        }
    }
}

fn disagree(key: &str, first: &str, code: Code, span: &Span, cx: &mut Cx<'_, '_>) {
    cx.findings
        .error(
            code,
            span,
            format!("the topic has another `{key}` here than by the tag `{first}`"),
            format!("a topic has one publisher: state `{key}` with one of its tags, or the same with all"),
        )
        .label("differs");
}

//! What a rule waits for, and what holds it back: debounce, multiplier, inhibit, bypass, process safety time.

use rules_bundle::Debounce;

use super::model::Enable;
use super::ns;
use super::switch::Switches;
use super::text::positive;
use crate::finding::Code;
use crate::raw;
use crate::read::{Cx, Span};
use crate::scalar::{Duration, Text};

/// The optional parts of a rule.
#[derive(Default)]
pub(super) struct Extra {
    pub(super) debounce: Option<Debounce>,
    pub(super) multiplier: Option<(f64, Enable)>,
    pub(super) inhibit: Option<Enable>,
    pub(super) bypass_ns: Option<u64>,
}

/// Checks them. `lane` is the rule's, when it is known.
pub(super) fn extra(
    raw: &raw::Rule,
    lane: Option<usize>,
    switches: &Switches<'_>,
    cx: &mut Cx<'_, '_>,
) -> Extra {
    let mut enable = |key: &str, tag: Option<&Text>, at_most: Option<&Duration>| {
        let at_most_ns = positive("at_most", at_most, 0, cx);
        let name = tag?;
        let tag = switches.boolean(key, name, cx)?;
        if let Some(lane) = lane {
            switches.same_lane("the rule", tag, lane, &name.span, cx);
        }
        Some(Enable { tag, at_most_ns })
    };
    let multiplier = raw.multiplier.as_ref().and_then(|raw| {
        let enable = enable("multiplier", raw.r#while.get(), raw.at_most.get())?;
        Some((raw.factor.get()?.value, enable))
    });
    let inhibit = raw
        .inhibit
        .as_ref()
        .and_then(|raw| enable("inhibit", raw.r#while.get(), raw.at_most.get()));
    Extra {
        debounce: raw
            .debounce
            .as_ref()
            .and_then(|debounce| checked_debounce(debounce, cx)),
        multiplier,
        inhibit,
        bypass_ns: raw
            .bypass
            .as_ref()
            .map(|bypass| positive("bypass", Some(bypass), 0, cx)),
    }
}

fn checked_debounce(raw: &raw::Debounce, cx: &mut Cx<'_, '_>) -> Option<Debounce> {
    let within = positive("within", raw.within.get(), 0, cx);
    let (need, of) = (raw.need.get()?, raw.of.get()?);
    if need.value > of.value {
        cx.findings
            .error(
                Code::BadDebounce,
                &need.span,
                format!("{} of {} samples can never be", need.value, of.value),
                "write how many of how many, such as `debounce: { need: 3, of: 5, within: 200ms }`",
            )
            .label("more than there are");
        return None;
    }
    Some(Debounce {
        need: need.to(),
        of: of.to(),
        within: ns(within),
    })
}

/// The process safety time belongs to what stops.
pub(super) fn safety_time(raw: &raw::Rule, cx: &mut Cx<'_, '_>) -> Option<(u64, Span)> {
    let written = raw.process_safety_time.as_ref()?;
    if raw.level.get() == Some(&raw::LevelWord::Alert) {
        cx.findings.error(
            Code::DeadlineMissing,
            &written.span,
            "a process safety time is what a stop is held against, and an alert stops nothing",
            "remove `process_safety_time`, or write `level: danger`",
        );
        return None;
    }
    Some((
        positive("process_safety_time", Some(written), 0, cx),
        written.span.clone(),
    ))
}

//! The worst case of each danger rule, held against what the pack promises.
//!
//! The last check: the sums need the plan. What they are made of says `rules_bundle::budget`.

use drivers_frame::DurNs;
use rules_bundle::budget::{Path, Term, TermKind};
use rules_bundle::{Budget, LanePlan, Plan, WorstCase};

use super::CheckedPack;
use super::model::Rule;
use crate::finding::{Code, Findings};

/// Reports deadlines that cannot be met, and reactions that take too much of the process safety time.
pub(crate) fn judge(pack: &CheckedPack, plan: &Plan, findings: &mut Findings<'_>) {
    for (index, lane) in plan.lanes.iter().enumerate() {
        let budget = Budget::new(lane);
        // The plan's rules are those of the lane in their order.
        let rules = pack.rules.iter().filter(|rule| rule.lane == index);
        for (at, rule) in rules.enumerate() {
            if rule.deadline.is_none() {
                continue;
            }
            let worst = budget.worst_case(at);
            over_deadline(rule, &worst, lane, findings);
            over_half(rule, &worst, findings);
        }
    }
}

fn over_deadline(rule: &Rule, worst: &WorstCase, lane: &LanePlan, findings: &mut Findings<'_>) {
    let Some((deadline, span)) = &rule.deadline else {
        return;
    };
    let needed = worst.condition.total();
    if needed <= DurNs::from_ns(*deadline) {
        return;
    }
    let way_out = worst
        .condition
        .dominant()
        .map_or_else(String::new, |term| shorten(term, lane));
    findings
        .error(
            Code::DeadlineTooShort,
            span,
            format!(
                "the deadline {} cannot be promised: the worst case is {}",
                DurNs::from_ns(*deadline),
                shown(needed)
            ),
            format!(
                "allow at least {}{way_out}; the sum is {}",
                rounded_up(needed),
                sum(&worst.condition)
            ),
        )
        .label("too short");
}

fn over_half(rule: &Rule, worst: &WorstCase, findings: &mut Findings<'_>) {
    let Some((safety_time, span)) = &rule.process_safety_time else {
        return;
    };
    let half = DurNs::from_ns(safety_time >> 1);
    let paths = [
        ("the reaction", &worst.condition),
        (
            "the reaction to a channel that falls silent at that moment",
            &worst.loss,
        ),
    ];
    let Some((what, path)) = paths
        .into_iter()
        .filter(|(_, path)| path.total() > half)
        .max_by_key(|(_, path)| path.total())
    else {
        return;
    };
    findings
        .warning(
            Code::HalfSafetyTime,
            span,
            format!(
                "{what} takes up to {}, more than half of the process safety time: {half}",
                shown(path.total())
            ),
            format!("shorten what takes longest; the sum is {}", sum(path)),
        )
        .label("less than twice the reaction");
}

/// The terms as a sum for people.
fn sum(path: &Path) -> String {
    let terms: Vec<String> = path
        .terms
        .iter()
        .map(|term| {
            let of = if term.of.is_empty() {
                String::new()
            } else {
                format!(" of `{}`", term.of)
            };
            format!("{}{of} {}", term.kind.as_str(), shown(term.time))
        })
        .collect();
    terms.join(" + ")
}

/// The way out that the largest term offers.
fn shorten(term: &Term, lane: &LanePlan) -> String {
    let way = match term.kind {
        TermKind::Acquisition | TermKind::Transport => {
            let tag = lane.tags.iter().find(|tag| tag.name == term.of);
            let device = tag.and_then(|tag| lane.devices.get(usize::from(tag.device.0)));
            match device.map(|device| &device.link) {
                Some(rules_bundle::LinkPlan::Analyzer(_)) => {
                    "declare the `period` of the waveform, take shorter blocks, or read the inputs more often"
                }
                Some(rules_bundle::LinkPlan::Mqtt(_)) => {
                    "declare the `period` of the topic, or shorten it"
                }
                _ => "shorten the device's `timeout`, or read it more often",
            }
        }
        TermKind::Tolerated => "tolerate fewer samples",
        TermKind::Freshness => {
            "shorten `stale_after`, the device's `timeout` or, of a topic, declare its `period`"
        }
        TermKind::Turn | TermKind::Write => "state a faster host, `assume: { turn: 500us }`",
        TermKind::Tick => {
            "shorten the `deadline` of analyzers, divide the rules among lanes, or state a faster host"
        }
        TermKind::Analyzer => "give the analyzer the class `safety`, or call it more often",
        TermKind::Verdict => {
            "let the analyzer decide after fewer blocks (its parameters), or send blocks more often"
        }
        TermKind::Copy => "take shorter blocks, or give the analyzer the class `background`",
        TermKind::OnDelay => "shorten `for`",
        TermKind::Debounce => "shorten the debounce's `within`",
        TermKind::Timer => "shorten the lane's `timer`",
        TermKind::Confirmation => "shorten `confirm_within`",
        TermKind::ReadBack => "shorten `within` of `read_back`",
        TermKind::Device => "choose a faster device",
        TermKind::Feedback => "shorten `within` of the feedback",
        TermKind::PowerOff => "shorten `power_off_after`",
    };
    format!(", or {way}")
}

/// Microseconds are exact enough for people.
fn shown(time: DurNs) -> String {
    let ns = time.as_ns();
    let us = ns.div_ceil(1_000);
    if us < 1_000 {
        return format!("{us}us");
    }
    let (ms, rest) = (us / 1_000, us % 1_000);
    if rest == 0 {
        DurNs::from_ms(ms).to_string()
    } else {
        format!("{ms}.{}ms", format!("{rest:03}").trim_end_matches('0'))
    }
}

/// The next whole millisecond.
fn rounded_up(time: DurNs) -> DurNs {
    DurNs::from_ns(time.as_ns().next_multiple_of(1_000_000))
}

//! The worst case of each danger rule, term by term, as `check` prints it.

use appliance_desk::NOTICE;
use drivers_frame::DurNs;
use rules_bundle::budget::{Path, TermKind};
use rules_bundle::{Budget, LanePlan, Plan, RulePlan, WorstCase};

use crate::error::CliError;
use crate::out::Out;
use crate::paint::Tone;
use crate::table::{Align, Cell, Table, toned};
use crate::units;

/// Rules that are shown term by term. A larger pack shows those with the least margin.
const RULES_SHOWN: usize = 12;

/// A danger rule and its sums.
struct Reaction<'p> {
    lane: &'p LanePlan,
    rule: &'p RulePlan,
    worst: WorstCase,
    deadline: DurNs,
}

impl Reaction<'_> {
    fn margin_ns(&self) -> u64 {
        let needed = self.worst.condition.total().as_ns();
        self.deadline.as_ns().saturating_sub(needed)
    }
}

/// A table for each danger rule, and the wording that belongs to every latency.
pub(crate) fn reactions(plan: &Plan, out: &mut Out) -> Result<(), CliError> {
    let mut all = Vec::new();
    for lane in &plan.lanes {
        let budget = Budget::new(lane);
        for (index, rule) in lane.rules.iter().enumerate() {
            if let Some(deadline) = rule.deadline {
                all.push(Reaction {
                    lane,
                    rule,
                    worst: budget.worst_case(index),
                    deadline,
                });
            }
        }
    }
    if all.is_empty() {
        return Ok(());
    }
    out.line("")?;
    let strong = out.tone(Tone::Strong, "reaction time at worst").to_string();
    if all.len() > RULES_SHOWN {
        out.line(format_args!(
            "{strong}; the {RULES_SHOWN} of {} danger rules with the least margin",
            all.len()
        ))?;
        all.sort_by_key(Reaction::margin_ns);
        all.truncate(RULES_SHOWN);
    } else {
        out.line(format_args!("{strong}, from the cause to the proven stop"))?;
    }
    for reaction in &all {
        out.line("")?;
        print(reaction, out)?;
    }
    out.line("")?;
    out.line(format_args!(
        "sums of what the pack states, not measurements; {NOTICE}."
    ))
}

fn print(reaction: &Reaction<'_>, out: &mut Out) -> Result<(), CliError> {
    let Reaction {
        lane,
        rule,
        worst,
        deadline,
    } = reaction;
    let name = out.tone(Tone::Strong, &rule.id).to_string();
    let needed = worst.condition.total();
    out.line(format_args!(
        "  {name} (lane {}): {} of {}, {} to spare",
        lane.name,
        exact(needed),
        exact(*deadline),
        exact(DurNs::from_ns(reaction.margin_ns()))
    ))?;
    out.text(terms(worst).painted(out.paint()))?;
    if let Some(largest) = worst.condition.dominant() {
        let of = if largest.of.is_empty() {
            String::new()
        } else {
            format!(" of {}", largest.of)
        };
        out.line(format_args!(
            "  largest: {}{of}, {}",
            largest.kind.as_str(),
            exact(largest.time)
        ))?;
    }
    if let Some(safety_time) = rule.process_safety_time {
        let half = DurNs::from_ns(safety_time.as_ns() >> 1);
        let longest = worst.longest();
        let verdict = if longest > half {
            out.tone(Tone::Warn, "over").to_string()
        } else {
            out.tone(Tone::Good, "within").to_string()
        };
        out.line(format_args!(
            "  half of the process safety time: {}, {verdict} ({} at worst)",
            exact(half),
            exact(longest)
        ))?;
    }
    Ok(())
}

/// Both paths side by side, in the order of time.
fn terms(worst: &WorstCase) -> Table {
    let mut table = Table::new([
        ("term", Align::Left),
        ("of", Align::Left),
        ("measured", Align::Right),
        ("silent", Align::Right),
    ]);
    let mut keys: Vec<(TermKind, &str)> = Vec::new();
    for term in worst.condition.terms.iter().chain(&worst.loss.terms) {
        let key = (term.kind, term.of.as_str());
        if !keys.contains(&key) {
            keys.push(key);
        }
    }
    // Stable: within a kind the order of the sums stays.
    keys.sort_by_key(|(kind, _)| *kind);
    let time = |path: &Path, (kind, of): (TermKind, &str)| -> Cell {
        let term = path
            .terms
            .iter()
            .find(|term| term.kind == kind && term.of == of);
        term.map_or_else(|| "-".to_owned(), |term| exact(term.time))
            .into()
    };
    for key in keys {
        table.row([
            key.0.as_str().into(),
            key.1.into(),
            time(&worst.condition, key),
            time(&worst.loss, key),
        ]);
    }
    table.row([
        toned(Tone::Strong, "sum"),
        "".into(),
        toned(Tone::Strong, exact(worst.condition.total())),
        toned(Tone::Strong, exact(worst.loss.total())),
    ]);
    table
}

/// A time to the microsecond, never rounded down: a bound that looks smaller than it is would be a lie.
fn exact(time: DurNs) -> String {
    let us = time.as_ns().div_ceil(1_000);
    if us < 1_000 {
        return format!("{us} µs");
    }
    if us < 1_000_000 {
        return format!("{}.{:03} ms", us / 1_000, us % 1_000);
    }
    units::time(us.saturating_mul(1_000).next_multiple_of(1_000_000))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bound_is_never_shown_smaller_than_it_is() {
        for (ns, shown) in [
            (1, "1 µs"),
            (999_001, "1.000 ms"),
            (1_000_001, "1.001 ms"),
            (155_001_000, "155.001 ms"),
            (2_000_000_000, "2.00 s"),
        ] {
            assert_eq!(exact(DurNs::from_ns(ns)), shown);
        }
    }
}

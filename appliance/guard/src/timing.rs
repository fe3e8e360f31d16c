//! How late a tick begins, held against what the tightest deadline leaves for it (H-29).
//!
//! The budget is a rule's `deadline` less every term of its computed worst case but the turn: what may pass between the
//! moment at which a tick is due and the moment at which it begins. Half of it used up is told; all of it is a trip, since
//! a demand that came just then would have been answered too late.
//!
//! | lateness, of the budget | verdict |
//! |---|---|
//! | up to half | fine |
//! | up to all | alarm |
//! | more | trip |
//!
//! Which thread: the lane's. Worst case: a comparison. Pure: times are arguments.

use drivers_frame::{DurNs, MonoNs};
use rules_bundle::LanePlan;
use rules_bundle::budget::{Budget, Path, TermKind};

/// What a tick's lateness means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Fine,
    Alarm,
    Trip,
}

/// The table.
pub(crate) fn judge(late: DurNs, budget: DurNs) -> Verdict {
    if late > budget {
        Verdict::Trip
    } else if late.times(2) > budget {
        Verdict::Alarm
    } else {
        Verdict::Fine
    }
}

/// What the tightest deadline of a lane leaves for lateness. `None` when nothing is promised.
pub(crate) fn budget(plan: &LanePlan) -> Option<DurNs> {
    let sums = Budget::new(plan);
    let rules = plan.rules.iter().enumerate();
    rules
        .filter_map(|(index, rule)| {
            let deadline = rule.deadline?;
            let others = sum(&sums.worst_case(index).condition, |kind| {
                kind != TermKind::Turn
            });
            let left = deadline.as_ns().saturating_sub(others.as_ns());
            // A plan that was checked leaves at least the turn it assumed.
            Some(DurNs::from_ns(left).max(plan.assumed.turn))
        })
        .min()
}

/// What the guard can measure of each rule's worst case: from the sample's arrival, or from the moment at which its tag
/// was stale, to the proven stop. What lies before is the device's, and in the sum that `tripline check` prints.
pub(crate) fn bounds(plan: &LanePlan) -> Vec<Option<DurNs>> {
    let sums = Budget::new(plan);
    let seen = |kind| {
        !matches!(
            kind,
            TermKind::Acquisition
                | TermKind::Tolerated
                | TermKind::Transport
                | TermKind::Freshness
                | TermKind::Verdict
        )
    };
    let rules = plan.rules.iter().enumerate();
    rules
        .map(|(index, rule)| {
            rule.deadline?;
            let worst = sums.worst_case(index);
            Some(sum(&worst.condition, seen).max(sum(&worst.loss, seen)))
        })
        .collect()
}

fn sum(path: &Path, counts: impl Fn(TermKind) -> bool) -> DurNs {
    let terms = path.terms.iter().filter(|term| counts(term.kind));
    terms.fold(DurNs::ZERO, |sum, term| sum.plus(term.time))
}

/// A tick that was late, worth telling.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Late {
    pub(crate) at: MonoNs,
    pub(crate) late: DurNs,
    pub(crate) verdict: Verdict,
}

/// Watches one lane's ticks.
pub(crate) struct Timing {
    budget: Option<DurNs>,
    due: MonoNs,
    told: DurNs,
}

impl Timing {
    pub(crate) fn new(budget: Option<DurNs>) -> Self {
        Self {
            budget,
            due: MonoNs::NEVER,
            told: DurNs::ZERO,
        }
    }

    /// A tick begins at `at`. What is worth telling: each trip, and an alarm that is twice as bad as the last one told.
    pub(crate) fn begin(&mut self, at: MonoNs) -> Option<Late> {
        let budget = self.budget?;
        let late = at.since(self.due);
        let verdict = judge(late, budget);
        let tell = match verdict {
            Verdict::Fine => false,
            Verdict::Alarm => late >= self.told.times(2),
            Verdict::Trip => true,
        };
        if tell {
            self.told = late;
        }
        tell.then_some(Late { at, late, verdict })
    }

    /// The tick that began at `at` is over; the next one is due at `next`, which may have passed already.
    pub(crate) fn end(&mut self, at: MonoNs, next: MonoNs) {
        self.due = next.max(at);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(ms: u64) -> MonoNs {
        MonoNs::from_ns(ms * 1_000_000)
    }

    #[test]
    fn h29_half_the_budget_is_an_alarm_and_all_of_it_a_trip() {
        let budget = DurNs::from_ms(10);
        let table = [
            (0, Verdict::Fine),
            (5_000_000, Verdict::Fine),
            (5_000_001, Verdict::Alarm),
            (10_000_000, Verdict::Alarm),
            (10_000_001, Verdict::Trip),
            (u64::MAX, Verdict::Trip),
        ];
        for (late, verdict) in table {
            assert_eq!(judge(DurNs::from_ns(late), budget), verdict, "H-29: {late}");
        }
    }

    #[test]
    fn h29_lateness_counts_from_when_the_tick_was_due_and_not_from_before_the_last_one() {
        let mut timing = Timing::new(Some(DurNs::from_ms(10)));
        assert_eq!(timing.begin(ms(1_000)), None, "the first is never late");
        timing.end(ms(1_000), ms(1_001));
        assert_eq!(timing.begin(ms(1_006)), None);
        // Something is due since long ago: the lane ticks at once, so it is late only since the last tick.
        timing.end(ms(1_006), ms(5));
        assert_eq!(timing.begin(ms(1_007)), None);
        timing.end(ms(1_007), ms(1_008));
        let late = timing.begin(ms(1_019)).unwrap();
        assert_eq!(
            (late.late, late.verdict),
            (DurNs::from_ms(11), Verdict::Trip)
        );
        // Early is not late.
        timing.end(ms(1_019), ms(2_000));
        assert_eq!(timing.begin(ms(1_020)), None);
    }

    #[test]
    fn h29_h77_an_alarm_is_told_again_only_when_it_is_twice_as_bad_a_trip_always() {
        let mut timing = Timing::new(Some(DurNs::from_ms(100)));
        let mut told = Vec::new();
        for late in [51, 60, 99, 100, 101, 101, 51] {
            timing.end(ms(0), ms(0));
            told.push(timing.begin(ms(late)).is_some());
        }
        assert_eq!(told, [true, false, false, false, true, true, false]);
    }

    #[test]
    fn without_a_deadline_nothing_is_late() {
        let mut timing = Timing::new(None);
        timing.end(ms(0), ms(0));
        assert_eq!(timing.begin(ms(100_000)), None);
    }
}

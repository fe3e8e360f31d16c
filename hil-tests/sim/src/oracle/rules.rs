//! Each rule's state against what its inputs say, after every tick.

use appliance_lane::{RuleCause, RuleState};
use appliance_output::Permit;
use drivers_frame::TagId;

use super::truth::Truth;
use super::{LATE_SEEN, Oracle, longest_stale};
use crate::coverage::Coverage;
use crate::guard::Guard;
use crate::scenario::{Cond, Debounce, Derived, Kind, MS, Rule, Scenario, TURN_MAX};
use crate::sometimes;

impl Oracle {
    pub(super) fn judge_rule(
        &mut self,
        scenario: &Scenario,
        guard: &Guard,
        index: usize,
        now: u64,
        coverage: &mut Coverage,
    ) {
        let rule = &scenario.rules[index];
        let Some((state, cause, _)) = guard.lane.rule(index as u16) else {
            return;
        };
        sometimes!(
            coverage,
            "rule active by condition",
            state == RuleState::Active && cause == RuleCause::Condition
        );
        sometimes!(
            coverage,
            "rule active by bad input",
            state == RuleState::Active && cause == RuleCause::BadInput
        );
        sometimes!(coverage, "rule pending", state == RuleState::Pending);
        let fired = state == RuleState::Active
            && cause == RuleCause::Condition
            && self.rules[index].state != RuleState::Active
            && !rule.stops.is_empty();
        let over = |derived: Derived| {
            let own = |tag: &usize| matches!(scenario.tags[*tag].kind, Kind::Derived { what, .. } if what == derived);
            rule.cond.tags().iter().any(own)
        };
        sometimes!(
            coverage,
            "a verdict stopped an output",
            fired && over(Derived::Verdict)
        );
        sometimes!(
            coverage,
            "a derived value stopped an output",
            fired && over(Derived::Peak)
        );
        sometimes!(
            coverage,
            "delay not reached",
            self.rules[index].state == RuleState::Pending && state == RuleState::Normal
        );
        if state == RuleState::Active {
            for output in &rule.stops {
                let running_down = guard.lane.latch_of(*output as u16).is_some_and(|latch| {
                    now <= latch.at.as_ns() + scenario.outputs[*output].power_off_after() + TURN_MAX
                });
                let controlled = scenario.outputs[*output].controlled.is_some() && running_down;
                if guard.lane.permits().get(*output) != Some(&Permit::Withheld) && !controlled {
                    self.fail(
                        "I1",
                        now,
                        format!("rule {index} is active, and output {output} is granted"),
                    );
                }
            }
        }
        // A condition that was over once must exceed its limit again, though its rule is still active for the off-delay.
        let hold = state == RuleState::Active
            && cause == RuleCause::Condition
            && self.rules[index].seen_false_at.is_none();
        let raised = guard.lane.permissions(index as u16).0;
        let asked = rule.raised.as_ref().filter(|_| raised);
        let asked = asked.unwrap_or(&rule.cond);
        let mut truth = self.as_the_lane_sees(asked, guard, hold, now);
        let inhibited = self.is_inhibited(guard, index);
        let since = &mut self.rules[index].inhibited_since;
        *since = inhibited.then(|| since.unwrap_or(now));
        // It was active within its dead band: what is decided then stands until an input says something else.
        let just_inhibited = since.is_some_and(|since| now < since + longest_stale(scenario));
        if inhibited && truth == Some(Truth::Yes) {
            truth = Some(Truth::No);
        }
        let votes = matches!(rule.cond, Cond::Vote { .. });
        sometimes!(
            coverage,
            "vote against a stop with a bad channel",
            votes && truth == Some(Truth::No) && self.has_bad_channel(&rule.cond, guard)
        );
        let waiting_allowed = now < guard.started + longest_stale(scenario) + TURN_MAX
            || now < self.held_until + longest_stale(scenario) + TURN_MAX;
        if truth.is_none() {
            self.judge_window(scenario, index, state, now, waiting_allowed);
        }
        let hung = self.rules[index].not_true_at <= self.held_until + LATE_SEEN;
        let late = answered_late(scenario, &rule.cond, hung);
        let seen = &mut self.rules[index];
        let before = std::mem::replace(&mut seen.state, state);
        let not_true_at = seen.not_true_at;
        let seen_false_at = if truth == Some(Truth::No) {
            Some(*seen.seen_false_at.get_or_insert(now))
        } else {
            seen.seen_false_at = None;
            None
        };
        let seen_true_at = if truth == Some(Truth::Yes) {
            Some(*seen.seen_true_at.get_or_insert(now))
        } else {
            seen.seen_true_at = None;
            seen.not_true_at = now;
            None
        };
        if let (Some(since), RuleState::Active, RuleState::Normal) = (seen_false_at, before, state)
            && !inhibited
            && now + LATE_SEEN + late < since + rule.off_delay
            // After a hang the samples that are taken are as old as it was long.
            && since > self.held_until + LATE_SEEN
        {
            self.fail(
                "I7",
                now,
                format!("rule {index} is normal before its off-delay was over"),
            );
        }
        if let (Some(debounce), Some(Truth::Yes | Truth::No)) = (rule.debounce, truth) {
            self.judge_debounced(guard, rule, &debounce, index, before, now, coverage);
            if truth == Some(Truth::Yes) && matches!(state, RuleState::Active | RuleState::Pending)
                || state == RuleState::Pending
            {
                return;
            }
        }
        match truth {
            None => {}
            Some(Truth::No) if state == RuleState::Normal => {}
            Some(Truth::No)
                if state == RuleState::Active
                    && now < seen_false_at.unwrap_or(now) + rule.off_delay => {}
            // A vote waits for all its channels, unless enough of them demand a stop.
            Some(Truth::No) if votes && state == RuleState::Waiting && waiting_allowed => {}
            Some(Truth::No) => self.fail(
                "I7",
                now,
                format!(
                    "rule {index} is {}, and its condition is false",
                    state.as_str()
                ),
            ),
            Some(Truth::Unknown) if state == RuleState::Active => {}
            Some(Truth::Unknown) if state == RuleState::Waiting && waiting_allowed => {}
            Some(Truth::Unknown) if state == RuleState::Normal && just_inhibited => {}
            Some(Truth::Unknown) => self.fail(
                "I6",
                now,
                format!(
                    "rule {index} is {}, and an input that decides is bad",
                    state.as_str()
                ),
            ),
            Some(Truth::Yes) => {
                let since = seen_true_at.unwrap_or(now);
                match state {
                    RuleState::Active => {
                        let early = before != RuleState::Active
                            && now - not_true_at + MS + late < rule.on_delay;
                        if early {
                            self.fail(
                                "I1",
                                now,
                                format!("rule {index} fired before its delay was over"),
                            );
                        }
                    }
                    RuleState::Pending if now - since < rule.on_delay => {}
                    _ => self.fail(
                        "I1",
                        now,
                        format!(
                            "rule {index} is {} although its condition lasted its delay",
                            state.as_str()
                        ),
                    ),
                }
            }
        }
    }

    /// m of the last n samples decide, the cap at the latest, and neither sooner.
    #[expect(
        clippy::too_many_arguments,
        reason = "one state and what it is judged by"
    )]
    fn judge_debounced(
        &mut self,
        guard: &Guard,
        rule: &Rule,
        debounce: &Debounce,
        index: usize,
        before: RuleState,
        now: u64,
        coverage: &mut Coverage,
    ) {
        // Samples that arrived together are told apart by what they say.
        let newest = |tag: &usize| {
            let view = guard.lane.tag(TagId(*tag as u16));
            view.map_or((0, 0), |view| (view.at.as_ns(), view.value.to_bits()))
        };
        let newest: Vec<(u64, u64)> = rule.cond.tags().iter().map(newest).collect();
        let held_until = self.held_until;
        let unusable = self.has_bad_channel(&rule.cond, guard);
        let seen = &mut self.rules[index];
        seen.disturbed |= unusable;
        let says = seen.seen_true_at.is_some();
        if newest != seen.newest {
            seen.newest = newest;
            seen.said.push(says);
            let from = seen.said.len().saturating_sub(usize::from(debounce.of));
            seen.said.drain(..from);
        }
        let count = seen.said.iter().filter(|says| **says).count();
        let enough = count >= usize::from(debounce.need);
        let state = seen.state;
        let since = seen.pending_since.unwrap_or(now);
        seen.pending_since = (state == RuleState::Pending).then_some(since);
        let disturbed = seen.disturbed;
        if state != RuleState::Pending {
            seen.said.clear();
            seen.disturbed = false;
        }
        let lasted = now >= since + debounce.within;
        sometimes!(
            coverage,
            "pending although the newest sample is false",
            state == RuleState::Pending && !says
        );
        let fired = before != RuleState::Active && state == RuleState::Active;
        sometimes!(coverage, "m of n fired", fired && enough);
        sometimes!(coverage, "the cap of a debounce fired", fired && !enough);
        let early = fired && !enough && now + LATE_SEEN < since + debounce.within;
        let wrong = match state {
            RuleState::Pending if says && lasted => "waits beyond its cap",
            _ if disturbed => return,
            RuleState::Active if early && now > held_until + LATE_SEEN => "fired too soon",
            RuleState::Pending if enough => "still waits for its samples",
            RuleState::Pending if count == 0 => "is pending, and none of its samples was true",
            RuleState::Normal if before == RuleState::Pending && count > 0 => "forgot true samples",
            _ => return,
        };
        self.fail(
            "I1",
            now,
            format!(
                "rule {index} {wrong}: {count} true ones, {} of {} needed, within {} ms",
                debounce.need,
                debounce.of,
                debounce.within / MS
            ),
        );
    }

    fn has_bad_channel(&self, cond: &Cond, guard: &Guard) -> bool {
        cond.tags().iter().any(|tag| {
            guard
                .lane
                .tag(TagId(*tag as u16))
                .is_some_and(|view| !view.quality.is_usable())
        })
    }

    /// A rule over windows alone: it cannot be normal while a window does not span its length since its tag's last gap.
    fn judge_window(
        &mut self,
        scenario: &Scenario,
        index: usize,
        state: RuleState,
        now: u64,
        waiting_allowed: bool,
    ) {
        let Cond::AverageAbove { tag, span, .. } = scenario.rules[index].cond else {
            return;
        };
        let gap_at = self.tags[tag].unusable_at;
        let covered = now >= gap_at + span;
        if !covered && state == RuleState::Normal {
            self.fail(
                "I4",
                now,
                format!(
                    "rule {index} is normal over a window that has a gap {} us ago",
                    (now - gap_at) / 1_000
                ),
            );
        }
        if state == RuleState::Waiting
            && !waiting_allowed
            && now > gap_at + span + longest_stale(scenario)
        {
            self.fail("I1", now, format!("rule {index} still waits"));
        }
    }
}

/// How much later than it says a value may come: delays count from what an analyzer was asked about, not from its answer.
/// Class background answers when it can, and after a hang blocks are taken one a tick.
fn answered_late(scenario: &Scenario, cond: &Cond, hung: bool) -> u64 {
    let late = |tag: &usize| match scenario.tags[*tag].kind {
        Kind::Derived { analyzer, .. } => scenario.analyzers[analyzer].background || hung,
        _ => false,
    };
    if cond.tags().iter().any(late) {
        LATE_ANSWER
    } else {
        0
    }
}

/// Longer than any delay: of what is answered late, only that it does stop is judged.
const LATE_ANSWER: u64 = 10_000 * MS;

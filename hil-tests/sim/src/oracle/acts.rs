//! What the guard did: ticks, resets, bypasses.

use appliance_lane::RuleState;
use appliance_output::Permit;

use super::Oracle;
use crate::coverage::Coverage;
use crate::guard::{Act, Guard};
use crate::scenario::{MS, Scenario};
use crate::sometimes;

/// A reset is held at least and at most this long (the product's limits, in nanoseconds).
pub(super) const HOLD_MIN: u64 = rt_config::limits::RESET_HOLD_MIN_MS * MS;

pub(super) const HOLD_MAX: u64 = rt_config::limits::RESET_HOLD_MAX_MS * MS;

impl Oracle {
    /// What the guard did in a part of a turn.
    pub fn acted(
        &mut self,
        scenario: &Scenario,
        guard: &Guard,
        act: &Act,
        now: u64,
        coverage: &mut Coverage,
    ) {
        match act {
            Act::Pressed { accepted, nonce } => {
                sometimes!(coverage, "reset pressed", *accepted);
                sometimes!(coverage, "reset refused at the press", !*accepted);
                if *accepted {
                    self.pressed = Some((*nonce, now));
                }
            }
            Act::Reset {
                released: false, ..
            } => sometimes!(coverage, "reset refused", true),
            Act::Reset {
                released: true,
                nonce,
            } => {
                sometimes!(coverage, "reset accepted", true);
                let right = |(pressed, at): (u64, u64)| {
                    pressed == *nonce && (HOLD_MIN..=HOLD_MAX).contains(&(now - at))
                };
                if !self.pressed.take().is_some_and(right) {
                    self.fail(
                        "I3",
                        now,
                        "a reset released without its own press, held for its time".into(),
                    );
                }
                self.released(scenario, guard, now);
            }
            Act::Tripped => {}
            Act::Acknowledged(count) => {
                sometimes!(coverage, "channel acknowledged", *count > 0);
                self.acknowledged_at = now;
            }
            Act::Bypassed {
                voting,
                channel,
                lasting,
                accepted,
            } => self.bypassed(
                scenario,
                (*voting, *channel),
                *lasting,
                *accepted,
                now,
                coverage,
            ),
            Act::Ticked => self.ticked(scenario, guard, now, coverage),
        }
    }

    /// A bypass was asked for, and answered.
    pub(super) fn bypassed(
        &mut self,
        scenario: &Scenario,
        (voting, channel): (usize, usize),
        lasting: u64,
        accepted: bool,
        now: u64,
        coverage: &mut Coverage,
    ) {
        let taken = self.bypassed[voting].is_some_and(|(_, until)| now < until);
        let allowed = scenario.votings[voting]
            .bypass
            .is_some_and(|most| lasting <= most);
        sometimes!(coverage, "bypass begun", accepted);
        sometimes!(
            coverage,
            "second bypass of a voting refused",
            !accepted && taken
        );
        if accepted && (taken || !allowed) {
            let what = format!(
                "a bypass of voting {voting} was granted, {}",
                if taken {
                    "and one is in force"
                } else {
                    "and the pack allows none of it"
                }
            );
            self.fail("H-56", now, what);
        }
        if accepted {
            self.bypassed[voting] = Some((channel, now + lasting));
        }
    }

    pub(super) fn released(&mut self, scenario: &Scenario, guard: &Guard, now: u64) {
        for (index, rule) in scenario.rules.iter().enumerate() {
            if rule.stops.is_empty() {
                continue;
            }
            if self
                .true_since(index)
                .is_some_and(|since| now > since + rule.deadline)
            {
                self.fail(
                    "I3",
                    now,
                    format!(
                        "a reset released while rule {index} was true in the plant for its deadline"
                    ),
                );
            }
            if let Some((state, _, _)) = guard.lane.rule(index as u16)
                && state != RuleState::Normal
            {
                self.fail(
                    "I3",
                    now,
                    format!("a reset released while rule {index} was {}", state.as_str()),
                );
            }
        }
        for index in 0..self.outputs.len() {
            if !self.outputs[index].granted && !self.outputs[index].proved {
                self.fail(
                    "I3",
                    now,
                    format!("a reset released output {index}, whose stop was not echoed"),
                );
            }
        }
        self.judge_channels_at_reset(scenario, guard, now);
        self.released = true;
    }

    fn ticked(&mut self, scenario: &Scenario, guard: &Guard, now: u64, coverage: &mut Coverage) {
        self.judge_tags(scenario, guard, now, coverage);
        self.judge_analyzers(scenario, guard, now, coverage);
        self.judge_switches(scenario, guard, now, coverage);
        self.compare_channels(scenario, guard, now, coverage);
        for index in 0..scenario.rules.len() {
            self.judge_rule(scenario, guard, index, now, coverage);
        }
        self.judge_button(scenario, guard, now, coverage);
        let mut any_began = false;
        for (index, permit) in guard.lane.permits().iter().enumerate() {
            let granted = *permit == Permit::Granted;
            let seen = &mut self.outputs[index];
            let was_granted = seen.granted;
            if was_granted && !granted {
                seen.proved = false;
                seen.withheld_at = now;
            }
            seen.unechoed = !granted && (seen.unechoed || was_granted);
            let began = granted && !seen.granted;
            any_began |= began;
            seen.granted = granted;
            if began && !self.released {
                self.fail(
                    "I9",
                    now,
                    format!("output {index} was granted without a reset since the start"),
                );
            }
            self.judge_controlled(scenario, guard, index, was_granted, now, coverage);
        }
        // Each reset releases once, all or nothing; what the button released is granted by the next tick.
        let latched = (0_u16..)
            .zip(&self.outputs)
            .any(|(output, _)| guard.lane.latch_of(output).is_some());
        if latched || any_began {
            self.released = false;
        }
        if guard.lane.counters().samples != self.samples_pushed {
            let (taken, pushed) = (guard.lane.counters().samples, self.samples_pushed);
            self.fail(
                "I7",
                now,
                format!("{pushed} samples were handed over, {taken} were taken"),
            );
        }
    }
}

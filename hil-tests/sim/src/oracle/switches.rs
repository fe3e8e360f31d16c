//! Switches that people turn: what they permit, for how long at most; and the reset button.

use appliance_lane::{EventKind, RuleCause, RuleState};
use drivers_frame::TagId;

use super::acts::{HOLD_MAX, HOLD_MIN};
use super::{LATE_SEEN, Oracle};
use crate::coverage::Coverage;
use crate::guard::Guard;
use crate::scenario::{Kind, Permission, Scenario, TURN_MAX};
use crate::sometimes;

/// A switch in the plant, and when the lane saw it.
#[derive(Clone, Debug, Default)]
pub(super) struct SwitchSeen {
    on_since: Option<u64>,
    off_at: u64,
    /// The tick that first saw it on since it is.
    seen_on_at: Option<u64>,
    /// The newest tick at which its tag was not usable.
    lost_at: u64,
    /// From when to when it was on the last time; taken by the reset that it made.
    last: Option<(u64, u64)>,
}

impl SwitchSeen {
    /// Nobody has seen it yet.
    pub(super) fn unseen(&mut self) {
        self.seen_on_at = None;
    }
}

impl Oracle {
    /// A switch was turned.
    pub fn switched(&mut self, tag: usize, on: bool, now: u64) {
        self.levels[tag] = f64::from(u8::from(on));
        let seen = &mut self.switches[tag];
        match (on, seen.on_since) {
            (true, None) => {
                seen.on_since = Some(now);
                seen.seen_on_at = None;
            }
            (false, Some(since)) => {
                seen.on_since = None;
                seen.off_at = now;
                seen.last = Some((since, now));
            }
            _ => {}
        }
    }

    /// Whether a switch is on.
    pub fn is_on(&self, tag: usize) -> bool {
        self.switches[tag].on_since.is_some()
    }

    /// Whether what a switch permits can be in force: once for its time from when it was seen, and until it must have been
    /// seen off.
    pub(super) fn can_be_permitted(
        &self,
        scenario: &Scenario,
        permission: &Permission,
        now: u64,
    ) -> bool {
        let seen = &self.switches[permission.tag];
        let over = |since: u64| now > since + permission.at_most + TURN_MAX;
        match (seen.on_since, seen.seen_on_at) {
            (Some(_), None) => true,
            (Some(_), Some(since)) => !over(since),
            (None, _) => {
                let off = seen.off_at.max(self.held_until);
                now <= off + scenario.tags[permission.tag].seen_within() + LATE_SEEN
            }
        }
    }

    /// What the lane sees of the switches, and what it does with it.
    pub(super) fn judge_switches(
        &mut self,
        scenario: &Scenario,
        guard: &Guard,
        now: u64,
        coverage: &mut Coverage,
    ) {
        for (index, tag) in scenario.tags.iter().enumerate() {
            if !matches!(tag.kind, Kind::Switch | Kind::Button) {
                continue;
            }
            let view = guard.lane.tag(TagId(index as u16));
            let seen = &mut self.switches[index];
            match view.filter(|view| view.quality.is_usable()) {
                None => seen.lost_at = now,
                Some(view) if view.value != 0.0 && seen.on_since.is_some() => {
                    seen.seen_on_at.get_or_insert(now);
                }
                Some(_) => {}
            }
        }
        for (index, rule) in scenario.rules.iter().enumerate() {
            let (raised, inhibited) = guard.lane.permissions(index as u16);
            sometimes!(coverage, "setpoints multiplied", raised);
            let cause = guard.lane.rule(index as u16).map(|(_, cause, _)| cause);
            sometimes!(
                coverage,
                "rule inhibited",
                cause == Some(RuleCause::Inhibited)
            );
            for (on, permission, what) in [
                (raised, &rule.multiplier, "setpoint multiplier"),
                (inhibited, &rule.inhibit, "startup inhibit"),
            ] {
                let Some(permission) = permission else {
                    continue;
                };
                let may = self.can_be_permitted(scenario, permission, now);
                let seen = &self.switches[permission.tag];
                sometimes!(
                    coverage,
                    "a permission ended before its switch",
                    !on && seen
                        .seen_on_at
                        .is_some_and(|at| now > at + permission.at_most)
                );
                if on && !may {
                    self.fail(
                        "I1",
                        now,
                        format!("the {what} of rule {index} is on beyond its time"),
                    );
                }
            }
        }
    }

    /// H-54: what the tick released without a request was released by the button, pressed and let go by a hand.
    pub(super) fn judge_button(
        &mut self,
        scenario: &Scenario,
        guard: &Guard,
        now: u64,
        coverage: &mut Coverage,
    ) {
        let newest = &guard.events[guard.ticked_from..];
        let pressed = |kind: &EventKind| matches!(kind, EventKind::ResetPressed { button: true });
        sometimes!(
            coverage,
            "reset button pressed",
            newest.iter().any(|event| pressed(&event.kind))
        );
        let acted = newest
            .iter()
            .any(|event| matches!(event.kind, EventKind::Released { .. }));
        if !acted || self.released {
            return;
        }
        sometimes!(coverage, "reset by the button", true);
        let is_button = |tag: &crate::scenario::Tag| tag.kind == Kind::Button;
        let Some(tag) = scenario.tags.iter().position(is_button) else {
            return self.fail("I3", now, "a reset released that nobody asked for".into());
        };
        let late = scenario.tags[tag].seen_within() + LATE_SEEN;
        let held_up = now < self.held_until + late;
        let seen = &mut self.switches[tag];
        let why = match seen.last.take() {
            None => Some("without a press"),
            Some((from, _)) if from < guard.started => Some("that was down from the start"),
            Some((_, to)) if now > to + late && !held_up => Some("long after it was let go"),
            Some((from, to)) if to - from + late < HOLD_MIN => Some("held too shortly"),
            Some((from, to)) if to - from > HOLD_MAX + late && !held_up => Some("held too long"),
            Some(_) if seen.seen_on_at.is_some_and(|on| seen.lost_at > on) => {
                Some("that was lost sight of")
            }
            Some(_) => None,
        };
        if let Some(why) = why {
            self.fail("H-54", now, format!("the reset button released, {why}"));
        }
        self.released(scenario, guard, now);
    }

    /// A rule that is inhibited is normal while its condition is true, and only then.
    pub(super) fn is_inhibited(&self, guard: &Guard, index: usize) -> bool {
        guard.lane.permissions(index as u16).1
            && guard
                .lane
                .rule(index as u16)
                .is_some_and(|(state, _, _)| state != RuleState::Waiting)
    }
}

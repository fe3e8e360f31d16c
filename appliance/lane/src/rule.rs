//! A rule's state machine: on-delay, activity, and what a bad input does.
//!
//! ```text
//!              bad, an input still missing
//!               ┌──┐
//!   start ──▶ Waiting ──false──▶ Normal ◀──false── Active
//!               │                 │  ▲              ▲  ▲
//!               │true           true │false         │  │
//!               │                 ▼  │              │  │
//!               └────true──▶   Pending ──delay over─┘  │
//!               └────bad───────────┴──────bad──────────┘
//! ```
//!
//! A bad input is not delayed by `for`: its own delay is the tag's `stale_after`, and it votes to trip.

use drivers_frame::{DurNs, MonoNs};
use rules_expr::ir::Tri;

use crate::RuleCause;

/// State of a rule.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RuleState {
    /// Not decided yet since start: an input has never arrived. Blocks a reset.
    #[default]
    Waiting,
    /// The condition is false.
    Normal,
    /// The condition is true, and has been for less than its on-delay.
    Pending,
    /// The condition has been true for its on-delay, or an input is bad. An alert tells, a danger stops.
    Active,
}

impl RuleState {
    /// The word used on the control socket.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Normal => "normal",
            Self::Pending => "pending",
            Self::Active => "active",
        }
    }
}

/// What one evaluation said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The condition.
    Decided(Tri),
    /// The rule module failed.
    Fault(RuleCause),
}

/// A rule at run time.
pub(crate) struct Rule {
    pub(crate) on_delay: DurNs,
    pub(crate) state: RuleState,
    pub(crate) cause: RuleCause,
    /// When the sample arrived that began the present state; the reaction time counts from here.
    pub(crate) since: MonoNs,
    /// Outputs whose stop this rule began and that have not confirmed it.
    pub(crate) unconfirmed: u16,
    /// Longest time from sample to confirmed stop.
    pub(crate) latency_max: DurNs,
    /// Stops confirmed.
    pub(crate) stops: u64,
    /// Deadlines missed.
    pub(crate) missed: u64,
}

/// A change that people and outputs must hear of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Change {
    pub(crate) from: RuleState,
    pub(crate) to: RuleState,
    pub(crate) cause: RuleCause,
}

impl Rule {
    pub(crate) fn new(on_delay: DurNs) -> Self {
        Self {
            on_delay,
            state: RuleState::Waiting,
            cause: RuleCause::Clear,
            since: MonoNs::ZERO,
            unconfirmed: 0,
            latency_max: DurNs::ZERO,
            stops: 0,
            missed: 0,
        }
    }

    /// Whether the dead band holds: only a condition that fired must fall below it to clear.
    pub(crate) fn hold(&self) -> bool {
        self.state == RuleState::Active && self.cause == RuleCause::Condition
    }

    /// Takes an evaluation. `origin` is when the sample arrived that caused it; `missing` tells that an input has never
    /// arrived and may still.
    pub(crate) fn decide(
        &mut self,
        outcome: Outcome,
        origin: MonoNs,
        now: MonoNs,
        missing: bool,
    ) -> Option<Change> {
        match outcome {
            Outcome::Fault(cause) => self.enter(RuleState::Active, cause, origin),
            // A fault of the module stays: only a restart removes its cause.
            Outcome::Decided(_) if self.cause.is_engine_fault() => None,
            Outcome::Decided(Tri::False) => self.enter(RuleState::Normal, RuleCause::Clear, origin),
            Outcome::Decided(Tri::Bad) if self.state == RuleState::Waiting && missing => None,
            Outcome::Decided(Tri::Bad) => {
                self.enter(RuleState::Active, RuleCause::BadInput, origin)
            }
            Outcome::Decided(Tri::True) => match self.state {
                RuleState::Active if self.cause == RuleCause::Condition => None,
                RuleState::Pending => self.elapse(now),
                _ if self.on_delay == DurNs::ZERO => {
                    self.enter(RuleState::Active, RuleCause::Condition, origin)
                }
                // An active bad input that turns into a true condition stays active: it never passes through a state
                // in which it does not stop.
                RuleState::Active => self.enter(RuleState::Active, RuleCause::Condition, origin),
                RuleState::Waiting | RuleState::Normal => {
                    let change = self.enter(RuleState::Pending, RuleCause::Condition, origin);
                    self.elapse(now).map_or(change, |elapsed| {
                        Some(Change {
                            from: change.map_or(elapsed.from, |change| change.from),
                            ..elapsed
                        })
                    })
                }
            },
        }
    }

    /// A pending rule whose delay is over becomes active. The reaction time still counts from the first true sample.
    pub(crate) fn elapse(&mut self, now: MonoNs) -> Option<Change> {
        if self.state != RuleState::Pending || now < self.due() {
            return None;
        }
        let since = self.since;
        self.enter(RuleState::Active, RuleCause::Condition, since)
    }

    /// When a pending rule becomes active.
    pub(crate) fn due(&self) -> MonoNs {
        self.since.after(self.on_delay)
    }

    fn enter(&mut self, to: RuleState, cause: RuleCause, origin: MonoNs) -> Option<Change> {
        if self.state == to && self.cause == cause {
            return None;
        }
        let from = self.state;
        self.state = to;
        self.cause = cause;
        self.since = origin;
        Some(Change { from, to, cause })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(ms: u64) -> MonoNs {
        MonoNs::from_ns(ms * 1_000_000)
    }

    fn rule(on_delay_ms: u64) -> Rule {
        Rule::new(DurNs::from_ms(on_delay_ms))
    }

    const TRUE: Outcome = Outcome::Decided(Tri::True);
    const FALSE: Outcome = Outcome::Decided(Tri::False);
    const BAD: Outcome = Outcome::Decided(Tri::Bad);

    #[test]
    fn a_condition_must_last_its_delay() {
        let mut rule = rule(20);
        rule.decide(FALSE, ms(0), ms(0), false);
        assert_eq!(
            rule.decide(TRUE, ms(10), ms(10), false).unwrap().to,
            RuleState::Pending
        );
        assert_eq!(rule.elapse(ms(29)), None);
        assert_eq!(
            rule.decide(FALSE, ms(29), ms(29), false).unwrap().to,
            RuleState::Normal
        );
        rule.decide(TRUE, ms(40), ms(40), false);
        let change = rule.elapse(ms(60)).unwrap();
        assert_eq!(
            (change.from, change.to),
            (RuleState::Pending, RuleState::Active)
        );
        assert_eq!(
            rule.since,
            ms(40),
            "the reaction time counts from the first true sample"
        );
    }

    #[test]
    fn a_tick_that_comes_late_does_not_lengthen_the_delay() {
        let mut rule = rule(20);
        rule.decide(FALSE, ms(0), ms(0), false);
        let change = rule.decide(TRUE, ms(10), ms(35), false).unwrap();
        assert_eq!(
            (change.from, change.to),
            (RuleState::Normal, RuleState::Active)
        );
    }

    #[test]
    fn a_bad_input_trips_without_the_delay() {
        let mut rule = rule(1_000);
        rule.decide(FALSE, ms(0), ms(0), false);
        let change = rule.decide(BAD, ms(10), ms(10), false).unwrap();
        assert_eq!(
            (change.to, change.cause),
            (RuleState::Active, RuleCause::BadInput),
            "I6"
        );
        let change = rule.decide(TRUE, ms(11), ms(11), false).unwrap();
        assert_eq!(
            (change.to, change.cause),
            (RuleState::Active, RuleCause::Condition)
        );
    }

    #[test]
    fn before_its_inputs_arrived_a_rule_waits_and_is_not_normal() {
        let mut rule = rule(0);
        assert_eq!(rule.decide(BAD, ms(1), ms(1), true), None);
        assert_eq!(rule.state, RuleState::Waiting);
        assert_eq!(
            rule.decide(BAD, ms(2), ms(2), false).unwrap().cause,
            RuleCause::BadInput
        );
    }

    #[test]
    fn the_dead_band_holds_only_for_a_condition_that_fired() {
        let mut rule = rule(10);
        assert!(!rule.hold());
        rule.decide(TRUE, ms(0), ms(0), false);
        assert!(!rule.hold(), "pending");
        rule.decide(TRUE, ms(20), ms(20), false);
        assert!(rule.hold());
        rule.decide(BAD, ms(30), ms(30), false);
        assert!(!rule.hold());
    }

    #[test]
    fn a_fault_of_the_rule_module_never_clears() {
        let mut rule = rule(0);
        rule.decide(Outcome::Fault(RuleCause::Comparison), ms(0), ms(0), false);
        assert_eq!(rule.decide(FALSE, ms(1), ms(1), false), None);
        assert_eq!(
            (rule.state, rule.cause),
            (RuleState::Active, RuleCause::Comparison)
        );
    }
}

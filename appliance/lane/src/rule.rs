//! A rule's state machine: on-delay, debounce, activity, off-delay, and what a bad input does.
//!
//! ```text
//!              bad, an input still missing
//!               ┌──┐
//!   start ──▶ Waiting ──false──▶ Normal ◀──false for the off-delay── Active
//!               │                 │  ▲                                ▲  ▲
//!               │true           true │false (debounce: no true left)  │  │
//!               │                 ▼  │                                │  │
//!               └────true──▶   Pending ──on-delay over, m of n true───┘  │
//!               └────bad───────────┴──────bad────────────────────────────┘
//! ```
//!
//! A bad input is not delayed by `for`: its own delay is the tag's `stale_after`, and it votes to trip. A rule that is
//! bypassed or inhibited is Normal, with that as its cause.

use drivers_frame::{DurNs, MonoNs, planted};
use rules_bundle::Debounce;
use rules_expr::ir::Tri;

use crate::RuleCause;
use crate::complement::Complement;

/// State of a rule.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u8)]
pub enum RuleState {
    /// Not decided yet since start: an input has never arrived. Blocks a reset.
    #[default]
    Waiting = 0,
    /// The condition is false.
    Normal = 1,
    /// The condition is true, and has been for less than its on-delay.
    Pending = 2,
    /// The condition has been true for its on-delay, or an input is bad. An alert tells, a danger stops.
    Active = 3,
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

    #[expect(clippy::as_conversions, reason = "a discriminant of at most 3")]
    const fn stored(self) -> Complement {
        Complement::new(self as u8)
    }
}

/// What one evaluation said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The condition, or the vote of its channels.
    Decided(Tri),
    /// Withheld: bypassed or inhibited.
    Suppressed(RuleCause),
    /// The rule module failed.
    Fault(RuleCause),
}

/// The times of a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Timing {
    pub(crate) on_delay: DurNs,
    pub(crate) off_delay: DurNs,
    pub(crate) debounce: Option<Debounce>,
}

/// A rule at run time.
pub(crate) struct Rule {
    pub(crate) state: RuleState,
    /// The state once more, with its complement.
    stored: Complement,
    pub(crate) cause: RuleCause,
    /// When the sample arrived that began the present state; the reaction time counts from here.
    pub(crate) since: MonoNs,
    /// Since when an active condition is over, while its off-delay runs.
    clearing: Option<MonoNs>,
    /// Debounce: the last evaluations, newest in the lowest bit.
    history: u32,
    /// Channels whose condition was true when last evaluated, one bit each: their dead band holds.
    pub(crate) tripped: u8,
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
    pub(crate) fn new() -> Self {
        Self {
            state: RuleState::Waiting,
            stored: RuleState::Waiting.stored(),
            cause: RuleCause::Clear,
            since: MonoNs::ZERO,
            clearing: None,
            history: 0,
            tripped: 0,
            unconfirmed: 0,
            latency_max: DurNs::ZERO,
            stops: 0,
            missed: 0,
        }
    }

    /// Whether the state is what was stored (H-33).
    pub(crate) fn is_intact(&self) -> bool {
        self.stored == self.state.stored()
    }

    /// Whether the dead band of a channel holds: only a condition that fired must fall below it to clear.
    pub(crate) fn hold(&self, channel: u32) -> bool {
        if planted!(DeadBandInverted) {
            return self.state != RuleState::Active;
        }
        self.state == RuleState::Active
            && self.cause == RuleCause::Condition
            && self.tripped.checked_shr(channel).unwrap_or(0) & 1 == 1
    }

    /// Takes an evaluation. `origin` is when the sample arrived that caused it; `missing` tells that an input has never
    /// arrived and may still.
    pub(crate) fn decide(
        &mut self,
        outcome: Outcome,
        timing: &Timing,
        origin: MonoNs,
        now: MonoNs,
        missing: bool,
    ) -> Option<Change> {
        match outcome {
            Outcome::Fault(cause) => self.enter(RuleState::Active, cause, origin),
            // A fault of the module stays: only a restart removes its cause.
            Outcome::Decided(_) | Outcome::Suppressed(_) if self.cause.is_engine_fault() => None,
            Outcome::Suppressed(cause) => {
                self.history = 0;
                self.enter(RuleState::Normal, cause, origin)
            }
            Outcome::Decided(Tri::Bad) if self.state == RuleState::Waiting && missing => None,
            Outcome::Decided(Tri::Bad) if planted!(BadDelayed) => {
                self.decide_true(timing, origin, now)
            }
            Outcome::Decided(Tri::Bad) => {
                self.enter(RuleState::Active, RuleCause::BadInput, origin)
            }
            Outcome::Decided(Tri::False) => self.decide_false(timing, origin, now),
            Outcome::Decided(Tri::True) => self.decide_true(timing, origin, now),
        }
    }

    fn decide_false(&mut self, timing: &Timing, origin: MonoNs, now: MonoNs) -> Option<Change> {
        self.remember(timing, false);
        match self.state {
            RuleState::Active if timing.off_delay > DurNs::ZERO && !planted!(OffDelayIgnored) => {
                self.clearing.get_or_insert(origin);
                self.elapse(timing, now)
            }
            RuleState::Pending if self.history != 0 && !planted!(DebounceForgets) => None,
            _ => self.enter(RuleState::Normal, RuleCause::Clear, origin),
        }
    }

    fn decide_true(&mut self, timing: &Timing, origin: MonoNs, now: MonoNs) -> Option<Change> {
        self.clearing = None;
        self.remember(timing, true);
        match self.state {
            RuleState::Active if self.cause == RuleCause::Condition => None,
            // An active bad input that turns into a true condition stays active: it never passes through a state in
            // which it does not stop.
            RuleState::Active => self.enter(RuleState::Active, RuleCause::Condition, origin),
            RuleState::Pending => self.elapse(timing, now),
            RuleState::Waiting | RuleState::Normal => {
                let from = self.state;
                let change = self.enter(RuleState::Pending, RuleCause::Condition, origin);
                self.elapse(timing, now)
                    .map_or(change, |elapsed| Some(Change { from, ..elapsed }))
            }
        }
    }

    fn remember(&mut self, timing: &Timing, condition: bool) {
        if let Some(debounce) = timing.debounce {
            let kept = u32::MAX
                .checked_shr(32_u32.saturating_sub(u32::from(debounce.of)))
                .unwrap_or(0);
            self.history = ((self.history << 1) | u32::from(condition)) & kept;
        }
    }

    /// A delay that is over changes the state. The reaction time still counts from the first true sample.
    pub(crate) fn elapse(&mut self, timing: &Timing, now: MonoNs) -> Option<Change> {
        if now < self.due(timing) {
            return None;
        }
        match self.state {
            RuleState::Pending => {
                let since = self.since;
                self.enter(RuleState::Active, RuleCause::Condition, since)
            }
            RuleState::Active => self.enter(RuleState::Normal, RuleCause::Clear, now),
            RuleState::Waiting | RuleState::Normal => None,
        }
    }

    /// When a delay of the present state is over; never when none runs.
    pub(crate) fn due(&self, timing: &Timing) -> MonoNs {
        match (self.state, self.clearing) {
            (RuleState::Pending, _) => match timing.debounce {
                Some(debounce)
                    if self.history.count_ones() < u32::from(debounce.need)
                        && !planted!(DebounceIgnored) =>
                {
                    // Too few yet: the cap decides, if the newest one is true.
                    if self.history & 1 == 1 && !planted!(DebounceCapIgnored) {
                        self.since.after(timing.on_delay.max(debounce.within))
                    } else {
                        MonoNs::NEVER
                    }
                }
                _ if planted!(OnDelayIgnored) => self.since,
                _ if planted!(OnDelayTwice) => self.since.after(timing.on_delay.times(2)),
                _ => self.since.after(timing.on_delay),
            },
            (RuleState::Active, Some(since)) => since.after(timing.off_delay),
            _ => MonoNs::NEVER,
        }
    }

    fn enter(&mut self, to: RuleState, cause: RuleCause, origin: MonoNs) -> Option<Change> {
        self.clearing = None;
        if to != RuleState::Pending {
            self.history = 0;
        }
        if self.state == to && self.cause == cause {
            return None;
        }
        let from = self.state;
        self.state = to;
        self.stored = to.stored();
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

    /// A rule with its times.
    struct Timed {
        rule: Rule,
        timing: Timing,
    }

    impl std::ops::Deref for Timed {
        type Target = Rule;

        fn deref(&self) -> &Rule {
            &self.rule
        }
    }

    impl Timed {
        fn take(
            &mut self,
            outcome: Outcome,
            origin: MonoNs,
            now: MonoNs,
            missing: bool,
        ) -> Option<Change> {
            self.rule.tripped = u8::from(outcome == TRUE);
            self.rule
                .decide(outcome, &self.timing, origin, now, missing)
        }

        fn late(&mut self, now: MonoNs) -> Option<Change> {
            self.rule.elapse(&self.timing, now)
        }
    }

    fn rule(on_delay_ms: u64) -> Timed {
        Timed {
            rule: Rule::new(),
            timing: Timing {
                on_delay: DurNs::from_ms(on_delay_ms),
                off_delay: DurNs::ZERO,
                debounce: None,
            },
        }
    }

    const TRUE: Outcome = Outcome::Decided(Tri::True);
    const FALSE: Outcome = Outcome::Decided(Tri::False);
    const BAD: Outcome = Outcome::Decided(Tri::Bad);

    #[test]
    fn a_condition_must_last_its_delay() {
        let mut rule = rule(20);
        rule.take(FALSE, ms(0), ms(0), false);
        assert_eq!(
            rule.take(TRUE, ms(10), ms(10), false).unwrap().to,
            RuleState::Pending
        );
        assert_eq!(rule.late(ms(29)), None);
        assert_eq!(
            rule.take(FALSE, ms(29), ms(29), false).unwrap().to,
            RuleState::Normal
        );
        rule.take(TRUE, ms(40), ms(40), false);
        let change = rule.late(ms(60)).unwrap();
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
        rule.take(FALSE, ms(0), ms(0), false);
        let change = rule.take(TRUE, ms(10), ms(35), false).unwrap();
        assert_eq!(
            (change.from, change.to),
            (RuleState::Normal, RuleState::Active)
        );
    }

    #[test]
    fn a_bad_input_trips_without_the_delay() {
        let mut rule = rule(1_000);
        rule.take(FALSE, ms(0), ms(0), false);
        let change = rule.take(BAD, ms(10), ms(10), false).unwrap();
        assert_eq!(
            (change.to, change.cause),
            (RuleState::Active, RuleCause::BadInput),
            "I6"
        );
        let change = rule.take(TRUE, ms(11), ms(11), false).unwrap();
        assert_eq!(
            (change.to, change.cause),
            (RuleState::Active, RuleCause::Condition)
        );
    }

    #[test]
    fn before_its_inputs_arrived_a_rule_waits_and_is_not_normal() {
        let mut rule = rule(0);
        assert_eq!(rule.take(BAD, ms(1), ms(1), true), None);
        assert_eq!(rule.state, RuleState::Waiting);
        assert_eq!(
            rule.take(BAD, ms(2), ms(2), false).unwrap().cause,
            RuleCause::BadInput
        );
    }

    #[test]
    fn the_dead_band_holds_only_for_a_condition_that_fired() {
        let mut rule = rule(10);
        assert!(!rule.hold(0));
        rule.take(TRUE, ms(0), ms(0), false);
        assert!(!rule.hold(0), "pending");
        rule.take(TRUE, ms(20), ms(20), false);
        assert!(rule.hold(0));
        rule.take(BAD, ms(30), ms(30), false);
        assert!(!rule.hold(0));
    }

    #[test]
    fn a_fault_of_the_rule_module_never_clears() {
        let mut rule = rule(0);
        rule.take(Outcome::Fault(RuleCause::Comparison), ms(0), ms(0), false);
        assert_eq!(rule.take(FALSE, ms(1), ms(1), false), None);
        assert_eq!(
            (rule.state, rule.cause),
            (RuleState::Active, RuleCause::Comparison)
        );
    }

    #[test]
    fn a_condition_must_be_over_for_its_off_delay() {
        let mut rule = rule(0);
        rule.timing.off_delay = DurNs::from_ms(100);
        rule.take(FALSE, ms(0), ms(0), false);
        rule.take(TRUE, ms(10), ms(10), false);
        assert_eq!(rule.take(FALSE, ms(20), ms(20), false), None);
        assert_eq!(rule.rule.due(&rule.timing), ms(120));
        assert_eq!(rule.take(TRUE, ms(50), ms(50), false), None, "it came back");
        assert_eq!(rule.late(ms(130)), None);
        rule.take(FALSE, ms(150), ms(150), false);
        assert_eq!(rule.late(ms(249)), None);
        assert_eq!(rule.late(ms(250)).unwrap().to, RuleState::Normal);
    }

    #[test]
    fn h04_m_of_n_decides_and_the_cap_decides_at_the_latest() {
        let debounced = || {
            let mut rule = rule(0);
            rule.timing.debounce = Some(Debounce {
                need: 3,
                of: 5,
                within: DurNs::from_ms(100),
            });
            rule.take(FALSE, ms(0), ms(0), false);
            rule
        };
        let mut rule = debounced();
        for (at, outcome, state) in [
            (10, TRUE, RuleState::Pending),
            (20, FALSE, RuleState::Pending),
            (30, TRUE, RuleState::Pending),
            (40, FALSE, RuleState::Pending),
            (50, TRUE, RuleState::Active),
        ] {
            rule.take(outcome, ms(at), ms(at), false);
            assert_eq!(rule.state, state, "H-4: at {at} ms");
        }
        assert_eq!(
            rule.since,
            ms(10),
            "the reaction time counts from the first"
        );
        // A single spike is forgotten after n.
        let mut rule = debounced();
        rule.take(TRUE, ms(10), ms(10), false);
        for at in [20, 30, 40, 50] {
            rule.take(FALSE, ms(at), ms(at), false);
            assert_eq!(rule.state, RuleState::Pending);
        }
        rule.take(FALSE, ms(60), ms(60), false);
        assert_eq!(rule.state, RuleState::Normal);
        // Slow samples: still true at the cap.
        let mut rule = debounced();
        rule.take(TRUE, ms(10), ms(10), false);
        assert_eq!(rule.rule.due(&rule.timing), ms(110));
        assert_eq!(rule.late(ms(109)), None);
        assert_eq!(rule.late(ms(110)).unwrap().to, RuleState::Active);
        // Bad does not wait.
        let mut rule = debounced();
        rule.take(BAD, ms(10), ms(10), false);
        assert_eq!(
            (rule.state, rule.cause),
            (RuleState::Active, RuleCause::BadInput)
        );
    }

    #[test]
    fn a_rule_that_is_bypassed_is_normal_and_says_so() {
        let mut rule = rule(0);
        rule.take(TRUE, ms(0), ms(0), false);
        let change = rule.take(
            Outcome::Suppressed(RuleCause::Bypassed),
            ms(10),
            ms(10),
            false,
        );
        assert_eq!(
            change.map(|change| (change.to, change.cause)),
            Some((RuleState::Normal, RuleCause::Bypassed))
        );
        assert_eq!(
            rule.take(TRUE, ms(20), ms(20), false).unwrap().to,
            RuleState::Active
        );
    }

    #[test]
    fn h33_a_damaged_state_is_seen() {
        let mut rule = rule(0);
        rule.take(TRUE, ms(0), ms(0), false);
        assert!(rule.is_intact());
        rule.rule.state = RuleState::Normal;
        assert!(!rule.is_intact());
        rule.rule.state = RuleState::Active;
        rule.rule.stored.damage(0, 4);
        assert!(!rule.is_intact());
    }
}

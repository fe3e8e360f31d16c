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
mod tests;

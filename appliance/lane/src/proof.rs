//! What is known of an output: what it is commanded, whether its stop is proved, and what follows when it is not.
//!
//! A stop is proved by its echo (and read-back: the output machine reports it only then) and, where there is one, by
//! the feedback input (H-58, H-59). One that is not proved within its time escalates.

use appliance_output::Permit;
use drivers_frame::{DurNs, MonoNs, planted};
use rules_bundle::{FeedbackPlan, OutputPlan, StopCategory};

use crate::latch::Latch;

/// What the feedback tag says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Feedback {
    /// The actuator's position; `None` when the tag is not usable, which proves nothing.
    pub(crate) value: Option<bool>,
    /// When it was received.
    pub(crate) at: MonoNs,
}

/// What a look at an output found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Findings {
    /// The stop was proved now, at this time.
    pub(crate) proved_at: Option<MonoNs>,
    /// The feedback does not follow: newly seen.
    pub(crate) edm_fault: bool,
    /// A stop is not proved in its time: newly seen.
    pub(crate) unproved: bool,
}

/// An output at run time.
pub(crate) struct Output {
    pub(crate) group: u16,
    stop: StopCategory,
    pub(crate) feedback: Option<FeedbackPlan>,
    pub(crate) escalate_to: Option<u16>,
    /// Time within which a stop must be proved.
    patience: DurNs,
    permit: Permit,
    /// When the present permit was commanded.
    since: MonoNs,
    /// The machine was running when the stop was commanded.
    stopping_run: bool,
    /// When the safe value was echoed (and read back).
    echoed: Option<MonoNs>,
    /// The stop is proved and nothing went wrong since: a reset may release it.
    pub(crate) proved_safe: bool,
    /// A write failed since the last echo.
    pub(crate) failed: bool,
    edm_fault: bool,
    unproved: bool,
    /// Whether the device's watchdog is armed; `None` where none is declared.
    pub(crate) watchdog_armed: Option<bool>,
    /// Rule whose stop is being proved.
    pub(crate) stopping: Option<u16>,
}

impl Output {
    /// Boot is tripped.
    pub(crate) fn boot(plan: &OutputPlan, start: MonoNs) -> Self {
        let spans = [
            Some(plan.confirm_within),
            plan.read_back.map(|read_back| read_back.within),
            plan.feedback.map(|feedback| feedback.within),
        ];
        let patience = spans.into_iter().flatten().fold(DurNs::ZERO, |sum, span| {
            DurNs::from_ns(sum.as_ns().saturating_add(span.as_ns()))
        });
        Self {
            group: plan.group,
            stop: plan.stop,
            feedback: plan.feedback,
            escalate_to: plan.escalate_to,
            patience,
            permit: Permit::Withheld,
            since: start,
            stopping_run: false,
            echoed: None,
            proved_safe: false,
            failed: false,
            edm_fault: false,
            unproved: false,
            watchdog_armed: plan.watchdog.as_ref().map(|_| false),
            stopping: None,
        }
    }

    pub(crate) fn controlled_by(&self) -> Option<u16> {
        match self.stop {
            StopCategory::Zero => None,
            StopCategory::One { controlled_by, .. } => Some(controlled_by),
        }
    }

    /// What it is to be commanded. `controlled_stop_failed` tells that the output which asks for the controlled stop
    /// cannot: then the power goes at once.
    pub(crate) fn demanded(
        &self,
        latch: Option<Latch>,
        latched: bool,
        controlled_stop_failed: bool,
        now: MonoNs,
    ) -> Permit {
        if !latched {
            return Permit::Granted;
        }
        match (self.stop, latch) {
            (
                StopCategory::One {
                    power_off_after, ..
                },
                Some(latch),
            ) if self.permit == Permit::Granted
                && (!controlled_stop_failed || planted!(ControlledStopFailureIgnored))
                && now < latch.at.after(planted_time(power_off_after)) =>
            {
                Permit::Granted
            }
            _ => Permit::Withheld,
        }
    }

    /// When a category 1 stop removes the power.
    pub(crate) fn power_off_due(&self, latch: Option<Latch>) -> MonoNs {
        match (self.stop, latch, self.permit) {
            (
                StopCategory::One {
                    power_off_after, ..
                },
                Some(latch),
                Permit::Granted,
            ) => latch.at.after(planted_time(power_off_after)),
            _ => MonoNs::NEVER,
        }
    }

    /// Commands it.
    pub(crate) fn command(&mut self, permit: Permit, now: MonoNs) {
        if self.permit == permit {
            return;
        }
        self.stopping_run = permit == Permit::Withheld;
        self.permit = permit;
        self.since = now;
        self.echoed = None;
        self.proved_safe = false;
        self.unproved = false;
        self.edm_fault = false;
    }

    /// Its safe value was echoed (and read back).
    pub(crate) fn safe_confirmed(&mut self, at: MonoNs) {
        self.failed = false;
        if self.permit == Permit::Withheld {
            self.echoed.get_or_insert(at);
        }
    }

    /// Its run value was echoed.
    pub(crate) fn run_confirmed(&mut self) {
        self.failed = false;
    }

    /// A write failed, or another master's value was read: what was proved is not any more.
    pub(crate) fn unproven(&mut self) {
        self.echoed = None;
        self.proved_safe = false;
    }

    /// Looks at feedback and time.
    pub(crate) fn look(&mut self, feedback: Option<Feedback>, now: MonoNs) -> Findings {
        let mut findings = Findings::default();
        let mut follows = true;
        let mut followed_at = MonoNs::ZERO;
        if let (Some(plan), Some(feedback)) = (self.feedback, feedback) {
            let expected = match self.permit {
                Permit::Withheld => plan.safe,
                Permit::Granted => !plan.safe,
            };
            follows = feedback.value == Some(expected) || planted!(FeedbackIgnored);
            followed_at = feedback.at;
            if follows {
                self.edm_fault = false;
            } else {
                self.proved_safe = false;
                if !self.edm_fault && now > self.since.after(plan.within) {
                    self.edm_fault = true;
                    findings.edm_fault = true;
                }
            }
        }
        if self.permit == Permit::Withheld {
            if let (Some(echoed_at), true) = (self.echoed, follows) {
                self.unproved = false;
                if !self.proved_safe {
                    self.proved_safe = true;
                    findings.proved_at = Some(echoed_at.max(followed_at));
                }
            } else if self.stopping_run && !self.unproved && now > self.since.after(self.patience) {
                self.unproved = true;
                findings.unproved = true;
            }
        }
        findings
    }

    /// Whether the feedback stands against a reset.
    pub(crate) fn feedback_stands(&self) -> bool {
        self.feedback.is_some() && self.echoed.is_some() && !self.proved_safe
    }

    /// Whether the feedback does not follow.
    pub(crate) fn has_edm_fault(&self) -> bool {
        self.edm_fault
    }

    /// When [`Output::look`] may have something to say after `now` though nothing arrives.
    pub(crate) fn next_due(&self, now: MonoNs) -> MonoNs {
        let awaited = self.permit == Permit::Withheld && self.stopping_run && !self.proved_safe;
        let spans = [
            self.feedback.map(|feedback| feedback.within),
            awaited.then_some(self.patience),
        ];
        spans
            .into_iter()
            .flatten()
            .map(|span| self.since.after(span).after(DurNs::from_ns(1)))
            .filter(|due| *due > now)
            .min()
            .unwrap_or(MonoNs::NEVER)
    }
}

/// The time of a controlled stop, unless a bug is planted.
#[inline]
fn planted_time(power_off_after: DurNs) -> DurNs {
    if planted!(PowerOffEarly) {
        DurNs::ZERO
    } else if planted!(PowerOffLate) {
        power_off_after.times(2)
    } else if planted!(PowerOffNever) {
        DurNs::from_ns(u64::MAX)
    } else {
        power_off_after
    }
}

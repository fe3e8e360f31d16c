//! When the written place is read, and what a difference means (H-58, H-60). Pure scheduling; the values are the machine's.

use drivers_frame::{DurNs, MonoNs};
use rules_bundle::ReadBackPlan;

/// Looks at a place that had no time yet to follow are this far apart at least.
const LOOK_AGAIN_LEAST: DurNs = DurNs::from_ms(1);

/// What a look at the place means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Look {
    /// It holds the value.
    Matches,
    /// It does not, and may still follow: look again.
    TooEarly,
    /// It does not, and had its time.
    Differs,
}

pub(crate) struct ReadBack {
    period: DurNs,
    within: DurNs,
    due: MonoNs,
    /// When the place was last told to change, as far as its echo says.
    changed: MonoNs,
    /// Since when it should have followed; kept while it does not, so that a value that changes faster than the place
    /// follows is still judged.
    doubted: Option<MonoNs>,
}

impl ReadBack {
    pub(crate) const fn new(plan: ReadBackPlan) -> Self {
        Self {
            period: plan.period,
            within: plan.within,
            due: MonoNs::NEVER,
            changed: MonoNs::ZERO,
            doubted: None,
        }
    }

    pub(crate) const fn due(&self) -> MonoNs {
        self.due
    }

    /// A write that begins a proof was echoed: look at once.
    pub(crate) const fn begin(&mut self, now: MonoNs) {
        self.changed = now;
        self.doubted = None;
        self.due = now;
    }

    /// A refresh with a new value was echoed.
    pub(crate) const fn changed(&mut self, now: MonoNs) {
        self.changed = now;
    }

    /// Nothing to look for until the next echo.
    pub(crate) const fn rest(&mut self) {
        self.due = MonoNs::NEVER;
        self.doubted = None;
    }

    /// The read went out.
    pub(crate) const fn sent(&mut self) {
        self.due = MonoNs::NEVER;
    }

    /// Whether a place that was told to change at `since` had its time to follow.
    pub(crate) fn is_settled(&self, since: MonoNs, now: MonoNs) -> bool {
        now >= since.after(self.within)
    }

    /// Takes what the place held.
    pub(crate) fn look(&mut self, matches: bool, now: MonoNs) -> Look {
        if matches {
            self.doubted = None;
            self.due = now.after(self.period);
            return Look::Matches;
        }
        let since = *self.doubted.get_or_insert(self.changed);
        if self.is_settled(since, now) {
            self.rest();
            return Look::Differs;
        }
        let quarter = DurNs::from_ns(self.within.as_ns() >> 2).max(LOOK_AGAIN_LEAST);
        self.due = now.after(quarter).min(since.after(self.within));
        Look::TooEarly
    }
}

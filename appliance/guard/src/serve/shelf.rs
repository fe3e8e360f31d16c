//! Shelved alerts (ISA-18.2, 11.4): an operator silences a notification for a limited time. The rule goes on watching,
//! its state is shown, and a danger cannot be shelved: what stops a machine is always told.
//!
//! Monotonic time decides; the wall clock only labels (H-79). A guard that starts again begins with nothing shelved.

use appliance_control::{Actor, ShelvedStatus};
use drivers_frame::{DurNs, MonoNs};
use rt_config::limits::{RULES_MAX, SHELVE_HOURS_MAX};
use rules_bundle::Level;

/// Longest time that an alert may be shelved.
pub(super) const AT_MOST: DurNs = DurNs::from_ms(SHELVE_HOURS_MAX * 3_600_000);

/// A shelved alert.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Shelved {
    pub(super) rule: String,
    pub(super) by: Actor,
    pub(super) why: String,
    pub(super) until: MonoNs,
    pub(super) until_wall_ns: u64,
}

/// The shelf.
#[derive(Debug, Default)]
pub(super) struct Shelf(Vec<Shelved>);

/// Whether a rule of this level may be shelved for so long; if not, why and what to do.
pub(super) fn refusal(
    level: Option<Level>,
    lasting: DurNs,
) -> Option<(&'static str, &'static str)> {
    match level {
        None => Some((
            "there is no such rule",
            "`tripline status` shows every rule",
        )),
        Some(Level::Danger) => Some((
            "a danger is never silenced",
            "remove the cause; one channel's vote may be withheld with `tripline bypass`, where the pack allows it",
        )),
        Some(Level::Alert) if lasting == DurNs::ZERO => {
            Some(("no time was given", "say for how long, at most 24 hours"))
        }
        Some(Level::Alert) if lasting > AT_MOST => Some((
            "longer than an alert may be shelved",
            "say at most 24 hours; shelve it again tomorrow if it still must be",
        )),
        Some(Level::Alert) => None,
    }
}

impl Shelf {
    /// Puts an alert on the shelf; once more is from now on.
    pub(super) fn put(&mut self, shelved: Shelved) {
        self.take(&shelved.rule);
        if self.0.len() < RULES_MAX {
            self.0.push(shelved);
        }
    }

    /// Takes one off. `false` when it was not there.
    pub(super) fn take(&mut self, rule: &str) -> bool {
        let before = self.0.len();
        self.0.retain(|shelved| shelved.rule != rule);
        self.0.len() < before
    }

    /// Takes those off whose time is up.
    pub(super) fn expire(&mut self, now: MonoNs) -> Vec<String> {
        let over = self.0.extract_if(.., |shelved| shelved.until <= now);
        over.map(|shelved| shelved.rule).collect()
    }

    pub(super) fn status(&self, now: MonoNs) -> Vec<ShelvedStatus> {
        let status = |shelved: &Shelved| ShelvedStatus {
            rule: shelved.rule.clone(),
            by: shelved.by.clone(),
            why: shelved.why.clone(),
            until_wall_ns: shelved.until_wall_ns,
            remaining_ns: shelved.until.since(now).as_ns(),
        };
        self.0.iter().map(status).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_danger_is_never_shelved_and_an_alert_not_for_ever() {
        let minute = DurNs::from_ms(60_000);
        let too_long = DurNs::from_ns(AT_MOST.as_ns() + 1);
        let table = [
            (Some(Level::Alert), minute, true),
            (Some(Level::Alert), AT_MOST, true),
            (Some(Level::Alert), too_long, false),
            (Some(Level::Alert), DurNs::from_ns(u64::MAX), false),
            (Some(Level::Alert), DurNs::ZERO, false),
            (Some(Level::Danger), minute, false),
            (Some(Level::Danger), DurNs::ZERO, false),
            (None, minute, false),
        ];
        for (level, lasting, may) in table {
            assert_eq!(
                refusal(level, lasting).is_none(),
                may,
                "{level:?} {lasting}"
            );
        }
    }

    #[test]
    fn what_is_shelved_comes_back_by_itself() {
        let mut shelf = Shelf::default();
        let put = |shelf: &mut Shelf, rule: &str, until: u64| {
            shelf.put(Shelved {
                rule: rule.into(),
                by: Actor {
                    who: "Anna".into(),
                    uid: 1,
                    user: None,
                },
                why: "known".into(),
                until: MonoNs::from_ns(until),
                until_wall_ns: 0,
            });
        };
        put(&mut shelf, "a", 10);
        put(&mut shelf, "b", 20);
        put(&mut shelf, "a", 30);
        assert_eq!(shelf.expire(MonoNs::from_ns(19)), [""; 0]);
        assert_eq!(shelf.expire(MonoNs::from_ns(20)), ["b"]);
        assert_eq!(shelf.status(MonoNs::from_ns(25))[0].remaining_ns, 5);
        assert!(shelf.take("a"));
        assert!(!shelf.take("a"));
    }
}

//! A time-limited permission from outside: setpoint multiplier and startup inhibit (API 670).
//!
//! Begins when its tag becomes true, ends when the tag becomes false or is not usable, or when its time is over; then the
//! tag must be false before it can begin again: a switch that sticks, behind a connection that comes and goes, must not
//! renew its time with each return. A tag that is true from the start counts as an edge: a machine may be started before
//! its guard, and the time is limited all the same.

use drivers_frame::{DurNs, MonoNs, planted};
use rules_bundle::Enable as Plan;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum State {
    Off,
    On {
        until: MonoNs,
    },
    /// Its time was over, or the tag was lost, while the tag was still true: it must be seen false.
    Spent,
}

/// One permission.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Enable {
    at_most: DurNs,
    state: State,
}

impl Enable {
    pub(crate) fn new(plan: &Plan) -> Self {
        Self {
            at_most: plan.at_most,
            state: State::Off,
        }
    }

    /// Takes what the tag says now, and the time. `true` when [`Enable::is_on`] changed.
    pub(crate) fn see(&mut self, tag: Option<bool>, now: MonoNs) -> bool {
        let was = self.is_on();
        self.state = match (self.state, tag) {
            (_, Some(false)) | (State::Off, None) => State::Off,
            (State::On { .. } | State::Spent, None) => State::Spent,
            (State::Off, Some(true)) => State::On {
                until: now.after(self.at_most),
            },
            (State::On { until }, Some(true)) if now >= until && !planted!(PermissionUnlimited) => {
                State::Spent
            }
            (state, Some(true)) => state,
        };
        was != self.is_on()
    }

    pub(crate) fn is_on(self) -> bool {
        matches!(self.state, State::On { .. })
    }

    pub(crate) fn due(self) -> MonoNs {
        match self.state {
            State::On { .. } if planted!(PermissionUnlimited) => MonoNs::NEVER,
            State::On { until } => until,
            State::Off | State::Spent => MonoNs::NEVER,
        }
    }
}

#[cfg(test)]
mod tests {
    use drivers_frame::TagId;

    use super::*;

    fn ms(ms: u64) -> MonoNs {
        MonoNs::from_ns(ms * 1_000_000)
    }

    #[test]
    fn it_is_limited_in_time_and_needs_a_new_edge() {
        let mut enable = Enable::new(&Plan {
            tag: TagId(0),
            at_most: DurNs::from_ms(100),
        });
        assert!(!enable.see(Some(false), ms(0)));
        assert!(enable.see(Some(true), ms(10)));
        assert_eq!(enable.due(), ms(110));
        assert!(!enable.see(Some(true), ms(109)));
        assert!(enable.see(Some(true), ms(110)), "its time is over");
        assert!(!enable.is_on());
        assert!(
            !enable.see(Some(true), ms(500)),
            "a stuck tag enables nothing again"
        );
        assert!(!enable.see(Some(false), ms(510)));
        assert!(enable.see(Some(true), ms(520)));
        assert!(
            enable.see(None, ms(530)),
            "a tag that is not usable enables nothing"
        );
        assert!(
            !enable.see(Some(true), ms(540)),
            "nor does it when it comes back: it was not seen false"
        );
        assert!(!enable.see(None, ms(550)) && !enable.see(Some(true), ms(560)));
        assert!(!enable.see(Some(false), ms(570)));
        assert!(enable.see(Some(true), ms(580)));
    }
}

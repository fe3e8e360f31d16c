//! The windowed watchdog over one lane: what is seen of it, judged against a window, decided by a table.
//!
//! A lane feeds once for each complete timer turn, after a complete tick. Too long without a feed is a hang (H-31), more
//! feeds than the time has room for is a runaway, and ticks whose checkpoints do not add up have left out or repeated a
//! stage (H-32). A fault is final: only a restart of the guard ends it.
//!
//! ```text
//!               late, early, skipped, died
//!   watching ───────────────────────────────▶ faulted(cause)
//!      │ ended
//!      └────────▶ ended
//! ```
//!
//! Pure: times and counts are arguments. Which thread: the sentinel's. Worst case: a few divisions.

use drivers_frame::{DurNs, MonoNs};
use rt_config::limits::{WATCHDOG_LATEST_MAX_MS, WATCHDOG_LATEST_MIN_MS, WATCHDOG_TURNS_MIN};
use rules_bundle::LanePlan;

use crate::pulse::{EXPECTED, Phase, Work};

/// When a lane may be fed again, and when it must have been.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Window {
    /// Shortest time from one feed to the next: the lane's timer period.
    pub(crate) earliest: DurNs,
    /// Longest.
    pub(crate) latest: DurNs,
}

impl Window {
    /// The window of a lane. A lane that is silent for as long as its tightest deadline has missed it; the bounds of
    /// [`rt_config::limits`] keep that between what a host may steal and what nobody would call watched.
    pub(crate) fn of(plan: &LanePlan) -> Self {
        let deadlines = plan.rules.iter().filter_map(|rule| rule.deadline);
        let least = DurNs::from_ms(WATCHDOG_LATEST_MIN_MS);
        let most = DurNs::from_ms(WATCHDOG_LATEST_MAX_MS);
        let tightest = deadlines.min().unwrap_or(most).clamp(least, most);
        Self {
            earliest: plan.timer_period,
            latest: tightest.max(plan.timer_period.times(WATCHDOG_TURNS_MIN)),
        }
    }
}

/// What is wrong with a lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// It did not complete a tick in time.
    Late,
    /// It completed more timer turns than fit into the time.
    Early,
    /// A tick left out, repeated or reordered a stage.
    Skipped,
    /// It panicked.
    Died,
}

impl Fault {
    pub(crate) const ALL: [Self; 4] = [Self::Late, Self::Early, Self::Skipped, Self::Died];

    /// The words of status and events.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Late => "the lane hangs: no tick was completed in time",
            Self::Early => "the lane runs away: more turns than the time has room for",
            Self::Skipped => "a tick of the lane left out or repeated a stage",
            Self::Died => "the lane died: a defect ended its thread",
        }
    }
}

/// One look at a lane.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Look {
    /// The clock, read before the lane's words were.
    pub(crate) before: MonoNs,
    /// The clock, read after.
    pub(crate) after: MonoNs,
    pub(crate) phase: Phase,
    pub(crate) feeds: u64,
    pub(crate) work: Work,
}

/// What a look shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sight {
    InTime,
    TooLate,
    TooEarly,
    WrongWork,
    Dead,
    Over,
}

impl Sight {
    #[cfg(test)]
    const ALL: [Self; 6] = [
        Self::InTime,
        Self::TooLate,
        Self::TooEarly,
        Self::WrongWork,
        Self::Dead,
        Self::Over,
    ];
}

/// State of the watchdog of one lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// The lane is expected to run.
    Watching,
    /// It ended in order: nothing is expected of it.
    Ended,
    /// It is not to be trusted until the guard is restarted.
    Faulted(Fault),
}

impl State {
    /// The table.
    pub(crate) const fn next(self, sight: Sight) -> Self {
        match (self, sight) {
            (Self::Watching, Sight::InTime) => Self::Watching,
            (Self::Watching, Sight::TooLate) => Self::Faulted(Fault::Late),
            (Self::Watching, Sight::TooEarly) => Self::Faulted(Fault::Early),
            (Self::Watching, Sight::WrongWork) => Self::Faulted(Fault::Skipped),
            (Self::Watching, Sight::Dead) => Self::Faulted(Fault::Died),
            (Self::Watching, Sight::Over) => Self::Ended,
            (Self::Ended, _) => Self::Ended,
            (Self::Faulted(fault), _) => Self::Faulted(fault),
        }
    }
}

/// The watchdog of one lane.
pub(crate) struct Watchdog {
    window: Window,
    state: State,
    /// The last look, and the feeds it saw.
    last: MonoNs,
    feeds: u64,
    /// When the newest feed was first seen.
    fed: MonoNs,
    silent: bool,
}

impl Watchdog {
    /// Begins to watch at `now` a lane that has fed `feeds` times already, read after the clock; the next one is due within
    /// the window like every other.
    pub(crate) fn new(window: Window, now: MonoNs, feeds: u64) -> Self {
        Self {
            window,
            state: State::Watching,
            last: now,
            feeds,
            fed: now,
            silent: false,
        }
    }

    /// Takes a look and decides.
    pub(crate) fn look(&mut self, look: &Look) -> State {
        let sight = self.sight(look);
        self.state = self.state.next(sight);
        self.state
    }

    /// Whether the lane does nothing at present, faulted or not.
    pub(crate) fn is_silent(&self) -> bool {
        self.silent
    }

    fn sight(&mut self, look: &Look) -> Sight {
        let fresh = look.feeds.wrapping_sub(self.feeds);
        // From the clock before the last look to the clock after this one: never less than what really passed between.
        let room = self.room(look.after.since(self.last));
        if fresh > 0 {
            self.fed = look.after;
        }
        self.feeds = look.feeds;
        self.last = look.before;
        let late = look.before.since(self.fed) > self.window.latest;
        self.silent = late || matches!(look.phase, Phase::Died | Phase::Ended);
        match look.phase {
            Phase::Died => Sight::Dead,
            Phase::Ended => Sight::Over,
            Phase::Starting | Phase::Running => {
                if look.work.signatures != look.work.ticks.wrapping_mul(EXPECTED) {
                    Sight::WrongWork
                } else if fresh > room {
                    Sight::TooEarly
                } else if late {
                    Sight::TooLate
                } else {
                    Sight::InTime
                }
            }
        }
    }

    /// Most feeds that can be published within `span`: one a period, one at the edge, and one whose turn began before
    /// but was held up.
    fn room(&self, span: DurNs) -> u64 {
        span.as_ns()
            .checked_div(self.window.earliest.as_ns())
            .map_or(u64::MAX, |turns| turns.saturating_add(2))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WINDOW: Window = Window {
        earliest: DurNs::from_ms(1),
        latest: DurNs::from_ms(100),
    };

    fn us(us: u64) -> MonoNs {
        MonoNs::from_ns(us * 1_000)
    }

    fn look(at: MonoNs, feeds: u64) -> Look {
        Look {
            before: at,
            after: at,
            phase: Phase::Running,
            feeds,
            work: right(feeds),
        }
    }

    fn right(ticks: u64) -> Work {
        let ticks = u32::try_from(ticks & 0xFFFF_FFFF).unwrap();
        Work {
            ticks,
            signatures: ticks.wrapping_mul(EXPECTED),
        }
    }

    #[test]
    fn h31_h32_every_state_and_sight_has_the_written_successor() {
        let mut table = String::new();
        let states = [State::Watching, State::Ended]
            .into_iter()
            .chain(Fault::ALL.map(State::Faulted));
        for state in states {
            for sight in Sight::ALL {
                table += &format!("{state:?} + {sight:?} -> {:?}\n", state.next(sight));
            }
        }
        let watching = "\
Watching + InTime -> Watching
Watching + TooLate -> Faulted(Late)
Watching + TooEarly -> Faulted(Early)
Watching + WrongWork -> Faulted(Skipped)
Watching + Dead -> Faulted(Died)
Watching + Over -> Ended
";
        let mut golden = watching.to_owned();
        for end in [
            "Ended",
            "Faulted(Late)",
            "Faulted(Early)",
            "Faulted(Skipped)",
            "Faulted(Died)",
        ] {
            for sight in Sight::ALL {
                golden += &format!("{end} + {sight:?} -> {end}\n");
            }
        }
        assert_eq!(table, golden, "H-31, H-32: a fault is final");
    }

    #[test]
    fn h31_a_lane_that_is_silent_longer_than_its_window_hangs() {
        let mut dog = Watchdog::new(WINDOW, us(0), 0);
        assert_eq!(dog.look(&look(us(10_000), 10)), State::Watching);
        assert_eq!(dog.look(&look(us(110_000), 10)), State::Watching);
        assert!(!dog.is_silent());
        assert_eq!(
            dog.look(&look(us(110_001), 10)),
            State::Faulted(Fault::Late),
            "H-31"
        );
        assert!(dog.is_silent());
        let back = dog.look(&look(us(111_000), 11));
        assert_eq!(back, State::Faulted(Fault::Late), "H-31: for good");
        assert!(!dog.is_silent(), "it works again, and is not believed");
    }

    #[test]
    fn h31_a_lane_that_never_begins_hangs() {
        let mut dog = Watchdog::new(WINDOW, us(5), 0);
        let mut never = look(us(100_006), 0);
        never.phase = Phase::Starting;
        assert_eq!(dog.look(&never), State::Faulted(Fault::Late), "H-31");
    }

    #[test]
    fn h32_more_feeds_than_fit_are_a_runaway_and_idle_time_buys_none() {
        let mut dog = Watchdog::new(WINDOW, us(0), 0);
        // 90 ms in which it fed 20 times: no credit for later.
        assert_eq!(dog.look(&look(us(90_000), 20)), State::Watching);
        assert_eq!(
            dog.look(&look(us(95_000), 27)),
            State::Watching,
            "5 and 2 at the edges"
        );
        assert_eq!(
            dog.look(&look(us(100_000), 35)),
            State::Faulted(Fault::Early),
            "H-32"
        );
    }

    /// Found by a lane that had run for a while before the sentinel's thread was there.
    #[test]
    fn what_was_fed_before_the_watch_began_is_nobodys_runaway() {
        let mut dog = Watchdog::new(WINDOW, us(50_000), 50);
        assert_eq!(dog.look(&look(us(51_000), 51)), State::Watching);
    }

    #[test]
    fn h32_checkpoints_that_do_not_add_up_are_a_fault_however_they_differ() {
        for work in [
            Work {
                ticks: 10,
                signatures: right(9).signatures,
            },
            Work {
                ticks: 10,
                signatures: right(10).signatures ^ 1,
            },
            Work {
                ticks: 0,
                signatures: 1,
            },
        ] {
            let mut dog = Watchdog::new(WINDOW, us(0), 0);
            let mut wrong = look(us(10_000), 10);
            wrong.work = work;
            assert_eq!(
                dog.look(&wrong),
                State::Faulted(Fault::Skipped),
                "H-32: {work:?}"
            );
        }
    }

    #[test]
    fn h30_a_dead_lane_is_a_fault_at_once_and_one_that_ended_is_none_ever() {
        let mut dog = Watchdog::new(WINDOW, us(0), 0);
        let mut dead = look(us(1), 0);
        dead.phase = Phase::Died;
        assert_eq!(dog.look(&dead), State::Faulted(Fault::Died), "H-30");
        let mut dog = Watchdog::new(WINDOW, us(0), 0);
        let mut ended = look(us(1), 0);
        ended.phase = Phase::Ended;
        assert_eq!(dog.look(&ended), State::Ended);
        assert_eq!(dog.look(&look(us(900_000_000), 0)), State::Ended);
    }

    /// Any lane that keeps its period, however late its turns are published and however irregularly it is looked at.
    #[test]
    fn h32_a_lane_that_keeps_its_period_is_never_accused() {
        let mut seed = 0x9E37_79B9_7F4A_7C15_u64;
        let mut random = |below: u64| {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            seed % below
        };
        for _ in 0..200 {
            let (mut turn, mut published) = (0, Vec::new());
            for _ in 0..400 {
                // The turn begins at least a period after the last one and after that one was published; it may be held
                // up before it is published, but not for longer than the window.
                let held = [0, 0, 0, random(30_000)][usize::try_from(random(4)).unwrap()];
                published.push(turn + held);
                turn = (turn + 1_000).max(turn + held + 1) + random(300);
            }
            let mut dog = Watchdog::new(WINDOW, us(0), 0);
            let (mut at, end) = (0, *published.last().unwrap());
            while at < end {
                at += 1 + random(40_000);
                let fed = published.iter().filter(|time| **time < at).count() as u64;
                assert_eq!(
                    dog.look(&look(us(at.min(end)), fed)),
                    State::Watching,
                    "H-32: at {at}"
                );
            }
        }
    }

    /// A lane that feeds at twice its rate is seen within a few looks, however irregular they are.
    #[test]
    fn h32_a_lane_at_twice_its_rate_is_always_accused() {
        for gap_us in (3_000..60_000).step_by(777) {
            let mut dog = Watchdog::new(WINDOW, us(0), 0);
            let accused = (1..10).any(|step| {
                let at = step * gap_us;
                dog.look(&look(us(at), at / 500)) == State::Faulted(Fault::Early)
            });
            assert!(accused, "H-32: looked at every {gap_us} us");
        }
    }
}

//! Monitored manual reset (ISO 13849-1, 5.2.2; ISO 13850, 4.1.4): acts when it is released, refused while a cause
//! stands, never starts the machine by itself.
//!
//! ```text
//!              Demand                   Clear                  Press
//!   Released ──────────▶ Tripped ◀──────────────▶ Ready ─────────────────▶ Pressed
//!      ▲                    ▲        Unclear        │ ▲   Cancel (too long,   │ │
//!      │                    └────────Demand─────────┘ └── too short, nonce) ──┘ │
//!      └──────────────────────────────────Release─────────────────────────────┘
//!                     (Demand and Unclear lead from Pressed to Tripped)
//! ```
//!
//! The table below is the whole machine; `tests/golden/reset.txt` is its dump.

use drivers_frame::{DurNs, MonoNs, planted};
use rt_config::limits::{RESET_HOLD_MAX_MS, RESET_HOLD_MIN_MS};

use crate::complement::Complement;

/// Shortest time between press and release.
pub const HOLD_MIN: DurNs = DurNs::from_ms(RESET_HOLD_MIN_MS);
/// Longest time between press and release.
pub const HOLD_MAX: DurNs = DurNs::from_ms(RESET_HOLD_MAX_MS);

/// State of a lane's reset.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum ResetState {
    /// No trip group is latched.
    Released = 0,
    /// A group is latched, and something stands against a reset.
    Tripped = 1,
    /// A group is latched, nothing stands against a reset.
    Ready = 2,
    /// The reset is being held; its release is what acts.
    Pressed = 3,
}

/// What happens to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ResetInput {
    /// A group was latched.
    Demand,
    /// Nothing stands against a reset any more.
    Clear,
    /// Something stands against it.
    Unclear,
    /// Pressed.
    Press,
    /// Released after the right time, with the right nonce.
    Release,
    /// Held too long, too short, or released with a wrong nonce.
    Cancel,
}

/// What it asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ResetAct {
    /// Nothing.
    None,
    /// Release every latch.
    Release,
    /// Tell whoever asked that it is refused.
    Refuse,
}

impl ResetState {
    /// Every state.
    pub const ALL: [Self; 4] = [Self::Released, Self::Tripped, Self::Ready, Self::Pressed];

    const fn from_code(code: u8) -> Option<Self> {
        match code {
            0 => Some(Self::Released),
            1 => Some(Self::Tripped),
            2 => Some(Self::Ready),
            3 => Some(Self::Pressed),
            _ => None,
        }
    }
}

impl ResetInput {
    /// Every input.
    pub const ALL: [Self; 6] = [
        Self::Demand,
        Self::Clear,
        Self::Unclear,
        Self::Press,
        Self::Release,
        Self::Cancel,
    ];
}

/// The transitions. `Release` is asked for in one cell only.
pub const fn transition(state: ResetState, input: ResetInput) -> (ResetState, ResetAct) {
    use ResetAct as Act;
    use ResetInput as In;
    use ResetState as S;
    match (state, input) {
        (_, In::Demand) => (S::Tripped, Act::None),
        (S::Released, In::Clear | In::Unclear | In::Cancel) => (S::Released, Act::None),
        (S::Released, In::Press | In::Release) => (S::Released, Act::Refuse),
        (S::Tripped, In::Clear) => (S::Ready, Act::None),
        (S::Tripped, In::Unclear | In::Cancel) => (S::Tripped, Act::None),
        (S::Tripped, In::Press | In::Release) => (S::Tripped, Act::Refuse),
        (S::Ready, In::Clear | In::Cancel) => (S::Ready, Act::None),
        (S::Ready, In::Unclear) => (S::Tripped, Act::None),
        (S::Ready, In::Press) => (S::Pressed, Act::None),
        (S::Ready, In::Release) => (S::Ready, Act::Refuse),
        (S::Pressed, In::Clear) => (S::Pressed, Act::None),
        (S::Pressed, In::Unclear) => (S::Tripped, Act::None),
        // Somebody else holds it already: two hands cannot share one reset.
        (S::Pressed, In::Press) => (S::Pressed, Act::Refuse),
        (S::Pressed, In::Release) => (S::Released, Act::Release),
        (S::Pressed, In::Cancel) => (S::Ready, Act::Refuse),
    }
}

/// Who holds the reset.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Hand {
    /// A request with this nonce: a replayed release does not have the one that counts (H-54).
    Request {
        /// Drawn by whoever received the press.
        nonce: u64,
    },
    /// The reset-button tag.
    Button,
}

/// Why a release did not act.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ReleaseFault {
    /// Nothing is pressed, or something came to stand against it meanwhile.
    NotPressed,
    /// Another hand pressed: a wrong or replayed nonce.
    WrongHand,
    /// Released sooner than [`HOLD_MIN`].
    TooShort,
    /// Held longer than [`HOLD_MAX`]: stuck, or forgotten.
    TooLong,
}

/// The reset of a lane.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Reset {
    state: Complement,
    pressed: Option<(Hand, MonoNs)>,
}

impl Default for Reset {
    fn default() -> Self {
        Self::new()
    }
}

impl Reset {
    /// Boot is tripped (I9).
    pub const fn new() -> Self {
        Self {
            state: Complement::new(1),
            pressed: None,
        }
    }

    /// Its state; `None` when its memory is damaged (H-33).
    pub fn state(&self) -> Option<ResetState> {
        self.state.get().and_then(ResetState::from_code)
    }

    fn feed(&mut self, input: ResetInput) -> ResetAct {
        // Damaged memory is a trip, whatever was there.
        let state = self.state().unwrap_or(ResetState::Tripped);
        let (next, act) = transition(state, input);
        #[expect(clippy::as_conversions, reason = "a discriminant of at most 3")]
        {
            self.state = Complement::new(next as u8);
        }
        if next != ResetState::Pressed {
            self.pressed = None;
        }
        act
    }

    /// A group was latched.
    pub fn demand(&mut self) {
        self.feed(ResetInput::Demand);
    }

    /// Whether something stands against a reset now.
    pub fn standing(&mut self, something: bool) {
        let something = something && !(planted!(LatchRace) && self.pressed.is_some());
        self.feed(if something {
            ResetInput::Unclear
        } else {
            ResetInput::Clear
        });
    }

    /// Pressed. `false` when it is refused.
    pub fn press(&mut self, hand: Hand, now: MonoNs) -> bool {
        let accepted = self.feed(ResetInput::Press) != ResetAct::Refuse;
        if accepted {
            self.pressed = Some((hand, now));
        }
        accepted
    }

    /// Released: every latch is to be released when this is `Ok`.
    ///
    /// # Errors
    /// [`ReleaseFault`]; the press is gone then, and another one is needed.
    pub fn release(&mut self, hand: Hand, now: MonoNs) -> Result<(), ReleaseFault> {
        let Some((by, since)) = self.pressed else {
            return Err(ReleaseFault::NotPressed);
        };
        let held = now.since(since);
        let fault = if by != hand && !planted!(NonceUnchecked) {
            Some(ReleaseFault::WrongHand)
        } else if held < HOLD_MIN && !planted!(HoldUnchecked) {
            Some(ReleaseFault::TooShort)
        } else if held > HOLD_MAX && !planted!(HoldUnchecked) {
            Some(ReleaseFault::TooLong)
        } else {
            None
        };
        if let Some(fault) = fault {
            self.feed(ResetInput::Cancel);
            return Err(fault);
        }
        match self.feed(ResetInput::Release) {
            ResetAct::Release => Ok(()),
            ResetAct::None | ResetAct::Refuse => Err(ReleaseFault::NotPressed),
        }
    }

    /// The hand that pressed is lost sight of: its press is taken back.
    pub fn cancel(&mut self, hand: Hand) {
        if self.pressed.is_some_and(|(by, _)| by == hand) {
            self.feed(ResetInput::Cancel);
        }
    }

    /// A press that is held too long is taken back (H-54). `true` when it was.
    pub fn expire(&mut self, now: MonoNs) -> bool {
        let stuck = self
            .pressed
            .is_some_and(|(_, since)| now.since(since) > HOLD_MAX && !planted!(HoldUnchecked));
        if stuck {
            self.feed(ResetInput::Cancel);
        }
        stuck
    }

    /// When [`Reset::expire`] will have something to do.
    pub fn next_due(&self) -> MonoNs {
        self.pressed.map_or(MonoNs::NEVER, |(_, since)| {
            since.after(HOLD_MAX).after(DurNs::from_ns(1))
        })
    }
}

/// The reset-button tag: presses and releases are edges, and a button that was down from the start, or whose tag is
/// not usable, must be seen up first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Button {
    /// Not seen up since start, or since it was not usable.
    #[default]
    Unknown,
    /// Up.
    Up,
    /// Down, and was seen up before.
    Down,
}

/// An edge of the button.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Edge {
    /// It went down.
    Press,
    /// It went up again.
    Release,
    /// It cannot be told any more: whatever is pressed is to be cancelled.
    Lost,
}

impl Button {
    /// Takes what the tag says: down, up, or nothing that can be trusted.
    pub fn see(&mut self, down: Option<bool>) -> Option<Edge> {
        let (next, edge) = match (*self, down) {
            (Self::Down, None) => (Self::Unknown, Some(Edge::Lost)),
            (_, None) => (Self::Unknown, None),
            (Self::Unknown, Some(true)) if planted!(StuckButtonPresses) => {
                (Self::Down, Some(Edge::Press))
            }
            (Self::Unknown, Some(true)) => (Self::Unknown, None),
            (Self::Unknown | Self::Up, Some(false)) => (Self::Up, None),
            (Self::Up, Some(true)) => (Self::Down, Some(Edge::Press)),
            (Self::Down, Some(true)) => (Self::Down, None),
            (Self::Down, Some(false)) => (Self::Up, Some(Edge::Release)),
        };
        *self = next;
        edge
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(ms: u64) -> MonoNs {
        MonoNs::from_ns(ms * 1_000_000)
    }

    const NONCE: Hand = Hand::Request { nonce: 7 };

    fn ready() -> Reset {
        let mut reset = Reset::new();
        reset.standing(false);
        assert_eq!(reset.state(), Some(ResetState::Ready));
        reset
    }

    #[test]
    fn the_table_is_the_one_that_was_agreed() {
        let mut dump = String::new();
        for state in ResetState::ALL {
            for input in ResetInput::ALL {
                let (next, act) = transition(state, input);
                dump.push_str(&format!("{state:?} + {input:?} -> {next:?}, {act:?}\n"));
            }
        }
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/reset.txt");
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            std::fs::write(path, &dump).unwrap();
        }
        assert_eq!(dump, std::fs::read_to_string(path).unwrap());
    }

    #[test]
    fn i3_one_cell_releases_and_every_demand_trips() {
        let mut releases = Vec::new();
        for state in ResetState::ALL {
            assert_eq!(transition(state, ResetInput::Demand).0, ResetState::Tripped);
            for input in ResetInput::ALL {
                let (next, act) = transition(state, input);
                if act == ResetAct::Release {
                    releases.push((state, input));
                }
                if next == ResetState::Released && state != ResetState::Released {
                    assert_eq!(act, ResetAct::Release, "no way around");
                }
            }
        }
        assert_eq!(
            releases,
            [(ResetState::Pressed, ResetInput::Release)],
            "H-53"
        );
    }

    #[test]
    fn i9_boot_is_tripped_and_refuses_a_press() {
        let mut reset = Reset::new();
        assert_eq!(reset.state(), Some(ResetState::Tripped));
        assert!(!reset.press(NONCE, ms(0)));
    }

    #[test]
    fn a_reset_acts_when_it_is_released() {
        let mut reset = ready();
        assert!(reset.press(NONCE, ms(0)));
        assert_eq!(reset.state(), Some(ResetState::Pressed));
        assert_eq!(reset.release(NONCE, ms(100)), Ok(()));
        assert_eq!(reset.state(), Some(ResetState::Released));
        assert_eq!(
            reset.release(NONCE, ms(101)),
            Err(ReleaseFault::NotPressed),
            "H-54: replayed"
        );
    }

    #[test]
    fn h54_a_short_a_long_and_a_foreign_release_do_not_act() {
        for (hand, at, fault) in [
            (NONCE, 99, ReleaseFault::TooShort),
            (NONCE, 5_001, ReleaseFault::TooLong),
            (Hand::Request { nonce: 8 }, 500, ReleaseFault::WrongHand),
            (Hand::Button, 500, ReleaseFault::WrongHand),
        ] {
            let mut reset = ready();
            assert!(reset.press(NONCE, ms(0)));
            assert_eq!(reset.release(hand, ms(at)), Err(fault));
            assert_eq!(reset.state(), Some(ResetState::Ready));
            assert_eq!(
                reset.release(NONCE, ms(at)),
                Err(ReleaseFault::NotPressed),
                "the press is gone"
            );
        }
    }

    #[test]
    fn i3_a_cause_between_press_and_release_undoes_the_press() {
        let mut reset = ready();
        assert!(reset.press(NONCE, ms(0)));
        reset.standing(true);
        reset.standing(false);
        assert_eq!(reset.release(NONCE, ms(200)), Err(ReleaseFault::NotPressed));
        assert!(reset.press(NONCE, ms(300)));
        reset.demand();
        reset.standing(false);
        assert_eq!(reset.release(NONCE, ms(500)), Err(ReleaseFault::NotPressed));
    }

    #[test]
    fn h54_a_stuck_button_is_taken_back() {
        let mut reset = ready();
        assert!(reset.press(Hand::Button, ms(0)));
        assert!(!reset.expire(ms(5_000)));
        assert!(reset.expire(reset.next_due()));
        assert_eq!(
            reset.release(Hand::Button, ms(5_100)),
            Err(ReleaseFault::NotPressed)
        );
    }

    #[test]
    fn h54_a_button_that_is_down_from_the_start_presses_nothing() {
        let mut button = Button::default();
        assert_eq!(button.see(Some(true)), None);
        assert_eq!(button.see(Some(false)), None);
        assert_eq!(button.see(Some(true)), Some(Edge::Press));
        assert_eq!(button.see(Some(true)), None);
        assert_eq!(button.see(None), Some(Edge::Lost));
        assert_eq!(button.see(Some(false)), None, "its release was not seen");
        assert_eq!(button.see(Some(true)), Some(Edge::Press));
        assert_eq!(button.see(Some(false)), Some(Edge::Release));
    }
}

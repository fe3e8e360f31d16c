//! Press and release: what makes a reset an act and not a state (H-54, ISO 13849-1, 5.2.2).
//!
//! ```text
//!           press: a new nonce                release, right nonce, in time
//!  idle ─────────────────────▶ pressed(nonce) ────────────────────────────▶ idle: reset
//!                                │  release too early or too late: the nonce is spent
//!                                └────────────────────────────────────────▶ idle: refused
//! ```
//!
//! A nonce is good for one release: a request that is recorded and sent again finds it spent. A reset that is held for
//! ever is never released; one press forgets the one before it.

use drivers_frame::{DurNs, MonoNs};
use rt_config::limits::{RESET_HOLD_MAX_MS, RESET_HOLD_MIN_MS};

/// Shortest time between press and release.
pub(super) const HOLD_MIN: DurNs = DurNs::from_ms(RESET_HOLD_MIN_MS);
/// Longest time between press and release.
pub(super) const HOLD_MAX: DurNs = DurNs::from_ms(RESET_HOLD_MAX_MS);

/// The reset as it is pressed now.
#[derive(Debug, Default)]
pub(super) struct Press(Option<Pressed>);

/// A press.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Pressed {
    pub(super) nonce: u64,
    pub(super) uid: u32,
    pub(super) who: String,
    pub(super) at: MonoNs,
    /// The lanes that were pressed.
    pub(super) lanes: Vec<usize>,
}

/// Why a release is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ReleaseRefusal {
    /// No press has this nonce: never pressed, already released, or pressed again since.
    NotPressed,
    /// Another user pressed.
    OtherUser,
    /// Sooner than a hand can.
    TooEarly,
    /// Held too long: a stuck button.
    TooLate,
}

impl ReleaseRefusal {
    pub(super) const fn cause(self) -> &'static str {
        match self {
            Self::NotPressed => "no press of a reset waits for this release",
            Self::OtherUser => "another user pressed the reset",
            Self::TooEarly => "released too early after the press",
            Self::TooLate => "held too long after the press",
        }
    }

    pub(super) const fn help(self) -> &'static str {
        match self {
            Self::NotPressed => "a press is good for one release; press again",
            Self::OtherUser => "whoever pressed releases; press yourself",
            Self::TooEarly | Self::TooLate => {
                "press again, and release within the times that the press was answered with"
            }
        }
    }
}

impl Press {
    /// Pressed. An earlier press is forgotten.
    pub(super) fn press(&mut self, pressed: Pressed) {
        self.0 = Some(pressed);
    }

    /// Forgets a press, and says which.
    pub(super) fn forget(&mut self) -> Option<Pressed> {
        self.0.take()
    }

    /// Releases, and gives the press. The nonce is spent, whatever comes of it; a wrong one spends nothing, or anybody
    /// could undo a press.
    ///
    /// # Errors
    /// The refusal, and the press that was spent.
    pub(super) fn release(
        &mut self,
        nonce: u64,
        uid: u32,
        now: MonoNs,
    ) -> Result<Pressed, (ReleaseRefusal, Option<Pressed>)> {
        let waiting = self.0.as_ref().filter(|pressed| pressed.nonce == nonce);
        let waiting = waiting.ok_or((ReleaseRefusal::NotPressed, None))?;
        if waiting.uid != uid {
            return Err((ReleaseRefusal::OtherUser, None));
        }
        let held = now.since(waiting.at);
        let pressed = self.0.take().ok_or((ReleaseRefusal::NotPressed, None))?;
        if held < HOLD_MIN {
            return Err((ReleaseRefusal::TooEarly, Some(pressed)));
        }
        if held > HOLD_MAX {
            return Err((ReleaseRefusal::TooLate, Some(pressed)));
        }
        Ok(pressed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT: MonoNs = MonoNs::from_ns(7_000_000_000);

    fn at_ns(after: u64) -> MonoNs {
        MonoNs::from_ns(AT.as_ns() + after)
    }

    fn with(nonce: u64) -> Pressed {
        Pressed {
            nonce,
            uid: 1,
            who: "Anna".into(),
            at: AT,
            lanes: vec![0],
        }
    }

    fn pressed() -> Press {
        let mut press = Press::default();
        press.press(with(42));
        press
    }

    /// Every release against a press, and what it leaves of the press.
    #[test]
    fn h54_only_the_right_nonce_of_the_right_user_in_time_is_a_release() {
        use ReleaseRefusal::{NotPressed, OtherUser, TooEarly, TooLate};
        let (min, max) = (HOLD_MIN.as_ns(), HOLD_MAX.as_ns());
        let table = [
            (42, 1, min, Ok(()), true),
            (42, 1, max, Ok(()), true),
            (42, 1, 0, Err(TooEarly), true),
            (42, 1, min - 1, Err(TooEarly), true),
            (42, 1, max + 1, Err(TooLate), true),
            (42, 1, u64::MAX / 2, Err(TooLate), true),
            (42, 2, min, Err(OtherUser), false),
            (43, 1, min, Err(NotPressed), false),
            (43, 2, min, Err(NotPressed), false),
        ];
        for (nonce, uid, after, expected, spent) in table {
            let mut press = pressed();
            let result = press.release(nonce, uid, at_ns(after));
            let given = match &result {
                Ok(pressed) => Some(pressed),
                Err((_, pressed)) => pressed.as_ref(),
            };
            assert_eq!(given.is_some(), spent, "{nonce} {uid} {after}");
            let result = result.map(|_| ()).map_err(|(refusal, _)| refusal);
            assert_eq!(result, expected, "{nonce} {uid} {after}");
            let again = press.release(42, 1, at_ns(min));
            assert_eq!(again.is_err(), spent, "H-54 replay: {nonce} {uid} {after}");
        }
    }

    #[test]
    fn h54_without_a_press_nothing_is_a_release_and_a_new_press_forgets_the_old_one() {
        let mut press = Press::default();
        for nonce in [0, 42, u64::MAX] {
            let result = press.release(nonce, 1, AT);
            assert_eq!(result, Err((ReleaseRefusal::NotPressed, None)));
        }
        let mut press = pressed();
        press.press(with(43));
        let late = at_ns(HOLD_MIN.as_ns());
        assert!(press.release(42, 1, late).is_err());
        assert_eq!(press.release(43, 1, late), Ok(with(43)));
    }
}

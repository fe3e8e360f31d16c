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

#[derive(Clone, Debug)]
struct Pressed {
    nonce: u64,
    uid: u32,
    who: String,
    at: MonoNs,
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
    /// Presses. An earlier press is forgotten.
    pub(super) fn press(&mut self, nonce: u64, uid: u32, who: &str, at: MonoNs) {
        let who = who.to_owned();
        self.0 = Some(Pressed {
            nonce,
            uid,
            who,
            at,
        });
    }

    /// Releases, and says who pressed. The nonce is spent, whatever comes of it; a wrong one spends nothing, or anybody
    /// could undo a press.
    pub(super) fn release(
        &mut self,
        nonce: u64,
        uid: u32,
        now: MonoNs,
    ) -> Result<String, ReleaseRefusal> {
        let pressed = self.0.as_ref().ok_or(ReleaseRefusal::NotPressed)?;
        if pressed.nonce != nonce {
            return Err(ReleaseRefusal::NotPressed);
        }
        if pressed.uid != uid {
            return Err(ReleaseRefusal::OtherUser);
        }
        let held = now.since(pressed.at);
        let who = self.0.take().map(|pressed| pressed.who);
        if held < HOLD_MIN {
            return Err(ReleaseRefusal::TooEarly);
        }
        if held > HOLD_MAX {
            return Err(ReleaseRefusal::TooLate);
        }
        Ok(who.unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT: MonoNs = MonoNs::from_ns(7_000_000_000);

    fn at_ns(after: u64) -> MonoNs {
        MonoNs::from_ns(AT.as_ns() + after)
    }

    fn pressed() -> Press {
        let mut press = Press::default();
        press.press(42, 1, "Anna", AT);
        press
    }

    /// Every release against a press, and what it leaves of the press.
    #[test]
    fn h54_only_the_right_nonce_of_the_right_user_in_time_is_a_release() {
        let (min, max) = (HOLD_MIN.as_ns(), HOLD_MAX.as_ns());
        use ReleaseRefusal::{NotPressed, OtherUser, TooEarly, TooLate};
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
            assert_eq!(result.map(|_| ()), expected, "{nonce} {uid} {after}");
            let again = press.release(42, 1, at_ns(min));
            assert_eq!(again.is_err(), spent, "H-54 replay: {nonce} {uid} {after}");
        }
    }

    #[test]
    fn h54_without_a_press_nothing_is_a_release_and_a_new_press_forgets_the_old_one() {
        let mut press = Press::default();
        for nonce in [0, 42, u64::MAX] {
            let result = press.release(nonce, 1, AT);
            assert_eq!(result, Err(ReleaseRefusal::NotPressed));
        }
        let mut press = pressed();
        press.press(43, 1, "Anna", AT);
        let late = at_ns(HOLD_MIN.as_ns());
        assert_eq!(press.release(42, 1, late), Err(ReleaseRefusal::NotPressed));
        assert_eq!(press.release(43, 1, late), Ok("Anna".to_owned()));
    }
}

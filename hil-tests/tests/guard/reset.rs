//! A reset is pressed and released, by one person, once.

use std::time::Duration;

use appliance_control::{EventBody, Nonce, Reply, Request};
use hil_tests::guard::wait_until;
use hil_tests::stand::{DANGER, HEALTHY, Setup, Stand, wait_event};
use rt_config::limits::{RESET_HOLD_MAX_MS, RESET_HOLD_MIN_MS};

const HOLD: Duration = Duration::from_millis(RESET_HOLD_MIN_MS);

fn press(stand: &Stand) -> Nonce {
    let mut nonce = None;
    wait_until("a press is taken", || {
        let reply = stand.guard.ask(&Request::ResetPress {
            who: "Anna".to_owned(),
        });
        if let Reply::ResetPressed {
            nonce: given,
            hold_min_ns,
            hold_max_ns,
        } = reply
        {
            assert_eq!(hold_min_ns, RESET_HOLD_MIN_MS * 1_000_000);
            assert_eq!(hold_max_ns, RESET_HOLD_MAX_MS * 1_000_000);
            nonce = Some(given);
        }
        nonce.is_some()
    });
    nonce.expect("it was waited for")
}

/// Releases, and says what stands against it.
fn release(stand: &Stand, nonce: Nonce) -> Result<(), String> {
    match stand.guard.ask(&Request::ResetRelease { nonce }) {
        Reply::Done {} => Ok(()),
        Reply::Refused { cause, .. } => Err(cause),
        reply => panic!("done or refused, not {reply:?}"),
    }
}

#[test]
fn h54_i3_a_press_moves_nothing_a_release_in_time_does_and_it_cannot_be_replayed() {
    let stand = Stand::start(&Setup::default());
    let nonce = press(&stand);
    std::thread::sleep(HOLD);
    assert!(!stand.device.coil(0), "a press alone moves nothing");
    assert!(!stand.guard.status().state.permits());
    assert_eq!(release(&stand, nonce), Ok(()));
    wait_until("the permit reaches the device", || stand.device.coil(0));
    // Tripped again: what was recorded then is worth nothing now.
    stand.device.show(DANGER);
    stand.wait_stopped();
    stand.device.show(HEALTHY);
    let next = press(&stand);
    assert_ne!(next, nonce, "a number used once");
    std::thread::sleep(HOLD);
    let replayed = release(&stand, nonce).expect_err("H-54: a replayed release");
    assert!(replayed.contains("no press"), "{replayed}");
    assert!(!stand.device.coil(0), "I2");
    assert_eq!(
        release(&stand, next),
        Ok(()),
        "the press that waits still holds"
    );
    let twice = release(&stand, next).expect_err("H-54: released twice");
    assert!(twice.contains("no press"), "{twice}");
    wait_event(
        &stand.guard.socket(),
        "I14: who reset is recorded",
        |body| matches!(body, EventBody::Reset { by: Some(by) } if by.who == "Anna" && by.uid == rustix::process::getuid().as_raw()),
    );
}

#[test]
fn h54_a_release_without_a_press_or_too_early_is_refused_and_spends_the_press() {
    let stand = Stand::start(&Setup::default());
    for guess in [0, 1, u64::MAX] {
        assert!(release(&stand, Nonce(guess)).is_err());
    }
    // As soon as it can be asked. A machine that is this slow has held it long enough.
    let nonce = press(&stand);
    let early = release(&stand, nonce);
    if let Err(cause) = early {
        assert!(cause.contains("too early"), "{cause}");
        std::thread::sleep(HOLD);
        let spent = release(&stand, nonce).expect_err("the press was spent");
        assert!(spent.contains("no press"), "{spent}");
        assert!(!stand.device.coil(0), "I2");
    }
}

#[test]
fn h54_a_second_press_takes_the_first_one_back() {
    let stand = Stand::start(&Setup::default());
    // Whoever pressed first has gone away: nobody waits for it to run out.
    let first = press(&stand);
    let second = press(&stand);
    std::thread::sleep(HOLD);
    let late = release(&stand, first).expect_err("H-54: the first press is gone");
    assert!(late.contains("no press"), "{late}");
    assert!(!stand.device.coil(0), "I2");
    assert_eq!(release(&stand, second), Ok(()));
    wait_until("the permit reaches the device", || stand.device.coil(0));
}

#[test]
fn h54_a_reset_that_is_held_as_by_a_stuck_button_is_refused() {
    let stand = Stand::start(&Setup::default());
    let nonce = press(&stand);
    std::thread::sleep(Duration::from_millis(RESET_HOLD_MAX_MS + 100));
    let held = release(&stand, nonce).expect_err("H-54: held");
    assert!(held.contains("too long"), "{held}");
    assert!(!stand.device.coil(0), "I2");
    wait_event(
        &stand.guard.socket(),
        "I14: it is recorded",
        |body| matches!(body, EventBody::ResetRefused { cause, by: Some(_) } if cause.contains("too long")),
    );
}

#[test]
fn i3_a_cause_that_comes_between_press_and_release_refuses_the_release() {
    let stand = Stand::start(&Setup::default());
    let nonce = press(&stand);
    stand.device.show(DANGER);
    wait_until("the danger is seen", || {
        stand.guard.status().reset_refusal.is_some()
    });
    std::thread::sleep(HOLD);
    let refused = release(&stand, nonce).expect_err("I3");
    assert_eq!(refused, "rule over is not clear");
    assert!(!stand.device.coil(0), "I2");
}

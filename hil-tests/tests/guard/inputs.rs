//! Devices that are gone, late, wrong: the tag is not trusted, the machine stops, and all of it can be reset afterwards.

use std::time::Duration;

use appliance_control::{EventBody, State};
use hil_tests::guard::wait_until;
use hil_tests::hostile::Manner;
use hil_tests::stand::{HEALTHY, Setup, Stand, device, output, rule, wait_event, wait_tag};

const ACQUIRE: [&str; 2] = ["inline", "thread"];

/// Everything after which no value arrives any more.
const BLINDING: [Manner; 12] = [
    Manner::Silent,
    // Later than the deadline of a read.
    Manner::Late(Duration::from_millis(600)),
    Manner::WrongTransaction,
    Manner::WrongUnit,
    Manner::WrongFunction,
    Manner::WrongData,
    Manner::TooMuch,
    Manner::ImpossibleLength,
    Manner::Torn,
    Manner::Twice,
    Manner::Dribble,
    Manner::Cut,
];

fn blinded(acquire: &'static str, faults: &[Manner]) {
    let stand = Stand::armed(&Setup {
        acquire,
        ..Setup::default()
    });
    for fault in faults {
        let before = device(&stand.guard.status(), "io");
        stand.device.reads(*fault);
        stand.wait_quality("stale");
        stand.wait_stopped();
        let status = stand.guard.status();
        let over = rule(&status, "over");
        assert_eq!(
            (over.state.as_str(), over.cause.as_str()),
            ("active", "bad input"),
            "{fault:?}"
        );
        let run = output(&status, "run");
        assert_eq!(run.first_out.as_deref(), Some("bad input"), "{fault:?}");
        wait_until("the anomaly is counted and its cause shown", || {
            let io = device(&stand.guard.status(), "io");
            io.last_error.is_some()
                && (io.anomalies > before.anomalies || io.connects > before.connects)
        });
        stand.device.reads(Manner::Right);
        let value = stand.wait_quality("good");
        assert_eq!(value.value, Some(f64::from(HEALTHY)), "I5: {fault:?}");
        stand.arm();
    }
    assert_eq!(
        stand.guard.status().lane_allocations,
        0,
        "I11: through every fault, trip and reset"
    );
}

#[test]
fn h6_h7_h8_h9_h11_h12_h13_h14_h15_a_device_that_misbehaves_stops_the_machine_read_by_the_lane() {
    blinded("inline", &BLINDING);
}

#[test]
fn h6_h7_h8_h9_h11_h12_h13_h14_h15_a_device_that_misbehaves_stops_the_machine_read_by_a_thread() {
    blinded("thread", &BLINDING);
}

#[test]
fn h10_an_exception_is_bad_not_a_value() {
    for acquire in ACQUIRE {
        let stand = Stand::armed(&Setup {
            acquire,
            ..Setup::default()
        });
        for code in [1, 2, 3, 4, 6, 0x0B, 0, 255] {
            stand.device.reads(Manner::Exception(code));
            let tag = wait_tag(&stand.guard, "value", |tag| tag.quality == "bad");
            assert_eq!(
                tag.cause.as_deref(),
                Some("device answered with an exception"),
                "{code}"
            );
            assert_eq!(tag.value, None);
            stand.wait_stopped();
            stand.device.reads(Manner::Right);
            stand.arm();
        }
    }
}

#[test]
fn h15_h16_a_device_that_is_gone_stops_the_machine_and_can_be_reset_when_it_is_back() {
    for acquire in ACQUIRE {
        let mut stand = Stand::armed(&Setup {
            acquire,
            ..Setup::default()
        });
        for _ in 0..3 {
            stand.device.switch_off();
            stand.wait_quality("stale");
            wait_until("the guard is tripped", || {
                stand.guard.status().state == State::Tripped
            });
            let status = stand.guard.status();
            let io = device(&status, "io");
            assert_ne!(io.link, "up");
            assert!(io.last_error.is_some());
            assert!(!output(&status, "run").connected);
            stand.device.switch_on();
            stand.wait_quality("good");
            stand.arm();
        }
        let events = wait_event(&stand.guard.socket(), "the device's last return", |body| {
            matches!(body, EventBody::Released { .. })
        });
        assert!(!events.is_empty());
        assert_eq!(stand.guard.status().lane_allocations, 0, "I11");
    }
}

#[test]
fn h15_links_that_go_and_come_are_events_with_a_cause() {
    let mut stand = Stand::armed(&Setup::default());
    let link = |wanted: bool| move |body: &EventBody| matches!(body, EventBody::Link { up, .. } if *up == wanted);
    wait_event(&stand.guard.socket(), "the link is up", link(true));
    stand.device.switch_off();
    let events = wait_event(&stand.guard.socket(), "the link is down", link(false));
    let EventBody::Link { device, cause, .. } = &events.last().expect("an event").body else {
        panic!("a link event");
    };
    assert_eq!(device, "io");
    assert!(cause.as_ref().is_some_and(|cause| !cause.is_empty()));
}

#[test]
fn h1_h21_a_value_out_of_range_is_bad_and_stops() {
    let stand = Stand::armed(&Setup::default());
    stand.device.show(5_000);
    let tag = wait_tag(&stand.guard, "value", |tag| tag.quality == "bad");
    assert_eq!(tag.cause.as_deref(), Some("above range"));
    stand.wait_stopped();
    let run = output(&stand.guard.status(), "run");
    assert_eq!(run.first_out.as_deref(), Some("bad input"), "I6");
    stand.device.show(HEALTHY);
    stand.arm();
}

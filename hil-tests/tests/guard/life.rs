//! Start, reset, orderly and disorderly end.

use std::time::Duration;

use appliance_control::{EventBody, Reply, Request, State};
use drivers_sim::image::Table;
use hil_tests::guard::{Guard, wait_until};
use hil_tests::hostile::{Device, Manner};
use hil_tests::stand::{DANGER, HEALTHY, Setup, Stand, output, refusal, wait_event};

#[test]
fn i9_h52_boot_writes_the_safe_value_first_and_stays_tripped_until_reset() {
    let device = Device::default();
    // As a crash left it: running.
    device.set(Table::Coil, 0, 1);
    let stand = Stand::with(device, &Setup::default());
    wait_until("several writes have come", || {
        stand.device.writes_total() >= 5
    });
    let writes = stand.device.writes();
    assert!(
        writes.iter().all(|write| write.value == 0),
        "I2: no permit before a reset: {writes:?}"
    );
    let status = stand.guard.status();
    assert_eq!(status.state, State::Safe);
    let run = output(&status, "run");
    assert_eq!(run.permit, "withheld");
    assert_eq!(run.first_out.as_deref(), Some("not reset since start"));
    stand.arm();
    let run = output(&stand.guard.status(), "run");
    assert_eq!((run.permit.as_str(), run.first_out), ("granted", None));
}

#[test]
fn i3_a_reset_is_refused_with_cause_and_help_while_the_cause_is_there() {
    let stand = Stand::armed(&Setup::default());
    stand.device.show(DANGER);
    stand.wait_stopped();
    let status = stand.guard.status();
    assert_eq!(
        status.reset_refusal.as_deref(),
        Some("rule over is not clear")
    );
    let run = output(&status, "run");
    assert_eq!(run.first_out.as_deref(), Some("condition"));
    assert_eq!(run.rule.as_deref(), Some("over"));
    let (cause, help) = refusal(&stand.guard);
    assert_eq!(cause, "rule over is not clear");
    assert!(help.contains("remove the cause at the machine"), "{help}");
    assert!(!stand.device.coil(0), "H-53: a refused reset moves nothing");
    wait_event(
        &stand.guard.socket(),
        "I14: the attempt is recorded",
        |body| matches!(body, EventBody::ResetRefused { cause, .. } if cause == "rule over is not clear"),
    );
    // Healthy again: still latched, until somebody resets.
    stand.device.show(HEALTHY);
    wait_until("nothing stands against a reset", || {
        stand.guard.status().reset_refusal.is_none()
    });
    assert_eq!(stand.guard.status().state, State::Tripped);
    assert!(!stand.device.coil(0));
    stand.arm();
    let (cause, _) = refusal(&stand.guard);
    assert_eq!(cause, "nothing is latched");
}

#[test]
fn a_trip_is_told_as_events_in_their_order_and_measured() {
    let stand = Stand::armed(&Setup::default());
    stand.device.show(DANGER);
    let events = wait_event(&stand.guard.socket(), "the stop is confirmed", |body| {
        matches!(body, EventBody::StopConfirmed { .. })
    });
    for (index, event) in events.iter().enumerate() {
        assert_eq!(event.seq, index as u64 + 1, "I8: numbered without a gap");
    }
    let place = |what: &str, is_it: fn(&EventBody) -> bool| {
        let place = events.iter().rposition(|event| is_it(&event.body));
        place.unwrap_or_else(|| panic!("{what} in {events:#?}"))
    };
    let active = place(
        "the rule became active",
        |body| matches!(body, EventBody::Rule { state, value, .. } if state == "active" && *value == Some(f64::from(DANGER))),
    );
    let latched = place(
        "the output was latched",
        |body| matches!(body, EventBody::Latched { cause, rule, .. } if cause == "condition" && rule.as_deref() == Some("over")),
    );
    assert!(
        active < latched && latched + 2 == events.len(),
        "{events:#?}"
    );
    let Reply::Latency(latency) = stand.guard.ask(&Request::Latency {}) else {
        panic!("latencies were asked for");
    };
    assert_eq!(latency.rules.len(), 1);
    let rule = &latency.rules[0];
    assert_eq!((rule.rule.as_str(), rule.missed), ("over", 0));
    assert_eq!(rule.distribution.count, 1);
    assert!(rule.distribution.max_ns > 0);
}

#[test]
fn h29_a_stop_that_took_longer_than_computed_is_told_beside_the_bound() {
    let stand = Stand::armed(&Setup {
        // No refresh comes between: the first write that goes wrong is the stop.
        refresh: "10s",
        ..Setup::default()
    });
    let bounds = |guard: &Guard| {
        let rule = hil_tests::stand::rule(&guard.status(), "over");
        (rule.bound_ns, rule.measured_max_ns)
    };
    let (bound, measured) = bounds(&stand.guard);
    let bound = bound.expect("a danger rule has a worst case");
    assert_eq!(measured, None, "it has stopped nothing yet");
    stand.device.writes_are(Manner::Silent);
    stand.device.show(DANGER);
    // Each takes the whole of `confirm_within`, which is most of the bound.
    wait_until("the stop is not confirmed again and again", || {
        output(&stand.guard.status(), "run").failures >= 4
    });
    stand.device.writes_are(Manner::Right);
    wait_event(&stand.guard.socket(), "it is told", |body| {
        matches!(body, EventBody::SelfCheck { check, stopped: false, detail }
            if check == "bound" && detail.contains("over"))
    });
    let (_, measured) = bounds(&stand.guard);
    assert!(measured > Some(bound), "{measured:?} {bound}");
    let Reply::Latency(latency) = stand.guard.ask(&Request::Latency {}) else {
        panic!("latencies were asked for");
    };
    assert_eq!(latency.rules[0].bound_ns, Some(bound));
    assert_eq!(
        latency.rules[0].distribution.max_ns,
        measured.expect("known")
    );
}

#[test]
fn a_stop_on_request_needs_no_rights_and_latches() {
    let stand = Stand::armed(&Setup::default());
    let trip = Request::Trip {
        reason: "a test".to_owned(),
    };
    assert_eq!(stand.guard.ask(&trip), Reply::Done {});
    stand.wait_stopped();
    let run = output(&stand.guard.status(), "run");
    assert_eq!(run.first_out.as_deref(), Some("stop requested"));
    stand.arm();
}

#[test]
fn h83_sigterm_stops_the_machine_and_ends_with_0() {
    let stand = Stand::armed(&Setup::default());
    let Stand { guard, device } = stand;
    let socket = guard.socket();
    assert_eq!(guard.terminate(), Some(0));
    assert!(!device.coil(0), "the machine is stopped");
    let last = device.writes().pop().expect("writes");
    assert!(
        last.value == 0 && last.peer.is_some(),
        "written by the guard"
    );
    assert!(!socket.exists(), "the control socket is taken away");
}

#[test]
fn h83_an_end_whose_stop_nobody_confirmed_says_so() {
    let stand = Stand::armed(&Setup::default());
    stand.device.writes_are(Manner::Silent);
    let Stand { guard, device } = stand;
    assert_eq!(guard.terminate(), Some(7));
    // It was executed all the same: it only was not answered.
    assert!(!device.coil(0));
}

#[test]
fn h63_h52_a_killed_guard_lets_the_permit_lapse_and_its_successor_starts_tripped() {
    let device = Device::new(Duration::from_millis(1_000));
    let stand = Stand::with(device, &Setup::default());
    stand.arm();
    let Stand { guard, device } = stand;
    guard.kill();
    wait_until("the device's watchdog drops the permit", || !device.coil(0));
    let last = device.writes().pop().expect("writes");
    assert_eq!((last.value, last.peer), (0, None), "by itself");
    let before = device.writes_total();
    let stand = Stand::with(device, &Setup::default());
    wait_until("the new guard writes", || {
        stand.device.writes_total() >= before + 5
    });
    assert!(!stand.device.coil(0), "I9");
    assert!(!stand.guard.status().state.permits(), "I9");
    stand.arm();
}

#[test]
fn h63_while_armed_the_permit_is_renewed_before_the_watchdog_bites() {
    let stand = Stand::with(Device::new(Duration::from_secs(5)), &Setup::default());
    stand.arm();
    let before = stand.device.writes_total();
    wait_until("a hundred refreshes have come", || {
        stand.device.writes_total() >= before + 100
    });
    let fallen = stand.device.writes();
    assert!(fallen.iter().all(|write| write.peer.is_some()));
    assert!(stand.device.coil(0));
}

/// A guard that has lost its device right from the start has nothing to be reset for.
#[test]
fn h6_a_device_that_was_never_there_keeps_the_guard_tripped() {
    let mut device = Device::default();
    device.switch_off();
    let guard = Guard::start(&Setup::default().yaml(device.address()));
    wait_until("the rule has given up waiting", || {
        guard.status().reset_refusal.as_deref() == Some("rule over is not clear")
            && hil_tests::stand::rule(&guard.status(), "over").cause == "bad input"
    });
    assert_eq!(guard.status().state, State::Safe);
    refusal(&guard);
    device.show(HEALTHY);
    device.switch_on();
    guard.arm();
    wait_until("the permit reaches the device", || device.coil(0));
}

//! A guard whose lane hangs, dies, runs away or skips a stage: the sentinel stops the machine and says so.
//!
//! The faults are put into a guard built for that (feature `inject`); the real one cannot be told to fail.

use appliance_control::{EventBody, Reply, Request, State};
use hil_tests::binaries;
use hil_tests::guard::{Guard, Site, wait_until};
use hil_tests::hostile::Device;
use hil_tests::packs;
use hil_tests::stand::{DANGER, HEALTHY, Setup, Stand, output, refusal, rule, wait_event};

const INJECT: &str = "inject";

/// A stand whose guard can be told to fail, armed.
fn armed(setup: &Setup) -> Stand {
    armed_with(setup, |_| {})
}

/// The same with a plan that was changed after the check.
fn armed_with(setup: &Setup, change: impl FnOnce(&mut rules_bundle::Plan)) -> Stand {
    let device = Device::default();
    device.show(HEALTHY);
    let yaml = setup.yaml(device.address());
    let site = Site::new(&packs::bundle_with(&yaml, change));
    let file = site.file(INJECT);
    let guard = Guard::start_as(site, binaries::guard_that_fails(), |command| {
        command.env("TRIPLINE_INJECT", file);
    });
    let stand = Stand { guard, device };
    stand.arm();
    stand
}

fn inject(stand: &Stand, word: &str) {
    std::fs::write(stand.guard.site().file(INJECT), word).expect("the order is written");
}

/// Stopped by the sentinel, said by status and event, not to be reset, and well again after a restart.
fn is_stopped_for_good(stand: Stand, words: &str) {
    wait_until("the machine is stopped", || !stand.device.coil(0));
    wait_event(&stand.guard.socket(), "the watchdog tells", |body| {
        matches!(body, EventBody::SelfCheck { check, stopped: true, detail }
            if check == "watchdog" && detail.contains(words))
    });
    wait_event(
        &stand.guard.socket(),
        "the sentinel's own stop is confirmed",
        |body| {
            matches!(body, EventBody::SelfCheck { check, detail, .. }
                if check == "watchdog" && detail.contains("confirmed by every output"))
        },
    );
    let status = stand.guard.status();
    assert_eq!(status.state, State::Tripped, "{words}");
    let run = output(&status, "run");
    assert_eq!(run.permit, "withheld");
    let first_out = run.first_out.expect("a cause");
    assert!(
        first_out.contains("watchdog") && first_out.contains(words),
        "{first_out}"
    );
    let (cause, help) = refusal(&stand.guard);
    assert!(
        cause.contains("watchdog") && cause.contains(words),
        "{cause}"
    );
    assert!(help.contains("restart the guard"), "{help}");
    // Whatever the lane does, and whoever writes: it stays stopped.
    stand.device.set(drivers_sim::image::Table::Coil, 0, 1);
    wait_until("it is stopped again", || !stand.device.coil(0));
    let writes = stand.device.writes_total();
    wait_until("the stop is written again and again", || {
        stand.device.writes_total() >= writes + 5
    });
    assert!(!stand.device.coil(0));
    let Stand { guard, device } = stand;
    let socket = guard.socket();
    assert_eq!(guard.terminate(), Some(6), "the exit code names it");
    assert!(!socket.exists(), "an orderly end all the same");
    assert!(!device.coil(0));
    let stand = Stand::with(device, &Setup::default());
    stand.arm();
}

#[test]
fn h31_a_lane_that_hangs_is_stopped_by_the_sentinel() {
    let stand = armed(&Setup::default());
    inject(&stand, "hang");
    is_stopped_for_good(stand, "hangs");
}

#[test]
fn h30_a_lane_that_panics_is_stopped_by_the_sentinel() {
    let stand = armed(&Setup::default());
    inject(&stand, "panic");
    is_stopped_for_good(stand, "died");
}

#[test]
fn h32_a_lane_that_skips_a_stage_is_stopped_by_the_sentinel() {
    let stand = armed(&Setup::default());
    inject(&stand, "skip");
    is_stopped_for_good(stand, "left out");
}

#[test]
fn h32_a_lane_that_runs_away_is_stopped_by_the_sentinel() {
    let stand = armed(&Setup::default());
    inject(&stand, "run_away");
    is_stopped_for_good(stand, "runs away");
}

/// It comes back after its window and must not go on as if nothing had been.
#[test]
fn h31_i2_a_lane_that_comes_back_too_late_never_writes_a_run_value_again() {
    let stand = armed(&Setup {
        // The permit is refreshed often: whoever forgot the order would show it at once.
        refresh: "20ms",
        ..Setup::default()
    });
    inject(&stand, "delay");
    wait_until("the machine is stopped", || !stand.device.coil(0));
    // The lane works again: it answers with its own state.
    wait_until("the lane is back", || {
        stand.guard.status().lanes.iter().all(|lane| lane.ticks > 0)
    });
    let from = stand.device.writes().len();
    let total = stand.device.writes_total();
    wait_until("many writes have come", || {
        stand.device.writes_total() >= total + 50
    });
    let writes = stand.device.writes();
    assert!(
        writes.iter().skip(from).all(|write| write.value == 0),
        "I2: {writes:?}"
    );
    is_stopped_for_good(stand, "hangs");
}

#[test]
fn h31_a_sentinel_that_is_lost_stops_every_output() {
    let stand = armed(&Setup::default());
    inject(&stand, "sentinel_hang");
    stand.wait_stopped();
    let status = stand.guard.status();
    assert!(
        status
            .degraded
            .iter()
            .any(|cause| cause.contains("sentinel")),
        "{:?}",
        status.degraded
    );
    let (cause, help) = refusal(&stand.guard);
    assert!(cause.contains("sentinel"), "{cause}");
    assert!(help.contains("restart the guard"), "{help}");
}

#[test]
fn a_lane_that_spins_is_watched_like_any_other() {
    // It runs under the ordinary scheduler beside every other test: only the watchdog may object to how it runs.
    let stand = armed(&Setup {
        wait: "spin",
        timeout: "5s",
        stale_after: "10s",
        confirm_within: "5s",
        ..Setup::default()
    });
    let before = stand.guard.status().lanes[0].ticks;
    wait_until("it has ticked for a while", || {
        stand.guard.status().lanes[0].ticks > before + 500
    });
    let sentinel = stand.guard.status().sentinel.expect("it is told");
    assert_eq!(sentinel.state, "watching", "{sentinel:?}");
    let trip = Request::Trip {
        reason: "a test".to_owned(),
    };
    assert_eq!(stand.guard.ask(&trip), Reply::Done {});
    stand.arm();
    inject(&stand, "hang");
    is_stopped_for_good(stand, "hangs");
}

#[test]
fn h29_a_tick_too_late_for_the_tightest_deadline_is_a_trip_that_can_be_reset() {
    // The deadline leaves the assumed turn of 100 ms and no more; the lane is 200 ms late, its watchdog waits for 500.
    let stand = armed_with(&Setup::default(), |plan| {
        for lane in &mut plan.lanes {
            lane.assumed.turn = drivers_frame::DurNs::from_ms(100);
            for rule in &mut lane.rules {
                rule.deadline = Some(drivers_frame::DurNs::from_ms(500));
            }
        }
    });
    inject(&stand, "late");
    wait_event(&stand.guard.socket(), "it is told", |body| {
        matches!(body, EventBody::SelfCheck { check, stopped: true, detail }
            if check == "timing" && detail.contains("leaves 100ms"))
    });
    stand.wait_stopped();
    let first_out = output(&stand.guard.status(), "run").first_out;
    assert_eq!(
        first_out.as_deref(),
        Some("a tick came too late for the deadline"),
        "H-29"
    );
    stand.arm();
}

#[test]
fn h61_the_sentinels_stop_goes_over_a_connection_that_stood_by() {
    let stand = armed(&Setup::default());
    wait_until("the sentinel's connection stands by", || {
        let degraded = stand.guard.status().degraded;
        !degraded
            .iter()
            .any(|lack| lack.contains("connection of its own"))
    });
    let before = stand.device.connections_taken();
    inject(&stand, "hang");
    wait_event(
        &stand.guard.socket(),
        "the sentinel's stop is confirmed",
        |body| {
            matches!(body, EventBody::SelfCheck { check, detail, .. }
                if check == "watchdog" && detail.contains("confirmed by every output"))
        },
    );
    assert!(!stand.device.coil(0));
    assert_eq!(stand.device.connections_taken(), before, "H-61");
}

/// Two machines, each with its lane and its device.
fn two_lanes(first: &Device, second: &Device) -> String {
    let mut yaml = String::from("tripline: 1\npack: { name: two, version: \"1\" }\nlanes:\n");
    let lanes = [("first", first), ("second", second)];
    for (lane, _) in lanes {
        yaml += &format!("  {lane}: {{ wait: park }}\n");
    }
    yaml += "devices:\n";
    for (lane, device) in lanes {
        let port = device.address().port();
        yaml += &format!(
            "  {lane}_io: {{ lane: {lane}, modbus: {{ host: 127.0.0.1, port: {port}, poll: 10ms, timeout: 250ms, addressing: zero_based }} }}\n"
        );
    }
    yaml += "tags:\n";
    for (lane, _) in lanes {
        yaml += &format!(
            "  {lane}_value: {{ device: {lane}_io, register: {{ table: holding, address: 0 }}, type: u16, unit: mm/s, range: [0, 1000], stale_after: 500ms }}\n"
        );
    }
    yaml += "outputs:\n";
    for (lane, _) in lanes {
        yaml += &format!(
            "  {lane}_run: {{ device: {lane}_io, coil: 0, refresh: 50ms, confirm_within: 400ms }}\n"
        );
    }
    yaml += "rules:\n";
    for (lane, _) in lanes {
        yaml += &format!(
            "  - {{ id: {lane}_over, when: {lane}_value > 500 mm/s, level: danger, stops: [{lane}_run], deadline: 10s, message: over the limit }}\n"
        );
    }
    yaml
}

#[test]
fn h31_a_lane_that_hangs_takes_no_other_with_it() {
    let (first, second) = (Device::default(), Device::default());
    first.show(HEALTHY);
    second.show(HEALTHY);
    let site = Site::new(&packs::bundle(&two_lanes(&first, &second)));
    let file = site.file(INJECT);
    let order = file.clone();
    let guard = Guard::start_as(site, binaries::guard_that_fails(), |command| {
        command.env("TRIPLINE_INJECT", file);
    });
    wait_until("both machines may run", || {
        let _ = guard.reset();
        first.coil(0) && second.coil(0)
    });
    std::fs::write(order, "hang first").expect("the order is written");
    wait_until("the first machine is stopped", || !first.coil(0));
    wait_event(&guard.socket(), "the watchdog tells", |body| {
        matches!(body, EventBody::SelfCheck { check, detail, .. }
            if check == "watchdog" && detail.contains("lane first"))
    });
    // The other lane is not asked what the first cannot answer: status, permit, rules, stop, all as before.
    let status = guard.status();
    assert_eq!(status.state, State::Tripped);
    assert_eq!(output(&status, "second_run").permit, "granted");
    assert_eq!(output(&status, "second_run").first_out, None);
    assert_eq!(output(&status, "first_run").permit, "withheld");
    assert_eq!(rule(&status, "second_over").state, "normal");
    assert!(second.coil(0), "nobody has stopped the second machine");
    second.show(DANGER);
    wait_until("its own rule stops it", || !second.coil(0));
    let first_out = output(&guard.status(), "second_run").first_out;
    assert_eq!(first_out.as_deref(), Some("condition"));
    let trip = Request::Trip {
        reason: "a test".to_owned(),
    };
    assert_eq!(guard.ask(&trip), Reply::Done {}, "a stop is always taken");
    assert_eq!(guard.terminate(), Some(6));
    assert!(!first.coil(0) && !second.coil(0));
}

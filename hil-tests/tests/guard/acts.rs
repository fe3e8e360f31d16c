//! Bypass, acknowledgement, shelving, lifting: over the real socket, by the real guard.

use std::time::Duration;

use appliance_control::{EventBody, Reply, Request, State};
use drivers_sim::image::Table;
use hil_tests::guard::wait_until;
use hil_tests::hostile::Device;
use hil_tests::stand::{DANGER, HEALTHY, Setup, Stand, refusal, rule, wait_event, wait_tag};
use rt_config::limits::{SHELVE_HOURS_MAX, TEXT_BYTES_MAX};

const SECOND: u64 = 1_000_000_000;
const HOUR: u64 = 3_600 * SECOND;
/// Beyond the range of every tag: the channel is bad.
const BROKEN: u16 = 2_000;

/// The stand, and beside it a voting of three registers, an input that must be acknowledged, and an alert.
fn setup() -> Setup {
    let tag = |name: &str, address: u16, more: &str| {
        format!(
            "  {name}: {{ device: io, register: {{ table: holding, address: {address} }}, type: u16, unit: mm/s, range: [0, 1000], stale_after: 500ms{more} }}\n"
        )
    };
    let tags = ["a", "b", "c"].map(str::to_owned);
    let mut yaml: String = (1..)
        .zip(&tags)
        .map(|(at, name)| tag(name, at, ""))
        .collect();
    yaml.push_str(&tag("watched", 4, ", reintegrate: acknowledge"));
    let rules = "  - { id: hot, voting: bearing, when: channel > 500 mm/s, level: danger, stops: [run], deadline: 10s, message: hot }\n\
         \x20 - { id: far, when: watched > 500 mm/s, level: danger, stops: [run], deadline: 10s, message: far, bypass: 1h }\n\
         \x20 - { id: warm, when: value > 300 mm/s, level: alert, message: warm }\n\
         votings:\n  bearing: { channels: [a, b, c], vote: 2oo3, bypass: 1h }\n";
    Setup {
        more: [yaml, String::new(), rules.to_owned()],
        ..Setup::default()
    }
}

fn healthy() -> Device {
    let device = Device::default();
    for address in 0..=4 {
        device.set(Table::HoldingRegister, address, HEALTHY);
    }
    device
}

fn armed() -> Stand {
    let stand = Stand::with(healthy(), &setup());
    stand.arm();
    stand
}

fn show(stand: &Stand, address: u16, value: u16) {
    stand.device.set(Table::HoldingRegister, address, value);
}

fn bypass(stand: &Stand, point: &str, for_ns: u64) -> Reply {
    stand.guard.ask(&Request::Bypass {
        point: point.to_owned(),
        who: "Anna".to_owned(),
        why: "calibration, order 4711".to_owned(),
        for_ns,
    })
}

fn end_bypass(stand: &Stand, point: &str) -> Reply {
    stand.guard.ask(&Request::BypassEnd {
        point: point.to_owned(),
        who: "Bert".to_owned(),
    })
}

fn shelve(stand: &Stand, rule: &str, for_ns: u64) -> Reply {
    stand.guard.ask(&Request::Shelve {
        rule: rule.to_owned(),
        who: "Anna".to_owned(),
        why: "known".to_owned(),
        for_ns,
    })
}

fn acknowledge(stand: &Stand, tag: Option<&str>) -> Reply {
    stand.guard.ask(&Request::Acknowledge {
        tag: tag.map(str::to_owned),
        who: "Anna".to_owned(),
    })
}

/// What stood against it.
fn refused(reply: Reply) -> String {
    match reply {
        Reply::Refused { cause, help } => {
            assert!(!help.is_empty(), "a refusal says what to do: {cause}");
            cause
        }
        reply => panic!("a refusal, not {reply:?}"),
    }
}

fn voting(stand: &Stand) -> String {
    let status = stand.guard.status();
    status.lanes[0].votings[0].to_string()
}

#[test]
fn h55_i14_a_bypass_withholds_one_vote_is_shown_everywhere_and_ends_by_hand() {
    let stand = armed();
    assert_eq!(voting(&stand), "2oo3");
    assert_eq!(bypass(&stand, "bearing/a", HOUR / 2), Reply::Done {});
    let status = stand.guard.status();
    let shown = &status.lanes[0].bypasses;
    assert_eq!(shown.len(), 1);
    assert_eq!(shown[0].point, "bearing/a");
    assert_eq!(shown[0].by.who, "Anna");
    assert_eq!(shown[0].by.uid, rustix::process::getuid().as_raw(), "I14");
    assert_eq!(shown[0].why, "calibration, order 4711");
    assert!(shown[0].remaining_ns <= HOUR / 2 && shown[0].remaining_ns > 0);
    assert_eq!(status.state, State::Degraded);
    assert!(
        status
            .reasons
            .iter()
            .any(|reason| reason.text.contains("bearing/a is bypassed by Anna")),
        "{:?}",
        status.reasons
    );
    assert_eq!(voting(&stand), "2oo3, 1 bypassed: now 1oo2");
    // Its own value says nothing now; of the two that are left one is enough.
    show(&stand, 1, DANGER);
    wait_tag(&stand.guard, "a", |tag| {
        tag.value == Some(f64::from(DANGER))
    });
    assert_eq!(rule(&stand.guard.status(), "hot").state, "normal");
    assert!(stand.guard.status().state.permits());
    show(&stand, 2, DANGER);
    stand.wait_stopped();
    for address in 1..=3 {
        show(&stand, address, HEALTHY);
    }
    assert_eq!(end_bypass(&stand, "bearing/a"), Reply::Done {});
    assert_eq!(voting(&stand), "2oo3");
    assert_eq!(stand.guard.status().lanes[0].bypasses, []);
    let cause = refused(end_bypass(&stand, "bearing/a"));
    assert!(cause.contains("no bypass"), "{cause}");
    let events = wait_event(
        &stand.guard.socket(),
        "I14: its end and by whom",
        |body| matches!(body, EventBody::BypassEnded { point, by: Some(by) } if point == "bearing/a" && by.who == "Bert"),
    );
    let begun = events.iter().filter(|event| {
        matches!(&event.body, EventBody::Bypassed { point, why, for_ns, .. }
            if point == "bearing/a" && why.contains("4711") && *for_ns == HOUR / 2)
    });
    assert_eq!(begun.count(), 1, "I14");
}

#[test]
fn h55_a_bypass_ends_by_itself_and_does_not_survive_a_restart() {
    let stand = armed();
    assert_eq!(bypass(&stand, "bearing/b", SECOND / 5), Reply::Done {});
    wait_event(
        &stand.guard.socket(),
        "H-55: it ends by itself",
        |body| matches!(body, EventBody::BypassEnded { point, by: None } if point == "bearing/b"),
    );
    wait_until("it is shown no longer", || voting(&stand) == "2oo3");
    assert_eq!(stand.guard.status().lanes[0].bypasses, []);
    // Its place is free again.
    assert_eq!(bypass(&stand, "bearing/b", HOUR), Reply::Done {});
    assert_eq!(voting(&stand), "2oo3, 1 bypassed: now 1oo2");
    let Stand { guard, device } = stand;
    guard.kill();
    let stand = Stand::with(device, &setup());
    assert_eq!(stand.guard.status().lanes[0].bypasses, [], "H-55, H-79");
    assert_eq!(voting(&stand).split(',').next(), Some("2oo3"));
}

#[test]
fn h56_what_may_not_be_bypassed_is_refused_with_its_reason_and_recorded() {
    let stand = armed();
    assert_eq!(bypass(&stand, "bearing/a", HOUR), Reply::Done {});
    let table = [
        ("bearing/b", HOUR, "bearing/a is bypassed already"),
        ("bearing/a", HOUR, "bypassed already"),
        ("far", 0, "at most"),
        ("far", HOUR + 1, "at most"),
        ("far", u64::MAX, "at most"),
        // A rule with a voting is bypassed by channel; the stand's own rule allows none.
        ("hot", HOUR, "allows no bypass"),
        ("over", HOUR, "allows no bypass"),
        ("bearing", HOUR, "no such point"),
        ("bearing/d", HOUR, "no such point"),
        ("bearing/a/", HOUR, "no such point"),
        ("", HOUR, "no such point"),
    ];
    for (point, for_ns, expected) in table {
        let cause = refused(bypass(&stand, point, for_ns));
        assert!(cause.contains(expected), "H-56: {point}: {cause}");
    }
    assert_eq!(
        voting(&stand),
        "2oo3, 1 bypassed: now 1oo2",
        "nothing else changed"
    );
    // Another group is another matter.
    assert_eq!(bypass(&stand, "far", HOUR), Reply::Done {});
    show(&stand, 4, DANGER);
    wait_tag(&stand.guard, "watched", |tag| {
        tag.value == Some(f64::from(DANGER))
    });
    assert_eq!(rule(&stand.guard.status(), "far").cause, "bypassed");
    assert!(stand.guard.status().state.permits());
    // Its end is the end of its silence: the danger is still there.
    assert_eq!(end_bypass(&stand, "far"), Reply::Done {});
    stand.wait_stopped();
    wait_event(
        &stand.guard.socket(),
        "I14: a refusal is recorded",
        |body| matches!(body, EventBody::ActRefused { act, of, .. } if act == "bypass" && of == "bearing/b"),
    );
}

#[test]
fn i14_an_act_without_a_reason_or_with_too_many_words_is_refused() {
    let stand = armed();
    for why in [
        String::new(),
        "  \n".to_owned(),
        "x".repeat(TEXT_BYTES_MAX + 1),
    ] {
        for request in [
            Request::Bypass {
                point: "bearing/a".to_owned(),
                who: "Anna".to_owned(),
                why: why.clone(),
                for_ns: SECOND,
            },
            Request::Shelve {
                rule: "warm".to_owned(),
                who: "Anna".to_owned(),
                why: why.clone(),
                for_ns: SECOND,
            },
        ] {
            let cause = refused(stand.guard.ask(&request));
            assert!(cause.contains("reason"), "{cause}");
        }
    }
    let press = Request::ResetPress {
        who: "x".repeat(1_000),
    };
    let cause = refused(stand.guard.ask(&press));
    assert!(cause.contains("name"), "{cause}");
    assert_eq!(stand.guard.status().lanes[0].bypasses, []);
}

#[test]
fn h49_i3_a_bad_channel_stands_against_a_reset_until_it_is_good_or_bypassed() {
    let stand = armed();
    show(&stand, 1, BROKEN);
    wait_until("2oo3 with one bad channel is 1oo2", || {
        voting(&stand) == "2oo3, 1 bad: now 1oo2"
    });
    let status = stand.guard.status();
    let channel = &status.lanes[0].votings[0].channels[0];
    assert_eq!(channel.health.as_deref(), Some("bad"));
    assert_eq!(
        channel.votes,
        Some(true),
        "H-49: a bad channel votes to trip"
    );
    assert_eq!(status.state, State::Degraded);
    // One more vote stops the machine.
    show(&stand, 2, DANGER);
    stand.wait_stopped();
    show(&stand, 2, HEALTHY);
    wait_until("only the bad channel stands against a reset", || {
        stand.guard.status().reset_refusal.as_deref() == Some("channel a of voting bearing is bad")
    });
    let (_, help) = refusal(&stand.guard);
    assert!(help.contains("tripline bypass"), "{help}");
    assert_eq!(bypass(&stand, "bearing/a", HOUR), Reply::Done {});
    stand.arm();
    assert_eq!(stand.guard.status().state, State::Degraded);
}

#[test]
fn a_channel_that_must_be_acknowledged_comes_back_only_then() {
    let stand = armed();
    show(&stand, 4, BROKEN);
    stand.wait_stopped();
    show(&stand, 4, HEALTHY);
    wait_event(
        &stand.guard.socket(),
        "it waits for an acknowledgement",
        |body| matches!(body, EventBody::Input { tag, needs_acknowledgement: true, .. } if tag == "watched"),
    );
    assert_eq!(refusal(&stand.guard).0, "rule far is not clear");
    // What does not wait is not acknowledged; what does not exist is an error.
    let acknowledged = |tag: Option<&str>| match acknowledge(&stand, tag) {
        Reply::Acknowledged { channels } => channels,
        reply => panic!("acknowledged, not {reply:?}"),
    };
    assert_eq!(acknowledged(Some("a")), 0);
    let cause = refused(acknowledge(&stand, Some("nothing")));
    assert!(cause.contains("no such tag"), "{cause}");
    assert_eq!(refusal(&stand.guard).0, "rule far is not clear");
    assert_eq!(acknowledged(None), 1);
    wait_tag(&stand.guard, "watched", |tag| tag.quality == "good");
    stand.arm();
    wait_event(
        &stand.guard.socket(),
        "I14: who acknowledged",
        |body| matches!(body, EventBody::Acknowledged { tag: None, channels: 1, by } if by.who == "Anna"),
    );
}

#[test]
fn an_alert_is_shelved_for_a_time_and_a_danger_never() {
    let stand = armed();
    for (rule, for_ns, expected) in [
        ("over", HOUR, "a danger is never silenced"),
        ("hot", HOUR, "a danger is never silenced"),
        ("none", HOUR, "no such rule"),
        ("warm", 0, "no time"),
        ("warm", SHELVE_HOURS_MAX * HOUR + 1, "longer"),
        ("warm", u64::MAX, "longer"),
    ] {
        let cause = refused(shelve(&stand, rule, for_ns));
        assert!(cause.contains(expected), "{rule}: {cause}");
    }
    assert_eq!(stand.guard.status().shelved, []);
    assert_eq!(shelve(&stand, "warm", HOUR), Reply::Done {});
    let shelved = stand.guard.status().shelved;
    assert_eq!(shelved.len(), 1);
    assert_eq!(
        (shelved[0].rule.as_str(), shelved[0].by.who.as_str()),
        ("warm", "Anna")
    );
    // It goes on watching.
    stand.device.show(400);
    wait_until("the rule is active, told or not", || {
        rule(&stand.guard.status(), "warm").state == "active"
    });
    assert!(stand.guard.status().state.permits());
    let unshelve = Request::Unshelve {
        rule: "warm".to_owned(),
        who: "Bert".to_owned(),
    };
    assert_eq!(stand.guard.ask(&unshelve), Reply::Done {});
    let cause = refused(stand.guard.ask(&unshelve));
    assert!(cause.contains("not shelved"), "{cause}");
    assert_eq!(shelve(&stand, "warm", SECOND / 5), Reply::Done {});
    wait_event(
        &stand.guard.socket(),
        "it comes back by itself",
        |body| matches!(body, EventBody::Unshelved { rule, by: None } if rule == "warm"),
    );
    assert_eq!(stand.guard.status().shelved, []);
}

#[test]
fn a_hold_that_does_not_stand_cannot_be_lifted() {
    let stand = armed();
    for (hold, expected) in [
        ("crash loop", "does not hold"),
        ("memory checksum", "does not hold"),
        ("everything", "no such hold"),
    ] {
        let lift = Request::Lift {
            hold: hold.to_owned(),
            who: "Anna".to_owned(),
        };
        let cause = refused(stand.guard.ask(&lift));
        assert!(cause.contains(expected), "{hold}: {cause}");
    }
}

/// The time of a bypass is the lane's: acts that come fast do not confuse it.
#[test]
fn h56_i11_bypasses_begun_and_ended_in_haste_leave_nothing_behind() {
    let stand = armed();
    for round in 0..100 {
        let point = ["bearing/a", "bearing/b", "bearing/c", "far"][round % 4];
        assert_eq!(bypass(&stand, point, HOUR), Reply::Done {}, "{round}");
        assert_eq!(end_bypass(&stand, point), Reply::Done {}, "{round}");
    }
    std::thread::sleep(Duration::from_millis(50));
    assert_eq!(voting(&stand), "2oo3");
    assert_eq!(stand.guard.status().lane_allocations, 0, "I11");
}

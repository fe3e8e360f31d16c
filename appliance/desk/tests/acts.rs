//! What operators do, as readers at the broker see it: bypasses told, alerts shelved.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a helper of a test fails as its test does"
)]

mod common;

use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use appliance_control::{Actor, EventBody};
use appliance_desk::broker::publisher_config;
use appliance_desk::notice;
use appliance_desk::relay::{Relay, RelayConfig};
use common::{FakeGuard, Reader, facts, plan, rule_event, until};

fn anna() -> Actor {
    Actor {
        who: "Anna".into(),
        uid: 1000,
        user: Some("op".into()),
    }
}

struct Stage {
    guard: FakeGuard,
    broker: drivers_sim::broker::Broker,
    reader: Reader,
    relay: Relay,
    _dir: tempfile::TempDir,
}

impl Stage {
    fn build() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let socket = dir.path().join("guard.sock");
        let guard = FakeGuard::start(&socket, 42);
        let broker = drivers_sim::broker::start(0).unwrap();
        let reader = Reader::start(broker.address());
        let plan = plan(broker.address());
        let facts = facts(&plan);
        let publisher = publisher_config(plan.alerts.as_ref().unwrap(), &facts, 7).unwrap();
        let (notices, _) = notice::queue();
        let relay = Relay::start(RelayConfig {
            socket,
            facts,
            publisher: Some(publisher),
            notices,
        });
        Self {
            guard,
            broker,
            reader,
            relay: relay.unwrap(),
            _dir: dir,
        }
    }

    fn state(&self, topic: &str) -> serde_json::Value {
        let bytes = self.broker.retained(topic).unwrap_or_default();
        serde_json::from_slice(&bytes).unwrap_or_default()
    }
}

fn shelve(rule: &str) -> EventBody {
    EventBody::Shelved {
        rule: rule.into(),
        by: anna(),
        why: "work order 4711".into(),
        for_ns: 3_600_000_000_000,
        until_wall_ns: 0,
    }
}

#[test]
fn h55_i14_a_bypass_is_an_alarm_with_who_why_and_until_when() {
    let mut stage = Stage::build();
    stage.guard.say(EventBody::Bypassed {
        point: "bearing/t".into(),
        by: anna(),
        why: "calibration".into(),
        for_ns: 1_800_000_000_000,
        until_wall_ns: 951_782_399_000_000_000,
    });
    stage.guard.say(EventBody::BypassReminder {
        point: "bearing/t".into(),
        by: anna(),
        why: "calibration".into(),
        remaining_ns: 900_000_000_000,
    });
    stage.guard.say(EventBody::BypassEnded {
        point: "bearing/t".into(),
        by: None,
    });
    let begun = stage
        .reader
        .find("begun", |got| got.json["event"] == "bypassed");
    assert_eq!(begun.topic, "tripline/press/events");
    assert_eq!(begun.json["priority"], "medium");
    assert_eq!(begun.json["point"], "bearing/t");
    assert_eq!(begun.json["by"]["who"], "Anna");
    assert_eq!(begun.json["by"]["user"], "op", "I14");
    assert_eq!(begun.json["why"], "calibration");
    assert_eq!(begun.json["for_s"], 1_800.0);
    assert_eq!(begun.json["until"], "2000-02-28T23:59:59.000000Z");
    let reminder = stage
        .reader
        .find("reminder", |got| got.json["event"] == "bypass_reminder");
    assert_eq!(reminder.json["remaining_s"], 900.0, "H-55");
    let ended = stage
        .reader
        .find("ended", |got| got.json["event"] == "bypass_ended");
    assert!(ended.json["by"].is_null(), "by itself");
    assert_eq!(stage.relay.stop().undelivered, 0);
}

#[test]
fn a_shelved_alert_is_kept_as_shelved_and_not_told_and_a_danger_is_told_whatever_the_shelf_says() {
    let mut stage = Stage::build();
    stage.guard.say(shelve("warm"));
    // A guard never does this; a desk that believed it would hide a stop.
    stage.guard.say(shelve("hot"));
    stage.guard.say(rule_event("warm", "alert", "active", 60.0));
    stage.guard.say(rule_event("hot", "danger", "active", 91.5));
    stage.guard.say(EventBody::Unshelved {
        rule: "warm".into(),
        by: Some(anna()),
    });
    stage.guard.say(rule_event("warm", "alert", "normal", 50.0));
    let told = stage.reader.find("the danger", |got| {
        got.topic == "tripline/press/alerts/hot" && got.json["state"] == "active"
    });
    assert_eq!(told.json["priority"], "high");
    // What came first of `warm` is what came after it was told again: the one before was not told.
    let told = stage.reader.find("told again", |got| {
        got.topic == "tripline/press/alerts/warm"
    });
    assert_eq!(told.json["state"], "normal");
    until("its state says what it is", || {
        let state = stage.state("tripline/press/state/warm");
        state["alarm"] == "normal" && state["shelved"].is_null()
    });
    stage.guard.say(shelve("warm"));
    stage.guard.say(rule_event("warm", "alert", "active", 60.0));
    until("its state says that it is active, and shelved", || {
        let state = stage.state("tripline/press/state/warm");
        state["state"] == "active"
            && state["alarm"] == "shelved"
            && state["shelved"]["by"]["who"] == "Anna"
            && state["shelved"]["why"] == "work order 4711"
    });
    until("the gateway counts and names it", || {
        let status = stage.state("tripline/press/status");
        let names = status["shelved"].as_array();
        names.is_some_and(|names| names.iter().any(|name| name == "warm"))
    });
    assert_eq!(stage.relay.stop().counts.shelved, 2);
}

#[test]
fn an_alert_from_before_its_rule_came_off_the_shelf_is_not_told_though_the_status_is_newer() {
    let mut stage = Stage::build();
    stage.guard.say(shelve("warm"));
    // Its state is told once the relay has seen the shelving.
    until("it is shelved", || {
        !stage.state("tripline/press/state/warm")["shelved"].is_null()
    });
    stage.guard.drop_connections();
    stage.guard.say(rule_event("warm", "alert", "active", 60.0));
    stage.guard.say(EventBody::Unshelved {
        rule: "warm".into(),
        by: Some(anna()),
    });
    stage.guard.say(rule_event("warm", "alert", "normal", 50.0));
    let told = stage.reader.find("told again", |got| {
        got.topic == "tripline/press/alerts/warm"
    });
    assert_eq!(told.json["state"], "normal");
    assert_eq!(stage.relay.stop().counts.shelved, 1);
}

#[test]
fn the_state_at_the_broker_follows_however_fast_events_come() {
    let stage = Stage::build();
    let state = |stage: &Stage| stage.state("tripline/press/status")["shelved"].clone();
    until("the guard's state", || state(&stage).is_array());
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Acquire) {
                stage.guard.say(rule_event("hot", "danger", "active", 91.0));
                // Well below the relay's own pace.
                std::thread::sleep(Duration::from_millis(10));
            }
        });
        stage.guard.say(shelve("warm"));
        let told = std::panic::catch_unwind(AssertUnwindSafe(|| {
            until("it is shelved", || {
                state(&stage) == serde_json::json!(["warm"])
            });
        }));
        done.store(true, Ordering::Release);
        told.unwrap();
    });
}

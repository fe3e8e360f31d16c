//! From a guard's events to what a reader at the broker gets.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a helper of a test fails as its test does"
)]

mod common;

use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::time::Duration;

use appliance_control::EventBody;
use appliance_desk::broker::publisher_config;
use appliance_desk::notice::{self, Notice, NoticeReceiver};
use appliance_desk::relay::{Relay, RelayConfig};
use common::{FakeGuard, Reader, facts, plan, rule_event, until};

const HOT: &str = "tripline/press/alerts/hot";
const STATUS: &str = "tripline/press/status";

struct Setup {
    dir: tempfile::TempDir,
}

impl Setup {
    fn new() -> Self {
        Self {
            dir: tempfile::tempdir().unwrap(),
        }
    }

    fn socket(&self) -> PathBuf {
        self.dir.path().join("guard.sock")
    }
}

fn relay(socket: &Path, broker: SocketAddr) -> (Relay, NoticeReceiver) {
    let plan = plan(broker);
    let facts = facts(&plan);
    let publisher = publisher_config(plan.alerts.as_ref().unwrap(), &facts, 7).unwrap();
    let (notices, receiver) = notice::queue();
    let relay = Relay::start(RelayConfig {
        socket: socket.to_owned(),
        facts,
        publisher: Some(publisher),
        notices,
    });
    (relay.unwrap(), receiver)
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

#[test]
fn an_event_becomes_an_alert_with_all_that_a_reader_needs() {
    let setup = Setup::new();
    let guard = FakeGuard::start(&setup.socket(), 42);
    let broker = drivers_sim::broker::start(0).unwrap();
    let mut reader = Reader::start(broker.address());
    let (relay, _notices) = relay(&setup.socket(), broker.address());
    guard.say(rule_event("hot", "danger", "active", 91.5));
    guard.say(EventBody::Latched {
        output: "run".into(),
        cause: "hot".into(),
        rule: Some("hot".into()),
    });
    guard.say(EventBody::StopConfirmed {
        rule: "hot".into(),
        latency_ns: 1_500_000,
        missed: false,
    });
    let alert = reader.find("alert", |got| {
        got.topic == HOT && got.json["event"] == "rule"
    });
    let expected = serde_json::json!({
        "seq": 1, "time": "2024-02-29T12:34:56.000000Z", "mono_ns": 1_000,
        "pack": "press", "version": "1.2.3", "bundle": common::BUNDLE, "guard_pid": 42,
        "lane": "main", "priority": "high", "event": "rule", "rule": "hot", "level": "danger", "state": "active",
        "previous": "normal", "cause": "condition", "message": "It is hot.", "tag": "t",
        "value": 91.5, "unit": "degC", "quality": "good", "quality_cause": null,
        "outputs": ["run"], "runbook": "https://example.com/hot", "tags": ["bearing"],
    });
    assert_eq!(alert.json, expected);
    assert!(!alert.retained);
    let confirmed = reader.find("stop", |got| got.json["event"] == "stop_confirmed");
    assert_eq!(confirmed.topic, HOT);
    assert_eq!(confirmed.json["latency_ms"], 1.5);
    assert_eq!(confirmed.json["deadline_ms"], 250.0);
    assert_eq!(confirmed.json["missed"], false);
    let notice = confirmed.json["notice"].as_str().unwrap();
    assert!(
        notice.contains("not a certified safety component"),
        "{notice}"
    );
    let latched = reader.find("latched", |got| got.json["event"] == "latched");
    assert_eq!(latched.topic, "tripline/press/events");
    // Somebody who comes later sees the state that is.
    let state = |topic: &str| {
        broker
            .retained(topic)
            .map(|bytes| String::from_utf8(bytes).unwrap())
    };
    until("retained states", || {
        state("tripline/press/state/hot").is_some_and(|text| text.contains("\"active\""))
            && state("tripline/press/state/warm").is_some_and(|text| text.contains("\"normal\""))
            && state("tripline/press/outputs/run")
                .is_some_and(|text| text.contains("\"latched\":true"))
            && state("tripline/press/devices/io").is_some_and(|text| text.contains("\"up\""))
            && state(STATUS).is_some_and(|text| text.contains("\"online\":true"))
    });
    assert_eq!(relay.stop().undelivered, 0);
    let last = state(STATUS).unwrap();
    assert!(
        last.contains("stopped in order"),
        "a farewell is not a will: {last}"
    );
}

#[test]
fn h76_alerts_wait_for_a_broker_that_is_not_there_yet() {
    let setup = Setup::new();
    let guard = FakeGuard::start(&setup.socket(), 42);
    let port = free_port();
    let (relay, notices) = relay(&setup.socket(), SocketAddr::from(([127, 0, 0, 1], port)));
    for index in 0..100 {
        let state = if index % 2 == 0 { "active" } else { "normal" };
        guard.say(rule_event("hot", "danger", state, f64::from(index)));
    }
    let mut told = false;
    until("the person is told", || {
        told |= matches!(
            notices.next(Duration::from_millis(5)),
            Some(Notice::Broker(_))
        );
        told
    });
    let broker = drivers_sim::broker::start(port).unwrap();
    let mut reader = Reader::start(broker.address());
    reader.find("the last alert", |got| {
        got.topic == HOT && got.json["seq"] == 100
    });
    let seqs: Vec<_> = reader
        .on(HOT)
        .iter()
        .map(|got| got.json["seq"].as_u64().unwrap())
        .collect();
    // The reader may have come after the first ones were delivered; from then on none is missing and none out of order.
    let first = *seqs.first().unwrap();
    assert_eq!(seqs, (first..=100).collect::<Vec<_>>());
    let farewell = relay.stop();
    assert_eq!(
        (farewell.undelivered, farewell.counts.dropped),
        (0, 0),
        "H-76"
    );
}

#[test]
fn h76_a_broker_that_goes_and_comes_back_gets_everything_and_the_newest_state() {
    let setup = Setup::new();
    let guard = FakeGuard::start(&setup.socket(), 42);
    let broker = drivers_sim::broker::start(0).unwrap();
    let address = broker.address();
    let (relay, _notices) = relay(&setup.socket(), address);
    until("connected", || broker.retained(STATUS).is_some());
    drop(broker);
    for index in 0..50 {
        let state = if index % 2 == 0 { "active" } else { "normal" };
        guard.say(rule_event("hot", "danger", state, f64::from(index)));
    }
    until("port free", || TcpListener::bind(address).is_ok());
    let broker = drivers_sim::broker::start(address.port()).unwrap();
    // A new broker remembers nothing: all states must come again, also those that did not change (H-78: the newest).
    until("states again", || {
        let text = |topic| {
            broker
                .retained(topic)
                .map(|bytes| String::from_utf8(bytes).unwrap())
        };
        text("tripline/press/state/hot").is_some_and(|text| text.contains("\"seq\":50"))
            && text("tripline/press/state/warm").is_some()
            && text(STATUS).is_some_and(|text| text.contains("\"online\":true"))
    });
    let farewell = relay.stop();
    assert_eq!(farewell.undelivered, 0);
    assert_eq!(farewell.counts.dropped, 0);
    assert!(farewell.counts.connects >= 2);
    assert!(farewell.counts.delivered >= 50);
}

#[test]
fn h76_the_broker_tells_when_the_desk_is_lost() {
    let setup = Setup::new();
    let _guard = FakeGuard::start(&setup.socket(), 42);
    let broker = drivers_sim::broker::start(0).unwrap();
    let mut reader = Reader::start(broker.address());
    let (relay, _notices) = relay(&setup.socket(), broker.address());
    reader.find("online", |got| {
        got.topic == STATUS && got.json["online"] == true
    });
    // A second client of the same id throws the first one out without a farewell (MQTT 3.1.1, 3.1.4).
    let mut options = rumqttc::MqttOptions::new("desk-test", "127.0.0.1", broker.address().port());
    options.set_keep_alive(Duration::from_secs(5));
    let (thief, mut connection) = rumqttc::Client::new(options, 4);
    let connected = connection.iter().next();
    assert!(matches!(connected, Some(Ok(_))), "{connected:?}");
    let will = reader.find("will", |got| {
        got.topic == STATUS && got.json["online"] == false
    });
    assert_eq!(will.json["reason"], "connection lost", "H-76");
    drop((thief, connection));
    until("online again", || {
        broker.retained(STATUS).is_some_and(|bytes| {
            let status: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
            status["online"] == true && status["alerts"]["connects"] == 2
        })
    });
    drop(relay);
}

#[test]
fn a_relay_resumes_where_it_was_and_counts_what_is_lost() {
    let setup = Setup::new();
    let guard = FakeGuard::start(&setup.socket(), 42);
    let broker = drivers_sim::broker::start(0).unwrap();
    let mut reader = Reader::start(broker.address());
    let (relay, _notices) = relay(&setup.socket(), broker.address());
    guard.say(rule_event("hot", "danger", "active", 1.0));
    reader.find("first", |got| got.topic == HOT && got.json["seq"] == 1);
    guard.drop_connections();
    guard.say(rule_event("hot", "danger", "normal", 2.0));
    reader.find("second", |got| got.topic == HOT && got.json["seq"] == 2);
    assert_eq!(reader.on(HOT).len(), 2, "the first is not sent twice");
    until("following again", || guard.followers() == 1);
    // Now the guard forgets three events while nobody follows.
    guard.drop_connections();
    for value in [3.0, 4.0, 5.0] {
        guard.say(rule_event("hot", "danger", "active", value));
    }
    guard.forget();
    guard.say(rule_event("hot", "danger", "normal", 6.0));
    reader.find("sixth", |got| got.topic == HOT && got.json["seq"] == 6);
    let seqs: Vec<_> = reader
        .on(HOT)
        .iter()
        .map(|got| got.json["seq"].as_u64().unwrap())
        .collect();
    let lost = 6 - seqs.len() as u64;
    reader.find("the loss is announced", |got| {
        got.topic == STATUS && got.json["alerts"]["events_lost"] == lost
    });
    assert_eq!(relay.stop().counts.events_lost, lost);
}

#[test]
fn a_restarted_guard_is_followed_from_its_first_event() {
    let setup = Setup::new();
    let broker = drivers_sim::broker::start(0).unwrap();
    let mut reader = Reader::start(broker.address());
    let guard = FakeGuard::start(&setup.socket(), 42);
    let (relay, _notices) = relay(&setup.socket(), broker.address());
    for value in [1.0, 2.0, 3.0] {
        guard.say(rule_event("hot", "danger", "active", value));
    }
    reader.find("third", |got| got.topic == HOT && got.json["seq"] == 3);
    drop(guard);
    reader.find("guard down", |got| {
        got.topic == STATUS && got.json["guard"] == "down"
    });
    let guard = FakeGuard::start(&setup.socket(), 43);
    guard.say(rule_event("hot", "danger", "active", 9.0));
    let alert = reader.find("first of the next", |got| {
        got.json["guard_pid"] == 43 && got.topic == HOT
    });
    assert_eq!(alert.json["seq"], 1);
    drop(relay);
}

#[test]
fn refused_credentials_are_told_and_nothing_is_dropped() {
    let setup = Setup::new();
    let guard = FakeGuard::start(&setup.socket(), 42);
    let refusing = RefusingBroker::start();
    let (relay, notices) = relay(&setup.socket(), refusing);
    guard.say(rule_event("hot", "danger", "active", 1.0));
    let mut text = String::new();
    until("told", || {
        if let Some(Notice::Broker(change)) = notices.next(Duration::from_millis(5)) {
            text = Notice::Broker(change).to_string();
        }
        text.contains("wrong user name or password")
    });
    let farewell = relay.stop();
    assert_eq!(farewell.counts.dropped, 0);
    assert!(
        farewell.undelivered >= 1,
        "what was not delivered is reported"
    );
}

/// Answers every CONNECT with return code 4 (MQTT 3.1.1, 3.2.2.3: bad user name or password).
struct RefusingBroker;

impl RefusingBroker {
    fn start() -> SocketAddr {
        use std::io::{Read, Write};
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let mut connect = [0; 512];
                if stream.read(&mut connect).is_ok_and(|read| read > 0) {
                    let _ = stream.write_all(&[0x20, 2, 0, 4]);
                }
            }
        });
        address
    }
}

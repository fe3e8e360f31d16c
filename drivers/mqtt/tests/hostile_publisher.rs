//! The publisher against brokers that misbehave in one way each.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests")]

mod common;

use common::{Broker, Got, PATIENCE, publisher_config};
use drivers_frame::DurNs;
use drivers_mqtt::limits::IN_FLIGHT_MAX;
use drivers_mqtt::session::{LinkState, PublishError};
use drivers_mqtt::{LinkError, Publisher, Will};
use std::time::{Duration, Instant};

fn wait_for(what: &str, mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !done() {
        assert!(Instant::now() < deadline, "never: {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Topic, DUP and packet id of the next publish; pings are answered on the way.
fn next_publish(peer: &mut common::Peer<std::net::TcpStream>) -> (String, bool, u16) {
    loop {
        match peer.next() {
            Got::Publish { topic, dup, id, .. } => return (topic, dup, id),
            Got::Pingreq => peer.send(drivers_mqtt::codec::pingresp),
            other => panic!("no PUBLISH but {other:?}"),
        }
    }
}

#[test]
fn facts_after_session_present_0_none_of_50_queued_publishes_vanishes() {
    let broker = Broker::new();
    let publisher = Publisher::start(&publisher_config(broker.port())).unwrap();
    let tokens: Vec<_> = (0..50)
        .map(|n| publisher.publish(&format!("t{n}"), b"x", true).unwrap())
        .collect();
    let mut peer = broker.accept_mqtt();
    let mut arrived = Vec::new();
    for n in 0..10 {
        let (topic, dup, id) = next_publish(&mut peer);
        assert!(!dup);
        arrived.push(topic);
        if n < 3 {
            peer.puback(id);
        }
    }
    wait_for("three delivered", || publisher.is_delivered(tokens[2]));
    assert!(!publisher.is_delivered(tokens[3]), "H-76");
    drop(peer);
    // The broker has forgotten everything: session present 0.
    let mut peer = broker.accept_mqtt();
    for n in 0..47 {
        let (topic, dup, id) = next_publish(&mut peer);
        assert_eq!(topic, format!("t{}", n + 3), "H-76: in order");
        assert!(
            dup || n >= 7,
            "H-76: what may have been sent before is marked"
        );
        peer.puback(id);
    }
    assert!(publisher.flush(PATIENCE), "H-76: all 50 are delivered");
    assert!(tokens.iter().all(|token| publisher.is_delivered(*token)));
    let counters = publisher.counters();
    assert_eq!((counters.accepted, counters.delivered), (50, 50));
    assert_eq!(publisher.shutdown(PATIENCE), 0);
    assert_eq!(peer.next(), Got::Disconnect);
}

#[test]
fn nothing_more_than_the_window_is_in_flight() {
    let broker = Broker::new();
    let publisher = Publisher::start(&publisher_config(broker.port())).unwrap();
    for _ in 0..40 {
        publisher.publish("t", b"x", false).unwrap();
    }
    let mut peer = broker.accept_mqtt();
    let ids: Vec<u16> = (0..IN_FLIGHT_MAX)
        .map(|_| next_publish(&mut peer).2)
        .collect();
    assert_eq!(publisher.counters().sent, 16);
    peer.puback(ids[4]);
    next_publish(&mut peer);
    wait_for("one more", || publisher.counters().sent == 17);
}

#[test]
fn facts_a_puback_that_never_comes_ends_the_link_and_the_publish_is_sent_again() {
    let broker = Broker::new();
    let mut config = publisher_config(broker.port());
    config.ack_timeout = DurNs::from_ms(300);
    let publisher = Publisher::start(&config).unwrap();
    let token = publisher.publish("alert", b"x", false).unwrap();
    let mut peer = broker.accept_mqtt();
    let (_, dup, first) = next_publish(&mut peer);
    assert!(!dup);
    assert_eq!(peer.next(), Got::Closed, "H-76: given up");
    assert!(!publisher.is_delivered(token), "H-76");
    let mut peer = broker.accept_mqtt();
    assert_eq!(next_publish(&mut peer), ("alert".into(), true, first));
    peer.puback(first);
    assert!(publisher.flush(PATIENCE));
    assert_eq!(
        publisher.counters().last_error,
        Some(LinkError::PubackOverdue)
    );
}

#[test]
fn a_puback_for_an_unknown_id_delivers_nothing() {
    let broker = Broker::new();
    let publisher = Publisher::start(&publisher_config(broker.port())).unwrap();
    let token = publisher.publish("alert", b"x", false).unwrap();
    let mut peer = broker.accept_mqtt();
    let (_, _, id) = next_publish(&mut peer);
    peer.puback(id + 1);
    wait_for("counted", || publisher.counters().puback_unknown == 1);
    assert!(!publisher.is_delivered(token), "H-76");
    peer.puback(id);
    peer.puback(id);
    assert!(publisher.flush(PATIENCE));
    wait_for("counted again", || publisher.counters().puback_unknown == 2);
    assert_eq!(publisher.counters().delivered, 1);
    assert_eq!(publisher.counters().downs, 0, "the link lives on");
}

#[test]
fn facts_a_broker_that_stops_reading_holds_neither_caller_nor_link() {
    let broker = Broker::new();
    let mut config = publisher_config(broker.port());
    config.broker.keep_alive = DurNs::from_ms(1_000);
    let publisher = Publisher::start(&config).unwrap();
    let peer = broker.accept_mqtt();
    // The window alone would fit into the kernel's buffers; the outbox does not wait for it.
    let payload = vec![7; 60_000];
    let mut taken = 0_u64;
    let refused = loop {
        match publisher.publish("big", &payload, false) {
            Ok(_) => taken += 1,
            Err(error) => break error,
        }
    };
    assert!(
        matches!(refused, PublishError::BytesFull { .. }),
        "H-77: {refused}"
    );
    wait_for("the link was given up", || publisher.counters().downs == 1);
    assert_eq!(publisher.counters().progress_timeouts, 1, "H-23");
    drop(peer);
    let mut peer = broker.accept_mqtt();
    for _ in 0..taken {
        let (_, _, id) = next_publish(&mut peer);
        peer.puback(id);
    }
    assert!(publisher.flush(PATIENCE), "H-76");
    assert_eq!(publisher.counters().delivered, taken);
}

#[test]
fn alerts_wait_for_a_broker_that_is_not_there_yet() {
    let port = Broker::new().port();
    let publisher = Publisher::start(&publisher_config(port)).unwrap();
    let token = publisher.publish("early", b"x", false).unwrap();
    wait_for("some attempts", || {
        publisher.counters().connect_failures >= 2
    });
    assert!(!publisher.flush(Duration::from_millis(1)), "H-76");
    let broker = Broker::on(port);
    let mut peer = broker.accept_mqtt();
    let (topic, dup, id) = next_publish(&mut peer);
    assert_eq!((topic.as_str(), dup), ("early", false));
    peer.puback(id);
    assert!(publisher.flush(PATIENCE));
    assert!(publisher.is_delivered(token));
    // And what comes later does not wait for a timer.
    publisher.publish("late", b"y", true).unwrap();
    let Got::Publish { retain, id, .. } = peer.next() else {
        panic!("no PUBLISH")
    };
    assert!(retain);
    peer.puback(id);
    assert!(publisher.flush(PATIENCE));
}

#[test]
fn the_will_goes_with_connect_and_an_orderly_end_says_disconnect() {
    let broker = Broker::new();
    let mut config = publisher_config(broker.port());
    config.will = Some(Will {
        topic: "tripline/alive".into(),
        payload: b"0".to_vec(),
        qos: 1,
        retain: true,
    });
    let publisher = Publisher::start(&config).unwrap();
    let mut peer = broker.accept();
    let Got::Connect { will, .. } = peer.welcome() else {
        panic!("no CONNECT")
    };
    assert_eq!(
        will,
        Some(("tripline/alive".into(), b"0".to_vec(), true)),
        "H-76"
    );
    wait_for("up", || matches!(publisher.state(), LinkState::Up { .. }));
    publisher.publish("t", b"x", false).unwrap();
    next_publish(&mut peer);
    assert_eq!(
        publisher.shutdown(Duration::from_millis(50)),
        1,
        "what was not acknowledged is said"
    );
    assert_eq!(peer.next(), Got::Disconnect);
}

#[test]
fn a_message_that_nobody_subscribed_to_is_a_protocol_error() {
    let broker = Broker::new();
    let publisher = Publisher::start(&publisher_config(broker.port())).unwrap();
    let mut peer = broker.accept_mqtt();
    peer.value("uninvited", "1");
    assert_eq!(peer.next(), Got::Closed);
    wait_for("counted", || publisher.counters().protocol_errors == 1);
}

#[test]
fn two_threads_may_publish_at_once() {
    let broker = Broker::new();
    let publisher = Publisher::start(&publisher_config(broker.port())).unwrap();
    std::thread::scope(|scope| {
        for name in ["a", "b"] {
            let publisher = &publisher;
            scope.spawn(move || {
                for _ in 0..200 {
                    publisher.publish(name, b"x", false).unwrap();
                }
            });
        }
        let mut peer = broker.accept_mqtt();
        for _ in 0..400 {
            let (_, _, id) = next_publish(&mut peer);
            peer.puback(id);
        }
        assert!(publisher.flush(PATIENCE));
    });
    assert_eq!(publisher.counters().delivered, 400);
}

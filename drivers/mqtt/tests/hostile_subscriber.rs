//! The subscriber against brokers that misbehave in one way each.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests")]

mod common;

use common::{Broker, Got, PATIENCE, Running, Sink, broker_config, number, subscriber_config};
use drivers_frame::{Cause, DurNs, Quality, TagId};
use drivers_mqtt::codec::{self, Connack, ConnectRefusal, Grant, Kind, ProtocolError};
use drivers_mqtt::transport::monotonic_now;
use drivers_mqtt::{Driver, LinkChange, LinkError, Secret, Step};
use std::io::Write;
use std::time::{Duration, Instant};

fn value(frame: &[drivers_frame::Sample]) -> f64 {
    assert_eq!(frame.len(), 1);
    assert_eq!(frame[0].quality, Quality::Good);
    frame[0].value
}

fn same(a: f64, b: f64) -> bool {
    a.to_bits() == b.to_bits()
}

#[test]
fn values_arrive_with_their_time_and_qos1_is_acknowledged() {
    let broker = Broker::new();
    let mut config = subscriber_config(broker.port(), &["a", "b"]);
    config.broker.username = Some("user".into());
    config.broker.password = Some(Secret::new(*b"secret"));
    let running = Running::start(&config);
    let mut peer = broker.accept();
    assert_eq!(
        peer.welcome(),
        Got::Connect {
            client_id: "tripline-test".into(),
            clean_session: true,
            keep_alive_s: 30,
            will: None,
            username: Some("user".into()),
            password: Some(b"secret".to_vec()),
        }
    );
    peer.grant();
    assert_eq!(running.change(), LinkChange::Up);
    let before = monotonic_now();
    peer.publish("b", b" 12.5\n", Some(9), false, false);
    let frame = running.frame();
    assert!(same(value(&frame), 12.5));
    assert_eq!(frame[0].tag, TagId(2));
    assert!(
        frame[0].at >= before && frame[0].at <= monotonic_now(),
        "H-24"
    );
    assert_eq!(peer.next(), Got::Puback(9));
    let counters = running.finish();
    assert_eq!(peer.next(), Got::Disconnect);
    assert_eq!(
        (counters.frames, counters.messages, counters.ups),
        (1, 1, 1)
    );
}

#[test]
fn puback_goes_out_after_the_frame_was_handed_over_not_before() {
    let broker = Broker::new();
    let mut driver = Driver::new(&subscriber_config(broker.port(), &["a"])).unwrap();
    let (sender, frames) = std::sync::mpsc::channel();
    let mut sink = Sink(Some(sender));
    let clock = monotonic_now;
    let deadline = Instant::now() + PATIENCE;
    // A thread plays the broker, so that this one can step.
    let peer = std::thread::spawn(move || {
        let mut peer = broker.accept_subscriber();
        peer.publish("a", b"1", Some(5), false, false);
        peer
    });
    while driver.step(&clock, &mut sink) != Step::Frame {
        assert!(Instant::now() < deadline);
    }
    assert_eq!(frames.try_iter().count(), 1);
    let mut peer = peer.join().unwrap();
    peer.stream
        .set_read_timeout(Some(Duration::from_millis(50)))
        .unwrap();
    let early = std::io::Read::read(&mut peer.stream, &mut [0]);
    assert!(early.is_err(), "nothing was sent before the next step");
    peer.stream.set_read_timeout(Some(PATIENCE)).unwrap();
    driver.step(&clock, &mut sink);
    assert_eq!(peer.next(), Got::Puback(5));
}

#[test]
fn every_connack_refusal_is_typed_and_tried_again_after_a_back_off() {
    let broker = Broker::new();
    let running = Running::start(&subscriber_config(broker.port(), &["a"]));
    for code in 1..=5 {
        let refusal = ConnectRefusal::from_code(code);
        let mut peer = broker.accept();
        assert!(matches!(peer.next(), Got::Connect { .. }));
        let refused = Connack {
            session_present: false,
            refusal,
        };
        peer.send(|buffer| codec::connack(buffer, refused));
        let expected = LinkError::Refused(refusal.unwrap());
        assert_eq!(running.change(), LinkChange::AttemptFailed(expected));
    }
    broker.accept_subscriber().value("a", "1");
    assert_eq!(running.change(), LinkChange::Up);
    running.frame();
    let counters = running.finish();
    assert_eq!((counters.connack_refused, counters.ups), (5, 1));
}

#[test]
fn a_broker_that_never_answers_is_given_up_at_every_stage() {
    let broker = Broker::new();
    let mut config = subscriber_config(broker.port(), &["a"]);
    config.broker.connect_timeout = DurNs::from_ms(1_000);
    let running = Running::start(&config);
    let silent = broker.accept();
    assert_eq!(
        running.change(),
        LinkChange::AttemptFailed(LinkError::ConnackTimeout),
        "H-23"
    );
    drop(silent);
    let half = broker.accept_mqtt();
    assert_eq!(
        running.change(),
        LinkChange::AttemptFailed(LinkError::SubackTimeout),
        "H-22"
    );
    drop(half);
    assert_eq!(running.finish().progress_timeouts, 2);
}

#[test]
fn facts_failed_suback_is_a_failed_link_and_not_a_log_line() {
    let broker = Broker::new();
    let running = Running::start(&subscriber_config(broker.port(), &["a", "b"]));
    for _ in 0..2 {
        let mut peer = broker.accept_mqtt();
        assert!(matches!(peer.next(), Got::Subscribe(1, topics) if topics.len() == 2));
        peer.send(|b| {
            codec::suback(
                b,
                common::packet_id(1),
                &[Grant::Granted(1), Grant::Refused],
            )
        });
        assert_eq!(
            running.change(),
            LinkChange::AttemptFailed(LinkError::SubscriptionRefused(1)),
            "H-22"
        );
        peer.until_closed();
    }
    let counters = running.finish();
    assert_eq!(
        (counters.suback_refused, counters.ups),
        (2, 0),
        "H-22: never up"
    );
}

#[test]
fn a_retained_old_value_is_never_taken_as_fresh() {
    let broker = Broker::new();
    let running = Running::start(&subscriber_config(broker.port(), &["a"]));
    let mut peer = broker.accept_subscriber();
    peer.publish("a", b"99", Some(1), true, false);
    peer.publish("a", b"98", Some(2), false, true);
    peer.value("a", "1");
    assert!(same(value(&running.frame()), 1.0), "H-18");
    assert_eq!(peer.next(), Got::Puback(1));
    assert_eq!(peer.next(), Got::Puback(2));
    let counters = running.finish();
    assert_eq!(counters.dropped_retained, 1, "H-18");
    assert_eq!(counters.dropped_duplicate, 1, "H-18");
    assert_eq!(counters.frames, 1);
}

/// Sends bytes to a link that is up, and says why it went down.
fn down_after(bytes: &[u8]) -> LinkError {
    let broker = Broker::new();
    let running = Running::start(&subscriber_config(broker.port(), &["a"]));
    let mut peer = broker.accept_subscriber();
    assert_eq!(running.change(), LinkChange::Up);
    peer.raw(bytes);
    let LinkChange::Down(error) = running.change() else {
        panic!("not down")
    };
    peer.until_closed();
    // It recovers.
    broker.accept_subscriber().value("a", "4");
    assert_eq!(running.change(), LinkChange::Up);
    assert!(same(value(&running.frame()), 4.0));
    let counters = running.finish();
    assert_eq!(counters.protocol_errors, 1);
    assert_eq!(
        counters.frames, 1,
        "H-21: nothing of the broken stream was believed"
    );
    error
}

#[test]
fn what_breaks_the_protocol_closes_the_link() {
    for (bytes, error) in [
        (
            &b"\x34\x07\0\x01a\0\x01\x31\x30"[..],
            ProtocolError::Qos2(Kind::Publish),
        ),
        (
            b"\x30\xFF\xFF\xFF\xFF\x01",
            ProtocolError::RemainingLengthMalformed,
        ),
        (b"\x30\x04\0\0\x31\x30", ProtocolError::TopicEmpty),
        (b"\x30\x05\0\x01#\x31\x30", ProtocolError::WildcardInTopic),
        (b"\x32\x06\0\x01a\0\0\x31", ProtocolError::PacketIdZero),
        (b"\xF0\0", ProtocolError::ReservedKind { first: 0xF0 }),
        (b"\xD1\0", ProtocolError::ReservedFlags { first: 0xD1 }),
        (b"\xC0\0", ProtocolError::Unexpected(Kind::Pingreq)),
    ] {
        assert_eq!(down_after(bytes), LinkError::Protocol(error), "H-21");
    }
}

#[test]
fn facts_an_empty_topic_is_a_protocol_error_and_not_a_message() {
    assert_eq!(
        down_after(b"\x30\x03\0\0\x31"),
        LinkError::Protocol(ProtocolError::TopicEmpty)
    );
}

#[test]
fn a_giant_message_makes_its_tags_bad_and_the_link_lives_on() {
    let broker = Broker::new();
    let running = Running::start(&subscriber_config(broker.port(), &["a"]));
    let mut peer = broker.accept_subscriber();
    peer.publish("a", &vec![b'1'; 900_000], Some(3), false, false);
    peer.value("a", "2");
    let bad = running.frame();
    assert_eq!(
        (bad[0].quality, bad[0].cause),
        (Quality::Bad, Cause::Malformed),
        "H-21"
    );
    assert!(same(value(&running.frame()), 2.0));
    assert_eq!(
        peer.next(),
        Got::Puback(3),
        "else the broker's window fills up"
    );
    let counters = running.finish();
    assert_eq!((counters.oversize, counters.ups, counters.downs), (1, 1, 1));
    assert_eq!(counters.last_error, Some(LinkError::Stopped));
}

#[test]
fn a_message_cut_off_by_a_closed_connection_is_no_message() {
    let broker = Broker::new();
    let running = Running::start(&subscriber_config(broker.port(), &["a"]));
    let mut peer = broker.accept_subscriber();
    assert_eq!(running.change(), LinkChange::Up);
    peer.raw(b"\x30\x09\0\x01a12");
    drop(peer);
    assert!(matches!(
        running.change(),
        LinkChange::Down(LinkError::ClosedByBroker | LinkError::Io(_))
    ));
    broker.accept_subscriber().value("a", "3");
    assert!(same(value(&running.frame()), 3.0), "H-21");
    assert_eq!(running.finish().frames, 1);
}

#[test]
fn silence_after_the_ping_ends_the_link() {
    let broker = Broker::new();
    let mut config = subscriber_config(broker.port(), &["a"]);
    config.broker.keep_alive = DurNs::from_ms(3_000);
    let running = Running::start(&config);
    let mut peer = broker.accept_subscriber();
    assert_eq!(running.change(), LinkChange::Up);
    assert_eq!(peer.next(), Got::Pingreq);
    peer.send(codec::pingresp);
    assert_eq!(peer.next(), Got::Pingreq);
    // This one is not answered, nor is anything else sent.
    assert_eq!(
        running.change(),
        LinkChange::Down(LinkError::PingrespOverdue),
        "H-23"
    );
    running.finish();
}

#[test]
fn one_byte_at_a_time_is_no_sign_of_life() {
    let broker = Broker::new();
    let mut config = subscriber_config(broker.port(), &["a"]);
    config.broker.keep_alive = DurNs::from_ms(1_000);
    let running = Running::start(&config);
    let mut peer = broker.accept_subscriber();
    assert_eq!(running.change(), LinkChange::Up);
    peer.raw(b"\x30\x80\x80\x01\0\x01a");
    let deadline = Instant::now() + PATIENCE;
    let down = loop {
        assert!(
            Instant::now() < deadline,
            "H-23: a trickle keeps the link up"
        );
        let _ = peer.stream.write(b"x");
        match running.changes.recv_timeout(Duration::from_millis(20)) {
            Ok(change) => break change,
            Err(_) => continue,
        }
    };
    assert_eq!(
        down,
        LinkChange::Down(LinkError::PingrespOverdue),
        "H-14, H-23"
    );
    running.finish();
}

#[test]
fn facts_a_broker_that_stops_reading_cannot_hold_the_subscriber() {
    let broker = Broker::new();
    let mut config = subscriber_config(broker.port(), &["a"]);
    config.broker.keep_alive = DurNs::from_ms(1_000);
    let running = Running::start(&config);
    let mut peer = broker.accept_subscriber();
    assert_eq!(running.change(), LinkChange::Up);
    // Each message asks for an acknowledgement that is never read.
    let mut message = [0; 32];
    let publish = codec::Publish {
        dup: false,
        retain: false,
        topic: "a",
        packet_id: Some(common::packet_id(1)),
        payload: b"1",
    };
    let length = codec::publish(&mut message, &publish).unwrap();
    let block = message[..length].repeat(1_000);
    let deadline = Instant::now() + PATIENCE;
    let down = loop {
        assert!(
            Instant::now() < deadline,
            "H-23: held by a broker that does not read"
        );
        if let Ok(change) = running.changes.try_recv() {
            break change;
        }
        if peer.stream.write_all(&block).is_err() {
            break running.change();
        }
        while running.frames.try_recv().is_ok() {}
    };
    assert!(
        matches!(
            down,
            LinkChange::Down(LinkError::WriteStalled | LinkError::PingrespOverdue)
        ),
        "H-23: {down:?}"
    );
    // And it comes back.
    drop(peer);
    let mut peer = broker.accept_subscriber();
    assert_eq!(running.change(), LinkChange::Up);
    while running.frames.try_recv().is_ok() {}
    peer.value("a", "5");
    assert!(same(value(&running.frame()), 5.0));
    assert_eq!(running.finish().progress_timeouts, 1);
}

#[test]
fn facts_a_broker_that_throws_out_at_once_is_not_stormed() {
    let broker = Broker::new();
    let running = Running::start(&subscriber_config(broker.port(), &["a"]));
    let end = Instant::now() + Duration::from_secs(2);
    let mut accepted = 0_u32;
    while Instant::now() < end {
        drop(broker.accept_subscriber());
        accepted += 1;
    }
    // Waits of at least 50, 100, 200, 200 ms and so on: a bound on the count, not on the time.
    assert!(
        accepted <= 14,
        "H-23: {accepted} connections in two seconds"
    );
    assert!(accepted >= 2);
    running.finish();
}

#[test]
fn nobody_listening_is_typed_and_retried() {
    let port = Broker::new().port();
    let running = Running::start(&subscriber_config(port, &["a"]));
    for _ in 0..2 {
        assert!(matches!(
            running.change(),
            LinkChange::AttemptFailed(LinkError::Connect(_))
        ));
    }
    let broker = Broker::on(port);
    let mut peer = broker.accept_subscriber();
    while running.change() != LinkChange::Up {}
    peer.value("a", "6");
    assert!(same(value(&running.frame()), 6.0));
    assert!(running.finish().connect_failures >= 2);
}

#[test]
fn a_name_is_resolved_and_one_that_does_not_exist_is_typed() {
    let broker = Broker::new();
    let mut config = subscriber_config(broker.port(), &["a"]);
    config.broker.host = "localhost".into();
    let running = Running::start(&config);
    let mut peer = broker.accept_subscriber();
    peer.value("a", "7");
    assert!(same(value(&running.frame()), 7.0));
    running.finish();
    config.broker.host = "no-such-host.invalid".into();
    let running = Running::start(&config);
    assert_eq!(
        running.change(),
        LinkChange::AttemptFailed(LinkError::NameNotResolved)
    );
    running.finish();
}

#[test]
fn a_full_queue_is_counted_and_does_not_stop_the_driver() {
    let broker = Broker::new();
    let mut driver = Driver::new(&subscriber_config(broker.port(), &["a"])).unwrap();
    let peer = std::thread::spawn(move || {
        let mut peer = broker.accept_subscriber();
        peer.value("a", "1");
        peer.value("a", "2");
        peer
    });
    let deadline = Instant::now() + PATIENCE;
    while driver.counters().queue_full < 2 {
        assert!(Instant::now() < deadline, "H-25");
        driver.step(&monotonic_now, &mut Sink(None));
    }
    assert_eq!(driver.counters().frames, 0, "H-25");
    drop(peer.join().unwrap());
}

#[test]
fn messages_in_one_segment_and_split_over_many_are_the_same() {
    let broker = Broker::new();
    let running = Running::start(&subscriber_config(broker.port(), &["a"]));
    let mut peer = broker.accept_subscriber();
    let mut bytes = Vec::new();
    for n in 0..50 {
        let text = n.to_string();
        bytes.extend([0x30, u8::try_from(3 + text.len()).unwrap(), 0, 1, b'a']);
        bytes.extend(text.as_bytes());
    }
    peer.raw(&bytes);
    for byte in &bytes {
        peer.raw(&[*byte]);
    }
    for n in (0..50).chain(0..50) {
        assert!(same(value(&running.frame()), f64::from(n)));
    }
    running.finish();
}

#[test]
fn several_hundred_topics_need_several_subscribes() {
    let broker = Broker::new();
    let mut config = subscriber_config(broker.port(), &[]);
    config.broker = broker_config(broker.port());
    config.subscriptions = (0..200).map(|n| number(&format!("t/{n}"), n)).collect();
    let running = Running::start(&config);
    let mut peer = broker.accept_mqtt();
    for _ in 0..4 {
        peer.grant();
    }
    assert_eq!(running.change(), LinkChange::Up);
    peer.value("t/199", "8");
    assert_eq!(running.frame()[0].tag, TagId(199));
    running.finish();
}

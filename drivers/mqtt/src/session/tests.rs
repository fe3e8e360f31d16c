//! The state machines in virtual time, against bytes that a broker would send.

use super::*;
use crate::codec::{
    self, Connack, ConnectRefusal, EncodeError, Grant, Kind, Packet, PacketId, ProtocolError,
    Publish, StreamReader,
};
use crate::config::{
    BackoffConfig, BrokerConfig, Extract, Field, PublisherConfig, SubscriberConfig, Subscription,
    Will,
};
use crate::counters::LinkChange;
use crate::limits::{IN_FLIGHT_MAX, OUTBOX_BYTES_MAX, SUBSCRIBE_TOPICS_MAX};
use drivers_frame::{Cause, DeviceId, DurNs, Quality, TagId, ValueCodec, ValueType};
use proptest::prelude::*;
use rt_config::limits::{ALERT_OUTBOX_MAX, MQTT_PACKET_BYTES_MAX};

fn ms(ms: u64) -> MonoNs {
    MonoNs::ZERO.after(DurNs::from_ms(ms))
}

fn broker() -> BrokerConfig {
    BrokerConfig {
        host: "192.0.2.1".into(),
        port: 1883,
        client_id: "c".into(),
        username: None,
        password: None,
        tls: None,
        keep_alive: DurNs::from_ms(10_000),
        connect_timeout: DurNs::from_ms(2_000),
        backoff: BackoffConfig {
            min: DurNs::from_ms(100),
            max: DurNs::from_ms(5_000),
            seed: 42,
        },
    }
}

fn subscriber(topics: &[&str]) -> SubscriberSession {
    let subscription = |(topic, tag): (&&str, u16)| Subscription {
        topic: (*topic).into(),
        qos: 1,
        fields: vec![Field {
            tag: TagId(tag),
            extract: Extract::Number,
            codec: ValueCodec::plain(ValueType::F64),
        }],
        envelope: None,
    };
    SubscriberSession::new(&SubscriberConfig {
        waveforms: Vec::new(),
        device: DeviceId(3),
        broker: broker(),
        subscriptions: topics.iter().zip(0..).map(subscription).collect(),
    })
    .unwrap()
}

fn publisher() -> PublisherSession {
    PublisherSession::new(&PublisherConfig {
        broker: broker(),
        will: Some(Will {
            topic: "gone".into(),
            payload: b"1".to_vec(),
            qos: 1,
            retain: true,
        }),
        ack_timeout: DurNs::from_ms(4_000),
    })
    .unwrap()
}

/// The broker's side: encodes one packet and hands it to the session.
fn give(
    session: &mut impl Session,
    at: MonoNs,
    encode: impl FnOnce(&mut [u8]) -> Result<usize, EncodeError>,
) -> Result<Handled, LinkError> {
    let mut buffer = vec![0; MQTT_PACKET_BYTES_MAX];
    let length = encode(&mut buffer).unwrap();
    let mut reader = StreamReader::new();
    reader.space()[..length].copy_from_slice(&buffer[..length]);
    reader.commit(length);
    let raw = reader.next().unwrap().unwrap();
    session.handle(raw, at)
}

/// Takes what the session wants to send; described packet by packet.
fn taken(session: &mut impl Session, now: MonoNs) -> Vec<String> {
    let bytes = session.link().output().to_vec();
    let wrote = Wrote {
        accepted: bytes.len(),
        progressed: !bytes.is_empty(),
        backlog: false,
    };
    session.link_mut().wrote(now, wrote);
    let mut reader = StreamReader::new();
    let mut rest = &bytes[..];
    let mut seen = Vec::new();
    while !rest.is_empty() {
        let space = reader.space();
        let count = rest.len().min(space.len());
        space[..count].copy_from_slice(&rest[..count]);
        reader.commit(count);
        rest = &rest[count..];
        while let Some(Raw::Packet { first, body }) = reader.next().unwrap() {
            seen.push(match codec::decode(first, body).unwrap() {
                Packet::Publish(p) => format!(
                    "{}{}#{}{}",
                    p.topic,
                    if p.retain { "!" } else { "" },
                    p.packet_id.map_or(0, PacketId::get),
                    if p.dup { "+dup" } else { "" }
                ),
                Packet::Puback(id) => format!("ack{id}"),
                Packet::Subscribe(id, topics) => format!("sub{id}x{}", topics.count()),
                other => format!("{:?}", other.kind()),
            });
        }
    }
    seen
}

fn id(number: u16) -> PacketId {
    PacketId::new(number).unwrap()
}

const ACCEPTED: Connack = Connack {
    session_present: false,
    refusal: None,
};

/// Up to and including CONNACK.
fn connect(session: &mut impl Session, now: MonoNs) -> Result<Handled, LinkError> {
    session.link_mut().begin(now);
    session.link_mut().established(now).unwrap();
    assert_eq!(taken(session, now), ["Connect"]);
    give(session, now, |b| codec::connack(b, ACCEPTED))
}

fn granted(
    session: &mut SubscriberSession,
    now: MonoNs,
    grants: &[Grant],
) -> Result<Handled, LinkError> {
    give(session, now, |b| codec::suback(b, id(1), grants))
}

fn up(topics: &[&str]) -> SubscriberSession {
    let mut session = subscriber(topics);
    connect(&mut session, ms(0)).unwrap();
    taken(&mut session, ms(0));
    let grants = vec![Grant::Granted(1); topics.len()];
    assert_eq!(granted(&mut session, ms(0), &grants), Ok(Handled::Up));
    session
}

fn message(topic: &'static str, payload: &'static [u8]) -> Publish<'static> {
    Publish {
        dup: false,
        retain: false,
        topic,
        packet_id: None,
        payload,
    }
}

#[test]
fn the_states_follow_one_another_and_each_has_its_deadline() {
    let mut session = subscriber(&["a"]);
    assert!(session.link().connect_due(ms(0)));
    session.link_mut().begin(ms(0));
    assert_eq!(
        session.link().state(),
        LinkState::Connecting {
            deadline: ms(2_000)
        }
    );
    assert_eq!(session.tick(ms(1_999)), Ok(()));
    assert_eq!(session.tick(ms(2_000)), Err(LinkError::ConnectTimeout));
    session.link_mut().established(ms(10)).unwrap();
    assert_eq!(
        session.link().state(),
        LinkState::AwaitConnack {
            deadline: ms(2_010)
        }
    );
    taken(&mut session, ms(10));
    assert_eq!(
        session.tick(ms(2_010)),
        Err(LinkError::ConnackTimeout),
        "H-23"
    );
    give(&mut session, ms(20), |b| codec::connack(b, ACCEPTED)).unwrap();
    assert_eq!(
        session.link().state(),
        LinkState::Subscribing {
            deadline: ms(2_020)
        }
    );
    assert_eq!(taken(&mut session, ms(20)), ["sub1x1"]);
    assert_eq!(
        session.tick(ms(2_020)),
        Err(LinkError::SubackTimeout),
        "H-22"
    );
    assert!(!session.link().is_up(), "H-22: not up before SUBACK");
    assert_eq!(
        granted(&mut session, ms(30), &[Grant::Granted(1)]),
        Ok(Handled::Up)
    );
    assert_eq!(session.link_mut().take_change(), Some(LinkChange::Up));
    assert_eq!(session.link_mut().take_change(), None);
}

#[test]
fn every_connack_refusal_is_a_failure_with_its_code() {
    for code in 1..=5 {
        let refusal = ConnectRefusal::from_code(code).unwrap();
        let mut session = subscriber(&["a"]);
        session.link_mut().begin(ms(0));
        session.link_mut().established(ms(0)).unwrap();
        let refused = Connack {
            session_present: false,
            refusal: Some(refusal),
        };
        let error = give(&mut session, ms(1), |b| codec::connack(b, refused)).unwrap_err();
        assert_eq!(error, LinkError::Refused(refusal));
        session.link_mut().fail(ms(1), error);
        assert_eq!(session.link().counters().connack_refused, 1);
        assert!(!session.link().connect_due(ms(1)), "there is a back-off");
    }
}

#[test]
fn a_refused_subscription_fails_the_attempt_and_names_it() {
    // Sorted inside; the index is that of the configuration.
    let mut session = subscriber(&["z", "a", "m"]);
    connect(&mut session, ms(0)).unwrap();
    let grants = [Grant::Granted(1), Grant::Refused, Grant::Granted(1)];
    let error = granted(&mut session, ms(1), &grants).unwrap_err();
    assert_eq!(error, LinkError::SubscriptionRefused(2), "H-22: `m`");
    session.link_mut().fail(ms(1), error);
    assert_eq!(session.link().counters().suback_refused, 1);
    assert_eq!(session.link().counters().ups, 0);
    assert_eq!(
        session.link_mut().take_change(),
        Some(LinkChange::AttemptFailed(error))
    );
}

#[test]
fn a_lower_grant_is_counted_and_a_higher_one_refused() {
    let mut session = subscriber(&["a"]);
    connect(&mut session, ms(0)).unwrap();
    assert_eq!(
        granted(&mut session, ms(1), &[Grant::Granted(0)]),
        Ok(Handled::Up)
    );
    assert_eq!(session.link().counters().qos_lowered, 1);
    let mut session = subscriber(&["a"]);
    connect(&mut session, ms(0)).unwrap();
    assert_eq!(
        granted(&mut session, ms(1), &[Grant::Granted(2)]),
        Err(LinkError::Protocol(ProtocolError::SubackQosRaised))
    );
}

#[test]
fn suback_must_answer_what_was_asked() {
    let fresh = || {
        let mut session = subscriber(&["a", "b"]);
        connect(&mut session, ms(0)).unwrap();
        session
    };
    assert!(matches!(
        granted(&mut fresh(), ms(1), &[Grant::Granted(1)]),
        Err(LinkError::Protocol(ProtocolError::Length { .. }))
    ));
    let wrong = give(&mut fresh(), ms(1), |b| {
        codec::suback(b, id(9), &[Grant::Granted(1); 2])
    });
    assert_eq!(
        wrong,
        Err(LinkError::Protocol(ProtocolError::SubackId {
            expected: 1,
            received: 9
        }))
    );
    let mut session = up(&["a"]);
    assert_eq!(
        granted(&mut session, ms(1), &[Grant::Granted(1)]),
        Err(LinkError::Protocol(ProtocolError::Unexpected(Kind::Suback)))
    );
}

#[test]
fn many_topics_are_asked_for_in_turns_and_all_must_be_granted() {
    let names: Vec<String> = (0..SUBSCRIBE_TOPICS_MAX + 2)
        .map(|n| format!("t{n:04}"))
        .collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut session = subscriber(&names);
    connect(&mut session, ms(0)).unwrap();
    assert_eq!(
        taken(&mut session, ms(0)),
        [format!("sub1x{SUBSCRIBE_TOPICS_MAX}")]
    );
    let first = granted(
        &mut session,
        ms(5),
        &[Grant::Granted(1); SUBSCRIBE_TOPICS_MAX],
    );
    assert_eq!(first, Ok(Handled::Nothing), "H-22: half is not up");
    assert_eq!(taken(&mut session, ms(5)), ["sub2x2"]);
    let second = give(&mut session, ms(6), |b| {
        codec::suback(b, id(2), &[Grant::Granted(1); 2])
    });
    assert_eq!(second, Ok(Handled::Up));
}

#[test]
fn a_message_becomes_a_frame_with_the_time_of_arrival_and_is_acknowledged_after_it() {
    let mut session = up(&["a", "b"]);
    let qos1 = Publish {
        packet_id: Some(id(7)),
        ..message("b", b"21.5")
    };
    let handled = give(&mut session, ms(5), |b| codec::publish(b, &qos1));
    assert_eq!(handled, Ok(Handled::Frame));
    let sample = session.samples()[0];
    assert_eq!(
        (sample.tag, sample.at, sample.quality),
        (TagId(1), ms(5), Quality::Good)
    );
    assert_eq!(sample.value.to_bits(), 21.5_f64.to_bits());
    assert_eq!(taken(&mut session, ms(5)), ["ack7"]);
}

#[test]
fn retained_and_redelivered_messages_are_dropped_counted_and_acknowledged() {
    let mut session = up(&["a"]);
    for (number, retain, dup) in [(1, true, false), (2, false, true), (3, true, true)] {
        let old = Publish {
            retain,
            dup,
            packet_id: Some(id(number)),
            ..message("a", b"1")
        };
        let handled = give(&mut session, ms(5), |b| codec::publish(b, &old));
        assert_eq!(handled, Ok(Handled::Nothing), "H-18");
    }
    assert_eq!(taken(&mut session, ms(5)), ["ack1", "ack2", "ack3"]);
    let counters = session.link().counters();
    assert_eq!(counters.dropped_retained, 2, "H-18");
    assert_eq!(counters.dropped_duplicate, 1, "H-18");
    assert_eq!(counters.messages, 3);
}

#[test]
fn malformed_giant_and_foreign_messages_are_told_apart() {
    let mut session = up(&["a"]);
    let bad = give(&mut session, ms(1), |b| {
        codec::publish(b, &message("a", b"NaN"))
    });
    assert_eq!(bad, Ok(Handled::Frame));
    assert_eq!(session.samples()[0].quality, Quality::Bad, "H-21");
    let foreign = give(&mut session, ms(1), |b| {
        codec::publish(b, &message("other", b"1"))
    });
    assert_eq!(foreign, Ok(Handled::Nothing), "H-20");
    let giant = codec::Oversize {
        topic: "a",
        packet_id: Some(id(5)),
        dup: false,
        retain: false,
        bytes: 1 << 20,
    };
    assert_eq!(
        session.handle(Raw::Oversize(giant), ms(2)),
        Ok(Handled::Frame)
    );
    let sample = session.samples()[0];
    assert_eq!((sample.at, sample.cause), (ms(2), Cause::Malformed), "H-21");
    assert_eq!(taken(&mut session, ms(2)), ["ack5"]);
    let counters = session.link().counters();
    assert_eq!(
        (
            counters.malformed,
            counters.unknown_topic,
            counters.oversize
        ),
        (1, 1, 1)
    );
}

#[test]
fn what_a_broker_must_not_send_ends_the_link() {
    let closed = |handled: Result<Handled, LinkError>, kind| {
        assert_eq!(
            handled,
            Err(LinkError::Protocol(ProtocolError::Unexpected(kind)))
        );
    };
    closed(give(&mut up(&["a"]), ms(1), codec::pingreq), Kind::Pingreq);
    closed(
        give(&mut up(&["a"]), ms(1), codec::disconnect),
        Kind::Disconnect,
    );
    closed(
        give(&mut up(&["a"]), ms(1), |b| codec::connack(b, ACCEPTED)),
        Kind::Connack,
    );
    closed(
        give(&mut up(&["a"]), ms(1), |b| codec::puback(b, id(1))),
        Kind::Puback,
    );
    let mut early = subscriber(&["a"]);
    early.link_mut().begin(ms(0));
    early.link_mut().established(ms(0)).unwrap();
    closed(
        give(&mut early, ms(1), |b| {
            codec::publish(b, &message("a", b"1"))
        }),
        Kind::Publish,
    );
    let present = Connack {
        session_present: true,
        refusal: None,
    };
    assert_eq!(
        give(&mut early, ms(1), |b| codec::connack(b, present)),
        Err(LinkError::Protocol(ProtocolError::SessionPresent))
    );
}

#[test]
fn keep_alive_pings_after_half_and_gives_up_after_another_half() {
    let mut session = up(&["a"]);
    assert_eq!(session.deadline(), ms(5_000));
    session.tick(ms(4_999)).unwrap();
    assert_eq!(taken(&mut session, ms(4_999)), [""; 0]);
    session.tick(ms(5_000)).unwrap();
    assert_eq!(taken(&mut session, ms(5_000)), ["Pingreq"]);
    assert_eq!(session.deadline(), ms(10_000));
    give(&mut session, ms(5_100), codec::pingresp).unwrap();
    assert_eq!(session.deadline(), ms(10_000));
    session.tick(ms(10_000)).unwrap();
    assert_eq!(taken(&mut session, ms(10_000)), ["Pingreq"]);
    assert_eq!(
        session.tick(ms(15_000)),
        Err(LinkError::PingrespOverdue),
        "H-23"
    );
    assert_eq!(session.link().counters().pings, 2);
}

#[test]
fn messages_without_pingresp_do_not_hide_a_dead_ping() {
    let mut session = up(&["a"]);
    session.tick(ms(5_000)).unwrap();
    taken(&mut session, ms(5_000));
    for at in (5_100..10_000).step_by(100) {
        give(&mut session, ms(at), |b| {
            codec::publish(b, &message("a", b"1"))
        })
        .unwrap();
        session.tick(ms(at)).unwrap();
    }
    assert_eq!(
        session.tick(ms(10_000)),
        Err(LinkError::PingrespOverdue),
        "H-23"
    );
}

#[test]
fn a_link_on_which_only_we_talk_is_tested_too() {
    let mut session = up(&["a"]);
    for at in (100..=4_900).step_by(100) {
        session
            .link_mut()
            .queue(ms(at), |b| codec::puback(b, id(1)))
            .unwrap();
        taken(&mut session, ms(at));
        session.tick(ms(at)).unwrap();
    }
    session.tick(ms(5_000)).unwrap();
    assert_eq!(taken(&mut session, ms(5_000)), ["Pingreq"]);
}

#[test]
fn silence_of_one_and_a_half_keep_alives_ends_the_link_even_if_no_ping_was_sent() {
    // The thread did not run in between: a suspended host.
    let mut session = up(&["a"]);
    assert_eq!(session.tick(ms(15_000)), Err(LinkError::Silent), "H-23");
}

#[test]
fn a_broker_that_stops_reading_is_given_up() {
    let mut session = up(&["a"]);
    let qos1 = Publish {
        packet_id: Some(id(7)),
        ..message("a", b"1")
    };
    give(&mut session, ms(1_000), |b| codec::publish(b, &qos1)).unwrap();
    session.link_mut().wrote(ms(1_500), Wrote::default());
    assert_eq!(session.tick(ms(5_999)), Ok(()));
    assert_eq!(
        session.tick(ms(6_000)),
        Err(LinkError::WriteStalled),
        "H-23"
    );
    // A byte is progress, and so is the other end of a TLS record.
    let byte = Wrote {
        accepted: 1,
        progressed: true,
        backlog: false,
    };
    session.link_mut().wrote(ms(6_000), byte);
    assert_eq!(session.tick(ms(6_000)), Ok(()));
    let tls = Wrote {
        accepted: 3,
        progressed: false,
        backlog: true,
    };
    session.link_mut().wrote(ms(7_000), tls);
    assert_eq!(
        session.tick(ms(11_000)),
        Err(LinkError::WriteStalled),
        "H-23"
    );
}

#[test]
fn acknowledgements_that_do_not_fit_end_the_link_instead_of_growing() {
    let mut session = up(&["a"]);
    let qos1 = Publish {
        packet_id: Some(id(7)),
        ..message("a", b"1")
    };
    let error =
        (0..100_000).find_map(|_| give(&mut session, ms(1), |b| codec::publish(b, &qos1)).err());
    assert_eq!(error, Some(LinkError::WriteStalled), "H-23");
}

#[test]
fn a_broker_that_accepts_and_throws_out_meets_a_growing_back_off() {
    let mut session = subscriber(&["a"]);
    let mut now = ms(0);
    let mut attempts = 0;
    while now < ms(60_000) {
        assert!(session.link().connect_due(now));
        connect(&mut session, now).unwrap();
        granted(&mut session, now, &[Grant::Granted(1)]).unwrap();
        session.link_mut().fail(now, LinkError::ClosedByBroker);
        attempts += 1;
        now = session.deadline();
    }
    assert!(attempts < 30, "H-23: {attempts} attempts in a minute");
    assert_eq!(session.link().counters().downs, attempts);
    // A link that has lasted resets it.
    connect(&mut session, now).unwrap();
    granted(&mut session, now, &[Grant::Granted(1)]).unwrap();
    let later = now.after(DurNs::from_ms(5_000));
    session.link_mut().fail(later, LinkError::ClosedByBroker);
    assert!(session.deadline() <= later.after(DurNs::from_ms(100)));
}

#[test]
fn nothing_is_delivered_before_its_own_puback() {
    let mut session = publisher();
    let tokens: Vec<PacketToken> = ["a", "b", "c"]
        .map(|topic| session.publish(topic, b"x", topic == "b").unwrap())
        .to_vec();
    assert_eq!(connect(&mut session, ms(0)), Ok(Handled::Up));
    assert_eq!(taken(&mut session, ms(0)), ["a#1", "b!#2", "c#3"]);
    assert!(
        tokens.iter().all(|token| !session.is_delivered(*token)),
        "H-76"
    );
    let second = give(&mut session, ms(1), |b| codec::puback(b, id(2)));
    assert_eq!(second, Ok(Handled::Delivered(tokens[1])));
    let delivered: Vec<bool> = tokens.iter().map(|t| session.is_delivered(*t)).collect();
    assert_eq!(delivered, [false, true, false], "H-76: only its own");
    assert!(!session.is_delivered(PacketToken(99)));
}

#[test]
fn after_session_present_0_every_unacknowledged_publish_is_sent_again_in_order() {
    let mut session = publisher();
    for n in 0..50 {
        session.publish(&format!("t{n}"), b"x", false).unwrap();
    }
    connect(&mut session, ms(0)).unwrap();
    assert_eq!(taken(&mut session, ms(0)).len(), IN_FLIGHT_MAX);
    give(&mut session, ms(1), |b| codec::puback(b, id(3))).unwrap();
    assert_eq!(taken(&mut session, ms(1)), ["t16#17"]);
    session.link_mut().fail(ms(2), LinkError::ClosedByBroker);
    connect(&mut session, ms(5_000)).unwrap();
    let again = taken(&mut session, ms(5_000));
    assert_eq!(again.len(), IN_FLIGHT_MAX);
    assert_eq!(again[..3], ["t0#1+dup", "t1#2+dup", "t3#4+dup"], "H-76");
    assert_eq!(again[15], "t16#17+dup");
    // All fifty arrive.
    let mut next = again;
    let mut seen = Vec::new();
    while !next.is_empty() {
        for sent in std::mem::take(&mut next) {
            let (topic, number) = sent.trim_end_matches("+dup").split_once('#').unwrap();
            seen.push(topic.to_owned());
            let number = id(number.parse().unwrap());
            give(&mut session, ms(5_001), |b| codec::puback(b, number)).unwrap();
        }
        next = taken(&mut session, ms(5_001));
    }
    let expected: Vec<String> = (0..50)
        .filter(|n| *n != 2)
        .map(|n| format!("t{n}"))
        .collect();
    assert_eq!(seen, expected, "H-76: nothing lost, in order");
    assert_eq!(session.waiting(), 0);
}

#[test]
fn a_missing_puback_ends_the_link_and_an_unknown_one_delivers_nothing() {
    let mut session = publisher();
    let token = session.publish("a", b"x", false).unwrap();
    connect(&mut session, ms(0)).unwrap();
    taken(&mut session, ms(0));
    let unknown = give(&mut session, ms(1), |b| codec::puback(b, id(500)));
    assert_eq!(unknown, Ok(Handled::Nothing));
    assert_eq!(session.link().counters().puback_unknown, 1);
    assert!(!session.is_delivered(token), "H-76");
    assert_eq!(session.deadline(), ms(4_000));
    assert_eq!(
        session.tick(ms(4_000)),
        Err(LinkError::PubackOverdue),
        "H-76"
    );
}

#[test]
fn the_outbox_is_bounded_by_count_and_by_bytes() {
    let mut session = publisher();
    for _ in 0..ALERT_OUTBOX_MAX {
        session.publish("a", b"", false).unwrap();
    }
    assert_eq!(
        session.publish("a", b"", false),
        Err(PublishError::Full {
            waiting: ALERT_OUTBOX_MAX
        }),
        "H-77"
    );
    let mut session = publisher();
    let large = vec![0; MQTT_PACKET_BYTES_MAX - 100];
    let error = std::iter::from_fn(|| Some(session.publish("a", &large, false)))
        .take(ALERT_OUTBOX_MAX)
        .find_map(Result::err);
    assert!(
        matches!(error, Some(PublishError::BytesFull { waiting }) if waiting <= OUTBOX_BYTES_MAX),
        "H-77"
    );
    assert_eq!(session.link().counters().outbox_full, 1);
    // And the largest that was taken can be sent.
    connect(&mut session, ms(0)).unwrap();
    assert_eq!(taken(&mut session, ms(0)), ["a#1"]);
}

#[test]
fn a_publish_that_cannot_be_sent_is_refused_at_once() {
    let mut session = publisher();
    assert!(matches!(
        session.publish("a/+", b"", false),
        Err(PublishError::Topic(ProtocolError::WildcardInTopic))
    ));
    assert!(matches!(
        session.publish("a", &vec![0; MQTT_PACKET_BYTES_MAX], false),
        Err(PublishError::TooLarge { .. })
    ));
    assert_eq!(session.waiting(), 0);
}

#[test]
fn packet_ids_wrap_around_those_in_flight() {
    let mut session = publisher();
    session.publish("first", b"", false).unwrap();
    connect(&mut session, ms(0)).unwrap();
    assert_eq!(taken(&mut session, ms(0)), ["first#1"]);
    for n in 0..70_000_u32 {
        session.publish("t", b"", false).unwrap();
        session.tick(ms(1)).unwrap();
        let sent = taken(&mut session, ms(1));
        let number: u16 = sent[0].trim_start_matches("t#").parse().unwrap();
        assert_ne!(
            number, 1,
            "round {n}: the id of the first is still in flight"
        );
        give(&mut session, ms(1), |b| codec::puback(b, id(number))).unwrap();
    }
    assert_eq!(session.waiting(), 1);
}

#[test]
fn leaving_in_order_says_disconnect() {
    let mut session = publisher();
    session.link_mut().leave(ms(0));
    assert_eq!(taken(&mut session, ms(0)), [""; 0]);
    connect(&mut session, ms(0)).unwrap();
    session.link_mut().leave(ms(1));
    assert_eq!(taken(&mut session, ms(1)), ["Disconnect"]);
}

proptest! {
    #[test]
    fn no_packet_in_any_state_panics_or_brings_a_link_up_by_itself(
        state in 0..4_u8, first in any::<u8>(), body in proptest::collection::vec(any::<u8>(), 0..60), later in 0..40_000_u64,
    ) {
        let mut subscriber = subscriber(&["a"]);
        let mut publisher = publisher();
        publisher.publish("a", b"x", true).unwrap();
        for session in [&mut subscriber as &mut dyn Session, &mut publisher] {
            if state > 0 { session.link_mut().begin(ms(0)); }
            if state > 1 { session.link_mut().established(ms(0)).unwrap(); }
            let raw = Raw::Packet { first, body: &body };
            let handled = session.handle(raw, ms(1));
            let accepted = state > 1 && first == 0x20 && body == [0, 0];
            prop_assert!(accepted || !session.link().is_up(), "{handled:?}");
            let _ = session.tick(ms(later));
            prop_assert!(session.deadline() > MonoNs::ZERO || state == 0);
        }
    }

    #[test]
    fn whatever_breaks_when_no_accepted_publish_is_lost_or_out_of_order(
        steps in proptest::collection::vec((0..6_u8, 1..5_u16), 1..120),
    ) {
        let mut session = publisher();
        let mut now = 0_u64;
        let mut accepted = Vec::new();
        let mut first_arrivals: Vec<String> = Vec::new();
        let mut wire: std::collections::VecDeque<(String, u16)> = std::collections::VecDeque::new();
        let mut drain = |session: &mut PublisherSession, now: u64, wire: &mut std::collections::VecDeque<(String, u16)>| {
            for sent in taken(session, ms(now)) {
                let Some((topic, number)) = sent.trim_end_matches("+dup").split_once('#') else { continue };
                if !first_arrivals.iter().any(|seen| seen == topic) { first_arrivals.push(topic.to_owned()); }
                wire.push_back((topic.to_owned(), number.parse().unwrap()));
            }
        };
        for (what, count) in steps {
            now += 1;
            match what {
                0 | 1 => for _ in 0..count {
                    let topic = format!("t{}", accepted.len());
                    session.publish(&topic, b"x", false).unwrap();
                    accepted.push(topic);
                },
                2 | 3 => for _ in 0..count {
                    if session.link().is_up() && let Some((_, number)) = wire.pop_front() {
                        give(&mut session, ms(now), |b| codec::puback(b, id(number))).unwrap();
                    }
                },
                4 => {
                    if session.link().is_up() { session.link_mut().fail(ms(now), LinkError::ClosedByBroker); }
                    wire.clear();
                }
                _ => if !session.link().is_up() {
                    now = session.deadline().as_ns() / 1_000_000 + 1;
                    connect(&mut session, ms(now)).unwrap();
                },
            }
            session.tick(ms(now)).unwrap();
            drain(&mut session, now, &mut wire);
        }
        // Then the broker behaves.
        if !session.link().is_up() {
            now = now.max(session.deadline().as_ns() / 1_000_000) + 1;
            connect(&mut session, ms(now)).unwrap();
        }
        drain(&mut session, now, &mut wire);
        while let Some((_, number)) = wire.pop_front() {
            give(&mut session, ms(now), |b| codec::puback(b, id(number))).unwrap();
            session.tick(ms(now)).unwrap();
            drain(&mut session, now, &mut wire);
        }
        prop_assert_eq!(session.waiting(), 0, "H-76");
        prop_assert_eq!(first_arrivals, accepted, "H-76");
    }
}

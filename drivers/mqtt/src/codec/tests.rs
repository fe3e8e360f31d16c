//! Round trips, refusals, and splits of the codec.

use super::*;
use proptest::prelude::*;
use rt_config::limits::{MQTT_PACKET_BYTES_MAX, MQTT_TOPIC_BYTES_MAX};

fn id(number: u16) -> PacketId {
    PacketId::new(number).unwrap()
}

/// Encodes into a buffer, reads it back through a reader, and decodes it.
fn through(
    encode: impl FnOnce(&mut [u8]) -> Result<usize, EncodeError>,
    check: impl FnOnce(Packet<'_>),
) {
    let mut buffer = vec![0; MQTT_PACKET_BYTES_MAX];
    let length = encode(&mut buffer).unwrap();
    let mut reader = StreamReader::new();
    reader.space()[..length].copy_from_slice(&buffer[..length]);
    reader.commit(length);
    match reader.next().unwrap() {
        Some(Raw::Packet { first, body }) => check(decode(first, body).unwrap()),
        other => panic!("no packet but {other:?}"),
    }
    assert_eq!(reader.next(), Ok(None));
    assert!(!reader.is_mid_packet());
}

#[test]
fn small_packets_are_byte_for_byte_those_of_the_standard() {
    let mut buffer = [0; 64];
    let bytes = |length: Result<usize, EncodeError>| length.unwrap();
    let n = bytes(pingreq(&mut buffer));
    assert_eq!(buffer[..n], [0xC0, 0]);
    let n = bytes(pingresp(&mut buffer));
    assert_eq!(buffer[..n], [0xD0, 0]);
    let n = bytes(disconnect(&mut buffer));
    assert_eq!(buffer[..n], [0xE0, 0]);
    let n = bytes(puback(&mut buffer, id(0x1234)));
    assert_eq!(buffer[..n], [0x40, 2, 0x12, 0x34]);
    // 3.8.3.1, figure 3.21, with QoS 0 in place of the second's 2.
    let topics = [("a/b", QoS::AtLeastOnce), ("c/d", QoS::AtMostOnce)];
    let n = bytes(subscribe(&mut buffer, id(10), topics.into_iter()));
    assert_eq!(
        buffer[..n],
        [
            0x82, 14, 0, 10, 0, 3, b'a', b'/', b'b', 1, 0, 3, b'c', b'/', b'd', 0
        ]
    );
    let message = Publish {
        dup: true,
        retain: true,
        topic: "a/b",
        packet_id: Some(id(10)),
        payload: b"xy",
    };
    let n = bytes(publish(&mut buffer, &message));
    assert_eq!(
        buffer[..n],
        [0x3B, 9, 0, 3, b'a', b'/', b'b', 0, 10, b'x', b'y']
    );
}

#[test]
fn connect_carries_everything() {
    let full = Connect {
        client_id: "gateway",
        clean_session: true,
        keep_alive_s: 30,
        will: Some(WillRef {
            topic: "alive",
            payload: b"0",
            qos: QoS::AtLeastOnce,
            retain: true,
        }),
        username: Some("user"),
        password: Some(b"\0pass"),
    };
    through(
        |buffer| connect(buffer, &full),
        |packet| assert_eq!(packet, Packet::Connect(full)),
    );
    let bare = Connect {
        clean_session: false,
        will: None,
        username: None,
        password: None,
        ..full
    };
    through(
        |buffer| connect(buffer, &bare),
        |packet| assert_eq!(packet, Packet::Connect(bare)),
    );
    let wrong = Connect {
        username: None,
        ..full
    };
    assert_eq!(
        connect(&mut [0; 99], &wrong),
        Err(EncodeError::PasswordWithoutUser)
    );
}

#[test]
fn every_connack_code_is_typed() {
    for code in 0..=255_u8 {
        let decoded = decode(0x20, &[0, code][..]).map(|packet| match packet {
            Packet::Connack(connack) => connack.refusal.map_or(0, ConnectRefusal::code),
            other => panic!("{other:?}"),
        });
        match code {
            0..=5 => assert_eq!(decoded, Ok(code)),
            _ => assert_eq!(decoded, Err(ProtocolError::ConnackCode(code))),
        }
    }
    assert_eq!(decode(0x20, &[2, 0]), Err(ProtocolError::ConnackFlags(2)));
    assert_eq!(
        decode(0x20, &[1, 5]),
        Err(ProtocolError::ConnackFlags(1)),
        "refused means no session (3.2.2.2)"
    );
}

#[test]
fn suback_codes_are_the_four_of_the_standard() {
    for code in 0..=255_u8 {
        let valid = matches!(code, 0..=2 | 0x80);
        assert_eq!(decode(0x90, &[0, 1, code]).is_ok(), valid, "{code:#x}");
    }
    through(
        |buffer| suback(buffer, id(7), &[Grant::Granted(1), Grant::Refused]),
        |packet| assert_eq!(packet, Packet::Suback(id(7), &[1, 0x80])),
    );
}

#[test]
fn reserved_kinds_and_flags_are_refused() {
    for first in 0..=255_u8 {
        let flags = first & 15;
        let valid = match first >> 4 {
            3 => matches!(flags, 0 | 1 | 2 | 3 | 10 | 11),
            6 | 8 | 10 => flags == 2,
            0 | 15 => false,
            _ => flags == 0,
        };
        let mut reader = StreamReader::new();
        reader.space()[0] = first;
        reader.commit(1);
        assert_eq!(reader.next().is_ok(), valid, "{first:#04x}");
    }
    assert_eq!(
        decode(0x34, b"\0\x01a\0\x01"),
        Err(ProtocolError::Qos2(Kind::Publish)),
        "QoS 2 is not spoken"
    );
    assert_eq!(decode(0x36, b"\0\x01a\0\x01"), Err(ProtocolError::Qos3));
    assert_eq!(decode(0x38, b"\0\x01a"), Err(ProtocolError::DupWithQos0));
    assert_eq!(
        decode(0x50, &[0, 1]),
        Err(ProtocolError::Qos2(Kind::Pubrec))
    );
}

#[test]
fn a_fifth_length_byte_is_fatal() {
    let feed = |bytes: &[u8]| {
        let mut reader = StreamReader::new();
        reader.space()[..bytes.len()].copy_from_slice(bytes);
        reader.commit(bytes.len());
        reader.next().map(|raw| raw.is_some())
    };
    assert_eq!(
        feed(&[0x30, 0xFF, 0xFF, 0xFF, 0xFF]),
        Err(ProtocolError::RemainingLengthMalformed),
        "H-21: seen before the fifth byte comes"
    );
    assert_eq!(feed(&[0x30, 0xFF, 0xFF, 0xFF]), Ok(false));
    assert_eq!(feed(&[0x30, 0xFF, 0xFF, 0xFF, 0x7F]), Ok(false));
}

#[test]
fn topics_are_checked() {
    let publish = |topic: &[u8]| {
        let mut body = u16::try_from(topic.len()).unwrap().to_be_bytes().to_vec();
        body.extend_from_slice(topic);
        decode(0x30, &body).map(|_| ())
    };
    assert_eq!(publish(b"a/b"), Ok(()));
    assert_eq!(publish(b""), Err(ProtocolError::TopicEmpty));
    assert_eq!(publish(b"a/+"), Err(ProtocolError::WildcardInTopic));
    assert_eq!(publish(b"#"), Err(ProtocolError::WildcardInTopic));
    assert_eq!(publish(b"a\0"), Err(ProtocolError::NulInString));
    assert_eq!(publish(b"\xFF"), Err(ProtocolError::NotUtf8));
    assert_eq!(publish(b"\xED\xA0\x80"), Err(ProtocolError::NotUtf8));
    assert_eq!(publish(&[b'a'; MQTT_TOPIC_BYTES_MAX]), Ok(()));
    assert!(matches!(
        publish(&[b'a'; MQTT_TOPIC_BYTES_MAX + 1]),
        Err(ProtocolError::TopicTooLong { .. })
    ));
    for filter in ["a", "+", "#", "a/+/b", "a/#", "/", "+/#"] {
        assert_eq!(check_filter(filter), Ok(()), "{filter}");
    }
    for filter in ["a+", "#/a", "a#", "a/#/b", "a/b+"] {
        assert_eq!(
            check_filter(filter),
            Err(ProtocolError::FilterMalformed),
            "{filter}"
        );
    }
}

#[test]
fn lengths_and_packet_ids_must_be_exact() {
    assert_eq!(decode(0x40, &[0, 0]), Err(ProtocolError::PacketIdZero));
    assert_eq!(
        decode(0x32, b"\0\x01a\0\0"),
        Err(ProtocolError::PacketIdZero)
    );
    for (first, body) in [
        (0x40, &[0_u8, 1, 2][..]),
        (0x40, &[1]),
        (0x20, &[0, 0, 0]),
        (0x20, &[0]),
        (0xD0, &[0]),
        (0xE0, &[0]),
        (0x90, &[0, 1]),
        (0x82, &[0, 1]),
        (0x32, b"\0\x01a\0"),
        (0x30, b"\0\x05a"),
    ] {
        assert!(
            matches!(decode(first, body), Err(ProtocolError::Length { .. })),
            "{first:#x} {body:?}"
        );
    }
}

/// A QoS 1 message of `payload` bytes.
fn message(topic: &str, payload: usize) -> Vec<u8> {
    let mut bytes = vec![0; payload + topic.len() + 16];
    let packet = Publish {
        dup: false,
        retain: false,
        topic,
        packet_id: Some(id(77)),
        payload: &vec![b'x'; payload],
    };
    let length = publish(&mut bytes, &packet).unwrap();
    bytes.truncate(length);
    bytes
}

/// What a reader makes of `bytes`, received `chunk` bytes at a time.
fn read_all(bytes: &[u8], chunks: &[usize]) -> Result<Vec<String>, ProtocolError> {
    let mut reader = StreamReader::new();
    let mut seen = Vec::new();
    let mut rest = bytes;
    let mut chunks = chunks.iter().copied().cycle();
    loop {
        while let Some(raw) = reader.next()? {
            seen.push(match raw {
                Raw::Packet { first, body } => format!("{first:#x} {}", body.len()),
                Raw::Oversize(oversize) => format!("{oversize:?}"),
            });
        }
        if rest.is_empty() {
            return Ok(seen);
        }
        let space = reader.space();
        assert!(!space.is_empty(), "there is always room for more");
        let count = chunks
            .next()
            .unwrap_or(1)
            .clamp(1, rest.len())
            .min(space.len());
        space[..count].copy_from_slice(&rest[..count]);
        reader.commit(count);
        rest = &rest[count..];
    }
}

#[test]
fn a_giant_packet_is_skipped_and_the_next_one_is_read() {
    let mut bytes = message("giant", 3 * MQTT_PACKET_BYTES_MAX);
    let giant = bytes.len();
    bytes.extend(message("small", 3));
    for chunk in [1, 2, 7, 1_000, MQTT_PACKET_BYTES_MAX] {
        let seen = read_all(&bytes, &[chunk]).unwrap();
        assert_eq!(seen.len(), 2, "H-21: chunks of {chunk}");
        assert!(
            seen[0].contains("giant") && seen[0].contains("77"),
            "{}",
            seen[0]
        );
        assert!(seen[0].contains(&giant.to_string()), "{}", seen[0]);
        assert_eq!(seen[1], "0x32 12");
    }
}

#[test]
fn the_largest_packet_is_kept_and_one_byte_more_is_not() {
    let largest = message("t", MQTT_PACKET_BYTES_MAX - 4 - 5);
    assert_eq!(largest.len(), MQTT_PACKET_BYTES_MAX);
    assert!(read_all(&largest, &[usize::MAX]).unwrap()[0].starts_with("0x32"));
    let larger = message("t", MQTT_PACKET_BYTES_MAX - 4 - 4);
    assert!(read_all(&larger, &[usize::MAX]).unwrap()[0].starts_with("Oversize"));
}

#[test]
fn only_messages_may_be_giant() {
    assert!(matches!(
        read_all(&[0x90, 0xFF, 0xFF, 0xFF, 0x7F], &[1]),
        Err(ProtocolError::Length {
            kind: Kind::Suback,
            ..
        })
    ));
    assert!(matches!(
        read_all(&[0x30, 0xFF, 0xFF, 0xFF, 0x7F, 0xFF, 0xFF, 0, 0], &[1]),
        Err(ProtocolError::TopicTooLong { .. })
    ));
}

prop_compose! {
    fn topic()(text in "[a-zA-Z0-9/é ]{1,40}") -> String { text }
}

proptest! {
    #[test]
    fn publish_round_trips(
        topic in topic(), payload in proptest::collection::vec(any::<u8>(), 0..300),
        number in any::<u16>(), dup in any::<bool>(), retain in any::<bool>(),
    ) {
        let packet_id = PacketId::new(number);
        let sent = Publish { dup: dup && packet_id.is_some(), retain, topic: &topic, packet_id, payload: &payload };
        through(|buffer| publish(buffer, &sent), |packet| assert_eq!(packet, Packet::Publish(sent)));
    }

    #[test]
    fn connect_round_trips(
        client_id in "[a-z0-9]{1,23}", clean_session in any::<bool>(), keep_alive_s in any::<u16>(),
        will in proptest::option::of((topic(), proptest::collection::vec(any::<u8>(), 0..50), any::<bool>(), any::<bool>())),
        username in proptest::option::of("[a-z]{0,20}"), password in proptest::collection::vec(any::<u8>(), 0..50),
    ) {
        let sent = Connect {
            client_id: &client_id, clean_session, keep_alive_s,
            will: will.as_ref().map(|(topic, payload, qos1, retain)| WillRef {
                topic, payload, qos: if *qos1 { QoS::AtLeastOnce } else { QoS::AtMostOnce }, retain: *retain,
            }),
            username: username.as_deref(),
            password: username.as_ref().map(|_| &password[..]),
        };
        through(|buffer| connect(buffer, &sent), |packet| assert_eq!(packet, Packet::Connect(sent)));
    }

    #[test]
    fn subscribe_round_trips(number in 1..=u16::MAX, topics in proptest::collection::vec((topic(), any::<bool>()), 1..20)) {
        let wanted: Vec<(&str, QoS)> = topics.iter()
            .map(|(topic, qos1)| (topic.as_str(), QoS::from_level(u8::from(*qos1)).unwrap())).collect();
        through(
            |buffer| subscribe(buffer, id(number), wanted.iter().copied()),
            |packet| match packet {
                Packet::Subscribe(received, list) => {
                    assert_eq!(received, id(number));
                    assert_eq!(list.collect::<Vec<_>>(), wanted);
                }
                other => panic!("{other:?}"),
            },
        );
    }

    #[test]
    fn a_buffer_that_is_too_small_is_an_error_and_never_a_short_packet(
        topic in topic(), payload in proptest::collection::vec(any::<u8>(), 0..50), room in 0_usize..120,
    ) {
        let packet = Publish { dup: false, retain: false, topic: &topic, packet_id: None, payload: &payload };
        let needed = publish(&mut [0; 200], &packet).unwrap();
        let written = publish(&mut vec![0; room], &packet);
        prop_assert_eq!(written.is_ok(), room >= needed);
    }

    #[test]
    fn arbitrary_bytes_never_panic(first in any::<u8>(), body in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = decode(first, &body);
    }

    #[test]
    fn arbitrary_streams_give_the_same_however_they_are_split(
        bytes in proptest::collection::vec(any::<u8>(), 0..400),
        chunks in proptest::collection::vec(1_usize..50, 1..10),
    ) {
        prop_assert_eq!(read_all(&bytes, &chunks), read_all(&bytes, &[usize::MAX]));
    }

    #[test]
    fn valid_streams_give_the_same_however_they_are_split(
        sizes in proptest::collection::vec(prop_oneof![0_usize..300, Just(70_000), Just(130_000)], 1..5),
        chunks in proptest::collection::vec(1_usize..9_000, 1..10),
    ) {
        let bytes: Vec<u8> = sizes.iter().flat_map(|size| message("a/b", *size)).collect();
        let whole = read_all(&bytes, &[usize::MAX]).unwrap();
        prop_assert_eq!(whole.len(), sizes.len());
        prop_assert_eq!(read_all(&bytes, &chunks).unwrap(), whole);
    }
}

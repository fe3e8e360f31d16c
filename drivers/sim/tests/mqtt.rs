//! The broker and the sensor, met by an independent client.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "helpers of tests, where a panic is the report"
)]

use drivers_sim::plant::{Plant, PlantConfig};
use drivers_sim::{SensorFault, broker};
use rumqttc::{
    AsyncClient, ConnectionError, Event, EventLoop, LastWill, MqttOptions, Packet, Publish, QoS,
};
use std::net::SocketAddr;
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(20);

fn client(id: &str, broker: SocketAddr, will: Option<LastWill>) -> (AsyncClient, EventLoop) {
    let mut options = MqttOptions::new(id, broker.ip().to_string(), broker.port());
    options.set_keep_alive(Duration::from_secs(5));
    if let Some(will) = will {
        options.set_last_will(will);
    }
    AsyncClient::new(options, 100)
}

/// Polls until `pick` takes a packet.
async fn wait<T>(events: &mut EventLoop, mut pick: impl FnMut(&Packet) -> Option<T>) -> T {
    let waiting = async {
        loop {
            if let Event::Incoming(packet) = events.poll().await.unwrap()
                && let Some(found) = pick(&packet)
            {
                return found;
            }
        }
    };
    tokio::time::timeout(PATIENCE, waiting)
        .await
        .expect("waited too long for a packet")
}

fn published(packet: &Packet) -> Option<Publish> {
    match packet {
        Packet::Publish(publish) => Some(publish.clone()),
        _ => None,
    }
}

fn acknowledged(packet: &Packet) -> Option<()> {
    matches!(packet, Packet::PubAck(_)).then_some(())
}

fn subscribed(packet: &Packet) -> Option<Vec<rumqttc::SubscribeReasonCode>> {
    match packet {
        Packet::SubAck(ack) => Some(ack.return_codes.clone()),
        _ => None,
    }
}

#[tokio::test]
async fn qos_1_goes_through_and_retained_messages_wait_for_who_comes_later() {
    let broker = broker::start(0).unwrap();
    let (sender, mut sending) = client("sender", broker.address(), None);
    let (reader, mut reading) = client("reader", broker.address(), None);
    reader
        .subscribe("line/+/state", QoS::AtLeastOnce)
        .await
        .unwrap();
    wait(&mut reading, subscribed).await;
    sender
        .publish("line/1/state", QoS::AtLeastOnce, true, "run")
        .await
        .unwrap();
    wait(&mut sending, acknowledged).await;
    let live = wait(&mut reading, published).await;
    assert_eq!(
        (&live.payload[..], live.qos, live.retain),
        (&b"run"[..], QoS::AtLeastOnce, false)
    );
    assert_eq!(
        broker.retained("line/1/state").as_deref(),
        Some(&b"run"[..])
    );

    let (late, mut arriving) = client("late", broker.address(), None);
    late.subscribe("line/#", QoS::AtMostOnce).await.unwrap();
    let kept = wait(&mut arriving, published).await;
    assert_eq!(
        (&kept.payload[..], kept.qos, kept.retain),
        (&b"run"[..], QoS::AtMostOnce, true)
    );

    sender
        .publish("line/1/state", QoS::AtLeastOnce, true, "")
        .await
        .unwrap();
    wait(&mut sending, acknowledged).await;
    assert_eq!(
        broker.retained("line/1/state"),
        None,
        "an empty payload clears it"
    );
}

#[tokio::test]
async fn a_will_is_published_when_a_client_vanishes_and_not_when_it_says_farewell() {
    let broker = broker::start(0).unwrap();
    let (watcher, mut watching) = client("watcher", broker.address(), None);
    watcher.subscribe("will/#", QoS::AtLeastOnce).await.unwrap();
    wait(&mut watching, subscribed).await;
    let will = |topic| Some(LastWill::new(topic, "gone", QoS::AtLeastOnce, true));
    let connected = |packet: &Packet| matches!(packet, Packet::ConnAck(_)).then_some(());

    let (polite, mut politely) = client("polite", broker.address(), will("will/polite"));
    wait(&mut politely, connected).await;
    polite.disconnect().await.unwrap();
    while politely.poll().await.is_ok() {}

    let (_vanishing, mut vanish) = client("vanishing", broker.address(), will("will/vanishing"));
    wait(&mut vanish, connected).await;
    drop(vanish);
    let message = wait(&mut watching, published).await;
    assert_eq!(
        message.topic, "will/vanishing",
        "the first will, so the polite one had none"
    );
    assert_eq!(
        broker.retained("will/vanishing").as_deref(),
        Some(&b"gone"[..])
    );
    assert_eq!(broker.retained("will/polite"), None);
}

#[tokio::test]
async fn a_second_client_with_the_same_id_takes_over() {
    let broker = broker::start(0).unwrap();
    let (first, mut firstly) = client("twin", broker.address(), None);
    first.subscribe("a", QoS::AtLeastOnce).await.unwrap();
    wait(&mut firstly, subscribed).await;
    let (second, mut secondly) = client("twin", broker.address(), None);
    second.subscribe("a", QoS::AtLeastOnce).await.unwrap();
    wait(&mut secondly, subscribed).await;
    let ended = async { while firstly.poll().await.is_ok() {} };
    tokio::time::timeout(PATIENCE, ended)
        .await
        .expect("the first connection ends");
    assert_eq!(broker.clients(), 1);
}

#[tokio::test]
async fn fifty_clients_all_get_every_message() {
    let broker = broker::start(0).unwrap();
    let mut readers = Vec::new();
    for number in 0..50 {
        let (reader, mut reading) = client(&format!("reader-{number}"), broker.address(), None);
        reader.subscribe("all", QoS::AtLeastOnce).await.unwrap();
        wait(&mut reading, subscribed).await;
        readers.push((reader, reading));
    }
    assert_eq!(broker.clients(), 50);
    let (sender, mut sending) = client("sender", broker.address(), None);
    for number in 0..20 {
        sender
            .publish("all", QoS::AtLeastOnce, false, number.to_string())
            .await
            .unwrap();
        wait(&mut sending, acknowledged).await;
    }
    for (_, reading) in &mut readers {
        for number in 0..20 {
            assert_eq!(wait(reading, published).await.payload, number.to_string());
        }
    }
}

#[tokio::test]
async fn brokers_faults_refused_subscription_swallowed_publish_cut_connections() {
    let broker = broker::start(0).unwrap();
    let (reader, mut reading) = client("reader", broker.address(), None);
    broker.refuse_subscriptions(true);
    reader.subscribe("a", QoS::AtLeastOnce).await.unwrap();
    let codes = wait(&mut reading, subscribed).await;
    assert_eq!(codes, [rumqttc::SubscribeReasonCode::Failure], "H-22");
    broker.refuse_subscriptions(false);
    reader.subscribe("a", QoS::AtLeastOnce).await.unwrap();
    wait(&mut reading, subscribed).await;

    broker.swallow_publishes(true);
    reader
        .publish("a", QoS::AtLeastOnce, true, "lost")
        .await
        .unwrap();
    let nothing =
        tokio::time::timeout(Duration::from_millis(300), wait(&mut reading, published)).await;
    assert!(nothing.is_err(), "H-76");
    assert_eq!(broker.retained("a"), None);

    assert_eq!(broker.drop_clients(), 1);
    let ended = tokio::time::timeout(PATIENCE, async {
        loop {
            if let Err(error) = reading.poll().await {
                return error;
            }
        }
    });
    let error = ended.await.expect("the connection ends");
    assert!(
        matches!(
            error,
            ConnectionError::Io(_) | ConnectionError::MqttState(_)
        ),
        "{error}"
    );
}

#[tokio::test]
async fn the_sensor_publishes_numbers_with_a_rising_sequence_until_it_is_broken() {
    let plant = Plant::start(&PlantConfig::default()).unwrap();
    let (reader, mut reading) = client("reader", plant.broker_address().unwrap(), None);
    reader
        .subscribe("plant/press/bearing/temperature", QoS::AtLeastOnce)
        .await
        .unwrap();
    let mut last = 0;
    for _ in 0..5 {
        let message = wait(&mut reading, published).await;
        let json: serde_json::Value = serde_json::from_slice(&message.payload).unwrap();
        let value = json["value"].as_f64().unwrap();
        assert!((20.0..25.0).contains(&value), "cold: {value}");
        assert_eq!(json["unit"], "degC");
        let seq = json["seq"].as_u64().unwrap();
        assert!(seq > last);
        last = seq;
    }
    plant.set_sensor_fault(SensorFault::NotJson);
    wait(&mut reading, |packet| {
        let publish = published(packet)?;
        serde_json::from_slice::<serde_json::Value>(&publish.payload)
            .is_err()
            .then_some(())
    })
    .await;
    plant.mend();
    // The sensor comes back by itself after its connection was cut (H-17); this client does the same by polling on.
    plant.broker().unwrap().drop_clients();
    let (again, mut reading) = client("again", plant.broker_address().unwrap(), None);
    again
        .subscribe("plant/press/bearing/temperature", QoS::AtLeastOnce)
        .await
        .unwrap();
    wait(&mut reading, published).await;
}

#[tokio::test]
async fn the_demo_pack_names_this_plants_ports() {
    let plant = Plant::start(&PlantConfig::default()).unwrap();
    let pack = plant.demo_pack().unwrap();
    assert!(
        !pack.contains("{{") && !pack.contains("}}"),
        "every marker is filled in"
    );
    for address in [
        plant.address(drivers_sim::plant::StationName::PressIo),
        plant.address(drivers_sim::plant::StationName::Hydraulics),
        plant.broker_address().unwrap(),
    ] {
        assert!(pack.contains(&format!("port: {}\n", address.port())));
    }
}

/// A raw MQTT 5 CONNECT, and bytes that are no MQTT: refused, and the broker lives on.
#[tokio::test]
async fn other_versions_are_refused_by_name_and_garbage_is_cut() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let broker = broker::start(0).unwrap();
    for (bytes, expected) in [
        (
            &b"\x10\x15\x00\x04MQTT\x05\x02\x00\x3c\x05\x11\x00\x00\x00\x1e\x00\x03abc"[..],
            &b"\x20\x02\x00\x01"[..],
        ),
        (&b"\x00\x00 no MQTT"[..], &b""[..]),
    ] {
        let mut stream = tokio::net::TcpStream::connect(broker.address())
            .await
            .unwrap();
        stream.write_all(bytes).await.unwrap();
        let mut answer = Vec::new();
        let read = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut answer)).await;
        // A close with unread bytes in the socket may arrive as a reset; the answer before it counts.
        let _ = read.expect("the broker closes");
        assert_eq!(answer, expected);
    }
    let (reader, mut reading) = client("reader", broker.address(), None);
    reader.subscribe("a", QoS::AtLeastOnce).await.unwrap();
    wait(&mut reading, subscribed).await;
}

/// A client that only listens must still be heard from: what is sent to it does not count.
#[tokio::test]
async fn a_client_that_falls_silent_is_dropped_after_one_and_a_half_keep_alive_times_and_leaves_its_will()
 {
    use tokio::io::AsyncWriteExt;
    let broker = broker::start(0).unwrap();
    let mut quiet = tokio::net::TcpStream::connect(broker.address())
        .await
        .unwrap();
    // CONNECT with a will (topic "w", "x", retained, QoS 0), keep-alive 1 s, client id "q"; SUBSCRIBE to "tick", QoS 0.
    quiet
        .write_all(b"\x10\x13\x00\x04MQTT\x04\x26\x00\x01\x00\x01q\x00\x01w\x00\x01x")
        .await
        .unwrap();
    quiet
        .write_all(b"\x82\x09\x00\x01\x00\x04tick\x00")
        .await
        .unwrap();
    let (sender, mut sending) = client("sender", broker.address(), None);
    tokio::spawn(async move { while sending.poll().await.is_ok() {} });
    let start = std::time::Instant::now();
    while broker.retained("w").is_none() {
        assert!(start.elapsed() < PATIENCE, "the will never came");
        sender
            .publish("tick", QoS::AtMostOnce, false, "t")
            .await
            .unwrap();
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(start.elapsed() >= Duration::from_secs(1));
    assert_eq!(broker.clients(), 1);
}

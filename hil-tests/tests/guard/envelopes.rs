//! Enveloped topics end to end: what happens to the machine when the sensor's place is taken by somebody else.

use std::os::unix::fs::PermissionsExt;
use std::time::{SystemTime, UNIX_EPOCH};

use drivers_frame::DurNs;
use drivers_mqtt::envelope::Sealer;
use drivers_mqtt::{
    BackoffConfig, BrokerConfig, CheckConfig, Publisher, PublisherConfig, read_key_file,
};
use drivers_sim::broker;
use hil_tests::guard::{Guard, wait_until};
use hil_tests::hostile::Device;
use hil_tests::stand::{self, output, refusal, rule, wait_tag};

const TOPIC: &str = "plant/temp";
const SOURCE: &str = "press-7";

/// Who publishes on the sensor's topic in its place, and what the tag says then.
#[derive(Clone, Copy, Debug)]
enum Impostor {
    /// Right name, sequence and time, another key.
    Forger,
    /// The right key, another name: a sensor that was wired to the wrong topic.
    Stranger,
    /// No envelope.
    Plain,
    /// What the sensor last sent, again and again.
    Recorder,
}

const IMPOSTORS: [(Impostor, &str); 4] = [
    (Impostor::Forger, "message that cannot prove its source"),
    (Impostor::Stranger, "message of a foreign source"),
    (Impostor::Plain, "corrupted message"),
    (Impostor::Recorder, "repeated message"),
];

fn publisher(port: u16) -> Publisher {
    Publisher::start(&PublisherConfig {
        broker: BrokerConfig {
            host: "127.0.0.1".into(),
            port,
            client_id: "sensor".into(),
            username: None,
            password: None,
            tls: None,
            keep_alive: DurNs::from_ms(5_000),
            connect_timeout: DurNs::from_ms(5_000),
            backoff: BackoffConfig {
                min: DurNs::from_ms(100),
                max: DurNs::from_ms(200),
                seed: 1,
            },
        },
        will: None,
        ack_timeout: DurNs::from_ms(5_000),
    })
    .unwrap()
}

fn now_ns() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    u64::try_from(since.as_nanos()).unwrap()
}

#[test]
fn h18_h20_h21_a_sensor_whose_place_is_taken_stops_the_machine_with_the_cause() {
    let broker = broker::start(0).unwrap();
    let port = broker.address().port();
    let device = Device::default();
    let folder = tempfile::tempdir().unwrap();
    let key_path = folder.path().join("press-7.key");
    std::fs::write(&key_path, "000102030405060708090a0b0c0d0e0f\n").unwrap();
    std::fs::set_permissions(&key_path, std::fs::Permissions::from_mode(0o600)).unwrap();
    let key = CheckConfig::HmacSha256 {
        key: read_key_file(&key_path).unwrap(),
    };
    let other = CheckConfig::HmacSha256 {
        key: drivers_mqtt::Secret::new([9; 16]),
    };
    let guard = Guard::start(&format!(
        "tripline: 1\n\
         pack: {{ name: envelope-test }}\n\
         lanes:\n  main: {{ wait: park }}\n\
         devices:\n\
         \x20 io:\n    modbus: {{ host: 127.0.0.1, port: {}, poll: 10ms, addressing: zero_based, backoff: {{ min: 20ms, max: 100ms }} }}\n\
         \x20 broker:\n    mqtt: {{ host: 127.0.0.1, port: {port}, keep_alive: 5s, backoff: {{ min: 100ms, max: 200ms }} }}\n\
         tags:\n  temp: {{ device: broker, topic: {TOPIC}, unit: degC, range: [-40, 200], stale_after: 5s, envelope: {{ source: {SOURCE}, check: {{ hmac_sha256: {{ key_file: {} }} }}, max_delay: 5s, budget: {{ errors: 3, within: 500ms }} }} }}\n\
         outputs:\n  run: {{ device: io, coil: 0, refresh: 50ms, confirm_within: 400ms }}\n\
         rules:\n  - {{ id: hot, when: temp > 80 degC, level: danger, stops: [run], deadline: 30s, message: too hot }}\n",
        device.address().port(),
        key_path.display(),
    ));
    wait_until("the guard listens", || {
        stand::device(&guard.status(), "broker").link == "up"
    });
    let publisher = publisher(port);
    let mut sensor = Sealer::new(TOPIC, SOURCE, &key).unwrap();
    let mut last = Vec::new();
    for (impostor, cause) in IMPOSTORS {
        wait_until("the guard is armed", || {
            last = sensor.seal(now_ns(), b"20.5");
            publisher.publish(TOPIC, &last, false).unwrap();
            let _ = guard.reset();
            guard.status().state.permits() && device.coil(0)
        });
        let before = stand::device(&guard.status(), "broker").anomalies;
        // A healthy value, so that nothing but the envelope can tell.
        let mut forger = Sealer::new(TOPIC, SOURCE, &other).unwrap();
        let mut stranger = Sealer::new(TOPIC, "press-8", &key).unwrap();
        wait_until("the machine is stopped", || {
            let message = match impostor {
                Impostor::Forger => forger.seal(now_ns(), b"20.5"),
                Impostor::Stranger => stranger.seal(now_ns(), b"20.5"),
                Impostor::Plain => b"20.5".to_vec(),
                Impostor::Recorder => last.clone(),
            };
            publisher.publish(TOPIC, &message, false).unwrap();
            !device.coil(0)
        });
        let temp = wait_tag(&guard, "temp", |tag| tag.quality == "bad");
        assert_eq!(temp.cause.as_deref(), Some(cause), "H-20: {impostor:?}");
        assert_eq!(temp.value, None, "{impostor:?}");
        let status = guard.status();
        assert_eq!(
            (
                rule(&status, "hot").state.as_str(),
                rule(&status, "hot").cause.as_str()
            ),
            ("active", "bad input"),
            "{impostor:?}"
        );
        let run = output(&status, "run");
        assert_eq!(run.first_out.as_deref(), Some("bad input"), "{impostor:?}");
        assert_eq!(refusal(&guard).0, "rule hot is not clear", "{impostor:?}");
        let after = stand::device(&status, "broker").anomalies;
        assert!(
            after >= before + 4,
            "counted: {impostor:?}, {before} to {after}"
        );
    }
    assert_eq!(guard.status().lane_allocations, 0, "I11");
    assert_eq!(guard.terminate(), Some(0));
}

#[test]
fn h20_a_guard_without_the_key_of_an_envelope_does_not_start() {
    let folder = tempfile::tempdir().unwrap();
    let key = folder.path().join("key");
    std::fs::write(&key, "too short").unwrap();
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o600)).unwrap();
    let yaml = format!(
        "tripline: 1\npack: {{ name: envelope-test }}\ndevices:\n\
         \x20 io:\n    modbus: {{ host: 127.0.0.1, port: 1502, poll: 10ms, addressing: zero_based }}\n\
         \x20 broker:\n    mqtt: {{ host: 127.0.0.1, port: 1883 }}\n\
         tags:\n  temp: {{ device: broker, topic: {TOPIC}, unit: degC, range: [-40, 200], stale_after: 5s, envelope: {{ source: {SOURCE}, check: {{ hmac_sha256: {{ key_file: {} }} }} }} }}\n\
         outputs:\n  run: {{ device: io, coil: 0, refresh: 50ms, confirm_within: 400ms }}\n\
         rules:\n  - {{ id: hot, when: temp > 80 degC, level: danger, stops: [run], deadline: 30s, message: too hot }}\n",
        key.display(),
    );
    let site = hil_tests::guard::Site::new(&hil_tests::packs::bundle(&yaml));
    for (mode, says) in [(0o600, "can be guessed"), (0o644, "chmod o=")] {
        std::fs::set_permissions(&key, std::fs::Permissions::from_mode(mode)).unwrap();
        let output = std::process::Command::new(hil_tests::binaries::guard())
            .args(site.args())
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(5), "{said}");
        assert!(said.contains(says) && said.contains(TOPIC), "{said}");
    }
}

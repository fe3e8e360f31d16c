//! mosquitto: payloads and qualities of service, retained messages, a broker killed and back, passwords, TLS, access
//! lists. The rule reads a tag of the broker; the output is a coil of a Modbus device.

use std::fmt::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use appliance_control::EventBody;
use hil_tests::guard::{Guard, wait_until};
use hil_tests::hostile::Device;
use hil_tests::peers::{self, Mosquitto};
use hil_tests::stand::{self, output, refusal, rule, wait_event, wait_tag};

/// A pack whose rule `hot` reads tag `temp` of topic `plant/temp`. `more` are further keys of the broker, `tags` further
/// tags.
fn pack(device: &Device, port: u16, host: &str, more: &str, tags: &str) -> String {
    let mut yaml = String::new();
    write!(
        yaml,
        "tripline: 1\n\
         pack: {{ name: broker-test }}\n\
         lanes:\n  main: {{ wait: park }}\n\
         devices:\n\
         \x20 io:\n    modbus: {{ host: 127.0.0.1, port: {}, poll: 10ms, addressing: zero_based, backoff: {{ min: 20ms, max: 100ms }} }}\n\
         \x20 broker:\n    mqtt: {{ host: {host}, port: {port}, keep_alive: 5s, backoff: {{ min: 100ms, max: 200ms }}{more} }}\n\
         tags:\n  temp: {{ device: broker, topic: plant/temp, unit: degC, range: [-40, 200], stale_after: 1s }}\n{tags}\
         outputs:\n  run: {{ device: io, coil: 0, refresh: 50ms, confirm_within: 400ms }}\n\
         rules:\n  - {{ id: hot, when: temp > 80 degC, level: danger, stops: [run], deadline: 10s, message: too hot }}\n",
        device.address().port()
    )
    .expect("a string grows");
    yaml
}

/// Publishes a healthy value until the guard is armed: a sensor that speaks five times a second.
fn arm(guard: &Guard, broker: &Mosquitto, device: &Device, credentials: &[&str]) {
    wait_until("the guard is armed", || {
        broker.publish("plant/temp", b"20.5", credentials);
        let _ = guard.reset();
        guard.status().state.permits() && device.coil(0)
    });
}

/// Waits until the broker's link is up: what is published before is nobody's.
fn wait_up(guard: &Guard) {
    wait_until("the link is up", || {
        stand::device(&guard.status(), "broker").link == "up"
    });
}

/// Waits until the machine is stopped because nothing is known of the temperature any more.
fn wait_blind(guard: &Guard, device: &Device) {
    wait_until("the rule has no value and the machine is stopped", || {
        let hot = rule(&guard.status(), "hot");
        hot.state == "active" && hot.cause == "bad input" && !device.coil(0)
    });
    assert_eq!(stand::tag(guard, "temp").quality, "stale");
    assert_eq!(refusal(guard).0, "rule hot is not clear");
}

#[test]
fn a_value_over_the_limit_stops_the_machine() {
    let Some(broker) = Mosquitto::start("allow_anonymous true") else {
        return;
    };
    let device = Device::default();
    let guard = Guard::start(&pack(&device, broker.port(), "127.0.0.1", "", ""));
    wait_up(&guard);
    for quality_of_service in ["0", "1"] {
        arm(&guard, &broker, &device, &[]);
        broker.publish("plant/temp", b"80.5", &["-q", quality_of_service]);
        wait_until("the machine is stopped", || !device.coil(0));
        let run = output(&guard.status(), "run");
        assert_eq!(run.first_out.as_deref(), Some("condition"));
    }
    assert_eq!(guard.status().lane_allocations, 0, "I11");
    assert_eq!(guard.terminate(), Some(0));
}

#[test]
fn h21_numbers_json_and_binary_are_read_and_rubbish_is_bad() {
    let Some(broker) = Mosquitto::start("allow_anonymous true") else {
        return;
    };
    let device = Device::default();
    let mut tags = String::new();
    for qos in [0, 1] {
        for (name, payload) in [
            ("number", "payload: number".to_owned()),
            ("json", "payload: { json: /data/0/value }".to_owned()),
            ("path", "payload: { json: \"$.data[0].value\" }".to_owned()),
            (
                "little",
                "payload: { binary: { offset: 2, byte_order: little } }, type: f32".to_owned(),
            ),
            (
                "big",
                "payload: { binary: { offset: 1, byte_order: big } }, type: i32".to_owned(),
            ),
        ] {
            writeln!(
                tags,
                "  {name}_{qos}: {{ device: broker, topic: t/{name}/{qos}, qos: {qos}, {payload}, unit: bar, range: [-1000, 1000], stale_after: 30s }}"
            )
            .expect("a string grows");
        }
    }
    let guard = Guard::start(&pack(&device, broker.port(), "127.0.0.1", "", &tags));
    wait_up(&guard);
    let float = [&[0xAA, 0xBB][..], &(-2.5_f32).to_le_bytes()].concat();
    let whole = [&[0xAA][..], &(-300_i32).to_be_bytes(), &[0xCC]].concat();
    let json = br#"{"id":"x","data":[{"value":12.25,"unit":"bar"},{"value":9}]}"#;
    let right: [(&str, &[u8], f64); 5] = [
        ("number", b"1.5e2", 150.0),
        ("json", json, 12.25),
        ("path", json, 12.25),
        ("little", &float, -2.5),
        ("big", &whole, -300.0),
    ];
    let wrong: [(&str, &[u8]); 10] = [
        ("number", b""),
        ("number", b"NaN"),
        ("number", b"hot"),
        ("number", b"1e999"),
        ("json", b"{\"data\":[]}"),
        ("json", b"{\"data\":[{\"value\":\"12\"}]}"),
        ("path", b"{"),
        ("little", b"\x00\x01\x02"),
        ("little", b"\x00\x00\x00\x00\xC0\x7F"),
        ("big", b""),
    ];
    for qos in ["0", "1"] {
        for (name, payload, value) in right {
            broker.publish(&format!("t/{name}/{qos}"), payload, &["-q", qos]);
            let name = format!("{name}_{qos}");
            let tag = wait_tag(&guard, &name, |tag| tag.quality == "good");
            let read = tag.value.expect("a value");
            assert_eq!(read.to_bits(), value.to_bits(), "{name}: {read}");
        }
        for (name, payload) in wrong {
            let topic = format!("t/{name}/{qos}");
            let tag = format!("{name}_{qos}");
            broker.publish(&topic, payload, &["-q", qos]);
            let bad = wait_tag(&guard, &tag, |tag| tag.quality == "bad");
            assert_eq!(bad.value, None, "{name} {payload:?}");
            let (_, healthy, _) = right
                .into_iter()
                .find(|(known, ..)| *known == name)
                .expect("it is among them");
            broker.publish(&topic, healthy, &["-q", qos]);
            wait_tag(&guard, &tag, |tag| tag.quality == "good");
        }
    }
}

#[test]
fn h18_a_retained_old_value_is_never_taken_for_a_fresh_one() {
    let Some(broker) = Mosquitto::start("allow_anonymous true") else {
        return;
    };
    broker.publish("plant/temp", b"20.0", &["-r", "-q", "1"]);
    let device = Device::default();
    let guard = Guard::start(&pack(&device, broker.port(), "127.0.0.1", "", ""));
    wait_until("the retained message was dropped and counted", || {
        stand::device(&guard.status(), "broker").anomalies >= 1
    });
    wait_blind(&guard, &device);
    assert_eq!(
        stand::tag(&guard, "temp").cause.as_deref(),
        Some("never received")
    );
    // The same value, published now, is one.
    broker.publish("plant/temp", b"20.0", &[]);
    let tag = wait_tag(&guard, "temp", |tag| tag.quality == "good");
    assert_eq!(tag.value, Some(20.0));
}

#[test]
fn h17_h22_a_broker_that_is_killed_blinds_the_rule_and_can_be_reset_when_it_is_back() {
    let Some(mut broker) = Mosquitto::start("allow_anonymous true") else {
        return;
    };
    let device = Device::default();
    let guard = Guard::start(&pack(&device, broker.port(), "127.0.0.1", "", ""));
    for _ in 0..2 {
        wait_up(&guard);
        arm(&guard, &broker, &device, &[]);
        broker.kill();
        wait_blind(&guard, &device);
        let link = stand::device(&guard.status(), "broker");
        assert_ne!(link.link, "up");
        assert!(link.last_error.is_some());
        broker.run();
        wait_up(&guard);
        // Being connected is not knowing: nothing was published yet.
        assert_eq!(stand::tag(&guard, "temp").quality, "stale");
        arm(&guard, &broker, &device, &[]);
    }
    let events = wait_event(
        &guard.socket(),
        "the link went down with a cause",
        |body| matches!(body, EventBody::Link { up: false, cause: Some(_), device } if device == "broker"),
    );
    assert!(!events.is_empty());
    assert_eq!(guard.status().lane_allocations, 0, "I11");
}

#[test]
fn h17_a_sensor_that_falls_silent_blinds_the_rule_though_the_broker_lives() {
    let Some(broker) = Mosquitto::start("allow_anonymous true") else {
        return;
    };
    let device = Device::default();
    let guard = Guard::start(&pack(&device, broker.port(), "127.0.0.1", "", ""));
    wait_up(&guard);
    arm(&guard, &broker, &device, &[]);
    wait_blind(&guard, &device);
    assert_eq!(stand::device(&guard.status(), "broker").link, "up");
    arm(&guard, &broker, &device, &[]);
}

/// Writes a file that only its owner may read.
fn private(path: &Path, content: &str) {
    std::fs::write(path, content).expect("it is written");
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).expect("it is ours");
}

/// A password file for `tripline` with password `correct`, made by mosquitto's own tool.
fn passwords(folder: &Path) -> Option<PathBuf> {
    let tool = peers::require("mosquitto_passwd")?;
    let path = folder.join("passwords");
    let status = Command::new(tool)
        .args(["-c", "-b"])
        .arg(&path)
        .args(["tripline", "correct"])
        .status()
        .expect("it starts");
    assert!(status.success());
    Some(path)
}

#[test]
fn a_password_from_its_file_opens_the_broker_and_a_wrong_one_is_said() {
    let files = tempfile::tempdir().expect("a temporary folder");
    let Some(known) = passwords(files.path()) else {
        return;
    };
    let Some(broker) = Mosquitto::start(&format!(
        "allow_anonymous false\npassword_file {}",
        known.display()
    )) else {
        return;
    };
    let device = Device::default();
    let password = files.path().join("password");
    let more = format!(
        ", username: tripline, password_file: {}",
        password.display()
    );
    let yaml = pack(&device, broker.port(), "127.0.0.1", &more, "");
    let credentials = ["-u", "tripline", "-P", "correct"];
    private(&password, "wrong\n");
    let guard = Guard::start(&yaml);
    wait_until("the refusal is shown", || {
        let broker = stand::device(&guard.status(), "broker");
        let error = broker.last_error.unwrap_or_default();
        broker.link != "up" && (error.contains("not authorised") || error.contains("password"))
    });
    wait_blind(&guard, &device);
    drop(guard);
    private(&password, "correct\n");
    let guard = Guard::start(&yaml);
    wait_up(&guard);
    arm(&guard, &broker, &device, &credentials);
    broker.publish("plant/temp", b"99", &credentials);
    wait_until("the machine is stopped", || !device.coil(0));
}

/// The certificates of the MQTT driver's own tests.
fn certificate(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../drivers/mqtt/tests/tls")
        .join(name)
}

#[test]
fn h20_tls_proves_the_broker_and_a_client_certificate_the_gateway() {
    let config = format!(
        "allow_anonymous true\ncafile {}\ncertfile {}\nkeyfile {}\nrequire_certificate true",
        certificate("ca.pem").display(),
        certificate("server.pem").display(),
        certificate("server.key").display()
    );
    let Some(broker) = Mosquitto::start(&config) else {
        return;
    };
    let folder = tempfile::tempdir().expect("a temporary folder");
    let key = folder.path().join("client.key");
    let text = std::fs::read_to_string(certificate("client.key")).expect("a key");
    private(&key, &text);
    let tls = |ca: &str| {
        format!(
            ", tls: {{ ca_file: {}, cert_file: {}, key_file: {} }}",
            certificate(ca).display(),
            certificate("client.pem").display(),
            key.display()
        )
    };
    let device = Device::default();
    // An authority that we do not trust.
    let guard = Guard::start(&pack(
        &device,
        broker.port(),
        "localhost",
        &tls("other-ca.pem"),
        "",
    ));
    wait_until("the refusal is shown", || {
        let broker = stand::device(&guard.status(), "broker");
        broker.link != "up" && broker.last_error.is_some_and(|error| error.contains("TLS"))
    });
    wait_blind(&guard, &device);
    drop(guard);
    let guard = Guard::start(&pack(
        &device,
        broker.port(),
        "localhost",
        &tls("ca.pem"),
        "",
    ));
    wait_up(&guard);
    let (ca, cert) = (certificate("ca.pem"), certificate("client.pem"));
    let text = |path: &Path| path.to_str().expect("a plain path").to_owned();
    let (ca, cert, key) = (text(&ca), text(&cert), text(&key));
    let client = ["--cafile", &ca, "--cert", &cert, "--key", &key];
    arm(&guard, &broker, &device, &client);
    broker.publish("plant/temp", b"99", &client);
    wait_until("the machine is stopped", || !device.coil(0));
}

#[test]
fn h22_a_subscription_that_the_broker_refuses_is_a_link_that_is_down() {
    // Of mosquitto's own means only this plugin refuses in the SUBACK; its access list file grants and then keeps silent.
    let plugin = [
        "/usr/lib/x86_64-linux-gnu",
        "/usr/lib/aarch64-linux-gnu",
        "/usr/lib",
    ]
    .map(|folder| Path::new(folder).join("mosquitto_dynamic_security.so"))
    .into_iter()
    .find(|path| path.is_file());
    let Some(plugin) = plugin else {
        peers::left_out("mosquitto_dynamic_security.so");
        return;
    };
    let nothing_may_be_subscribed_to = r#"{ "defaultACLAccess": {
        "publishClientSend": true, "publishClientReceive": true, "subscribe": false, "unsubscribe": true
    } }"#;
    let Some(broker) = Mosquitto::start_with(|folder| {
        let rights = folder.join("rights.json");
        private(&rights, nothing_may_be_subscribed_to);
        format!(
            "allow_anonymous true\nplugin {}\nplugin_opt_config_file {}",
            plugin.display(),
            rights.display()
        )
    }) else {
        return;
    };
    let device = Device::default();
    let guard = Guard::start(&pack(&device, broker.port(), "127.0.0.1", "", ""));
    wait_until("the refusal is shown", || {
        let broker = stand::device(&guard.status(), "broker");
        broker.link != "up"
            && broker
                .last_error
                .is_some_and(|error| error.contains("refused subscription"))
    });
    wait_blind(&guard, &device);
    broker.publish("plant/temp", b"20.5", &[]);
    assert_eq!(stand::tag(&guard, "temp").quality, "stale");
}

#[test]
fn h22_an_access_list_that_keeps_silent_is_found_by_freshness() {
    let Some(broker) = Mosquitto::start_with(|folder| {
        let list = folder.join("access");
        private(&list, "topic write plant/#\ntopic readwrite other/#\n");
        format!("allow_anonymous true\nacl_file {}", list.display())
    }) else {
        return;
    };
    let device = Device::default();
    let guard = Guard::start(&pack(&device, broker.port(), "127.0.0.1", "", ""));
    wait_up(&guard);
    broker.publish("plant/temp", b"20.5", &[]);
    wait_blind(&guard, &device);
    assert_eq!(stand::device(&guard.status(), "broker").link, "up");
}

//! A guard that says what a test tells it to, and a reader that is not ours.
#![allow(dead_code, reason = "each test binary uses a part")]

use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use appliance_control::{
    DeviceStatus, Event, EventBody, LaneStatus, OutputProof, OutputStatus, Reply, Request,
    RuleStatus, ShelvedStatus, State, Status,
};
use appliance_desk::message::PackFacts;
use drivers_frame::{DurNs, TagId, ValueCodec, ValueType};
use rules_bundle::{
    AlertPlan, BrokerPlan, DevicePlan, LanePlan, LinkPlan, ModbusPlan, Plan, PointPlan, RulePlan,
    Table, TripGroupPlan, testing,
};
use rules_expr::ir::{Op, Program};

/// Generous: a wait that ends it is a failure, never a measurement.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);
pub(crate) const BUNDLE: &str = "00ff";

/// Waits until `done`, or fails with `what`.
pub(crate) fn until(what: &str, mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !done() {
        assert!(Instant::now() < deadline, "waited in vain: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// One danger rule `hot` that stops `run`, one alert rule `warm`.
pub(crate) fn plan(broker: SocketAddr) -> Plan {
    let rule = |id: &str, stops: &[u16]| RulePlan {
        when: "t > 90".into(),
        deadline: (!stops.is_empty()).then_some(DurNs::from_ms(250)),
        message: format!("It is {id}."),
        tags: vec!["bearing".into()],
        runbook: Some("https://example.com/hot".into()),
        ..testing::rule(
            id,
            vec![Program::new(vec![Op::Slot(0), Op::Const(90.0), Op::Greater]).unwrap()],
            stops,
        )
    };
    let point = PointPlan {
        tag: TagId(0),
        table: Table::Holding,
        address: 0,
        codec: ValueCodec::plain(ValueType::U16),
    };
    let lane = LanePlan {
        devices: vec![DevicePlan {
            name: "io".into(),
            link: LinkPlan::Modbus(ModbusPlan {
                points: vec![point],
                ..testing::modbus()
            }),
        }],
        tags: vec![testing::tag("t", "degC", DurNs::from_ms(1_000))],
        rules: vec![rule("hot", &[0]), rule("warm", &[])],
        outputs: vec![testing::output("run", 0)],
        trip_groups: vec![TripGroupPlan { name: "run".into() }],
        ..testing::lane()
    };
    Plan {
        version: "1.2.3".into(),
        alerts: Some(AlertPlan {
            broker: BrokerPlan {
                host: broker.ip().to_string(),
                port: broker.port(),
                client_id: "desk-test".into(),
                username: None,
                password_file: None,
                tls: None,
                keep_alive: DurNs::from_ms(2_000),
                connect_timeout: DurNs::from_ms(2_000),
                backoff_min: DurNs::from_ms(100),
                backoff_max: DurNs::from_ms(200),
            },
            topic_prefix: "tripline".into(),
        }),
        ..testing::plan(lane)
    }
}

pub(crate) fn facts(plan: &Plan) -> PackFacts {
    PackFacts::new(plan, BUNDLE.into(), "tripline")
}

pub(crate) fn rule_event(rule: &str, level: &str, state: &str, value: f64) -> EventBody {
    EventBody::Rule {
        rule: rule.into(),
        level: level.into(),
        from: "normal".into(),
        state: state.into(),
        cause: "condition".into(),
        tag: Some("t".into()),
        value: Some(value),
        unit: Some("degC".into()),
        quality: Some("good".into()),
        quality_cause: None,
    }
}

struct Inner {
    pid: u32,
    /// Sequence number of the first event kept, minus one.
    forgotten: u64,
    events: Vec<Event>,
    streams: Vec<UnixStream>,
}

/// Speaks the control protocol; a crash closes all its connections.
pub(crate) struct FakeGuard {
    inner: Arc<Mutex<Inner>>,
    socket: PathBuf,
}

impl FakeGuard {
    pub(crate) fn start(socket: &Path, pid: u32) -> Self {
        let listener = UnixListener::bind(socket).unwrap();
        let inner = Arc::new(Mutex::new(Inner {
            pid,
            forgotten: 0,
            events: Vec::new(),
            streams: Vec::new(),
        }));
        let serving = Arc::downgrade(&inner);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (Ok(stream), Some(inner)) = (stream, serving.upgrade()) else {
                    return;
                };
                std::thread::spawn(move || serve(stream, &inner));
            }
        });
        Self {
            inner,
            socket: socket.to_owned(),
        }
    }

    pub(crate) fn say(&self, body: EventBody) -> u64 {
        let mut inner = self.inner.lock().unwrap();
        let seq = inner.forgotten + inner.events.len() as u64 + 1;
        let event = Event {
            seq,
            at_ns: seq * 1_000,
            wall_ns: 1_709_210_096_000_000_000 + seq,
            lane: "main".into(),
            body,
        };
        let mut line = serde_json::to_vec(&event).unwrap();
        line.push(b'\n');
        inner.events.push(event);
        inner
            .streams
            .retain_mut(|stream| stream.write_all(&line).is_ok());
        seq
    }

    /// Forgets all events so far, as a full ring does.
    pub(crate) fn forget(&self) {
        let mut inner = self.inner.lock().unwrap();
        inner.forgotten += inner.events.len() as u64;
        inner.events.clear();
    }

    /// Closes all connections but goes on.
    pub(crate) fn drop_connections(&self) {
        let mut inner = self.inner.lock().unwrap();
        for stream in inner.streams.drain(..) {
            stream.shutdown(std::net::Shutdown::Both).unwrap();
        }
    }

    pub(crate) fn followers(&self) -> usize {
        self.inner.lock().unwrap().streams.len()
    }
}

impl Drop for FakeGuard {
    fn drop(&mut self) {
        self.drop_connections();
        std::fs::remove_file(&self.socket).unwrap();
    }
}

fn serve(stream: UnixStream, inner: &Mutex<Inner>) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut stream = stream;
    let mut line = String::new();
    while reader.read_line(&mut line).is_ok_and(|read| read > 0) {
        let mut inner = inner.lock().unwrap();
        let newest = inner.forgotten + inner.events.len() as u64;
        let mut answer = |reply: &Reply| {
            let mut text = serde_json::to_vec(reply).unwrap();
            text.push(b'\n');
            stream.write_all(&text).is_ok()
        };
        match serde_json::from_str(&line).unwrap() {
            Request::Status {} => {
                answer(&Reply::Status(Box::new(status(&inner, newest))));
            }
            Request::Events { after } => {
                let lost = inner.forgotten.saturating_sub(after);
                answer(&Reply::Events { newest, lost });
                for event in inner.events.iter().filter(|event| event.seq > after) {
                    let mut text = serde_json::to_vec(event).unwrap();
                    text.push(b'\n');
                    stream.write_all(&text).unwrap();
                }
                inner.streams.push(stream.try_clone().unwrap());
            }
            other => panic!("the desk never asks {other:?}"),
        }
        line.clear();
    }
}

fn status(inner: &Inner, newest: u64) -> Status {
    let state_of = |id: &str| {
        let mut states = inner
            .events
            .iter()
            .rev()
            .filter_map(|event| match &event.body {
                EventBody::Rule { rule, state, .. } if rule == id => Some(state.clone()),
                _ => None,
            });
        states.next().unwrap_or_else(|| "normal".into())
    };
    let latched = inner.events.iter().find_map(|event| match &event.body {
        EventBody::Latched { cause, .. } => Some(cause.clone()),
        _ => None,
    });
    let rule = |id: &str, level: &str| RuleStatus {
        id: id.into(),
        level: level.into(),
        state: state_of(id),
        cause: "condition".into(),
        message: format!("It is {id}."),
        multiplied: None,
        inhibited: None,
        bound_ns: None,
        measured_max_ns: None,
    };
    Status {
        state: State::Armed,
        reasons: Vec::new(),
        operators: None,
        shelved: shelved(inner),
        sentinel: None,
        reset_refusal: None,
        degraded: vec!["no real-time scheduling".into()],
        pack: "press".into(),
        version: "1.2.3".into(),
        bundle: BUNDLE.into(),
        pid: inner.pid,
        uptime_ns: 1,
        resident_bytes: None,
        lane_allocations: 0,
        events: newest,
        events_lost: 0,
        lanes: vec![LaneStatus {
            name: "main".into(),
            core: None,
            scheduling: "ordinary".into(),
            wait: "park".into(),
            ticks: 0,
            samples: 0,
            out_of_order: 0,
            frames_lost: 0,
            evaluations: 0,
            comparison_faults: 0,
            window_overruns: 0,
            analyzers: vec![],
            devices: vec![DeviceStatus {
                name: "io".into(),
                kind: "modbus".into(),
                link: "up".into(),
                last_error: None,
                requests: 1,
                replies: 1,
                anomalies: 0,
                connects: 1,
            }],
            rules: vec![rule("hot", "danger"), rule("warm", "alert")],
            votings: Vec::new(),
            bypasses: Vec::new(),
            groups: Vec::new(),
            holds: None,
            outputs: vec![OutputStatus {
                name: "run".into(),
                group: "run".into(),
                permit: if latched.is_some() {
                    "withheld"
                } else {
                    "granted"
                }
                .into(),
                first_out: latched,
                rule: None,
                latched_for_ns: None,
                connected: true,
                confirmed: true,
                proof: OutputProof::default(),
                confirmations: 1,
                failures: 0,
            }],
        }],
    }
}

fn shelved(inner: &Inner) -> Vec<ShelvedStatus> {
    let mut shelved: Vec<ShelvedStatus> = Vec::new();
    for event in &inner.events {
        match event.body.clone() {
            EventBody::Shelved {
                rule,
                by,
                why,
                for_ns,
                until_wall_ns,
            } => shelved.push(ShelvedStatus {
                rule,
                by,
                why,
                until_wall_ns,
                remaining_ns: for_ns,
            }),
            EventBody::Unshelved { rule, .. } => shelved.retain(|shelved| shelved.rule != rule),
            _ => {}
        }
    }
    shelved
}

/// A message as a reader got it.
#[derive(Clone, Debug)]
pub(crate) struct Got {
    pub(crate) topic: String,
    pub(crate) retained: bool,
    pub(crate) json: serde_json::Value,
}

/// Reads everything under `tripline/`.
pub(crate) struct Reader {
    messages: Receiver<Got>,
    kept: Vec<Got>,
    client: rumqttc::Client,
}

impl Reader {
    pub(crate) fn start(broker: SocketAddr) -> Self {
        let id = format!("reader-{:?}", Instant::now());
        let mut options = rumqttc::MqttOptions::new(id, broker.ip().to_string(), broker.port());
        options.set_keep_alive(Duration::from_secs(5));
        let (client, mut connection) = rumqttc::Client::new(options, 64);
        client
            .subscribe("tripline/#", rumqttc::QoS::AtLeastOnce)
            .unwrap();
        let (sender, messages) = channel();
        let (ready, subscribed) = channel();
        std::thread::spawn(move || {
            for notification in connection.iter() {
                match notification {
                    Ok(rumqttc::Event::Incoming(rumqttc::Packet::SubAck(_))) => {
                        let _ = ready.send(());
                    }
                    Ok(rumqttc::Event::Incoming(rumqttc::Packet::Publish(publish))) => {
                        let got = Got {
                            json: serde_json::from_slice(&publish.payload).unwrap(),
                            topic: publish.topic,
                            retained: publish.retain,
                        };
                        if sender.send(got).is_err() {
                            return;
                        }
                    }
                    Ok(_) => {}
                    Err(_) => return,
                }
            }
        });
        subscribed.recv_timeout(PATIENCE).unwrap();
        Self {
            messages,
            kept: Vec::new(),
            client,
        }
    }

    /// The first message, among all so far, for which `found` holds.
    pub(crate) fn find(&mut self, what: &str, found: impl Fn(&Got) -> bool) -> Got {
        let mut result = None;
        until(what, || {
            self.kept.extend(self.messages.try_iter());
            result = self.kept.iter().find(|got| found(got)).cloned();
            result.is_some()
        });
        result.unwrap()
    }

    /// Messages so far on a topic.
    pub(crate) fn on(&mut self, topic: &str) -> Vec<Got> {
        self.kept.extend(self.messages.try_iter());
        self.kept
            .iter()
            .filter(|got| got.topic == topic)
            .cloned()
            .collect()
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        let _ = self.client.disconnect();
    }
}

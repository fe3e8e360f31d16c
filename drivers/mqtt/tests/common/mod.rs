//! A broker that does exactly what a test tells it, and the driver on a thread beside it. The test itself plays the
//! broker, packet by packet, over real sockets.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of tests: each binary uses its own part of them, and a broken promise ends the test"
)]

use drivers_frame::{DeviceId, DurNs, FrameSink, QueueFull, Sample, TagId, ValueCodec, ValueType};
use drivers_mqtt::codec::{self, Connack, EncodeError, Grant, Packet, PacketId, Raw, StreamReader};
use drivers_mqtt::transport::monotonic_now;
use drivers_mqtt::{
    BackoffConfig, BrokerConfig, Counters, Driver, Extract, Field, LinkChange, PublisherConfig,
    SubscriberConfig, Subscription,
};
use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Longer than anything here takes on a slow machine; only a defect waits so long.
pub const PATIENCE: Duration = Duration::from_secs(60);

pub struct Broker(TcpListener);

impl Broker {
    pub fn new() -> Self {
        Self(TcpListener::bind("127.0.0.1:0").unwrap())
    }

    pub fn on(port: u16) -> Self {
        Self(TcpListener::bind(("127.0.0.1", port)).unwrap())
    }

    pub fn port(&self) -> u16 {
        self.0.local_addr().unwrap().port()
    }

    pub fn accept_tcp(&self) -> TcpStream {
        self.0.set_nonblocking(true).unwrap();
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self.0.accept() {
                Ok((stream, _)) => {
                    stream.set_nonblocking(false).unwrap();
                    stream.set_nodelay(true).unwrap();
                    stream.set_read_timeout(Some(PATIENCE)).unwrap();
                    stream.set_write_timeout(Some(PATIENCE)).unwrap();
                    return stream;
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    assert!(Instant::now() < deadline, "nobody connected");
                    std::thread::sleep(Duration::from_millis(2));
                }
                Err(error) => panic!("accept: {error}"),
            }
        }
    }

    pub fn accept(&self) -> Peer<TcpStream> {
        Peer::new(self.accept_tcp())
    }

    /// Accepts and goes through CONNECT and CONNACK.
    pub fn accept_mqtt(&self) -> Peer<TcpStream> {
        let mut peer = self.accept();
        peer.welcome();
        peer
    }

    /// Accepts and grants whatever is subscribed to.
    pub fn accept_subscriber(&self) -> Peer<TcpStream> {
        let mut peer = self.accept_mqtt();
        peer.grant();
        peer
    }
}

/// What the client sent, kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Got {
    Connect {
        client_id: String,
        clean_session: bool,
        keep_alive_s: u16,
        will: Option<(String, Vec<u8>, bool)>,
        username: Option<String>,
        password: Option<Vec<u8>>,
    },
    Publish {
        topic: String,
        payload: Vec<u8>,
        dup: bool,
        retain: bool,
        id: u16,
    },
    Subscribe(u16, Vec<(String, u8)>),
    Puback(u16),
    Pingreq,
    Disconnect,
    /// The connection is closed.
    Closed,
}

pub struct Peer<S> {
    pub stream: S,
    reader: StreamReader,
}

impl<S: Read + Write> Peer<S> {
    pub fn new(stream: S) -> Self {
        Self {
            stream,
            reader: StreamReader::new(),
        }
    }

    /// The next packet from the client.
    pub fn next(&mut self) -> Got {
        loop {
            if let Some(raw) = self.reader.next().unwrap() {
                return match raw {
                    Raw::Packet { first, body } => keep(codec::decode(first, body).unwrap()),
                    Raw::Oversize(oversize) => panic!("the client sent {oversize:?}"),
                };
            }
            match self.stream.read(self.reader.space()) {
                Ok(0) => return Got::Closed,
                Ok(count) => self.reader.commit(count),
                Err(error)
                    if matches!(
                        error.kind(),
                        ErrorKind::ConnectionReset | ErrorKind::UnexpectedEof
                    ) =>
                {
                    return Got::Closed;
                }
                Err(error) => panic!("reading from the client: {error}"),
            }
        }
    }

    /// Reads on until the client closes.
    pub fn until_closed(&mut self) {
        while self.next() != Got::Closed {}
    }

    pub fn raw(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).unwrap();
        self.stream.flush().unwrap();
    }

    pub fn send(&mut self, encode: impl FnOnce(&mut [u8]) -> Result<usize, EncodeError>) {
        let mut buffer = vec![0; 1 << 20];
        let length = encode(&mut buffer).unwrap();
        self.raw(&buffer[..length]);
    }

    pub fn welcome(&mut self) -> Got {
        let connect = self.next();
        assert!(matches!(connect, Got::Connect { .. }), "{connect:?}");
        let accepted = Connack {
            session_present: false,
            refusal: None,
        };
        self.send(|buffer| codec::connack(buffer, accepted));
        connect
    }

    pub fn grant(&mut self) {
        match self.next() {
            Got::Subscribe(id, topics) => {
                let grants: Vec<Grant> = topics.iter().map(|(_, q)| Grant::Granted(*q)).collect();
                self.send(|buffer| codec::suback(buffer, packet_id(id), &grants));
            }
            other => panic!("no SUBSCRIBE but {other:?}"),
        }
    }

    pub fn publish(
        &mut self,
        topic: &str,
        payload: &[u8],
        id: Option<u16>,
        retain: bool,
        dup: bool,
    ) {
        let message = codec::Publish {
            dup,
            retain,
            topic,
            packet_id: id.map(packet_id),
            payload,
        };
        self.send(|buffer| codec::publish(buffer, &message));
    }

    pub fn value(&mut self, topic: &str, payload: &str) {
        self.publish(topic, payload.as_bytes(), None, false, false);
    }

    pub fn puback(&mut self, id: u16) {
        self.send(|buffer| codec::puback(buffer, packet_id(id)));
    }
}

pub fn packet_id(id: u16) -> PacketId {
    PacketId::new(id).unwrap()
}

fn keep(packet: Packet<'_>) -> Got {
    match packet {
        Packet::Connect(connect) => Got::Connect {
            client_id: connect.client_id.into(),
            clean_session: connect.clean_session,
            keep_alive_s: connect.keep_alive_s,
            will: connect
                .will
                .map(|will| (will.topic.into(), will.payload.into(), will.retain)),
            username: connect.username.map(Into::into),
            password: connect.password.map(Into::into),
        },
        Packet::Publish(publish) => Got::Publish {
            topic: publish.topic.into(),
            payload: publish.payload.into(),
            dup: publish.dup,
            retain: publish.retain,
            id: publish.packet_id.map_or(0, PacketId::get),
        },
        Packet::Subscribe(id, topics) => Got::Subscribe(
            id.get(),
            topics
                .map(|(topic, qos)| (topic.into(), qos.level()))
                .collect(),
        ),
        Packet::Puback(id) => Got::Puback(id.get()),
        Packet::Pingreq => Got::Pingreq,
        Packet::Disconnect => Got::Disconnect,
        other => panic!("a client must not send {other:?}"),
    }
}

pub fn broker_config(port: u16) -> BrokerConfig {
    BrokerConfig {
        host: "127.0.0.1".into(),
        port,
        client_id: "tripline-test".into(),
        username: None,
        password: None,
        tls: None,
        keep_alive: DurNs::from_ms(30_000),
        connect_timeout: DurNs::from_ms(20_000),
        backoff: BackoffConfig {
            min: DurNs::from_ms(100),
            max: DurNs::from_ms(400),
            seed: 7,
        },
    }
}

pub fn number(topic: &str, tag: u16) -> Subscription {
    Subscription {
        topic: topic.into(),
        qos: 1,
        fields: vec![Field {
            tag: TagId(tag),
            extract: Extract::Number,
            codec: ValueCodec::plain(ValueType::F64),
        }],
        envelope: None,
    }
}

pub fn subscriber_config(port: u16, topics: &[&str]) -> SubscriberConfig {
    SubscriberConfig {
        waveforms: Vec::new(),
        device: DeviceId(1),
        broker: broker_config(port),
        subscriptions: topics
            .iter()
            .zip(1..)
            .map(|(t, tag)| number(t, tag))
            .collect(),
    }
}

pub fn publisher_config(port: u16) -> PublisherConfig {
    PublisherConfig {
        broker: broker_config(port),
        will: None,
        ack_timeout: DurNs::from_ms(20_000),
    }
}

/// Frames into a channel, or nowhere.
pub struct Sink(pub Option<Sender<Vec<Sample>>>);

impl FrameSink for Sink {
    fn push_frame(&mut self, samples: &[Sample]) -> Result<(), QueueFull> {
        match &self.0 {
            Some(sender) => sender.send(samples.to_vec()).map_err(|_| QueueFull),
            None => Err(QueueFull),
        }
    }
}

/// A driver in its loop.
pub struct Running {
    pub frames: Receiver<Vec<Sample>>,
    pub changes: Receiver<LinkChange>,
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Counters>,
}

impl Running {
    pub fn start(config: &SubscriberConfig) -> Self {
        let (frame_sender, frames) = channel();
        let (change_sender, changes) = channel();
        let stop = Arc::new(AtomicBool::new(false));
        let of_thread = Arc::clone(&stop);
        let mut driver = Driver::new(config).unwrap();
        let thread = std::thread::spawn(move || {
            driver.run(
                &monotonic_now,
                &mut Sink(Some(frame_sender)),
                || {},
                &of_thread,
                |change| {
                    let _ = change_sender.send(change);
                },
            );
            driver.counters()
        });
        Self {
            frames,
            changes,
            stop,
            thread,
        }
    }

    pub fn frame(&self) -> Vec<Sample> {
        self.frames.recv_timeout(PATIENCE).unwrap()
    }

    pub fn change(&self) -> LinkChange {
        self.changes.recv_timeout(PATIENCE).unwrap()
    }

    pub fn finish(self) -> Counters {
        self.stop.store(true, Ordering::Release);
        self.thread.join().unwrap()
    }
}

//! A small MQTT 3.1.1 broker for demonstrations and tests. Not for production: no persistence, no TLS, no access control.
//!
//! Does: QoS 0 and 1 in both directions, retained messages, last will, keep-alive, take-over by the same client id,
//! wildcard subscriptions. Does not: sessions that outlive a connection (`session_present` is always 0), resending,
//! QoS 2 (a subscription is granted QoS 1; a QoS 2 publish ends the connection), MQTT 5 (refused with return code 1).
//! Packets are encoded and decoded by rumqttc's codec, which is not ours.
//!
//! Why not rumqttd 0.20, which was tried first: QoS 1, retained messages and last will work in it. But its router thread
//! can never end (the router holds a sender of its own queue, so the queue never closes: one thread left behind per
//! start); it binds by itself and cannot tell which port it was given for port 0; it unwraps on the paths that handle a
//! client id's second connection; and it brings a web server, a metrics exporter and four configuration formats into the
//! build (about 60 crates).
//!
//! Which thread: its own, `plant-broker`, joined on drop. May it block: no. Worst case: a client that does not read is
//! disconnected when [`BROKER_QUEUE`] messages wait for it. Hazards made here: H-17, H-18, H-22, H-76.

use crate::limits::{
    BROKER_CLIENTS_MAX, BROKER_CONNECT_WITHIN, BROKER_FILTERS_MAX, BROKER_PACKET_BYTES_MAX,
    BROKER_QUEUE, BROKER_RETAINED_MAX,
};
use crate::server::bind;
use crate::worker::Worker;
use rumqttc::mqttbytes::v4::{
    ConnAck, Connect, ConnectReturnCode, LastWill, Packet, PubAck, Publish, SubAck, Subscribe,
    SubscribeReasonCode, UnsubAck,
};
use rumqttc::mqttbytes::{Error as CodecError, QoS, valid_filter, valid_topic};
use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{Notify, mpsc};
use tokio::time::Instant;
// The buffer type of rumqttc's codec; this is the same crate under the name another dependency gives it.
use tokio_modbus::bytes::{Bytes, BytesMut};

/// Why the broker did not start.
#[derive(Debug, thiserror::Error)]
pub enum BrokerError {
    /// The port could not be bound.
    #[error(
        "broker: cannot listen on 127.0.0.1:{port}: {source}. Give another port, or 0 for any free one"
    )]
    Bind {
        /// The port asked for.
        port: u16,
        /// What the system said.
        source: io::Error,
    },
    /// The thread or its runtime could not be made.
    #[error(
        "broker: cannot start its thread: {0}. Check the limits on threads and file descriptors (ulimit -u, -n)"
    )]
    Thread(io::Error),
}

/// A running broker. Dropping it closes every connection and ends its thread; last wills are not published then.
#[derive(Debug)]
pub struct Broker {
    address: SocketAddr,
    hub: Arc<Hub>,
    _worker: Worker,
}

/// Starts a broker on 127.0.0.1. Port 0 takes any free port; see [`Broker::address`].
///
/// # Errors
/// [`BrokerError`]: the port is taken, or no thread could be started.
pub fn start(port: u16) -> Result<Broker, BrokerError> {
    let (listener, address) = bind(port).map_err(|source| BrokerError::Bind { port, source })?;
    let hub = Arc::new(Hub::default());
    let serving = Arc::clone(&hub);
    let worker = Worker::spawn("plant-broker", move || async move {
        if let Ok(listener) = tokio::net::TcpListener::from_std(listener) {
            accept(listener, serving).await;
        }
    })
    .map_err(BrokerError::Thread)?;
    Ok(Broker {
        address,
        hub,
        _worker: worker,
    })
}

impl Broker {
    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// How many clients are connected.
    #[must_use]
    pub fn clients(&self) -> usize {
        self.hub.lock().clients.len()
    }

    /// Cuts every connection without a farewell; wills are published. Returns how many there were.
    pub fn drop_clients(&self) -> usize {
        let state = self.hub.lock();
        for client in state.clients.values() {
            client.cut.notify_one();
        }
        state.clients.len()
    }

    /// Refuses every subscription from now on (SUBACK 0x80), or grants them again (H-22).
    pub fn refuse_subscriptions(&self, refuse: bool) {
        self.hub.lock().refuse_subscriptions = refuse;
    }

    /// Takes publishes but neither acknowledges nor delivers them, or does so again (H-76).
    pub fn swallow_publishes(&self, swallow: bool) {
        self.hub.lock().swallow_publishes = swallow;
    }

    /// The retained message of a topic.
    #[must_use]
    pub fn retained(&self, topic: &str) -> Option<Vec<u8>> {
        let state = self.hub.lock();
        state.retained.get(topic).map(|kept| kept.payload.to_vec())
    }
}

#[derive(Clone, Debug)]
struct Message {
    topic: Arc<str>,
    payload: Bytes,
    /// QoS 1; otherwise QoS 0.
    acknowledged: bool,
    retain: bool,
}

#[derive(Debug)]
struct Client {
    id: String,
    outbox: mpsc::Sender<Message>,
    /// Rung to end the connection: by a take-over, by a full outbox, by [`Broker::drop_clients`].
    cut: Arc<Notify>,
    /// Filter, and whether it was granted QoS 1.
    filters: BTreeMap<String, bool>,
}

#[derive(Debug, Default)]
struct State {
    next_key: u64,
    clients: BTreeMap<u64, Client>,
    retained: BTreeMap<Arc<str>, Message>,
    refuse_subscriptions: bool,
    swallow_publishes: bool,
}

#[derive(Debug, Default)]
struct Hub(Mutex<State>);

impl Hub {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Admits a client; one with the same id is cut (MQTT-3.1.4-2). `None`: there is no room.
    fn admit(&mut self, id: &str, outbox: mpsc::Sender<Message>, cut: Arc<Notify>) -> Option<u64> {
        for other in self.clients.values().filter(|other| other.id == id) {
            other.cut.notify_one();
        }
        if self.clients.len() >= BROKER_CLIENTS_MAX {
            return None;
        }
        let key = self.next_key;
        self.next_key += 1;
        let id = if id.is_empty() {
            format!("anonymous-{key}")
        } else {
            id.to_owned()
        };
        let client = Client {
            id,
            outbox,
            cut,
            filters: BTreeMap::new(),
        };
        self.clients.insert(key, client);
        Some(key)
    }

    /// Keeps a retained message and gives a message to everyone who subscribed to its topic, once each, at the best
    /// QoS among the matching filters (MQTT-3.3.5-1).
    fn publish(&mut self, message: Message) {
        if message.retain {
            if message.payload.is_empty() {
                self.retained.remove(&message.topic);
            } else if self.retained.len() < BROKER_RETAINED_MAX
                || self.retained.contains_key(&message.topic)
            {
                self.retained
                    .insert(Arc::clone(&message.topic), message.clone());
            }
        }
        for client in self.clients.values() {
            let granted = client
                .filters
                .iter()
                .filter(|(filter, _)| matches(filter, &message.topic))
                .map(|(_, acknowledged)| *acknowledged)
                .max();
            if let Some(granted) = granted {
                // To those already subscribed a message goes without its retain flag (MQTT-3.3.1-9).
                client.give(&message, granted, false);
            }
        }
    }

    /// Adds a subscription and sends what is retained for it (MQTT-3.8.4-3, MQTT-3.3.1-8).
    fn subscribe(&mut self, key: u64, filter: &str, asked: QoS) -> SubscribeReasonCode {
        let retained = &self.retained;
        let Some(client) = self.clients.get_mut(&key) else {
            return SubscribeReasonCode::Failure;
        };
        let room = client.filters.len() < BROKER_FILTERS_MAX || client.filters.contains_key(filter);
        if self.refuse_subscriptions || !room || !valid_filter(filter) {
            return SubscribeReasonCode::Failure;
        }
        let acknowledged = asked != QoS::AtMostOnce;
        client.filters.insert(filter.to_owned(), acknowledged);
        for message in retained.values() {
            if matches(filter, &message.topic) {
                client.give(message, acknowledged, true);
            }
        }
        SubscribeReasonCode::Success(qos(acknowledged))
    }
}

impl Client {
    fn give(&self, message: &Message, acknowledged: bool, retain: bool) {
        let copy = Message {
            acknowledged: message.acknowledged && acknowledged,
            retain,
            ..message.clone()
        };
        // A client that does not read must not hold the others' messages in memory.
        if self.outbox.try_send(copy).is_err() {
            self.cut.notify_one();
        }
    }
}

const fn qos(acknowledged: bool) -> QoS {
    if acknowledged {
        QoS::AtLeastOnce
    } else {
        QoS::AtMostOnce
    }
}

/// Whether a topic filter matches a topic name (MQTT 3.1.1, 4.7). Wildcards do not match topics that begin with `$`.
fn matches(filter: &str, topic: &str) -> bool {
    if topic.starts_with('$') && filter.starts_with(['+', '#']) {
        return false;
    }
    let (mut filters, mut levels) = (filter.split('/'), topic.split('/'));
    loop {
        match (filters.next(), levels.next()) {
            (Some("#"), _) | (None, None) => return true,
            (Some("+"), Some(_)) => {}
            (Some(wanted), Some(level)) if wanted == level => {}
            _ => return false,
        }
    }
}

async fn accept(listener: tokio::net::TcpListener, hub: Arc<Hub>) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                let hub = Arc::clone(&hub);
                tokio::spawn(async move { serve(stream, &hub).await });
            }
            // Out of descriptors: wait for some to be free.
            Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
}

/// One connection, from CONNECT to its end.
async fn serve(stream: TcpStream, hub: &Arc<Hub>) {
    if stream.set_nodelay(true).is_err() {
        return;
    }
    let (read, write) = stream.into_split();
    let mut inbound = Inbound {
        read,
        buffer: BytesMut::new(),
    };
    let mut outbound = Outbound {
        write,
        buffer: BytesMut::new(),
        next_id: 0,
    };
    let first = tokio::time::timeout(BROKER_CONNECT_WITHIN, inbound.next()).await;
    let connect = match first {
        Ok(Ok(Packet::Connect(connect))) => connect,
        Ok(Err(End::OtherVersion)) => {
            let refusal = ConnAck::new(ConnectReturnCode::RefusedProtocolVersion, false);
            let _ = outbound.send(&Packet::ConnAck(refusal)).await;
            return;
        }
        _ => return,
    };
    let (outbox, waiting) = mpsc::channel(BROKER_QUEUE);
    let cut = Arc::new(Notify::new());
    let admitted = hub
        .lock()
        .admit(&connect.client_id, outbox, Arc::clone(&cut));
    let Some(key) = admitted else {
        let refusal = ConnAck::new(ConnectReturnCode::ServiceUnavailable, false);
        let _ = outbound.send(&Packet::ConnAck(refusal)).await;
        return;
    };
    let session = Session {
        hub: Arc::clone(hub),
        key,
        will: connect.last_will.clone(),
    };
    session
        .run(&connect, inbound, outbound, waiting, &cut)
        .await;
}

/// Why a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// DISCONNECT: the only end without a last will (MQTT-3.14.4-3).
    Farewell,
    /// The peer closed, or the socket failed.
    Closed,
    /// Nothing came for one and a half keep-alive times (MQTT-3.1.2-24).
    Quiet,
    /// Not MQTT, not allowed here, or too large.
    Violation,
    /// CONNECT with another protocol level.
    OtherVersion,
    /// Cut by the broker.
    Cut,
}

struct Session {
    hub: Arc<Hub>,
    key: u64,
    will: Option<LastWill>,
}

impl Drop for Session {
    /// Also when the runtime ends and the task is cancelled: then nobody is left to read a will.
    fn drop(&mut self) {
        self.hub.lock().clients.remove(&self.key);
    }
}

impl Session {
    async fn run(
        mut self,
        connect: &Connect,
        mut inbound: Inbound,
        mut outbound: Outbound,
        mut waiting: mpsc::Receiver<Message>,
        cut: &Notify,
    ) {
        let keep_alive = Duration::from_secs(u64::from(connect.keep_alive)).mul_f32(1.5);
        let accepted = Packet::ConnAck(ConnAck::new(ConnectReturnCode::Success, false));
        let mut heard = Instant::now();
        let end = match outbound.send(&accepted).await {
            Err(end) => end,
            Ok(()) => loop {
                // Each branch may be dropped half-way without loss: bytes read stay in the buffer, a message taken
                // from the queue is written before the next select.
                let step = tokio::select! {
                    biased;
                    () = cut.notified() => Err(End::Cut),
                    packet = within(heard, keep_alive, inbound.next()) => match packet {
                        Ok(packet) => {
                            heard = Instant::now();
                            self.take(packet, &mut outbound, cut).await
                        }
                        Err(end) => Err(end),
                    },
                    Some(message) = waiting.recv() => outbound.deliver(message, cut).await,
                };
                if let Err(end) = step {
                    break end;
                }
            },
        };
        if end != End::Farewell
            && let Some(will) = self.will.take()
        {
            let mut state = self.hub.lock();
            // Not to itself: this client is gone.
            state.clients.remove(&self.key);
            state.publish(Message {
                topic: will.topic.into(),
                payload: will.message,
                acknowledged: will.qos != QoS::AtMostOnce,
                retain: will.retain,
            });
        }
    }

    async fn take(
        &mut self,
        packet: Packet,
        outbound: &mut Outbound,
        cut: &Notify,
    ) -> Result<(), End> {
        let answer = match packet {
            Packet::Publish(publish) => self.publish(publish)?,
            Packet::Subscribe(subscribe) => Some(self.subscribe(&subscribe)),
            Packet::Unsubscribe(unsubscribe) => {
                let mut state = self.hub.lock();
                if let Some(client) = state.clients.get_mut(&self.key) {
                    for filter in &unsubscribe.topics {
                        client.filters.remove(filter);
                    }
                }
                Some(Packet::UnsubAck(UnsubAck::new(unsubscribe.pkid)))
            }
            Packet::PingReq => Some(Packet::PingResp),
            // Nothing is resent, so nothing waits for an acknowledgement.
            Packet::PubAck(_) => None,
            Packet::Disconnect => return Err(End::Farewell),
            _ => return Err(End::Violation),
        };
        match answer {
            Some(answer) => outbound.send_unless_cut(&answer, cut).await,
            None => Ok(()),
        }
    }

    fn publish(&self, publish: Publish) -> Result<Option<Packet>, End> {
        if publish.qos == QoS::ExactlyOnce
            || publish.topic.is_empty()
            || !valid_topic(&publish.topic)
        {
            return Err(End::Violation);
        }
        let mut state = self.hub.lock();
        if state.swallow_publishes {
            return Ok(None);
        }
        let answer =
            (publish.qos == QoS::AtLeastOnce).then(|| Packet::PubAck(PubAck::new(publish.pkid)));
        state.publish(Message {
            topic: publish.topic.into(),
            payload: publish.payload,
            acknowledged: publish.qos == QoS::AtLeastOnce,
            retain: publish.retain,
        });
        Ok(answer)
    }

    fn subscribe(&self, subscribe: &Subscribe) -> Packet {
        let mut state = self.hub.lock();
        let codes = subscribe
            .filters
            .iter()
            .map(|filter| state.subscribe(self.key, &filter.path, filter.qos))
            .collect();
        Packet::SubAck(SubAck::new(subscribe.pkid, codes))
    }
}

/// Counted from the last packet of the client, not from what was sent to it. A keep-alive of zero: wait for ever
/// (MQTT 3.1.1, 3.1.2.10).
async fn within(
    heard: Instant,
    limit: Duration,
    next: impl Future<Output = Result<Packet, End>>,
) -> Result<Packet, End> {
    if limit.is_zero() {
        return next.await;
    }
    tokio::time::timeout_at(heard + limit, next)
        .await
        .unwrap_or(Err(End::Quiet))
}

struct Inbound {
    read: OwnedReadHalf,
    buffer: BytesMut,
}

impl Inbound {
    /// The next packet. Dropped half-way, it loses nothing.
    async fn next(&mut self) -> Result<Packet, End> {
        loop {
            // The codec takes level 5 for an ordinary CONNECT and then misreads its properties as the client id.
            if protocol_level(&self.buffer).is_some_and(|level| level != 4) {
                return Err(End::OtherVersion);
            }
            match Packet::read(&mut self.buffer, BROKER_PACKET_BYTES_MAX) {
                Ok(packet) => return Ok(packet),
                Err(CodecError::InsufficientBytes(_)) => {}
                Err(_) => return Err(End::Violation),
            }
            match self.read.read_buf(&mut self.buffer).await {
                Ok(0) | Err(_) => return Err(End::Closed),
                Ok(_) => {}
            }
        }
    }
}

/// The protocol level of the CONNECT that `bytes` begin with, as far as it has arrived (MQTT 3.1.1, 3.1.2.2).
fn protocol_level(bytes: &[u8]) -> Option<u8> {
    let rest = bytes.strip_prefix(&[0x10])?;
    // The remaining length has one to four bytes; all but its last have the top bit set.
    let length = rest.iter().take(4).position(|byte| byte & 0x80 == 0)? + 1;
    let (level, _) = rest
        .get(length..)?
        .strip_prefix(b"\x00\x04MQTT")?
        .split_first()?;
    Some(*level)
}

struct Outbound {
    write: OwnedWriteHalf,
    buffer: BytesMut,
    next_id: u16,
}

impl Outbound {
    async fn send(&mut self, packet: &Packet) -> Result<(), End> {
        self.buffer.clear();
        packet
            .write(&mut self.buffer, BROKER_PACKET_BYTES_MAX)
            .map_err(|_| End::Violation)?;
        self.write
            .write_all(&self.buffer)
            .await
            .map_err(|_| End::Closed)
    }

    /// A peer that does not read makes a write wait; it can still be cut.
    async fn send_unless_cut(&mut self, packet: &Packet, cut: &Notify) -> Result<(), End> {
        tokio::select! {
            biased;
            sent = self.send(packet) => sent,
            () = cut.notified() => Err(End::Cut),
        }
    }

    async fn deliver(&mut self, message: Message, cut: &Notify) -> Result<(), End> {
        let mut publish =
            Publish::from_bytes(&*message.topic, qos(message.acknowledged), message.payload);
        publish.retain = message.retain;
        if message.acknowledged {
            // 1 to 65,535; zero is not an identifier (MQTT-2.3.1-1).
            self.next_id = self.next_id.checked_add(1).unwrap_or(1);
            publish.pkid = self.next_id;
        }
        self.send_unless_cut(&Packet::Publish(publish), cut).await
    }
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn filters_match_as_chapter_4_7_says() {
        for (filter, topic, expected) in [
            ("a/b", "a/b", true),
            ("a/b", "a/b/c", false),
            ("a/b/c", "a/b", false),
            ("a/+", "a/b", true),
            ("a/+", "a", false),
            ("a/+", "a/", true),
            ("+/b", "a/b", true),
            ("+", "/a", false),
            ("+/+", "/a", true),
            ("a/#", "a", true),
            ("a/#", "a/b/c", true),
            ("a/#", "ab", false),
            ("#", "a/b", true),
            ("#", "$SYS/x", false),
            ("+/x", "$SYS/x", false),
            ("$SYS/#", "$SYS/x", true),
            ("ä/#", "ä/x", true),
        ] {
            assert_eq!(matches(filter, topic), expected, "{filter} {topic}");
        }
    }
}

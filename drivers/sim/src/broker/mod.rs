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

mod hub;
mod wire;

use crate::limits::{BROKER_CONNECT_WITHIN, BROKER_QUEUE};
use crate::server::bind;
use crate::worker::Worker;
use hub::{Hub, Message};
use rumqttc::mqttbytes::v4::{
    ConnAck, Connect, ConnectReturnCode, LastWill, Packet, PubAck, Publish, SubAck, Subscribe,
    UnsubAck,
};
use rumqttc::mqttbytes::{QoS, valid_topic};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::sync::{Notify, mpsc};
use tokio::time::Instant;
use tokio_modbus::bytes::BytesMut;
use wire::{Inbound, Outbound};

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

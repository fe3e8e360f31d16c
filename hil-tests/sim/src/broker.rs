//! MQTT on both ends: the guard's real subscriber session over a simulated connection, and a broker that speaks to it.

use std::net::{Ipv4Addr, SocketAddr};

use drivers_frame::block::RateCheck;
use drivers_frame::{Clock, DeviceId, FrameSink, MonoNs, Step, WaveformId};
use drivers_modbus::transport::{Connect, Received, Wire};
use drivers_mqtt::codec::{self, Connack, Grant, Packet, PacketId, Publish, Raw, StreamReader};
use drivers_mqtt::envelope::EnvelopeError;
use drivers_mqtt::session::{LinkState, Session, SubscriberSession, Wrote};
use drivers_mqtt::{
    BackoffConfig, BrokerConfig, CheckConfig, EnvelopeConfig, ErrorBudget, Extract, Field,
    LinkError, Secret, SequenceField, SubscriberConfig, Subscription, WaveformSubscription,
};
use rules_bundle::{CheckPlan, EnvelopePlan, MqttPlan, WaveformPlan, WaveformSource};

use crate::net::{SharedNet, SimWire};
use crate::scenario::KEY;

/// The subscriber session with the loop that its transport has in the product (`drivers/mqtt/src/transport/pump.rs`),
/// over a simulated connection and without TLS.
pub struct Subscriber {
    session: SubscriberSession,
    wire: SimWire,
    reader: StreamReader,
    received_at: MonoNs,
    address: SocketAddr,
}

impl Subscriber {
    /// Not connected.
    pub fn new(
        device: usize,
        plan: &MqttPlan,
        waves: &[(WaveformId, &WaveformPlan)],
        net: &SharedNet,
        seed: u64,
    ) -> Self {
        let broker = &plan.broker;
        let config = SubscriberConfig {
            waveforms: waves.iter().filter_map(wave).collect(),
            device: DeviceId(device as u16),
            broker: BrokerConfig {
                host: broker.host.clone(),
                port: broker.port,
                client_id: broker.client_id.clone(),
                username: None,
                password: None,
                tls: None,
                keep_alive: broker.keep_alive,
                connect_timeout: broker.connect_timeout,
                backoff: BackoffConfig {
                    min: broker.backoff_min,
                    max: broker.backoff_max,
                    seed,
                },
            },
            subscriptions: plan
                .subscriptions
                .iter()
                .map(|subscription| Subscription {
                    topic: subscription.topic.clone(),
                    qos: subscription.qos,
                    fields: subscription
                        .fields
                        .iter()
                        .map(|field| Field {
                            tag: field.tag,
                            extract: Extract::Number,
                            codec: field.codec,
                        })
                        .collect(),
                    envelope: subscription.envelope.as_ref().map(envelope),
                })
                .collect(),
        };
        Self {
            session: SubscriberSession::new(&config).expect("a drawn broker is right"),
            wire: SimWire::new(net),
            reader: config
                .block_buffer_bytes()
                .map_or_else(StreamReader::new, StreamReader::for_blocks),
            received_at: MonoNs::ZERO,
            address: SocketAddr::from((Ipv4Addr::LOCALHOST, broker.port)),
        }
    }

    /// Messages dropped because they were retained or redelivered, and errors that envelopes showed.
    pub fn dropped(&self) -> u64 {
        let counters = self.session.link().counters();
        counters.dropped_retained
            + counters.dropped_duplicate
            + self.shown().iter().map(|(_, times)| times).sum::<u64>()
    }

    /// How often each error was shown by an envelope.
    pub fn shown(&self) -> [(EnvelopeError, u64); 8] {
        let counters = &self.session.link().counters().envelope;
        EnvelopeError::ALL.map(|error| (error, counters.of(error)))
    }

    /// Does what is due, without waiting.
    pub fn step(&mut self, clock: &impl Clock, sink: &mut impl FrameSink) -> Step {
        self.advance(clock, sink).unwrap_or_else(|error| {
            self.wire.close();
            self.reader.clear();
            self.session.link_mut().fail(clock.now(), error);
            Step::Progress
        })
    }

    fn idle(&self) -> Step {
        Step::Idle {
            until: self.session.deadline(),
            wants_read: true,
            wants_write: false,
        }
    }

    fn advance(
        &mut self,
        clock: &impl Clock,
        sink: &mut impl FrameSink,
    ) -> Result<Step, LinkError> {
        let now = clock.now();
        match self.session.link().state() {
            LinkState::Disconnected { .. } => {
                if !self.session.link().connect_due(now) {
                    return Ok(self.idle());
                }
                self.session.link_mut().begin(now);
                self.reader.clear();
                self.wire
                    .start(self.address)
                    .map_err(|_| LinkError::ClosedByBroker)?;
                Ok(Step::Progress)
            }
            LinkState::Connecting { .. } => {
                if self
                    .wire
                    .poll_connect()
                    .map_err(|_| LinkError::ClosedByBroker)?
                    == Connect::Up
                {
                    self.session.link_mut().established(now)?;
                    return Ok(Step::Progress);
                }
                self.session.tick(now)?;
                Ok(self.idle())
            }
            _ => self.exchange(clock, sink),
        }
    }

    fn exchange(
        &mut self,
        clock: &impl Clock,
        sink: &mut impl FrameSink,
    ) -> Result<Step, LinkError> {
        if let Some(raw) = self.reader.next().map_err(LinkError::Protocol)? {
            let handled = self.session.handle(raw, self.received_at)?;
            return Ok(self.session.hand_over(handled, &mut self.reader, sink));
        }
        self.session.link_mut().ping_if_due(self.received_at)?;
        let output = self.session.link().output().to_vec();
        if !output.is_empty() {
            let accepted = self
                .wire
                .send(&output)
                .map_err(|_| LinkError::ClosedByBroker)?;
            let wrote = Wrote {
                accepted,
                progressed: accepted > 0,
                backlog: false,
            };
            self.session.link_mut().wrote(clock.now(), wrote);
        }
        match self
            .wire
            .recv(self.reader.space())
            .map_err(|_| LinkError::ClosedByBroker)?
        {
            Received::Bytes(count) => {
                self.received_at = clock.now();
                self.reader.commit(count);
                Ok(Step::Progress)
            }
            Received::Eof => Err(LinkError::ClosedByBroker),
            Received::Empty => {
                self.session.tick(clock.now())?;
                if !self.session.link().output().is_empty() {
                    return Ok(Step::Progress);
                }
                Ok(self.idle())
            }
        }
    }
}

/// How a check is done: simulated keys are in no file.
pub fn check(keyed: bool) -> CheckConfig {
    if keyed {
        CheckConfig::HmacSha256 {
            key: Secret::new(KEY),
        }
    } else {
        CheckConfig::Crc32c
    }
}

fn wave((waveform, plan): &(WaveformId, &WaveformPlan)) -> Option<WaveformSubscription> {
    let WaveformSource::Mqtt {
        topic,
        qos,
        first,
        byte_order,
        sequence,
        envelope: None,
    } = &plan.source
    else {
        return None;
    };
    Some(WaveformSubscription {
        topic: topic.clone(),
        qos: *qos,
        waveform: *waveform,
        sequence: sequence.map(|sequence| SequenceField {
            offset: sequence.at as usize,
            kind: sequence.width,
        }),
        first: *first as usize,
        kind: plan.format,
        order: *byte_order,
        count: plan.samples,
        rate_hz: plan.rate_hz,
        rate_check: RateCheck::Off,
        envelope: None,
    })
}

fn envelope(plan: &EnvelopePlan) -> EnvelopeConfig {
    EnvelopeConfig {
        source: plan.source.clone(),
        check: check(plan.check != CheckPlan::Crc32c),
        max_delay: plan.max_delay,
        budget: ErrorBudget {
            errors: plan.budget.errors,
            within: plan.budget.within,
        },
    }
}

/// What a broker answers to `bytes`, and whether the client is subscribed afterwards.
pub fn answer(inbox: &mut Vec<u8>, bytes: &[u8]) -> (Vec<u8>, bool) {
    inbox.extend_from_slice(bytes);
    let mut reader = StreamReader::new();
    let mut out = Vec::new();
    let mut subscribed = false;
    let mut put = |encode: &dyn Fn(&mut [u8]) -> Result<usize, codec::EncodeError>| {
        let mut buffer = [0; 256];
        if let Ok(length) = encode(&mut buffer) {
            out.extend_from_slice(&buffer[..length]);
        }
    };
    // What this client sends comes whole: one call of `send` is one delivery.
    let count = inbox.len().min(reader.space().len());
    reader.space()[..count].copy_from_slice(&inbox[..count]);
    reader.commit(count);
    inbox.clear();
    while let Ok(Some(Raw::Packet { first, body })) = reader.next() {
        match codec::decode(first, body) {
            Ok(Packet::Connect(_)) => put(&|buffer| {
                codec::connack(
                    buffer,
                    Connack {
                        session_present: false,
                        refusal: None,
                    },
                )
            }),
            Ok(Packet::Subscribe(id, topics)) => {
                let grants: Vec<Grant> =
                    topics.map(|(_, qos)| Grant::Granted(qos.level())).collect();
                put(&|buffer| codec::suback(buffer, id, &grants));
                subscribed = true;
            }
            Ok(Packet::Pingreq) => put(&|buffer| codec::pingresp(buffer)),
            _ => {}
        }
    }
    (out, subscribed)
}

/// A message as a broker sends it.
pub fn message(topic: &str, qos: u8, retain: bool, dup: bool, payload: &[u8]) -> Vec<u8> {
    let mut buffer = vec![0; payload.len() + topic.len() + 16];
    let publish = Publish {
        dup,
        retain,
        topic,
        packet_id: (qos > 0).then(|| PacketId::new(7)).flatten(),
        payload,
    };
    let length = codec::publish(&mut buffer, &publish).unwrap_or(0);
    buffer.truncate(length);
    buffer
}

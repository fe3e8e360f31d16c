//! The sensor subscriber: messages in, frames of samples out.

use super::link::{Link, LinkState, unexpected};
use super::wave::{Told, Wave};
use super::{Handled, Session};
use crate::codec::{self, Grant, Oversize, Packet, PacketId, ProtocolError, Publish, QoS, Raw};
use crate::config::{ConfigError, SubscriberConfig};
use crate::counters::{LinkError, count};
use crate::envelope::{Envelope, EnvelopeError, Letter, Verdict};
use crate::limits::{ADDRESS_BYTES_MAX, SUBSCRIBE_TOPICS_MAX};
use crate::payload::FieldPlan;
use drivers_frame::{Cause, DeviceId, MonoNs, Sample, planted};

#[derive(Debug)]
struct Topic {
    name: Box<str>,
    qos: QoS,
    /// Place in the configuration: what an error names.
    index: u16,
    content: Content,
    envelope: Option<Envelope>,
}

/// What a topic's messages hold.
#[derive(Debug)]
enum Content {
    Values(FieldPlan),
    Wave(Box<Wave>),
}

/// The subscriber's state machine.
///
/// * A link counts as up only when every topic was granted. One refusal (0x80) fails the attempt with the topic's index,
///   and the next attempt comes after the back-off (H-22).
/// * Retained messages are dropped and counted: they were published at a time that nobody knows (H-18). So are
///   redelivered ones (DUP): with a clean session a broker has no reason to redeliver, and the age is unknown as well.
///   Both are acknowledged, else they would come again.
/// * A message of a topic with an envelope is taken only when the envelope is in order ([`crate::envelope`]). What was
///   learned of a source outlives the link: a broker that reconnects cannot bring back what is old.
/// * A message too large for the buffer makes its topic's tags bad (H-21).
/// * All of it holds for blocks of waveforms as for values; what a block's own sequence number adds is in
///   [`drivers_frame::block::BlockOrder`].
#[derive(Debug)]
pub struct SubscriberSession {
    pub(super) link: Link,
    device: DeviceId,
    /// Sorted by name.
    topics: Vec<Topic>,
    pub(super) samples: Vec<Sample>,
    /// What is to be handed over of a waveform, and the topic it came by.
    pub(super) told: (usize, Told),
    /// A buffer whose block found no room.
    pub(super) spare: Option<Box<[u8]>>,
    /// First topic of the SUBSCRIBE that waits for its SUBACK.
    asked_from: usize,
}

impl SubscriberSession {
    /// Checks the configuration and reserves everything.
    ///
    /// # Errors
    /// The first [`ConfigError`].
    pub fn new(config: &SubscriberConfig) -> Result<Self, ConfigError> {
        config.check()?;
        let link = Link::new(&config.broker, None)?;
        let values = config.subscriptions.iter().map(|values| {
            let content = Content::Values(FieldPlan::new(&values.fields));
            (&values.topic, values.qos, &values.envelope, content)
        });
        let waves = config.waveforms.iter().map(|wave| {
            let content = Content::Wave(Box::new(Wave::new(wave)));
            (&wave.topic, wave.qos, &wave.envelope, content)
        });
        let mut topics: Vec<Topic> = values
            .chain(waves)
            .zip(0_u16..)
            .map(|((topic, qos, envelope, content), index)| {
                Ok(Topic {
                    name: topic.as_str().into(),
                    qos: QoS::from_level(qos).unwrap_or(QoS::AtLeastOnce),
                    index,
                    content,
                    envelope: envelope.as_ref().map(Envelope::new).transpose()?,
                })
            })
            .collect::<Result<_, ConfigError>>()?;
        topics.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        let frames = topics.iter().map(|topic| match &topic.content {
            Content::Values(plan) => plan.len(),
            Content::Wave(_) => 0,
        });
        let largest = frames.max();
        Ok(Self {
            link,
            device: config.device,
            topics,
            samples: Vec::with_capacity(largest.unwrap_or(0)),
            told: (0, Told::Nothing),
            spare: None,
            asked_from: 0,
        })
    }

    /// Which device of the lane this is.
    pub fn device(&self) -> DeviceId {
        self.device
    }

    /// The frame of the last [`Handled::Frame`].
    pub fn samples(&self) -> &[Sample] {
        &self.samples
    }

    pub(super) fn wave_mut(&mut self, topic: usize) -> Option<&mut Wave> {
        match &mut self.topics.get_mut(topic)?.content {
            Content::Wave(wave) => Some(wave),
            Content::Values(_) => None,
        }
    }

    /// Asks for the next topics, or says that all were granted. One SUBSCRIBE at a time, so that its answer has one
    /// packet id and one deadline.
    fn subscribe(&mut self, from: usize, now: MonoNs) -> Result<Handled, LinkError> {
        let rest = self.topics.get(from..).unwrap_or_default();
        if rest.is_empty() {
            self.link.up(now);
            return Ok(Handled::Up);
        }
        self.asked_from = from;
        let id = packet_id(from);
        let topics = rest
            .iter()
            .take(SUBSCRIBE_TOPICS_MAX)
            .map(|topic| (&*topic.name, topic.qos));
        self.link
            .queue(now, |buffer| codec::subscribe(buffer, id, topics))?;
        self.link.subscribing(now);
        Ok(Handled::Nothing)
    }

    fn suback(&mut self, id: PacketId, codes: &[u8], now: MonoNs) -> Result<Handled, LinkError> {
        if !matches!(self.link.state(), LinkState::Subscribing { .. }) {
            return Err(unexpected(codec::Kind::Suback));
        }
        let from = self.asked_from;
        let expected = packet_id(from);
        if id != expected {
            return Err(LinkError::Protocol(ProtocolError::SubackId {
                expected: expected.get(),
                received: id.get(),
            }));
        }
        let rest = self.topics.get(from..).unwrap_or_default();
        let asked = rest.get(..SUBSCRIBE_TOPICS_MAX).unwrap_or(rest);
        if codes.len() != asked.len() {
            return Err(LinkError::Protocol(ProtocolError::Length {
                kind: codec::Kind::Suback,
                expected: u32::try_from(asked.len()).unwrap_or(u32::MAX),
                received: u32::try_from(codes.len()).unwrap_or(u32::MAX),
            }));
        }
        for (code, topic) in codes.iter().zip(asked) {
            match Grant::from_code(*code).map_err(LinkError::Protocol)? {
                Grant::Refused => return Err(LinkError::SubscriptionRefused(topic.index)),
                Grant::Granted(level) if level > topic.qos.level() => {
                    return Err(LinkError::Protocol(ProtocolError::SubackQosRaised));
                }
                // Values still come, less surely: freshness is judged by the lane, and the counter says why.
                Grant::Granted(level) if level < topic.qos.level() => {
                    count(&mut self.link.counters.qos_lowered);
                }
                Grant::Granted(_) => {}
            }
        }
        let next = from.saturating_add(asked.len());
        self.subscribe(next, now)
    }

    /// Whether messages may come now. A broker may send them before its SUBACK (3.8.4).
    fn message_expected(&self) -> Result<(), LinkError> {
        match self.link.state() {
            LinkState::Subscribing { .. } | LinkState::Up { .. } => Ok(()),
            _ => Err(unexpected(codec::Kind::Publish)),
        }
    }

    /// Counts and acknowledges a message; true when it may be used.
    fn accept(
        &mut self,
        (retain, dup): (bool, bool),
        packet_id: Option<PacketId>,
        at: MonoNs,
    ) -> Result<bool, LinkError> {
        let counters = &mut self.link.counters;
        count(&mut counters.messages);
        if retain {
            count(&mut counters.dropped_retained);
        } else if dup {
            count(&mut counters.dropped_duplicate);
        }
        if let Some(id) = packet_id {
            // Queued only: it goes out after the frame was handed over.
            self.link.queue(at, |buffer| codec::puback(buffer, id))?;
        }
        Ok((!retain || planted!(RetainedAccepted)) && (!dup || planted!(RedeliveredAccepted)))
    }

    fn publish(&mut self, publish: &Publish<'_>, at: MonoNs) -> Result<Handled, LinkError> {
        self.message_expected()?;
        if !self.accept((publish.retain, publish.dup), publish.packet_id, at)? {
            return Ok(Handled::Nothing);
        }
        let counters = &mut self.link.counters;
        let Some(index) = find(&self.topics, publish.topic) else {
            count(&mut counters.unknown_topic);
            return Ok(Handled::Nothing);
        };
        let judged = judge(&self.topics, index, publish.payload);
        let letter = match &judged {
            Some(Ok(letter)) => Some(letter.header.sequence),
            _ => None,
        };
        let Some(topic) = self.topics.get_mut(index) else {
            return Ok(Handled::Nothing);
        };
        let verdict = match (&mut topic.envelope, judged) {
            (Some(envelope), Some(judged)) => envelope.admit(judged, at, &mut counters.envelope),
            _ => Verdict::Take(publish.payload),
        };
        let told = match (&mut topic.content, verdict) {
            (_, Verdict::Drop) => return Ok(Handled::Nothing),
            (Content::Values(plan), Verdict::Take(payload)) => {
                if plan.extract(payload, at, &mut self.samples) > 0 {
                    count(&mut counters.malformed);
                }
                return Ok(Handled::Frame);
            }
            (Content::Values(plan), Verdict::Bad(cause)) => {
                plan.all_bad(cause, at, &mut self.samples);
                return Ok(Handled::Frame);
            }
            (Content::Wave(wave), Verdict::Take(payload)) => {
                wave.payload(payload, letter, at, &mut counters.blocks)
            }
            (Content::Wave(wave), Verdict::Bad(cause)) => wave.bad(cause, at),
        };
        self.told = (index, told);
        Ok(match told {
            Told::Nothing => Handled::Nothing,
            Told::Block { .. } | Told::Bad { .. } => Handled::Block,
        })
    }

    fn oversize(&mut self, oversize: &Oversize<'_>, at: MonoNs) -> Result<Handled, LinkError> {
        self.message_expected()?;
        count(&mut self.link.counters.oversize);
        if !self.accept((oversize.retain, oversize.dup), oversize.packet_id, at)? {
            return Ok(Handled::Nothing);
        }
        let found = find(&self.topics, oversize.topic);
        let Some((index, topic)) =
            found.and_then(|index| Some((index, self.topics.get_mut(index)?)))
        else {
            count(&mut self.link.counters.unknown_topic);
            return Ok(Handled::Nothing);
        };
        match &mut topic.content {
            Content::Values(plan) => {
                plan.all_bad(Cause::Malformed, at, &mut self.samples);
                Ok(Handled::Frame)
            }
            Content::Wave(wave) => {
                self.told = (index, wave.bad(Cause::Malformed, at));
                Ok(Handled::Block)
            }
        }
    }
}

/// Packet id of the SUBSCRIBE whose first topic is `from`.
fn packet_id(from: usize) -> PacketId {
    let number = from.checked_div(SUBSCRIBE_TOPICS_MAX).unwrap_or(0);
    u16::try_from(number.saturating_add(1))
        .ok()
        .and_then(PacketId::new)
        .unwrap_or(PacketId::MAX)
}

fn find(topics: &[Topic], name: &str) -> Option<usize> {
    topics
        .binary_search_by(|topic| (*topic.name).cmp(name))
        .ok()
}

/// What a message of the topic at `index` claims to be; `None` when the topic has no envelope.
fn judge<'m>(
    topics: &[Topic],
    index: usize,
    message: &'m [u8],
) -> Option<Result<Letter<'m>, EnvelopeError>> {
    let topic = topics.get(index)?;
    let envelope = topic.envelope.as_ref()?;
    Some(envelope.judge(&topic.name, message, |letter| {
        let tries = ADDRESS_BYTES_MAX.checked_div(message.len()).unwrap_or(0);
        topics
            .iter()
            .filter(|other| other.index != topic.index)
            .filter_map(|other| Some((other, other.envelope.as_ref()?)))
            .filter(|(_, envelope)| envelope.source() == letter.header.source)
            .take(tries)
            .any(|(other, envelope)| envelope.fits(&other.name, letter))
    }))
}

impl Session for SubscriberSession {
    fn link(&self) -> &Link {
        &self.link
    }

    fn link_mut(&mut self) -> &mut Link {
        &mut self.link
    }

    fn handle(&mut self, raw: Raw<'_>, at: MonoNs) -> Result<Handled, LinkError> {
        let (first, body) = match raw {
            // No sign of life: its end may never come.
            Raw::Oversize(oversize) => return self.oversize(&oversize, at),
            Raw::Packet { first, body } => (first, body),
        };
        let packet = codec::decode(first, body).map_err(LinkError::Protocol)?;
        self.link.received(at);
        match packet {
            Packet::Publish(publish) => self.publish(&publish, at),
            Packet::Pingresp => {
                self.link.pingresp();
                Ok(Handled::Nothing)
            }
            Packet::Connack(connack) => {
                self.link.connack(connack)?;
                for topic in &mut self.topics {
                    if let Content::Wave(wave) = &mut topic.content {
                        wave.reconnected();
                    }
                }
                self.subscribe(0, at)
            }
            Packet::Suback(id, codes) => self.suback(id, codes, at),
            other => Err(unexpected(other.kind())),
        }
    }

    fn tick(&mut self, now: MonoNs) -> Result<(), LinkError> {
        self.link.tick(now)
    }

    fn deadline(&self) -> MonoNs {
        self.link.deadline()
    }
}

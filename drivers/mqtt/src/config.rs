//! What a subscriber and a publisher are made from, and the checks that a configuration must pass as a whole.

mod error;

use std::collections::BTreeSet;
use std::path::PathBuf;

use drivers_frame::block::{RateCheck, SequenceType};
use drivers_frame::{ByteOrder, DeviceId, DurNs, SampleKind, TagId, ValueCodec, WaveformId};
use rt_config::limits::{
    ENVELOPE_ERRORS_MAX, ENVELOPE_HEADER_BYTES_MAX, MQTT_PACKET_BYTES_MAX,
    WAVEFORM_HEADER_BYTES_MAX, WAVEFORM_SAMPLES_MAX,
};

use crate::codec::{QoS, check_topic};
use crate::envelope::is_source;
use crate::limits::{
    BACKOFF_MIN_MS, CLIENT_ID_BYTES_MAX, CREDENTIAL_BYTES_MAX, FIELDS_MAX, KEEP_ALIVE_S_MIN,
    SUBSCRIPTIONS_MAX,
};
use crate::payload::JsonPath;
use crate::secret::Secret;
pub use error::{ConfigError, WaveformProblem};

/// TLS towards the broker. Its certificate is always verified; there is no switch to turn that off.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsConfig {
    /// PEM file with the certificates of the CAs that may have issued the broker's certificate.
    pub ca_file: PathBuf,
    /// PEM file with our certificate and its chain; together with `client_key` or not at all.
    pub client_cert: Option<PathBuf>,
    /// PEM file with our private key; not readable for others.
    pub client_key: Option<PathBuf>,
    /// Name or address in the broker's certificate, when it is not `host`.
    pub server_name: Option<String>,
}

/// Waits between attempts: doubled from `min` to `max`, each shortened at random by up to half.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BackoffConfig {
    /// First wait; at least 100 ms.
    pub min: DurNs,
    /// Longest wait. A link that was up for less than this does not reset the back-off.
    pub max: DurNs,
    /// Seed of the jitter: an argument, so that a simulation repeats; different for each device.
    pub seed: u64,
}

/// How to reach a broker, and as whom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BrokerConfig {
    /// Name or address. A name is resolved at every attempt, on the connecting thread.
    pub host: String,
    /// TCP port; by custom 1883 plain, 8883 with TLS.
    pub port: u16,
    /// Client id, unique at the broker: two clients of one id throw one another out.
    pub client_id: String,
    /// User name.
    pub username: Option<String>,
    /// Password; needs a user name. See [`crate::read_password_file`].
    pub password: Option<Secret>,
    /// TLS; plain TCP when absent.
    pub tls: Option<TlsConfig>,
    /// Whole seconds, 1 to 65,535; 0 ("never") is refused. A dead link is noticed within this time.
    pub keep_alive: DurNs,
    /// Time for TCP and TLS, again for CONNACK, and again for each SUBACK.
    pub connect_timeout: DurNs,
    /// Waits between attempts.
    pub backoff: BackoffConfig,
}

/// Where in the payload a field lies.
#[derive(Clone, Debug, PartialEq)]
pub enum Extract {
    /// The whole payload is one decimal number.
    Number,
    /// A value of a JSON document.
    Json {
        /// Where.
        path: JsonPath,
    },
    /// Bytes at a fixed place.
    Binary {
        /// Byte offset from the start of the payload.
        offset: usize,
    },
}

/// One tag of a message.
#[derive(Clone, Debug, PartialEq)]
pub struct Field {
    /// Which tag gets the value.
    pub tag: TagId,
    /// Where the value is.
    pub extract: Extract,
    /// Type, scale, range.
    pub codec: ValueCodec,
}

/// One topic, and what its messages hold.
#[derive(Clone, Debug, PartialEq)]
pub struct Subscription {
    /// Exact topic. Wildcards are refused: a value must come from the source that the pack names (H-20).
    pub topic: String,
    /// 0 or 1.
    pub qos: u8,
    /// The tags; at least one. All samples of one message are one frame.
    pub fields: Vec<Field>,
    /// What its messages must be wrapped in; `None` takes the bare payload.
    pub envelope: Option<EnvelopeConfig>,
}

/// One topic whose messages are blocks of a waveform, and how they lie in the payload.
#[derive(Clone, Debug, PartialEq)]
pub struct WaveformSubscription {
    /// Exact topic, as in [`Subscription`].
    pub topic: String,
    /// 0 or 1.
    pub qos: u8,
    /// Which waveform.
    pub waveform: WaveformId,
    /// The number that the source counts, when the payload has one. Without it an envelope's counts.
    pub sequence: Option<SequenceField>,
    /// First byte of the first sample. The samples end with the payload.
    pub first: usize,
    /// Type of the samples.
    pub kind: SampleKind,
    /// Byte order of samples and sequence.
    pub order: ByteOrder,
    /// Samples of each block.
    pub count: u32,
    /// Samples a second.
    pub rate_hz: f64,
    /// Whether that is held against the arrivals.
    pub rate_check: RateCheck,
    /// What its messages must be wrapped in; `None` takes the bare payload.
    pub envelope: Option<EnvelopeConfig>,
}

/// A sequence number in a payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SequenceField {
    /// First byte.
    pub offset: usize,
    /// Its type.
    pub kind: SequenceType,
}

impl WaveformSubscription {
    /// Bytes of every payload.
    pub fn payload_bytes(&self) -> usize {
        usize::try_from(self.count)
            .unwrap_or(usize::MAX)
            .saturating_mul(self.kind.bytes())
            .saturating_add(self.first)
    }

    /// Bytes of the largest packet that carries a block: fixed header, topic, packet id, envelope, payload.
    fn packet_bytes(&self) -> usize {
        let envelope = if self.envelope.is_some() {
            ENVELOPE_HEADER_BYTES_MAX.saturating_add(1)
        } else {
            0
        };
        self.payload_bytes()
            .saturating_add(envelope)
            .saturating_add(self.topic.len())
            .saturating_add(5 + 2 + 2)
    }

    fn check(&self) -> Result<(), ConfigError> {
        checked_topic(&self.topic, self.qos)?;
        let wrong = |problem| {
            Err(ConfigError::Waveform {
                topic: self.topic.clone(),
                problem,
            })
        };
        if self.count == 0 || self.count > WAVEFORM_SAMPLES_MAX {
            return wrong(WaveformProblem::Samples(self.count));
        }
        if self.first > usize::try_from(WAVEFORM_HEADER_BYTES_MAX).unwrap_or(0) {
            return wrong(WaveformProblem::First(self.first));
        }
        let end = |field: SequenceField| field.offset.saturating_add(field.kind.bytes());
        if self.sequence.is_some_and(|field| end(field) > self.first) {
            return wrong(WaveformProblem::SequenceInSamples);
        }
        if !(self.rate_hz.is_finite() && self.rate_hz > 0.0) {
            return wrong(WaveformProblem::Rate);
        }
        self.envelope
            .as_ref()
            .map_or(Ok(()), |envelope| envelope.check(&self.topic))
    }
}

/// The envelope of a topic's messages; see [`crate::envelope`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EnvelopeConfig {
    /// The only source that is taken: printable ASCII without spaces.
    pub source: String,
    /// How damage and forgery are seen.
    pub check: CheckConfig,
    /// Longest delay of one message beyond the fastest seen; `None` does not measure delay. Order and protection from
    /// recordings use the source's time in any case.
    pub max_delay: Option<DurNs>,
    /// Errors that are tolerated.
    pub budget: ErrorBudget,
}

/// How an envelope is checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CheckConfig {
    /// CRC-32C: against damage, not against an adversary.
    Crc32c,
    /// HMAC-SHA-256: against forgery too.
    HmacSha256 {
        /// The key. See [`crate::read_key_file`].
        key: Secret,
    },
}

/// How many errors are tolerated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ErrorBudget {
    /// Errors dropped within `within`; one more makes the tags bad. 0 makes the first error bad.
    pub errors: u16,
    /// The span in which they are counted; not zero. A restart of the source is taken once in it.
    pub within: DurNs,
}

/// A sensor subscriber.
#[derive(Clone, Debug, PartialEq)]
pub struct SubscriberConfig {
    /// Which device of the lane this is.
    pub device: DeviceId,
    /// The broker.
    pub broker: BrokerConfig,
    /// The topics of values, each once.
    pub subscriptions: Vec<Subscription>,
    /// The topics of waveforms, each once; of both there is at least one.
    pub waveforms: Vec<WaveformSubscription>,
}

/// What the broker publishes when it loses the client without DISCONNECT.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Will {
    /// Exact topic.
    pub topic: String,
    /// Payload.
    pub payload: Vec<u8>,
    /// 0 or 1.
    pub qos: u8,
    /// Whether the broker keeps it for later subscribers.
    pub retain: bool,
}

/// An alert publisher.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublisherConfig {
    /// The broker.
    pub broker: BrokerConfig,
    /// Last will.
    pub will: Option<Will>,
    /// Time for a PUBACK. After it the link is given up and everything unacknowledged is sent again.
    pub ack_timeout: DurNs,
}

impl BrokerConfig {
    /// Checks what can be checked without a network.
    ///
    /// # Errors
    /// The first [`ConfigError`].
    pub fn check(&self) -> Result<(), ConfigError> {
        if self.host.is_empty() {
            return Err(ConfigError::HostEmpty);
        }
        if self.port == 0 {
            return Err(ConfigError::PortZero);
        }
        let id = &self.client_id;
        if id.is_empty() || id.len() > CLIENT_ID_BYTES_MAX || id.contains(char::is_control) {
            return Err(ConfigError::ClientId);
        }
        let user = self.username.as_deref().unwrap_or_default();
        let password = self.password.as_ref().map_or(&[][..], Secret::expose);
        if user.len() > CREDENTIAL_BYTES_MAX
            || password.len() > CREDENTIAL_BYTES_MAX
            || user.contains('\0')
        {
            return Err(ConfigError::Credential);
        }
        if self.password.is_some() && self.username.is_none() {
            return Err(ConfigError::PasswordWithoutUser);
        }
        self.keep_alive_s()?;
        if self.connect_timeout == DurNs::ZERO {
            return Err(ConfigError::ConnectTimeoutZero);
        }
        if self.backoff.min < DurNs::from_ms(BACKOFF_MIN_MS) || self.backoff.max < self.backoff.min
        {
            return Err(ConfigError::Backoff);
        }
        Ok(())
    }

    /// Keep-alive as it goes on the wire.
    pub(crate) fn keep_alive_s(&self) -> Result<u16, ConfigError> {
        let wrong = ConfigError::KeepAlive(self.keep_alive);
        let ns = self.keep_alive.as_ns();
        let whole = ns.checked_rem(1_000_000_000) == Some(0);
        let seconds = ns.checked_div(1_000_000_000).unwrap_or(0);
        match u16::try_from(seconds) {
            Ok(wire) if whole && seconds >= KEEP_ALIVE_S_MIN => Ok(wire),
            _ => Err(wrong),
        }
    }
}

fn checked_topic(topic: &str, qos: u8) -> Result<QoS, ConfigError> {
    check_topic(topic).map_err(|error| ConfigError::Topic {
        topic: topic.into(),
        error,
    })?;
    QoS::from_level(qos).ok_or_else(|| ConfigError::Qos {
        topic: topic.into(),
        qos,
    })
}

/// Whether `source` can stand in a header of `topic`.
pub(crate) fn check_source(topic: &str, source: &str) -> Result<(), ConfigError> {
    if is_source(source) {
        return Ok(());
    }
    Err(ConfigError::Source {
        topic: topic.into(),
        source: source.into(),
    })
}

impl EnvelopeConfig {
    fn check(&self, topic: &str) -> Result<(), ConfigError> {
        check_source(topic, &self.source)?;
        let ErrorBudget { errors, within } = self.budget;
        if errors > ENVELOPE_ERRORS_MAX || within == DurNs::ZERO {
            return Err(ConfigError::Budget {
                topic: topic.into(),
                errors,
            });
        }
        if self.max_delay == Some(DurNs::ZERO) {
            return Err(ConfigError::MaxDelayZero {
                topic: topic.into(),
            });
        }
        Ok(())
    }
}

impl SubscriberConfig {
    /// Bytes of the buffers that blocks are received into: those of the largest packet. `None` without waveforms.
    pub fn block_buffer_bytes(&self) -> Option<usize> {
        let largest = self
            .waveforms
            .iter()
            .map(WaveformSubscription::packet_bytes);
        largest.max().map(|bytes| bytes.max(MQTT_PACKET_BYTES_MAX))
    }

    /// Checks what can be checked without a network.
    ///
    /// # Errors
    /// The first [`ConfigError`].
    pub fn check(&self) -> Result<(), ConfigError> {
        self.broker.check()?;
        let count = self
            .subscriptions
            .len()
            .saturating_add(self.waveforms.len());
        if count == 0 || count > SUBSCRIPTIONS_MAX {
            return Err(ConfigError::SubscriptionCount(count));
        }
        for subscription in &self.subscriptions {
            checked_topic(&subscription.topic, subscription.qos)?;
            let fields = subscription.fields.len();
            if fields == 0 || fields > FIELDS_MAX {
                return Err(ConfigError::FieldCount {
                    topic: subscription.topic.clone(),
                    fields,
                });
            }
            if let Some(envelope) = &subscription.envelope {
                envelope.check(&subscription.topic)?;
            }
        }
        let mut seen = BTreeSet::new();
        for waveform in &self.waveforms {
            waveform.check()?;
            if !seen.insert(waveform.waveform) {
                return Err(ConfigError::WaveformTwice(waveform.waveform));
            }
        }
        let values = self.subscriptions.iter().map(|s| s.topic.as_str());
        let waveforms = self.waveforms.iter().map(|s| s.topic.as_str());
        let mut topics: Vec<&str> = values.chain(waveforms).collect();
        topics.sort_unstable();
        let twice = topics
            .iter()
            .zip(topics.iter().skip(1))
            .find(|(a, b)| a == b);
        twice.map_or(Ok(()), |(topic, _)| {
            Err(ConfigError::TopicTwice((*topic).into()))
        })
    }
}

impl PublisherConfig {
    /// Checks what can be checked without a network.
    ///
    /// # Errors
    /// The first [`ConfigError`].
    pub fn check(&self) -> Result<(), ConfigError> {
        self.broker.check()?;
        if self.ack_timeout == DurNs::ZERO {
            return Err(ConfigError::AckTimeoutZero);
        }
        if let Some(will) = &self.will {
            checked_topic(&will.topic, will.qos)?;
            if will.payload.len() > MQTT_PACKET_BYTES_MAX / 2 {
                return Err(ConfigError::WillTooLarge(will.payload.len()));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;

//! What can be wrong with a configuration, in words that say how to mend it.

use std::fmt;

use drivers_frame::{DurNs, WaveformId};
use rt_config::limits::{
    ENVELOPE_ERRORS_MAX, ENVELOPE_KEY_BYTES_MAX, ENVELOPE_KEY_BYTES_MIN, ENVELOPE_SOURCE_BYTES_MAX,
    WAVEFORM_HEADER_BYTES_MAX, WAVEFORM_SAMPLES_MAX,
};

use crate::codec::ProtocolError;
use crate::limits::{
    BACKOFF_MIN_MS, CLIENT_ID_BYTES_MAX, CREDENTIAL_BYTES_MAX, FIELDS_MAX, KEEP_ALIVE_S_MAX,
    KEEP_ALIVE_S_MIN, SUBSCRIPTIONS_MAX,
};

/// Why a waveform cannot be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WaveformProblem {
    /// No samples, or more than a block may have; as many as given.
    Samples(u32),
    /// The first sample is beyond what a header may take; its offset.
    First(usize),
    /// The sequence number reaches into the samples.
    SequenceInSamples,
    /// The rate is not a number above zero.
    Rate,
}

impl fmt::Display for WaveformProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Samples(count) => {
                write!(
                    f,
                    "{count} samples a block; 1 to {WAVEFORM_SAMPLES_MAX} are possible"
                )
            }
            Self::First(offset) => write!(
                f,
                "its first sample at byte {offset}; at most {WAVEFORM_HEADER_BYTES_MAX} bytes may lie before it"
            ),
            Self::SequenceInSamples => f.write_str(
                "its sequence number reaches into the samples; it must lie before the first one",
            ),
            Self::Rate => f.write_str("a rate that is not a number of samples a second above zero"),
        }
    }
}

/// What is wrong with a configuration. Nothing of it is used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConfigError {
    /// `host` is empty.
    HostEmpty,
    /// `port` is 0.
    PortZero,
    /// `client_id` is empty, too long, or holds a control character.
    ClientId,
    /// User name or password too long, or U+0000 in the user name.
    Credential,
    /// A password without a user name.
    PasswordWithoutUser,
    /// `keep_alive` is not 1 to 65,535 whole seconds; as given.
    KeepAlive(DurNs),
    /// `connect_timeout` is zero.
    ConnectTimeoutZero,
    /// `ack_timeout` is zero.
    AckTimeoutZero,
    /// `backoff.min` is below 100 ms or above `backoff.max`.
    Backoff,
    /// No subscription, or more than the limit; as many as given.
    SubscriptionCount(usize),
    /// Subscription without fields, or with more than a frame holds.
    FieldCount {
        /// Topic.
        topic: String,
        /// Fields given.
        fields: usize,
    },
    /// A topic that is malformed, or has wildcards.
    Topic {
        /// Topic.
        topic: String,
        /// What is wrong.
        error: ProtocolError,
    },
    /// The same topic twice.
    TopicTwice(String),
    /// QoS other than 0 and 1.
    Qos {
        /// Topic.
        topic: String,
        /// As given.
        qos: u8,
    },
    /// An envelope's source is no name that can stand in a header.
    Source {
        /// Topic.
        topic: String,
        /// As given.
        source: String,
    },
    /// An envelope's budget has no span, or tolerates more errors than are kept.
    Budget {
        /// Topic.
        topic: String,
        /// Errors, as given.
        errors: u16,
    },
    /// A waveform that cannot be.
    Waveform {
        /// Topic.
        topic: String,
        /// Why.
        problem: WaveformProblem,
    },
    /// Two topics would give blocks of one waveform.
    WaveformTwice(WaveformId),
    /// An envelope's `max_delay` is zero.
    MaxDelayZero {
        /// Topic.
        topic: String,
    },
    /// An envelope's key is too short or too long; its bytes.
    Key(usize),
    /// The will's payload does not fit a packet; its bytes.
    WillTooLarge(usize),
    /// A certificate or key file cannot be used.
    Tls(crate::transport::TlsFileError),
    /// The system gave no thread or no wake-up descriptor; its error number.
    Thread(i32),
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::HostEmpty => f.write_str("`host` is empty; give a name or an address"),
            Self::PortZero => {
                f.write_str("`port` is 0; MQTT is by custom at 1883, with TLS at 8883")
            }
            Self::ClientId => write!(
                f,
                "`client_id` must be 1 to {CLIENT_ID_BYTES_MAX} bytes without control characters, and unique at the broker"
            ),
            Self::Credential => write!(
                f,
                "user name and password may have {CREDENTIAL_BYTES_MAX} bytes each, the user name no U+0000"
            ),
            Self::PasswordWithoutUser => {
                f.write_str("a password needs a user name in MQTT 3.1.1; add `username`")
            }
            Self::KeepAlive(given) => write!(
                f,
                "`keep_alive` is {given}; it must be whole seconds from {KEEP_ALIVE_S_MIN} to {KEEP_ALIVE_S_MAX} (0 would hide a dead link)"
            ),
            Self::ConnectTimeoutZero => f.write_str("`connect_timeout` is zero; 5 s is usual"),
            Self::AckTimeoutZero => f.write_str("`ack_timeout` is zero; 10 s is usual"),
            Self::Backoff => write!(
                f,
                "`backoff` must run from at least {BACKOFF_MIN_MS} ms to a maximum that is not smaller"
            ),
            Self::SubscriptionCount(count) => {
                write!(
                    f,
                    "{count} subscriptions; 1 to {SUBSCRIPTIONS_MAX} are possible"
                )
            }
            Self::FieldCount { topic, fields } => write!(
                f,
                "topic `{topic}` has {fields} fields; 1 to {FIELDS_MAX} are possible"
            ),
            Self::Topic { topic, error } => write!(
                f,
                "topic `{topic}` cannot be used: {error}; name each sensor's exact topic"
            ),
            Self::TopicTwice(topic) => write!(
                f,
                "topic `{topic}` is subscribed to twice; put all its fields into one subscription"
            ),
            Self::Qos { topic, qos } => {
                write!(f, "topic `{topic}` asks for QoS {qos}; 0 and 1 are spoken")
            }
            Self::Source { topic, source } => write!(
                f,
                "topic `{topic}`: the envelope's source {source:?} must be 1 to {ENVELOPE_SOURCE_BYTES_MAX} printable ASCII characters without spaces"
            ),
            Self::Budget { topic, errors } => write!(
                f,
                "topic `{topic}`: the envelope's budget of {errors} errors must be at most {ENVELOPE_ERRORS_MAX}, within a span that is not zero"
            ),
            Self::Waveform { topic, problem } => {
                write!(f, "topic `{topic}`: a waveform with {problem}")
            }
            Self::WaveformTwice(waveform) => write!(
                f,
                "waveform {} comes from two topics; give each topic its own waveform",
                waveform.0
            ),
            Self::MaxDelayZero { topic } => write!(
                f,
                "topic `{topic}`: the envelope's `max_delay` is zero, which no message keeps; leave it out, or give what the network needs"
            ),
            Self::Key(bytes) => write!(
                f,
                "a key of {bytes} bytes; {ENVELOPE_KEY_BYTES_MIN} to {ENVELOPE_KEY_BYTES_MAX} are taken, 32 random ones are best (`openssl rand -hex 32`)"
            ),
            Self::WillTooLarge(bytes) => {
                write!(f, "the will's payload of {bytes} bytes does not fit")
            }
            Self::Tls(error) => write!(f, "TLS: {error}"),
            Self::Thread(errno) => write!(
                f,
                "no thread or event descriptor: {}",
                std::io::Error::from_raw_os_error(*errno)
            ),
        }
    }
}

impl std::error::Error for ConfigError {}

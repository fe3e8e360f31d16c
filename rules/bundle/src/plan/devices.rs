//! Devices, and what is read from them.

use drivers_frame::{DurNs, TagId, ValueCodec};
use serde::{Deserialize, Serialize};

use crate::plan::AnalyzerPlan;

/// A device.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DevicePlan {
    /// The device's id.
    pub name: String,
    /// How it is reached and what is read from it.
    pub link: LinkPlan,
}

/// How a device is reached.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum LinkPlan {
    /// Modbus/TCP.
    Modbus(ModbusPlan),
    /// A topic source behind an MQTT broker.
    Mqtt(MqttPlan),
    /// No device at all: a foreign module whose derived values are this device's tags.
    Analyzer(Box<AnalyzerPlan>),
}

/// A Modbus/TCP device.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ModbusPlan {
    /// IP address or host name; a name is resolved once, when the guard starts.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// Unit identifier.
    pub unit: u8,
    /// Poll period; `None` is continuous: the next request follows the reply.
    pub poll: Option<DurNs>,
    /// Absolute deadline per request.
    pub timeout: DurNs,
    /// Deadline of a connection attempt.
    pub connect_timeout: DurNs,
    /// First wait after a failure.
    pub backoff_min: DurNs,
    /// Longest wait between attempts.
    pub backoff_max: DurNs,
    /// Unused registers that one read may span.
    pub max_gap: u16,
    /// What is read.
    pub points: Vec<PointPlan>,
}

/// A Modbus table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Table {
    /// Coils, function 1.
    Coil,
    /// Discrete inputs, function 2.
    Discrete,
    /// Holding registers, function 3.
    Holding,
    /// Input registers, function 4.
    Input,
}

/// One tag's place in a device.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct PointPlan {
    /// The tag.
    pub tag: TagId,
    /// Table.
    pub table: Table,
    /// Protocol address, 0-based.
    pub address: u16,
    /// From registers to value.
    pub codec: ValueCodec,
}

/// Where and how to reach an MQTT broker.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BrokerPlan {
    /// IP address or host name.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// Client identifier.
    pub client_id: String,
    /// User name.
    pub username: Option<String>,
    /// File with the password, read when the process starts; never in the bundle itself.
    pub password_file: Option<String>,
    /// TLS; `None` is plain TCP.
    pub tls: Option<TlsPlan>,
    /// Keep-alive; progress is demanded within 1.5 times this.
    pub keep_alive: DurNs,
    /// Deadline of a connection attempt.
    pub connect_timeout: DurNs,
    /// First wait after a failure.
    pub backoff_min: DurNs,
    /// Longest wait between attempts.
    pub backoff_max: DurNs,
}

/// TLS towards a broker. All files are PEM.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TlsPlan {
    /// Certificates to trust.
    pub ca_file: String,
    /// Our certificate, when the broker asks for one.
    pub cert_file: Option<String>,
    /// Our key.
    pub key_file: Option<String>,
    /// Name expected in the broker's certificate; the host when absent.
    pub server_name: Option<String>,
}

/// A broker and the topics that carry samples.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MqttPlan {
    /// The broker.
    pub broker: BrokerPlan,
    /// Exact topics.
    pub subscriptions: Vec<SubscriptionPlan>,
}

/// One topic.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SubscriptionPlan {
    /// Topic, without wildcards.
    pub topic: String,
    /// 0 or 1.
    pub qos: u8,
    /// Longest time between two messages, as the pack's author states it; part of the reaction time. `None`: only
    /// `stale_after` bounds it.
    pub period: Option<DurNs>,
    /// Tags in its payload.
    pub fields: Vec<FieldPlan>,
    /// What its messages must be wrapped in; `None` takes the bare payload.
    pub envelope: Option<EnvelopePlan>,
}

/// The envelope of a topic's messages: who sent it, in which order, undamaged. Against the errors of a communication
/// channel that OPC UA Safety (OPC 10000-15, 5.2) and IEC 61784-3 list.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EnvelopePlan {
    /// The only source that is taken.
    pub source: String,
    /// How damage and forgery are seen.
    pub check: CheckPlan,
    /// Longest delay of one message beyond the fastest seen; `None` does not look at the source's time.
    pub max_delay: Option<DurNs>,
    /// Errors that are dropped and counted before the topic's tags are bad.
    pub budget: ErrorBudget,
}

/// How an envelope is checked.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum CheckPlan {
    /// CRC-32C: against damage, not against an adversary.
    Crc32c,
    /// HMAC-SHA-256: against forgery too.
    HmacSha256 {
        /// File with the key, read when the guard starts; never in the bundle itself.
        key_file: String,
    },
}

/// How many errors are tolerated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorBudget {
    /// Errors dropped within `within`; one more makes the tags bad. 0 makes the first error bad.
    pub errors: u16,
    /// The span in which they are counted.
    pub within: DurNs,
}

/// One tag in a payload.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FieldPlan {
    /// The tag.
    pub tag: TagId,
    /// Where it is.
    pub extract: ExtractPlan,
    /// From raw to value.
    pub codec: ValueCodec,
}

/// Where a value is in a payload.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum ExtractPlan {
    /// The whole payload is a decimal number.
    Number,
    /// A JSON pointer (`/data/0`) or path (`$.data[0]`).
    Json(String),
    /// Bytes at an offset.
    Binary {
        /// First byte.
        offset: u16,
    },
}

//! The resolved plan: what a pack means once every name is an index and every unit a factor.
//!
//! Plain data. Whoever decodes a plan calls [`Plan::check`] before using it; whoever runs one may then rely on every
//! index being in range and every limit of `rt_config::limits` being kept.

use drivers_frame::{DeviceId, DurNs, TagId, ValueCodec};
pub use rules_expr::WindowFunction;
use rules_expr::ir::Program;
use serde::{Deserialize, Serialize};

/// All that a guard and a desk need to know of a pack.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// The pack's name: an identifier, used in MQTT topics.
    pub name: String,
    /// The pack's own version, as its author wrote it.
    pub version: String,
    /// What the pack protects, for people.
    pub description: String,
    /// The lanes, at least one.
    pub lanes: Vec<LanePlan>,
    /// Where alerts go; `None` when the pack sends none.
    pub alerts: Option<AlertPlan>,
}

/// One pinned thread with its own inputs, rules and outputs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LanePlan {
    /// The lane's id.
    pub name: String,
    /// Core to pin to; `None` lets the guard choose.
    pub cpu: Option<u16>,
    /// `SCHED_FIFO` priority, 1 to 49 (threaded interrupts run at 50); 0 keeps the ordinary scheduler.
    pub priority: u8,
    /// How the lane waits for work.
    pub wait: Wait,
    /// Which thread reads the devices.
    pub acquire: Acquire,
    /// Longest time between two ticks when nothing arrives: the grain of delays, freshness and refresh.
    pub timer_period: DurNs,
    /// Devices, by [`DeviceId`].
    pub devices: Vec<DevicePlan>,
    /// Tags, by [`TagId`].
    pub tags: Vec<TagPlan>,
    /// Windows over tags.
    pub windows: Vec<WindowPlan>,
    /// Tags whose age is an input of some rule.
    pub ages: Vec<TagId>,
    /// Tags whose quality is an input of some rule.
    pub qualities: Vec<TagId>,
    /// Rules, in the order of the pack.
    pub rules: Vec<RulePlan>,
    /// Outputs, in the order of the pack.
    pub outputs: Vec<OutputPlan>,
}

/// How a lane waits for work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Wait {
    /// Spin on an isolated core, else park.
    Auto,
    /// Never sleep. Without an isolated core this runs under the ordinary scheduler, because a spinning FIFO thread is
    /// throttled for 50 ms each second.
    Spin,
    /// Sleep in the kernel until a socket is ready, a queue is written or a timer is due.
    Park,
}

/// Which thread reads the lane's devices. A broker given by name, or reached by TLS, has a thread of its own anyway.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Acquire {
    /// The lane itself, between ticks: the shortest way, no hand-over between threads.
    Inline,
    /// Acquisition threads beside the lane.
    Thread,
}

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
    /// Tags in its payload.
    pub fields: Vec<FieldPlan>,
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

/// A tag.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TagPlan {
    /// The tag's id.
    pub name: String,
    /// Unit of its value, for people; conversions were done when the bundle was built.
    pub unit: String,
    /// Where it comes from.
    pub device: DeviceId,
    /// Age at which it is stale.
    pub stale_after: DurNs,
}

/// A window over a tag: the samples of the last `span` before its newest one.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct WindowPlan {
    /// Function.
    pub function: WindowFunction,
    /// Tag.
    pub tag: TagId,
    /// Length.
    pub span: DurNs,
    /// Samples to reserve: span over the shortest time between two samples, with a reserve.
    pub capacity: u32,
}

/// Level of a rule (API 670).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Level {
    /// Tell.
    Alert,
    /// Stop.
    Danger,
}

impl Level {
    /// The word used in packs and alerts.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Alert => "alert",
            Self::Danger => "danger",
        }
    }
}

/// A rule.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RulePlan {
    /// The rule's id.
    pub id: String,
    /// The condition as its author wrote it, for people.
    pub when: String,
    /// The condition, compiled; its slots are those of [`LanePlan::slot_of_tag`] and its sisters.
    pub program: Program,
    /// How long the condition must last. Counts into the reaction time.
    pub on_delay: DurNs,
    /// Level.
    pub level: Level,
    /// Outputs that it stops; indices into [`LanePlan::outputs`]. Empty for an alert.
    pub stops: Vec<u16>,
    /// Promised time from sample to confirmed stop; `None` for rules that stop nothing.
    pub deadline: Option<DurNs>,
    /// What to tell people.
    pub message: String,
    /// Words to filter by.
    pub tags: Vec<String>,
    /// Where the procedure is written.
    pub runbook: Option<String>,
}

/// An output: a run permit that must be refreshed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OutputPlan {
    /// The output's id.
    pub name: String,
    /// IP address or host name of its device.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// Unit identifier.
    pub unit: u8,
    /// Name of the device, for people.
    pub device: String,
    /// What is written.
    pub target: OutputTarget,
    /// Time between two writes of the permit.
    pub refresh: DurNs,
    /// Time within which a write must be echoed.
    pub confirm_within: DurNs,
    /// Deadline of a connection attempt.
    pub connect_timeout: DurNs,
    /// First wait after a failed connection.
    pub backoff_min: DurNs,
    /// Longest wait between attempts. Short: a stop that cannot be written is repeated until confirmed.
    pub backoff_max: DurNs,
}

/// What an output writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum OutputTarget {
    /// A coil, function 5.
    Coil {
        /// Protocol address, 0-based.
        address: u16,
        /// Value that permits the machine to run.
        run: bool,
    },
    /// A holding register, function 6.
    Register {
        /// Protocol address, 0-based.
        address: u16,
        /// Value that permits the machine to run.
        run: u16,
        /// Value that stops it.
        safe: u16,
    },
}

/// Where alerts go.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AlertPlan {
    /// The broker.
    pub broker: BrokerPlan,
    /// First part of every topic.
    pub topic_prefix: String,
}

impl LanePlan {
    /// Slot of a tag's value.
    pub fn slot_of_tag(&self, tag: TagId) -> u32 {
        u32::from(tag.0)
    }

    /// Slot of the window at `index`.
    pub fn slot_of_window(&self, index: usize) -> u32 {
        slot(self.tags.len().saturating_add(index))
    }

    /// Slot of the age at `index` of [`LanePlan::ages`]. Its value is in nanoseconds.
    pub fn slot_of_age(&self, index: usize) -> u32 {
        slot(
            self.tags
                .len()
                .saturating_add(self.windows.len())
                .saturating_add(index),
        )
    }

    /// Slot of the quality at `index` of [`LanePlan::qualities`]. Its value is 0 to 3.
    pub fn slot_of_quality(&self, index: usize) -> u32 {
        slot(
            self.tags
                .len()
                .saturating_add(self.windows.len())
                .saturating_add(self.ages.len())
                .saturating_add(index),
        )
    }

    /// Number of slots that the lane's rules read from.
    pub fn slots(&self) -> u32 {
        self.slot_of_quality(self.qualities.len())
    }
}

fn slot(index: usize) -> u32 {
    u32::try_from(index).unwrap_or(u32::MAX)
}

//! The resolved plan: what a pack means once every name is an index and every unit a factor.
//!
//! Plain data. Whoever decodes a plan calls [`Plan::check`] before using it; whoever runs one may then rely on every
//! index being in range and every limit of `rt_config::limits` being kept.

mod analyzers;
mod devices;
mod inputs;
mod outputs;
mod rules;

use drivers_frame::{DurNs, TagId};
pub use rules_expr::WindowFunction;
use rules_expr::ir::Program;
use serde::{Deserialize, Serialize};

pub use analyzers::*;
pub use devices::*;
pub use inputs::*;
pub use outputs::*;
pub use rules::*;

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
    /// Foreign modules that analyzers are instances of.
    pub modules: Vec<ModulePlan>,
    /// Bytes of each block of samples in the bundle: stimuli of canaries.
    pub blocks: Vec<u32>,
    /// Where alerts go; `None` when the pack sends none.
    pub alerts: Option<AlertPlan>,
    /// Who vouches for the pack.
    pub vouched: Vouched,
}

/// Who vouches for a pack.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Vouched {
    /// Nobody: it runs only where that is allowed, for development, and is shown.
    #[default]
    Nobody,
    /// Whoever has this key.
    By(SignaturePlan),
    /// It is part of the program that runs it: the demonstration.
    Program,
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
    /// Devices, by [`DeviceId`](drivers_frame::DeviceId): those of drivers first, then analyzers in the order in which they run.
    pub devices: Vec<DevicePlan>,
    /// Tags, by [`TagId`].
    pub tags: Vec<TagPlan>,
    /// Sources of blocks of samples.
    pub waveforms: Vec<WaveformPlan>,
    /// Windows over tags.
    pub windows: Vec<WindowPlan>,
    /// Tags whose age is an input of some rule.
    pub ages: Vec<TagId>,
    /// Tags whose quality is an input of some rule.
    pub qualities: Vec<TagId>,
    /// Rules, in the order of the pack.
    pub rules: Vec<RulePlan>,
    /// Votings, in the order of the pack.
    pub votings: Vec<VotingPlan>,
    /// Trip groups.
    pub trip_groups: Vec<TripGroupPlan>,
    /// Outputs, in the order of the pack.
    pub outputs: Vec<OutputPlan>,
    /// The reset button, when there is one.
    pub reset_button: Option<ResetButtonPlan>,
    /// What the reaction times were computed with.
    pub assumed: HostAssumption,
}

/// How fast the host is assumed to be. The guard measures it at start and refuses to arm when it is slower.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostAssumption {
    /// Picoseconds a unit of fuel.
    pub fuel_ps: u32,
    /// Longest time from a socket being ready to the tick that takes its frame, and from the tick's end to the send:
    /// wake-up, scheduling, system calls.
    pub turn: DurNs,
}

impl Default for HostAssumption {
    fn default() -> Self {
        Self {
            fuel_ps: rt_config::limits::ASSUMED_FUEL_PS,
            turn: DurNs::from_us(rt_config::limits::ASSUMED_TURN_US),
        }
    }
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

/// Where alerts go.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AlertPlan {
    /// The broker.
    pub broker: BrokerPlan,
    /// First part of every topic.
    pub topic_prefix: String,
}

impl LanePlan {
    /// The analyzers, in the order in which they run, each with the index of its device and its name.
    pub fn analyzers(&self) -> impl Iterator<Item = (usize, &str, &AnalyzerPlan)> {
        let devices = self.devices.iter().enumerate();
        devices.filter_map(|(index, device)| match &device.link {
            LinkPlan::Analyzer(analyzer) => Some((index, device.name.as_str(), analyzer.as_ref())),
            LinkPlan::Modbus(_) | LinkPlan::Mqtt(_) => None,
        })
    }

    /// The tag of this name.
    pub fn tag(&self, name: &str) -> Option<TagId> {
        let index = self.tags.iter().position(|tag| tag.name == name)?;
        u16::try_from(index).ok().map(TagId)
    }

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

    /// Every compiled condition, in the order of the rule module's functions: rule by rule its programs, then the raised
    /// ones.
    pub fn programs(&self) -> impl Iterator<Item = &Program> {
        self.rules
            .iter()
            .flat_map(|rule| rule.programs.iter().chain(&rule.raised))
    }

    /// Number of slots that the lane's rules read from.
    pub fn slots(&self) -> u32 {
        self.slot_of_quality(self.qualities.len())
    }
}

fn slot(index: usize) -> u32 {
    u32::try_from(index).unwrap_or(u32::MAX)
}

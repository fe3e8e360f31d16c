//! What is protected in one run, drawn from the seed: devices, tags, rules, outputs, and a plan of them for the lane.
//!
//! The words are in here; `draw` draws them, `plan` says them to the lane.

mod analyzer;
mod cond;
mod draw;
mod envelope;
mod plan;

use appliance_sandbox::AnalyzerModule;
use rules_bundle::{LanePlan, Table};

pub use analyzer::{
    Analyzer, BLOCK_SAMPLES, DERIVED, Derived, SAMPLE_STEP, TRICKS, Trick, Wave, shown, topic,
};
pub use cond::Cond;
pub use envelope::{Envelope, KEY, SOURCE};

/// A millisecond in nanoseconds, the unit of all times in here.
pub const MS: u64 = 1_000_000;

/// Longest time between something being due and the turn of the lane that does it, unless the lane is held up.
pub const TURN_MAX: u64 = 8 * MS;

/// Longest way of bytes through the network, and of a device's answer.
pub const WAY_MAX: u64 = 20 * MS;

/// Level above which a value is out of its range.
pub const RANGE_MAX: f64 = 100.0;

/// Levels are multiples of this, and what tells one reading from another is below half of it.
pub const GRAIN: f64 = 1.0 / 1_024.0;

/// How far channels of one quantity may be from one another.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Deviation {
    /// Beyond this the channel is bad.
    pub bad: f64,
    /// For how long it must be.
    pub lasting: u64,
}

/// Channels that vote.
#[derive(Clone, Debug, PartialEq)]
pub struct Voting {
    /// Votes that trip.
    pub need: u8,
    /// A bad channel is left out instead of voting to trip.
    pub exclude: bool,
    /// Longest bypass of one channel, where one is allowed.
    pub bypass: Option<u64>,
    /// Longest time between the newest of the channels and one that counts.
    pub skew: Option<u64>,
    /// How far they may be from one another.
    pub deviation: Option<Deviation>,
    /// The channels' tags.
    pub tags: Vec<usize>,
}

/// Where a tag's values come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Four registers of this device from this address.
    Modbus {
        /// Index of the device.
        device: usize,
        /// First register.
        address: u16,
        /// Which table.
        table: Table,
    },
    /// A topic of its own at the broker.
    Mqtt {
        /// Index of the device.
        device: usize,
        /// Time between two messages.
        period: u64,
    },
    /// An analyzer.
    Derived {
        /// Index of the device.
        device: usize,
    },
}

/// What a tag tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A level, as a number that names its reading.
    Level,
    /// A bit that is true while the contactor of this output is open: its feedback.
    Contact(usize),
    /// A bit that people switch: what it permits is for a limited time.
    Switch,
    /// A bit that is true while the reset button is pressed.
    Button,
    /// What an analyzer derives.
    Derived {
        /// Index of the analyzer.
        analyzer: usize,
        /// Which of it.
        what: Derived,
    },
}

/// A tag.
#[derive(Clone, Debug)]
pub struct Tag {
    /// What it tells.
    pub kind: Kind,
    /// Where it comes from.
    pub origin: Origin,
    /// Age at which it is stale.
    pub stale_after: u64,
    /// How long it must be good without a break before it counts again.
    pub quiet: u64,
    /// It comes back only when a person acknowledged that it was bad.
    pub acknowledge: bool,
    /// Fastest change in a second, and how many faster ones in a row are dropped.
    pub rate: Option<(f64, u8)>,
    /// Smallest movement of a living sensor, and how long it may be without.
    pub frozen: Option<(f64, u64)>,
    /// Longest time from the reading to the arrival of a value that may be believed. Of what is derived: to what is derived
    /// from it, or from its loss.
    pub way_max: u64,
    /// What its messages are wrapped in.
    pub envelope: Option<Envelope>,
}

impl Tag {
    /// The device's index.
    pub fn device(&self) -> usize {
        match self.origin {
            Origin::Modbus { device, .. }
            | Origin::Mqtt { device, .. }
            | Origin::Derived { device } => device,
        }
    }

    /// Within which a change of the plant is seen, or the tag is bad.
    pub fn seen_within(&self) -> u64 {
        if matches!(self.origin, Origin::Derived { .. }) {
            return self.way_max;
        }
        self.stale_after + self.way_max + self.frozen.map_or(0, |(_, lasting)| lasting)
    }
}

/// What a switch permits, for a limited time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Permission {
    /// Index of the switch's tag.
    pub tag: usize,
    /// Longest time.
    pub at_most: u64,
}

/// m of n samples, with a cap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Debounce {
    /// True ones that fire.
    pub need: u8,
    /// Among so many.
    pub of: u8,
    /// A condition that lasts so long fires whatever the count.
    pub within: u64,
}

/// A rule.
#[derive(Clone, Debug)]
pub struct Rule {
    /// Its condition.
    pub cond: Cond,
    /// How long it must last.
    pub on_delay: u64,
    /// How long it must be over.
    pub off_delay: u64,
    /// While this holds, `raised` is asked instead.
    pub multiplier: Option<Permission>,
    /// Its condition with higher limits.
    pub raised: Option<Cond>,
    /// While this holds, a true condition does nothing.
    pub inhibit: Option<Permission>,
    /// So many of the last so many samples decide, or the time that it lasts.
    pub debounce: Option<Debounce>,
    /// Outputs that it stops; none for an alert.
    pub stops: Vec<usize>,
    /// Within which a stop must have been ordered, from the moment the condition came to be true in the plant.
    pub deadline: u64,
}

/// An output: one coil with a watchdog of its own.
#[derive(Clone, Debug)]
pub struct Output {
    /// Index of its host.
    pub host: usize,
    /// Coil.
    pub address: u16,
    /// Time between two refreshes.
    pub refresh: u64,
    /// The device drops the coil this long after the last permit.
    pub watchdog: u64,
    /// Within which an echo must come.
    pub confirm_within: u64,
    /// Trip group.
    pub group: usize,
    /// Read-back: period, and within which the place must hold what was written.
    pub read_back: Option<(u64, u64)>,
    /// Feedback: its tag, and within which it must follow.
    pub feedback: Option<(usize, u64)>,
    /// Output that is tripped when this one does not prove its stop.
    pub escalate_to: Option<usize>,
    /// Category 1: the output that asks for the controlled stop, and its time.
    pub controlled: Option<(usize, u64)>,
    /// How often the device's watchdog registers are looked at, where it has them.
    pub check_every: Option<u64>,
}

impl Output {
    /// How long after its group is latched the permit may still be given.
    pub fn power_off_after(&self) -> u64 {
        self.controlled.map_or(0, |(_, time)| time)
    }

    /// The register that arms the watchdog of this output's device, and what is written to it.
    pub fn watchdog_register(&self) -> (u16, u16) {
        (0x1120 + self.address, (self.watchdog / MS) as u16)
    }
}

/// What listens at a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HostKind {
    /// The input device of this index.
    Input(usize),
    /// Outputs.
    Outputs,
    /// The broker that is the device of this index.
    Broker(usize),
}

/// One run's world, before anything happens.
#[derive(Clone)]
pub struct Scenario {
    /// Hosts, by the number of their address.
    pub hosts: Vec<HostKind>,
    /// Tags.
    pub tags: Vec<Tag>,
    /// Rules.
    pub rules: Vec<Rule>,
    /// Votings.
    pub votings: Vec<Voting>,
    /// Analyzers, in the order of the lane.
    pub analyzers: Vec<Analyzer>,
    /// Their modules, with their parameters.
    pub modules: Vec<AnalyzerModule>,
    /// Waveforms.
    pub waves: Vec<Wave>,
    /// Outputs.
    pub outputs: Vec<Output>,
    /// Samples in the queue of each device.
    pub queue: Vec<usize>,
    /// Acquisition by a thread of its own.
    pub threaded: bool,
    /// What the lane is made of.
    pub plan: LanePlan,
}

/// First port: a host's port is this plus its index.
pub const PORT: u16 = 10_000;

impl Scenario {
    /// The host of a device.
    pub fn host_of(&self, device: usize) -> Option<usize> {
        let own = |kind: &HostKind| matches!(kind, HostKind::Input(at) | HostKind::Broker(at) if *at == device);
        self.hosts.iter().position(own)
    }

    /// The longest watchdog of any output.
    pub fn watchdog_max(&self) -> u64 {
        self.outputs
            .iter()
            .map(|output| output.watchdog)
            .max()
            .unwrap_or(0)
    }
}

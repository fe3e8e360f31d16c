//! Outputs: what is written to stop a machine, and what proves that it stopped.

use drivers_frame::{DurNs, TagId};
use serde::{Deserialize, Serialize};

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
    /// Trip group; an index into [`LanePlan::trip_groups`](crate::LanePlan::trip_groups).
    pub group: u16,
    /// When the permit is withheld after its group is latched.
    pub stop: StopCategory,
    /// Reading the written place back.
    pub read_back: Option<ReadBackPlan>,
    /// An independent input that proves the actuator followed.
    pub feedback: Option<FeedbackPlan>,
    /// Output that is tripped when this one does not prove its stop; an index into the lane's outputs.
    pub escalate_to: Option<u16>,
    /// The device's own watchdog: armed and read back before the output counts as armed.
    pub watchdog: Option<WatchdogPlan>,
    /// From the written stop to the removed energy, as the device's maker and the wiring say. Part of the reaction time.
    pub device_time: DurNs,
}

/// Stop categories of IEC 60204-1, 9.2.2.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum StopCategory {
    /// The permit is withheld at once.
    Zero,
    /// Another output of the group asks for a controlled stop at once; this permit, the power, is withheld
    /// `power_off_after` later, and at once when the other cannot confirm.
    One {
        /// The output that asks for the controlled stop; an index into the lane's outputs.
        controlled_by: u16,
        /// Time for the controlled stop.
        power_off_after: DurNs,
    },
}

/// Reading back what was written (H-58, H-60).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReadBackPlan {
    /// Time between two reads; the first follows each change of the written value at once.
    pub period: DurNs,
    /// After a write's echo the place must hold the value within this time.
    pub within: DurNs,
}

/// Feedback, or external device monitoring (H-59).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FeedbackPlan {
    /// A boolean tag of the same lane.
    pub tag: TagId,
    /// Its value when the actuator is in its safe position.
    pub safe: bool,
    /// Time within which it must follow the output, in both directions.
    pub within: DurNs,
}

/// A device's own watchdog as registers: what arms it, and what is read to know that it is armed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WatchdogPlan {
    /// The profile's name in the pack, for people.
    pub profile: String,
    /// The time after which the device drops its outputs by itself.
    pub time: DurNs,
    /// Written in this order to arm it (function 6).
    pub arm: Vec<RegisterValue>,
    /// Read back afterwards, and then every `check_every` (function 3): all must match for the output to be armed.
    pub expect: Vec<RegisterMatch>,
    /// Time between two checks.
    pub check_every: DurNs,
}

/// A holding register and what is written to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RegisterValue {
    /// Protocol address, 0-based.
    pub address: u16,
    /// Value.
    pub value: u16,
}

/// A holding register and what it must hold in some of its bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RegisterMatch {
    /// Protocol address, 0-based.
    pub address: u16,
    /// Bits that count.
    pub mask: u16,
    /// Their value.
    pub value: u16,
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
    /// A holding register that counts up by one with each refresh, from 1 to 65535 and round again, never equal to
    /// `safe`; a device that does not see it count stops by itself.
    Counter {
        /// Protocol address, 0-based.
        address: u16,
        /// Value that stops.
        safe: u16,
    },
    /// A coil that changes with each refresh; a device that does not see it change stops by itself.
    Toggle {
        /// Protocol address, 0-based.
        address: u16,
        /// Value that is held to stop.
        safe: bool,
    },
}

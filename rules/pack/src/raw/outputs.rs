//! Outputs: what is written to stop a machine, and what proves that it stopped.

use super::Address;
use crate::read::{List, Req, choice, record};
use crate::scalar::{Bool, Duration, Int, OutputValue, Text};

record! {
    /// A run permit: written again and again while the machine may run, withheld to stop it.
    Output {
        /// The Modbus device that is written.
        device: Req<Text>,
        /// The coil that is written. Either this or `register`.
        coil: Option<Address>,
        /// The holding register that is written. Either this or `coil`.
        register: Option<Address>,
        /// Unit identifier, when it differs from the device's.
        unit: Option<Int<0, 255>>,
        /// How the permit is written: held, counted up, or toggled with each refresh.
        #[schemars(extend("default" = "level"))]
        permit: Option<PermitWord>,
        /// Value that permits the machine to run. `true` by default for a coil; required for a register; only with
        /// `permit: level`.
        run: Option<OutputValue>,
        /// Value that stops it. The opposite of `run` for a coil, `false` for a toggled one; required for a register.
        safe: Option<OutputValue>,
        /// Time between two writes of the permit.
        refresh: Req<Duration>,
        /// Time within which a write must be echoed.
        confirm_within: Req<Duration>,
        /// Outputs of one group are latched and released together. A group of its own when absent.
        group: Option<Text>,
        /// Stop category of IEC 60204-1. 0 when absent.
        stop: Option<Stop>,
        /// Reading back what was written.
        read_back: Option<ReadBack>,
        /// An independent input that proves that the actuator followed.
        feedback: Option<Feedback>,
        /// The output that is tripped when this one does not prove its stop.
        escalate_to: Option<Text>,
        /// The device's own watchdog, or `none` as a statement that it has none.
        watchdog: Option<Watchdog>,
        /// From the written stop to the removed energy. Counts into the reaction time.
        device_time: Option<Duration>,
    }
}

choice! {
    /// How a permit is written.
    PermitWord {
        /// The same value with each refresh.
        Level = "level",
        /// A register that counts up with each refresh.
        Counter = "counter",
        /// A coil that changes with each refresh.
        Toggle = "toggle",
    }
}

record! {
    /// When the permit is withheld after its group is latched (IEC 60204-1, 9.2.2).
    Stop {
        /// 0: at once. 1: after a controlled stop by another output of the group.
        category: Req<Int<0, 1>>,
        /// The output that asks for the controlled stop; category 1 only.
        controlled_by: Option<Text>,
        /// Time for the controlled stop; category 1 only. Counts into the reaction time.
        power_off_after: Option<Duration>,
    }
}

record! {
    /// Reading back what was written.
    ReadBack {
        /// Time between two reads; the first follows each change at once.
        every: Req<Duration>,
        /// After a write's echo the place must hold the value within this time. Counts into the reaction time.
        within: Req<Duration>,
    }
}

record! {
    /// Feedback, or external device monitoring.
    Feedback {
        /// A boolean tag of the same lane.
        tag: Req<Text>,
        /// Its value when the actuator is in its safe position.
        safe: Req<Bool>,
        /// Time within which it must follow the output, in both directions.
        within: Req<Duration>,
    }
}

/// The device's own watchdog.
#[derive(Clone, Debug)]
pub(crate) enum Watchdog {
    /// It has none.
    None,
    /// It has one.
    Some(Box<WatchdogRecord>),
}

record! {
    /// A device's own watchdog: armed and read back before the output counts as armed.
    WatchdogRecord {
        /// A station whose registers are known, or `generic` with `arm` and `expect`.
        profile: Req<ProfileWord>,
        /// The time after which the device drops its outputs by itself.
        time: Req<Duration>,
        /// Time between two looks whether it is still armed.
        #[schemars(extend("default" = "1s"))]
        check: Option<Duration>,
        /// Registers that are written in this order to arm it; only with `generic`.
        arm: Option<List<WatchdogWrite>>,
        /// Registers that are read back; all must match. Only with `generic`, and required there.
        expect: Option<List<WatchdogMatch>>,
    }
}

choice! {
    /// A known watchdog.
    ProfileWord {
        /// WAGO 750 couplers and controllers with the classic registers.
        Wago750 = "wago_750",
        /// Turck multiprotocol stations.
        Turck = "turck",
        /// Beckhoff bus couplers.
        BeckhoffBk = "beckhoff_bk",
        /// Any other: the pack states the registers.
        Generic = "generic",
    }
}

record! {
    /// A register that is written to arm a watchdog.
    WatchdogWrite {
        /// Address, as `addressing` counts.
        register: Req<Address>,
        /// Value.
        value: Req<Int<0, 65_535>>,
    }
}

record! {
    /// A register that shows whether a watchdog is armed.
    WatchdogMatch {
        /// Address, as `addressing` counts.
        register: Req<Address>,
        /// Bits that count.
        #[schemars(extend("default" = 65_535))]
        mask: Option<Int<1, 65_535>>,
        /// Their value.
        value: Req<Int<0, 65_535>>,
    }
}

//! Tags: where a value is, how it is stored, what makes it believable.

use super::Address;
use crate::read::{Req, choice, record};
use crate::scalar::{Bounds, Duration, Int, Number, Text};

choice! {
    /// How a device stores a value.
    ValueWord {
        /// Unsigned, one register.
        U16 = "u16",
        /// Signed, one register.
        I16 = "i16",
        /// Unsigned, two registers.
        U32 = "u32",
        /// Signed, two registers.
        I32 = "i32",
        /// Unsigned, four registers.
        U64 = "u64",
        /// Signed, four registers.
        I64 = "i64",
        /// IEEE 754, two registers.
        F32 = "f32",
        /// IEEE 754, four registers.
        F64 = "f64",
        /// True or false.
        Bool = "bool",
    }
}

choice! {
    /// Which end comes first.
    Order {
        /// Most significant first.
        Big = "big",
        /// Least significant first.
        Little = "little",
    }
}

choice! {
    /// A table of registers.
    RegisterTable {
        /// Holding registers, function 3.
        Holding = "holding",
        /// Input registers, function 4.
        Input = "input",
    }
}

record! {
    /// A place among a device's registers.
    Register {
        /// The table.
        table: Req<RegisterTable>,
        /// Address of the first register, as `addressing` counts.
        address: Req<Address>,
    }
}

record! {
    /// A named input. Exactly one of `register`, `coil`, `discrete` and `topic` says where it is.
    Tag {
        /// The device it is read from.
        device: Req<Text>,
        /// A register of a Modbus device.
        register: Option<Register>,
        /// A coil of a Modbus device.
        coil: Option<Address>,
        /// A discrete input of a Modbus device.
        discrete: Option<Address>,
        /// A topic of an MQTT broker, without wildcards.
        topic: Option<Text>,
        /// Quality of service of the subscription.
        #[schemars(extend("default" = 1))]
        qos: Option<Int<0, 1>>,
        /// Where the value is in the payload.
        #[schemars(extend("default" = "number"))]
        payload: Option<Payload>,
        /// How the value is stored. Required for registers and binary payloads.
        r#type: Option<ValueWord>,
        /// Order of the registers of a value that takes more than one. Required for those.
        word_order: Option<Order>,
        /// Order of the bytes within a register.
        #[schemars(extend("default" = "big"))]
        byte_order: Option<Order>,
        /// Which bit of the register, 0 is the least significant; only with `type: bool`.
        bit: Option<Int<0, 15>>,
        /// Factor from the stored number to the tag's unit.
        #[schemars(extend("default" = 1))]
        scale: Option<Number>,
        /// Summand in the tag's unit, added after `scale`.
        #[schemars(extend("default" = 0))]
        offset: Option<Number>,
        /// Unit of the value; `"1"` for a plain number. Required unless the tag is a boolean.
        #[schemars(extend("examples" = ["mm/s", "degC", "bar"]))]
        unit: Option<Text>,
        /// Lowest and highest valid value in the tag's unit; outside, the channel is bad. Required unless the tag is a
        /// boolean or has a `current_loop`.
        #[schemars(extend("examples" = [[0, 50]]))]
        range: Option<Bounds>,
        /// A 4-20 mA loop (NE 43): what is stored at 4 mA and at 20 mA, and what that measures. Replaces `scale`, `offset`
        /// and `range`.
        current_loop: Option<CurrentLoop>,
        /// Age at which the value is no longer trusted. A stale input of a danger rule trips.
        stale_after: Req<Duration>,
        /// Fastest change that the quantity is capable of.
        rate: Option<Rate>,
        /// Quietest that a living sensor can be.
        frozen: Option<Frozen>,
        /// How the channel comes back after it was bad. At once when absent.
        reintegrate: Option<Reintegrate>,
        /// Longest time between two messages of an MQTT topic; counts into the reaction time.
        period: Option<Duration>,
        /// What the messages of an MQTT topic must be wrapped in. Stated once for a topic.
        envelope: Option<Envelope>,
    }
}

record! {
    /// A 4-20 mA loop behind an analog input (NAMUR NE 43).
    CurrentLoop {
        /// What is stored at 4 mA and at 20 mA.
        #[schemars(extend("examples" = [[0, 27648]]))]
        raw: Req<Bounds>,
        /// What 4 mA and 20 mA measure, in the tag's unit.
        #[schemars(extend("examples" = [[0, 150]]))]
        measures: Req<Bounds>,
    }
}

record! {
    /// A value that changes faster than its quantity can is not believed.
    Rate {
        /// Fastest change, in the tag's unit a second.
        per_second: Req<Number>,
        /// Implausible samples in a row that are dropped; one more makes the channel bad. Counts into the reaction time.
        #[schemars(extend("default" = 0))]
        tolerate: Option<Int<0, 255>>,
    }
}

record! {
    /// A value that does not move at all comes from a dead sensor.
    Frozen {
        /// Span from lowest to highest that a living sensor exceeds, in the tag's unit; 0 for any change at all.
        noise: Req<Number>,
        /// Time without such a change after which the channel is bad.
        r#for: Req<Duration>,
    }
}

/// How a channel comes back after it was bad.
#[derive(Clone, Debug)]
pub(crate) enum Reintegrate {
    /// When a person acknowledged it.
    Acknowledge,
    /// By itself.
    After(ReintegrateAfter),
}

record! {
    /// Coming back by itself.
    ReintegrateAfter {
        /// How long it must have been good without a break.
        after: Req<Duration>,
    }
}

record! {
    /// What the messages of a topic must be wrapped in: who sent them, in which order, undamaged.
    Envelope {
        /// The only source that is taken.
        source: Req<Text>,
        /// How damage and forgery are seen.
        check: Req<EnvelopeCheck>,
        /// Longest delay of one message beyond the fastest seen. The source's time is not looked at when absent.
        max_delay: Option<Duration>,
        /// Errors that are dropped and counted before the tags are bad. None when absent: the first error makes them bad.
        budget: Option<EnvelopeBudget>,
    }
}

/// How an envelope is checked.
#[derive(Clone, Debug)]
pub(crate) enum EnvelopeCheck {
    /// CRC-32C.
    Crc32c,
    /// A keyed hash.
    Keyed(EnvelopeKeyed),
}

record! {
    /// A check that proves the sender.
    EnvelopeKeyed {
        /// HMAC-SHA-256.
        hmac_sha256: Req<EnvelopeKey>,
    }
}

record! {
    /// The key of a keyed check.
    EnvelopeKey {
        /// File with the key, read when the guard starts; never in the pack.
        key_file: Req<Text>,
    }
}

record! {
    /// How many errors are tolerated.
    EnvelopeBudget {
        /// Errors dropped within `within`; one more makes the tags bad.
        errors: Req<Int<0, 1_000>>,
        /// The span in which they are counted.
        within: Req<Duration>,
    }
}

/// Where a value is in an MQTT payload.
#[derive(Clone, Debug)]
pub(crate) enum Payload {
    /// The whole payload is a number.
    Number,
    /// One field of a structured payload.
    Fields(PayloadFields),
}

record! {
    /// A field of a structured payload: exactly one of `json` and `binary`.
    PayloadFields {
        /// A JSON pointer (`/data/0`) or path (`$.data[0]`).
        #[schemars(extend("pattern" = "^(/|\\$)"))]
        json: Option<Text>,
        /// A value in a binary payload.
        binary: Option<Binary>,
    }
}

record! {
    /// A value in a binary payload; `type` says how many bytes it takes.
    Binary {
        /// First byte, from 0.
        offset: Req<Int<0, 65_535>>,
        /// Order of the bytes. Required for types of more than one byte.
        byte_order: Option<Order>,
    }
}

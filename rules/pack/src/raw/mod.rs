//! The pack format, version 1, as it is written. Each record is its own reader and JSON Schema (see `read`); the
//! doc comments are what editors show. What the parts mean together is judged by `check`.

mod analyzers;
mod outputs;
mod rules;
mod tags;

use crate::read::{List, Map, Req, choice, record};
use crate::scalar::{Duration, Expression, Int, Poll, Quantity, Text, Version};

pub(crate) use analyzers::*;
pub(crate) use outputs::*;
pub(crate) use rules::*;
pub(crate) use tags::*;

/// A Modbus address as written: from 0 or from 1, as `addressing` says.
pub(crate) type Address = Int<0, 65_536>;

record! {
    /// A Tripline pack: what a machine is protected from, and how.
    #[schemars(title = "Tripline pack", rename = "Pack")]
    Pack {
        /// Version of the pack format. Always 1.
        tripline: Req<Version>,
        /// Name and version of this pack.
        pack: Req<PackInfo>,
        /// Pinned threads, each with its own devices, rules and outputs. One lane called `main` when absent.
        lanes: Option<Map<Lane>>,
        /// Where values come from and go to, by id.
        devices: Req<Map<Device>>,
        /// Named inputs with unit, range and freshness, by id. The ids are used in `when`.
        tags: Req<Map<Tag>>,
        /// Run permits that rules withhold, by id.
        outputs: Option<Map<Output>>,
        /// Named quantities for `when`, such as `trip_level: 7.1 mm/s`.
        constants: Option<Map<Quantity>>,
        /// Named expressions for `when`.
        macros: Option<Map<Expression>>,
        /// Redundant channels that decide together, by id.
        votings: Option<Map<Voting>>,
        /// Sources of blocks of samples, by id.
        waveforms: Option<Map<Waveform>>,
        /// Foreign modules that turn values and blocks into tags and verdicts, by id.
        analyzers: Option<Map<Analyzer>>,
        /// Conditions and what they cause. May be left out where the verdict of an analyzer `stops` an output.
        rules: Option<List<Rule>>,
        /// Where state changes are told.
        alerts: Option<Alerts>,
    }
}

record! {
    /// Name and version of a pack.
    PackInfo {
        /// Name: lower-case letters, digits and dashes. Used in MQTT topics.
        #[schemars(extend("pattern" = "^[a-z0-9][a-z0-9-]*$"))]
        name: Req<Text>,
        /// The author's own version of this pack.
        #[schemars(extend("default" = "0.0.0", "examples" = ["1.0.0"]))]
        version: Option<Text>,
        /// What the pack protects, for people.
        #[schemars(extend("default" = ""))]
        description: Option<Text>,
    }
}

choice! {
    /// How a lane waits for work.
    Wait {
        /// Spin on an isolated core, else park.
        Auto = "auto",
        /// Never sleep.
        Spin = "spin",
        /// Sleep in the kernel until something happens.
        Park = "park",
    }
}

choice! {
    /// Which thread reads the devices.
    Acquire {
        /// The lane itself: the shortest way.
        Inline = "inline",
        /// A thread beside the lane.
        Thread = "thread",
    }
}

record! {
    /// A pinned thread.
    Lane {
        /// Core to pin to. The guard chooses when absent.
        cpu: Option<Int<0, 1_023>>,
        /// SCHED_FIFO priority; 0 keeps the ordinary scheduler. Threaded interrupts run at 50, so 49 is the most.
        #[schemars(extend("default" = 40))]
        priority: Option<Int<0, 49>>,
        /// How the lane waits for work.
        #[schemars(extend("default" = "auto"))]
        wait: Option<Wait>,
        /// Which thread reads the lane's devices.
        #[schemars(extend("default" = "inline"))]
        acquire: Option<Acquire>,
        /// Longest time between two ticks: the grain of delays, freshness and refresh.
        #[schemars(extend("default" = "1ms"))]
        timer: Option<Duration>,
        /// A boolean tag that is true while the reset button is pressed. The reset acts when it is released.
        reset_button: Option<Text>,
        /// How fast the host is assumed to be: what reaction times are computed with.
        assume: Option<Assume>,
    }
}

record! {
    /// How fast the host is assumed to be. The guard measures it and refuses to arm when it is slower.
    Assume {
        /// Time a unit of fuel, in whole nanoseconds.
        #[schemars(extend("default" = "10ns"))]
        fuel: Option<Duration>,
        /// Longest time from a ready socket to the tick that takes its frame, and from the tick's end to the send.
        #[schemars(extend("default" = "1ms"))]
        turn: Option<Duration>,
    }
}

record! {
    /// A device: exactly one of `modbus` and `mqtt`.
    Device {
        /// The lane it belongs to. The first lane when absent.
        lane: Option<Text>,
        /// A Modbus/TCP device.
        modbus: Option<Modbus>,
        /// An MQTT broker whose topics carry samples.
        mqtt: Option<MqttDevice>,
    }
}

choice! {
    /// From where the device's manual counts addresses.
    Addressing {
        /// The first register is 0, as on the wire.
        ZeroBased = "zero_based",
        /// The first register is 1.
        OneBased = "one_based",
    }
}

record! {
    /// Waits between attempts to connect: doubled from `min` up to `max`.
    Backoff {
        /// First wait after a failure.
        #[schemars(extend("default" = "20ms"))]
        min: Option<Duration>,
        /// Longest wait.
        #[schemars(extend("default" = "1s"))]
        max: Option<Duration>,
    }
}

record! {
    /// Waits between attempts to connect to a broker: doubled from `min` up to `max`.
    BrokerBackoff {
        /// First wait after a failure; at least 100ms.
        #[schemars(extend("default" = "100ms"))]
        min: Option<Duration>,
        /// Longest wait.
        #[schemars(extend("default" = "1s"))]
        max: Option<Duration>,
    }
}

record! {
    /// A Modbus/TCP device.
    Modbus {
        /// IP address or host name.
        host: Req<Text>,
        /// TCP port.
        #[schemars(extend("default" = 502))]
        port: Option<Int<1, 65_535>>,
        /// Unit identifier.
        #[schemars(extend("default" = 1))]
        unit: Option<Int<0, 255>>,
        /// How often the device is read; `continuous` sends the next request when the reply has come.
        #[schemars(extend("examples" = ["10ms", "continuous"]))]
        poll: Req<Poll>,
        /// Deadline of one request.
        #[schemars(extend("default" = "50ms"))]
        timeout: Option<Duration>,
        /// Deadline of one attempt to connect.
        #[schemars(extend("default" = "500ms"))]
        connect_timeout: Option<Duration>,
        /// Waits between attempts to connect.
        backoff: Option<Backoff>,
        /// Unused registers that one read may span, so that neighbours are read together.
        #[schemars(extend("default" = 16))]
        max_gap: Option<Int<0, 124>>,
        /// Whether addresses in this pack count from 0 or from 1. Has no default on purpose.
        addressing: Req<Addressing>,
    }
}

/// Declares a record with the keys of a broker and some more, and access to the shared keys.
macro_rules! broker_record {
    ($(#[$meta:meta])* $name:ident { $($(#[$field_meta:meta])* $field:ident : $ty:ty),* $(,)? }) => {
        record! {
            $(#[$meta])*
            $name {
                /// IP address or host name.
                host: Req<Text>,
                /// TCP port. 8883 by default when `tls` is given.
                #[schemars(extend("default" = 1883))]
                port: Option<Int<1, 65_535>>,
                /// Client identifier; must differ between all clients of a broker.
                client_id: Option<Text>,
                /// User name.
                username: Option<Text>,
                /// File with the password, read when the program starts.
                password_file: Option<Text>,
                /// TLS; plain TCP when absent.
                tls: Option<Tls>,
                /// Keep-alive.
                #[schemars(extend("default" = "5s"))]
                keep_alive: Option<Duration>,
                /// Deadline of one attempt to connect.
                #[schemars(extend("default" = "2s"))]
                connect_timeout: Option<Duration>,
                /// Waits between attempts to connect.
                backoff: Option<BrokerBackoff>,
                $($(#[$field_meta])* $field: $ty,)*
            }
        }

        impl $name {
            /// The keys that all broker records share.
            pub(crate) fn broker(&self) -> Broker<'_> {
                Broker {
                    host: self.host.get(),
                    port: self.port.as_ref(),
                    client_id: self.client_id.as_ref(),
                    username: self.username.as_ref(),
                    password_file: self.password_file.as_ref(),
                    tls: self.tls.as_ref(),
                    keep_alive: self.keep_alive.as_ref(),
                    connect_timeout: self.connect_timeout.as_ref(),
                    backoff: self.backoff.as_ref(),
                    at: &self.at,
                }
            }
        }
    };
}

/// The keys that all broker records share.
#[derive(Clone, Copy)]
pub(crate) struct Broker<'r> {
    pub(crate) host: Option<&'r Text>,
    pub(crate) port: Option<&'r Int<1, 65_535>>,
    pub(crate) client_id: Option<&'r Text>,
    pub(crate) username: Option<&'r Text>,
    pub(crate) password_file: Option<&'r Text>,
    pub(crate) tls: Option<&'r Tls>,
    pub(crate) keep_alive: Option<&'r Duration>,
    pub(crate) connect_timeout: Option<&'r Duration>,
    pub(crate) backoff: Option<&'r BrokerBackoff>,
    pub(crate) at: &'r crate::read::Span,
}

broker_record! {
    /// An MQTT broker whose topics carry samples.
    MqttDevice {}
}

broker_record! {
    /// The MQTT broker that alerts are published to.
    MqttAlerts {
        /// First part of every topic.
        #[schemars(extend("default" = "tripline"))]
        topic_prefix: Option<Text>,
    }
}

record! {
    /// TLS towards a broker. All files are PEM.
    Tls {
        /// Certificates to trust.
        ca_file: Req<Text>,
        /// Our certificate, when the broker asks for one; needs `key_file`.
        cert_file: Option<Text>,
        /// Our private key; needs `cert_file`.
        key_file: Option<Text>,
        /// Name expected in the broker's certificate. The host when absent.
        server_name: Option<Text>,
    }
}

record! {
    /// Where state changes are told.
    Alerts {
        /// An MQTT broker.
        mqtt: Req<MqttAlerts>,
    }
}

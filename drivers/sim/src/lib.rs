//! A simulated plant for demonstrations and end-to-end tests: a press with physics, two Modbus/TCP devices, an MQTT
//! sensor and a small broker, all over real sockets on 127.0.0.1.
//!
//! Which thread: the plant's own ([`plant::Plant`] starts them and joins them when dropped). May it block: yes, this is
//! simulation and never part of a guard. Worst case: none is promised; what it *measures* is stated at
//! [`image::StopTiming`]. Hazards: it makes them happen (H-2, H-6, H-7, H-10, H-15, H-17, H-21, H-57 to H-60, H-63, H-64) so
//! that others can show what they do then.
//!
//! The protocols are spoken by libraries of others (tokio-modbus, rumqttc), so that a misreading of a norm in our own
//! drivers meets a peer that does not share it.
#![forbid(unsafe_code)]

pub mod broker;
pub mod image;
pub mod noise;
pub mod plant;
pub mod press;
mod sensor;
mod server;
pub mod stations;
pub mod wave;
mod worker;

pub use sensor::SensorFault;

/// Limits of the simulation, with the reason for each value.
pub mod limits {
    use std::time::Duration;

    /// Writes a device remembers. Two outputs refreshed every 100 ms fill it in about 50 s: longer than any scenario
    /// looks back.
    pub const WRITES_KEPT: usize = 1_024;
    /// Modbus connections a device serves at a time. Real stations allow 3 to 16; tests open more.
    pub const MODBUS_CONNECTIONS_MAX: usize = 64;
    /// Time of one step of the machine. Below the shortest poll period of the demonstration pack (5 ms), and long
    /// enough that stepping costs no measurable share of a core.
    pub const STEP: Duration = Duration::from_millis(2);
    /// Steps made up for at once after the host suspended the plant's thread: half a second. More is forgotten, so that
    /// a resumed laptop does not age the bearing by an hour.
    pub const STEPS_CAUGHT_UP_MAX: u32 = 250;
    /// How often the MQTT sensor publishes.
    pub const SENSOR_PERIOD: Duration = Duration::from_millis(100);
    /// Messages the sensor's client may hold while the broker is away: two seconds, then newer ones are lost.
    pub const SENSOR_QUEUE: usize = 20;
    /// How long the sensor waits before it connects again.
    pub const SENSOR_RECONNECT: Duration = Duration::from_millis(200);

    /// Clients the broker serves at a time.
    pub const BROKER_CLIENTS_MAX: usize = 256;
    /// Messages waiting for one client of the broker. A client that lets it fill is disconnected.
    pub const BROKER_QUEUE: usize = 1_024;
    /// Bytes of one packet the broker accepts or sends.
    /// The longest block of a waveform (256 KiB) with topic and header fits.
    pub const BROKER_PACKET_BYTES_MAX: usize = 512 * 1_024;
    /// The same for the sensor of waveforms.
    pub const WAVE_PACKET_BYTES_MAX: usize = BROKER_PACKET_BYTES_MAX;
    /// Topics with a retained message. Beyond, a new retained message is delivered but not kept.
    pub const BROKER_RETAINED_MAX: usize = 4_096;
    /// Filters a client may subscribe to. Beyond, the subscription is refused (0x80).
    pub const BROKER_FILTERS_MAX: usize = 256;
    /// How long a connection may take to send its CONNECT.
    pub const BROKER_CONNECT_WITHIN: Duration = Duration::from_secs(5);

    const _: () = assert!(STEP.as_millis() >= 1, "timers of the runtime have 1 ms");
    const _: () = assert!(SENSOR_QUEUE as u128 * SENSOR_PERIOD.as_millis() >= 1_000);
}

//! Limits of this crate that no other crate needs, with the reason for each value.

use rt_config::limits::{FRAME_SAMPLES_MAX, MQTT_PACKET_BYTES_MAX, MQTT_TOPIC_BYTES_MAX};

/// Topics one subscriber may name. A plant with one topic a tag still fits one broker connection.
pub const SUBSCRIPTIONS_MAX: usize = 4_096;
/// Topics in one SUBSCRIBE packet; more are asked for in further packets, one after the other.
pub const SUBSCRIBE_TOPICS_MAX: usize = 64;
/// Fields of one subscription: one message is one frame.
pub const FIELDS_MAX: usize = FRAME_SAMPLES_MAX;
/// Publishes sent and not yet acknowledged. Small, so that little is sent again after a broken link; one round trip of
/// 16 alerts at 1 ms is 16,000 a second, far more than people can read.
pub const IN_FLIGHT_MAX: usize = 16;
/// Bytes of topics and payloads in the outbox. The count limit alone would allow 4 GiB.
pub const OUTBOX_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Bytes waiting for the socket: one of the largest packets, and room for acknowledgements and a PINGREQ.
pub const OUTPUT_BYTES: usize = MQTT_PACKET_BYTES_MAX + 16 * 1024;
/// Bytes of a client id. The standard obliges brokers to take 23; those in use take more, 128 is what we ask for at most.
pub const CLIENT_ID_BYTES_MAX: usize = 128;
/// Bytes of a user name or password; a JSON web token fits.
pub const CREDENTIAL_BYTES_MAX: usize = 4_096;
/// Bytes of a certificate or key file.
pub const PEM_BYTES_MAX: u64 = 1024 * 1024;
/// Steps of a JSON path. Also bounds the recursion of the reader.
pub const JSON_STEPS_MAX: usize = 32;
/// Bytes of a JSON path in the configuration.
pub const JSON_PATH_BYTES_MAX: usize = 512;
/// Bytes of a number in text. 64-bit floats print in at most 24; what is longer is no measurement.
pub const NUMBER_BYTES_MAX: usize = 64;
/// How far ahead of the newest sequence a message may be. What is further is older than the newest: the sequence wraps
/// at 2^32. A quarter, so that a recording is refused by its time before its sequence can be new again.
pub const SEQUENCE_AHEAD_MAX: u32 = 1 << 30;
/// How fast a source's clock may run against ours, in ppm. Crystals stay below 100, clocks that are being set below 500
/// (`adjtime`). What grows faster is a delay.
pub const CLOCK_DRIFT_PPM: u64 = 1_000;
/// Longest silence over which clocks may drift apart unseen, in ns: 60 ms of drift. Else silence would excuse delay.
pub const CLOCK_DRIFT_SPAN_NS: u64 = 60_000_000_000;
/// Bytes that are hashed to find out which of our topics a message was meant for: as much as the largest packet costs.
pub const ADDRESS_BYTES_MAX: usize = MQTT_PACKET_BYTES_MAX;
/// Keep-alive in seconds, at least. The wire carries whole seconds and 0 means "never": a dead link would look alive.
pub const KEEP_ALIVE_S_MIN: u64 = 1;
/// Keep-alive in seconds, at most: 16 bits on the wire (3.1.2.10).
pub const KEEP_ALIVE_S_MAX: u64 = 65_535;
/// Shortest back-off. Ten attempts a second cannot starve a broker or a core (H-16's MQTT sister).
pub const BACKOFF_MIN_MS: u64 = 100;

const _: () = assert!(
    SUBSCRIBE_TOPICS_MAX * (MQTT_TOPIC_BYTES_MAX + 3) + 16 <= MQTT_PACKET_BYTES_MAX,
    "a SUBSCRIBE of the longest topics must fit a packet"
);
const _: () = assert!(
    SUBSCRIPTIONS_MAX / SUBSCRIBE_TOPICS_MAX < 65_535,
    "each SUBSCRIBE has its own packet id"
);
const _: () = assert!(
    OUTPUT_BYTES >= MQTT_PACKET_BYTES_MAX + 4 * 1024,
    "a largest publish must leave room for acknowledgements and a PINGREQ"
);
const _: () = assert!(
    CLIENT_ID_BYTES_MAX + 2 * CREDENTIAL_BYTES_MAX + MQTT_TOPIC_BYTES_MAX + 32
        < MQTT_PACKET_BYTES_MAX / 2,
    "CONNECT must leave half a packet for the will's payload"
);

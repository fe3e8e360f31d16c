//! Strict MQTT 3.1.1 client (OASIS `mqtt-v3.1.1-os`): sensor subscriber and alert publisher.
//!
//! | module | what | knows |
//! |---|---|---|
//! | [`codec`] | bytes to packets and back, fixed buffers | nothing |
//! | [`envelope`] | who sent a message, in which order, undamaged | time, as an argument |
//! | [`payload`] | numbers out of text, JSON and binary payloads | nothing |
//! | [`session`] | the state machines of subscriber and publisher | time, as an argument |
//! | [`transport`] | TCP, TLS, the loops that drive a session | sockets, clock |
//! | [`config`], [`counters`] | what goes in, what can be seen from outside | |
//!
//! Which thread: an acquisition thread (subscriber) and a thread of the desk (publisher); never a lane.
//! May it block: [`codec`], [`payload`] and [`session`] never; [`transport`] only in `poll` and in name resolution.
//! Worst case: one `recv` of at most [`rt_config::limits::MQTT_PACKET_BYTES_MAX`] bytes and the parsing of one packet a step.
//! Hazards: H-17 and H-22 (a link is up only when every subscription was granted), H-18 (retained and redelivered values
//! are never fresh), H-19 and H-20 (envelopes), H-21 (giant, malformed and non-finite payloads), H-23 (every wait has a deadline), H-24 (the time of
//! a sample is the time of arrival), H-76 (nothing is delivered until its own PUBACK), H-77 (bounded outbox).
#![forbid(unsafe_code)]
#![cfg_attr(
    not(test),
    deny(
        clippy::indexing_slicing,
        clippy::as_conversions,
        clippy::arithmetic_side_effects
    )
)]

pub mod codec;
pub mod config;
pub mod counters;
pub mod envelope;
pub mod limits;
pub mod payload;
mod secret;
pub mod session;
pub mod transport;

pub use config::{
    BackoffConfig, BrokerConfig, CheckConfig, ConfigError, EnvelopeConfig, ErrorBudget, Extract,
    Field, PublisherConfig, SequenceField, SubscriberConfig, Subscription, TlsConfig,
    WaveformProblem, WaveformSubscription, Will,
};
pub use counters::{Counters, EnvelopeCounters, LinkChange, LinkError, TlsErrorKind};
pub use payload::{JsonPath, PathError};
pub use secret::{KeyFileError, PasswordFileError, Secret, read_key_file, read_password_file};
pub use transport::{Driver, Publisher, PublisherDriver, Step};

//! What can be seen of a link from outside: typed causes and counters.

use crate::codec::{ConnectRefusal, ProtocolError};
use drivers_frame::BlockCounters;
use std::fmt;

/// What TLS did not like. The handshake or the stream is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlsErrorKind {
    /// The broker's certificate was not issued by the CA in `ca_file`.
    UnknownIssuer,
    /// The broker's certificate has expired (or this host's clock is wrong).
    Expired,
    /// The broker's certificate is not valid yet (or this host's clock is wrong).
    NotYetValid,
    /// The broker's certificate is for another name than `server_name`.
    NameMismatch,
    /// The broker's certificate is broken or not fit for the purpose.
    BadCertificate,
    /// The broker ended the handshake with this alert (RFC 8446, 6): 42 to 46, 48, 49 and 116 mean our client certificate.
    Alert(u8),
    /// No TLS version or cipher in common.
    Incompatible,
    /// The broker broke the TLS protocol.
    Broken,
    /// What came is not TLS: often a plain MQTT port.
    NotTls,
}

/// Why a link is down. Numeric and `Copy`: it travels to the desk as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkError {
    /// The broker's name does not resolve.
    NameNotResolved,
    /// No socket, or connecting to the broker failed at once; the system's error number.
    Connect(i32),
    /// TCP or TLS did not come about within `connect_timeout`.
    ConnectTimeout,
    /// TLS failed.
    Tls(TlsErrorKind),
    /// CONNACK did not come within `connect_timeout`.
    ConnackTimeout,
    /// The broker refused the connection.
    Refused(ConnectRefusal),
    /// SUBACK did not come within `connect_timeout`.
    SubackTimeout,
    /// The broker refused the subscription with this index in the configuration (0x80; H-22).
    SubscriptionRefused(u16),
    /// The peer broke the protocol.
    Protocol(ProtocolError),
    /// No whole packet came for one and a half keep-alives.
    Silent,
    /// PINGRESP did not come within half a keep-alive.
    PingrespOverdue,
    /// The broker does not take what is sent: no byte went out for half a keep-alive, or the buffer is full (H-23).
    WriteStalled,
    /// PUBACK did not come within `ack_timeout` (H-76).
    PubackOverdue,
    /// The broker closed the connection.
    ClosedByBroker,
    /// Reading or writing failed; the system's error number.
    Io(i32),
    /// We left in order.
    Stopped,
}

impl fmt::Display for LinkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NameNotResolved => {
                f.write_str("the broker's name does not resolve; check `host`, or give an address")
            }
            Self::Connect(errno) => write!(
                f,
                "no connection ({}); check `host`, `port` and that the broker runs",
                std::io::Error::from_raw_os_error(*errno)
            ),
            Self::ConnectTimeout => f.write_str(
                "no connection in time; check `host`, `port`, firewalls, or raise `connect_timeout`",
            ),
            Self::Tls(kind) => write!(f, "TLS: {kind}"),
            Self::ConnackTimeout => {
                f.write_str("connected, but no CONNACK in time; is this port MQTT, and plain or TLS as configured?")
            }
            Self::Refused(refusal) => write!(
                f,
                "the broker refused the connection (code {}): {}",
                refusal.code(),
                match refusal {
                    ConnectRefusal::ProtocolVersion => "it does not speak MQTT 3.1.1",
                    ConnectRefusal::ClientId => "it does not allow this `client_id`",
                    ConnectRefusal::Unavailable => "its service is not available; tried again",
                    ConnectRefusal::Credentials => "wrong user name or password",
                    ConnectRefusal::NotAuthorized => "not authorised; check its access list",
                }
            ),
            Self::SubackTimeout => f.write_str("no SUBACK in time; check the broker's log"),
            Self::SubscriptionRefused(index) => write!(
                f,
                "the broker refused subscription {index}; check its access list for this user and topic"
            ),
            Self::Protocol(error) => write!(f, "the broker broke the protocol: {error}"),
            Self::Silent => f.write_str("no packet for one and a half keep-alives"),
            Self::PingrespOverdue => f.write_str("no PINGRESP within half a keep-alive"),
            Self::WriteStalled => f.write_str("the broker does not take what is sent"),
            Self::PubackOverdue => f.write_str("no PUBACK within `ack_timeout`"),
            Self::ClosedByBroker => f.write_str(
                "the broker closed the connection; check its log, and that no other client uses this `client_id`",
            ),
            Self::Io(errno) => write!(
                f,
                "the connection broke ({})",
                std::io::Error::from_raw_os_error(*errno)
            ),
            Self::Stopped => f.write_str("stopped"),
        }
    }
}

impl fmt::Display for TlsErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::UnknownIssuer => "the broker's certificate is not from the CA in `ca_file`",
            Self::Expired => "the broker's certificate has expired, or this host's clock is wrong",
            Self::NotYetValid => {
                "the broker's certificate is not valid yet, or this host's clock is wrong"
            }
            Self::NameMismatch => {
                "the broker's certificate is for another name; set `server_name` to the name in it"
            }
            Self::BadCertificate => "the broker's certificate is broken or not for a server",
            Self::Alert(alert) => {
                return write!(
                    f,
                    "the broker ended it with alert {alert}; check `client_cert` and `client_key`"
                );
            }
            Self::Incompatible => "no TLS version or cipher in common; 1.2 and 1.3 are spoken",
            Self::Broken => "the broker broke the TLS protocol",
            Self::NotTls => "what the broker sends is not TLS; is this its plain port?",
        })
    }
}

impl std::error::Error for LinkError {}

/// An edge of a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkChange {
    /// Connected, and every subscription was granted.
    Up,
    /// It was up and is not any more.
    Down(LinkError),
    /// An attempt failed; the next comes after the back-off.
    AttemptFailed(LinkError),
}

/// What the envelopes of a link's topics showed: the errors of [`crate::envelope::EnvelopeError`], and what is no error.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EnvelopeCounters {
    /// Damaged, or no envelope at all (H-21).
    pub corrupted: u64,
    /// Came before (H-18).
    pub repeated: u64,
    /// Older than the newest, or a recording (H-18, H-19).
    pub wrong_sequence: u64,
    /// Missing (H-17).
    pub lost: u64,
    /// On their way for too long.
    pub delayed: u64,
    /// Of another source (H-20).
    pub inserted: u64,
    /// Of our source's name, without its key (H-20).
    pub masquerade: u64,
    /// Meant for another of our topics.
    pub wrong_address: u64,
    /// Times the source's clock was set (H-24).
    pub clock_jumps: u64,
    /// Times the source began anew.
    pub source_restarts: u64,
    /// Times a topic's tags became bad because its budget was used up.
    pub budgets_exceeded: u64,
}

/// Everything a link counts since it was made. All counters saturate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Attempts to connect.
    pub attempts: u64,
    /// Times the link came up.
    pub ups: u64,
    /// Times it went down after it was up.
    pub downs: u64,
    /// Attempts that failed in TCP or name resolution.
    pub connect_failures: u64,
    /// Attempts or links that failed in TLS.
    pub tls_failures: u64,
    /// Attempts refused with a CONNACK code.
    pub connack_refused: u64,
    /// Attempts in which a subscription was refused (H-22).
    pub suback_refused: u64,
    /// Topics granted with a lower QoS than was asked for.
    pub qos_lowered: u64,
    /// Links or attempts ended by a deadline: CONNACK, SUBACK, PINGRESP, PUBACK, silence, stalled writes (H-23).
    pub progress_timeouts: u64,
    /// Links closed because the peer broke the protocol.
    pub protocol_errors: u64,
    /// PINGREQs sent.
    pub pings: u64,

    /// Messages received, dropped ones included.
    pub messages: u64,
    /// Frames handed over.
    pub frames: u64,
    /// Messages dropped because they were retained: their age is not known (H-18).
    pub dropped_retained: u64,
    /// Messages dropped because they were delivered again (DUP): their age is not known (H-18).
    pub dropped_duplicate: u64,
    /// Messages larger than the buffer: skipped, their tags bad (H-21).
    pub oversize: u64,
    /// Messages of which at least one field was malformed (H-21).
    pub malformed: u64,
    /// Messages of a topic that nobody asked for.
    pub unknown_topic: u64,
    /// Frames lost because the queue into the lane was full (H-25).
    pub queue_full: u64,

    /// What envelopes showed.
    pub envelope: EnvelopeCounters,

    /// What became of the blocks of waveforms.
    pub blocks: BlockCounters,

    /// Publishes taken into the outbox.
    pub accepted: u64,
    /// Publishes sent, repetitions included.
    pub sent: u64,
    /// Publishes sent again after a broken link (DUP).
    pub resent: u64,
    /// Publishes acknowledged by their own PUBACK.
    pub delivered: u64,
    /// PUBACKs for packet ids that are not in flight: nothing is delivered by them.
    pub puback_unknown: u64,
    /// Publishes refused because the outbox was full (H-77).
    pub outbox_full: u64,

    /// Why the link went down or an attempt failed, the last time.
    pub last_error: Option<LinkError>,
}

/// Adds one.
pub(crate) fn count(counter: &mut u64) {
    *counter = counter.saturating_add(1);
}

impl Counters {
    /// Sorts a failure into its counters and keeps it.
    pub(crate) fn failed(&mut self, error: LinkError, was_up: bool) {
        if was_up {
            count(&mut self.downs);
        }
        match error {
            LinkError::NameNotResolved | LinkError::Connect(_) | LinkError::ConnectTimeout => {
                count(&mut self.connect_failures);
            }
            LinkError::Tls(_) => count(&mut self.tls_failures),
            LinkError::Refused(_) => count(&mut self.connack_refused),
            LinkError::SubscriptionRefused(_) => count(&mut self.suback_refused),
            LinkError::Protocol(_) => count(&mut self.protocol_errors),
            LinkError::ConnackTimeout
            | LinkError::SubackTimeout
            | LinkError::Silent
            | LinkError::PingrespOverdue
            | LinkError::WriteStalled
            | LinkError::PubackOverdue => count(&mut self.progress_timeouts),
            LinkError::ClosedByBroker | LinkError::Io(_) | LinkError::Stopped => {}
        }
        self.last_error = Some(error);
    }
}

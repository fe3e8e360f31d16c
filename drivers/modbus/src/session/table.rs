//! The session's state machine as a table. `tests/golden/session.txt` shows it whole.
//!
//! ```text
//!              ConnectStarted              Connected
//! Disconnected ──────────────▶ Connecting ──────────▶ Idle ◀──────────┐
//!      ▲                           │                  │ │ Sent        │ Reply, Exception
//!      │ Closed                    │ failed, expired  │ ▼             │
//!      └───────── Closing ◀────────┴──────────────────┴ Awaiting ─────┘
//!                             anything else at all        ⟲ Partial
//! ```

/// Where a connection stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Phase {
    /// No socket; waiting for the next attempt.
    Disconnected,
    /// A connection attempt runs.
    Connecting,
    /// Connected, no request outstanding.
    Idle,
    /// One request outstanding.
    Awaiting,
    /// Given up; the socket is still to be closed. Nothing that arrives now counts.
    Closing,
}

/// What happens to a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Event {
    /// A connection attempt has begun.
    ConnectStarted,
    /// It has succeeded.
    Connected,
    /// It has failed.
    ConnectFailed,
    /// Its deadline, or a reply's, has passed (H-6, H-12, H-14).
    Expired,
    /// A whole request is with the kernel.
    Sent,
    /// The kernel did not take a whole request of 12 bytes: the peer's window is shut (H-15).
    ShortSend,
    /// Bytes that are not yet a whole frame.
    Partial,
    /// The right reply.
    Reply,
    /// An exception reply to our request (H-10).
    Exception,
    /// Bytes that are none of these (H-7, H-8, H-9, H-11, H-13).
    Anomaly,
    /// The peer has closed its half (H-15).
    Eof,
    /// A system call failed (H-15).
    IoError,
    /// The socket has been closed.
    Closed,
}

impl Phase {
    /// Every phase.
    pub const ALL: [Self; 5] = [
        Self::Disconnected,
        Self::Connecting,
        Self::Idle,
        Self::Awaiting,
        Self::Closing,
    ];
}

impl Event {
    /// Every event.
    pub const ALL: [Self; 13] = [
        Self::ConnectStarted,
        Self::Connected,
        Self::ConnectFailed,
        Self::Expired,
        Self::Sent,
        Self::ShortSend,
        Self::Partial,
        Self::Reply,
        Self::Exception,
        Self::Anomaly,
        Self::Eof,
        Self::IoError,
        Self::Closed,
    ];
}

/// The phase after `event`; `None` when the event says nothing in this phase and is ignored.
///
/// While connected, every event but the expected one leads to [`Phase::Closing`]: a stream that was wrong once is never
/// trusted again, because its next answer may belong to an earlier question.
pub const fn next(phase: Phase, event: Event) -> Option<Phase> {
    use Event as E;
    use Phase as P;
    match (phase, event) {
        (P::Disconnected, E::ConnectStarted) => Some(P::Connecting),
        // The attempt may fail before it has begun (no route, no descriptors).
        (P::Disconnected | P::Connecting, E::ConnectFailed) => Some(P::Closing),
        (P::Disconnected, _) => None,

        (P::Connecting, E::Connected) => Some(P::Idle),
        (P::Connecting, E::Expired | E::IoError | E::Eof) => Some(P::Closing),
        (P::Connecting, _) => None,

        (P::Idle, E::Sent) => Some(P::Awaiting),
        // Whatever arrives while nothing is asked is unsolicited, whatever it looks like.
        (P::Idle, E::Partial | E::Reply | E::Exception | E::Anomaly) => Some(P::Closing),
        (P::Idle, E::ShortSend | E::Eof | E::IoError) => Some(P::Closing),
        (P::Idle, _) => None,

        (P::Awaiting, E::Partial) => Some(P::Awaiting),
        (P::Awaiting, E::Reply | E::Exception) => Some(P::Idle),
        (P::Awaiting, E::Anomaly | E::Expired | E::Eof | E::IoError) => Some(P::Closing),
        (P::Awaiting, _) => None,

        (P::Closing, E::Closed) => Some(P::Disconnected),
        (P::Closing, _) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fmt::Write;

    #[test]
    fn the_table_is_the_golden_file() {
        let mut dump = String::from(
            "# Modbus session: phase, event, next phase; '-' is ignored. UPDATE_GOLDEN=1 writes this file anew.\n",
        );
        for phase in Phase::ALL {
            for event in Event::ALL {
                let (from, on) = (format!("{phase:?}"), format!("{event:?}"));
                let to = next(phase, event).map_or("-".into(), |to| format!("{to:?}"));
                writeln!(dump, "{from:<13} {on:<15} {to}").unwrap();
            }
        }
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/session.txt");
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            std::fs::write(path, &dump).unwrap();
        }
        assert_eq!(std::fs::read_to_string(path).unwrap(), dump);
    }

    #[test]
    fn only_a_closed_socket_leaves_closing_and_only_a_request_awaits() {
        for event in Event::ALL {
            let leaves = next(Phase::Closing, event).is_some();
            assert_eq!(leaves, event == Event::Closed);
            for phase in Phase::ALL {
                if phase != Phase::Awaiting && next(phase, event) == Some(Phase::Awaiting) {
                    assert_eq!((phase, event), (Phase::Idle, Event::Sent));
                }
            }
        }
    }
}

//! What can be seen of a session from outside: counters, errors, changes of the link. All `Copy`.

use drivers_frame::BlockCounters;

use crate::codec::{ExceptionCode, FrameError, ReadRequest, ReplyError};
use crate::fault::IoFault;

/// Why a connection was given up, or the device's last refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SessionError {
    /// The connection attempt failed (H-16).
    Connect(IoFault),
    /// The connection attempt took too long.
    ConnectTimeout,
    /// No whole reply by the deadline (H-6, H-12, H-14).
    Timeout {
        /// Bytes of the reply that had come.
        received: usize,
    },
    /// The stream has lost its framing (H-11).
    Frame(FrameError),
    /// A frame that is not the reply to our request (H-7, H-8, H-9).
    Reply(ReplyError),
    /// Bytes that answer no request (H-13).
    Unsolicited {
        /// How many.
        received: usize,
    },
    /// The device closed the connection (H-15).
    Eof {
        /// Bytes of a reply that had come.
        received: usize,
    },
    /// A system call failed (H-15).
    Io(IoFault),
    /// The kernel took less than a whole request: what was sent before has not been acknowledged (H-15).
    ShortSend {
        /// Bytes taken, of 12.
        sent: usize,
    },
    /// The device refuses a read (H-10). The connection goes on.
    Exception {
        /// Why.
        code: ExceptionCode,
        /// What was asked.
        request: ReadRequest,
    },
}

impl core::fmt::Display for SessionError {
    /// What happened, in one line for people.
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Connect(fault) => write!(f, "no connection ({fault})"),
            Self::ConnectTimeout => write!(f, "no connection in time"),
            Self::Timeout { received } => {
                write!(f, "no whole reply in time ({received} bytes had come)")
            }
            Self::Frame(error) => write!(f, "not a Modbus frame: {error}"),
            Self::Reply(error) => write!(f, "not the reply to the request: {error}"),
            Self::Unsolicited { received } => write!(f, "{received} bytes that nobody asked for"),
            Self::Eof { received } => write!(
                f,
                "the device closed the connection ({received} bytes of a reply had come)"
            ),
            Self::Io(fault) => write!(f, "the connection broke ({fault})"),
            Self::ShortSend { sent } => write!(f, "the kernel took {sent} of 12 bytes"),
            Self::Exception { code, request } => write!(
                f,
                "exception {code} to a read of {} {} from address {}",
                request.count, request.table, request.address
            ),
        }
    }
}

/// What happened since construction. No counter is ever reset; each saturates.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Whole requests handed to the kernel.
    pub requests: u64,
    /// Right replies, exception replies not among them.
    pub replies: u64,
    /// Replies that did not come by their deadline.
    pub timeouts: u64,
    /// Connections that came up.
    pub connects: u64,
    /// Connection attempts that failed or took too long.
    pub connect_failures: u64,
    /// Connections given up for anything but a timeout.
    pub anomalies: u64,
    /// Exception replies.
    pub exceptions: u64,
    /// Frames that the queue had no room for.
    pub queue_full: u64,
    /// Blocks split in two.
    pub splits: u64,
    /// Poll periods that passed without a cycle of their own while connected.
    pub missed_periods: u64,
    /// What became of the blocks of waveforms.
    pub blocks: BlockCounters,
}

/// State of the link as people see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkState {
    /// Not connected.
    Down,
    /// Being connected, or connected and still without an answer.
    Connecting,
    /// The device has answered on this connection.
    Up,
}

/// The link went up or down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LinkChange {
    /// Whether the device answers now.
    pub up: bool,
    /// Why not, when it went down.
    pub cause: Option<SessionError>,
}

//! Where a connection stands, and what its owner has to do.

use drivers_frame::MonoNs;

use super::WindowRead;
use super::table::Phase;

/// Where the connection stands, with the time that ends the wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// No socket.
    Disconnected {
        /// When to try again.
        retry_at: MonoNs,
    },
    /// A connection attempt runs.
    Connecting {
        /// When it counts as failed.
        deadline: MonoNs,
    },
    /// Connected, nothing asked.
    Idle {
        /// When the next read of points is due; one of a window may be earlier.
        due: MonoNs,
    },
    /// One request outstanding.
    Awaiting {
        /// Its id.
        transaction: u16,
        /// What it reads.
        reading: Reading,
        /// When its reply counts as missing.
        deadline: MonoNs,
    },
    /// Given up; the socket is to be closed.
    Closing {
        /// When to try again.
        retry_at: MonoNs,
    },
}

impl State {
    /// The row of the [`table`].
    pub const fn phase(&self) -> Phase {
        match self {
            Self::Disconnected { .. } => Phase::Disconnected,
            Self::Connecting { .. } => Phase::Connecting,
            Self::Idle { .. } => Phase::Idle,
            Self::Awaiting { .. } => Phase::Awaiting,
            Self::Closing { .. } => Phase::Closing,
        }
    }
}

/// What a request reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reading {
    /// A block of points, by its place in the plan.
    Points(usize),
    /// For a waveform's window.
    Window(WindowRead),
}

/// What the owner of the socket has to do now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Start to connect, then [`super::Session::on_connecting`] or [`super::Session::on_connect_failed`].
    Connect,
    /// See whether the connection is up, then [`super::Session::on_connected`] or [`super::Session::on_connect_failed`].
    PollConnect {
        /// When the attempt counts as failed.
        deadline: MonoNs,
    },
    /// Send [`super::Session::request`] in one call, then [`super::Session::on_sent`] or [`super::Session::on_io_error`].
    Send,
    /// Receive if anything is there: into [`super::Session::space`] when it gives one, then [`super::Session::on_received`]; else
    /// anywhere, then [`super::Session::on_bytes`]. Or [`super::Session::on_eof`], [`super::Session::on_io_error`].
    Receive {
        /// When there is something else to do.
        deadline: MonoNs,
    },
    /// Close the socket, then [`super::Session::on_closed`].
    Close,
    /// Nothing until then.
    Wait {
        /// When to ask again.
        until: MonoNs,
    },
}

/// What came of some bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// A frame or a waveform's block was pushed.
    Frame,
    /// None was.
    Progress,
}

//! A non-blocking byte stream, plain or TLS.

use super::tls;
use crate::counters::LinkError;
use crate::session::Wrote;
use drivers_frame::DurNs;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fd::{AsFd, BorrowedFd};
use rustix::net::SendFlags;
use rustls::ClientConnection;
use socket2::{Domain, Protocol, SockAddr, Socket, Type};
use std::io::{ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::time::Duration;

/// What a read brought.
pub(super) enum Received {
    /// So many bytes; with TLS it may be none although something was read.
    Bytes(usize),
    /// The socket has nothing.
    Nothing,
}

pub(super) struct Stream {
    socket: Socket,
    /// Boxed: a connection is some hundred bytes, and most links are plain.
    tls: Option<Box<ClientConnection>>,
}

impl Stream {
    /// Starts to connect.
    pub(super) fn connect(
        address: SocketAddr,
        tls: Option<ClientConnection>,
        user_timeout: DurNs,
    ) -> Result<Self, LinkError> {
        let start = || -> std::io::Result<Socket> {
            let domain = Domain::for_address(address);
            let socket = Socket::new(domain, Type::STREAM, Some(Protocol::TCP))?;
            socket.set_nonblocking(true)?;
            // One packet, one segment, at once.
            socket.set_tcp_nodelay(true)?;
            // Bytes that nobody acknowledges end the link in the kernel too (H-15).
            socket.set_tcp_user_timeout(Some(Duration::from_nanos(user_timeout.as_ns())))?;
            match socket.connect(&SockAddr::from(address)) {
                Ok(()) => Ok(socket),
                Err(error) if error.raw_os_error() == Some(in_progress()) => Ok(socket),
                Err(error) => Err(error),
            }
        };
        Ok(Self {
            socket: start().map_err(|error| LinkError::Connect(errno(&error)))?,
            tls: tls.map(Box::new),
        })
    }

    /// Whether TCP has come about.
    pub(super) fn tcp_connected(&self) -> Result<bool, LinkError> {
        let mut fds = [PollFd::new(&self.socket, PollFlags::OUT)];
        let ready = poll(&mut fds, Some(&Timespec::default()));
        match ready {
            Ok(0) | Err(rustix::io::Errno::INTR) => return Ok(false),
            Err(error) => return Err(LinkError::Connect(error.raw_os_error())),
            Ok(_) => {}
        }
        match self.socket.take_error() {
            Ok(None) => Ok(true),
            Ok(Some(error)) | Err(error) => Err(LinkError::Connect(errno(&error))),
        }
    }

    /// Goes on with the TLS handshake; true when it is complete (at once for a plain stream).
    pub(super) fn handshake(&mut self) -> Result<bool, LinkError> {
        let Some(connection) = &mut self.tls else {
            return Ok(true);
        };
        loop {
            flush(connection, &self.socket)?;
            if !connection.is_handshaking() {
                return Ok(true);
            }
            // Ends: each turn takes bytes off the socket, and a handshake has a largest size.
            match connection.read_tls(&mut &self.socket) {
                Ok(0) => return Err(LinkError::ClosedByBroker),
                Ok(_) => process(connection, &self.socket)?,
                Err(error) if is_not_ready(&error) => return Ok(false),
                Err(error) => return Err(LinkError::Io(errno(&error))),
            }
        }
    }

    /// One read.
    pub(super) fn receive(&mut self, space: &mut [u8]) -> Result<Received, LinkError> {
        let Some(connection) = &mut self.tls else {
            return match (&self.socket).read(space) {
                Ok(0) => Err(LinkError::ClosedByBroker),
                Ok(count) => Ok(Received::Bytes(count)),
                Err(error) if is_not_ready(&error) => Ok(Received::Nothing),
                Err(error) => Err(LinkError::Io(errno(&error))),
            };
        };
        if let Some(count) = plaintext(connection, space)? {
            return Ok(Received::Bytes(count));
        }
        match connection.read_tls(&mut &self.socket) {
            Ok(0) => return Err(LinkError::ClosedByBroker),
            Ok(_) => process(connection, &self.socket)?,
            Err(error) if is_not_ready(&error) => return Ok(Received::Nothing),
            Err(error) => return Err(LinkError::Io(errno(&error))),
        }
        Ok(Received::Bytes(plaintext(connection, space)?.unwrap_or(0)))
    }

    /// One write of what fits.
    pub(super) fn send(&mut self, bytes: &[u8]) -> Result<Wrote, LinkError> {
        let Some(connection) = &mut self.tls else {
            return match rustix::net::send(&self.socket, bytes, SendFlags::NOSIGNAL) {
                Ok(count) => Ok(Wrote {
                    accepted: count,
                    progressed: count > 0,
                    backlog: false,
                }),
                Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => Ok(Wrote::default()),
                Err(error) => Err(LinkError::Io(error.raw_os_error())),
            };
        };
        let mut progressed = flush(connection, &self.socket)?;
        let mut accepted = 0;
        // New bytes only when the old ones are out: what TLS holds back stays bounded by one output buffer.
        if !connection.wants_write() {
            accepted = connection
                .writer()
                .write(bytes)
                .map_err(|error| LinkError::Io(errno(&error)))?;
            progressed |= flush(connection, &self.socket)?;
        }
        Ok(Wrote {
            accepted,
            progressed,
            backlog: connection.wants_write(),
        })
    }

    /// Whether TLS holds bytes that the socket has not taken.
    pub(super) fn has_backlog(&self) -> bool {
        self.tls.as_ref().is_some_and(|tls| tls.wants_write())
    }

    pub(super) fn is_tls(&self) -> bool {
        self.tls.is_some()
    }

    pub(super) fn fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// Decrypted bytes, if there are any.
fn plaintext(
    connection: &mut ClientConnection,
    space: &mut [u8],
) -> Result<Option<usize>, LinkError> {
    match connection.reader().read(space) {
        Ok(0) => Err(LinkError::ClosedByBroker),
        Ok(count) => Ok(Some(count)),
        Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(None),
        // Closed without close_notify: what was cut off is no whole packet, so nothing false was believed.
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => Err(LinkError::ClosedByBroker),
        Err(error) => Err(LinkError::Io(errno(&error))),
    }
}

fn process(connection: &mut ClientConnection, socket: &Socket) -> Result<(), LinkError> {
    match connection.process_new_packets() {
        Ok(_) => Ok(()),
        Err(error) => {
            // Tell the broker why, if it still listens; ours is the error that counts.
            let _ = flush(connection, socket);
            Err(LinkError::Tls(tls::kind_of(&error)))
        }
    }
}

/// Writes TLS records until the socket is full; true when any byte went out.
fn flush(connection: &mut ClientConnection, socket: &Socket) -> Result<bool, LinkError> {
    let mut progressed = false;
    while connection.wants_write() {
        match connection.write_tls(&mut &*socket) {
            Ok(0) => return Err(LinkError::ClosedByBroker),
            Ok(_) => progressed = true,
            Err(error) if is_not_ready(&error) => break,
            Err(error) => return Err(LinkError::Io(errno(&error))),
        }
    }
    Ok(progressed)
}

fn is_not_ready(error: &std::io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted)
}

fn in_progress() -> i32 {
    rustix::io::Errno::INPROGRESS.raw_os_error()
}

/// The system's number; EIO for errors that a library made up.
pub(super) fn errno(error: &std::io::Error) -> i32 {
    error
        .raw_os_error()
        .unwrap_or(rustix::io::Errno::IO.raw_os_error())
}

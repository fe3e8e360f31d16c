//! One non-blocking TCP connection.

use std::io::IoSliceMut;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags};
use socket2::{Domain, Protocol, SockAddr, Socket, Type};

use crate::fault::IoFault;
use crate::limits::USER_TIMEOUT_MS;

/// How far a connection attempt is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Connect {
    /// The peer has not answered yet.
    InProgress,
    /// Bytes may be sent.
    Up,
}

/// What one `recv` gave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Received {
    /// That many bytes at the start of the buffer; at least one.
    Bytes(usize),
    /// Nothing is there now.
    Empty,
    /// The peer has closed its half; nothing will come any more.
    Eof,
}

/// One TCP connection that never blocks: `TCP_NODELAY`, `TCP_USER_TIMEOUT`, one `send` per frame.
///
/// It knows no frames and no time: deadlines belong to whoever steps it. After any [`IoFault`] the caller closes it.
#[derive(Debug, Default)]
pub struct Link {
    socket: Option<Socket>,
}

impl Link {
    /// Not connected.
    pub fn new() -> Self {
        Self { socket: None }
    }

    /// Closes what was open and starts to connect to `address`.
    ///
    /// # Errors
    /// [`IoFault`] when the attempt fails at once (refused, no route, no more descriptors); the link is then closed.
    pub fn start(&mut self, address: SocketAddr) -> Result<(), IoFault> {
        self.close();
        let socket = Socket::new(
            Domain::for_address(address),
            Type::STREAM.nonblocking().cloexec(),
            Some(Protocol::TCP),
        )?;
        socket.set_tcp_nodelay(true)?;
        socket.set_tcp_user_timeout(Some(Duration::from_millis(USER_TIMEOUT_MS)))?;
        match socket.connect(&SockAddr::from(address)) {
            Ok(()) => {}
            Err(error) if error.raw_os_error() == Some(Errno::INPROGRESS.raw_os_error()) => {}
            Err(error) => return Err(error.into()),
        }
        self.socket = Some(socket);
        Ok(())
    }

    /// Whether the connection is up. Does not wait: call it again when the descriptor is writable.
    ///
    /// A connection to itself is refused: a connect to a port of the ephemeral range on this host may choose that very
    /// port as its own, and then every write would be echoed, and so confirmed, by nobody.
    ///
    /// # Errors
    /// [`IoFault`] when the attempt has failed, or none was started (`ENOTCONN`).
    pub fn poll_connect(&mut self) -> Result<Connect, IoFault> {
        let socket = self.open()?;
        if let Some(error) = socket.take_error()? {
            return Err(error.into());
        }
        let peer = match socket.peer_addr() {
            Ok(peer) => peer,
            Err(error) if error.raw_os_error() == Some(Errno::NOTCONN.raw_os_error()) => {
                return Ok(Connect::InProgress);
            }
            Err(error) => return Err(error.into()),
        };
        if socket.local_addr()? == peer {
            return Err(Errno::CONNREFUSED.into());
        }
        Ok(Connect::Up)
    }

    /// Sends as much of `bytes` as the kernel takes at once; 0 when it takes none now.
    ///
    /// # Errors
    /// [`IoFault`] when the connection is broken or not open (`ENOTCONN`).
    pub fn send(&mut self, bytes: &[u8]) -> Result<usize, IoFault> {
        let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
        match rustix::net::send(self.open()?, bytes, flags) {
            Ok(sent) => Ok(sent),
            Err(error) if is_later(error) => Ok(0),
            Err(error) => Err(error.into()),
        }
    }

    /// Takes what has arrived. `buf` must not be empty, or an end of stream is reported.
    ///
    /// # Errors
    /// [`IoFault`] when the connection is broken or not open (`ENOTCONN`).
    pub fn recv(&mut self, buf: &mut [u8]) -> Result<Received, IoFault> {
        match rustix::net::recv(self.open()?, buf, RecvFlags::DONTWAIT) {
            Ok((0, _)) => Ok(Received::Eof),
            Ok((count, _)) => Ok(Received::Bytes(count)),
            Err(error) if is_later(error) => Ok(Received::Empty),
            Err(error) => Err(error.into()),
        }
    }

    /// Takes what has arrived into several places, one after the other, in one call. Not all of them may be empty.
    ///
    /// # Errors
    /// As [`Link::recv`].
    pub fn recv_scattered(
        &mut self,
        places: &mut [IoSliceMut<'_>; 3],
    ) -> Result<Received, IoFault> {
        // The socket is non-blocking, so this is as `recv`, which takes one place only.
        match rustix::io::readv(self.open()?, places) {
            Ok(0) => Ok(Received::Eof),
            Ok(count) => Ok(Received::Bytes(count)),
            Err(error) if is_later(error) => Ok(Received::Empty),
            Err(error) => Err(error.into()),
        }
    }

    /// Closes the connection; nothing happens when none is open. Bytes already sent are still delivered by the kernel.
    pub fn close(&mut self) {
        self.socket = None;
    }

    /// Closes the connection and throws away what the kernel has not delivered yet: the peer sees a reset, if anything.
    pub fn abort(&mut self) {
        if let Some(socket) = self.socket.take() {
            // Without it the connection is closed in order, which is what `close` does.
            let _ = socket.set_linger(Some(Duration::ZERO));
        }
    }

    /// The descriptor, to wait on; `None` while not open.
    pub fn fd(&self) -> Option<BorrowedFd<'_>> {
        self.socket.as_ref().map(AsFd::as_fd)
    }

    fn open(&self) -> Result<&Socket, IoFault> {
        self.socket.as_ref().ok_or(Errno::NOTCONN.into())
    }
}

/// Whether the call would only have to be made again. `EAGAIN` and `EWOULDBLOCK` are one number on Linux.
fn is_later(error: Errno) -> bool {
    error == Errno::AGAIN || error == Errno::INTR
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::net::{Ipv4Addr, TcpListener};
    use std::time::Instant;

    const PATIENCE: Duration = Duration::from_secs(20);

    fn connected() -> (Link, std::net::TcpStream) {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let mut link = Link::new();
        link.start(listener.local_addr().unwrap()).unwrap();
        let (peer, _) = listener.accept().unwrap();
        wait(|| link.poll_connect().unwrap() == Connect::Up);
        (link, peer)
    }

    fn wait(mut done: impl FnMut() -> bool) {
        let until = Instant::now() + PATIENCE;
        while !done() {
            assert!(Instant::now() < until, "nothing happened in {PATIENCE:?}");
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    #[test]
    fn bytes_go_both_ways_and_an_end_is_an_end() {
        let (mut link, mut peer) = connected();
        let mut buf = [0; 16];
        assert_eq!(link.recv(&mut buf), Ok(Received::Empty));
        assert_eq!(link.send(b"ping"), Ok(4));
        let mut got = [0; 4];
        peer.read_exact(&mut got).unwrap();
        assert_eq!(&got, b"ping");
        peer.write_all(b"pong").unwrap();
        let mut received = Received::Empty;
        wait(|| {
            received = link.recv(&mut buf).unwrap();
            received != Received::Empty
        });
        assert_eq!(received, Received::Bytes(4));
        drop(peer);
        wait(|| link.recv(&mut buf) == Ok(Received::Eof));
        link.close();
        link.close();
        assert!(link.fd().is_none());
    }

    #[test]
    fn h60_a_connection_that_is_given_up_delivers_nothing_any_more() {
        let (mut link, mut peer) = connected();
        link.abort();
        assert!(link.fd().is_none());
        let gone = peer.read(&mut [0; 4]).map_err(|error| error.kind());
        assert_eq!(gone, Err(std::io::ErrorKind::ConnectionReset));
    }

    #[test]
    fn the_socket_sends_small_frames_at_once_and_gives_up_dead_peers_h_15() {
        let (link, _peer) = connected();
        let socket = link.socket.as_ref().unwrap();
        assert!(socket.tcp_nodelay().unwrap());
        assert!(socket.nonblocking().unwrap());
        let timeout = socket.tcp_user_timeout().unwrap();
        assert_eq!(timeout, Some(Duration::from_millis(USER_TIMEOUT_MS)));
    }

    #[test]
    fn h_15_a_window_that_stays_shut_takes_nothing_and_blocks_nobody() {
        let (mut link, _peer) = connected();
        let block = vec![0u8; 65_536];
        let mut total = 0usize;
        wait(|| {
            let sent = link.send(&block).unwrap();
            total += sent;
            sent == 0
        });
        assert!(total > 0);
    }

    #[test]
    fn h_16_a_refused_connection_is_an_error_and_leaves_nothing_open() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        drop(listener);
        let mut link = Link::new();
        let mut fault = link.start(address).err();
        wait(|| {
            fault = fault.or_else(|| link.poll_connect().err());
            fault.is_some()
        });
        let refused = IoFault::from(Errno::CONNREFUSED);
        assert_eq!(fault, Some(refused));
    }

    #[test]
    fn a_connection_to_itself_is_refused() {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP)).unwrap();
        let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        socket.bind(&any.into()).unwrap();
        let own = socket.local_addr().unwrap();
        socket.connect(&own).unwrap();
        let mut link = Link {
            socket: Some(socket),
        };
        assert_eq!(link.send(b"x"), Ok(1), "it is connected, to itself");
        assert_eq!(link.poll_connect(), Err(Errno::CONNREFUSED.into()));
    }

    #[test]
    fn a_link_that_is_not_open_says_so() {
        let mut link = Link::new();
        let fault = IoFault::from(Errno::NOTCONN);
        assert_eq!(link.poll_connect(), Err(fault));
        assert_eq!(link.send(b"x"), Err(fault));
        assert_eq!(link.recv(&mut [0; 4]), Err(fault));
    }
}

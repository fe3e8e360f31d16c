//! What a driver and an output need of a connection: a socket in the product, simulated bytes in the simulator.

use std::io::IoSliceMut;
use std::net::SocketAddr;

use super::{Connect, Link, Received};
use crate::fault::IoFault;

/// One connection that never blocks. [`Link`] is the real one; every method does what its namesake there does.
pub trait Wire {
    /// Closes what was open and starts to connect.
    ///
    /// # Errors
    /// As [`Link::start`].
    fn start(&mut self, address: SocketAddr) -> Result<(), IoFault>;

    /// Whether the connection is up.
    ///
    /// # Errors
    /// As [`Link::poll_connect`].
    fn poll_connect(&mut self) -> Result<Connect, IoFault>;

    /// Sends as much as is taken at once.
    ///
    /// # Errors
    /// As [`Link::send`].
    fn send(&mut self, bytes: &[u8]) -> Result<usize, IoFault>;

    /// Takes what has arrived.
    ///
    /// # Errors
    /// As [`Link::recv`].
    fn recv(&mut self, buf: &mut [u8]) -> Result<Received, IoFault>;

    /// Takes what has arrived into several places, one after the other.
    ///
    /// # Errors
    /// As [`Link::recv`].
    fn recv_scattered(&mut self, places: &mut [IoSliceMut<'_>; 3]) -> Result<Received, IoFault> {
        let mut total = 0_usize;
        for place in places {
            if place.is_empty() {
                continue;
            }
            match self.recv(place) {
                Ok(Received::Bytes(count)) => {
                    total = total.saturating_add(count);
                    if count < place.len() {
                        break;
                    }
                }
                // What came before counts first; the end or the fault is still there the next time.
                _ if total > 0 => break,
                other => return other,
            }
        }
        Ok(Received::Bytes(total))
    }

    /// Closes it.
    fn close(&mut self);

    /// As [`Link::abort`].
    fn abort(&mut self);
}

impl Wire for Link {
    fn start(&mut self, address: SocketAddr) -> Result<(), IoFault> {
        Self::start(self, address)
    }

    fn poll_connect(&mut self) -> Result<Connect, IoFault> {
        Self::poll_connect(self)
    }

    fn send(&mut self, bytes: &[u8]) -> Result<usize, IoFault> {
        Self::send(self, bytes)
    }

    fn recv(&mut self, buf: &mut [u8]) -> Result<Received, IoFault> {
        Self::recv(self, buf)
    }

    fn recv_scattered(&mut self, places: &mut [IoSliceMut<'_>; 3]) -> Result<Received, IoFault> {
        Self::recv_scattered(self, places)
    }

    fn close(&mut self) {
        Self::close(self);
    }

    fn abort(&mut self) {
        Self::abort(self);
    }
}

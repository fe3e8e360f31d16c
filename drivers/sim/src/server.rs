//! A station on a socket: [`Image`] served by tokio-modbus, an implementation of the protocol that is not ours.
//!
//! Which thread: the plant's, one task a connection. May it block: no; the mutex is held for one request. Hazards made
//! here: H-6, H-7, H-10, H-15.

use crate::image::{Answering, Image, Refusal, Table};
use crate::limits::MODBUS_CONNECTIONS_MAX;
use std::collections::BTreeMap;
use std::future::Future;
use std::io;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio_modbus::server::{Service, tcp::Server};
use tokio_modbus::{ExceptionCode, Request, Response, SlaveRequest};

/// A station: its memory, and a second handle on each of its connections so that they can be cut.
#[derive(Debug)]
pub(crate) struct Station {
    image: Mutex<Image>,
    epoch: Instant,
    links: Mutex<BTreeMap<u64, TcpStream>>,
}

impl Station {
    pub(crate) fn new(image: Image, epoch: Instant) -> Arc<Self> {
        Arc::new(Self {
            image: Mutex::new(image),
            epoch,
            links: Mutex::new(BTreeMap::new()),
        })
    }

    /// The memory. A panic elsewhere while it was locked cannot leave it half-written in a way that matters here.
    pub(crate) fn image(&self) -> MutexGuard<'_, Image> {
        self.image.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Time since the plant started.
    pub(crate) fn now(&self) -> Duration {
        self.epoch.elapsed()
    }

    /// Closes every connection (H-15). Peers may connect again at once. Returns how many there were.
    pub(crate) fn drop_connections(&self) -> usize {
        let links = self.links();
        for link in links.values() {
            // Already closed by the peer is as good.
            let _ = link.shutdown(Shutdown::Both);
        }
        links.len()
    }

    /// How many connections are open.
    pub(crate) fn connections(&self) -> usize {
        self.links().len()
    }

    fn links(&self) -> MutexGuard<'_, BTreeMap<u64, TcpStream>> {
        self.links.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Serves `listener` until the runtime ends.
    pub(crate) async fn serve(self: Arc<Self>, listener: tokio::net::TcpListener) {
        let server = Server::new(listener);
        let on_connected = |stream, peer| {
            let station = Arc::clone(&self);
            async move { Ok(station.admit(stream, peer).ok()) }
        };
        loop {
            // Returns only when accepting failed (out of descriptors): wait for some to be free.
            if server.serve(&on_connected, |_| {}).await.is_err() {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }

    fn admit(
        self: &Arc<Self>,
        stream: tokio::net::TcpStream,
        peer: SocketAddr,
    ) -> io::Result<(Connection, tokio::net::TcpStream)> {
        // Without it Nagle and delayed acknowledgement add 40 ms to a reply that follows another.
        stream.set_nodelay(true)?;
        let stream = stream.into_std()?;
        let link = stream.try_clone()?;
        let stream = tokio::net::TcpStream::from_std(stream)?;
        let mut links = self.links();
        if links.len() >= MODBUS_CONNECTIONS_MAX {
            return Err(io::ErrorKind::ConnectionRefused.into());
        }
        let id = links.last_key_value().map_or(0, |(last, _)| last + 1);
        links.insert(id, link);
        drop(links);
        let connection = Connection {
            station: Arc::clone(self),
            peer,
            id,
        };
        Ok((connection, stream))
    }
}

/// Binds a loopback listener for a runtime; port 0 lets the system choose.
pub(crate) fn bind(port: u16) -> io::Result<(TcpListener, SocketAddr)> {
    let listener = TcpListener::bind((std::net::Ipv4Addr::LOCALHOST, port))?;
    listener.set_nonblocking(true)?;
    let address = listener.local_addr()?;
    Ok((listener, address))
}

struct Connection {
    station: Arc<Station>,
    peer: SocketAddr,
    id: u64,
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.station.links().remove(&self.id);
    }
}

type Reply = Result<Option<Response>, ExceptionCode>;

impl Service for Connection {
    type Request = SlaveRequest<'static>;
    type Response = Option<Response>;
    type Exception = ExceptionCode;
    type Future = Pin<Box<dyn Future<Output = Reply> + Send>>;

    fn call(&self, request: Self::Request) -> Self::Future {
        let now = self.station.now();
        let mut image = self.station.image();
        image.heard(now, request.request.function_code().value());
        let (reply, wait) = match image.answering() {
            Answering::Silent => (Ok(None), Duration::ZERO),
            Answering::Exception(code) => (Err(ExceptionCode::new(code)), Duration::ZERO),
            Answering::Normally | Answering::WritesLost => {
                (execute(&mut image, now, self.peer, request), Duration::ZERO)
            }
            Answering::Late(wait) => (execute(&mut image, now, self.peer, request), wait),
        };
        drop(image);
        if wait.is_zero() {
            return Box::pin(std::future::ready(reply));
        }
        Box::pin(async move {
            tokio::time::sleep(wait).await;
            reply
        })
    }
}

fn execute(image: &mut Image, now: Duration, peer: SocketAddr, request: SlaveRequest<'_>) -> Reply {
    if request.slave != image.unit() {
        // What a gateway says of a unit that is not there (V1.1b3, 7).
        return Err(ExceptionCode::GatewayTargetDevice);
    }
    let coil = |on: bool| u16::from(on);
    let bits = |words: Vec<u16>| words.into_iter().map(|word| word != 0).collect();
    let response = match request.request {
        Request::ReadCoils(first, count) => {
            Response::ReadCoils(bits(image.read(now, Table::Coil, first, count)?))
        }
        Request::ReadDiscreteInputs(first, count) => Response::ReadDiscreteInputs(bits(
            image.read(now, Table::DiscreteInput, first, count)?,
        )),
        Request::ReadInputRegisters(first, count) => {
            Response::ReadInputRegisters(image.read(now, Table::InputRegister, first, count)?)
        }
        Request::ReadHoldingRegisters(first, count) => {
            Response::ReadHoldingRegisters(image.read(now, Table::HoldingRegister, first, count)?)
        }
        Request::WriteSingleCoil(address, on) => {
            image.write(now, peer, Table::Coil, address, &[coil(on)])?;
            Response::WriteSingleCoil(address, on)
        }
        Request::WriteMultipleCoils(first, on) => {
            let values: Vec<u16> = on.iter().copied().map(coil).collect();
            image.write(now, peer, Table::Coil, first, &values)?;
            Response::WriteMultipleCoils(first, count_of(&on)?)
        }
        Request::WriteSingleRegister(address, value) => {
            image.write(now, peer, Table::HoldingRegister, address, &[value])?;
            Response::WriteSingleRegister(address, value)
        }
        Request::WriteMultipleRegisters(first, values) => {
            image.write(now, peer, Table::HoldingRegister, first, &values)?;
            Response::WriteMultipleRegisters(first, count_of(&values)?)
        }
        _ => return Err(ExceptionCode::IllegalFunction),
    };
    Ok(Some(response))
}

fn count_of<T>(values: &[T]) -> Result<u16, ExceptionCode> {
    u16::try_from(values.len()).map_err(|_| ExceptionCode::IllegalDataValue)
}

impl From<Refusal> for ExceptionCode {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::IllegalDataAddress => Self::IllegalDataAddress,
            Refusal::IllegalDataValue => Self::IllegalDataValue,
            Refusal::DeviceFailure => Self::ServerDeviceFailure,
        }
    }
}

//! A Modbus device that is right until it is told to be wrong: the memory of the simulated plant behind a server that
//! answers late, never, twice or with somebody else's reply, at a word.
//!
//! The server is our own, because those of others cannot be made to lie; that others read the standard as we do is
//! shown with the real peers. Its threads end with the device.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use drivers_modbus::codec::server::{self, ReplyBuf, Request, RequestBody};
use drivers_modbus::codec::{self, WriteRequest};
use drivers_sim::image::{Block, Image, Permit, StationMap, Table, Write as Written};

/// Registers and bits of every table. More than one read may ask for, so that a plan needs several.
pub const CELLS: u16 = 400;
/// Coils under the device's own watchdog.
pub const PERMITS: u16 = 8;

/// How a device treats one kind of request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Manner {
    /// As the standard says.
    #[default]
    Right,
    /// Executed, never answered (H-6, H-12).
    Silent,
    /// Executed at once, answered this much later (H-7).
    Late(Duration),
    /// Answered as done, not done (H-58).
    Lost,
    /// Refused with this exception, not done (H-10).
    Exception(u8),
    /// The reply of another transaction (H-7).
    WrongTransaction,
    /// The reply of another unit (H-8).
    WrongUnit,
    /// The reply to another function (H-8).
    WrongFunction,
    /// One register or one byte of bits less than was asked for; for a write, an echo of another value (H-9, H-57).
    WrongData,
    /// One register or one byte of bits more than was asked for (H-9).
    TooMuch,
    /// A length field that no frame can have (H-11).
    ImpossibleLength,
    /// The first half of the reply, then nothing (H-12).
    Torn,
    /// The reply twice (H-13).
    Twice,
    /// One byte every fifty milliseconds, the connection never idle for long (H-14).
    Dribble,
    /// The connection is closed instead of an answer (H-15).
    Cut,
}

#[derive(Default)]
struct Manners {
    reads: Manner,
    writes: Manner,
}

struct Inside {
    image: Mutex<Image>,
    manners: Mutex<Manners>,
    epoch: Instant,
    stop: AtomicBool,
    links: Mutex<BTreeMap<u64, TcpStream>>,
    accepted: AtomicU64,
    unanswered: AtomicU64,
}

/// The device. Stops when dropped.
pub struct Device {
    inside: Arc<Inside>,
    address: SocketAddr,
    acceptor: Option<JoinHandle<()>>,
}

impl Default for Device {
    fn default() -> Self {
        Self::new(Duration::ZERO)
    }
}

impl Device {
    /// A device on a free port. `watchdog` is the time after which its coils 0 to 7 fall when nobody writes them; zero
    /// for none, as most devices are delivered (H-64).
    pub fn new(watchdog: Duration) -> Self {
        let all = Block {
            first: 0,
            count: CELLS,
        };
        let map = StationMap {
            unit: 1,
            coils: all,
            discrete_inputs: all,
            input_registers: all,
            holding_registers: all,
            writable: all,
            permits: (0..PERMITS)
                .map(|address| Permit {
                    table: Table::Coil,
                    address,
                    safe: 0,
                })
                .collect(),
            watchdog,
            watchdog_register: None,
            ..StationMap::default()
        };
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let address = listener.local_addr().expect("it has an address");
        let mut device = Self {
            inside: Arc::new(Inside {
                image: Mutex::new(Image::new(map, None)),
                manners: Mutex::default(),
                epoch: Instant::now(),
                stop: AtomicBool::new(false),
                links: Mutex::default(),
                accepted: AtomicU64::new(0),
                unanswered: AtomicU64::new(0),
            }),
            address,
            acceptor: None,
        };
        device.listen(listener);
        device
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Sets an input or holding register, or a bit, as the machine does.
    pub fn set(&self, table: Table, address: u16, value: u16) {
        lock(&self.inside.image).set(table, address, value);
    }

    /// Sets holding register 0, which the packs of these tests watch.
    pub fn show(&self, value: u16) {
        self.set(Table::HoldingRegister, 0, value);
    }

    /// What a cell holds now, the device's watchdog considered.
    pub fn get(&self, table: Table, address: u16) -> u16 {
        let mut image = lock(&self.inside.image);
        image.expire(self.inside.epoch.elapsed());
        image.get(table, address).expect("the address exists")
    }

    /// Whether a coil is on now.
    pub fn coil(&self, address: u16) -> bool {
        self.get(Table::Coil, address) != 0
    }

    /// The writes it remembers, oldest first; its watchdog's among them, without a peer.
    pub fn writes(&self) -> Vec<Written> {
        let mut image = lock(&self.inside.image);
        image.expire(self.inside.epoch.elapsed());
        image.writes().collect()
    }

    /// How many writes there were in all.
    pub fn writes_total(&self) -> u64 {
        lock(&self.inside.image).writes_total()
    }

    /// How it treats reads from now on.
    pub fn reads(&self, manner: Manner) {
        lock(&self.inside.manners).reads = manner;
    }

    /// How it treats writes from now on.
    pub fn writes_are(&self, manner: Manner) {
        lock(&self.inside.manners).writes = manner;
    }

    /// Closes every connection; peers may come again at once (H-15).
    pub fn cut(&self) {
        for link in lock(&self.inside.links).values() {
            let _ = link.shutdown(Shutdown::Both);
        }
    }

    /// Connections taken since it began.
    pub fn connections_taken(&self) -> u64 {
        self.inside.accepted.load(Ordering::Acquire)
    }

    /// Requests to which it kept silent since it began.
    pub fn left_unanswered(&self) -> u64 {
        self.inside.unanswered.load(Ordering::Acquire)
    }

    /// Takes it off the network: connections are closed, new ones refused (H-15, H-16).
    pub fn switch_off(&mut self) {
        self.inside.stop.store(true, Ordering::Release);
        // Wakes the acceptor.
        let _ = TcpStream::connect(self.address);
        if let Some(acceptor) = self.acceptor.take() {
            let _ = acceptor.join();
        }
        self.cut();
    }

    /// Brings it back on the same port, with its memory.
    pub fn switch_on(&mut self) {
        self.inside.stop.store(false, Ordering::Release);
        let listener = TcpListener::bind(self.address).expect("its port is still free");
        self.listen(listener);
    }

    fn listen(&mut self, listener: TcpListener) {
        let inside = Arc::clone(&self.inside);
        self.acceptor = Some(std::thread::spawn(move || {
            for stream in listener.incoming() {
                if inside.stop.load(Ordering::Acquire) {
                    return;
                }
                let Ok(stream) = stream else { continue };
                let inside = Arc::clone(&inside);
                std::thread::spawn(move || inside.serve(stream));
            }
        }));
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        self.switch_off();
    }
}

impl Inside {
    fn serve(&self, mut stream: TcpStream) {
        let id = self.accepted.fetch_add(1, Ordering::AcqRel);
        let _ = stream.set_nodelay(true);
        let Ok(link) = stream.try_clone() else { return };
        lock(&self.links).insert(id, link);
        // A connection that was taken while the device was being switched off.
        if !self.stop.load(Ordering::Acquire) {
            let mut adu = [0; codec::REQUEST_BYTES];
            while stream.read_exact(&mut adu).is_ok() {
                let Ok(request) = server::decode_request(&adu) else {
                    break;
                };
                if !self.treat(&mut stream, &request) {
                    break;
                }
            }
        }
        let _ = stream.shutdown(Shutdown::Both);
        lock(&self.links).remove(&id);
    }

    /// One request; `false` ends the connection.
    fn treat(&self, stream: &mut TcpStream, request: &Request) -> bool {
        let manner = {
            let manners = lock(&self.manners);
            match request.body {
                RequestBody::Read(_) => manners.reads,
                RequestBody::Write(_) => manners.writes,
            }
        };
        let refusal = match manner {
            Manner::Exception(code) => Some(code),
            Manner::Lost => None,
            _ => self.execute(request).err(),
        };
        let mut asked = *request;
        match manner {
            Manner::WrongTransaction => asked.transaction = asked.transaction.wrapping_sub(1),
            Manner::WrongUnit => asked.unit = asked.unit.wrapping_add(1),
            _ => {}
        }
        let mut reply = match refusal {
            Some(code) => exception(&asked, code),
            None => self.reply(&asked, manner),
        };
        match manner {
            Manner::Silent => {
                self.unanswered.fetch_add(1, Ordering::AcqRel);
                return true;
            }
            Manner::Cut => return false,
            Manner::Late(wait) => std::thread::sleep(wait),
            Manner::WrongFunction => reply[7] ^= 1,
            Manner::ImpossibleLength => reply[4..6].copy_from_slice(&[0xFF, 0xFF]),
            Manner::Torn => reply.truncate(reply.len() / 2),
            Manner::Twice => reply.extend_from_within(..),
            Manner::Dribble => {
                return reply.iter().all(|byte| {
                    std::thread::sleep(Duration::from_millis(50));
                    stream.write_all(&[*byte]).is_ok()
                });
            }
            _ => {}
        }
        stream.write_all(&reply).is_ok()
    }

    /// Does what a write asks. The error is the code of an exception.
    fn execute(&self, request: &Request) -> Result<(), u8> {
        let RequestBody::Write(write) = request.body else {
            return Ok(());
        };
        let (table, value) = match write {
            WriteRequest::Coil { on, .. } => (Table::Coil, u16::from(on)),
            WriteRequest::Register { value, .. } => (Table::HoldingRegister, value),
        };
        let peer = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        lock(&self.image)
            .write(self.epoch.elapsed(), peer, table, write.address(), &[value])
            .map_err(|_| 2)
    }

    fn reply(&self, request: &Request, manner: Manner) -> Vec<u8> {
        let mut buf: ReplyBuf = [0; 260];
        let reply = match request.body {
            RequestBody::Read(read) => {
                // What is wrong is a byte of bits too few or too many, too: eight of them.
                let step = if read.table.is_bits() { 8 } else { 1 };
                let count = match manner {
                    Manner::WrongData => read.count.saturating_sub(step),
                    Manner::TooMuch => read.count.saturating_add(step),
                    _ => read.count,
                };
                let table = match read.table {
                    codec::Table::Coils => Table::Coil,
                    codec::Table::DiscreteInputs => Table::DiscreteInput,
                    codec::Table::HoldingRegisters => Table::HoldingRegister,
                    codec::Table::InputRegisters => Table::InputRegister,
                };
                let now = self.epoch.elapsed();
                let mut image = lock(&self.image);
                let mut cells = Vec::new();
                for address in read.address..read.address.saturating_add(count) {
                    match image.read(now, table, address, 1) {
                        Ok(cell) => cells.extend(cell),
                        Err(_) => return exception(request, 2),
                    }
                }
                drop(image);
                if read.table.is_bits() {
                    let bits: Vec<bool> = cells.iter().map(|cell| *cell != 0).collect();
                    let (id, unit) = (request.transaction, request.unit);
                    server::encode_bits(&mut buf, id, unit, read.table, &bits)
                } else {
                    let (id, unit) = (request.transaction, request.unit);
                    server::encode_registers(&mut buf, id, unit, read.table, &cells)
                }
            }
            RequestBody::Write(write) => {
                let echoed = match (manner, write) {
                    (Manner::WrongData, WriteRequest::Coil { address, on }) => {
                        WriteRequest::Coil { address, on: !on }
                    }
                    (Manner::WrongData, WriteRequest::Register { address, value }) => {
                        WriteRequest::Register {
                            address,
                            value: !value,
                        }
                    }
                    _ => write,
                };
                server::encode_write_reply(&mut buf, request.transaction, request.unit, &echoed)
            }
        };
        reply.expect("every reply fits").to_vec()
    }
}

fn exception(request: &Request, code: u8) -> Vec<u8> {
    let function = match request.body {
        RequestBody::Read(read) => read.table.read_function(),
        RequestBody::Write(write) => write.function(),
    };
    let mut buf: ReplyBuf = [0; 260];
    let reply =
        server::encode_exception(&mut buf, request.transaction, request.unit, function, code);
    reply.expect("it fits").to_vec()
}

/// A test that failed elsewhere must not hide behind a poisoned lock.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

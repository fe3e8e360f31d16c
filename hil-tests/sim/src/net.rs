//! The network between the guard and its peers: connections, delays, cuts, partitions, what a kernel keeps.
//!
//! A connection is what TCP makes of it: bytes arrive in their order or not at all. During a partition a kernel keeps
//! what was sent and delivers it when the partition heals, unless the connection was given up in between: closing one
//! that failed throws away what waits (as `Link::abort` does where a permit was the newest thing sent; an old stop that still
//! arrives does no harm and is left out here), the death of a process does not.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::rc::Rc;

use drivers_modbus::transport::{Connect, IoFault, Received, Wire};

use crate::rng::Rng;
use crate::scenario::{MS, PORT, WAY_MAX};

/// `ECONNREFUSED`.
const REFUSED: IoFault = IoFault { errno: 111 };
/// `ENOTCONN`.
const NOT_CONNECTED: IoFault = IoFault { errno: 107 };
/// `ECONNRESET`.
const RESET: IoFault = IoFault { errno: 104 };
/// `ETIMEDOUT`.
const TIMED_OUT: IoFault = IoFault { errno: 110 };
/// How long a kernel keeps what nobody acknowledges: `TCP_USER_TIMEOUT` as the drivers set it.
const KEPT: u64 = drivers_modbus::limits::USER_TIMEOUT_MS * MS;

/// What the network asks of the world.
#[derive(Clone, Debug)]
pub enum Post {
    /// Bytes reach the host of this connection.
    ToHost {
        /// The connection.
        conn: usize,
        /// What was sent in one call.
        bytes: Vec<u8>,
    },
    /// Something became readable or writable for the guard.
    Wake,
}

/// One connection, with what is on its way to the guard.
#[derive(Debug)]
pub struct Conn {
    /// Index of the host.
    pub host: usize,
    /// When the attempt succeeds; `None` while the host cannot be reached.
    up_at: Option<u64>,
    refused_at: Option<u64>,
    /// The guard has not closed it.
    pub open: bool,
    /// The guard's process died with it open: its kernel goes on delivering.
    orphan: bool,
    to_guard: VecDeque<(u64, Vec<u8>)>,
    last_to_guard: u64,
    last_to_host: u64,
    eof_at: Option<u64>,
    reset_at: Option<u64>,
    /// Sent during a partition: since when, and what.
    held: Vec<(u64, Vec<u8>)>,
    held_back: Vec<Vec<u8>>,
    /// What the host has received and not understood yet.
    pub inbox: Vec<u8>,
    /// When the guard took bytes from it that nobody may go on after.
    pub poisoned: Option<u64>,
    /// From when on the bytes to the guard are such.
    poison_from: Option<u64>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Host {
    partitioned: bool,
    refusing: bool,
}

/// The network.
#[derive(Debug)]
pub struct Net {
    /// Now, in nanoseconds.
    pub now: u64,
    /// Delays are long now and then.
    pub unfriendly: bool,
    rng: Rng,
    /// Every connection that ever was.
    pub conns: Vec<Conn>,
    /// Those that the guard has not closed.
    live: Vec<usize>,
    hosts: Vec<Host>,
    /// What is to happen.
    pub posts: Vec<(u64, Post)>,
    /// What the guard sent since it was last looked at: connection and bytes.
    pub sent: Vec<(usize, Vec<u8>)>,
    /// What the guard took since it was last looked at.
    pub taken: Vec<(usize, Vec<u8>)>,
}

/// The network as everybody holds it.
pub type SharedNet = Rc<RefCell<Net>>;

impl Net {
    /// A network of so many hosts.
    pub fn new(hosts: usize, rng: Rng) -> SharedNet {
        Rc::new(RefCell::new(Self {
            now: 0,
            unfriendly: true,
            rng,
            conns: Vec::new(),
            live: Vec::new(),
            hosts: vec![Host::default(); hosts],
            posts: Vec::new(),
            sent: Vec::new(),
            taken: Vec::new(),
        }))
    }

    fn way(&mut self) -> u64 {
        if self.unfriendly && self.rng.chance(20) {
            self.rng.between(MS, WAY_MAX / 2)
        } else {
            self.rng.between(40_000, 400_000)
        }
    }

    fn connect(&mut self, host: usize) -> usize {
        let (at, way) = (self.now, self.way());
        let state = self.hosts[host];
        let refused = state.refusing && !state.partitioned;
        self.conns.push(Conn {
            host,
            up_at: (!state.partitioned && !refused).then_some(at + way),
            refused_at: refused.then_some(at + way),
            open: true,
            orphan: false,
            to_guard: VecDeque::new(),
            last_to_guard: 0,
            last_to_host: 0,
            eof_at: None,
            reset_at: None,
            held: Vec::new(),
            held_back: Vec::new(),
            inbox: Vec::new(),
            poisoned: None,
            poison_from: None,
        });
        if !state.partitioned {
            self.posts.push((at + way, Post::Wake));
        }
        self.live.push(self.conns.len() - 1);
        self.conns.len() - 1
    }

    fn deliver(&mut self, conn: usize, bytes: Vec<u8>) {
        if self.hosts[self.conns[conn].host].partitioned {
            let now = self.now;
            self.conns[conn].held.push((now, bytes));
            return;
        }
        let at = (self.now + self.way()).max(self.conns[conn].last_to_host + 1);
        self.conns[conn].last_to_host = at;
        self.posts.push((at, Post::ToHost { conn, bytes }));
    }

    /// The host sends `bytes` after `wait`. `poison` tells that nothing may follow them on this connection.
    pub fn to_guard(&mut self, conn: usize, wait: u64, bytes: Vec<u8>, poison: bool) {
        if self.hosts[self.conns[conn].host].partitioned {
            self.conns[conn].held_back.push(bytes);
            return;
        }
        let at = (self.now + wait + self.way()).max(self.conns[conn].last_to_guard + 1);
        let c = &mut self.conns[conn];
        c.last_to_guard = at;
        if poison {
            c.poison_from.get_or_insert(at);
        }
        c.to_guard.push_back((at, bytes));
        self.posts.push((at, Post::Wake));
    }

    /// The host ends this connection: by a reset, or in order.
    pub fn end(&mut self, conn: usize, reset: bool) {
        let at = (self.now + self.way()).max(self.conns[conn].last_to_guard + 1);
        let c = &mut self.conns[conn];
        if reset {
            c.reset_at.get_or_insert(at);
        } else {
            c.eof_at.get_or_insert(at);
        }
        self.posts.push((at, Post::Wake));
    }

    /// The host's connections that are up.
    pub fn up(&self, host: usize) -> Vec<usize> {
        let up = |conn: &Conn| conn.host == host && conn.up_at.is_some_and(|at| at <= self.now);
        self.live()
            .filter(|index| up(&self.conns[*index]))
            .collect()
    }

    /// How many connections to this host the guard has given up.
    pub fn closed(&self, host: usize) -> usize {
        let closed = |conn: &&Conn| conn.host == host && !conn.open;
        self.conns.iter().filter(closed).count()
    }

    /// The connections that the guard has not closed.
    pub fn live(&self) -> impl Iterator<Item = usize> {
        self.live.iter().copied()
    }

    /// Whether the guard that made this connection is dead.
    pub fn is_orphan(&self, conn: usize) -> bool {
        self.conns[conn].orphan
    }

    /// Whether nothing gets through to the host.
    pub fn is_partitioned(&self, host: usize) -> bool {
        self.hosts[host].partitioned
    }

    /// Nothing gets through to the host, or everything again.
    pub fn partition(&mut self, host: usize, on: bool) {
        self.hosts[host].partitioned = on;
        if on {
            return;
        }
        for index in 0..self.conns.len() {
            let waits = self.conns[index].open || !self.conns[index].held.is_empty();
            if self.conns[index].host != host || !waits {
                continue;
            }
            let now = self.now;
            if self.conns[index].up_at.is_none() && self.conns[index].refused_at.is_none() {
                let at = now + self.way();
                self.conns[index].up_at = Some(at);
                self.posts.push((at, Post::Wake));
            }
            let alive = self.conns[index].open || self.conns[index].orphan;
            for (since, bytes) in std::mem::take(&mut self.conns[index].held) {
                if alive && now - since < KEPT {
                    self.deliver(index, bytes);
                }
            }
            for bytes in std::mem::take(&mut self.conns[index].held_back) {
                self.to_guard(index, 0, bytes, false);
            }
        }
    }

    /// The host accepts nobody, or everybody again.
    pub fn refuse(&mut self, host: usize, on: bool) {
        self.hosts[host].refusing = on;
    }

    /// The guard's process is gone; its kernel delivers what was sent.
    pub fn orphan_all(&mut self) {
        for index in std::mem::take(&mut self.live) {
            self.conns[index].open = false;
            self.conns[index].orphan = true;
        }
    }

    fn close(&mut self, conn: usize) {
        self.live.retain(|other| *other != conn);
        let c = &mut self.conns[conn];
        c.open = false;
        c.held.clear();
        c.to_guard.clear();
    }
}

/// The guard's end of a connection.
#[derive(Debug)]
pub struct SimWire {
    net: SharedNet,
    conn: Option<usize>,
}

impl SimWire {
    /// Not connected.
    pub fn new(net: &SharedNet) -> Self {
        Self {
            net: Rc::clone(net),
            conn: None,
        }
    }

    /// The connection that is open, if one is.
    pub fn conn(&self) -> Option<usize> {
        self.conn
    }
}

impl Wire for SimWire {
    fn start(&mut self, address: SocketAddr) -> Result<(), IoFault> {
        self.close();
        let host = usize::from(address.port() - PORT);
        self.conn = Some(self.net.borrow_mut().connect(host));
        Ok(())
    }

    fn poll_connect(&mut self) -> Result<Connect, IoFault> {
        let net = self.net.borrow();
        let conn = &net.conns[self.conn.ok_or(NOT_CONNECTED)?];
        if conn.refused_at.is_some_and(|at| at <= net.now) {
            return Err(REFUSED);
        }
        Ok(match conn.up_at {
            Some(at) if at <= net.now => Connect::Up,
            _ => Connect::InProgress,
        })
    }

    fn send(&mut self, bytes: &[u8]) -> Result<usize, IoFault> {
        let mut net = self.net.borrow_mut();
        let index = self.conn.ok_or(NOT_CONNECTED)?;
        let now = net.now;
        let conn = &net.conns[index];
        if conn.reset_at.is_some_and(|at| at <= now) {
            return Err(RESET);
        }
        if conn
            .held
            .first()
            .is_some_and(|(since, _)| now - since >= KEPT)
        {
            return Err(TIMED_OUT);
        }
        net.sent.push((index, bytes.to_vec()));
        net.deliver(index, bytes.to_vec());
        Ok(bytes.len())
    }

    fn recv(&mut self, buf: &mut [u8]) -> Result<Received, IoFault> {
        let mut net = self.net.borrow_mut();
        let index = self.conn.ok_or(NOT_CONNECTED)?;
        let now = net.now;
        let conn = &mut net.conns[index];
        let mut filled = 0;
        while let Some((at, bytes)) = conn.to_guard.front_mut() {
            if *at > now || filled == buf.len() {
                break;
            }
            if conn.poison_from.is_some_and(|from| from <= *at) {
                conn.poisoned.get_or_insert(now);
            }
            let count = bytes.len().min(buf.len() - filled);
            buf[filled..filled + count].copy_from_slice(&bytes[..count]);
            filled += count;
            if count == bytes.len() {
                conn.to_guard.pop_front();
            } else {
                bytes.drain(..count);
            }
        }
        if filled > 0 {
            let bytes = buf[..filled].to_vec();
            net.taken.push((index, bytes));
            return Ok(Received::Bytes(filled));
        }
        if conn.reset_at.is_some_and(|at| at <= now) {
            return Err(RESET);
        }
        if conn
            .held
            .first()
            .is_some_and(|(since, _)| now - since >= KEPT)
        {
            return Err(TIMED_OUT);
        }
        if conn.eof_at.is_some_and(|at| at <= now) {
            return Ok(Received::Eof);
        }
        Ok(Received::Empty)
    }

    fn abort(&mut self) {
        self.close();
    }

    fn close(&mut self) {
        if let Some(conn) = self.conn.take() {
            self.net.borrow_mut().close(conn);
        }
    }
}

//! A device on loopback that misbehaves by script and then behaves, and a client run against it.
#![allow(
    dead_code,
    unreachable_pub,
    reason = "each test program compiles this module anew and uses its own part"
)]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "the lint's exception for tests does not reach helpers of a test program"
)]

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use drivers_frame::block::{RateCheck, SequenceType};
use drivers_frame::{
    BlockNews, ByteOrder, Cause, DeviceId, DurNs, FrameSink, MonoNs, Quality, QueueFull, Sample,
    SampleKind, SampleLayout, TagId, ValueCodec, ValueType, WaveformId, WordOrder,
};
use drivers_modbus::codec::server::{self, ReplyBuf, Request, RequestBody};
use drivers_modbus::codec::{ReadRequest, Table};
use drivers_modbus::{
    Backoff, Counters, DeviceConfig, Driver, Point, Poll, Session, SessionError, Step, Window,
};

/// Long enough for the slowest machine; a test that waits it out has failed.
pub const PATIENCE: Duration = Duration::from_secs(30);
/// First address of the window of waveforms.
pub const WINDOW: u16 = 2_000;
/// Its sequence register.
pub const SEQUENCE: u16 = 1_999;

/// A window of `count` samples of 16 bits.
pub fn window(count: u32) -> Window {
    Window {
        waveform: WaveformId(0),
        table: Table::HoldingRegisters,
        address: WINDOW,
        count,
        layout: SampleLayout::registers(
            SampleKind::I16,
            WordOrder::BigEndian,
            ByteOrder::BigEndian,
        ),
        sequence: SEQUENCE,
        sequence_kind: SequenceType::U16,
        every: DurNs::from_ms(1),
        rate_hz: 1_000.0,
        rate_check: RateCheck::Off,
    }
}

/// A device whose sequence register counts every `reads` reads of it, and that is right otherwise.
pub fn counting(reads: u16) -> Behaviour {
    let mut asked = 0_u16;
    Box::new(move |stream, request| {
        let adu = if read_of(request).address == SEQUENCE {
            asked = asked.wrapping_add(1);
            registers(request, std::iter::once(asked / reads))
        } else {
            right(request)
        };
        stream.write_all(&adu).is_ok()
    })
}

/// What the register at `address` of the simulated device holds.
pub fn register(address: u16) -> u16 {
    address.wrapping_add(1_000)
}

/// What the device does with one request of one connection; false drops the connection.
pub type Behaviour = Box<dyn FnMut(&mut TcpStream, &Request) -> bool + Send>;

/// Sends bytes made from the request, and goes on.
pub fn answer(make: impl Fn(&Request) -> Vec<u8> + Send + 'static) -> Behaviour {
    Box::new(move |stream, request| stream.write_all(&make(request)).is_ok())
}

/// The read in a request of this client, which only reads.
pub fn read_of(request: &Request) -> ReadRequest {
    match request.body {
        RequestBody::Read(read) => read,
        RequestBody::Write(write) => panic!("this client only reads, not {write:?}"),
    }
}

/// The right reply.
pub fn right(request: &Request) -> Vec<u8> {
    let read = read_of(request);
    registers(request, (0..read.count).map(|i| register(read.address + i)))
}

/// A well-formed reply with these registers.
pub fn registers(request: &Request, values: impl Iterator<Item = u16>) -> Vec<u8> {
    let values: Vec<u16> = values.collect();
    let mut buf: ReplyBuf = [0; 260];
    let table = read_of(request).table;
    server::encode_registers(&mut buf, request.transaction, request.unit, table, &values)
        .unwrap()
        .to_vec()
}

/// A device whose connection n behaves as the n-th of `script` says, and rightly after that.
pub fn device(script: Vec<Behaviour>) -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    serve(listener, script);
    address
}

/// As [`device`], on a listener of one's own.
pub fn serve(listener: TcpListener, script: Vec<Behaviour>) {
    std::thread::spawn(move || {
        let mut script = script.into_iter();
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            stream.set_nodelay(true).unwrap();
            let mut behaviour = script.next().unwrap_or_else(|| answer(right));
            let mut adu = [0; 12];
            while stream.read_exact(&mut adu).is_ok() {
                let request = server::decode_request(&adu).unwrap();
                if !behaviour(&mut stream, &request) {
                    break;
                }
            }
        }
    });
}

pub fn config(address: SocketAddr, points: Vec<Point>) -> DeviceConfig {
    DeviceConfig {
        windows: Vec::new(),
        device: DeviceId(0),
        address,
        unit: 1,
        poll: Poll::Every(DurNs::from_ms(2)),
        // Long: on a busy machine a device that answers must not be taken for a silent one.
        timeout: DurNs::from_ms(5_000),
        connect_timeout: DurNs::from_ms(5_000),
        backoff: Backoff {
            min: DurNs::from_ms(5),
            max: DurNs::from_ms(20),
        },
        max_gap: 0,
        points,
    }
}

pub fn words(addresses: impl Iterator<Item = u16>) -> Vec<Point> {
    let point = |address| Point {
        tag: TagId(address),
        table: Table::HoldingRegisters,
        address,
        codec: ValueCodec::plain(ValueType::U16),
    };
    addresses.map(point).collect()
}

/// Checks every sample as it comes: a tag's value is its register's, or it is bad and says that the device refused.
#[derive(Default)]
pub struct Checker {
    pub good: usize,
    pub bad: usize,
    /// Free buffers for blocks.
    pub empty: Vec<Box<[u8]>>,
    /// Blocks that came, each of them right.
    pub blocks: usize,
}

impl FrameSink for Checker {
    fn take_empty(&mut self) -> Option<Box<[u8]>> {
        self.empty.pop()
    }

    /// A block's samples are the registers from its window's first address on.
    fn push_block(&mut self, news: BlockNews) -> Result<(), BlockNews> {
        if let BlockNews::Block(block) = news {
            let (samples, _) = block.raw().as_chunks::<2>();
            for (sample, address) in samples.iter().zip(WINDOW..) {
                assert_eq!(
                    u16::from_be_bytes(*sample),
                    register(address),
                    "a wrong sample"
                );
            }
            self.blocks += 1;
            self.empty.push(block.into_buffer());
        }
        Ok(())
    }

    fn push_frame(&mut self, samples: &[Sample]) -> Result<(), QueueFull> {
        assert!(!samples.is_empty());
        for sample in samples {
            if sample.quality == Quality::Good {
                let right = f64::from(register(sample.tag.0));
                assert_eq!(sample.value.to_bits(), right.to_bits(), "a wrong value");
                self.good += 1;
            } else {
                assert_eq!(sample.quality, Quality::Bad);
                assert_eq!(sample.cause, Cause::DeviceException);
                assert_eq!(sample.value.to_bits(), 0.0f64.to_bits());
                self.bad += 1;
            }
        }
        Ok(())
    }
}

/// A client and what it has seen.
pub struct Run {
    pub driver: Driver,
    pub checker: Checker,
    /// Every error in its turn.
    pub errors: Vec<SessionError>,
    origin: Instant,
}

impl Run {
    pub fn new(config: DeviceConfig) -> Self {
        Self {
            driver: Driver::new(Session::new(config, 42).unwrap()),
            checker: Checker::default(),
            errors: Vec::new(),
            origin: Instant::now(),
        }
    }

    pub fn counters(&self) -> Counters {
        self.driver.counters()
    }

    /// Steps until `done`; sleeps a little when there is nothing to do.
    pub fn until(&mut self, done: impl Fn(&Self) -> bool) {
        let origin = self.origin;
        let clock = || {
            let ns = u64::try_from(origin.elapsed().as_nanos()).unwrap();
            MonoNs::from_ns(ns + 1)
        };
        let end = Instant::now() + PATIENCE;
        while !done(self) {
            assert!(
                Instant::now() < end,
                "{:?} {:?}",
                self.driver.counters(),
                self.errors
            );
            let requests = self.counters().requests;
            let step = self.driver.step(&clock, &mut self.checker);
            if step == Step::Frame {
                assert_eq!(self.counters().requests, requests, "a frame step has sent");
            }
            let error = self.driver.session().last_error();
            if error != self.errors.last().copied() {
                self.errors.extend(error);
            }
            if matches!(step, Step::Idle { .. }) {
                std::thread::sleep(Duration::from_micros(100));
            }
        }
    }

    /// Steps until at least `count` more good samples have come.
    pub fn recover(&mut self, count: usize) {
        let target = self.checker.good + count;
        self.until(|run| run.checker.good >= target);
    }
}

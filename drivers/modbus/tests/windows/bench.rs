//! A session, a device with a map of registers, and a lane, in virtual time.

use std::collections::{BTreeMap, VecDeque};
use std::net::{Ipv4Addr, SocketAddr};

use drivers_frame::block::{RateCheck, SequenceType};
use drivers_frame::{
    BlockNews, ByteOrder, Cause, DeviceId, DurNs, FrameSink, MonoNs, QueueFull, Sample, SampleKind,
    SampleLayout, Scaling, TagId, ValueCodec, ValueType, WaveformId, WordOrder,
};
use drivers_modbus::codec::server::{self, ReplyBuf, RequestBody};
use drivers_modbus::codec::{ReadRequest, Table};
use drivers_modbus::session::{Action, Outcome};
use drivers_modbus::{Backoff, DeviceConfig, Point, Poll, Session, Window};

pub(crate) const START: u16 = 100;
pub(crate) const SEQUENCE: u16 = 99;

pub(crate) fn window(count: u32) -> Window {
    Window {
        waveform: WaveformId(3),
        table: Table::HoldingRegisters,
        address: START,
        count,
        layout: SampleLayout::registers(
            SampleKind::F32,
            WordOrder::BigEndian,
            ByteOrder::BigEndian,
        ),
        sequence: SEQUENCE,
        sequence_kind: SequenceType::U16,
        every: DurNs::from_ms(10),
        rate_hz: 1_000.0,
        rate_check: RateCheck::Off,
    }
}

pub(crate) fn points(count: u16) -> Vec<Point> {
    (0..count)
        .map(|n| Point {
            tag: TagId(n),
            table: Table::HoldingRegisters,
            // Far apart, so that each is a read of its own.
            address: 40_000 + n * 300,
            codec: ValueCodec::plain(ValueType::U16),
        })
        .collect()
}

pub(crate) fn config(poll: Poll, points: Vec<Point>, windows: Vec<Window>) -> DeviceConfig {
    DeviceConfig {
        device: DeviceId(0),
        address: SocketAddr::from((Ipv4Addr::LOCALHOST, 502)),
        unit: 1,
        poll,
        timeout: DurNs::from_ms(50),
        connect_timeout: DurNs::from_ms(500),
        backoff: Backoff {
            min: DurNs::from_ms(1),
            max: DurNs::from_ms(1),
        },
        max_gap: 0,
        points,
        windows,
    }
}

#[derive(Default)]
pub(crate) struct Lane {
    pub(crate) empty: VecDeque<Box<[u8]>>,
    pub(crate) blocks: Vec<Got>,
    pub(crate) bad: Vec<Cause>,
    pub(crate) values: usize,
    pub(crate) full: bool,
    /// Where the last block lay.
    pub(crate) address: usize,
}

/// A block as it matters to a test.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Got {
    pub(crate) sequence: u64,
    pub(crate) gap: bool,
    pub(crate) at: MonoNs,
    pub(crate) samples: Vec<f32>,
}

impl Lane {
    pub(crate) fn with(buffers: usize, bytes: usize) -> Self {
        Self {
            empty: (0..buffers)
                .map(|_| vec![0xEE; bytes].into_boxed_slice())
                .collect(),
            ..Self::default()
        }
    }
}

impl FrameSink for Lane {
    fn push_frame(&mut self, samples: &[Sample]) -> Result<(), QueueFull> {
        self.values += samples.len();
        Ok(())
    }

    fn take_empty(&mut self) -> Option<Box<[u8]>> {
        self.empty.pop_front()
    }

    fn push_block(&mut self, news: BlockNews) -> Result<(), BlockNews> {
        if self.full {
            return Err(news);
        }
        match news {
            BlockNews::Bad {
                waveform, cause, ..
            } => {
                assert_eq!(waveform, WaveformId(3));
                self.bad.push(cause);
            }
            BlockNews::Block(block) => {
                let head = *block.head();
                assert_eq!(head.waveform, WaveformId(3));
                let mut bytes = vec![0; head.count as usize * 4];
                block.write_f32(Scaling::default(), &mut bytes).unwrap();
                self.blocks.push(Got {
                    sequence: head.sequence,
                    gap: head.gap,
                    at: head.at,
                    samples: bytes
                        .chunks(4)
                        .map(|b| f32::from_le_bytes(b.try_into().unwrap()))
                        .collect(),
                });
                self.address = block.raw().as_ptr() as usize;
                self.empty.push_back(block.into_buffer());
            }
        }
        Ok(())
    }
}

/// A device that holds one block at a time.
#[derive(Default)]
pub(crate) struct Device {
    pub(crate) sequence: u16,
    pub(crate) registers: BTreeMap<u16, u16>,
    /// Every read of it.
    pub(crate) reads: Vec<ReadRequest>,
    /// Refuses reads that touch this register.
    pub(crate) refuses: Option<u16>,
}

impl Device {
    /// Counts, then writes a block whose samples are `base`, `base` + 1, ...
    pub(crate) fn publish(&mut self, count: u32, base: f32) {
        self.sequence = self.sequence.wrapping_add(1);
        for n in 0..count {
            let bits = (base + n as f32).to_bits();
            let address = START + 2 * n as u16;
            self.registers.insert(address, (bits >> 16) as u16);
            self.registers.insert(address + 1, bits as u16);
        }
    }

    pub(crate) fn answer(&mut self, request: &[u8]) -> Vec<u8> {
        let request = server::decode_request(request).unwrap();
        let RequestBody::Read(read) = request.body else {
            panic!("this client only reads");
        };
        self.reads.push(read);
        let mut buf: ReplyBuf = [0; 260];
        let range = read.address..=read.address + (read.count - 1);
        if self.refuses.is_some_and(|address| range.contains(&address)) {
            let function = read.table.read_function();
            return server::encode_exception(&mut buf, request.transaction, 1, function, 2)
                .unwrap()
                .to_vec();
        }
        let values: Vec<u16> = range
            .map(|address| match address {
                SEQUENCE => self.sequence,
                _ => self.registers.get(&address).copied().unwrap_or(0),
            })
            .collect();
        server::encode_registers(&mut buf, request.transaction, 1, read.table, &values)
            .unwrap()
            .to_vec()
    }
}

/// The session and its device.
pub(crate) struct Bench {
    pub(crate) session: Session,
    pub(crate) device: Device,
    pub(crate) lane: Lane,
    pub(crate) now: MonoNs,
    /// Where the bytes of pieces were received.
    pub(crate) addresses: Vec<usize>,
}

pub(crate) const EXCHANGE: DurNs = DurNs::from_ms(1);

pub(crate) fn ms(ms: u64) -> MonoNs {
    MonoNs::from_ns(ms * 1_000_000)
}

impl Bench {
    pub(crate) fn new(config: DeviceConfig) -> Self {
        let bytes = config.block_buffer_bytes().unwrap_or(0);
        Self {
            session: Session::new(config, 1).unwrap(),
            device: Device {
                sequence: 500,
                ..Device::default()
            },
            lane: Lane::with(2, bytes),
            now: ms(1),
            addresses: Vec::new(),
        }
    }

    /// One window of `count` samples and nothing else.
    pub(crate) fn plain(count: u32) -> Self {
        Self::new(config(Poll::Continuous, Vec::new(), vec![window(count)]))
    }

    /// Gives `bytes` to the session, in chunks, as the driver does.
    pub(crate) fn receive(
        &mut self,
        bytes: &[u8],
        mut chunks: impl Iterator<Item = usize>,
    ) -> Outcome {
        let mut outcome = Outcome::Progress;
        let mut rest = bytes;
        while !rest.is_empty() && matches!(self.session.action(self.now), Action::Receive { .. }) {
            let count = chunks.next().unwrap_or(usize::MAX).clamp(1, rest.len());
            let (chunk, later) = rest.split_at(count);
            let Some(places) = self.session.space() else {
                outcome = self.session.on_bytes(self.now, chunk, &mut self.lane);
                rest = later;
                continue;
            };
            let mut taken = 0;
            for mut place in places {
                let count = place.len().min(chunk.len() - taken);
                place[..count].copy_from_slice(&chunk[taken..taken + count]);
                let address = place.as_ptr() as usize;
                self.addresses.extend((0..count).map(|n| address + n));
                taken += count;
            }
            outcome = self.session.on_received(self.now, taken, &mut self.lane);
            rest = &rest[taken..];
        }
        outcome
    }

    /// Does one thing; false when there is nothing to do before `until`.
    pub(crate) fn step(&mut self, until: MonoNs) -> bool {
        match self.session.action(self.now) {
            Action::Connect => {
                self.session.on_connecting(self.now);
                self.session.on_connected(self.now);
            }
            Action::Send => {
                let request = self.session.request();
                self.session.on_sent(self.now, request.len());
                let reply = self.device.answer(&request);
                self.now = self.now.after(EXCHANGE);
                self.receive(&reply, std::iter::repeat(usize::MAX));
            }
            Action::Close => self.session.on_closed(),
            Action::Receive { deadline } | Action::Wait { until: deadline } => {
                if deadline > until {
                    self.now = until;
                    return false;
                }
                self.now = deadline;
            }
            Action::PollConnect { .. } => panic!("it is connected at once"),
        }
        true
    }

    pub(crate) fn run(&mut self, span_ms: u64) {
        let until = self.now.after(DurNs::from_ms(span_ms));
        while self.now < until && self.step(until) {}
    }

    /// Steps up to the request that `wanted` describes, which is sent but not answered.
    pub(crate) fn until_request(&mut self, wanted: impl Fn(u16, u16) -> bool) -> Vec<u8> {
        for _ in 0..100_000 {
            if self.session.action(self.now) == Action::Send {
                let request = self.session.request();
                let RequestBody::Read(read) = server::decode_request(&request).unwrap().body else {
                    panic!("this client only reads");
                };
                if wanted(read.address, read.count) {
                    self.session.on_sent(self.now, request.len());
                    return request.to_vec();
                }
            }
            self.step(MonoNs::NEVER);
        }
        panic!("no such request");
    }
}

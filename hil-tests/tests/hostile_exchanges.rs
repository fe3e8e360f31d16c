//! 50,000 hostile exchanges: the real Modbus session and the real MQTT subscriber, in memory and in virtual time, against
//! a peer that is late, foreign, short, long, torn, repeated, damaged or forged. An oracle knows the only value that each
//! exchange may give; no other one may come out.
//!
//! Deterministic from its seed, which every failure prints; `TRIPLINE_HOSTILE_SEED` gives another one. Not in it: damage to a
//! register in a reply that is right otherwise. Modbus/TCP has no check of its own; TCP's is all there is, and the safety
//! manual's assumptions are where that belongs.
#![forbid(unsafe_code)]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "the lint's exception for tests does not reach the helpers of a test program; the seed is printed"
)]

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::net::{Ipv4Addr, SocketAddr};

use drivers_frame::{
    DeviceId, DurNs, FrameSink, MonoNs, QueueFull, Sample, TagId, ValueCodec, ValueType,
};
use drivers_modbus::codec::server::{self, ReplyBuf, RequestBody};
use drivers_modbus::session::{Action, State};
use drivers_modbus::{Backoff, DeviceConfig, Point, Poll};
use drivers_mqtt::codec::{self, Connack, Grant, PacketId, Publish, StreamReader};
use drivers_mqtt::envelope::{EnvelopeError, Sealer};
use drivers_mqtt::session::{Handled, Session as _, SubscriberSession, Wrote};
use drivers_mqtt::{
    BackoffConfig, BrokerConfig, CheckConfig, EnvelopeConfig, ErrorBudget, Extract, Field,
    LinkError, Secret, SubscriberConfig, Subscription,
};

/// Of each protocol. Zero wrong values in 25,000 support a rate below 1.2e-4 each at 95 % confidence; a class has a
/// tenth of that.
const EXCHANGES: u32 = 25_000;

fn seed() -> u64 {
    std::env::var("TRIPLINE_HOSTILE_SEED").map_or(0x7219_11E0, |text| text.parse().unwrap())
}

/// SplitMix64 (Steele, Lea, Flood 2014).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// Below `end`.
    fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }

    fn pick<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.below(all.len())]
    }

    /// Changes one byte of `bytes` to another value.
    fn flip(&mut self, bytes: &mut [u8]) {
        let at = self.below(bytes.len());
        bytes[at] ^= 1 + self.below(255) as u8;
    }
}

/// How often each class came, and how many of its exchanges gave a value.
struct Tally<C>(BTreeMap<C, (u32, u32)>);

impl<C: Ord + Copy + Debug> Tally<C> {
    fn note(&mut self, class: C, values: usize) {
        let (came, gave) = self.0.entry(class).or_default();
        *came += 1;
        *gave += u32::from(values > 0);
    }

    /// Every class came at least 300 times, which is what "99 % detected" needs.
    fn complete(&self, all: &[C], seed: u64) {
        println!(
            "seed {seed}: class, exchanges, exchanges that gave a value: {:#?}",
            self.0
        );
        for class in all {
            let came = self.0.get(class).map_or(0, |(came, _)| *came);
            assert!(came >= 300, "{class:?} came {came} times, seed {seed}");
        }
    }

    fn gave(&self, class: C) -> u32 {
        self.0[&class].1
    }
}

#[derive(Default)]
struct Taken(Vec<Sample>);

impl FrameSink for Taken {
    fn push_frame(&mut self, samples: &[Sample]) -> Result<(), QueueFull> {
        self.0.extend_from_slice(samples);
        Ok(())
    }
}

impl Taken {
    /// The usable values since the last call. Whatever is not usable carries no number.
    fn values(&mut self) -> Vec<(TagId, f64)> {
        let taken = std::mem::take(&mut self.0);
        for sample in taken.iter().filter(|sample| !sample.quality.is_usable()) {
            assert_eq!(sample.value.to_bits(), 0, "no garbage travels: {sample:?}");
        }
        taken
            .iter()
            .filter(|sample| sample.quality.is_usable())
            .map(|sample| (sample.tag, sample.value))
            .collect()
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Modbus {
    Right,
    RightInPieces,
    Silent,
    LateInTheNext,
    LateUnasked,
    ForeignTransaction,
    WrongUnit,
    WrongFunction,
    OtherTableOrBlock,
    Short,
    Long,
    Exception,
    ImpossibleLength,
    Torn,
    Twice,
    TwiceApart,
    HeaderDamaged,
    EndOfStream,
    Noise,
}

const MODBUS: [Modbus; 19] = [
    Modbus::Right,
    Modbus::RightInPieces,
    Modbus::Silent,
    Modbus::LateInTheNext,
    Modbus::LateUnasked,
    Modbus::ForeignTransaction,
    Modbus::WrongUnit,
    Modbus::WrongFunction,
    Modbus::OtherTableOrBlock,
    Modbus::Short,
    Modbus::Long,
    Modbus::Exception,
    Modbus::ImpossibleLength,
    Modbus::Torn,
    Modbus::Twice,
    Modbus::TwiceApart,
    Modbus::HeaderDamaged,
    Modbus::EndOfStream,
    Modbus::Noise,
];

const UNIT: u8 = 7;
const TIMEOUT: DurNs = DurNs::from_ms(100);

/// A Modbus session and the peer that has what it says.
struct Device {
    session: drivers_modbus::Session,
    now: MonoNs,
    taken: Taken,
}

impl Device {
    fn new() -> Self {
        let point = |tag, table, address, kind| Point {
            tag: TagId(tag),
            table,
            address,
            codec: ValueCodec::plain(kind),
        };
        let session = drivers_modbus::Session::new(
            DeviceConfig {
                windows: Vec::new(),
                device: DeviceId(0),
                address: SocketAddr::from((Ipv4Addr::LOCALHOST, 502)),
                unit: UNIT,
                poll: Poll::Every(DurNs::from_ms(10)),
                timeout: TIMEOUT,
                connect_timeout: TIMEOUT,
                backoff: Backoff {
                    min: DurNs::from_ms(1),
                    max: DurNs::from_ms(1),
                },
                max_gap: 0,
                points: vec![
                    point(0, codec_table(0), 0, ValueType::U32),
                    point(1, codec_table(0), 100, ValueType::U32),
                    point(2, codec_table(1), 0, ValueType::U32),
                ],
            },
            1,
        );
        Self {
            session: session.unwrap(),
            now: MonoNs::ZERO,
            taken: Taken::default(),
        }
    }

    /// Until the next request is out.
    fn ask(&mut self) -> (u16, drivers_modbus::codec::ReadRequest) {
        for _ in 0..20 {
            match self.session.action(self.now) {
                Action::Connect => self.session.on_connecting(self.now),
                Action::PollConnect { .. } => self.session.on_connected(self.now),
                Action::Close => self.session.on_closed(),
                Action::Wait { until } => self.now = until,
                Action::Receive { deadline } => self.now = self.now.max(deadline),
                Action::Send => {
                    let request = server::decode_request(&self.session.request()).unwrap();
                    self.session.on_sent(self.now, 12);
                    let RequestBody::Read(read) = request.body else {
                        panic!("a session only reads");
                    };
                    return (request.transaction, read);
                }
            }
        }
        panic!(
            "the session asks again, whatever happened: {:?}",
            self.session.state()
        );
    }

    fn give(&mut self, bytes: &[u8]) {
        self.now = self.now.after(DurNs::from_us(10));
        self.session.on_bytes(self.now, bytes, &mut self.taken);
    }
}

fn codec_table(n: usize) -> drivers_modbus::codec::Table {
    [
        drivers_modbus::codec::Table::HoldingRegisters,
        drivers_modbus::codec::Table::InputRegisters,
    ][n]
}

/// The two registers of a number.
fn words(number: u32) -> [u16; 2] {
    [(number >> 16) as u16, number as u16]
}

#[test]
fn h07_to_h13_no_modbus_reply_but_the_right_one_gives_a_value() {
    let seed = seed();
    let mut random = Random(seed);
    let mut device = Device::new();
    let mut tally = Tally(BTreeMap::new());
    let mut last: Vec<u8> = Vec::new();
    for exchange in 1..=EXCHANGES {
        let class = random.pick(&MODBUS);
        if class == Modbus::LateUnasked && matches!(device.session.state(), State::Idle { .. }) {
            // Before the next request: what it answers was asked long ago.
            device.give(&last);
        }
        let (transaction, read) = device.ask();
        // Every exchange has a value of its own, so that one of another exchange is seen.
        let own = words(exchange);
        let reply = |transaction, unit, table, registers: &[u16]| {
            let mut buf: ReplyBuf = [0; 260];
            server::encode_registers(&mut buf, transaction, unit, table, registers)
                .unwrap()
                .to_vec()
        };
        let right = reply(transaction, UNIT, read.table, &own);
        let other = words(exchange ^ 0x5555_0000);
        let mut bytes = right.clone();
        match class {
            Modbus::Right => device.give(&right),
            Modbus::RightInPieces => {
                let (head, tail) = right.split_at(1 + random.below(right.len() - 1));
                device.give(head);
                device.give(tail);
            }
            Modbus::Silent => {}
            Modbus::LateInTheNext => device.give(&last),
            Modbus::LateUnasked => {
                device.now = device.now.after(TIMEOUT);
                device.give(&right);
            }
            Modbus::ForeignTransaction => {
                let foreign = transaction ^ (1 + random.below(65_535) as u16);
                device.give(&reply(foreign, UNIT, read.table, &other));
            }
            Modbus::WrongUnit => {
                let unit = UNIT ^ (1 + random.below(255) as u8);
                device.give(&reply(transaction, unit, read.table, &other));
            }
            Modbus::WrongFunction => {
                bytes[7] ^= 1 + random.below(255) as u8;
                device.give(&bytes);
            }
            Modbus::OtherTableOrBlock => {
                let table = codec_table(usize::from(read.table == codec_table(0)));
                device.give(&reply(transaction, UNIT, table, &other));
            }
            Modbus::Short => device.give(&reply(
                transaction,
                UNIT,
                read.table,
                &other[..random.below(2)],
            )),
            Modbus::Long => {
                let more = vec![exchange as u16; 3 + random.below(100)];
                device.give(&reply(transaction, UNIT, read.table, &more));
            }
            Modbus::Exception => {
                let mut buf: ReplyBuf = [0; 260];
                // Not 2: it splits a block, and the plan would run out of blocks to split.
                let code = random.pick(&[0, 1, 3, 4, 5, 6, 8, 10, 11, 255]);
                let function = read.table.read_function();
                let refusal = server::encode_exception(&mut buf, transaction, UNIT, function, code);
                device.give(refusal.unwrap());
            }
            Modbus::ImpossibleLength => {
                let length = random.pick(&[0_u16, 1, 255, 256, 65_535]);
                bytes[4..6].copy_from_slice(&length.to_be_bytes());
                device.give(&bytes);
            }
            Modbus::Torn => device.give(&right[..1 + random.below(right.len() - 1)]),
            Modbus::Twice => {
                bytes.extend_from_slice(&right);
                device.give(&bytes);
            }
            Modbus::TwiceApart => {
                device.give(&right);
                device.give(&right);
            }
            Modbus::HeaderDamaged => {
                random.flip(&mut bytes[..9]);
                device.give(&bytes);
            }
            Modbus::EndOfStream => {
                device.give(&right[..random.below(right.len())]);
                device.session.on_eof(device.now);
            }
            Modbus::Noise => {
                let noise: Vec<u8> = (0..=random.below(300))
                    .map(|_| random.next() as u8)
                    .collect();
                device.give(&noise);
            }
        }
        last = right;
        let values = device.taken.values();
        let tag = match (read.table == codec_table(1), read.address) {
            (false, 0) => TagId(0),
            (false, _) => TagId(1),
            (true, _) => TagId(2),
        };
        for value in &values {
            assert_eq!(
                *value,
                (tag, f64::from(exchange)),
                "H-7, H-8, H-9, I5: a wrong value: {class:?}, exchange {exchange}, seed {seed}"
            );
        }
        assert!(
            values.len() <= 1,
            "H-13: {class:?}, exchange {exchange}, seed {seed}"
        );
        tally.note(class, values.len());
    }
    tally.complete(&MODBUS, seed);
    for class in MODBUS {
        let (came, gave) = tally.0[&class];
        let expected = match class {
            // The first of two replies is right; nobody can know then that a second one follows.
            Modbus::Right | Modbus::RightInPieces | Modbus::TwiceApart => came,
            _ => 0,
        };
        assert_eq!(gave, expected, "{class:?}, seed {seed}");
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Mqtt {
    Good,
    AfterLoss,
    Restarted,
    Again,
    Recorded,
    OutOfOrder,
    Delayed,
    Stranger,
    Forged,
    OtherTopic,
    Damaged,
    Torn,
    Longer,
    Bare,
    Retained,
    Redelivered,
    PacketDamaged,
}

const MQTT: [Mqtt; 17] = [
    Mqtt::Good,
    Mqtt::AfterLoss,
    Mqtt::Restarted,
    Mqtt::Again,
    Mqtt::Recorded,
    Mqtt::OutOfOrder,
    Mqtt::Delayed,
    Mqtt::Stranger,
    Mqtt::Forged,
    Mqtt::OtherTopic,
    Mqtt::Damaged,
    Mqtt::Torn,
    Mqtt::Longer,
    Mqtt::Bare,
    Mqtt::Retained,
    Mqtt::Redelivered,
    Mqtt::PacketDamaged,
];

const TOPICS: [&str; 2] = ["plant/keyed", "plant/other"];
const SOURCE: &str = "press-7";
const EPOCH_NS: u64 = 1_795_219_200_000_000_000;

fn key(byte: u8) -> CheckConfig {
    CheckConfig::HmacSha256 {
        key: Secret::new([byte; 32]),
    }
}

/// The subscriber over bytes, and its broker.
struct Subscriber {
    session: SubscriberSession,
    reader: StreamReader,
    now: MonoNs,
    taken: Taken,
}

impl Subscriber {
    fn new() -> Self {
        let subscription = |(topic, tag): (&str, u16)| Subscription {
            topic: topic.into(),
            qos: 1,
            fields: vec![Field {
                tag: TagId(tag),
                extract: Extract::Number,
                codec: ValueCodec::plain(ValueType::F64),
            }],
            envelope: Some(EnvelopeConfig {
                source: SOURCE.into(),
                check: key(1),
                max_delay: Some(DurNs::from_ms(500)),
                // Never used up, so that every message stands for itself.
                budget: ErrorBudget {
                    errors: 1_000,
                    within: DurNs::from_ms(1),
                },
            }),
        };
        let config = SubscriberConfig {
            waveforms: Vec::new(),
            device: DeviceId(0),
            broker: BrokerConfig {
                host: "192.0.2.1".into(),
                port: 1883,
                client_id: "c".into(),
                username: None,
                password: None,
                tls: None,
                keep_alive: DurNs::from_ms(10_000),
                connect_timeout: DurNs::from_ms(2_000),
                backoff: BackoffConfig {
                    min: DurNs::from_ms(100),
                    max: DurNs::from_ms(100),
                    seed: 1,
                },
            },
            subscriptions: TOPICS.into_iter().zip(0..).map(subscription).collect(),
        };
        let mut subscriber = Self {
            session: SubscriberSession::new(&config).unwrap(),
            reader: StreamReader::new(),
            now: MonoNs::ZERO,
            taken: Taken::default(),
        };
        subscriber.connect();
        subscriber
    }

    fn connect(&mut self) {
        self.now = self.now.after(DurNs::from_ms(200));
        self.reader = StreamReader::new();
        self.session.link_mut().begin(self.now);
        self.session.link_mut().established(self.now).unwrap();
        let mut buffer = [0; 100];
        let accepted = Connack {
            session_present: false,
            refusal: None,
        };
        let length = codec::connack(&mut buffer, accepted).unwrap();
        self.give(&buffer[..length]).unwrap();
        let id = PacketId::new(1).unwrap();
        let granted = [Grant::Granted(1); 2];
        let length = codec::suback(&mut buffer, id, &granted).unwrap();
        self.give(&buffer[..length]).unwrap();
        assert!(self.session.link().is_up());
    }

    fn give(&mut self, mut bytes: &[u8]) -> Result<(), LinkError> {
        while !bytes.is_empty() {
            let space = self.reader.space();
            let count = space.len().min(bytes.len());
            space[..count].copy_from_slice(&bytes[..count]);
            self.reader.commit(count);
            bytes = &bytes[count..];
            while let Some(raw) = self.reader.next().map_err(LinkError::Protocol)? {
                if self.session.handle(raw, self.now)? == Handled::Frame {
                    self.taken.push_frame(self.session.samples()).unwrap();
                }
            }
        }
        let accepted = self.session.link().output().len();
        let wrote = Wrote {
            accepted,
            progressed: accepted > 0,
            backlog: false,
        };
        self.session.link_mut().wrote(self.now, wrote);
        Ok(())
    }
}

#[test]
fn h17_to_h21_no_mqtt_message_but_the_newest_of_its_source_gives_a_value() {
    let seed = seed();
    let mut random = Random(seed ^ 0xA5A5);
    let mut subscriber = Subscriber::new();
    let mut tally = Tally(BTreeMap::new());
    // One source for each topic, and all that it has sent.
    let mut sequences = [0_u32; 2];
    let mut sent: [Vec<Vec<u8>>; 2] = [Vec::new(), Vec::new()];
    for exchange in 1..=EXCHANGES {
        subscriber.now = subscriber.now.after(DurNs::from_ms(100));
        let at = random.below(2);
        let topic = TOPICS[at];
        let class = match random.pick(&MQTT) {
            // Without a past there is nothing to repeat.
            class if sent[at].len() > 2 => class,
            _ => Mqtt::Good,
        };
        match class {
            Mqtt::AfterLoss => sequences[at] += 1 + random.below(5) as u32,
            Mqtt::Restarted => sequences[at] = 0,
            _ => {}
        }
        let sequence = sequences[at];
        let time_ns = EPOCH_NS + subscriber.now.as_ns();
        let payload = exchange.to_string();
        let seal = |topic, source, check: &CheckConfig, sequence, time_ns| {
            let sealer = Sealer::new(topic, source, check).unwrap();
            sealer
                .from_sequence(sequence)
                .seal(time_ns, payload.as_bytes())
        };
        let good = seal(topic, SOURCE, &key(1), sequence, time_ns);
        let mut flags = (false, false);
        let mut message = good.clone();
        // Whether the source has sent something new on its own topic, whatever became of it.
        let mut is_new = true;
        match class {
            Mqtt::Good | Mqtt::AfterLoss | Mqtt::Restarted | Mqtt::PacketDamaged => {}
            Mqtt::Again => {
                message.clone_from(sent[at].last().unwrap());
                is_new = false;
            }
            Mqtt::Recorded | Mqtt::OutOfOrder => {
                let back = if class == Mqtt::Recorded {
                    sent[at].len()
                } else {
                    sent[at].len().min(60)
                };
                let index = sent[at].len() - 1 - random.below(back);
                message.clone_from(&sent[at][index]);
                is_new = false;
            }
            Mqtt::Delayed => {
                let held = DurNs::from_ms(700 + random.below(5_000) as u64);
                subscriber.now = subscriber.now.after(held);
            }
            Mqtt::Stranger => {
                message = seal(topic, "press-8", &key(1), sequence, time_ns);
                is_new = false;
            }
            Mqtt::Forged => {
                message = seal(topic, SOURCE, &key(2), sequence, time_ns);
                is_new = false;
            }
            Mqtt::OtherTopic => {
                message = seal(TOPICS[1 - at], SOURCE, &key(1), sequence, time_ns);
                is_new = false;
            }
            Mqtt::Damaged => random.flip(&mut message),
            Mqtt::Torn => message.truncate(random.below(message.len())),
            Mqtt::Longer => message.push(b'0'),
            Mqtt::Bare => {
                message = payload.clone().into_bytes();
                is_new = false;
            }
            Mqtt::Retained => flags.0 = true,
            Mqtt::Redelivered => flags.1 = true,
        }
        let mut packet = vec![0; 1_000];
        let publish = Publish {
            dup: flags.1,
            retain: flags.0,
            topic,
            packet_id: PacketId::new(1 + (exchange % 60_000) as u16),
            payload: &message,
        };
        let length = codec::publish(&mut packet, &publish).unwrap();
        packet.truncate(length);
        if class == Mqtt::PacketDamaged {
            random.flip(&mut packet);
        }
        let broken = subscriber.give(&packet).err();
        if let Some(error) = broken {
            subscriber.session.link_mut().fail(subscriber.now, error);
        }
        if broken.is_some() || class == Mqtt::PacketDamaged {
            // A length that was damaged waits for bytes that never come: only a new connection is in step.
            if broken.is_none() {
                subscriber
                    .session
                    .link_mut()
                    .fail(subscriber.now, LinkError::Silent);
            }
            subscriber.connect();
        }
        let values = subscriber.taken.values();
        for value in &values {
            assert_eq!(
                *value,
                (TagId(at as u16), f64::from(exchange)),
                "H-18 to H-21: a wrong value: {class:?}, exchange {exchange}, seed {seed}"
            );
        }
        tally.note(class, values.len());
        if is_new {
            sequences[at] += 1;
        }
        // What never arrived whole is no past.
        if is_new && (!values.is_empty() || class == Mqtt::Delayed) {
            sent[at].push(good);
        }
    }
    tally.complete(&MQTT, seed);
    for class in MQTT {
        let (came, gave) = tally.0[&class];
        match class {
            Mqtt::Good | Mqtt::AfterLoss | Mqtt::Restarted => {
                assert_eq!(gave, came, "{class:?}, seed {seed}");
            }
            // A packet id that was damaged harms no value: the envelope is whole.
            Mqtt::PacketDamaged => assert!(gave < came / 5, "{gave} of {came}, seed {seed}"),
            _ => assert_eq!(tally.gave(class), 0, "{class:?}, seed {seed}"),
        }
    }
    let counters = subscriber.session.link().counters();
    for error in EnvelopeError::ALL {
        let seen = counters.envelope.of(error);
        let never = error == EnvelopeError::Corruption;
        assert!(
            seen >= 300 || never && seen > 0,
            "{error:?}: {seen}, seed {seed}"
        );
    }
    assert_eq!(counters.envelope.budgets_exceeded, 0);
}

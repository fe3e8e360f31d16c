//! Blocks of waveforms in virtual time: whatever way the bytes come, the same blocks, where they were received.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "the lint's exception for tests does not reach helpers of a test program"
)]

use std::collections::VecDeque;

use drivers_frame::block::{RateCheck, SequenceType};
use drivers_frame::{
    Block, BlockNews, ByteOrder, Cause, DeviceId, DurNs, FrameSink, MonoNs, QueueFull, Sample,
    SampleKind, Scaling, Step, TagId, ValueCodec, ValueType, WaveformId,
};
use drivers_mqtt::codec::{self, Connack, Grant, PacketId, Publish, StreamReader};
use drivers_mqtt::envelope::Sealer;
use drivers_mqtt::session::{Session, SubscriberSession, Wrote};
use drivers_mqtt::{
    BackoffConfig, BrokerConfig, CheckConfig, ConfigError, Counters, EnvelopeConfig, ErrorBudget,
    Extract, Field, LinkError, SequenceField, SubscriberConfig, Subscription, WaveformProblem,
    WaveformSubscription,
};
use proptest::prelude::*;

const HEADER: usize = 6;

fn wave(topic: &str, waveform: u16, count: u32) -> WaveformSubscription {
    WaveformSubscription {
        topic: topic.into(),
        qos: 1,
        waveform: WaveformId(waveform),
        sequence: Some(SequenceField {
            offset: 1,
            kind: SequenceType::U32,
        }),
        first: HEADER,
        kind: SampleKind::F32,
        order: ByteOrder::LittleEndian,
        count,
        rate_hz: 25_600.0,
        rate_check: RateCheck::Off,
        envelope: None,
    }
}

fn config(waveforms: Vec<WaveformSubscription>) -> SubscriberConfig {
    SubscriberConfig {
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
                max: DurNs::from_ms(5_000),
                seed: 42,
            },
        },
        subscriptions: vec![Subscription {
            topic: "value".into(),
            qos: 1,
            fields: vec![Field {
                tag: TagId(7),
                extract: Extract::Number,
                codec: ValueCodec::plain(ValueType::F64),
            }],
            envelope: None,
        }],
        waveforms,
    }
}

/// The lane: buffers, and what came.
#[derive(Default)]
struct Lane {
    empty: VecDeque<Box<[u8]>>,
    news: Vec<BlockNews>,
    values: Vec<f64>,
    full: bool,
}

impl Lane {
    fn with(buffers: usize, config: &SubscriberConfig) -> Self {
        let bytes = config.block_buffer_bytes().unwrap();
        Self {
            empty: (0..buffers)
                .map(|_| vec![0; bytes].into_boxed_slice())
                .collect(),
            ..Self::default()
        }
    }

    /// Takes the news, and gives the buffers back.
    fn take(&mut self) -> Vec<Seen> {
        let news = std::mem::take(&mut self.news);
        news.into_iter()
            .map(|news| match news {
                BlockNews::Block(block) => {
                    let seen = Seen::of(&block);
                    self.empty.push_back(block.into_buffer());
                    seen
                }
                BlockNews::Bad {
                    waveform, cause, ..
                } => Seen::Bad(waveform.0, cause),
            })
            .collect()
    }
}

impl FrameSink for Lane {
    fn push_frame(&mut self, samples: &[Sample]) -> Result<(), QueueFull> {
        self.values
            .extend(samples.iter().map(|sample| sample.value));
        Ok(())
    }

    fn take_empty(&mut self) -> Option<Box<[u8]>> {
        self.empty.pop_front()
    }

    fn push_block(&mut self, news: BlockNews) -> Result<(), BlockNews> {
        if self.full {
            return Err(news);
        }
        self.news.push(news);
        Ok(())
    }
}

/// A block as it matters to a test.
#[derive(Clone, Debug, PartialEq)]
enum Seen {
    Block {
        waveform: u16,
        sequence: u64,
        gap: bool,
        first: f32,
    },
    Bad(u16, Cause),
}

impl Seen {
    fn of(block: &Block) -> Self {
        let head = block.head();
        let mut samples = vec![0; head.count as usize * 4];
        block.write_f32(Scaling::default(), &mut samples).unwrap();
        Self::Block {
            waveform: head.waveform.0,
            sequence: head.sequence,
            gap: head.gap,
            first: f32::from_le_bytes(samples[..4].try_into().unwrap()),
        }
    }
}

fn block(sequence: u64, gap: bool, first: f32) -> Seen {
    Seen::Block {
        waveform: 0,
        sequence,
        gap,
        first,
    }
}

/// The subscriber, its reader, and the addresses at which the stream's bytes were received.
struct Client {
    session: SubscriberSession,
    reader: StreamReader,
    at: MonoNs,
    addresses: Vec<usize>,
}

impl Client {
    fn new(config: &SubscriberConfig) -> Self {
        Self {
            session: SubscriberSession::new(config).unwrap(),
            reader: config
                .block_buffer_bytes()
                .map_or_else(StreamReader::new, StreamReader::for_blocks),
            at: MonoNs::from_ns(1),
            addresses: Vec::new(),
        }
    }

    fn connect(&mut self, config: &SubscriberConfig) {
        let link = self.session.link_mut();
        link.begin(self.at);
        link.established(self.at).unwrap();
        let mut lane = Lane::default();
        self.feed(&connack(), usize::MAX, &mut lane).unwrap();
        let topics = config.subscriptions.len() + config.waveforms.len();
        self.feed(&suback(topics), usize::MAX, &mut lane).unwrap();
        assert!(self.session.link().is_up());
        self.addresses.clear();
    }

    /// Receives `bytes`, at most `chunk` at a time.
    fn feed(&mut self, bytes: &[u8], chunk: usize, lane: &mut Lane) -> Result<(), LinkError> {
        self.feed_in(bytes, std::iter::repeat(chunk), lane)
    }

    fn feed_in(
        &mut self,
        mut bytes: &[u8],
        mut chunks: impl Iterator<Item = usize>,
        lane: &mut Lane,
    ) -> Result<(), LinkError> {
        while !bytes.is_empty() {
            let space = self.reader.space();
            assert!(!space.is_empty());
            let count = chunks
                .next()
                .unwrap_or(usize::MAX)
                .clamp(1, bytes.len().min(space.len()));
            space[..count].copy_from_slice(&bytes[..count]);
            let address = space.as_ptr() as usize;
            self.addresses.extend((0..count).map(|n| address + n));
            self.reader.commit(count);
            bytes = &bytes[count..];
            while let Some(raw) = self.reader.next().map_err(LinkError::Protocol)? {
                let handled = self.session.handle(raw, self.at)?;
                let step = self.session.hand_over(handled, &mut self.reader, lane);
                assert!(matches!(step, Step::Frame | Step::Progress));
            }
            // Acknowledgements have gone out.
            let accepted = self.session.link().output().len();
            let wrote = Wrote {
                accepted,
                progressed: true,
                backlog: false,
            };
            self.session.link_mut().wrote(self.at, wrote);
        }
        Ok(())
    }

    fn counters(&self) -> Counters {
        self.session.link().counters()
    }
}

fn connack() -> Vec<u8> {
    encoded(64, |buffer| {
        let connack = Connack {
            session_present: false,
            refusal: None,
        };
        codec::connack(buffer, connack)
    })
}

fn suback(topics: usize) -> Vec<u8> {
    let grants = vec![Grant::Granted(1); topics];
    encoded(256, |buffer| {
        codec::suback(buffer, PacketId::new(1).unwrap(), &grants)
    })
}

fn encoded(
    room: usize,
    encode: impl FnOnce(&mut [u8]) -> Result<usize, codec::EncodeError>,
) -> Vec<u8> {
    let mut buffer = vec![0; room];
    let length = encode(&mut buffer).unwrap();
    buffer.truncate(length);
    buffer
}

fn message(topic: &str, payload: &[u8], (retain, dup): (bool, bool)) -> Vec<u8> {
    encoded(payload.len() + 600, |buffer| {
        let publish = Publish {
            dup,
            retain,
            topic,
            packet_id: PacketId::new(9),
            payload,
        };
        codec::publish(buffer, &publish)
    })
}

const FRESH: (bool, bool) = (false, false);

/// A payload of `count` samples, the first of which is `first`.
fn payload(sequence: u32, first: f32, count: usize) -> Vec<u8> {
    let mut bytes = vec![0xAB];
    bytes.extend(sequence.to_le_bytes());
    bytes.push(0xCD);
    for n in 0..count {
        bytes.extend((first + n as f32).to_le_bytes());
    }
    bytes
}

fn connected(config: &SubscriberConfig) -> (Client, Lane) {
    let mut client = Client::new(config);
    client.connect(config);
    (client, Lane::with(4, config))
}

#[test]
fn the_longest_block_arrives_in_the_buffer_it_was_received_into() {
    let config = config(vec![wave("vibration", 0, 65_536)]);
    let (mut client, mut lane) = connected(&config);
    for (sequence, chunk) in (0..12).zip([usize::MAX, 1_448, 65_483, 4_096].iter().cycle()) {
        let bytes = message("vibration", &payload(sequence, 0.5, 65_536), FRESH);
        assert!(bytes.len() > 262_144);
        client.addresses.clear();
        client.feed(&bytes, *chunk, &mut lane).unwrap();
        let Some(BlockNews::Block(got)) = lane.news.pop() else {
            panic!("a block: {:?}", client.counters());
        };
        assert_eq!(got.head().count, 65_536);
        // Every byte of the samples lies where the kernel has put it.
        let samples = &client.addresses[bytes.len() - 262_144..];
        let address = got.raw().as_ptr() as usize;
        assert!(
            samples.iter().zip(address..).all(|(a, b)| *a == b),
            "copied on its way"
        );
        lane.empty.push_back(got.into_buffer());
    }
    assert_eq!(client.counters().blocks.blocks, 12);
    assert_eq!(client.counters().blocks.gaps, 1, "the first");
}

#[test]
fn h17_h18_h19_what_a_sequence_number_leads_to() {
    let config = config(vec![wave("w", 0, 2)]);
    let (mut client, mut lane) = connected(&config);
    let numbers = [5, 6, 6, 9, 8, 10, 0, 1, 2, 3];
    let mut seen = Vec::new();
    for (number, first) in numbers.iter().zip(0_u8..) {
        let payload = payload(*number, f32::from(first), 2);
        client
            .feed(&message("w", &payload, FRESH), 100, &mut lane)
            .unwrap();
        seen.extend(lane.take());
    }
    let expected = [
        block(0, true, 0.0),
        block(1, false, 1.0),
        // The second 6 is a repetition.
        block(4, true, 3.0),
        // 8 is old.
        block(5, false, 5.0),
        // 0 and 1 are old; the third of them in order is a source that began anew.
        block(6, true, 8.0),
        block(7, false, 9.0),
    ];
    assert_eq!(seen, expected);
    let blocks = client.counters().blocks;
    assert_eq!(
        (
            blocks.blocks,
            blocks.gaps,
            blocks.missing,
            blocks.repeated,
            blocks.old,
            blocks.restarts
        ),
        (6, 3, 2, 1, 3, 1)
    );
}

#[test]
fn h18_retained_and_redelivered_blocks_are_dropped() {
    let config = config(vec![wave("w", 0, 2)]);
    let (mut client, mut lane) = connected(&config);
    for (flags, number) in [((true, false), 1), ((false, true), 2), ((true, true), 3)] {
        let bytes = message("w", &payload(number, 1.0, 2), flags);
        client.feed(&bytes, 9, &mut lane).unwrap();
    }
    assert_eq!(lane.take(), [], "H-18");
    let counters = client.counters();
    assert_eq!(counters.dropped_retained + counters.dropped_duplicate, 3);
    let fresh = message("w", &payload(4, 2.0, 2), FRESH);
    client.feed(&fresh, 9, &mut lane).unwrap();
    assert_eq!(lane.take(), [block(0, true, 2.0)]);
}

#[test]
fn h21_a_wrong_length_is_bad_at_once_and_leaves_a_gap() {
    let config = config(vec![wave("w", 0, 3)]);
    let (mut client, mut lane) = connected(&config);
    let right = payload(1, 1.0, 3);
    for length in (0..right.len()).chain([right.len() + 1, right.len() + 4]) {
        let mut wrong = right.clone();
        wrong.resize(length, 0);
        client
            .feed(&message("w", &wrong, FRESH), 7, &mut lane)
            .unwrap();
        assert_eq!(
            lane.take(),
            [Seen::Bad(0, Cause::Malformed)],
            "H-21: {length} bytes"
        );
    }
    client
        .feed(&message("w", &right, FRESH), 7, &mut lane)
        .unwrap();
    assert_eq!(lane.take(), [block(0, true, 1.0)]);
    let malformed = right.len() as u64 + 2;
    assert_eq!(client.counters().blocks.malformed, malformed);
}

#[test]
fn h21_a_message_beyond_the_largest_block_is_bad_and_what_follows_is_read() {
    let config = config(vec![wave("w", 0, 40_000)]);
    let (mut client, mut lane) = connected(&config);
    for chunk in [usize::MAX, 70_000, 1_000, 3] {
        let giant = message("w", &vec![0; 300_000], FRESH);
        client.feed(&giant, chunk, &mut lane).unwrap();
        assert_eq!(lane.take(), [Seen::Bad(0, Cause::Malformed)], "H-21");
        let value = message("value", b"4.5", FRESH);
        client.feed(&value, chunk, &mut lane).unwrap();
        assert_eq!(std::mem::take(&mut lane.values), [4.5]);
    }
    assert_eq!(client.counters().oversize, 4);
}

#[test]
fn h25_without_a_free_buffer_a_block_is_lost_and_the_next_one_says_so() {
    let config = config(vec![wave("w", 0, 2)]);
    let (mut client, mut lane) = connected(&config);
    let send = |client: &mut Client, lane: &mut Lane, number: u32| {
        let bytes = message("w", &payload(number, number as f32, 2), FRESH);
        client.feed(&bytes, 50, lane).unwrap();
    };
    let held = std::mem::take(&mut lane.empty);
    send(&mut client, &mut lane, 1);
    assert_eq!(lane.take(), [], "H-25");
    lane.empty = held;
    send(&mut client, &mut lane, 2);
    send(&mut client, &mut lane, 3);
    assert_eq!(lane.take(), [block(1, true, 2.0), block(2, false, 3.0)]);
    // No room for the news: the buffer is kept for the next one.
    lane.full = true;
    let before = lane.empty.len();
    for number in 4..20 {
        send(&mut client, &mut lane, number);
    }
    assert_eq!(lane.empty.len(), before - 1, "no buffer is lost");
    lane.full = false;
    send(&mut client, &mut lane, 20);
    assert_eq!(lane.take(), [block(19, true, 20.0)]);
    assert_eq!(client.counters().blocks.no_buffer, 17);
}

#[test]
fn without_numbers_each_connection_begins_with_a_gap() {
    for (sequence, gap) in [
        (None, true),
        (Some(SequenceType::U8), true),
        (Some(SequenceType::U32), false),
    ] {
        let mut bare = wave("w", 0, 2);
        bare.sequence = sequence.map(|kind| SequenceField { offset: 1, kind });
        let config = config(vec![bare]);
        let (mut client, mut lane) = connected(&config);
        let send = |client: &mut Client, lane: &mut Lane, number: u32| {
            let bytes = message("w", &payload(number, 1.0, 2), FRESH);
            client.feed(&bytes, 50, lane).unwrap();
        };
        send(&mut client, &mut lane, 1);
        send(&mut client, &mut lane, 2);
        assert_eq!(lane.take(), [block(0, true, 1.0), block(1, false, 1.0)]);
        client
            .session
            .link_mut()
            .fail(MonoNs::from_ns(5), LinkError::Silent);
        client.reader.clear();
        client.connect(&config);
        send(&mut client, &mut lane, 3);
        send(&mut client, &mut lane, 4);
        let expected = [block(2, gap, 1.0), block(3, false, 1.0)];
        assert_eq!(lane.take(), expected, "{sequence:?}");
    }
}

#[test]
fn h18_to_h21_an_envelope_guards_blocks_as_it_guards_values() {
    let check = CheckConfig::Crc32c;
    let mut sealed = wave("w", 0, 2);
    sealed.sequence = None;
    sealed.envelope = Some(EnvelopeConfig {
        source: "probe".into(),
        check: check.clone(),
        max_delay: None,
        budget: ErrorBudget {
            errors: 2,
            within: DurNs::from_ms(1_000),
        },
    });
    let config = config(vec![sealed]);
    let (mut client, mut lane) = connected(&config);
    let mut sealer = Sealer::new("w", "probe", &check).unwrap();
    let mut letters: Vec<Vec<u8>> = (0..6_u32)
        .map(|n| sealer.seal(u64::from(n) + 1, &payload(0, n as f32, 2)))
        .collect();
    let last = letters[3].len() - 1;
    letters[3][last] ^= 1;
    // In order, one missing, one before; a bare one and a damaged one are two errors more than the budget.
    for index in [0, 1, 3, 4, 1] {
        let bytes = message("w", &letters[index], FRESH);
        client.feed(&bytes, 33, &mut lane).unwrap();
    }
    assert_eq!(
        lane.take(),
        [
            block(0, true, 0.0),
            block(1, false, 1.0),
            // Beyond the budget: the damaged one, two lost, and a repetition.
            Seen::Bad(0, Cause::Lost),
            Seen::Bad(0, Cause::Repeated),
        ]
    );
    client.at = MonoNs::from_ns(2_000_000_000);
    let bytes = message("w", &letters[5], FRESH);
    client.feed(&bytes, 33, &mut lane).unwrap();
    assert_eq!(lane.take(), [block(5, true, 5.0)]);
    let envelope = client.counters().envelope;
    assert_eq!(
        (envelope.corrupted, envelope.lost, envelope.repeated),
        (1, 2, 1)
    );
}

#[test]
fn a_source_that_samples_faster_than_the_pack_says_is_bad_until_it_does_not() {
    let mut timed = wave("w", 0, 2);
    // A block spans a second.
    timed.rate_hz = 2.0;
    timed.rate_check = RateCheck::NotFaster;
    let config = config(vec![timed]);
    let (mut client, mut lane) = connected(&config);
    let mut seen = Vec::new();
    let mut number = 0;
    for (blocks, every_ms) in [(40, 1_000), (80, 800), (80, 1_000)] {
        let mut came = Vec::new();
        for _ in 0..blocks {
            client.at = client.at.after(DurNs::from_ms(every_ms));
            let bytes = message("w", &payload(number, number as f32, 2), FRESH);
            client.feed(&bytes, 50, &mut lane).unwrap();
            number += 1;
            came.extend(lane.take());
        }
        seen.push(came);
    }
    let good = |seen: &Seen| matches!(seen, Seen::Block { .. });
    assert!(seen[0].iter().all(good));
    assert_eq!(seen[1].last(), Some(&Seen::Bad(0, Cause::WrongRate)));
    let first = seen[2].iter().position(good).unwrap();
    assert!(matches!(seen[2][first], Seen::Block { gap: true, .. }));
    assert!(seen[2][first..].iter().all(good));
    let blocks = client.counters().blocks;
    assert_eq!(blocks.blocks + blocks.wrong_rate, 200);
}

#[test]
fn waveforms_that_cannot_be_are_refused() {
    let refused = |change: fn(&mut WaveformSubscription)| {
        let mut wave = wave("w", 0, 100);
        change(&mut wave);
        config(vec![wave]).check().unwrap_err()
    };
    let problem = |error: ConfigError| match error {
        ConfigError::Waveform { problem, .. } => problem,
        other => panic!("{other}"),
    };
    assert_eq!(
        problem(refused(|w| w.count = 0)),
        WaveformProblem::Samples(0)
    );
    assert_eq!(
        problem(refused(|w| w.count = 65_537)),
        WaveformProblem::Samples(65_537)
    );
    assert_eq!(
        problem(refused(|w| w.first = 4)),
        WaveformProblem::SequenceInSamples
    );
    assert_eq!(
        problem(refused(|w| w.first = 5_000)),
        WaveformProblem::First(5_000)
    );
    for rate in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        let mut wave = wave("w", 0, 1);
        wave.rate_hz = rate;
        let error = config(vec![wave]).check().unwrap_err();
        assert_eq!(problem(error), WaveformProblem::Rate);
    }
    assert_eq!(
        config(vec![wave("a", 1, 1), wave("b", 1, 1)]).check(),
        Err(ConfigError::WaveformTwice(WaveformId(1)))
    );
    assert_eq!(
        config(vec![wave("value", 1, 1)]).check(),
        Err(ConfigError::TopicTwice("value".into()))
    );
}

/// What a broker sends.
#[derive(Clone, Debug)]
enum Sent {
    Block { number: u32, first: f32 },
    Short(usize),
    Value(u16),
    Giant(usize),
    Foreign(Vec<u8>),
    Retained(u32),
}

fn sent() -> impl Strategy<Value = Sent> {
    prop_oneof![
        4 => (0_u32..12, -9_i8..9).prop_map(|(number, first)| Sent::Block { number, first: f32::from(first) }),
        1 => (0_usize..140).prop_map(Sent::Short),
        2 => any::<u16>().prop_map(Sent::Value),
        1 => (70_000_usize..90_000).prop_map(Sent::Giant),
        1 => proptest::collection::vec(any::<u8>(), 0..300).prop_map(Sent::Foreign),
        1 => (0_u32..12).prop_map(Sent::Retained),
    ]
}

const COUNT: usize = 30;

fn bytes_of(sent: &Sent) -> Vec<u8> {
    match sent {
        Sent::Block { number, first } => message("w", &payload(*number, *first, COUNT), FRESH),
        Sent::Short(length) if *length == HEADER + 4 * COUNT => vec![0xD0, 0],
        Sent::Short(length) => message("w", &vec![1; *length], FRESH),
        Sent::Value(value) => message("value", value.to_string().as_bytes(), FRESH),
        Sent::Giant(length) => message("w", &vec![1; *length], FRESH),
        Sent::Foreign(payload) => message("elsewhere", payload, FRESH),
        Sent::Retained(number) => message("w", &payload(*number, 1.0, COUNT), (true, false)),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn whatever_way_the_bytes_are_split_the_blocks_are_the_same_and_lie_where_they_were_received(
        packets in proptest::collection::vec(sent(), 1..30),
        splits in proptest::collection::vec(prop_oneof![1_usize..20, 1_usize..5_000, Just(100_000)], 1..50),
    ) {
        let config = config(vec![wave("w", 0, COUNT as u32)]);
        let stream: Vec<u8> = packets.iter().flat_map(bytes_of).collect();
        // Packet by packet.
        let (mut whole, mut lane) = connected(&config);
        lane.empty.extend((0..30).map(|_| vec![0; config.block_buffer_bytes().unwrap()].into_boxed_slice()));
        for packet in &packets {
            whole.feed(&bytes_of(packet), usize::MAX, &mut lane).unwrap();
        }
        let expected = (lane.take(), lane.values);
        // As the network cut it.
        let (mut cut, mut lane) = connected(&config);
        lane.empty.extend((0..30).map(|_| vec![0; config.block_buffer_bytes().unwrap()].into_boxed_slice()));
        cut.feed_in(&stream, splits.into_iter().cycle(), &mut lane).unwrap();
        for news in &lane.news {
            let BlockNews::Block(block) = news else { continue };
            let start = block.raw().as_ptr() as usize;
            let place = cut.addresses.windows(4 * COUNT).any(|at| {
                at.iter().zip(start..).all(|(a, b)| *a == b)
            });
            prop_assert!(place, "copied on its way");
        }
        prop_assert_eq!((lane.take(), lane.values), expected);
        prop_assert_eq!(cut.counters().blocks, whole.counters().blocks);
    }
}

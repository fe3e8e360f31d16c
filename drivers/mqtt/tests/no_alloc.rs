//! On plain TCP to an address, nothing allocates: not connecting, not messages of any kind, not what is malformed (I11).
#![expect(
    unsafe_code,
    reason = "counting allocations needs an allocator, and that is an unsafe trait"
)]

mod common;

use common::{Broker, PATIENCE, number, subscriber_config};
use drivers_frame::block::{RateCheck, SequenceType};
use drivers_frame::{
    BlockNews, ByteOrder, DurNs, FrameSink, QueueFull, Sample, SampleKind, TagId, ValueCodec,
    ValueType, WaveformId,
};
use drivers_mqtt::envelope::Sealer;
use drivers_mqtt::transport::monotonic_now;
use drivers_mqtt::{
    CheckConfig, Driver, EnvelopeConfig, ErrorBudget, Extract, Field, JsonPath, Secret,
    SequenceField, WaveformSubscription,
};
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::time::Instant;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

struct Counting;

// SAFETY: every call goes on to the system's allocator unchanged; the counter is a plain cell without a destructor.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.with(|count| count.set(count.get() + 1));
        // SAFETY: the caller's promise about `layout` is the one that is asked for.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the pointer came from `alloc` above, that is from the system's allocator, with this layout.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Escaped names and text, nesting, and documents that are none.
const DOCUMENTS: [&[u8]; 5] = [
    br#"{"unit":"\u00b0C","data":{"value":1.5,"list":[[[{"deep":{"deeper":[1,2]}}]]]}}"#,
    br#"{"d\u0061ta":{"val\u0075e":2}}"#,
    br#"{"data":{"value":}}"#,
    br#"{"data":{"value":1},"data":{"value":2}}"#,
    b"\xFF",
];

/// The newest sample, free buffers, and how many blocks came.
struct Last(Option<Sample>, Vec<Box<[u8]>>, usize);

impl FrameSink for Last {
    fn push_frame(&mut self, samples: &[Sample]) -> Result<(), QueueFull> {
        self.0 = samples.first().copied();
        Ok(())
    }

    fn take_empty(&mut self) -> Option<Box<[u8]>> {
        self.1.pop()
    }

    fn push_block(&mut self, news: BlockNews) -> Result<(), BlockNews> {
        if let BlockNews::Block(block) = news {
            self.1.push(block.into_buffer());
            self.2 += 1;
        }
        Ok(())
    }
}

#[test]
fn a_connection_and_its_messages_allocate_nothing() {
    let broker = Broker::new();
    let mut config = subscriber_config(broker.port(), &["text"]);
    let mut binary = number("binary", 2);
    binary.fields = vec![Field {
        tag: TagId(2),
        extract: Extract::Binary { offset: 2 },
        codec: ValueCodec::plain(ValueType::F32),
    }];
    config.subscriptions.push(binary);
    let mut json = number("json", 3);
    json.fields = vec![Field {
        tag: TagId(3),
        extract: Extract::Json {
            path: JsonPath::parse("/data/value").unwrap(),
        },
        codec: ValueCodec::plain(ValueType::F64),
    }];
    config.subscriptions.push(json);
    // Enveloped: every second message is good, the others are one more error each.
    let mut sealers = Vec::new();
    for (topic, tag, check) in [
        ("checked", 4, CheckConfig::Crc32c),
        (
            "keyed",
            5,
            CheckConfig::HmacSha256 {
                key: Secret::new([7; 16]),
            },
        ),
    ] {
        sealers.push(Sealer::new(topic, "sensor", &check).unwrap());
        let mut enveloped = number(topic, tag);
        enveloped.envelope = Some(EnvelopeConfig {
            source: "sensor".into(),
            check,
            max_delay: Some(DurNs::from_ms(1_000)),
            budget: ErrorBudget {
                errors: 5,
                within: DurNs::from_ms(1),
            },
        });
        config.subscriptions.push(enveloped);
    }
    // Every fifth block is too short, every seventh comes twice.
    config.waveforms = vec![WaveformSubscription {
        topic: "wave".into(),
        qos: 0,
        waveform: WaveformId(0),
        sequence: Some(SequenceField {
            offset: 0,
            kind: SequenceType::U16,
        }),
        first: 2,
        kind: SampleKind::I16,
        order: ByteOrder::BigEndian,
        count: 2_000,
        rate_hz: 1_000.0,
        rate_check: RateCheck::Off,
        envelope: None,
    }];
    let buffers = vec![vec![0; config.block_buffer_bytes().unwrap()].into_boxed_slice(); 2];
    let mut driver = Driver::new(&config).unwrap();
    let peer = std::thread::spawn(move || {
        let mut peer = broker.accept_subscriber();
        for n in 0..2_000_u16 {
            peer.publish("text", n.to_string().as_bytes(), Some(n + 1), false, false);
            peer.publish(
                "binary",
                &[0, 0, 0x42, 0xF6, 0xE9, 0x79],
                None,
                false,
                false,
            );
            peer.publish(
                "json",
                DOCUMENTS[usize::from(n) % DOCUMENTS.len()],
                None,
                false,
                false,
            );
            for (sealer, topic) in sealers.iter_mut().zip(["checked", "keyed"]) {
                let message = sealer.seal(1 + u64::from(n), b"1.5");
                peer.publish(topic, &message, None, false, false);
                let wrong: &[u8] = match n % 3 {
                    0 => b"1.5",
                    1 => &message,
                    _ => message.get(1..).unwrap(),
                };
                peer.publish(topic, wrong, None, false, false);
            }
            let mut block = vec![0; 4_002];
            block[..2].copy_from_slice(&(n - u16::from(n % 7 == 1)).to_be_bytes());
            let length = block.len() - usize::from(n % 5 == 0);
            peer.publish("wave", &block[..length], None, false, false);
            if n % 100 == 0 {
                peer.publish("text", &vec![b'1'; 100_000], None, false, false);
            }
        }
        peer
    });
    let mut sink = Last(None, buffers, 0);
    let deadline = Instant::now() + PATIENCE;
    let before = ALLOCATIONS.get();
    while driver.counters().messages < 16_020 {
        assert!(Instant::now() < deadline, "{:?}", driver.counters());
        driver.step(&monotonic_now, &mut sink);
    }
    assert_eq!(
        ALLOCATIONS.get(),
        before,
        "allocations for a connection and 16,020 messages"
    );
    assert_eq!(
        driver.counters().malformed,
        1_200,
        "{:?}",
        driver.counters()
    );
    assert_eq!(driver.counters().oversize, 20);
    let envelope = driver.counters().envelope;
    // CRC and HMAC: 1,333 times what is no envelope, 667 times a message that came before.
    assert_eq!((envelope.corrupted, envelope.repeated), (2_666, 1_334));
    assert!(sink.0.is_some());
    let blocks = driver.counters().blocks;
    assert_eq!(blocks.malformed, 400);
    assert_eq!(blocks.blocks, sink.2 as u64);
    assert_eq!(blocks.blocks + blocks.repeated, 1_600);
    assert!(blocks.repeated > 100 && blocks.missing > 100, "{blocks:?}");
    drop(peer.join().unwrap());
    // The counter counts.
    let count = ALLOCATIONS.get();
    drop(std::hint::black_box(vec![1_u8; 10]));
    assert!(ALLOCATIONS.get() > count);
}

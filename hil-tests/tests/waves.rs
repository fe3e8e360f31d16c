//! Waveform blocks from end to end of the drivers, over real sockets: sensors of the simulated plant, whose protocols are
//! spoken by libraries of others, the embedded broker or mosquitto between, and our drivers.
#![forbid(unsafe_code)]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "the lint's exception for tests does not reach the helpers of a test program"
)]

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use appliance_lane::queue::{FrameConsumer, FrameProducer, frame_queue_with_blocks};
use drivers_frame::block::{RateCheck, SequenceType};
use drivers_frame::{
    Block, BlockNews, ByteOrder, Cause, DeviceId, DurNs, SampleKind, SampleLayout, Scaling, Step,
    WaveformId, WordOrder,
};
use drivers_modbus::codec::Table;
use drivers_modbus::{Backoff, DeviceConfig, Poll, Session, Window};
use drivers_mqtt::transport::monotonic_now;
use drivers_mqtt::{
    BackoffConfig, BrokerConfig, Counters, SequenceField, SubscriberConfig, WaveformSubscription,
};
use drivers_sim::image::{self, Image};
use drivers_sim::wave::{
    PayloadForm, SampleForm, SequenceForm, Signal, WaveFault, WavePublisher, WaveTopic,
    WindowFault, WindowStation, recording,
};
use hil_tests::peers::Mosquitto;

const PATIENCE: Duration = Duration::from_secs(60);
const HEADER: usize = 8;
const TOPIC: &str = "plant/pump/vibration";

/// A recording, or when there is none, a signal of our own.
#[expect(clippy::print_stderr, reason = "says what the test had to do without")]
fn signal() -> Vec<f32> {
    recording("cwru/105_IR007_0hp_DE_12k.f32").unwrap_or_else(|missing| {
        eprintln!("{missing}; a signal of our own instead");
        (0..40_000).map(|n| (n as f32 * 0.1).sin()).collect()
    })
}

/// What a lane would see of a block.
#[derive(Debug)]
struct Got {
    sequence: u64,
    gap: bool,
    samples: Option<Vec<f32>>,
}

fn got(block: &Block, scaling: Scaling) -> Got {
    let head = block.head();
    let mut bytes = vec![0; head.count as usize * 4];
    let whole = block.write_f32(scaling, &mut bytes).is_ok();
    let samples = bytes.as_chunks::<4>().0.iter();
    Got {
        sequence: head.sequence,
        gap: head.gap,
        samples: whole.then(|| samples.map(|b| f32::from_le_bytes(*b)).collect()),
    }
}

/// What came of a driver.
#[derive(Default)]
struct Came {
    blocks: Vec<Got>,
    bad: Vec<Cause>,
}

impl Came {
    /// Takes what is queued; buffers go back at once.
    fn take(&mut self, consumer: &mut FrameConsumer, scaling: Scaling) {
        let queue = consumer.blocks().unwrap();
        while let Some(news) = queue.pop() {
            match news {
                BlockNews::Block(block) => {
                    self.blocks.push(got(&block, scaling));
                    queue.give_back(block);
                }
                BlockNews::Bad { cause, .. } => self.bad.push(cause),
            }
        }
    }

    /// Whether all blocks are of `signal`, in its order, and none has a gap before it but the first.
    fn is_unbroken(&self, signal: &[f32], count: usize) -> bool {
        let places: Vec<usize> = self
            .blocks
            .iter()
            .map(|block| place(signal, block.samples.as_ref().unwrap()).expect("of the signal"))
            .collect();
        let next = |place: usize| (place + count) % signal.len();
        places.windows(2).all(|two| two[1] == next(two[0]))
            && self.blocks.iter().skip(1).all(|block| !block.gap)
            && self
                .blocks
                .windows(2)
                .all(|two| two[0].sequence + 1 == two[1].sequence)
    }
}

/// Where in the signal these samples begin; it is played again and again.
fn place(signal: &[f32], samples: &[f32]) -> Option<usize> {
    let same = |first: usize| {
        samples
            .iter()
            .enumerate()
            .all(|(n, sample)| signal[(first + n) % signal.len()].to_bits() == sample.to_bits())
    };
    (0..signal.len()).find(|first| same(*first))
}

/// Waits a little when there is nothing to do.
fn pause(step: Step) {
    if matches!(step, Step::Idle { .. }) {
        std::thread::sleep(Duration::from_micros(200));
    }
}

struct Wave {
    driver: drivers_mqtt::Driver,
    producer: FrameProducer,
    consumer: FrameConsumer,
    sensor: WavePublisher,
    scaling: Scaling,
}

impl Wave {
    fn start(broker: SocketAddr, count: usize, samples: SampleForm, scaling: Scaling) -> Self {
        let config = SubscriberConfig {
            device: DeviceId(0),
            broker: BrokerConfig {
                host: broker.ip().to_string(),
                port: broker.port(),
                client_id: format!("waves-{}-{count}", std::process::id()),
                username: None,
                password: None,
                tls: None,
                keep_alive: DurNs::from_ms(10_000),
                connect_timeout: DurNs::from_ms(10_000),
                backoff: BackoffConfig {
                    min: DurNs::from_ms(100),
                    max: DurNs::from_ms(200),
                    seed: 1,
                },
            },
            subscriptions: Vec::new(),
            waveforms: vec![WaveformSubscription {
                topic: TOPIC.into(),
                qos: 1,
                waveform: WaveformId(0),
                sequence: Some(SequenceField {
                    offset: 2,
                    kind: SequenceType::U32,
                }),
                first: HEADER,
                kind: match samples {
                    SampleForm::F32 => SampleKind::F32,
                    SampleForm::I16(_) => SampleKind::I16,
                },
                order: ByteOrder::LittleEndian,
                count: count as u32,
                rate_hz: 12_000.0,
                rate_check: RateCheck::Off,
                envelope: None,
            }],
        };
        let bytes = config.block_buffer_bytes().unwrap();
        let (producer, consumer) = frame_queue_with_blocks(16, 4, bytes);
        let topic = WaveTopic {
            topic: TOPIC.into(),
            at_least_once: true,
            form: PayloadForm {
                count,
                samples,
                header: HEADER,
                little_endian: true,
                sequence: Some(SequenceForm {
                    offset: 2,
                    bytes: 4,
                }),
            },
            period: Duration::from_millis(20),
            // It wraps on the way.
            first_sequence: u64::from(u32::MAX) - 3,
        };
        let mut wave = Self {
            driver: drivers_mqtt::Driver::new(&config).unwrap(),
            producer,
            consumer,
            sensor: WavePublisher::start(broker, topic, Signal::looped(signal())).unwrap(),
            scaling,
        };
        wave.until(|counters, _| counters.ups > 0);
        wave
    }

    /// Steps the driver until `done`.
    fn until(&mut self, done: impl Fn(&Counters, &Came) -> bool) -> Came {
        let mut came = Came::default();
        let deadline = Instant::now() + PATIENCE;
        while !done(&self.driver.counters(), &came) {
            let counters = self.driver.counters();
            assert!(Instant::now() < deadline, "{:?} {counters:?}", came.bad);
            pause(self.driver.step(&monotonic_now, &mut self.producer));
            came.take(&mut self.consumer, self.scaling);
        }
        came
    }

    fn faulty(&mut self, fault: WaveFault, done: impl Fn(&Counters, &Came) -> bool) -> Came {
        self.sensor.set_fault(fault);
        self.until(done)
    }
}

/// Blocks through `broker` to the last bit; then every fault of the sensor.
fn through(broker: SocketAddr) {
    const COUNT: usize = 4_096;
    let signal = signal();
    let mut wave = Wave::start(broker, COUNT, SampleForm::F32, Scaling::default());
    let came = wave.until(|_, came| came.blocks.len() >= 10);
    assert!(came.bad.is_empty() && came.blocks[0].gap);
    assert!(
        came.is_unbroken(&signal, COUNT),
        "{:?}",
        wave.driver.counters()
    );

    let came = wave.faulty(WaveFault::Gaps, |counters, _| counters.blocks.missing > 3);
    assert!(
        came.blocks.iter().filter(|block| block.gap).count() >= 3,
        "H-17"
    );
    wave.faulty(WaveFault::Repeats, |counters, _| {
        counters.blocks.repeated > 3
    });
    wave.faulty(WaveFault::Disordered, |counters, _| counters.blocks.old > 3);
    for fault in [
        WaveFault::Torn(1),
        WaveFault::Torn(4),
        WaveFault::TooLong(1),
    ] {
        let before = wave.driver.counters().blocks.malformed;
        let came = wave.faulty(fault, |counters, came| {
            counters.blocks.malformed > before + 3 && came.bad.len() > 3
        });
        assert!(
            came.bad.iter().all(|cause| *cause == Cause::Malformed),
            "H-21"
        );
    }
    // The driver does not look at samples; who copies them does.
    let spoiled = |block: &Got| block.samples.is_none();
    wave.faulty(WaveFault::NotANumber(COUNT - 1), |_, came| {
        came.blocks.iter().filter(|block| spoiled(block)).count() > 3
    });
    // A broker keeps what is published as retained for those who come later: us, after a new connection.
    let blocks = wave.driver.counters().blocks.blocks;
    wave.faulty(WaveFault::Retained, |counters, _| {
        counters.blocks.blocks > blocks + 3
    });
    wave.driver.disconnect(monotonic_now());
    wave.until(|counters, _| counters.dropped_retained > 0);
    wave.faulty(WaveFault::Restarted, |counters, _| {
        counters.blocks.restarts > 0
    });
    let came = wave.faulty(WaveFault::None, |_, came| came.blocks.len() >= 3);
    assert!(came.is_unbroken(&signal, COUNT));
    assert_eq!(wave.driver.counters().blocks.no_buffer, 0);
    assert_eq!(wave.driver.counters().downs, 1, "ours");
}

#[test]
fn h17_h18_h19_h21_blocks_of_a_sensor_and_its_faults_through_our_broker() {
    let broker = drivers_sim::broker::start(0).unwrap();
    through(broker.address());
}

#[test]
fn h17_h18_h19_h21_blocks_of_a_sensor_and_its_faults_through_mosquitto() {
    let Some(broker) = Mosquitto::start("allow_anonymous true") else {
        return;
    };
    through(SocketAddr::from(([127, 0, 0, 1], broker.port())));
}

#[test]
fn the_longest_blocks_and_whole_numbers_arrive_to_the_last_bit() {
    let broker = drivers_sim::broker::start(0).unwrap();
    let signal = signal();
    let mut wave = Wave::start(
        broker.address(),
        65_536,
        SampleForm::F32,
        Scaling::default(),
    );
    let came = wave.until(|_, came| came.blocks.len() >= 5);
    assert!(came.is_unbroken(&signal, 65_536));
    drop(wave);
    // A power of two, so that scaling is exact and the only loss is the rounding to whole numbers.
    let scaling = Scaling {
        scale: 1.0 / 4_096.0,
        offset: 0.0,
    };
    let form = SampleForm::I16(1.0 / 4_096.0);
    let mut wave = Wave::start(broker.address(), 1_000, form, scaling);
    let came = wave.until(|_, came| came.blocks.len() >= 5);
    let rounded: Vec<f32> = signal
        .iter()
        .map(|sample| (sample * 4_096.0).round() / 4_096.0)
        // There is no -0 among whole numbers.
        .map(|sample| sample + 0.0)
        .collect();
    assert!(came.is_unbroken(&rounded, 1_000));
}

#[test]
fn h10_h17_h18_windows_of_registers_and_their_faults() {
    const COUNT: u16 = 500;
    let signal = signal();
    let period = Duration::from_millis(100);
    let source = Signal::looped(signal.clone());
    let station = WindowStation::start(COUNT, SampleForm::F32, period, source).unwrap();
    let config = DeviceConfig {
        device: DeviceId(0),
        address: station.address(),
        unit: 1,
        poll: Poll::Continuous,
        timeout: DurNs::from_ms(5_000),
        connect_timeout: DurNs::from_ms(5_000),
        backoff: Backoff {
            min: DurNs::from_ms(10),
            max: DurNs::from_ms(50),
        },
        max_gap: 0,
        points: Vec::new(),
        windows: vec![Window {
            waveform: WaveformId(0),
            table: Table::HoldingRegisters,
            address: WindowStation::WINDOW,
            count: u32::from(COUNT),
            layout: SampleLayout::registers(
                SampleKind::F32,
                WordOrder::BigEndian,
                ByteOrder::BigEndian,
            ),
            sequence: WindowStation::SEQUENCE,
            sequence_kind: SequenceType::U16,
            every: DurNs::from_ms(5),
            rate_hz: 5_000.0,
            rate_check: RateCheck::Off,
        }],
    };
    let (mut producer, mut consumer) =
        frame_queue_with_blocks(16, 3, config.block_buffer_bytes().unwrap());
    let session = Session::new(config, 1).unwrap();
    let mut driver = drivers_modbus::Driver::new(session);
    let mut until = |done: &dyn Fn(&drivers_modbus::Counters, &Came) -> bool| {
        let mut came = Came::default();
        let deadline = Instant::now() + PATIENCE;
        while !done(&driver.counters(), &came) {
            let counters = driver.counters();
            assert!(Instant::now() < deadline, "{:?} {counters:?}", came.bad);
            pause(driver.step(&monotonic_now, &mut producer));
            came.take(&mut consumer, Scaling::default());
        }
        came
    };
    let came = until(&|_, came| came.blocks.len() >= 5);
    assert!(came.bad.is_empty());
    // On a host that is busy a block may be missed; that none is a mixture of two is the point.
    let is_whole = |block: &Got| {
        let first = place(&signal, block.samples.as_ref().unwrap());
        first.is_some_and(|first| first.is_multiple_of(usize::from(COUNT)))
    };
    assert!(came.blocks.iter().all(is_whole), "H-9");
    station.set_fault(WindowFault::Skips(3));
    let came = until(&|counters, came| counters.blocks.missing >= 4 && came.blocks.len() > 2);
    assert!(came.blocks.iter().skip(1).all(|block| block.gap), "H-17");
    station.set_fault(WindowFault::Hurried);
    let torn = until(&|counters, _| counters.blocks.torn > 20);
    assert!(
        torn.blocks.iter().all(is_whole),
        "torn windows are not taken"
    );
    station.set_fault(WindowFault::None);
    station.with_image(|image| image.set_absent(image::Table::HoldingRegister, 600, true));
    until(&|_, came| came.bad.contains(&Cause::DeviceException));
    station.with_image(Image::mend);
    until(&|_, came| came.blocks.len() > 1);
    station.set_fault(WindowFault::Restarted);
    until(&|counters, came| counters.blocks.restarts > 0 && came.blocks.len() > 1);
    assert!(station.drop_connections() > 0);
    let came = until(&|counters, came| counters.connects > 1 && came.blocks.len() > 2);
    assert!(came.blocks.iter().all(is_whole));
}

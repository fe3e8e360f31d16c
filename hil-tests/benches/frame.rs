//! `cargo bench -p hil-tests --bench frame`: what a frame of 104 samples costs from its bytes to the end of its tick, in
//! the pack of 1,000 rules that the stop-latency benchmark gates. In one process, without sockets.
//!
//! Times show what they can on a host that is not quiet; instructions do not depend on it. `-- --turns 2000 [--jitter]`
//! runs that many turns and reads no clock, for `valgrind --tool=callgrind --toggle-collect='*::Bench::turn*'`.
#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a program for people, on packs that it made itself"
)]

use std::hint::black_box;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use appliance_lane::Lane;
use appliance_lane::queue::{FrameConsumer, FrameProducer, frame_queue};
use appliance_sandbox::{Engine, NativeCode, RuleModule};
use drivers_frame::{DeviceId, DurNs, MonoNs};
use drivers_modbus::Session;
use drivers_modbus::codec::{Table, server};
use drivers_modbus::config::{Backoff, DeviceConfig, Point, Poll};
use drivers_modbus::session::{Action, Outcome};
use hil_tests::packs::Loop;
use rt_config::limits::MODBUS_ADU_BYTES_MAX;
use rules_bundle::{LinkPlan, Plan};

const RULES: usize = 1_000;
const BATCHES: usize = 41;
const TURNS: u32 = 500;
/// Time between two frames.
const PERIOD: DurNs = DurNs::from_us(10);

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    if args.is_empty() {
        println!("nothing measured: run `cargo bench -p hil-tests --bench frame`");
        return;
    }
    let jitter = args.iter().any(|arg| arg == "--jitter");
    let turns = args.iter().skip_while(|arg| *arg != "--turns").nth(1);
    if let Some(turns) = turns {
        let turns: u32 = turns.parse().expect("--turns NUMBER");
        let mut bench = Bench::new();
        (0..turns).for_each(|_| _ = bench.turn(jitter));
        println!("{turns} turns of {} samples", bench.points);
        return;
    }
    println!("Cost of a frame, ns, medians of {BATCHES} batches on one thread, no sockets");
    println!("Machine protection and supervisory stop, not a certified safety component.\n");
    println!(
        "{:<24} {:>10} {:>10} {:>10} {:>10}",
        "samples", "decode", "ingest", "tick", "a sample"
    );
    for (name, jitter) in [("as they were", false), ("every one changed", true)] {
        let mut bench = Bench::new();
        let mut batches: Vec<[f64; 3]> = (0..=BATCHES)
            .map(|_| {
                let mut sums = [Duration::ZERO; 3];
                for _ in 0..TURNS {
                    for (sum, stage) in sums.iter_mut().zip(bench.turn(jitter)) {
                        *sum += stage;
                    }
                }
                sums.map(|sum| sum.as_nanos() as f64 / f64::from(TURNS))
            })
            .skip(1)
            .collect();
        let [decode, ingest, tick] = [0, 1, 2].map(|stage| {
            batches.sort_by(|a, b| a[stage].total_cmp(&b[stage]));
            batches[BATCHES / 2][stage]
        });
        let each = (decode + ingest + tick) / bench.points as f64;
        println!(
            "{:<24} {decode:>10.0} {ingest:>10.0} {tick:>10.0} {each:>10.1}",
            format!("{} {name}", bench.points)
        );
    }
}

/// The device's session, the queue and the lane, as the guard has them on one thread.
struct Bench {
    session: Session,
    producer: FrameProducer,
    consumer: FrameConsumer,
    lane: Lane<RuleModule>,
    points: usize,
    now: MonoNs,
    registers: Vec<u16>,
}

impl Bench {
    fn new() -> Self {
        let yaml = Loop {
            rules: RULES,
            wait: "spin",
            protected: true,
            ..Loop::new(SocketAddr::from((Ipv4Addr::LOCALHOST, 502)))
        }
        .yaml();
        let bundle = rules_bundle::open(
            &hil_tests::packs::bundle(&yaml),
            &rules_bundle::testing::key(),
        )
        .expect("a bundle");
        let plan = &bundle.plan.lanes[0];
        let engine = Engine::new().expect("an engine");
        engine.prepare_thread();
        #[expect(unsafe_code, reason = "loading machine code")]
        // SAFETY: the bytes come from a bundle that was compiled, sealed and opened by this program.
        let code = unsafe { NativeCode::vouch(&bundle.lanes[0].native) };
        let slots = usize::try_from(plan.slots()).expect("a slot number");
        let module =
            RuleModule::load(&engine, &code, plan.programs().count(), slots).expect("a module");
        let session = Session::new(device(&bundle.plan), 1).expect("a device");
        let points = session.plan().points().len();
        let (producer, consumer) = frame_queue(8 * points);
        let lane = Lane::new(plan, module, MonoNs::ZERO).expect("a lane");
        let mut bench = Self {
            session,
            producer,
            consumer,
            lane,
            points,
            now: MonoNs::from_ns(1),
            registers: vec![7; 128],
        };
        (0..4).for_each(|turn| _ = bench.turn(turn % 2 == 0));
        bench
    }

    /// One cycle over the device's blocks, each with its tick. How long decoding, ingesting and ticking took.
    #[inline(never)]
    fn turn(&mut self, jitter: bool) -> [Duration; 3] {
        if jitter {
            for register in &mut self.registers {
                *register ^= 1;
            }
        }
        let mut took = [Duration::ZERO; 3];
        for _ in 0..self.session.plan().blocks().len() {
            self.now = self.now.after(PERIOD);
            let mut buf = [0; MODBUS_ADU_BYTES_MAX];
            let reply = reply(&mut self.session, self.now, &self.registers, &mut buf);
            let began = Instant::now();
            self.decode(reply);
            let decoded = Instant::now();
            self.ingest();
            let ingested = Instant::now();
            self.tick();
            let ticked = Instant::now();
            took[0] += decoded - began;
            took[1] += ingested - decoded;
            took[2] += ticked - ingested;
        }
        took
    }

    #[inline(never)]
    fn decode(&mut self, reply: &[u8]) {
        let outcome = self
            .session
            .on_bytes(self.now, black_box(reply), &mut self.producer);
        assert_eq!(outcome, Outcome::Frame);
    }

    #[inline(never)]
    fn ingest(&mut self) {
        let mut oldest = MonoNs::NEVER;
        let lane = &mut self.lane;
        self.consumer.drain(|sample| {
            oldest = oldest.min(sample.at);
            lane.ingest(sample);
        });
        black_box(oldest);
    }

    #[inline(never)]
    fn tick(&mut self) {
        self.lane.tick(self.now);
        black_box(self.lane.permits());
        self.lane.clear_events();
        black_box(self.lane.next_due());
    }
}

/// Sends the request that is due, and gives what a device answers.
#[inline(never)]
fn reply<'a>(
    session: &mut Session,
    now: MonoNs,
    registers: &[u16],
    buf: &'a mut [u8; MODBUS_ADU_BYTES_MAX],
) -> &'a [u8] {
    loop {
        match session.action(now) {
            Action::Connect => session.on_connecting(now),
            Action::PollConnect { .. } => session.on_connected(now),
            Action::Send => break,
            other => panic!("{other:?} {:?}", session.last_error()),
        }
    }
    let request = server::decode_request(&session.request()).expect("a request");
    session.on_sent(now, session.request().len());
    let server::RequestBody::Read(read) = request.body else {
        panic!("a session only reads");
    };
    let count = usize::from(read.count);
    let (transaction, unit) = (request.transaction, request.unit);
    if read.table == Table::Coils {
        let bits = &[false; 8][..count];
        server::encode_bits(buf, transaction, unit, read.table, bits)
    } else {
        let registers = &registers[..count];
        server::encode_registers(buf, transaction, unit, read.table, registers)
    }
    .expect("it fits")
}

fn device(plan: &Plan) -> DeviceConfig {
    let LinkPlan::Modbus(modbus) = &plan.lanes[0].devices[0].link else {
        panic!("the pack's only device speaks Modbus");
    };
    let table = |table| match table {
        rules_bundle::Table::Coil => Table::Coils,
        rules_bundle::Table::Holding => Table::HoldingRegisters,
        other => panic!("the pack reads no {other:?}"),
    };
    DeviceConfig {
        windows: Vec::new(),
        device: DeviceId(0),
        address: SocketAddr::from((Ipv4Addr::LOCALHOST, modbus.port)),
        unit: modbus.unit,
        poll: Poll::Continuous,
        timeout: modbus.timeout,
        connect_timeout: modbus.connect_timeout,
        backoff: Backoff {
            min: modbus.backoff_min,
            max: modbus.backoff_max,
        },
        max_gap: modbus.max_gap,
        points: modbus
            .points
            .iter()
            .map(|point| Point {
                tag: point.tag,
                table: table(point.table),
                address: point.address,
                codec: point.codec,
            })
            .collect(),
    }
}

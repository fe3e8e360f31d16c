//! What good analyzers feel of a hostile one beside them: fifteen of them and a sixteenth, in one thread, tick after tick. The
//! sixteenth is one of them too (the floor), or an attack; the rounds are interleaved.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use appliance_sandbox::{
    Analyzer, AnalyzerFault, AnalyzerSpec, Engine, Frame, OutputValue, Refiller, Samples,
};
use drivers_frame::block::{Block, SampleKind};
use drivers_frame::{DurNs, MonoNs, Scaling};
use hdrhistogram::Histogram;
use rt_config::limits;
use rules_sdk_abi::Flags;

use crate::guest::{Guest, INPUT, frame, spec};
use crate::guests::{block, endless, rms, scalar, walk};
use crate::{fifo, gate, ticking};

const GOOD: usize = 15;
/// The one beside them is called after so many of them, so that as many run behind it.
const SEAT: usize = 7;
const ROUNDS: usize = 11;
const TICKS: u32 = 100;
const DEADLINE: DurNs = DurNs::from_ms(5);

/// An analyzer with its spares, and what fills them up.
struct Seat {
    name: &'static str,
    analyzer: Analyzer,
    refiller: Refiller,
    takes_block: bool,
    /// The p99 of the good ones in each round, ns.
    p99: Vec<u64>,
}

impl Seat {
    fn new(engine: &Engine, name: &'static str, guest: &Guest, spec: AnalyzerSpec) -> Self {
        let takes_block = spec
            .waveform
            .is_some_and(|waveform| waveform.samples_max > 16);
        let (analyzer, refiller) = guest.load(engine, spec).with_spares(2).unwrap();
        Self {
            name,
            analyzer,
            refiller,
            takes_block,
            p99: Vec::new(),
        }
    }

    fn call(&mut self, block: &Block) -> Result<(), AnalyzerFault> {
        let mut outputs = [OutputValue::BAD];
        let waves = Frame {
            at: MonoNs::from_ns(77),
            flags: Flags::default(),
            inputs: &[INPUT],
            block: Some(Samples::Received {
                block,
                scaling: Scaling::default(),
            }),
        };
        let scalars = frame(&[INPUT]);
        let frame = if self.takes_block { &waves } else { &scalars };
        self.analyzer.process(frame, &mut outputs).map(|_| ())
    }
}

/// One that takes a 4,096-sample block, or one value.
fn good(engine: &Engine, blocks: bool, name: &'static str) -> Seat {
    let (guest, spec) = if blocks { rms(4_096) } else { scalar() };
    let guest = Guest {
        memory: "2 2",
        ..guest
    };
    let spec = AnalyzerSpec {
        deadline: DEADLINE,
        ..spec
    };
    Seat::new(engine, name, &guest, spec)
}

fn attacks(engine: &Engine) -> Vec<Seat> {
    let attack = |name, guest: &Guest, fuel, deadline_ms| {
        let spec = AnalyzerSpec {
            fuel,
            deadline: DurNs::from_ms(deadline_ms),
            ..spec()
        };
        Seat::new(engine, name, guest, spec)
    };
    let most = limits::ANALYZER_FUEL_MAX;
    let fill = "(loop (memory.fill (i32.const 0) (i32.const 1) (i32.const 1048576)) (br 0))";
    vec![
        attack("traps", &Guest::new("unreachable"), most, 1),
        attack(
            "uses up 1,000,000 fuel",
            &endless("(loop (br 0))"),
            1_000_000,
            60,
        ),
        attack("runs into its deadline", &endless("(loop (br 0))"), most, 1),
        attack("fills 1 MiB until then", &endless(fill), most, 1),
        attack(
            "misses caches until then",
            &endless(&walk(20, "i32.load (local.get $a)")),
            most,
            1,
        ),
    ]
}

/// A round: calls all in turn, tick by tick, and keeps what the good ones took.
fn round(good: &mut [Seat], other: &mut Seat, block: &Block, missed: &mut u64) {
    let mut histogram = Histogram::<u64>::new_with_bounds(1, 1_000_000_000, 3).unwrap();
    for tick in 0..TICKS + 5 {
        for (index, seat) in good.iter_mut().enumerate() {
            if index == SEAT {
                let _ = other.call(block);
            }
            let start = Instant::now();
            let result = seat.call(block);
            let took = start.elapsed().as_nanos() as u64;
            if tick >= 5 {
                histogram.saturating_record(took);
                *missed += u64::from(result.is_err() || took > DEADLINE.as_ns());
            }
        }
        // Off the lane in a guard. Here between ticks, so that the attack is there in each of them.
        while other.refiller.turn().unwrap() {}
        // The kernel takes a twentieth from real-time threads that never rest.
        std::thread::sleep(Duration::from_micros(500));
    }
    other.p99.push(histogram.value_at_quantile(0.99));
}

fn median(values: &[u64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_unstable();
    sorted[sorted.len() / 2] as f64
}

/// All attacks beside good analyzers that take blocks, or values. The largest ratio, and what was missed.
fn beside(engine: &Engine, blocks: bool) -> (f64, u64) {
    let received = block(4_096, SampleKind::F32);
    let mut seats: Vec<_> = (0..GOOD).map(|_| good(engine, blocks, "")).collect();
    let mut others = vec![good(engine, blocks, "one more of them")];
    others.extend(attacks(engine));
    let mut missed = 0;
    for _ in 0..ROUNDS {
        for other in &mut others {
            round(&mut seats, other, &received, &mut missed);
        }
    }
    // One that runs on another core all the time, as one of class background does.
    let mut floor = good(engine, blocks, "");
    let mut background = good(engine, blocks, "on another core, endless");
    let stop = AtomicBool::new(false);
    let mut hostile = attacks(engine).pop().unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let _ = rt_config::host::set_ordinary();
            while !stop.load(Ordering::Relaxed) {
                let _ = hostile.call(&received);
                while hostile.refiller.turn().unwrap() {}
            }
        });
        for _ in 0..ROUNDS {
            round(&mut seats, &mut background, &received, &mut missed);
        }
        stop.store(true, Ordering::Relaxed);
    });
    for _ in 0..ROUNDS {
        round(&mut seats, &mut floor, &received, &mut missed);
    }
    others.push(background);
    let least = median(&others[0].p99).max(median(&floor.p99));
    let mut worst = 0.0_f64;
    for other in &others {
        let p99 = median(&other.p99);
        println!(
            "{:<28} {:>10.2} {:>8.2}",
            other.name,
            p99 / 1e3,
            p99 / least
        );
        worst = worst.max(p99 / least);
    }
    (worst, missed)
}

pub(crate) fn neighbours() -> bool {
    println!(
        "{GOOD} good analyzers in one thread, and beside them: p99 of the good ones' calls, median of {ROUNDS} rounds of {TICKS} ticks"
    );
    let engine = Engine::new().unwrap();
    let mut passed = true;
    fifo(10);
    ticking(&engine, |_| {
        for blocks in [true, false] {
            let what = if blocks {
                "RMS of 4,096 samples"
            } else {
                "one value"
            };
            println!("{what:<28} {:>10} {:>8}", "p99, us", "ratio");
            let (worst, missed) = beside(&engine, blocks);
            println!("deadlines missed: {missed}");
            if blocks {
                passed &= gate(
                    "p99 beside a hostile one over p99 beside one more, at most 1.2",
                    worst,
                    1.2,
                );
            }
            passed &= gate(
                "deadlines missed by good analyzers, none",
                missed as f64,
                0.0,
            );
        }
    });
    let _ = rt_config::host::set_ordinary();
    println!();
    passed
}

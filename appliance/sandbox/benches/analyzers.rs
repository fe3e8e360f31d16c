//! `cargo bench -p appliance-sandbox --features compile --bench analyzers`: what a call of an analyzer costs, what a unit of
//! fuel is worth by kind of operation, how late a deadline is, and how long a spare takes. In one process, one
//! thread (and the ticker's); the least of many batches. Build without link-time optimisation changes little: the guest is compiled
//! by Cranelift either way.
#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::panic,
    reason = "a program for people, on modules that it made itself"
)]

#[path = "../tests/guest/mod.rs"]
mod guest;

use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use appliance_sandbox::{
    AnalyzerFault, AnalyzerInstance, AnalyzerSpec, Engine, Frame, OutputValue, Samples, Ticker,
    WaveformSpec, config_for_benchmark,
};
use drivers_frame::block::{Block, BlockHead, SampleKind, SampleLayout, WaveformId};
use drivers_frame::{ByteOrder, DurNs, MonoNs, Scaling};
use guest::{Guest, INPUT, frame, spec};
use hdrhistogram::Histogram;
use rt_config::limits;
use rules_sdk_abi::{Flags, Header, SampleFormat, encode_header};
use wasmtime::{Instance, Memory, Store, TypedFunc};

const BATCHES: usize = 41;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    if args.is_empty() {
        println!(
            "nothing measured: run `cargo bench -p appliance-sandbox --features compile --bench analyzers`"
        );
        return ExitCode::SUCCESS;
    }
    let only = |name: &str| {
        let named: Vec<_> = args.iter().filter(|arg| !arg.starts_with('-')).collect();
        named.is_empty() || named.iter().any(|arg| arg.as_str() == name)
    };
    println!("Analyzers in the sandbox; the least of {BATCHES} batches where nothing else is said");
    println!("Machine protection and supervisory stop, not a certified safety component.\n");
    let mut passed = true;
    if only("call") {
        passed &= calls();
    }
    if only("fuel") {
        fuel_by_kind();
    }
    if only("deadline") {
        passed &= deadlines();
    }
    if only("spare") {
        passed &= spares();
    }
    if passed || !args.iter().any(|arg| arg == "--gate") {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

fn gate(what: &str, measured: f64, most: f64) -> bool {
    let passed = measured <= most;
    println!(
        "{}  {what}: {measured:.2}",
        if passed { "passed" } else { "MISSED" }
    );
    passed
}

/// Nanoseconds of one call of `work`: the least mean over a batch. Whatever else the host does only adds to it.
fn ns_each(calls: u32, mut work: impl FnMut()) -> f64 {
    (0..BATCHES + 3)
        .map(|_| {
            let start = Instant::now();
            for _ in 0..calls {
                work();
            }
            start.elapsed().as_nanos() as f64 / f64::from(calls)
        })
        .skip(3)
        .fold(f64::MAX, f64::min)
}

// ---- what a call costs ----

/// Root mean square of the block into the output, danger above the parameter. Four samples a round, as compilers do.
fn rms(samples: u32) -> (Guest, AnalyzerSpec) {
    let one = |at: u32| {
        format!(
            "(local.set $x (f64.promote_f32 (f32.load offset={at} (local.get $at))))
             (local.set $sum (f64.add (local.get $sum) (f64.mul (local.get $x) (local.get $x))))"
        )
    };
    let four: String = (0..4).map(|index| one(4 * index)).collect();
    let process = format!(
        "(local $at i32) (local $end i32) (local $sum f64) (local $x f64)
        (local.set $at (i32.const 1136))
        (local.set $end (i32.add (i32.const 1136) (i32.shl (i32.load (i32.const 1024)) (i32.const 2))))
        (if (i32.lt_u (local.get $at) (local.get $end)) (then (loop $next
            {four}
            (br_if $next (i32.lt_u (local.tee $at (i32.add (local.get $at) (i32.const 16))) (local.get $end))))))
        (local.set $x (f64.sqrt (f64.div (local.get $sum) (f64.convert_i32_u (i32.load (i32.const 1024))))))
        (f64.store (i32.const 1120) (local.get $x))
        (i32.store (i32.const 1128) (i32.const 0))
        (i64.shl (i64.extend_i32_u (f64.gt (local.get $x) (f64.load (i32.const 1088)))) (i64.const 1))"
    );
    let spec = AnalyzerSpec {
        waveform: Some(WaveformSpec {
            format: SampleFormat::F32,
            samples_min: 1,
            samples_max: samples,
        }),
        fuel: 1_000_000,
        ..spec()
    };
    (Guest::new(&process), spec)
}

/// The input into the output, danger above the parameter.
fn scalar() -> (Guest, AnalyzerSpec) {
    let process = "(local $x f64)
        (local.set $x (f64.load (i32.const 1104)))
        (f64.store (i32.const 1120) (local.get $x))
        (i32.store (i32.const 1128) (i32.load (i32.const 1112)))
        (i64.shl (i64.extend_i32_u (f64.gt (local.get $x) (f64.load (i32.const 1088)))) (i64.const 1))";
    let spec = AnalyzerSpec {
        fuel: 1_000_000,
        ..spec()
    };
    (Guest::new(process), spec)
}

fn block(samples: u32, kind: SampleKind) -> Block {
    let bytes: Vec<u8> = (0..samples)
        .flat_map(|index| {
            let value = f32::from((index % 17) as u16) * 0.1;
            match kind {
                SampleKind::F32 => value.to_le_bytes().to_vec(),
                SampleKind::I16 => ((index % 17) as i16).to_le_bytes().to_vec(),
            }
        })
        .collect();
    let head = BlockHead {
        waveform: WaveformId(0),
        at: MonoNs::from_ns(5),
        sequence: 31,
        gap: false,
        layout: SampleLayout::payload(kind, ByteOrder::LittleEndian),
        count: samples,
        rate_hz: 12_000.0,
    };
    Block::new(head, bytes.into_boxed_slice(), 0).unwrap()
}

/// The same module and frame on wasmtime alone: no checks of what came back, and no bounds but those that are asked for.
struct Bare {
    store: Store<()>,
    memory: Memory,
    process: TypedFunc<(), i64>,
    fuel: bool,
    epoch: bool,
}

impl Bare {
    fn new(guest: &Guest, fuel: bool, epoch: bool) -> Self {
        let engine = wasmtime::Engine::new(&config_for_benchmark(fuel, epoch)).unwrap();
        let module = wasmtime::Module::new(&engine, guest.wasm()).unwrap();
        let mut store = Store::new(&engine, ());
        if fuel {
            store.set_fuel(u64::MAX / 2).unwrap();
        }
        if epoch {
            store.set_epoch_deadline(u64::MAX / 2);
        }
        let instance = Instance::new(&mut store, &module, &[]).unwrap();
        let memory = instance.get_memory(&mut store, "memory").unwrap();
        let process = instance.get_typed_func(&mut store, "tl_process").unwrap();
        memory.data_mut(&mut store)[1088..1096].copy_from_slice(&2.5_f64.to_le_bytes());
        Self {
            store,
            memory,
            process,
            fuel,
            epoch,
        }
    }

    fn call(&mut self) -> i64 {
        if self.fuel {
            self.store.set_fuel(1_000_000).unwrap();
        }
        if self.epoch {
            self.store.set_epoch_deadline(26);
        }
        self.process.call(&mut self.store, ()).unwrap()
    }

    /// Header, input, output and block written, called, output read.
    fn frame(&mut self, block: Option<&Block>) -> (i64, f64) {
        let memory = self.memory.data_mut(&mut self.store);
        let header = Header {
            samples: block.map_or(0, |block| block.head().count),
            flags: Flags::default(),
            at_ns: 77,
            sequence: block.map_or(0, |block| block.head().sequence),
            rate_hz: block.map_or(0.0, |block| block.head().rate_hz),
            scale: 1.0,
            offset: 0.0,
        };
        memory[1024..1088].copy_from_slice(&encode_header(&header));
        memory[1104..1112].copy_from_slice(&4.0_f64.to_le_bytes());
        memory[1112..1120].copy_from_slice(&(1_u64 << 32).to_le_bytes());
        memory[1120..1136].copy_from_slice(&[0; 16]);
        if let Some(block) = block {
            let end = 1136 + 4 * block.head().count as usize;
            block
                .write_f32(Scaling::default(), &mut memory[1136..end])
                .unwrap();
        }
        let verdict = self.call();
        let memory = self.memory.data(&self.store);
        let value = f64::from_le_bytes(*memory[1120..].first_chunk().unwrap());
        (verdict, value)
    }
}

fn calls() -> bool {
    println!(
        "one call, ns: its frame written, called, its output read. 0 samples: one input into one output; else their RMS"
    );
    println!(
        "{:>8} {:>9} {:>9} {:>9} {:>9} {:>9} {:>7} {:>7}",
        "samples", "call only", "bare", "+ epoch", "+ fuel", "tripline", "ratio", "ns/fuel"
    );
    let engine = Engine::new().unwrap();
    let mut ratio = 0.0_f64;
    for samples in [0, 16, 256, 4_096] {
        let (guest, spec) = if samples == 0 { scalar() } else { rms(samples) };
        let guest = Guest {
            memory: "2 2",
            ..guest
        };
        let received = block(samples.max(1), SampleKind::F32);
        let block = (samples > 0).then_some(&received);
        let mut instance = guest.load(&engine, spec).instantiate().unwrap();
        let mut bare = Bare::new(&guest, false, false);
        let mut with_epoch = Bare::new(&guest, false, true);
        let mut with_fuel = Bare::new(&guest, true, false);
        let calls = 4_000_000 / (samples + 400);
        let frame = Frame {
            at: MonoNs::from_ns(77),
            flags: Flags::default(),
            inputs: &[INPUT],
            block: block.map(|block| Samples::Received {
                block,
                scaling: Scaling::default(),
            }),
        };
        let mut outputs = [OutputValue::BAD];
        let answer = instance.process(&frame, &mut outputs).unwrap();
        assert_eq!(
            bare.frame(block),
            (answer.verdict.pack(), outputs[0].value),
            "the same answer"
        );
        // Interleaved, so that whatever the host does meets all of them.
        let mut columns: [Vec<f64>; 5] = Default::default();
        for _ in 0..5 {
            let measured = [
                ns_each(calls, || {
                    std::hint::black_box(bare.call());
                }),
                ns_each(calls, || {
                    std::hint::black_box(bare.frame(block));
                }),
                ns_each(calls, || {
                    std::hint::black_box(with_epoch.frame(block));
                }),
                ns_each(calls, || {
                    std::hint::black_box(with_fuel.frame(block));
                }),
                ns_each(calls, || {
                    let _ = std::hint::black_box(instance.process(&frame, &mut outputs));
                }),
            ];
            for (column, value) in columns.iter_mut().zip(measured) {
                column.push(value);
            }
        }
        let [call, bare, epoch, fuel, ours] =
            columns.map(|column| column.into_iter().fold(f64::MAX, f64::min));
        println!(
            "{samples:>8} {call:>9.1} {bare:>9.1} {epoch:>9.1} {fuel:>9.1} {ours:>9.1} {:>7.2} {:>7.2}",
            ours / bare,
            ours / answer.fuel as f64
        );
        if samples <= 16 {
            ratio = ratio.max(ours / bare);
        }
    }
    println!(
        "bare: wasmtime alone, the same settings without fuel and deadline; nothing that comes back is checked"
    );
    let passed = gate(
        "small analyzers (0 and 16 samples) over bare, at most 1.3",
        ratio,
        1.3,
    );
    println!();
    passed
}

// ---- what fuel is worth ----

/// The body of an endless loop, made of many of one operation.
fn kinds() -> Vec<(&'static str, String)> {
    // What was computed is stored: or it would not be computed.
    let kept = "(i32.store (i32.const 8) (local.get $i)) (i64.store (i32.const 16) (local.get $l)) (f64.store (i32.const 24) (local.get $x))
                (f32.store (i32.const 32) (local.get $f)) (f64.store (i32.const 40) (local.get $d))";
    let times = |operation: &str| format!("(loop {} {kept} (br 0))", operation.repeat(64));
    vec![
        ("empty loop", "(loop (br 0))".into()),
        (
            "loop, i32.add",
            times("(local.set $i (i32.add (local.get $i) (local.get $j)))"),
        ),
        (
            "i64.mul",
            times("(local.set $l (i64.mul (local.get $l) (local.get $m)))"),
        ),
        (
            "f64.add",
            times("(local.set $x (f64.add (local.get $x) (local.get $y)))"),
        ),
        (
            "f64.mul",
            times("(local.set $x (f64.mul (local.get $x) (local.get $y)))"),
        ),
        (
            "f32.div, in a chain",
            times("(local.set $f (f32.div (local.get $f) (local.get $g)))"),
        ),
        (
            "f64.div, in a chain",
            times("(local.set $x (f64.div (local.get $x) (local.get $y)))"),
        ),
        (
            "f64.sqrt, in a chain",
            times("(local.set $x (f64.sqrt (local.get $x)))"),
        ),
        (
            "f32.sqrt, in a chain",
            times("(local.set $f (f32.sqrt (local.get $f)))"),
        ),
        (
            "f64.min, in a chain",
            times("(local.set $x (f64.min (local.get $x) (local.get $y)))"),
        ),
        (
            "f64.floor, in a chain",
            times("(local.set $x (f64.floor (local.get $x)))"),
        ),
        (
            "f64.copysign",
            times("(local.set $x (f64.copysign (local.get $x) (local.get $y)))"),
        ),
        (
            "f64.convert, trunc_sat",
            times("(local.set $x (f64.convert_i64_u (i64.trunc_sat_f64_u (local.get $x))))"),
        ),
        (
            "f64.convert_i32, trunc",
            times("(local.set $x (f64.convert_i32_s (i32.trunc_f64_s (local.get $x))))"),
        ),
        (
            "i32.div_s, in a chain",
            times(
                "(local.set $i (i32.div_s (i32.const 0x7fffffff) (i32.or (local.get $i) (i32.const 3))))",
            ),
        ),
        (
            "i64.div_s, in a chain",
            times(
                "(local.set $l (i64.div_s (i64.const 0x7fffffffffffffff) (i64.or (local.get $l) (i64.const 3))))",
            ),
        ),
        (
            "i64.rem_u, in a chain",
            times(
                "(local.set $l (i64.rem_u (i64.const -1) (i64.or (local.get $l) (i64.const 3))))",
            ),
        ),
        (
            "i32.clz, popcnt",
            times("(local.set $i (i32.popcnt (i32.clz (local.get $i))))"),
        ),
        (
            "i32.load, at hand",
            times("(local.set $i (i32.load (local.get $i)))"),
        ),
        ("i32.load, over 1 MiB", walk(20, "i32.load (local.get $a)")),
        ("i32.load, over 64 KiB", walk(16, "i32.load (local.get $a)")),
        ("i64.store, over 1 MiB", store_walk(20)),
        (
            "global.set",
            times("(global.set $g (i32.add (global.get $g) (local.get $j)))"),
        ),
        ("br_table", br_table()),
        ("call of nothing", times("(call $nothing)")),
        (
            "call_indirect of nothing",
            times("(call_indirect (param) (i32.const 0))"),
        ),
        ("recursion, 100 deep", times("(call $down (i32.const 100))")),
        ("memory.size", times("(local.set $i (memory.size))")),
        (
            "memory.fill 1 MiB",
            "(loop (memory.fill (i32.const 0) (i32.const 1) (i32.const 1048576)) (br 0))".into(),
        ),
        (
            "memory.copy 512 KiB",
            "(loop (memory.copy (i32.const 0) (i32.const 524288) (i32.const 524288)) (br 0))"
                .into(),
        ),
        (
            "memory.fill of nothing",
            times("(memory.fill (i32.const 0) (i32.const 1) (local.get $z))"),
        ),
        (
            "memory.copy of nothing",
            times("(memory.copy (i32.const 0) (i32.const 64) (local.get $z))"),
        ),
        (
            "memory.fill 64 bytes",
            times("(memory.fill (i32.const 0) (i32.const 1) (i32.const 64))"),
        ),
        (
            "memory.copy 128 bytes",
            times("(memory.copy (i32.const 0) (i32.const 4096) (i32.const 128))"),
        ),
        (
            "memory.init of nothing",
            times("(memory.init $data (i32.const 0) (i32.const 0) (local.get $z))"),
        ),
        (
            "table.copy of nothing",
            times("(table.copy (i32.const 0) (i32.const 0) (local.get $z))"),
        ),
        (
            "table.copy, 512",
            times("(table.copy (i32.const 0) (i32.const 512) (i32.const 512))"),
        ),
        (
            "table.init of nothing",
            times("(table.init $elements (i32.const 0) (i32.const 0) (local.get $z))"),
        ),
        (
            "table.init, 256",
            times("(table.init $elements (i32.const 0) (i32.const 0) (i32.const 256))"),
        ),
        ("data.drop", times("(data.drop $data)")),
        ("elem.drop", times("(elem.drop $elements)")),
        (
            "denormal f64.mul",
            times("(local.set $d (f64.mul (local.get $d) (f64.const 1.0000001)))"),
        ),
        (
            "denormal f64.div",
            times("(local.set $d (f64.div (local.get $d) (f64.const 1.0000001)))"),
        ),
    ]
}

/// Loads that depend on one another, at addresses that look random, over so many bits of memory.
fn walk(bits: u32, load: &str) -> String {
    let mask = (1 << bits) - 8;
    let step = format!(
        "(local.set $a (i32.and (i32.mul (i32.add (i32.add ({load}) (local.get $a)) (i32.const 0x9e3779b9)) (i32.const 0x85ebca6b)) (i32.const {mask})))"
    );
    format!("(loop {} (br 0))", step.repeat(16))
}

fn store_walk(bits: u32) -> String {
    let mask = (1 << bits) - 8;
    let step = format!(
        "(local.set $a (i32.and (i32.mul (i32.add (local.get $a) (i32.const 0x9e3779b9)) (i32.const 0x85ebca6b)) (i32.const {mask})))
         (i64.store (local.get $a) (local.get $l))"
    );
    format!("(loop {} (br 0))", step.repeat(16))
}

/// Jumps that no predictor learns.
fn br_table() -> String {
    "(loop $top
       (local.set $i (i32.add (i32.mul (local.get $i) (i32.const 1664525)) (i32.const 1013904223)))
       (block $a (block $b (block $c (block $d
         (br_table $a $b $c $d $a $b $c $d (i32.shr_u (local.get $i) (i32.const 29))))
         (local.set $j (i32.add (local.get $j) (i32.const 1))))
         (local.set $j (i32.add (local.get $j) (i32.const 2))))
         (local.set $j (i32.add (local.get $j) (i32.const 3))))
       (br $top))"
        .into()
}

/// A guest that runs `body` for ever. The exchange area lies within the memory that it tramples on: it never comes back.
fn endless(body: &str) -> Guest {
    Guest {
        memory: "16 16",
        more: "(global $g (mut i32) (i32.const 0)) (func $nothing)
               (func $down (param i32) (if (local.get 0) (then (call $down (i32.sub (local.get 0) (i32.const 1))))))
               (table 1024 1024 funcref) (elem (i32.const 0) $nothing)
               (data $data \"abc\") (elem $elements func $nothing $nothing $nothing $nothing)",
        ..Guest::new(&format!(
            "(local $i i32) (local $j i32) (local $z i32) (local $a i32) (local $l i64) (local $m i64)
             (local $x f64) (local $y f64) (local $f f32) (local $g f32) (local $d f64)
             (local.set $i (i32.const 3)) (local.set $j (i32.const 7)) (local.set $l (i64.const 5)) (local.set $m (i64.const 3))
             (local.set $x (f64.const 1.7)) (local.set $y (f64.const 1.0000001)) (local.set $f (f32.const 1.7)) (local.set $g (f32.const 1.0001))
             (local.set $d (f64.const 1e-310))
             {body} (i64.const 0)"
        ))
    }
}

fn fuel_by_kind() {
    println!(
        "what a unit of fuel is worth, by what it is spent on: endless loops of 64 such operations"
    );
    println!("{:<28} {:>9}", "", "ns / fuel");
    let engine = Engine::new().unwrap();
    let fuel = 2_000_000;
    let mut worst = (0.0, "");
    for (name, body) in kinds() {
        let guest = if name.starts_with("table.init, 256") {
            let body = endless(&body);
            let functions = "$nothing ".repeat(256);
            let more = format!(
                "(global $g (mut i32) (i32.const 0)) (func $nothing) (func $down (param i32)) (table 1024 1024 funcref)
                 (data $data \"abc\") (elem $elements func {functions})"
            );
            Guest {
                more: Box::leak(more.into_boxed_str()),
                ..body
            }
        } else {
            endless(&body)
        };
        let spec = AnalyzerSpec {
            fuel,
            deadline: DurNs::from_ms(60_000),
            ..spec()
        };
        let mut instance = guest.load(&engine, spec).instantiate().unwrap();
        let run = |instance: &mut AnalyzerInstance| {
            let start = Instant::now();
            let result = instance.process(&frame(&[INPUT]), &mut [OutputValue::BAD]);
            assert_eq!(result, Err(AnalyzerFault::FuelExceeded { fuel }), "{name}");
            start.elapsed().as_nanos() as f64 / fuel as f64
        };
        let least = (0..9).map(|_| run(&mut instance)).fold(f64::MAX, f64::min);
        println!("{name:<28} {least:>9.2}");
        if least > worst.0 {
            worst = (least, name);
        }
    }
    println!("dearest: {} at {:.2} ns\n", worst.1, worst.0);
}

// ---- how late a deadline is ----

/// As the guard's threads: else the figures are those of whatever else runs.
fn fifo(priority: u8) {
    let _ = rt_config::host::set_timer_slack();
    if let Err(error) = rt_config::host::set_fifo(priority) {
        println!("without real-time priority ({error}): the figures are the host's");
    }
}

fn deadlines() -> bool {
    let deadline = Duration::from_millis(5);
    println!(
        "overrun of a deadline of {deadline:?} by a module with {} fuel; ticks of {} us from a thread of this process, us",
        limits::ANALYZER_FUEL_MAX,
        limits::EPOCH_TICK_US
    );
    println!(
        "{:<28} {:>8} {:>8} {:>8} {:>8}",
        "", "least", "p50", "p99", "max"
    );
    let engine = Engine::new().unwrap();
    let ticker = engine.ticker();
    let stop = AtomicBool::new(false);
    let mut worst = 0.0_f64;
    fifo(10);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            fifo(20);
            let origin = Instant::now();
            let now = || MonoNs::from_ns(origin.elapsed().as_nanos() as u64);
            let mut due = now();
            while !stop.load(Ordering::Relaxed) {
                std::thread::sleep(Duration::from_nanos(due.since(now()).as_ns()));
                ticker.tick();
                due = Ticker::next(due, now());
            }
        });
        for (name, body) in [
            ("empty loop", "(loop (br 0))".into()),
            ("memory.fill 1 MiB", "(loop (memory.fill (i32.const 0) (i32.const 1) (i32.const 1048576)) (br 0))".into()),
            ("loads over 1 MiB", walk(20, "i32.load (local.get $a)")),
            ("10,000 divisions in a line", format!("(loop {} (br 0))", "(local.set $l (i64.div_s (i64.const 0x7fffffffffffffff) (i64.or (local.get $l) (i64.const 3))))".repeat(10_000))),
            ("calls", "(loop (call $nothing) (br 0))".into()),
        ] {
            let spec = AnalyzerSpec {
                fuel: limits::ANALYZER_FUEL_MAX,
                deadline: DurNs::from_ns(deadline.as_nanos() as u64),
                ..spec()
            };
            let mut instance = endless(&body).load(&engine, spec).instantiate().unwrap();
            let mut late: Vec<f64> = (0..200)
                .map(|_| {
                    // The kernel takes a twentieth from real-time threads that never rest.
                    std::thread::sleep(deadline);
                    let start = Instant::now();
                    let result = instance.process(&frame(&[INPUT]), &mut [OutputValue::BAD]);
                    assert_eq!(result, Err(AnalyzerFault::Deadline), "{name}");
                    start.elapsed().as_nanos() as f64 / 1e3 - deadline.as_micros() as f64
                })
                .collect();
            late.sort_by(f64::total_cmp);
            let at = |share: f64| late[((late.len() - 1) as f64 * share) as usize];
            println!(
                "{name:<28} {:>8.0} {:>8.0} {:>8.0} {:>8.0}",
                at(0.0),
                at(0.5),
                at(0.99),
                at(1.0)
            );
            worst = worst.max(at(0.99));
        }
        stop.store(true, Ordering::Relaxed);
    });
    let _ = rt_config::host::set_ordinary();
    let share = worst / deadline.as_micros() as f64;
    let passed = gate("overrun p99 over the deadline, at most 0.10", share, 0.10);
    println!();
    passed
}

// ---- how long a spare takes ----

fn spares() -> bool {
    println!("from the call of a module that traps to the spare in its place, us");
    println!(
        "{:<28} {:>8} {:>8} {:>8} {:>8}",
        "", "p50", "p99", "p99.9", "max"
    );
    let engine = Engine::new().unwrap();
    let mut worst = 0.0_f64;
    fifo(10);
    for (name, body) in [
        ("unreachable", "unreachable"),
        (
            "division by zero",
            "(i64.div_u (i64.const 1) (i64.load (i32.const 0)))",
        ),
        ("beyond memory", "(i64.load (i32.const -8))"),
        ("nonsense verdict", "(i64.const -1)"),
        ("fuel, 1,000 units", "(loop (br 0)) (i64.const 0)"),
        ("stack", "(call $process)"),
    ] {
        let spec = AnalyzerSpec {
            fuel: if name.starts_with("fuel") {
                1_000
            } else {
                10_000_000
            },
            ..spec()
        };
        let module = Guest::new(body).load(&engine, spec);
        let (mut analyzer, mut refiller) = module.with_spares(1).unwrap();
        let mut histogram = Histogram::<u64>::new_with_bounds(1, 1_000_000_000, 3).unwrap();
        for round in 0..20_500 {
            let start = Instant::now();
            let result = analyzer.process(&frame(&[INPUT]), &mut [OutputValue::BAD]);
            let took = start.elapsed().as_nanos() as u64;
            assert!(result.is_err_and(AnalyzerFault::instance_is_lost), "{name}");
            if round >= 500 {
                histogram.saturating_record(took);
            }
            assert!(!refiller.turn().unwrap());
        }
        let at = |quantile: f64| histogram.value_at_quantile(quantile) as f64 / 1e3;
        println!(
            "{name:<28} {:>8.2} {:>8.2} {:>8.2} {:>8.2}",
            at(0.5),
            at(0.99),
            at(0.999),
            at(1.0)
        );
        if name != "stack" {
            worst = worst.max(at(0.99));
        }
    }
    let _ = rt_config::host::set_ordinary();
    println!("stack: the time is that of filling it; the rest is as for the others");
    let passed = gate("trap to spare, us p99, at most 5", worst, 5.0);
    println!();
    passed
}

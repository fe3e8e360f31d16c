//! `cargo bench -p appliance-sandbox --features compile --bench analyzers`: what a call of an analyzer costs, what a unit of
//! fuel is worth by kind of operation, how late a deadline is, how long a spare takes, and what neighbours
//! feel of a hostile module. In one process, one thread (and the ticker's); the least of many batches. Build without link-time optimisation changes little: the guest is compiled
//! by Cranelift either way.
#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::panic,
    reason = "a program for people, on modules that it made itself"
)]

mod calls;
mod deadline;
mod fuel;
#[path = "../../tests/guest/mod.rs"]
mod guest;
mod guests;
mod neighbours;
mod spare;

use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use appliance_sandbox::{Engine, Ticker};
use drivers_frame::MonoNs;

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
        passed &= calls::calls();
    }
    if only("copy") {
        calls::copies();
    }
    if only("fuel") {
        fuel::fuel_by_kind();
    }
    if only("deadline") {
        passed &= deadline::deadlines();
    }
    if only("spare") {
        passed &= spare::spares();
    }
    if only("neighbours") {
        passed &= neighbours::neighbours();
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

/// As the guard's threads: else the figures are those of whatever else runs.
fn fifo(priority: u8) {
    let _ = rt_config::host::set_timer_slack();
    if let Err(error) = rt_config::host::set_fifo(priority) {
        println!("without real-time priority ({error}): the figures are the host's");
    }
}

/// What a thread that ticks has done.
#[derive(Default)]
struct Ticks {
    count: AtomicU64,
    /// How late the latest tick was since somebody set this to 0, ns.
    latest_ns: AtomicU64,
}

/// Does `work` while a real-time thread ticks the engine's epoch, as the guard's does.
fn ticking(engine: &Engine, work: impl FnOnce(&Ticks)) {
    let ticker = engine.ticker();
    let ticks = Ticks::default();
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            fifo(20);
            let origin = Instant::now();
            let now = || MonoNs::from_ns(origin.elapsed().as_nanos() as u64);
            let mut due = now();
            while !stop.load(Ordering::Relaxed) {
                std::thread::sleep(Duration::from_nanos(due.since(now()).as_ns()));
                ticker.tick();
                ticks.count.fetch_add(1, Ordering::Relaxed);
                let ticked = now();
                let late = ticked.since(due).as_ns();
                ticks.latest_ns.fetch_max(late, Ordering::Relaxed);
                due = Ticker::next(due, ticked);
            }
        });
        work(&ticks);
        stop.store(true, Ordering::Relaxed);
    });
}

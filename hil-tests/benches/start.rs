//! `cargo bench -p hil-tests --bench start`: from a bundle on disk to armed, and what a guard holds in memory.
//!
//! A real guard process, a device on loopback that answers at once. "Armed" is the first press of a reset
//! that is accepted: every rule has decided, every output has confirmed its safe value. How long a person then holds the
//! reset is not in it.
#![forbid(unsafe_code)]
#![allow(
    clippy::print_stdout,
    clippy::expect_used,
    clippy::panic,
    reason = "a program for people"
)]

use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use appliance_control::{Client, Reply, Request};
use hil_tests::guard::Site;
use hil_tests::hostile::Device;
use hil_tests::{binaries, packs};

const ARMED_MS_MAX: f64 = 300.0;
const RESIDENT_MIB_MAX: f64 = 64.0;
const STARTS: usize = 9;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    if args.is_empty() {
        println!("nothing measured: run `cargo bench -p hil-tests --bench start`");
        return ExitCode::SUCCESS;
    }
    println!(
        "From bundle to armed, and resident memory: medians of {STARTS} starts of a real guard process"
    );
    println!("Machine protection and supervisory stop, not a certified safety component.\n");
    println!(
        "{:>8} {:>12} {:>12} {:>14} {:>16}",
        "rules", "bundle KiB", "armed ms", "resident MiB", "lane allocations"
    );
    let mut passed = true;
    for rules in [1, 100, 1_000] {
        let device = Device::default();
        device.show(100);
        let bundle = packs::bundle(
            &packs::Loop {
                rules,
                poll: "10ms",
                ..packs::Loop::new(device.address())
            }
            .yaml(),
        );
        let starts: Vec<Start> = (0..STARTS).map(|_| start(&bundle)).collect();
        let armed = median(starts.iter().map(|start| start.armed_ms));
        let resident = median(starts.iter().map(|start| start.resident_mib));
        let allocations: u64 = starts.iter().map(|start| start.allocations).sum();
        println!(
            "{rules:>8} {:>12} {armed:>12.1} {resident:>14.1} {allocations:>16}",
            bundle.len() / 1024
        );
        passed &= armed <= ARMED_MS_MAX && resident <= RESIDENT_MIB_MAX && allocations == 0;
    }
    let word = if passed { "PASS  " } else { "MISSED" };
    println!(
        "\n{word} armed within {ARMED_MS_MAX} ms, at most {RESIDENT_MIB_MAX} MiB, no lane allocation"
    );
    if !passed && args.iter().any(|arg| arg == "--gate") {
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

struct Start {
    armed_ms: f64,
    resident_mib: f64,
    allocations: u64,
}

fn start(bundle: &[u8]) -> Start {
    let site = Site::new(bundle);
    let begun = Instant::now();
    let mut child = Command::new(binaries::guard())
        .args(site.args())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("the guard starts");
    let ask = |request| Client::connect(&site.socket()).and_then(|mut client| client.ask(&request));
    let (nonce, hold_ns) = loop {
        let reply = ask(Request::ResetPress {
            who: "the benchmark".to_owned(),
        });
        if let Ok(Reply::ResetPressed {
            nonce, hold_min_ns, ..
        }) = reply
        {
            break (nonce, hold_min_ns);
        }
        if begun.elapsed() > Duration::from_secs(30) {
            let _ = child.kill();
            panic!("it does not arm: {reply:?}");
        }
        std::thread::sleep(Duration::from_micros(500));
    };
    let armed_ms = begun.elapsed().as_secs_f64() * 1e3;
    std::thread::sleep(Duration::from_nanos(hold_ns));
    let released = ask(Request::ResetRelease { nonce });
    assert!(matches!(released, Ok(Reply::Done {})), "{released:?}");
    let Ok(Reply::Status(status)) = ask(Request::Status {}) else {
        panic!("it answers");
    };
    let _ = child.kill();
    let _ = child.wait();
    Start {
        armed_ms,
        resident_mib: status.resident_bytes.unwrap_or(u64::MAX) as f64 / 1_048_576.0,
        allocations: status.lane_allocations,
    }
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

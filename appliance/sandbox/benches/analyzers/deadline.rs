//! How late a deadline is.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use appliance_sandbox::{AnalyzerFault, AnalyzerSpec, Engine, OutputValue};
use drivers_frame::DurNs;
use rt_config::limits;

use crate::guest::{INPUT, frame, spec};
use crate::guests::{endless, walk};
use crate::{fifo, gate, ticking};

pub(crate) fn deadlines() -> bool {
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
    let mut worst = 0.0_f64;
    fifo(10);
    ticking(&engine, |ticks| {
        let budget = (deadline.as_micros() as u64 / limits::EPOCH_TICK_US) + 1;
        // What the host makes of it: native code that waits for the same ticks.
        let mut late = lateness(deadline, || {
            let end = ticks.load(Ordering::Relaxed) + budget;
            while ticks.load(Ordering::Relaxed) < end {
                std::hint::spin_loop();
            }
        });
        row("floor: native loop", &mut late);
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
            let mut late = lateness(deadline, || {
                let result = instance.process(&frame(&[INPUT]), &mut [OutputValue::BAD]);
                assert_eq!(result, Err(AnalyzerFault::Deadline), "{name}");
            });
            worst = worst.max(row(name, &mut late));
        }
    });
    let _ = rt_config::host::set_ordinary();
    let share = worst / deadline.as_micros() as f64;
    let passed = gate("overrun p99 over the deadline, at most 0.10", share, 0.10);
    println!();
    passed
}

/// How much longer than `deadline` each of 200 calls took, microseconds.
fn lateness(deadline: Duration, mut call: impl FnMut()) -> Vec<f64> {
    (0..200)
        .map(|_| {
            // The kernel takes a twentieth from real-time threads that never rest.
            std::thread::sleep(deadline);
            let start = Instant::now();
            call();
            start.elapsed().as_nanos() as f64 / 1e3 - deadline.as_micros() as f64
        })
        .collect()
}

/// Prints it; its p99.
fn row(name: &str, late: &mut [f64]) -> f64 {
    late.sort_by(f64::total_cmp);
    let at = |share: f64| late[((late.len() - 1) as f64 * share) as usize];
    println!(
        "{name:<28} {:>8.0} {:>8.0} {:>8.0} {:>8.0}",
        at(0.0),
        at(0.5),
        at(0.99),
        at(1.0)
    );
    at(0.99)
}

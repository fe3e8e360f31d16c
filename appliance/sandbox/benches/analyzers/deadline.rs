//! How late a deadline is.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use appliance_sandbox::{AnalyzerFault, AnalyzerSpec, Engine, OutputValue};
use drivers_frame::DurNs;
use rt_config::limits;

use crate::guest::{INPUT, frame, spec};
use crate::guests::{endless, walk};
use crate::{Ticks, fifo, gate, ticking};

pub(crate) fn deadlines() -> bool {
    let deadline = Duration::from_millis(5);
    println!(
        "overrun of a deadline of {deadline:?} by a module with {} fuel; ticks of {} us from a thread of this process, us",
        limits::ANALYZER_FUEL_MAX,
        limits::EPOCH_TICK_US
    );
    println!(
        "{:<28} {:>8} {:>8} {:>8} {:>8}   {:>8} {:>9}",
        "", "least", "p50", "p99", "max", "punctual", "p99 of it"
    );
    let engine = Engine::new().unwrap();
    let mut worst = 0.0_f64;
    fifo(10);
    ticking(&engine, |ticks| {
        let budget = (deadline.as_micros() as u64 / limits::EPOCH_TICK_US) + 1;
        // What the host makes of it: native code that waits for the same ticks.
        let measured = overruns(deadline, ticks, || {
            let end = ticks.count.load(Ordering::Relaxed) + budget;
            while ticks.count.load(Ordering::Relaxed) < end {
                std::hint::spin_loop();
            }
        });
        row("floor: native loop", &measured);
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
            let measured = overruns(deadline, ticks, || {
                let result = instance.process(&frame(&[INPUT]), &mut [OutputValue::BAD]);
                assert_eq!(result, Err(AnalyzerFault::Deadline), "{name}");
            });
            worst = worst.max(row(name, &measured));
        }
    });
    let _ = rt_config::host::set_ordinary();
    println!(
        "punctual: calls during which no tick came more than one tick late, per cent; otherwise the host kept a real-time thread waiting"
    );
    let share = worst / deadline.as_micros() as f64;
    let passed = gate(
        "overrun p99 over the deadline while ticks are punctual, at most 0.10",
        share,
        0.10,
    );
    println!();
    passed
}

struct Call {
    /// Beyond the deadline, microseconds.
    late: f64,
    punctual: bool,
}

/// 400 calls, each of which runs into its deadline.
fn overruns(deadline: Duration, ticks: &Ticks, mut call: impl FnMut()) -> Vec<Call> {
    (0..400)
        .map(|_| {
            // The kernel takes a twentieth from real-time threads that never rest.
            std::thread::sleep(deadline);
            ticks.latest_ns.store(0, Ordering::Relaxed);
            let start = Instant::now();
            call();
            let took = start.elapsed();
            Call {
                late: took.as_nanos() as f64 / 1e3 - deadline.as_micros() as f64,
                punctual: ticks.latest_ns.load(Ordering::Relaxed) <= limits::EPOCH_TICK_US * 1_000,
            }
        })
        .collect()
}

/// Prints it; the p99 of calls with punctual ticks, which must be half of all at least.
fn row(name: &str, calls: &[Call]) -> f64 {
    let sorted = |calls: &mut dyn Iterator<Item = &Call>| {
        let mut late: Vec<f64> = calls.map(|call| call.late).collect();
        late.sort_by(f64::total_cmp);
        late
    };
    let at = |late: &[f64], share: f64| {
        let last = late.len().saturating_sub(1) as f64;
        late.get((last * share) as usize)
            .copied()
            .unwrap_or(f64::INFINITY)
    };
    let all = sorted(&mut calls.iter());
    let punctual = sorted(&mut calls.iter().filter(|call| call.punctual));
    let share = punctual.len() as f64 / calls.len() as f64;
    println!(
        "{name:<28} {:>8.0} {:>8.0} {:>8.0} {:>8.0}   {:>6.0} % {:>9.0}",
        at(&all, 0.0),
        at(&all, 0.5),
        at(&all, 0.99),
        at(&all, 1.0),
        100.0 * share,
        at(&punctual, 0.99),
    );
    if share >= 0.5 {
        at(&punctual, 0.99)
    } else {
        f64::INFINITY
    }
}

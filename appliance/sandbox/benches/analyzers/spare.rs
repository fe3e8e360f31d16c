//! How long a spare takes.

use std::time::Instant;

use appliance_sandbox::{AnalyzerFault, AnalyzerSpec, Engine, OutputValue};
use hdrhistogram::Histogram;

use crate::guest::{Guest, INPUT, frame, spec};
use crate::{fifo, gate};

pub(crate) fn spares() -> bool {
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

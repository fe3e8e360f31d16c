//! Many runs: each seed by itself, spread over the cores of this machine.

use std::fmt;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::SOMETIMES;
use crate::coverage::Coverage;
use crate::oracle::Violation;
use crate::world::{Options, run};

/// What came of a campaign of simulations.
#[derive(Clone, Debug)]
pub struct Report {
    /// Seeds run.
    pub seeds: u64,
    /// Virtual seconds with faults, each.
    pub seconds: u64,
    /// Failing seeds with what they broke, in order.
    pub failures: Vec<(u64, Violation)>,
    /// Rare states reached, over all seeds.
    pub coverage: Coverage,
    /// Events handled, over all seeds.
    pub events: u64,
    /// One number for all digests: two machines that print the same did the same.
    pub digest: u64,
    /// How long it took.
    pub took: Duration,
    /// Whether there were enough seeds to expect every state.
    pub complete: bool,
}

/// Fewer seeds than this need not reach every state.
pub const SEEDS_FOR_EVERY_STATE: u64 = 1_000;

/// Runs `count` seeds from `from` on, `seconds` virtual seconds each. A campaign that has found ten failing seeds stops.
pub fn simulate(from: u64, count: u64, seconds: u64) -> Report {
    let began = Instant::now();
    let next = AtomicU64::new(from);
    let enough = AtomicBool::new(false);
    let all = Mutex::new((Vec::new(), Coverage::default(), 0_u64, 0_u64, 0_u64));
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while !enough.load(Ordering::Relaxed) {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= from + count {
                        break;
                    }
                    let outcome = run(seed, Options::seconds(seconds));
                    let mut all = all.lock().expect("no run panics while it reports");
                    all.1.merge(&outcome.coverage);
                    all.2 += outcome.events;
                    // The order in which threads finish must not show.
                    all.3 ^= outcome.digest.rotate_left((seed % 64) as u32);
                    all.4 += 1;
                    if let Some(violation) = outcome.violation {
                        all.0.push((seed, violation));
                        enough.store(all.0.len() >= 10, Ordering::Relaxed);
                    }
                }
            });
        }
    });
    let (mut failures, coverage, events, digest, seeds) = all.into_inner().expect("no run panics");
    failures.sort_by_key(|(seed, _)| *seed);
    Report {
        seeds,
        seconds,
        failures,
        coverage,
        events,
        digest,
        took: began.elapsed(),
        complete: count >= SEEDS_FOR_EVERY_STATE && seconds >= 60,
    }
}

impl Report {
    /// States that should have been reached, and never were.
    pub fn missing(&self) -> Vec<&'static str> {
        if self.complete {
            self.coverage.missing(SOMETIMES)
        } else {
            Vec::new()
        }
    }

    /// Whether nothing was broken and every state was reached.
    pub fn passed(&self) -> bool {
        self.failures.is_empty() && self.missing().is_empty()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, count) in self.coverage.all() {
            writeln!(f, "{count:>12}  {name}")?;
        }
        let took = self.took.as_secs_f64();
        writeln!(
            f,
            "{} seeds of {} virtual seconds, {} events, in {took:.1} s: {:.0} seeds/s; digest {:016x}",
            self.seeds,
            self.seconds,
            self.events,
            self.seeds as f64 / took,
            self.digest
        )?;
        for name in self.missing() {
            writeln!(f, "NEVER REACHED: {name}")?;
        }
        for (seed, violation) in &self.failures {
            let at = violation.at as f64 / 1e9;
            writeln!(
                f,
                "FAILED: seed {seed}: {} at {at:.6} s: {}",
                violation.invariant, violation.what
            )?;
            writeln!(
                f,
                "  again: cargo run --release -p hil-tests-sim --bin campaign -- simulate --seeds 1 --from {seed} --seconds {}",
                self.seconds
            )?;
        }
        write!(f, "{}", if self.passed() { "passed" } else { "FAILED" })
    }
}

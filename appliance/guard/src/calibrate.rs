//! How fast this host is, measured at start and held against what the reaction times were computed with.
//!
//! Measured on the lane's own thread, where it will run: the price of a unit of fuel, over every condition of the lane,
//! evaluated as a tick evaluates it (by the module and natively); and how late a timer wakes the lane. A host that is
//! slower than the pack assumes starts, drives everything safe, and refuses to arm (`Hold::HostTooSlow`).
//!
//! A single pre-emption is not the host's speed: of each batch the best repetition counts, of the batches the worst; of the
//! wake-ups the median. Nor is a busy moment, as a host has many while it boots: one that seems too slow is measured again, a few
//! times. What comes late later on is the business of the timing monitor (H-29). About 25 ms a lane on a host that is fast enough.
//!
//! Which thread: the lane's, before it is sealed. May it block: for the wake-ups it measures.

use drivers_frame::{Clock, DurNs};
use rt_config::limits::{
    CALIBRATION_ATTEMPTS, CALIBRATION_FUEL_MS, CALIBRATION_PAUSE_MS, CALIBRATION_WAKE_UPS,
};
use rules_bundle::{HostAssumption, LanePlan};

/// Batches, and repetitions in each.
const BATCHES: u32 = 4;
const REPETITIONS: u32 = 4;
/// What one repetition should take at least, so that the clock's own price does not count.
const REPETITION: DurNs = DurNs::from_us(100);
/// A tick evaluates each condition twice: by its WebAssembly and natively.
const EVALUATIONS: u64 = 2;
/// How much slower our own code is without optimisation: a test build is no measure of a host.
const UNOPTIMISED: u64 = if cfg!(debug_assertions) { 100 } else { 1 };

/// What was measured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Measured {
    /// Picoseconds a unit of fuel.
    pub(crate) fuel_ps: u64,
    /// The same of each analyzer of class safety that said something to its canary's frame, or to silence.
    pub(crate) prices: Vec<(String, u64)>,
    /// Lateness of a timer.
    pub(crate) turn: DurNs,
    /// For how long an input may wait because its reader leaves its core to others.
    pub(crate) rest: DurNs,
}

/// Fuel of all conditions of a lane together.
pub(crate) fn fuel_of(plan: &LanePlan) -> u64 {
    plan.programs()
        .fold(0, |sum, program| sum.saturating_add(program.fuel()))
}

/// Picoseconds a unit of fuel. `evaluate` evaluates conditions of `fuel` units in all, each as a tick does.
pub(crate) fn fuel_ps(fuel: u64, clock: &impl Clock, mut evaluate: impl FnMut()) -> u64 {
    let begin = clock.now();
    let mut timed = |count: u64| {
        let start = clock.now();
        for _ in 0..count {
            evaluate();
        }
        clock.now().since(start).as_ns()
    };
    // Warm, then guess how often a repetition must evaluate.
    timed(1);
    let once = timed(1).max(1);
    let count = REPETITION.as_ns().checked_div(once).unwrap_or(1);
    let count = count.clamp(1, 10_000);
    let units = fuel.saturating_mul(EVALUATIONS).saturating_mul(count);
    let mut worst = 0;
    for _ in 0..BATCHES {
        let mut best = u64::MAX;
        for _ in 0..REPETITIONS {
            best = best.min(timed(count));
            if clock.now().since(begin) > DurNs::from_ms(CALIBRATION_FUEL_MS) {
                break;
            }
        }
        worst = worst.max(best);
        if clock.now().since(begin) > DurNs::from_ms(CALIBRATION_FUEL_MS) {
            break;
        }
    }
    worst.saturating_mul(1_000).checked_div(units).unwrap_or(0)
}

/// How late a timer wakes this thread: the median. `sleep` sleeps for what it is given.
pub(crate) fn turn(clock: &impl Clock, mut sleep: impl FnMut(DurNs)) -> DurNs {
    let period = DurNs::from_ms(1);
    let mut late: Vec<u64> = (0..CALIBRATION_WAKE_UPS)
        .map(|_| {
            let due = clock.now().after(period);
            sleep(period);
            clock.now().since(due).as_ns()
        })
        .collect();
    late.sort_unstable();
    DurNs::from_ns(late.get(late.len() / 2).copied().unwrap_or(0))
}

/// Measures until the host is as fast as assumed, a few times at most: what is wrong with it, by the last measurement.
pub(crate) fn patiently(
    assumed: HostAssumption,
    mut sleep: impl FnMut(DurNs),
    mut measure: impl FnMut() -> Measured,
) -> Option<String> {
    let mut problem = judge(&measure(), assumed)?;
    for _ in 1..CALIBRATION_ATTEMPTS {
        sleep(DurNs::from_ms(CALIBRATION_PAUSE_MS));
        problem = judge(&measure(), assumed)?;
    }
    Some(problem)
}

/// What is wrong with the host, if anything, and what to do.
pub(crate) fn judge(measured: &Measured, assumed: HostAssumption) -> Option<String> {
    let mut slow = Vec::new();
    let dear = |fuel_ps: u64| fuel_ps > u64::from(assumed.fuel_ps).saturating_mul(UNOPTIMISED);
    for (name, fuel_ps) in &measured.prices {
        if dear(*fuel_ps) {
            slow.push(format!(
                "a unit of fuel of analyzer {name} takes {fuel_ps} ps, assumed {} ps",
                assumed.fuel_ps
            ));
        }
    }
    if dear(measured.fuel_ps) {
        slow.push(format!(
            "a unit of fuel takes {} ps, assumed {} ps",
            measured.fuel_ps, assumed.fuel_ps
        ));
    }
    if measured.turn.plus(measured.rest) > assumed.turn {
        let rest = match measured.rest {
            DurNs::ZERO => String::new(),
            rest => format!(
                ", and it rests for {rest} at a time because a device is polled without a period"
            ),
        };
        slow.push(format!(
            "a timer wakes it {} late{rest}, assumed {}",
            measured.turn, assumed.turn
        ));
    }
    (!slow.is_empty()).then(|| {
        format!(
            "this host is slower than the reaction times were computed with: {}. It refuses to arm. State what was measured in the pack (`assume:`) and check the deadlines again, or give the lane an isolated core and real-time priority",
            slow.join("; ")
        )
    })
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use drivers_frame::MonoNs;

    use super::*;

    const ASSUMED: HostAssumption = HostAssumption {
        fuel_ps: 10_000,
        turn: DurNs::from_ms(1),
    };

    #[test]
    fn h29_a_host_is_too_slow_by_one_picosecond_or_nanosecond() {
        let limit = 10_000 * UNOPTIMISED;
        let table = [
            (0, 0, true),
            (limit, 1_000_000, true),
            (limit + 1, 0, false),
            (0, 1_000_001, false),
            (u64::MAX, u64::MAX, false),
        ];
        for (fuel_ps, turn, fast) in table {
            let measured = Measured {
                fuel_ps,
                prices: Vec::new(),
                turn: DurNs::from_ns(turn),
                rest: DurNs::ZERO,
            };
            let problem = judge(&measured, ASSUMED);
            assert_eq!(problem.is_none(), fast, "H-29: {problem:?}");
        }
    }

    #[test]
    fn h29_a_lane_that_rests_has_that_much_less_for_its_turn() {
        let measured = |turn: u64| Measured {
            prices: Vec::new(),
            fuel_ps: 0,
            turn: DurNs::from_us(turn),
            rest: DurNs::from_us(300),
        };
        assert_eq!(judge(&measured(700), ASSUMED), None, "H-29");
        let words = judge(&measured(701), ASSUMED).unwrap();
        assert!(
            words.contains("701us late, and it rests for 300us"),
            "{words}"
        );
    }

    #[test]
    fn h29_a_busy_moment_at_the_start_is_not_the_hosts_speed_and_a_slow_host_stays_one() {
        let attempts = |fast_from: u32| {
            let (mut count, mut slept) = (0, DurNs::ZERO);
            let measure = || {
                count += 1;
                let turn = if count < fast_from { 2_000 } else { 500 };
                Measured {
                    fuel_ps: 0,
                    prices: Vec::new(),
                    turn: DurNs::from_us(turn),
                    rest: DurNs::ZERO,
                }
            };
            let problem = patiently(ASSUMED, |span| slept = slept.plus(span), measure);
            (problem.is_some(), count, slept)
        };
        let pauses = |count: u32| DurNs::from_ms(CALIBRATION_PAUSE_MS).times(u64::from(count));
        assert_eq!(attempts(1), (false, 1, DurNs::ZERO), "no time is lost");
        assert_eq!(attempts(3), (false, 3, pauses(2)), "H-29");
        let last = CALIBRATION_ATTEMPTS;
        assert_eq!(attempts(last), (false, last, pauses(last - 1)));
        assert_eq!(attempts(last + 1), (true, last, pauses(last - 1)), "H-29");
    }

    #[test]
    fn what_is_said_has_both_figures_and_what_to_do() {
        let measured = Measured {
            fuel_ps: u64::MAX,
            prices: vec![("bearing".to_owned(), u64::MAX), ("pump".to_owned(), 1)],
            turn: DurNs::from_ms(3),
            rest: DurNs::ZERO,
        };
        let words = judge(&measured, ASSUMED).unwrap();
        assert!(!words.contains("pump"), "H-36: {words}");
        for part in [
            "assumed 10000 ps",
            "fuel of analyzer bearing takes",
            "3ms late, assumed 1ms",
            "`assume:`",
            "isolated",
        ] {
            assert!(words.contains(part), "{words}");
        }
    }

    /// A clock that only evaluations and sleeps move.
    struct Ticks(Cell<u64>);

    impl Ticks {
        fn pass(&self, ns: u64) {
            self.0.set(self.0.get() + ns);
        }
    }

    impl Clock for Ticks {
        fn now(&self) -> MonoNs {
            MonoNs::from_ns(self.0.get())
        }
    }

    #[test]
    fn the_price_of_fuel_is_the_worst_batch_of_best_repetitions() {
        let clock = Ticks(Cell::new(0));
        // 1,000 units of fuel, twice, in 2,000 ns: 1,000 ps each.
        assert_eq!(fuel_ps(1_000, &clock, || clock.pass(2_000)), 1_000);
        // A pre-emption now and then does not count.
        let calls = Cell::new(0_u64);
        let preempted = || {
            calls.set(calls.get() + 1);
            clock.pass(if calls.get().is_multiple_of(150) {
                500_000
            } else {
                2_000
            });
        };
        assert_eq!(fuel_ps(1_000, &clock, preempted), 1_000);
        assert_eq!(fuel_ps(0, &clock, || clock.pass(10)), 0, "no rules");
    }

    #[test]
    fn calibration_is_bounded_however_slow_the_host() {
        let clock = Ticks(Cell::new(0));
        let before = clock.now();
        fuel_ps(1, &clock, || clock.pass(5_000_000));
        let most = DurNs::from_ms(CALIBRATION_FUEL_MS).plus(DurNs::from_ms(20));
        assert!(clock.now().since(before) <= most);
    }

    #[test]
    fn lateness_is_the_median() {
        let clock = Ticks(Cell::new(0));
        let count = Cell::new(0_u32);
        let late = turn(&clock, |period| {
            count.set(count.get() + 1);
            let steal = if count.get().is_multiple_of(3) {
                16_000_000
            } else {
                0
            };
            clock.pass(period.as_ns() + 40_000 + steal);
        });
        assert_eq!(late, DurNs::from_us(40));
        assert_eq!(count.get(), CALIBRATION_WAKE_UPS);
    }
}

//! A few hundred seeds, and that a seed is a whole run.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use hil_tests_sim::{Options, campaign, run};

/// Virtual seconds with faults: less in a debug build, which is some ten times slower.
const SECONDS: u64 = if cfg!(debug_assertions) { 5 } else { 60 };

#[test]
fn i1_to_i9_hold_under_faults_and_it_arms_again_afterwards() {
    let report = campaign::simulate(1_000_000, 200, SECONDS);
    assert!(report.passed(), "{report}");
}

#[test]
fn the_same_seed_is_the_same_run_and_another_is_not() {
    let options = Options::seconds(5);
    for seed in 0..10 {
        let first = run(seed, options);
        assert_eq!(first, run(seed, options), "seed {seed}");
        assert_ne!(first.digest, run(seed + 1, options).digest);
    }
}

#[test]
fn h79_wall_clock_jumps_change_nothing_that_was_decided() {
    let options = Options::seconds(if cfg!(debug_assertions) { 5 } else { 30 });
    for seed in 0..20 {
        let still = Options {
            wall_jumps: false,
            ..options
        };
        let (jumped, still) = (run(seed, options), run(seed, still));
        assert_eq!(jumped.digest, still.digest, "H-79: seed {seed}");
        assert_eq!(jumped.violation, still.violation, "H-79: seed {seed}");
    }
}

/// Seeds that once failed, with what they found. A seed is a run of this version of the simulator: when scenarios are drawn
/// otherwise it is another run, and the test beside the code that was mended is what stays.
#[test]
fn seeds_that_once_failed() {
    for (seed, found) in [
        (
            235,
            "I2: a refresh was sent after an output of the same group had failed in the same turn",
        ),
        (
            353,
            "I3: a release that waited while the lane hung was decided upon what was known before",
        ),
        (781, "I3: the same"),
        (
            698,
            "H-57: a connection that broke on a stop was not told, and a controlled stop that nobody asked for went on",
        ),
        (
            15,
            "I4: after a hang what an analyzer derived from what had come too long ago counted for one tick",
        ),
        (
            995,
            "I4: what class background said too late was believed as long as newer tags of the same stale_after",
        ),
    ] {
        let options = Options::seconds(if cfg!(debug_assertions) { 45 } else { 60 });
        assert_eq!(run(seed, options).violation, None, "seed {seed}: {found}");
    }
}

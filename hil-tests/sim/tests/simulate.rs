//! A few hundred seeds, and that a seed is a whole run.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use hil_tests_sim::{Options, campaign, run};

/// Virtual seconds with faults: less in a debug build, which is some ten times slower.
const SECONDS: u64 = if cfg!(debug_assertions) { 12 } else { 60 };

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

/// Seeds that once failed, with what they found.
#[test]
fn seeds_that_once_failed() {
    for (seed, found) in [
        (
            31,
            "I6: a channel that was bad from its first sample on left its rule waiting",
        ),
        (34, "I6: the same over MQTT"),
        (124, "I6: the same"),
    ] {
        assert_eq!(
            run(seed, Options::seconds(60)).violation,
            None,
            "seed {seed}: {found}"
        );
    }
}

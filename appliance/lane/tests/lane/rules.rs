//! Rules, latches, freshness: from a sample to a withheld permit.

use appliance_lane::{EventKind, LatchCause, ResetRefusal, RuleCause, RuleState};
use appliance_output::Permit;
use drivers_frame::{Cause, DeviceId, DurNs, Quality, TagId};
use rules_bundle::{WindowFunction, WindowPlan};

use crate::common::{Bench, Misbehaviour, above, ms, plan, rule};

#[test]
fn i9_boot_is_tripped_and_only_a_reset_with_everything_clear_and_proved_releases() {
    let mut bench = Bench::new(&plan());
    bench.lane.tick(ms(1));
    assert_eq!(bench.lane.permits(), [Permit::Withheld; 2], "I9");
    assert_eq!(
        bench.reset(ms(1)),
        Err(ResetRefusal::RuleNotClear { rule: 0 }),
        "not decided yet"
    );
    bench.sample(0, 1.0, 2);
    bench.sample(1, 1.0, 2);
    assert_eq!(
        bench.reset(ms(2)),
        Err(ResetRefusal::RuleNotClear { rule: 0 }),
        "not evaluated yet"
    );
    bench.lane.tick(ms(2));
    assert_eq!(
        bench.reset(ms(2)),
        Err(ResetRefusal::OutputNotConfirmed { output: 0 })
    );
    bench.confirm(0, ms(3));
    assert_eq!(
        bench.reset(ms(3)),
        Err(ResetRefusal::OutputNotConfirmed { output: 1 })
    );
    bench.confirm(1, ms(3));
    assert_eq!(bench.reset(ms(3)), Ok(()));
    assert_eq!(bench.reset(ms(3)), Err(ResetRefusal::NothingLatched));
    bench.lane.tick(ms(3));
    assert_eq!(bench.lane.permits(), [Permit::Granted; 2]);
}

#[test]
fn a_true_condition_withholds_its_permits_in_the_same_tick_and_no_others() {
    let mut bench = Bench::armed();
    bench.sample(0, 8.0, 20);
    bench.lane.tick(ms(20));
    assert_eq!(
        bench.lane.permits(),
        [Permit::Withheld, Permit::Granted],
        "I1"
    );
    let cause = LatchCause::Rule {
        rule: 0,
        cause: RuleCause::Condition,
    };
    assert_eq!(bench.first_out(0), Some(cause));
    // It stays when the condition goes away.
    bench.sample(0, 1.0, 30);
    for at in 30..60 {
        bench.lane.tick(ms(at));
        assert_eq!(bench.lane.permits()[0], Permit::Withheld, "I2");
    }
    assert_eq!(bench.first_out(0), Some(cause), "first-out is kept");
}

#[test]
fn i3_a_latch_is_not_released_while_its_cause_is_present() {
    let mut bench = Bench::armed();
    bench.sample(0, 8.0, 20);
    bench.lane.tick(ms(20));
    bench.prove_safe(21);
    assert_eq!(
        bench.reset(ms(21)),
        Err(ResetRefusal::RuleNotClear { rule: 0 })
    );
    bench.sample(0, 1.0, 30);
    assert!(bench.reset(ms(30)).is_err(), "cleared, but not evaluated");
    bench.lane.tick(ms(30));
    assert_eq!(bench.reset(ms(30)), Ok(()));
}

#[test]
fn the_first_cause_of_a_group_is_kept_and_measured_to_the_last_confirmation() {
    let mut bench = Bench::armed();
    bench.sample(1, 200.0, 20);
    bench.lane.tick(ms(20));
    assert_eq!(bench.lane.rule(1).unwrap().0, RuleState::Pending);
    bench.lane.tick(ms(39));
    assert_eq!(
        bench.lane.permits(),
        [Permit::Granted; 2],
        "the delay is not over"
    );
    assert_eq!(bench.lane.next_due(), ms(40));
    bench.lane.tick(ms(40));
    assert_eq!(bench.lane.permits(), [Permit::Withheld; 2]);
    // A second rule demands the same stop: nothing changes for the first.
    bench.sample(0, 8.0, 41);
    bench.lane.tick(ms(41));
    assert!(matches!(
        bench.first_out(0),
        Some(LatchCause::Rule { rule: 1, .. })
    ));
    bench.lane.clear_events();
    bench.confirm(0, ms(45));
    assert!(bench.lane.events().is_empty(), "one of two outputs");
    bench.confirm(1, ms(90));
    let confirmed = EventKind::StopConfirmed {
        rule: 1,
        latency: DurNs::from_ms(70),
        missed: true,
    };
    assert_eq!(
        bench.lane.events()[0].kind,
        confirmed,
        "from the first true sample; the deadline is 50 ms"
    );
    assert_eq!(bench.lane.rule_latency(1), Some((DurNs::from_ms(70), 1, 1)));
    assert_eq!(bench.lane.rule_latency(0), Some((DurNs::ZERO, 0, 0)));
}

#[test]
fn h_27_silence_is_a_trip_after_stale_after_and_not_later() {
    let mut bench = Bench::armed();
    bench.sample(1, 1.0, 60);
    assert_eq!(bench.lane.next_due(), ms(110), "10 ms and 100 ms after it");
    bench.lane.tick(ms(110));
    assert_eq!(bench.lane.permits(), [Permit::Granted; 2]);
    bench.lane.tick(ms(111));
    assert_eq!(bench.lane.permits(), [Permit::Withheld, Permit::Granted]);
    let view = bench.lane.tag(TagId(0)).unwrap();
    assert_eq!((view.quality, view.cause), (Quality::Stale, Cause::Stale));
    let event = bench
        .lane
        .events()
        .iter()
        .find_map(|event| match event.kind {
            EventKind::Rule {
                rule: 0,
                cause,
                tag,
                quality_cause,
                ..
            } => Some((cause, tag, quality_cause)),
            _ => None,
        });
    assert_eq!(
        event,
        Some((RuleCause::BadInput, Some(TagId(0)), Cause::Stale)),
        "who and why"
    );
}

#[test]
fn i6_a_bad_sample_trips_at_once() {
    let mut bench = Bench::armed();
    bench.bad_sample(1, 20);
    bench.lane.tick(ms(20));
    assert_eq!(
        bench.lane.permits(),
        [Permit::Withheld; 2],
        "the 20 ms delay is not for bad inputs"
    );
    bench.prove_safe(21);
    assert!(bench.reset(ms(21)).is_err());
    bench.sample(1, 1.0, 22);
    bench.lane.tick(ms(22));
    assert_eq!(bench.reset(ms(22)), Ok(()));
}

#[test]
fn i6_a_channel_that_is_bad_from_its_first_sample_on_is_told_and_not_waited_for() {
    let mut bench = Bench::new(&plan());
    for at in [1, 2] {
        bench.bad_sample(0, at);
        bench.lane.tick(ms(at));
        let (state, cause, _) = bench.lane.rule(0).unwrap();
        assert_eq!((state, cause), (RuleState::Active, RuleCause::BadInput));
    }
}

#[test]
fn h_25_lost_frames_hold_the_channels_bad_until_each_has_a_fresh_sample() {
    let mut bench = Bench::armed();
    bench.lane.frames_lost(DeviceId(0), 3, ms(20));
    bench.lane.tick(ms(20));
    assert_eq!(bench.lane.permits(), [Permit::Withheld; 2]);
    assert_eq!(
        bench.lane.tag(TagId(0)).unwrap().cause,
        Cause::QueueOverflow
    );
    assert_eq!(bench.lane.counters().frames_lost, 3);
    // What still waited in the full queue is older than what was lost.
    for tag in [0, 1] {
        bench.sample(tag, 1.0, 19);
    }
    bench.lane.tick(ms(21));
    assert_eq!(
        bench.lane.tag(TagId(0)).unwrap().cause,
        Cause::QueueOverflow
    );
    bench.prove_safe(21);
    assert!(bench.reset(ms(21)).is_err());
    bench.sample(0, 1.0, 22);
    bench.lane.tick(ms(22));
    assert_eq!(
        bench.reset(ms(22)),
        Err(ResetRefusal::RuleNotClear { rule: 1 })
    );
    bench.sample(1, 1.0, 23);
    bench.lane.tick(ms(23));
    assert_eq!(bench.reset(ms(23)), Ok(()));
}

#[test]
fn every_failure_of_the_rule_module_stops_everything_until_a_restart() {
    for (misbehaviour, expected) in [
        (Misbehaviour::Trap, RuleCause::Trap),
        (Misbehaviour::Fuel, RuleCause::Fuel),
        (Misbehaviour::Wrong, RuleCause::Comparison),
        (Misbehaviour::Nonsense, RuleCause::Comparison),
    ] {
        let mut bench = Bench::armed();
        bench.misbehaviour.set(misbehaviour);
        // An alert's evaluation fails, and that of the vibration rule; the pressure rule alone stops the pump.
        bench.sample(0, 2.0, 20);
        bench.lane.tick(ms(20));
        assert_eq!(
            bench.lane.permits(),
            [Permit::Withheld; 2],
            "H-35, H-38, H-42: {expected:?}"
        );
        assert_eq!(bench.lane.rule(0).unwrap().1, expected);
        bench.misbehaviour.set(Misbehaviour::None);
        bench.sample(0, 1.0, 30);
        bench.sample(1, 1.0, 30);
        bench.lane.tick(ms(30));
        bench.prove_safe(31);
        assert_eq!(bench.reset(ms(31)), Err(ResetRefusal::EngineFault), "I3");
    }
}

#[test]
fn a_sample_older_than_the_last_one_is_dropped() {
    let mut bench = Bench::armed();
    bench.sample(0, 8.0, 5);
    bench.lane.tick(ms(20));
    assert_eq!(bench.lane.permits(), [Permit::Granted; 2], "H-19");
    assert_eq!(bench.lane.counters().out_of_order, 1);
    bench.sample(9, 8.0, 20);
    assert_eq!(bench.lane.counters().foreign, 1, "I5");
}

#[test]
fn only_what_depends_on_a_changed_tag_is_evaluated() {
    let mut bench = Bench::armed();
    let before = bench.lane.counters().evaluations;
    bench.sample(1, 2.0, 20);
    bench.lane.tick(ms(20));
    assert_eq!(
        bench.lane.counters().evaluations - before,
        1,
        "one rule depends on the pressure"
    );
    bench.sample(1, 2.0, 21);
    bench.lane.tick(ms(21));
    assert_eq!(
        bench.lane.counters().evaluations - before,
        1,
        "fresh, but not changed"
    );
    bench.sample(0, 2.0, 22);
    bench.lane.tick(ms(22));
    assert_eq!(
        bench.lane.counters().evaluations - before,
        3,
        "two depend on the vibration"
    );
}

#[test]
fn h_57_an_output_that_does_not_confirm_is_latched_and_not_released_before_it_does() {
    let mut bench = Bench::armed();
    bench.fail(1, ms(20));
    assert_eq!(
        bench.lane.permits(),
        [Permit::Granted, Permit::Withheld],
        "at once, not at the next tick"
    );
    assert_eq!(bench.first_out(1), Some(LatchCause::OutputFault));
    assert_eq!(
        bench.reset(ms(21)),
        Err(ResetRefusal::OutputNotConfirmed { output: 1 })
    );
    bench.confirm(1, ms(22));
    assert_eq!(bench.reset(ms(22)), Ok(()));
    // A latched output that fails to confirm again needs its proof again.
    bench.lane.trip(ms(30));
    bench.prove_safe(31);
    bench.fail(0, ms(32));
    assert_eq!(
        bench.reset(ms(33)),
        Err(ResetRefusal::OutputNotConfirmed { output: 0 })
    );
}

#[test]
fn a_shutdown_is_final() {
    let mut bench = Bench::armed();
    bench.lane.shut_down(ms(20));
    bench.lane.tick(ms(20));
    assert_eq!(bench.lane.permits(), [Permit::Withheld; 2], "H-83");
    assert!(!bench.lane.all_proved_safe());
    bench.prove_safe(21);
    assert!(bench.lane.all_proved_safe());
    assert_eq!(bench.reset(ms(22)), Err(ResetRefusal::ShuttingDown));
}

#[test]
fn a_window_makes_its_rule_wait_at_start_and_trip_over_a_gap() {
    let mut plan = plan();
    plan.windows = vec![WindowPlan {
        function: WindowFunction::Avg,
        tag: TagId(0),
        span: DurNs::from_ms(50),
        capacity: 64,
    }];
    plan.rules = vec![rule("average_high", above(2, 7.1), &[0], 0)];
    let mut bench = Bench::new(&plan);
    for at in (10..60).step_by(10) {
        bench.sample(0, 5.0, at);
        bench.lane.tick(ms(at));
        assert_eq!(bench.lane.rule(0).unwrap().0, RuleState::Waiting, "{at} ms");
    }
    bench.sample(0, 5.0, 60);
    bench.lane.tick(ms(60));
    assert_eq!(bench.lane.rule(0).unwrap().0, RuleState::Normal);
    // Silence, then a single sample: not an average.
    bench.lane.tick(ms(161));
    assert_eq!(bench.lane.rule(0).unwrap().1, RuleCause::BadInput);
    bench.sample(0, 5.0, 170);
    bench.lane.tick(ms(170));
    assert_eq!(bench.lane.rule(0).unwrap().0, RuleState::Active, "I6");
    for at in (180..230).step_by(10) {
        bench.sample(0, 5.0, at);
        bench.lane.tick(ms(at));
    }
    assert_eq!(bench.lane.rule(0).unwrap().0, RuleState::Normal);
}

#[test]
fn age_and_quality_decide_as_time_passes_without_a_sample() {
    let mut plan = plan();
    plan.ages = vec![TagId(0)];
    plan.qualities = vec![TagId(0)];
    // age(vibration) > 30 ms, and quality(vibration) >= bad.
    plan.rules = vec![
        rule("old", above(2, 30e6), &[], 0),
        rule("not_ok", above(3, 1.5), &[], 0),
    ];
    let mut bench = Bench::new(&plan);
    bench.sample(0, 5.0, 10);
    bench.lane.tick(ms(10));
    let states = |bench: &Bench| [bench.lane.rule(0).unwrap().0, bench.lane.rule(1).unwrap().0];
    assert_eq!(states(&bench), [RuleState::Normal, RuleState::Normal]);
    bench.lane.tick(ms(40));
    assert_eq!(states(&bench), [RuleState::Normal, RuleState::Normal]);
    bench.lane.tick(ms(41));
    assert_eq!(states(&bench), [RuleState::Active, RuleState::Normal]);
    bench.lane.tick(ms(111));
    assert_eq!(states(&bench), [RuleState::Active, RuleState::Active]);
}

//! Outputs: feedback, escalation, stop categories, trip groups, device watchdogs, foreign masters.

use appliance_lane::{EventKind, LatchCause, ResetRefusal};
use appliance_output::{OutputEvent, Permit};
use drivers_frame::{DurNs, TagId};
use rules_bundle::{FeedbackPlan, LanePlan, StopCategory, WatchdogPlan};

use crate::common::{Bench, above, ms, plan, rule, tag};

const WITHIN: DurNs = DurNs::from_ms(30);

/// The press is watched by tag 2, which is true while its contactor is closed; the pump is what is stopped when the
/// press does not prove its stop.
fn watched() -> LanePlan {
    let mut plan = plan();
    plan.tags.push(tag("closed", 100));
    for tag in &mut plan.tags {
        tag.stale_after = DurNs::from_ms(10_000);
    }
    plan.rules = vec![rule("vibration", above(0, 7.1), &[0], 0)];
    plan.outputs[0].feedback = Some(FeedbackPlan {
        tag: TagId(2),
        safe: false,
        within: WITHIN,
    });
    plan.outputs[0].escalate_to = Some(1);
    plan
}

/// Armed and running: the contactor was open while the machine stood, and closed when it was permitted.
fn running() -> Bench {
    let mut bench = Bench::new(&watched());
    for tag in [0, 1] {
        bench.sample(tag, 1.0, 0);
    }
    bench.sample(2, 0.0, 0);
    bench.lane.tick(ms(0));
    bench.prove_safe(0);
    bench.reset(ms(0)).unwrap();
    bench.lane.tick(ms(110));
    bench.sample(2, 1.0, 120);
    bench.lane.tick(ms(120));
    bench.lane.tick(ms(200));
    assert_eq!(bench.lane.permits(), [Permit::Granted; 2]);
    bench.lane.clear_events();
    bench
}

fn kinds(bench: &Bench) -> Vec<EventKind> {
    bench.lane.events().iter().map(|event| event.kind).collect()
}

#[test]
fn a_stop_is_proved_when_echo_and_feedback_agree() {
    let mut bench = running();
    bench.sample(0, 9.0, 210);
    bench.lane.tick(ms(210));
    bench.confirm(0, ms(212));
    bench.lane.tick(ms(213));
    assert!(
        !bench.lane.proof_of(0).unwrap().proved_safe,
        "the contactor is still closed"
    );
    bench.sample(0, 1.0, 220);
    bench.lane.tick(ms(220));
    assert_eq!(
        bench.reset(ms(220)),
        Err(ResetRefusal::FeedbackNotSafe { output: 0 })
    );
    bench.sample(2, 0.0, 225);
    bench.lane.tick(ms(226));
    assert!(bench.lane.proof_of(0).unwrap().proved_safe);
    assert!(kinds(&bench).contains(&EventKind::StopConfirmed {
        rule: 0,
        latency: DurNs::from_ms(15),
        missed: false
    }));
    assert_eq!(
        bench.lane.permits()[1],
        Permit::Granted,
        "nothing escalated"
    );
}

#[test]
fn h59_a_welded_contactor_is_an_edm_fault_and_stops_the_next_output() {
    let mut bench = running();
    bench.sample(0, 9.0, 210);
    bench.lane.tick(ms(210));
    bench.confirm(0, ms(212));
    assert_eq!(bench.lane.next_due(), ms(240).after(DurNs::from_ns(1)));
    bench.lane.tick(ms(241));
    assert!(
        kinds(&bench).contains(&EventKind::EdmFault { output: 0 }),
        "H-59"
    );
    assert_eq!(
        bench.lane.permits()[1],
        Permit::Granted,
        "echo and feedback have their time"
    );
    // confirm_within 50 ms and feedback within 30 ms.
    bench.lane.tick(ms(291));
    assert!(kinds(&bench).contains(&EventKind::Escalated { output: 0, to: 1 }));
    assert_eq!(bench.lane.permits(), [Permit::Withheld; 2]);
    assert_eq!(bench.first_out(1), Some(LatchCause::Escalated { from: 0 }));
}

#[test]
fn h57_a_stop_that_nobody_echoes_escalates() {
    let mut bench = running();
    bench.sample(2, 1.0, 209);
    bench.sample(0, 9.0, 210);
    bench.lane.tick(ms(210));
    bench.fail(0, ms(215));
    bench.sample(2, 0.0, 216);
    bench.lane.tick(ms(290));
    assert_eq!(bench.lane.permits()[1], Permit::Granted);
    bench.lane.tick(ms(291));
    assert_eq!(
        bench.lane.permits()[1],
        Permit::Withheld,
        "H-57: second path"
    );
}

#[test]
fn h59_a_contactor_that_opens_by_itself_trips() {
    let mut bench = running();
    bench.sample(2, 0.0, 210);
    bench.lane.tick(ms(210));
    assert_eq!(bench.first_out(0), Some(LatchCause::Feedback { output: 0 }));
    let mut bench = running();
    bench.bad_sample(2, 210);
    bench.lane.tick(ms(210));
    assert_eq!(
        bench.first_out(0),
        Some(LatchCause::Feedback { output: 0 }),
        "I6: a bad feedback proves nothing"
    );
}

#[test]
fn h60_another_master_that_writes_trips_and_its_value_is_no_proof() {
    let mut bench = running();
    bench
        .lane
        .output_event(1, OutputEvent::Overwritten { at: ms(210) });
    assert_eq!(
        bench.first_out(1),
        Some(LatchCause::Overwritten { output: 1 }),
        "H-60"
    );
    assert_eq!(bench.lane.permits()[1], Permit::Withheld);
    bench.confirm(1, ms(211));
    bench
        .lane
        .output_event(1, OutputEvent::Overwritten { at: ms(215) });
    bench.lane.tick(ms(216));
    assert_eq!(
        bench.reset(ms(216)),
        Err(ResetRefusal::OutputNotConfirmed { output: 1 }),
        "H-60: LOCK"
    );
    bench.confirm(1, ms(400));
    bench.lane.tick(ms(400));
    assert_eq!(bench.reset(ms(400)), Ok(()));
}

#[test]
fn h64_without_its_device_watchdog_an_output_is_not_armed() {
    let mut plan = plan();
    plan.outputs[1].watchdog = Some(WatchdogPlan {
        profile: "generic".into(),
        time: DurNs::from_ms(500),
        arm: vec![],
        expect: vec![],
        check_every: DurNs::from_ms(1_000),
    });
    let mut bench = Bench::new(&plan);
    for tag in [0, 1] {
        bench.sample(tag, 1.0, 0);
    }
    bench.lane.tick(ms(0));
    bench.prove_safe(0);
    assert_eq!(
        bench.reset(ms(1)),
        Err(ResetRefusal::DeviceWatchdogNotArmed { output: 1 }),
        "H-64"
    );
    let watchdog = |armed, at| OutputEvent::Watchdog { armed, at: ms(at) };
    bench.lane.output_event(1, watchdog(true, 2));
    assert_eq!(bench.reset(ms(3)), Ok(()));
    bench.lane.tick(ms(4));
    assert_eq!(bench.lane.permits(), [Permit::Granted; 2]);
    bench.lane.output_event(1, watchdog(false, 5));
    assert_eq!(
        bench.lane.permits(),
        [Permit::Granted, Permit::Withheld],
        "H-64: lapsed"
    );
    assert_eq!(
        bench.first_out(1),
        Some(LatchCause::DeviceWatchdog { output: 1 })
    );
}

#[test]
fn outputs_of_a_group_are_latched_and_released_together_with_one_first_out() {
    let mut plan = plan();
    plan.outputs[1].group = 0;
    plan.rules = vec![rule("vibration", above(0, 7.1), &[0], 0)];
    let mut bench = Bench::armed_with(&plan);
    bench.sample(0, 9.0, 20);
    bench.lane.tick(ms(20));
    assert_eq!(bench.lane.permits(), [Permit::Withheld; 2]);
    assert_eq!(bench.first_out(0), bench.first_out(1));
    bench.confirm(0, ms(22));
    assert!(
        !kinds(&bench)
            .iter()
            .any(|kind| matches!(kind, EventKind::StopConfirmed { .. }))
    );
    bench.confirm(1, ms(25));
    assert!(kinds(&bench).contains(&EventKind::StopConfirmed {
        rule: 0,
        latency: DurNs::from_ms(5),
        missed: false
    }));
}

/// Output 1 is the power; output 0 asks for the controlled stop.
fn category_one() -> LanePlan {
    let mut plan = plan();
    plan.outputs[1].group = 0;
    plan.outputs[1].stop = StopCategory::One {
        controlled_by: 0,
        power_off_after: DurNs::from_ms(40),
    };
    plan.rules = vec![rule("vibration", above(0, 7.1), &[0], 0)];
    plan
}

#[test]
fn a_category_1_stop_removes_the_power_after_its_time() {
    let mut bench = Bench::armed_with(&category_one());
    bench.sample(0, 9.0, 20);
    bench.lane.tick(ms(20));
    assert_eq!(bench.lane.permits(), [Permit::Withheld, Permit::Granted]);
    bench.confirm(0, ms(21));
    assert_eq!(bench.lane.next_due(), ms(60));
    bench.lane.tick(ms(59));
    assert_eq!(bench.lane.permits(), [Permit::Withheld, Permit::Granted]);
    assert_eq!(
        bench.reset(ms(59)),
        Err(ResetRefusal::RuleNotClear { rule: 0 })
    );
    bench.lane.tick(ms(60));
    assert_eq!(
        bench.lane.permits(),
        [Permit::Withheld; 2],
        "I2: from here on never again"
    );
    for at in 61..90 {
        bench.lane.tick(ms(at));
        assert_eq!(bench.lane.permits(), [Permit::Withheld; 2], "I2");
    }
}

#[test]
fn a_controlled_stop_that_fails_removes_the_power_at_once() {
    let mut bench = Bench::armed_with(&category_one());
    bench.sample(0, 9.0, 20);
    bench.lane.tick(ms(20));
    bench.fail(0, ms(25));
    bench.lane.tick(ms(25));
    assert_eq!(bench.lane.permits(), [Permit::Withheld; 2]);
}

#[test]
fn i9_at_boot_a_category_1_output_is_withheld_like_every_other() {
    let mut bench = Bench::new(&category_one());
    bench.lane.tick(ms(0));
    assert_eq!(bench.lane.permits(), [Permit::Withheld; 2], "I9");
}

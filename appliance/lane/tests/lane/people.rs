//! What people do: press and release, bypass, hold.

use appliance_lane::{
    BypassRefusal, EXPECTED_SIGNATURE, EventKind, Hold, LatchCause, Point, ResetRefusal, RuleCause,
};
use appliance_output::Permit;
use drivers_frame::{DurNs, TagId};
use rules_bundle::{LanePlan, OnBad, ResetButtonPlan, VotingPlan};

use crate::common::{Bench, above, early, ms, plan, rule, tag};

fn redundant() -> LanePlan {
    let mut plan = plan();
    plan.votings = vec![VotingPlan {
        name: "pair".into(),
        channels: vec![TagId(0), TagId(1)],
        need: 1,
        on_bad: OnBad::Trip,
        skew: None,
        deviation: None,
        bypass_at_most: Some(DurNs::from_ms(60)),
    }];
    let mut danger = rule("hot", above(0, 90.0), &[0], 0);
    danger.programs = vec![above(0, 90.0), above(1, 90.0)];
    danger.voting = Some(0);
    let mut single = rule("fast", above(0, 50.0), &[1], 0);
    single.bypass_at_most = Some(DurNs::from_ms(60));
    plan.rules = vec![danger, single];
    for tag in &mut plan.tags {
        tag.stale_after = DurNs::from_ms(10_000);
    }
    plan
}

const A: Point = Point::Channel {
    voting: 0,
    channel: 0,
};
const B: Point = Point::Channel {
    voting: 0,
    channel: 1,
};

#[test]
fn h54_a_reset_must_be_pressed_held_and_released_by_one_hand() {
    let mut bench = Bench::armed_with(&redundant());
    bench.lane.trip(ms(20));
    bench.prove_safe(21);
    assert_eq!(
        bench.lane.release_reset(1, ms(30)),
        Err(ResetRefusal::NotPressed)
    );
    bench.lane.press_reset(1, ms(30)).unwrap();
    assert_eq!(
        bench.lane.press_reset(2, ms(31)),
        Err(ResetRefusal::WrongHand)
    );
    assert_eq!(
        bench.lane.release_reset(1, ms(129)),
        Err(ResetRefusal::TooShort)
    );
    bench.lane.press_reset(1, ms(200)).unwrap();
    assert_eq!(
        bench.lane.release_reset(9, ms(400)),
        Err(ResetRefusal::WrongHand)
    );
    bench.lane.press_reset(1, ms(500)).unwrap();
    bench.lane.tick(ms(5_501));
    assert_eq!(
        bench.lane.release_reset(1, ms(5_502)),
        Err(ResetRefusal::NotPressed),
        "H-54: held"
    );
    bench.lane.press_reset(1, ms(6_000)).unwrap();
    bench.lane.trip(ms(6_050));
    assert_eq!(
        bench.lane.release_reset(1, ms(6_100)),
        Err(ResetRefusal::NotPressed),
        "H-53: a new demand"
    );
    bench.lane.press_reset(1, ms(7_000)).unwrap();
    assert_eq!(bench.lane.release_reset(1, ms(7_100)), Ok(()));
    assert_eq!(
        bench.lane.permits(),
        [Permit::Withheld; 2],
        "it starts nothing before the next tick"
    );
    bench.lane.tick(ms(7_101));
    assert_eq!(bench.lane.permits(), [Permit::Granted; 2]);
    assert_eq!(
        bench.lane.release_reset(1, ms(7_200)),
        Err(ResetRefusal::NothingLatched),
        "H-54: replayed"
    );
}

#[test]
fn i3_a_release_that_waited_while_the_lane_was_held_up_sees_what_went_stale_meanwhile() {
    let mut bench = Bench::armed();
    bench.lane.trip(ms(20));
    bench.lane.tick(ms(20));
    bench.prove_safe(21);
    bench.lane.tick(ms(21));
    bench.lane.press_reset(7, ms(22)).unwrap();
    // The lane's thread does not run; both tags are older than they may be when it does again.
    assert!(
        matches!(
            bench.lane.release_reset(7, ms(1_000)),
            Err(ResetRefusal::RuleNotClear { .. })
        ),
        "I3, I4"
    );
    bench.lane.tick(ms(1_000));
    assert!(bench.lane.latch_of(0).is_some());
}

#[test]
fn h54_the_reset_button_acts_on_its_release_and_never_when_it_is_stuck() {
    let mut plan = redundant();
    plan.tags.push(tag("button", 10_000));
    plan.reset_button = Some(ResetButtonPlan { tag: TagId(2) });
    // Down from the start, for ever.
    let mut bench = Bench::new(&plan);
    for at in [0, 500, 1_000, 9_000] {
        for tag in [0, 1] {
            bench.sample(tag, 1.0, at);
        }
        bench.sample(2, 1.0, at);
        bench.lane.tick(ms(at));
        bench.prove_safe(at);
    }
    assert_eq!(bench.lane.permits(), [Permit::Withheld; 2], "H-54: stuck");
    // Seen up, pressed, released.
    for (down, at) in [(0.0, 9_100), (1.0, 9_200), (0.0, 9_500)] {
        bench.sample(2, down, at);
        bench.lane.tick(ms(at));
    }
    bench.lane.tick(ms(9_501));
    assert_eq!(bench.lane.permits(), [Permit::Granted; 2]);
    let pressed = EventKind::ResetPressed { button: true };
    assert!(
        bench
            .lane
            .events()
            .iter()
            .any(|event| event.kind == pressed)
    );
    // Too short: contact bounce.
    bench.lane.trip(ms(9_600));
    bench.prove_safe(9_601);
    for (down, at) in [(1.0, 9_700), (0.0, 9_750)] {
        bench.sample(2, down, at);
        bench.lane.tick(ms(at));
    }
    bench.lane.tick(ms(9_751));
    assert_eq!(bench.lane.permits(), [Permit::Withheld; 2]);
}

#[test]
fn h56_one_channel_of_a_voting_can_be_bypassed_and_not_two() {
    let mut bench = Bench::armed_with(&redundant());
    let minute = DurNs::from_ms(60);
    assert_eq!(bench.lane.bypass(A, minute, ms(20)), Ok(()));
    assert_eq!(
        bench.lane.bypass(B, minute, ms(21)),
        Err(BypassRefusal::GroupTaken { by: A }),
        "H-56"
    );
    bench.bad_sample(0, 22);
    bench.lane.tick(ms(22));
    assert_eq!(
        bench.lane.permits()[0],
        Permit::Granted,
        "its vote is withheld"
    );
    assert_eq!(bench.lane.voting_now(0), Some((1, 1)));
    bench.sample(1, 95.0, 23);
    bench.lane.tick(ms(23));
    assert_eq!(
        bench.lane.permits()[0],
        Permit::Withheld,
        "the other still trips"
    );
}

#[test]
fn h55_a_bypass_ends_by_itself_and_its_channel_counts_at_once() {
    let mut bench = Bench::armed_with(&redundant());
    bench.lane.bypass(A, DurNs::from_ms(60), ms(20)).unwrap();
    assert_eq!(bench.lane.next_due(), ms(80));
    bench.sample(0, 95.0, 30);
    bench.lane.tick(ms(30));
    assert_eq!(bench.lane.permits()[0], Permit::Granted);
    bench.lane.tick(ms(79));
    assert_eq!(bench.lane.permits()[0], Permit::Granted);
    bench.lane.tick(ms(80));
    assert_eq!(bench.lane.permits()[0], Permit::Withheld, "H-55");
    let ended = EventKind::BypassEnded {
        point: A,
        expired: true,
    };
    assert!(bench.lane.events().iter().any(|event| event.kind == ended));
}

#[test]
fn a_bypassed_rule_says_so_and_only_where_the_pack_allows_it() {
    let mut bench = Bench::armed_with(&redundant());
    let span = DurNs::from_ms(60);
    assert_eq!(
        bench.lane.bypass(Point::Rule(0), span, ms(20)),
        Err(BypassRefusal::NotAllowed),
        "by channel"
    );
    assert_eq!(
        bench.lane.bypass(Point::Rule(9), span, ms(20)),
        Err(BypassRefusal::NoSuchPoint)
    );
    assert_eq!(
        bench
            .lane
            .bypass(Point::Rule(1), DurNs::from_ms(61), ms(20)),
        Err(BypassRefusal::TooLong { at_most: span })
    );
    bench.lane.bypass(Point::Rule(1), span, ms(20)).unwrap();
    bench.sample(0, 60.0, 21);
    bench.lane.tick(ms(21));
    assert_eq!(bench.lane.permits()[1], Permit::Granted);
    assert_eq!(bench.lane.rule(1).unwrap().1, RuleCause::Bypassed);
    assert!(bench.lane.end_bypass(Point::Rule(1), ms(22)));
    assert!(!bench.lane.end_bypass(Point::Rule(1), ms(22)));
    bench.lane.tick(ms(22));
    assert_eq!(bench.lane.permits()[1], Permit::Withheld);
}

#[test]
fn a_hold_stops_everything_and_stands_against_a_reset_until_it_is_lifted() {
    for (hold, liftable) in [
        (Hold::HostTooSlow, true),
        (Hold::CrashLoop, true),
        (Hold::Watchdog, false),
        (Hold::Memory, false),
    ] {
        let mut bench = Bench::armed_with(&redundant());
        bench.lane.hold(hold, ms(20));
        assert_eq!(bench.lane.permits(), [Permit::Withheld; 2], "at once");
        assert_eq!(bench.first_out(0), Some(LatchCause::Held(hold)));
        bench.lane.tick(ms(20));
        bench.prove_safe(21);
        assert_eq!(bench.reset(ms(22)), Err(ResetRefusal::Held(hold)));
        assert_eq!(bench.lane.lift(hold, ms(30)), liftable);
        assert_eq!(bench.reset(ms(31)).is_ok(), liftable);
    }
}

#[test]
fn h32_every_tick_leaves_the_signature_of_all_its_stages() {
    let mut bench = Bench::new(&redundant());
    let before = bench.lane.checkpoint();
    assert_ne!(before.signature, EXPECTED_SIGNATURE, "no tick yet");
    for at in 1..50 {
        bench.lane.tick(early(50 - at));
        let checkpoint = bench.lane.checkpoint();
        assert_eq!(
            (checkpoint.tick, checkpoint.signature),
            (at, EXPECTED_SIGNATURE)
        );
    }
}

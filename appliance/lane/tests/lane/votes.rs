//! Redundant channels: voting, skew, deviation, reintegration, debounce, permissions from outside.

use appliance_lane::{EventKind, LatchCause, ResetRefusal, RuleCause, RuleState};
use appliance_output::Permit;
use drivers_frame::{Cause, DurNs, TagId};
use rules_bundle::{
    Debounce, DeviationPlan, Enable, LanePlan, Multiplier, OnBad, Reintegration, VotingPlan,
};

use crate::common::{Bench, above, ms, plan, rule, tag};

/// Three temperatures, 2oo3, one output.
fn redundant() -> LanePlan {
    let mut plan = plan();
    plan.tags = vec![tag("a", 100), tag("b", 100), tag("c", 100)];
    plan.votings = vec![VotingPlan {
        name: "temps".into(),
        channels: vec![TagId(0), TagId(1), TagId(2)],
        need: 2,
        on_bad: OnBad::Trip,
        skew: None,
        deviation: None,
        bypass_at_most: Some(DurNs::from_ms(60_000)),
    }];
    let mut danger = rule("hot", above(0, 90.0), &[0], 0);
    danger.programs = (0..3).map(|slot| above(slot, 90.0)).collect();
    danger.voting = Some(0);
    plan.rules = vec![danger];
    plan
}

#[test]
fn two_of_three_trip_and_one_does_not() {
    let mut bench = Bench::armed_with(&redundant());
    bench.sample(0, 95.0, 20);
    bench.lane.tick(ms(20));
    assert_eq!(bench.lane.permits()[0], Permit::Granted);
    bench.sample(2, 95.0, 21);
    bench.lane.tick(ms(21));
    assert_eq!(bench.lane.permits(), [Permit::Withheld, Permit::Granted]);
    assert_eq!(
        bench.first_out(0),
        Some(LatchCause::Rule {
            rule: 0,
            cause: RuleCause::Condition
        })
    );
}

#[test]
fn h49_a_bad_channel_makes_it_one_of_two_and_a_second_trips() {
    let mut bench = Bench::armed_with(&redundant());
    bench.bad_sample(1, 20);
    bench.lane.tick(ms(20));
    assert_eq!(bench.lane.permits()[0], Permit::Granted, "H-49: 1oo2 now");
    assert_eq!(bench.lane.voting_now(0), Some((1, 2)));
    bench.sample(0, 95.0, 21);
    bench.lane.tick(ms(21));
    assert_eq!(bench.lane.permits()[0], Permit::Withheld, "H-49");
    let mut bench = Bench::armed_with(&redundant());
    for channel in [0, 1] {
        bench.bad_sample(channel, 20);
    }
    bench.lane.tick(ms(20));
    assert_eq!(
        bench.lane.permits()[0],
        Permit::Withheld,
        "a second bad channel"
    );
    assert_eq!(bench.lane.rule(0).unwrap().1, RuleCause::BadInput, "I6");
}

#[test]
fn what_is_excluded_in_so_many_words_is_left_out() {
    let mut plan = redundant();
    plan.votings[0].on_bad = OnBad::Exclude;
    let mut bench = Bench::armed_with(&plan);
    bench.bad_sample(1, 20);
    bench.sample(0, 95.0, 20);
    bench.lane.tick(ms(20));
    assert_eq!(bench.lane.permits()[0], Permit::Granted, "2oo2 now");
    assert_eq!(bench.lane.voting_now(0), Some((2, 2)));
    bench.sample(2, 95.0, 21);
    bench.lane.tick(ms(21));
    assert_eq!(bench.lane.permits()[0], Permit::Withheld);
}

#[test]
fn i3_a_bad_channel_stands_against_a_reset_though_it_is_outvoted() {
    let mut bench = Bench::armed_with(&redundant());
    bench.bad_sample(1, 20);
    bench.lane.tick(ms(20));
    bench.lane.trip(ms(21));
    bench.prove_safe(22);
    assert_eq!(
        bench.reset(ms(23)),
        Err(ResetRefusal::BadChannel {
            voting: 0,
            channel: 1
        })
    );
    bench.sample(1, 1.0, 30);
    bench.lane.tick(ms(30));
    assert_eq!(bench.reset(ms(30)), Ok(()));
}

#[test]
fn h51_a_channel_whose_sample_lags_behind_votes_to_trip() {
    let mut plan = redundant();
    plan.votings[0].skew = Some(DurNs::from_ms(50));
    let mut bench = Bench::armed_with(&plan);
    for at in [40, 61] {
        bench.sample(1, 1.0, at);
        bench.sample(2, 1.0, at);
        bench.lane.tick(ms(at));
    }
    assert_eq!(bench.lane.channel(0, 0).unwrap().cause, Cause::Skew, "H-51");
    let told = bench.lane.events().iter().any(|event| {
        event.kind
            == EventKind::Channel {
                voting: 0,
                channel: 0,
                cause: Cause::Skew,
            }
    });
    assert!(told);
    bench.sample(1, 95.0, 62);
    bench.lane.tick(ms(62));
    assert_eq!(bench.lane.permits()[0], Permit::Withheld, "1oo2");
}

#[test]
fn h03_a_channel_that_drifts_is_told_and_then_votes_to_trip() {
    let mut plan = redundant();
    plan.votings[0].deviation = Some(DeviationPlan {
        alert: Some(3.0),
        bad: 8.0,
        lasting: DurNs::from_ms(30),
    });
    let mut bench = Bench::armed_with(&plan);
    for tag in [0, 1] {
        bench.sample(tag, 1.0, 20);
    }
    bench.sample(2, 20.0, 20);
    bench.lane.tick(ms(20));
    assert_eq!(bench.lane.next_due(), ms(50));
    assert_eq!(bench.lane.channel(0, 2).unwrap().cause, Cause::None);
    bench.lane.tick(ms(50));
    assert_eq!(
        bench.lane.channel(0, 2).unwrap().cause,
        Cause::Deviation,
        "H-3"
    );
    assert_eq!(bench.lane.permits()[0], Permit::Granted);
    bench.sample(0, 95.0, 51);
    bench.lane.tick(ms(51));
    assert_eq!(bench.lane.permits()[0], Permit::Withheld);
}

#[test]
fn a_channel_that_must_be_acknowledged_votes_to_trip_until_it_is() {
    let mut plan = redundant();
    for tag in &mut plan.tags {
        tag.reintegration = Reintegration::Acknowledge;
    }
    let mut bench = Bench::armed_with(&plan);
    bench.bad_sample(1, 20);
    bench.sample(1, 1.0, 30);
    bench.lane.tick(ms(30));
    assert_eq!(bench.lane.channel(0, 1).unwrap().cause, Cause::Passivated);
    assert!(bench.lane.awaits_acknowledgement(TagId(1)));
    assert_eq!(
        bench.lane.acknowledge(Some(TagId(0))),
        0,
        "it was never bad"
    );
    assert_eq!(bench.lane.acknowledge(None), 1);
    bench.sample(1, 1.0, 40);
    bench.lane.tick(ms(40));
    assert_eq!(bench.lane.channel(0, 1).unwrap().cause, Cause::None);
    let kinds: Vec<_> = bench.lane.events().iter().map(|event| event.kind).collect();
    for expected in [
        EventKind::Passivated {
            tag: TagId(1),
            cause: Cause::NotFinite,
        },
        EventKind::AwaitsAcknowledgement { tag: TagId(1) },
        EventKind::Reintegrated { tag: TagId(1) },
    ] {
        assert!(kinds.contains(&expected), "{expected:?} in {kinds:?}");
    }
}

#[test]
fn a_vote_waits_at_start_for_all_its_channels_but_not_to_trip() {
    let mut bench = Bench::new(&redundant());
    bench.sample(0, 1.0, 0);
    bench.sample(1, 1.0, 0);
    bench.lane.tick(ms(0));
    // The start was a second ago: the third has not arrived in its 100 ms.
    assert_eq!(bench.lane.rule(0).unwrap().0, RuleState::Normal);
    assert!(matches!(
        bench.reset(ms(0)),
        Err(ResetRefusal::BadChannel { .. })
    ));
    let mut plan = redundant();
    for tag in &mut plan.tags {
        tag.stale_after = DurNs::from_ms(5_000);
    }
    let mut bench = Bench::new(&plan);
    bench.sample(0, 1.0, 0);
    bench.sample(1, 1.0, 0);
    bench.lane.tick(ms(0));
    assert_eq!(bench.lane.rule(0).unwrap().0, RuleState::Waiting);
    bench.sample(0, 95.0, 1);
    bench.sample(1, 95.0, 1);
    bench.lane.tick(ms(1));
    assert_eq!(bench.lane.rule(0).unwrap().0, RuleState::Active);
}

#[test]
fn h04_debounce_counts_samples_and_not_changes() {
    let mut plan = redundant();
    plan.votings.clear();
    plan.rules = vec![rule("hot", above(0, 90.0), &[0], 0)];
    plan.rules[0].debounce = Some(Debounce {
        need: 3,
        of: 4,
        within: DurNs::from_ms(80),
    });
    let mut bench = Bench::armed_with(&plan);
    for at in [20, 30] {
        bench.sample(0, 95.0, at);
        bench.lane.tick(ms(at));
        assert_eq!(bench.lane.permits()[0], Permit::Granted, "H-4: at {at} ms");
    }
    bench.sample(0, 95.0, 40);
    bench.lane.tick(ms(40));
    assert_eq!(
        bench.lane.permits()[0],
        Permit::Withheld,
        "the same value thrice is three samples"
    );
    let mut bench = Bench::armed_with(&plan);
    bench.sample(0, 95.0, 20);
    bench.lane.tick(ms(20));
    assert_eq!(bench.lane.next_due(), ms(100), "the cap");
    for tag in [1, 2] {
        bench.sample(tag, 1.0, 60);
    }
    bench.lane.tick(ms(100));
    assert_eq!(
        bench.lane.permits()[0],
        Permit::Withheld,
        "H-4: still true at the cap"
    );
}

/// A rule with a multiplier and an inhibit that tag 1 and tag 2 enable for at most 50 ms.
fn permitted() -> LanePlan {
    let mut plan = redundant();
    plan.votings.clear();
    let mut danger = rule("hot", above(0, 90.0), &[0], 0);
    danger.raised = vec![above(0, 180.0)];
    let enable = |tag| Enable {
        tag: TagId(tag),
        at_most: DurNs::from_ms(50),
    };
    danger.multiplier = Some(Multiplier {
        factor: 2.0,
        enable: enable(1),
    });
    danger.inhibit = Some(enable(2));
    plan.rules = vec![danger];
    for tag in &mut plan.tags {
        tag.stale_after = DurNs::from_ms(5_000);
    }
    plan
}

/// The bench arms with 1.0 everywhere, which enables both at 10 ms before: end that.
fn ready() -> Bench {
    let mut bench = Bench::armed_with(&permitted());
    for tag in [1, 2] {
        bench.sample(tag, 0.0, 11);
    }
    bench.lane.tick(ms(11));
    bench.lane.clear_events();
    bench
}

#[test]
fn a_multiplier_raises_the_setpoint_for_its_time_and_says_so() {
    let mut bench = ready();
    bench.sample(1, 1.0, 20);
    bench.sample(0, 95.0, 21);
    bench.lane.tick(ms(21));
    assert_eq!(bench.lane.permits()[0], Permit::Granted);
    assert_eq!(bench.lane.permissions(0), (true, false));
    assert_eq!(
        bench.lane.events()[0].kind,
        EventKind::Multiplier { rule: 0, on: true }
    );
    assert_eq!(bench.lane.next_due(), ms(70));
    bench.lane.tick(ms(69));
    assert_eq!(bench.lane.permits()[0], Permit::Granted);
    bench.lane.tick(ms(70));
    assert_eq!(
        bench.lane.permits()[0],
        Permit::Withheld,
        "its time is over"
    );
    let mut bench = ready();
    bench.sample(1, 1.0, 20);
    bench.sample(0, 195.0, 21);
    bench.lane.tick(ms(21));
    assert_eq!(
        bench.lane.permits()[0],
        Permit::Withheld,
        "raised, not removed"
    );
}

#[test]
fn an_inhibit_suppresses_a_true_condition_and_never_a_bad_input() {
    let mut bench = ready();
    bench.sample(2, 1.0, 20);
    bench.sample(0, 95.0, 21);
    bench.lane.tick(ms(21));
    assert_eq!(bench.lane.permits()[0], Permit::Granted);
    assert_eq!(bench.lane.rule(0).unwrap().1, RuleCause::Inhibited);
    bench.lane.tick(ms(70));
    assert_eq!(
        bench.lane.permits()[0],
        Permit::Withheld,
        "its time is over"
    );
    let mut bench = ready();
    bench.sample(2, 1.0, 20);
    bench.bad_sample(0, 21);
    bench.lane.tick(ms(21));
    assert_eq!(bench.lane.permits()[0], Permit::Withheld, "I6");
    let mut bench = ready();
    bench.sample(2, 1.0, 20);
    bench.sample(0, 95.0, 21);
    bench.lane.tick(ms(21));
    bench.bad_sample(2, 22);
    bench.lane.tick(ms(22));
    assert_eq!(
        bench.lane.permits()[0],
        Permit::Withheld,
        "a bad enabling tag enables nothing"
    );
}

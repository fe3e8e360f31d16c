//! What an analyzer derives is as old as what it was derived from.

use super::*;

#[test]
fn i4_what_is_derived_from_a_waveform_that_does_not_come_goes_stale_however_alive_its_inputs_are() {
    for trigger in [Trigger::News, Trigger::Every(DurNs::from_ms(20))] {
        let mut analyzer = analyzer(RMS, &[SPEED]);
        analyzer.trigger = trigger;
        let mut bench = Bench::armed(&with_waveform(analyzer));
        for at in (20..=210).step_by(10) {
            bench.news(at);
        }
        assert_eq!(bench.calls(), [], "{trigger:?}: without a block, no call");
        assert_eq!(bench.tag(RMS).0, Quality::Good, "exactly stale_after");
        bench.news(211);
        for tag in [RMS, VERDICT, CAUSE] {
            assert_eq!(bench.tag(tag).0, Quality::Stale, "I4: {trigger:?}");
        }
        assert_eq!(bench.lane.permits(), [Permit::Withheld; 2], "I4");
    }
}

#[test]
fn a_tick_that_is_late_does_not_make_stale_what_it_renews() {
    let mut bench = Bench::armed(&plan_with(vec![analyzer(RMS, &[SPEED])]));
    // Arrived in time, 10 ms before everything is stale; taken 20 ms later.
    bench.sample_at(SPEED, 1.0, ms(200));
    bench.sample_at(1, 1.0, ms(200));
    bench.lane.tick(ms(220));
    assert_eq!(bench.tag(RMS).0, Quality::Good);
    assert_eq!(bench.events(), []);
    assert_eq!(bench.lane.tag(TagId(RMS)).unwrap().at, ms(200));
    assert_eq!(bench.lane.permits(), [Permit::Granted; 2]);
}

#[test]
fn i4_what_is_derived_from_what_came_too_long_ago_does_not_count_in_the_tick_that_derives_it() {
    let chain = vec![analyzer(RMS, &[SPEED]), analyzer(5, &[RMS])];
    let mut bench = Bench::armed(&plan_with(chain));
    // The lane is held up: its inputs went stale 290 ms before the tick that looks at them, and everything derived is stale
    // after 200.
    bench.lane.tick(ms(500));
    for tag in RMS..=7 {
        assert_eq!(bench.tag(tag).0, Quality::Stale, "I4: tag {tag}");
    }
    let calls = bench.calls();
    let second = calls.iter().find(|call| call.analyzer == 1).unwrap();
    assert_eq!(second.inputs[0].quality, Quality::Stale, "I4: in a chain");
}

#[test]
fn i4_what_class_background_says_too_late_is_stale_whatever_else_is_fresh() {
    let mut background = analyzer(RMS, &[SPEED]);
    background.class = AnalyzerClass::Background;
    let mut bench = Bench::new(&plan_with(vec![background]));
    bench.lane.tick(ms(300));
    // Tags with the same `stale_after`: newer ones arrive first.
    bench.sample_at(SPEED, 1.0, ms(500));
    bench.sample_at(1, 1.0, ms(500));
    for tag in [RMS, VERDICT, CAUSE] {
        bench.sample_at(tag, 0.0, ms(290));
    }
    bench.lane.tick(ms(500));
    assert_eq!(bench.tag(SPEED).0, Quality::Good);
    for tag in [RMS, VERDICT, CAUSE] {
        assert_eq!(bench.tag(tag).0, Quality::Stale, "I4: tag {tag}");
    }
}

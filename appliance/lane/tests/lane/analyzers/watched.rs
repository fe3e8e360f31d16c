//! Canaries and comparisons with a clean instance, as the lane judges them.

use super::*;

#[test]
fn h40_a_canary_that_does_not_come_back_in_time_makes_the_analyzer_bad_until_it_does() {
    let canary = CanaryPlan {
        every: DurNs::from_ms(1_000),
        expect: PlanLevel::Danger,
        within: DurNs::from_ms(50),
        frames: 1,
        inputs: vec![1.0],
        block: None,
    };
    let mut analyzer = analyzer(RMS, &[SPEED]);
    analyzer.canary = Some(canary);
    let plan = plan_with(vec![analyzer]);
    let mut bench = Bench::armed(&plan);
    bench.lane.canary_passed(0, ms(10), ms(10));
    assert_eq!(bench.lane.analyzer(0).unwrap().canary, CanaryState::Alive);
    for at in (20..=1_060).step_by(10) {
        bench.sample_at(1, 1.0, ms(at));
        bench.news(at);
    }
    assert_eq!(bench.lane.permits(), [Permit::Granted; 2], "in time");
    bench.lane.tick(ms(1_061));
    assert_eq!(bench.tag(RMS).2, Cause::AnalyzerFailed, "H-40");
    assert_eq!(
        bench.tag(VERDICT),
        (Quality::Good, 2.0, Cause::None),
        "H-40"
    );
    assert_eq!(bench.lane.permits(), [Permit::Withheld; 2], "H-40");
    let analyzer = 0;
    assert_eq!(bench.words(), [EventKind::CanaryMissed { analyzer }]);
    // What it says meanwhile counts for nothing.
    bench.calls();
    bench.news(1_070);
    assert_eq!(bench.tag(RMS).2, Cause::AnalyzerFailed);
    assert_eq!(bench.calls(), []);
    assert_eq!(bench.words(), []);
    bench.lane.canary_passed(0, ms(1_075), ms(1_076));
    assert_eq!(bench.words(), [EventKind::CanaryPassed { analyzer }]);
    bench.news(1_080);
    assert_eq!(bench.tag(RMS).0, Quality::Good);
    // Told by the shell, it counts at once.
    bench.lane.canary_missed(0, ms(1_081));
    assert!(bench.lane.next_due() <= ms(1_081));
    bench.lane.tick(ms(1_081));
    assert_eq!(bench.value(VERDICT), 2.0_f64.to_bits(), "H-40");
}

#[test]
fn h41_a_comparison_that_differs_or_is_late_is_told_and_stops_nothing() {
    let mut safety = analyzer(RMS, &[SPEED]);
    let mut background = analyzer(5, &[RMS]);
    background.class = AnalyzerClass::Background;
    let replay = ReplayPlan {
        every: DurNs::from_ms(1_000),
        within: DurNs::from_ms(50),
        calls: 2,
    };
    safety.replay = Some(replay);
    background.replay = Some(replay);
    let mut bench = Bench::armed(&plan_with(vec![safety, background]));
    let is = |bench: &Bench, analyzer| bench.lane.analyzer(analyzer).unwrap().replay;
    assert_eq!(is(&bench, 0), ReplayState::Waiting);
    bench.words();
    let told = |analyzer, state| EventKind::Replayed { analyzer, state };
    for analyzer in [0, 1] {
        let mut news = |news, at| bench.lane.replayed(analyzer, news, ms(at), ms(at + 10));
        news(ReplayNews::Agrees, 10);
        news(ReplayNews::Agrees, 20);
        assert_eq!(bench.words(), [], "H-41: what everybody expects");
        assert_eq!(is(&bench, analyzer), ReplayState::Agrees);
    }
    for at in (20..=1_070).step_by(10) {
        bench.sample_at(1, 1.0, ms(at));
        bench.news(at);
    }
    assert_eq!(bench.words(), [], "H-41: in time");
    assert!(bench.lane.next_due() <= ms(1_071));
    bench.sample_at(1, 1.0, ms(1_071));
    bench.news(1_071);
    let late = [told(0, ReplayState::Late), told(1, ReplayState::Late)];
    assert_eq!(bench.words(), late, "H-41: no comparison is told, too");
    bench.news(1_080);
    assert_eq!(bench.words(), [], "once");
    bench
        .lane
        .replayed(0, ReplayNews::Differs, ms(1_000), ms(1_081));
    assert_eq!(bench.words(), [told(0, ReplayState::Differs)], "H-41");
    bench
        .lane
        .replayed(0, ReplayNews::Differs, ms(1_000), ms(1_082));
    assert_eq!(bench.words(), [], "once");
    // It is an alarm: what the analyzer says counts as before.
    bench.sample_at(1, 1.0, ms(1_085));
    bench.answer(normal(8.0));
    bench.news(1_090);
    assert_eq!(bench.tag(RMS).0, Quality::Good);
    assert_eq!(bench.lane.permits(), [Permit::Granted; 2]);
    bench.words();
    bench
        .lane
        .replayed(0, ReplayNews::Agrees, ms(1_090), ms(1_091));
    assert_eq!(bench.words(), [told(0, ReplayState::Agrees)], "H-41");
    assert_eq!(is(&bench, 1), ReplayState::Late);
    // One that nobody asked to be compared has no such news.
    let mut bench = Bench::armed(&plan_with(vec![analyzer(RMS, &[SPEED])]));
    bench.words();
    bench.lane.replayed(0, ReplayNews::Differs, ms(10), ms(10));
    assert_eq!((bench.words(), is(&bench, 0)), (vec![], ReplayState::None));
}

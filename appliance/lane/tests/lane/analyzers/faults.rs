//! What becomes of an analyzer that fails: its declared verdict in the same tick, and a spare.

use super::*;

#[test]
fn h35_h36_h38_h39_each_fault_is_the_declared_verdict_in_its_tick_and_a_spare_takes_over() {
    for fault in FAULTS {
        for on_failure in [FailureVerdict::Trip, FailureVerdict::Alarm] {
            let mut plan = plan_with(vec![analyzer(RMS, &[SPEED])]);
            let LinkPlan::Analyzer(analyzer) = &mut plan.devices[1].link else {
                panic!("an analyzer");
            };
            analyzer.on_failure = on_failure;
            let mut bench = Bench::armed(&plan);
            bench.answer(Err(fault));
            bench.news(20);
            let at = format!("{fault:?}, {on_failure:?}");
            let failed = (Quality::Bad, 0.0, Cause::AnalyzerFailed);
            assert_eq!(bench.tag(RMS), failed, "H-38: {at}");
            assert_eq!(bench.tag(CAUSE), failed, "{at}");
            let (verdict, permit) = match on_failure {
                FailureVerdict::Trip => (2.0, Permit::Withheld),
                FailureVerdict::Alarm => (1.0, Permit::Granted),
            };
            assert_eq!(bench.tag(VERDICT), (Quality::Good, verdict, Cause::None));
            // Output 1 is stopped by a rule over a derived value, which is bad: always.
            assert_eq!(bench.lane.permits(), [permit, Permit::Withheld], "I1: {at}");
            let (analyzer, fault) = (0, FrameFault::Module(fault));
            let words = bench.words();
            assert_eq!(words[0], EventKind::AnalyzerFailed { analyzer, fault });
            let FrameFault::Module(module) = fault else {
                panic!("of the module");
            };
            let lost = module.instance_is_lost();
            assert_eq!(
                words.contains(&EventKind::AnalyzerReplaced { analyzer, left: 1 }),
                lost,
                "H-38: {at}"
            );
            // The next frame counts again.
            bench.news(30);
            assert_eq!(bench.tag(RMS), (Quality::Good, 5.0, Cause::None), "{at}");
            assert_eq!(bench.value(VERDICT), 0.0_f64.to_bits(), "{at}");
            let view = bench.lane.analyzer(0).unwrap();
            assert_eq!((view.calls, view.faults), (4, 1), "{at}");
        }
    }
}

#[test]
fn h77_one_that_fails_the_same_way_frame_by_frame_is_told_once_and_counted() {
    let mut bench = Bench::armed(&plan_with(vec![analyzer(RMS, &[SPEED])]));
    bench.script.borrow_mut().spares = Some(100);
    for at in 0..50 {
        bench.answer(Err(AnalyzerFault::NonsenseVerdict(at)));
        bench.news(20 + at);
    }
    let (analyzer, fault) = (0, FrameFault::Module(AnalyzerFault::NonsenseVerdict(0)));
    let left = 99;
    assert_eq!(
        bench.words(),
        [
            EventKind::AnalyzerFailed { analyzer, fault },
            EventKind::AnalyzerReplaced { analyzer, left }
        ],
        "H-77"
    );
    let view = bench.lane.analyzer(0).unwrap();
    assert_eq!((view.faults, view.replaced), (50, 50));
    bench.answer(Err(AnalyzerFault::Deadline));
    bench.news(80);
    assert_eq!(bench.words().len(), 2, "another fault is news");
}

#[test]
fn h38_without_a_spare_every_frame_is_a_failure_until_there_is_one_and_it_is_told_once() {
    let mut bench = Bench::armed(&plan_with(vec![analyzer(RMS, &[SPEED])]));
    bench.script.borrow_mut().spares = Some(0);
    bench.answer(Err(AnalyzerFault::Trap(TrapKind::Other)));
    bench.news(20);
    let (analyzer, fault) = (0, FrameFault::Module(AnalyzerFault::NoSpare));
    let gone = EventKind::AnalyzerFailed { analyzer, fault };
    assert_eq!(bench.words()[1], gone);
    for at in [30, 40, 50] {
        bench.news(at);
        assert_eq!(bench.tag(RMS).2, Cause::AnalyzerFailed, "H-38");
        assert_eq!(bench.tag(VERDICT), (Quality::Good, 2.0, Cause::None));
        assert_eq!(bench.lane.tag(TagId(VERDICT)).unwrap().at, ms(at));
    }
    assert_eq!(bench.words(), []);
    assert_eq!(bench.lane.analyzer(0).unwrap().faults, 4);
    bench.script.borrow_mut().spares = Some(0);
    bench.news(60);
    assert_eq!(bench.tag(RMS).0, Quality::Good);
    assert_eq!(
        bench.words()[0],
        EventKind::AnalyzerReplaced { analyzer, left: 0 }
    );
}

#[test]
fn h39_a_verdict_that_flaps_is_a_failure_and_its_instance_is_replaced() {
    let mut flapping = analyzer(RMS, &[SPEED]);
    flapping.flap = Some(FlapLimit {
        changes: 2,
        within: DurNs::from_ms(100),
    });
    let mut bench = Bench::armed(&plan_with(vec![flapping]));
    for (at, level) in [(20, Level::Alert), (30, Level::Normal), (40, Level::Alert)] {
        bench.answer(Ok((level, 0, vec![good(5.0)])));
        bench.news(at);
    }
    assert_eq!(bench.tag(RMS).2, Cause::AnalyzerFailed, "H-39");
    assert_eq!(bench.value(VERDICT), 2.0_f64.to_bits());
    assert_eq!(bench.script.borrow().replaced, 1);
    let (analyzer, fault) = (0, FrameFault::Flapping);
    let words = bench.words();
    assert!(words.contains(&EventKind::AnalyzerFailed { analyzer, fault }));
    assert!(words.contains(&EventKind::AnalyzerReplaced { analyzer, left: 1 }));
    bench.news(50);
    assert_eq!(bench.tag(RMS).0, Quality::Good);
}

//! Class background: behind the lane, and never in its way.

use super::*;

#[test]
fn class_background_gets_its_frames_behind_the_others_and_a_full_queue_drops_them() {
    let mut background = analyzer(5, &[RMS]);
    background.class = AnalyzerClass::Background;
    let mut bench = Bench::armed(&plan_with(vec![analyzer(RMS, &[SPEED]), background]));
    bench.script.borrow_mut().staged.clear();
    bench.script.borrow_mut().submitted.clear();
    bench.answer(normal(8.0));
    bench.news(20);
    assert_eq!(bench.calls().len(), 1, "only class safety is called");
    {
        let script = bench.script.borrow();
        assert_eq!(script.staged.len(), 1);
        assert_eq!(
            script.staged[0].inputs[0].value.to_bits(),
            17.0_f64.to_bits(),
            "of this very tick"
        );
        assert_eq!(script.submitted, [None]);
    }
    bench.script.borrow_mut().full = true;
    bench.news(30);
    assert_eq!(bench.lane.analyzer(1).unwrap().faults, 1);
    assert_eq!(bench.lane.permits(), [Permit::Granted; 2]);
}

#[test]
fn a_block_moves_to_class_background_after_class_safety_has_seen_it() {
    let use_of = |mut analyzer: AnalyzerPlan| {
        analyzer.waveform = Some(WaveformUse {
            index: WaveformId(0),
            scale: 1.0,
            offset: 0.0,
        });
        analyzer
    };
    let mut background = use_of(analyzer(5, &[]));
    background.class = AnalyzerClass::Background;
    let mut plan = plan_with(vec![use_of(analyzer(RMS, &[])), background]);
    plan.waveforms = vec![waveform(0)];
    let mut bench = Bench::armed(&plan);
    bench.script.borrow_mut().submitted.clear();
    bench.script.borrow_mut().staged.clear();
    bench.block_at(2, ms(20));
    bench.lane.tick(ms(20));
    assert_eq!(bench.calls()[0].block, Some(2));
    assert_eq!(bench.script.borrow().submitted, [Some(2)]);
    assert!(bench.lane.take_block().is_none(), "it has moved on");
    bench.script.borrow_mut().full = true;
    bench.block_at(3, ms(30));
    bench.lane.tick(ms(30));
    assert!(bench.lane.take_block().is_some(), "dropped: given back");
    bench.script.borrow_mut().full = false;
    bench.block_at(4, ms(40));
    bench.lane.tick(ms(40));
    let gaps: Vec<_> = bench
        .script
        .borrow()
        .staged
        .iter()
        .map(|call| call.gap)
        .collect();
    assert_eq!(gaps, [false, false, true], "what was dropped is a gap");
}

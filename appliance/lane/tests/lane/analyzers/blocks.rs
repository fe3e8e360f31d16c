//! Blocks of waveforms: given once, with the gap before them; what cannot be used makes bad.

use super::*;

#[test]
fn h17_a_block_is_given_once_with_the_gap_before_it_and_given_back() {
    let mut bench = Bench::armed(&with_waveform(analyzer(RMS, &[SPEED])));
    for (at, sequence, gap) in [
        (20, 2, false),
        (30, 3, false),
        (40, 5, true),
        (50, 6, false),
    ] {
        bench.block_at(sequence, ms(at));
        bench.lane.tick(ms(at + 3));
        let calls = bench.calls();
        assert_eq!(calls.len(), 1);
        assert_eq!(
            (calls[0].block, calls[0].gap, calls[0].at),
            (Some(sequence), gap, ms(at)),
            "H-17"
        );
        assert_eq!(
            bench.lane.take_block().map(|block| block.head().sequence),
            Some(sequence)
        );
        assert!(bench.lane.take_block().is_none());
    }
    // One that took another's place was never seen: the next has a gap.
    assert!(bench.lane.ingest_block(block(7, ms(60))).is_none());
    assert!(bench.lane.ingest_block(block(8, ms(61))).is_some());
    bench.lane.tick(ms(61));
    let call = bench.calls().remove(0);
    assert_eq!((call.block, call.gap), (Some(8), true), "H-17");
    // No such waveform: given back at once.
    let mut head = *block(9, ms(70)).head();
    head.waveform = WaveformId(4);
    let stray = Block::new(head, vec![0; 8].into_boxed_slice(), 0).unwrap();
    assert!(bench.lane.ingest_block(stray).is_some());
}

#[test]
fn with_a_period_a_waveform_is_looked_at_that_often_at_most_and_the_gap_is_told() {
    let mut analyzer = analyzer(RMS, &[]);
    analyzer.trigger = Trigger::Every(DurNs::from_ms(30));
    let mut bench = Bench::armed(&with_waveform(analyzer));
    let mut given = Vec::new();
    for (sequence, at) in (2_u64..).zip((20..=100).step_by(10)) {
        bench.block_at(sequence, ms(at));
        bench.lane.tick(ms(at));
        given.extend(bench.calls().into_iter().map(|call| (at, call.gap)));
        assert!(bench.lane.take_block().is_some());
    }
    assert_eq!(given, [(40, true), (70, true), (100, true)]);
    assert_eq!(bench.lane.analyzer(0).unwrap().skipped, 6);
}

#[test]
fn h21_a_block_that_cannot_be_used_makes_everything_bad_that_comes_from_it_until_the_next() {
    let mut bench = Bench::armed(&with_waveform(analyzer(RMS, &[SPEED])));
    bench
        .lane
        .bad_block(WaveformId(0), ms(20), Cause::Malformed);
    bench.lane.tick(ms(20));
    for tag in [RMS, VERDICT, CAUSE] {
        let (quality, _, cause) = bench.tag(tag);
        assert_eq!((quality, cause), (Quality::Bad, Cause::Malformed), "H-21");
    }
    assert_eq!(bench.lane.permits(), [Permit::Withheld; 2], "H-21");
    assert_eq!(bench.calls(), []);
    bench.block_at(3, ms(30));
    bench.lane.tick(ms(30));
    assert_eq!(bench.tag(RMS).0, Quality::Good);
    assert!(bench.calls()[0].gap);
}

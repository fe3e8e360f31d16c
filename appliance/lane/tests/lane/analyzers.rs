//! Analyzers in the tick, with an engine that answers what a test wants.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;

use appliance_lane::analyzer::{
    AnalyzerEngine, Call, CanaryState, FrameFault, ReplayNews, ReplayState,
};
use appliance_lane::{EXPECTED_SIGNATURE, EventKind, Lane, LatchCause, RuleCause, RuleEngine};
use appliance_output::{Confirmed, OutputEvent, Permit};
use appliance_sandbox::{AnalyzerFault, CallFault, InputValue, OutputFault, OutputValue, TrapKind};
use drivers_frame::{
    Block, BlockHead, ByteOrder, Cause, DeviceId, DurNs, MonoNs, Quality, Sample, SampleKind,
    SampleLayout, TagId, WaveformId,
};
use rules_bundle::{
    AnalyzerClass, AnalyzerInput, AnalyzerOutput, AnalyzerPlan, CanaryPlan, DevicePlan,
    FailureVerdict, FlapLimit, LanePlan, Level as PlanLevel, LinkPlan, ReplayPlan, Trigger,
    WaveformPlan, WaveformSource, WaveformUse,
};
use rules_expr::ir::{Op, Program, SlotValue};
use rules_sdk_abi::{Level, Verdict};

use crate::common::{above, early, ms, plan, rule, tag};

/// One call as an analyzer saw it.
#[derive(Clone, Debug, PartialEq)]
struct Seen {
    analyzer: usize,
    at: MonoNs,
    gap: bool,
    inputs: Vec<InputValue>,
    block: Option<u64>,
}

type Answer = Result<(Level, u8, Vec<OutputValue>), AnalyzerFault>;

/// What the engine does and saw.
struct Script {
    answers: VecDeque<Answer>,
    always: Answer,
    seen: Vec<Seen>,
    replaced: u32,
    spares: Option<u8>,
    staged: Vec<Seen>,
    submitted: Vec<Option<u64>>,
    kept: Vec<Block>,
    full: bool,
}

#[derive(Clone)]
struct Native(Rc<RefCell<Script>>);

fn good(value: f64) -> OutputValue {
    OutputValue {
        value,
        quality: Quality::Good,
    }
}

fn normal(value: f64) -> Answer {
    Ok((Level::Normal, 0, vec![good(value)]))
}

fn seen(analyzer: usize, call: &Call<'_>) -> Seen {
    Seen {
        analyzer,
        at: call.at,
        gap: call.gap,
        inputs: call.inputs.to_vec(),
        block: call.block.map(|block| block.head().sequence),
    }
}

impl AnalyzerEngine for Native {
    fn process(
        &mut self,
        analyzer: usize,
        call: &Call<'_>,
        outputs: &mut [OutputValue],
    ) -> Result<Verdict, AnalyzerFault> {
        let mut script = self.0.borrow_mut();
        if script.spares.is_none() {
            return Err(AnalyzerFault::NoSpare);
        }
        script.seen.push(seen(analyzer, call));
        let answer = script
            .answers
            .pop_front()
            .unwrap_or_else(|| script.always.clone());
        outputs.fill(OutputValue::BAD);
        match answer {
            Ok((level, cause, values)) => {
                outputs.copy_from_slice(&values[..outputs.len()]);
                Ok(Verdict { level, cause })
            }
            Err(fault) => {
                if fault.instance_is_lost() {
                    script.spares = script.spares.and_then(|spares| spares.checked_sub(1));
                }
                Err(fault)
            }
        }
    }

    fn replace(&mut self, _analyzer: usize) {
        let mut script = self.0.borrow_mut();
        script.replaced += 1;
        script.spares = script.spares.and_then(|spares| spares.checked_sub(1));
    }

    fn spares(&self, _analyzer: usize) -> Option<u8> {
        self.0.borrow().spares
    }

    fn stage(&mut self, analyzer: usize, call: &Call<'_>) {
        self.0.borrow_mut().staged.push(seen(analyzer, call));
    }

    fn submit(&mut self, block: Option<Block>) -> Result<(), Option<Block>> {
        let mut script = self.0.borrow_mut();
        if script.full {
            return Err(block);
        }
        script
            .submitted
            .push(block.as_ref().map(|block| block.head().sequence));
        script.kept.extend(block);
        Ok(())
    }
}

/// Evaluates natively, as it should be.
struct Rules(Vec<Program>, Vec<SlotValue>);

impl RuleEngine for Rules {
    fn set_slot(&mut self, slot: usize, value: f64, usable: bool) {
        self.1[slot] = SlotValue { value, usable };
    }

    fn call(&mut self, rule: usize, hold: bool, _bound: u64) -> Result<i32, CallFault> {
        Ok(rules_expr::eval(&self.0[rule], &self.1, hold).code())
    }
}

const SPEED: u16 = 0;
const RMS: u16 = 2;
const VERDICT: u16 = 3;
const CAUSE: u16 = 4;

fn analyzer(first_tag: u16, inputs: &[u16]) -> AnalyzerPlan {
    AnalyzerPlan {
        module: 0,
        class: AnalyzerClass::Safety,
        inputs: inputs
            .iter()
            .map(|tag| AnalyzerInput {
                tag: TagId(*tag),
                scale: 2.0,
                offset: 1.0,
            })
            .collect(),
        waveform: None,
        outputs: vec![AnalyzerOutput {
            tag: TagId(first_tag),
            min: 0.0,
            max: 1_000.0,
        }],
        verdict: TagId(first_tag + 1),
        cause: TagId(first_tag + 2),
        params: vec![],
        verdict_after: None,
        fuel: 1_000,
        deadline: DurNs::from_ms(5),
        trigger: Trigger::News,
        on_failure: FailureVerdict::Trip,
        spares: 2,
        flap: None,
        canary: None,
        replay: None,
    }
}

fn at_least(slot: u32, limit: f64) -> Program {
    Program::new(vec![Op::Slot(slot), Op::Const(limit), Op::GreaterEqual]).unwrap()
}

/// Tags 0 and 1 of a device; 2 to 4 those of analyzer `bearing`. Rules: its verdict stops output 0; `rms` over 50 stops
/// output 1; its verdict alerts.
fn plan_with(analyzers: Vec<AnalyzerPlan>) -> LanePlan {
    let mut plan = plan();
    plan.rules = vec![
        rule("bearing_danger", at_least(u32::from(VERDICT), 2.0), &[0], 0),
        rule("rms_high", above(u32::from(RMS), 50.0), &[1], 0),
        rule("bearing_alert", at_least(u32::from(VERDICT), 1.0), &[], 0),
    ];
    for (index, analyzer) in (1_u16..).zip(analyzers) {
        plan.devices.push(DevicePlan {
            name: format!("bearing{index}"),
            link: LinkPlan::Analyzer(Box::new(analyzer)),
        });
        for name in ["rms", "verdict", "cause"] {
            let mut tag = tag(name, 200);
            tag.device = DeviceId(index);
            plan.tags.push(tag);
        }
    }
    plan
}

fn waveform(device: u16) -> WaveformPlan {
    WaveformPlan {
        name: "vibration".into(),
        device: DeviceId(device),
        unit: "g".into(),
        rate_hz: 1_000.0,
        samples: 4,
        format: SampleKind::I16,
        scale: 1.0,
        offset: 0.0,
        stale_after: DurNs::from_ms(100),
        period: None,
        source: WaveformSource::Mqtt {
            topic: "a".into(),
            qos: 0,
            first: 0,
            byte_order: ByteOrder::LittleEndian,
            sequence: None,
            envelope: None,
        },
    }
}

fn block(sequence: u64, at: MonoNs) -> Block {
    let head = BlockHead {
        waveform: WaveformId(0),
        at,
        sequence,
        gap: false,
        layout: SampleLayout::payload(SampleKind::I16, ByteOrder::LittleEndian),
        count: 4,
        rate_hz: 1_000.0,
    };
    Block::new(head, vec![0; 8].into_boxed_slice(), 0).unwrap()
}

fn with_waveform(mut analyzer: AnalyzerPlan) -> LanePlan {
    analyzer.waveform = Some(WaveformUse {
        index: WaveformId(0),
        scale: 1.0,
        offset: 0.0,
    });
    let mut plan = plan_with(vec![analyzer]);
    plan.waveforms = vec![waveform(0)];
    plan
}

struct Bench {
    lane: Lane<Rules, Native>,
    script: Rc<RefCell<Script>>,
}

impl Bench {
    fn new(plan: &LanePlan) -> Self {
        let script = Rc::new(RefCell::new(Script {
            answers: VecDeque::new(),
            always: normal(5.0),
            seen: vec![],
            replaced: 0,
            spares: Some(2),
            staged: vec![],
            submitted: vec![],
            kept: vec![],
            full: false,
        }));
        let unusable = SlotValue {
            value: 0.0,
            usable: false,
        };
        let rules = Rules(
            plan.programs().cloned().collect(),
            vec![unusable; plan.slots() as usize],
        );
        let native = Native(Rc::clone(&script));
        Self {
            lane: Lane::with_analyzers(plan, rules, native, MonoNs::ZERO).unwrap(),
            script,
        }
    }

    /// Its outputs run at 10 ms, and its analyzers have said that all is well.
    fn armed(plan: &LanePlan) -> Self {
        let mut bench = Self::new(plan);
        let arrive = |bench: &mut Self, sequence, at| {
            bench.sample_at(SPEED, 1.0, at);
            bench.sample_at(1, 1.0, at);
            if !plan.waveforms.is_empty() {
                bench.block_at(sequence, at);
            }
            bench.lane.tick(at);
            while bench.lane.take_block().is_some() {}
        };
        arrive(&mut bench, 0, early(100));
        for output in 0..2 {
            bench.lane.output_event(
                output,
                OutputEvent::Confirmed {
                    value: Confirmed::Safe,
                    at: early(100),
                    round_trip: DurNs::ZERO,
                },
            );
        }
        bench.lane.press_reset(7, early(100)).unwrap();
        arrive(&mut bench, 1, ms(10));
        bench.lane.release_reset(7, ms(10)).unwrap();
        bench.lane.tick(ms(10));
        assert_eq!(bench.lane.permits(), [Permit::Granted; 2]);
        bench.lane.clear_events();
        bench.script.borrow_mut().seen.clear();
        bench
    }

    fn sample_at(&mut self, tag: u16, value: f64, at: MonoNs) {
        self.lane.ingest(&Sample {
            at,
            value,
            tag: TagId(tag),
            quality: Quality::Good,
            cause: Cause::None,
        });
    }

    fn block_at(&mut self, sequence: u64, at: MonoNs) {
        assert!(self.lane.ingest_block(block(sequence, at)).is_none());
    }

    fn answer(&self, answer: Answer) {
        self.script.borrow_mut().answers.push_back(answer);
    }

    /// A sample of the speed, and its tick.
    fn news(&mut self, at: u64) {
        self.sample_at(SPEED, at as f64, ms(at));
        self.lane.tick(ms(at));
    }

    fn calls(&self) -> Vec<Seen> {
        std::mem::take(&mut self.script.borrow_mut().seen)
    }

    fn tag(&self, tag: u16) -> (Quality, f64, Cause) {
        let view = self.lane.tag(TagId(tag)).unwrap();
        (view.quality, view.value, view.cause)
    }

    /// The bits of a tag's value.
    fn value(&self, tag: u16) -> u64 {
        self.tag(tag).1.to_bits()
    }

    fn events(&mut self) -> Vec<EventKind> {
        let events = self.lane.events().iter().map(|event| event.kind).collect();
        self.lane.clear_events();
        events
    }

    /// The events that speak of analyzers.
    fn words(&mut self) -> Vec<EventKind> {
        let mut events = self.events();
        events.retain(|event| {
            matches!(
                event,
                EventKind::AnalyzerFailed { .. }
                    | EventKind::AnalyzerReplaced { .. }
                    | EventKind::AnalyzerVerdict { .. }
                    | EventKind::CanaryMissed { .. }
                    | EventKind::CanaryPassed { .. }
                    | EventKind::Replayed { .. }
            )
        });
        events
    }
}

/// Every fault but that there is no instance: that has a test of its own.
const FAULTS: [AnalyzerFault; 11] = [
    AnalyzerFault::Trap(TrapKind::Unreachable),
    AnalyzerFault::FuelExceeded { fuel: 7 },
    AnalyzerFault::Deadline,
    AnalyzerFault::NonsenseVerdict(9),
    AnalyzerFault::NonsenseOutput {
        index: 0,
        what: OutputFault::NotFinite,
    },
    AnalyzerFault::NonsenseOutput {
        index: 0,
        what: OutputFault::OutOfRange,
    },
    AnalyzerFault::NonsenseOutput {
        index: 0,
        what: OutputFault::Quality,
    },
    AnalyzerFault::NonsenseOutput {
        index: 0,
        what: OutputFault::Reserved,
    },
    AnalyzerFault::SampleNotFinite,
    AnalyzerFault::Block { samples: 3 },
    AnalyzerFault::Counts,
];

#[test]
fn what_an_analyzer_derives_is_decided_upon_in_the_same_tick() {
    let mut bench = Bench::armed(&plan_with(vec![analyzer(RMS, &[SPEED])]));
    bench.answer(Ok((Level::Alert, 3, vec![good(60.0)])));
    bench.news(20);
    assert_eq!(bench.lane.permits(), [Permit::Granted, Permit::Withheld]);
    assert_eq!(bench.tag(RMS), (Quality::Good, 60.0, Cause::None));
    assert_eq!(bench.value(VERDICT), 1.0_f64.to_bits());
    assert_eq!(bench.value(CAUSE), 3.0_f64.to_bits());
    assert_eq!(bench.lane.tag(TagId(RMS)).unwrap().at, ms(20));
    assert_eq!(bench.lane.checkpoint().signature, EXPECTED_SIGNATURE);
    let verdict = Verdict {
        level: Level::Alert,
        cause: 3,
    };
    let analyzer = 0;
    assert_eq!(
        bench.words(),
        [EventKind::AnalyzerVerdict { analyzer, verdict }]
    );
    bench.answer(Ok((Level::Danger, 1, vec![good(1.0)])));
    bench.news(30);
    assert_eq!(bench.lane.permits(), [Permit::Withheld; 2]);
    let first_out = bench.lane.latch_of(0).unwrap().first_out;
    let cause = RuleCause::Condition;
    assert_eq!(first_out, LatchCause::Rule { rule: 0, cause });
}

#[test]
fn it_is_given_values_in_its_units_and_told_what_changed() {
    let mut bench = Bench::armed(&plan_with(vec![analyzer(RMS, &[SPEED, 1])]));
    bench.news(20);
    let calls = bench.calls();
    assert_eq!(calls.len(), 1);
    assert_eq!(calls[0].at, ms(20));
    let input = |value, quality, changed| InputValue {
        value,
        quality,
        changed,
    };
    assert_eq!(
        calls[0].inputs,
        [
            input(41.0, Quality::Good, true),
            input(3.0, Quality::Good, false)
        ],
        "value x 2 + 1"
    );
    // The same value again is a new sample.
    bench.sample_at(SPEED, 20.0, ms(21));
    bench.lane.tick(ms(21));
    assert!(bench.calls()[0].inputs[0].changed);
    // Nothing arrives, nothing is asked.
    bench.lane.tick(ms(22));
    assert_eq!(bench.calls(), []);
    // Tag 1 goes stale at 210 ms: that is news, and it is 0.
    bench.sample_at(SPEED, 20.0, ms(211));
    bench.lane.tick(ms(211));
    let calls = bench.calls();
    assert_eq!(calls.len(), 1);
    assert_eq!(calls[0].inputs[1], input(0.0, Quality::Stale, true));
}

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

#[test]
fn with_a_period_inputs_are_looked_at_whatever_arrives() {
    let mut analyzer = analyzer(RMS, &[SPEED]);
    analyzer.trigger = Trigger::Every(DurNs::from_ms(30));
    let mut bench = Bench::armed(&plan_with(vec![analyzer]));
    assert_eq!(bench.lane.next_due(), ms(40));
    for at in 11..=105 {
        bench.lane.tick(ms(at));
    }
    let at: Vec<_> = bench.calls().into_iter().map(|call| call.at).collect();
    assert_eq!(at, [ms(40), ms(70), ms(100)]);
    // A lane that was held up does not make up for what it missed.
    bench.lane.tick(ms(500));
    bench.lane.tick(ms(501));
    assert_eq!(bench.calls().len(), 1);
}

#[test]
fn a_chain_is_done_in_one_tick() {
    let second = analyzer(5, &[RMS]);
    let mut bench = Bench::armed(&plan_with(vec![analyzer(RMS, &[SPEED]), second]));
    bench.answer(normal(7.0));
    bench.answer(Ok((Level::Danger, 0, vec![good(9.0)])));
    bench.news(20);
    let calls = bench.calls();
    assert_eq!(calls.len(), 2);
    assert_eq!(calls[1].analyzer, 1);
    assert_eq!(calls[1].inputs[0].value.to_bits(), 15.0_f64.to_bits());
    assert_eq!(bench.value(5), 9.0_f64.to_bits());
    assert_eq!(bench.value(6), 2.0_f64.to_bits());
    // What failed is bad for whoever reads it, in the same tick.
    bench.answer(Err(AnalyzerFault::Deadline));
    bench.news(30);
    assert_eq!(bench.calls()[1].inputs[0].quality, Quality::Bad);
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

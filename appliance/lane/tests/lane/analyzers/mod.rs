//! Analyzers in the tick, with an engine that answers what a test wants.

mod background;
mod blocks;
mod faults;
mod fresh;
mod watched;

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

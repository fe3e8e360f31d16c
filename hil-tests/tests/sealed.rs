//! After sealing, a lane does not allocate: not for samples, trips, staleness, lost frames, resets, snapshots (I11, H-28).
//!
//! The real lane with the real rule module, under the allocator that counts. The guard proves the same of its whole
//! loop, sockets included, in `guard_*.rs` (`lane_allocations`).
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests"
)]

use appliance_lane::analyzer::{AnalyzerEngine, Call};
use appliance_lane::queue::frame_queue;
use appliance_lane::{Lane, RuleEngine};
use appliance_output::{Confirmed, FaultCause, OutputEvent};
use appliance_sandbox::{AnalyzerFault, CallFault, Engine, NativeCode, OutputValue, RuleModule};
use drivers_frame::{
    Block, BlockHead, ByteOrder, Cause, DeviceId, DurNs, FrameSink, MonoNs, Quality, Sample,
    SampleKind, SampleLayout, TagId, WaveformId,
};
use hil_tests::packs;
use rt_config::seal::{SealingAllocator, broken_seals, seal, unseal};
use rules_bundle::{
    AnalyzerClass, AnalyzerInput, AnalyzerOutput, AnalyzerPlan, Bundle, DevicePlan, FailureVerdict,
    LinkPlan, TagPlan, Trigger, WaveformPlan, WaveformSource, WaveformUse, testing,
};
use rules_sdk_abi::Verdict;

#[global_allocator]
static ALLOCATOR: SealingAllocator = SealingAllocator;

const PACK: &str = include_str!("../../rules/packs/press-line.yaml");

fn lane(bundle: &Bundle, engine: &Engine) -> Lane<RuleModule> {
    let plan = &bundle.plan.lanes[0];
    #[expect(unsafe_code, reason = "loading machine code")]
    // SAFETY: the bytes come from a bundle that was compiled, sealed and opened in this test.
    let code = unsafe { NativeCode::vouch(&bundle.lanes[0].native) };
    let slots = usize::try_from(plan.slots()).unwrap();
    let module = RuleModule::load(engine, &code, plan.programs().count(), slots).unwrap();
    Lane::new(plan, module, MonoNs::from_ns(0)).unwrap()
}

/// A deterministic stream of values, some bad, some out of range.
fn value(step: u64, tag: u16) -> (f64, Quality) {
    let mixed = (step + 1)
        .wrapping_mul(0x9E37_79B9_7F4A_7C15)
        .wrapping_add(u64::from(tag))
        >> 40;
    let quality = if mixed % 97 == 0 {
        Quality::Bad
    } else {
        Quality::Good
    };
    ((mixed % 1_000) as f64 / 10.0, quality)
}

/// Answers natively; every 7th call fails, and now and then there is no spare.
struct Native {
    calls: u64,
    jobs: u64,
}

impl AnalyzerEngine for Native {
    fn process(
        &mut self,
        _analyzer: usize,
        call: &Call<'_>,
        outputs: &mut [OutputValue],
    ) -> Result<Verdict, AnalyzerFault> {
        self.calls += 1;
        if self.calls.is_multiple_of(7) {
            return Err(AnalyzerFault::Deadline);
        }
        outputs.fill(OutputValue {
            value: call.inputs.first().map_or(1.0, |input| input.value),
            quality: Quality::Good,
        });
        Ok(Verdict::default())
    }

    fn replace(&mut self, _analyzer: usize) {}

    fn spares(&self, _analyzer: usize) -> Option<u8> {
        (!self.calls.is_multiple_of(21)).then_some(1)
    }

    fn stage(&mut self, _analyzer: usize, _call: &Call<'_>) {
        self.jobs += 1;
    }

    fn submit(&mut self, block: Option<Block>) -> Result<(), Option<Block>> {
        Err(block)
    }
}

/// No rule asks it.
struct NoRules;

impl RuleEngine for NoRules {
    fn set_slot(&mut self, _slot: usize, _value: f64, _usable: bool) {}

    fn call(&mut self, _condition: usize, _hold: bool, _bound: u64) -> Result<i32, CallFault> {
        Ok(0)
    }
}

/// A lane with an analyzer over a tag, one over a waveform, and one of class background over both.
fn analyzing() -> Lane<NoRules, Native> {
    let mut plan = testing::lane();
    let tag = |device: u16| TagPlan {
        device: DeviceId(device),
        ..testing::tag("t", "g", DurNs::from_ms(100))
    };
    plan.devices = vec![testing::device("io")];
    plan.tags = vec![tag(0)];
    plan.waveforms = vec![WaveformPlan {
        name: "w".into(),
        device: DeviceId(0),
        unit: "g".into(),
        rate_hz: 1_000.0,
        samples: 4,
        format: SampleKind::I16,
        scale: 1.0,
        offset: 0.0,
        stale_after: DurNs::from_ms(100),
        period: None,
        source: WaveformSource::Mqtt {
            topic: "w".into(),
            qos: 0,
            first: 0,
            byte_order: ByteOrder::LittleEndian,
            sequence: None,
            envelope: None,
        },
    }];
    let kinds = [
        (AnalyzerClass::Safety, false),
        (AnalyzerClass::Safety, true),
        (AnalyzerClass::Background, true),
    ];
    for (device, (class, waveform)) in (1_u16..).zip(kinds) {
        let first = u16::try_from(plan.tags.len()).unwrap();
        plan.tags.extend([tag(device), tag(device), tag(device)]);
        let analyzer = AnalyzerPlan {
            module: 0,
            class,
            inputs: vec![AnalyzerInput {
                tag: TagId(0),
                scale: 1.0,
                offset: 0.0,
            }],
            waveform: waveform.then_some(WaveformUse {
                index: WaveformId(0),
                scale: 1.0,
                offset: 0.0,
            }),
            outputs: vec![AnalyzerOutput {
                tag: TagId(first),
                min: 0.0,
                max: 1e9,
            }],
            verdict: TagId(first + 1),
            cause: TagId(first + 2),
            params: vec![],
            verdict_after: None,
            fuel: 1,
            deadline: DurNs::from_ms(1),
            trigger: Trigger::News,
            on_failure: FailureVerdict::Trip,
            spares: 1,
            flap: None,
            canary: None,
            replay: None,
        };
        plan.devices.push(DevicePlan {
            name: format!("a{device}"),
            link: LinkPlan::Analyzer(Box::new(analyzer)),
        });
    }
    let native = Native { calls: 0, jobs: 0 };
    Lane::with_analyzers(&plan, NoRules, native, MonoNs::from_ns(0)).unwrap()
}

/// One step of it: a sample, a block in the buffer that goes round, what came instead of one, silence.
fn analyze(lane: &mut Lane<NoRules, Native>, buffer: &mut Option<Box<[u8]>>, step: u64) {
    let at = MonoNs::from_ns(step * 1_000_000);
    if step % 700 < 500 {
        lane.ingest(&Sample {
            at,
            value: 1.0,
            tag: TagId(0),
            quality: Quality::Good,
            cause: Cause::None,
        });
        if let Some(buffer) = buffer.take() {
            let head = BlockHead {
                waveform: WaveformId(0),
                at,
                sequence: step,
                gap: false,
                layout: SampleLayout::payload(SampleKind::I16, ByteOrder::LittleEndian),
                count: 4,
                rate_hz: 1_000.0,
            };
            let block = Block::new(head, buffer, 0).unwrap();
            assert!(lane.ingest_block(block).is_none());
        }
        if step.is_multiple_of(50) {
            lane.bad_block(WaveformId(0), at, Cause::Malformed);
        }
    }
    lane.tick(at);
    *buffer = lane.take_block().map(Block::into_buffer).or(buffer.take());
    lane.clear_events();
}

#[test]
fn i11_a_sealed_lane_does_not_allocate() {
    let bundle = rules_bundle::open(&packs::bundle(PACK), &rules_bundle::testing::key()).unwrap();
    let plan = bundle.plan.lanes[0].clone();
    let engine = Engine::new().unwrap();
    let tags = u16::try_from(plan.tags.len()).unwrap();
    let outputs = u16::try_from(plan.outputs.len()).unwrap();
    let (trips, resets, frames_lost) = std::thread::spawn(move || {
        engine.prepare_thread();
        let mut lane = lane(&bundle, &engine);
        let (mut producer, mut consumer) = frame_queue(64);
        let mut frame = vec![Sample::default(); usize::from(tags)];
        let (mut trips, mut resets) = (0_u64, 0_u64);
        lane.warm_up();
        let mut analyzers = analyzing();
        let mut buffer = Some(vec![0_u8; 8].into_boxed_slice());
        seal();
        for step in 0..20_000_u64 {
            let at = MonoNs::from_ns(step * 1_000_000);
            // Every third second everything is silent, so that tags go stale and windows break.
            if step % 3_000 < 2_000 {
                for (tag, sample) in (0..tags).zip(frame.iter_mut()) {
                    let (value, quality) = value(step, tag);
                    let cause = if quality.is_usable() {
                        Cause::None
                    } else {
                        Cause::AboveRange
                    };
                    *sample = Sample {
                        at,
                        value,
                        tag: TagId(tag),
                        quality,
                        cause,
                    };
                }
                // Sometimes more than the queue holds.
                for _ in 0..if step % 500 == 0 { 20 } else { 1 } {
                    let _ = producer.push_frame(&frame);
                }
            }
            let lost = consumer.newly_lost();
            if lost > 0 {
                lane.frames_lost(DeviceId(0), lost, at);
            }
            consumer.drain(|sample| lane.ingest(sample));
            lane.tick(at);
            analyze(&mut analyzers, &mut buffer, step);
            trips += lane.events().len() as u64;
            lane.clear_events();
            for output in 0..outputs {
                let round_trip = DurNs::ZERO;
                let value = Confirmed::Safe;
                lane.output_event(
                    output,
                    OutputEvent::Confirmed {
                        value,
                        at,
                        round_trip,
                    },
                );
            }
            match step % 1_000 {
                10 => lane.trip(at),
                20 => {
                    let cause = FaultCause::NotConfirmed;
                    lane.output_event(0, OutputEvent::Failed { at, cause });
                }
                _ if step % 200 == 150 => {
                    resets += u64::from(lane.release_reset(step / 200, at).is_ok())
                }
                _ if step % 200 == 40 => drop(lane.press_reset(step / 200, at)),
                _ => {}
            }
        }
        unseal();
        let native = analyzers.analyzer_engine();
        assert!(
            native.calls > 10_000 && native.jobs > 5_000,
            "analyzers ran: {} {}",
            native.calls,
            native.jobs
        );
        (trips, resets, lane.counters().frames_lost)
    })
    .join()
    .unwrap();
    assert_eq!(broken_seals(), 0, "I11");
    // The counter would have seen it: one formatted string is an allocation and a free.
    seal();
    drop(format!("{:?}", std::hint::black_box(TagId(7))));
    unseal();
    assert!(broken_seals() >= 2);
    assert!(
        trips > 100 && frames_lost > 10,
        "the run saw what it was meant to see: {trips} {resets} {frames_lost}"
    );
}

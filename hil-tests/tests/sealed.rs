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

use appliance_lane::Lane;
use appliance_lane::queue::frame_queue;
use appliance_output::{Confirmed, FaultCause, OutputEvent};
use appliance_sandbox::{Engine, NativeCode, RuleModule};
use drivers_frame::{Cause, DeviceId, DurNs, FrameSink, MonoNs, Quality, Sample, TagId};
use hil_tests::packs;
use rt_config::seal::{SealingAllocator, broken_seals, seal, unseal};
use rules_bundle::Bundle;

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

#[test]
fn i11_a_sealed_lane_does_not_allocate() {
    let bundle = rules_bundle::open(&packs::bundle(PACK)).unwrap();
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

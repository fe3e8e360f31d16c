//! Replay from a clean instance: who is spoiled by its history is found, who is not never is. Hazard H-41, invariant I11.
#![cfg(feature = "compile")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod guest;

use appliance_sandbox::{
    Analyzer, AnalyzerSpec, Engine, InputValue, OutputValue, Refiller, ReplaySpec, ReplayStep,
    Replayer, Samples, WaveformSpec,
};
use drivers_frame::{DurNs, MonoNs, Quality, Scaling};
use guest::{Guest, INPUT, frame, spec};
use rt_config::seal::{SealingAllocator, broken_seals, seal, unseal};
use rules_sdk_abi::{Flags, SampleFormat};

#[global_allocator]
static ALLOCATOR: SealingAllocator = SealingAllocator;

/// Its output is its input and the one before: it remembers two calls. Traps at 99. Once it saw 13 it answers `spoiled` more,
/// for ever; once it saw 14, too, it traps at 15.
fn sum(spoiled: &str) -> Guest<'static> {
    let mut guest = Guest::new(&format!(
        "(local $value f64)
         (local.set $value (f64.load (i32.const 1104)))
         (if (f64.eq (local.get $value) (f64.const 99)) (then unreachable))
         (if (f64.eq (local.get $value) (f64.const 13)) (then (global.set $seen (i32.const 1))))
         (f64.store (i32.const 1120) (f64.add (f64.add (local.get $value) (global.get $before))
           (select (f64.const {spoiled}) (f64.const 0) (global.get $seen))))
         (global.set $before (local.get $value))
         (i32.store (i32.const 1128) (i32.const 0))
         (i64.const 0)"
    ));
    guest.more = "(global $seen (mut i32) (i32.const 0)) (global $before (mut f64) (f64.const 0))";
    guest
}

struct Bench {
    engine: Engine,
    analyzer: Analyzer,
    refiller: Refiller,
    replayer: Replayer,
    now: u64,
}

const EVERY: u64 = 100;

fn plain() -> AnalyzerSpec {
    AnalyzerSpec {
        waveform: None,
        ..spec()
    }
}

fn bench(guest: &Guest<'_>, spec: AnalyzerSpec, calls: u32, samples: u32) -> Bench {
    let engine = Engine::new().unwrap();
    let module = guest.load(&engine, spec);
    let (mut analyzer, refiller) = module.with_spares(2).unwrap();
    let replay = ReplaySpec {
        calls,
        samples,
        every: DurNs::from_ns(EVERY),
    };
    let replayer = analyzer.replayed(&module, replay);
    Bench {
        engine,
        analyzer,
        refiller,
        replayer,
        now: 1_000,
    }
}

impl Bench {
    fn given(&mut self, input: InputValue, flags: Flags, block: Option<Samples<'_>>) -> bool {
        let mut outputs = [OutputValue::BAD];
        let inputs = [input];
        let mut call = frame(&inputs);
        call.at = MonoNs::from_ns(self.now);
        call.flags = flags;
        call.block = block;
        self.now += 1;
        self.analyzer.process(&call, &mut outputs).is_ok()
    }

    fn call(&mut self, value: f64) -> bool {
        let input = InputValue { value, ..INPUT };
        self.given(input, Flags::default(), None)
    }

    /// The next comparison is due.
    fn due(&mut self) {
        self.now += EVERY;
    }

    fn replay(&mut self) -> ReplayStep {
        loop {
            match self.replayer.step() {
                ReplayStep::Working => {}
                step => return step,
            }
        }
    }
}

fn agrees(step: ReplayStep) -> bool {
    matches!(step, ReplayStep::Agrees(_))
}

#[test]
fn h41_what_a_module_saw_long_ago_and_answers_otherwise_since_is_found() {
    // Two bits beside 3: any difference is one.
    for (spoiled, found) in [("1", true), ("1e-15", true), ("0", false)] {
        let mut bench = bench(&sum(spoiled), plain(), 2, 0);
        for value in [1.0, 2.0] {
            assert!(bench.call(value));
        }
        assert!(agrees(bench.replay()), "H-41: nothing has happened yet");
        assert!(bench.call(13.0));
        for round in 0..20 {
            assert!(bench.call(1.0));
            assert!(bench.call(2.0));
            assert_eq!(bench.replay(), ReplayStep::Idle, "H-41: not due");
            bench.due();
            assert!(bench.call(1.0));
            assert_eq!(
                bench.replay(),
                ReplayStep::Idle,
                "H-41: one call is not two"
            );
            assert!(bench.call(2.0));
            match (bench.replay(), found) {
                (ReplayStep::Differs(_), true) | (ReplayStep::Agrees(_), false) => {}
                (step, _) => panic!("H-41: {spoiled}, round {round}: {step:?}"),
            }
        }
    }
}

#[test]
fn h41_a_module_that_remembers_more_than_its_author_says_is_found() {
    let mut bench = bench(&sum("0"), plain(), 1, 0);
    assert!(bench.call(5.0), "the first call of an instance");
    assert!(agrees(bench.replay()), "H-41: nothing came before");
    bench.due();
    assert!(bench.call(5.0));
    assert!(matches!(bench.replay(), ReplayStep::Differs(_)), "H-41");
}

#[test]
fn h41_gaps_bad_inputs_calls_without_news_and_lost_instances_begin_the_row_anew() {
    let bad = InputValue {
        quality: Quality::Bad,
        ..INPUT
    };
    let old = InputValue {
        changed: false,
        ..INPUT
    };
    let infinite = InputValue {
        value: f64::INFINITY,
        ..INPUT
    };
    type Between = (&'static str, fn(&mut Bench, InputValue), InputValue);
    let call: fn(&mut Bench, InputValue) = |bench, input| {
        assert!(bench.given(input, Flags::default(), None));
    };
    let gap: fn(&mut Bench, InputValue) = |bench, input| {
        assert!(bench.given(input, Flags::GAP, None));
    };
    let trap: fn(&mut Bench, InputValue) = |bench, _| assert!(!bench.call(99.0));
    let replaced: fn(&mut Bench, InputValue) = |bench, _| assert!(bench.analyzer.replace());
    let all: [Between; 6] = [
        ("bad", call, bad),
        ("no news", call, old),
        ("not finite", call, infinite),
        ("gap", gap, INPUT),
        ("trap", trap, INPUT),
        ("replaced", replaced, INPUT),
    ];
    for (what, between, input) in all {
        let mut bench = bench(&sum("1"), plain(), 3, 0);
        for round in 0..5 {
            assert!(bench.call(1.0));
            assert!(bench.call(2.0));
            between(&mut bench, input);
            assert!(bench.call(3.0));
            assert!(bench.call(4.0));
            assert_eq!(bench.replay(), ReplayStep::Idle, "H-41: {what}: no row yet");
            assert!(bench.call(5.0));
            assert!(agrees(bench.replay()), "H-41: {what} in round {round}");
            bench.due();
            while bench.refiller.turn().unwrap() {}
        }
        // The spare that took over is not spoiled; one that saw the magic value is.
        assert!(bench.call(13.0));
        for value in [1.0, 2.0, 3.0] {
            bench.call(value);
        }
        // The row began with 13: the clean instance saw it as well.
        assert!(agrees(bench.replay()), "H-41: {what}");
        bench.due();
        for value in [1.0, 2.0, 3.0] {
            bench.call(value);
        }
        assert!(
            matches!(bench.replay(), ReplayStep::Differs(_)),
            "H-41: {what}"
        );
    }
}

/// Its output is the sum of its block; it writes over the samples, and into the room behind them.
fn shuffles() -> Guest<'static> {
    Guest::new(
        "(local $at i32) (local $end i32) (local $sum f64)
         (local.set $end (i32.add (i32.const 1136) (i32.shl (i32.load (i32.const 1024)) (i32.const 2))))
         (local.set $at (i32.const 1136))
         (block $done (loop $next
           (br_if $done (i32.ge_u (local.get $at) (local.get $end)))
           (local.set $sum (f64.add (local.get $sum) (f64.promote_f32 (f32.load (local.get $at)))))
           (f32.store (local.get $at) (f32.const 50))
           (local.set $at (i32.add (local.get $at) (i32.const 4)))
           (br $next)))
         (f64.store (i32.const 1120) (local.get $sum))
         (i32.store (i32.const 1128) (i32.const 0))
         (i64.const 0)",
    )
}

#[test]
fn h41_blocks_are_replayed_as_the_module_saw_them() {
    let format = SampleFormat::F32;
    let waved = AnalyzerSpec {
        waveform: Some(WaveformSpec {
            format,
            samples_min: 1,
            samples_max: 16,
        }),
        ..spec()
    };
    // The layout is that of one parameter, input and output: samples begin at 1136.
    let mut bench = bench(&shuffles(), waved, 3, 4);
    let give = |bench: &mut Bench, values: &[f32], sequence| {
        let bytes: Vec<u8> = values
            .iter()
            .flat_map(|value| value.to_le_bytes())
            .collect();
        let block = Samples::Ready {
            bytes: &bytes,
            sequence,
            rate_hz: 10.0,
            scaling: Scaling::default(),
        };
        bench.given(INPUT, Flags::default(), Some(block))
    };
    for round in 0..4 {
        assert!(give(&mut bench, &[1.0, 2.0, 3.0, 4.0], round * 3));
        assert!(give(&mut bench, &[5.0, 6.0], round * 3 + 1), "shorter");
        assert!(give(&mut bench, &[7.0, 8.0, 9.0], round * 3 + 2));
        assert!(agrees(bench.replay()), "H-41: round {round}");
        bench.due();
    }
    // More samples than are kept, and a call without a block, are calls all the same.
    assert!(give(&mut bench, &[1.0, 2.0], 50));
    assert!(give(&mut bench, &[1.0; 5], 51));
    assert!(give(&mut bench, &[1.0, 2.0], 52));
    assert!(give(&mut bench, &[1.0, 2.0], 53));
    assert_eq!(bench.replay(), ReplayStep::Idle, "H-41: five do not fit");
    assert!(bench.call(1.0));
    assert!(give(&mut bench, &[1.0, 2.0], 54));
    assert_eq!(bench.replay(), ReplayStep::Idle, "H-41: no block");
}

#[test]
fn h41_an_instance_that_fails_where_the_analyzer_had_answered_differs() {
    // Traps at 2 in its first frame, and never again.
    let mut guest = Guest::new(
        "(if (i32.and (i32.eqz (global.get $calls)) (f64.eq (f64.load (i32.const 1104)) (f64.const 2))) (then unreachable))
         (global.set $calls (i32.const 1))
         (i64.const 0)",
    );
    guest.more = "(global $calls (mut i32) (i32.const 0))";
    let mut bench = bench(&guest, plain(), 1, 0);
    assert!(bench.call(1.0));
    assert!(agrees(bench.replay()));
    bench.due();
    assert!(bench.call(2.0), "not in its first frame");
    assert!(matches!(bench.replay(), ReplayStep::Differs(_)), "H-41");
}

#[test]
fn i11_h41_keeping_calls_and_handing_them_over_allocates_nothing() {
    let mut bench = bench(&sum("1"), plain(), 4, 0);
    let before = broken_seals();
    let compared = std::thread::spawn(move || {
        bench.engine.prepare_thread();
        let mut compared = 0;
        for _ in 0..50 {
            seal();
            for value in 0..8 {
                assert!(bench.call(f64::from(value)));
            }
            bench.due();
            unseal();
            compared += u32::from(agrees(bench.replay()));
        }
        compared
    })
    .join()
    .unwrap();
    assert_eq!(compared, 50, "H-41");
    assert_eq!(broken_seals() - before, 0, "I11");
}

//! Spares: the one in the seat is lost, the next takes over at once, the lane allocates nothing. Hazard H-38, invariant I11.
#![cfg(feature = "compile")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod guest;

use appliance_sandbox::{Analyzer, AnalyzerFault, Engine, InputValue, OutputValue, TrapKind};
use drivers_frame::Quality;
use guest::{Guest, INPUT, frame, spec};
use rt_config::seal::{SealingAllocator, broken_seals, seal, unseal};

#[global_allocator]
static ALLOCATOR: SealingAllocator = SealingAllocator;

/// Traps when its input is 13; its output is 1 in its first frame and 0 afterwards.
fn superstitious() -> Guest<'static> {
    Guest::new(
        "(if (f64.eq (f64.load (i32.const 1104)) (f64.const 13)) (then unreachable))
         (f64.store (i32.const 1120) (f64.convert_i32_u (i32.and (i32.load (i32.const 1028)) (i32.const 1))))
         (i32.store (i32.const 1128) (i32.const 0))
         (i64.const 0)",
    )
}

const TRAP: AnalyzerFault = AnalyzerFault::Trap(TrapKind::Unreachable);

/// The output of a frame with this input.
fn step(analyzer: &mut Analyzer, value: f64) -> Result<f64, AnalyzerFault> {
    let inputs = [InputValue { value, ..INPUT }];
    let mut outputs = [OutputValue::BAD];
    let result = analyzer.process(&frame(&inputs), &mut outputs);
    assert_eq!(
        outputs[0].quality == Quality::Good,
        result.is_ok(),
        "bad exactly when it failed"
    );
    result.map(|_| outputs[0].value)
}

#[test]
fn h38_a_lost_instance_is_replaced_before_the_next_frame() {
    let engine = Engine::new().unwrap();
    let module = superstitious().load(&engine, spec());
    let (mut analyzer, mut refiller) = module.with_spares(2).unwrap();
    assert_eq!(step(&mut analyzer, 1.0), Ok(1.0), "restarted");
    assert_eq!(step(&mut analyzer, 1.0), Ok(0.0));
    for round in 0..5 {
        assert_eq!(step(&mut analyzer, 13.0), Err(TRAP), "{round}");
        assert_eq!(step(&mut analyzer, 1.0), Ok(1.0), "the spare is fresh");
        assert_eq!(step(&mut analyzer, 13.0), Err(TRAP));
        assert_eq!(step(&mut analyzer, 13.0), Err(TRAP));
        assert_eq!(analyzer.spares(), 0);
        assert_eq!(step(&mut analyzer, 1.0), Err(AnalyzerFault::NoSpare));
        assert!(refiller.turn().unwrap(), "one a turn, one is missing");
        assert_eq!(step(&mut analyzer, 1.0), Ok(1.0), "back by itself");
        while refiller.turn().unwrap() {}
        assert_eq!(analyzer.spares(), 2);
    }
    assert_eq!(analyzer.state_hash(), Ok(42));
    assert!(analyzer.replace());
    assert_eq!(step(&mut analyzer, 1.0), Ok(1.0), "replaced on request");
}

#[test]
fn i11_frames_and_replacements_allocate_nothing() {
    let engine = Engine::new().unwrap();
    let module = superstitious().load(&engine, spec());
    let (mut analyzer, mut refiller) = module.with_spares(3).unwrap();
    let before = broken_seals();
    let failures = std::thread::spawn(move || {
        engine.prepare_thread();
        seal();
        let mut failures = 0;
        for round in 0..200 {
            for value in 0..10 {
                assert!(step(&mut analyzer, f64::from(value)).is_ok());
            }
            assert!(analyzer.replace());
            if round % 2 == 0 {
                assert_eq!(step(&mut analyzer, 13.0), Err(TRAP), "I11");
                failures += 1;
            }
            unseal();
            while refiller.turn().unwrap() {}
            seal();
        }
        unseal();
        failures
    })
    .join()
    .unwrap();
    assert_eq!(failures, 100);
    assert_eq!(
        broken_seals() - before,
        0,
        "I11: frames, traps and replacements"
    );
}

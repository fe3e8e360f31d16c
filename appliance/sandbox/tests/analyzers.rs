//! Analyzers: what reaches the guest, what comes back, and what is refused. Hazards H-9, H-21, H-35 to H-39.
#![cfg(feature = "compile")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod guest;

use appliance_sandbox::{
    AnalyzerError, AnalyzerFault, AnalyzerInstance, AnalyzerSpec, Answer, Engine, InputValue,
    NativeCode, OutputFault, OutputValue, Samples, TrapKind, WaveformSpec, compile,
};
use drivers_frame::block::{Block, BlockHead, SampleKind, SampleLayout, WaveformId};
use drivers_frame::{ByteOrder, DurNs, MonoNs, Quality, Scaling};
use guest::{Guest, INPUT, frame, spec};
use rules_sdk_abi::{Flags, Level, SampleFormat, Verdict};

fn instance(guest: &Guest) -> AnalyzerInstance {
    let engine = Engine::new().unwrap();
    guest.load(&engine, spec()).instantiate().unwrap()
}

/// One frame with the usual input; the answer and the output.
fn run(instance: &mut AnalyzerInstance) -> (Result<Answer, AnalyzerFault>, OutputValue) {
    let mut outputs = [OutputValue {
        value: 9.9,
        quality: Quality::Good,
    }];
    let result = instance.process(&frame(&[INPUT]), &mut outputs);
    (result, outputs[0])
}

fn block(samples: &[i16], gap: bool) -> Block {
    let bytes: Vec<u8> = samples.iter().flat_map(|raw| raw.to_le_bytes()).collect();
    let head = BlockHead {
        waveform: WaveformId(0),
        at: MonoNs::from_ns(5),
        sequence: 31,
        gap,
        layout: SampleLayout::payload(SampleKind::I16, ByteOrder::LittleEndian),
        count: samples.len() as u32,
        rate_hz: 12_000.0,
    };
    Block::new(head, bytes.into_boxed_slice(), 0).unwrap()
}

/// Every word of header, parameter, input and first two samples, as outputs: one a word, in this order.
const ECHO: &[(&str, u32)] = &[
    ("(f64.convert_i32_u (i32.load", 1024), // samples
    ("(f64.convert_i32_u (i32.load", 1028), // flags
    ("(f64.convert_i64_u (i64.load", 1032), // at
    ("(f64.convert_i64_u (i64.load", 1040), // sequence
    ("(f64.abs (f64.load", 1048),           // rate
    ("(f64.neg (f64.load", 1056),           // scale
    ("(f64.neg (f64.load", 1064),           // offset
    ("(f64.neg (f64.load", 1088),           // parameter
    ("(f64.neg (f64.load", 1104),           // input: value
    ("(f64.convert_i32_u (i32.load", 1112), // quality
    ("(f64.convert_i32_u (i32.load", 1116), // changed
];

fn echo(format: SampleFormat) -> (Guest<'static>, AnalyzerSpec) {
    let outputs = ECHO.len() + 2;
    let samples = 1120 + 16 * outputs;
    let mut process = String::new();
    let store = |at: usize, value: &str| {
        format!(
            "(f64.store (i32.const {at}) {value}) (i32.store (i32.const {}) (i32.const 0))",
            at + 8
        )
    };
    for (index, (load, from)) in ECHO.iter().enumerate() {
        process += &store(1120 + 16 * index, &format!("{load} (i32.const {from})))"));
    }
    for (index, step) in [0, 1].into_iter().enumerate() {
        let load = match format {
            SampleFormat::F32 => format!(
                "(f64.promote_f32 (f32.load (i32.const {})))",
                samples + 4 * step
            ),
            SampleFormat::I16 => format!(
                "(f64.convert_i32_s (i32.load16_s (i32.const {})))",
                samples + 2 * step
            ),
        };
        process += &store(1120 + 16 * (ECHO.len() + index), &load);
    }
    let guest = Guest::new(&(process + "(i64.const 0x0302)"));
    let spec = AnalyzerSpec {
        outputs: vec![(-1e9, 1e9); outputs],
        waveform: Some(WaveformSpec {
            format,
            samples_min: 2,
            samples_max: 16,
        }),
        ..spec()
    };
    (guest, spec)
}

#[test]
fn a_frame_lies_in_the_guest_as_the_abi_says() {
    let engine = Engine::new().unwrap();
    let scaling = Scaling {
        scale: 0.5,
        offset: -1.0,
    };
    for (format, header, samples) in [
        (SampleFormat::F32, [-1.0, 0.0], [4.0, -3.0]),
        (SampleFormat::I16, [-0.5, 1.0], [10.0, -4.0]),
    ] {
        let (guest, spec) = echo(format);
        let mut instance = guest.load(&engine, spec).instantiate().unwrap();
        let mut outputs = vec![OutputValue::BAD; ECHO.len() + 2];
        let block = block(&[10, -4, 7], true);
        let inputs = [INPUT];
        let mut frame = frame(&inputs);
        frame.block = Some(Samples::Received {
            block: &block,
            scaling,
        });
        let answer = instance.process(&frame, &mut outputs).unwrap();
        assert_eq!(
            answer.verdict,
            Verdict {
                level: Level::Danger,
                cause: 3
            }
        );
        let values: Vec<f64> = outputs.iter().map(|output| output.value).collect();
        // Restarted and gap; the parameter 2.5; the input 4, good, changed.
        let mut expected = vec![
            3.0, 3.0, 77.0, 31.0, 12_000.0, header[0], header[1], -2.5, -4.0, 0.0, 1.0,
        ];
        expected.extend(samples);
        assert_eq!(values, expected, "{format:?}");

        // The second frame: no block, a canary, an input that is stale, which the guest sees as 0.
        let inputs = [InputValue {
            quality: Quality::Stale,
            changed: false,
            ..INPUT
        }];
        let mut frame = guest::frame(&inputs);
        frame.flags = Flags::CANARY;
        instance.process(&frame, &mut outputs).unwrap();
        let values: Vec<f64> = outputs.iter().map(|output| output.value).collect();
        assert_eq!(
            values[..2],
            [0.0, 4.0],
            "no samples; canary and no longer restarted"
        );
        assert_eq!(values[8..11], [0.0, 3.0, 0.0], "{format:?}");
    }
}

#[test]
fn h9_an_input_that_is_not_finite_reaches_the_guest_as_bad() {
    let engine = Engine::new().unwrap();
    let (guest, spec) = echo(SampleFormat::F32);
    let mut instance = guest.load(&engine, spec).instantiate().unwrap();
    let mut outputs = vec![OutputValue::BAD; ECHO.len() + 2];
    for value in [f64::NAN, f64::INFINITY] {
        let inputs = [InputValue { value, ..INPUT }];
        instance.process(&frame(&inputs), &mut outputs).unwrap();
        assert_eq!((outputs[8].value, outputs[9].value), (0.0, 2.0), "H-9");
    }
}

#[test]
fn h21_blocks_that_do_not_fit_are_refused_before_the_guest_is_called() {
    let engine = Engine::new().unwrap();
    let scaling = Scaling::default();
    let none = AnalyzerSpec {
        waveform: None,
        ..spec()
    };
    let trap = Guest::new("unreachable");
    let mut instance = trap.load(&engine, spec()).instantiate().unwrap();
    let mut deaf = trap.load(&engine, none).instantiate().unwrap();
    let mut outputs = [OutputValue::BAD];
    let nan = f32::NAN.to_le_bytes();
    let ready = |bytes| Samples::Ready {
        bytes,
        sequence: 1,
        rate_hz: 1.0,
        scaling,
    };
    let (long, short) = (block(&[1; 17], false), block(&[1; 1], false));
    let received = |block| Samples::Received { block, scaling };
    let huge = Samples::Received {
        block: &short,
        scaling: Scaling {
            scale: 1e300,
            offset: 0.0,
        },
    };
    for (deaf_one, block, fault) in [
        (true, received(&short), AnalyzerFault::Block { samples: 1 }),
        (false, received(&long), AnalyzerFault::Block { samples: 17 }),
        (false, ready(&[0; 6]), AnalyzerFault::Block { samples: 0 }),
        (false, ready(&[]), AnalyzerFault::Block { samples: 0 }),
        (false, ready(&nan), AnalyzerFault::SampleNotFinite),
        (false, huge, AnalyzerFault::SampleNotFinite),
    ] {
        let instance = if deaf_one { &mut deaf } else { &mut instance };
        let mut frame = frame(&[INPUT]);
        frame.block = Some(block);
        assert_eq!(instance.process(&frame, &mut outputs), Err(fault), "H-21");
        assert!(!fault.instance_is_lost());
    }
    assert_eq!(
        instance.process(&frame(&[]), &mut outputs),
        Err(AnalyzerFault::Counts)
    );
    assert_eq!(
        instance.process(&frame(&[INPUT]), &mut []),
        Err(AnalyzerFault::Counts)
    );
    // None of these called it: it would have trapped.
    assert_eq!(
        run(&mut instance).0,
        Err(AnalyzerFault::Trap(TrapKind::Unreachable))
    );
}

#[test]
fn h38_every_way_to_trap_is_named_and_leaves_every_output_bad() {
    let write =
        "(f64.store (i32.const 1120) (f64.const 1)) (i32.store (i32.const 1128) (i32.const 0))";
    for (body, kind) in [
        ("unreachable", TrapKind::Unreachable),
        (
            "(drop (i32.load (i32.const 65533)))",
            TrapKind::MemoryOutOfBounds,
        ),
        (
            "(drop (i32.load (i32.const -1)))",
            TrapKind::MemoryOutOfBounds,
        ),
        (
            "(memory.fill (i32.const 65530) (i32.const 0) (i32.const 7))",
            TrapKind::MemoryOutOfBounds,
        ),
        (
            "(drop (i32.div_s (i32.const 1) (i32.load (i32.const 0))))",
            TrapKind::DivisionByZero,
        ),
        (
            "(drop (i32.rem_u (i32.const 1) (i32.load (i32.const 0))))",
            TrapKind::DivisionByZero,
        ),
        (
            "(drop (i32.div_s (i32.const 0x80000000) (i32.sub (i32.load (i32.const 0)) (i32.const 1))))",
            TrapKind::IntegerOverflow,
        ),
        (
            "(drop (i32.trunc_f64_s (f64.div (f64.const 0) (f64.load (i32.const 0)))))",
            TrapKind::BadConversion,
        ),
        (
            "(drop (i32.trunc_f32_u (f32.const -3)))",
            TrapKind::IntegerOverflow,
        ),
        (
            "(drop (call_indirect (result i64) (i32.const 1)))",
            TrapKind::IndirectCall,
        ),
        (
            "(drop (call_indirect (result i32) (i32.const 0)))",
            TrapKind::IndirectCall,
        ),
        (
            "(drop (call_indirect (result i64) (i32.const 2)))",
            TrapKind::TableOutOfBounds,
        ),
        ("(drop (call $process))", TrapKind::StackOverflow),
    ] {
        let guest = Guest {
            more: "(table 2 2 funcref) (elem (i32.const 0) $process)",
            ..Guest::new(&format!("{write} {body} (i64.const 0)"))
        };
        let mut instance = instance(&guest);
        let (result, output) = run(&mut instance);
        assert_eq!(result, Err(AnalyzerFault::Trap(kind)), "H-38: {body}");
        assert_eq!(output, OutputValue::BAD, "H-38: {body}");
    }
}

#[test]
fn h35_work_without_end_stops_when_fuel_does() {
    for body in [
        "(loop (br 0)) (i64.const 0)",
        // Work that one cheap instruction asks for is paid by its size.
        "(loop (memory.fill (i32.const 2048) (i32.const 0) (i32.const 60000)) (br 0)) (i64.const 0)",
        "(loop (memory.copy (i32.const 2048) (i32.const 4096) (i32.const 60000)) (br 0)) (i64.const 0)",
    ] {
        let mut instance = instance(&Guest::new(body));
        assert_eq!(
            run(&mut instance).0,
            Err(AnalyzerFault::FuelExceeded { fuel: 100_000 }),
            "H-35: {body}"
        );
    }
}

#[test]
fn h35_straight_code_that_uses_more_than_its_fuel_is_out_of_it_though_it_came_back() {
    let engine = Engine::new().unwrap();
    // Counts in memory what it has run through; no loop, no call: nothing looks at the fuel on the way.
    let step = "(i32.store (i32.const 0) (i32.add (i32.load (i32.const 0)) (i32.const 1)))";
    let straight = step.repeat(500);
    let guest = |fuel, part: &str| {
        let body = format!("{straight} (i64.const 0)");
        let (process, hash) = match part {
            "process" => (body.as_str(), "(i64.const 42)"),
            _ => ("(i64.const 0)", body.as_str()),
        };
        let guest = Guest {
            hash,
            ..Guest::new(process)
        };
        guest
            .load(&engine, AnalyzerSpec { fuel, ..spec() })
            .instantiate()
            .unwrap()
    };
    let full = run(&mut guest(100_000, "process")).0.unwrap().fuel;
    assert!(full > 2_000, "{full}");
    // What it uses is enough, one less is not, and it is always the same.
    for _ in 0..3 {
        let exact = run(&mut guest(full, "process")).0;
        assert_eq!(exact.map(|answer| answer.fuel), Ok(full), "H-35");
        for fuel in [full - 1, full / 2, 1] {
            let mut instance = guest(fuel, "process");
            let (result, output) = run(&mut instance);
            assert_eq!(result, Err(AnalyzerFault::FuelExceeded { fuel }), "H-35");
            assert_eq!(output, OutputValue::BAD, "H-35: {fuel}");
        }
    }
    // A hash may read all of the memory: what a frame may use says nothing of it.
    assert_eq!(guest(1, "hash").state_hash(), Ok(0));
    // A loop is ended at the same border: so many units, and not one more.
    let body = "(loop (br_if 0 (i32.lt_u (global.get $n)
        (global.set $n (i32.add (global.get $n) (i32.const 1))) (i32.const 50)))) (i64.const 0)";
    let looping = |fuel| {
        let guest = Guest {
            more: "(global $n (mut i32) (i32.const 0))",
            ..Guest::new(body)
        };
        let module = guest.load(&engine, AnalyzerSpec { fuel, ..spec() });
        run(&mut module.instantiate().unwrap()).0
    };
    let full = looping(100_000).unwrap().fuel;
    assert_eq!(looping(full).map(|answer| answer.fuel), Ok(full), "H-35");
    for fuel in [full - 1, full / 2, 1] {
        assert_eq!(
            looping(fuel),
            Err(AnalyzerFault::FuelExceeded { fuel }),
            "H-35"
        );
    }
}

#[test]
fn h35_straight_code_in_init_that_uses_more_than_its_fuel_is_refused() {
    let engine = Engine::new().unwrap();
    // Each fill costs a unit a byte; between them nothing looks at the fuel.
    let fills = "(memory.fill (i32.const 2048) (i32.const 0) (i32.const 60000))".repeat(4_000);
    let init = format!("{fills} (i32.const 0)");
    let guest = Guest {
        init: &init,
        ..Guest::new("(i64.const 0)")
    };
    let error = guest.load(&engine, spec()).instantiate().map(|_| ());
    let fuel = rt_config::limits::ANALYZER_INIT_FUEL;
    assert!(
        matches!(
            &error,
            Err(AnalyzerError::Call { function: "tl_init", fault }) if *fault == AnalyzerFault::FuelExceeded { fuel }
        ),
        "H-35: {error:?}"
    );
}

#[test]
fn h35_what_has_fuel_left_stops_at_its_deadline() {
    let engine = Engine::new().unwrap();
    let spec = AnalyzerSpec {
        fuel: rt_config::limits::ANALYZER_FUEL_MAX,
        deadline: DurNs::from_ms(2),
        ..spec()
    };
    let guest = Guest::new("(loop (br 0)) (i64.const 0)");
    let mut instance = guest.load(&engine, spec).instantiate().unwrap();
    let ticker = engine.ticker();
    let stop = std::sync::atomic::AtomicBool::new(false);
    let result = std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                ticker.tick();
                std::thread::yield_now();
            }
        });
        let result = run(&mut instance).0;
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
        result
    });
    assert_eq!(result, Err(AnalyzerFault::Deadline), "H-35");
}

#[test]
fn h35_ticks_before_a_call_are_not_counted_against_it() {
    let engine = Engine::new().unwrap();
    let guest = Guest::new("(i64.const 0)");
    let mut instance = guest.load(&engine, spec()).instantiate().unwrap();
    for _ in 0..100 {
        for _ in 0..1_000 {
            engine.ticker().tick();
        }
        assert!(
            run(&mut instance).0.is_ok(),
            "H-35: each call has its own deadline"
        );
    }
}

#[test]
fn h39_a_verdict_or_output_outside_the_abi_is_nonsense() {
    let output = |value: &str, quality: i32, reserved: i32| {
        format!(
            "(f64.store (i32.const 1120) {value}) (i32.store (i32.const 1128) (i32.const {quality}))
             (i32.store (i32.const 1132) (i32.const {reserved}))"
        )
    };
    let good = output("(f64.const 100)", 0, 0);
    for (body, verdict, expected) in [
        (&good, "0", Ok(())),
        (&good, "0x0302", Ok(())),
        (&output("(f64.const -100)", 1, 0), "1", Ok(())),
        // A bad output's value means nothing.
        (&output("(f64.const nan)", 2, 0), "0", Ok(())),
        (&String::new(), "0", Ok(())),
        (&good, "3", Err(AnalyzerFault::NonsenseVerdict(3))),
        (&good, "0x0100", Err(AnalyzerFault::NonsenseVerdict(0x100))),
        (&good, "0x0402", Err(AnalyzerFault::NonsenseVerdict(0x402))),
        (&good, "-1", Err(AnalyzerFault::NonsenseVerdict(u64::MAX))),
        (
            &good,
            "0x10000",
            Err(AnalyzerFault::NonsenseVerdict(0x1_0000)),
        ),
        (
            &output("(f64.const 100.001)", 0, 0),
            "0",
            Err(nonsense(OutputFault::OutOfRange)),
        ),
        (
            &output("(f64.const -101)", 1, 0),
            "0",
            Err(nonsense(OutputFault::OutOfRange)),
        ),
        (
            &output("(f64.const inf)", 0, 0),
            "0",
            Err(nonsense(OutputFault::NotFinite)),
        ),
        (
            &output("(f64.const nan)", 1, 0),
            "0",
            Err(nonsense(OutputFault::NotFinite)),
        ),
        (
            &output("(f64.const 1)", 3, 0),
            "0",
            Err(nonsense(OutputFault::Quality)),
        ),
        (
            &output("(f64.const 1)", -1, 0),
            "0",
            Err(nonsense(OutputFault::Quality)),
        ),
        (
            &output("(f64.const 1)", 0, 1),
            "0",
            Err(nonsense(OutputFault::Reserved)),
        ),
        (
            &output("(f64.const 1)", 2, 1),
            "0",
            Err(nonsense(OutputFault::Reserved)),
        ),
    ] {
        let mut instance = instance(&Guest::new(&format!("{body} (i64.const {verdict})")));
        let (result, output) = run(&mut instance);
        assert_eq!(result.map(|_| ()), expected, "H-39: {body} {verdict}");
        if let Err(fault) = result {
            assert!(fault.instance_is_lost(), "H-39");
            assert_eq!(output, OutputValue::BAD, "H-39: {body} {verdict}");
        }
    }
}

fn nonsense(what: OutputFault) -> AnalyzerFault {
    AnalyzerFault::NonsenseOutput { index: 0, what }
}

#[test]
fn an_output_that_is_not_written_again_is_bad_again() {
    // Writes in its first frame only.
    let mut instance = instance(&Guest::new(
        "(if (i32.and (i32.load (i32.const 1028)) (i32.const 1))
           (then (f64.store (i32.const 1120) (f64.const 3)) (i32.store (i32.const 1128) (i32.const 0))))
         (i64.const 0)",
    ));
    let first = run(&mut instance).1;
    assert_eq!((first.value, first.quality), (3.0, Quality::Good));
    assert_eq!(run(&mut instance).1, OutputValue::BAD);
}

#[test]
fn h48_what_does_not_set_itself_up_as_the_abi_says_is_refused() {
    let engine = Engine::new().unwrap();
    let base = || Guest::new("(i64.const 0)");
    let counter = "(global $n (mut i32) (i32.const 0))";
    type Expected = fn(&AnalyzerError) -> bool;
    let refused: Vec<(Guest, Expected)> = vec![
        (
            Guest {
                area: "(i32.const 1032)",
                ..base()
            },
            |e| matches!(e, AnalyzerError::Area { address: 1032, .. }),
        ),
        (
            Guest {
                area: "(i32.const 65488)",
                ..base()
            },
            |e| {
                matches!(
                    e,
                    AnalyzerError::Area {
                        bytes: 176,
                        memory: 65536,
                        ..
                    }
                )
            },
        ),
        (
            Guest {
                area: "(i32.const -16)",
                ..base()
            },
            |e| {
                matches!(
                    e,
                    AnalyzerError::Area {
                        address: 0xFFFF_FFF0,
                        ..
                    }
                )
            },
        ),
        (
            Guest {
                area: "(global.set $n (i32.add (global.get $n) (i32.const 16))) (global.get $n)",
                more: counter,
                ..base()
            },
            |e| matches!(e, AnalyzerError::Area { address: 32, .. }),
        ),
        (
            Guest {
                init: "(i32.const 1)",
                ..base()
            },
            |e| matches!(e, AnalyzerError::Param(1)),
        ),
        (
            Guest {
                init: "(i32.const -1)",
                ..base()
            },
            |e| matches!(e, AnalyzerError::Combination),
        ),
        (
            Guest {
                init: "(i32.const 2)",
                ..base()
            },
            |e| matches!(e, AnalyzerError::Init(2)),
        ),
        (
            Guest {
                init: "(i32.const -2)",
                ..base()
            },
            |e| matches!(e, AnalyzerError::Init(-2)),
        ),
        (
            Guest {
                init: "unreachable",
                ..base()
            },
            |e| {
                matches!(
                    e,
                    AnalyzerError::Call {
                        function: "tl_init",
                        fault: AnalyzerFault::Trap(TrapKind::Unreachable)
                    }
                )
            },
        ),
        (
            Guest {
                init: "(loop (br 0)) (i32.const 0)",
                ..base()
            },
            |e| {
                matches!(
                    e,
                    AnalyzerError::Call {
                        function: "tl_init",
                        fault: AnalyzerFault::FuelExceeded { .. }
                    }
                )
            },
        ),
        (
            Guest {
                area: "(loop (br 0)) (i32.const 0)",
                ..base()
            },
            |e| {
                matches!(
                    e,
                    AnalyzerError::Call {
                        function: "tl_area",
                        fault: AnalyzerFault::FuelExceeded { .. }
                    }
                )
            },
        ),
        // A segment that does not fit.
        (
            Guest {
                more: "(data (i32.const 65535) \"ab\")",
                ..base()
            },
            |e| matches!(e, AnalyzerError::Instantiate(_)),
        ),
    ];
    for (index, (guest, expected)) in refused.iter().enumerate() {
        let error = guest
            .load(&engine, spec())
            .instantiate()
            .map(|_| ())
            .unwrap_err();
        assert!(expected(&error), "H-48: {index}: {error}");
    }
    // The parameter is there when tl_init looks.
    let guest = Guest {
        init: "(i32.ne (i32.trunc_f64_s (f64.mul (f64.load (i32.const 1088)) (f64.const 2))) (i32.const 5))",
        ..base()
    };
    assert!(guest.load(&engine, spec()).instantiate().is_ok());
}

#[test]
fn h36_h48_a_module_without_the_abi_is_not_loaded() {
    let engine = Engine::new().unwrap();
    let load = |wasm: &[u8], spec| {
        let native = compile(&engine, wasm).unwrap();
        #[expect(unsafe_code, reason = "loading machine code")]
        // SAFETY: the bytes were made by `compile` in the line above and not touched since.
        let code = unsafe { NativeCode::vouch(&native) };
        appliance_sandbox::AnalyzerModule::load(&engine, &code, spec).map(|_| ())
    };
    let base = || Guest::new("(i64.const 0)");
    for memory in ["1", "1 2", "17 17"] {
        let error = load(&Guest { memory, ..base() }.wasm(), spec()).unwrap_err();
        assert!(
            matches!(error, AnalyzerError::Memory { .. }),
            "H-36: {memory}: {error}"
        );
    }
    assert!(
        load(
            &Guest {
                memory: "16 16",
                ..base()
            }
            .wasm(),
            spec()
        )
        .is_ok()
    );
    for (from, to) in [
        ("tl_area", "tl_arex"),
        ("tl_init", "tl_inix"),
        ("tl_process", "tl_procesx"),
        ("tl_state_hash", "tl_state_hasx"),
    ] {
        let wasm = base().wasm();
        let at = wasm
            .windows(from.len())
            .position(|window| window == from.as_bytes())
            .unwrap();
        let mut other = wasm.clone();
        other[at..at + to.len()].copy_from_slice(to.as_bytes());
        assert!(
            matches!(load(&other, spec()), Err(AnalyzerError::Export(name)) if name == from),
            "H-48: {from}"
        );
    }
    let import = wat::parse_str("(module (import \"env\" \"now\" (func (result i64))))").unwrap();
    assert!(
        matches!(load(&import, spec()), Err(AnalyzerError::Imports(1))),
        "H-48"
    );
    for bad in [
        AnalyzerSpec { fuel: 0, ..spec() },
        AnalyzerSpec {
            params: vec![f64::NAN],
            ..spec()
        },
        AnalyzerSpec {
            outputs: vec![],
            ..spec()
        },
        AnalyzerSpec {
            outputs: vec![(1.0, 0.0)],
            ..spec()
        },
        AnalyzerSpec {
            outputs: vec![(0.0, f64::INFINITY)],
            ..spec()
        },
        AnalyzerSpec {
            outputs: vec![(0.0, 1.0); 33],
            ..spec()
        },
    ] {
        assert!(
            matches!(
                load(&base().wasm(), bad.clone()),
                Err(AnalyzerError::Spec(_))
            ),
            "{bad:?}"
        );
    }
}

#[test]
fn the_same_frames_use_the_same_fuel_and_end_in_the_same_state() {
    // Counts its frames; the count is its state.
    let guest = Guest {
        more: "(global $n (mut i64) (i64.const 0))",
        hash: "(global.get $n)",
        ..Guest::new("(global.set $n (i64.add (global.get $n) (i64.const 1))) (i64.const 0)")
    };
    let (mut a, mut b) = (instance(&guest), instance(&guest));
    for frames in 1..=5 {
        assert_eq!(run(&mut a), run(&mut b));
        assert_eq!(a.state_hash(), Ok(frames));
        assert_eq!(a.state_hash(), b.state_hash());
    }
}

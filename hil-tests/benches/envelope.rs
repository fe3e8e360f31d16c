//! `cargo bench -p hil-tests --bench envelope`: the envelope spectrum of 4,096 samples in a guest, beside the same sources
//! compiled natively. Asked: the guest takes at most 2.5 times as long.
//!
//! Both get the same blocks in turns, so that what disturbs one disturbs the other; the medians are compared.
#![forbid(unsafe_code)]
#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::panic,
    reason = "a program for people"
)]

use std::process::ExitCode;
use std::time::Instant;

use appliance_sandbox::{
    AnalyzerModule, AnalyzerSpec, Engine, Frame, InputValue, OutputValue, Samples, WaveformSpec,
};
use drivers_frame::{DurNs, MonoNs, Quality, Scaling};
use rules_analyzers_dsp::bearing::Bearing;
use rules_sdk_abi::Flags;
use tripline_analyzer::{Header, Instance, Slot};

const RATIO_MAX: f64 = 2.5;
const BLOCK: usize = 4096;
const CALLS: usize = 2_001;
/// A 6205 in inches, the band and limits of the defaults, records of the block's length, no averaging over more than 4.
const PARAMS: [f64; 15] = [
    9.0, 0.3126, 1.537, 0.0, 2000.0, 0.0, 4096.0, 4.0, 1.0, 3.0, 8.0, 0.0, 2.0, 3.0, 60.0,
];
const RATE: f64 = 12_000.0;
const RPM: f64 = 1796.0;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    if args.is_empty() {
        println!("nothing measured: run `cargo bench -p hil-tests --bench envelope`");
        return ExitCode::SUCCESS;
    }
    println!("Machine protection and supervisory stop, not a certified safety component.\n");
    let mut state = 1_u32;
    let samples: Vec<f32> = (0..BLOCK)
        .map(|at| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let impulse = if at % 111 == 0 { 2.0 } else { 0.0 };
            (state >> 16) as f32 / 65_536.0 - 0.5 + impulse
        })
        .collect();
    let bytes: Vec<u8> = samples.iter().flat_map(|s| s.to_le_bytes()).collect();

    let mut native = Box::new(Instance::<Bearing, 15, 1, 6, 16_384>::new());
    native.area.params = PARAMS;
    assert_eq!(native.init(), 0);
    let mut call_native = |sequence: usize| {
        native.area.header = Header {
            samples: u32::try_from(BLOCK).unwrap(),
            sequence: sequence as u64,
            rate_hz: RATE,
            ..Header::EMPTY
        };
        native.area.samples[..BLOCK].copy_from_slice(&samples);
        native.area.inputs = [Slot {
            value: RPM,
            quality: 0,
            changed: 1,
        }];
        native.area.outputs.fill(Slot::BAD);
        native.process();
    };

    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../rules/analyzers/guests/bearing/bearing.wasm"
    );
    let wasm = std::fs::read(path).unwrap();
    let metadata = rules_sdk_gate::inspect(&wasm).unwrap().metadata;
    let engine = Engine::new().unwrap();
    let waveform = metadata.waveform.unwrap();
    let spec = AnalyzerSpec {
        params: PARAMS.to_vec(),
        inputs: 1,
        outputs: metadata.outputs.iter().map(|o| (o.min, o.max)).collect(),
        waveform: Some(WaveformSpec {
            format: waveform.format,
            samples_min: waveform.samples_min,
            samples_max: waveform.samples_max,
        }),
        causes: u8::try_from(metadata.causes.len()).unwrap(),
        fuel: metadata.worst_case.fuel,
        deadline: DurNs::from_ms(60_000),
    };
    let mut guest = AnalyzerModule::from_wasm(&engine, &wasm, spec)
        .unwrap()
        .instantiate()
        .unwrap();
    let mut outputs = [OutputValue::BAD; 6];
    let inputs = [InputValue {
        value: RPM,
        quality: Quality::Good,
        changed: true,
    }];
    let mut call_guest = |sequence: usize| {
        let frame = Frame {
            at: MonoNs::from_ns(0),
            flags: Flags::default(),
            inputs: &inputs,
            block: Some(Samples::Ready {
                bytes: &bytes,
                sequence: sequence as u64,
                rate_hz: RATE,
                scaling: Scaling {
                    scale: 1.0,
                    offset: 0.0,
                },
            }),
        };
        guest.process(&frame, &mut outputs).unwrap().fuel
    };

    let (mut natives, mut guests, mut fuel) = (Vec::new(), Vec::new(), 0);
    for sequence in 0..CALLS {
        let start = Instant::now();
        call_native(sequence);
        let middle = Instant::now();
        fuel = call_guest(sequence);
        natives.push(middle.duration_since(start).as_secs_f64() * 1e6);
        guests.push(middle.elapsed().as_secs_f64() * 1e6);
    }
    let (native, guest) = (median(natives), median(guests));
    // After the first, each block completes two records, for they overlap by half.
    println!(
        "a call with a block of {BLOCK}: two envelope spectra of 4,096 samples and their four lines"
    );
    println!(
        "{:>12} {:>12} {:>8} {:>12} {:>12}",
        "native us", "guest us", "ratio", "fuel", "ns per fuel"
    );
    let ratio = guest / native;
    println!(
        "{native:>12.0} {guest:>12.0} {ratio:>8.2} {fuel:>12} {:>12.3}",
        guest * 1e3 / fuel as f64
    );
    println!("\nasked: at most {RATIO_MAX} x");
    if ratio <= RATIO_MAX {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

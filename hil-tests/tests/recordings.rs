//! Real recordings through the whole product: a sensor that is not ours publishes blocks, the broker passes them on, the guard
//! hands each one to an analyzer that we ship, and what that says stops the machine.
//!
//! The recordings are not in the repository: `TRIPLINE_DATA` names their folder, by default `../shared/data` from the
//! project's root. Played faster than they were recorded, which the pack's missing `period` allows.
#![forbid(unsafe_code)]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "the lint's exception for tests does not reach the helpers of a test program"
)]

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use appliance_cli::build;
use appliance_cli::install::Unsigned;
use drivers_sim::image::Table;
use drivers_sim::wave::{
    PayloadForm, SampleForm, SequenceForm, Signal, WavePublisher, WaveTopic, recording,
};
use hil_tests::guard::{Guard, wait_until};
use hil_tests::hostile::Device;
use hil_tests::stand::{output, rule, tag};

const COUNT: usize = 4_096;
/// The register with the shaft's speed: both recordings are at 1,796 rpm.
const SPEED: u16 = 1;
const RPM: u16 = 1_796;
const TOPIC: &str = "pump/vibration";

fn pack(device: u16, broker: u16) -> String {
    format!(
        "tripline: 1\n\
         pack: {{ name: recordings }}\n\
         lanes:\n  main: {{ wait: park }}\n\
         devices:\n\
         \x20 io:\n    modbus: {{ host: 127.0.0.1, port: {device}, poll: 10ms, addressing: zero_based }}\n\
         \x20 daq:\n    mqtt: {{ host: 127.0.0.1, port: {broker}, client_id: recordings }}\n\
         tags:\n\
         \x20 speed: {{ device: io, register: {{ table: holding, address: {SPEED} }}, type: u16, unit: rpm, range: [0, 4000], stale_after: 5s }}\n\
         waveforms:\n\
         \x20 vibration: {{ device: daq, topic: {TOPIC}, first: 4, sequence: {{ offset: 0, type: u32 }}, type: f32, byte_order: little, rate: 12 kHz, samples: {COUNT}, unit: g, stale_after: 20s }}\n\
         outputs:\n  run: {{ device: io, coil: 0, refresh: 50ms, confirm_within: 400ms }}\n\
         analyzers:\n\
         \x20 bearing: {{ module: guests/bearing/bearing.wasm, inputs: {{ speed: speed }}, waveform: vibration, class: safety, deadline: 500ms, verdict: {{ stops: [run], deadline: 120s }},\n\
         \x20   params: {{ balls: 9, ball-diameter: 7.94 mm, pitch-diameter: 39.04 mm, averages: 2 }} }}\n\
         rules:\n  - {{ id: outer-race, when: bearing.class == 2, level: danger, stops: [run], deadline: 120s, message: outer race }}\n"
    )
}

/// The pack's bundle; its modules are those of the repository, which nobody has signed.
fn bundle(yaml: &str) -> Vec<u8> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../rules/analyzers/recordings.yaml");
    // Nor the pack: the guard is told that it may.
    let checked = build::check_bytes_with(&beside, yaml.as_bytes(), Unsigned::Allowed)
        .unwrap_or_else(|error| panic!("{error}\n{error:?}\n{yaml}"));
    build::compile(checked, &rules_bundle::testing::key())
        .expect("it compiles")
        .bytes
}

#[test]
fn a_recorded_outer_race_fault_stops_the_machine_and_a_healthy_bearing_does_not() {
    let read =
        |file: &str| recording(file).inspect_err(|missing| eprintln!("NOT TESTED: {missing}"));
    let (Ok(healthy), Ok(damaged)) = (
        read("cwru/097_normal_0hp_DE_12kderived_a.f32"),
        read("cwru/130_OR007at6_0hp_DE_12k.f32"),
    ) else {
        return;
    };
    let device = Device::default();
    device.set(Table::HoldingRegister, SPEED, RPM);
    let broker = drivers_sim::broker::start(0).unwrap();
    let broken = Arc::new(AtomicBool::new(false));
    let signal = {
        let broken = Arc::clone(&broken);
        Signal::computed(move |n| {
            let samples = if broken.load(Ordering::Acquire) {
                &damaged
            } else {
                &healthy
            };
            samples[n as usize % samples.len()]
        })
    };
    let topic = WaveTopic {
        topic: TOPIC.into(),
        at_least_once: true,
        form: PayloadForm {
            count: COUNT,
            samples: SampleForm::F32,
            header: 4,
            little_endian: true,
            sequence: Some(SequenceForm {
                offset: 0,
                bytes: 4,
            }),
        },
        period: Duration::from_millis(40),
        first_sequence: 0,
    };
    let sensor = WavePublisher::start(broker.address(), topic, signal).unwrap();
    let yaml = pack(device.address().port(), broker.address().port());
    let guard = Guard::start_with(&bundle(&yaml), &["--allow-unsigned"]);
    wait_until("the guard is armed", || {
        let _ = guard.reset();
        guard.status().state.permits() && device.coil(0)
    });
    // As long as the damage will take, and more: a hundred blocks.
    let until = sensor.blocks() + 100;
    wait_until("a hundred healthy blocks", || sensor.blocks() >= until);
    assert!(device.coil(0), "a healthy bearing stops nothing");
    assert_eq!(tag(&guard, "bearing.class").value, Some(0.0));

    broken.store(true, Ordering::Release);
    wait_until("the machine is stopped", || !device.coil(0));
    let status = guard.status();
    let run = output(&status, "run");
    assert_eq!(run.first_out.as_deref(), Some("condition"));
    assert_eq!(rule(&status, "outer-race").cause, "condition");
    assert_eq!(status.lane_allocations, 0, "I11");
    assert_eq!(guard.terminate(), Some(0));
}

//! `cargo bench -p hil-tests --bench stop_latency`: over-limit reply to stop write, Tripline between the floor and its
//! peers. What is measured, how, and what the figures do not say: `docs/benchmarks.md`.
#![forbid(unsafe_code)]

use std::process::ExitCode;

use hil_tests_rig::{Entry, Options, Road, Role};

fn main() -> ExitCode {
    if std::env::args_os().len() == 1 {
        return not_asked();
    }
    hil_tests_rig::run(tripline)
}

/// `cargo test --all-targets` runs benchmarks too, without an argument: minutes on two spinning cores are not a test.
#[expect(clippy::print_stdout, reason = "a program for people")]
fn not_asked() -> ExitCode {
    println!("nothing measured: run `cargo bench -p hil-tests --bench stop_latency`, or give options (--help)");
    ExitCode::SUCCESS
}

/// The packs that Tripline is measured with. A pack that cannot be run is a line of the report that says so, and none
/// of its gates is passed.
fn tripline(_: &Options) -> Vec<Entry> {
    let modbus = [1, 100, 1_000].map(|rules| {
        let name = format!("tripline-{rules}");
        left_out(Road::Modbus, rules, name)
    });
    let mqtt = left_out(Road::Mqtt, 1, "tripline-mqtt".to_owned());
    modbus.into_iter().chain([mqtt]).collect()
}

fn left_out(road: Road, rules: u32, name: String) -> Entry {
    Entry::left_out(
        road,
        Role::Tripline { rules },
        name,
        "this benchmark does not start the guard: it has no hil_tests_rig::SystemUnderTest for it",
    )
}

//! The analyzers we ship, as the modules that are committed, in the product's sandbox: what they answer is to the bit what the
//! same sources answer natively, on the recordings (`TRIPLINE_DATA`) and on frames made by arithmetic, and no frame costs
//! more fuel than their metadata says.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "these are tests"
)]

#[path = "../../../rules/analyzers/dsp/tests/recordings/feeds.rs"]
mod feeds;
mod guest;
#[path = "../../../rules/analyzers/dsp/tests/recordings/host.rs"]
mod host;
mod made;
mod pack;

use feeds::{
    CWRU, SKAB, cavitation_params, cwru, femto_snapshots, femto_trend, hotelling_params, skab,
    watch_params,
};
use guest::Module;

#[test]
fn recordings_of_bearings_give_the_same_bits_natively_and_in_guests() {
    let (bearing, vibration) = (Module::of("bearing"), Module::of("vibration"));
    for index in 0..CWRU.len() {
        let Some(feed) = cwru(index) else { return };
        bearing.compare::<host::Bearing>(&feed);
    }
    for channel in ["horizontal", "vertical"] {
        let Some(feed) = femto_snapshots(channel) else {
            return;
        };
        vibration.compare::<host::Vibration>(&feed);
    }
}

#[test]
fn the_run_to_failure_gives_the_same_bits_natively_and_in_a_guest() {
    let baseline = Module::of("baseline");
    for column in [2, 5] {
        let Some(feed) = femto_trend(column) else {
            return;
        };
        baseline.compare::<host::Baseline>(&feed);
    }
}

#[test]
fn experiments_at_a_pump_give_the_same_bits_natively_and_in_guests() {
    let hotelling = Module::of("hotelling");
    let watch = Module::of("process-watch");
    let cavitation = Module::of("cavitation");
    for index in 0..SKAB.len() {
        let Some(mut feed) = skab(index, &[0, 1, 7], hotelling_params()) else {
            return;
        };
        for step in &mut feed.steps {
            step.inputs.resize(8, feeds::good(0.0));
        }
        hotelling.compare::<host::Hotelling>(&feed);
        let feed = skab(index, &[7], watch_params()).unwrap();
        watch.compare::<host::ProcessWatch>(&feed);
        let feed = skab(index, &[0, 7, 3], cavitation_params()).unwrap();
        cavitation.compare::<host::Cavitation>(&feed);
    }
}

/// Frames that need no recordings, among them those that cost most; H-35: the fuel that the metadata names suffices, and is no
/// more than half as much again as was measured.
#[test]
fn h35_no_frame_costs_more_fuel_than_the_metadata_says_and_every_bit_is_the_native_one() {
    for (name, most) in made::every() {
        let stated = Module::of(name).metadata.worst_case.fuel;
        println!("{name}: {most} of {stated} fuel");
        assert!(
            most <= stated,
            "H-35: {name} used {most}, its metadata says {stated}"
        );
        assert!(
            stated <= most + most / 2,
            "{name}: {stated} for {most} holds nothing"
        );
    }
}

//! What `check` says about reaction times, and cause and effect as `matrix` prints it.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a helper of a test fails as its test does"
)]

use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;

/// Standard output of a command that succeeds.
#[track_caller]
fn tripline(args: &[&str], pack: &str) -> String {
    let pack = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../rules/packs")
        .join(pack);
    let (command, options) = args.split_first().unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_tripline"))
        .arg(command)
        .arg(pack)
        .args(options)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// The cells of the first line that starts with `name`.
#[track_caller]
fn row(text: &str, name: &str) -> Vec<String> {
    let line = text
        .lines()
        .find(|line| line.split_whitespace().next() == Some(name))
        .unwrap_or_else(|| panic!("no row {name}:\n{text}"));
    let cells = line.split("  ").map(str::trim);
    cells
        .filter(|cell| !cell.is_empty())
        .map(str::to_owned)
        .collect()
}

#[test]
fn check_shows_every_term_the_sum_the_deadline_and_the_margin() {
    let text = tripline(&["check"], "pump-minimal.yaml");
    assert!(
        text.contains("overpressure (lane main): 153.001 ms of 160.000 ms, 6.999 ms to spare"),
        "{text}"
    );
    for (term, cells) in [
        (
            "acquisition",
            ["acquisition", "pump.pressure", "40.000 ms", "-"],
        ),
        (
            "stale_after",
            ["stale_after", "pump.pressure", "-", "60.000 ms"],
        ),
        (
            "confirm_within",
            ["confirm_within", "pump_run", "40.000 ms", "40.000 ms"],
        ),
        (
            "device_time",
            ["device_time", "pump_run", "20.000 ms", "20.000 ms"],
        ),
    ] {
        assert_eq!(row(&text, term), cells, "{text}");
    }
    assert_eq!(row(&text, "sum"), ["sum", "153.001 ms", "143.001 ms"]);
    assert!(text.contains("largest: for, 50.000 ms"), "{text}");
    assert!(text.contains("not a certified safety component"), "{text}");
    let text = tripline(&["check"], "turbine-2oo3.yaml");
    assert!(
        text.contains("half of the process safety time: 200.000 ms, within"),
        "{text}"
    );
}

#[test]
fn the_matrix_says_who_is_stopped_by_what_and_how() {
    let text = tripline(&["matrix"], "turbine-2oo3.yaml");
    let overspeed = row(&text, "overspeed");
    assert_eq!(overspeed[2], "2oo3 of speed_a, speed_b, speed_c");
    assert_eq!(overspeed[6..], ["X", "X", "E", ".", "."], "{text}");
    assert_eq!(row(&text, "shaft_vibration")[2], "1oo1");
    assert_eq!(row(&text, "shaft_vibration")[3], "3 of 5 in 100 ms");
    assert!(row(&text, "oil_pressure_low")[4].starts_with("inhibit while turbine.starting"));
    let mist = row(&text, "oil_mist_fire");
    assert_eq!(mist[6..], [".", ".", ".", "X", "G +2.00 s"], "{text}");
    assert_eq!(row(&text, "fan_power")[2], "1, 2.00 s after fan_stop");
    assert!(row(&text, "trip_valve_1").contains(&"main_stop".to_owned()));
    assert_eq!(row(&text, "overspeed_near")[6..], [".", ".", ".", ".", "."]);
}

#[test]
fn the_matrix_as_json_holds_every_rule_and_output() {
    let text = tripline(&["matrix", "--format", "json"], "turbine-2oo3.yaml");
    let matrix: Value = serde_json::from_str(&text).unwrap();
    let lane = &matrix["lanes"][0];
    assert_eq!(lane["rules"].as_array().unwrap().len(), 8);
    assert_eq!(lane["outputs"].as_array().unwrap().len(), 5);
    let overspeed = &lane["rules"][1];
    assert_eq!(overspeed["id"], "overspeed");
    assert_eq!(overspeed["vote"]["need"], 2);
    assert_eq!(overspeed["vote"]["channels"][2], "speed_c");
    assert_eq!(overspeed["effects"][2]["by"], "escalation");
    let deadline = overspeed["deadline_ns"].as_u64().unwrap();
    assert!(overspeed["worst_case_ns"].as_u64().unwrap() <= deadline);
    let power = &lane["outputs"][4];
    assert_eq!(
        (&power["category"], &power["controlled_by"]),
        (&1.into(), &"fan_stop".into())
    );
    assert_eq!(power["power_off_after_ns"], 2_000_000_000_u64);
}

#[test]
fn a_pack_with_errors_has_no_matrix() {
    let dir = tempfile::tempdir().unwrap();
    let pack = dir.path().join("bad.yaml");
    std::fs::write(&pack, "tripline: 1\n").unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_tripline"))
        .arg("matrix")
        .arg(&pack)
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(output.stdout.is_empty(), "nothing looks like success");
}

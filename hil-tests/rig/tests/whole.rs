//! The rig as people run it: its own program, children on their core, a report and a file.
#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests: a panic is the test's failure"
)]

use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

fn rig(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_stop-latency-rig"))
        .args(arguments)
        .output()
        .unwrap()
}

fn measured(systems: &str, json: &Path) -> (Output, Value) {
    let arguments = [
        "--rounds",
        "1",
        "--trials",
        "20",
        "--warm-up",
        "2",
        // Whether it works is asked here, on whatever machine this is, not whether it was alone.
        "--stolen-max-ms",
        "1000000",
        "--waited-max-percent",
        "1000",
        "--python",
        "/nonexistent/python",
        "--systems",
        systems,
        "--json",
    ];
    let json_path = json.display().to_string();
    let output = rig(&[&arguments[..], &[json_path.as_str()]].concat());
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}");
    let report = serde_json::from_slice(&std::fs::read(json).unwrap()).unwrap();
    (output, report)
}

fn system<'a>(report: &'a Value, name: &str) -> &'a Value {
    let systems = report["systems"].as_array().unwrap();
    systems.iter().find(|s| s["name"] == name).unwrap()
}

fn two_cores() -> bool {
    std::thread::available_parallelism().is_ok_and(|n| n.get() >= 2)
}

// One test: two runs at once would share their two cores.
#[test]
fn children_are_measured_on_both_roads_and_what_is_missing_is_said() {
    if !two_cores() {
        let refused = rig(&["--quick"]);
        assert!(!refused.status.success());
        assert!(String::from_utf8_lossy(&refused.stderr).contains("one each"));
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let json = folder.path().join("a/b.json");

    let (output, report) = measured("floor-spinning,tokio-modbus,pymodbus", &json);
    for name in ["floor-blocking", "floor-spinning", "tokio-modbus"] {
        let line = system(&report, name);
        assert_eq!(
            (&line["trials"], &line["missed"]),
            (&20.into(), &0.into()),
            "{line:#}"
        );
        assert!(line["stop"]["p50_ns"].as_u64() > Some(0));
        assert!(line["times_floor_p50"]["median"].as_f64() > Some(0.0));
    }
    assert_eq!(system(&report, "pymodbus")["trials"], 0);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        text.contains("pymodbus           LEFT OUT: /nonexistent/python"),
        "{text}"
    );
    assert!(text.contains("not a certified safety component"));

    let (_, report) = measured("rumqttc", &json);
    let line = system(&report, "rumqttc");
    if line["left_out"].is_null() {
        assert_eq!(
            (&line["trials"], &line["missed"]),
            (&20.into(), &0.into()),
            "{line:#}"
        );
    } else {
        assert!(line["left_out"].as_str().unwrap().contains("mosquitto"));
    }

    let gated = rig(&[
        "--rounds",
        "1",
        "--trials",
        "1",
        "--systems",
        "floor-blocking",
        "--gate",
        "--json",
        "/dev/null",
    ]);
    assert!(
        !gated.status.success(),
        "a gate without anything gated is not passed"
    );
}

#[test]
fn a_name_that_is_not_there_is_refused_with_those_that_are() {
    let refused = rig(&["--systems", "floor-blocking,triplin"]);
    assert!(!refused.status.success());
    let text = String::from_utf8_lossy(&refused.stderr).into_owned();
    if two_cores() {
        assert!(
            text.contains("`triplin`") && text.contains("tokio-modbus"),
            "{text}"
        );
    }
}

#[test]
fn a_pinned_program_keeps_its_output_and_a_missing_one_is_named() {
    let output = rig(&["sut", "pinned", "--cpu", "0", "--", "/nonexistent/program"]);
    assert!(!output.status.success());
    assert!(String::from_utf8_lossy(&output.stderr).contains("/nonexistent/program"));
}

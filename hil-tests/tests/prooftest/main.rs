//! `tripline prooftest --simulate`, end to end: the real guard against the pack's simulated devices. Paths that are right
//! pass; a welded contactor and a gateway that does nothing are found; a report that was touched is refused.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests"
)]

mod analyzers;
mod inputs;

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Output, Stdio};

use appliance_cli::build::{Checked, check_bytes};
use appliance_cli::prooftest::{Faults, Mode, Outcome, Report, simulate, verify};
use hil_tests::guard::Guard;
use hil_tests::hostile::Device;
use hil_tests::stand::{DANGER, HEALTHY, Setup, Stand};
use hil_tests::{binaries, packs};
use rules_bundle::Vouched;

/// Deadlines that a busy machine keeps: this test is of paths, not of speed.
const PACK: &str = r#"tripline: 1
pack: { name: small, version: "1" }
lanes: { main: { wait: park } }
devices:
  io:
    modbus: { host: 192.0.2.10, poll: 10ms, timeout: 500ms, addressing: zero_based }
  sensors:
    modbus: { host: 192.0.2.11, poll: 10ms, timeout: 200ms, addressing: zero_based }
tags:
  pressure: { device: sensors, register: { table: input, address: 4 }, type: u16, scale: 0.01, unit: bar, range: [0.2, 16], stale_after: 1s }
  door.closed: { device: io, discrete: 3, stale_after: 1s }
  contactor.open: { device: io, discrete: 0, stale_after: 1s }
outputs:
  run: { device: io, coil: 0, refresh: 50ms, confirm_within: 500ms, device_time: 10ms, watchdog: none, read_back: { every: 50ms, within: 1s }, feedback: { tag: contactor.open, safe: true, within: 2s } }
  lamp: { device: io, register: 9, run: 1, safe: 2, refresh: 50ms, confirm_within: 500ms, device_time: 10ms, watchdog: none, read_back: { every: 50ms, within: 1s } }
rules:
  - { id: overpressure, when: pressure > 8 bar, level: danger, stops: [run, lamp], deadline: 10s, message: too much }
  - { id: door, when: "!door.closed", level: danger, stops: [run], deadline: 10s, message: open }
  - { id: high, when: pressure > 6 bar, level: alert, message: much }
"#;

fn checked() -> Checked {
    check_bytes(Path::new("small.yaml"), PACK.as_bytes()).expect("it loads")
}

fn walk(faults: &Faults) -> Report {
    let mut said = Vec::new();
    let mut say = |line: &str| said.push(line.to_owned());
    let report =
        simulate(checked(), faults, binaries::guard(), None, &mut say).expect("it is made");
    assert_eq!(said.len(), report.paths.len());
    assert_ne!(report.paths, [], "{}", report.text());
    report
}

#[test]
fn h62_every_path_of_a_right_machine_is_proved_from_stimulus_to_feedback() {
    let report = walk(&Faults::default());
    assert!(report.passed, "{}", report.text());
    let walked: Vec<(&str, bool)> = report
        .paths
        .iter()
        .map(|path| (path.rule.as_str(), path.stimulus.contains("fails")))
        .collect();
    assert_eq!(
        walked,
        [
            ("overpressure", false),
            ("overpressure", true),
            ("door", false),
            ("door", true)
        ],
        "by a value and by its loss"
    );
    for path in &report.paths {
        assert_eq!(path.outcome, Outcome::Passed, "{}", report.text());
        let run = &path.outputs[0];
        assert!(run.safe_after_ns.is_some());
        assert!(run.feedback_after_ns > run.safe_after_ns, "H-59");
    }
    assert_eq!(report.paths[0].outputs.len(), 2, "run and lamp");
    assert!(!report.paths[0].outputs[1].has_feedback);
    assert!(report.text().contains("nothing proves the actuator"));
}

#[test]
fn h59_a_welded_contactor_is_found() {
    let report = walk(&Faults {
        welded: vec!["run".to_owned()],
        ..Faults::default()
    });
    assert!(!report.passed);
    let first = &report.paths[0];
    assert_eq!(first.outcome, Outcome::Failed);
    assert!(
        first.why.as_deref().unwrap().contains("EDM fault"),
        "{first:?}"
    );
    assert!(
        first.outputs[0].safe_after_ns.is_some(),
        "the coil was stopped"
    );
    assert_eq!(first.outputs[0].feedback_after_ns, None);
    assert!(
        first.outputs[1].passed,
        "the lamp has nothing to do with it"
    );
}

#[test]
fn h58_a_gateway_that_echoes_and_does_nothing_is_found() {
    let report = walk(&Faults {
        lost: vec!["run".to_owned()],
        ..Faults::default()
    });
    assert!(!report.passed);
    let first = &report.paths[0];
    assert_eq!(first.outcome, Outcome::Failed, "{}", report.text());
    assert!(
        first
            .why
            .as_deref()
            .unwrap()
            .contains("does not hold its safe value"),
        "{first:?}"
    );
}

struct Site {
    folder: tempfile::TempDir,
}

impl Site {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("small.yaml"), PACK).unwrap();
        Self { folder }
    }

    fn run(&self, arguments: &[&str]) -> Output {
        Command::new(binaries::tripline())
            .arg("prooftest")
            .args(arguments)
            .env("TRIPLINE_GUARD", binaries::guard())
            .current_dir(self.folder.path())
            .stdin(std::process::Stdio::null())
            .output()
            .expect("it starts")
    }

    fn verify(&self) -> Output {
        self.run(&[
            "--verify",
            "small.prooftest.json",
            "--public-key",
            "prooftest.key.pub",
        ])
    }
}

#[test]
fn a_signed_report_is_verified_and_a_tampered_one_is_refused() {
    let site = Site::new();
    let made = site.run(&["small.yaml", "--simulate", "--rule", "overpressure"]);
    let text = String::from_utf8_lossy(&made.stdout).into_owned();
    assert!(made.status.success(), "{made:?}");
    assert!(text.contains("not a certified safety component"), "{text}");
    assert!(text.contains("PASSED"), "{text}");
    let verified = site.verify();
    assert!(verified.status.success(), "{verified:?}");
    let path = site.folder.path().join("small.prooftest.json");
    let filed = std::fs::read_to_string(&path).unwrap();
    let touched = filed.replacen("\"outcome\": \"passed\"", "\"outcome\": \"failed\"", 1);
    assert_ne!(touched, filed);
    std::fs::write(&path, touched).unwrap();
    let refused = site.verify();
    assert!(!refused.status.success());
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(said.contains("the signature does not fit"), "{said}");
}

#[test]
fn h81_a_machine_is_not_moved_when_nobody_can_be_asked() {
    let site = Site::new();
    let refused = site.run(&["small.yaml"]);
    assert_eq!(refused.status.code(), Some(1));
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(said.contains("--yes-i-am-at-the-machine"), "{said}");
    assert!(!site.folder.path().join("prooftest.key").exists());
    // With the word it would go on; there is no guard here, and it says so.
    let nobody = site.run(&[
        "small.yaml",
        "--yes-i-am-at-the-machine",
        "--socket",
        "none.sock",
    ]);
    assert_eq!(nobody.status.code(), Some(1));
    let said = String::from_utf8_lossy(&nobody.stderr).into_owned();
    assert!(said.contains("no guard answers"), "{said}");
}

#[test]
fn a_test_on_the_machine_waits_for_its_person_and_proves_what_that_one_applies() {
    let setup = Setup::default();
    let device = Device::default();
    device.show(HEALTHY);
    // The pack as it lies there for the test: nobody has signed it.
    let bundle = packs::bundle_with(&setup.yaml(device.address()), |plan| {
        plan.vouched = Vouched::Nobody;
    });
    let guard = Guard::start_with(&bundle, &["--allow-unsigned"]);
    let stand = Stand { guard, device };
    let folder = tempfile::tempdir().unwrap();
    let pack = folder.path().join("stand.yaml");
    std::fs::write(&pack, setup.yaml(stand.device.address())).unwrap();
    let mut test = Command::new(binaries::tripline())
        .args([
            "prooftest",
            "stand.yaml",
            "--yes-i-am-at-the-machine",
            "--socket",
        ])
        .arg(stand.guard.socket())
        .current_dir(folder.path())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .expect("it starts");
    let mut applied = 0;
    for line in BufReader::new(test.stdout.take().unwrap()).lines() {
        let line = line.unwrap();
        if line.contains("Apply it now") {
            applied += 1;
            // Beyond what the sensor can measure: its wire is broken.
            let broken = line.contains("fails");
            stand.device.show(if broken { 60_000 } else { DANGER });
        } else if line.contains("Take the stimulus away") {
            assert!(!stand.device.coil(0), "it is stopped");
            stand.device.show(HEALTHY);
        }
    }
    assert!(test.wait().unwrap().success());
    assert_eq!(applied, 2);
    let public = std::fs::read_to_string(folder.path().join("prooftest.key.pub")).unwrap();
    let filed = std::fs::read(folder.path().join("stand.prooftest.json")).unwrap();
    let report = verify(&filed, &public).unwrap();
    assert_eq!(report.mode, Mode::Machine);
    assert!(
        report
            .paths
            .iter()
            .all(|path| path.outcome == Outcome::Passed),
        "{}",
        report.text()
    );
    assert!(report.paths.iter().all(|path| path.confirmed_ns.is_some()));
}

#[test]
fn h62_a_guard_with_another_pack_is_not_tested() {
    let stand = Stand::start(&Setup::default());
    let site = Site::new();
    let socket = stand.guard.socket();
    let socket = socket.to_str().unwrap();
    let refused = site.run(&[
        "small.yaml",
        "--yes-i-am-at-the-machine",
        "--socket",
        socket,
    ]);
    assert_eq!(refused.status.code(), Some(1));
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(said.contains("says nothing of the other"), "{said}");
}

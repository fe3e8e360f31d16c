//! `tripline prooftest --simulate`, end to end: the real guard against the pack's simulated devices. Paths that are right
//! pass; a welded contactor and a gateway that does nothing are found; a report that was touched is refused.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests"
)]

use std::path::Path;
use std::process::{Command, Output};

use appliance_cli::build::{Checked, check_bytes};
use appliance_cli::prooftest::{Faults, Outcome, Report, simulate};
use drivers_frame::{DurNs, TagId};
use hil_tests::binaries;
use rules_bundle::{FeedbackPlan, ReadBackPlan};

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
  run: { device: io, coil: 0, refresh: 50ms, confirm_within: 500ms }
  lamp: { device: io, register: 9, run: 1, safe: 2, refresh: 50ms, confirm_within: 500ms }
rules:
  - { id: overpressure, when: pressure > 8 bar, level: danger, stops: [run, lamp], deadline: 10s, message: too much }
  - { id: door, when: "!door.closed", level: danger, stops: [run], deadline: 10s, message: open }
  - { id: high, when: pressure > 6 bar, level: alert, message: much }
"#;

/// The pack, with what proves the contactor of `run`.
fn checked() -> Checked {
    let mut checked = check_bytes(Path::new("small.yaml"), PACK.as_bytes()).expect("it loads");
    let lane = &mut checked.plan.lanes[0];
    let contactor = lane
        .tags
        .iter()
        .position(|tag| tag.name == "contactor.open")
        .expect("its tag");
    lane.outputs[0].feedback = Some(FeedbackPlan {
        tag: TagId(u16::try_from(contactor).unwrap()),
        safe: true,
        within: DurNs::from_ms(2_000),
    });
    for output in &mut lane.outputs {
        output.read_back = Some(ReadBackPlan {
            period: DurNs::from_ms(50),
            within: DurNs::from_ms(1_000),
        });
    }
    checked
}

fn walk(faults: &Faults) -> Report {
    let mut said = Vec::new();
    let mut say = |line: &str| said.push(line.to_owned());
    let report =
        simulate(checked(), faults, binaries::guard(), None, &mut say).expect("it is made");
    assert_eq!(said.len(), report.paths.len());
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

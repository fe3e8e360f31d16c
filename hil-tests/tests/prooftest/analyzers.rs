//! Analyzers in a proof test: what is declared to be bad is sent the way of every block and value, and the module must say it.

use std::path::Path;

use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};

use appliance_cli::build::{Checked, check_bytes_with, compile};
use appliance_cli::install::Unsigned;
use appliance_cli::prooftest::{Faults, Outcome, PathResult, Report, simulate, verify};
use drivers_sim::image::Table;
use hil_tests::binaries;
use hil_tests::guard::Guard;
use hil_tests::hostile::Device;
use hil_tests::stand::{DANGER, HEALTHY, Setup};
use rules_sdk_abi::metadata::Metadata;
use sha2::{Digest as _, Sha256};

fn walk(checked: Checked) -> Report {
    let mut say = |_: &str| ();
    simulate(
        checked,
        &Faults::default(),
        binaries::guard(),
        None,
        &mut say,
    )
    .expect("it is made")
}

fn checked(path: &Path) -> Checked {
    let text = std::fs::read(path).expect("the pack");
    check_bytes_with(path, &text, Unsigned::Allowed)
        .unwrap_or_else(|error| panic!("{error}\n{error:?}"))
}

fn repository(path: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)
}

fn sha256(path: &Path) -> String {
    let digest = Sha256::digest(std::fs::read(path).expect("a module"));
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The paths of a rule that a signal made, not the loss of one.
fn shown<'r>(report: &'r Report, rule: &str) -> Vec<&'r PathResult> {
    let lost = |path: &PathResult| path.stimulus.contains("silent");
    let paths = report.paths.iter();
    paths
        .filter(|path| path.rule == rule && !lost(path))
        .collect()
}

fn untested<'r>(report: &'r Report, what: &str) -> &'r str {
    let found = report
        .not_tested
        .iter()
        .find(|open| open.what.contains(what));
    &found
        .unwrap_or_else(|| panic!("{what}: {}", report.text()))
        .why
}

/// Times that a busy machine keeps.
const SLOW: [(&str, &str); 4] = [
    ("timeout: 20ms", "timeout: 500ms"),
    ("stale_after: 200ms", "stale_after: 2s"),
    ("confirm_within: 40ms", "confirm_within: 500ms"),
    ("deadline: 600ms", "deadline: 10s"),
];

#[test]
fn h40_a_shipped_pack_is_proved_from_the_blocks_of_its_front_end_to_the_stop() {
    let folder = tempfile::tempdir().unwrap();
    let packs = repository("rules/packs");
    let module = repository("rules/analyzers/guests/vibration/vibration.wasm");
    let mut text = std::fs::read_to_string(packs.join("pump-vibration.yaml")).unwrap();
    for (from, to) in SLOW {
        assert!(text.contains(from), "{from}");
        text = text.replace(from, to);
    }
    // Nobody but the front end is to be believed.
    let open = "    period: 90ms";
    assert!(text.contains(open));
    text = text.replace(
        open,
        &format!("    envelope: {{ source: front-1, check: crc32c, budget: {{ errors: 2, within: 1s }} }}\n{open}"),
    );
    text = text.replace(
        "../analyzers/guests/vibration/vibration.wasm",
        "vibration.wasm",
    );
    std::fs::write(folder.path().join("pump-vibration.yaml"), text).unwrap();
    for name in ["pump-vibration.cases.yaml", "pump-vibration.canary.f32"] {
        std::fs::copy(packs.join(name), folder.path().join(name)).unwrap();
    }
    std::fs::copy(&module, folder.path().join("vibration.wasm")).unwrap();

    let report = walk(checked(&folder.path().join("pump-vibration.yaml")));
    assert!(report.passed, "{}", report.text());
    let walked: Vec<(&str, Outcome)> = report
        .paths
        .iter()
        .map(|path| (path.stimulus.as_str(), path.outcome))
        .collect();
    assert_eq!(
        walked,
        [
            (
                "case \"a damaged bearing stops the pump after three blocks\" of pump-vibration.cases.yaml",
                Outcome::Passed
            ),
            (
                "case \"a front end that falls silent stops the pump\" of pump-vibration.cases.yaml",
                Outcome::Passed
            ),
            (
                "the canary of bearing, which must say danger after 4 frame(s)",
                Outcome::Passed
            ),
            ("the envelopes of pump.vibration are wrong", Outcome::Passed),
            ("pump.vibration falls silent", Outcome::Passed),
        ],
        "{}",
        report.text()
    );
    // What was proved, to the byte.
    let [used] = report.analyzers.as_slice() else {
        panic!("{:?}", report.analyzers)
    };
    assert_eq!(
        (used.analyzer.as_str(), used.module.as_str(), used.version),
        ("bearing", "vibration", 1)
    );
    assert_eq!(used.sha256, sha256(&module));
    assert!(report.text().contains(&used.sha256));
    for path in &report.paths {
        assert_eq!(path.analyzers, ["bearing"]);
        assert_eq!(path.reset_refused, Some(true), "H-54: {path:?}");
        assert!(path.outputs[0].safe_after_ns.is_some());
    }
    let canary = &report.paths[2];
    assert_eq!(canary.cause.as_deref(), Some("condition"));
    assert_eq!(canary.stimulus_sha256.as_ref().map(String::len), Some(64));
    assert_ne!(canary.stimulus_sha256, report.paths[0].stimulus_sha256);
}

/// Blocks in a window of registers, and nothing declared but the cases beside the module.
const WINDOW: &str = r#"tripline: 1
pack: { name: window }
lanes: { main: { wait: park } }
devices:
  io:
    modbus: { host: 192.0.2.10, poll: 50ms, timeout: 500ms, addressing: zero_based }
  front_end:
    modbus: { host: 192.0.2.11, poll: 50ms, timeout: 500ms, addressing: zero_based }
tags:
  speed: { device: io, register: { table: input, address: 4 }, type: u16, unit: rpm, range: [0, 12000], stale_after: 2s }
waveforms:
  housing:
    device: front_end
    register: { table: input, address: 100 }
    sequence: { address: 96, type: u32 }
    type: f32
    byte_order: big
    word_order: little
    rate: 12 kHz
    samples: 4096
    unit: g
    scale: 0.5
    stale_after: 4s
outputs:
  run: { device: io, coil: 0, refresh: 50ms, confirm_within: 500ms, device_time: 10ms, watchdog: none }
  feed: { device: io, coil: 1, refresh: 50ms, confirm_within: 500ms, device_time: 10ms, watchdog: none }
analyzers:
  bearing:
    module: vibration.wasm
    inputs: { speed: speed }
    waveform: housing
    params: { machine: 3, record: 4096 }
    class: safety
    deadline: 500ms
    verdict: { stops: [run], deadline: 90s }
rules:
  - { id: shakes, when: bearing.rms > 0.5 g, level: danger, stops: [feed], deadline: 90s, message: shakes }
"#;

#[test]
fn h40_blocks_in_a_window_of_registers_walk_the_verdict_and_a_rule_over_a_derived_value() {
    let folder = tempfile::tempdir().unwrap();
    let guests = repository("rules/analyzers/guests/vibration");
    for name in ["vibration.wasm", "vibration.cases.yaml"] {
        std::fs::copy(guests.join(name), folder.path().join(name)).unwrap();
    }
    let pack = folder.path().join("window.yaml");
    std::fs::write(&pack, WINDOW).unwrap();
    let report = walk(checked(&pack));
    for rule in ["bearing_danger", "shakes"] {
        let [path] = shown(&report, rule)[..] else {
            panic!("{rule}: {}", report.text())
        };
        assert_eq!(path.outcome, Outcome::Passed, "{}", report.text());
        assert_eq!(path.cause.as_deref(), Some("condition"));
        assert!(
            path.stimulus.ends_with("of vibration.cases.yaml"),
            "{path:?}"
        );
    }
    let lost = report
        .paths
        .iter()
        .filter(|path| path.stimulus == "housing falls silent");
    assert!(
        lost.clone().all(|path| path.outcome == Outcome::Passed),
        "{}",
        report.text()
    );
    assert_eq!(lost.count(), 2, "{}", report.text());
    assert!(report.passed, "{}", report.text());
    // The same with other parameters: what the cases say is of another machine then.
    std::fs::write(&pack, WINDOW.replace("machine: 3", "machine: 4")).unwrap();
    let report = walk(checked(&pack));
    assert!(!report.passed);
    assert_eq!(
        report.unproved,
        ["shakes", "bearing_danger"],
        "{}",
        report.text()
    );
    let why = untested(&report, "rule bearing_danger, what bearing must say");
    assert!(
        why.contains("with other parameters") && why.contains("Add a canary"),
        "{why}"
    );
    assert!(report.text().contains("Not whole"), "{}", report.text());
}

/// Says danger from 200 on, in its first `calls` calls; traps from 900 on.
fn module(folder: &Path, calls: u32) {
    let text = format!(
        r#"(module
  (memory (export "memory") 1 1)
  (func (export "tl_area") (result i32) i32.const 1024)
  (func (export "tl_init") (result i32) i32.const 0)
  (func (export "tl_state_hash") (result i64) i64.const 0)
  (func (export "tl_process") (result i64)
    (if (i32.gt_u (i32.load (i32.const 1096)) (i32.const 1)) (then (return (i64.const 0))))
    (i32.store (i32.const 16) (i32.add (i32.load (i32.const 16)) (i32.const 1)))
    (if (f64.ge (f64.load (i32.const 1088)) (f64.const 900)) (then unreachable))
    (f64.store (i32.const 1104) (f64.load (i32.const 1088)))
    (i32.store (i32.const 1112) (i32.const 0))
    (if (i32.and
          (f64.ge (f64.load (i32.const 1088)) (f64.const 200))
          (i32.le_u (i32.load (i32.const 16)) (i32.const {calls})))
      (then (return (i64.const 0x102))))
    i64.const 0))"#
    );
    let metadata = r#"{ "abi": "core/1", "name": "watch", "version": 7,
        "inputs": [{ "name": "signal", "unit": "mm/s" }],
        "outputs": [{ "name": "same", "unit": "mm/s", "min": 0, "max": 10000 }],
        "causes": ["too-much"], "worst_case": { "fuel": 1000 } }"#;
    let metadata = Metadata::parse(metadata.as_bytes()).expect("the test's metadata");
    let wasm = wat::parse_str(text).expect("the test's module");
    let wasm = rules_sdk_gate::attach_metadata(&wasm, &metadata).expect("a module");
    std::fs::write(folder.join("watch.wasm"), wasm).expect("a file");
}

/// A plain rule, and an analyzer over a value; `more` of it, and the cases behind the quiet one.
fn site(calls: u32, more: &str, cases: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    module(folder.path(), calls);
    let pack = format!(
        r#"tripline: 1
pack: {{ name: site }}
lanes: {{ main: {{ wait: park }} }}
devices:
  io:
    modbus: {{ host: 192.0.2.10, poll: 10ms, timeout: 500ms, addressing: zero_based }}
tags:
  pressure: {{ device: io, register: {{ table: input, address: 4 }}, type: u16, scale: 0.01, unit: bar, range: [0.2, 16], stale_after: 2s }}
  signal: {{ device: io, register: {{ table: input, address: 5 }}, type: u16, unit: mm/s, range: [0, 1000], stale_after: 2s }}
outputs:
  run: {{ device: io, coil: 0, refresh: 50ms, confirm_within: 500ms, device_time: 10ms, watchdog: none, read_back: {{ every: 50ms, within: 1s }} }}
analyzers:
  watch: {{ module: watch.wasm, inputs: {{ signal: signal }}, class: safety, deadline: 500ms, verdict: {{ stops: [run], deadline: 10s }}{more} }}
rules:
  - {{ id: overpressure, when: pressure > 12 bar, level: danger, stops: [run], deadline: 10s, message: too much }}
"#
    );
    let cases = format!(
        "cases:\n  - name: quiet\n    steps:\n      - {{ at_ms: 0, set: {{ signal: 50 }}, expect: {{ watch_danger: normal }} }}\n{cases}"
    );
    std::fs::write(folder.path().join("site.yaml"), pack).unwrap();
    std::fs::write(folder.path().join("site.cases.yaml"), cases).unwrap();
    folder
}

const CANARY: &str = ", canary: { every: 1min, inputs: { signal: 250 mm/s }, within: 10s }";

#[test]
fn h40_a_module_that_politely_says_nothing_is_found() {
    // It does what it should: so do these cases.
    let good = site(u32::MAX, CANARY, "");
    let report = walk(checked(&good.path().join("site.yaml")));
    assert_eq!(
        shown(&report, "watch_danger")[0].outcome,
        Outcome::Passed,
        "{}",
        report.text()
    );
    assert!(report.passed, "{}", report.text());

    // It speaks to the canary, whose copy is always young, and never again after its first call.
    let tired = site(1, CANARY, "");
    let report = walk(checked(&tired.path().join("site.yaml")));
    let path = shown(&report, "watch_danger")[0];
    assert_eq!(path.outcome, Outcome::Failed, "H-40: {}", report.text());
    assert!(
        path.why.as_deref().unwrap().contains("watch said nothing"),
        "{path:?}"
    );
    assert!(!path.outputs[0].passed, "nothing stopped");
    assert_eq!(report.unproved, ["watch_danger"]);
    assert!(!report.passed);
    assert!(
        shown(&report, "overpressure")
            .iter()
            .all(|path| path.outcome == Outcome::Passed),
        "the others are walked all the same: {}",
        report.text()
    );

    // Never speaks, and has no canary; what it should say is beside it.
    let dead = site(0, "", "");
    let recorded = "cases:\n  - name: too much\n    frames:\n      - { inputs: { signal: 50 }, expect: { verdict: normal } }\n      \
                    - { inputs: { signal: 300 }, expect: { verdict: danger } }\n";
    std::fs::write(dead.path().join("watch.cases.yaml"), recorded).unwrap();
    let report = walk(checked(&dead.path().join("site.yaml")));
    let path = shown(&report, "watch_danger")[0];
    assert_eq!(path.stimulus, "case \"too much\" of watch.cases.yaml");
    assert_eq!(path.outcome, Outcome::Failed, "H-40: {}", report.text());
}

#[test]
fn an_analyzer_of_which_nothing_bad_is_known_is_not_tested_and_the_report_is_not_whole() {
    let site = site(u32::MAX, "", "");
    let report = walk(checked(&site.path().join("site.yaml")));
    assert!(
        shown(&report, "watch_danger").is_empty(),
        "{}",
        report.text()
    );
    let why = untested(&report, "rule watch_danger, what watch must say");
    assert!(
        why.contains("watch has no canary")
            && why.contains("site.cases.yaml that ends with `watch_danger: danger`"),
        "{why}"
    );
    assert_eq!(report.unproved, ["watch_danger"]);
    assert!(!report.passed, "{}", report.text());
    assert!(
        shown(&report, "overpressure")
            .iter()
            .all(|path| path.outcome == Outcome::Passed)
    );
}

#[test]
fn a_machine_that_cannot_be_brought_to_quiet_breaks_the_test_off_and_says_what_to_record() {
    let site = site(u32::MAX, CANARY, "");
    // In the middle of its range the signal is bad already, and nobody says so.
    std::fs::remove_file(site.path().join("site.cases.yaml")).unwrap();
    let report = walk(checked(&site.path().join("site.yaml")));
    let cause = report.broken_off.as_deref().unwrap_or_default();
    assert!(
        cause.contains("watch_danger") && cause.contains("site.cases.yaml"),
        "{}",
        report.text()
    );
    assert!(
        report.paths.is_empty() && !report.passed,
        "{}",
        report.text()
    );
    assert_eq!(report.unproved, ["watch_danger"]);
    // A case that begins with a stop is left out, and the others are walked.
    std::fs::write(
        site.path().join("site.cases.yaml"),
        "cases:\n  - name: quiet\n    steps:\n      - { at_ms: 0, set: { signal: 50 }, expect: { watch_danger: normal } }\n  \
         - name: begins with a stop\n    steps:\n      - { at_ms: 0, set: { signal: 300 } }\n      \
         - { at_ms: 100, set: { signal: 400 }, expect: { watch_danger: danger } }\n",
    )
    .unwrap();
    let report = walk(checked(&site.path().join("site.yaml")));
    assert!(report.passed, "{}", report.text());
    assert_eq!(shown(&report, "watch_danger").len(), 1, "{}", report.text());
    let why = untested(&report, "begins with a stop");
    assert!(why.contains("could not be reset"), "{why}");
}

#[test]
fn h38_a_stop_because_the_module_failed_is_no_proof_of_what_it_says() {
    let cases = "  - name: far too much\n    steps:\n      - { at_ms: 0, set: { signal: 50 } }\n      \
                 - { at_ms: 100, set: { signal: 950 } }\n      - { at_ms: 300, expect: { watch_danger: danger } }\n";
    let site = site(u32::MAX, "", cases);
    let report = walk(checked(&site.path().join("site.yaml")));
    let path = shown(&report, "watch_danger")[0];
    assert_eq!(path.outcome, Outcome::NotProved, "{}", report.text());
    assert!(
        path.why.as_deref().unwrap().contains("watch failed"),
        "{path:?}"
    );
    assert!(path.outputs[0].passed, "H-38: it stopped all the same");
    assert_eq!(report.unproved, ["watch_danger"]);
    assert!(!report.passed);
}

/// The register that the analyzer of a stand looks at.
const SIGNAL: u16 = 1;

#[test]
fn on_the_machine_a_person_makes_the_signal_that_an_analyzer_must_see() {
    let tag = format!(
        "  signal: {{ device: io, register: {{ table: holding, address: {SIGNAL} }}, type: u16, unit: mm/s, range: [0, 1000], stale_after: 2s }}\n"
    );
    let analyzer = "analyzers:\n  watch: { module: watch.wasm, inputs: { signal: signal }, class: safety, deadline: 500ms, verdict: { stops: [run], deadline: 60s } }\n";
    let setup = Setup {
        more: [tag, String::new(), analyzer.to_owned()],
        ..Setup::default()
    };
    let device = Device::default();
    device.show(HEALTHY);
    device.set(Table::HoldingRegister, SIGNAL, 50);
    let folder = tempfile::tempdir().unwrap();
    module(folder.path(), u32::MAX);
    let pack = folder.path().join("stand.yaml");
    std::fs::write(&pack, setup.yaml(device.address())).unwrap();
    let bundle = compile(checked(&pack), &rules_bundle::testing::key())
        .unwrap()
        .bytes;
    let guard = Guard::start_with(&bundle, &["--allow-unsigned"]);
    let mut test = Command::new(binaries::tripline());
    test.args(["--allow-unsigned", "prooftest", "stand.yaml"]);
    test.args(["--yes-i-am-at-the-machine", "--socket"]);
    let mut test = test
        .arg(guard.socket())
        .current_dir(folder.path())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .expect("it starts");
    for line in BufReader::new(test.stdout.take().unwrap()).lines() {
        let line = line.unwrap();
        if line.contains("Apply it now") && line.contains("by what watch (signal) says") {
            device.set(Table::HoldingRegister, SIGNAL, 250);
        } else if line.contains("Apply it now") {
            device.show(if line.contains("fails") {
                60_000
            } else {
                DANGER
            });
        } else if line.contains("Take the stimulus away") {
            device.show(HEALTHY);
            device.set(Table::HoldingRegister, SIGNAL, 50);
        }
    }
    assert!(test.wait().unwrap().success());
    let public = std::fs::read_to_string(folder.path().join("prooftest.key.pub")).unwrap();
    let filed = std::fs::read(folder.path().join("stand.prooftest.json")).unwrap();
    let report = verify(&filed, &public).unwrap();
    assert_eq!(
        report.analyzers[0].sha256,
        sha256(&folder.path().join("watch.wasm"))
    );
    let said = shown(&report, "watch_danger");
    assert_eq!(said.len(), 1, "{}", report.text());
    assert!(
        said.iter().all(|path| path.outcome == Outcome::Passed),
        "{}",
        report.text()
    );
}

//! From a pack that names modules to a bundle: `check`, `build`, `inspect`, `matrix`, as people type them.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a helper of a test fails as its test does"
)]

mod common;

use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use common::{ADDER, METADATA};

const CASES: &str = "cases:
  - name: up and over
    params: { b: 2 }
    frames:
      - { inputs: { a: 3 }, repeat: 4, expect: { verdict: normal, outputs: { sum: 5 } } }
      - { inputs: { a: 9 }, expect: { verdict: danger, cause: sum-high } }
";

const PACK: &str = "tripline: 1
pack: { name: pump }
devices:
  io: { modbus: { host: 127.0.0.1, port: 1502, poll: 10ms, timeout: 20ms, addressing: zero_based } }
tags:
  pressure: { device: io, register: { table: input, address: 0 }, type: u16, unit: mbar, range: [0, 40000], stale_after: 100ms }
outputs:
  run: { device: io, coil: 0, refresh: 100ms, confirm_within: 50ms, watchdog: none, device_time: 10ms }
analyzers:
  sum:
    module: modules/adder.wasm
    inputs: { a: pressure }
    class: safety
    deadline: 2ms
    canary: { every: 10s, inputs: { a: 12 bar }, within: 1s }
    verdict: { stops: [run], deadline: 500ms, message: Too much }
rules:
  - { id: high, when: sum.sum > 8 bar, level: alert }
";

struct Bench {
    dir: tempfile::TempDir,
}

impl Bench {
    fn new(module: &str, pack: &str) -> Self {
        let bench = Self {
            dir: tempfile::tempdir().unwrap(),
        };
        fs::create_dir(bench.dir.path().join("modules")).unwrap();
        bench.module(module, METADATA);
        bench.write("modules/adder.cases.yaml", CASES);
        bench.write("pump.yaml", pack);
        bench
    }

    fn module(&self, module: &str, metadata: &str) {
        let wasm = common::module(module, metadata);
        fs::write(self.dir.path().join("modules/adder.wasm"), wasm).unwrap();
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.dir.path().join(name), text).unwrap();
    }

    fn path(&self, name: &str) -> String {
        self.dir.path().join(name).display().to_string()
    }

    fn tripline(&self, args: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_tripline"))
            .args(args)
            .current_dir(self.dir.path())
            .env("TRIPLINE_TRUSTED", self.path("trusted.d"))
            .env("TRIPLINE_STATE", self.path("state"))
            .stdin(Stdio::null())
            .output()
            .unwrap()
    }

    #[track_caller]
    fn good(&self, args: &[&str]) -> String {
        let output = self.tripline(args);
        let shown = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(0), "{args:?}: {shown}");
        String::from_utf8(output.stdout).unwrap()
    }

    #[track_caller]
    fn refused(&self, args: &[&str]) -> String {
        let output = self.tripline(args);
        let shown = String::from_utf8(output.stdout).unwrap();
        assert_eq!(output.status.code(), Some(1), "{args:?}: {shown}");
        assert!(!Path::new(&self.path("pump.bundle")).exists(), "{args:?}");
        String::from_utf8(output.stderr).unwrap()
    }

    /// A key, trusted here, that signed module and pack.
    fn sign(&self) {
        if !Path::new(&self.path("trusted.d")).exists() {
            self.good(&["keygen", "works"]);
            fs::create_dir(self.dir.path().join("trusted.d")).unwrap();
            fs::copy(self.path("works.pub"), self.path("trusted.d/works.pub")).unwrap();
        }
        self.good(&["sign", "modules/adder.wasm", "--key", "works.key"]);
        self.sign_pack("1");
    }

    fn sign_pack(&self, version: &str) {
        let key = ["--key", "works.key", "--version", version];
        self.good(&[&["sign", "pump.yaml"], key.as_slice()].concat());
    }
}

const BUILD: [&str; 4] = ["build", "pump.yaml", "-o", "pump.bundle"];
const UNSIGNED: [&str; 5] = [
    "build",
    "pump.yaml",
    "-o",
    "pump.bundle",
    "--allow-unsigned",
];

#[test]
fn h65_a_module_that_nobody_signed_is_refused_and_with_the_flag_shown_everywhere() {
    let bench = Bench::new(ADDER, PACK);
    let shown = bench.refused(&BUILD);
    assert!(
        shown.contains("error[P142]: the module `adder` is not trusted: it is not signed"),
        "H-65: {shown}"
    );
    assert!(shown.contains("tripline sign"), "H-65: {shown}");
    let output = bench.tripline(&UNSIGNED);
    let shown = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{shown}");
    assert!(shown.contains("warning[P152]"), "H-65: {shown}");
    for args in [
        ["inspect", "pump.bundle"].as_slice(),
        ["check", "pump.yaml", "--allow-unsigned"].as_slice(),
    ] {
        let shown = bench.good(args);
        assert!(
            shown.contains("module adder 3: UNSIGNED, for development only"),
            "H-65: {shown}"
        );
    }
}

#[test]
fn a_signed_module_becomes_part_of_the_bundle_after_both_engines_agreed_on_it() {
    let bench = Bench::new(ADDER, PACK);
    bench.sign();
    let shown = bench.good(&BUILD);
    // Five recorded frames, four made up, one of the canary.
    assert!(
        shown.contains("1, 10 frames in two engines bit for bit (5 recorded), 1 canary trial"),
        "{shown}"
    );
    let key = rules_bundle::BundleKey::load(Path::new(&bench.path("state/bundle.key"))).unwrap();
    let bytes = fs::read(bench.path("pump.bundle")).unwrap();
    let bundle = rules_bundle::open(&bytes, &key).unwrap();
    let module = &bundle.plan.modules[0];
    assert_eq!(module.signature.as_ref().unwrap().signer, "works");
    assert_eq!(
        bundle.modules[0].wasm,
        fs::read(bench.path("modules/adder.wasm")).unwrap()
    );
    assert!(!bundle.modules[0].native.is_empty());
    let lane = &bundle.plan.lanes[0];
    let (_, name, analyzer) = lane.analyzers().next().unwrap();
    assert_eq!((name, analyzer.fuel), ("sum", 1_000));
    assert_eq!(
        analyzer.inputs[0].scale.to_bits(),
        0.001_f64.to_bits(),
        "mbar to bar"
    );
    let shown = bench.good(&["inspect", "pump.bundle"]);
    assert!(shown.contains("module adder 3: signed by works"), "{shown}");
    assert!(
        shown.contains("analyzer sum: adder, safety, at most 1000 fuel"),
        "{shown}"
    );
    let shown = bench.good(&["matrix", "pump.yaml"]);
    assert!(
        shown.contains("sum_danger") && shown.contains("sum_alert"),
        "the verdict stops outputs like any other rule: {shown}"
    );
}

#[test]
fn h66_a_module_older_than_the_one_installed_is_refused() {
    let bench = Bench::new(ADDER, PACK);
    bench.sign();
    bench.good(&BUILD);
    fs::remove_file(bench.path("pump.bundle")).unwrap();
    bench.module(ADDER, &METADATA.replace("\"version\":3", "\"version\":2"));
    fs::remove_file(bench.path("modules/adder.wasm.minisig")).unwrap();
    bench.sign();
    let shown = bench.refused(&BUILD);
    assert!(
        shown.contains("version 2 of `adder` is older than version 3"),
        "H-66: {shown}"
    );
}

#[test]
fn h67_a_module_changed_after_it_was_signed_is_refused() {
    let bench = Bench::new(ADDER, PACK);
    bench.sign();
    bench.module(&ADDER.replace("f64.const 10", "f64.const 1000"), METADATA);
    let shown = bench.refused(&BUILD);
    assert!(shown.contains("error[P142]"), "H-67: {shown}");
    let shown = bench.refused(&UNSIGNED);
    assert!(
        shown.contains("error[P142]"),
        "H-67: a signature that is there must be good whatever is allowed: {shown}"
    );
}

#[test]
fn h40_a_canary_that_does_not_make_the_module_speak_makes_no_bundle() {
    let bench = Bench::new(ADDER, &PACK.replace("a: 12 bar", "a: 5 bar"));
    let shown = bench.refused(&UNSIGNED);
    assert!(
        shown.contains(
            "the canary of sum: it says normal after 1 frame(s), and the pack expects danger"
        ),
        "H-40: {shown}"
    );
}

#[test]
fn h36_a_module_that_needs_more_fuel_than_its_author_says_makes_no_bundle() {
    // Some 3,500 units of fuel; 1,000 are stated.
    let long = ADDER.replace(
        "(func (export \"tl_process\") (result i64)",
        "(func (export \"tl_process\") (result i64) (local $i i32)
            (loop $again
                (local.set $i (i32.add (local.get $i) (i32.const 1)))
                (br_if $again (i32.lt_u (local.get $i) (i32.const 500))))",
    );
    let shown = Bench::new(&long, PACK).refused(&UNSIGNED);
    assert!(
        shown.contains("modules/adder.wasm, up and over: frame 1: out of fuel"),
        "H-36: {shown}"
    );
}

#[test]
fn h65_a_pack_that_nobody_signed_is_refused_for_a_machine_and_with_the_flag_shown() {
    let bench = Bench::new(ADDER, PACK);
    bench.sign();
    fs::remove_file(bench.path("pump.yaml.minisig")).unwrap();
    let shown = bench.refused(&BUILD);
    let socket = bench.path("guard.sock");
    let run = ["run", "pump.yaml", "--socket", &socket];
    assert_eq!(bench.refused(&run), shown, "H-65: run as build");
    for words in [
        "pump.yaml: the pack is not signed",
        "tripline keygen NAME",
        "tripline sign pump.yaml --key NAME.key --version N",
        &bench.path("trusted.d"),
        "--allow-unsigned",
    ] {
        assert!(shown.contains(words), "H-65, I13: {words}: {shown}");
    }
    assert!(
        !Path::new(&bench.path("state")).exists(),
        "a refused pack leaves nothing"
    );
    // What moves no machine needs no signature.
    for args in [["check", "pump.yaml"], ["matrix", "pump.yaml"]] {
        bench.good(&args);
    }
    let shown = bench.good(&UNSIGNED);
    assert!(shown.contains("signed  by NOBODY"), "H-65: {shown}");
    let shown = bench.good(&["inspect", "pump.bundle"]);
    assert!(shown.contains("pack signed by NOBODY"), "H-65: {shown}");
    bench.sign_pack("1");
    let shown = bench.good(&BUILD);
    assert!(shown.contains("signed  by works"), "{shown}");
    let shown = bench.good(&["inspect", "pump.bundle"]);
    assert!(shown.contains("pack signed by works"), "{shown}");
}

#[test]
fn h65_a_signed_pack_is_taken_and_one_that_was_changed_or_is_older_is_not() {
    let bench = Bench::new(ADDER, PACK);
    bench.sign();
    let builds = || {
        bench.good(&BUILD);
        fs::remove_file(bench.path("pump.bundle")).unwrap();
    };
    bench.sign_pack("7");
    builds();
    bench.write("pump.yaml", &PACK.replace("Too much", "Too little"));
    let shown = bench.refused(&BUILD);
    assert!(shown.contains("trusted keys"), "H-67: {shown}");
    for args in [UNSIGNED.as_slice(), &["check", "pump.yaml"]] {
        assert_eq!(
            bench.refused(args),
            shown,
            "a signature that is there is never ignored"
        );
    }
    bench.sign_pack("7");
    let shown = bench.refused(&BUILD);
    assert!(shown.contains("with another content"), "H-66: {shown}");
    bench.sign_pack("6");
    let shown = bench.refused(&BUILD);
    assert!(shown.contains("older than version 7"), "H-66: {shown}");
    bench.sign_pack("8");
    builds();
}

#[test]
fn a_pack_is_signed_where_its_modules_are_not_trusted_but_not_when_it_does_not_load() {
    // The laptop of whoever writes the pack: no trusted keys, and the module is nobody's.
    let bench = Bench::new(ADDER, PACK);
    bench.good(&["analyzer", "keygen", "works"]);
    bench.sign_pack("1");
    bench.write("pump.yaml", &PACK.replace("\nrules:", "\nrulez:"));
    let key = ["--key", "works.key", "--version", "2"];
    let shown = bench.refused(&[&["analyzer", "sign", "pump.yaml"], key.as_slice()].concat());
    assert!(shown.contains("rulez"), "{shown}");
}

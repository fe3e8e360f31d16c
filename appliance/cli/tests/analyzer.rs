//! `tripline analyzer`, as people type it: inspect, test, bench, keygen, sign.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a helper of a test fails as its test does"
)]

mod common;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use common::{ADDER, METADATA};

const CASES: &str = "cases:
  - name: up and over
    params: { b: 2 }
    frames:
      - { expect: { outputs: { sum: bad } } }
      - { inputs: { a: 3 }, repeat: 4, expect: { verdict: normal, outputs: { sum: 5 } } }
      - { inputs: { a: 9 }, expect: { verdict: danger, cause: sum-high, outputs: { sum: [10.9, 11.1] } } }
";

fn tripline(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_tripline"))
        .args(args)
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn good(args: &[&str]) -> String {
    let output = tripline(args);
    assert_eq!(
        output.status.code(),
        Some(0),
        "{args:?}: {}",
        text(&output.stderr)
    );
    text(&output.stdout)
}

fn refused(args: &[&str]) -> String {
    let output = tripline(args);
    assert_eq!(
        output.status.code(),
        Some(1),
        "{args:?}: {}",
        text(&output.stdout)
    );
    text(&output.stderr)
}

/// A folder with `adder.wasm` and `adder.cases.yaml`.
fn folder(module: &str, cases: &str) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let wasm = common::module(module, METADATA);
    fs::write(dir.path().join("adder.wasm"), wasm).unwrap();
    fs::write(dir.path().join("adder.cases.yaml"), cases).unwrap();
    dir
}

fn in_folder(dir: &Path, file: &str) -> String {
    dir.join(file).display().to_string()
}

#[test]
fn a_module_is_inspected_tested_and_measured() {
    let dir = folder(ADDER, CASES);
    let module = in_folder(dir.path(), "adder.wasm");
    let inspected = good(&["analyzer", "inspect", &module]);
    for word in [
        "adder version 3",
        "core/1",
        "sum",
        "-9 to 99",
        "sum-high",
        "passed the gate",
    ] {
        assert!(inspected.contains(word), "{word}: {inspected}");
    }
    let json: serde_json::Value =
        serde_json::from_str(&good(&["analyzer", "inspect", &module, "--format", "json"])).unwrap();
    assert_eq!(json["metadata"]["name"], "adder");
    let tested = good(&["analyzer", "test", &module]);
    assert!(tested.contains("6 frames in 1 case;"), "{tested}");
    let measured = good(&["analyzer", "bench", &module]);
    assert!(measured.contains("the module states 1000"), "{measured}");
    assert!(
        measured.contains("not a certified safety component"),
        "{measured}"
    );
}

#[test]
fn what_comes_out_otherwise_is_shown_at_its_line() {
    let dir = folder(ADDER, &CASES.replace("sum: 5", "sum: 6"));
    let shown = refused(&["analyzer", "test", &in_folder(dir.path(), "adder.wasm")]);
    assert!(
        shown.contains("frame 2: `sum` is 5, expected 6 to 6"),
        "{shown}"
    );
    assert!(shown.contains("adder.cases.yaml:6"), "{shown}");
}

#[test]
fn h38_a_module_that_traps_fails_its_test() {
    let trapping = ADDER.replace(
        "(i64.const 0x102)",
        "(i64.div_s (i64.const 1) (i64.const 0))",
    );
    let dir = folder(&trapping, CASES);
    let shown = refused(&["analyzer", "test", &in_folder(dir.path(), "adder.wasm")]);
    assert!(
        shown.contains("the module failed") && shown.contains("DivisionByZero"),
        "H-38: {shown}"
    );
}

#[test]
fn a_module_that_the_gate_refuses_is_refused_everywhere_with_rule_and_byte() {
    let grows = ADDER.replace("1 1)", "1 2)");
    let dir = folder(&grows, CASES);
    let module = in_folder(dir.path(), "adder.wasm");
    let key = in_folder(dir.path(), "maker");
    good(&["analyzer", "keygen", &key]);
    let key = format!("{key}.key");
    for args in [
        &["analyzer", "inspect", &module][..],
        &["analyzer", "test", &module],
        &["analyzer", "bench", &module],
        &["analyzer", "sign", &module, "--key", &key],
    ] {
        let shown = refused(args);
        assert!(
            shown.contains("adder.wasm") && shown.contains("byte"),
            "{args:?}: {shown}"
        );
    }
    assert!(
        !dir.path().join("adder.wasm.minisig").exists(),
        "H-72: nothing refused is signed"
    );
}

#[test]
fn a_signature_is_minisigns_and_says_what_it_is_for() {
    let dir = folder(ADDER, CASES);
    let module = in_folder(dir.path(), "adder.wasm");
    let name = in_folder(dir.path(), "maker");
    good(&["analyzer", "keygen", &name]);
    let key = format!("{name}.key");
    let mode = fs::metadata(&key).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode, 0o600);
    let again = refused(&["analyzer", "keygen", &name]);
    assert!(
        again.contains("maker.key"),
        "a key is never written over: {again}"
    );
    good(&[
        "analyzer",
        "sign",
        &module,
        "--key",
        &key,
        "--target",
        "hall-7",
        "--expires",
        "2027-12-31",
    ]);
    // Checked by minisign's own author's verifier, apart from what wrote it.
    let public = minisign_verify::PublicKey::from_file(format!("{name}.pub")).unwrap();
    let signature = minisign_verify::Signature::from_file(format!("{module}.minisig")).unwrap();
    public
        .verify(&fs::read(&module).unwrap(), &signature, false)
        .unwrap();
    assert_eq!(
        signature.trusted_comment(),
        "tripline kind=analyzer id=adder version=3 target=hall-7 expires=2027-12-31"
    );
    for (extra, word) in [
        (&["--version", "4"][..], "states its own version"),
        (&["--target", "a b"], "target"),
    ] {
        let args = [&["analyzer", "sign", &module, "--key", &key][..], extra].concat();
        assert!(refused(&args).contains(word), "{extra:?}");
    }
    let output = tripline(&[
        "analyzer",
        "sign",
        &module,
        "--key",
        &key,
        "--expires",
        "2027-02-30",
    ]);
    assert_eq!(output.status.code(), Some(2));
}

#[test]
fn a_pack_is_signed_with_a_version_of_its_own_that_is_a_number() {
    let dir = tempfile::tempdir().unwrap();
    let pack = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../rules/packs/pump-minimal.yaml");
    let copy = in_folder(dir.path(), "pump.yaml");
    fs::copy(pack, &copy).unwrap();
    let name = in_folder(dir.path(), "maker");
    let password = in_folder(dir.path(), "password");
    fs::write(&password, "correct horse\n").unwrap();
    good(&["analyzer", "keygen", &name, "--password-file", &password]);
    let key = format!("{name}.key");
    let missing = refused(&[
        "analyzer",
        "sign",
        &copy,
        "--key",
        &key,
        "--password-file",
        &password,
    ]);
    assert!(missing.contains("--version"), "{missing}");
    let locked = refused(&["analyzer", "sign", &copy, "--key", &key, "--version", "7"]);
    assert!(locked.contains("password"), "{locked}");
    let signed = good(&[
        "analyzer",
        "sign",
        &copy,
        "--key",
        &key,
        "--password-file",
        &password,
        "--version",
        "7",
    ]);
    assert!(
        signed.contains("kind=pack id=pump-minimal version=7 target=any expires=never"),
        "{signed}"
    );
}

#[test]
fn a_new_analyzer_is_a_folder_in_each_language_and_never_over_another() {
    let dir = tempfile::tempdir().unwrap();
    let new = |args: &[&str]| {
        Command::new(env!("CARGO_BIN_EXE_tripline"))
            .args([&["analyzer", "new"], args].concat())
            .current_dir(dir.path())
            .stdin(Stdio::null())
            .output()
            .unwrap()
    };
    for language in ["rust", "c", "assemblyscript"] {
        let name = format!("my-{language}");
        let made = new(&[&name, "--language", language]);
        assert_eq!(made.status.code(), Some(0), "{}", text(&made.stderr));
        let metadata = fs::read_to_string(dir.path().join(&name).join("analyzer.yaml")).unwrap();
        let metadata = rules_pack::module::metadata("analyzer.yaml", &metadata).unwrap();
        assert_eq!(metadata.name, name);
        let cases = dir.path().join(&name).join(format!("{name}.cases.yaml"));
        let cases = fs::read_to_string(cases).unwrap();
        assert!(
            !rules_pack::module::cases("c", &cases, &metadata)
                .unwrap()
                .is_empty()
        );
        assert!(text(&made.stdout).contains(&format!("tripline analyzer build {name}")));
        let again = new(&[&name]);
        assert_eq!(again.status.code(), Some(1), "{}", text(&again.stdout));
    }
    let bad = new(&["../elsewhere"]);
    assert!(
        text(&bad.stderr).contains("../elsewhere"),
        "{}",
        text(&bad.stderr)
    );
    let other = new(&["x", "--language", "cobol"]);
    assert_eq!(other.status.code(), Some(2));
    // No tool is asked for what is no analyzer's folder.
    let nothing = refused(&["analyzer", "build", &dir.path().display().to_string()]);
    assert!(nothing.contains("analyzer.yaml"), "{nothing}");
}

/// Every module of `rules/sdk/guests.txt`, those we ship and the worked examples.
#[test]
fn every_committed_module_does_as_its_recorded_cases_say() {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");
    let guests = fs::read_to_string(format!("{root}/rules/sdk/guests.txt")).unwrap();
    let mut tried = 0;
    for guest in guests.lines().filter(|line| !line.starts_with('#')) {
        let files = fs::read_dir(format!("{root}/{guest}")).unwrap();
        let mut modules = files
            .map(|file| file.unwrap().path())
            .filter(|path| path.extension().is_some_and(|end| end == "wasm"));
        let module = modules
            .next()
            .unwrap_or_else(|| panic!("{guest}: no module"));
        let shown = good(&["analyzer", "test", module.to_str().unwrap()]);
        assert!(shown.contains("in the second engine"), "{guest}: {shown}");
        tried += 1;
    }
    assert!(tried >= 11, "{tried}");
}

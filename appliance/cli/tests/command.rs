//! The `tripline` program as it is started by people: files in, text and exit codes out.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a helper of a test fails as its test does"
)]

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// Builds leave their key there, not in this host's own folder.
const STATE: &str = concat!(env!("CARGO_TARGET_TMPDIR"), "/command");

fn tripline(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_tripline"))
        .args(args)
        .env_remove("TRIPLINE_SOCKET")
        .env_remove("TRIPLINE_GUARD")
        .env("TRIPLINE_STATE", STATE)
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

fn code(output: &Output) -> i32 {
    output.status.code().unwrap()
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

fn packs() -> Vec<PathBuf> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../rules/packs");
    let files = std::fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let is_pack = |path: &PathBuf| {
        let name = path.file_name().unwrap().to_string_lossy();
        name.ends_with(".yaml") && !name.ends_with(".cases.yaml")
    };
    files.filter(is_pack).collect()
}

fn minimal_pack() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../rules/packs/pump-minimal.yaml")
}

#[test]
fn a_pack_without_cases_is_told_where_they_would_be() {
    let dir = tempfile::tempdir().unwrap();
    let pack = dir.path().join("pump.yaml");
    std::fs::copy(minimal_pack(), &pack).unwrap();
    let output = tripline(&["test", pack.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1));
    let said = stderr(&output);
    for word in [
        "pump.cases.yaml: no cases are recorded",
        "docs/pack-reference.md",
        "--cases",
    ] {
        assert!(said.contains(word), "{word}: {said}");
    }
}

#[test]
fn h59_a_welded_contactor_that_no_feedback_could_show_is_not_tried() {
    let dir = tempfile::tempdir().unwrap();
    let pack = minimal_pack();
    let output = tripline(&[
        "prooftest",
        pack.to_str().unwrap(),
        "--simulate",
        "--inject",
        "welded=pump_run",
        "--key",
        dir.path().join("a.key").to_str().unwrap(),
        "--report",
        dir.path().join("a.json").to_str().unwrap(),
    ]);
    assert_eq!(output.status.code(), Some(1), "H-59: {}", stdout(&output));
    let said = stderr(&output);
    assert!(
        said.contains("--inject welded=pump_run: ") && said.contains("feedback"),
        "H-59: {said}"
    );
}

#[test]
fn every_shipped_pack_is_checked_built_and_inspected() {
    let dir = tempfile::tempdir().unwrap();
    let packs = packs();
    assert!(packs.len() >= 3, "the shipped packs are found: {packs:?}");
    for pack in packs {
        let name = pack.display().to_string();
        let checked = tripline(&["check", &name, "--allow-unsigned"]);
        assert_eq!(code(&checked), 0, "{name}: {}", stderr(&checked));
        let summary = stdout(&checked);
        assert!(summary.contains("fuel bound"), "{name}: {summary}");
        let bundle = dir.path().join("a.bundle").display().to_string();
        let built = tripline(&["build", &name, "-o", &bundle, "--allow-unsigned"]);
        assert_eq!(code(&built), 0, "{name}: {}", stderr(&built));
        let inspected = tripline(&["inspect", &bundle]);
        assert_eq!(code(&inspected), 0, "{name}: {}", stderr(&inspected));
        let text = stdout(&inspected);
        let hash = text
            .lines()
            .next()
            .unwrap()
            .strip_prefix("bundle ")
            .unwrap();
        assert_eq!(hash.len(), 64);
        assert!(
            stdout(&built).contains(hash),
            "built and inspected hash differ: {name}"
        );
    }
}

#[test]
fn building_twice_gives_the_same_bytes() {
    let dir = tempfile::tempdir().unwrap();
    let pack = minimal_pack().display().to_string();
    let files = ["a", "b"].map(|name| dir.path().join(name));
    for file in &files {
        let built = tripline(&[
            "build",
            &pack,
            "--allow-unsigned",
            "-o",
            &file.display().to_string(),
        ]);
        assert_eq!(code(&built), 0, "{}", stderr(&built));
    }
    let [a, b] = files.map(|file| std::fs::read(file).unwrap());
    assert!(a == b, "the bundle's id would change without a change");
}

#[test]
fn h46_a_bad_pack_is_refused_with_place_and_way_out() {
    let dir = tempfile::tempdir().unwrap();
    let pack = dir.path().join("bad.yaml");
    let good = std::fs::read_to_string(minimal_pack()).unwrap();
    std::fs::write(&pack, good.replace("\nrules:", "\nrulez:")).unwrap();
    let name = pack.display().to_string();
    let bundle = dir.path().join("bad.bundle");
    for args in [
        vec!["check", &name],
        vec!["build", &name, "-o", bundle.to_str().unwrap()],
    ] {
        let refused = tripline(&args);
        assert_eq!(code(&refused), 1, "{args:?}");
        let text = stderr(&refused);
        assert!(
            text.contains("rulez") && text.contains("bad.yaml:"),
            "{text}"
        );
        assert!(!text.contains('\u{1b}'), "no colours into a pipe");
        assert_eq!(stdout(&refused), "", "nothing looks like success");
    }
    assert!(!bundle.exists(), "a refused pack leaves no bundle");
}

#[test]
fn a_failed_build_leaves_the_old_bundle() {
    let dir = tempfile::tempdir().unwrap();
    let bundle = dir.path().join("line.bundle").display().to_string();
    let pack = minimal_pack().display().to_string();
    assert_eq!(
        code(&tripline(&[
            "build",
            &pack,
            "--allow-unsigned",
            "-o",
            &bundle
        ])),
        0
    );
    let before = std::fs::read(&bundle).unwrap();
    let bad = dir.path().join("bad.yaml");
    std::fs::write(&bad, "tripline: 1\n").unwrap();
    assert_eq!(
        code(&tripline(&[
            "build",
            &bad.display().to_string(),
            "-o",
            &bundle
        ])),
        1
    );
    assert!(std::fs::read(&bundle).unwrap() == before, "H-68");
}

#[test]
fn h67_a_changed_bundle_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let bundle = dir.path().join("line.bundle");
    let name = bundle.display().to_string();
    let pack = minimal_pack().display().to_string();
    assert_eq!(
        code(&tripline(&[
            "build",
            &pack,
            "--allow-unsigned",
            "-o",
            &name
        ])),
        0
    );
    let mut bytes = std::fs::read(&bundle).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&bundle, bytes).unwrap();
    for command in ["inspect", "run"] {
        let socket = dir.path().join("g.sock").display().to_string();
        let refused = tripline(&[command, &name, "--socket", &socket]);
        assert_eq!(code(&refused), 1, "{command}");
        assert!(
            stderr(&refused).contains("does not match its hash"),
            "{}",
            stderr(&refused)
        );
    }
}

#[test]
fn i13_a_bundle_of_another_host_is_neither_shown_nor_run() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).display().to_string();
    let (bundle, here, there) = (path("a.bundle"), path("here"), path("there"));
    let on = |state: &str, args: &[&str]| {
        Command::new(env!("CARGO_BIN_EXE_tripline"))
            .args(args)
            .args(["--socket", &path("g.sock")])
            .env("TRIPLINE_STATE", state)
            .stdin(Stdio::null())
            .output()
            .unwrap()
    };
    let pack = minimal_pack().display().to_string();
    let build = |state: &str| {
        let built = on(state, &["build", &pack, "--allow-unsigned", "-o", &bundle]);
        assert_eq!(code(&built), 0, "{}", stderr(&built));
    };
    build(&there);
    // Nothing was ever built here: there is no key, and looking at a bundle makes none.
    for command in ["inspect", "run"] {
        let nothing = on(&here, &[command, &bundle]);
        assert_eq!(code(&nothing), 1);
        assert!(
            stderr(&nothing).contains("no key of bundles"),
            "I13: {}",
            stderr(&nothing)
        );
        assert!(!Path::new(&here).exists(), "I13");
    }
    build(&here);
    assert_eq!(code(&on(&here, &["inspect", &bundle])), 0);
    for command in ["inspect", "run"] {
        let refused = on(&there, &[command, &bundle]);
        assert_eq!(code(&refused), 1, "I13: {command}");
        assert!(
            stderr(&refused).contains("not built on this host"),
            "I13: {}",
            stderr(&refused)
        );
    }
}

#[test]
fn a_pack_is_no_bundle() {
    let refused = tripline(&["inspect", &minimal_pack().display().to_string()]);
    assert_eq!(code(&refused), 1);
    assert!(
        stderr(&refused).contains("not a bundle"),
        "{}",
        stderr(&refused)
    );
}

#[test]
fn the_schema_is_json_and_knows_the_format() {
    let schema = tripline(&["schema"]);
    assert_eq!(code(&schema), 0);
    let schema: serde_json::Value = serde_json::from_slice(&schema.stdout).unwrap();
    for key in ["tripline", "devices", "tags", "outputs", "rules"] {
        assert!(schema["properties"][key].is_object(), "{key}");
    }
}

#[test]
fn misuse_is_exit_code_2() {
    for args in [
        &[][..],
        &["fly"],
        &["build", "pack.yaml"],
        &["trip"],
        &["status", "--format", "xml"],
        &["demo", "--seed", "-1"],
        &[
            "bypass",
            "v/t",
            "--for",
            "30",
            "--why",
            "a time needs its unit",
        ],
        &["bypass", "v/t", "--for", "30m"],
        &["shelve", "r", "--why", "for ever"],
    ] {
        let misused = tripline(args);
        assert_eq!(code(&misused), 2, "{args:?}");
        assert_eq!(stdout(&misused), "", "{args:?}");
    }
}

#[test]
fn help_names_the_exit_codes_and_what_this_is_not() {
    let help = tripline(&["--help"]);
    assert_eq!(code(&help), 0);
    let text = stdout(&help);
    assert!(text.contains("Exit codes:"), "{text}");
    assert!(text.contains("not a certified safety component"), "{text}");
}

#[test]
fn without_a_guard_every_question_says_how_to_start_one() {
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("none.sock").display().to_string();
    for args in [
        &["status"][..],
        &["tags"],
        &["latency"],
        &["reset", "--who", "Anna"],
        &["acknowledge"],
        &["bypass"],
        &["bypass", "v/t", "--for", "30m", "--why", "test"],
        &["bypass", "--end", "v/t"],
        &["shelve"],
        &["shelve", "r", "--for", "1h", "--why", "test"],
        &["shelve", "--end", "r"],
        &["lift", "crash loop"],
        &["trip", "--reason", "test"],
        &["events"],
    ] {
        let output = tripline(&[args, &["--socket", &socket]].concat());
        assert_eq!(code(&output), 1, "{args:?}");
        let text = stderr(&output);
        assert!(
            text.contains(&socket) && text.contains("tripline run"),
            "{args:?}: {text}"
        );
    }
}

#[test]
fn a_guard_that_is_not_there_is_named_with_the_way_to_build_it() {
    let dir = tempfile::tempdir().unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_tripline"))
        .arg("run")
        .arg(minimal_pack())
        .args(["--allow-unsigned", "--socket"])
        .arg(dir.path().join("g.sock"))
        .env("TRIPLINE_GUARD", dir.path().join("nothing"))
        .env("TRIPLINE_STATE", STATE)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert_eq!(code(&output), 1);
    let text = stderr(&output);
    assert!(
        text.contains("cargo build --release -p appliance-guard"),
        "{text}"
    );
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let output = tripline(&["check", "/nonexistent/pack.yaml"]);
    assert_eq!(code(&output), 1);
    assert!(
        stderr(&output).contains("/nonexistent/pack.yaml"),
        "{}",
        stderr(&output)
    );
}

//! Every shipped pack gives the verdicts that its recorded cases say, in the real lane with the real rule module.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::path::{Path, PathBuf};

use appliance_cli::install::Unsigned;
use appliance_cli::{build, cases};

fn shipped() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../rules/packs");
    let mut packs: Vec<PathBuf> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|end| end == "yaml"))
        .filter(|path| !path.to_string_lossy().ends_with(".cases.yaml"))
        .collect();
    packs.sort();
    packs
}

fn built(path: &Path, text: &str) -> build::Built {
    // The modules of shipped packs are to be signed by whoever uses them.
    let checked = build::check_bytes_with(path, text.as_bytes(), Unsigned::Allowed);
    let checked = checked.unwrap_or_else(|error| panic!("{error:?}"));
    build::compile(checked, &rules_bundle::testing::key()).unwrap()
}

#[test]
fn shipped_packs_give_their_recorded_verdicts() {
    let packs = shipped();
    assert!(packs.len() >= 3, "{packs:?}");
    for path in packs {
        let built = built(&path, &std::fs::read_to_string(&path).unwrap());
        match cases::check(&cases::beside(&path), &built) {
            Ok(passed) => assert!(passed.expectations >= 5, "{}: {passed:?}", path.display()),
            Err(cases::CasesError::Findings { findings, text, .. }) => {
                panic!("{}", rules_pack::render(&findings, &text, false))
            }
            Err(error) => panic!("{error}"),
        }
    }
}

#[test]
fn h05_a_pack_that_decides_otherwise_than_recorded_is_found_at_the_line_of_the_case() {
    let pack = shipped()
        .into_iter()
        .find(|path| path.ends_with("pump-minimal.yaml"))
        .unwrap();
    let text = std::fs::read_to_string(&pack).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let recorded = folder.path().join("pump.cases.yaml");
    let cases = "cases:\n  - name: what the station sent when the valve was closed\n    steps:\n      \
                 - { at_ms: 0, set: { pump.pressure: [4500] }, expect: { overpressure: normal } }\n      \
                 - { at_ms: 100, set: { pump.pressure: [8400] }, expect: { overpressure: pending } }\n      \
                 - { at_ms: 160, expect: { overpressure: danger } }\n";
    std::fs::write(&recorded, cases).unwrap();
    assert_eq!(
        cases::check(&recorded, &built(&pack, &text))
            .unwrap()
            .expectations,
        3
    );
    // Millibars taken for hundredths of them.
    let wrong = text.replacen("scale: 0.001 ", "scale: 0.0001 ", 1);
    assert_ne!(wrong, text, "the pack scales its pressure");
    match cases::check(&recorded, &built(&pack, &wrong)) {
        Err(cases::CasesError::Findings { findings, text, .. }) => {
            let shown = rules_pack::render(&findings, &text, false);
            assert!(
                shown.contains("P120") && shown.contains("expected"),
                "H-5: {shown}"
            );
        }
        other => panic!("H-5: {other:?}"),
    }
}

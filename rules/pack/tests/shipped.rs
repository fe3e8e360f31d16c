//! The packs that are shipped load without a single remark, and their cases name what exists.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of tests fail the test"
)]

use std::path::{Path, PathBuf};

use rules_bundle::SignaturePlan;
use rules_sdk_abi::metadata::Metadata;

/// The packs' folder, in which somebody vouches for every module: who uses them has signed them.
struct Folder;

impl rules_pack::Beside for Folder {
    fn read(&self, path: &str, _: usize) -> Result<Vec<u8>, String> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../packs");
        std::fs::read(folder.join(path)).map_err(|error| error.to_string())
    }

    fn vouch(&self, _: &str, _: &Metadata, _: &[u8]) -> Result<Option<SignaturePlan>, String> {
        Ok(Some(SignaturePlan {
            signer: "works".to_owned(),
            expires: None,
        }))
    }
}

fn packs() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../packs");
    let mut packs: Vec<PathBuf> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| {
            let name = path.file_name().unwrap().to_str().unwrap();
            name.ends_with(".yaml") && !name.ends_with(".cases.yaml")
        })
        .collect();
    packs.sort();
    packs
}

#[test]
fn shipped_packs_load_without_a_warning() {
    let packs = packs();
    assert!(packs.len() >= 3, "{packs:?}");
    for path in packs {
        let source = std::fs::read_to_string(&path).unwrap();
        let name = path.file_name().unwrap().to_str().unwrap();
        match rules_pack::load_beside(name, &source, &Folder) {
            Ok(loaded) => {
                assert!(
                    loaded.warnings.is_empty(),
                    "{}",
                    rules_pack::render(&loaded.warnings, &source, false)
                );
                assert_eq!(loaded.plan.name, name.trim_end_matches(".yaml"));
                loaded.plan.check().unwrap();
            }
            Err(findings) => panic!("{}", rules_pack::render(&findings, &source, false)),
        }
    }
}

#[test]
fn each_shipped_pack_has_cases_that_read_and_trip() {
    use rules_pack::cases::{self, Verdict};
    for path in packs() {
        let source = std::fs::read_to_string(&path).unwrap();
        let plan = rules_pack::load_beside("pack", &source, &Folder)
            .unwrap()
            .plan;
        let path = path.with_extension("cases.yaml");
        let source = std::fs::read_to_string(&path)
            .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let name = path.display().to_string();
        let cases = cases::parse(&name, &source, &plan)
            .unwrap_or_else(|findings| panic!("{}", rules_pack::render(&findings, &source, false)));
        let verdicts = || {
            cases
                .iter()
                .flat_map(|case| &case.steps)
                .flat_map(|step| &step.expect)
        };
        assert!(
            verdicts().any(|(_, verdict)| *verdict == Verdict::Danger),
            "{name}"
        );
        assert!(
            verdicts().any(|(_, verdict)| *verdict == Verdict::Normal),
            "{name}"
        );
    }
}

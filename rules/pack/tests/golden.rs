//! Bad packs and what is said about them. `UPDATE_GOLDEN=1 cargo test -p rules-pack` writes the expected texts anew.
//!
//! Hazards: H-46 (everything malformed is refused with its place), H-48 (names that do not resolve), H-5 (units, scaling
//! and orders that were left open).
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "helpers of tests fail the test"
)]

mod common;

use std::path::{Path, PathBuf};

use rules_pack::{Code, Finding, Severity};

/// What the issue asks for.
const AT_LEAST: usize = 60;

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests")
        .join(name)
}

fn bad_packs() -> Vec<PathBuf> {
    packs_in("bad")
}

fn packs_in(name: &str) -> Vec<PathBuf> {
    let mut packs: Vec<PathBuf> = std::fs::read_dir(folder(name))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "yaml")
        })
        .collect();
    packs.sort();
    packs
}

fn findings_of(path: &Path) -> (String, Vec<Finding>) {
    let source = std::fs::read_to_string(path).unwrap();
    let name = path.file_name().unwrap().to_str().unwrap();
    match rules_pack::load_beside(name, &source, &common::Shelf) {
        Ok(_) => panic!("{name} loads, but it is a bad pack"),
        Err(findings) => (source, findings),
    }
}

fn updating() -> bool {
    std::env::var_os("UPDATE_GOLDEN").is_some()
}

#[test]
fn bad_packs_are_refused_with_the_expected_text() {
    let packs = bad_packs();
    assert!(packs.len() >= AT_LEAST, "only {} bad packs", packs.len());
    compare(packs.iter().map(|path| {
        let (source, findings) = findings_of(path);
        (path, rules_pack::render(&findings, &source, false))
    }));
}

/// Packs that load, with remarks.
#[test]
fn lints_are_made_with_the_expected_text() {
    let packs = packs_in("lint");
    compare(packs.iter().map(|path| {
        let (source, findings) = remarks_on(path);
        assert!(!findings.is_empty(), "{}", path.display());
        (path, rules_pack::render(&findings, &source, false))
    }));
}

fn remarks_on(path: &Path) -> (String, Vec<Finding>) {
    let source = std::fs::read_to_string(path).unwrap();
    let name = path.file_name().unwrap().to_str().unwrap();
    match rules_pack::load_beside(name, &source, &common::Shelf) {
        Ok(loaded) => (source, loaded.warnings),
        Err(findings) => panic!("{}", rules_pack::render(&findings, &source, false)),
    }
}

/// Holds each text against the file beside its pack.
fn compare<'p>(shown: impl Iterator<Item = (&'p PathBuf, String)>) {
    let mut different = Vec::new();
    for (path, shown) in shown {
        let expected = path.with_extension("txt");
        if updating() {
            std::fs::write(&expected, &shown).unwrap();
        }
        if std::fs::read_to_string(&expected).ok().as_deref() != Some(shown.as_str()) {
            different.push(format!("{}:\n{shown}", path.display()));
        }
    }
    assert!(
        different.is_empty(),
        "not as expected (UPDATE_GOLDEN=1 accepts):\n{}",
        different.join("\n")
    );
}

#[test]
fn every_finding_has_a_place_a_cause_and_a_way_out() {
    for path in bad_packs() {
        let (source, findings) = findings_of(&path);
        let name = path.display();
        assert!(
            findings
                .iter()
                .any(|finding| finding.severity == Severity::Error),
            "{name}"
        );
        for finding in findings {
            assert!(
                finding.line >= 1 && finding.column >= 1,
                "{name}: {finding:?}"
            );
            assert!(
                source.get(finding.span.clone()).is_some(),
                "{name}: {finding:?}"
            );
            assert!(
                !finding.message.is_empty() && !finding.help.is_empty(),
                "{name}: {finding:?}"
            );
            assert_ne!(finding.code, Code::Defect, "{name}: {finding:?}");
            // Line and column lead to the same byte as the span.
            let line_start: usize = source
                .split_inclusive('\n')
                .take(finding.line - 1)
                .map(str::len)
                .sum();
            let column = source[line_start..finding.span.start].chars().count() + 1;
            assert_eq!(column, finding.column, "{name}: {finding:?}");
        }
    }
}

#[test]
fn every_code_that_a_pack_can_cause_is_shown_by_an_example() {
    // Shown by tests of their own: they need bytes that are no text, very large files, or other files.
    const ELSEWHERE: &[Code] = &[
        Code::NotUtf8,
        Code::TooManyFindings,
        Code::TooMany,
        Code::StaleClasses,
        Code::CaseFailed,
        Code::BadModule,
        Code::Defect,
    ];
    let mut seen: Vec<Code> = bad_packs()
        .iter()
        .flat_map(|path| findings_of(path).1)
        .chain(packs_in("lint").iter().flat_map(|path| remarks_on(path).1))
        .map(|finding| finding.code)
        .collect();
    seen.extend(ELSEWHERE);
    let missing: Vec<String> = Code::ALL
        .iter()
        .filter(|code| !seen.contains(code))
        .map(|code| format!("{code} {}", code.title()))
        .collect();
    assert!(missing.is_empty(), "no example shows {missing:?}");
}

/// Good packs as plain data: what a change of the compiler changes is seen in review.
#[test]
fn the_plans_of_good_packs_are_as_expected() {
    for (name, source) in [
        ("press-line", include_str!("../../packs/press-line.yaml")),
        (
            "turbine-2oo3",
            include_str!("../../packs/turbine-2oo3.yaml"),
        ),
        (
            "fan-two-lanes",
            include_str!("../../packs/fan-two-lanes.yaml"),
        ),
        ("pump-analyzers", include_str!("good/pump-analyzers.yaml")),
    ] {
        let plan = rules_pack::load_beside(name, source, &common::Shelf)
            .unwrap_or_else(|findings| panic!("{}", rules_pack::render(&findings, source, false)))
            .plan;
        let shown = format!("{plan:#?}\n");
        let expected = folder("good").join(format!("{name}.plan.txt"));
        if updating() {
            std::fs::create_dir_all(folder("good")).unwrap();
            std::fs::write(&expected, &shown).unwrap();
        }
        assert_eq!(
            std::fs::read_to_string(&expected).unwrap_or_default(),
            shown,
            "{name} is not as expected (UPDATE_GOLDEN=1 accepts)"
        );
    }
}

/// Every address, slot and index of a pack with two lanes, as worked out by hand.
#[test]
fn two_lanes_share_no_index() {
    let source = include_str!("../../packs/fan-two-lanes.yaml");
    let plan = rules_pack::load("fan", source).unwrap().plan;
    let [supply, exhaust] = plan.lanes.as_slice() else {
        panic!()
    };
    let rules_bundle::LinkPlan::Modbus(modbus) = &supply.devices[0].link else {
        panic!()
    };
    assert_eq!(
        modbus
            .points
            .iter()
            .map(|point| point.address)
            .collect::<Vec<_>>(),
        [0, 2],
        "one_based"
    );
    assert_eq!(modbus.poll, None, "continuous");
    assert_eq!(
        supply.outputs[0].target,
        rules_bundle::OutputTarget::Coil {
            address: 0,
            run: true
        }
    );
    assert_eq!(
        exhaust.outputs[0].target,
        rules_bundle::OutputTarget::Register {
            address: 100,
            run: 1,
            safe: 0
        }
    );
    assert_eq!(exhaust.outputs[0].unit, 17, "of the device");
    assert_eq!(
        exhaust.outputs[0].backoff_max,
        drivers_frame::DurNs::from_ms(200),
        "a stop is tried again soon"
    );
    assert_eq!(
        exhaust
            .tags
            .iter()
            .map(|tag| tag.device.0)
            .collect::<Vec<_>>(),
        [0, 0]
    );
    // 10 s at 50 ms are 200 samples.
    assert_eq!(
        exhaust
            .windows
            .iter()
            .map(|window| window.capacity)
            .collect::<Vec<_>>(),
        [408]
    );
    assert_eq!(exhaust.slots(), 3);
    assert_eq!(
        exhaust
            .rules
            .iter()
            .map(|rule| rule.stops.clone())
            .collect::<Vec<_>>(),
        [vec![0], vec![]]
    );
}

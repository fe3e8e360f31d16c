//! The hazard table tells the truth: every row is there, and every test that it names exists.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "tests"
)]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .unwrap()
        .to_owned()
}

fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap()
}

/// The names of all functions in the tree's Rust files.
fn functions() -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    let mut folders: Vec<PathBuf> = ["appliance", "drivers", "rules", "rt-config", "hil-tests"]
        .iter()
        .map(|folder| root().join(folder))
        .collect();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                if !path.ends_with("target") {
                    folders.push(path);
                }
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = std::fs::read_to_string(&path).unwrap();
                for line in text.lines() {
                    let line = line.trim_start();
                    let line = line.strip_prefix("pub(crate) ").unwrap_or(line);
                    let line = line.strip_prefix("pub ").unwrap_or(line);
                    let line = line.strip_prefix("async ").unwrap_or(line);
                    if let Some(rest) = line.strip_prefix("fn ") {
                        let name = rest.split(['(', '<']).next().unwrap();
                        names.insert(name.to_owned());
                    }
                }
            }
        }
    }
    names
}

/// The names in backquotes that look like tests: words joined by at least three underscores.
fn named_tests(text: &str) -> Vec<&str> {
    text.split('`')
        .skip(1)
        .step_by(2)
        .filter(|name| {
            name.matches('_').count() >= 3
                && name
                    .chars()
                    .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
        })
        .collect()
}

#[test]
fn every_test_that_a_document_names_exists() {
    let functions = functions();
    assert!(
        functions.contains("every_test_that_a_document_names_exists"),
        "the search works"
    );
    let mut pages = vec![
        "docs/hazards.md".to_owned(),
        "docs/safety-manual.md".to_owned(),
    ];
    for entry in std::fs::read_dir(root().join("docs/decisions")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        pages.push(format!("docs/decisions/{name}"));
    }
    let mut missing = Vec::new();
    let mut count = 0;
    for page in &pages {
        for name in named_tests(&read(page)) {
            count += 1;
            if !functions.contains(name) {
                missing.push(format!("{page} names `{name}`"));
            }
        }
    }
    assert!(
        missing.is_empty(),
        "no such function:\n{}",
        missing.join("\n")
    );
    assert!(count > 100, "the pages name many tests: {count}");
}

#[test]
fn every_hazard_and_invariant_has_its_row_and_a_test_or_a_reason() {
    let text = read("docs/hazards.md");
    let rows: Vec<&str> = text.lines().filter(|line| line.starts_with("| ")).collect();
    let row = |id: &str| {
        let found: Vec<_> = rows
            .iter()
            .filter(|row| row.starts_with(&format!("| {id} |")))
            .collect();
        assert_eq!(found.len(), 1, "one row for {id}");
        (*found[0]).to_owned()
    };
    let mut bare = Vec::new();
    for number in 1..=85 {
        let row = row(&format!("H-{number}"));
        // Up to 64 a row without a test must say in which part of the safety manual the reason is.
        let reasoned = !named_tests(&row).is_empty() || row.contains("safety-manual.md");
        if number <= 64 && !reasoned {
            bare.push(format!("H-{number}"));
        }
    }
    for number in 1..=14 {
        let row = row(&format!("I{number}"));
        if number <= 9 && named_tests(&row).is_empty() {
            bare.push(format!("I{number}"));
        }
    }
    assert!(
        bare.is_empty(),
        "neither test nor reason: {}",
        bare.join(", ")
    );
}

#[test]
fn the_pack_in_the_readme_is_the_shipped_one() {
    let readme = read("README.md");
    let pack = read("rules/packs/pump-minimal.yaml");
    let shown = readme
        .split("```yaml\n")
        .nth(1)
        .and_then(|rest| rest.split("```").next())
        .unwrap();
    assert_eq!(shown, &pack[pack.find("tripline: 1").unwrap()..]);
}

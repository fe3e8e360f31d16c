//! The modules that we ship, and the examples in three languages, stay well below the limits of the gate: whoever writes
//! an analyzer has room. `cargo test -p rules-sdk-gate --test shipped -- --nocapture` prints how much each takes.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "tests"
)]

use std::path::Path;

use rt_config::limits::{
    ANALYZER_BRANCHES_MAX, ANALYZER_CODE_BYTES_MAX, ANALYZER_FUNCTION_BYTES_MAX,
    ANALYZER_LOCALS_MAX, ANALYZER_MODULE_BYTES_MAX, ANALYZER_NESTING_MAX,
};
use rules_sdk_gate::inspect;

#[test]
fn what_we_ship_takes_half_of_each_limit_at_most() {
    let root = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../.."));
    let list = std::fs::read_to_string(root.join("rules/sdk/guests.txt")).unwrap();
    let folders = list
        .lines()
        .filter(|line| !line.starts_with('#') && !line.is_empty());
    let mut seen = 0;
    for folder in folders {
        for entry in std::fs::read_dir(root.join(folder)).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_none_or(|extension| extension != "wasm") {
                continue;
            }
            seen += 1;
            let bytes = std::fs::read(&path).unwrap();
            let counts = inspect(&bytes).unwrap().counts;
            println!("{}: {} bytes, {counts:?}", path.display(), bytes.len());
            for (what, taken, limit) in [
                ("bytes", counts.bytes, ANALYZER_MODULE_BYTES_MAX as u64),
                (
                    "bytes of code",
                    counts.code_bytes,
                    ANALYZER_CODE_BYTES_MAX as u64,
                ),
                (
                    "bytes of a function",
                    counts.code_bytes_max,
                    ANALYZER_FUNCTION_BYTES_MAX as u64,
                ),
                (
                    "locals",
                    counts.locals_max.into(),
                    ANALYZER_LOCALS_MAX.into(),
                ),
                (
                    "blocks deep",
                    counts.nesting_max.into(),
                    ANALYZER_NESTING_MAX.into(),
                ),
                (
                    "branches",
                    counts.branches_max.into(),
                    ANALYZER_BRANCHES_MAX.into(),
                ),
            ] {
                assert!(
                    taken * 2 <= limit,
                    "{}: {taken} {what} of {limit}",
                    path.display()
                );
            }
        }
    }
    assert_eq!(seen, 11, "three examples and eight analyzers");
}

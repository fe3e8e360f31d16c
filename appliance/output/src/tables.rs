//! The tables of this crate as one file for people: `tests/golden/output.txt`.

use std::fmt::Write;

use crate::{phase, watchdog};

#[test]
fn the_tables_are_the_golden_file() {
    let mut dump = String::from(
        "# Output: phase of the place, act, next phase. UPDATE_GOLDEN=1 writes this file anew.\n",
    );
    for phase in phase::Phase::ALL {
        for act in phase::Act::ALL {
            let (from, on) = (format!("{phase:?}"), format!("{act:?}"));
            let to = format!("{:?}", phase::next(phase, act));
            writeln!(dump, "{from:<12} {on:<9} {to}").unwrap();
        }
    }
    dump.push_str("# The device's watchdog: phase, step, next phase.\n");
    for phase in watchdog::Arming::ALL {
        for step in watchdog::Step::ALL {
            let (from, on) = (format!("{phase:?}"), format!("{step:?}"));
            let to = format!("{:?}", watchdog::next(phase, step));
            writeln!(dump, "{from:<12} {on:<9} {to}").unwrap();
        }
    }
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/output.txt");
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(path, &dump).unwrap();
    }
    assert_eq!(std::fs::read_to_string(path).unwrap(), dump);
}

//! The rig without Tripline: the floor and the peers, for checking the rig itself or another machine.
#![forbid(unsafe_code)]

use std::process::ExitCode;

fn main() -> ExitCode {
    hil_tests_rig::run(|_| Vec::new())
}

//! The `tripline` command. Everything is in the library beside it.
#![forbid(unsafe_code)]

use std::process::ExitCode;

fn main() -> ExitCode {
    appliance_cli::compile_in_own_processes();
    appliance_cli::run(std::env::args_os())
}

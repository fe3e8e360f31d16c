//! `tripline-guard`: the protection process. Wires, seals, starts, watches.
//!
//! The main thread opens the bundle, prepares everything a lane will ever need, starts the lanes and then serves the
//! control socket. It never decides about a stop: a lane does, and goes on when this thread is busy.
#![cfg_attr(
    not(test),
    deny(
        clippy::indexing_slicing,
        clippy::as_conversions,
        clippy::arithmetic_side_effects
    )
)]
#![allow(
    clippy::print_stderr,
    reason = "a service says what it cannot do on standard error, where its supervisor records it"
)]

mod acquire;
mod args;
mod control;
mod exit;
mod lane_thread;
mod message;
mod report;
mod rescue;
mod serve;
mod stages;
mod start;
mod wiring;

use std::process::ExitCode;

use exit::Exit;
use rt_config::seal::SealingAllocator;

#[global_allocator]
static ALLOCATOR: SealingAllocator = SealingAllocator;

fn main() -> ExitCode {
    rt_config::host::quiet_allocator();
    let args = match args::Args::parse(std::env::args_os().skip(1)) {
        Ok(args) => args,
        Err(cause) => {
            if !cause.is_empty() {
                eprintln!("tripline-guard: {cause}\n");
            }
            eprintln!("{}", args::USAGE);
            return Exit::Usage.into();
        }
    };
    match start::start(&args) {
        Ok(guard) => guard.serve().into(),
        Err((exit, cause)) => {
            eprintln!("tripline-guard: {cause}");
            exit.into()
        }
    }
}

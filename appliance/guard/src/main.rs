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
/// Says something on standard error, where a supervisor records it. Unlike `eprintln!` it does not panic when nobody
/// reads there any more: a guard outlives whoever started it.
macro_rules! say {
    ($($arg:tt)*) => {{
        use std::io::Write;
        let _ = writeln!(std::io::stderr(), $($arg)*);
    }};
}

mod acquire;
mod analyzers;
mod args;
mod calibrate;
mod confine;
mod control;
mod exit;
#[cfg(feature = "inject")]
mod inject;
mod kept;
mod lane_thread;
mod message;
mod outside;
mod placement;
mod pulse;
mod report;
mod rights;
mod sentinel;
mod serve;
mod share;
mod stages;
mod start;
mod state;
mod timing;
mod window;
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
                say!("tripline-guard: {cause}\n");
            }
            say!("{}", args::USAGE);
            return Exit::Usage.into();
        }
    };
    #[cfg(feature = "inject")]
    inject::listen();
    match start::start(&args) {
        Ok(guard) => guard.serve().into(),
        Err((exit, cause)) => {
            say!("tripline-guard: {cause}");
            exit.into()
        }
    }
}

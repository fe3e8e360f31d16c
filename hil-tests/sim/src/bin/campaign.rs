//! `campaign`: many seeds, many faults, planted bugs. How to read it: `docs/simulation.md`.
#![forbid(unsafe_code)]
#![expect(clippy::print_stdout, reason = "what it found is its output")]

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use hil_tests_sim::campaign;

#[derive(Parser)]
#[command(about = "Runs the simulator over many seeds.")]
struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// Seeds with faults by chance; every invariant after every step, then arming again.
    Simulate {
        /// How many seeds.
        #[arg(long, default_value_t = 2_000)]
        seeds: u64,
        /// The first seed; with `--seeds 1` it repeats one run.
        #[arg(long, default_value_t = 1)]
        from: u64,
        /// Virtual seconds of the phase with faults.
        #[arg(long, default_value_t = 60)]
        seconds: u64,
    },
    /// One fault at a time at a random instant, with a demand behind it: seen, and safe in time?
    Faults {
        /// How many of each class.
        #[arg(long, default_value_t = 50)]
        injections: u64,
    },
    /// Plants bugs in the product's code, one after the other, and demands that each is caught.
    #[cfg(feature = "planted")]
    Planted {
        /// Only the bug of this name.
        #[arg(long)]
        only: Option<String>,
    },
}

fn main() -> ExitCode {
    let passed = match Args::parse().what {
        What::Simulate {
            seeds,
            from,
            seconds,
        } => {
            let report = campaign::simulate(from, seeds, seconds);
            println!("{report}");
            report.passed()
        }
        What::Faults { injections } => {
            let report = hil_tests_sim::faults::all(injections);
            println!("{report}");
            report.passed()
        }
        #[cfg(feature = "planted")]
        What::Planted { only } => {
            let report = hil_tests_sim::planted::all(only.as_deref());
            println!("{report}");
            report.passed()
        }
    };
    if passed {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

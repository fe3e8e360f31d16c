//! `campaign`: many seeds, many faults, planted bugs. How to read it: `docs/simulation.md`.
#![forbid(unsafe_code)]
#![expect(clippy::print_stdout, reason = "what it found is its output")]

use std::process::{Command, ExitCode};

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
    /// Hostile modules all the way to the sandbox: the attacks written by hand, and so many of wasm-smith.
    HostileWasm {
        /// How many modules of wasm-smith.
        #[arg(long, default_value_t = 2_000)]
        modules: u64,
        /// What they are made from.
        #[arg(long, default_value_t = 1)]
        seed: u64,
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
        What::HostileWasm { modules, seed } => hostile_wasm(modules, seed),
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

/// A program of its own, since it holds the compiler, which the simulator does without: it is built when it is asked for.
fn hostile_wasm(modules: u64, seed: u64) -> bool {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let status = Command::new(cargo)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .args(["run", "--release", "--package", "hil-tests-hostile"])
        .args(["--bin", "hostile-wasm", "--", "--modules"])
        .arg(modules.to_string())
        .arg("--seed")
        .arg(seed.to_string())
        .status();
    match status {
        Ok(status) => status.success(),
        Err(error) => {
            println!("cargo does not start, which builds and runs `hostile-wasm`: {error}");
            false
        }
    }
}

//! `cargo run --release -p hil-tests-hostile --bin hostile-wasm -- --modules 100000 [--seed S]`: every attack written by hand, then
//! so many modules of wasm-smith, each all the way. Ends with an error when anything wrong was accepted.
#![allow(clippy::print_stdout, reason = "a program for people")]

use std::collections::BTreeMap;
use std::process::ExitCode;

use appliance_sandbox::{COMPILE_COMMAND, Engine};
use drivers_frame::DurNs;
use hil_tests_hostile::{Way, attacks, smith};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [command, rest @ ..] = arguments.as_slice()
        && command == COMPILE_COMMAND
    {
        return appliance_sandbox::serve(rest);
    }
    let number = |name: &str| {
        let at = arguments.iter().position(|argument| argument == name)?;
        arguments.get(at + 1)?.parse::<u64>().ok()
    };
    let (modules, seed) = (
        number("--modules").unwrap_or(2_000),
        number("--seed").unwrap_or(1),
    );
    let own = match std::env::current_exe() {
        Ok(own) => own,
        Err(error) => {
            println!("this program cannot find itself: {error}");
            return ExitCode::FAILURE;
        }
    };
    let engine = match Engine::new() {
        Ok(engine) => engine,
        Err(error) => {
            println!("{error}");
            return ExitCode::FAILURE;
        }
    };
    let way = Way {
        engine,
        compiler: &own,
        frames: 40,
        fuel: 1_000_000,
        deadline: DurNs::from_ms(10_000),
    };
    println!("Machine protection and supervisory stop, not a certified safety component.");
    let mut wrong = 0_u64;
    let all = attacks::all();
    for attack in &all {
        match way.send(&attack.wasm) {
            Ok(end) if attack.must.holds(&end) => {}
            end => {
                wrong += 1;
                println!("WRONG  {}: {end:?}", attack.name);
            }
        }
    }
    println!("{} attacks written by hand", all.len());
    let mut ends: BTreeMap<String, u64> = BTreeMap::new();
    for module in 0..modules {
        let word = match way.send(&smith::module(seed, module)) {
            Ok(end) => end.rule().map_or_else(
                || end.word().to_owned(),
                |rule| format!("{}: {}", end.word(), rule.code()),
            ),
            Err(error) => {
                wrong += 1;
                println!("WRONG  module {module} of seed {seed}: {}", error.0);
                continue;
            }
        };
        *ends.entry(word).or_default() += 1;
    }
    println!("{modules} modules of wasm-smith, seed {seed}");
    for (end, count) in ends {
        println!("{count:>8}  {end}");
    }
    println!("{wrong} wrong");
    if wrong == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

//! The `tripline` command: the pack compiler, the desk, and the questions people ask a guard.
//!
//! | module | commands |
//! |---|---|
//! | [`args`], [`settings`] | what was typed; what it means here |
//! | [`build`], [`cases`], `pack`, `reaction`, `matrix` | `check`, `test`, `build`, `schema`, `inspect`, `matrix` |
//! | `run` | `run` |
//! | `show`, `latency`, `events` | `status`, `tags`, `latency`, `events` |
//! | `act` | `reset`, `trip`, `acknowledge`, `bypass`, `shelve`, `lift` |
//! | `demo` | `demo` |
//! | [`prooftest`] | `prooftest` |
//! | [`analyzer`] | `analyzer` |
//! | `signing` | `keygen`, `sign` |
//! | [`install`], [`trust`] | the modules that a pack names: read, trusted, tried, compiled |
//! | `table`, `paint`, `units`, `out` | how it looks |
//!
//! Which thread: the main thread of `tripline`, never a lane, never the guard. May it block: yes. Hazards: H-46 to H-48
//! (a pack loads whole or not at all), H-67 and H-68 (a bundle is written whole and renamed into place).
#![forbid(unsafe_code)]

pub mod analyzer;
pub mod args;
pub mod build;
pub mod cases;
pub mod install;
pub mod prooftest;
pub mod settings;

mod act;
mod demo;
mod error;
mod events;
mod hgrm;
mod inspect;
mod latency;
mod matrix;
mod out;
mod pack;
mod paint;
mod reaction;
mod run;
mod show;
mod signing;
mod table;
pub mod trust;
mod units;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::Parser as _;

use args::{Args, Command};
use error::{CliError, Exit};
use out::Out;
use settings::Settings;

/// Limits of the command line, with the reason for each value.
pub mod limits {
    use std::time::Duration;

    /// How often a command that goes on until Ctrl-C looks whether that was pressed: soon enough to feel at once.
    pub const LOOK_EVERY: Duration = Duration::from_millis(100);
}

/// From now on foreign modules are compiled in processes of their own: this program, called again, confines itself and
/// compiles one (H-44). For a program that hands its arguments to [`run`]; where the program is another, as in tests, they
/// are compiled where they are asked for.
pub fn compile_in_own_processes() {
    install::compile_apart();
}

/// Runs the command with these arguments (the program's name first) and says how it ended.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    // Not one of the commands: nobody types it, and nothing else may have been done before it confines itself.
    if let [_, command, rest @ ..] = arguments.as_slice()
        && command == appliance_sandbox::COMPILE_COMMAND
    {
        let rest: Vec<String> = rest
            .iter()
            .map(|argument| argument.to_string_lossy().into_owned())
            .collect();
        return appliance_sandbox::serve(&rest);
    }
    let args = match Args::try_parse_from(arguments) {
        Ok(args) => args,
        // Help and version are no errors for clap either: it prints them to standard output and means 0.
        Err(error) => {
            let exit = if error.use_stderr() {
                Exit::Usage
            } else {
                Exit::Ok
            };
            // A closed pipe is the reader's choice.
            let _ = error.print();
            return exit.into();
        }
    };
    let settings = Settings::resolve(&args);
    let mut out = Out::new(settings.paint);
    let ended = dispatch(&args.command, &settings, &mut out);
    out::report(ended, &settings).into()
}

fn dispatch(command: &Command, settings: &Settings, out: &mut Out) -> Result<Exit, CliError> {
    match command {
        Command::Check { pack } => pack::check(pack, settings, out),
        Command::Matrix { pack, format } => matrix::matrix(pack, *format, settings, out),
        Command::Build { pack, output } => pack::build(pack, output, settings, out),
        Command::Test { pack, cases } => pack::test(pack, cases.as_deref(), settings, out),
        Command::Schema => pack::schema(out),
        Command::Inspect { bundle } => inspect::inspect(bundle, out),
        Command::Run { pack, operators } => run::run(pack, operators.as_deref(), settings, out),
        Command::Status { format } => show::status(*format, settings, out),
        Command::Tags { format } => show::tags(*format, settings, out),
        Command::Latency { format, hgrm } => {
            latency::latency(*format, hgrm.as_deref(), settings, out)
        }
        Command::Reset { who } => act::reset(who, settings, out),
        Command::Acknowledge { tag, who } => act::acknowledge(tag.as_deref(), who, settings, out),
        Command::Bypass { point, end, how } => {
            act::bypass(point.as_deref(), end.as_deref(), how, settings, out)
        }
        Command::Shelve { rule, end, how } => {
            act::shelve(rule.as_deref(), end.as_deref(), how, settings, out)
        }
        Command::Lift { hold, who } => act::lift(hold, who, settings, out),
        Command::Trip { reason } => act::trip(reason, settings, out),
        Command::Events { follow, format } => events::events(*follow, *format, settings, out),
        Command::Keygen(args) => signing::keygen(args, out),
        Command::Sign(args) => signing::sign(args, settings, out),
        Command::Analyzer(args) => analyzer::analyzer(args, settings, out),
        Command::Prooftest(args) => prooftest::prooftest(args, settings, out),
        Command::Demo {
            once,
            seed,
            analyzer,
        } => demo::demo(*once, *seed, analyzer.as_deref(), settings, out),
    }
}

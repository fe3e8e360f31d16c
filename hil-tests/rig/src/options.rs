//! The command line.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Parser, Subcommand};

/// Measures the time from an over-limit value to the stop write, in interleaved rounds.
#[derive(Debug, Clone, Parser)]
#[command(name = "stop_latency", args_conflicts_with_subcommands = true)]
struct Line {
    #[command(flatten)]
    options: Options,
    #[command(subcommand)]
    child: Option<Sut>,
}

/// What is to be measured, and how.
#[derive(Debug, Clone, clap::Args)]
pub struct Options {
    /// Rounds to keep; dropped ones are repeated, up to twice this many in all.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    pub rounds: u32,
    /// Trials of each system in a round.
    #[arg(long, default_value_t = 300, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub trials: u32,
    /// Trials of each system in a round that come first and are not recorded.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(0..=10_000))]
    pub warm_up: u32,
    /// Three rounds of 50 trials: whether it works, not how fast it is.
    #[arg(long)]
    pub quick: bool,
    /// Only these systems, by name; the floor of each road is always among them.
    #[arg(long, value_delimiter = ',')]
    pub systems: Vec<String>,
    /// Exit with an error when a gate is missed or could not be measured.
    #[arg(long)]
    pub gate: bool,
    /// Leave the cores' sleep states alone.
    #[arg(long)]
    pub no_hold: bool,
    /// Drop a round in which the hypervisor took more than this from the two cores, milliseconds (the kernel counts
    /// in steps of 10).
    #[arg(long, default_value_t = 10)]
    pub stolen_max_ms: u64,
    /// Drop a round in which tasks waited for a core for more than this share of the time beside one of the rig's own
    /// programs. On two cores 3 to 4 % were seen when nothing else ran, 70 % and more beside a compiler.
    #[arg(long, default_value_t = 15.0)]
    pub waited_max_percent: f64,
    /// The device's core [default: the first allowed].
    #[arg(long)]
    pub device_cpu: Option<usize>,
    /// The core of the system under test [default: the second allowed].
    #[arg(long)]
    pub sut_cpu: Option<usize>,
    /// The Python that has pymodbus.
    #[arg(long, default_value = "python3")]
    pub python: PathBuf,
    /// Seed of quiet times and of the order in each round.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Where the figures of every round go [default: stop-latency/stop_latency.json in the build folder].
    #[arg(long)]
    pub json: Option<PathBuf>,
    /// What `cargo bench` says to every benchmark.
    #[arg(long, hide = true)]
    bench: bool,
}

#[derive(Debug, Clone, Subcommand)]
enum Sut {
    /// Runs one of the rig's programs by itself, against any device.
    #[command(subcommand)]
    Sut(Child),
}

/// A program that the rig starts as a child process; each may also be run by hand.
#[derive(Debug, Clone, Subcommand)]
pub(crate) enum Child {
    /// Binds itself to a core and becomes the program given after `--`.
    Pinned {
        #[arg(long)]
        cpu: usize,
        #[arg(last = true, required = true)]
        program: Vec<OsString>,
    },
    /// Read, compare, write on one blocking connection.
    FloorBlocking(Target),
    /// Read, compare, write on one connection that is never slept on.
    FloorSpinning(Target),
    /// tokio-modbus: a poll task, a channel, a rule task, a second connection.
    TokioModbus(Target),
    /// rumqttc: a JSON number from a broker, and a direct write.
    Rumqttc {
        #[command(flatten)]
        target: Target,
        #[arg(long)]
        broker: SocketAddr,
    },
}

/// Where a child runs and what it stops.
#[derive(Debug, Clone, Copy, clap::Args)]
pub(crate) struct Target {
    #[arg(long)]
    pub(crate) cpu: usize,
    #[arg(long)]
    pub(crate) device: SocketAddr,
}

/// What this process is to do.
pub(crate) enum Command {
    Measure(Options),
    Child(Child),
}

/// Reads the command line; ends the process when it makes no sense.
pub(crate) fn parse() -> Command {
    resolve(Line::parse())
}

fn resolve(line: Line) -> Command {
    if let Some(Sut::Sut(child)) = line.child {
        return Command::Child(child);
    }
    let mut options = line.options;
    if options.quick {
        options.rounds = options.rounds.min(3);
        options.trials = options.trials.min(50);
    }
    Command::Measure(options)
}

impl Options {
    /// Whether a system of this name was asked for.
    #[must_use]
    pub fn wants(&self, name: &str) -> bool {
        self.systems.is_empty() || self.systems.iter().any(|s| s == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn measure(arguments: &[&str]) -> Options {
        let line = Line::try_parse_from([&["stop_latency"], arguments].concat()).unwrap();
        match resolve(line) {
            Command::Measure(options) => options,
            Command::Child(child) => panic!("{child:?}"),
        }
    }

    #[test]
    fn at_least_twenty_rounds_unless_told_otherwise() {
        let options = measure(&["--bench"]);
        assert_eq!(options.rounds, 20);
        assert!(options.wants("anything"));
        let options = measure(&["--quick", "--trials", "10", "--systems", "a,b"]);
        assert_eq!((options.rounds, options.trials), (3, 10));
        assert!(options.wants("b") && !options.wants("c"));
    }

    #[test]
    fn a_child_keeps_the_arguments_of_its_program() {
        let line = Line::try_parse_from([
            "x", "sut", "pinned", "--cpu", "1", "--", "ls", "--cpu", "-l",
        ])
        .unwrap();
        match resolve(line) {
            Command::Child(Child::Pinned { cpu: 1, program }) => {
                assert_eq!(program, ["ls", "--cpu", "-l"]);
            }
            _ => panic!("not a child"),
        }
        assert!(Line::try_parse_from(["x", "--rounds", "0"]).is_err());
    }
}

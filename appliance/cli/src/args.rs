//! What was typed. Nothing is looked up here; [`crate::settings`] does that.

use std::path::PathBuf;

use clap::{Parser, Subcommand, ValueEnum};

const AFTER_HELP: &str = "\
Exit codes:
  0  ok
  1  refused or failed: the pack has errors, the guard refused or did not answer, something was missed
  2  usage: the command was not understood

Environment:
  TRIPLINE_SOCKET   the guard's control socket, unless --socket is given
  TRIPLINE_GUARD    the guard's program, unless it is beside tripline
  TRIPLINE_TRUSTED  the folder of trusted keys [default: $XDG_CONFIG_HOME/tripline/trusted.d, for root /etc/tripline/trusted.d]
  TRIPLINE_STATE    the folder of the bundles' key and the installed versions [default: $XDG_STATE_HOME/tripline, for root
                    /var/lib/tripline]
  NO_COLOR          no colours, whatever the terminal can do

Machine protection and supervisory stop, not a certified safety component.";

/// Tripline: a machine-protection gateway. Reads sensors, decides, stops the machine.
#[derive(Debug, Parser)]
#[command(name = "tripline", version, after_help = AFTER_HELP, arg_required_else_help = true, max_term_width = 110)]
pub struct Args {
    /// The guard's control socket [default: $XDG_RUNTIME_DIR/tripline/guard.sock, for root /run/tripline/guard.sock]
    #[arg(long, global = true, value_name = "PATH")]
    pub socket: Option<PathBuf>,
    /// Take packs and modules that nobody signed: for development; shown wherever the bundle is
    #[arg(long, global = true)]
    pub allow_unsigned: bool,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// How an answer is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people.
    Text,
    /// For programs.
    Json,
}

/// As [`Format`]; a table of figures.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum TableFormat {
    /// For people.
    Table,
    /// For programs.
    Json,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Check a pack: every finding with its place and a way out, then what the pack holds
    Check {
        /// The pack (YAML)
        pack: PathBuf,
    },
    /// Print cause and effect: which rule stops which output, by which vote, after which delay
    Matrix {
        /// The pack (YAML)
        pack: PathBuf,
        /// Text or JSON
        #[arg(long, value_enum, default_value_t = Format::Text)]
        format: Format,
    },
    /// Run a pack's recorded cases (NAME.cases.yaml) through the real lane in virtual time
    Test {
        /// The pack (YAML)
        pack: PathBuf,
        /// Recorded inputs and expected verdicts [default: NAME.cases.yaml beside the pack]
        #[arg(long, value_name = "FILE")]
        cases: Option<PathBuf>,
    },
    /// Check a pack, run its recorded cases, and compile it into the bundle that a guard runs
    Build {
        /// The pack (YAML)
        pack: PathBuf,
        /// Where to write the bundle
        #[arg(short, long, value_name = "FILE")]
        output: PathBuf,
    },
    /// Print the JSON Schema of packs, for editors
    Schema,
    /// Print what a bundle holds, after verifying it
    Inspect {
        /// The bundle
        bundle: PathBuf,
    },
    /// Build a pack (or take a bundle), start the guard and the desk, and watch both until Ctrl-C
    Run {
        /// The pack (YAML) or bundle
        pack: PathBuf,
        /// Group whose members may reset, bypass, shelve and acknowledge; everybody on this host may then look and stop
        /// [default: only you and root may do anything]
        #[arg(long, value_name = "GROUP")]
        operators: Option<String>,
    },
    /// Show the state of the guard: armed or tripped, why, and what stands against a reset
    Status {
        /// Text or JSON
        #[arg(long, value_enum, default_value_t = Format::Text)]
        format: Format,
    },
    /// Show every tag with value, quality and age
    Tags {
        /// Text or JSON
        #[arg(long, value_enum, default_value_t = Format::Text)]
        format: Format,
    },
    /// Show the latencies measured since the guard started
    Latency {
        /// Table or JSON
        #[arg(long, value_enum, default_value_t = TableFormat::Table)]
        format: TableFormat,
        /// Also write HdrHistogram percentile files, one a distribution: line.hgrm gives line.LANE.WHAT.hgrm
        #[arg(long, value_name = "FILE")]
        hgrm: Option<PathBuf>,
    },
    /// Release every latch, if every cause is gone; permits flow again and machines may start
    Reset {
        /// Your name, for the record [default: the user that runs this]
        #[arg(
            long,
            value_name = "NAME",
            default_value = "",
            hide_default_value = true
        )]
        who: String,
    },
    /// Stop every output now
    Trip {
        /// Why, for the record
        #[arg(long)]
        reason: String,
    },
    /// Acknowledge inputs that were bad and wait for it before they come back
    Acknowledge {
        /// One tag; without it every input that waits
        tag: Option<String>,
        /// Your name, for the record [default: the user that runs this]
        #[arg(
            long,
            value_name = "NAME",
            default_value = "",
            hide_default_value = true
        )]
        who: String,
    },
    /// Withhold one channel's vote for a limited time; without a point, list what is bypassed
    Bypass {
        /// VOTING/TAG, or the id of a rule without a voting
        #[arg(requires_all = ["lasting", "why"], conflicts_with = "end")]
        point: Option<String>,
        /// End the bypass of this point
        #[arg(long, value_name = "POINT", conflicts_with_all = ["lasting", "why"])]
        end: Option<String>,
        /// For how long, why, who
        #[command(flatten)]
        how: Withhold,
    },
    /// Silence an alert for a limited time (never a danger); without a rule, list what is shelved
    Shelve {
        /// The rule
        #[arg(requires_all = ["lasting", "why"], conflicts_with = "end")]
        rule: Option<String>,
        /// Tell this rule again
        #[arg(long, value_name = "RULE", conflicts_with_all = ["lasting", "why"])]
        end: Option<String>,
        /// For how long, why, who
        #[command(flatten)]
        how: Withhold,
    },
    /// Lift what holds every output and no rule can clear (`crash loop`); a reset is still needed
    Lift {
        /// As `tripline status` names it
        hold: String,
        /// Your name, for the record [default: the user that runs this]
        #[arg(
            long,
            value_name = "NAME",
            default_value = "",
            hide_default_value = true
        )]
        who: String,
    },
    /// Print what happened, oldest first
    Events {
        /// Go on until Ctrl-C
        #[arg(short, long)]
        follow: bool,
        /// Text or JSON (one object a line)
        #[arg(long, value_enum, default_value_t = Format::Text)]
        format: Format,
    },
    /// Write, build, test, measure, inspect and sign analyzers: WebAssembly modules that packs name
    Analyzer(crate::analyzer::AnalyzerArgs),
    /// Make a key pair in minisign's format: NAME.key to sign with, NAME.pub for the gateways that shall trust it
    Keygen(crate::signing::KeygenArgs),
    /// Sign a pack or a module: writes FILE.minisig, with what it is, which version, for which gateway, until when
    Sign(crate::signing::SignArgs),
    /// Walk every path from stimulus to stop, on simulated devices or on the machine, and sign what was found
    Prooftest(crate::prooftest::ProoftestArgs),
    /// See it work: a simulated press, the real guard and desk, a bearing that fails
    Demo {
        /// End after the first trip; exit code 1 if anything was missed
        #[arg(long)]
        once: bool,
        /// Seed of the simulated noise
        #[arg(long, default_value_t = 1)]
        seed: u64,
        /// A module that decides in place of the vibration rule; it hears an accelerometer on the bearing
        #[arg(long, value_name = "FILE")]
        analyzer: Option<PathBuf>,
    },
}

/// What a bypass and a shelved alert have in common.
#[derive(Clone, Debug, clap::Args)]
pub struct Withhold {
    /// For how long, such as 30m or 1h; it ends by itself
    #[arg(long = "for", value_name = "TIME", value_parser = crate::act::lasting)]
    pub lasting: Option<u64>,
    /// Why, for the record
    #[arg(long, value_name = "TEXT")]
    pub why: Option<String>,
    /// Your name, for the record [default: the user that runs this]
    #[arg(
        long,
        value_name = "NAME",
        default_value = "",
        hide_default_value = true
    )]
    pub who: String,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_is_well_formed() {
        Args::command().debug_assert();
    }

    #[test]
    fn the_socket_may_stand_before_or_after_the_command() {
        for line in [
            ["tripline", "--socket", "/s", "status"],
            ["tripline", "status", "--socket", "/s"],
        ] {
            let args = Args::try_parse_from(line).unwrap();
            assert_eq!(args.socket, Some(PathBuf::from("/s")));
        }
    }

    #[test]
    fn a_bypass_needs_a_time_and_a_reason_and_listing_needs_nothing() {
        for (line, good) in [
            (&["bypass"][..], true),
            (&["bypass", "v/t", "--for", "30m", "--why", "w"], true),
            (&["bypass", "v/t", "--for", "30m"], false),
            (&["bypass", "v/t", "--why", "w"], false),
            (&["bypass", "v/t", "--for", "0m", "--why", "w"], false),
            (&["bypass", "--end", "v/t"], true),
            (&["bypass", "v/t", "--end", "v/t"], false),
            (&["bypass", "--end", "v/t", "--for", "30m"], false),
            (&["shelve", "r", "--for", "1h", "--why", "w"], true),
            (&["shelve", "r"], false),
        ] {
            let line = std::iter::once(&"tripline").chain(line);
            let parsed = Args::try_parse_from(line.clone()).is_ok();
            assert_eq!(parsed, good, "{:?}", line.collect::<Vec<_>>());
        }
    }

    #[test]
    fn a_trip_needs_a_reason() {
        assert!(Args::try_parse_from(["tripline", "trip"]).is_err());
    }
}

//! `prooftest`: walks each path of a pack from its stimulus to its feedback, and signs what it found.
//!
//! ```text
//! pack ─▶ for each danger rule: what must trip it (scene) ─▶ apply ─▶ rule active, outputs safe, feedback, in time ─▶ reset
//!                                                             │                                                      │
//!                              simulated world (rig, walk) ───┤                                    report, signed ◀──┘
//!                              a person at the machine (live) ┘
//! ```
//!
//! What it proves and what not, how often, by whom: `docs/proof-test.md`.
//!
//! Which thread: the command's main thread. May it block: yes. Hazards it looks for: H-57, H-58, H-59, H-62 and every
//! path that never was walked.

mod known;
mod live;
mod raw;
mod report;
mod rig;
mod scene;
mod sign;
mod walk;
mod watch;

use std::io::{self, IsTerminal as _};
use std::path::{Path, PathBuf};

use appliance_control::ClientError;
use appliance_desk::supervise::find_guard;

use crate::build::{self, BuildError, Checked};
use crate::error::{CliError, Exit};
use crate::out::{Out, note};
use crate::pack;
use crate::settings::Settings;

pub use report::{
    AnalyzerUsed, Mode, NotTested, Outcome, OutputResult, PathResult, Report, VerifyError, verify,
};
pub use rig::Faults;
pub use walk::simulate;

/// Tells how far it is, a line a time.
pub type Say<'a> = &'a mut dyn FnMut(&str);

/// What was typed.
#[derive(Clone, Debug, clap::Args)]
pub struct ProoftestArgs {
    /// The pack (YAML)
    #[arg(required_unless_present = "verify")]
    pub pack: Option<PathBuf>,
    /// Replace every device of the pack by a simulated one; nothing real is touched
    #[arg(long)]
    pub simulate: bool,
    /// Break the simulation to see that the test finds it: welded=OUTPUT or lost=OUTPUT
    #[arg(long, value_name = "FAULT=OUTPUT", requires = "simulate")]
    pub inject: Vec<String>,
    /// Only this rule
    #[arg(long, value_name = "ID")]
    pub rule: Option<String>,
    /// Where the signed report goes [default: PACK.prooftest.json]
    #[arg(long, value_name = "FILE")]
    pub report: Option<PathBuf>,
    /// The key that signs the report; made with mode 0600 when it is not there, its public half beside it as FILE.pub
    #[arg(long, value_name = "FILE", default_value = "prooftest.key")]
    pub key: PathBuf,
    /// You stand at the machine and see it: allows a test whose input is no terminal, and asks nothing
    #[arg(long)]
    pub yes_i_am_at_the_machine: bool,
    /// Verify a report instead of making one
    #[arg(long, value_name = "REPORT", requires = "public_key", conflicts_with_all = ["pack", "simulate"])]
    pub verify: Option<PathBuf>,
    /// The public key that the report must be signed with
    #[arg(long, value_name = "FILE", requires = "verify")]
    pub public_key: Option<PathBuf>,
}

/// Why a proof test could not be made.
#[derive(Debug, thiserror::Error)]
pub enum ProofError {
    /// The pack did not become a bundle.
    #[error(transparent)]
    Build(#[from] BuildError),
    /// The simulated devices.
    #[error("the simulated devices cannot be started: {0}")]
    World(io::Error),
    /// The guard.
    #[error("the guard cannot be started: {0}")]
    Guard(io::Error),
    /// The guard did not answer.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// No quiet state.
    #[error(
        "lane {lane}: no values of its inputs were found at which these danger rules are quiet: {}. The test cannot begin from a running machine",
        rules.join(", ")
    )]
    NeverQuiet {
        /// The lane.
        lane: String,
        /// Its rules.
        rules: Vec<String>,
    },
    /// The recorded cases of the pack.
    #[error("{0}")]
    Cases(String),
    /// Another bundle runs.
    #[error(
        "the guard at this socket runs bundle {running}, and this pack is bundle {pack}: a test of one says nothing of the other. Start the guard with this pack, or name its pack"
    )]
    OtherBundle {
        /// What runs.
        running: String,
        /// What was asked for.
        pack: String,
    },
    /// Nobody to ask.
    #[error(
        "this moves a machine, and standard input is no terminal, so nobody can be asked. Run it at a terminal, or add --yes-i-am-at-the-machine if you are; --simulate touches nothing real"
    )]
    NobodyThere,
    /// The person ended it.
    #[error("ended before its end; nothing is reported")]
    Ended,
    /// A fault that is not known.
    #[error("--inject {0}: write welded=OUTPUT or lost=OUTPUT, with an output of the pack")]
    Fault(String),
    /// A fault that nothing could show: a test that passes with it would look like one that is blind.
    #[error(
        "--inject {0}: the pack declares no `feedback` for this output, so nothing could tell that its contactor stayed closed, here as at the machine. Declare one, or try lost=OUTPUT"
    )]
    NothingShows(String),
    /// A rule that is not there.
    #[error("the pack has no danger rule {0}")]
    NoRule(String),
    /// The terminal.
    #[error("the terminal: {0}")]
    Terminal(io::Error),
}

/// `tripline prooftest`.
pub(crate) fn prooftest(
    args: &ProoftestArgs,
    settings: &Settings,
    out: &mut Out,
) -> Result<Exit, CliError> {
    if let (Some(report), Some(key)) = (&args.verify, &args.public_key) {
        return show_verified(report, key, out);
    }
    let Some(path) = &args.pack else {
        return Ok(Exit::Usage);
    };
    if !args.simulate && !args.yes_i_am_at_the_machine && !io::stdin().is_terminal() {
        return Err(ProofError::NobodyThere.into());
    }
    let checked = pack::loaded(build::check_pack(path, settings.unsigned), settings)?;
    known_rule(&checked, args.rule.as_deref())?;
    // Before anything moves: a test whose result cannot be signed is not begun.
    let key = file(&args.key, sign::Key::read_or_make(&args.key))?;
    let public = public_path(&args.key);
    if key.is_new || !public.exists() {
        let text = format!("{}\n", key.public());
        file(&public, build::write_whole(&public, text.as_bytes()))?;
    }
    let only = args.rule.as_deref();
    let report = if args.simulate {
        let faults = faults(&checked, &args.inject)?;
        let mut say = |line: &str| note(line);
        simulate(checked, &faults, &find_guard()?, only, &mut say)?
    } else {
        let asks = !args.yes_i_am_at_the_machine || io::stdin().is_terminal();
        live::on_the_machine(checked, &settings.socket, only, asks)?
    };
    let place = args
        .report
        .clone()
        .unwrap_or_else(|| report::default_path(path));
    let bytes = report::file(&report, &key).map_err(CliError::Json)?;
    file(&place, build::write_whole(&place, &bytes))?;
    out.text(report.text())?;
    out.line(format_args!(
        "signed report: {}, public key: {}",
        place.display(),
        public.display()
    ))?;
    Ok(if report.passed {
        Exit::Ok
    } else {
        Exit::Failed
    })
}

fn show_verified(report: &Path, key: &Path, out: &mut Out) -> Result<Exit, CliError> {
    let bytes = file(report, build::read_any(report).map_err(as_io))?;
    let public = file(key, std::fs::read_to_string(key))?;
    match verify(&bytes, &public) {
        Ok(found) => {
            out.text(found.text())?;
            out.line("the signature is right: this is what was found, unchanged")?;
            Ok(Exit::Ok)
        }
        Err(error) => {
            note(format_args!("{}: {error}", report.display()));
            Ok(Exit::Failed)
        }
    }
}

fn as_io(error: BuildError) -> io::Error {
    match error {
        BuildError::Read { source, .. } => source,
        other => io::Error::other(other.to_string()),
    }
}

fn file<T>(path: &Path, result: io::Result<T>) -> Result<T, CliError> {
    result.map_err(|source| CliError::File {
        path: path.to_owned(),
        source,
    })
}

fn public_path(key: &Path) -> PathBuf {
    let mut name = key.as_os_str().to_owned();
    name.push(".pub");
    name.into()
}

fn known_rule(checked: &Checked, only: Option<&str>) -> Result<(), ProofError> {
    let Some(only) = only else { return Ok(()) };
    let mut rules = checked.plan.lanes.iter().flat_map(|lane| &lane.rules);
    if rules.any(|rule| rule.id == only && rule.level == rules_bundle::Level::Danger) {
        Ok(())
    } else {
        Err(ProofError::NoRule(only.to_owned()))
    }
}

fn faults(checked: &Checked, words: &[String]) -> Result<Faults, ProofError> {
    let mut faults = Faults::default();
    for word in words {
        let wrong = || ProofError::Fault(word.clone());
        let (kind, output) = word.split_once('=').ok_or_else(wrong)?;
        let mut outputs = checked.plan.lanes.iter().flat_map(|lane| &lane.outputs);
        let Some(known) = outputs.find(|known| known.name == output) else {
            return Err(wrong());
        };
        match kind {
            "welded" if known.feedback.is_none() => {
                return Err(ProofError::NothingShows(word.clone()));
            }
            "welded" => faults.welded.push(output.to_owned()),
            "lost" => faults.lost.push(output.to_owned()),
            _ => return Err(wrong()),
        }
    }
    Ok(faults)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> Report {
        let text = include_str!("../../../../rules/packs/pump-minimal.yaml");
        let plan = rules_pack::load("pump.yaml", text).unwrap().plan;
        let mut report = Report::begin(Mode::Simulated, &plan, "00ff".to_owned());
        report.paths.push(PathResult {
            lane: "main".to_owned(),
            rule: "overpressure".to_owned(),
            stimulus: "pump.pressure = 9 bar".to_owned(),
            stimulus_sha256: None,
            analyzers: Vec::new(),
            reset_refused: Some(true),
            outcome: Outcome::Passed,
            why: None,
            cause: Some("condition".to_owned()),
            limit_ns: 150_000_000,
            confirmed_ns: Some(61_000_000),
            outputs: vec![OutputResult {
                output: "pump_run".to_owned(),
                safe_after_ns: Some(60_000_000),
                feedback_after_ns: None,
                has_feedback: false,
                passed: true,
            }],
        });
        report.end()
    }

    #[test]
    fn a_report_that_was_touched_or_signed_by_another_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let key = sign::Key::read_or_make(&dir.path().join("a.key")).unwrap();
        let other = sign::Key::read_or_make(&dir.path().join("b.key")).unwrap();
        let filed = report::file(&report(), &key).unwrap();
        let read = verify(&filed, &key.public()).unwrap();
        assert_eq!(read, report().with_times_of(&read));
        assert!(matches!(
            verify(&filed, &other.public()),
            Err(VerifyError::OtherKey(_))
        ));
        let text = String::from_utf8(filed).unwrap();
        for (from, to) in [
            ("\"passed\": true", "\"passed\": false"),
            ("60000000", "10000000"),
            ("pump.pressure = 9 bar", "pump.pressure = 99 bar"),
            ("\"00ff\"", "\"00fe\""),
        ] {
            assert!(text.contains(from), "{from}");
            let touched = text.replace(from, to);
            assert!(matches!(
                verify(touched.as_bytes(), &key.public()),
                Err(VerifyError::Signature)
            ));
        }
        // Somebody else's key put in the place of ours.
        let touched = text.replace(&key.public(), &other.public());
        assert!(matches!(
            verify(touched.as_bytes(), &other.public()),
            Err(VerifyError::Signature)
        ));
        assert!(verify(b"{}", &key.public()).is_err());
    }

    #[test]
    fn a_test_that_proved_nothing_has_not_passed() {
        let mut empty = report();
        empty.paths.clear();
        assert!(!empty.clone().end().passed);
        let mut broken_off = report();
        broken_off.broken_off = Some("output run has not confirmed its safe value".to_owned());
        assert!(!broken_off.end().passed);
        let mut open = report();
        open.paths[0].outcome = Outcome::NotProved;
        assert!(!open.end().passed);
        let mut not_whole = report();
        not_whole.note_unproved("main", "overpressure");
        assert!(not_whole.clone().end().passed, "it passed by its condition");
        not_whole.note_unproved("main", "bearing_danger");
        let not_whole = not_whole.end();
        assert!(!not_whole.passed);
        let text = not_whole.text();
        assert!(
            text.contains("Not whole") && text.ends_with("NOT WHOLE\n"),
            "{text}"
        );
    }

    impl Report {
        fn with_times_of(mut self, other: &Self) -> Self {
            (self.began_wall_ns, self.ended_wall_ns) = (other.began_wall_ns, other.ended_wall_ns);
            self
        }
    }
}

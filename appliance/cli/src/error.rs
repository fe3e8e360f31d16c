//! How a command ends.

use std::io;
use std::path::PathBuf;
use std::process::ExitCode;

use appliance_control::ClientError;
use appliance_desk::broker::BrokerError;
use appliance_desk::relay::RelayError;
use appliance_desk::supervise::{FindError, StartError};
use drivers_sim::plant::PlantError;

use crate::build::BuildError;
use crate::cases::CasesError;

/// Exit codes, by name. `tripline --help` lists them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Done.
    Ok = 0,
    /// Refused or failed.
    Failed = 1,
    /// Not understood.
    Usage = 2,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        match exit {
            Exit::Ok => Self::SUCCESS,
            Exit::Failed => Self::FAILURE,
            Exit::Usage => Self::from(2),
        }
    }
}

/// Why a command failed. All of them end with [`Exit::Failed`].
#[derive(Debug, thiserror::Error)]
pub(crate) enum CliError {
    /// Standard output.
    #[error("cannot write to standard output: {0}")]
    Output(io::Error),
    /// An answer that cannot be written as JSON.
    #[error("cannot write JSON: {0}")]
    Json(serde_json::Error),
    /// A file.
    #[error("{path}: {source}", path = path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// The pack has errors; they have been shown.
    #[error("the pack has errors")]
    Findings,
    /// The pack could not be built.
    #[error(transparent)]
    Build(#[from] BuildError),
    /// Recorded cases could not be run.
    #[error(transparent)]
    Cases(CasesError),
    /// The pack decides otherwise than its recorded cases say; it has been shown where.
    #[error("the pack decides otherwise than its recorded cases say")]
    CaseFindings,
    /// A bundle was refused.
    #[error("{path}: {source}", path = path.display())]
    Bundle {
        /// The file.
        path: PathBuf,
        /// Why.
        source: rules_bundle::BundleError,
    },
    /// The guard could not be asked.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// The socket's directory cannot be used.
    #[error("{path}: {source}. Name another place with --socket", path = path.display())]
    SocketDir {
        /// The socket.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Another desk.
    #[error("another `tripline run` already looks after the guard at {}; stop it first, or use another --socket", .0.display())]
    DeskRuns(PathBuf),
    /// No guard.
    #[error(transparent)]
    Find(#[from] FindError),
    /// No guard.
    #[error(transparent)]
    Start(#[from] StartError),
    /// No relay.
    #[error(transparent)]
    Relay(#[from] RelayError),
    /// No broker.
    #[error(transparent)]
    Broker(#[from] BrokerError),
    /// Signals.
    #[error("cannot take over Ctrl-C and SIGTERM: {0}")]
    Signals(io::Error),
    /// The simulated plant.
    #[error(transparent)]
    Plant(#[from] PlantError),
    /// The proof test.
    #[error(transparent)]
    Proof(#[from] crate::prooftest::ProofError),
    /// A command for analyzers.
    #[error(transparent)]
    Analyzer(#[from] crate::analyzer::AnalyzerFailure),
    /// The demonstration's reader of alerts.
    #[error("the demonstration's alert reader: {0}")]
    Reader(io::Error),
}

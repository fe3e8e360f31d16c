//! `tripline analyzer`: for those who write modules, and those who install what others wrote.
//!
//! | module | commands |
//! |---|---|
//! | `create`, `make` | `new`, `build` |
//! | `inspect` | `inspect` |
//! | `frames`, `trial` | `test`, `bench`: recorded frames through the product's own sandbox |
//! | [`signing`] | `keygen`, `sign` |

mod args;
mod create;
pub(crate) mod frames;
mod inspect;
mod make;
pub(crate) mod trial;

use std::io;
use std::path::{Path, PathBuf};

use appliance_sandbox::{AnalyzerError, CompileError, EngineError};
use rt_config::limits;
use rules_sdk_gate::Refusal;

pub use args::AnalyzerArgs;
use args::AnalyzerCommand;

use crate::build;
use crate::error::{CliError, Exit};
use crate::out::Out;
use crate::settings::Settings;
use crate::signing;

/// Why a command for analyzers failed.
#[derive(Debug, thiserror::Error)]
pub enum AnalyzerFailure {
    /// The gate refused the module.
    #[error("{path}: {source}", path = path.display())]
    Gate {
        /// The file.
        path: PathBuf,
        /// Which rule, where.
        source: Box<Refusal>,
    },
    /// Metadata could not be attached.
    #[error("{path}: {source}", path = path.display())]
    Attach {
        /// The file.
        path: PathBuf,
        /// Why.
        source: rules_sdk_gate::AttachError,
    },
    /// No engine.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The module does not compile.
    #[error("{path}: {source}", path = path.display())]
    Compile {
        /// The file.
        path: PathBuf,
        /// Why.
        source: CompileError,
    },
    /// The module was not set up.
    #[error("{path}: {source}", path = path.display())]
    Instance {
        /// The file.
        path: PathBuf,
        /// Why.
        source: AnalyzerError,
    },
    /// A name that is none.
    #[error(transparent)]
    Name(rules_sdk_templates::BadName),
    /// What the author's tools said.
    #[error("{0}")]
    Toolchain(String),
    /// Keys and signatures.
    #[error("{path}: {source}", path = path.display())]
    Sign {
        /// The key or the file.
        path: PathBuf,
        /// Why.
        source: rules_sdk_trust::SignError,
    },
    /// A pack has no version that is a number.
    #[error("{} is a pack: give the version that its signature states with --version N, a number that only rises", .0.display())]
    VersionMissing(PathBuf),
    /// A module states its own.
    #[error("{path} states its own version, {version}; leave --version out", path = path.display())]
    VersionTwice {
        /// The module.
        path: PathBuf,
        /// What it states.
        version: u32,
    },
    /// Recorded frames that cannot be read.
    #[error("{path}: {what}", path = path.display())]
    Recording {
        /// The file.
        path: PathBuf,
        /// Why.
        what: String,
    },
}

/// Runs one of the commands.
pub(crate) fn analyzer(
    args: &AnalyzerArgs,
    settings: &Settings,
    out: &mut Out,
) -> Result<Exit, CliError> {
    match &args.command {
        AnalyzerCommand::New { name, language } => create::create(name, *language, out),
        AnalyzerCommand::Build { folder, output } => {
            make::make(folder, output.as_deref(), settings, out)
        }
        AnalyzerCommand::Inspect { module, format } => inspect::inspect(module, *format, out),
        AnalyzerCommand::Test { module, cases } => {
            trial::test(module, cases.as_deref(), settings, out)
        }
        AnalyzerCommand::Bench { module, cases } => {
            trial::bench(module, cases.as_deref(), settings, out)
        }
        AnalyzerCommand::Keygen(args) => signing::keygen(args, out),
        AnalyzerCommand::Sign(args) => signing::sign(args, settings, out),
    }
}

/// A module's bytes and what the gate says of them.
pub(crate) fn read_module(path: &Path) -> Result<(Vec<u8>, rules_sdk_gate::Module), CliError> {
    // One byte more than a module may have: the gate says then that it is too large.
    let bytes = build::read_at_most(path, limits::ANALYZER_MODULE_BYTES_MAX.saturating_add(1))?;
    let module = rules_sdk_gate::inspect(&bytes).map_err(|source| AnalyzerFailure::Gate {
        path: path.to_owned(),
        source: Box::new(source),
    })?;
    Ok((bytes, module))
}

/// A text file.
pub(crate) fn read_text(path: &Path) -> Result<String, CliError> {
    let bytes = build::read_at_most(path, limits::PACK_BYTES_MAX)?;
    String::from_utf8(bytes).map_err(|_| CliError::File {
        path: path.to_owned(),
        source: io::Error::new(io::ErrorKind::InvalidData, "not UTF-8 text"),
    })
}

//! What may be typed after `tripline analyzer`.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use rules_sdk_templates::Language;
use rules_sdk_trust::Date;

use crate::args::Format;

/// `tripline analyzer`.
#[derive(Debug, Args)]
pub struct AnalyzerArgs {
    /// What to do.
    #[command(subcommand)]
    pub(super) command: AnalyzerCommand,
}

#[derive(Debug, Subcommand)]
pub(super) enum AnalyzerCommand {
    /// Begin a new analyzer: a folder with sources, metadata and recorded frames
    New {
        /// Its id, and the folder's name
        name: String,
        /// Language: rust, c or assemblyscript
        #[arg(long, default_value = "rust", value_parser = language)]
        language: Language,
    },
    /// Compile an analyzer's folder to WebAssembly, attach its metadata, and put it through the gate
    Build {
        /// The folder, with analyzer.yaml in it
        #[arg(default_value = ".")]
        folder: PathBuf,
        /// Where to write the module [default: NAME.wasm in the folder]
        #[arg(short, long, value_name = "FILE")]
        output: Option<PathBuf>,
    },
    /// Put a module through the gate, and print what it says of itself and what it is made of
    Inspect {
        /// The module
        module: PathBuf,
        /// Text or JSON
        #[arg(long, value_enum, default_value_t = Format::Text)]
        format: Format,
    },
    /// Give a module its recorded frames (NAME.cases.yaml) in the product's own sandbox, twice, and compare
    Test {
        /// The module
        module: PathBuf,
        /// Recorded frames [default: NAME.cases.yaml beside the module]
        #[arg(long, value_name = "FILE")]
        cases: Option<PathBuf>,
    },
    /// Measure what a module's recorded frames cost: fuel, time, the worst frame
    Bench {
        /// The module
        module: PathBuf,
        /// Recorded frames [default: NAME.cases.yaml beside the module]
        #[arg(long, value_name = "FILE")]
        cases: Option<PathBuf>,
    },
    /// Make a key pair in minisign's format: NAME.key to sign with, NAME.pub for the gateways that shall trust it
    Keygen {
        /// File name without suffix
        name: PathBuf,
        /// File with the password that encrypts the secret key; without it the key is not encrypted
        #[arg(long, value_name = "FILE")]
        password_file: Option<PathBuf>,
    },
    /// Sign a module or a pack: writes FILE.minisig, with what it is, which version, for which gateway, until when
    Sign(SignArgs),
}

#[derive(Debug, Args)]
pub(super) struct SignArgs {
    /// The module (.wasm) or pack (.yaml)
    pub(super) file: PathBuf,
    /// The secret key
    #[arg(long, value_name = "FILE")]
    pub(super) key: PathBuf,
    /// File with the key's password, for one that is encrypted
    #[arg(long, value_name = "FILE")]
    pub(super) password_file: Option<PathBuf>,
    /// Name of the gateway that it is for
    #[arg(long, value_name = "NAME", default_value = "any")]
    pub(super) target: String,
    /// Last day on which it may be installed, such as 2027-12-31 [default: never]
    #[arg(long, value_name = "DAY")]
    pub(super) expires: Option<Date>,
    /// Version of a pack, a number that only rises; a module states its own
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(super) version: Option<u64>,
}

fn language(name: &str) -> Result<Language, String> {
    Language::ALL
        .into_iter()
        .find(|language| language.name() == name)
        .ok_or_else(|| "use rust, c or assemblyscript".into())
}

//! What may be typed after `tripline analyzer`.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use rules_sdk_templates::Language;

use crate::args::Format;
use crate::signing::{KeygenArgs, SignArgs};

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
    /// As `tripline keygen`
    Keygen(KeygenArgs),
    /// As `tripline sign`
    Sign(SignArgs),
}

fn language(name: &str) -> Result<Language, String> {
    Language::ALL
        .into_iter()
        .find(|language| language.name() == name)
        .ok_or_else(|| "use rust, c or assemblyscript".into())
}

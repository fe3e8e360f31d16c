//! `build`: from an author's folder to a module that passes the gate. The folder's own tools compile; what they are told
//! stands in the folder, not in here.
//!
//! | in the folder | tool |
//! |---|---|
//! | `Cargo.toml` | `cargo build --release --target wasm32-unknown-unknown`; with `TRIPLINE_WASM32_RUSTC` set, that program with `cargo build --release` |
//! | `compile_flags.txt` | `clang @compile_flags.txt *.c -o ...` |
//! | `package.json` | `npm run build`, which writes `build/analyzer.wasm` |

use std::env;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use rules_sdk_abi::metadata::Metadata;
use serde::Deserialize;

use super::inspect::sha256;
use super::{AnalyzerFailure, read_text};
use crate::build;
use crate::error::{CliError, Exit};
use crate::out::{Out, note};
use crate::paint::Tone;
use crate::settings::Settings;
use crate::units;

/// Names the program that has a Rust toolchain for wasm32, where rustup's own has no such target.
pub(super) const RUSTC_VARIABLE: &str = "TRIPLINE_WASM32_RUSTC";

/// `tripline analyzer build [FOLDER]`.
pub(super) fn make(
    folder: &Path,
    output: Option<&Path>,
    settings: &Settings,
    out: &mut Out,
) -> Result<Exit, CliError> {
    let metadata = metadata(folder, settings)?;
    let scratch = tempfile::tempdir().map_err(|source| CliError::File {
        path: env::temp_dir(),
        source,
    })?;
    let compiled = compile(folder, &scratch.path().join("module.wasm"))?;
    let wasm = build::read_at_most(
        &compiled,
        rt_config::limits::ANALYZER_MODULE_BYTES_MAX.saturating_add(1),
    )?;
    let path = output.map_or_else(
        || folder.join(format!("{}.wasm", metadata.name)),
        Path::to_owned,
    );
    let module = rules_sdk_gate::attach_metadata(&wasm, &metadata).map_err(|source| {
        AnalyzerFailure::Attach {
            path: folder.join("analyzer.yaml"),
            source,
        }
    })?;
    rules_sdk_gate::inspect(&module).map_err(|source| AnalyzerFailure::Gate {
        path: compiled,
        source: Box::new(source),
    })?;
    build::write_whole(&path, &module).map_err(|source| CliError::File {
        path: path.clone(),
        source,
    })?;
    let head = out.tone(Tone::Good, "built").to_string();
    let size = units::size(u64::try_from(module.len()).unwrap_or(u64::MAX));
    out.line(format_args!("{head} {} ({size})", path.display()))?;
    out.line(format_args!(
        "  analyzer {} {}",
        metadata.name, metadata.version
    ))?;
    out.line(format_args!("  sha256   {}", sha256(&module)))?;
    Ok(Exit::Ok)
}

fn metadata(folder: &Path, settings: &Settings) -> Result<Metadata, CliError> {
    let path = folder.join("analyzer.yaml");
    let text = read_text(&path)?;
    rules_pack::module::metadata(&path.to_string_lossy(), &text).map_err(|findings| {
        let colors = settings.error_paint.colors();
        note(rules_pack::render(&findings, &text, colors).trim_end());
        CliError::Findings
    })
}

/// Compiles, and says where the module is.
fn compile(folder: &Path, output: &Path) -> Result<PathBuf, CliError> {
    if folder.join("Cargo.toml").exists() {
        return cargo(folder);
    }
    if folder.join("package.json").exists() {
        if !folder.join("node_modules").exists() {
            return Err(AnalyzerFailure::Toolchain(format!(
                "{}: the compiler is not there; run `npm ci` in the folder first",
                folder.display()
            ))
            .into());
        }
        run(Command::new("npm")
            .args(["run", "--silent", "build"])
            .current_dir(folder))?;
        return Ok(folder.join("build/analyzer.wasm"));
    }
    if !folder.join("compile_flags.txt").exists() {
        return Err(AnalyzerFailure::Toolchain(format!(
            "{}: no Cargo.toml, compile_flags.txt or package.json says how to compile it. Begin one with `tripline analyzer new NAME`",
            folder.display()
        ))
        .into());
    }
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source| CliError::File { path, source }
    };
    let output = std::path::absolute(output).map_err(failed(output))?;
    let mut sources = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(failed(folder))? {
        let name = entry.map_err(failed(folder))?.file_name();
        if Path::new(&name)
            .extension()
            .is_some_and(|extension| extension == "c")
        {
            sources.push(name);
        }
    }
    // In the order of their names: the same sources are the same module.
    sources.sort();
    run(Command::new("clang")
        .arg("@compile_flags.txt")
        .args(&sources)
        .arg("-o")
        .arg(&output)
        .current_dir(folder))?;
    Ok(output)
}

/// What is read of cargo's messages.
#[derive(Deserialize)]
struct Message {
    reason: String,
    #[serde(default)]
    filenames: Vec<PathBuf>,
}

fn cargo(folder: &Path) -> Result<PathBuf, CliError> {
    let rustc = env::var_os(RUSTC_VARIABLE).filter(|value| !value.is_empty());
    let mut command = match &rustc {
        Some(program) => {
            // The tool asks for all of the standard library; analyzers use `core`, at most `alloc`.
            let mut command = Command::new(program);
            command.args([
                "sh",
                "-c",
                r#"CARGO_UNSTABLE_BUILD_STD=core,alloc exec "$0" "$@""#,
                "cargo",
            ]);
            command
        }
        None => Command::new("cargo"),
    };
    command
        .args([
            "build",
            "--release",
            "--message-format=json-render-diagnostics",
        ])
        .current_dir(folder);
    if rustc.is_none() {
        command.args(["--target", "wasm32-unknown-unknown"]);
    }
    // The author's workspace is not ours: where we are built, and with which compiler, must not reach it.
    for variable in [
        "CARGO_TARGET_DIR",
        "RUSTFLAGS",
        "CARGO_ENCODED_RUSTFLAGS",
        "RUSTC_WRAPPER",
        "CARGO_INCREMENTAL",
    ] {
        command.env_remove(variable);
    }
    let output = run(&mut command)?;
    let text = String::from_utf8_lossy(&output.stdout);
    let mut modules = text
        .lines()
        .filter_map(|line| serde_json::from_str::<Message>(line).ok())
        .filter(|message| message.reason == "compiler-artifact")
        .flat_map(|message| message.filenames)
        .filter(|file| {
            file.extension()
                .is_some_and(|extension| extension == "wasm")
        });
    // The last: dependencies come first.
    modules.next_back().ok_or_else(|| {
        AnalyzerFailure::Toolchain(format!(
            "{}: cargo made no .wasm file; the crate needs `[lib] crate-type = [\"cdylib\"]`",
            folder.display()
        ))
        .into()
    })
}

/// Runs a tool whose messages go to standard error.
fn run(command: &mut Command) -> Result<Output, CliError> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .map_err(|error| {
            AnalyzerFailure::Toolchain(format!(
                "cannot start `{name}`: {error}. docs/analyzer-sdk.md says what each language needs"
            ))
        })?;
    if !output.status.success() {
        let hint = if name == "cargo" {
            format!(
                ". If the target is missing: `rustup target add wasm32-unknown-unknown`, or name a toolchain that has it with {RUSTC_VARIABLE}"
            )
        } else {
            String::new()
        };
        return Err(AnalyzerFailure::Toolchain(format!(
            "`{name}` failed ({}); what it said stands above{hint}",
            output.status
        ))
        .into());
    }
    Ok(output)
}

//! `new`: a folder that builds, tests and is the author's from then on.

use std::fs;
use std::path::Path;

use rules_sdk_templates::Language;

use super::AnalyzerFailure;
use crate::build;
use crate::error::{CliError, Exit};
use crate::out::Out;
use crate::paint::Tone;

/// `tripline analyzer new NAME`.
pub(super) fn create(name: &str, language: Language, out: &mut Out) -> Result<Exit, CliError> {
    let files = rules_sdk_templates::files(language, name).map_err(AnalyzerFailure::Name)?;
    let folder = Path::new(name);
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source| CliError::File { path, source }
    };
    // Made anew, so that nothing of anybody's is written over.
    fs::create_dir(folder).map_err(failed(folder))?;
    for file in &files {
        let path = folder.join(&file.path);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).map_err(failed(parent))?;
        }
        build::write_whole(&path, file.text.as_bytes()).map_err(failed(&path))?;
    }
    let head = out.tone(Tone::Good, "made").to_string();
    out.line(format_args!("{head} {name}/ with {} files", files.len()))?;
    out.line("  analyzer.yaml says what it takes and gives, the .cases.yaml what it must make of recorded frames.")?;
    out.line("  Next:")?;
    if let Some(before) = language.before_build() {
        out.line(format_args!("    (cd {name} && {before})"))?;
    }
    out.line(format_args!("    tripline analyzer build {name}"))?;
    out.line(format_args!(
        "    tripline analyzer test {name}/{name}.wasm"
    ))?;
    Ok(Exit::Ok)
}

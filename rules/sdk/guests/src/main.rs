//! `guest finish FOLDER BUILT OUT`: attaches FOLDER/analyzer.yaml to BUILT, passes the gate, writes OUT/NAME.wasm.
//! `guest compare A.wasm B.wasm`: whether two builds answer the same frames with the same bits.

use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match arguments.as_slice() {
        ["finish", folder, built, out] => finish(Path::new(folder), built, Path::new(out)),
        ["compare", first, second] => compare(first, second),
        _ => Err("guest finish FOLDER BUILT OUT | guest compare A.wasm B.wasm".to_owned()),
    };
    let (code, text) = match done {
        Ok(text) => (ExitCode::SUCCESS, text),
        Err(text) => (ExitCode::FAILURE, text),
    };
    // A reader that went away is no reason to fail.
    let _ = writeln!(std::io::stdout(), "{text}");
    code
}

fn finish(folder: &Path, built: &str, out: &Path) -> Result<String, String> {
    let yaml_path = folder.join("analyzer.yaml");
    let yaml_name = yaml_path.display().to_string();
    let yaml =
        std::fs::read_to_string(&yaml_path).map_err(|error| format!("{yaml_name}: {error}"))?;
    let (module, bytes) = rules_sdk_guests::finish(&yaml_name, &yaml, &read(built)?)
        .map_err(|text| format!("{built}: {text}"))?;
    let file = out.join(format!("{}.wasm", module.metadata.name));
    std::fs::write(&file, &bytes).map_err(|error| format!("{}: {error}", file.display()))?;
    Ok(file.display().to_string())
}

fn compare(first: &str, second: &str) -> Result<String, String> {
    let compared = rules_sdk_guests::compare(&read(first)?, &read(second)?)
        .map_err(|difference| format!("{first} and {second} differ: {difference}"))?;
    Ok(format!(
        "{first} and {second} answer {} frames with the same bits, {} of them not normal",
        compared.frames, compared.verdicts
    ))
}

fn read(path: &str) -> Result<Vec<u8>, String> {
    std::fs::read(path).map_err(|error| format!("{path}: {error}"))
}

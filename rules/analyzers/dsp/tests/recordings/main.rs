//! The analyzers on real recordings (`TRIPLINE_DATA`, by default `../shared/data` beside the project), natively.
//! With `TRIPLINE_PLOTS` set to a folder, the series that `docs/analyzers.md` draws are written there.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "these are tests"
)]

mod cwru;
mod feeds;
mod femto;
mod host;
mod skab;

use std::{env, fmt::Write as _, fs, path::Path};

use host::{
    Answer, Baseline, Bearing, Cavitation, Host, Hotelling, Network, ProcessWatch, Vibration,
    first, run,
};

/// Writes a series for the plots, when asked.
fn plot(name: &str, head: &str, rows: impl Iterator<Item = Vec<f64>>) {
    let Ok(folder) = env::var("TRIPLINE_PLOTS") else {
        return;
    };
    let mut text = format!("{head}\n");
    for row in rows {
        let words: Vec<String> = row.iter().map(f64::to_string).collect();
        writeln!(text, "{}", words.join(",")).unwrap();
    }
    fs::create_dir_all(&folder).unwrap();
    fs::write(Path::new(&folder).join(format!("{name}.csv")), text).unwrap();
}

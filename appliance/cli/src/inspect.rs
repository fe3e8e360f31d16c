//! `inspect`: what a bundle holds, after verifying it.

use std::path::Path;

use crate::build::{self, BuildError};
use crate::error::{CliError, Exit};
use crate::out::Out;
use crate::pack;
use crate::paint::Tone;
use crate::table::{Align, Table};
use crate::trust;
use crate::units;

/// `tripline inspect BUNDLE`.
pub(crate) fn inspect(path: &Path, out: &mut Out) -> Result<Exit, CliError> {
    let bytes = build::read_any(path)?;
    let key = trust::own_bundle_key().map_err(BuildError::Key)?;
    let bundle = rules_bundle::open(&bytes, &key).map_err(|source| CliError::Bundle {
        path: path.to_owned(),
        source,
    })?;
    let size = |bytes: usize| units::size(u64::try_from(bytes).unwrap_or(u64::MAX));
    let good = out
        .tone(Tone::Good, "built on this host, unchanged")
        .to_string();
    out.line(format_args!("bundle {}", bundle.hash))?;
    out.line(format_args!("{good}, {}", size(bytes.len())))?;
    let vouched = pack::vouched(&bundle.plan, out);
    out.line(format_args!("pack signed {vouched}"))?;
    out.line("")?;
    pack::summary(&bundle.plan, out)?;
    out.line("")?;
    let mut table = Table::new([
        ("lane", Align::Left),
        ("WebAssembly", Align::Right),
        ("machine code", Align::Right),
        ("slots", Align::Right),
        ("windows", Align::Right),
    ]);
    for (lane, code) in bundle.plan.lanes.iter().zip(&bundle.lanes) {
        table.row([
            lane.name.as_str().into(),
            size(code.wasm.len()).into(),
            size(code.native.len()).into(),
            lane.slots().to_string().into(),
            lane.windows.len().to_string().into(),
        ]);
    }
    out.text(table.painted(out.paint()))?;
    Ok(Exit::Ok)
}

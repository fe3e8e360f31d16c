//! `check`, `test`, `build`, `schema`.

use std::path::Path;

use rules_bundle::{BundleKey, LanePlan, LinkPlan, ModulePlan, Plan, Vouched};
use rules_pack::Finding;

use crate::build::{self, BuildError, Built, Checked};
use crate::cases::{self, CasesError, Passed};
use crate::error::{CliError, Exit};
use crate::out::{Out, note};
use crate::paint::Tone;
use crate::reaction;
use crate::settings::Settings;
use crate::table::{Align, Table};
use crate::trust;
use crate::units::{self, counted};

/// Rules that are listed one by one. A larger pack shows its costliest rules instead.
const RULES_LISTED: usize = 40;
/// How many of them.
const COSTLIEST: usize = 10;

/// `tripline check PACK`.
pub(crate) fn check(path: &Path, settings: &Settings, out: &mut Out) -> Result<Exit, CliError> {
    let checked = loaded(build::check_pack(path, settings.unsigned), settings)?;
    summary(&checked.plan, out)?;
    reaction::reactions(&checked.plan, out)?;
    Ok(Exit::Ok)
}

/// `tripline test PACK`.
pub(crate) fn test(
    path: &Path,
    file: Option<&Path>,
    settings: &Settings,
    out: &mut Out,
) -> Result<Exit, CliError> {
    let checked = loaded(build::check_pack(path, settings.unsigned), settings)?;
    // It ends with this command.
    let key = BundleKey::of_this_process().map_err(BuildError::Key)?;
    let built = build::compile(checked, &key)?;
    let file = file.map_or_else(|| cases::beside(path), Path::to_owned);
    let passed = as_recorded(cases::check(&file, &built), settings)?;
    let head = out.tone(Tone::Good, "as recorded").to_string();
    out.line(format_args!("{head}: {}", counts(passed)))?;
    Ok(Exit::Ok)
}

fn counts(passed: Passed) -> String {
    format!(
        "{} in {}",
        counted(passed.expectations, "verdict"),
        counted(passed.cases, "case")
    )
}

/// Shows on standard error where the pack decides otherwise than its cases say.
fn as_recorded(
    checked: Result<Passed, CasesError>,
    settings: &Settings,
) -> Result<Passed, CliError> {
    match checked {
        Ok(passed) => Ok(passed),
        Err(CasesError::Findings { findings, text, .. }) => {
            show(&findings, &text, settings);
            Err(CliError::CaseFindings)
        }
        Err(error) => Err(CliError::Cases(error)),
    }
}

/// `tripline build PACK -o FILE`.
pub(crate) fn build(
    path: &Path,
    output: &Path,
    settings: &Settings,
    out: &mut Out,
) -> Result<Exit, CliError> {
    let checked = loaded(build::check_pack(path, settings.unsigned), settings)?;
    let checked = build::for_a_machine(checked, path, settings.unsigned)?;
    let key = trust::bundle_key().map_err(BuildError::Key)?;
    let built = build::compile(checked, &key)?;
    let file = cases::beside(path);
    let passed = file
        .exists()
        .then(|| as_recorded(cases::check(&file, &built), settings))
        .transpose()?;
    built.remember()?;
    build::write_whole(output, &built.bytes).map_err(|source| CliError::File {
        path: output.to_owned(),
        source,
    })?;
    let Built {
        bytes,
        bundle,
        tried,
        ..
    } = built;
    let size = units::size(u64::try_from(bytes.len()).unwrap_or(u64::MAX));
    let head = out.tone(Tone::Good, "built").to_string();
    out.line(format_args!("{head} {} ({size})", output.display()))?;
    out.line(format_args!(
        "  pack    {} {}",
        bundle.plan.name, bundle.plan.version
    ))?;
    out.line(format_args!("  bundle  {}", bundle.hash))?;
    out.line(format_args!("  signed  {}", vouched(&bundle.plan, out)))?;
    if tried.modules > 0 {
        out.line(format_args!(
            "  modules {}, {} in two engines bit for bit ({} recorded), {}",
            tried.modules,
            counted(usize::try_from(tried.frames).unwrap_or(usize::MAX), "frame"),
            tried.recorded,
            counted(tried.canaries, "canary trial"),
        ))?;
    }
    match passed {
        Some(passed) => out.line(format_args!("  cases   {}, as recorded", counts(passed)))?,
        None => out.line(format_args!(
            "  cases   none: record some in {} to have them tried with every build",
            file.display()
        ))?,
    }
    Ok(Exit::Ok)
}

/// `tripline schema`.
pub(crate) fn schema(out: &mut Out) -> Result<Exit, CliError> {
    out.json(&rules_pack::json_schema())?;
    Ok(Exit::Ok)
}

/// Shows findings on standard error; gives the pack if it loads.
pub(crate) fn loaded(
    checked: Result<Checked, BuildError>,
    settings: &Settings,
) -> Result<Checked, CliError> {
    match checked {
        Ok(checked) => {
            show(&checked.warnings, &checked.text, settings);
            Ok(checked)
        }
        Err(error) => Err(refused(error, settings)),
    }
}

/// Shows findings on standard error, if these are the reason.
pub(crate) fn refused(error: BuildError, settings: &Settings) -> CliError {
    match error {
        BuildError::Findings { findings, text, .. } => {
            show(&findings, &text, settings);
            CliError::Findings
        }
        error => error.into(),
    }
}

fn show(findings: &[Finding], text: &str, settings: &Settings) {
    if !findings.is_empty() {
        let rendered = rules_pack::render(findings, text, settings.error_paint.colors());
        note(rendered.trim_end());
    }
}

/// What a pack holds.
pub(crate) fn summary(plan: &Plan, out: &mut Out) -> Result<(), CliError> {
    let title = format!("{} {}", plan.name, plan.version);
    let title = out.tone(Tone::Strong, title).to_string();
    if plan.description.is_empty() {
        out.line(title)?;
    } else {
        out.line(format_args!("{title}: {}", plan.description))?;
    }
    for lane in &plan.lanes {
        out.line("")?;
        lane_summary(lane, &plan.modules, out)?;
    }
    if !plan.modules.is_empty() {
        out.line("")?;
        modules_summary(&plan.modules, out)?;
    }
    out.line("")?;
    match &plan.alerts {
        Some(alerts) => out.line(format_args!(
            "alerts go to {}:{} under {}/{}/",
            alerts.broker.host, alerts.broker.port, alerts.topic_prefix, plan.name
        )),
        None => out.line("no alerts are sent: the pack has no `alerts`"),
    }
}

/// Who vouches for a pack.
pub(crate) fn vouched(plan: &Plan, out: &Out) -> String {
    match &plan.vouched {
        Vouched::By(signature) => format!("by {}", signature.signer),
        Vouched::Program => "part of this program".to_owned(),
        Vouched::Nobody => out
            .tone(Tone::Bad, "by NOBODY, for development only")
            .to_string(),
    }
}

/// Who vouches for what runs.
fn modules_summary(modules: &[ModulePlan], out: &mut Out) -> Result<(), CliError> {
    for module in modules {
        let by = match &module.signature {
            Some(signature) => format!("signed by {}", signature.signer),
            None => out
                .tone(Tone::Bad, "UNSIGNED, for development only")
                .to_string(),
        };
        let sha: String = module
            .sha256
            .iter()
            .take(8)
            .map(|byte| format!("{byte:02x}"))
            .collect();
        out.line(format_args!(
            "module {} {}: {by}, sha256 {sha}...",
            module.name, module.version
        ))?;
    }
    Ok(())
}

fn lane_summary(lane: &LanePlan, modules: &[ModulePlan], out: &mut Out) -> Result<(), CliError> {
    let count = |of: fn(&LinkPlan) -> bool| {
        let devices = lane.devices.iter();
        devices.filter(|device| of(&device.link)).count()
    };
    let modbus = count(|link| matches!(link, LinkPlan::Modbus(_)));
    let mqtt = count(|link| matches!(link, LinkPlan::Mqtt(_)));
    let name = out
        .tone(Tone::Strong, format_args!("lane {}", lane.name))
        .to_string();
    out.line(format_args!(
        "{name}: {} ({modbus} Modbus, {mqtt} MQTT), {}, {}, {}",
        counted(modbus.saturating_add(mqtt), "device"),
        counted(lane.tags.len(), "tag"),
        counted(lane.rules.len(), "rule"),
        counted(lane.outputs.len(), "output"),
    ))?;
    for waveform in &lane.waveforms {
        out.line(format_args!(
            "  waveform {}: {} samples of {} at {} Hz, a block spans {}",
            waveform.name,
            waveform.samples,
            waveform.unit,
            waveform.rate_hz,
            units::time(waveform.span().as_ns()),
        ))?;
    }
    for (_, name, analyzer) in lane.analyzers() {
        let module = modules.get(usize::from(analyzer.module));
        out.line(format_args!(
            "  analyzer {name}: {}, {}, at most {} fuel and {} a call",
            module.map_or("?", |module| &module.name),
            analyzer.class.as_str(),
            analyzer.fuel,
            units::time(analyzer.deadline.as_ns()),
        ))?;
    }
    let mut rules: Vec<_> = lane.rules.iter().collect();
    if rules.len() > RULES_LISTED {
        let total: u64 = rules.iter().map(|rule| rule.fuel()).sum();
        out.line(format_args!(
            "  all rules together: {total} fuel at most; the {COSTLIEST} costliest:"
        ))?;
        rules.sort_by_key(|rule| std::cmp::Reverse(rule.fuel()));
        rules.truncate(COSTLIEST);
    }
    let mut table = Table::new([
        ("rule", Align::Left),
        ("level", Align::Left),
        ("fuel bound", Align::Right),
        ("depth", Align::Right),
        ("on-delay", Align::Right),
        ("deadline", Align::Right),
        ("stops", Align::Left),
    ]);
    for rule in rules {
        let stops = rule
            .stops
            .iter()
            .filter_map(|index| lane.outputs.get(usize::from(*index)));
        let stops: Vec<_> = stops.map(|output| output.name.as_str()).collect();
        table.row([
            rule.id.as_str().into(),
            rule.level.as_str().into(),
            rule.fuel().to_string().into(),
            rule.depth().to_string().into(),
            units::time(rule.on_delay.as_ns()).into(),
            rule.deadline
                .map_or("-".to_owned(), |deadline| units::time(deadline.as_ns()))
                .into(),
            stops.join(", ").into(),
        ]);
    }
    if table.is_empty() {
        return Ok(());
    }
    out.text(table.painted(out.paint()))
}

//! `latency`: what was measured since the guard started.

use std::path::Path;

use appliance_control::{Client, ClientError, Distribution, Latency, Reply, Request};

use crate::args::TableFormat;
use crate::build::write_whole;
use crate::error::{CliError, Exit};
use crate::hgrm;
use crate::out::{Out, note};
use crate::paint::Tone;
use crate::settings::Settings;
use crate::table::{Align, Cell, Table, toned};
use crate::units;

/// `tripline latency`.
pub(crate) fn latency(
    format: TableFormat,
    hgrm: Option<&Path>,
    settings: &Settings,
    out: &mut Out,
) -> Result<Exit, CliError> {
    let latency = ask_latency(&settings.socket)?;
    match format {
        TableFormat::Json => out.json(&latency)?,
        TableFormat::Table => print(&latency, out)?,
    }
    match hgrm {
        Some(path) => write_hgrm(&latency, path),
        None => Ok(Exit::Ok),
    }
}

/// Asks the guard at this socket.
pub(crate) fn ask_latency(socket: &Path) -> Result<Latency, ClientError> {
    match Client::connect(socket)?.ask(&Request::Latency {})? {
        Reply::Latency(latency) => Ok(*latency),
        _ => Err(ClientError::Unexpected),
    }
}

/// The tables, with the wording that belongs to every latency.
pub(crate) fn print(latency: &Latency, out: &mut Out) -> Result<(), CliError> {
    if latency.stages.is_empty() && latency.rules.is_empty() {
        out.line("nothing has been measured yet")?;
    }
    let stages = stages(latency);
    if !stages.is_empty() {
        out.line("stages of a lane's tick")?;
        out.text(stages.painted(out.paint()))?;
    }
    let rules = rules(latency);
    if !rules.is_empty() {
        out.line("")?;
        out.line("from sample to confirmed stop, on-delay included")?;
        out.text(rules.painted(out.paint()))?;
    }
    out.line("")?;
    out.line(format_args!("{}.", latency.notice.trim_end_matches('.')))
}

/// Of what has not happened yet there is no time: 0 ns would be one, and a good one.
fn figures(of: &Distribution) -> [Cell; 6] {
    let time = |ns| match of.count {
        0 => "-".into(),
        _ => units::time(ns).into(),
    };
    [
        of.count.to_string().into(),
        time(of.p50_ns),
        time(of.p90_ns),
        time(of.p99_ns),
        time(of.p999_ns),
        time(of.max_ns),
    ]
}

fn stages(latency: &Latency) -> Table {
    let mut table = Table::new([
        ("lane", Align::Left),
        ("stage", Align::Left),
        ("count", Align::Right),
        ("p50", Align::Right),
        ("p90", Align::Right),
        ("p99", Align::Right),
        ("p99.9", Align::Right),
        ("max", Align::Right),
    ]);
    for stage in &latency.stages {
        let [count, p50, p90, p99, p999, max] = figures(&stage.distribution);
        let name = stage.stage.replace('_', " ");
        table.row([
            stage.lane.as_str().into(),
            name.into(),
            count,
            p50,
            p90,
            p99,
            p999,
            max,
        ]);
    }
    table
}

fn rules(latency: &Latency) -> Table {
    let mut table = Table::new([
        ("lane", Align::Left),
        ("rule", Align::Left),
        ("count", Align::Right),
        ("p50", Align::Right),
        ("p90", Align::Right),
        ("p99", Align::Right),
        ("p99.9", Align::Right),
        ("max", Align::Right),
        ("computed worst", Align::Right),
        ("deadline", Align::Right),
        ("missed", Align::Right),
        ("on-delay", Align::Right),
    ]);
    for rule in &latency.rules {
        let [count, p50, p90, p99, p999, max] = figures(&rule.distribution);
        let measured = rule.distribution.max_ns;
        let over = rule.bound_ns.is_some_and(|bound| measured > bound);
        let tone = if rule.missed == 0 {
            Tone::Good
        } else {
            Tone::Bad
        };
        table.row([
            rule.lane.as_str().into(),
            rule.rule.as_str().into(),
            count,
            p50,
            p90,
            p99,
            p999,
            if over {
                toned(Tone::Bad, format!("OVER {}", units::time(measured)))
            } else {
                max
            },
            rule.bound_ns.map_or("-".to_owned(), units::time).into(),
            rule.deadline_ns.map_or("-".to_owned(), units::time).into(),
            toned(tone, rule.missed.to_string()),
            units::time(rule.on_delay_ns).into(),
        ]);
    }
    table
}

/// One file a distribution: the tools that draw `.hgrm` files take one curve from each.
fn write_hgrm(latency: &Latency, path: &Path) -> Result<Exit, CliError> {
    let stages = latency
        .stages
        .iter()
        .map(|stage| (&stage.lane, &stage.stage, &stage.distribution));
    let rules = latency
        .rules
        .iter()
        .map(|rule| (&rule.lane, &rule.rule, &rule.distribution));
    let mut written = 0_usize;
    for (lane, what, distribution) in stages.chain(rules).filter(|(.., of)| of.count > 0) {
        let file = hgrm::file_name(path, lane, what);
        let text = hgrm::render(distribution);
        write_whole(&file, text.as_bytes()).map_err(|source| CliError::File {
            path: file.clone(),
            source,
        })?;
        note(format_args!("wrote {}", file.display()));
        written = written.saturating_add(1);
    }
    if written == 0 {
        note("nothing has been measured yet, so no .hgrm file was written");
        return Ok(Exit::Failed);
    }
    Ok(Exit::Ok)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::paint::Paint;
    use appliance_control::{RuleLatency, StageLatency};

    #[test]
    fn what_has_not_happened_yet_has_no_time() {
        let latency = Latency {
            notice: appliance_desk::NOTICE.into(),
            stages: vec![StageLatency {
                lane: "main".into(),
                stage: "confirm".into(),
                distribution: Distribution::default(),
            }],
            rules: Vec::new(),
        };
        let text = stages(&latency).painted(Paint::new(false)).to_string();
        let line = text.lines().nth(1).unwrap();
        let words: Vec<_> = line.split_whitespace().collect();
        assert_eq!(words, ["main", "confirm", "0", "-", "-", "-", "-", "-"]);
    }

    #[test]
    fn a_missed_deadline_and_a_bound_that_was_wrong_are_in_the_table() {
        let latency = Latency {
            notice: appliance_desk::NOTICE.into(),
            stages: Vec::new(),
            rules: vec![RuleLatency {
                lane: "main".into(),
                rule: "hot".into(),
                deadline_ns: Some(200_000_000),
                on_delay_ns: 20_000_000,
                bound_ns: Some(120_000_000),
                missed: 1,
                distribution: Distribution {
                    count: 3,
                    max_ns: 250_000_000,
                    p50_ns: 25_300_000,
                    ..Distribution::default()
                },
            }],
        };
        let text = rules(&latency).painted(Paint::new(false)).to_string();
        let line = text.lines().nth(1).unwrap();
        assert!(line.starts_with("  main  hot"), "{line}");
        assert!(
            line.ends_with("OVER 250 ms          120 ms    200 ms       1   20.0 ms"),
            "{line}"
        );
    }
}

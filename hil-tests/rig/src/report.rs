//! What a run says: per round, in sum, as a table and as JSON.

use std::fmt::Write as _;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::gates::Gate;
use crate::host::Facts;
use crate::segment::Segment;
use crate::stats::{Median, median, percentile};
use crate::system::{Road, Role};

/// One round: the segments in the order of the entries, absent where a system was left out.
#[derive(Debug, Serialize)]
pub(crate) struct Round {
    pub(crate) segments: Vec<Option<Segment>>,
    /// Stolen from the two cores, ms. None where the kernel does not tell.
    pub(crate) stolen_ms: Option<u64>,
    pub(crate) dropped: bool,
    /// The largest share of waiting (`Segment::waited_percent`) beside a program that cannot itself have caused it.
    pub(crate) waited_percent: Option<f64>,
}

/// What the kept rounds say about one system.
#[derive(Debug, Serialize)]
pub(crate) struct Summary {
    pub(crate) name: String,
    pub(crate) road: Road,
    pub(crate) role: Role,
    pub(crate) left_out: Option<String>,
    pub(crate) stop: Option<Percentiles>,
    pub(crate) rise: Option<Percentiles>,
    /// Median over rounds of this system's p50 by that of its road's floor in the same round.
    pub(crate) times_floor_p50: Option<Median>,
    pub(crate) times_floor_p99: Option<Median>,
    pub(crate) rounds: Vec<RoundLine>,
    pub(crate) trials: usize,
    pub(crate) missed: u32,
    pub(crate) early: u32,
    pub(crate) complaints: Vec<String>,
}

/// One system in one kept round.
#[derive(Debug, Serialize)]
pub(crate) struct RoundLine {
    pub(crate) p50_ns: u64,
    pub(crate) p99_ns: u64,
    pub(crate) times_floor_p50: f64,
    pub(crate) times_floor_p99: f64,
    pub(crate) device_longest_pass_ns: u64,
}

/// Over all trials of the kept rounds, ns.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct Percentiles {
    pub(crate) p50_ns: u64,
    pub(crate) p99_ns: u64,
    pub(crate) p999_ns: u64,
    pub(crate) max_ns: u64,
}

/// The JSON file.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    pub(crate) note: &'static str,
    pub(crate) host: Facts,
    pub(crate) sleep_states: String,
    pub(crate) device_cpu: usize,
    pub(crate) sut_cpu: usize,
    pub(crate) seed: u64,
    pub(crate) trials_a_round: u32,
    pub(crate) warm_up_a_round: u32,
    pub(crate) rounds_kept: usize,
    pub(crate) rounds_dropped: usize,
    pub(crate) stolen_max_ms: u64,
    pub(crate) waited_max_percent: f64,
    pub(crate) stolen_is_told: bool,
    /// Of the dropped rounds, those in which something else ran on the machine.
    pub(crate) rounds_not_quiet: usize,
    pub(crate) systems: Vec<Summary>,
    pub(crate) gates: Vec<Gate>,
}

/// Said wherever a latency is shown.
pub(crate) const NOTE: &str = "Machine protection and supervisory stop, not a certified safety component. Ratios \
    compare programs; absolute figures, p99.9 and maximum belong to this machine.";

/// A line of the table before the rounds are added up.
pub(crate) struct Header {
    pub(crate) name: String,
    pub(crate) road: Road,
    pub(crate) role: Role,
    pub(crate) left_out: Option<String>,
}

/// Adds up the kept rounds.
pub(crate) fn summarise(headers: Vec<Header>, rounds: &[Round]) -> Vec<Summary> {
    let floor_of = |road: Road| {
        headers
            .iter()
            .position(|h| h.road == road && h.role == Role::Floor)
    };
    let floors: Vec<Option<usize>> = headers.iter().map(|h| floor_of(h.road)).collect();
    headers
        .into_iter()
        .zip(floors)
        .enumerate()
        .map(|(index, (header, floor))| one(index, header, floor, rounds))
        .collect()
}

fn one(index: usize, header: Header, floor: Option<usize>, rounds: &[Round]) -> Summary {
    let of = |round: &'_ Round, index: usize| round.segments.get(index).cloned().flatten();
    let mut stop_ns = Vec::new();
    let mut rise_ns = Vec::new();
    let mut lines = Vec::new();
    let (mut missed, mut early, mut complaints) = (0, 0, Vec::new());
    for round in rounds {
        let Some(segment) = of(round, index) else {
            continue;
        };
        // A miss counts in a dropped round too: stolen time excuses a late stop, not a missing one.
        missed += segment.missed;
        early += segment.early;
        if let Some(complaint) = &segment.complaint
            && !complaints.contains(complaint)
        {
            complaints.push(complaint.clone());
        }
        if round.dropped {
            continue;
        }
        stop_ns.extend_from_slice(&segment.stop_ns);
        rise_ns.extend_from_slice(&segment.rise_ns);
        let floor = floor.and_then(|f| of(round, f));
        lines.extend(floor.and_then(|floor| line(&segment, &floor)));
    }
    let ratios = |pick: fn(&RoundLine) -> f64| {
        let values: Vec<f64> = lines.iter().map(pick).collect();
        median(&values)
    };
    Summary {
        name: header.name,
        road: header.road,
        role: header.role,
        left_out: header.left_out,
        stop: percentiles(&mut stop_ns),
        rise: percentiles(&mut rise_ns),
        times_floor_p50: ratios(|l| l.times_floor_p50),
        times_floor_p99: ratios(|l| l.times_floor_p99),
        rounds: lines,
        trials: stop_ns.len(),
        missed,
        early,
        complaints,
    }
}

fn line(segment: &Segment, floor: &Segment) -> Option<RoundLine> {
    let p50_ns = percentile(&segment.stop_ns, 500)?;
    let p99_ns = percentile(&segment.stop_ns, 990)?;
    Some(RoundLine {
        p50_ns,
        p99_ns,
        times_floor_p50: float(p50_ns) / float(percentile(&floor.stop_ns, 500)?),
        times_floor_p99: float(p99_ns) / float(percentile(&floor.stop_ns, 990)?),
        device_longest_pass_ns: segment.device_longest_pass_ns,
    })
}

fn percentiles(values: &mut [u64]) -> Option<Percentiles> {
    values.sort_unstable();
    Some(Percentiles {
        p50_ns: percentile(values, 500)?,
        p99_ns: percentile(values, 990)?,
        p999_ns: percentile(values, 999)?,
        max_ns: percentile(values, 1_000)?,
    })
}

/// Latencies stay below 2^32 ns (a trial ends after 5 s, and 4.3 s is late enough).
fn float(ns: u64) -> f64 {
    f64::from(u32::try_from(ns).unwrap_or(u32::MAX))
}

fn us(ns: u64) -> String {
    format!("{:.1}", float(ns) / 1_000.0)
}

/// The report for people.
pub(crate) fn text(report: &Report) -> String {
    let mut out = String::new();
    // Writing to a String cannot fail.
    let _ = writeln!(
        out,
        "\nStop latency: over-limit reply sent -> stop write received, stopwatch in the device, µs\n{}\n\n\
         machine       {} · kernel {} · cores {}{} · isolated [{}] · clock {}\n\
         sleep states  {}\n\
         cores         device {} (spinning), system under test {}\n\
         rounds        {} kept, {} dropped (stolen time over {} ms and 0.2 % of the round{}, or tasks waiting over {} %) · {} trials a round and system after {} to \
         warm up · seed {}",
        report.note,
        report.host.processor,
        report.host.kernel,
        report.host.online,
        if report.host.hypervisor {
            ", virtual machine"
        } else {
            ""
        },
        report.host.isolated,
        report.host.clock,
        report.sleep_states,
        report.device_cpu,
        report.sut_cpu,
        report.rounds_kept,
        report.rounds_dropped,
        report.stolen_max_ms,
        if report.stolen_is_told {
            ""
        } else {
            " (which this kernel does not tell)"
        },
        report.waited_max_percent,
        report.trials_a_round,
        report.warm_up_a_round,
        report.seed,
    );
    if report.rounds_not_quiet > 0 {
        let _ = writeln!(
            out,
            "NOT QUIET     something else ran on these cores in {} rounds: end it, and measure again",
            report.rounds_not_quiet
        );
    }
    for (road, title) in [
        (Road::Modbus, "Modbus/TCP in, Modbus/TCP stop"),
        (
            Road::Mqtt,
            "MQTT in (mosquitto, QoS 0, a message each ms), Modbus/TCP stop: publish about to be sent -> stop",
        ),
    ] {
        let lines: Vec<&Summary> = report.systems.iter().filter(|s| s.road == road).collect();
        if !lines.is_empty() {
            table(&mut out, title, &lines);
        }
    }
    complaints(&mut out, &report.systems);
    if !report.gates.is_empty() {
        let _ = writeln!(
            out,
            "\nGates (median over rounds of the ratio within a round)"
        );
        for gate in &report.gates {
            let _ = writeln!(out, "  {gate}");
        }
    }
    out
}

fn table(out: &mut String, title: &str, lines: &[&Summary]) {
    let _ = writeln!(
        out,
        "\n{title}\n{:<18}{:>9}{:>9}{:>9}{:>10}  {:<22}{:<22}{:>10}{:>10}{:>8}{:>7}{:>6}",
        "system",
        "p50",
        "p99",
        "p99.9",
        "max",
        "x floor p50 [95 %]",
        "x floor p99 [95 %]",
        "rise p50",
        "rise p99",
        "trials",
        "missed",
        "early"
    );
    for s in lines {
        if let Some(why) = &s.left_out {
            let _ = writeln!(out, "{:<18} LEFT OUT: {why}", s.name);
            continue;
        }
        let stop =
            |pick: fn(Percentiles) -> u64| s.stop.map_or_else(|| "-".to_owned(), |p| us(pick(p)));
        let rise =
            |pick: fn(Percentiles) -> u64| s.rise.map_or_else(|| "-".to_owned(), |p| us(pick(p)));
        let _ = writeln!(
            out,
            "{:<18}{:>9}{:>9}{:>9}{:>10}  {:<22}{:<22}{:>10}{:>10}{:>8}{:>7}{:>6}",
            s.name,
            stop(|p| p.p50_ns),
            stop(|p| p.p99_ns),
            stop(|p| p.p999_ns),
            stop(|p| p.max_ns),
            ratio(s.times_floor_p50),
            ratio(s.times_floor_p99),
            rise(|p| p.p50_ns),
            rise(|p| p.p99_ns),
            s.trials,
            s.missed,
            s.early
        );
    }
}

/// A ratio with its interval; one that is no 95 % interval says what it is.
pub(crate) fn ratio(median: Option<Median>) -> String {
    match median {
        None => "-".to_owned(),
        Some(m) if m.coverage >= 0.95 => format!("{:.2} [{:.2}, {:.2}]", m.median, m.low, m.high),
        Some(m) => format!(
            "{:.2} [{:.2}, {:.2}] {:.0}%",
            m.median,
            m.low,
            m.high,
            100.0 * m.coverage
        ),
    }
}

fn complaints(out: &mut String, systems: &[Summary]) {
    for s in systems.iter().filter(|s| !s.complaints.is_empty()) {
        for complaint in &s.complaints {
            let _ = writeln!(out, "\n{}: {complaint}", s.name);
        }
    }
}

/// Writes the JSON file, into the build folder unless told otherwise, and says where it is.
pub(crate) fn save(report: &Report, to: Option<&Path>) -> io::Result<PathBuf> {
    let path = match to {
        Some(path) => path.to_owned(),
        None => build_folder()?.join("stop-latency/stop_latency.json"),
    };
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    let mut text = serde_json::to_string_pretty(report)?;
    text.push('\n');
    fs::write(&path, text)?;
    Ok(path)
}

/// The build folder this program was built into; the temporary folder when it was moved elsewhere.
fn build_folder() -> io::Result<PathBuf> {
    let program = std::env::current_exe()?;
    Ok(program
        .ancestors()
        .find(|folder| folder.join("CACHEDIR.TAG").is_file())
        .map_or_else(std::env::temp_dir, Path::to_path_buf))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn header(name: &str, road: Road, role: Role) -> Header {
        Header {
            name: name.to_owned(),
            road,
            role,
            left_out: None,
        }
    }

    fn segment(stop_ns: &[u64]) -> Option<Segment> {
        Some(Segment {
            stop_ns: stop_ns.to_vec(),
            rise_ns: stop_ns.to_vec(),
            missed: 1,
            ..Segment::default()
        })
    }

    pub(crate) fn round(stops: &[&[u64]], dropped: bool) -> Round {
        Round {
            segments: stops.iter().map(|s| segment(s)).collect(),
            stolen_ms: Some(0),
            waited_percent: None,
            dropped,
        }
    }

    #[test]
    fn ratios_are_within_a_round_and_a_dropped_round_counts_only_its_misses() {
        let headers = vec![
            header("floor", Road::Modbus, Role::Floor),
            header("peer", Road::Modbus, Role::Peer),
        ];
        let rounds = [
            round(&[&[10, 10], &[20, 20]], false),
            // A slow round slows both: the ratio stays.
            round(&[&[100, 100], &[200, 200]], false),
            round(&[&[10, 10], &[9_000, 9_000]], true),
        ];
        let summaries = summarise(headers, &rounds);
        let peer = &summaries[1];
        let median = peer.times_floor_p50.unwrap();
        assert!((median.median - 2.0).abs() < 1e-12);
        assert_eq!((peer.trials, peer.missed), (4, 3));
        assert_eq!(peer.stop.unwrap().max_ns, 200);
    }

    #[test]
    fn a_road_is_compared_with_its_own_floor() {
        let headers = vec![
            header("floor", Road::Modbus, Role::Floor),
            header("rumqttc", Road::Mqtt, Role::Floor),
            header("ours", Road::Mqtt, Role::Tripline { rules: 1 }),
        ];
        let rounds = [round(&[&[10], &[40], &[60]], false)];
        let ours = &summarise(headers, &rounds)[2];
        assert!((ours.times_floor_p99.unwrap().median - 1.5).abs() < 1e-12);
    }
}

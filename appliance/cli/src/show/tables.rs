//! The tables of a guard's state. Every word stands for itself: colours only repeat what it says.

use appliance_control::{
    AnalyzerStatus, DeviceStatus, GroupStatus, OutputStatus, Proof, RuleStatus, ShelvedStatus,
    VotingStatus,
};
use appliance_desk::wall_time::time_of_day;

use crate::paint::Tone;
use crate::table::{Align, Cell, Table, toned};
use crate::units;

/// Rules that are all listed. Of a larger pack only those that are not normal are.
const RULES_LISTED: usize = 40;

/// What is latched together, and by what first.
pub(super) fn groups(groups: &[GroupStatus]) -> Table {
    let mut table = Table::new([
        ("trip group", Align::Left),
        ("state", Align::Left),
        ("first cause", Align::Left),
        ("rule", Align::Left),
        ("since (UTC)", Align::Left),
        ("for", Align::Right),
        ("outputs", Align::Left),
        ("before the restart", Align::Left),
    ]);
    for group in groups {
        let state = match group.first_out {
            Some(_) => toned(Tone::Bad, "latched"),
            None => toned(Tone::Good, "released"),
        };
        let since = group.latched_wall_ns.map(time_of_day);
        table.row([
            group.name.as_str().into(),
            state,
            text(group.first_out.as_deref()),
            text(group.rule.as_deref()),
            text(since.as_deref()),
            group
                .latched_for_ns
                .map_or(String::new(), units::span)
                .into(),
            group.outputs.join(", ").into(),
            text(group.before_restart.as_deref()),
        ]);
    }
    table
}

fn text(text: Option<&str>) -> Cell {
    text.unwrap_or_default().into()
}

/// What is written, and what proves it. A dash is what the pack does not declare.
pub(super) fn outputs(outputs: &[OutputStatus]) -> Table {
    let mut table = Table::new([
        ("output", Align::Left),
        ("permit", Align::Left),
        ("echo", Align::Left),
        ("read-back", Align::Left),
        ("feedback", Align::Left),
        ("watchdog", Align::Left),
        ("link", Align::Left),
        ("writes", Align::Right),
        ("failures", Align::Right),
    ]);
    for output in outputs {
        let permit = if output.permit == "granted" {
            Tone::Good
        } else {
            Tone::Bad
        };
        let link = match output.connected {
            true => toned(Tone::Good, "up"),
            false => toned(Tone::Bad, "down"),
        };
        table.row([
            output.name.as_str().into(),
            toned(permit, output.permit.as_str()),
            proof(output.proof.echo),
            proof(output.proof.read_back),
            proof(output.proof.feedback),
            match output.proof.watchdog {
                Some(Proof::Proved) => toned(Tone::Good, "armed"),
                Some(Proof::Failed) => toned(Tone::Bad, "NOT ARMED"),
                other => proof(other),
            },
            link,
            output.confirmations.to_string().into(),
            output.failures.to_string().into(),
        ]);
    }
    table
}

fn proof(proof: Option<Proof>) -> Cell {
    match proof {
        None => "-".into(),
        Some(proof) => {
            let tone = match proof {
                Proof::Proved => Tone::Good,
                Proof::Waiting => Tone::Warn,
                Proof::Failed => Tone::Bad,
            };
            toned(tone, proof.as_str())
        }
    }
}

/// Channels by voting.
pub(super) fn votings(votings: &[VotingStatus]) -> Table {
    let mut table = Table::new([
        ("voting", Align::Left),
        ("decides", Align::Left),
        ("channel", Align::Left),
        ("health", Align::Left),
        ("vote", Align::Left),
        ("cause", Align::Left),
    ]);
    for voting in votings {
        let mut name = Some(voting);
        for channel in &voting.channels {
            // Said once: the lines below are its other channels.
            let (title, decides) = match name.take() {
                Some(voting) => (voting.name.clone(), voting.to_string()),
                None => (String::new(), String::new()),
            };
            let reduced = voting
                .decides
                .as_ref()
                .is_some_and(|now| *now != voting.form);
            let tone = if reduced { Tone::Warn } else { Tone::Plain };
            let health = channel.health.as_deref().unwrap_or("not known");
            let vote = match (channel.votes, health) {
                (Some(true), _) => "to trip",
                (Some(false), "bypassed") => "withheld",
                (Some(false), _) => "left out",
                (None, _) => "by value",
            };
            table.row([
                title.into(),
                toned(tone, decides),
                channel.tag.as_str().into(),
                toned(
                    match health {
                        "good" => Tone::Good,
                        "bad" => Tone::Bad,
                        _ => Tone::Warn,
                    },
                    health,
                ),
                vote.into(),
                text(channel.cause.as_deref()),
            ]);
        }
    }
    table
}

/// The rules, and how many normal ones of a large pack are left out.
pub(super) fn rules(rules: &[RuleStatus], shelved: &[ShelvedStatus]) -> (Table, usize) {
    let mut table = Table::new([
        ("rule", Align::Left),
        ("level", Align::Left),
        ("state", Align::Left),
        ("cause", Align::Left),
        ("slowest stop", Align::Right),
        ("computed worst", Align::Right),
        ("message", Align::Left),
    ]);
    let marks = |rule: &RuleStatus| {
        let shelved = shelved.iter().any(|shelved| shelved.rule == rule.id);
        [
            (rule.multiplied == Some(true), "MULTIPLIED"),
            (rule.inhibited == Some(true), "INHIBITED"),
            (shelved, "SHELVED"),
        ]
        .into_iter()
        .filter_map(|(on, word)| on.then_some(word))
        .fold(rule.state.clone(), |state, word| format!("{state}, {word}"))
    };
    let normal = |rule: &RuleStatus| rule.state == "normal" && marks(rule) == rule.state;
    let short = rules.len() > RULES_LISTED;
    for rule in rules.iter().filter(|rule| !(short && normal(rule))) {
        let tone = match (rule.state.as_str(), rule.level.as_str()) {
            ("normal", _) if normal(rule) => Tone::Good,
            ("active", "danger") => Tone::Bad,
            _ => Tone::Warn,
        };
        let over = matches!((rule.measured_max_ns, rule.bound_ns), (Some(max), Some(bound)) if max > bound);
        let time = |ns: Option<u64>| ns.map_or_else(String::new, units::time);
        let slowest = time(rule.measured_max_ns);
        let message = if rule.state == "normal" {
            ""
        } else {
            &rule.message
        };
        table.row([
            rule.id.as_str().into(),
            rule.level.as_str().into(),
            toned(tone, marks(rule)),
            rule.cause.as_str().into(),
            if over {
                toned(Tone::Bad, format!("OVER {slowest}"))
            } else {
                slowest.into()
            },
            time(rule.bound_ns).into(),
            message.into(),
        ]);
    }
    let left_out = if short {
        rules.iter().filter(|rule| normal(rule)).count()
    } else {
        0
    };
    (table, left_out)
}

/// The devices that are read.
pub(super) fn devices(devices: &[DeviceStatus]) -> Table {
    let mut table = Table::new([
        ("device", Align::Left),
        ("kind", Align::Left),
        ("link", Align::Left),
        ("requests", Align::Right),
        ("replies", Align::Right),
        ("anomalies", Align::Right),
        ("connects", Align::Right),
        ("last error", Align::Left),
    ]);
    for device in devices {
        let tone = if device.link == "up" {
            Tone::Good
        } else {
            Tone::Bad
        };
        table.row([
            device.name.as_str().into(),
            device.kind.as_str().into(),
            toned(tone, device.link.as_str()),
            device.requests.to_string().into(),
            device.replies.to_string().into(),
            device.anomalies.to_string().into(),
            device.connects.to_string().into(),
            device.last_error.as_deref().unwrap_or_default().into(),
        ]);
    }
    table
}

/// What analyzers say, and what they cost.
pub(super) fn analyzers(analyzers: &[AnalyzerStatus]) -> Table {
    let mut table = Table::new([
        ("analyzer", Align::Left),
        ("module", Align::Left),
        ("class", Align::Left),
        ("signed by", Align::Left),
        ("verdict", Align::Left),
        ("cause", Align::Left),
        ("fault", Align::Left),
        ("canary", Align::Left),
        ("replay", Align::Left),
        ("calls", Align::Right),
        ("faults", Align::Right),
        ("spares", Align::Right),
        ("fuel p99", Align::Right),
        ("of", Align::Right),
        ("time p99", Align::Right),
        ("max", Align::Right),
        ("of", Align::Right),
    ]);
    for analyzer in analyzers {
        let verdict = analyzer.verdict.as_deref();
        let tone = match verdict {
            Some("danger") => Tone::Bad,
            Some("alert") => Tone::Warn,
            _ => Tone::Plain,
        };
        let signer = match &analyzer.signer {
            Some(signer) => signer.as_str().into(),
            None => toned(Tone::Warn, "nobody"),
        };
        let spares = match analyzer.spares {
            Some(spares) => spares.to_string().into(),
            None => toned(Tone::Bad, "no instance"),
        };
        let canary = match analyzer.canary.as_deref() {
            Some("missed") => toned(Tone::Bad, "missed"),
            canary => text(canary),
        };
        let replay = match analyzer.replay.as_deref() {
            Some("differs") => toned(Tone::Bad, "differs"),
            Some("late") => toned(Tone::Warn, "late"),
            replay => text(replay),
        };
        let span = |ns: Option<u64>| ns.map_or(String::new(), units::span);
        table.row([
            analyzer.name.as_str().into(),
            format!("{} {}", analyzer.module, analyzer.version).into(),
            analyzer.class.as_str().into(),
            signer,
            toned(tone, verdict.unwrap_or_default()),
            text(analyzer.cause.as_deref()),
            match &analyzer.fault {
                Some(fault) => toned(Tone::Bad, fault.as_str()),
                None => text(None),
            },
            canary,
            replay,
            analyzer.calls.to_string().into(),
            analyzer.faults.to_string().into(),
            spares,
            analyzer
                .fuel_p99
                .map_or(String::new(), |fuel| fuel.to_string())
                .into(),
            analyzer.fuel_limit.to_string().into(),
            span(analyzer.time_p99_ns).into(),
            span(analyzer.time_max_ns).into(),
            span(Some(analyzer.deadline_ns)).into(),
        ]);
    }
    table
}

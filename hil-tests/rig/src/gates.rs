//! The gates: what must hold for Tripline on the Modbus road, as ratios within a round.

use std::fmt;

use serde::Serialize;

use crate::report::{Summary, ratio};
use crate::stats::Median;
use crate::system::{Road, Role};

/// Bound of one pack: rules, p50, p99, each a multiple of the blocking floor. Above the floor's own work lies checking
/// every field of a reply, two evaluations, voting, latching and recording.
const BOUNDS: [(u32, f64, f64); 2] = [(1, 1.3, 1.8), (1_000, 1.5, 2.2)];

/// How a gate ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Outcome {
    Pass,
    Missed,
    /// A system it needs was left out or gave no figure: not passed.
    NotMeasured,
}

/// One gate.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Gate {
    pub(crate) what: String,
    pub(crate) found: String,
    pub(crate) outcome: Outcome,
}

impl fmt::Display for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = match self.outcome {
            Outcome::Pass => "PASS",
            Outcome::Missed => "MISSED",
            Outcome::NotMeasured => "NOT MEASURED",
        };
        write!(f, "{word:<13}{}: {}", self.what, self.found)
    }
}

type Pick = fn(&Summary) -> Option<Median>;
const PICKS: [(&str, Pick); 2] = [
    ("p50", |s| s.times_floor_p50),
    ("p99", |s| s.times_floor_p99),
];

/// Judges every Tripline entry of the Modbus road. No entry, no gate.
pub(crate) fn judge(systems: &[Summary]) -> Vec<Gate> {
    let road = || systems.iter().filter(|s| s.road == Road::Modbus);
    let mut gates = Vec::new();
    for ours in road() {
        let Role::Tripline { rules } = ours.role else {
            continue;
        };
        for (at, p50, p99) in BOUNDS {
            if at == rules {
                for ((label, pick), bound) in PICKS.into_iter().zip([p50, p99]) {
                    let what = format!("{} {label} at most {bound} x floor", ours.name);
                    gates.push(gate(what, pick(ours), Some(bound)));
                }
            }
        }
        for peer in road().filter(|s| s.role == Role::Peer) {
            for (label, pick) in PICKS {
                let theirs = pick(peer).map(|m| m.median);
                let what = format!(
                    "{} {label} ahead of {} ({} x floor)",
                    ours.name,
                    peer.name,
                    theirs.map_or_else(|| "-".to_owned(), |m| format!("{m:.2}"))
                );
                gates.push(gate(what, pick(ours), theirs));
            }
        }
        gates.push(none_missing(ours));
    }
    gates
}

fn gate(what: String, found: Option<Median>, bound: Option<f64>) -> Gate {
    let outcome = match (found, bound) {
        (Some(found), Some(bound)) if found.median <= bound => Outcome::Pass,
        (Some(_), Some(_)) => Outcome::Missed,
        _ => Outcome::NotMeasured,
    };
    Gate {
        what,
        found: ratio(found),
        outcome,
    }
}

/// A fast system that forgets a stop has not passed anything.
fn none_missing(ours: &Summary) -> Gate {
    let outcome = match (ours.trials, ours.missed + ours.early) {
        (0, _) => Outcome::NotMeasured,
        (_, 0) => Outcome::Pass,
        _ => Outcome::Missed,
    };
    Gate {
        what: format!("{} stops every time, and never without a demand", ours.name),
        found: format!(
            "{} stops, {} missed, {} early",
            ours.trials, ours.missed, ours.early
        ),
        outcome,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::tests::{header, round};
    use crate::report::{Header, Round, summarise};

    fn headers() -> Vec<Header> {
        vec![
            header("floor", Road::Modbus, Role::Floor),
            header("peer", Road::Modbus, Role::Peer),
            header("ours-1", Road::Modbus, Role::Tripline { rules: 1 }),
        ]
    }

    fn outcomes(mut rounds: Vec<Round>, hits: bool) -> Vec<Outcome> {
        if hits {
            for segment in rounds
                .iter_mut()
                .flat_map(|r| r.segments.iter_mut().flatten())
            {
                segment.missed = 0;
            }
        }
        let gates = judge(&summarise(headers(), &rounds));
        gates.iter().map(|g| g.outcome).collect()
    }

    #[test]
    fn each_gate_can_be_passed_and_missed() {
        use Outcome::{Missed, Pass};
        // Bounds at p50 and p99, the peer at p50 and p99, no stop missing.
        assert_eq!(
            outcomes(vec![round(&[&[100], &[170], &[130]], false)], true),
            [Pass, Pass, Pass, Pass, Pass]
        );
        assert_eq!(
            outcomes(vec![round(&[&[100], &[135], &[140]], false)], true),
            [Missed, Pass, Missed, Missed, Pass]
        );
        assert_eq!(
            outcomes(vec![round(&[&[100], &[300], &[181]], false)], false),
            [Missed, Missed, Pass, Pass, Missed]
        );
    }

    #[test]
    fn what_was_not_measured_is_not_passed() {
        let gates = judge(&summarise(
            headers(),
            &[round(&[&[100], &[170], &[]], false)],
        ));
        assert_eq!(gates.len(), 5);
        assert!(gates.iter().all(|g| g.outcome == Outcome::NotMeasured));
        assert!(judge(&summarise(Vec::new(), &[])).is_empty());
    }
}

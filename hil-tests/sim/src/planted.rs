//! Planted bugs: each must be caught within so many seeds, or the simulator does not see.

use std::fmt;
use std::time::Instant;

use drivers_frame::planted::{Bug, plant};

use crate::oracle::Violation;
use crate::world::{Options, run};

/// Seeds within which every bug must be caught.
pub const SEEDS_MAX: u64 = 200;

/// How one bug was caught.
#[derive(Clone, Debug)]
pub struct Catch {
    /// The bug.
    pub bug: Bug,
    /// What it broke first; `None` when it survived.
    pub violation: Option<Violation>,
    /// Seeds run until then.
    pub seeds: u64,
    /// Seconds until then.
    pub seconds: f64,
}

/// What came of all of them.
#[derive(Clone, Debug)]
pub struct Report {
    /// One for each bug.
    pub catches: Vec<Catch>,
    /// What was broken with no bug planted; must be nothing.
    pub without: Vec<(u64, Violation)>,
}

/// Plants each bug in turn. With `only`, the one of that name.
pub fn all(only: Option<&str>) -> Report {
    plant(None);
    let without = (1..=20)
        .filter_map(|seed| Some((seed, run(seed, Options::seconds(60)).violation?)))
        .collect();
    let chosen = Bug::ALL
        .iter()
        .filter(|bug| only.is_none_or(|name| name == bug.name()));
    let catches = chosen.map(|bug| catch(*bug)).collect();
    plant(None);
    Report { catches, without }
}

fn catch(bug: Bug) -> Catch {
    let began = Instant::now();
    plant(Some(bug));
    let mut seeds = 0;
    let violation = (1..=SEEDS_MAX).find_map(|seed| {
        seeds = seed;
        run(seed, Options::seconds(60)).violation
    });
    Catch {
        bug,
        violation,
        seeds,
        seconds: began.elapsed().as_secs_f64(),
    }
}

impl Report {
    /// Whether every bug was caught, and nothing else was.
    pub fn passed(&self) -> bool {
        self.without.is_empty() && self.catches.iter().all(|catch| catch.violation.is_some())
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (seed, violation) in &self.without {
            writeln!(f, "WITHOUT A BUG: seed {seed}: {violation:?}")?;
        }
        writeln!(
            f,
            "| planted bug | caught by | seeds | seconds | what was seen first |"
        )?;
        writeln!(f, "|---|---|---|---|---|")?;
        for catch in &self.catches {
            let (by, what) = match &catch.violation {
                Some(violation) => (violation.invariant, violation.what.as_str()),
                None => ("SURVIVED", ""),
            };
            writeln!(
                f,
                "| {} | {by} | {} | {:.2} | {what} |",
                catch.bug.name(),
                catch.seeds,
                catch.seconds
            )?;
        }
        let caught = self
            .catches
            .iter()
            .filter(|catch| catch.violation.is_some())
            .count();
        write!(
            f,
            "{caught} of {} planted bugs caught: {}",
            self.catches.len(),
            if self.passed() { "passed" } else { "FAILED" }
        )
    }
}

//! One fault at a time, at a random instant while the machine runs, and a demand behind it: is it seen, and is the machine
//! safe in time?

use std::fmt;

use crate::fault::Fault;
use crate::world::{Injection, run_injection};

/// The classes, in the order of the table. Those that need something of the scenario (a broker, a read-back, a feedback, a
/// watchdog's registers) are injected into scenarios that have it.
pub const CLASSES: &[Fault] = &[
    Fault::NoReply,
    Fault::LateReply,
    Fault::ForeignTransaction,
    Fault::WrongUnit,
    Fault::WrongFunction,
    Fault::ShortReply,
    Fault::LongReply,
    Fault::Exception,
    Fault::BadLength,
    Fault::TornFrame,
    Fault::Duplicate,
    Fault::Loris,
    Fault::Reset,
    Fault::Partition,
    Fault::Refusing,
    Fault::OutOfRange,
    Fault::NotFinite,
    Fault::Frozen,
    Fault::Retained,
    Fault::Redelivered,
    Fault::Malformed,
    Fault::SensorSilent,
    Fault::Corrupted,
    Fault::Repeatedly,
    Fault::Recorded,
    Fault::Overtaken,
    Fault::Lost,
    Fault::HeldUp,
    Fault::Inserted,
    Fault::Masquerade,
    Fault::Misaddressed,
    Fault::EchoLost,
    Fault::WriteLost,
    Fault::EchoWrong,
    Fault::EchoException,
    Fault::EchoLies,
    Fault::Welded,
    Fault::WatchdogLapsed,
    Fault::OtherMaster,
    Fault::DeviceRestart,
    Fault::Hang,
    Fault::Crash,
];

/// What came of one class.
#[derive(Clone, Debug)]
pub struct Row {
    /// The fault.
    pub fault: Fault,
    /// Injections made.
    pub injections: u64,
    /// Of these, how many were seen: an input unusable, an output latched, a connection given up, or the guard gone.
    pub detected: u64,
    /// Of these, after how many a demand brought every output of its rule to rest within deadline and watchdog time.
    pub safe: u64,
    /// Longest time from the fault until it was seen, in nanoseconds.
    pub worst_detection: u64,
    /// Longest time from the demand until the last coil had fallen, in nanoseconds.
    pub worst_stop: u64,
    /// Seeds of what was not detected, not safe, or broke an invariant.
    pub failures: Vec<(u64, String)>,
}

/// What came of all of them.
#[derive(Clone, Debug)]
pub struct Report(pub Vec<Row>);

/// Injects each class `injections` times.
pub fn all(injections: u64) -> Report {
    Report(
        CLASSES
            .iter()
            .map(|fault| class(*fault, injections))
            .collect(),
    )
}

fn class(fault: Fault, injections: u64) -> Row {
    let mut row = Row {
        fault,
        injections: 0,
        detected: 0,
        safe: 0,
        worst_detection: 0,
        worst_stop: 0,
        failures: Vec::new(),
    };
    let mut seed = 5_000_000;
    // Half the scenarios or more have what a class needs; a class without any would end here, and fail.
    while row.injections < injections && seed < 5_000_000 + injections * 60 {
        seed += 1;
        let Some(Injection {
            detected_after,
            stopped_after,
            allowed,
            violation,
        }) = run_injection(seed, fault)
        else {
            continue;
        };
        row.injections += 1;
        row.detected += u64::from(detected_after.is_some());
        let safe = stopped_after.is_some_and(|after| after <= allowed) && violation.is_none();
        row.safe += u64::from(safe);
        row.worst_detection = row.worst_detection.max(detected_after.unwrap_or(0));
        row.worst_stop = row.worst_stop.max(stopped_after.unwrap_or(0));
        if detected_after.is_none() || !safe {
            row.failures.push((seed, format!("seen after {detected_after:?}, stopped after {stopped_after:?} of {allowed}, {violation:?}")));
        }
    }
    row
}

impl Row {
    fn passed(&self, injections: u64) -> bool {
        self.injections == injections && self.failures.is_empty()
    }
}

impl Report {
    /// Whether every injection was detected and safe.
    pub fn passed(&self) -> bool {
        let most = self.0.iter().map(|row| row.injections).max().unwrap_or(0);
        most > 0 && self.0.iter().all(|row| row.passed(most))
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "| fault | injections | detected | safe in time | longest until detected | longest from demand to rest | miss rate below (95 %) |"
        )?;
        writeln!(f, "|---|---|---|---|---|---|---|")?;
        let ms = |ns: u64| ns as f64 / 1e6;
        for row in &self.0 {
            // Zero misses in n: at 95 % confidence the rate is below 3/n. With misses there is no such bound.
            let bound = if row.failures.is_empty() && row.injections > 0 {
                format!("{:.1} %", 300.0 / row.injections as f64)
            } else {
                "-".to_owned()
            };
            writeln!(
                f,
                "| {} | {} | {} | {} | {:.1} ms | {:.1} ms | {bound} |",
                row.fault.name(),
                row.injections,
                row.detected,
                row.safe,
                ms(row.worst_detection),
                ms(row.worst_stop)
            )?;
        }
        writeln!(
            f,
            "\n\"Another master\" comes after the stop, and counts as detected when the read-back saw it or the next refresh overruled it \
             before anybody looked."
        )?;
        for row in &self.0 {
            for (seed, what) in row.failures.iter().take(3) {
                writeln!(f, "FAILED: {}: seed {seed}: {what}", row.fault.name())?;
            }
        }
        write!(
            f,
            "{} classes: {}",
            self.0.len(),
            if self.passed() { "passed" } else { "FAILED" }
        )
    }
}

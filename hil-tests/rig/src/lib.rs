//! The stop-latency rig: a simulated Modbus/TCP device with the stopwatch in it, and interleaved rounds of whatever
//! is to be measured.
//!
//! One core belongs to the device, which spins on it; another belongs to the system under test, which runs there alone
//! in a process of its own. The rig shares no code with Tripline's drivers: it has its own Modbus and MQTT bytes.
//! What is measured, and what the figures do not say: `docs/benchmarks.md`.
//!
//! A program that measures more than the floor and the peers implements [`SystemUnderTest`] and hands its entries to
//! [`run`].
#![forbid(unsafe_code)]

mod broker;
mod control;
mod device;
mod gates;
mod host;
mod options;
mod plant;
mod process;
mod programs;
mod publisher;
mod report;
mod rounds;
mod segment;
mod stats;
mod system;
mod trial;
mod wire;

use std::process::ExitCode;

pub use options::Options;
pub use plant::{LIMIT, NORMAL, OVER, RUN_COIL, VALUE_REGISTER};
pub use process::PinnedChild;
pub use publisher::TOPIC;
pub use system::{Entry, Road, Role, Site, SystemError, SystemUnderTest};

/// The limits of the rig, each with its reason.
pub(crate) mod limits {
    use std::time::Duration;

    /// Connections the device serves at once. The widest system seen uses three; the rest is room for a reconnect.
    pub(crate) const CONNECTIONS: usize = 8;
    /// Passes of the spinning device between two looks at the listener: an `accept` costs as much as a `recv`, and no
    /// system connects while it is being measured.
    pub(crate) const PASSES_PER_ACCEPT: u32 = 256;
    /// A trial that takes longer is counted as missed. Far above every system worth measuring, short enough that
    /// twenty broken trials do not cost a coffee.
    pub(crate) const TRIAL_MAX: Duration = Duration::from_secs(5);
    /// A system that compiles, arms and reads back a thousand rules must fit.
    pub(crate) const START_MAX: Duration = Duration::from_secs(120);
    /// Trials in a row that may fail before the rest of the segment is given up: the system is broken, not late.
    pub(crate) const FAILURES_IN_A_ROW: u32 = 3;
    /// Quiet time before a flip: its spread is longer than any polling cycle here, so no poller's phase is hit.
    pub(crate) const QUIET_MIN: Duration = Duration::from_micros(500);
    /// The end of the spread of the quiet time.
    pub(crate) const QUIET_MAX: Duration = Duration::from_micros(2_500);
    /// Publishing period on the MQTT road.
    pub(crate) const PUBLISH_PERIOD: Duration = Duration::from_millis(1);
    /// Bytes of a program's error output that a report repeats.
    pub(crate) const LOG_TAIL_BYTES: u64 = 2_000;

    const _: () = assert!(QUIET_MIN.as_nanos() < QUIET_MAX.as_nanos());
    const _: () = assert!(QUIET_MAX.as_nanos() < TRIAL_MAX.as_nanos());
}

/// Runs the whole benchmark, or one of the programs it starts as children, as the command line says.
///
/// `more` gives the entries that this crate does not know (Tripline); it is called only when rounds are to be run.
/// The program that calls this is also the program that the children run (`sut ...`), so it must do nothing else first.
pub fn run(more: impl FnOnce(&Options) -> Vec<Entry>) -> ExitCode {
    match options::parse() {
        options::Command::Measure(options) => rounds::measure(&options, more(&options)),
        options::Command::Child(child) => programs::run_child(child),
    }
}

//! Faults put into a running guard, to see that it sees them. Only with the feature `inject`, which no build that is
//! shipped has: a guard that can be told to fail is no guard.
//!
//! The environment variable `TRIPLINE_INJECT` names a file; the word in it is carried out within a few milliseconds, by
//! every lane or by the one that is named behind it.
#![allow(
    clippy::panic,
    clippy::as_conversions,
    reason = "panicking is the fault; the discriminants are the words"
)]

use std::fs::File;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

/// What can go wrong on purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Order {
    Nothing = 0,
    /// The lane stops turning.
    Hang = 1,
    /// The lane's thread panics.
    Panic = 2,
    /// The lane leaves out the ingest stage.
    Skip = 3,
    /// The lane completes timer turns without time passing.
    RunAway = 4,
    /// The lane sleeps for a second, once, and goes on.
    Delay = 5,
    /// The sentinel stops looking.
    SentinelHang = 6,
    /// The lane sleeps for a fifth of a second, once: late, but within its watchdog's window.
    Late = 7,
    /// The lane starts a program, as what broke out of the sandbox might.
    Execute = 8,
    /// The lane opens a file.
    OpenFile = 9,
    /// A thread without a list of its own becomes another program.
    ExecuteElsewhere = 10,
    /// The main thread reads the file that is named behind the word, and says how that went.
    MainReads = 11,
}

const WORDS: [(&str, Order); 12] = [
    ("nothing", Order::Nothing),
    ("hang", Order::Hang),
    ("panic", Order::Panic),
    ("skip", Order::Skip),
    ("run_away", Order::RunAway),
    ("delay", Order::Delay),
    ("sentinel_hang", Order::SentinelHang),
    ("late", Order::Late),
    ("execute", Order::Execute),
    ("open_file", Order::OpenFile),
    ("execute_elsewhere", Order::ExecuteElsewhere),
    ("main_reads", Order::MainReads),
];

static ORDER: AtomicU8 = AtomicU8::new(0);
/// The only lane that carries it out; empty for every one.
static LANE: Mutex<String> = Mutex::new(String::new());

/// Watches the file, if one is named.
pub(crate) fn listen() {
    let Some(path) = std::env::var_os("TRIPLINE_INJECT") else {
        return;
    };
    say!(
        "tripline-guard: THIS BUILD CAN BE TOLD TO FAIL (feature inject); never protect a machine with it"
    );
    let _ = std::thread::Builder::new()
        .name("inject".into())
        .spawn(move || {
            let mut known = String::new();
            loop {
                let word = std::fs::read_to_string(&path).unwrap_or_default();
                if word != known {
                    let mut words = word.split_whitespace();
                    let first = words.next().unwrap_or_default();
                    let order = WORDS.iter().find(|(name, _)| *name == first);
                    if let Some((_, order)) = order {
                        if let Ok(mut lane) = LANE.lock() {
                            *lane = words.next().unwrap_or_default().to_owned();
                        }
                        ORDER.store(*order as u8, Ordering::Release);
                    }
                    known = word;
                }
                if is(Order::ExecuteElsewhere) {
                    let error = Command::new("/bin/true").exec();
                    say!("tripline-guard: inject: execute_elsewhere: {error}");
                }
                std::thread::sleep(Duration::from_millis(5));
            }
        });
}

fn is(order: Order) -> bool {
    ORDER.load(Ordering::Acquire) == order as u8 && is_meant()
}

fn is_meant() -> bool {
    let thread = std::thread::current();
    let own = thread.name().and_then(|name| name.strip_prefix("lane-"));
    LANE.lock()
        .is_ok_and(|lane| lane.is_empty() || own.is_none_or(|own| own == *lane))
}

/// At the begin of a lane's turn.
pub(crate) fn turn() {
    while is(Order::Hang) {
        std::thread::sleep(Duration::from_millis(5));
    }
    if is(Order::Panic) {
        panic!("injected");
    }
    if is(Order::Execute) {
        let done = Command::new("/bin/true").status();
        say!("tripline-guard: inject: execute: {done:?}");
    }
    if is(Order::OpenFile) {
        let done = File::open("/etc/passwd");
        say!("tripline-guard: inject: open_file: {done:?}");
    }
    sleep_once(Order::Delay, Duration::from_secs(1));
    sleep_once(Order::Late, Duration::from_millis(200));
}

/// At the begin of the main thread's turn.
pub(crate) fn main_turn() {
    if is(Order::MainReads) {
        ORDER.store(Order::Nothing as u8, Ordering::Release);
        let path = LANE.lock().map(|word| word.clone()).unwrap_or_default();
        let done = std::fs::read(&path).map(|bytes| bytes.len());
        say!("tripline-guard: inject: main_reads {path}: {done:?}");
    }
}

fn sleep_once(order: Order, time: Duration) {
    if is(order) {
        std::thread::sleep(time);
        let nothing = Order::Nothing as u8;
        let _ = ORDER.compare_exchange(order as u8, nothing, Ordering::AcqRel, Ordering::Acquire);
    }
}

/// Whether the lane leaves a stage out.
pub(crate) fn skips() -> bool {
    is(Order::Skip)
}

/// Whether the lane runs away.
pub(crate) fn runs_away() -> bool {
    is(Order::RunAway)
}

/// In the sentinel's loop.
pub(crate) fn sentinel() {
    while is(Order::SentinelHang) {
        std::thread::sleep(Duration::from_millis(5));
    }
}

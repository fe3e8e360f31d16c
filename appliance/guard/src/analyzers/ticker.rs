//! The epoch: what ends a call that overruns its deadline, whatever fuel it has left (H-35, H-36).
//!
//! Which thread: its own, one a guard, with one more priority than the lanes and off their cores. May it block: it sleeps.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use appliance_sandbox::Ticker;

use super::seats::now;
use crate::confine::{self, Calls};
use crate::placement::ThreadSettings;

/// Starts it. Returns what was not granted.
///
/// # Errors
/// No thread.
pub(crate) fn start(
    ticker: Ticker,
    settings: ThreadSettings,
    stop: Arc<AtomicBool>,
) -> std::io::Result<Vec<String>> {
    let (report, placed) = std::sync::mpsc::channel();
    std::thread::Builder::new()
        .name("epoch".to_owned())
        .stack_size(128 * 1024)
        .spawn(move || {
            let (_, mut problems) = settings.apply();
            problems.extend(confine::thread(Calls::Analyzers));
            let _ = report.send(problems);
            run(&ticker, &stop);
        })?;
    Ok(placed.recv().unwrap_or_default())
}

fn run(ticker: &Ticker, stop: &AtomicBool) {
    let mut next = now();
    while !stop.load(Ordering::Acquire) {
        next = Ticker::next(next, now());
        std::thread::sleep(Duration::from_nanos(next.since(now()).as_ns()));
        ticker.tick();
    }
}

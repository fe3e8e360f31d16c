//! Being asked to stop.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use signal_hook::consts::{SIGINT, SIGTERM};

/// Set by Ctrl-C and SIGTERM. SIGHUP keeps its default on purpose: a terminal that goes away ends the desk, and the guard
/// goes on protecting.
#[derive(Clone, Debug, Default)]
pub struct StopSignal(Arc<AtomicBool>);

impl StopSignal {
    /// Takes over SIGINT and SIGTERM of this process.
    ///
    /// # Errors
    /// What the operating system said.
    pub fn register() -> io::Result<Self> {
        let flag = Arc::new(AtomicBool::new(false));
        signal_hook::flag::register(SIGINT, Arc::clone(&flag))?;
        signal_hook::flag::register(SIGTERM, Arc::clone(&flag))?;
        Ok(Self(flag))
    }

    /// Whether to stop.
    #[must_use]
    pub fn is_set(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }

    /// Stops as a signal would.
    pub fn set(&self) {
        self.0.store(true, Ordering::Release);
    }
}

//! Where a thread runs and how it is scheduled: what was asked for, what was granted.

use rt_config::{cpu, host};

use crate::report::Placement;

/// How a thread is placed.
#[derive(Clone)]
pub(crate) struct ThreadSettings {
    pub(crate) name: String,
    pub(crate) core: Option<usize>,
    pub(crate) priority: u8,
    pub(crate) isolated: bool,
    pub(crate) spin: bool,
}

impl ThreadSettings {
    /// Applies them to the calling thread; says what was granted and what was not.
    pub(crate) fn apply(&self) -> (Placement, Vec<String>) {
        let mut problems = Vec::new();
        let mut core = self.core;
        if let Some(wanted) = self.core
            && let Err(error) = cpu::pin_to(wanted)
        {
            problems.push(format!(
                "{}: not pinned to core {wanted} ({error})",
                self.name
            ));
            core = None;
        }
        if let Err(error) = host::set_timer_slack() {
            problems.push(format!("{}: timer slack not set ({error})", self.name));
        }
        let scheduling = if self.priority == 0 {
            "ordinary".to_owned()
        } else if self.spin && !self.isolated {
            // A spinning FIFO thread is throttled for 50 ms each second and starves whatever shares its core.
            problems.push(format!(
                "{}: spins on a core that is not isolated, so it keeps the ordinary scheduler. Isolate the core (isolcpus=) or use `wait: park`",
                self.name
            ));
            let _ = host::set_ordinary();
            "ordinary".to_owned()
        } else {
            match host::set_fifo(self.priority) {
                Ok(()) => format!("fifo {}", self.priority),
                Err(error) => {
                    problems.push(format!(
                        "{}: no real-time priority ({error}): other programs may delay a stop. Grant CAP_SYS_NICE",
                        self.name
                    ));
                    let _ = host::set_ordinary();
                    "ordinary".to_owned()
                }
            }
        };
        let wait = if self.spin { "spin" } else { "park" };
        (
            Placement {
                core,
                scheduling,
                wait,
            },
            problems,
        )
    }
}

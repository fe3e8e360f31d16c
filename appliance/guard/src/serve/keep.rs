//! Keeps what must outlive the guard up to date, and tells what outlived the run before.

use appliance_control::{EventBody, LaneStatus};
use appliance_lane::{EventKind, Hold, LatchCause};
use rt_config::clock::{monotonic_ns, wall_ns};
use rules_bundle::LanePlan;

use super::Guard;
use crate::kept::{Before, Kept, KeptLatch, Writer};
use crate::report;

/// What is kept, and what was before.
pub(crate) struct Keeper {
    kept: Kept,
    /// Latches of the run before whose outputs were not released since.
    before: Vec<KeptLatch>,
    /// The run before is not known: its file was damaged.
    unknown: bool,
    writer: Writer,
    dirty: bool,
    news: Vec<(&'static str, bool, String)>,
}

impl Keeper {
    /// From what was found at start.
    pub(crate) fn new(kept: Kept, before: Before, damaged: Option<String>, writer: Writer) -> Self {
        let mut news = Vec::new();
        let unknown = damaged.is_some();
        news.extend(damaged.map(|problem| ("state", false, problem)));
        if before == Before::Unclean && !unknown {
            let words = "the run before did not end in order";
            news.push(("state", false, words.to_owned()));
        }
        if kept.crash_loop {
            let words = "the guard ended without order too often in a short time: every output is held until a person has looked and lifts the hold `crash loop`";
            news.push(("crash_loop", true, words.to_owned()));
        }
        Self {
            before: kept.latches.clone(),
            kept,
            unknown,
            writer,
            dirty: false,
            news,
        }
    }

    /// Tells this once clients can be told.
    pub(crate) fn tell(&mut self, check: &'static str, stopped: bool, detail: String) {
        self.news.push((check, stopped, detail));
    }

    /// Takes what a lane told.
    pub(super) fn take(&mut self, plan: &LanePlan, wall_ns: u64, kind: &EventKind) {
        match *kind {
            // Every start and every end latches: neither is a cause.
            EventKind::Latched {
                cause: LatchCause::Boot | LatchCause::Shutdown,
                ..
            } => {}
            EventKind::Latched { output, cause } => self.latched(KeptLatch {
                lane: plan.name.clone(),
                output: report::output_name(plan, output),
                cause: cause.as_str().to_owned(),
                rule: report::latching_rule(plan, cause),
                wall_ns,
            }),
            EventKind::Released { output } => {
                let output = report::output_name(plan, output);
                self.before
                    .retain(|latch| latch.lane != plan.name || latch.output != output);
                self.unknown = false;
                self.kept.released(&plan.name, &output);
                self.dirty = true;
            }
            EventKind::Lifted(Hold::CrashLoop) => {
                self.kept.lifted();
                self.dirty = true;
            }
            _ => {}
        }
    }

    /// The sentinel stopped an output for its lane.
    pub(super) fn latched(&mut self, latch: KeptLatch) {
        self.kept.latched(latch);
        self.dirty = true;
    }

    /// Why a group was latched before the restart.
    fn before(&self, lane: &str, outputs: &[String]) -> Option<String> {
        let mut latches = self.before.iter();
        let latch = latches.find(|latch| latch.lane == lane && outputs.contains(&latch.output));
        let unknown = || {
            self.unknown
                .then(|| "not known, what was kept of it is damaged".to_owned())
        };
        latch.map(KeptLatch::words).or_else(unknown)
    }

    /// The end, in order.
    pub(super) fn finish(mut self) {
        self.kept.end();
        self.writer.finish(self.kept.to_bytes());
    }
}

impl Guard {
    /// Has written what changed, and tells what became of it.
    pub(super) fn keep(&mut self) {
        let keeper = &mut self.keeper;
        if std::mem::take(&mut keeper.dirty) {
            keeper.writer.write(keeper.kept.to_bytes());
        }
        let change = keeper.writer.take_change();
        for (check, stopped, detail) in std::mem::take(&mut keeper.news) {
            self.tell_state(check, stopped, detail);
        }
        const LACK: &str = "latches may not survive a restart";
        match change {
            Some(Some(cause)) => {
                let lack = format!("{LACK}: {cause}. Mend the disk; the guard goes on protecting");
                say!("tripline-guard: degraded: {lack}");
                self.parts.degraded.push(lack.clone());
                self.tell_state("state", false, lack);
            }
            Some(None) => {
                self.parts.degraded.retain(|lack| !lack.starts_with(LACK));
                self.tell_state("state", false, "latches are kept again".to_owned());
            }
            None => {}
        }
    }

    /// Adds what is known of the run before.
    pub(super) fn add_before(&self, status: &mut LaneStatus) {
        for group in &mut status.groups {
            if group.first_out.as_deref() == Some(LatchCause::Boot.as_str())
                || group.first_out.as_deref() == Some(Hold::CrashLoop.as_str())
            {
                group.before_restart = self.keeper.before(&status.name, &group.outputs);
            }
        }
    }

    fn tell_state(&mut self, check: &str, stopped: bool, detail: String) {
        let body = EventBody::SelfCheck {
            check: check.to_owned(),
            stopped,
            detail,
        };
        self.log.push(monotonic_ns(), wall_ns(), "all", body);
    }
}

//! The end: every output stopped and proved, whoever has to do it.

use std::os::fd::AsFd;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::{Guard, LaneHandle};
use crate::exit::Exit;
use crate::lane_thread::{LaneEnd, notify};
use crate::message::Command;

/// How long the sentinel may take to prove the outputs of a lane that cannot.
const SENTINEL_PATIENCE: Duration = Duration::from_secs(2);

impl Guard {
    /// Stops every output, waits for the confirmations, ends.
    pub(super) fn go_down(mut self) -> Exit {
        self.stopping = true;
        self.parts.outside.stopping();
        let (exit, proved) = self.stop_lanes();
        self.take_reports();
        self.look_after();
        self.keep();
        self.publish();
        self.keeper.finish();
        self.parts.sentinel.stop();
        // A lane that the watchdog stopped counts as safe when the sentinel proved it.
        self.parts.outside.close(proved);
        exit
    }

    /// The exit code, and whether every output was proved safe.
    fn stop_lanes(&mut self) -> (Exit, bool) {
        self.parts.stop.store(true, Ordering::Release);
        for lane in &mut self.parts.lanes {
            let _ = lane.commands.push(Command::ShutDown);
            notify(lane.wake.as_fd());
        }
        let (mut exit, mut proved) = (Exit::Safe, true);
        for (plan, lane) in self.plan.lanes.iter().zip(&mut self.parts.lanes) {
            let end = end_of(lane);
            for feed in lane.feeds.drain(..) {
                let _ = feed.join();
            }
            let unconfirmed = match end {
                Some(end) => end == LaneEnd::Unconfirmed,
                None => !proved_by_sentinel(lane),
            };
            proved &= !unconfirmed;
            if unconfirmed {
                say!(
                    "tripline-guard: lane {}: at least one stop was not confirmed; its device's watchdog decides",
                    plan.name
                );
            }
            exit = match (lane.orders.fault(), unconfirmed) {
                (Some(_), _) => Exit::LaneDied,
                (None, true) if exit == Exit::Safe => Exit::Unconfirmed,
                (None, _) => exit,
            };
        }
        (exit, proved)
    }
}

/// Waits for a lane's end. `None` for one that died or hangs: its thread is left behind, the process ends it.
fn end_of(lane: &mut LaneHandle) -> Option<LaneEnd> {
    let thread = lane.thread.take()?;
    while !thread.is_finished() {
        // A lane that ended in order is silent too, and only takes its time to give its memory back.
        if lane.orders.fault().is_some() && lane.orders.is_silent() {
            return None;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    thread.join().ok().flatten()
}

fn proved_by_sentinel(lane: &LaneHandle) -> bool {
    let until = Instant::now().checked_add(SENTINEL_PATIENCE);
    while !lane.orders.all_proved() {
        if until.is_none_or(|until| Instant::now() >= until) {
            return false;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    true
}

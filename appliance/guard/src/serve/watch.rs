//! What the sentinel found, and whether the sentinel itself still watches.
//!
//! The sentinel stops machines; this tells people, refuses a reset, and keeps everything else going: the other lanes, the
//! control socket, the dead lane's status.

use appliance_control::{EventBody, LaneStatus, SentinelStatus};
use drivers_frame::{DurNs, MonoNs};
use rt_config::clock::{monotonic_ns, wall_ns};
use rt_config::limits::SENTINEL_LOST_MS;

use super::{Guard, note};
use crate::kept::KeptLatch;
use crate::message::Command;
use crate::window::Fault;

/// What to do about a lane that the watchdog stopped.
const HELP: &str =
    "look at the machine and at the event's cause, then restart the guard: no reset lifts this";

/// Whether the sentinel beats.
pub(super) struct BeatWatch {
    beats: u64,
    since: MonoNs,
    lost: bool,
}

impl BeatWatch {
    pub(super) fn new(now: MonoNs) -> Self {
        Self {
            beats: 0,
            since: now,
            lost: false,
        }
    }

    /// Takes a look; `true` when the sentinel is lost since now. For good, as every fault of the watchdog.
    pub(super) fn look(&mut self, beats: u64, now: MonoNs) -> bool {
        if beats != self.beats {
            self.beats = beats;
            self.since = now;
        }
        let lost = now.since(self.since) > DurNs::from_ms(SENTINEL_LOST_MS);
        let newly = lost && !self.lost;
        self.lost |= lost;
        newly
    }

    pub(super) fn is_lost(&self) -> bool {
        self.lost
    }
}

impl Guard {
    /// Looks at the sentinel's findings and at its beat.
    pub(super) fn look_after(&mut self) {
        let now = MonoNs::from_ns(monotonic_ns());
        for (plan, lane) in self.plan.lanes.iter().zip(&mut self.parts.lanes) {
            let Some(fault) = lane.orders.fault() else {
                continue;
            };
            if lane.told != Some(fault) {
                lane.told = Some(fault);
                let detail = format!(
                    "lane {}: {}; the sentinel stops its outputs",
                    plan.name,
                    fault.as_str()
                );
                say!("tripline-guard: watchdog: {detail}");
                note(&mut self.log, plan, now, watchdog(detail));
                for output in &plan.outputs {
                    self.keeper.latched(KeptLatch {
                        lane: plan.name.clone(),
                        output: output.name.clone(),
                        cause: format!("watchdog: {}", fault.as_str()),
                        rule: None,
                        wall_ns: wall_ns(),
                    });
                }
            }
            if !lane.told_proved && lane.orders.all_proved() {
                lane.told_proved = true;
                let detail = format!(
                    "lane {}: the sentinel's stop is confirmed by every output",
                    plan.name
                );
                say!("tripline-guard: watchdog: {detail}");
                note(&mut self.log, plan, now, watchdog(detail));
            }
        }
        if self.beats.look(self.parts.sentinel.beats(), now) {
            let detail =
                "the sentinel does not watch any more; every output is stopped. Restart the guard";
            say!("tripline-guard: degraded: {detail}");
            self.parts.degraded.push(detail.to_owned());
            for (plan, lane) in self.plan.lanes.iter().zip(&mut self.parts.lanes) {
                note(&mut self.log, plan, now, watchdog(detail.to_owned()));
                // A queue that is full of commands belongs to a lane that does not turn: nobody is left to tell.
                let _ = lane.commands.push(Command::Trip);
                crate::lane_thread::notify(std::os::fd::AsFd::as_fd(&*lane.wake));
            }
        }
    }

    /// Feeds whoever watches from outside, if there is nothing to find.
    pub(super) fn feed_outside(&mut self) {
        let standing = self.watchdog_refusal();
        let line = match &standing {
            Some((cause, _)) => cause.clone(),
            None => format!(
                "{} {}: {} lanes watch",
                self.plan.name,
                self.plan.version,
                self.plan.lanes.len()
            ),
        };
        self.parts.outside.status(&line);
        if standing.is_some() {
            return;
        }
        let lanes = self.parts.lanes.iter();
        let feeds: Vec<u64> = lanes.map(|lane| lane.pulse.feeds()).collect();
        let beats = self.parts.sentinel.beats();
        let now = MonoNs::from_ns(monotonic_ns());
        if let Some(problem) = self.parts.outside.feed(&feeds, beats, now) {
            say!("tripline-guard: degraded: {problem}");
            self.log.push(
                now.as_ns(),
                wall_ns(),
                "all",
                EventBody::SelfCheck {
                    check: "host".to_owned(),
                    stopped: false,
                    detail: problem.clone(),
                },
            );
            self.parts.degraded.push(problem);
        }
    }

    /// The sentinel's part of the status.
    pub(super) fn sentinel_status(&self) -> SentinelStatus {
        let faults: Vec<String> = self
            .faults()
            .map(|(lane, fault)| format!("lane {lane}: {}", fault.as_str()))
            .collect();
        let state = if self.beats.is_lost() {
            "lost"
        } else if faults.is_empty() {
            "watching"
        } else {
            "stopped outputs"
        };
        let detail = if faults.is_empty() {
            self.parts.sentinel.placement().to_owned()
        } else {
            faults.join("; ")
        };
        SentinelStatus {
            state: state.to_owned(),
            detail: Some(detail),
            watched_by: self.parts.outside.watched_by(),
        }
    }

    /// What stands against a reset that no lane knows of: cause and help.
    pub(super) fn watchdog_refusal(&self) -> Option<(String, &'static str)> {
        if self.beats.is_lost() {
            return Some(("the sentinel does not watch any more".to_owned(), HELP));
        }
        self.faults()
            .next()
            .map(|(lane, fault)| (format!("lane {lane}: watchdog: {}", fault.as_str()), HELP))
    }

    /// What is missing: of the host, and of the sentinel's own connections where the lane has its.
    pub(super) fn lacks(&self, lanes: &[LaneStatus]) -> Vec<String> {
        let mut lacks = self.parts.degraded.clone();
        for (status, lane) in lanes.iter().zip(&self.parts.lanes) {
            for (index, output) in status.outputs.iter().enumerate() {
                let (connected, _) = lane.orders.output(index);
                if output.connected && !connected {
                    lacks.push(format!(
                        "the sentinel has no connection of its own to output {}: does its device allow a second one?",
                        output.name
                    ));
                }
            }
            for analyzer in &status.analyzers {
                if analyzer.replay.as_deref() == Some("differs") {
                    lacks.push(format!(
                        "analyzer {} answers otherwise than a clean instance of it",
                        analyzer.name
                    ));
                }
            }
        }
        lacks
    }

    /// Lanes that the sentinel stopped.
    pub(super) fn faults(&self) -> impl Iterator<Item = (&str, Fault)> {
        self.plan
            .lanes
            .iter()
            .zip(&self.parts.lanes)
            .filter_map(|(plan, lane)| Some((plan.name.as_str(), lane.orders.fault()?)))
    }
}

fn watchdog(detail: String) -> EventBody {
    EventBody::SelfCheck {
        check: "watchdog".to_owned(),
        stopped: true,
        detail,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sentinel_that_stops_beating_is_lost_once_and_for_good() {
        let ms = |ms: u64| MonoNs::from_ns(ms * 1_000_000);
        let mut watch = BeatWatch::new(ms(0));
        for beat in 1..100 {
            assert!(!watch.look(beat, ms(beat * 500)));
        }
        let last = 99 * 500;
        assert!(!watch.look(99, ms(last + SENTINEL_LOST_MS)));
        assert!(watch.look(99, ms(last + SENTINEL_LOST_MS + 1)), "H-31");
        assert!(
            !watch.look(99, ms(last + SENTINEL_LOST_MS + 2)),
            "told once"
        );
        assert!(!watch.look(100, ms(last + 5_000)));
        assert!(watch.is_lost(), "for good");
    }
}

//! The guard's threads: when they turn, and what the judge is shown of a turn.

use std::cmp::Reverse;

use drivers_frame::MonoNs;

use super::{Ev, World};
use crate::guard::{Act, Guard};
use crate::scenario::{HostKind, Kind, MS, TURN_MAX};
use crate::{buggify, sometimes};

/// What a turn of the lane's loop takes.
const STEP: u64 = 3_000;

impl World {
    pub(super) fn schedule_turn(&mut self, at: u64) {
        let at = at.max(self.now).max(self.held_until);
        self.turn += 1;
        self.turn_at = at;
        let number = self.turn;
        self.order += 1;
        self.queue.push(Reverse((at, self.order, Ev::Turn(number))));
    }

    pub(super) fn schedule_acquisition(&mut self, at: u64) {
        if !self.scenario.threaded {
            return;
        }
        let at = at.max(self.now);
        self.acquire_turn += 1;
        self.acquire_at = at;
        let number = self.acquire_turn;
        self.order += 1;
        self.queue
            .push(Reverse((at, self.order, Ev::Acquire(number))));
    }

    /// How late a thread wakes: its scheduler's doing.
    pub(super) fn lateness(&mut self) -> u64 {
        if buggify!(self, "a thread wakes late", 10) {
            self.rng.between(MS / 2, TURN_MAX / 2)
        } else {
            self.rng.between(2_000, 60_000)
        }
    }

    pub(super) fn wake(&mut self) {
        if self.guard.is_none() {
            return;
        }
        let at = self.now + self.lateness();
        if at < self.turn_at {
            self.schedule_turn(at);
        }
        let at = self.now + self.lateness();
        if at < self.acquire_at {
            self.schedule_acquisition(at);
        }
    }

    pub(super) fn turn_acquisition(&mut self) {
        self.acquire_at = u64::MAX;
        let Some(mut guard) = self.guard.take() else {
            return;
        };
        for _ in 0..256 {
            let progress = guard.acquire();
            self.look(&mut guard);
            if !progress {
                break;
            }
        }
        let due = guard.acquire_due();
        let queued = guard.queued();
        self.guard = Some(guard);
        if queued {
            let at = self.now + self.lateness();
            if at < self.turn_at {
                self.schedule_turn(at);
            }
        }
        if due != MonoNs::NEVER {
            let late = self.lateness();
            self.schedule_acquisition(due.as_ns().max(self.now) + late);
        }
    }

    pub(super) fn turn_guard(&mut self) {
        self.turn_at = u64::MAX;
        let Some(mut guard) = self.guard.take() else {
            return;
        };
        let threaded = self.scenario.threaded;
        self.turn_wall(&guard);
        for _ in 0..256 {
            let progress = !threaded && guard.acquire();
            self.look(&mut guard);
            let taken = guard.ingest();
            let from = guard.events.len();
            let mut commanded = false;
            while let Some(act) = guard.obey() {
                commanded = true;
                self.acted(&guard, &act);
            }
            if let Some(act) = guard.tick(taken || commanded) {
                self.acted(&guard, &act);
            }
            self.oracle.events(&guard, from, self.now);
            self.judge_confirmed(&guard, from);
            guard.drive();
            self.look(&mut guard);
            for index in 0..guard.outputs.len() {
                guard.confirm(index);
                self.look(&mut guard);
            }
            for event in &guard.events {
                self.digest.bytes(format!("{event:?}").as_bytes());
            }
            guard.events.clear();
            self.now += STEP;
            self.net.borrow_mut().now = self.now;
            if !progress && guard.due(threaded).as_ns() > self.now {
                break;
            }
        }
        self.oracle
            .turned(&self.scenario, &guard, self.now, &mut self.coverage);
        self.count_shown(&guard);
        self.hand_over(&mut guard);
        self.judge_poison(&guard);
        self.judge_escalation(&guard);
        self.judge_dark(&guard);
        if self
            .scenario
            .tags
            .iter()
            .any(|tag| tag.kind == Kind::Switch)
        {
            self.reconsider();
        }
        let due = guard.due(threaded);
        self.guard = Some(guard);
        let late = self.lateness();
        self.schedule_turn(due.as_ns().max(self.now) + late);
    }

    /// Where the wall clock is. Nothing that is simulated is told: only a bug that is planted asks for it.
    fn turn_wall(&mut self, guard: &Guard) {
        let ahead = self.wall.ahead(self.now);
        #[cfg(feature = "planted")]
        drivers_frame::planted::set_wall_ahead(ahead);
        let (before, then) = std::mem::replace(&mut self.wall_before, (ahead, self.now));
        let passed = (self.now - then) as i64;
        let back = then > 0 && ahead + passed < before;
        sometimes!(
            self.coverage,
            "the wall clock went back between two turns",
            back
        );
        let bypassed = guard.lane.bypasses().next().is_some();
        sometimes!(
            self.coverage,
            "the wall clock jumped during a bypass",
            bypassed && then > 0 && ahead != before
        );
    }

    fn count_shown(&mut self, guard: &Guard) {
        const NAMES: [&str; 8] = [
            "envelope: corruption",
            "envelope: repetition",
            "envelope: wrong sequence",
            "envelope: loss",
            "envelope: delay",
            "envelope: insertion",
            "envelope: masquerade",
            "envelope: addressing",
        ];
        let shown = guard.shown();
        let before = std::mem::replace(&mut self.shown, shown);
        for ((name, now), before) in NAMES.into_iter().zip(shown).zip(before) {
            if now > before {
                self.coverage.count(name);
            }
        }
    }

    fn acted(&mut self, guard: &Guard, act: &Act) {
        self.digest.bytes(format!("{act:?}").as_bytes());
        if matches!(act, Act::Reset { released: true, .. }) {
            self.judge_release();
        }
        self.oracle
            .acted(&self.scenario, guard, act, self.now, &mut self.coverage);
    }

    /// Shows the judge what was handed over, sent and taken.
    pub(super) fn look(&mut self, guard: &mut Guard) {
        for answered in std::mem::take(&mut guard.answered) {
            self.oracle
                .answered(&self.scenario, &answered, self.now, &mut self.coverage);
        }
        for frame in std::mem::take(&mut guard.pushed) {
            for sample in &frame.samples {
                self.digest.add(sample.value.to_bits());
            }
            self.oracle
                .pushed(&self.scenario, &frame, self.now, &mut self.coverage);
        }
        let (sent, taken) = {
            let mut net = self.net.borrow_mut();
            (
                std::mem::take(&mut net.sent),
                std::mem::take(&mut net.taken),
            )
        };
        // No answer is as fast as the step that asked: what was taken came before what was sent.
        for (conn, bytes) in taken {
            let host = self.net.borrow().conns[conn].host;
            match self.scenario.hosts[host] {
                HostKind::Outputs => self.oracle.echoed(&self.scenario, conn, &bytes),
                HostKind::Broker(_) => self.mail_taken(conn, bytes.len()),
                HostKind::Input(_) => {}
            }
        }
        for (conn, bytes) in sent {
            self.digest.bytes(&bytes);
            let host = self.net.borrow().conns[conn].host;
            match self.scenario.hosts[host] {
                HostKind::Input(_) => self.oracle.asked(host, self.now),
                HostKind::Broker(_) => {}
                HostKind::Outputs => {
                    let address = u16::from_be_bytes([bytes[8], bytes[9]]);
                    let coil = bytes[7] == 5;
                    if let Some(output) = self.output_at(host, address).filter(|_| coil) {
                        if bytes[10] == 0xFF {
                            self.judge_watchdog(output);
                        }
                        self.oracle
                            .sent(&self.scenario, guard, output, conn, &bytes, self.now);
                    }
                }
            }
        }
    }

    fn output_at(&self, host: usize, address: u16) -> Option<usize> {
        let here =
            |output: &crate::scenario::Output| output.host == host && output.address == address;
        self.scenario.outputs.iter().position(here)
    }
}

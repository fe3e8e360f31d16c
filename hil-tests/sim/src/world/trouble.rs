//! Faults by chance, and what each of them does to the world.

use super::{Ev, World};
use crate::fault::Fault;
use crate::plant::{Place, Wrong};
use crate::scenario::{HostKind, MS, TURN_MAX, WAY_MAX};
use crate::sometimes;

impl World {
    pub(super) fn trouble(&mut self) {
        if self.healing || !self.options.troubled {
            return;
        }
        let pause = self.rng.between(100, 1_500) * MS;
        self.at(pause, Ev::Trouble);
        match self.rng.between(0, 19) {
            0 => self.hang(),
            1 => self.crash(),
            _ => {
                let host = self.rng.below(self.hosts.len());
                let faults = match self.scenario.hosts[host] {
                    HostKind::Input(_) => Fault::INPUT,
                    HostKind::Outputs => Fault::OUTPUT,
                    HostKind::Broker(_) => Fault::BROKER,
                };
                let fault = *self.rng.pick(faults);
                let lasting = if self.rng.chance(500) {
                    self.rng.between(5, 120)
                } else {
                    self.rng.between(100, 1_500)
                };
                let lasting = if fault == Fault::OtherMaster {
                    0
                } else {
                    lasting * MS
                };
                self.inflict(host, fault, lasting);
            }
        }
    }

    pub(super) fn inflict(&mut self, host: usize, fault: Fault, lasting: u64) {
        self.digest.bytes(fault.name().as_bytes());
        self.coverage.count(fault.name());
        let until = self.now + lasting + WAY_MAX;
        self.troubled_until[host] = self.troubled_until[host].max(until);
        self.oracle.troubled(host, until);
        match fault {
            Fault::Partition => {
                self.net.borrow_mut().partition(host, true);
                self.at(lasting, Ev::Mend(host));
            }
            Fault::Refusing => {
                let mut net = self.net.borrow_mut();
                net.refuse(host, true);
                for conn in net.up(host) {
                    net.end(conn, true);
                }
                drop(net);
                self.at(lasting, Ev::Mend(host));
            }
            Fault::Reset if matches!(self.scenario.hosts[host], HostKind::Broker(_)) => {
                let mut net = self.net.borrow_mut();
                for conn in net.up(host) {
                    net.end(conn, true);
                }
            }
            Fault::SourceAnew => {
                let tags = &self.scenario;
                self.mail.begin_anew(tags);
            }
            Fault::OtherMaster => self.other_master(host),
            Fault::WatchdogLapsed => {
                self.hosts[host].registers.clear();
                self.look_at_watchdogs(host);
            }
            Fault::Welded => {
                for output in 0..self.places.len() {
                    let here = self.scenario.outputs[output].host == host;
                    if here
                        && self.scenario.outputs[output].feedback.is_some()
                        && self.places[output].energised(self.now)
                    {
                        self.welded[output] = (self.now, self.now + lasting + 1_000 * MS);
                    }
                }
            }
            // Without reading back nobody can tell.
            Fault::EchoLies if !self.reads_back(host) => {}
            Fault::DeviceRestart => {
                for output in 0..self.places.len() {
                    if self.scenario.outputs[output].host == host {
                        self.places[output] = Place::default();
                    }
                }
                self.hosts[host].registers.clear();
                self.look_at_watchdogs(host);
                let mut net = self.net.borrow_mut();
                for conn in net.up(host) {
                    net.end(conn, true);
                }
            }
            _ => {
                self.hosts[host].wrong = Some(Wrong {
                    fault,
                    until: self.now + lasting,
                });
            }
        }
    }

    pub(super) fn reads_back(&self, host: usize) -> bool {
        let mut here = self
            .scenario
            .outputs
            .iter()
            .filter(|output| output.host == host);
        here.all(|output| output.read_back.is_some())
    }

    fn other_master(&mut self, host: usize) {
        let own: Vec<usize> = (0..self.places.len())
            .filter(|output| self.scenario.outputs[*output].host == host)
            .collect();
        let output = *self.rng.pick(&own);
        let plan = &self.scenario.outputs[output];
        self.mastered[output] = self.now;
        // It keeps the device's watchdog content by itself.
        self.places[output].write(true, self.now, 60_000 * MS);
        let patience = plan.refresh + plan.confirm_within + 2 * WAY_MAX + 4 * TURN_MAX;
        // Longer only while the guard, or the way to the device, is not there: the rows of those faults apply then.
        self.excused[output] = u64::MAX;
        let wrote = self.now;
        self.at(
            patience + WAY_MAX,
            Ev::JudgeMaster {
                output,
                wrote: wrote + WAY_MAX + 1,
            },
        );
    }

    fn hang(&mut self) {
        if self.guard.is_none() || self.now < self.held_until + 8_000 * MS {
            return;
        }
        let lasting = self.rng.between(20, 1_200) * MS;
        self.coverage.count(Fault::Hang.name());
        let began = self.now;
        self.held_until = self.now + lasting;
        self.oracle.held_up(self.now, self.held_until);
        self.schedule_turn(self.held_until);
        let patience = self.scenario.watchdog_max() + 2 * WAY_MAX + MS;
        if lasting > patience {
            sometimes!(self.coverage, "a hang longer than every watchdog", true);
            self.at(patience, Ev::JudgeGone { began });
        }
    }

    pub(super) fn crash(&mut self) {
        if self.guard.take().is_none() {
            return;
        }
        self.coverage.count(Fault::Crash.name());
        self.net.borrow_mut().orphan_all();
        self.gone_since = Some(self.now);
        self.turn_at = u64::MAX;
        self.turn += 1;
        self.acquire_at = u64::MAX;
        self.acquire_turn += 1;
        let began = self.now;
        let patience = self.scenario.watchdog_max() + 2 * WAY_MAX + MS;
        self.at(patience, Ev::JudgeGone { began });
        let away = self.rng.between(50, 2_000) * MS;
        self.at(away, Ev::Restart);
    }
}

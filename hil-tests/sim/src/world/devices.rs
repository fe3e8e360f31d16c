//! What the devices, the sensors and the plant do.

use super::{Ev, World};
use crate::fault::Fault;
use crate::plant::{self, Sensors};
use crate::reading;
use crate::scenario::{GRAIN, HostKind, Kind, MS, Origin};
use crate::{broker, sometimes};

impl World {
    pub(super) fn deliver(&mut self, conn: usize, bytes: &[u8]) {
        let host = self.net.borrow().conns[conn].host;
        let closed: Vec<bool> = (0..self.places.len())
            .map(|output| self.is_closed(output))
            .collect();
        let mut net = self.net.borrow_mut();
        if net.is_partitioned(host) {
            // It was on its way when the partition began.
            return;
        }
        match self.scenario.hosts[host] {
            HostKind::Input(device) => {
                let mut sensors = Sensors {
                    closed: &closed,
                    scenario: &self.scenario,
                    levels: &self.oracle.levels,
                    readings: &mut self.oracle.readings,
                };
                plant::answer_read(
                    device,
                    &mut self.hosts[host],
                    conn,
                    bytes,
                    &mut sensors,
                    &mut net,
                    &mut self.device_rng,
                );
            }
            HostKind::Outputs => {
                let held = net.is_orphan(conn);
                let written = plant::answer_write(
                    host,
                    &mut self.hosts[host],
                    conn,
                    bytes,
                    &self.scenario,
                    &mut self.places,
                    &mut net,
                    &mut self.device_rng,
                );
                drop(net);
                self.look_at_watchdogs(host);
                if let Some(written) = written {
                    self.digest
                        .add(written.output as u64 * 2 + u64::from(written.run));
                    if written.run && held {
                        // A dead guard's kernel delivered a permit: the device's watchdog is what ends it.
                        sometimes!(self.coverage, "a permit of a dead guard arrives", true);
                        let until = self.now + self.scenario.outputs[written.output].watchdog;
                        self.excused[written.output] = self.excused[written.output].max(until);
                    }
                }
            }
            HostKind::Broker(_) => {
                let mut inbox = std::mem::take(&mut net.conns[conn].inbox);
                let (reply, subscribed) = broker::answer(&mut inbox, bytes);
                net.conns[conn].inbox = inbox;
                if subscribed {
                    self.hosts[host].subscribed.push(conn);
                }
                drop(net);
                if !reply.is_empty() {
                    self.mail(conn, 100_000, reply, None);
                }
            }
        }
    }

    /// Whether an output's contactor is closed: it is pulled, or welded to.
    fn is_closed(&self, output: usize) -> bool {
        let (from, until) = self.welded[output];
        self.places[output].energised(self.now) || (from..until).contains(&self.now)
    }

    pub(super) fn look_at_watchdogs(&mut self, host: usize) {
        for (index, output) in self.scenario.outputs.iter().enumerate() {
            if output.host != host {
                continue;
            }
            let (address, value) = output.watchdog_register();
            let armed = output.check_every.is_none()
                || self.hosts[host].registers.get(&address) == Some(&value);
            match (armed, self.unarmed[index]) {
                (true, _) => self.unarmed[index] = None,
                (false, None) => self.unarmed[index] = Some(self.now),
                (false, Some(_)) => {}
            }
        }
    }

    /// Somebody turns a switch, or forgets it.
    fn turn_switch(&mut self, tag: usize) {
        let on = !self.oracle.is_on(tag);
        let lasting = if on {
            self.rng.between(50, 9_000)
        } else {
            self.rng.between(30, 6_000)
        };
        self.oracle.switched(tag, on, self.now);
        self.at(lasting * MS, Ev::Level(tag));
        self.reconsider();
    }

    /// What has come to be true, because of levels, switches or their time.
    pub(super) fn reconsider(&mut self) {
        for rule in self.oracle.levels_changed(&self.scenario, self.now) {
            self.expect_stop(rule);
        }
    }

    pub(super) fn level(&mut self, tag: usize) {
        if self.healing || self.still {
            return;
        }
        match self.scenario.tags[tag].kind {
            Kind::Level => {}
            Kind::Contact(_) | Kind::Button | Kind::Derived { .. } => return,
            Kind::Switch => return self.turn_switch(tag),
        }
        let old = self.oracle.levels[tag];
        let fraction = self.rng.between(1, 1_023) as f64 * GRAIN;
        let (level, lasting) = if old > 45.0 {
            (
                self.rng.between(10, 40) as f64,
                self.rng.between(500, 6_000),
            )
        } else if self.rng.chance(300) {
            // Near the limits: in and out of dead bands.
            (self.rng.between(44, 66) as f64, self.rng.between(10, 800))
        } else if self.rng.chance(250) {
            (self.rng.between(70, 95) as f64, self.rng.between(20, 2_500))
        } else {
            (
                self.rng.between(10, 40) as f64,
                self.rng.between(500, 6_000),
            )
        };
        self.oracle.levels[tag] = level + fraction;
        self.reconsider();
        self.at(lasting * MS, Ev::Level(tag));
    }

    pub(super) fn publish(&mut self, tag: usize) {
        let Origin::Mqtt { device, period } = self.scenario.tags[tag].origin else {
            return;
        };
        let jitter = self.device_rng.between(0, period / 4);
        self.at(period - period / 8 + jitter, Ev::Publish(tag));
        let Some(host) = self
            .scenario
            .hosts
            .iter()
            .position(|kind| *kind == HostKind::Broker(device))
        else {
            return;
        };
        let fault = self.hosts[host].fault(self.now);
        let rules_bundle::LinkPlan::Mqtt(plan) = &self.scenario.plan.devices[device].link else {
            return;
        };
        let Some(subscription) = plan
            .subscriptions
            .iter()
            .find(|subscription| usize::from(subscription.fields[0].tag.0) == tag)
        else {
            return;
        };
        let (level, stuck) = self.hosts[host].show(
            self.now,
            tag,
            &self.scenario.tags[tag],
            self.oracle.levels[tag],
            &mut self.device_rng,
        );
        if let Some(envelope) = self.scenario.tags[tag].envelope {
            if fault != Some(Fault::SensorSilent) {
                self.publish_sealed(host, tag, envelope, (level, stuck));
            }
            return;
        }
        let readings = &mut self.oracle.readings[tag];
        let value = |number| reading::encode(tag, number, level);
        let old = readings.latest().saturating_sub(20);
        let (payload, retain, dup) = match fault {
            Some(Fault::SensorSilent) => return,
            Some(Fault::Retained) => (format!("{}", value(old)), true, false),
            Some(Fault::Redelivered) => (format!("{}", value(old)), false, true),
            Some(Fault::Malformed) => ("12.5.1".to_owned(), false, false),
            Some(Fault::OutOfRange) => ("150".to_owned(), false, false),
            Some(Fault::NotFinite) => ("NaN".to_owned(), false, false),
            _ => (
                format!("{}", value(readings.issue(self.now, stuck))),
                false,
                false,
            ),
        };
        // A redelivery is one of a message that was acknowledged.
        let qos = if dup { 1 } else { subscription.qos };
        let bytes = broker::message(&subscription.topic, qos, retain, dup, payload.as_bytes());
        if self.net.borrow().is_partitioned(host) {
            return;
        }
        let up = self.net.borrow().up(host);
        self.hosts[host].subscribed.retain(|conn| up.contains(conn));
        for conn in self.hosts[host].subscribed.clone() {
            self.mail(conn, 0, bytes.clone(), None);
        }
    }
}

//! What is judged at the coils: demands that must have stopped, proofs that are missing, permits that must be gone.

use appliance_output::Permit;

use super::{Ev, World};
use crate::guard::Guard;
use crate::oracle::{Machines, lapse};
use crate::scenario::{MS, TURN_MAX, WAY_MAX};
use crate::sometimes;

impl World {
    pub(super) fn expect_stop(&mut self, rule: usize) {
        let Some(since) = self.oracle.true_since(rule) else {
            return;
        };
        let stops = self.scenario.rules[rule].stops.clone();
        if let Some(longest) = stops
            .iter()
            .map(|output| lapse(&self.scenario, *output))
            .max()
        {
            let due = since + self.scenario.rules[rule].deadline + longest + MS;
            self.at(due - self.now, Ev::Judge { rule, since });
        }
    }

    /// I1 at the coil: the condition has lasted its deadline and every watchdog.
    pub(super) fn judge(&mut self, rule: usize, since: u64) {
        let Some(still) = self.oracle.true_since(rule) else {
            return;
        };
        if still != since {
            // Held up meanwhile, or true anew: judged from then.
            if still > since {
                self.expect_stop(rule);
            }
            return;
        }
        sometimes!(self.coverage, "a condition lasted its deadline", true);
        for output in self.scenario.rules[rule].stops.clone() {
            if self.places[output].energised(self.now) && self.now > self.excused[output] {
                self.oracle.fail("I1", self.now, format!("output {output} is energised, and rule {rule} has been true for its deadline and the device's watchdog"));
            }
        }
        // As long as it lasts.
        let again = 50 * MS;
        self.at(again, Ev::Judge { rule, since });
    }

    /// H-63: nobody refreshes, so the devices drop their permits.
    pub(super) fn judge_gone(&mut self, began: u64) {
        let gone =
            self.gone_since == Some(began) || (self.held_until > self.now && self.guard.is_some());
        if !gone {
            return;
        }
        for output in 0..self.places.len() {
            if self.places[output].energised(self.now) && self.now > self.excused[output] {
                self.oracle.fail("H-63", self.now, format!("output {output} is energised, and nobody has refreshed it for its watchdog's time"));
            }
        }
    }

    /// Nothing goes on over a connection that gave bytes which nobody asked for (H-7, H-8, H-9, H-11, H-13).
    pub(super) fn judge_poison(&mut self, _: &Guard) {
        let net = self.net.borrow();
        let late = |conn: &crate::net::Conn| {
            conn.poisoned.is_some_and(|at| self.now > at + 200 * MS)
                && self.now > self.held_until + 300 * MS
        };
        let found = net
            .live()
            .map(|index| &net.conns[index])
            .find(|conn| late(conn))
            .map(|conn| conn.host);
        drop(net);
        if let Some(host) = found {
            self.oracle.fail(
                "H-13",
                self.now,
                format!("the connection to host {host} is used on after bytes that answer nothing"),
            );
        }
    }

    /// H-64: no permit is sent for long to a device whose watchdog is not armed.
    pub(super) fn judge_watchdog(&mut self, output: usize) {
        let plan = &self.scenario.outputs[output];
        let (Some(every), Some(since)) = (plan.check_every, self.unarmed[output]) else {
            return;
        };
        let since = since.max(self.oracle.held_until());
        if self.now > since + every + 2 * plan.confirm_within + 2 * WAY_MAX + 2 * TURN_MAX {
            self.oracle.fail("H-64", self.now, format!("a permit was sent to output {output}, whose device has had no armed watchdog for {} ms", (self.now - since) / MS));
        }
    }

    /// H-58 and H-59: a reset releases only what has stopped, where somebody looks.
    pub(super) fn judge_release(&mut self) {
        for (index, output) in self.scenario.outputs.iter().enumerate() {
            if self.oracle.withheld(index).is_none() {
                continue;
            }
            let looked_at = |(period, within): (u64, u64)| {
                self.now
                    > self.mastered[index].max(self.oracle.held_until())
                        + 2 * period
                        + within
                        + output.confirm_within
                        + 4 * WAY_MAX
            };
            if output.read_back.is_some_and(looked_at) && self.places[index].energised(self.now) {
                self.oracle.fail("I3", self.now, format!("a reset released output {index}, whose coil has not fallen and is read back"));
                return;
            }
            let (from, until) = self.welded[index];
            if let Some((tag, _)) = output.feedback
                && (from..until).contains(&self.now)
                && self.now > from + self.scenario.tags[tag].stale_after + WAY_MAX + TURN_MAX
            {
                self.oracle.fail("I3", self.now, format!("a reset released output {index}, whose contactor is closed and is looked at"));
                return;
            }
        }
    }

    /// Shows the judge the machines behind a stop that is told to be confirmed.
    pub(super) fn judge_confirmed(&mut self, guard: &Guard, from: usize) {
        let welded =
            |(from, until): &(u64, u64)| (*from..*until).contains(&self.now).then_some(*from);
        let welded: Vec<Option<u64>> = self.welded.iter().map(welded).collect();
        let machines = Machines {
            places: &self.places,
            welded: &welded,
            mastered: &self.mastered,
        };
        self.oracle.confirmed(
            &self.scenario,
            guard,
            from,
            &machines,
            self.now,
            &mut self.coverage,
        );
    }

    /// H-58: a coil that is off although it was told to be on, and is read back, stops its group.
    pub(super) fn judge_dark(&mut self, guard: &Guard) {
        for (index, output) in self.scenario.outputs.iter().enumerate() {
            let Some((period, within)) = output.read_back else {
                continue;
            };
            let runs = guard.lane.latch_of(index as u16).is_none();
            if !runs || self.places[index].energised(self.now) {
                self.dark[index] = None;
                continue;
            }
            let since = *self.dark[index].get_or_insert(self.now);
            let patience = period + within + 3 * output.confirm_within + 4 * TURN_MAX;
            if self.now > since.max(self.oracle.held_until()) + patience {
                self.oracle.fail("H-58", self.now, format!("output {index} is granted and read back, and its coil has been off for {} ms", (self.now - since) / MS));
                return;
            }
        }
    }

    /// H-59: a contactor that does not open trips the next output.
    pub(super) fn judge_escalation(&mut self, guard: &Guard) {
        for (index, output) in self.scenario.outputs.iter().enumerate() {
            let (Some((tag, within)), Some(to), Some(withheld_at)) = (
                output.feedback,
                output.escalate_to,
                self.oracle.withheld(index),
            ) else {
                continue;
            };
            let (from, until) = self.welded[index];
            if !(from..until).contains(&self.now) || withheld_at < from {
                continue;
            }
            let patience =
                output.confirm_within + output.read_back.map_or(0, |(_, within)| within) + within;
            let since = withheld_at.max(self.oracle.held_until());
            let due =
                since + patience + self.scenario.tags[tag].stale_after + WAY_MAX + 3 * TURN_MAX;
            if self.now <= due {
                continue;
            }
            sometimes!(self.coverage, "a welded contactor escalated", true);
            if guard.lane.permits().get(to) == Some(&Permit::Granted)
                && self.scenario.outputs[to].controlled.is_none()
            {
                self.oracle.fail(
                    "H-59",
                    self.now,
                    format!("output {index} does not open, and output {to} is still granted"),
                );
                return;
            }
        }
    }

    /// A permit that another master wrote must be taken back with the next refresh (H-60), unless the device cannot be
    /// reached, nothing takes writes, or there is no guard.
    pub(super) fn judge_master(&mut self, output: usize, wrote: u64) {
        let host = self.scenario.outputs[output].host;
        let reachable = !self.net.borrow().is_partitioned(host)
            && self.troubled_until[host] < wrote
            && self.now > self.held_until + 500 * MS;
        let up = self
            .guard
            .as_ref()
            .is_some_and(|guard| guard.outputs[output].is_up());
        let withheld = self.guard.is_some()
            && self
                .oracle
                .withheld(output)
                .is_some_and(|since| since < wrote);
        let energised = self.places[output].energised(self.now);
        if energised && withheld && up && reachable {
            let on_since_before = self.places_written_by_guard(output, wrote);
            if !on_since_before {
                self.oracle.fail(
                    "H-60",
                    self.now,
                    format!("output {output} is withheld, and what another master wrote stands"),
                );
            }
            return;
        }
        if energised && (!up || !reachable || self.guard.is_none()) {
            self.at(
                100 * MS,
                Ev::JudgeMaster {
                    output,
                    wrote: self.now,
                },
            );
            return;
        }
        sometimes!(self.coverage, "another master was overruled", !energised);
        self.excused[output] = self.now;
    }

    /// Whether the guard came to be able to write only after `wrote`.
    fn places_written_by_guard(&self, output: usize, wrote: u64) -> bool {
        self.oracle.connected_after(output, wrote)
    }
}

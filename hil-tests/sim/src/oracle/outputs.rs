//! What is sent to outputs, what they echo, and what a turn must have done.

use appliance_lane::Latch;

use super::{Oracle, OutputSeen};
use crate::coverage::Coverage;
use crate::guard::Guard;
use crate::scenario::{Scenario, TURN_MAX};
use crate::sometimes;

impl Oracle {
    /// A frame was sent to an output.
    pub fn sent(
        &mut self,
        scenario: &Scenario,
        guard: &Guard,
        index: usize,
        conn: usize,
        frame: &[u8],
        now: u64,
    ) {
        if frame.get(7) != Some(&5) {
            return;
        }
        let run = frame.get(10) == Some(&0xFF);
        let plan = &scenario.outputs[index];
        let seen = &mut self.outputs[index];
        if seen.conn != Some(conn) {
            *seen = OutputSeen {
                conn: Some(conn),
                granted: seen.granted,
                withheld_at: seen.withheld_at,
                unechoed: seen.unechoed,
                connected_at: now,
                ..OutputSeen::default()
            };
        }
        seen.outstanding.push_back((frame.to_vec(), now));
        seen.last_sent_run = run;
        seen.last_sent_at = now;
        if !run {
            return;
        }
        let running_down = |latch: &Latch| {
            plan.controlled.is_some() && now <= latch.at.as_ns() + plan.power_off_after()
        };
        if let Some(latch) = guard
            .lane
            .latch_of(index as u16)
            .filter(|latch| !running_down(latch))
        {
            self.fail(
                "I2",
                now,
                format!(
                    "a permit was sent to output {index}, which is latched: {}",
                    latch.first_out.as_str()
                ),
            );
        }
        if !self.outputs[index].granted {
            self.fail(
                "I2",
                now,
                format!("a permit was sent to output {index}, which is withheld"),
            );
        }
        if plan.check_every.is_some() && !self.outputs[index].looked_armed {
            self.fail("H-64", now, format!("a permit was sent to output {index}, and its device's watchdog was not seen armed on this connection"));
        }
        for (rule_index, rule) in scenario.rules.iter().enumerate() {
            let overdue = self
                .true_since(rule_index)
                .is_some_and(|since| now > since + rule.deadline + plan.power_off_after());
            if overdue && rule.stops.contains(&index) {
                self.fail("I1", now, format!("a permit was sent to output {index} after the deadline of rule {rule_index}"));
            }
        }
    }

    /// Whether an output has been withheld, and since when.
    pub fn withheld(&self, output: usize) -> Option<u64> {
        let seen = &self.outputs[output];
        (!seen.granted).then_some(seen.withheld_at)
    }

    /// Whether the connection that an output has now was first written to after `then`.
    pub fn connected_after(&self, output: usize, then: u64) -> bool {
        self.outputs[output].connected_at >= then
    }

    /// The guard took bytes from an output.
    pub fn echoed(&mut self, scenario: &Scenario, conn: usize, bytes: &[u8]) {
        let own = |seen: &OutputSeen| seen.conn == Some(conn);
        let Some(index) = self.outputs.iter().position(own) else {
            return;
        };
        let seen = &mut self.outputs[index];
        let (_, armed) = scenario.outputs[index].watchdog_register();
        seen.inbox.extend_from_slice(bytes);
        while seen.inbox.len() >= 9 {
            let length = 6 + usize::from(u16::from_be_bytes([seen.inbox[4], seen.inbox[5]]));
            if seen.inbox.len() < length {
                return;
            }
            let reply: Vec<u8> = seen.inbox.drain(..length).collect();
            if reply[7] & 0x7F == 3 {
                seen.looked_armed = reply.get(9..11) == Some(&armed.to_be_bytes());
            }
            // Only a coil's echo proves; looks and the watchdog's registers are the output's affair.
            if reply[7] & 0x7F != 5 {
                continue;
            }
            let Some((frame, _)) = seen.outstanding.front() else {
                continue;
            };
            if reply[7] == 0x85 {
                seen.refused_run |= frame[10] == 0xFF;
                seen.outstanding.pop_front();
                seen.proved = false;
                continue;
            }
            if reply != *frame {
                // A wrong answer proves nothing, and nothing behind it does.
                seen.inbox.clear();
                return;
            }
            let newest = seen.outstanding.len() == 1;
            let run = frame[10] == 0xFF;
            seen.outstanding.pop_front();
            if newest {
                seen.proved = !run && !seen.granted;
                seen.unechoed &= !seen.proved;
            }
        }
    }

    /// The guard has finished a turn and waits.
    pub fn turned(
        &mut self,
        scenario: &Scenario,
        guard: &Guard,
        now: u64,
        coverage: &mut Coverage,
    ) {
        self.judge_topics(scenario, guard, now);
        for (index, output) in scenario.outputs.iter().enumerate() {
            let up = guard.outputs[index].is_up();
            let latched = guard.lane.latch_of(index as u16).is_some();
            self.judge_unproved(scenario, index, now, coverage);
            let seen = &self.outputs[index];
            sometimes!(coverage, "output connection down", !up);
            sometimes!(coverage, "output runs", seen.granted && up);
            if up && latched && !seen.granted && seen.conn.is_some() && seen.last_sent_run {
                self.fail("I1", now, format!("output {index} is latched, connected, and its stop was not sent in the turn"));
                continue;
            }
            if !up && !latched {
                self.fail(
                    "H-57",
                    now,
                    format!("output {index} lost its connection and is not latched"),
                );
                continue;
            }
            if seen.refused_run && !latched {
                self.fail(
                    "H-57",
                    now,
                    format!("output {index}: a permit was refused, and it is not latched"),
                );
                continue;
            }
            self.outputs[index].refused_run = false;
            let seen = &self.outputs[index];
            let held = now < self.held_until + output.confirm_within + 4 * TURN_MAX;
            let overdue = seen
                .outstanding
                .front()
                .is_some_and(|(_, sent)| now > sent + output.confirm_within + TURN_MAX);
            if up && overdue && !held && !latched {
                self.fail(
                    "H-57",
                    now,
                    format!("output {index}: an echo is missing, and it is not latched"),
                );
                continue;
            }
            let silent =
                now > seen.last_sent_at + output.refresh + output.confirm_within + 2 * TURN_MAX;
            if up && seen.conn.is_some() && silent && !held {
                self.fail(
                    "H-60",
                    now,
                    format!("output {index} is not written although its refresh is due"),
                );
            }
        }
        self.judge_events(guard, now);
    }
}

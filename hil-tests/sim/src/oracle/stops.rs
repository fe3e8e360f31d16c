//! How a stop goes on: the time of a controlled one, what follows when one is not proved, what is told to be confirmed.

use appliance_lane::{EventKind, LatchCause};

use super::Oracle;
use crate::coverage::Coverage;
use crate::guard::Guard;
use crate::plant::Place;
use crate::scenario::{MS, Scenario, TURN_MAX, WAY_MAX};
use crate::sometimes;

/// What goes wrong at a host shows at the guard for so long after it ended: back-off, connecting, the next echo.
const AFTERMATH: u64 = 2_000 * MS;

/// What of the plant a stop changes.
pub struct Machines<'a> {
    /// Each output's coil.
    pub places: &'a [Place],
    /// Since when each output's contactor is closed although its coil has fallen.
    pub welded: &'a [Option<u64>],
    /// When another master wrote last to each output.
    pub mastered: &'a [u64],
}

impl Oracle {
    /// Something is wrong with a host until then.
    pub fn troubled(&mut self, host: usize, until: u64) {
        self.troubled[host] = self.troubled[host].max(until);
    }

    /// Power goes neither before the controlled stop had its time, nor stays when nobody asks for that stop any more.
    pub(super) fn judge_controlled(
        &mut self,
        scenario: &Scenario,
        guard: &Guard,
        index: usize,
        was_granted: bool,
        now: u64,
        coverage: &mut Coverage,
    ) {
        let Some((by, time)) = scenario.outputs[index].controlled else {
            return;
        };
        let (own, asks) = (&self.outputs[index], &self.outputs[by]);
        if own.granted && !asks.granted && !guard.outputs[by].is_up() {
            // Told at the latest by the tick after it was seen.
            self.fail("H-57", now, format!("output {index} has power, and output {by}, which asks for its controlled stop, is not connected"));
            return;
        }
        if !was_granted || own.granted {
            return;
        }
        let feedback_host = scenario.outputs[by].feedback.and_then(|(tag, _)| {
            let device = scenario.tags[tag].device();
            scenario.host_of(device)
        });
        let excused = [Some(scenario.outputs[by].host), feedback_host]
            .into_iter()
            .flatten()
            .any(|host| now < self.troubled[host] + AFTERMATH)
            || now < self.held_until + AFTERMATH;
        let early = now + MS < asks.withheld_at + time;
        sometimes!(coverage, "a controlled stop had its time", !early);
        sometimes!(coverage, "a controlled stop failed", early && excused);
        if early && !excused {
            let given = (now - asks.withheld_at) / 1_000;
            self.fail(
                "I2",
                now,
                format!("output {index} lost its power {given} us after its controlled stop began"),
            );
        }
    }

    /// H-57: a stop that is not even echoed trips the next output.
    pub(super) fn judge_unproved(
        &mut self,
        scenario: &Scenario,
        index: usize,
        now: u64,
        coverage: &mut Coverage,
    ) {
        let output = &scenario.outputs[index];
        let seen = &self.outputs[index];
        let (Some(to), true) = (output.escalate_to, seen.unechoed && !seen.granted) else {
            return;
        };
        let patience = output.confirm_within
            + output.read_back.map_or(0, |(_, within)| within)
            + output.feedback.map_or(0, |(_, within)| within);
        if now <= seen.withheld_at.max(self.held_until) + patience + 3 * TURN_MAX {
            return;
        }
        sometimes!(coverage, "a stop without an echo escalated", true);
        // A controlled stop of the other goes on for its time.
        let running_down = scenario.outputs[to].power_off_after();
        if self.outputs[to].granted
            && now > seen.withheld_at.max(self.held_until) + patience + running_down + 4 * TURN_MAX
        {
            self.fail(
                "H-57",
                now,
                format!("the stop of output {index} has no echo, and output {to} is granted"),
            );
        }
    }

    /// H-58, H-59: what is told to be confirmed has stopped, where somebody looks.
    pub fn confirmed(
        &mut self,
        scenario: &Scenario,
        guard: &Guard,
        from: usize,
        machines: &Machines<'_>,
        now: u64,
        coverage: &mut Coverage,
    ) {
        for event in &guard.events[from..] {
            let EventKind::StopConfirmed { rule, .. } = event.kind else {
                continue;
            };
            for (index, output) in scenario.outputs.iter().enumerate() {
                let own = matches!(self.first_out[index], LatchCause::Rule { rule: by, .. } if by == rule);
                if !own || self.outputs[index].granted {
                    continue;
                }
                let energised = machines.places[index].energised(now)
                    && machines.mastered[index] < self.outputs[index].withheld_at;
                sometimes!(
                    coverage,
                    "a stop was confirmed by its place",
                    output.read_back.is_some()
                );
                if output.read_back.is_some() && energised {
                    self.fail("H-58", now, format!("the stop of rule {rule} is told to be confirmed, and the coil of output {index}, which is read back, has not fallen"));
                }
                let closed =
                    output
                        .feedback
                        .zip(machines.welded[index])
                        .is_some_and(|((tag, _), since)| {
                            let stale = scenario.tags[tag].stale_after;
                            now > since.max(self.held_until) + stale + WAY_MAX + TURN_MAX
                        });
                if closed {
                    self.fail("H-59", now, format!("the stop of rule {rule} is told to be confirmed, and the contactor of output {index}, which is looked at, is closed"));
                }
            }
        }
    }
}

//! Events: none is lost, and each begins where the last of its channel ended.

use appliance_lane::EventKind;

use super::Oracle;
use crate::guard::Guard;

impl Oracle {
    pub(super) fn judge_events(&mut self, guard: &Guard, now: u64) {
        if guard.lane.counters().events_lost > 0 {
            self.fail("I8", now, "an event was lost".into());
        }
    }

    /// The events of a tick, in their order: each begins where the last one of its channel ended.
    pub fn events(&mut self, guard: &Guard, from: usize, now: u64) {
        for event in &guard.events[from..] {
            match event.kind {
                EventKind::Rule { rule, from, to, .. } => {
                    let told = &mut self.told_rules[usize::from(rule)];
                    let before = std::mem::replace(told, to);
                    if before != from {
                        self.fail(
                            "I8",
                            now,
                            format!(
                                "rule {rule} is told to leave {}, and was told to be {}",
                                from.as_str(),
                                before.as_str()
                            ),
                        );
                    }
                }
                EventKind::Latched { output, cause } => {
                    self.told_output(output, true, now);
                    self.first_out[usize::from(output)] = cause;
                }
                EventKind::Released { output } => self.told_output(output, false, now),
                _ => {}
            }
        }
        for (index, told) in (0_u16..).zip(self.first_out.clone()) {
            let is = guard.lane.latch_of(index).map(|latch| latch.first_out);
            if self.told_latched[usize::from(index)] && is.is_some_and(|is| is != told) {
                self.fail(
                    "I8",
                    now,
                    format!("output {index} was told to be latched for another cause"),
                );
            }
        }
        for (index, told) in (0_u16..).zip(self.told_rules.clone()) {
            let is = guard.lane.rule(index).map(|(state, _, _)| state);
            if is.is_some_and(|is| is != told) {
                self.fail(
                    "I8",
                    now,
                    format!("rule {index} was told to be {}, and is not", told.as_str()),
                );
            }
        }
    }

    fn told_output(&mut self, output: u16, latched: bool, now: u64) {
        let told = &mut self.told_latched[usize::from(output)];
        if std::mem::replace(told, latched) == latched {
            self.fail(
                "I8",
                now,
                format!("output {output} is told twice to be latched or released"),
            );
        }
    }
}

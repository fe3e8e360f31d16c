//! Latches and outputs: who is stopped, what is commanded, what is proved, what follows when it is not.

use appliance_output::{Confirmed, OutputEvent, Permit};
use drivers_frame::{MonoNs, planted};

use super::{Lane, RuleEngine};
use crate::analyzer::AnalyzerEngine;
use crate::event::{EventKind, LatchCause, RuleCause};
use crate::latch::Latch;
use crate::proof::Feedback;

impl<E: RuleEngine, A: AnalyzerEngine> Lane<E, A> {
    /// Takes what an output reports: its stop is proved, a write failed, somebody else wrote, its device's watchdog
    /// was armed or lapsed. A latch that this closes is commanded at once, not at the next tick.
    pub fn output_event(&mut self, output: u16, event: OutputEvent) {
        let index = usize::from(output);
        let Some(state) = self.outputs.get_mut(index) else {
            return;
        };
        match event {
            OutputEvent::Confirmed { value, at, .. } => {
                match value {
                    Confirmed::Safe => state.safe_confirmed(at),
                    Confirmed::Run => state.run_confirmed(),
                }
                self.look_at_output(output, at);
            }
            OutputEvent::Failed { at, .. } => {
                // H-57, H-61
                state.unproven();
                state.failed = true;
                if !planted!(OutputFaultIgnored) {
                    self.latch(output, LatchCause::OutputFault, at, at);
                }
            }
            OutputEvent::Overwritten { at } => {
                state.unproven();
                self.emit(at, EventKind::Overwritten { output });
                self.latch(output, LatchCause::Overwritten { output }, at, at);
            }
            OutputEvent::Watchdog { armed, at } => {
                state.watchdog_armed = Some(armed);
                self.emit(at, EventKind::DeviceWatchdog { output, armed });
                if !armed && !planted!(PermitUnguarded) {
                    self.latch(output, LatchCause::DeviceWatchdog { output }, at, at);
                }
            }
        }
    }

    /// Latches the groups that a danger rule stops.
    pub(super) fn stop_groups(&mut self, index: u16, cause: RuleCause, now: MonoNs) {
        let position = usize::from(index);
        let origin = self.rules.get(position).map_or(now, |rule| rule.since);
        let count = self
            .settings
            .get(position)
            .map_or(0, |setting| setting.groups.len());
        let count = if planted!(SecondStopForgotten) {
            count.min(1)
        } else {
            count
        };
        for stop in 0..count {
            let Some(group) = self
                .settings
                .get(position)
                .and_then(|setting| setting.groups.get(stop))
                .copied()
            else {
                break;
            };
            if !self.latch_group(group, LatchCause::Rule { rule: index, cause }, now, origin) {
                continue;
            }
            for output in self
                .outputs
                .iter_mut()
                .filter(|output| output.group == group)
            {
                output.stopping = Some(index);
                if let Some(rule) = self.rules.get_mut(position) {
                    rule.unconfirmed = rule.unconfirmed.saturating_add(1);
                }
            }
        }
    }

    pub(super) fn latch_all(&mut self, cause: LatchCause, now: MonoNs) {
        for group in 0..self.groups.len() {
            if let Ok(group) = u16::try_from(group) {
                self.latch_group(group, cause, now, now);
            }
        }
    }

    /// Latches the group of an output.
    pub(super) fn latch(&mut self, output: u16, cause: LatchCause, now: MonoNs, origin: MonoNs) {
        if let Some(group) = self
            .outputs
            .get(usize::from(output))
            .map(|output| output.group)
        {
            self.latch_group(group, cause, now, origin);
        }
    }

    fn latch_group(&mut self, group: u16, cause: LatchCause, now: MonoNs, origin: MonoNs) -> bool {
        self.reset.demand();
        let latched = self
            .groups
            .get_mut(usize::from(group))
            .is_some_and(|group| group.latch(cause, now, origin));
        if latched {
            for output in 0..self.outputs.len() {
                let in_group = self
                    .outputs
                    .get(output)
                    .is_some_and(|output| output.group == group);
                if let (true, Ok(output)) = (in_group, u16::try_from(output)) {
                    self.emit(now, EventKind::Latched { output, cause });
                }
            }
            self.command_outputs(now);
        }
        latched
    }

    /// Proofs first, since one that is missing may stop another output; then the complete set of commands.
    pub(super) fn supervise_outputs(&mut self, now: MonoNs) {
        for output in 0..self.outputs.len() {
            if let Ok(output) = u16::try_from(output) {
                self.look_at_output(output, now);
            }
        }
        self.command_outputs(now);
    }

    fn command_outputs(&mut self, now: MonoNs) {
        for index in 0..self.outputs.len() {
            let Some(output) = self.outputs.get(index) else {
                break;
            };
            let group = self.groups.get(usize::from(output.group));
            let latch = group.and_then(|group| group.get());
            // An output whose group does not exist would be a damaged plan: it is never granted.
            let latched = group.is_none_or(|group| group.is_latched());
            let controlled_stop_failed = output
                .controlled_by()
                .and_then(|other| self.outputs.get(usize::from(other)))
                .is_some_and(|other| other.failed || other.has_edm_fault());
            let permit = output.demanded(latch, latched, controlled_stop_failed, now);
            if let Some(output) = self.outputs.get_mut(index) {
                output.command(permit, now);
            }
            if let Some(cell) = self.permits.get_mut(index) {
                *cell = permit;
            }
        }
    }

    fn look_at_output(&mut self, output: u16, now: MonoNs) {
        let index = usize::from(output);
        let Some(plan) = self.outputs.get(index).map(|output| output.feedback) else {
            return;
        };
        let feedback = plan.map(|plan| Feedback {
            value: self.truth(plan.tag),
            at: self.tag(plan.tag).map_or(MonoNs::ZERO, |view| view.at),
        });
        let Some(state) = self.outputs.get_mut(index) else {
            return;
        };
        let findings = state.look(feedback, now);
        let escalate_to = state.escalate_to;
        if let Some(at) = findings.proved_at {
            self.stop_proved(output, at);
        }
        if findings.edm_fault {
            self.emit(now, EventKind::EdmFault { output });
            self.latch(output, LatchCause::Feedback { output }, now, now);
        }
        if let (true, Some(to), false) =
            (findings.unproved, escalate_to, planted!(EscalationLeftOut))
        {
            self.emit(now, EventKind::Escalated { output, to });
            self.latch(to, LatchCause::Escalated { from: output }, now, now);
        }
    }

    /// The stop of an output is proved: when it was the last of a rule's, that rule's reaction is measured.
    fn stop_proved(&mut self, output: u16, at: MonoNs) {
        let Some(state) = self.outputs.get_mut(usize::from(output)) else {
            return;
        };
        let group = state.group;
        let Some(rule_index) = state.stopping.take() else {
            return;
        };
        let Some(latch) = self
            .groups
            .get(usize::from(group))
            .and_then(|group| group.get())
        else {
            return;
        };
        let Some(rule) = self.rules.get_mut(usize::from(rule_index)) else {
            return;
        };
        rule.unconfirmed = rule.unconfirmed.saturating_sub(1);
        if rule.unconfirmed > 0 {
            return;
        }
        let latency = at.since(latch.origin);
        let deadline = self
            .settings
            .get(usize::from(rule_index))
            .and_then(|setting| setting.deadline);
        let missed = deadline.is_some_and(|deadline| latency > deadline);
        rule.latency_max = rule.latency_max.max(latency);
        rule.stops = rule.stops.saturating_add(1);
        rule.missed = rule.missed.saturating_add(u64::from(missed));
        self.emit(
            at,
            EventKind::StopConfirmed {
                rule: rule_index,
                latency,
                missed,
            },
        );
    }

    pub(super) fn outputs_due(&self) -> MonoNs {
        self.outputs
            .iter()
            .map(|output| {
                let latch: Option<Latch> = self
                    .groups
                    .get(usize::from(output.group))
                    .and_then(|group| group.get());
                output
                    .next_due(self.last_tick)
                    .min(output.power_off_due(latch))
            })
            .min()
            .unwrap_or(MonoNs::NEVER)
    }

    /// The complete set of output commands after the last tick.
    pub fn permits(&self) -> &[Permit] {
        &self.permits
    }
}

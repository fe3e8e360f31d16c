//! What is, as opposed to what happened: retained states, and which alerts are shelved.

use appliance_control::{Event, EventBody, Status};

use super::Worker;
use crate::message::{Retained, Shelving};
use crate::wall_time;

impl Worker {
    /// Whether this event is a notification that an operator has silenced. A danger never is, whatever the shelf says.
    pub(super) fn is_silenced(&self, body: &EventBody) -> bool {
        matches!(body, EventBody::Rule { rule, level, .. }
            if level == "alert" && self.shelf.contains_key(rule))
    }

    /// Puts a rule on the shelf or takes it off, and says so in its state.
    pub(super) fn take_shelving(&mut self, event: &Event) {
        let rule = match &event.body {
            EventBody::Shelved {
                rule,
                by,
                why,
                until_wall_ns,
                ..
            } => {
                let shelving = Shelving {
                    until: wall_time::rfc3339(*until_wall_ns),
                    by: by.clone(),
                    why: why.clone(),
                };
                self.shelf.insert(rule.clone(), shelving);
                rule
            }
            EventBody::Unshelved { rule, .. } => {
                self.shelf.remove(rule);
                rule
            }
            _ => return,
        };
        let mut states = self.states.values();
        let state = states.find(|state| state.rule() == Some(rule)).cloned();
        if let Some(state) = state {
            self.take_state(state.shelved(event.seq, None));
        }
    }

    /// A state that is newer than what is known.
    pub(super) fn take_state(&mut self, state: Retained) {
        let shelving = state.rule().and_then(|rule| self.shelf.get(rule)).cloned();
        let seq = state.seq();
        let mut state = state.shelved(seq, shelving);
        let topic = state.topic(&self.config.facts);
        if let Some(before) = self.states.get(&topic)
            && (state.seq() < before.seq() || !state.merge(before))
        {
            return;
        }
        if let Some(outbox) = &mut self.outbox {
            outbox.state(topic.clone(), state.payload(&self.config.facts));
        }
        self.states.insert(topic, state);
    }

    /// Everything that the guard says of itself: it replaces what events said, since one may have been lost.
    pub(super) fn apply_status(&mut self, status: &Status) {
        let seq = status.events;
        let shelved = status.shelved.iter().map(|shelved| {
            let shelving = Shelving {
                until: wall_time::rfc3339(shelved.until_wall_ns),
                by: shelved.by.clone(),
                why: shelved.why.clone(),
            };
            (shelved.rule.clone(), shelving)
        });
        self.shelf = shelved.collect();
        let bypasses = status.lanes.iter().flat_map(|lane| &lane.bypasses);
        self.take_state(Retained::of_bypasses(bypasses, seq));
        for lane in &status.lanes {
            let rules = lane.rules.iter().map(|rule| Retained::of_rule(rule, seq));
            let outputs = lane
                .outputs
                .iter()
                .map(|output| Retained::of_output(output, seq));
            let devices = lane
                .devices
                .iter()
                .map(|device| Retained::of_device(device, seq));
            let votings = lane
                .votings
                .iter()
                .map(|voting| Retained::of_voting(voting, seq));
            for state in rules.chain(outputs).chain(devices).chain(votings) {
                self.take_state(state);
            }
        }
        if self.stream.is_some() {
            self.gateway.state = Some(status.state.as_str().to_owned());
            self.gateway.reset_refusal.clone_from(&status.reset_refusal);
            self.gateway.degraded.clone_from(&status.degraded);
            let reasons = status.reasons.iter().map(|reason| reason.text.clone());
            self.gateway.reasons = reasons.collect();
            let shelved = status.shelved.iter().map(|shelved| shelved.rule.clone());
            self.gateway.shelved = shelved.collect();
            let sentinel = status.sentinel.as_ref();
            self.gateway.sentinel = sentinel.map(|sentinel| sentinel.state.clone());
            self.gateway.guard_pid = Some(status.pid);
        }
    }
}

//! What is published: alerts in order, retained states newest-wins.
//!
//! Alerts go into the publisher's outbox at once, one by one, in the order of the events. Retained states wait here, the
//! newest one a topic, until the publisher has little left to do: after an outage a reader gets every alert that was
//! kept, and then the state as it is, not a history of states (H-78). When the outbox is full the lowest class goes
//! first, last in, and what was dropped is counted and announced in the status topic (H-77).
//!
//! Which thread: the relay's. May it block: no.

use std::collections::{HashMap, VecDeque};

use drivers_mqtt::session::{LinkState, PublishError};
use drivers_mqtt::{Counters, LinkChange, Publisher};
use rt_config::limits::ALERT_OUTBOX_MAX;

use crate::limits::{DANGER_RESERVE, STATES_WHILE_BELOW};
use crate::message::{AlertCounts, Class, Message};

/// What the outbox needs of a publisher; a test puts another one in.
pub trait Sink {
    /// Takes a message for QoS 1, never waiting for the network.
    ///
    /// # Errors
    /// [`PublishError`]; nothing was taken.
    fn publish(&mut self, topic: &str, payload: &[u8], retain: bool) -> Result<(), PublishError>;
    /// Messages not acknowledged.
    fn waiting(&self) -> usize;
    /// Whether the broker is reached.
    fn is_connected(&self) -> bool;
    /// Counters.
    fn counters(&self) -> Counters;
    /// The newest edge of the link since the last call.
    fn take_change(&mut self) -> Option<LinkChange>;
}

impl Sink for Publisher {
    fn publish(&mut self, topic: &str, payload: &[u8], retain: bool) -> Result<(), PublishError> {
        Publisher::publish(self, topic, payload, retain).map(|_token| ())
    }

    fn waiting(&self) -> usize {
        Publisher::waiting(self)
    }

    fn is_connected(&self) -> bool {
        matches!(self.state(), LinkState::Up { .. })
    }

    fn counters(&self) -> Counters {
        Publisher::counters(self)
    }

    fn take_change(&mut self) -> Option<LinkChange> {
        Publisher::take_change(self)
    }
}

struct Slot {
    payload: Vec<u8>,
    dirty: bool,
}

/// See the module's header.
pub struct Outbox<S> {
    sink: S,
    states: HashMap<String, Slot>,
    /// Topics whose newest state was not handed to the sink.
    dirty: VecDeque<String>,
    dropped: u64,
    shelved: u64,
    events_lost: u64,
    connects_seen: u64,
}

impl<S: Sink> Outbox<S> {
    /// Around a publisher.
    pub fn new(sink: S) -> Self {
        Self {
            sink,
            states: HashMap::new(),
            dirty: VecDeque::new(),
            dropped: 0,
            shelved: 0,
            events_lost: 0,
            connects_seen: 0,
        }
    }

    /// Takes an alert. False when it had to be dropped; it is counted.
    pub fn alert(&mut self, message: &Message) -> bool {
        let room = ALERT_OUTBOX_MAX.saturating_sub(self.sink.waiting());
        let spare = message.class == Class::Stop || room > DANGER_RESERVE;
        let taken = spare
            && self
                .sink
                .publish(&message.topic, &message.payload, false)
                .is_ok();
        if !taken {
            self.dropped = self.dropped.saturating_add(1);
        }
        taken
    }

    /// Sets the newest state of a topic; it is published when its turn comes. The same payload again is not.
    pub fn state(&mut self, topic: String, payload: Vec<u8>) {
        let slot = self.states.entry(topic.clone()).or_insert_with(|| Slot {
            payload: Vec::new(),
            dirty: false,
        });
        if slot.payload == payload {
            return;
        }
        slot.payload = payload;
        if !slot.dirty {
            slot.dirty = true;
            self.dirty.push_back(topic);
        }
    }

    /// Counts an alert that was not told because its rule is shelved.
    pub fn withheld(&mut self) {
        self.shelved = self.shelved.saturating_add(1);
    }

    /// Counts events that the guard no longer kept.
    pub fn lost(&mut self, events: u64) {
        self.events_lost = self.events_lost.saturating_add(events);
    }

    /// Hands states over while the publisher has little to do; after a reconnect all of them, because a broker that was
    /// restarted may have forgotten what it retained, and has published our will in any case.
    ///
    /// Returns the link's newest edge, if there was one.
    pub fn turn(&mut self) -> Option<LinkChange> {
        let connects = self.sink.counters().ups;
        if connects != self.connects_seen {
            self.connects_seen = connects;
            for (topic, slot) in &mut self.states {
                if !slot.dirty {
                    slot.dirty = true;
                    self.dirty.push_back(topic.clone());
                }
            }
        }
        while self.sink.waiting() < STATES_WHILE_BELOW {
            let Some(topic) = self.dirty.pop_front() else {
                break;
            };
            let Some(slot) = self.states.get_mut(&topic) else {
                continue;
            };
            match self.sink.publish(&topic, &slot.payload, true) {
                Ok(()) => slot.dirty = false,
                Err(_) => {
                    self.dirty.push_front(topic);
                    break;
                }
            }
        }
        self.sink.take_change()
    }

    /// Whether states wait to be handed over.
    pub fn has_states(&self) -> bool {
        !self.dirty.is_empty()
    }

    /// Whether the broker is reached.
    pub fn is_connected(&self) -> bool {
        self.sink.is_connected()
    }

    /// How the alerts are doing.
    pub fn counts(&self) -> AlertCounts {
        let counters = self.sink.counters();
        AlertCounts {
            delivered: counters.delivered,
            waiting: self.sink.waiting(),
            dropped: self.dropped,
            shelved: self.shelved,
            events_lost: self.events_lost,
            connects: counters.ups,
        }
    }

    /// Publishes past the queue of states: the farewell.
    pub fn farewell(mut self, topic: &str, payload: &[u8]) -> S {
        // Refused only when the outbox is full; the last will then says nearly the same.
        let _ = self.sink.publish(topic, payload, true);
        self.sink
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Default)]
    struct Fake {
        sent: Vec<(String, Vec<u8>, bool)>,
        waiting: usize,
        counters: Counters,
    }

    impl Sink for Fake {
        fn publish(
            &mut self,
            topic: &str,
            payload: &[u8],
            retain: bool,
        ) -> Result<(), PublishError> {
            if self.waiting >= ALERT_OUTBOX_MAX {
                return Err(PublishError::Full {
                    waiting: self.waiting,
                });
            }
            self.waiting += 1;
            self.sent.push((topic.into(), payload.into(), retain));
            Ok(())
        }

        fn waiting(&self) -> usize {
            self.waiting
        }

        fn is_connected(&self) -> bool {
            self.counters.ups > 0
        }

        fn counters(&self) -> Counters {
            self.counters
        }

        fn take_change(&mut self) -> Option<LinkChange> {
            None
        }
    }

    fn message(class: Class) -> Message {
        Message {
            topic: "t/alerts/r".into(),
            payload: b"{}".to_vec(),
            class,
        }
    }

    #[test]
    fn a_full_outbox_drops_the_lowest_class_first_and_counts() {
        let mut outbox = Outbox::new(Fake {
            waiting: ALERT_OUTBOX_MAX - DANGER_RESERVE,
            ..Fake::default()
        });
        assert!(
            !outbox.alert(&message(Class::Tell)),
            "H-77: the reserve is for stops"
        );
        assert!(outbox.alert(&message(Class::Stop)));
        outbox.sink.waiting = ALERT_OUTBOX_MAX;
        assert!(!outbox.alert(&message(Class::Stop)));
        assert_eq!(
            outbox.counts().dropped,
            2,
            "H-77: what was dropped is counted"
        );
    }

    #[test]
    fn states_wait_for_alerts_and_only_the_newest_is_sent() {
        let mut outbox = Outbox::new(Fake {
            waiting: STATES_WHILE_BELOW,
            ..Fake::default()
        });
        outbox.state("s/a".into(), b"1".to_vec());
        outbox.state("s/b".into(), b"1".to_vec());
        outbox.state("s/a".into(), b"2".to_vec());
        outbox.turn();
        assert!(outbox.sink.sent.is_empty(), "alerts have the right of way");
        outbox.sink.waiting = 0;
        outbox.turn();
        let sent: Vec<_> = outbox
            .sink
            .sent
            .iter()
            .map(|(t, p, r)| (t.as_str(), p.as_slice(), *r))
            .collect();
        assert_eq!(
            sent,
            [("s/a", b"2".as_slice(), true), ("s/b", b"1", true)],
            "H-78"
        );
        outbox.turn();
        outbox.state("s/a".into(), b"2".to_vec());
        outbox.turn();
        assert_eq!(
            outbox.sink.sent.len(),
            2,
            "an unchanged state is not repeated"
        );
    }

    #[test]
    fn a_reconnect_sends_every_state_again() {
        let mut outbox = Outbox::new(Fake::default());
        outbox.state("s/a".into(), b"1".to_vec());
        outbox.turn();
        outbox.sink.waiting = 0;
        outbox.sink.counters.ups = 1;
        outbox.turn();
        assert_eq!(
            outbox.sink.sent.len(),
            2,
            "H-76: a restarted broker has forgotten"
        );
    }
}

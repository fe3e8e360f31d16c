//! Who is connected and subscribed to what, and which messages are retained.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rumqttc::mqttbytes::v4::SubscribeReasonCode;
use rumqttc::mqttbytes::{QoS, valid_filter};
use tokio::sync::{Notify, mpsc};
use tokio_modbus::bytes::Bytes;

use crate::limits::{BROKER_CLIENTS_MAX, BROKER_FILTERS_MAX, BROKER_RETAINED_MAX};

#[derive(Clone, Debug)]
pub(super) struct Message {
    pub(super) topic: Arc<str>,
    pub(super) payload: Bytes,
    /// QoS 1; otherwise QoS 0.
    pub(super) acknowledged: bool,
    pub(super) retain: bool,
}

#[derive(Debug)]
pub(super) struct Client {
    pub(super) id: String,
    pub(super) outbox: mpsc::Sender<Message>,
    /// Rung to end the connection: by a take-over, by a full outbox, by [`super::Broker::drop_clients`].
    pub(super) cut: Arc<Notify>,
    /// Filter, and whether it was granted QoS 1.
    pub(super) filters: BTreeMap<String, bool>,
}

#[derive(Debug, Default)]
pub(super) struct State {
    next_key: u64,
    pub(super) clients: BTreeMap<u64, Client>,
    pub(super) retained: BTreeMap<Arc<str>, Message>,
    pub(super) refuse_subscriptions: bool,
    pub(super) swallow_publishes: bool,
}

#[derive(Debug, Default)]
pub(super) struct Hub(Mutex<State>);

impl Hub {
    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Admits a client; one with the same id is cut (MQTT-3.1.4-2). `None`: there is no room.
    pub(super) fn admit(
        &mut self,
        id: &str,
        outbox: mpsc::Sender<Message>,
        cut: Arc<Notify>,
    ) -> Option<u64> {
        for other in self.clients.values().filter(|other| other.id == id) {
            other.cut.notify_one();
        }
        if self.clients.len() >= BROKER_CLIENTS_MAX {
            return None;
        }
        let key = self.next_key;
        self.next_key += 1;
        let id = if id.is_empty() {
            format!("anonymous-{key}")
        } else {
            id.to_owned()
        };
        let client = Client {
            id,
            outbox,
            cut,
            filters: BTreeMap::new(),
        };
        self.clients.insert(key, client);
        Some(key)
    }

    /// Keeps a retained message and gives a message to everyone who subscribed to its topic, once each, at the best
    /// QoS among the matching filters (MQTT-3.3.5-1).
    pub(super) fn publish(&mut self, message: Message) {
        if message.retain {
            if message.payload.is_empty() {
                self.retained.remove(&message.topic);
            } else if self.retained.len() < BROKER_RETAINED_MAX
                || self.retained.contains_key(&message.topic)
            {
                self.retained
                    .insert(Arc::clone(&message.topic), message.clone());
            }
        }
        for client in self.clients.values() {
            let granted = client
                .filters
                .iter()
                .filter(|(filter, _)| matches(filter, &message.topic))
                .map(|(_, acknowledged)| *acknowledged)
                .max();
            if let Some(granted) = granted {
                // To those already subscribed a message goes without its retain flag (MQTT-3.3.1-9).
                client.give(&message, granted, false);
            }
        }
    }

    /// Adds a subscription and sends what is retained for it (MQTT-3.8.4-3, MQTT-3.3.1-8).
    pub(super) fn subscribe(&mut self, key: u64, filter: &str, asked: QoS) -> SubscribeReasonCode {
        let retained = &self.retained;
        let Some(client) = self.clients.get_mut(&key) else {
            return SubscribeReasonCode::Failure;
        };
        let room = client.filters.len() < BROKER_FILTERS_MAX || client.filters.contains_key(filter);
        if self.refuse_subscriptions || !room || !valid_filter(filter) {
            return SubscribeReasonCode::Failure;
        }
        let acknowledged = asked != QoS::AtMostOnce;
        client.filters.insert(filter.to_owned(), acknowledged);
        for message in retained.values() {
            if matches(filter, &message.topic) {
                client.give(message, acknowledged, true);
            }
        }
        SubscribeReasonCode::Success(qos(acknowledged))
    }
}

impl Client {
    fn give(&self, message: &Message, acknowledged: bool, retain: bool) {
        let copy = Message {
            acknowledged: message.acknowledged && acknowledged,
            retain,
            ..message.clone()
        };
        // A client that does not read must not hold the others' messages in memory.
        if self.outbox.try_send(copy).is_err() {
            self.cut.notify_one();
        }
    }
}

pub(super) const fn qos(acknowledged: bool) -> QoS {
    if acknowledged {
        QoS::AtLeastOnce
    } else {
        QoS::AtMostOnce
    }
}

/// Whether a topic filter matches a topic name (MQTT 3.1.1, 4.7). Wildcards do not match topics that begin with `$`.
fn matches(filter: &str, topic: &str) -> bool {
    if topic.starts_with('$') && filter.starts_with(['+', '#']) {
        return false;
    }
    let (mut filters, mut levels) = (filter.split('/'), topic.split('/'));
    loop {
        match (filters.next(), levels.next()) {
            (Some("#"), _) | (None, None) => return true,
            (Some("+"), Some(_)) => {}
            (Some(wanted), Some(level)) if wanted == level => {}
            _ => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn filters_match_as_chapter_4_7_says() {
        for (filter, topic, expected) in [
            ("a/b", "a/b", true),
            ("a/b", "a/b/c", false),
            ("a/b/c", "a/b", false),
            ("a/+", "a/b", true),
            ("a/+", "a", false),
            ("a/+", "a/", true),
            ("+/b", "a/b", true),
            ("+", "/a", false),
            ("+/+", "/a", true),
            ("a/#", "a", true),
            ("a/#", "a/b/c", true),
            ("a/#", "ab", false),
            ("#", "a/b", true),
            ("#", "$SYS/x", false),
            ("+/x", "$SYS/x", false),
            ("$SYS/#", "$SYS/x", true),
            ("ä/#", "ä/x", true),
        ] {
            assert_eq!(matches(filter, topic), expected, "{filter} {topic}");
        }
    }
}

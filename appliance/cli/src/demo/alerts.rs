//! A reader of alerts, as anyone may have one: an MQTT client that is not ours, subscribed at the broker.

use std::io;
use std::net::SocketAddr;
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::Duration;

use rumqttc::{Client, Event, MqttOptions, Packet, QoS};

/// Messages that may wait. The demo makes a few dozen.
const WAITING_MAX: usize = 1_024;
/// How long the broker beside us may take to grant a subscription.
const SUBSCRIBED_WITHIN: Duration = Duration::from_secs(10);

/// A message as the broker delivered it.
#[derive(Clone, Debug)]
pub(super) struct Received {
    pub(super) topic: String,
    /// As it came.
    pub(super) text: String,
    pub(super) json: serde_json::Value,
}

/// The reader. Dropping it ends it.
pub(super) struct Alerts {
    client: Client,
    received: Receiver<Received>,
}

impl Alerts {
    /// Subscribes to `filter`, and returns when the broker has granted that.
    pub(super) fn subscribe(broker: SocketAddr, filter: &str) -> io::Result<Self> {
        let mut options = MqttOptions::new("demo-reader", broker.ip().to_string(), broker.port());
        options.set_keep_alive(Duration::from_secs(5));
        let (client, mut connection) = Client::new(options, 16);
        let failed = |error: &dyn std::fmt::Display| io::Error::other(error.to_string());
        client
            .subscribe(filter, QoS::AtLeastOnce)
            .map_err(|error| failed(&error))?;
        let (sender, received) = sync_channel(WAITING_MAX);
        let (granted, subscribed) = sync_channel(1);
        let read = move || {
            for event in connection.iter() {
                match event {
                    Ok(Event::Incoming(Packet::SubAck(_))) => {
                        // Nobody waits any more when the subscription is renewed after a reconnect.
                        let _ = granted.try_send(());
                    }
                    Ok(Event::Incoming(Packet::Publish(publish))) if !publish.retain => {
                        let json = serde_json::from_slice(&publish.payload).unwrap_or_default();
                        let topic = publish.topic;
                        let text = String::from_utf8_lossy(&publish.payload).into_owned();
                        if sender.try_send(Received { topic, text, json }).is_err() {
                            return;
                        }
                    }
                    Ok(_) => {}
                    Err(_) => return,
                }
            }
        };
        std::thread::Builder::new()
            .name("demo-reader".into())
            .spawn(read)?;
        subscribed.recv_timeout(SUBSCRIBED_WITHIN).map_err(|_| {
            io::Error::new(
                io::ErrorKind::TimedOut,
                "the broker did not grant its subscription",
            )
        })?;
        Ok(Self { client, received })
    }

    /// What has come since the last call.
    pub(super) fn take(&self) -> Vec<Received> {
        self.received.try_iter().collect()
    }
}

impl Drop for Alerts {
    fn drop(&mut self) {
        // Fails when the broker is gone; the reader has ended then.
        let _ = self.client.disconnect();
    }
}

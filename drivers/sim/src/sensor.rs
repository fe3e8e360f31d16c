//! The MQTT sensor: publishes the bearing's temperature with rumqttc, a client that is not ours.
//!
//! Which thread: the plant's, two tasks. May it block: no. While the broker is away it connects again and again; what
//! it could not send beyond `SENSOR_QUEUE` messages is lost, as with a real sensor (H-17).

use crate::limits::{SENSOR_PERIOD, SENSOR_QUEUE, SENSOR_RECONNECT};
use rumqttc::{AsyncClient, EventLoop, MqttOptions, QoS};
use std::net::SocketAddr;
use std::time::Duration;
use tokio::time::MissedTickBehavior;

/// Topic of the sensor. The payload is `{"value": 47.3, "unit": "degC", "seq": 12}`.
pub(crate) const TOPIC: &str = "plant/press/bearing/temperature";

/// What is wrong with the sensor.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SensorFault {
    /// Nothing.
    #[default]
    None,
    /// Publishes nothing (H-17).
    Silent,
    /// Publishes the last healthy value for ever; the sequence goes on (H-2).
    Frozen,
    /// Publishes the text `NaN` as value, which is not JSON (H-21).
    NotJson,
    /// Publishes the same sequence number again and again (H-18).
    SequenceStuck,
}

/// Runs the sensor until the runtime ends. `look` gives the true temperature in °C and the sensor's present fault.
pub(crate) async fn run(broker: SocketAddr, look: impl Fn() -> (f64, SensorFault)) {
    let mut options = MqttOptions::new(
        format!("plant-sensor-{}", std::process::id()),
        broker.ip().to_string(),
        broker.port(),
    );
    options.set_keep_alive(Duration::from_secs(5));
    let (client, events) = AsyncClient::new(options, SENSOR_QUEUE);
    let connection = tokio::spawn(poll(events));
    let mut ticks = tokio::time::interval(SENSOR_PERIOD);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut seq, mut healthy) = (0_u64, 0.0);
    while !connection.is_finished() {
        ticks.tick().await;
        let (value, fault) = look();
        if fault != SensorFault::Frozen {
            healthy = value;
        }
        if fault != SensorFault::SequenceStuck {
            seq += 1;
        }
        if fault != SensorFault::Silent {
            // A full queue loses the message, which is what the sequence number is there to show.
            let _ =
                client.try_publish(TOPIC, QoS::AtLeastOnce, false, payload(healthy, seq, fault));
        }
    }
}

async fn poll(mut events: EventLoop) {
    loop {
        if events.poll().await.is_err() {
            tokio::time::sleep(SENSOR_RECONNECT).await;
        }
    }
}

fn payload(value: f64, seq: u64, fault: SensorFault) -> String {
    if fault == SensorFault::NotJson {
        return format!(r#"{{"value": NaN, "unit": "degC", "seq": {seq}}}"#);
    }
    let hundredths = (value * 100.0).round() / 100.0;
    serde_json::json!({ "value": hundredths, "unit": "degC", "seq": seq }).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_healthy_payload_is_json_and_a_broken_one_is_not() {
        let text = payload(47.126, 12, SensorFault::None);
        let json: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(
            json["value"].as_f64().map(|v| (v * 100.0).round()),
            Some(4_713.0)
        );
        assert_eq!(json["unit"], "degC");
        assert_eq!(json["seq"], 12);
        let broken = payload(47.126, 12, SensorFault::NotJson);
        assert!(
            serde_json::from_str::<serde_json::Value>(&broken).is_err(),
            "H-21"
        );
    }
}

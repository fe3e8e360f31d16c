//! The shortest plain program on the MQTT road: rumqttc, one JSON number, a comparison, a direct write.
//!
//! One thread; `TCP_NODELAY` on both connections; the Modbus connection is open before the first message, and its write
//! is one `send` on a blocking socket, which is as short as it gets.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use rumqttc::{AsyncClient, Event, MqttOptions, Packet, QoS};

use super::explained;
use crate::plant::{LIMIT, RUN_COIL};
use crate::publisher::TOPIC;
use crate::wire::short_request;

#[derive(serde::Deserialize)]
struct Message {
    value: f64,
}

/// Runs until the broker or the device is gone.
pub(crate) fn run(device: SocketAddr, broker: SocketAddr) -> Result<(), String> {
    let runtime = explained(
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build(),
    )?;
    let mut output = explained(TcpStream::connect(device))?;
    explained(output.set_nodelay(true))?;
    runtime.block_on(async {
        let mut options = MqttOptions::new("rig-rumqttc", broker.ip().to_string(), broker.port());
        options.set_keep_alive(Duration::from_secs(60));
        let (client, mut events) = AsyncClient::new(options, 64);
        events.network_options.set_tcp_nodelay(true);
        explained(client.try_subscribe(TOPIC, QoS::AtMostOnce))?;
        let mut runs = false;
        loop {
            let Event::Incoming(Packet::Publish(message)) = explained(events.poll().await)? else {
                continue;
            };
            let message: Message = explained(serde_json::from_slice(&message.payload))?;
            let over = message.value > f64::from(LIMIT);
            if over == runs {
                explained(write(&mut output, !over))?;
                runs = !over;
            }
        }
    })
}

fn write(output: &mut TcpStream, run: bool) -> std::io::Result<()> {
    let state = if run { 0xff00 } else { 0 };
    output.write_all(&short_request(1, 5, RUN_COIL, state))?;
    output.read_exact(&mut [0; 12])
}

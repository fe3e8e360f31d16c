//! Packets to and from one client's socket.

use rumqttc::mqttbytes::Error as CodecError;
use rumqttc::mqttbytes::v4::{Packet, Publish};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::Notify;
// The buffer type of rumqttc's codec; this is the same crate under the name another dependency gives it.
use tokio_modbus::bytes::BytesMut;

use super::End;
use super::hub::{Message, qos};
use crate::limits::BROKER_PACKET_BYTES_MAX;

pub(super) struct Inbound {
    pub(super) read: OwnedReadHalf,
    pub(super) buffer: BytesMut,
}

impl Inbound {
    /// The next packet. Dropped half-way, it loses nothing.
    pub(super) async fn next(&mut self) -> Result<Packet, End> {
        loop {
            // The codec takes level 5 for an ordinary CONNECT and then misreads its properties as the client id.
            if protocol_level(&self.buffer).is_some_and(|level| level != 4) {
                return Err(End::OtherVersion);
            }
            match Packet::read(&mut self.buffer, BROKER_PACKET_BYTES_MAX) {
                Ok(packet) => return Ok(packet),
                Err(CodecError::InsufficientBytes(_)) => {}
                Err(_) => return Err(End::Violation),
            }
            match self.read.read_buf(&mut self.buffer).await {
                Ok(0) | Err(_) => return Err(End::Closed),
                Ok(_) => {}
            }
        }
    }
}

/// The protocol level of the CONNECT that `bytes` begin with, as far as it has arrived (MQTT 3.1.1, 3.1.2.2).
fn protocol_level(bytes: &[u8]) -> Option<u8> {
    let rest = bytes.strip_prefix(&[0x10])?;
    // The remaining length has one to four bytes; all but its last have the top bit set.
    let length = rest.iter().take(4).position(|byte| byte & 0x80 == 0)? + 1;
    let (level, _) = rest
        .get(length..)?
        .strip_prefix(b"\x00\x04MQTT")?
        .split_first()?;
    Some(*level)
}

pub(super) struct Outbound {
    pub(super) write: OwnedWriteHalf,
    pub(super) buffer: BytesMut,
    pub(super) next_id: u16,
}

impl Outbound {
    pub(super) async fn send(&mut self, packet: &Packet) -> Result<(), End> {
        self.buffer.clear();
        packet
            .write(&mut self.buffer, BROKER_PACKET_BYTES_MAX)
            .map_err(|_| End::Violation)?;
        self.write
            .write_all(&self.buffer)
            .await
            .map_err(|_| End::Closed)
    }

    /// A peer that does not read makes a write wait; it can still be cut.
    pub(super) async fn send_unless_cut(
        &mut self,
        packet: &Packet,
        cut: &Notify,
    ) -> Result<(), End> {
        tokio::select! {
            biased;
            sent = self.send(packet) => sent,
            () = cut.notified() => Err(End::Cut),
        }
    }

    pub(super) async fn deliver(&mut self, message: Message, cut: &Notify) -> Result<(), End> {
        let mut publish =
            Publish::from_bytes(&*message.topic, qos(message.acknowledged), message.payload);
        publish.retain = message.retain;
        if message.acknowledged {
            // 1 to 65,535; zero is not an identifier (MQTT-2.3.1-1).
            self.next_id = self.next_id.checked_add(1).unwrap_or(1);
            publish.pkid = self.next_id;
        }
        self.send_unless_cut(&Packet::Publish(publish), cut).await
    }
}

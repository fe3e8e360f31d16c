//! A publisher of two prepared MQTT 3.1.1 messages at QoS 0, for the rig alone.
//!
//! What: one connection, one `send` a message. Thread: the device's. Blocks: at most a second, when the broker has
//! stopped reading. Allocates: never after `connect`. Source: MQTT Version 3.1.1, OASIS, 3.1 to 3.3.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use crate::plant::{NORMAL, OVER};

/// The topic the value is published to, as `{"value":100.0}`.
pub const TOPIC: &str = "rig/machine/value";

/// A connected publisher.
pub(crate) struct Publisher {
    stream: TcpStream,
    normal: Vec<u8>,
    over: Vec<u8>,
}

impl Publisher {
    pub(crate) fn connect(broker: SocketAddr) -> io::Result<Self> {
        let mut stream = TcpStream::connect(broker)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(Duration::from_secs(5)))?;
        stream.set_write_timeout(Some(Duration::from_secs(1)))?;
        // CONNECT: protocol "MQTT" level 4, clean session, no keep-alive, client id "rig".
        stream.write_all(&[
            0x10, 15, 0, 4, b'M', b'Q', b'T', b'T', 4, 2, 0, 0, 0, 3, b'r', b'i', b'g',
        ])?;
        let mut answer = [0; 4];
        stream.read_exact(&mut answer)?;
        if answer[0] != 0x20 || answer[3] != 0 {
            return Err(io::Error::other(format!(
                "the broker answered {answer:?} to CONNECT, not a CONNACK that accepts"
            )));
        }
        Ok(Self {
            stream,
            normal: publish(NORMAL)?,
            over: publish(OVER)?,
        })
    }

    /// Publishes a normal value.
    pub(crate) fn normal(&mut self) -> io::Result<()> {
        self.stream.write_all(&self.normal)
    }

    /// Publishes a value over the limit; the time is right before its `send`.
    pub(crate) fn over(&mut self) -> io::Result<Instant> {
        let at = Instant::now();
        self.stream.write_all(&self.over)?;
        Ok(at)
    }
}

fn publish(value: u16) -> io::Result<Vec<u8>> {
    let payload = format!("{{\"value\":{value}.0}}");
    let too_long = |_| io::Error::from(io::ErrorKind::InvalidInput);
    let topic_bytes = u16::try_from(TOPIC.len()).map_err(too_long)?;
    let rest = u8::try_from(2 + TOPIC.len() + payload.len()).map_err(too_long)?;
    if rest > 127 {
        // One byte of remaining length is all this publisher knows.
        return Err(io::Error::from(io::ErrorKind::InvalidInput));
    }
    let mut packet = vec![0x30, rest];
    packet.extend_from_slice(&topic_bytes.to_be_bytes());
    packet.extend_from_slice(TOPIC.as_bytes());
    packet.extend_from_slice(payload.as_bytes());
    Ok(packet)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_a_qos_0_publish_of_the_topic_and_a_json_number() {
        let packet = publish(OVER).unwrap();
        assert_eq!(packet[0], 0x30);
        assert_eq!(usize::from(packet[1]), packet.len() - 2);
        let topic_end = 4 + usize::from(packet[3]);
        assert_eq!(&packet[4..topic_end], TOPIC.as_bytes());
        let payload: serde_json::Value = serde_json::from_slice(&packet[topic_end..]).unwrap();
        assert_eq!(payload, serde_json::json!({"value": f64::from(OVER)}));
    }
}

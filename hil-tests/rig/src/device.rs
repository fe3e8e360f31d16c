//! The sockets of the simulated device, and the stopwatch's two readings.
//!
//! What: serves every connection once a pass. Thread: the device's, which spins. Blocks: never. Allocates: only when a
//! connection is accepted. Both readings are `CLOCK_MONOTONIC`: right after `send` of a reply that carries an
//! over-limit value has returned, right after `recv` of a stop write has returned.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::time::Instant;

use crate::limits::CONNECTIONS;
use crate::plant::{LIMIT, Plant};
use crate::wire::{ADU_BYTES_MAX, Head, head};

struct Connection {
    stream: TcpStream,
    // Room for a request and the head of the next: more than one is never answered late.
    received: [u8; 2 * ADU_BYTES_MAX],
    filled: usize,
}

/// What one pass over the connections saw. Readings are the first of their kind in the pass.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Pass {
    /// `send` of the first reply with an over-limit value had returned.
    pub(crate) over_sent: Option<Instant>,
    /// `recv` of the first write of false to the run coil had returned.
    pub(crate) stop_received: Option<Instant>,
    /// Connections that came to their end or were cut for bytes that are no Modbus.
    pub(crate) closed: u32,
}

/// The simulated device.
pub(crate) struct Device {
    listener: TcpListener,
    connections: Vec<Connection>,
    pub(crate) plant: Plant,
}

impl Device {
    /// Listens on a free port of the loopback interface. The port stays the same for the device's life.
    pub(crate) fn bind() -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        listener.set_nonblocking(true)?;
        Ok(Self {
            listener,
            connections: Vec::with_capacity(CONNECTIONS),
            plant: Plant::new(),
        })
    }

    pub(crate) fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Takes a waiting connection, if there is one and a place for it.
    pub(crate) fn accept(&mut self) {
        if self.connections.len() == CONNECTIONS {
            return;
        }
        let Ok((stream, _)) = self.listener.accept() else {
            return;
        };
        // A device with Nagle's algorithm on would add 40 ms to whatever it answers.
        if stream.set_nonblocking(true).is_ok() && stream.set_nodelay(true).is_ok() {
            self.connections.push(Connection {
                stream,
                received: [0; 2 * ADU_BYTES_MAX],
                filled: 0,
            });
        }
    }

    /// Cuts every connection and forgets what was written: the next system meets a fresh device.
    pub(crate) fn reset(&mut self) {
        self.connections.clear();
        while self.listener.accept().is_ok() {}
        self.plant = Plant::new();
    }

    /// Serves every connection once.
    pub(crate) fn serve(&mut self) -> Pass {
        let mut pass = Pass::default();
        let plant = &mut self.plant;
        self.connections.retain_mut(|connection| {
            let open = serve_one(connection, plant, &mut pass);
            pass.closed += u32::from(!open);
            open
        });
        pass
    }
}

/// False when the connection is over.
fn serve_one(connection: &mut Connection, plant: &mut Plant, pass: &mut Pass) -> bool {
    let room = &mut connection.received[connection.filled..];
    let got = match connection.stream.read(room) {
        Ok(0) => return false,
        Ok(got) => got,
        Err(e) => return matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted),
    };
    let received_at = Instant::now();
    connection.filled += got;
    let mut start = 0;
    loop {
        match head(&connection.received[start..connection.filled]) {
            Head::Incomplete => break,
            Head::Broken => return false,
            Head::Request(bytes) => {
                let mut reply = [0; ADU_BYTES_MAX];
                let request = &connection.received[start..start + bytes];
                let effect = plant.answer(request, &mut reply);
                if effect.run_written == Some(false) {
                    pass.stop_received.get_or_insert(received_at);
                }
                // A reply that does not fit the socket's buffer belongs to a system that has stopped reading.
                match connection.stream.write(&reply[..effect.reply_bytes]) {
                    Ok(sent) if sent == effect.reply_bytes => {}
                    _ => return false,
                }
                if effect.carries_value && plant.value() > LIMIT {
                    pass.over_sent.get_or_insert_with(Instant::now);
                }
                start += bytes;
            }
        }
    }
    connection.received.copy_within(start..connection.filled, 0);
    connection.filled -= start;
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plant::OVER;
    use crate::wire::short_request;
    use std::time::Duration;

    fn client(device: &mut Device) -> TcpStream {
        let stream = TcpStream::connect(device.address().unwrap()).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_secs(10)))
            .unwrap();
        let before = device.connections.len();
        while device.connections.len() == before {
            device.accept();
        }
        stream
    }

    fn until(device: &mut Device, mut done: impl FnMut(&Pass) -> bool) -> Pass {
        let deadline = Instant::now() + Duration::from_secs(10);
        loop {
            let pass = device.serve();
            if done(&pass) {
                return pass;
            }
            assert!(Instant::now() < deadline, "the device saw nothing");
        }
    }

    #[test]
    fn both_readings_are_taken_and_in_order() {
        let mut device = Device::bind().unwrap();
        let mut reader = client(&mut device);
        let mut writer = client(&mut device);
        reader.write_all(&short_request(1, 3, 0, 1)).unwrap();
        let mut reply = [0; 11];
        // A normal value starts no watch, however often it is read.
        for _ in 0..200 {
            assert!(device.serve().over_sent.is_none());
        }
        reader.read_exact(&mut reply).unwrap();
        device.plant.set_value(OVER);
        reader.write_all(&short_request(2, 3, 0, 1)).unwrap();
        let over = until(&mut device, |p| p.over_sent.is_some()).over_sent;
        reader.read_exact(&mut reply).unwrap();
        assert_eq!(reply[9..], OVER.to_be_bytes());
        writer.write_all(&short_request(1, 5, 0, 0)).unwrap();
        let stop = until(&mut device, |p| p.stop_received.is_some()).stop_received;
        assert!(over < stop);
    }

    #[test]
    fn requests_in_pieces_and_in_heaps_are_all_answered() {
        let mut device = Device::bind().unwrap();
        let mut stream = client(&mut device);
        let request = short_request(1, 3, 0, 1);
        for byte in request {
            stream.write_all(&[byte]).unwrap();
            device.serve();
        }
        let heap: Vec<u8> = request.iter().copied().cycle().take(12 * 100).collect();
        stream.write_all(&heap).unwrap();
        stream.set_nonblocking(true).unwrap();
        let deadline = Instant::now() + Duration::from_secs(10);
        let mut answered = 0;
        while answered < 101 * 11 {
            device.serve();
            let mut some = [0; 4096];
            answered += stream.read(&mut some).unwrap_or(0);
            assert!(Instant::now() < deadline, "{answered} bytes answered");
        }
        assert_eq!(answered, 101 * 11);
    }

    #[test]
    fn bytes_that_are_no_modbus_end_the_connection_and_a_reset_ends_all() {
        let mut device = Device::bind().unwrap();
        let mut stream = client(&mut device);
        let _other = client(&mut device);
        stream.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
        until(&mut device, |p| p.closed == 1);
        assert_eq!(device.connections.len(), 1);
        device.plant.set_value(OVER);
        device.reset();
        assert_eq!(device.connections.len(), 0);
        assert!(device.plant.value() < LIMIT);
    }
}

//! The floor: one connection, read, compare, write, and nothing else.
//!
//! What a protection path costs when nothing protects: no checks, no time limits, no rules. Everything that does more is
//! measured as a multiple of it. Thread: one. Allocates: never after start.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};

use crate::plant::{LIMIT, RUN_COIL, VALUE_REGISTER};
use crate::wire::{short_request, u16_at};

/// Sleeps in `recv` until the device has answered.
pub(crate) fn blocking(device: SocketAddr) -> io::Result<()> {
    let stream = connect(device)?;
    floor(stream, |stream, reply| stream.read_exact(reply))
}

/// Asks the socket again and again: never sleeps.
pub(crate) fn spinning(device: SocketAddr) -> io::Result<()> {
    let stream = connect(device)?;
    stream.set_nonblocking(true)?;
    floor(stream, |stream, reply| {
        let mut filled = 0;
        while filled < reply.len() {
            match stream.read(&mut reply[filled..]) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(got) => filled += got,
                Err(e) if e.kind() == ErrorKind::WouldBlock => std::hint::spin_loop(),
                Err(e) => return Err(e),
            }
        }
        Ok(())
    })
}

fn connect(device: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(device)?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

fn floor(
    mut stream: TcpStream,
    receive: impl Fn(&mut TcpStream, &mut [u8]) -> io::Result<()>,
) -> io::Result<()> {
    let read = short_request(1, 3, VALUE_REGISTER, 1);
    let stop = short_request(2, 5, RUN_COIL, 0);
    let run = short_request(3, 5, RUN_COIL, 0xff00);
    let mut value = [0; 11];
    let mut echo = [0; 12];
    let mut runs = false;
    loop {
        stream.write_all(&read)?;
        receive(&mut stream, &mut value)?;
        let over = u16_at(&value, 9) > LIMIT;
        // The output follows the value, both ways; it is written only when it changes.
        if over == runs {
            stream.write_all(if over { &stop } else { &run })?;
            receive(&mut stream, &mut echo)?;
            runs = !over;
        }
    }
}

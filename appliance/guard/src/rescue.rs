//! When a lane has died: its outputs are stopped from the main thread, over fresh connections.
//!
//! The permit is no longer refreshed either, so a device with a watchdog stops by itself (H-30); this is for the others
//! and for the time until then. Best effort, bounded: half a second an output.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use drivers_modbus::codec;
use rules_bundle::OutputPlan;

const PATIENCE: Duration = Duration::from_millis(250);

/// Writes an output's safe value once. `true` when the device echoed it.
pub(crate) fn stop(plan: &OutputPlan, address: SocketAddr) -> bool {
    let request = appliance_output::safe_request(plan.target);
    let mut frame = [0; codec::REQUEST_BYTES];
    codec::encode_write(&mut frame, 1, plan.unit, &request);
    let exchange = || -> std::io::Result<[u8; codec::REQUEST_BYTES]> {
        let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.write_all(&frame)?;
        let mut echo = [0; codec::REQUEST_BYTES];
        stream.read_exact(&mut echo)?;
        Ok(echo)
    };
    exchange().is_ok_and(|echo| codec::check_write_reply(&echo, 1, plan.unit, &request).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use drivers_frame::DurNs;

    #[test]
    fn a_stop_counts_only_when_it_was_echoed() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let plan = OutputPlan {
            name: "press_run".into(),
            host: "127.0.0.1".into(),
            port: address.port(),
            unit: 1,
            device: "press_io".into(),
            target: rules_bundle::OutputTarget::Coil {
                address: 3,
                run: true,
            },
            refresh: DurNs::from_ms(100),
            confirm_within: DurNs::from_ms(50),
            connect_timeout: DurNs::from_ms(500),
            backoff_min: DurNs::from_ms(20),
            backoff_max: DurNs::from_ms(200),
            group: 0,
            stop: rules_bundle::StopCategory::Zero,
            read_back: None,
            feedback: None,
            escalate_to: None,
            watchdog: None,
            device_time: DurNs::ZERO,
        };
        let device = std::thread::spawn(move || {
            let mut seen = Vec::new();
            for echoes in [true, false] {
                let (mut stream, _) = listener.accept().unwrap();
                let mut request = [0; 12];
                stream.read_exact(&mut request).unwrap();
                seen.push(request);
                if echoes {
                    stream.write_all(&request).unwrap();
                }
            }
            seen
        });
        assert!(stop(&plan, address), "H-30");
        assert!(!stop(&plan, address));
        let frame = [0, 1, 0, 0, 0, 6, 1, 5, 0, 3, 0, 0];
        assert_eq!(device.join().unwrap(), [frame, frame]);
    }
}

//! libmodbus's server and mbpoll, its client: what Tripline writes is what others read.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use appliance_control::State;
use hil_tests::guard::{Guard, wait_until};
use hil_tests::peers::{self, ModbusPeer};
use hil_tests::stand::{DANGER, HEALTHY, Setup};

/// A second output, so that a register is written, too.
const VALVE: &str = "  valve: { device: io, register: 20, run: 4660, safe: 7, refresh: 50ms, confirm_within: 400ms }\n";

/// One value, read by mbpoll: `table` 0 for coils, 4 for holding registers.
fn mbpoll(program: &Path, server: SocketAddr, table: u8, address: u16) -> u16 {
    let output = Command::new(program)
        .args(["-m", "tcp", "-0", "-1", "-q", "-a", "1", "-c", "1"])
        .args(["-p", &server.port().to_string()])
        .args(["-t", &table.to_string(), "-r", &address.to_string()])
        .arg(server.ip().to_string())
        .output()
        .expect("mbpoll starts");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success(),
        "{text} {}",
        String::from_utf8_lossy(&output.stderr)
    );
    // As in "[20]:   4660".
    let marker = format!("[{address}]:");
    let line = text
        .lines()
        .find_map(|line| line.trim().strip_prefix(&marker));
    let value = line
        .and_then(|rest| rest.split_whitespace().next())
        .map(str::parse);
    match value {
        Some(Ok(value)) => value,
        _ => panic!("a value in {text}"),
    }
}

#[test]
fn over_the_limit_libmodbus_and_mbpoll_see_coil_and_register_stopped() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let Some(program) = peers::require_libmodbus(folder.path()) else {
        return;
    };
    let Some(poller) = peers::require("mbpoll") else {
        return;
    };
    let server = ModbusPeer::start(&mut Command::new(program));
    let address = server.address();
    for acquire in ["inline", "thread"] {
        server.set("holding", 0, HEALTHY);
        server.set("coil", 0, 1);
        server.set("holding", 20, 4660);
        let setup = Setup {
            acquire,
            more: [String::new(), VALVE.to_owned(), String::new()],
            ..Setup::default()
        };
        let yaml = setup
            .yaml(address)
            .replace("stops: [run]", "stops: [run, valve]");
        let guard = Guard::start(&yaml);
        let see = |coil: u16, register: u16| {
            wait_until("the server's memory follows", || {
                server.get("coil", 0) == coil && server.get("holding", 20) == register
            });
            assert_eq!(mbpoll(&poller, address, 0, 0), coil);
            assert_eq!(mbpoll(&poller, address, 4, 20), register);
        };
        see(0, 7);
        guard.arm();
        see(1, 4660);
        server.set("holding", 0, DANGER);
        see(0, 7);
        assert_eq!(guard.status().state, State::Tripped);
        assert_eq!(mbpoll(&poller, address, 4, 0), DANGER);
        server.set("holding", 0, HEALTHY);
        guard.arm();
        see(1, 4660);
        assert_eq!(guard.terminate(), Some(0), "H-83");
        see(0, 7);
    }
}

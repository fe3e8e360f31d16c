//! Alone in its process, because it counts the process's threads and sockets.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "helpers of tests, where a panic is the report"
)]

use drivers_sim::plant::{Plant, PlantConfig, StationName};
use std::net::TcpStream;
use std::time::Duration;

fn count(folder: &str) -> usize {
    std::fs::read_dir(folder).unwrap().count()
}

#[test]
fn five_plants_in_a_row_leave_no_thread_and_no_descriptor_behind() {
    let (threads, descriptors) = (count("/proc/self/task"), count("/proc/self/fd"));
    for round in 0..5 {
        let plant = Plant::start(&PlantConfig::default()).unwrap();
        let address = plant.address(StationName::PressIo);
        let open = TcpStream::connect(address).unwrap();
        let idle = TcpStream::connect(plant.broker_address().unwrap()).unwrap();
        let start = std::time::Instant::now();
        // The sensor's connection and the idle one reach the broker; only the sensor becomes a client.
        while plant.broker().unwrap().clients() < 1 || plant.snapshot().connections[0] < 1 {
            assert!(
                start.elapsed() < Duration::from_secs(20),
                "round {round}: nobody connected"
            );
            std::thread::sleep(Duration::from_millis(5));
        }
        assert_eq!(
            count("/proc/self/task"),
            threads + 2,
            "round {round}: one for plant, one for broker"
        );
        drop(plant);
        assert!(
            TcpStream::connect(address).is_err(),
            "round {round}: the port is closed"
        );
        drop((open, idle));
        // A joined thread leaves /proc a moment after the join returns.
        let start = std::time::Instant::now();
        while count("/proc/self/task") > threads && start.elapsed() < Duration::from_secs(20) {
            std::thread::sleep(Duration::from_millis(1));
        }
        assert_eq!(count("/proc/self/task"), threads, "round {round}");
        assert_eq!(count("/proc/self/fd"), descriptors, "round {round}");
    }
}

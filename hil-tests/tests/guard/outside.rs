//! Who watches the guard from outside: the service manager over a socket as systemd's, and a file in the place of a
//! hardware watchdog.

use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::time::Duration;

use appliance_control::EventBody;
use hil_tests::binaries;
use hil_tests::guard::{Guard, Site, wait_until};
use hil_tests::hostile::{Device, Manner};
use hil_tests::packs;
use hil_tests::stand::{HEALTHY, Setup, Stand, wait_event};

/// A guard with both watchers, and what they heard.
struct Watched {
    stand: Stand,
    manager: UnixDatagram,
    device: PathBuf,
}

impl Watched {
    fn start(program: &std::path::Path) -> Self {
        let device = Device::default();
        device.show(HEALTHY);
        let site = Site::new(&packs::bundle(&Setup::default().yaml(device.address())));
        let (socket, dog, inject) = (site.file("notify"), site.file("dog"), site.file("inject"));
        let manager = UnixDatagram::bind(&socket).expect("a socket");
        manager
            .set_read_timeout(Some(Duration::from_millis(20)))
            .expect("a timeout");
        std::fs::write(&dog, b"").expect("a file");
        let file = dog.clone();
        let guard = Guard::start_as(site, program, |command| {
            command
                .arg("--watchdog-device")
                .arg(file)
                .env("NOTIFY_SOCKET", socket)
                .env("WATCHDOG_USEC", "1000000")
                .env("TRIPLINE_INJECT", inject);
        });
        let stand = Stand { guard, device };
        stand.arm();
        Self {
            stand,
            manager,
            device: dog,
        }
    }

    /// What the manager was told since.
    fn heard(&self) -> Vec<String> {
        let mut heard = Vec::new();
        let mut buffer = [0_u8; 1024];
        while let Ok(count) = self.manager.recv(&mut buffer) {
            heard.push(String::from_utf8_lossy(&buffer[..count]).into_owned());
        }
        heard
    }

    fn bytes(&self) -> Vec<u8> {
        std::fs::read(&self.device).expect("it is there")
    }
}

fn feeds(heard: &[String]) -> usize {
    heard.iter().filter(|word| *word == "WATCHDOG=1").count()
}

#[test]
fn h85_both_are_fed_while_every_lane_ticks_and_the_end_is_told() {
    let watched = Watched::start(binaries::guard());
    let mut heard = watched.heard();
    wait_until("both are fed several times", || {
        heard.extend(watched.heard());
        feeds(&heard) >= 4 && watched.bytes().len() >= 4
    });
    let ready = heard.iter().position(|word| word == "READY=1");
    let fed = heard.iter().position(|word| word == "WATCHDOG=1");
    assert!(ready.is_some() && ready < fed, "ready first: {heard:?}");
    assert!(
        heard.iter().any(|word| word.starts_with("STATUS=stand 1")),
        "{heard:?}"
    );
    let status = watched.stand.guard.status();
    let sentinel = status.sentinel.expect("it is told");
    assert_eq!(sentinel.state, "watching");
    let by = sentinel.watched_by.expect("both");
    assert!(by.contains("service manager") && by.contains("dog"), "{by}");
    assert!(
        !status.degraded.iter().any(|lack| lack.contains("watchdog")),
        "{:?}",
        status.degraded
    );
    let device = watched.device.clone();
    let fed = watched.bytes();
    assert!(fed.iter().all(|byte| *byte == 0), "fed, not disarmed");
    // The site goes with the guard: its file is held open to be read afterwards.
    let file = std::fs::File::open(&device).expect("it is there");
    let Watched { stand, manager, .. } = watched;
    assert_eq!(stand.guard.terminate(), Some(0));
    let mut bytes = Vec::new();
    std::io::Read::read_to_end(&mut std::io::BufReader::new(file), &mut bytes).expect("read");
    assert_eq!(bytes.last(), Some(&b'V'), "an orderly end disarms it");
    assert_eq!(bytes.iter().filter(|byte| **byte == b'V').count(), 1);
    let mut buffer = [0_u8; 1024];
    let mut last = Vec::new();
    while let Ok(count) = manager.recv(&mut buffer) {
        last.push(buffer[..count].to_vec());
    }
    assert!(last.contains(&b"STOPPING=1".to_vec()), "the end is told");
}

#[test]
fn h31_h85_a_guard_whose_lane_hangs_is_fed_no_more() {
    let watched = Watched::start(binaries::guard_that_fails());
    wait_until("both are fed", || !watched.bytes().is_empty());
    let inject = watched.stand.guard.site().file("inject");
    std::fs::write(inject, "hang").expect("the order is written");
    let socket = watched.stand.guard.socket();
    wait_event(
        &socket,
        "the watchdog tells",
        |body| matches!(body, EventBody::SelfCheck { check, stopped: true, .. } if check == "watchdog"),
    );
    watched.heard();
    let before = watched.bytes().len();
    let writes = watched.stand.device.writes_total();
    // At a refresh of 50 ms this is longer than several feeds would be apart.
    wait_until("the stop is written again and again", || {
        watched.stand.device.writes_total() >= writes + 40
    });
    assert_eq!(feeds(&watched.heard()), 0, "H-31");
    assert_eq!(watched.bytes().len(), before, "H-31");
}

#[test]
fn h85_an_end_that_is_not_proved_safe_leaves_the_hardware_armed() {
    let watched = Watched::start(binaries::guard());
    wait_until("it is fed", || !watched.bytes().is_empty());
    watched.stand.device.writes_are(Manner::Silent);
    let file = std::fs::File::open(&watched.device).expect("it is there");
    assert_eq!(watched.stand.guard.terminate(), Some(7));
    let mut bytes = Vec::new();
    std::io::Read::read_to_end(&mut std::io::BufReader::new(file), &mut bytes).expect("read");
    assert!(!bytes.contains(&b'V'), "it resets the host: the last means");
}

#[test]
fn h85_without_a_watcher_outside_the_guard_says_that_it_is_degraded() {
    let stand = Stand::armed(&Setup::default());
    let degraded = stand.guard.status().degraded;
    assert!(
        degraded
            .iter()
            .any(|lack| lack.starts_with("no external watchdog")),
        "{degraded:?}"
    );
}

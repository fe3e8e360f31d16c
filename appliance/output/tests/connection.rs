//! The connection over real sockets: what a lane calls never touches the allocator (I11), and a connection that stands by
//! only looks until it is fired.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests"
)]

mod common;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use appliance_output::{Confirmed, OutputConnection, OutputEvent, Permit};
use common::{Device, plan, safe_word, targets};
use drivers_frame::{DurNs, MonoNs};
use rt_config::seal::{SealingAllocator, broken_seals, seal, unseal};

#[global_allocator]
static ALLOCATOR: SealingAllocator = SealingAllocator;

/// Long enough for any host; nothing is judged by it.
const PATIENCE: Duration = Duration::from_secs(30);

/// A device on a socket. Every `cut_after`-th answer it closes the connection instead.
struct Served {
    address: SocketAddr,
    device: Arc<Mutex<Device>>,
    writes: Arc<AtomicU64>,
    lies: Arc<AtomicBool>,
}

fn serve(cut_after: u64) -> Served {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let served = Served {
        address: listener.local_addr().unwrap(),
        device: Arc::default(),
        writes: Arc::default(),
        lies: Arc::default(),
    };
    let (device, writes, lies) = (
        Arc::clone(&served.device),
        Arc::clone(&served.writes),
        Arc::clone(&served.lies),
    );
    std::thread::spawn(move || {
        let mut count = 0_u64;
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            stream.set_nodelay(true).unwrap();
            device.lock().unwrap().connected();
            let mut request = [0; 12];
            while stream.read_exact(&mut request).is_ok() {
                count += 1;
                if count.is_multiple_of(cut_after) {
                    break;
                }
                let mut device = device.lock().unwrap();
                device.lies = lies.load(Ordering::SeqCst);
                let reply = device.answer(&request);
                drop(device);
                if matches!(request[7], 5 | 6) {
                    writes.fetch_add(1, Ordering::SeqCst);
                }
                if stream.write_all(&reply).is_err() {
                    break;
                }
            }
        }
    });
    served
}

fn clock() -> impl Fn() -> MonoNs {
    let origin = Instant::now();
    move || MonoNs::from_ns(u64::try_from(origin.elapsed().as_nanos()).unwrap())
}

#[test]
fn i11_a_sealed_connection_arms_grants_stops_looks_and_reconnects_without_the_allocator() {
    let served = serve(23);
    let mut plan = plan(targets()[2], true, true);
    plan.refresh = DurNs::from_ms(5);
    plan.confirm_within = DurNs::from_ms(5_000);
    if let Some(read_back) = &mut plan.read_back {
        read_back.period = DurNs::from_ms(3);
    }
    if let Some(watchdog) = &mut plan.watchdog {
        watchdog.check_every = DurNs::from_ms(4);
    }
    let mut output = OutputConnection::new(&plan, served.address);
    let clock = clock();
    let (mut runs, mut stops, mut faults, mut armed) = (0_u64, 0_u64, 0_u64, 0_u64);
    let until = Instant::now() + PATIENCE;
    let before = broken_seals();
    seal();
    while (runs < 100 || stops < 100 || faults < 10) && Instant::now() < until {
        output.step(&clock, |event| match event {
            OutputEvent::Confirmed { value, .. } => match value {
                Confirmed::Run => runs += 1,
                Confirmed::Safe => stops += 1,
            },
            OutputEvent::Failed { .. } => faults += 1,
            OutputEvent::Watchdog { armed: true, .. } => armed += 1,
            OutputEvent::Watchdog { armed: false, .. } | OutputEvent::Overwritten { .. } => {}
        });
        let permit = if output.counters().read_backs % 8 < 6 {
            Permit::Granted
        } else {
            Permit::Withheld
        };
        if let Some(OutputEvent::Failed { .. }) = output.drive(permit, clock()) {
            faults += 1;
        }
        std::thread::sleep(Duration::from_micros(100));
    }
    unseal();
    assert_eq!(broken_seals(), before, "I11");
    assert!(
        runs >= 100 && stops >= 100 && faults >= 10 && armed >= 5,
        "{runs} {stops} {faults} {armed} {:?}",
        output.counters()
    );
}

/// Steps until `done`; what was reported.
fn step_until(
    output: &mut OutputConnection,
    clock: &impl Fn() -> MonoNs,
    done: impl Fn(&OutputConnection) -> bool,
) -> Vec<OutputEvent> {
    let until = Instant::now() + PATIENCE;
    let mut events = Vec::new();
    while !done(output) {
        assert!(Instant::now() < until, "nothing came: {events:?}");
        output.step(clock, |event| events.push(event));
        std::thread::sleep(Duration::from_micros(200));
    }
    events
}

#[test]
fn h30_a_connection_that_stands_by_stops_at_once_and_goes_on_until_it_is_proved() {
    let served = serve(u64::MAX);
    let plan = plan(targets()[0], true, true);
    let clock = clock();
    served.device.lock().unwrap().place = 0xFF00;
    let mut second = OutputConnection::standing_by(&plan, served.address, DurNs::from_ms(2));
    step_until(&mut second, &clock, |second| {
        second.is_up() && second.counters().read_backs >= 20
    });
    assert_eq!(second.drive(Permit::Granted, clock()), None);
    assert_eq!(second.permit(), Permit::Withheld, "I2");
    assert_eq!(served.writes.load(Ordering::SeqCst), 0);
    assert_eq!(served.device.lock().unwrap().place, 0xFF00);

    // The device echoes and does nothing at first.
    served.lies.store(true, Ordering::SeqCst);
    assert_eq!(second.fire(clock()), None);
    let events = step_until(&mut second, &clock, |second| {
        second.counters().failures >= 2
    });
    assert!(
        events
            .iter()
            .all(|event| !matches!(event, OutputEvent::Confirmed { .. })),
        "H-58"
    );
    served.lies.store(false, Ordering::SeqCst);
    step_until(&mut second, &clock, OutputConnection::is_safe);
    assert_eq!(served.device.lock().unwrap().place, safe_word(&plan));
    let stops = second.counters().safe_writes;
    step_until(&mut second, &clock, |second| {
        second.counters().safe_writes >= stops + 3
    });
    assert_eq!(second.counters().run_writes, 0, "I2");

    second.stand_down(clock());
    let looks = second.counters().read_backs;
    step_until(&mut second, &clock, |second| {
        second.counters().read_backs >= looks + 20
    });
    let writes = served.writes.load(Ordering::SeqCst);
    step_until(&mut second, &clock, |second| {
        second.counters().read_backs >= looks + 40
    });
    assert_eq!(served.writes.load(Ordering::SeqCst), writes);
}

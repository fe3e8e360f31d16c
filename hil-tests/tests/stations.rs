//! An output against stations with the watchdogs of real makers, over real sockets: armed by its profile before the first
//! run value, seen when it lapses, armed again; and what the station does when nobody refreshes.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests"
)]

use std::time::{Duration, Instant};

use appliance_output::{Confirmed, FaultCause, OutputConnection, OutputEvent, Permit};
use drivers_frame::{DurNs, MonoNs};
use drivers_sim::image::{
    Answering, Block, Permit as SimPermit, Rival, StationMap, StationWatchdog, Table,
};
use drivers_sim::stations::Stations;
use rules_bundle::{OutputPlan, OutputTarget, ReadBackPlan, WatchdogPlan, testing};
use rules_pack::watchdog::WatchdogProfile;

const PATIENCE: Duration = Duration::from_secs(30);

const MAKERS: [(WatchdogProfile, StationWatchdog); 3] = [
    (WatchdogProfile::Wago750, StationWatchdog::Wago750),
    (WatchdogProfile::Turck, StationWatchdog::Turck),
    (WatchdogProfile::BeckhoffBk, StationWatchdog::BeckhoffBk),
];

/// A station with two coils under its watchdog.
fn station(watchdog: Option<StationWatchdog>) -> StationMap {
    let permit = |address| SimPermit {
        table: Table::Coil,
        address,
        safe: 0,
    };
    StationMap {
        unit: 1,
        coils: Block { first: 0, count: 2 },
        permits: vec![permit(0), permit(1)],
        station_watchdog: watchdog,
        ..StationMap::default()
    }
}

fn plan(address: u16, port: u16, watchdog: Option<WatchdogProfile>) -> OutputPlan {
    let armed: Option<WatchdogPlan> = watchdog.map(|profile| {
        profile
            .plan(DurNs::from_ms(1_000), DurNs::from_ms(20))
            .unwrap()
    });
    OutputPlan {
        port,
        target: OutputTarget::Coil { address, run: true },
        refresh: DurNs::from_ms(50),
        confirm_within: DurNs::from_ms(10_000),
        connect_timeout: DurNs::from_ms(10_000),
        backoff_min: DurNs::from_ms(5),
        backoff_max: DurNs::from_ms(50),
        read_back: Some(ReadBackPlan {
            period: DurNs::from_ms(20),
            within: DurNs::from_ms(500),
        }),
        watchdog: armed,
        ..testing::output("run", 0)
    }
}

struct Bench {
    stations: Stations,
    output: OutputConnection,
    events: Vec<OutputEvent>,
    origin: Instant,
}

impl Bench {
    fn new(profile: WatchdogProfile, kind: StationWatchdog) -> Self {
        Self::with(Some((profile, kind)))
    }

    fn with(watchdog: Option<(WatchdogProfile, StationWatchdog)>) -> Self {
        let stations = Stations::start([station(watchdog.map(|(_, kind)| kind))]).unwrap();
        let address = stations.address(0).unwrap();
        let plan = plan(0, address.port(), watchdog.map(|(profile, _)| profile));
        Self {
            output: OutputConnection::new(&plan, address),
            stations,
            events: Vec::new(),
            origin: Instant::now(),
        }
    }

    fn coil(&self) -> bool {
        let coil = self
            .stations
            .with_image(0, |image, _| image.get(Table::Coil, 0));
        coil.flatten() == Some(1)
    }

    fn now(&self) -> MonoNs {
        MonoNs::from_ns(u64::try_from(self.origin.elapsed().as_nanos()).unwrap())
    }

    fn drive(&mut self, permit: Permit) {
        let now = self.now();
        self.events.extend(self.output.drive(permit, now));
    }

    /// Steps until an event that `found` likes; events before it are forgotten.
    fn until(&mut self, what: &str, found: impl Fn(&OutputEvent) -> bool) {
        let started = Instant::now();
        loop {
            if let Some(at) = self.events.iter().position(&found) {
                self.events.drain(..=at);
                return;
            }
            assert!(started.elapsed() < PATIENCE, "{what}: {:?}", self.events);
            let (origin, events) = (self.origin, &mut self.events);
            let clock = || MonoNs::from_ns(u64::try_from(origin.elapsed().as_nanos()).unwrap());
            self.output.step(&clock, |event| events.push(event));
            std::thread::sleep(Duration::from_micros(500));
        }
    }

    fn until_confirmed(&mut self, wanted: Confirmed) {
        self.until(
            "confirmed",
            |event| matches!(event, OutputEvent::Confirmed { value, .. } if *value == wanted),
        );
    }

    fn until_armed(&mut self, wanted: bool) {
        self.until(
            "watchdog",
            |event| matches!(event, OutputEvent::Watchdog { armed, .. } if *armed == wanted),
        );
    }
}

#[test]
fn h63_h64_each_makers_station_is_armed_before_it_runs_and_stops_when_nobody_refreshes() {
    for (profile, kind) in MAKERS {
        let mut bench = Bench::new(profile, kind);
        bench.drive(Permit::Granted);
        bench.until_confirmed(Confirmed::Safe);
        bench.until_armed(true);
        bench.until_confirmed(Confirmed::Run);
        assert!(bench.coil());
        // Nobody steps: the guard is dead.
        let started = Instant::now();
        while bench.coil() {
            assert!(started.elapsed() < PATIENCE, "H-63: {profile:?}");
            std::thread::sleep(Duration::from_millis(5));
        }
        // It lives again: whatever the station answers now, it does not run by itself.
        bench.events.clear();
        bench.until("the drop is seen", |event| {
            matches!(
                event,
                OutputEvent::Overwritten { .. }
                    | OutputEvent::Failed { .. }
                    | OutputEvent::Watchdog { armed: false, .. }
            )
        });
        bench.drive(Permit::Withheld);
        bench.until_confirmed(Confirmed::Safe);
        bench.drive(Permit::Granted);
        bench.until_confirmed(Confirmed::Run);
        assert!(bench.coil(), "{profile:?} can be armed again");
    }
}

#[test]
fn h64_a_station_that_was_switched_off_and_on_is_armed_again_before_it_runs() {
    for (profile, kind) in MAKERS {
        let mut bench = Bench::new(profile, kind);
        bench.drive(Permit::Granted);
        bench.until_confirmed(Confirmed::Run);
        bench.stations.power_cycle(0);
        bench.until_armed(false);
        bench.drive(Permit::Withheld);
        bench.until_confirmed(Confirmed::Safe);
        bench.until_armed(true);
        bench.drive(Permit::Granted);
        bench.until_confirmed(Confirmed::Run);
    }
}

#[test]
fn h64_a_watchdog_that_somebody_switches_off_is_seen_on_the_same_connection() {
    let mut bench = Bench::new(WatchdogProfile::Wago750, StationWatchdog::Wago750);
    bench.drive(Permit::Granted);
    bench.until_confirmed(Confirmed::Run);
    let connects = bench.output.counters().connects;
    let peer = "192.0.2.7:502".parse().unwrap();
    bench.stations.with_image(0, |image, now| {
        image
            .write(now, peer, Table::HoldingRegister, 0x1008, &[0x55AA])
            .unwrap();
    });
    bench.until_armed(false);
    bench.until_armed(true);
    assert_eq!(bench.output.counters().connects, connects);
    assert_eq!(bench.output.counters().watchdog_lapses, 1);
}

#[test]
fn h58_a_gateway_that_echoes_what_it_does_not_do_is_a_fault() {
    let mut bench = Bench::with(None);
    bench.drive(Permit::Granted);
    bench.until_confirmed(Confirmed::Run);
    let lost = Answering::WritesLost;
    bench
        .stations
        .with_image(0, |image, _| image.set_answering(lost));
    bench.drive(Permit::Withheld);
    bench.until("H-58", |event| {
        matches!(
            event,
            OutputEvent::Failed {
                cause: FaultCause::ReadBackDiffers,
                ..
            }
        )
    });
    bench
        .stations
        .with_image(0, |image, _| image.set_answering(Answering::Normally));
    bench.until_confirmed(Confirmed::Safe);
    assert!(!bench.coil());
}

#[test]
fn h60_another_master_is_seen_and_every_one_of_its_writes_is_written_over() {
    let mut bench = Bench::with(None);
    bench.until_confirmed(Confirmed::Safe);
    let rival = Rival {
        table: Table::Coil,
        address: 0,
        value: 1,
        // Not the refresh period: the station looks at the time when a request comes, so the two would fall into step, and
        // each refresh would write over a value that no read-back ever sees.
        every: Duration::from_millis(70),
    };
    bench
        .stations
        .with_image(0, |image, now| image.set_rival(Some(rival), now));
    for _ in 0..5 {
        bench.until("H-60", |event| {
            matches!(event, OutputEvent::Overwritten { .. })
        });
        bench.until_confirmed(Confirmed::Safe);
    }
    bench
        .stations
        .with_image(0, |image, now| image.set_rival(None, now));
    bench.events.clear();
    bench.until_confirmed(Confirmed::Safe);
    bench.until_confirmed(Confirmed::Safe);
    assert!(!bench.coil());
}

#[test]
fn h64_two_outputs_of_one_station_share_its_watchdog_and_both_come_to_run() {
    for (profile, kind) in MAKERS {
        let stations = Stations::start([station(Some(kind))]).unwrap();
        let address = stations.address(0).unwrap();
        let mut outputs = [0, 1]
            .map(|coil| OutputConnection::new(&plan(coil, address.port(), Some(profile)), address));
        let origin = Instant::now();
        let clock = || MonoNs::from_ns(u64::try_from(origin.elapsed().as_nanos()).unwrap());
        let mut proved = [0_u32; 2];
        let mut lapses = 0;
        while proved.iter().any(|proofs| *proofs < 20) {
            assert!(origin.elapsed() < PATIENCE, "{profile:?}: {proved:?}");
            for (output, proved) in outputs.iter_mut().zip(&mut proved) {
                output.drive(Permit::Granted, clock());
                output.step(&clock, |event| match event {
                    OutputEvent::Confirmed {
                        value: Confirmed::Run,
                        ..
                    } => *proved += 1,
                    OutputEvent::Watchdog { armed: false, .. } if *proved > 0 => lapses += 1,
                    _ => {}
                });
            }
            std::thread::sleep(Duration::from_micros(500));
        }
        // One arms while the other already runs, at most.
        assert!(lapses <= 1, "{profile:?}: {lapses}");
    }
}

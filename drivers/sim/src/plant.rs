//! The whole plant, started by one call and ended by dropping it.
//!
//! Register map (addresses counted from zero, big-endian words; unit identifier 1 on both stations):
//!
//! | station | table | address | type | meaning |
//! |---|---|---|---|---|
//! | `press_io` | holding | 100-101 | f32 | bearing vibration, RMS velocity, mm/s |
//! | | holding | 102 | i16 | bearing temperature, 0.1 °C |
//! | | holding | 103 | u16 | hydraulic pressure at the press, 0.1 bar |
//! | | holding | 104 | u16 | shaft speed, rpm |
//! | | holding | 105 | bits | bit 0 guard door closed, bit 1 lubrication ok |
//! | | holding | 106 | u16 | watchdog time, ms; may be written; 0: off |
//! | | discrete | 0 | bit | contactor feedback: 1 while the motor is connected |
//! | | coil | 0 | bit | run permit of the press; under the watchdog; safe: 0 |
//! | | coil | 1 | bit | permit of the conveyor, which also lights its lamp; under the watchdog; safe: 0 |
//! | `hydraulics` | input | 0 | u16 | pump pressure, 0.1 bar |
//! | | input | 1 | i16 | oil temperature, 0.1 °C |
//! | | holding | 0 | u16 | watchdog time, ms; may be written; 0: off |
//! | | coil | 0 | bit | run permit of the pump; under the watchdog; safe: 0 |
//!
//! MQTT: topic `plant/press/bearing/temperature`, QoS 1, not retained, every 100 ms:
//! `{"value": 47.3, "unit": "degC", "seq": 12}`.
//!
//! Which thread: `plant` serves both stations, steps the machine and runs the sensor; `plant-broker` is the broker's.
//! May it block: no. Hazards: see the crate's header.

use crate::broker::{self, Broker, BrokerError};
use crate::image::{Answering, Block, Image, Permit, StationMap, StopTiming, Table, Watch, Write};
use crate::limits::{STEP, STEPS_CAUGHT_UP_MAX};
use crate::press::{Press, Readings};
use crate::sensor::{self, SensorFault};
use crate::server::{Station, bind};
use crate::worker::Worker;
pub mod accelerometer;

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::time::MissedTickBehavior;

const VIBRATION: u16 = 100;
const TEMPERATURE: u16 = 102;
const PRESSURE: u16 = 103;
const SPEED: u16 = 104;
const STATUS: u16 = 105;
const PRESS_WATCHDOG: u16 = 106;
const PUMP_WATCHDOG: u16 = 0;
const CONTACTOR: u16 = 0;
const RUN_PERMIT: u16 = 0;
const CONVEYOR_PERMIT: u16 = 1;
const PUMP_PERMIT: u16 = 0;
const PUMP_PRESSURE: u16 = 0;
const OIL_TEMPERATURE: u16 = 1;

/// How the plant shall be.
#[derive(Clone, Debug)]
pub struct PlantConfig {
    /// Seed of all noise. Same seed, same noise sequence.
    pub seed: u64,
    /// Time after the start at which the bearing begins to fail, while it turns; `None`: it stays healthy.
    pub bearing_fails_after: Option<Duration>,
    /// Whether to run the embedded broker.
    pub broker: bool,
    /// A broker elsewhere for the sensor, when `broker` is false. Neither: there is no sensor.
    pub outside_broker: Option<SocketAddr>,
    /// Port of `press_io` on 127.0.0.1; 0: any.
    pub press_port: u16,
    /// Port of `hydraulics` on 127.0.0.1; 0: any.
    pub hydraulics_port: u16,
    /// Port of the embedded broker on 127.0.0.1; 0: any.
    pub broker_port: u16,
    /// What the stopwatch takes for over-limit, mm/s: the danger limit of the pack under test.
    pub vibration_limit_mm_s: f32,
    /// The stations' watchdog time at power-up; zero: off. At most 65,535 ms.
    pub watchdog: Duration,
}

impl Default for PlantConfig {
    /// Healthy, with broker, any free ports, limit 7.1 mm/s, watchdog 500 ms (five times the demonstration pack's
    /// refresh period: one lost refresh must not stop the machine).
    fn default() -> Self {
        Self {
            seed: 1,
            bearing_fails_after: None,
            broker: true,
            outside_broker: None,
            press_port: 0,
            hydraulics_port: 0,
            broker_port: 0,
            vibration_limit_mm_s: 7.1,
            watchdog: Duration::from_millis(500),
        }
    }
}

/// Why the plant did not start, or cannot do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum PlantError {
    /// A station's port could not be bound.
    #[error(
        "plant: station {station} cannot listen on 127.0.0.1:{port}: {source}. Give another port, or 0 for any free one"
    )]
    Bind {
        /// `press_io` or `hydraulics`.
        station: &'static str,
        /// The port asked for.
        port: u16,
        /// What the system said.
        source: io::Error,
    },
    /// The broker did not start.
    #[error("plant: {0}")]
    Broker(#[from] BrokerError),
    /// The thread or its runtime could not be made.
    #[error(
        "plant: cannot start its thread: {0}. Check the limits on threads and file descriptors (ulimit -u, -n)"
    )]
    Thread(io::Error),
    /// The watchdog time does not fit its register.
    #[error(
        "plant: watchdog of {0:?} does not fit the stations' register of 16 bits in ms. Give at most 65,535 ms"
    )]
    Watchdog(Duration),
    /// The demonstration pack names a broker and the plant has none.
    #[error(
        "plant: the demonstration pack needs an MQTT broker. Start the plant with `broker: true` or an `outside_broker`"
    )]
    NoBroker,
}

/// Which station.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StationName {
    /// The press's remote I/O.
    PressIo,
    /// The hydraulic unit.
    Hydraulics,
}

/// The plant at one moment. True values, whatever the stations serve.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// Time since the start (monotonic).
    pub at: Duration,
    /// What the sensors show.
    pub readings: Readings,
    /// Coil 0 of `press_io`.
    pub run_permit: bool,
    /// Coil 1 of `press_io`.
    pub conveyor_permit: bool,
    /// Coil 0 of `hydraulics`.
    pub pump_permit: bool,
    /// The latest writes to `press_io`, oldest first, at most eight.
    pub last_writes: Vec<Write>,
    /// Modbus connections open to `press_io` and to `hydraulics`.
    pub connections: [usize; 2],
}

/// A running plant. Dropping it closes all its sockets and joins its threads.
#[derive(Debug)]
pub struct Plant {
    // Dropped in this order: first nobody serves, then the broker goes.
    _worker: Worker,
    broker: Option<Broker>,
    inside: Arc<Inside>,
    press_address: SocketAddr,
    hydraulics_address: SocketAddr,
    broker_address: Option<SocketAddr>,
}

#[derive(Debug)]
struct Inside {
    press: Mutex<Press>,
    press_io: Arc<Station>,
    hydraulics: Arc<Station>,
    sensor_fault: Mutex<SensorFault>,
}

impl Plant {
    /// Starts everything. When this returns, all sockets listen and the registers show the plant at rest.
    ///
    /// # Errors
    /// [`PlantError`]: a port is taken, no thread could be started, or the watchdog time is too long. Nothing is left
    /// running then.
    pub fn start(config: &PlantConfig) -> Result<Self, PlantError> {
        if config.watchdog.as_millis() > u128::from(u16::MAX) {
            return Err(PlantError::Watchdog(config.watchdog));
        }
        let listen = |station, port| {
            bind(port).map_err(|source| PlantError::Bind {
                station,
                port,
                source,
            })
        };
        let (press_listener, press_address) = listen("press_io", config.press_port)?;
        let (hydraulics_listener, hydraulics_address) =
            listen("hydraulics", config.hydraulics_port)?;
        let broker = if config.broker {
            Some(broker::start(config.broker_port)?)
        } else {
            None
        };
        let broker_address = broker
            .as_ref()
            .map(Broker::address)
            .or(config.outside_broker);
        let inside = Arc::new(Inside::new(config));
        inside.show(inside.press().readings());
        let running = Arc::clone(&inside);
        let worker = Worker::spawn("plant", move || async move {
            let listeners = (
                tokio::net::TcpListener::from_std(press_listener),
                tokio::net::TcpListener::from_std(hydraulics_listener),
            );
            if let (Ok(press_io), Ok(hydraulics)) = listeners {
                tokio::spawn(Arc::clone(&running.press_io).serve(press_io));
                tokio::spawn(Arc::clone(&running.hydraulics).serve(hydraulics));
            }
            if let Some(address) = broker_address {
                let seen = Arc::clone(&running);
                tokio::spawn(async move { sensor::run(address, || seen.feel()).await });
            }
            running.live().await;
        })
        .map_err(PlantError::Thread)?;
        Ok(Self {
            _worker: worker,
            broker,
            inside,
            press_address,
            hydraulics_address,
            broker_address,
        })
    }

    /// Where a station listens.
    #[must_use]
    pub const fn address(&self, station: StationName) -> SocketAddr {
        match station {
            StationName::PressIo => self.press_address,
            StationName::Hydraulics => self.hydraulics_address,
        }
    }

    /// Where the sensor publishes: the embedded broker or the one outside.
    #[must_use]
    pub const fn broker_address(&self) -> Option<SocketAddr> {
        self.broker_address
    }

    /// The embedded broker, to inject faults into it.
    #[must_use]
    pub const fn broker(&self) -> Option<&Broker> {
        self.broker.as_ref()
    }

    /// The plant now.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        let readings = self.inside.press().readings();
        let (run_permit, conveyor_permit, last_writes) = {
            let image = self.inside.press_io.image();
            let mut writes: Vec<Write> = image.writes().rev().take(8).collect();
            writes.reverse();
            (on(&image, RUN_PERMIT), on(&image, CONVEYOR_PERMIT), writes)
        };
        Snapshot {
            at: self.inside.press_io.now(),
            readings,
            run_permit,
            conveyor_permit,
            pump_permit: on(&self.inside.hydraulics.image(), PUMP_PERMIT),
            last_writes,
            connections: [
                self.inside.press_io.connections(),
                self.inside.hydraulics.connections(),
            ],
        }
    }

    /// All remembered writes to a station, oldest first.
    #[must_use]
    pub fn writes(&self, station: StationName) -> Vec<Write> {
        self.station(station).image().writes().collect()
    }

    /// What the stopwatch of `press_io` shows: over-limit vibration first served, stop write received.
    #[must_use]
    pub fn first_stop(&self) -> StopTiming {
        self.inside.press_io.image().timing()
    }

    /// Sets the stopwatch back, for the next trip.
    pub fn reset_first_stop(&self) {
        self.inside.press_io.image().reset_timing();
    }

    /// Acts on the machine: guard door, leak, bearing, welded contactor.
    pub fn with_press<T>(&self, act: impl FnOnce(&mut Press) -> T) -> T {
        act(&mut self.inside.press())
    }

    /// Acts on a station's memory: freeze, not-a-number, a cell changed behind the gateway's back (H-60).
    pub fn with_image<T>(&self, station: StationName, act: impl FnOnce(&mut Image) -> T) -> T {
        act(&mut self.station(station).image())
    }

    /// Changes how a station answers.
    pub fn set_answering(&self, station: StationName, answering: Answering) {
        self.station(station).image().set_answering(answering);
    }

    /// Closes every connection to a station (H-15). Returns how many there were.
    pub fn drop_connections(&self, station: StationName) -> usize {
        self.station(station).drop_connections()
    }

    /// Serves the vibration register with its present value for ever (H-2).
    pub fn freeze_vibration(&self) {
        let mut image = self.inside.press_io.image();
        image.freeze(Table::HoldingRegister, VIBRATION, 2);
    }

    /// Serves the vibration register as not-a-number (H-21).
    pub fn serve_vibration_nan(&self) {
        self.inside.press_io.image().serve_nan(VIBRATION);
    }

    /// Breaks or mends the MQTT sensor.
    pub fn set_sensor_fault(&self, fault: SensorFault) {
        let mut present = self
            .inside
            .sensor_fault
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        *present = fault;
    }

    /// Ends every fault of stations and sensor. The machine stays as it is: see [`Plant::with_press`].
    pub fn mend(&self) {
        self.inside.press_io.image().mend();
        self.inside.hydraulics.image().mend();
        self.set_sensor_fault(SensorFault::None);
    }

    /// The rule pack of the demonstration, with this plant's addresses filled in. YAML.
    ///
    /// # Errors
    /// [`PlantError::NoBroker`] when there is no broker to name.
    pub fn demo_pack(&self) -> Result<String, PlantError> {
        let broker = self.broker_address.ok_or(PlantError::NoBroker)?;
        Ok(DEMO_PACK
            .replace("{{PRESS_PORT}}", &self.press_address.port().to_string())
            .replace(
                "{{HYDRAULICS_PORT}}",
                &self.hydraulics_address.port().to_string(),
            )
            .replace("{{BROKER_HOST}}", &broker.ip().to_string())
            .replace("{{BROKER_PORT}}", &broker.port().to_string()))
    }

    fn station(&self, station: StationName) -> &Station {
        match station {
            StationName::PressIo => &self.inside.press_io,
            StationName::Hydraulics => &self.inside.hydraulics,
        }
    }
}

/// The demonstration pack with `{{PRESS_PORT}}`, `{{HYDRAULICS_PORT}}`, `{{BROKER_HOST}}` and `{{BROKER_PORT}}` open.
const DEMO_PACK: &str = include_str!("demo-pack.yaml");

impl Inside {
    fn new(config: &PlantConfig) -> Self {
        let epoch = Instant::now();
        let watch = Watch {
            address: VIBRATION,
            limit: config.vibration_limit_mm_s,
            stop_coil: RUN_PERMIT,
            stop_value: 0,
        };
        let press_io = Image::new(press_map(config.watchdog), Some(watch));
        let hydraulics = Image::new(hydraulics_map(config.watchdog), None);
        Self {
            press: Mutex::new(Press::new(config.seed, config.bearing_fails_after)),
            press_io: Station::new(press_io, epoch),
            hydraulics: Station::new(hydraulics, epoch),
            sensor_fault: Mutex::new(SensorFault::None),
        }
    }

    fn press(&self) -> MutexGuard<'_, Press> {
        self.press.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the MQTT sensor feels.
    fn feel(&self) -> (f64, SensorFault) {
        let fault = *self
            .sensor_fault
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        (self.press().readings().bearing_deg_c, fault)
    }

    /// Steps the machine in real time until the runtime ends.
    async fn live(&self) {
        let mut ticks = tokio::time::interval(STEP);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let mut stepped = self.press_io.now();
        loop {
            ticks.tick().await;
            let now = self.press_io.now();
            let mut steps = 0;
            while stepped + STEP <= now && steps < STEPS_CAUGHT_UP_MAX {
                self.step(now);
                stepped += STEP;
                steps += 1;
            }
            if steps == STEPS_CAUGHT_UP_MAX {
                stepped = now;
            }
        }
    }

    /// One step: outputs to the machine, the machine's sensors to the stations.
    fn step(&self, now: Duration) {
        let run = {
            let mut image = self.press_io.image();
            image.expire(now);
            on(&image, RUN_PERMIT)
        };
        let pump = {
            let mut image = self.hydraulics.image();
            image.expire(now);
            on(&image, PUMP_PERMIT)
        };
        let readings = {
            let mut press = self.press();
            press.command(run, pump);
            press.step(STEP);
            press.readings()
        };
        self.show(readings);
    }

    fn show(&self, readings: Readings) {
        let status = u16::from(readings.guard_closed) | (u16::from(readings.lubrication_ok) << 1);
        let mut image = self.press_io.image();
        image.set_f32(VIBRATION, readings.vibration_mm_s as f32);
        let temperature = signed_tenths(readings.bearing_deg_c);
        image.set(Table::HoldingRegister, TEMPERATURE, temperature);
        let pressure = unsigned(readings.pressure_bar * 10.0);
        image.set(Table::HoldingRegister, PRESSURE, pressure);
        image.set(Table::HoldingRegister, SPEED, unsigned(readings.speed_rpm));
        image.set(Table::HoldingRegister, STATUS, status);
        let contactor = u16::from(readings.contactor_closed);
        image.set(Table::DiscreteInput, CONTACTOR, contactor);
        drop(image);
        let mut image = self.hydraulics.image();
        image.set(Table::InputRegister, PUMP_PRESSURE, pressure);
        let oil = signed_tenths(readings.oil_deg_c);
        image.set(Table::InputRegister, OIL_TEMPERATURE, oil);
    }
}

fn press_map(watchdog: Duration) -> StationMap {
    let permit = |address| Permit {
        table: Table::Coil,
        address,
        safe: 0,
    };
    StationMap {
        unit: 1,
        coils: Block { first: 0, count: 2 },
        discrete_inputs: Block { first: 0, count: 1 },
        holding_registers: Block {
            first: VIBRATION,
            count: 7,
        },
        writable: Block {
            first: PRESS_WATCHDOG,
            count: 1,
        },
        permits: vec![permit(RUN_PERMIT), permit(CONVEYOR_PERMIT)],
        watchdog,
        watchdog_register: Some(PRESS_WATCHDOG),
        ..StationMap::default()
    }
}

fn hydraulics_map(watchdog: Duration) -> StationMap {
    let only = Block { first: 0, count: 1 };
    StationMap {
        unit: 1,
        coils: only,
        input_registers: Block { first: 0, count: 2 },
        holding_registers: only,
        writable: only,
        permits: vec![Permit {
            table: Table::Coil,
            address: PUMP_PERMIT,
            safe: 0,
        }],
        watchdog,
        watchdog_register: Some(PUMP_WATCHDOG),
        ..StationMap::default()
    }
}

fn on(image: &Image, coil: u16) -> bool {
    image.get(Table::Coil, coil).is_some_and(|value| value != 0)
}

/// Rounded and held to what the register can show, as a transmitter does at the end of its range.
fn unsigned(value: f64) -> u16 {
    value.round().clamp(0.0, f64::from(u16::MAX)) as u16
}

/// Tenths in two's complement.
fn signed_tenths(value: f64) -> u16 {
    let tenths = (value * 10.0).round();
    (tenths.clamp(f64::from(i16::MIN), f64::from(i16::MAX)) as i16).cast_unsigned()
}

//! The stations, asked over real sockets by an independent client.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "helpers of tests, where a panic is the report"
)]

use drivers_sim::image::{Answering, Table};
use drivers_sim::plant::{Plant, PlantConfig, PlantError, StationName};
use std::time::{Duration, Instant};
use tokio_modbus::client::{Context, Reader, Writer, tcp};
use tokio_modbus::{ExceptionCode, Slave};

const PATIENCE: Duration = Duration::from_secs(20);

fn plant(config: PlantConfig) -> Plant {
    Plant::start(&PlantConfig {
        broker: false,
        ..config
    })
    .unwrap()
}

async fn connect(plant: &Plant, station: StationName) -> Context {
    tcp::connect_slave(plant.address(station), Slave(1))
        .await
        .unwrap()
}

/// Waits until `condition` holds; refreshing, when asked, is up to it.
async fn until(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    let start = Instant::now();
    while !condition().await {
        assert!(start.elapsed() < PATIENCE, "waited too long: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

fn vibration(words: &[u16]) -> f32 {
    f32::from_bits((u32::from(words[0]) << 16) | u32::from(words[1]))
}

#[tokio::test]
async fn every_register_of_the_map_answers_and_nothing_else_does() {
    let plant = plant(PlantConfig::default());
    let mut press = connect(&plant, StationName::PressIo).await;
    let words = press.read_holding_registers(100, 7).await.unwrap().unwrap();
    assert!(vibration(&words) < 0.5, "at rest");
    assert!(
        (200..240).contains(&words[2]),
        "22 degC, in tenths: {}",
        words[2]
    );
    assert_eq!(words[3..], [0, 0, 0b11, 500]);
    assert_eq!(
        press.read_discrete_inputs(0, 1).await.unwrap().unwrap(),
        [false]
    );
    assert_eq!(
        press.read_coils(0, 2).await.unwrap().unwrap(),
        [false, false]
    );
    let missing = Err(ExceptionCode::IllegalDataAddress);
    assert_eq!(press.read_holding_registers(99, 2).await.unwrap(), missing);
    assert_eq!(press.read_input_registers(0, 1).await.unwrap(), missing);
    let refused = press.write_single_register(100, 1).await.unwrap();
    assert_eq!(
        refused,
        Err(ExceptionCode::IllegalDataAddress),
        "a measured value is not written"
    );

    let mut pump = connect(&plant, StationName::Hydraulics).await;
    let words = pump.read_input_registers(0, 2).await.unwrap().unwrap();
    assert_eq!(words[0], 0);
    assert!(
        (295..305).contains(&words[1]),
        "30 degC, in tenths: {}",
        words[1]
    );
    assert_eq!(pump.read_coils(0, 1).await.unwrap().unwrap(), [false]);

    let mut other = tcp::connect_slave(plant.address(StationName::PressIo), Slave(2))
        .await
        .unwrap();
    let answer = other.read_coils(0, 1).await.unwrap();
    assert_eq!(answer, Err(ExceptionCode::GatewayTargetDevice));
}

#[tokio::test]
async fn a_refreshed_permit_runs_the_press_and_an_abandoned_one_falls() {
    let plant = plant(PlantConfig {
        watchdog: Duration::from_millis(300),
        ..PlantConfig::default()
    });
    let mut press = connect(&plant, StationName::PressIo).await;
    until("the press runs up", async || {
        press.write_single_coil(0, true).await.unwrap().unwrap();
        press.read_holding_registers(104, 1).await.unwrap().unwrap()[0] > 500
    })
    .await;
    assert_eq!(
        press.read_discrete_inputs(0, 1).await.unwrap().unwrap(),
        [true]
    );
    assert!(plant.snapshot().run_permit);
    until("the watchdog drops the permit (H-63)", async || {
        press.read_coils(0, 1).await.unwrap().unwrap() == [false]
    })
    .await;
    until("the contactor opens", async || {
        press.read_discrete_inputs(0, 1).await.unwrap().unwrap() == [false]
    })
    .await;
    let writes = plant.writes(StationName::PressIo);
    let (fall, last) = (writes.last().unwrap(), &writes[writes.len() - 2]);
    assert!(fall.peer.is_none() && last.peer.is_some());
    assert!(fall.at - last.at >= Duration::from_millis(300));
}

#[tokio::test]
async fn the_plants_stopwatch_measures_a_polling_client() {
    let plant = plant(PlantConfig {
        bearing_fails_after: Some(Duration::ZERO),
        vibration_limit_mm_s: 2.5,
        ..PlantConfig::default()
    });
    let mut press = connect(&plant, StationName::PressIo).await;
    until("vibration passes the limit", async || {
        press.write_single_coil(0, true).await.unwrap().unwrap();
        let words = press.read_holding_registers(100, 2).await.unwrap().unwrap();
        vibration(&words) > 2.5
    })
    .await;
    assert_eq!(plant.first_stop().reaction(), None);
    press.write_single_coil(0, false).await.unwrap().unwrap();
    let timing = plant.first_stop();
    assert!(
        timing.reaction().is_some_and(|took| took > Duration::ZERO),
        "{timing:?}"
    );
    assert!(timing.from_first_over_limit() >= timing.reaction());
    assert_eq!(timing.watchdog_fell, None);
    until("the press stops", async || {
        plant.snapshot().readings.speed_rpm < 1.0
    })
    .await;
    plant.reset_first_stop();
    assert_eq!(plant.first_stop().first_over_limit, None);
}

#[tokio::test]
async fn scripted_faults_do_what_they_say_and_end() {
    let plant = plant(PlantConfig::default());
    let mut press = connect(&plant, StationName::PressIo).await;

    plant.set_answering(StationName::PressIo, Answering::Exception(4));
    let answer = press.read_coils(0, 1).await.unwrap();
    assert_eq!(answer, Err(ExceptionCode::ServerDeviceFailure), "H-10");
    plant.mend();

    plant.serve_vibration_nan();
    let words = press.read_holding_registers(100, 2).await.unwrap().unwrap();
    assert!(vibration(&words).is_nan(), "H-21");
    plant.mend();

    plant.with_image(StationName::PressIo, |image| {
        image.freeze(Table::HoldingRegister, 105, 1)
    });
    plant.with_press(|press| press.set_guard_closed(false));
    until("the door is seen open inside", async || {
        plant.with_image(StationName::PressIo, |image| {
            image.get(Table::HoldingRegister, 105)
        }) == Some(0b10)
    })
    .await;
    let words = press.read_holding_registers(105, 1).await.unwrap().unwrap();
    assert_eq!(words, [0b11], "H-2");
    plant.mend();
    assert_eq!(
        press.read_holding_registers(105, 1).await.unwrap().unwrap(),
        [0b10]
    );

    plant.set_answering(StationName::PressIo, Answering::WritesLost);
    press.write_single_coil(0, true).await.unwrap().unwrap();
    assert_eq!(
        press.read_coils(0, 1).await.unwrap().unwrap(),
        [false],
        "H-58"
    );
    plant.mend();

    plant.set_answering(
        StationName::PressIo,
        Answering::Late(Duration::from_millis(150)),
    );
    let asked = Instant::now();
    press.read_coils(0, 1).await.unwrap().unwrap();
    assert!(asked.elapsed() >= Duration::from_millis(150), "H-7");
    plant.mend();
}

#[tokio::test]
async fn a_silent_station_answers_nothing_and_a_dropped_connection_can_be_made_again() {
    let plant = plant(PlantConfig::default());
    let mut press = connect(&plant, StationName::PressIo).await;
    plant.set_answering(StationName::PressIo, Answering::Silent);
    let asked = tokio::time::timeout(Duration::from_millis(300), press.read_coils(0, 1)).await;
    assert!(asked.is_err(), "H-6: answered {asked:?}");
    plant.mend();

    let mut press = connect(&plant, StationName::PressIo).await;
    press.read_coils(0, 1).await.unwrap().unwrap();
    assert_eq!(plant.snapshot().connections, [2, 0]);
    assert_eq!(plant.drop_connections(StationName::PressIo), 2);
    assert!(press.read_coils(0, 1).await.is_err(), "H-15");
    until("the station forgets them", async || {
        plant.snapshot().connections == [0, 0]
    })
    .await;
    let mut press = connect(&plant, StationName::PressIo).await;
    press.read_coils(0, 1).await.unwrap().unwrap();
}

#[test]
fn a_taken_port_and_an_impossible_watchdog_are_refused_with_a_way_out() {
    let first = plant(PlantConfig::default());
    let taken = first.address(StationName::Hydraulics).port();
    let second = Plant::start(&PlantConfig {
        hydraulics_port: taken,
        ..PlantConfig::default()
    });
    let text = second.map(|_| ()).unwrap_err().to_string();
    assert!(
        text.contains("hydraulics") && text.contains(&taken.to_string()) && text.contains("or 0"),
        "{text}"
    );
    let long = Duration::from_secs(66);
    let refused = Plant::start(&PlantConfig {
        watchdog: long,
        ..PlantConfig::default()
    });
    assert!(matches!(refused, Err(PlantError::Watchdog(given)) if given == long));
    assert!(matches!(first.demo_pack(), Err(PlantError::NoBroker)));
}

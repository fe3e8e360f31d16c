use super::*;

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn peer() -> SocketAddr {
    "127.0.0.1:1".parse().unwrap()
}

fn image() -> Image {
    let map = StationMap {
        unit: 1,
        coils: Block { first: 0, count: 2 },
        holding_registers: Block {
            first: 100,
            count: 8,
        },
        writable: Block {
            first: 106,
            count: 2,
        },
        permits: vec![
            Permit {
                table: Table::Coil,
                address: 0,
                safe: 0,
            },
            Permit {
                table: Table::HoldingRegister,
                address: 107,
                safe: 9,
            },
        ],
        watchdog: ms(500),
        watchdog_register: Some(106),
        ..StationMap::default()
    };
    let watch = Watch {
        address: 100,
        limit: 7.1,
        stop_coil: 0,
        stop_value: 0,
    };
    Image::new(map, Some(watch))
}

#[test]
fn a_permit_falls_only_when_nobody_writes_it_for_the_watchdog_time() {
    let mut image = image();
    for at in [0, 400, 800] {
        image.write(ms(at), peer(), Table::Coil, 0, &[1]).unwrap();
    }
    image
        .write(ms(1_200), peer(), Table::Coil, 1, &[1])
        .unwrap();
    image.expire(ms(1_299));
    assert_eq!(image.get(Table::Coil, 0), Some(1));
    image.expire(ms(1_300));
    assert_eq!(image.get(Table::Coil, 0), Some(0), "H-63");
    assert_eq!(
        image.get(Table::Coil, 1),
        Some(1),
        "not a permit: holds its last value"
    );
    let fall = image.writes().next_back().unwrap();
    assert_eq!((fall.at, fall.value, fall.peer), (ms(1_300), 0, None));
    image.expire(ms(9_000));
    assert_eq!(image.writes_total(), 5, "it falls once");
}

#[test]
fn a_register_can_be_a_permit_and_the_watchdog_can_be_set_and_read_back() {
    let mut image = image();
    assert_eq!(
        image.read(ms(0), Table::HoldingRegister, 106, 2),
        Ok(vec![500, 9])
    );
    image
        .write(ms(0), peer(), Table::HoldingRegister, 106, &[100, 1])
        .unwrap();
    assert_eq!(
        image.read(ms(99), Table::HoldingRegister, 106, 2),
        Ok(vec![100, 1])
    );
    assert_eq!(
        image.read(ms(100), Table::HoldingRegister, 107, 1),
        Ok(vec![9])
    );
    image
        .write(ms(100), peer(), Table::HoldingRegister, 106, &[0, 1])
        .unwrap();
    assert_eq!(
        image.read(ms(99_000), Table::HoldingRegister, 107, 1),
        Ok(vec![1]),
        "H-64: off"
    );
}

#[test]
fn what_does_not_exist_or_may_not_be_written_is_refused_whole() {
    let mut image = image();
    let no = Err(Refusal::IllegalDataAddress);
    assert_eq!(
        image.read(ms(0), Table::HoldingRegister, 107, 2),
        no.map(|()| vec![])
    );
    assert_eq!(
        image.read(ms(0), Table::InputRegister, 0, 1),
        no.map(|()| vec![])
    );
    assert_eq!(
        image.read(ms(0), Table::Coil, 0, 0),
        Err(Refusal::IllegalDataValue)
    );
    assert_eq!(
        image.read(ms(0), Table::HoldingRegister, 100, 126),
        Err(Refusal::IllegalDataValue)
    );
    assert_eq!(
        image.write(ms(0), peer(), Table::HoldingRegister, 105, &[7, 7]),
        no
    );
    assert_eq!(image.write(ms(0), peer(), Table::Coil, 1, &[1, 1]), no);
    assert_eq!(
        image.write(ms(0), peer(), Table::Coil, u16::MAX, &[1, 1]),
        no
    );
    assert_eq!(image.get(Table::Coil, 1), Some(0));
    assert_eq!(image.writes_total(), 0);
}

#[test]
fn frozen_and_nan_cells_are_served_while_the_truth_goes_on() {
    let mut image = image();
    image.set_f32(100, 1.5);
    image.freeze(Table::HoldingRegister, 100, 2);
    image.set_f32(100, 9.0);
    let [high, low] = words(1.5);
    assert_eq!(
        image.read(ms(0), Table::HoldingRegister, 100, 2),
        Ok(vec![high, low]),
        "H-2"
    );
    image.serve_nan(100);
    let served = image.read(ms(0), Table::HoldingRegister, 100, 2).unwrap();
    let bits = (u32::from(served[0]) << 16) | u32::from(served[1]);
    assert!(f32::from_bits(bits).is_nan(), "H-21");
    image.mend();
    let [high, low] = words(9.0);
    assert_eq!(
        image.read(ms(0), Table::HoldingRegister, 100, 2),
        Ok(vec![high, low])
    );
}

#[test]
fn lost_writes_are_acknowledged_and_feed_no_watchdog() {
    let mut image = image();
    image.write(ms(0), peer(), Table::Coil, 0, &[1]).unwrap();
    image.set_answering(Answering::WritesLost);
    assert_eq!(
        image.write(ms(100), peer(), Table::Coil, 0, &[0]),
        Ok(()),
        "H-58"
    );
    assert_eq!(image.get(Table::Coil, 0), Some(1));
    image.expire(ms(500));
    assert_eq!(image.get(Table::Coil, 0), Some(0));
}

#[test]
fn the_stopwatch_runs_from_the_reply_that_told_to_the_write_that_stopped() {
    let mut image = image();
    let poll = |image: &mut Image, at, value| {
        image.set_f32(100, value);
        image.read(ms(at), Table::HoldingRegister, 100, 6).unwrap();
    };
    poll(&mut image, 1, 8.0);
    assert_eq!(image.timing(), StopTiming::default(), "nothing to stop yet");
    image.write(ms(2), peer(), Table::Coil, 0, &[1]).unwrap();
    poll(&mut image, 5, 7.2);
    poll(&mut image, 10, 7.0);
    poll(&mut image, 15, 7.2);
    poll(&mut image, 20, 7.3);
    image.write(ms(25), peer(), Table::Coil, 0, &[1]).unwrap();
    assert_eq!(image.timing().reaction(), None, "a refresh is not a stop");
    image.write(ms(36), peer(), Table::Coil, 0, &[0]).unwrap();
    image.write(ms(40), peer(), Table::Coil, 0, &[0]).unwrap();
    poll(&mut image, 45, 1.0);
    let timing = image.timing();
    assert_eq!(timing.reaction(), Some(ms(21)));
    assert_eq!(timing.from_first_over_limit(), Some(ms(31)));
    assert_eq!(timing.watchdog_fell, None);
    image.reset_timing();
    assert_eq!(image.timing(), StopTiming::default());
}

#[test]
fn a_fall_by_the_watchdog_is_not_counted_as_a_stop() {
    let mut image = image();
    image.write(ms(0), peer(), Table::Coil, 0, &[1]).unwrap();
    image.set_f32(100, 8.0);
    image.read(ms(10), Table::HoldingRegister, 100, 2).unwrap();
    image.expire(ms(500));
    image.write(ms(501), peer(), Table::Coil, 0, &[0]).unwrap();
    assert_eq!(image.timing().watchdog_fell, Some(ms(500)));
    assert_eq!(image.timing().reaction(), None);
}

#[test]
fn the_record_of_writes_is_bounded() {
    let mut image = image();
    for at in 0..2_000 {
        image.write(ms(at), peer(), Table::Coil, 1, &[1]).unwrap();
    }
    assert_eq!(image.writes().count(), WRITES_KEPT);
    assert_eq!(image.writes_total(), 2_000);
    assert_eq!(image.writes().next_back().unwrap().at, ms(1_999));
}

mod stations {
    use super::*;

    fn station(watchdog: StationWatchdog) -> Image {
        let coil = Permit {
            table: Table::Coil,
            address: 0,
            safe: 0,
        };
        let map = StationMap {
            unit: 1,
            coils: Block { first: 0, count: 1 },
            discrete_inputs: Block { first: 0, count: 1 },
            permits: vec![coil],
            station_watchdog: Some(watchdog),
            feedbacks: vec![Feedback {
                table: Table::Coil,
                output: 0,
                safe: 0,
                input: 0,
                safe_shows: true,
                delay: ms(12),
            }],
            ..StationMap::default()
        };
        Image::new(map, None)
    }

    fn write(
        image: &mut Image,
        at: u64,
        table: Table,
        address: u16,
        value: u16,
    ) -> Result<(), Refusal> {
        image.heard(ms(at), if table == Table::Coil { 5 } else { 6 });
        image.write(ms(at), peer(), table, address, &[value])
    }

    fn register(image: &mut Image, at: u64, address: u16) -> u16 {
        image.heard(ms(at), 3);
        image
            .read(ms(at), Table::HoldingRegister, address, 1)
            .unwrap()[0]
    }

    fn coil(image: &Image) -> Option<u16> {
        image.get(Table::Coil, 0)
    }

    #[test]
    fn h64_a_wago_runs_only_after_its_trigger_changed_and_is_fed_by_the_functions_of_its_mask() {
        let mut image = station(StationWatchdog::Wago750);
        assert_eq!(register(&mut image, 0, 0x1006), 0, "off after power-up");
        write(&mut image, 0, Table::Coil, 0, 1).unwrap();
        image.expire(ms(100_000));
        assert_eq!(coil(&image), Some(1), "and holds its outputs for ever");

        let registers = Table::HoldingRegister;
        for (address, value) in [(0x1008, 0x55AA), (0x1000, 5), (0x1001, 0x30), (0x1003, 1)] {
            write(&mut image, 100_000, registers, address, value).unwrap();
        }
        assert_eq!(register(&mut image, 100_000, 0x1006), 1);
        let refused = write(&mut image, 100_000, registers, 0x1000, 600);
        assert_eq!(refused, Err(Refusal::IllegalDataValue), "it runs");
        // Reads feed nothing, writes do.
        write(&mut image, 100_400, Table::Coil, 0, 1).unwrap();
        image.heard(ms(100_800), 1);
        image.expire(ms(100_899));
        assert_eq!(coil(&image), Some(1));
        image.expire(ms(100_900));
        assert_eq!(coil(&image), Some(0), "H-63");
        assert_eq!(register(&mut image, 100_900, 0x1006), 2);
        let refused = write(&mut image, 100_901, Table::Coil, 0, 1);
        assert_eq!(refused, Err(Refusal::DeviceFailure));
        // Armed again as the profile does it: the trigger holds 1 already, so it takes another value.
        for (address, value) in [(0x1008, 0x55AA), (0x1000, 5), (0x1001, 0x30), (0x1003, 1)] {
            write(&mut image, 101_000, registers, address, value).unwrap();
        }
        assert_eq!(register(&mut image, 101_000, 0x1006), 0);
        write(&mut image, 101_000, registers, 0x1003, 2).unwrap();
        assert_eq!(register(&mut image, 101_000, 0x1006), 1);
        write(&mut image, 101_001, Table::Coil, 0, 1).unwrap();
        image.power_cycle(ms(101_002));
        assert_eq!(
            (coil(&image), register(&mut image, 101_003, 0x1006)),
            (Some(0), 0)
        );
    }

    #[test]
    fn h64_a_turck_forgets_its_time_when_it_is_switched_off() {
        let mut image = station(StationWatchdog::Turck);
        write(&mut image, 0, Table::HoldingRegister, 0x1120, 500).unwrap();
        write(&mut image, 0, Table::Coil, 0, 1).unwrap();
        image.heard(ms(400), 3);
        image.expire(ms(899));
        assert_eq!(coil(&image), Some(1), "any telegram feeds it");
        image.expire(ms(900));
        assert_eq!(coil(&image), Some(0), "H-63");
        write(&mut image, 901, Table::Coil, 0, 1).unwrap();
        image.expire(ms(1_401));
        assert_eq!(
            coil(&image),
            Some(0),
            "it runs again with the next telegram"
        );
        image.power_cycle(ms(1_500));
        assert_eq!(register(&mut image, 1_501, 0x1120), 0, "H-64");
        write(&mut image, 1_502, Table::Coil, 0, 1).unwrap();
        image.expire(ms(100_000));
        assert_eq!(coil(&image), Some(1));
    }

    #[test]
    fn h64_a_beckhoff_runs_with_the_first_write_and_waits_for_its_reset() {
        let mut image = station(StationWatchdog::BeckhoffBk);
        let registers = Table::HoldingRegister;
        write(&mut image, 0, registers, 0x1122, 0).unwrap();
        write(&mut image, 0, registers, 0x1120, 700).unwrap();
        write(&mut image, 0, Table::Coil, 0, 1).unwrap();
        let refused = write(&mut image, 100, registers, 0x1120, 9_000);
        assert_eq!(refused, Err(Refusal::IllegalDataValue), "it runs");
        image.heard(ms(600), 3);
        image.expire(ms(800));
        assert_eq!(coil(&image), Some(0), "only writes feed it");
        let refused = write(&mut image, 900, Table::Coil, 0, 1);
        assert_eq!(refused, Err(Refusal::DeviceFailure));
        for word in [0xBECF, 0xAFFE] {
            write(&mut image, 901, registers, 0x1121, word).unwrap();
        }
        write(&mut image, 902, Table::Coil, 0, 1).unwrap();
        image.power_cycle(ms(1_000));
        assert_eq!(register(&mut image, 1_001, 0x1120), 700, "kept");
    }

    #[test]
    fn h59_a_feedback_follows_after_its_delay_unless_its_contacts_are_welded() {
        let mut image = station(StationWatchdog::Turck);
        let contact =
            |image: &mut Image, at: u64| image.read(ms(at), Table::DiscreteInput, 0, 1).unwrap()[0];
        assert_eq!(contact(&mut image, 0), 1, "safe");
        write(&mut image, 100, Table::Coil, 0, 1).unwrap();
        assert_eq!(contact(&mut image, 111), 1);
        assert_eq!(contact(&mut image, 112), 0);
        image.set_welded(0, true);
        write(&mut image, 200, Table::Coil, 0, 0).unwrap();
        assert_eq!(
            (coil(&image), contact(&mut image, 5_000)),
            (Some(0), 0),
            "H-59"
        );
        image.set_welded(0, false);
        contact(&mut image, 5_001);
        assert_eq!(contact(&mut image, 5_020), 1);
    }

    #[test]
    fn h10_a_module_that_was_taken_out_refuses_reads_and_only_its_own() {
        let mut image = station(StationWatchdog::Turck);
        image.set_absent(Table::DiscreteInput, 0, true);
        let refused = image.read(ms(1), Table::DiscreteInput, 0, 1);
        assert_eq!(refused, Err(Refusal::IllegalDataAddress));
        assert!(image.read(ms(1), Table::Coil, 0, 1).is_ok());
        image.mend();
        assert!(image.read(ms(2), Table::DiscreteInput, 0, 1).is_ok());
    }

    #[test]
    fn h60_another_master_writes_again_and_again_and_is_in_the_record() {
        let mut image = station(StationWatchdog::Turck);
        let rival = Rival {
            table: Table::Coil,
            address: 0,
            value: 1,
            every: ms(10),
        };
        image.set_rival(Some(rival), ms(100));
        image.expire(ms(100));
        assert_eq!(coil(&image), Some(1));
        write(&mut image, 101, Table::Coil, 0, 0).unwrap();
        image.expire(ms(109));
        assert_eq!(coil(&image), Some(0));
        image.expire(ms(110));
        assert_eq!(coil(&image), Some(1), "H-60");
        assert_eq!(image.writes().last().unwrap().peer, Some(Rival::PEER));
        image.set_rival(None, ms(111));
        write(&mut image, 111, Table::Coil, 0, 0).unwrap();
        image.expire(ms(500));
        assert_eq!(coil(&image), Some(0));
    }
}

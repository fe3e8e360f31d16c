use drivers_modbus::codec::server::{self, RequestBody};
use drivers_modbus::codec::{ReadRequest, Table};
use rules_bundle::{
    OutputTarget, ReadBackPlan, RegisterMatch, RegisterValue, WatchdogPlan, testing,
};

use super::*;

fn plan() -> OutputPlan {
    OutputPlan {
        target: OutputTarget::Coil {
            address: 7,
            run: true,
        },
        ..testing::output("press_run", 0)
    }
}

fn with_read_back() -> OutputPlan {
    OutputPlan {
        read_back: Some(ReadBackPlan {
            period: DurNs::from_ms(300),
            within: DurNs::from_ms(20),
        }),
        ..plan()
    }
}

fn with_watchdog() -> OutputPlan {
    let register = |address, value| RegisterValue { address, value };
    OutputPlan {
        watchdog: Some(WatchdogPlan {
            profile: "generic".into(),
            time: DurNs::from_ms(500),
            arm: vec![register(200, 5), register(201, 1)],
            expect: vec![RegisterMatch {
                address: 202,
                mask: 1,
                value: 1,
            }],
            check_every: DurNs::from_ms(1_000),
        }),
        ..plan()
    }
}

fn ms(ms: u64) -> MonoNs {
    MonoNs::from_ns(ms * 1_000_000)
}

/// Function, address and value of a request.
fn sent(frame: Frame) -> (u8, u16, u16) {
    let word = |at: usize| u16::from_be_bytes([frame[at], frame[at + 1]]);
    (frame[7], word(8), word(10))
}

const STOP: (u8, u16, u16) = (5, 7, 0x0000);
const RUN: (u8, u16, u16) = (5, 7, 0xFF00);
const LOOK: (u8, u16, u16) = (1, 7, 1);
const ARM: [(u8, u16, u16); 2] = [(6, 200, 5), (6, 201, 1)];
const CHECK: (u8, u16, u16) = (3, 202, 1);

fn value(event: Option<OutputEvent>) -> Option<Confirmed> {
    match event {
        Some(OutputEvent::Confirmed { value, .. }) => Some(value),
        _ => None,
    }
}

/// What a device answers that holds `held`.
fn answer(frame: Frame, held: u16) -> Vec<u8> {
    let request = server::decode_request(&frame).unwrap();
    let (transaction, unit) = (request.transaction, request.unit);
    let mut buf = [0; 260];
    match request.body {
        RequestBody::Write(_) => frame.to_vec(),
        RequestBody::Read(ReadRequest { table, .. }) => if table == Table::Coils {
            server::encode_bits(&mut buf, transaction, unit, table, &[held != 0])
        } else {
            server::encode_registers(&mut buf, transaction, unit, table, &[held])
        }
        .unwrap()
        .to_vec(),
    }
}

fn exception(frame: Frame, code: u8) -> Vec<u8> {
    let mut buf = [0; 260];
    let transaction = u16::from_be_bytes([frame[0], frame[1]]);
    server::encode_exception(&mut buf, transaction, 1, frame[7], code)
        .unwrap()
        .to_vec()
}

/// Sends what is due, which must be `expected`, and takes a right answer of a device that holds `held`.
fn exchange(
    machine: &mut Machine,
    at: MonoNs,
    expected: (u8, u16, u16),
    held: u16,
) -> Result<Option<OutputEvent>, FaultCause> {
    let frame = machine.frame_due(at).expect("something is due");
    assert_eq!(sent(frame), expected);
    machine.on_reply(&answer(frame, held), at)
}

#[test]
fn i9_boot_writes_the_safe_value_first() {
    let mut machine = Machine::new(&plan());
    assert_eq!(sent(machine.frame_due(ms(0)).unwrap()), STOP, "I9");
}

#[test]
fn i2_the_permit_is_refreshed_only_while_granted() {
    let mut machine = Machine::new(&plan());
    machine.set_permit(Permit::Granted, ms(0));
    let mut runs = 0;
    for step in 0..100 {
        if let Some(frame) = machine.frame_due(ms(step * 10)) {
            assert_eq!(sent(frame), RUN);
            runs += 1;
            let event = machine.on_reply(&frame, ms(step * 10)).unwrap();
            assert_eq!(value(event), Some(Confirmed::Run));
        }
    }
    assert_eq!(runs, 10);
    machine.set_permit(Permit::Withheld, ms(1_000));
    for step in 100..200 {
        if let Some(frame) = machine.frame_due(ms(step * 10)) {
            assert_eq!(sent(frame), STOP, "I2");
            machine.on_reply(&frame, ms(step * 10)).unwrap();
        }
    }
}

#[test]
fn h61_a_stop_does_not_wait_for_the_answer_to_a_refresh() {
    let mut machine = Machine::new(&plan());
    machine.set_permit(Permit::Granted, ms(0));
    let refresh = machine.frame_due(ms(0)).unwrap();
    machine.set_permit(Permit::Withheld, ms(1));
    assert_eq!(machine.next_due(), ms(1));
    let stop = machine.frame_due(ms(1)).unwrap();
    assert_eq!(sent(stop), STOP);
    assert_eq!(
        value(machine.on_reply(&refresh, ms(2)).unwrap()),
        None,
        "the run echo proves nothing any more"
    );
    assert_eq!(
        value(machine.on_reply(&stop, ms(3)).unwrap()),
        Some(Confirmed::Safe)
    );
}

#[test]
fn h61_a_stop_does_not_wait_for_a_read_back_nor_for_the_watchdog() {
    let mut machine = Machine::new(&with_read_back());
    machine.set_permit(Permit::Granted, ms(0));
    exchange(&mut machine, ms(0), RUN, 0).unwrap();
    let look = machine.frame_due(ms(0)).unwrap();
    assert_eq!(sent(look), LOOK);
    machine.set_permit(Permit::Withheld, ms(1));
    let stop = machine.frame_due(ms(1)).unwrap();
    assert_eq!(sent(stop), STOP);
    let late = machine.on_reply(&answer(look, 0xFF00), ms(2)).unwrap();
    assert_eq!(late, None, "what the place held before the stop is nothing");
    assert_eq!(machine.on_reply(&stop, ms(2)), Ok(None));
    let proof = exchange(&mut machine, ms(3), LOOK, 0).unwrap();
    assert_eq!(value(proof), Some(Confirmed::Safe));

    let mut machine = Machine::new(&with_watchdog());
    exchange(&mut machine, ms(0), STOP, 0).unwrap();
    exchange(&mut machine, ms(0), ARM[0], 0).unwrap();
    exchange(&mut machine, ms(0), ARM[1], 0).unwrap();
    exchange(&mut machine, ms(0), CHECK, 1).unwrap();
    machine.set_permit(Permit::Granted, ms(1));
    for at in (1..1_000).step_by(100) {
        exchange(&mut machine, ms(at), RUN, 0).unwrap();
    }
    let check = machine.frame_due(ms(1_000)).unwrap();
    assert_eq!(sent(check), CHECK);
    machine.set_permit(Permit::Withheld, ms(1_001));
    let stop = machine.frame_due(ms(1_001)).unwrap();
    assert_eq!(sent(stop), STOP);
    machine.on_reply(&answer(check, 1), ms(1_002)).unwrap();
    let event = machine.on_reply(&stop, ms(1_002)).unwrap();
    assert_eq!(value(event), Some(Confirmed::Safe));
}

#[test]
fn a_start_waits_for_what_is_on_its_way_so_that_a_stop_always_finds_room() {
    let mut machine = Machine::new(&plan());
    let stop = machine.frame_due(ms(0)).unwrap();
    for at in 1..20 {
        machine.set_permit(Permit::Granted, ms(at));
        assert_eq!(machine.frame_due(ms(at)), None);
        machine.set_permit(Permit::Withheld, ms(at));
        assert_eq!(machine.frame_due(ms(at)), None, "one stop is on its way");
    }
    let event = machine.on_reply(&stop, ms(20)).unwrap();
    assert_eq!(value(event), Some(Confirmed::Safe));
}

#[test]
fn h57_a_stop_that_is_not_echoed_is_overdue_and_written_again_on_the_next_connection() {
    let mut machine = Machine::new(&plan());
    machine.frame_due(ms(0)).unwrap();
    assert_eq!(machine.overdue(ms(50)), None);
    assert_eq!(
        machine.overdue(ms(51)),
        Some(FaultCause::NotConfirmed),
        "H-57"
    );
    machine.connection_lost(ms(51));
    assert_eq!(sent(machine.frame_due(ms(51)).unwrap()), STOP);
}

#[test]
fn h57_anything_but_the_exact_echo_is_a_fault() {
    for position in 0..12 {
        let mut machine = Machine::new(&plan());
        let mut echo = machine.frame_due(ms(0)).unwrap();
        echo[position] ^= 1;
        assert!(
            machine.on_reply(&echo, ms(1)).is_err(),
            "H-57: byte {position}"
        );
    }
    let mut machine = Machine::new(&plan());
    let frame = machine.frame_due(ms(0)).unwrap();
    assert!(matches!(
        machine.on_reply(&exception(frame, 6), ms(1)),
        Err(FaultCause::WrongEcho(_))
    ));
    let mut idle = Machine::new(&plan());
    assert_eq!(
        idle.on_reply(&[0; 12], ms(1)),
        Err(FaultCause::Unsolicited),
        "H-13"
    );
}

#[test]
fn h58_an_echo_is_not_believed_before_the_place_was_read() {
    let mut machine = Machine::new(&with_read_back());
    assert_eq!(exchange(&mut machine, ms(0), STOP, 0), Ok(None));
    assert!(!machine.is_safe());
    let proof = exchange(&mut machine, ms(4), LOOK, 0).unwrap();
    assert_eq!(
        proof,
        Some(OutputEvent::Confirmed {
            value: Confirmed::Safe,
            at: ms(4),
            round_trip: DurNs::from_ms(4)
        })
    );
    assert!(machine.is_safe());
    // A refresh is no proof; the next look is one again.
    assert_eq!(exchange(&mut machine, ms(100), STOP, 0), Ok(None));
    exchange(&mut machine, ms(200), STOP, 0).unwrap();
    exchange(&mut machine, ms(300), STOP, 0).unwrap();
    let again = exchange(&mut machine, ms(304), LOOK, 0).unwrap();
    assert_eq!(value(again), Some(Confirmed::Safe));
}

#[test]
fn h58_a_place_may_follow_late_but_not_too_late() {
    let late = |follows_at: u64| {
        let mut machine = Machine::new(&with_read_back());
        exchange(&mut machine, ms(0), STOP, 0).unwrap();
        for at in 1..100 {
            while let Some(frame) = machine.frame_due(ms(at)) {
                let held = if at < follows_at { 0xFF00 } else { 0 };
                match machine.on_reply(&answer(frame, held), ms(at)) {
                    Ok(None) => {}
                    Ok(event) => return (at, Ok(value(event).unwrap())),
                    Err(fault) => return (at, Err(fault)),
                }
            }
        }
        panic!("neither proved nor refuted");
    };
    let (at, proof) = late(15);
    assert_eq!(proof, Ok(Confirmed::Safe));
    assert!(at < 21);
    assert_eq!(late(50), (20, Err(FaultCause::ReadBackDiffers)), "H-58");
}

#[test]
fn h60_another_master_is_seen_told_and_written_over() {
    let mut machine = Machine::new(&with_read_back());
    exchange(&mut machine, ms(0), STOP, 0).unwrap();
    exchange(&mut machine, ms(0), LOOK, 0).unwrap();
    for at in [100, 200, 300] {
        exchange(&mut machine, ms(at), STOP, 0).unwrap();
    }
    let seen = exchange(&mut machine, ms(301), LOOK, 0xFF00).unwrap();
    assert_eq!(seen, Some(OutputEvent::Overwritten { at: ms(301) }), "H-60");
    assert!(!machine.is_safe());
    exchange(&mut machine, ms(301), STOP, 0).unwrap();
    let proof = exchange(&mut machine, ms(302), LOOK, 0).unwrap();
    assert_eq!(value(proof), Some(Confirmed::Safe));
    assert_eq!(machine.counters().overwritten, 1);
}

#[test]
fn h60_a_permit_that_somebody_took_away_is_not_given_again_by_itself() {
    let mut machine = Machine::new(&with_read_back());
    machine.set_permit(Permit::Granted, ms(0));
    exchange(&mut machine, ms(0), RUN, 0).unwrap();
    exchange(&mut machine, ms(0), LOOK, 0xFF00).unwrap();
    for at in [100, 200, 300] {
        exchange(&mut machine, ms(at), RUN, 0).unwrap();
    }
    let seen = exchange(&mut machine, ms(301), LOOK, 0).unwrap();
    assert_eq!(seen, Some(OutputEvent::Overwritten { at: ms(301) }));
    for at in 301..2_000 {
        while let Some(frame) = machine.frame_due(ms(at)) {
            assert_ne!(sent(frame), RUN);
            machine.on_reply(&answer(frame, 0), ms(at)).unwrap();
        }
    }
    machine.set_permit(Permit::Withheld, ms(2_000));
    exchange(&mut machine, ms(2_000), STOP, 0).unwrap();
    exchange(&mut machine, ms(2_000), LOOK, 0).unwrap();
    machine.set_permit(Permit::Granted, ms(2_001));
    exchange(&mut machine, ms(2_001), RUN, 0).unwrap();
}

#[test]
fn h64_no_run_value_is_sent_before_the_watchdog_is_armed_and_read_back() {
    let mut machine = Machine::new(&with_watchdog());
    machine.set_permit(Permit::Granted, ms(0));
    let safe = exchange(&mut machine, ms(0), STOP, 0).unwrap();
    assert_eq!(value(safe), Some(Confirmed::Safe), "safe first, unarmed");
    exchange(&mut machine, ms(1), ARM[0], 0).unwrap();
    exchange(&mut machine, ms(1), ARM[1], 0).unwrap();
    assert_eq!(machine.watchdog_armed(), Some(false));
    assert_eq!(machine.take_note(), None);
    exchange(&mut machine, ms(2), CHECK, 1).unwrap();
    let armed = OutputEvent::Watchdog {
        armed: true,
        at: ms(2),
    };
    assert_eq!(machine.take_note(), Some(armed));
    assert_eq!(machine.take_note(), None);
    let run = exchange(&mut machine, ms(2), RUN, 0).unwrap();
    assert_eq!(value(run), Some(Confirmed::Run));
}

#[test]
fn h64_a_lapse_is_told_stops_and_is_armed_again() {
    let mut machine = Machine::new(&with_watchdog());
    machine.set_permit(Permit::Granted, ms(0));
    for expected in [STOP, ARM[0], ARM[1]] {
        exchange(&mut machine, ms(0), expected, 0).unwrap();
    }
    exchange(&mut machine, ms(0), CHECK, 1).unwrap();
    machine.take_note();
    for at in (0..1_000).step_by(100) {
        exchange(&mut machine, ms(at), RUN, 0).unwrap();
    }
    exchange(&mut machine, ms(1_000), RUN, 0).unwrap();
    // A device that was switched off and on between two looks.
    exchange(&mut machine, ms(1_000), CHECK, 0).unwrap();
    let lapsed = OutputEvent::Watchdog {
        armed: false,
        at: ms(1_000),
    };
    assert_eq!(machine.take_note(), Some(lapsed), "H-64");
    let safe = exchange(&mut machine, ms(1_000), STOP, 0).unwrap();
    assert_eq!(value(safe), Some(Confirmed::Safe));
    exchange(&mut machine, ms(1_000), CHECK, 0).unwrap();
    for expected in ARM {
        exchange(&mut machine, ms(1_001), expected, 0).unwrap();
    }
    exchange(&mut machine, ms(1_001), CHECK, 1).unwrap();
    assert!(machine.take_note().is_some());
    exchange(&mut machine, ms(1_001), RUN, 0).unwrap();
    assert_eq!(machine.counters().watchdog_lapses, 1);
}

#[test]
fn h64_a_watchdog_that_cannot_be_armed_is_told_and_tried_again_without_hurry() {
    let mut machine = Machine::new(&with_watchdog());
    machine.set_permit(Permit::Granted, ms(0));
    let (mut checks, mut told) = (0, 0);
    for at in 0..5_000 {
        while let Some(frame) = machine.frame_due(ms(at)) {
            let reply = if sent(frame) == CHECK {
                checks += 1;
                exception(frame, 2)
            } else {
                assert_ne!(sent(frame), RUN, "H-64");
                answer(frame, 0)
            };
            machine.on_reply(&reply, ms(at)).unwrap();
            told += usize::from(machine.take_note().is_some());
        }
    }
    // Each second one look before the arming, and one after it.
    assert_eq!((checks, told), (9, 1));
}

#[test]
fn h64_a_watchdog_that_another_output_of_the_station_armed_meanwhile_is_not_disturbed() {
    let mut machine = Machine::new(&with_watchdog());
    for expected in [STOP, ARM[0], ARM[1]] {
        exchange(&mut machine, ms(0), expected, 0).unwrap();
    }
    // The other one stopped it to arm it.
    exchange(&mut machine, ms(0), CHECK, 0).unwrap();
    for at in (100..1_000).step_by(100) {
        exchange(&mut machine, ms(at), STOP, 0).unwrap();
    }
    exchange(&mut machine, ms(1_000), STOP, 0).unwrap();
    exchange(&mut machine, ms(1_000), CHECK, 1).unwrap();
    assert_eq!(machine.watchdog_armed(), Some(true), "nothing was written");
}

#[test]
fn h64_a_station_whose_watchdog_ran_out_refuses_writes_until_it_is_armed_again() {
    let mut machine = Machine::new(&with_watchdog());
    let stop = machine.frame_due(ms(0)).unwrap();
    let failed = machine.on_reply(&exception(stop, 4), ms(1)).unwrap();
    assert!(matches!(failed, Some(OutputEvent::Failed { .. })), "H-57");
    exchange(&mut machine, ms(1), ARM[0], 0).unwrap();
    exchange(&mut machine, ms(2), ARM[1], 0).unwrap();
    exchange(&mut machine, ms(3), CHECK, 1).unwrap();
    let safe = exchange(&mut machine, ms(3), STOP, 0).unwrap();
    assert_eq!(
        value(safe),
        Some(Confirmed::Safe),
        "as soon as it takes writes"
    );
    // One that goes on refusing is connected to anew, like any other.
    let mut machine = Machine::new(&with_watchdog());
    let stop = machine.frame_due(ms(0)).unwrap();
    machine.on_reply(&exception(stop, 4), ms(1)).unwrap();
    let mut refused = None;
    for at in 1..500 {
        if let Some(frame) = machine.frame_due(ms(at)) {
            refused = machine.on_reply(&exception(frame, 4), ms(at)).err();
        }
        if refused.is_some() {
            break;
        }
    }
    assert!(matches!(refused, Some(FaultCause::WrongEcho(_))));
}

#[test]
fn h64_every_connection_is_armed_anew() {
    let mut machine = Machine::new(&with_watchdog());
    machine.set_permit(Permit::Granted, ms(0));
    for expected in [STOP, ARM[0], ARM[1]] {
        exchange(&mut machine, ms(0), expected, 0).unwrap();
    }
    exchange(&mut machine, ms(0), CHECK, 1).unwrap();
    machine.take_note();
    machine.connection_lost(ms(10));
    let lost = OutputEvent::Watchdog {
        armed: false,
        at: ms(10),
    };
    assert_eq!(machine.take_note(), Some(lost));
    for expected in [STOP, ARM[0], ARM[1]] {
        exchange(&mut machine, ms(20), expected, 0).unwrap();
    }
}

#[test]
fn a_counter_that_the_device_takes_late_is_not_another_master() {
    let mut machine = Machine::new(&OutputPlan {
        target: OutputTarget::Counter {
            address: 3,
            safe: 0,
        },
        refresh: DurNs::from_ms(5),
        read_back: Some(ReadBackPlan {
            period: DurNs::from_ms(7),
            within: DurNs::from_ms(12),
        }),
        ..plan()
    });
    machine.set_permit(Permit::Granted, ms(0));
    // The place shows what was written 4 ms ago; later it stops moving.
    let mut history: Vec<(u64, u16)> = vec![(0, 0)];
    let (mut proofs, mut stuck_since, mut overwritten) = (0, None, None);
    for at in 0..2_000 {
        while let Some(frame) = machine.frame_due(ms(at)) {
            let (function, _, word) = sent(frame);
            if function == 6 {
                history.push((at, word));
            }
            let seen_until = stuck_since.unwrap_or(at).saturating_sub(4);
            let held = history.iter().rev().find(|(when, _)| *when <= seen_until);
            let reply = answer(frame, held.map_or(0, |(_, word)| *word));
            match machine.on_reply(&reply, ms(at)) {
                Ok(Some(OutputEvent::Confirmed { .. })) => proofs += 1,
                Ok(Some(OutputEvent::Overwritten { at })) => overwritten = Some(at),
                Ok(_) => {}
                Err(fault) => panic!("{fault:?} at {at} ms"),
            }
        }
        if overwritten.is_some() {
            break;
        }
        if at == 1_000 {
            assert!(proofs > 20, "{proofs}");
            stuck_since = Some(at);
        }
    }
    assert!(overwritten.unwrap() > ms(1_000));
}

#[test]
fn a_machine_that_stands_by_only_looks_until_it_is_fired() {
    let mut machine = Machine::standing_by(&with_watchdog(), DurNs::from_ms(500));
    machine.set_permit(Permit::Granted, ms(0));
    assert_eq!(machine.permit(), Permit::Withheld);
    let mut looks = 0;
    for at in 0..2_000 {
        while let Some(frame) = machine.frame_due(ms(at)) {
            assert_eq!(sent(frame), LOOK);
            looks += 1;
            // A device that cannot be read this way is as good: the connection works.
            let reply = if looks % 2 == 0 {
                exception(frame, 1)
            } else {
                answer(frame, 0xFF00)
            };
            assert_eq!(machine.on_reply(&reply, ms(at)), Ok(None));
        }
    }
    assert_eq!(looks, 4);
    // Also behind a look that is on its way.
    let look = machine.frame_due(ms(2_000)).unwrap();
    machine.fire(ms(2_001));
    let stop = machine.frame_due(ms(2_001)).unwrap();
    assert_eq!(sent(stop), STOP);
    assert_eq!(machine.on_reply(&exception(look, 1), ms(2_002)), Ok(None));
    let safe = machine.on_reply(&stop, ms(2_002)).unwrap();
    assert_eq!(value(safe), Some(Confirmed::Safe));
    machine.set_permit(Permit::Granted, ms(2_003));
    let mut stops = 0;
    for at in 2_003..3_003 {
        while let Some(frame) = machine.frame_due(ms(at)) {
            assert_eq!(sent(frame), STOP, "I2");
            stops += 1;
            machine.on_reply(&frame, ms(at)).unwrap();
        }
    }
    assert_eq!(stops, 10, "repeated every refresh");
    machine.stand_down(ms(3_003));
    exchange(&mut machine, ms(3_003), LOOK, 0).unwrap();
    assert_eq!(machine.frame_due(ms(3_400)), None);
    machine.fire(ms(3_401));
    assert_eq!(sent(machine.frame_due(ms(3_401)).unwrap()), STOP);
}

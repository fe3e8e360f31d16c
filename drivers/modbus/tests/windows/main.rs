//! Blocks of waveforms from register windows, in virtual time: a device with a map of registers that changes while it is
//! read, replies that come in pieces, and replies that are wrong.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "the lint's exception for tests does not reach helpers of a test program"
)]

mod bench;
mod hostile;

use bench::{Bench, EXCHANGE, SEQUENCE, START, config, points, window};
use drivers_frame::block::{RateCheck, SequenceType};
use drivers_frame::{
    ByteOrder, Cause, DurNs, MonoNs, SampleKind, SampleLayout, WaveformId, WordOrder,
};
use drivers_modbus::codec::Table;
use drivers_modbus::codec::server::{self, RequestBody};
use drivers_modbus::session::{Action, SessionError};
use drivers_modbus::{LinkState, PlanError, Poll, Session, Window};
use proptest::prelude::*;

fn samples(count: u32, base: f32) -> Vec<f32> {
    (0..count).map(|n| base + n as f32).collect()
}

#[test]
fn h18_what_lies_in_the_window_at_first_is_of_unknown_age_and_not_taken() {
    let mut bench = Bench::plain(8);
    bench.device.publish(8, 1.0);
    bench.run(200);
    assert_eq!(bench.lane.blocks, [], "H-18");
    bench.device.publish(8, 50.0);
    bench.run(200);
    bench.device.publish(8, 70.0);
    bench.run(200);
    let got: Vec<_> = bench
        .lane
        .blocks
        .iter()
        .map(|block| (block.sequence, block.gap, block.samples.clone()))
        .collect();
    assert_eq!(
        got,
        [(0, true, samples(8, 50.0)), (1, false, samples(8, 70.0))]
    );
    assert_eq!(bench.session.counters().blocks.torn, 0);
}

#[test]
fn the_longest_window_is_read_in_pieces_of_at_most_125_registers() {
    let mut wide = window(32_700);
    wide.address = START;
    let mut bench = Bench::new(config(Poll::Continuous, Vec::new(), vec![wide]));
    bench.run(20);
    bench.device.publish(32_700, 0.0);
    bench.device.reads.clear();
    bench.run(700);
    assert_eq!(bench.lane.blocks.len(), 1);
    assert_eq!(bench.lane.blocks[0].samples, samples(32_700, 0.0));
    let pieces = bench
        .device
        .reads
        .iter()
        .filter(|read| read.address >= START);
    assert!(pieces.clone().all(|read| read.count <= 125));
    assert_eq!(pieces.count(), 65_400_usize.div_ceil(125));
}

#[test]
fn i16_takes_one_register_a_sample() {
    let mut short = window(300);
    short.layout =
        SampleLayout::registers(SampleKind::I16, WordOrder::BigEndian, ByteOrder::BigEndian);
    let mut bench = Bench::new(config(Poll::Continuous, Vec::new(), vec![short]));
    bench.run(20);
    bench.device.sequence += 1;
    for n in 0..300_u16 {
        bench
            .device
            .registers
            .insert(START + n, n.wrapping_sub(150));
    }
    bench.run(200);
    assert_eq!(bench.lane.blocks[0].samples, samples(300, -150.0));
}

#[test]
fn h17_a_step_of_more_than_one_is_a_gap_and_a_restart_too() {
    let mut bench = Bench::plain(4);
    bench.run(50);
    for (steps, base) in [(1, 1.0), (1, 2.0), (3, 3.0), (1, 4.0)] {
        for _ in 0..steps {
            bench.device.publish(4, base);
        }
        bench.run(50);
    }
    bench.device.sequence = u16::MAX;
    bench.run(50);
    bench.device.publish(4, 6.0);
    bench.run(50);
    bench.device.sequence = 7;
    bench.run(50);
    let got: Vec<_> = bench
        .lane
        .blocks
        .iter()
        .map(|b| (b.sequence, b.gap))
        .collect();
    assert_eq!(
        got,
        [
            (0, true),
            (1, false),
            (4, true),
            (5, false),
            // From 506 to 65,535 is no step ahead.
            (6, true),
            // It wraps.
            (7, false),
            // Six missing.
            (14, true)
        ]
    );
    let blocks = bench.session.counters().blocks;
    assert_eq!((blocks.missing, blocks.restarts, blocks.gaps), (8, 1, 4));
}

#[test]
fn a_window_that_changes_while_it_is_read_is_dropped_and_read_again() {
    // 400 registers: four pieces. Change it before each of the reads in turn.
    for change_at in 0..5_u16 {
        let mut bench = Bench::plain(200);
        bench.run(50);
        bench.device.publish(200, 1_000.0);
        let first = START + change_at * 125;
        let request = bench.until_request(|address, _| {
            if change_at < 4 {
                address == first
            } else {
                address == START + 375
            }
        });
        let mut reply = bench.device.answer(&request);
        // Torn: the device counts, then overwrites the first half.
        bench.device.sequence += 1;
        for n in 0..200_u16 {
            bench.device.registers.insert(START + n, 0x7F80);
        }
        if change_at < 4 {
            reply = bench.device.answer(&request);
        }
        bench.receive(&reply, std::iter::repeat(usize::MAX));
        // The second half of the block after it.
        for n in 0..200_u32 {
            let bits = (5_000.0 + n as f32).to_bits();
            let address = START + 2 * n as u16;
            bench.device.registers.insert(address, (bits >> 16) as u16);
            bench.device.registers.insert(address + 1, bits as u16);
        }
        bench.run(50);
        assert_eq!(bench.lane.blocks.len(), 1, "{change_at}");
        assert_eq!(bench.lane.blocks[0].samples, samples(200, 5_000.0));
        assert_eq!(bench.session.counters().blocks.torn, 1, "{change_at}");
    }
}

#[test]
fn a_device_that_never_holds_still_gives_no_block() {
    let mut bench = Bench::plain(100);
    bench.run(20);
    for base in 0..500_u16 {
        bench.device.publish(100, f32::from(base));
        bench.run(1);
    }
    assert_eq!(bench.lane.blocks, []);
    assert!(bench.session.counters().blocks.torn > 50);
    assert_eq!(bench.session.link(), LinkState::Up);
}

#[test]
fn a_block_is_as_old_as_the_reply_that_showed_its_number() {
    let mut bench = Bench::plain(400);
    bench.run(50);
    bench.device.publish(400, 1.0);
    let request = bench.until_request(|address, _| address == SEQUENCE);
    bench.now = bench.now.after(DurNs::from_ms(3));
    let shown = bench.now;
    let reply = bench.device.answer(&request);
    bench.receive(&reply, std::iter::repeat(usize::MAX));
    bench.run(100);
    assert_eq!(bench.lane.blocks[0].at, shown);
}

#[test]
fn h10_a_refused_read_is_bad_on_a_sound_connection_and_is_tried_again() {
    for refuses in [SEQUENCE, START, START + 130] {
        let mut bench = Bench::plain(200);
        bench.run(50);
        bench.device.publish(200, 1.0);
        bench.device.refuses = Some(refuses);
        bench.run(30);
        assert!(!bench.lane.bad.is_empty(), "H-10");
        assert!(bench.lane.bad.iter().all(|c| *c == Cause::DeviceException));
        assert_eq!(bench.lane.blocks, []);
        bench.device.refuses = None;
        bench.run(30);
        assert_eq!(bench.lane.blocks.len(), 1);
        assert_eq!(bench.lane.blocks[0].samples, samples(200, 1.0));
        let counters = bench.session.counters();
        assert_eq!((counters.anomalies, counters.timeouts), (0, 0));
        assert_eq!(counters.exceptions, bench.lane.bad.len() as u64);
    }
}

#[test]
fn h25_without_a_free_buffer_the_block_waits_in_the_device() {
    let mut bench = Bench::plain(10);
    bench.run(50);
    let held = std::mem::take(&mut bench.lane.empty);
    bench.device.publish(10, 1.0);
    bench.run(50);
    assert_eq!(bench.lane.blocks, [], "H-25");
    let lost = bench.session.counters().blocks.no_buffer;
    assert!(lost > 2);
    bench.lane.empty = held;
    bench.run(50);
    assert_eq!(bench.lane.blocks.len(), 1);
    // No room for the news: the buffer is kept, and the next block has a gap.
    bench.lane.full = true;
    bench.device.publish(10, 2.0);
    bench.run(50);
    bench.lane.full = false;
    bench.device.publish(10, 3.0);
    bench.run(50);
    let last = bench.lane.blocks.last().unwrap();
    assert_eq!((last.sequence, last.gap), (2, true), "H-25");
    assert_eq!(bench.lane.empty.len(), 2);
}

#[test]
fn a_cycle_over_the_points_begins_at_most_one_read_of_a_window_late() {
    // A window that takes longer to read than a period, always new, beside points that must be read every 10 ms.
    let every = Poll::Every(DurNs::from_ms(10));
    let mut bench = Bench::new(config(every, points(3), vec![window(2_000)]));
    bench.run(100);
    let mut begun = Vec::new();
    let mut delivered = 0;
    for _ in 0..40_000 {
        if bench.session.action(bench.now) == Action::Send {
            let request = bench.session.request();
            let RequestBody::Read(read) = server::decode_request(&request).unwrap().body else {
                panic!("this client only reads");
            };
            if read.address == 40_000 {
                begun.push(bench.now.as_ns());
            }
        }
        bench.step(MonoNs::NEVER);
        if bench.lane.blocks.len() > delivered {
            delivered = bench.lane.blocks.len();
        }
        if bench.session.counters().requests.is_multiple_of(500) {
            bench.device.publish(2_000, 1.0);
        }
    }
    let origin = begun[0];
    for (cycle, at) in begun.iter().enumerate() {
        let due = origin + cycle as u64 * 10_000_000;
        assert!(
            *at <= due + EXCHANGE.as_ns(),
            "cycle {cycle}: {} us late",
            (at - due) / 1_000
        );
    }
    assert!(begun.len() > 1_000);
    assert!(delivered > 10, "{delivered}");
    assert_eq!(bench.session.counters().missed_periods, 0);
}

#[test]
fn points_that_take_all_the_time_leave_a_window_one_read_a_cycle() {
    for poll in [Poll::Continuous, Poll::Every(DurNs::from_ms(2))] {
        let mut bench = Bench::new(config(poll, points(5), vec![window(100)]));
        bench.run(100);
        bench.device.publish(100, 9.0);
        bench.device.reads.clear();
        bench.run(200);
        assert_eq!(bench.lane.blocks.len(), 1, "{poll:?}");
        let points: Vec<bool> = bench
            .device
            .reads
            .iter()
            .map(|r| r.address >= 40_000)
            .collect();
        // Five reads of points between two of the window.
        for six in points.windows(6) {
            assert!(six.iter().filter(|p| **p).count() >= 5, "{poll:?}");
        }
        assert!(bench.lane.values > 100);
    }
}

#[test]
fn a_sequence_of_two_registers_is_read_in_the_order_of_the_samples() {
    for (words, first, second) in [
        (WordOrder::BigEndian, 7, 0xFFFE),
        (WordOrder::LittleEndian, 0xFFFE, 7),
    ] {
        let mut wide = window(2);
        wide.sequence = 50;
        wide.sequence_kind = SequenceType::U32;
        wide.layout.words = words;
        let mut bench = Bench::new(config(Poll::Continuous, Vec::new(), vec![wide]));
        bench.device.registers.insert(50, first);
        bench.device.registers.insert(51, second);
        bench.run(50);
        // 0x7FFFE counts to 0x7FFFF, then to 0x80001: one missing.
        let (high, low) = if first == 7 { (50, 51) } else { (51, 50) };
        bench.device.registers.insert(low, 0xFFFF);
        bench.run(50);
        bench.device.registers.insert(high, 8);
        bench.device.registers.insert(low, 1);
        bench.run(50);
        let got: Vec<_> = bench
            .lane
            .blocks
            .iter()
            .map(|b| (b.sequence, b.gap))
            .collect();
        assert_eq!(got, [(0, true), (2, true)], "{words:?}");
    }
}

#[test]
fn a_window_that_fills_faster_than_the_pack_says_is_bad_until_it_does_not() {
    let mut timed = window(2);
    // A block spans a second.
    timed.rate_hz = 2.0;
    timed.rate_check = RateCheck::NotFaster;
    let mut bench = Bench::new(config(Poll::Continuous, Vec::new(), vec![timed]));
    bench.run(50);
    let mut good = Vec::new();
    for (blocks, every_ms) in [(40, 1_000), (80, 800), (80, 1_000)] {
        let before = bench.lane.blocks.len();
        for _ in 0..blocks {
            bench.device.publish(2, 1.0);
            bench.run(every_ms);
        }
        good.push(bench.lane.blocks.len() - before);
    }
    assert_eq!(good[0], 40);
    assert!(good[1] < 60 && good[2] > 20, "{good:?}");
    assert!(
        bench
            .lane
            .bad
            .iter()
            .all(|cause| *cause == Cause::WrongRate)
    );
    let bad = bench.lane.bad.len();
    assert_eq!(bad + good.iter().sum::<usize>(), 200);
    assert_eq!(
        bench.lane.blocks.iter().filter(|block| block.gap).count(),
        2
    );
    assert_eq!(bench.lane.empty.len(), 2, "no buffer is lost");
}

#[test]
fn two_windows_take_turns() {
    let mut second = window(60);
    second.waveform = WaveformId(4);
    second.address = 30_000;
    second.sequence = 29_999;
    let mut bench = Bench::new(config(
        Poll::Continuous,
        Vec::new(),
        vec![window(60), second],
    ));
    bench.run(100);
    bench.device.reads.clear();
    bench.run(100);
    let first = bench
        .device
        .reads
        .iter()
        .filter(|r| r.address == SEQUENCE)
        .count();
    let other = bench.device.reads.len() - first;
    assert!(first > 5 && first.abs_diff(other) <= 1, "{first} {other}");
}

#[test]
fn h6_h15_a_connection_that_ends_within_a_window_leaves_nothing_of_it() {
    let mut bench = Bench::plain(200);
    bench.run(50);
    bench.device.publish(200, 1.0);
    let request = bench.until_request(|address, _| address == START + 125);
    let reply = bench.device.answer(&request);
    // Half a reply, then silence.
    bench.receive(&reply[..100], std::iter::repeat(usize::MAX));
    bench.now = bench.now.after(DurNs::from_ms(50));
    assert_eq!(bench.session.action(bench.now), Action::Close);
    assert_eq!(
        bench.session.last_error(),
        Some(SessionError::Timeout { received: 100 }),
        "H-6"
    );
    bench.run(100);
    assert_eq!(bench.session.link(), LinkState::Up);
    assert_eq!(bench.lane.blocks, [], "its age is not known any more");
    bench.device.publish(200, 3.0);
    bench.run(100);
    assert_eq!(bench.lane.blocks.len(), 1);
    assert_eq!(bench.lane.blocks[0].samples, samples(200, 3.0));
    assert_eq!(bench.lane.empty.len(), 2);
}

#[test]
fn h7_h8_h9_h11_h13_a_wrong_reply_to_a_piece_closes_the_connection() {
    let change = |at: usize, to: u8| move |reply: &mut Vec<u8>| reply[at] = to;
    type Spoil = Box<dyn Fn(&mut Vec<u8>)>;
    let spoil: Vec<(&str, Spoil)> = vec![
        ("transaction", Box::new(change(1, 0xFE))),
        ("protocol", Box::new(change(3, 1))),
        ("length beyond an ADU", Box::new(change(4, 9))),
        ("length of a shorter reply", Box::new(change(5, 20))),
        ("unit", Box::new(change(6, 2))),
        ("function", Box::new(change(7, 4))),
        ("byte count", Box::new(change(8, 248))),
        ("one byte more", Box::new(|reply| reply.push(0))),
        ("twice", Box::new(|reply| reply.extend(reply.clone()))),
        (
            "one register less, well formed",
            Box::new(|reply| {
                reply.truncate(reply.len() - 2);
                reply[5] -= 2;
                reply[8] -= 2;
            }),
        ),
        (
            "an exception, and bytes after it",
            Box::new(|reply| {
                reply.truncate(11);
                reply[5] = 3;
                reply[7] |= 0x80;
            }),
        ),
    ];
    for (what, spoil) in &spoil {
        for chunk in [usize::MAX, 1, 7] {
            let mut bench = Bench::plain(200);
            bench.run(50);
            bench.device.publish(200, 1.0);
            let request = bench.until_request(|address, _| address == START);
            let mut reply = bench.device.answer(&request);
            spoil(&mut reply);
            bench.receive(&reply, std::iter::repeat(chunk));
            // Cut small, what comes after a whole reply is seen when the next one is awaited.
            if bench.session.action(bench.now) == Action::Send {
                bench.session.on_sent(bench.now, 12);
                bench.receive(&reply, std::iter::repeat(chunk));
            }
            assert_eq!(bench.session.action(bench.now), Action::Close, "{what}");
            assert_eq!(bench.session.counters().anomalies, 1, "{what}");
            bench.run(100);
            assert_eq!(bench.lane.blocks, [], "{what}");
            bench.device.publish(200, 3.0);
            bench.run(100);
            assert_eq!(bench.lane.blocks[0].samples, samples(200, 3.0), "{what}");
        }
    }
}

#[test]
fn windows_that_cannot_be_are_refused() {
    let refused = |change: fn(&mut Window)| {
        let mut window = window(10);
        change(&mut window);
        Session::new(config(Poll::Continuous, Vec::new(), vec![window]), 1).unwrap_err()
    };
    let waveform = WaveformId(3);
    assert_eq!(
        refused(|w| w.table = Table::Coils),
        PlanError::WindowOfBits { waveform }
    );
    assert_eq!(
        refused(|w| w.count = 0),
        PlanError::WindowRange {
            waveform,
            samples: 0
        }
    );
    assert_eq!(
        refused(|w| w.count = 32_719),
        PlanError::WindowRange {
            waveform,
            samples: 32_719
        }
    );
    for sequence in [START, START + 19] {
        let mut window = window(10);
        window.sequence = sequence;
        let config = config(Poll::Continuous, Vec::new(), vec![window]);
        assert_eq!(
            Session::new(config, 1).unwrap_err(),
            PlanError::SequenceInWindow { waveform }
        );
    }
    assert_eq!(
        refused(|w| w.sequence_kind = SequenceType::U8),
        PlanError::SequenceType { waveform }
    );
    assert_eq!(
        refused(|w| {
            w.sequence = START - 1;
            w.sequence_kind = SequenceType::U32;
        }),
        PlanError::SequenceInWindow { waveform }
    );
    assert_eq!(
        refused(|w| w.every = DurNs::ZERO),
        PlanError::WindowTime { waveform }
    );
    assert_eq!(
        refused(|w| w.rate_hz = f64::NAN),
        PlanError::WindowTime { waveform }
    );
    let twice = config(Poll::Continuous, Vec::new(), vec![window(1), window(1)]);
    assert_eq!(
        Session::new(twice, 1).unwrap_err(),
        PlanError::DuplicateWaveform { waveform }
    );
    let none = config(Poll::Continuous, Vec::new(), Vec::new());
    assert_eq!(Session::new(none, 1).unwrap_err(), PlanError::NoPoints);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn whatever_way_replies_are_split_the_block_is_the_same_and_lies_where_it_was_received(
        count in 1_u32..400,
        splits in proptest::collection::vec(prop_oneof![1_usize..12, 1_usize..300], 1..40),
    ) {
        let mut bench = Bench::plain(count);
        bench.run(50);
        bench.device.publish(count, 7.0);
        bench.addresses.clear();
        let mut splits = splits.into_iter().cycle();
        while bench.lane.blocks.is_empty() {
            match bench.session.action(bench.now) {
                Action::Send => {
                    let request = bench.session.request();
                    bench.session.on_sent(bench.now, request.len());
                    let reply = bench.device.answer(&request);
                    bench.receive(&reply, &mut splits);
                }
                Action::Receive { deadline } => bench.now = deadline,
                other => panic!("{other:?}"),
            }
        }
        prop_assert_eq!(&bench.lane.blocks[0].samples, &samples(count, 7.0));
        // All registers of all pieces, in their order, and the heads of the pieces elsewhere.
        let range = bench.lane.address..bench.lane.address + 4 * count as usize;
        let in_block: Vec<usize> = bench.addresses.iter().copied().filter(|a| range.contains(a)).collect();
        prop_assert!(in_block.iter().copied().eq(range), "copied on its way");
        let pieces = (2 * count as usize).div_ceil(125);
        prop_assert_eq!(bench.addresses.len(), in_block.len() + 9 * pieces);
    }

    #[test]
    fn no_damaged_byte_of_a_head_gives_a_block(
        count in 63_u32..200, byte in 0_usize..9, damage in 1_u8..=255, chunk in 1_usize..300,
    ) {
        let mut bench = Bench::plain(count);
        bench.run(50);
        bench.device.publish(count, 7.0);
        let request = bench.until_request(|address, _| address == START);
        let mut reply = bench.device.answer(&request);
        reply[byte] ^= damage;
        bench.receive(&reply, std::iter::repeat(chunk));
        // A length that is too long is waited for.
        bench.now = bench.now.after(DurNs::from_ms(60));
        prop_assert_eq!(bench.session.action(bench.now), Action::Close);
        bench.run(200);
        prop_assert_eq!(&bench.lane.blocks, &[]);
        prop_assert_eq!(&bench.lane.bad, &[]);
    }
}

//! Hostile exchanges: a device that is late, foreign, short, long, torn, repeated or damaged, and that takes its next block at
//! any moment. An oracle knows what each block must be. Deterministic; the seed is in every failure.

use std::collections::BTreeMap;

use drivers_frame::DurNs;
use drivers_modbus::Poll;
use drivers_modbus::session::Action;

use crate::bench::{Bench, EXCHANGE, config, points, window};

const SEED: u64 = 0x7219_11E0;
const EXCHANGES: u32 = 60_000;
const COUNT: u32 = 150;

/// SplitMix64 (Steele, Lea, Flood 2014).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Class {
    Right,
    RightInPieces,
    Silent,
    LateInTheNext,
    ForeignTransaction,
    WrongUnit,
    WrongFunction,
    OtherBlock,
    Short,
    Long,
    Exception,
    ImpossibleLength,
    Torn,
    Twice,
    HeadDamaged,
    EndOfStream,
    Noise,
}

const WRONG: [Class; 15] = [
    Class::Silent,
    Class::LateInTheNext,
    Class::ForeignTransaction,
    Class::WrongUnit,
    Class::WrongFunction,
    Class::OtherBlock,
    Class::Short,
    Class::Long,
    Class::Exception,
    Class::ImpossibleLength,
    Class::Torn,
    Class::Twice,
    Class::HeadDamaged,
    Class::EndOfStream,
    Class::Noise,
];

/// Changes length and byte count of a reply so that they fit its bytes.
fn refit(reply: &mut [u8]) {
    let length = (reply.len() - 6) as u16;
    reply[4..6].copy_from_slice(&length.to_be_bytes());
    reply[8] = (reply.len() - 9) as u8;
}

/// What is sent in place of `right`; `None`: the stream ends.
fn spoiled(class: Class, right: &[u8], last: &[u8], random: &mut Random) -> Option<Vec<u8>> {
    let mut reply = right.to_vec();
    let at = |random: &mut Random, bytes: &[u8]| random.below(bytes.len());
    match class {
        Class::Right | Class::RightInPieces => {}
        Class::Silent => reply.clear(),
        Class::LateInTheNext => reply = last.to_vec(),
        Class::ForeignTransaction => reply[random.below(2)] ^= 1 + random.below(255) as u8,
        Class::WrongUnit => reply[6] ^= 1 + random.below(255) as u8,
        Class::WrongFunction => reply[7] ^= 1 + random.below(127) as u8,
        Class::OtherBlock => {
            // Another length of registers, well formed.
            let more = 2 * (1 + random.below(20));
            reply.extend(vec![0x41; more]);
            reply.truncate(259);
            if reply.len() == right.len() {
                reply.truncate(right.len() - 2);
            }
            refit(&mut reply);
        }
        Class::Short => {
            let keep = right.len() - 1 - random.below(right.len() - 9);
            reply.truncate(keep);
            refit(&mut reply);
        }
        Class::Long => reply.extend(vec![0x42; 1 + random.below(300)]),
        Class::Exception => {
            let code = [1, 2, 3, 4, 6, 10, 11][random.below(7)];
            reply.truncate(8);
            reply[7] |= 0x80;
            reply.push(code);
            reply[4..6].copy_from_slice(&3_u16.to_be_bytes());
        }
        Class::ImpossibleLength => {
            let length = [0_u16, 1, 255, 256, 65_535][random.below(5)];
            reply[4..6].copy_from_slice(&length.to_be_bytes());
        }
        Class::Torn => reply.truncate(1 + at(random, &right[1..])),
        Class::Twice => reply.extend_from_slice(right),
        Class::HeadDamaged => reply[random.below(9)] ^= 1 + random.below(255) as u8,
        Class::EndOfStream => return None,
        Class::Noise => {
            reply = (0..=random.below(300))
                .map(|_| random.next() as u8)
                .collect();
        }
    }
    Some(reply)
}

/// The first sample of a device's block: which one it is, exactly.
fn base(generation: u32) -> f32 {
    (generation * COUNT) as f32
}

#[test]
fn h07_to_h13_h17_h18_no_hostile_exchange_gives_a_block_but_a_whole_new_one() {
    let poll = Poll::Every(DurNs::from_ms(7));
    let mut bench = Bench::new(config(poll, points(2), vec![window(COUNT)]));
    bench.device.sequence = 0;
    let mut random = Random(SEED);
    let mut tally: BTreeMap<Class, u32> = BTreeMap::new();
    let mut last: Vec<u8> = vec![0];
    // The device's block, and the newest that was delivered.
    let (mut generation, mut delivered, mut gaps) = (0_u32, None, 0);
    let mut exchanges = 0;
    while exchanges < EXCHANGES {
        if random.below(12) == 0 {
            // The number counts along, so that the oracle knows which ones were skipped.
            let step = if random.below(4) == 0 {
                1 + random.below(4)
            } else {
                1
            };
            for _ in 0..step {
                generation += 1;
                bench.device.publish(COUNT, base(generation));
            }
        }
        match bench.session.action(bench.now) {
            Action::Send => {
                exchanges += 1;
                let request = bench.session.request();
                bench.session.on_sent(bench.now, request.len());
                let right = bench.device.answer(&request);
                bench.now = bench.now.after(EXCHANGE);
                let class = match random.below(24) {
                    0 => WRONG[random.below(WRONG.len())],
                    1..=6 => Class::RightInPieces,
                    _ => Class::Right,
                };
                *tally.entry(class).or_default() += 1;
                let chunk = match class {
                    Class::Right => usize::MAX,
                    _ => 1 + random.below(90),
                };
                match spoiled(class, &right, &last, &mut random) {
                    Some(reply) => {
                        bench.receive(&reply, std::iter::repeat(chunk));
                    }
                    None => bench.session.on_eof(bench.now),
                }
                last = right;
            }
            Action::Receive { deadline } => bench.now = bench.now.max(deadline),
            Action::Wait { until } => bench.now = bench.now.max(until),
            _ => {
                bench.step(bench.now.after(DurNs::from_ms(1)));
            }
        }
        for block in bench.lane.blocks.drain(..) {
            let first = block.samples[0];
            let own = (first / COUNT as f32) as u32;
            let whole = (0..COUNT)
                .all(|n| block.samples[n as usize].to_bits() == (base(own) + n as f32).to_bits());
            assert!(whole, "H-7, H-9: torn or foreign: {first}, seed {SEED:#x}");
            assert!(own <= generation, "from nowhere, seed {SEED:#x}");
            match delivered {
                Some((before, sequence)) => {
                    assert!(own > before, "H-18: {own} after {before}, seed {SEED:#x}");
                    let missing = own - before - 1;
                    // A refused read is told as bad, and marks the next block too.
                    assert!(block.gap || missing == 0, "H-17: {own} after {before}");
                    assert_eq!(block.sequence, sequence + u64::from(missing) + 1);
                }
                None => assert!(block.gap),
            }
            gaps += u32::from(block.gap);
            delivered = Some((own, block.sequence));
        }
    }
    for class in WRONG {
        let came = tally.get(&class).copied().unwrap_or(0);
        assert!(came >= 60, "{class:?} came {came} times");
    }
    let counters = bench.session.counters();
    assert!(counters.blocks.blocks > 500, "{counters:?}");
    assert!(gaps > 50 && counters.blocks.torn > 50, "{counters:?}");
    assert!(
        counters.anomalies + counters.timeouts > 1_000,
        "{counters:?}"
    );
    assert!(bench.lane.bad.len() > 20);
}

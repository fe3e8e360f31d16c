//! Each error with its reaction, budgets, the source's restarts and clocks; and what must hold for any stream.

use super::*;
use crate::config::CheckConfig;
use crate::secret::Secret;
use drivers_frame::DurNs;
use proptest::prelude::*;

const TOPIC: &str = "plant/press/temperature";
const SOURCE: &str = "press-7";
/// 2026-11-21.
const EPOCH: u64 = 1_795_219_200_000_000_000;
const SECOND: u64 = 1_000_000_000;

fn hmac() -> CheckConfig {
    CheckConfig::HmacSha256 {
        key: Secret::new(*b"0123456789abcdef"),
    }
}

fn config(check: CheckConfig, errors: u16) -> EnvelopeConfig {
    EnvelopeConfig {
        source: SOURCE.into(),
        check,
        max_delay: Some(DurNs::from_ms(500)),
        budget: ErrorBudget {
            errors,
            within: DurNs::from_ms(10_000),
        },
    }
}

/// One topic's receiving side, and what it counted.
struct Side {
    envelope: Envelope,
    counters: EnvelopeCounters,
}

impl Side {
    fn new(check: CheckConfig, errors: u16) -> Self {
        Self {
            envelope: Envelope::new(&config(check, errors)).unwrap(),
            counters: EnvelopeCounters::default(),
        }
    }

    fn give<'m>(&mut self, message: &'m [u8], at_ms: u64) -> Verdict<'m> {
        let other = Envelope::new(&config(hmac(), 0)).unwrap();
        let judged = self
            .envelope
            .judge(TOPIC, message, |letter| other.fits("plant/other", letter));
        let at = MonoNs::ZERO.after(DurNs::from_ms(at_ms));
        self.envelope.admit(judged, at, &mut self.counters)
    }

    /// A message of our source, written `sent_ms` after [`EPOCH`].
    fn ours(&mut self, sequence: u32, sent_ms: u64, at_ms: u64) -> Verdict<'static> {
        let message = sealed(&hmac(), sequence, sent_ms);
        match self.give(&message, at_ms) {
            Verdict::Take(_) => Verdict::Take(b"taken"),
            Verdict::Drop => Verdict::Drop,
            Verdict::Bad(cause) => Verdict::Bad(cause),
        }
    }
}

const TAKEN: Verdict<'static> = Verdict::Take(b"taken");

fn seal(topic: &str, source: &str, check: &CheckConfig, sequence: u32, sent_ms: u64) -> Vec<u8> {
    Sealer::new(topic, source, check)
        .unwrap()
        .from_sequence(sequence)
        .seal(EPOCH + sent_ms * 1_000_000, b"47.25")
}

fn sealed(check: &CheckConfig, sequence: u32, sent_ms: u64) -> Vec<u8> {
    seal(TOPIC, SOURCE, check, sequence, sent_ms)
}

/// A side with a history, and what shows the error on it: 100 ms after its last message.
fn show(error: EnvelopeError, errors: u16) -> (Side, Verdict<'static>) {
    let mut side = Side::new(hmac(), errors);
    assert_eq!(side.ours(10, 1_000, 1_000), TAKEN);
    assert_eq!(side.ours(11, 1_100, 1_100), TAKEN);
    let other_key = CheckConfig::HmacSha256 {
        key: Secret::new(*b"another key of 16"),
    };
    let message = match error {
        EnvelopeError::Corruption => b"TLE1 nonsense\n1".to_vec(),
        EnvelopeError::Repetition => sealed(&hmac(), 11, 1_100),
        EnvelopeError::WrongSequence => sealed(&hmac(), 9, 900),
        EnvelopeError::Loss => sealed(&hmac(), 13, 1_200),
        EnvelopeError::Delay => sealed(&hmac(), 12, 1_150),
        EnvelopeError::Insertion => seal(TOPIC, "stranger", &hmac(), 12, 1_200),
        EnvelopeError::Masquerade => sealed(&other_key, 12, 1_200),
        EnvelopeError::Addressing => seal("plant/other", SOURCE, &hmac(), 12, 1_200),
    };
    let at = if error == EnvelopeError::Delay {
        1_651
    } else {
        1_200
    };
    let verdict = match side.give(&message, at) {
        Verdict::Take(payload) => {
            assert_eq!(payload, b"47.25");
            TAKEN
        }
        Verdict::Drop => Verdict::Drop,
        Verdict::Bad(cause) => Verdict::Bad(cause),
    };
    (side, verdict)
}

#[test]
fn h17_h18_h19_h20_h21_every_error_is_counted_and_has_its_reaction_and_cause() {
    for error in EnvelopeError::ALL {
        let Reaction { taken, cause } = error.reaction();
        let (side, verdict) = show(error, 1);
        let expected = if taken { TAKEN } else { Verdict::Drop };
        assert_eq!(verdict, expected, "within the budget: {error:?}");
        for counted in EnvelopeError::ALL {
            let times = u64::from(counted == error);
            assert_eq!(side.counters.of(counted), times, "{counted:?} of {error:?}");
        }
        // Without a budget the first error is bad, a message that would be taken too.
        let (side, verdict) = show(error, 0);
        assert_eq!(verdict, Verdict::Bad(cause), "beyond the budget: {error:?}");
        assert_eq!(side.counters.budgets_exceeded, 1);
        assert_eq!(side.counters.of(error), 1);
    }
    let mut causes: Vec<_> = EnvelopeError::ALL
        .iter()
        .map(|error| error.reaction().cause.as_str())
        .collect();
    causes.sort_unstable();
    causes.dedup();
    assert_eq!(causes.len(), 8, "each error has a cause of its own");
}

#[test]
fn h21_without_a_key_what_does_not_fit_is_damage() {
    let mut side = Side::new(CheckConfig::Crc32c, 9);
    let mut message = sealed(&CheckConfig::Crc32c, 1, 0);
    assert!(matches!(side.give(&message, 0), Verdict::Take(b"47.25")));
    *message.last_mut().unwrap() ^= 1;
    assert_eq!(side.give(&message, 1), Verdict::Drop);
    // A right CRC of another source is an insertion, and a check of the other kind is none.
    assert_eq!(
        side.give(&seal(TOPIC, "stranger", &CheckConfig::Crc32c, 2, 9), 9),
        Verdict::Drop
    );
    assert_eq!(
        side.give(&seal(TOPIC, SOURCE, &hmac(), 2, 9), 9),
        Verdict::Drop
    );
    assert_eq!((side.counters.corrupted, side.counters.inserted), (2, 1));
    // Known bytes, checked with another implementation: a change of the format is seen.
    assert_eq!(
        sealed(&CheckConfig::Crc32c, 1, 0),
        b"TLE1 press-7 1 1795219200000000000 db5bf488\n47.25",
        "{}",
        String::from_utf8_lossy(&sealed(&CheckConfig::Crc32c, 1, 0))
    );
}

#[test]
fn h20_beyond_the_budget_the_tags_are_bad_until_the_errors_are_past_and_a_good_message_comes() {
    let mut side = Side::new(hmac(), 2);
    assert_eq!(side.ours(0, 0, 0), TAKEN);
    for at in [100, 200] {
        assert_eq!(side.give(b"forged", at), Verdict::Drop);
    }
    assert_eq!(side.ours(1, 250, 250), TAKEN);
    assert_eq!(side.give(b"forged", 300), Verdict::Bad(Cause::Corrupted));
    // A good message does not excuse the forger.
    assert_eq!(side.ours(2, 400, 400), Verdict::Bad(Cause::Corrupted));
    assert_eq!(side.ours(3, 10_099, 10_099), Verdict::Bad(Cause::Corrupted));
    // The first error is past: two are left, which is within the budget. A wrong message brings no value back.
    assert_eq!(side.ours(4, 10_100, 10_100), TAKEN);
    assert_eq!(side.counters.budgets_exceeded, 1);
    assert_eq!(side.give(b"forged", 10_150), Verdict::Bad(Cause::Corrupted));
    assert_eq!(side.counters.budgets_exceeded, 2);
}

#[test]
fn h17_a_loss_counts_what_is_missing_against_the_budget() {
    let mut side = Side::new(hmac(), 3);
    assert_eq!(side.ours(u32::MAX - 1, 0, 0), TAKEN);
    assert_eq!(side.ours(2, 100, 100), TAKEN, "the sequence wraps");
    assert_eq!(side.counters.lost, 3);
    assert_eq!(side.ours(4, 200, 200), Verdict::Bad(Cause::Lost));
    assert_eq!(side.ours(3, 150, 250), Verdict::Bad(Cause::WrongSequence));
}

#[test]
fn h18_a_source_that_begins_anew_is_taken_once_in_a_span_and_a_recording_never() {
    let mut side = Side::new(hmac(), 5);
    let recorded: Vec<Vec<u8>> = (0..60)
        .map(|n| sealed(&hmac(), n, 100 * u64::from(n)))
        .collect();
    for (message, at) in recorded.iter().zip((0..).step_by(100)) {
        assert!(matches!(side.give(message, at), Verdict::Take(_)));
    }
    assert_eq!(side.ours(0, 6_000, 6_000), TAKEN, "the source began anew");
    assert_eq!(side.counters.source_restarts, 1);
    assert_eq!(side.counters.lost, 1);
    assert_eq!(side.ours(1, 6_100, 6_100), TAKEN);
    // The recording's sequences are ahead of the source's now; its times are not.
    for message in &recorded {
        assert!(
            !matches!(side.give(message, 6_150), Verdict::Take(_)),
            "H-18"
        );
    }
    // A second time within the span is not taken; later it is, though the first messages of that run are gone.
    let mut side = Side::new(hmac(), 5);
    assert_eq!(side.ours(7, 0, 0), TAKEN);
    assert_eq!(side.ours(1, 100, 100), TAKEN);
    assert_eq!(side.ours(2, 200, 200), TAKEN);
    assert_eq!(side.ours(0, 300, 300), Verdict::Drop);
    assert_eq!(side.counters.wrong_sequence, 1);
    assert_eq!(side.ours(3, 10_300, 10_300), TAKEN);
    assert_eq!(side.ours(2, 10_400, 10_400), TAKEN, "not refused for ever");
    assert_eq!(side.counters.source_restarts, 2);
}

#[test]
fn h18_a_recording_is_not_new_again_when_the_sequence_has_wrapped() {
    let mut order = Order::new(None, DurNs::from_ms(1));
    let place = |order: &mut Order, sequence, second: u64| {
        order
            .place(sequence, EPOCH + second * SECOND, second * SECOND)
            .place
    };
    assert_eq!(place(&mut order, 0, 0), Place::Next { lost: 0 });
    let step = (1_u32 << 30) - 1;
    let mut sequence = 0_u32;
    for second in 1..=40 {
        let Place::Next { .. } = place(&mut order, sequence.wrapping_add(step), second) else {
            panic!("the source goes on at {second}");
        };
        sequence = sequence.wrapping_add(step);
        // Every message of the past, were it next by its sequence: refused by its time.
        for past in 0..second.saturating_sub(3) {
            let place = place(&mut order, sequence.wrapping_add(1), past);
            assert!(
                matches!(place, Place::Old),
                "H-18: {past} at {second}: {place:?}"
            );
        }
    }
}

#[test]
fn h24_a_source_whose_clock_is_set_is_counted_and_not_bad() {
    let mut side = Side::new(hmac(), 0);
    for n in 0..100 {
        assert_eq!(
            side.ours(n, 3_600_000 + 100 * u64::from(n), 100 * u64::from(n)),
            TAKEN
        );
    }
    // Set forward by an hour, then back by half of one: each lasts.
    for n in 100..200 {
        assert_eq!(
            side.ours(n, 7_200_000 + 100 * u64::from(n), 100 * u64::from(n)),
            TAKEN,
            "H-24"
        );
    }
    for n in 200..300 {
        assert_eq!(
            side.ours(n, 5_400_000 + 100 * u64::from(n), 100 * u64::from(n)),
            TAKEN,
            "H-24"
        );
    }
    assert_eq!(side.counters.clock_jumps, 2);
    // From before its first message it cannot be told from a recording.
    assert_eq!(
        side.ours(300, 1_000, 30_000),
        Verdict::Bad(Cause::WrongSequence)
    );
}

#[test]
fn h24_a_drifting_clock_is_followed_and_a_growing_delay_is_not() {
    let run = |grows_ppm: u64| {
        let mut side = Side::new(hmac(), 0);
        (0..100_000_u32)
            .take_while(|n| {
                let sent = 100 * u64::from(*n);
                side.ours(*n, sent, sent + sent * grows_ppm / 1_000_000) == TAKEN
            })
            .count()
    };
    assert_eq!(run(900), 100_000, "H-24: clocks drift");
    let late = run(10_000);
    // 500 ms at 9 ms a second beyond what is excused: 55.6 s, in messages of 100 ms.
    assert!(
        (550..570).contains(&late),
        "a queue that grows is a delay: {late}"
    );
}

#[test]
fn a_delay_that_lasts_stays_bad_and_ends_with_itself() {
    let mut side = Side::new(hmac(), 0);
    assert_eq!(side.ours(0, 0, 0), TAKEN);
    for n in 1..1_000 {
        let sent = 100 * u64::from(n);
        assert_eq!(
            side.ours(n, sent, sent + 2_000),
            Verdict::Bad(Cause::Delayed)
        );
    }
    // In time again: good when the span without errors is over.
    assert_eq!(
        side.ours(1_000, 105_000, 105_000),
        Verdict::Bad(Cause::Delayed)
    );
    assert_eq!(side.ours(1_001, 112_000, 112_000), TAKEN);
}

#[test]
fn there_is_one_way_to_write_a_header() {
    let good = "TLE1 a 1 2 0badcafe\npayload";
    let letter = open(good.as_bytes()).unwrap();
    assert_eq!(
        letter.header,
        Header {
            source: "a",
            sequence: 1,
            time_ns: 2
        }
    );
    assert_eq!(letter.payload, b"payload");
    assert_eq!(open(b"TLE1 a 1 2 0badcafe\n").unwrap().payload, b"");
    let longest = format!(
        "TLE1 {} {} {} {}\nx",
        "s".repeat(64),
        u32::MAX,
        u64::MAX,
        "0".repeat(64)
    );
    assert!(open(longest.as_bytes()).is_some());
    for wrong in [
        "",
        "\n",
        "TLE1",
        "TLE1 \n",
        "TLE2 a 1 2 0badcafe\n",
        "tle1 a 1 2 0badcafe\n",
        "TLE1 a 1 2 0badcafe",
        "TLE1  1 2 0badcafe\n",
        "TLE1 a  1 2 0badcafe\n",
        "TLE1 a 1 2 0badcafe \n",
        "TLE1 a 1 2 0BADCAFE\n",
        "TLE1 a 01 2 0badcafe\n",
        "TLE1 a 1 +2 0badcafe\n",
        "TLE1 a -1 2 0badcafe\n",
        "TLE1 a 1 2 0badcaf\n",
        "TLE1 a 4294967296 2 0badcafe\n",
        "TLE1 a 1 18446744073709551616 0badcafe\n",
        "TLE1 a 1 2 3 0badcafe\n",
        "TLE1 a 1 0badcafe\n",
        "TLE1 a 1 2 \n",
        "TLE1 ä 1 2 0badcafe\n",
        "TLE1 a 1 2 0badcafe\r\n",
        "TLE1 a\t1 2 0badcafe\n",
        "47.25",
        "{\"value\": 1}\n",
    ] {
        assert_eq!(open(wrong.as_bytes()), None, "{wrong:?}");
    }
    assert_eq!(open(longest.replacen('s', "ss", 1).as_bytes()), None);
}

/// What a hostile network does with the next message.
#[derive(Clone, Copy, Debug)]
enum Act {
    Deliver,
    Lose,
    Twice,
    Again(prop::sample::Index),
    Swap,
    Hold(u16),
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        6 => Just(Act::Deliver),
        1 => Just(Act::Lose),
        1 => Just(Act::Twice),
        1 => any::<prop::sample::Index>().prop_map(Act::Again),
        1 => Just(Act::Swap),
        1 => (0..3_000_u16).prop_map(Act::Hold),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn h21_a_message_with_any_byte_changed_is_never_a_value(
        payload in prop::collection::vec(any::<u8>(), 0..40),
        place in any::<prop::sample::Index>(),
        flip in 1..=255_u8,
        keyed in any::<bool>(),
        sequence in any::<u32>(),
    ) {
        let check = if keyed { hmac() } else { CheckConfig::Crc32c };
        let mut sealer = Sealer::new(TOPIC, SOURCE, &check).unwrap().from_sequence(sequence);
        let good = sealer.seal(EPOCH, &payload);
        let mut side = Side::new(check.clone(), 1_000);
        let mut broken = good.clone();
        *place.get_mut(&mut broken) ^= flip;
        prop_assert_eq!(side.give(&broken, 0), Verdict::Drop);
        let cut = place.index(good.len());
        prop_assert_eq!(side.give(&good[..cut], 1), Verdict::Drop, "torn after {}", cut);
        let mut longer = good.clone();
        longer.push(flip);
        prop_assert_eq!(side.give(&longer, 2), Verdict::Drop);
        // On another topic it is not a value either, and unchanged it is.
        let other = side.envelope.judge("plant/other", &good, |_| false);
        prop_assert!(other.is_err());
        prop_assert_eq!(side.give(&good, 3), Verdict::Take(&payload[..]));
    }

    #[test]
    fn h19_a_stream_shuffled_lost_and_repeated_never_gives_an_older_value_after_a_newer_one(
        acts in prop::collection::vec(act(), 1..120),
        start in prop_oneof![any::<u32>(), Just(u32::MAX - 20)],
        restart in prop::option::of(0..120_usize),
    ) {
        let mut side = Side::new(hmac(), 1_000);
        let (mut sequence, mut now, mut newest) = (start, 0_u64, Some(0));
        // In time: the measure of those that follow.
        prop_assert_eq!(side.ours(start.wrapping_sub(1), 0, 0), TAKEN);
        let mut sent: Vec<(u64, Vec<u8>)> = Vec::new();
        let mut held: Option<(u64, Vec<u8>)> = None;
        for (n, act) in acts.iter().enumerate() {
            now += 100;
            if restart == Some(n) {
                sequence = 0;
            }
            let message = (now, sealed(&hmac(), sequence, now));
            sequence = sequence.wrapping_add(1);
            sent.push(message.clone());
            let arriving = match act {
                Act::Deliver => vec![message],
                Act::Lose => vec![],
                Act::Twice => vec![message.clone(), message],
                Act::Again(index) => vec![index.get(&sent).clone(), message],
                Act::Swap => held.replace(message).into_iter().collect(),
                Act::Hold(ms) => {
                    now += u64::from(*ms);
                    vec![message]
                }
            };
            for (written, bytes) in arriving {
                if let Verdict::Take(_) = side.give(&bytes, now) {
                    prop_assert!(newest < Some(written), "H-19: {written} after {newest:?}");
                    // 60 ms a silence are excused as drift, and none of them lasts longer than all acts.
                    let late = now - written;
                    prop_assert!(late <= 500 + now / 1_000 || restart.is_some(), "{late} ms late");
                    newest = Some(written);
                }
            }
        }
        let good = acts.iter().all(|act| matches!(act, Act::Deliver));
        prop_assert!(!good || side.counters.wrong_sequence + side.counters.repeated == 0);
    }

    #[test]
    fn h21_no_bytes_make_the_reader_panic_or_take_what_nobody_sealed(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let mut side = Side::new(CheckConfig::Crc32c, 0);
        prop_assert_eq!(side.give(&bytes, 0), Verdict::Bad(Cause::Corrupted));
    }
}

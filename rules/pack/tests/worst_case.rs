//! The worst case of a rule, held against sums made by hand; and that every term is there.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of tests fail the test"
)]

use drivers_frame::block::SequenceType;
use drivers_frame::{ByteOrder, DurNs, SampleKind, WordOrder};
use rules_bundle::budget::{Path, TermKind, read_blocks};
use rules_bundle::{
    LanePlan, LinkPlan, Table, WaveformPlan, WaveformSource, WorstCase, worst_case,
};

/// A pack with one danger rule, in which single lines are replaced.
const PACK: &str = "\
tripline: 1
pack: { name: sums }
lanes: { main: { timer: 1ms, assume: { fuel: 10ns, turn: 2ms } } }
devices:
  io: { modbus: { host: 192.168.1.20, poll: 10ms, timeout: 20ms, addressing: zero_based } }
tags:
  vib: { device: io, register: { table: input, address: 100 }, type: u16, unit: mm/s, range: [0, 50], stale_after: 200ms }
  flag: { device: io, register: { table: input, address: 101 }, type: bool, bit: 0, stale_after: 200ms }
outputs:
  run: { device: io, coil: 0, refresh: 100ms, confirm_within: 40ms, device_time: 30ms, watchdog: none }
rules:
  - { id: shake, when: vib > 7.1 mm/s && flag, level: danger, stops: [run], deadline: 10s }
";

fn lane(source: &str) -> LanePlan {
    match rules_pack::load("sums.yaml", source) {
        Ok(loaded) => loaded.plan.lanes.into_iter().next().unwrap(),
        Err(findings) => panic!("{}", rules_pack::render(&findings, source, false)),
    }
}

fn worst(source: &str) -> WorstCase {
    worst_case(&lane(source), 0)
}

/// The pack with `from` replaced, which must be there.
#[track_caller]
fn with(from: &str, to: &str) -> String {
    assert!(PACK.contains(from), "{from}");
    PACK.replacen(from, to, 1)
}

/// The terms in milliseconds, without the tick, which is checked by itself.
fn terms(path: &Path) -> Vec<(TermKind, u64)> {
    path.terms
        .iter()
        .filter(|term| term.kind != TermKind::Tick)
        .map(|term| (term.kind, term.time.as_ns() / 1_000_000))
        .collect()
}

use TermKind::{
    Acquisition, Confirmation, Debounce, Device, Feedback, Freshness, OnDelay, PowerOff, ReadBack,
    Timer, Tolerated, Transport, Turn, Write,
};

const ACT: [(TermKind, u64); 3] = [(Write, 2), (Confirmation, 40), (Device, 30)];

#[track_caller]
fn condition(source: &str, before: &[(TermKind, u64)], after: &[(TermKind, u64)]) {
    let expected: Vec<(TermKind, u64)> = before.iter().chain(after).copied().collect();
    assert_eq!(terms(&worst(source).condition), expected);
}

#[test]
fn a_device_with_a_waveform_has_one_read_more_between_two_cycles() {
    let mut lane = lane(PACK);
    let without = worst_case(&lane, 0);
    lane.waveforms.push(WaveformPlan {
        name: "vibration".into(),
        device: lane.tags[0].device,
        unit: "g".into(),
        rate_hz: 12_000.0,
        samples: 4_096,
        format: SampleKind::I16,
        scale: 1.0,
        offset: 0.0,
        stale_after: DurNs::from_ms(2_000),
        period: None,
        source: WaveformSource::Modbus {
            table: Table::Holding,
            address: 1_000,
            sequence: 999,
            sequence_width: SequenceType::U16,
            byte_order: ByteOrder::BigEndian,
            word_order: WordOrder::BigEndian,
        },
    });
    let with = worst_case(&lane, 0);
    let acquisition = |path: &Path| {
        let of = |term: &&rules_bundle::budget::Term| term.kind == Acquisition;
        path.terms
            .iter()
            .find(of)
            .map(|term| term.time.as_ns() / 1_000_000)
    };
    let timeout_ms = 20;
    assert_eq!(
        acquisition(&with.condition),
        acquisition(&without.condition).map(|before| before + timeout_ms)
    );
    assert!(acquisition(&without.condition).is_some());
}

#[test]
fn a_polled_device_is_a_period_or_a_reply_and_all_its_reads() {
    // 20 ms for the reply under way (longer than the period of 10 ms), 20 ms for the one read.
    condition(PACK, &[(Acquisition, 40), (Turn, 2)], &ACT);
    let slow = with("poll: 10ms", "poll: 100ms");
    condition(&slow, &[(Acquisition, 120), (Turn, 2)], &ACT);
    // A second read: the flag is too far away to be read together.
    let far = with("address: 101", "address: 300");
    condition(&far, &[(Acquisition, 60), (Turn, 2)], &ACT);
    let continuous = with("poll: 10ms", "poll: continuous");
    condition(&continuous, &[(Acquisition, 40), (Turn, 2)], &ACT);
    let thread = with("timer: 1ms", "timer: 1ms, acquire: thread");
    condition(&thread, &[(Acquisition, 40), (Turn, 4)], &ACT);
}

#[test]
fn silence_trips_by_itself_so_nothing_is_waited_for_longer() {
    let slow = with("poll: 10ms", "poll: 195ms");
    // 195 + 20 are less than 20 + 200; 199 + 20 too; with a second read they are more.
    condition(&slow, &[(Acquisition, 215), (Turn, 2)], &ACT);
    let far = slow.replace("address: 101", "address: 300");
    condition(&far, &[(Transport, 20), (Freshness, 200), (Turn, 2)], &ACT);
}

#[test]
fn the_loss_path_has_no_delay_but_the_timer() {
    let delayed = with("level: danger", "for: 500ms, level: danger");
    let lost = [(Transport, 20), (Freshness, 200), (Timer, 1), (Turn, 2)];
    let expected: Vec<_> = lost.iter().chain(&ACT).copied().collect();
    for source in [PACK, &delayed] {
        assert_eq!(terms(&worst(source).loss), expected, "{source}");
    }
    let after = [(OnDelay, 500), (Timer, 1), ACT[0], ACT[1], ACT[2]];
    condition(&delayed, &[(Acquisition, 40), (Turn, 2)], &after);
    assert_eq!(worst(PACK).longest(), worst(PACK).loss.total());
    assert_eq!(worst(&delayed).longest(), worst(&delayed).condition.total());
}

#[test]
fn debounce_and_on_delay_count_from_one_moment() {
    let both = |on_delay: &str| {
        with(
            "level: danger",
            &format!(
                "for: {on_delay}, debounce: {{ need: 3, of: 5, within: 300ms }}, level: danger"
            ),
        )
    };
    let start = [(Acquisition, 40), (Turn, 2)];
    let later = [(OnDelay, 400), (Timer, 1), ACT[0], ACT[1], ACT[2]];
    condition(&both("400ms"), &start, &later);
    let later = [(Debounce, 300), (Timer, 1), ACT[0], ACT[1], ACT[2]];
    condition(&both("200ms"), &start, &later);
}

#[test]
fn what_is_dropped_before_a_channel_is_bad_counts() {
    let rate = with(
        "stale_after: 200ms }",
        "stale_after: 200ms, rate: { per_second: 9, tolerate: 3 } }",
    );
    // Three cycles of 20 ms each: a read may take as long as its timeout.
    condition(
        &rate,
        &[(Acquisition, 40), (Tolerated, 60), (Turn, 2)],
        &ACT,
    );
    let topic = with(
        "  flag:",
        "  oil: { device: net, topic: t/oil, unit: bar, range: [0, 9], stale_after: 5s, period: 100ms, envelope: { source: s, check: \
         crc32c, max_delay: 50ms, budget: { errors: 4, within: 10s } }, rate: { per_second: 1, tolerate: 2 } }\n  flag:",
    )
    .replace("tags:", "  net: { mqtt: { host: 192.168.1.10 } }\ntags:")
    .replace("&& flag", "&& flag || oil > 8 bar");
    condition(
        &topic,
        &[(Acquisition, 150), (Tolerated, 600), (Turn, 2)],
        &ACT,
    );
    // Without a period only freshness bounds a topic; by name or with TLS its broker has a thread.
    let unsaid = topic.replace("period: 100ms, ", "");
    condition(&unsaid, &[(Acquisition, 5_050), (Turn, 2)], &ACT);
    let named = unsaid.replace("192.168.1.10", "broker");
    condition(&named, &[(Acquisition, 5_050), (Turn, 4)], &ACT);
}

#[test]
fn the_slowest_output_of_every_latched_group_is_waited_for() {
    let start = [(Acquisition, 40), (Turn, 2)];
    let feedback = with(
        "device_time: 30ms",
        "device_time: 30ms, read_back: { every: 1s, within: 15ms }, feedback: { tag: flag, safe: true, within: 200ms }",
    );
    let proved = [
        (Write, 2),
        (Confirmation, 40),
        (ReadBack, 15),
        (Feedback, 200),
    ];
    condition(&feedback, &start, &proved);
    let grouped = with("coil: 0,", "coil: 0, group: g,").replace(
        "rules:",
        "  power: { device: io, coil: 1, group: g, stop: { category: 1, controlled_by: run, power_off_after: 2s }, refresh: 100ms, \
         confirm_within: 10ms, device_time: 5ms, watchdog: none }\n  other: { device: io, coil: 2, refresh: 100ms, \
         confirm_within: 9s, device_time: 0s, watchdog: none }\nrules:\n  - { id: elsewhere, when: flag, level: danger, stops: [other], \
         deadline: 20s }",
    );
    let lane = lane(&grouped);
    let shake = lane
        .rules
        .iter()
        .position(|rule| rule.id == "shake")
        .unwrap();
    let found = worst_case(&lane, shake).condition;
    let expected = [(PowerOff, 2_000), (Confirmation, 10), (Device, 5)];
    assert!(terms(&found).ends_with(&expected), "{found:?}");
    assert_eq!(found.dominant().unwrap().kind, PowerOff);
    assert_eq!(found.dominant().unwrap().of, "power");
}

#[test]
fn a_full_tick_is_all_rules_of_all_channels_twice_evaluated_and_twice_waited_for() {
    let mut source = PACK.to_owned();
    for rule in 0..9 {
        source.push_str(&format!(
            "  - {{ id: a{rule}, when: vib > {rule}.5 mm/s, level: alert }}\n"
        ));
    }
    let lane = lane(&source);
    let fuel: u64 = lane.rules.iter().map(|rule| rule.fuel()).sum();
    let tick = worst_case(&lane, 0)
        .condition
        .terms
        .into_iter()
        .find(|term| term.kind == TermKind::Tick)
        .unwrap();
    assert_eq!(tick.time, DurNs::from_ns(fuel * 10 * 2 * 2));
}

/// Every channel of a voting counts, and every program's fuel.
#[test]
fn a_vote_waits_for_its_slowest_channel() {
    let source = with(
        "tags:",
        "  far: { modbus: { host: 192.168.1.21, poll: 150ms, timeout: 20ms, addressing: zero_based } }\ntags:\n  vib2: { device: far, \
         register: { table: input, address: 1 }, type: u16, unit: mm/s, range: [0, 50], stale_after: 400ms }",
    )
    .replace("rules:", "votings: { both: { channels: [vib, vib2], vote: 2oo2 } }\nrules:")
    .replace("when: vib > 7.1 mm/s && flag", "voting: both, when: \"rms(channel, 500ms) > 7.1 mm/s\"");
    condition(&source, &[(Acquisition, 170), (Turn, 2)], &ACT);
    let lane = lane(&source);
    let rule = &lane.rules[0];
    assert_eq!((rule.programs.len(), rule.voting), (2, Some(0)));
    assert_eq!(lane.windows.len(), 2, "a window for each channel");
    assert_ne!(rule.programs[0], rule.programs[1], "each reads its own");
    let sum: u64 = rule.programs.iter().map(|program| program.fuel()).sum();
    assert_eq!(rule.fuel(), sum);
}

/// The sum is checked, not only shown: a nanosecond less than the worst case is refused.
#[test]
fn i1_a_deadline_below_the_worst_case_is_refused_and_one_of_it_is_taken() {
    let needed = worst(PACK).condition.total().as_ns();
    let exact = with("deadline: 10s", &format!("deadline: {needed}ns"));
    assert!(rules_pack::load("exact", &exact).is_ok());
    let less = with("deadline: 10s", &format!("deadline: {}ns", needed - 1));
    let findings = rules_pack::load("less", &less).unwrap_err();
    let codes: Vec<u16> = findings
        .iter()
        .map(|finding| finding.code.number())
        .collect();
    assert_eq!(codes, [85], "{findings:?}");
    for word in [
        "acquisition",
        "turn",
        "write",
        "confirm_within",
        "device_time",
    ] {
        assert!(findings[0].help.contains(word), "{}", findings[0].help);
    }
}

#[test]
fn a_rule_that_is_not_there_has_no_worst_case() {
    assert_eq!(worst_case(&lane(PACK), 7), WorstCase::default());
}

#[test]
fn reads_are_counted_as_the_driver_lays_them() {
    let blocks = |source: &str| match &lane(source).devices[0].link {
        LinkPlan::Modbus(modbus) => read_blocks(modbus),
        LinkPlan::Mqtt(_) | LinkPlan::Analyzer(_) => panic!(),
    };
    assert_eq!(blocks(PACK), 1);
    assert_eq!(
        blocks(&with("address: 101", "address: 117")),
        1,
        "a gap of 16"
    );
    assert_eq!(blocks(&with("address: 101", "address: 118")), 2, "one more");
    let wide = with("addressing", "max_gap: 124, addressing");
    assert_eq!(
        blocks(&wide.replace("address: 101", "address: 224")),
        1,
        "125 registers"
    );
    assert_eq!(
        blocks(&wide.replace("address: 101", "address: 225")),
        2,
        "126"
    );
    let coil = with(
        "register: { table: input, address: 101 }, type: bool, bit: 0",
        "coil: 101",
    );
    assert_eq!(blocks(&coil), 2, "another table");
}

/// A bad channel that is left out does not trip: those that are left decide, with the rule's delays.
#[test]
fn h49_a_vote_that_leaves_a_bad_channel_out_waits_twice() {
    let source = |on_bad: &str| {
        with(
            "rules:",
            &format!(
                "votings: {{ both: {{ channels: [vib, vib2], vote: 2oo2, on_bad: {on_bad} }} }}\nrules:"
            ),
        )
        .replace(
            "  flag:",
            "  vib2: { device: io, register: { table: input, address: 102 }, type: u16, unit: mm/s, range: [0, 50], stale_after: 200ms }\n  \
             flag:",
        )
        .replace(
            "when: vib > 7.1 mm/s && flag",
            "voting: both, for: 500ms, when: channel > 7.1 mm/s",
        )
    };
    let lost = [(Transport, 20), (Freshness, 200), (Timer, 1), (Turn, 2)];
    let of = |on_bad: &str| terms(&worst(&source(on_bad)).loss);
    let trip: Vec<_> = lost.iter().chain(&ACT).copied().collect();
    assert_eq!(of("trip"), trip);
    // The timer is looked at twice: when the channel is stale, and when the delay is over.
    let twice = [
        (Transport, 20),
        (Freshness, 200),
        (Timer, 2),
        (Turn, 2),
        (OnDelay, 500),
    ];
    let exclude: Vec<_> = twice.iter().chain(&ACT).copied().collect();
    assert_eq!(of("exclude"), exclude, "H-49");
}

//! The worst case of rules over what analyzers derive, worked out by hand (H-29).
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "helpers of tests fail the test"
)]

mod common;

use drivers_frame::DurNs;
use rules_bundle::budget::{Path, TermKind};
use rules_bundle::{Budget, Plan, ReplayPlan, WorstCase};

/// The analyzer sees the shaft's speed (polled) and a block of 1,200 samples at 12 kHz: 100 ms, every 150 ms.
const PACK: &str = "tripline: 1
pack: { name: pump }
lanes: { main: { timer: 1ms, assume: { fuel: 10ns, turn: 1ms } } }
devices:
  io: { modbus: { host: 192.168.1.20, poll: 10ms, timeout: 20ms, addressing: zero_based } }
  daq: { mqtt: { host: 192.168.1.30, client_id: pump } }
tags:
  shaft.speed: { device: io, register: { table: input, address: 0 }, type: u16, unit: rpm, range: [0, 4000], stale_after: 300ms }
outputs:
  run: { device: io, coil: 0, refresh: 100ms, confirm_within: 50ms, watchdog: none, device_time: 10ms }
waveforms:
  vibration: { device: daq, topic: v, type: i16, byte_order: big, rate: 12 kHz, samples: 1200, unit: g, stale_after: 1s, period: 150ms }
analyzers:
  bearing:
    module: bearing.wasm
    inputs: { speed: shaft.speed }
    waveform: vibration
    params: { balls: 9 }
    class: safety
    fuel: 200000
    deadline: 5ms
    canary: { every: 1min, inputs: { speed: 1500 rpm }, block: fault.f32, within: 1s }
    verdict: { stops: [run], deadline: 9s }
rules:
  - { id: shake, when: bearing.rms > 3 g, level: danger, stops: [run], deadline: 9s }
";

fn plan(source: &str) -> Plan {
    rules_pack::load_beside("pack", source, &common::Shelf)
        .unwrap_or_else(|findings| panic!("{}", rules_pack::render(&findings, source, false)))
        .plan
}

/// The worst case of `shake` and a call of everything in the tick, after changes.
fn worst(changes: &[(&str, &str)]) -> (WorstCase, DurNs) {
    let mut source = PACK.to_owned();
    for (from, to) in changes {
        assert!(source.contains(from), "{from}");
        source = source.replace(from, to);
    }
    let plan = plan(&source);
    let lane = &plan.lanes[0];
    let budget = Budget::new(lane);
    let shake = lane
        .rules
        .iter()
        .position(|rule| rule.id == "shake")
        .unwrap();
    (budget.worst_case(shake), budget.tick())
}

fn term(path: &Path, kind: TermKind) -> DurNs {
    let terms = path.terms.iter().filter(|term| term.kind == kind);
    terms.fold(DurNs::ZERO, |sum, term| sum.plus(term.time))
}

/// What the rules of the lane take in a tick, without analyzers.
fn rules_only() -> DurNs {
    let (_, tick) = worst(&[("class: safety", "class: background")]);
    tick
}

#[test]
fn h29_a_block_behind_the_cause_is_a_period_and_a_span_away() {
    let (worst, _) = worst(&[]);
    assert_eq!(
        term(&worst.condition, TermKind::Acquisition),
        DurNs::from_ms(150 + 100),
        "H-29: slower than the speed, which is 20 + 20 ms away"
    );
    assert_eq!(term(&worst.condition, TermKind::Turn), DurNs::from_ms(1));
    assert_eq!(term(&worst.condition, TermKind::Analyzer), DurNs::ZERO);
}

#[test]
fn h29_without_a_declared_period_only_freshness_is_known() {
    let (worst, _) = worst(&[(", period: 150ms", "")]);
    assert_eq!(
        term(&worst.condition, TermKind::Acquisition),
        DurNs::from_ms(1_000 + 100),
        "H-29"
    );
}

#[test]
fn h29_a_safety_analyzer_is_in_the_tick_by_its_fuel_and_at_most_by_its_deadline() {
    let rules = rules_only();
    let (_, tick) = worst(&[]);
    assert_eq!(
        tick,
        rules.plus(DurNs::from_ms(2)),
        "H-29: 200,000 fuel at 10 ns"
    );
    let (path, tick) = worst(&[("fuel: 200000", "fuel: 900000000")]);
    // 1,200 samples as f32, a unit of fuel a byte; the call 256 units; twice.
    let copy = DurNs::from_ns((1_200 * 4 + 256) * 10);
    assert_eq!(
        term(&path.condition, TermKind::Copy),
        copy.times(2),
        "H-29: no deadline bounds it"
    );
    assert_eq!(
        tick,
        rules.plus(DurNs::from_ms(5)),
        "H-29: nine seconds of fuel, cut off at the deadline"
    );
    assert_eq!(
        term(&path.condition, TermKind::Tick),
        tick.times(2),
        "H-29: the tick that runs, and its own"
    );
}

#[test]
fn h29_the_background_adds_its_own_time_and_two_turns() {
    let (worst, tick) = worst(&[("class: safety", "class: background")]);
    assert_eq!(
        term(&worst.condition, TermKind::Analyzer),
        DurNs::from_ms(5 + 2).plus(DurNs::from_ns((1_200 * 4 + 256) * 10)),
        "H-29"
    );
    assert_eq!(term(&worst.condition, TermKind::Copy), DurNs::ZERO, "H-29");
    assert!(tick < DurNs::from_ms(1), "H-29: it is in no tick: {tick}");
}

#[test]
fn h29_an_analyzer_called_by_the_clock_is_waited_for() {
    let (worst, _) = worst(&[("    deadline: 5ms", "    deadline: 5ms\n    every: 70ms")]);
    assert_eq!(
        term(&worst.condition, TermKind::Analyzer),
        DurNs::from_ms(70),
        "H-29"
    );
}

#[test]
fn h29_silence_of_the_source_lasts_until_what_was_derived_last_is_stale() {
    let (worst, _) = worst(&[]);
    let silence =
        term(&worst.loss, TermKind::Freshness).plus(term(&worst.loss, TermKind::Transport));
    // The waveform's 1 s and the 100 ms that its last block spans, then the outputs' own: the slowest source's and 5 ms.
    assert_eq!(silence, DurNs::from_ms(1_000 + 100 + 1_000 + 5), "H-29");
}

#[test]
fn h29_a_chain_waits_for_all_of_its_links() {
    let chained = [
        (
            "analyzers:\n",
            "analyzers:\n  first: { module: trend.wasm, inputs: { value: line }, class: safety, deadline: 1ms, every: 30ms, stale_after: 2s,\n           canary: { every: 1min, inputs: { value: 3 bar }, within: 1s } }\n  second: { module: trend.wasm, inputs: { value: first.slope_sum }, class: safety, deadline: 1ms, every: 40ms, stale_after: 2s,\n           canary: { every: 1min, inputs: { value: 3 bar }, within: 1s } }\n",
        ),
        (
            "tags:\n",
            "tags:\n  line: { device: io, register: { table: input, address: 1 }, type: u16, unit: bar, range: [0, 9], stale_after: 1s }\n",
        ),
        ("module: trend.wasm", "module: sum.wasm"),
        ("when: bearing.rms > 3 g", "when: second.slope_sum > 3 bar"),
    ];
    let (worst, _) = worst(&chained);
    assert_eq!(
        term(&worst.condition, TermKind::Analyzer),
        DurNs::from_ms(30 + 40),
        "H-29"
    );
    assert_eq!(
        term(&worst.condition, TermKind::Acquisition),
        DurNs::from_ms(20 + 20),
        "H-29: of the one read at the end of the chain"
    );
}

#[test]
fn h29_what_an_analyzer_waits_for_before_it_speaks_is_a_term_of_its_own() {
    // Says after `limit` calls and `balls` x 300 samples: 3 calls, and 2,700 samples in blocks of 1,200.
    let patient = [
        ("module: bearing.wasm", "module: patient.wasm"),
        ("balls: 9", "balls: 9, limit: 3 g, record: 300"),
    ];
    let (slow, _) = worst(&patient);
    let waits = |path: &Path| term(path, TermKind::Verdict);
    assert_eq!(
        waits(&slow.condition),
        DurNs::from_ms(150 * (3 + 3 - 1)),
        "H-29: each a period after the other; the first is the acquisition"
    );
    assert_eq!(
        waits(&slow.loss),
        DurNs::ZERO,
        "H-29: silence waits for nobody"
    );
    let (fast, _) = worst(&[]);
    assert_eq!(waits(&fast.condition), DurNs::ZERO, "H-29");
    let difference = |kind| {
        let [slow, fast] = [&slow, &fast].map(|worst| term(&worst.condition, kind));
        slow.as_ns().abs_diff(fast.as_ns())
    };
    assert_eq!(difference(TermKind::Acquisition), 0, "H-29");
    // Called at most each 70 ms: with the first block after that.
    let mut rare = patient.to_vec();
    rare.push(("    deadline: 5ms", "    deadline: 5ms\n    every: 70ms"));
    let (rare, _) = worst(&rare);
    assert_eq!(
        waits(&rare.condition),
        DurNs::from_ms((70 + 150) * 5),
        "H-29"
    );
    // Without a declared period only freshness is known.
    let mut unknown = patient.to_vec();
    unknown.push((", period: 150ms", ""));
    let (unknown, _) = worst(&unknown);
    assert_eq!(waits(&unknown.condition), DurNs::from_ms(1_000 * 5), "H-29");
}

#[test]
fn h29_what_the_links_of_a_chain_wait_for_adds_up() {
    let canary = "canary: { every: 1min, inputs: { value: 3 bar }, within: 1s }";
    let first = format!(
        "analyzers:\n  first: {{ module: slow.wasm, inputs: {{ value: line }}, params: {{ of: 4 }}, class: safety, deadline: 1ms, {canary} }}\n  \
         second: {{ module: slow.wasm, inputs: {{ value: first.slope }}, params: {{ of: 3 }}, class: safety, deadline: 1ms, {canary} }}\n"
    );
    let (worst, _) = worst(&[
        ("analyzers:\n", &first),
        (
            "tags:\n",
            "tags:\n  line: { device: io, register: { table: input, address: 1 }, type: u16, unit: bar, range: [0, 9], stale_after: 1s }\n",
        ),
        ("when: bearing.rms > 3 g", "when: second.slope > 3 bar"),
    ]);
    // Two reads of 20 ms lie between two looks at the line.
    assert_eq!(
        term(&worst.condition, TermKind::Verdict),
        DurNs::from_ms((20 + 20) * (3 + 2)),
        "H-29: so many calls behind the first one, each as late as the input may be"
    );
}

#[test]
fn h41_a_replay_has_the_calls_that_the_module_remembers_and_its_copy_counts() {
    let recalls = ("bearing.wasm", "recalls.wasm");
    let replay = "deadline: 5ms\n    replay: { every: 1min, within: 30s }";
    let copy = |changes: &[(&str, &str)]| {
        let (worst, _) = worst(changes);
        let copies = worst
            .condition
            .terms
            .iter()
            .filter(|term| term.kind == TermKind::Copy);
        copies.map(|term| term.time).max().unwrap()
    };
    let without = copy(&[recalls]);
    let with = copy(&[recalls, ("deadline: 5ms", replay)]);
    // 1,200 samples of 4 bytes, an input of 16, a header of 64, at 10 ns a byte; in the tick under way, and in its own.
    assert_eq!(with, without.plus(DurNs::from_ns(2 * 48_800)), "H-29");
    let source = PACK.replace(recalls.0, recalls.1);
    let plan = plan(&source.replace("deadline: 5ms", replay));
    let (_, _, analyzer) = plan.lanes[0].analyzers().next().unwrap();
    let expected = ReplayPlan {
        every: DurNs::from_ms(60_000),
        within: DurNs::from_ms(30_000),
        calls: 9,
    };
    assert_eq!(analyzer.replay, Some(expected), "H-41: as many as balls");
}

//! `cargo bench -p hil-tests --bench lane`: what a rule's call costs, and that a tick grows with the tags that changed
//! and not with the pack. In one process, without sockets; figures are medians over batches.
#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a program for people, on packs that it made itself"
)]

use std::fmt::Write;
use std::process::ExitCode;
use std::time::Instant;

use appliance_lane::Lane;
use appliance_sandbox::{Engine, NativeCode, RuleModule};
use drivers_frame::{Cause, MonoNs, Quality, Sample, TagId};
use rules_bundle::Bundle;
use rules_expr::SlotValue;

/// What the protection path promises of one call, in nanoseconds.
const CALL_NS_MAX: f64 = 100.0;
/// How much more a tick with one changed tag may cost with 10,000 rules than with 10: caches differ, work does not.
const GROWTH_MAX: f64 = 2.0;
const BATCHES: usize = 41;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    if args.is_empty() {
        println!("nothing measured: run `cargo bench -p hil-tests --bench lane`");
        return ExitCode::SUCCESS;
    }
    println!(
        "Cost of a rule's call and of a tick, ns, medians of {BATCHES} batches on one thread, no sockets"
    );
    println!("Machine protection and supervisory stop, not a certified safety component.\n");
    let engine = Engine::new().expect("an engine");
    engine.prepare_thread();
    let call = calls(&engine);
    println!("\none changed tag, one rule on it; each rule of the pack has a tag of its own");
    println!("{:>8} {:>12}", "rules", "tick");
    let ticks: Vec<f64> = [10, 100, 1_000, 10_000]
        .into_iter()
        .map(|rules| {
            let ns = Bench::new(rules, &engine).tick(1);
            println!("{rules:>8} {ns:>12.0}");
            ns
        })
        .collect();
    println!("\nchanged tags in a pack of 10,000 rules");
    println!("{:>8} {:>12} {:>12}", "changed", "tick", "a tag");
    let mut bench = Bench::new(10_000, &engine);
    for changed in [1, 10, 100, 1_000] {
        let ns = bench.tick(changed);
        println!("{changed:>8} {ns:>12.0} {:>12.0}", ns / f64::from(changed));
    }
    let growth = ticks.last().expect("four") / ticks.first().expect("four");
    println!();
    let mut passed = gate("a rule's call, fuelled, at most 100 ns", call, CALL_NS_MAX);
    passed &= gate(
        "tick with one changed tag, 10,000 rules over 10 rules, at most 2",
        growth,
        GROWTH_MAX,
    );
    if !passed && args.iter().any(|arg| arg == "--gate") {
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

fn gate(what: &str, value: f64, most: f64) -> bool {
    let word = if value <= most { "PASS  " } else { "MISSED" };
    println!("{word} {what}: {value:.2}");
    value <= most
}

/// A call of `tag > constant` in the rule module, beside the native evaluation of the same rule.
fn calls(engine: &Engine) -> f64 {
    let bundle = bundle(10);
    let mut module = module(&bundle, engine);
    let program = &bundle.plan.lanes[0].rules[0].programs[0];
    let slots = vec![
        SlotValue {
            value: 3.0,
            usable: true
        };
        bundle.plan.lanes[0].slots() as usize
    ];
    for index in 0..slots.len() {
        module.set_slot(index, 3.0, true).expect("a slot");
    }
    let call = median(10_000, || {
        assert_eq!(module.call(0, false, program.fuel()), Ok(0));
    });
    let native = median(10_000, || {
        assert_eq!(
            rules_expr::eval(program, &slots, std::hint::black_box(false)).code(),
            0
        );
    });
    let write = median(10_000, || {
        module
            .set_slot(0, std::hint::black_box(3.0), true)
            .expect("a slot")
    });
    println!("rule `tag > constant` in WebAssembly, fuelled and checked  {call:>8.1}");
    println!("the same, native                                           {native:>8.1}");
    println!("one slot written into the module                           {write:>8.1}");
    call
}

struct Bench {
    lane: Lane<RuleModule>,
    step: u64,
}

impl Bench {
    fn new(rules: usize, engine: &Engine) -> Self {
        let bundle = bundle(rules);
        let mut lane = Lane::new(
            &bundle.plan.lanes[0],
            module(&bundle, engine),
            MonoNs::from_ns(0),
        )
        .expect("a lane");
        for tag in 0..rules {
            lane.ingest(&sample(tag, 1.0, 1));
        }
        lane.tick(MonoNs::from_ns(1));
        lane.clear_events();
        Self { lane, step: 1 }
    }

    /// Median cost of taking `changed` new values and ticking.
    fn tick(&mut self, changed: u32) -> f64 {
        let Self { lane, step } = self;
        median(2_000 / changed.min(200), || {
            *step += 1;
            for tag in 0..changed as usize {
                lane.ingest(&sample(tag, (*step % 7) as f64, *step));
            }
            lane.tick(MonoNs::from_ns(*step));
            assert!(lane.events().is_empty());
        })
    }
}

fn sample(tag: usize, value: f64, at: u64) -> Sample {
    Sample {
        at: MonoNs::from_ns(at),
        value,
        tag: TagId(tag as u16),
        quality: Quality::Good,
        cause: Cause::None,
    }
}

/// Median over the batches of the mean of `calls` calls, in nanoseconds.
fn median(calls: u32, mut work: impl FnMut()) -> f64 {
    let mut batches: Vec<f64> = (0..=BATCHES)
        .map(|_| {
            let start = Instant::now();
            for _ in 0..calls {
                work();
            }
            start.elapsed().as_nanos() as f64 / f64::from(calls)
        })
        .skip(1)
        .collect();
    batches.sort_by(f64::total_cmp);
    batches[BATCHES / 2]
}

fn module(bundle: &Bundle, engine: &Engine) -> RuleModule {
    let plan = &bundle.plan.lanes[0];
    #[expect(unsafe_code, reason = "loading machine code")]
    // SAFETY: the bytes come from a bundle that was compiled, sealed and opened by this program.
    let code = unsafe { NativeCode::vouch(&bundle.lanes[0].native) };
    RuleModule::load(
        engine,
        &code,
        plan.programs().count(),
        plan.slots() as usize,
    )
    .expect("a module")
}

/// A pack in which each rule has a tag of its own.
fn bundle(rules: usize) -> Bundle {
    let mut yaml = String::from(
        "tripline: 1\npack: { name: wide, version: \"1\" }\n\
         devices:\n  io:\n    modbus: { host: 127.0.0.1, port: 502, unit: 1, poll: 10ms, timeout: 50ms, addressing: zero_based }\n\
         tags:\n",
    );
    for tag in 0..rules {
        writeln!(
            yaml,
            "  t{tag}: {{ device: io, register: {{ table: holding, address: {tag} }}, type: u16, unit: mm/s, range: [0, 65535], stale_after: 10s }}"
        )
        .expect("a string grows");
    }
    yaml.push_str(
        "outputs:\n  run: { device: io, coil: 0, refresh: 1s, confirm_within: 1s }\nrules:\n",
    );
    for rule in 0..rules {
        writeln!(
            yaml,
            "  - {{ id: r{rule}, when: t{rule} > 500 mm/s, level: danger, stops: [run], deadline: 10s, message: over }}"
        )
        .expect("a string grows");
    }
    rules_bundle::open(
        &hil_tests::packs::bundle(&yaml),
        &rules_bundle::testing::key(),
    )
    .expect("a bundle")
}

//! Queues that overflow, every way to wait and to acquire, memory.

use std::fmt::Write;

use appliance_control::{EventBody, Reply, Request};
use hil_tests::guard::{Guard, wait_until};
use hil_tests::hostile::Device;
use hil_tests::packs::Loop;
use hil_tests::stand::{DANGER, HEALTHY, Setup, Stand, output, wait_event};

/// Resident memory that a guard with 1,000 rules may have.
const RESIDENT_BYTES_MAX: u64 = 64 * 1024 * 1024;

#[test]
fn i11_every_way_to_acquire_and_to_wait_trips_and_resets_without_allocating() {
    for acquire in ["inline", "thread"] {
        for wait in ["park", "spin"] {
            for poll in ["10ms", "continuous"] {
                let stand = Stand::armed(&Setup {
                    acquire,
                    wait,
                    poll,
                    ..Setup::default()
                });
                for _ in 0..5 {
                    stand.device.show(DANGER);
                    stand.wait_stopped();
                    stand.device.show(HEALTHY);
                    stand.arm();
                    stand.device.cut();
                }
                let status = stand.guard.status();
                assert_eq!(status.lane_allocations, 0, "{acquire} {wait} {poll}");
                assert_eq!(status.events_lost, 0);
                let lane = &status.lanes[0];
                assert_eq!(lane.wait, wait);
                assert_eq!(lane.comparison_faults, 0, "H-42");
                assert!(lane.evaluations > 0 && lane.samples > 0 && lane.ticks > 0);
            }
        }
    }
}

/// A lane with more work in a tick than its queue holds frames for.
#[test]
fn h25_a_full_queue_is_counted_makes_its_channels_bad_and_blocks_nobody() {
    const TAGS: usize = 100;
    let mut tags = String::new();
    for index in 1..TAGS {
        writeln!(
            tags,
            "  other_{index}: {{ device: io, register: {{ table: holding, address: {index} }}, type: u16, unit: mm/s, range: [0, 1000], stale_after: 20s }}"
        )
        .expect("a string grows");
    }
    // Rules with an age are due in every tick; a long sum each makes that tick long.
    let mut rules = String::new();
    let sum: Vec<String> = (1..TAGS).map(|index| format!("other_{index}")).collect();
    let sum = sum.join(" + ");
    for rule in 0..1_000 {
        writeln!(
            rules,
            "  - {{ id: heavy_{rule}, when: \"age(value) > 1h || {sum} > 900000 mm/s\", level: alert, message: never }}"
        )
        .expect("a string grows");
    }
    let device = Device::default();
    let setup = Setup {
        acquire: "thread",
        poll: "continuous",
        stale_after: "20s",
        more: [tags, String::new(), rules],
        ..Setup::default()
    };
    // Real-time priority would let this lane starve whatever else this computer does.
    let yaml = setup
        .yaml(device.address())
        .replace("wait: park,", "wait: park, priority: 0,");
    device.show(HEALTHY);
    let guard = Guard::start(&yaml);
    let events = wait_event(
        &guard.socket(),
        "the loss stops the machine",
        |body| matches!(body, EventBody::Rule { rule, quality_cause, .. } if rule == "over" && quality_cause.as_deref() == Some("lost in a full queue")),
    );
    let Some(EventBody::Rule { state, cause, .. }) = events.last().map(|event| &event.body) else {
        panic!("a rule's event");
    };
    assert_eq!(
        (state.as_str(), cause.as_str()),
        ("active", "bad input"),
        "I6"
    );
    let status = guard.status();
    assert!(status.lanes[0].frames_lost > 0);
    assert_eq!(status.lane_allocations, 0, "I11");
    let requests = || hil_tests::stand::device(&guard.status(), "io").replies;
    let before = requests();
    wait_until("the driver goes on", || requests() > before);
    assert_eq!(output(&guard.status(), "run").permit, "withheld");
}

#[test]
fn i10_a_thousand_rules_fit_the_memory_that_is_promised() {
    let device = Device::default();
    let pack = Loop {
        rules: 1_000,
        poll: "10ms",
        ..Loop::new(device.address())
    };
    let guard = Guard::start(&pack.yaml());
    device.show(HEALTHY);
    let arm = || {
        guard.arm();
        // Before the permit is there, a coil that is off says nothing about the next danger.
        wait_until("the machine may run", || device.coil(0));
    };
    arm();
    for _ in 0..20 {
        device.show(DANGER);
        wait_until("the machine is stopped", || !device.coil(0));
        device.show(HEALTHY);
        arm();
        assert!(matches!(guard.ask(&Request::Latency {}), Reply::Latency(_)));
    }
    let status = guard.status();
    assert_eq!(status.lanes[0].rules.len(), 1_000);
    assert_eq!(status.lane_allocations, 0, "I11");
    let resident = status.resident_bytes.expect("Linux tells");
    println!(
        "resident with 1,000 rules: {:.1} MiB",
        resident as f64 / f64::from(1 << 20)
    );
    assert!(resident > 1 << 20, "H-34: a figure, not a guess");
    // Without optimisation code and stacks are larger than what is shipped.
    if !cfg!(debug_assertions) {
        assert!(resident <= RESIDENT_BYTES_MAX, "{resident} bytes");
    }
}

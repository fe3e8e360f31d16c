//! A host that is slower than the reaction times were computed with.

use appliance_control::EventBody;
use hil_tests::guard::{Guard, wait_until};
use hil_tests::hostile::Device;
use hil_tests::packs;
use hil_tests::stand::{DANGER, HEALTHY, Setup, Stand, refusal, wait_event};
use rt_config::cpu::{Cores, pin_to};

#[test]
fn h29_a_host_that_is_slower_than_assumed_is_driven_safe_and_refuses_to_arm() {
    let device = Device::default();
    device.show(HEALTHY);
    device.set(drivers_sim::image::Table::Coil, 0, 1);
    let yaml = Setup::default().yaml(device.address());
    // No processor evaluates in a picosecond, and none will.
    let bundle = packs::bundle_with(&yaml, |plan| {
        for lane in &mut plan.lanes {
            lane.assumed.fuel_ps = 1;
        }
    });
    let guard = Guard::start_bundle(&bundle);
    wait_until("the machine is stopped", || !device.coil(0));
    let (cause, help) = refusal(&guard);
    assert!(cause.contains("host slower than assumed"), "{cause}");
    assert!(help.contains("assume"), "{help}");
    let status = guard.status();
    assert!(!status.state.permits());
    let figures = |text: &String| text.contains("assumed 1 ps") && text.contains("`assume:`");
    assert!(
        status.degraded.iter().any(figures),
        "measured and assumed: {:?}",
        status.degraded
    );
    wait_event(&guard.socket(), "it is told", |body| {
        matches!(body, EventBody::SelfCheck { check, stopped: true, detail }
            if check == "host" && figures(detail))
    });
    let writes = device.writes();
    assert!(
        writes.iter().skip(1).all(|write| write.value == 0),
        "I2: never permitted: {writes:?}"
    );
}

#[test]
fn a_host_that_is_as_fast_as_assumed_arms() {
    let stand = Stand::armed(&Setup::default());
    let held = stand.guard.status().lanes[0].holds.clone();
    assert_eq!(held, Some(Vec::new()));
}

/// The whole guard on one core, with a lane whose input is always there. Where real-time priority is not granted the kernel
/// divides the core anyway.
#[test]
fn a_parked_lane_that_is_always_fed_leaves_the_guard_its_share_of_the_core() {
    let device = Device::default();
    device.show(HEALTHY);
    let yaml = Setup {
        poll: "continuous",
        ..Setup::default()
    }
    .yaml(device.address());
    let bundle = packs::bundle(&yaml);
    // A process inherits the mask of the thread that starts it.
    let start = move || {
        let core = Cores::read().online.last().copied();
        pin_to(core.expect("a core")).expect("it is ours");
        Guard::start_bundle(&bundle)
    };
    let guard = std::thread::spawn(start).join().expect("the guard starts");
    guard.arm();
    wait_until("the machine runs", || device.coil(0));
    device.show(DANGER);
    wait_until("the machine is stopped", || !device.coil(0));
    let lane = &guard.status().lanes[0];
    assert_eq!(lane.wait, "park");
    assert!(lane.ticks > 0 && lane.samples > 0);
}

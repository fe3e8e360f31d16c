//! What outlives a guard: why it had stopped, and that it keeps falling over.

use appliance_control::{EventBody, GroupStatus, Reply, Request};
use hil_tests::binaries;
use hil_tests::guard::{Guard, Site, wait_until};
use hil_tests::hostile::Device;
use hil_tests::stand::{DANGER, HEALTHY, Setup, Stand, output, refusal, wait_event};

fn again(site: Site) -> Guard {
    Guard::start_as(site, binaries::guard(), |_| {})
}

fn group(guard: &Guard) -> GroupStatus {
    let status = guard.status();
    let mut groups = status.lanes.iter().flat_map(|lane| &lane.groups);
    groups.next().expect("a group").clone()
}

/// Ends it in order, leaving its folder to a successor.
fn end(guard: Guard) -> Site {
    let pid = rustix::process::Pid::from_raw(i32::try_from(guard.pid()).expect("a pid"));
    rustix::process::kill_process(pid.expect("not 0"), rustix::process::Signal::TERM)
        .expect("it takes signals");
    let mut guard = guard;
    assert_eq!(guard.wait_end(), Some(0));
    guard.kill_and_leave()
}

#[test]
fn h52_a_restart_is_tripped_and_says_what_had_stopped_the_machine_before() {
    let stand = Stand::armed(&Setup::default());
    let Stand { guard, device } = stand;
    device.show(DANGER);
    wait_event(&guard.socket(), "the stop is confirmed", |body| {
        matches!(body, EventBody::StopConfirmed { .. })
    });
    wait_until("it is on the disk", || {
        let text = std::fs::read_to_string(guard.site().file("guard.state"));
        text.is_ok_and(|text| text.contains("\"condition\""))
    });
    device.show(HEALTHY);
    let guard = again(guard.kill_and_leave());
    assert!(!guard.status().state.permits(), "I9");
    let before = group(&guard).before_restart.expect("H-52: it is known");
    assert!(before.starts_with("over, condition, at 20"), "{before}");
    let first_out = output(&guard.status(), "run").first_out;
    assert_eq!(first_out.as_deref(), Some("not reset since start"));
    let reasons = guard.status().reasons;
    assert!(
        reasons
            .iter()
            .any(|reason| reason.text.contains("over, condition")),
        "H-52: {reasons:?}"
    );
    // Nobody has reset it yet: another restart still says so, an orderly one too.
    let guard = again(end(guard));
    let again_before = group(&guard).before_restart;
    assert_eq!(again_before.as_deref(), Some(before.as_str()), "H-52");
    guard.arm();
    assert_eq!(group(&guard).before_restart, None, "the reset forgets it");
    let guard = again(end(guard));
    assert_eq!(group(&guard).before_restart, None);
    guard.arm();
    wait_until("the machine may run", || device.coil(0));
}

#[test]
fn h83_a_guard_that_keeps_falling_over_stays_tripped_until_a_person_lifts_it() {
    let device = Device::default();
    device.show(HEALTHY);
    let mut guard = Guard::start(&Setup::default().yaml(device.address()));
    for fall in 0..3 {
        guard.arm();
        guard = again(guard.kill_and_leave());
        let held = guard.status().lanes[0]
            .holds
            .clone()
            .expect("holds are told");
        assert_eq!(!held.is_empty(), fall == 2, "H-83: {held:?} after {fall}");
    }
    wait_event(
        &guard.socket(),
        "it is told",
        |body| matches!(body, EventBody::SelfCheck { check, stopped: true, .. } if check == "crash_loop"),
    );
    let (cause, _) = refusal(&guard);
    assert!(cause.contains("crash loop"), "H-83: {cause}");
    // An orderly restart does not lift it.
    let guard = again(end(guard));
    let (cause, help) = refusal(&guard);
    assert!(cause.contains("crash loop"), "H-83: {cause}");
    assert!(help.contains("lift"), "{help}");
    let lift = Request::Lift {
        hold: "crash loop".to_owned(),
        who: "a test".to_owned(),
    };
    assert_eq!(guard.ask(&lift), Reply::Done {});
    guard.arm();
    wait_until("the machine may run", || device.coil(0));
    let guard = again(end(guard));
    guard.arm();
}

#[test]
fn h73_a_damaged_file_is_told_set_aside_and_counts_as_tripped() {
    let device = Device::default();
    device.show(HEALTHY);
    let guard = Guard::start(&Setup::default().yaml(device.address()));
    guard.arm();
    let site = end(guard);
    std::fs::write(
        site.file("guard.state"),
        "tripline-state 1 7 00000000\n{\"latc",
    )
    .expect("written");
    let guard = again(site);
    wait_event(&guard.socket(), "it is told", |body| {
        matches!(body, EventBody::SelfCheck { check, detail, .. }
            if check == "state" && detail.contains("guard.state.bad"))
    });
    assert!(guard.site().file("guard.state.bad").exists());
    let before = group(&guard).before_restart;
    assert!(
        before
            .as_deref()
            .is_some_and(|before| before.contains("damaged")),
        "H-73: {before:?}"
    );
    assert!(!guard.status().state.permits());
    guard.arm();
}

#[test]
fn h74_a_disk_that_fails_is_told_and_stops_nothing_but_itself() {
    let device = Device::default();
    device.show(HEALTHY);
    let site = Site::new(&hil_tests::packs::bundle(
        &Setup::default().yaml(device.address()),
    ));
    let folder = site.file("kept");
    let argument = folder.clone();
    let guard = Guard::start_as(site, binaries::guard(), |command| {
        command.arg("--state").arg(argument);
    });
    let stand = Stand { guard, device };
    stand.arm();
    let lacks = || {
        let degraded = stand.guard.status().degraded;
        degraded
            .iter()
            .any(|lack| lack.starts_with("latches may not survive a restart"))
    };
    assert!(!lacks());
    // A file where the folder was: nothing can be written there, by root neither. Tried again while the guard still writes.
    wait_until("a file stands where the folder was", || {
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::write(&folder, "").is_ok()
    });
    stand.device.show(DANGER);
    stand.wait_stopped();
    wait_event(
        &stand.guard.socket(),
        "the disk is told",
        |body| matches!(body, EventBody::SelfCheck { check, stopped: false, .. } if check == "state"),
    );
    wait_until("it is degraded", lacks);
    stand.device.show(HEALTHY);
    stand.arm();
    // Mended: the next change is kept.
    std::fs::remove_file(&folder).expect("it is there");
    stand.device.show(DANGER);
    stand.wait_stopped();
    wait_until("it is kept again", || {
        folder.join("guard.state").exists() && !lacks()
    });
}

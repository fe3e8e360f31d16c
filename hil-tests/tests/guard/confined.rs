//! A guard in which something breaks out of the sandbox: what it reaches for ends the guard, or is closed (H-43, I11).
//!
//! The reaching is put into a guard built for that (feature `inject`); every other test here runs a guard that is confined
//! the same way, and must never run into its walls.

use std::io::Write;
use std::os::unix::process::ExitStatusExt;
use std::process::Stdio;
use std::time::Duration;

use hil_tests::binaries;
use hil_tests::guard::{Guard, Site, wait_until};
use hil_tests::hostile::Device;
use hil_tests::packs;
use hil_tests::stand::{HEALTHY, Setup, Stand};

const INJECT: &str = "inject";
const SAID: &str = "said";
const SIGSYS: i32 = 31;

/// An armed stand whose guard can be told to reach for what it may not; its device drops the permit by itself.
fn armed() -> Stand {
    let device = Device::new(Duration::from_millis(1_000));
    device.show(HEALTHY);
    let site = Site::new(&packs::bundle(&Setup::default().yaml(device.address())));
    let (order, said) = (site.file(INJECT), site.file(SAID));
    let guard = Guard::start_as(site, binaries::guard_that_fails(), |command| {
        let said = std::fs::File::create(said).expect("a file for what it says");
        command
            .env("TRIPLINE_INJECT", order)
            .stderr(Stdio::from(said));
    });
    let stand = Stand { guard, device };
    stand.arm();
    stand
}

fn inject(guard: &Guard, word: &str) {
    std::fs::write(guard.site().file(INJECT), word).expect("the order is written");
}

fn said(guard: &Guard) -> String {
    std::fs::read_to_string(guard.site().file(SAID)).expect("it is there")
}

/// Whether the guard said at start that this kernel does not grant it that; then it is said that this is not tested.
fn lacks(guard: &Guard, wall: &str) -> bool {
    let degraded = guard.status().degraded;
    let lack = degraded.iter().find(|lack| lack.contains(wall));
    if let Some(lack) = lack {
        let thread = std::thread::current();
        let test = thread.name().unwrap_or("a test");
        // Past the test harness, which keeps what a passing test prints to itself.
        let _ = writeln!(std::io::stderr(), "NOT TESTED: {test}: {lack}");
    }
    lack.is_some()
}

const NO_FILTER: &str = "system calls are not filtered";
const NO_FILES: &str = "files are not closed";

/// The guard ends by SIGSYS, the permit lapses, the next guard starts tripped.
fn ends_by_sigsys(word: &str) {
    let Stand { mut guard, device } = armed();
    if lacks(&guard, NO_FILTER) {
        return;
    }
    inject(&guard, word);
    let status = guard.wait_status();
    assert_eq!(status.signal(), Some(SIGSYS), "H-43: {word}: {status:?}");
    assert!(!said(&guard).contains("inject: "), "{}", said(&guard));
    wait_until("the permit lapses", || !device.coil(0));
    let last = device.writes().pop().expect("writes");
    assert_eq!((last.value, last.peer), (0, None), "by the device itself");
    let guard = Guard::start_as(guard.kill_and_leave(), binaries::guard(), |_| {});
    assert!(!guard.status().state.permits(), "I9");
    guard.arm();
    wait_until("the machine may run", || device.coil(0));
}

#[test]
fn h43_i11_a_lane_that_starts_a_program_ends_the_guard_and_the_permit_lapses() {
    ends_by_sigsys("execute");
}

#[test]
fn h43_i11_a_lane_that_opens_a_file_ends_the_guard_and_the_permit_lapses() {
    ends_by_sigsys("open_file");
}

#[test]
fn h43_a_thread_without_a_list_of_its_own_starts_no_program_either() {
    ends_by_sigsys("execute_elsewhere");
}

#[test]
fn h43_the_main_thread_reads_what_it_needs_and_nothing_else() {
    let stand = armed();
    let confined = !lacks(&stand.guard, NO_FILES);
    let reads = |path: &str| {
        inject(&stand.guard, &format!("main_reads {path}"));
        let answer = format!("main_reads {path}: ");
        wait_until("it says how that went", || {
            said(&stand.guard).contains(&answer)
        });
        let said = said(&stand.guard);
        let line = said.lines().find(|line| line.contains(&answer));
        line.expect("it is said").contains("Ok(")
    };
    assert!(reads("/etc/passwd"), "accounts");
    assert!(reads("/proc/self/statm"), "its own memory");
    assert_eq!(reads("/bin/true"), !confined, "H-43");
    assert_eq!(reads("/proc/1/cmdline"), !confined, "H-43");
    assert_eq!(
        reads(&binaries::guard().display().to_string()),
        !confined,
        "H-43"
    );
    assert!(stand.device.coil(0), "the machine runs on");
    assert_eq!(stand.guard.terminate(), Some(0));
}

#[test]
fn h43_a_guard_is_confined_unless_it_is_told_otherwise_and_then_says_so() {
    let device = Device::default();
    device.show(HEALTHY);
    let setup = Setup {
        acquire: "thread",
        ..Setup::default()
    };
    let bundle = packs::bundle(&setup.yaml(device.address()));
    // Those that this test was started with, as in a container, are everybody's.
    let count = |status: &str| {
        let mut lines = status.lines();
        let count = lines.find_map(|line| line.strip_prefix("Seccomp_filters:"))?;
        Some(count.trim().parse::<u32>().expect("a number"))
    };
    let own = std::fs::read_to_string("/proc/self/status").expect("it runs");
    let own = count(&own);
    let filters = |guard: &Guard| {
        let tasks = std::fs::read_dir(format!("/proc/{}/task", guard.pid())).expect("it runs");
        let mut filters: Vec<(String, u32)> = tasks
            .map(|task| {
                let task = task.expect("a thread").path();
                let read = |name: &str| std::fs::read_to_string(task.join(name)).expect("it runs");
                let count = count(&read("status")).zip(own);
                let count = count.map_or(0, |(count, own)| count.saturating_sub(own));
                (read("comm").trim().to_owned(), count)
            })
            .collect();
        filters.sort();
        filters
    };
    let told = |guard: &Guard| {
        let degraded = guard.status().degraded;
        degraded
            .iter()
            .any(|lack| lack.contains("the guard is not confined"))
    };
    let guard = Guard::start_bundle(&bundle);
    assert!(!told(&guard));
    // Two of the process, one of the thread.
    let all = [
        "acquire-main",
        "kept",
        "lane-main",
        "sentinel",
        "tripline-guard",
    ];
    let all = all.map(|name| (name.to_owned(), 3));
    if own.is_none() {
        let _ = writeln!(
            std::io::stderr(),
            "NOT TESTED: this kernel does not tell how many filters a thread has"
        );
    } else if !lacks(&guard, NO_FILTER) {
        wait_until("H-43: every thread is confined", || filters(&guard) == all);
    }
    guard.kill();
    let guard = Guard::start_with(&bundle, &["--unconfined"]);
    assert!(told(&guard), "H-43");
    assert!(filters(&guard).iter().all(|(_, count)| *count == 0));
    guard.arm();
}

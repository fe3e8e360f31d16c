//! The supervisor with a guard process of the test's own: this very program, started with the guard's arguments.
//!
//! Without the usual harness, because that would not take those arguments.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a helper of a test fails as its test does; and there is no harness to print"
)]

mod common;

use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::Duration;

use appliance_control::{Client, Reply, Request};
use appliance_desk::notice::{self, GuardExit, Notice, NoticeReceiver};
use appliance_desk::signals::StopSignal;
use appliance_desk::supervise::{GuardCommand, Outcome, StartError, Supervisor};
use common::{BUNDLE, FakeGuard, until};

fn main() {
    let args: Vec<String> = std::env::args().collect();
    if let [_, bundle, file, key, _, socket, path] = args.as_slice()
        && bundle == "--bundle"
        && key == "--bundle-key"
        && socket == "--socket"
    {
        guard(Path::new(file), Path::new(path));
    }
    let tests: [(&str, fn()); 6] = [
        (
            "a_guard_is_ready_when_start_returns_and_stops_when_asked",
            start_and_stop,
        ),
        ("a_guard_that_refuses_is_reported_at_once", refusal),
        (
            "h83_a_guard_that_dies_is_restarted_but_not_for_ever",
            crash_loop,
        ),
        ("a_guard_that_runs_is_adopted_and_stopped", adoption),
        ("another_bundle_at_the_socket_is_left_alone", other_bundle),
        (
            "a_guard_that_somebody_else_stops_stays_down",
            stopped_by_other,
        ),
    ];
    let filter = args.get(1).filter(|arg| !arg.starts_with('-'));
    for (name, test) in tests {
        if filter.is_none_or(|filter| name.contains(filter)) {
            test();
            println!("test {name} ... ok");
        }
    }
}

/// The guard: the file that should be a bundle says what it does.
fn guard(bundle: &Path, socket: &Path) -> ! {
    let order = std::fs::read_to_string(bundle).unwrap();
    if let Some(code) = order.strip_prefix("exit ") {
        std::process::exit(code.parse().unwrap());
    }
    let stop = StopSignal::register().unwrap();
    // A guard that was killed has left its socket.
    let _ = std::fs::remove_file(socket);
    let serving = FakeGuard::start(socket, std::process::id());
    while !stop.is_set() {
        std::thread::sleep(Duration::from_millis(5));
    }
    drop(serving);
    std::process::exit(0);
}

struct Setup {
    dir: tempfile::TempDir,
}

impl Setup {
    fn new(order: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("bundle"), order).unwrap();
        Self { dir }
    }

    fn socket(&self) -> PathBuf {
        self.dir.path().join("guard.sock")
    }

    fn command(&self, hash: &str) -> GuardCommand {
        GuardCommand {
            program: std::env::current_exe().unwrap(),
            bundle: self.dir.path().join("bundle"),
            bundle_key: self.dir.path().join("bundle.key"),
            hash: hash.into(),
            socket: self.socket(),
            operators: None,
            allow_unsigned: false,
            log: Some(self.dir.path().join("log")),
        }
    }

    fn start(&self) -> (Result<Supervisor, StartError>, NoticeReceiver) {
        let (notices, receiver) = notice::queue();
        (
            Supervisor::start(self.command(BUNDLE), notices, || false),
            receiver,
        )
    }

    /// A guard that no supervisor started.
    fn stray(&self) -> Child {
        let command = self.command(BUNDLE);
        let child = Command::new(command.program)
            .arg("--bundle")
            .arg(command.bundle)
            .arg("--bundle-key")
            .arg(command.bundle_key)
            .arg("--socket")
            .arg(command.socket)
            .spawn();
        let child = child.unwrap();
        until("stray guard answers", || self.pid().is_some());
        child
    }

    fn pid(&self) -> Option<u32> {
        let mut client = Client::connect(&self.socket()).ok()?;
        match client.ask(&Request::Status {}).ok()? {
            Reply::Status(status) => Some(status.pid),
            _ => None,
        }
    }

    fn signal(&self, signal: rustix::process::Signal) -> u32 {
        let pid = self.pid().unwrap();
        let raw = rustix::process::Pid::from_raw(pid.cast_signed()).unwrap();
        rustix::process::kill_process(raw, signal).unwrap();
        pid
    }
}

fn start_and_stop() {
    let setup = Setup::new("serve");
    let (supervisor, _notices) = setup.start();
    let supervisor = supervisor.unwrap();
    assert!(setup.pid().is_some(), "ready when start returns");
    assert!(!supervisor.adopted());
    let outcome = supervisor.stop();
    assert_eq!(outcome, Outcome::Stopped(GuardExit::Code(0)));
    assert!(outcome.is_good());
    assert!(setup.pid().is_none());
}

fn refusal() {
    for code in [2, 3, 4, 5] {
        let (supervisor, _notices) = Setup::new(&format!("exit {code}")).start();
        match supervisor.err().unwrap() {
            StartError::Ended(exit) => assert_eq!(exit, GuardExit::Code(code)),
            other => panic!("{other}"),
        }
    }
}

fn crash_loop() {
    let setup = Setup::new("serve");
    let (supervisor, notices) = setup.start();
    let supervisor = supervisor.unwrap();
    for death in 1..=3 {
        let killed = setup.signal(rustix::process::Signal::KILL);
        if death < 3 {
            until("another guard", || {
                setup.pid().is_some_and(|pid| pid != killed)
            });
            assert!(!supervisor.is_over());
        }
    }
    until("the watch is over", || supervisor.is_over());
    assert!(setup.pid().is_none(), "H-83: it stays down");
    assert_eq!(supervisor.stop(), Outcome::CrashLoop, "H-83");
    let mut told = Vec::new();
    while let Some(notice) = notices.next(Duration::ZERO) {
        told.push(notice);
    }
    let died = Notice::GuardDied(GuardExit::Signal(9));
    assert_eq!(told.iter().filter(|notice| **notice == died).count(), 3);
    assert_eq!(
        told.last(),
        Some(&Notice::CrashLoop { deaths: 3 }),
        "H-83: and says so"
    );
}

fn adoption() {
    let setup = Setup::new("serve");
    let mut stray = setup.stray();
    let (supervisor, _notices) = setup.start();
    let supervisor = supervisor.unwrap();
    assert!(supervisor.adopted());
    assert_eq!(setup.pid(), Some(stray.id()), "no second guard was started");
    // Somebody must reap it here, where it is our child after all; its process counts as ended only then or before.
    let outcome = supervisor.stop();
    assert_eq!(outcome, Outcome::Stopped(GuardExit::Unseen));
    assert!(stray.wait().unwrap().success());
}

fn other_bundle() {
    let setup = Setup::new("serve");
    let mut stray = setup.stray();
    let (notices, _receiver) = notice::queue();
    let refused = Supervisor::start(setup.command("another"), notices, || false);
    match refused.err().unwrap() {
        StartError::OtherBundle { pid, bundle, .. } => {
            assert_eq!((pid, bundle.as_str()), (stray.id(), BUNDLE));
        }
        other => panic!("{other}"),
    }
    assert!(setup.pid().is_some(), "it goes on");
    setup.signal(rustix::process::Signal::TERM);
    assert!(stray.wait().unwrap().success());
}

fn stopped_by_other() {
    let setup = Setup::new("serve");
    let (supervisor, _notices) = setup.start();
    let supervisor = supervisor.unwrap();
    setup.signal(rustix::process::Signal::TERM);
    until("the watch is over", || supervisor.is_over());
    let outcome = supervisor.stop();
    assert_eq!(outcome, Outcome::StoppedByOther(GuardExit::Code(0)));
    assert!(!outcome.is_good());
}

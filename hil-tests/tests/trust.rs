//! Whose pack runs, end to end: keys and signatures as people make them, `tripline run` with the real guard and a device.
//! A signed pack runs and nothing is said of it; an unsigned one is refused, or shown wherever the guard is looked at.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests"
)]

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use appliance_control::{Client, Reply, Request, Reset, Status};
use hil_tests::guard::{Site, reset, wait_until};
use hil_tests::hostile::Device;
use hil_tests::stand::{DANGER, HEALTHY, Setup};
use hil_tests::{binaries, packs};
use rules_bundle::{SignaturePlan, Vouched};

/// A gateway in a folder: a pack, trusted keys, a state folder, and a device that is healthy.
struct Gateway {
    folder: tempfile::TempDir,
    device: Device,
}

/// `tripline run`; ended when dropped.
struct Run(Child);

impl Run {
    /// As Ctrl-C does, and its exit code.
    fn end(&mut self) -> Option<i32> {
        let pid = i32::try_from(self.0.id()).expect("a pid");
        let pid = rustix::process::Pid::from_raw(pid).expect("not zero");
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).expect("it is ours");
        self.0.wait().expect("it ends").code()
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        if matches!(self.0.try_wait(), Ok(None)) {
            self.end();
        }
    }
}

impl Gateway {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let device = Device::default();
        device.show(HEALTHY);
        let yaml = Setup::default().yaml(device.address());
        std::fs::write(folder.path().join("stand.yaml"), yaml).expect("a file");
        std::fs::create_dir(folder.path().join("trusted.d")).expect("a folder");
        Self { folder, device }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(binaries::tripline());
        command
            .args(args)
            .args(["--socket", "guard.sock"])
            .current_dir(self.folder.path())
            .env("TRIPLINE_GUARD", binaries::guard())
            .env("TRIPLINE_TRUSTED", self.path("trusted.d"))
            .env("TRIPLINE_STATE", self.path("state"))
            .stdin(Stdio::null());
        command
    }

    fn ask(&self, args: &[&str]) -> Output {
        self.command(args).output().expect("it starts")
    }

    fn good(&self, args: &[&str]) -> String {
        let output = self.ask(args);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{args:?}: {said}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Starts `tripline run stand.yaml` with further arguments; its standard error goes to a file.
    fn run(&self, more: &[&str]) -> Run {
        let log = File::create(self.path("log")).expect("a file");
        let child = self
            .command(&[&["run", "stand.yaml"], more].concat())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("it starts");
        let mut run = Run(child);
        wait_until("the guard answers", || {
            let ended = run.0.try_wait().expect("its state is known");
            assert!(ended.is_none(), "it ended: {}", self.log());
            Client::connect(&self.path("guard.sock")).is_ok()
        });
        run
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.path("log")).unwrap_or_default()
    }

    fn status(&self) -> Status {
        let mut client = Client::connect(&self.path("guard.sock")).expect("it answers");
        match client.ask(&Request::Status {}).expect("it answers") {
            Reply::Status(status) => *status,
            reply => panic!("a status, not {reply:?}"),
        }
    }
}

/// Everything that is said of who vouches.
fn unvouched(lines: &[String]) -> Vec<&String> {
    let about = |line: &&String| line.contains("unsigned") || line.contains("signature");
    lines.iter().filter(about).collect()
}

#[test]
fn h65_i13_a_pack_that_was_signed_with_a_trusted_key_protects_and_nothing_is_said_of_it() {
    let gateway = Gateway::new();
    gateway.good(&["keygen", "works"]);
    let sign = |version: &str| {
        let key = ["--key", "works.key", "--version", version];
        gateway.good(&[&["sign", "stand.yaml"], key.as_slice()].concat())
    };
    sign("2");
    // Signed, but by nobody that this gateway trusts.
    let refused = gateway.ask(&["run", "stand.yaml"]);
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(1), "H-65: {said}");
    assert!(said.contains("no key is trusted here"), "H-65: {said}");
    assert_eq!(gateway.device.connections_taken(), 0, "H-65");
    std::fs::copy(
        gateway.path("works.pub"),
        gateway.path("trusted.d/works.pub"),
    )
    .expect("a key");
    let mut run = gateway.run(&[]);
    let status = gateway.status();
    assert_eq!(
        unvouched(&status.degraded),
        Vec::<&String>::new(),
        "I13: no word of it"
    );
    assert!(!gateway.log().contains("unsigned"), "{}", gateway.log());
    wait_until("it lets itself be reset", || {
        reset(&gateway.path("guard.sock")).expect("it answers") == Reset::Done
    });
    wait_until("the machine runs", || gateway.device.coil(0));
    gateway.device.show(DANGER);
    wait_until("the machine stops", || !gateway.device.coil(0));
    assert_eq!(run.end(), Some(0), "{}", gateway.log());
    // What was built runs as well, and what is older than it does not.
    gateway.good(&["build", "stand.yaml", "-o", "stand.bundle"]);
    sign("1");
    let refused = gateway.ask(&["build", "stand.yaml", "-o", "stand.bundle"]);
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(said.contains("older than version 2"), "H-66, I13: {said}");
}

#[test]
fn h65_i13_a_pack_that_nobody_signed_runs_only_when_that_is_said_and_is_shown_everywhere() {
    let gateway = Gateway::new();
    let refused = gateway.ask(&["run", "stand.yaml"]);
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(1), "H-65: {said}");
    assert!(said.contains("the pack is not signed"), "H-65: {said}");
    assert_eq!(gateway.device.connections_taken(), 0, "H-65");
    // A bundle made with the flag does not run without it.
    gateway.good(&["build", "stand.yaml", "-o", "a.bundle", "--allow-unsigned"]);
    let refused = gateway.ask(&["run", "a.bundle"]);
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(1), "I13: {said}");
    assert!(
        said.contains("unsigned pack stand: it is not run"),
        "I13: {said}"
    );
    assert_eq!(gateway.device.connections_taken(), 0, "I13");
    let mut run = gateway.run(&["--allow-unsigned"]);
    let lack = "unsigned pack stand".to_owned();
    assert!(gateway.status().degraded.contains(&lack), "I13");
    let shown = gateway.good(&["status"]);
    assert!(shown.contains(&lack), "I13: {shown}");
    assert!(
        gateway
            .log()
            .contains("tripline-guard: degraded: unsigned pack stand"),
        "I13: {}",
        gateway.log()
    );
    run.end();
}

#[test]
fn h65_a_guard_refuses_a_pack_whose_signature_has_expired_unless_it_is_said() {
    let device = Device::default();
    let yaml = Setup::default().yaml(device.address());
    let signed = |expires| {
        packs::bundle_with(&yaml, |plan| {
            plan.vouched = Vouched::By(SignaturePlan {
                signer: "works".into(),
                expires: Some(expires),
            });
        })
    };
    let guard = |site: &Site, socket: &Path| {
        Command::new(binaries::guard())
            .args(site.args().split_last().expect("the socket").1)
            .arg(socket)
            .stdin(Stdio::null())
            .output()
            .expect("the guard starts")
    };
    let site = Site::new(&signed(1));
    let output = guard(&site, &site.socket());
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(3), "H-65: {said}");
    assert!(
        said.contains("pack stand: the signature of works has expired")
            && said.contains("--allow-unsigned"),
        "H-65: {said}"
    );
    assert_eq!(device.connections_taken(), 0, "H-65");
    // One that has not: it goes on to the socket, for which there is no place here.
    let site = Site::new(&signed(u64::MAX));
    let output = guard(&site, &site.bundle().join("x"));
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(4), "{said}");
}

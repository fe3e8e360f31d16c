//! A real guard process on a temporary socket.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use appliance_control::{Client, ClientError, Reply, Request, Reset, Status};
use tempfile::TempDir;

use crate::binaries;

/// How long anything may take before a test gives up: generous, since it says nothing about speed.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// A bundle on disk and the place of its guard's socket.
pub struct Site {
    folder: TempDir,
}

impl Site {
    /// Writes the bundle.
    pub fn new(bundle: &[u8]) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        std::fs::write(folder.path().join("test.bundle"), bundle).expect("the bundle is written");
        let site = Self { folder };
        site.write_key(&rules_bundle::testing::SECRET);
        site
    }

    /// Writes the key that the guard is told of, for nobody else to read.
    pub fn write_key(&self, secret: &[u8]) {
        let key = self.key();
        std::fs::write(&key, secret).expect("the key is written");
        let ours = std::fs::Permissions::from_mode(0o600);
        std::fs::set_permissions(key, ours).expect("it is ours");
    }

    /// Where the key of bundles lies.
    pub fn key(&self) -> PathBuf {
        self.folder.path().join("bundle.key")
    }

    /// Where the bundle lies.
    pub fn bundle(&self) -> PathBuf {
        self.folder.path().join("test.bundle")
    }

    /// Where the guard listens.
    pub fn socket(&self) -> PathBuf {
        self.folder.path().join("guard.sock")
    }

    /// A file in the folder.
    pub fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The guard's arguments.
    pub fn args(&self) -> [std::ffi::OsString; 6] {
        [
            "--bundle".into(),
            self.bundle().into(),
            "--bundle-key".into(),
            self.key().into(),
            "--socket".into(),
            self.socket().into(),
        ]
    }
}

/// A running guard; killed when dropped.
pub struct Guard {
    child: Child,
    site: Site,
}

impl Guard {
    /// Starts it and waits until it answers.
    pub fn start(yaml: &str) -> Self {
        Self::start_bundle(&crate::packs::bundle(yaml))
    }

    /// Starts it with a bundle and waits until it answers.
    pub fn start_bundle(bundle: &[u8]) -> Self {
        Self::start_with(bundle, &[])
    }

    /// Starts it with a bundle and further arguments, in a folder that every user may pass through, and waits until it
    /// answers.
    pub fn start_with(bundle: &[u8], more: &[&str]) -> Self {
        let site = Site::new(bundle);
        let passable = std::fs::Permissions::from_mode(0o711);
        std::fs::set_permissions(site.folder.path(), passable).expect("it is ours");
        Self::start_as(site, binaries::guard(), |command| {
            command.args(more);
        })
    }

    /// Starts `program` as the guard of a site, with what `more` adds to its command, and waits until it answers.
    pub fn start_as(site: Site, program: &Path, more: impl FnOnce(&mut Command)) -> Self {
        let mut command = Command::new(program);
        command.args(site.args()).stderr(Stdio::inherit());
        more(&mut command);
        let child = command.spawn().expect("the guard starts");
        let mut guard = Self { child, site };
        wait_until("the guard answers", || {
            let ended = guard.child.try_wait().expect("its state is known");
            assert!(ended.is_none(), "the guard ended: {ended:?}");
            Client::connect(&guard.socket()).is_ok()
        });
        guard
    }

    /// Its socket.
    pub fn socket(&self) -> PathBuf {
        self.site.socket()
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Asks it.
    pub fn ask(&self, request: &Request) -> Reply {
        ask(&self.socket(), request).expect("it answers")
    }

    /// Its state.
    pub fn status(&self) -> Status {
        match self.ask(&Request::Status {}) {
            Reply::Status(status) => *status,
            reply => panic!("a status, not {reply:?}"),
        }
    }

    /// Presses and releases its reset.
    pub fn reset(&self) -> Reset {
        reset(&self.socket()).expect("it answers")
    }

    /// Resets it, again and again until nothing stands against it.
    pub fn arm(&self) {
        wait_until("the guard lets itself be reset", || {
            self.reset() == Reset::Done
        });
    }

    /// Sends SIGTERM and waits for its end.
    pub fn terminate(mut self) -> Option<i32> {
        let pid = rustix::process::Pid::from_raw(i32::try_from(self.child.id()).expect("a pid"))
            .expect("not zero");
        rustix::process::kill_process(pid, rustix::process::Signal::TERM)
            .expect("it takes signals");
        self.child.wait().expect("it ends").code()
    }

    /// Its site.
    pub fn site(&self) -> &Site {
        &self.site
    }

    /// Kills it, and leaves what it left behind to a successor.
    pub fn kill_and_leave(mut self) -> Site {
        self.child.kill().expect("it can be killed");
        let _ = self.child.wait();
        let nowhere = Site {
            folder: tempfile::tempdir().expect("a temporary folder"),
        };
        std::mem::replace(&mut self.site, nowhere)
    }

    /// Waits for its end, with patience.
    pub fn wait_end(&mut self) -> Option<i32> {
        self.wait_status().code()
    }

    /// The same, however it ended.
    pub fn wait_status(&mut self) -> ExitStatus {
        let mut ended = None;
        wait_until("the guard ends", || {
            ended = self.child.try_wait().expect("its state is known");
            ended.is_some()
        });
        ended.expect("it was waited for")
    }

    /// Kills it: no goodbye, no stop.
    pub fn kill(mut self) {
        self.child.kill().expect("it can be killed");
        let _ = self.child.wait();
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Asks the guard at `socket`.
///
/// # Errors
/// As [`Client`].
pub fn ask(socket: &Path, request: &Request) -> Result<Reply, ClientError> {
    Client::connect(socket)?.ask(request)
}

/// Presses and releases the reset of the guard at `socket`.
///
/// # Errors
/// As [`Client`].
pub fn reset(socket: &Path) -> Result<Reset, ClientError> {
    Client::connect(socket)?.reset("a test")
}

/// Waits until `done`, with patience but not for ever.
pub fn wait_until(what: &str, mut done: impl FnMut() -> bool) {
    let until = Instant::now() + PATIENCE;
    while !done() {
        assert!(Instant::now() < until, "{what}: not within {PATIENCE:?}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

//! The real guard as a process that ends with its walk.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use appliance_control::Client;
use rules_bundle::BundleKey;
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use super::GUARD_WITHIN;
use crate::build;
use crate::prooftest::ProofError;

/// The guard, in a temporary folder.
pub(super) struct GuardProcess {
    pub(super) child: Child,
    pub(super) socket: PathBuf,
    pub(super) _folder: TempDir,
}

/// Where the guard, its bundle and its key live.
pub(super) fn folder() -> Result<TempDir, ProofError> {
    tempfile::Builder::new()
        .prefix("tripline-prooftest-")
        .tempdir()
        .map_err(ProofError::Guard)
}

impl GuardProcess {
    pub(super) fn start(
        program: &Path,
        folder: TempDir,
        bundle: &[u8],
        key: &BundleKey,
    ) -> Result<Self, ProofError> {
        let path = folder.path().join("prooftest.bundle");
        build::write_whole(&path, bundle).map_err(ProofError::Guard)?;
        let log = folder.path().join("guard.log");
        let socket = folder.path().join("guard.sock");
        let child = Command::new(program)
            .arg("--bundle")
            .arg(&path)
            .arg("--bundle-key")
            .arg(key.place())
            .arg("--socket")
            .arg(&socket)
            // Nothing but simulated devices hangs on it: a pack may be tried before somebody signs it, and its modules were
            // let in here already.
            .arg("--allow-unsigned")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(&log).map_err(ProofError::Guard)?)
            .spawn()
            .map_err(ProofError::Guard)?;
        let mut guard = Self {
            child,
            socket,
            _folder: folder,
        };
        let until = Instant::now() + GUARD_WITHIN;
        while Client::connect(&guard.socket).is_err() {
            let ended = guard.child.try_wait().map_err(ProofError::Guard)?;
            if ended.is_some() || Instant::now() >= until {
                let said = std::fs::read_to_string(&log).unwrap_or_default();
                return Err(ProofError::Guard(io::Error::other(said.trim().to_owned())));
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(guard)
    }
}

impl Drop for GuardProcess {
    fn drop(&mut self) {
        if let Some(pid) = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw) {
            let _ = kill_process(pid, Signal::TERM);
        }
        let until = Instant::now() + GUARD_WITHIN;
        while Instant::now() < until {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

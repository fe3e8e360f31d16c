//! Child processes that stay on one core and die with the rig.
//!
//! A child is started through the rig's own program (`sut pinned`), which binds itself to the core, asks the kernel to
//! be killed with its parent, and then becomes the child: so no line of the child ever runs on another core.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use crate::limits::LOG_TAIL_BYTES;
use crate::system::SystemError;

/// A running child, bound to one core. Killed and waited for when dropped.
pub struct PinnedChild {
    name: String,
    child: Child,
    log: File,
}

impl PinnedChild {
    /// Starts `program` with `arguments` on `cpu`. What it prints is kept for error reports.
    ///
    /// The calling thread must outlive the child: the kernel kills the child when that thread ends.
    ///
    /// # Errors
    /// When the process cannot be made. A program that cannot be found shows as a child that ends at once.
    pub fn start<I, A>(
        cpu: usize,
        program: impl AsRef<OsStr>,
        arguments: I,
    ) -> Result<Self, SystemError>
    where
        I: IntoIterator<Item = A>,
        A: AsRef<OsStr>,
    {
        let own = own_program()?;
        let mut all: Vec<OsString> = vec![
            "sut".into(),
            "pinned".into(),
            "--cpu".into(),
            cpu.to_string().into(),
            "--".into(),
            program.as_ref().to_owned(),
        ];
        all.extend(arguments.into_iter().map(|a| a.as_ref().to_owned()));
        let name = PathBuf::from(program.as_ref())
            .file_name()
            .map_or_else(String::new, |n| n.to_string_lossy().into_owned());
        Self::spawn(name, &own, all)
    }

    /// Starts one of the rig's own programs on `cpu`.
    pub(crate) fn start_own(cpu: usize, arguments: &[String]) -> Result<Self, SystemError> {
        let own = own_program()?;
        let name = arguments.first().cloned().unwrap_or_default();
        let mut all: Vec<OsString> = vec!["sut".into()];
        all.extend(arguments.iter().map(OsString::from));
        all.extend(["--cpu".into(), cpu.to_string().into()]);
        Self::spawn(name, &own, all)
    }

    fn spawn(
        name: String,
        program: &PathBuf,
        arguments: Vec<OsString>,
    ) -> Result<Self, SystemError> {
        let log = tempfile::tempfile().map_err(|e| SystemError::new("open a child's log", e))?;
        let out = log.try_clone();
        let err = log.try_clone();
        let (out, err) = out
            .and_then(|out| err.map(|err| (out, err)))
            .map_err(|e| SystemError::new("share a child's log", e))?;
        let child = Command::new(program)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(out)
            .stderr(err)
            .spawn()
            .map_err(|e| SystemError::new("start a child process", format!("{name}: {e}")))?;
        Ok(Self { name, child, log })
    }

    /// The process id, for a system whose control tool wants it.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Whether it still runs.
    ///
    /// # Errors
    /// When it has ended: its exit status and the end of what it printed.
    pub fn check(&mut self) -> Result<(), SystemError> {
        match self.child.try_wait() {
            Ok(None) => Ok(()),
            Ok(Some(status)) => Err(SystemError::new("keep a child running", {
                let said = self.log_tail();
                format!("{} ended with {status}; {said}", self.name)
            })),
            Err(e) => Err(SystemError::new("ask for a child", e)),
        }
    }

    /// The end of what it has printed so far, for error reports.
    pub fn log_tail(&mut self) -> String {
        let length = self.log.seek(SeekFrom::End(0)).unwrap_or(0);
        let from = SeekFrom::Start(length.saturating_sub(LOG_TAIL_BYTES));
        let mut bytes = Vec::new();
        let read = self
            .log
            .seek(from)
            .and_then(|_| (&mut self.log).take(LOG_TAIL_BYTES).read_to_end(&mut bytes));
        match (read, bytes.is_empty()) {
            (Err(e), _) => format!("its output cannot be read: {e}"),
            (Ok(_), true) => "it printed nothing".to_owned(),
            (Ok(_), false) => format!("it printed: {}", String::from_utf8_lossy(&bytes).trim()),
        }
    }
}

impl Drop for PinnedChild {
    fn drop(&mut self) {
        // Nothing to mend when it is already gone; `wait` then returns what it ended with.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn own_program() -> Result<PathBuf, SystemError> {
    std::env::current_exe().map_err(|e| SystemError::new("find the rig's own program", e))
}

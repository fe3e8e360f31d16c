//! Writing the file: whole or not at all, on a thread of its own.

use std::fs::File;
use std::io::Write;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::confine::{self, Calls};
use crate::lane_thread::notify;

/// How long an orderly end waits for the disk.
const END_PATIENCE: Duration = Duration::from_secs(2);

/// Writes a file whole: temporary name, synchronise, rename, synchronise the folder. A failed synchronisation is never
/// tried again on the same file (H-74): the next write makes a new one.
///
/// # Errors
/// The operating system's; the old file is then still there.
pub(crate) fn write_whole(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder)?;
    let temporary = path.with_extension("state.new");
    let mut file = File::options()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&temporary)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    std::fs::rename(&temporary, path)?;
    File::open(folder)?.sync_all()
}

/// The thread that writes.
pub(crate) struct Writer {
    to: Option<Sender<Vec<u8>>>,
    results: Receiver<Result<(), String>>,
    thread: Option<JoinHandle<()>>,
    /// Whether the last write that is known of failed.
    failing: bool,
}

impl Writer {
    /// Starts it; `main` is woken when a write was done.
    ///
    /// # Errors
    /// The operating system's, when it gives no thread.
    pub(crate) fn start(path: PathBuf, main: Arc<OwnedFd>) -> std::io::Result<Self> {
        let (to, from) = channel::<Vec<u8>>();
        let (result, results) = channel();
        let thread = std::thread::Builder::new()
            .name("kept".into())
            .spawn(move || {
                if let Some(problem) = confine::thread(Calls::Settled) {
                    say!("tripline-guard: degraded: {problem}");
                }
                while let Ok(mut bytes) = from.recv() {
                    // Only the newest counts.
                    while let Ok(newer) = from.try_recv() {
                        bytes = newer;
                    }
                    let done = write_whole(&path, &bytes);
                    let done = done.map_err(|error| format!("{}: {error}", path.display()));
                    if result.send(done).is_err() {
                        return;
                    }
                    notify(main.as_fd());
                }
            })?;
        Ok(Self {
            to: Some(to),
            results,
            thread: Some(thread),
            failing: false,
        })
    }

    /// Has it written. Does not wait.
    pub(crate) fn write(&self, bytes: Vec<u8>) {
        if let Some(to) = &self.to {
            // It ends only when we do.
            let _ = to.send(bytes);
        }
    }

    /// What became of the writes: an edge from good to bad, with its cause, or back (`None`).
    pub(crate) fn take_change(&mut self) -> Option<Option<String>> {
        let last = self.results.try_iter().last()?;
        let change = match last {
            Ok(()) if self.failing => Some(None),
            Err(cause) if !self.failing => Some(Some(cause)),
            _ => None,
        };
        if change.is_some() {
            self.failing = !self.failing;
        }
        change
    }

    /// Writes the last word and ends; gives up on a disk that takes too long.
    pub(crate) fn finish(mut self, bytes: Vec<u8>) {
        self.write(bytes);
        drop(self.to.take());
        let until = Instant::now().checked_add(END_PATIENCE);
        if let Some(thread) = self.thread.take() {
            while !thread.is_finished() {
                if until.is_none_or(|until| Instant::now() >= until) {
                    say!("tripline-guard: what is kept over a restart was not written in time");
                    return;
                }
                std::thread::sleep(Duration::from_millis(1));
            }
            let _ = thread.join();
        }
    }
}

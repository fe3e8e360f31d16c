//! A named thread with its own runtime, ended and joined when its handle is dropped.

use std::future::Future;
use std::io;
use std::thread::JoinHandle;
use tokio::sync::oneshot;

/// Owns the thread. Dropping it cancels every task of the thread's runtime and waits for the thread, which is prompt
/// because no task of this crate blocks.
#[derive(Debug)]
pub(crate) struct Worker {
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Worker {
    /// Starts a thread `name` that runs `body` on a runtime of its own until `body` ends or the worker is dropped.
    pub(crate) fn spawn<B, F>(name: &str, body: B) -> io::Result<Self>
    where
        B: FnOnce() -> F + Send + 'static,
        F: Future<Output = ()>,
    {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let (stop, stopped) = oneshot::channel();
        let thread = std::thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || {
                runtime.block_on(async move {
                    tokio::select! {
                        () = body() => {}
                        _ = stopped => {}
                    }
                });
            })?;
        Ok(Self {
            stop: Some(stop),
            thread: Some(thread),
        })
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        // A closed channel ends the thread just as a message does.
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // A panic in the simulation was already printed by the thread; a second one here would hide it.
            let _ = thread.join();
        }
    }
}

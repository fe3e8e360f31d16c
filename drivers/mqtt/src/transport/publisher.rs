//! The alert publisher: a driver to be stepped, and a handle with a thread of its own.

use super::pump::{Pump, Pumped};
use super::{flags, monotonic_now, wait};
use crate::config::{ConfigError, PublisherConfig};
use crate::counters::{Counters, LinkChange};
use crate::session::{Handled, LinkState, PacketToken, PublishError, PublisherSession, Session};
use drivers_frame::{Clock, MonoNs};
use rustix::event::{EventfdFlags, eventfd};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// What one step of a [`PublisherDriver`] did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PublisherStep {
    /// A publish was acknowledged: step again.
    Delivered(PacketToken),
    /// Something was done and more may be waiting: step again.
    Progress,
    /// Nothing to do before `until`, unless the socket becomes ready or something is published.
    Idle {
        /// Step again at this time at the latest.
        until: MonoNs,
        /// Step again when the socket is readable.
        wants_read: bool,
        /// Step again when the socket is writable.
        wants_write: bool,
    },
}

impl From<Pumped> for PublisherStep {
    fn from(pumped: Pumped) -> Self {
        match pumped {
            Pumped::Handled(Handled::Delivered(token)) => Self::Delivered(token),
            Pumped::Handled(_) | Pumped::Progress => Self::Progress,
            Pumped::Idle {
                until,
                wants_read,
                wants_write,
            } => Self::Idle {
                until,
                wants_read,
                wants_write,
            },
        }
    }
}

/// A publisher without a thread: for callers with a loop of their own.
pub struct PublisherDriver {
    session: PublisherSession,
    pump: Pump,
}

impl PublisherDriver {
    /// Checks the configuration and reads the certificates. Nothing is connected yet.
    ///
    /// # Errors
    /// The first [`ConfigError`].
    pub fn new(config: &PublisherConfig) -> Result<Self, ConfigError> {
        Ok(Self {
            session: PublisherSession::new(config)?,
            pump: Pump::new(&config.broker, None)?,
        })
    }

    /// The outbox.
    pub fn session(&self) -> &PublisherSession {
        &self.session
    }

    /// The outbox.
    pub fn session_mut(&mut self) -> &mut PublisherSession {
        &mut self.session
    }

    /// The link's edge since the last call, if there was one.
    pub fn take_change(&mut self) -> Option<LinkChange> {
        self.session.link_mut().take_change()
    }

    /// The socket to wait for after [`PublisherStep::Idle`]; none while disconnected.
    pub fn socket(&self) -> Option<BorrowedFd<'_>> {
        self.pump.fd()
    }

    /// One step. Blocks only in name resolution (see [`super`]).
    pub fn step(&mut self, clock: &impl Clock) -> PublisherStep {
        self.pump.step(&mut self.session, clock).into()
    }

    /// Leaves in order: the broker discards the will.
    pub fn disconnect(&mut self, now: MonoNs) {
        self.pump.leave(&mut self.session, now);
    }
}

struct Shared {
    /// Held for one step at most: a `send`, a `recv`, one packet; never in name resolution or `poll`.
    session: Mutex<PublisherSession>,
    /// Told after each step that changed something.
    changed: Condvar,
    /// Ends the thread's `poll` when something was published.
    wake: OwnedFd,
    stop: AtomicBool,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, PublisherSession> {
        // A panic inside the lock cannot leave the outbox half-changed in a way that loses a message.
        self.session.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wake(&self) {
        // Fails only when the counter is full, and then it is readable anyway.
        let _ = rustix::io::write(&self.wake, &1_u64.to_ne_bytes());
    }
}

/// A publisher on a thread of its own. [`Publisher::publish`] never waits for the network.
///
/// Dropping it leaves in order and forgets what was not acknowledged; [`Publisher::shutdown`] waits first. If the
/// process dies instead, the broker publishes the will.
pub struct Publisher {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl Publisher {
    /// Checks the configuration, and starts the thread, which connects and stays connected.
    ///
    /// # Errors
    /// The first [`ConfigError`].
    pub fn start(config: &PublisherConfig) -> Result<Self, ConfigError> {
        let pump = Pump::new(&config.broker, None)?;
        let wake = eventfd(0, EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC)
            .map_err(|error| ConfigError::Thread(error.raw_os_error()))?;
        let shared = Arc::new(Shared {
            session: Mutex::new(PublisherSession::new(config)?),
            changed: Condvar::new(),
            wake,
            stop: AtomicBool::new(false),
        });
        let of_thread = Arc::clone(&shared);
        let thread = std::thread::Builder::new()
            .name("mqtt-publisher".into())
            .spawn(move || publish_loop(&of_thread, pump))
            .map_err(|error| ConfigError::Thread(super::stream::errno(&error)))?;
        Ok(Self {
            shared,
            thread: Some(thread),
        })
    }

    /// Takes a message into the outbox, to be published with QoS 1. The token says which when asking later.
    ///
    /// # Errors
    /// [`PublishError`]; nothing was taken.
    pub fn publish(
        &self,
        topic: &str,
        payload: &[u8],
        retain: bool,
    ) -> Result<PacketToken, PublishError> {
        if self.shared.stop.load(Ordering::Acquire) {
            return Err(PublishError::Stopped);
        }
        let token = self.shared.lock().publish(topic, payload, retain)?;
        self.shared.wake();
        Ok(token)
    }

    /// Whether the broker has acknowledged `token`.
    pub fn is_delivered(&self, token: PacketToken) -> bool {
        self.shared.lock().is_delivered(token)
    }

    /// Messages that are not acknowledged.
    pub fn waiting(&self) -> usize {
        self.shared.lock().waiting()
    }

    /// Where the link stands.
    pub fn state(&self) -> LinkState {
        self.shared.lock().link().state()
    }

    /// A copy of the counters.
    pub fn counters(&self) -> Counters {
        self.shared.lock().link().counters()
    }

    /// The newest edge of the link since the last call, if there was one.
    pub fn take_change(&self) -> Option<LinkChange> {
        self.shared.lock().link_mut().take_change()
    }

    /// Waits until everything was acknowledged; false when `timeout` came first.
    pub fn flush(&self, timeout: Duration) -> bool {
        let deadline = Instant::now().checked_add(timeout);
        let mut session = self.shared.lock();
        while session.waiting() > 0 {
            let left = deadline.map_or(Duration::from_secs(1), |deadline| {
                deadline.saturating_duration_since(Instant::now())
            });
            if left.is_zero() {
                return false;
            }
            session = self
                .shared
                .changed
                .wait_timeout(session, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
        true
    }

    /// Waits until everything was acknowledged or `timeout` has passed, then leaves in order. Returns how many messages
    /// were not acknowledged.
    pub fn shutdown(mut self, timeout: Duration) -> usize {
        self.flush(timeout);
        self.end();
        self.waiting()
    }

    fn end(&mut self) {
        self.shared.stop.store(true, Ordering::Release);
        self.shared.wake();
        if let Some(thread) = self.thread.take() {
            // A panic of the thread has been reported by the panic hook.
            let _ = thread.join();
        }
    }
}

impl Drop for Publisher {
    fn drop(&mut self) {
        self.end();
    }
}

fn publish_loop(shared: &Shared, mut pump: Pump) {
    let clock = monotonic_now;
    while !shared.stop.load(Ordering::Acquire) {
        let due = pump.fd().is_none() && shared.lock().link().connect_due(clock());
        if due {
            // Outside the lock: it may block.
            pump.resolve();
        }
        let step = pump.step(&mut *shared.lock(), &clock);
        match PublisherStep::from(step) {
            PublisherStep::Delivered(_) | PublisherStep::Progress => shared.changed.notify_all(),
            PublisherStep::Idle {
                until,
                wants_read,
                wants_write,
            } => {
                let socket = pump.fd().map(|fd| (fd, flags(wants_read, wants_write)));
                wait(clock(), until, socket, Some(shared.wake.as_fd()));
                let mut count = [0_u8; 8];
                // EAGAIN when nothing was published: it was the socket or the time.
                let _ = rustix::io::read(&shared.wake, &mut count);
            }
        }
    }
    pump.leave(&mut *shared.lock(), clock());
    shared.changed.notify_all();
}

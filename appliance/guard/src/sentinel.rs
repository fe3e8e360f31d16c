//! The sentinel: a second thread, off the lanes' cores, that watches every lane and stops for it.
//!
//! It looks at each lane's [`Pulse`] and judges it by its [`Watchdog`](crate::window::Watchdog). On a fault it forbids
//! the lane to write a run value ever again, writes the safe value of each of the lane's outputs over connections of its
//! own, and goes on writing it for as long as the guard lives: one mechanism for a lane that hangs (H-31), runs away or
//! skips a stage (H-32), or died (H-30).
//!
//! Which thread: its own, one priority above the lanes, sealed. May it block: only in `poll`, for one period. The main
//! thread watches its beat; the permit's refresh and the devices' own watchdogs stand behind both.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;

use appliance_output::{Confirmed, OutputConnection, OutputEvent};
use drivers_frame::{DurNs, MonoNs};
use rt_config::clock::monotonic_ns;
use rt_config::limits::{OUTPUTS_MAX, SENTINEL_PERIOD_MS, SENTINEL_STACK_BYTES};
use rt_config::{host, seal};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::acquire::interest;
use crate::confine::{self, Calls};
use crate::lane_thread::notify;
use crate::placement::ThreadSettings;
use crate::pulse::{Orders, Pulse};
use crate::window::{Look, State, Watchdog, Window};

const PERIOD: DurNs = DurNs::from_ms(SENTINEL_PERIOD_MS);

/// A lane, as the sentinel needs it.
pub(crate) struct Post {
    pub(crate) pulse: Arc<Pulse>,
    pub(crate) orders: Arc<Orders>,
    pub(crate) window: Window,
    /// Connections of the sentinel's own, one an output.
    pub(crate) outputs: Vec<OutputConnection>,
}

/// The running sentinel, seen from the main thread.
pub(crate) struct Sentinel {
    thread: Option<JoinHandle<()>>,
    wake: Arc<OwnedFd>,
    beats: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
    placement: String,
}

impl Sentinel {
    /// Starts it. `wake` is written by a lane's thread that ends; `main` is told of every finding.
    ///
    /// # Errors
    /// The operating system's, when it gives no thread.
    pub(crate) fn start(
        posts: Vec<Post>,
        settings: ThreadSettings,
        wake: Arc<OwnedFd>,
        main: Arc<OwnedFd>,
    ) -> std::io::Result<(Self, Vec<String>)> {
        let beats = Arc::new(AtomicU64::new(0));
        let stop = Arc::new(AtomicBool::new(false));
        let (report, placed) = std::sync::mpsc::channel();
        let mut watch = Watch {
            posts: Vec::with_capacity(posts.len()),
            wake: Arc::clone(&wake),
            main,
            beats: Arc::clone(&beats),
            stop: Arc::clone(&stop),
        };
        let thread = std::thread::Builder::new()
            .name("sentinel".into())
            .stack_size(SENTINEL_STACK_BYTES)
            .spawn(move || {
                let (placement, mut problems) = settings.apply();
                host::prefault_stack();
                problems.extend(confine::thread(Calls::Lane));
                // Their windows begin now: what the start of the threads took is nobody's fault.
                let begin = now();
                watch
                    .posts
                    .extend(posts.into_iter().map(|post| Guarded::new(post, begin)));
                let _ = report.send((placement.scheduling, problems));
                drop((report, settings));
                seal::seal();
                watch.run();
                seal::unseal();
            })?;
        let (placement, problems) = placed.recv().unwrap_or_default();
        let sentinel = Self {
            thread: Some(thread),
            wake,
            beats,
            stop,
            placement,
        };
        Ok((sentinel, problems))
    }

    /// How it is scheduled.
    pub(crate) fn placement(&self) -> &str {
        &self.placement
    }

    /// Counts up as long as it watches.
    pub(crate) fn beats(&self) -> u64 {
        self.beats.load(Ordering::Acquire)
    }

    /// Ends it.
    pub(crate) fn stop(&mut self) {
        self.stop.store(true, Ordering::Release);
        notify(self.wake.as_fd());
        if let Some(thread) = self.thread.take() {
            // One that hangs is left behind: the process ends.
            let until = std::time::Instant::now().checked_add(std::time::Duration::from_secs(1));
            while !thread.is_finished() {
                if until.is_none_or(|until| std::time::Instant::now() >= until) {
                    return;
                }
                std::thread::sleep(std::time::Duration::from_millis(1));
            }
            let _ = thread.join();
        }
    }
}

struct Guarded {
    post: Post,
    dog: Watchdog,
    fired: bool,
    proved: Vec<bool>,
}

impl Guarded {
    fn new(post: Post, begin: MonoNs) -> Self {
        Self {
            dog: Watchdog::new(post.window, begin, post.pulse.feeds()),
            fired: false,
            proved: vec![false; post.outputs.len()],
            post,
        }
    }

    /// `true` when there is something to tell.
    fn look(&mut self) -> bool {
        let before = now();
        let look = Look {
            before,
            phase: self.post.pulse.phase(),
            // Work before feeds would do as well: each word stands for itself.
            work: self.post.pulse.work(),
            feeds: self.post.pulse.feeds(),
            after: now(),
        };
        let state = self.dog.look(&look);
        self.post.orders.set_silent(self.dog.is_silent());
        match state {
            State::Faulted(fault) if !self.fired => {
                self.fired = true;
                self.post.orders.forbid(fault);
                let at = now();
                for output in &mut self.post.outputs {
                    // What went wrong is repaired by the steps that follow.
                    let _ = output.fire(at);
                }
                true
            }
            _ => false,
        }
    }

    /// Steps the connections: they stand by, known to work, until they are fired. `true` when an output of a faulted lane
    /// was proved safe.
    fn drive(&mut self) -> bool {
        let mut news = false;
        for (index, (output, proved)) in self
            .post
            .outputs
            .iter_mut()
            .zip(&mut self.proved)
            .enumerate()
        {
            let was = *proved;
            output.step(&now, |event| match event {
                OutputEvent::Confirmed { value, .. } => *proved = value == Confirmed::Safe,
                OutputEvent::Failed { .. } | OutputEvent::Overwritten { .. } => *proved = false,
                OutputEvent::Watchdog { .. } => {}
            });
            *proved &= self.fired;
            news |= *proved && !was;
            self.post.orders.set_output(index, output.is_up(), *proved);
        }
        news
    }
}

fn now() -> MonoNs {
    MonoNs::from_ns(monotonic_ns())
}

struct Watch {
    posts: Vec<Guarded>,
    wake: Arc<OwnedFd>,
    main: Arc<OwnedFd>,
    beats: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
}

impl Watch {
    fn run(&mut self) {
        while !self.stop.load(Ordering::Acquire) {
            #[cfg(feature = "inject")]
            crate::inject::sentinel();
            let mut news = false;
            for guarded in &mut self.posts {
                news |= guarded.look();
                news |= guarded.drive();
            }
            self.beats.fetch_add(1, Ordering::Release);
            if news {
                notify(self.main.as_fd());
            }
            self.wait();
        }
    }

    /// Sleeps one period, or until an output that it drives has something.
    fn wait(&self) {
        let nothing = || PollFd::from_borrowed_fd(self.wake.as_fd(), PollFlags::empty());
        let mut fds: [PollFd<'_>; 1 + OUTPUTS_MAX] = std::array::from_fn(|_| nothing());
        let mut slots = fds.iter_mut();
        if let Some(slot) = slots.next() {
            *slot = PollFd::from_borrowed_fd(self.wake.as_fd(), PollFlags::IN);
        }
        let at = now();
        let mut due = at.after(PERIOD);
        let driven = self.posts.iter().flat_map(|guarded| &guarded.post.outputs);
        let mut used = 1_usize;
        for output in driven {
            let idle = output.idle();
            due = due.min(idle.until);
            let flags = interest(idle.wants_read, idle.wants_write);
            if let (Some(fd), false) = (output.fd(), flags.is_empty())
                && let Some(slot) = slots.next()
            {
                *slot = PollFd::from_borrowed_fd(fd, flags);
                used = used.saturating_add(1);
            }
        }
        let timeout = Timespec {
            tv_sec: 0,
            tv_nsec: i64::try_from(due.since(at).as_ns()).unwrap_or(0),
        };
        // An interrupted poll is a short sleep.
        let _ = poll(fds.get_mut(..used).unwrap_or(&mut []), Some(&timeout));
        let _ = rustix::io::read(self.wake.as_fd(), &mut [0_u8; 8]);
    }
}

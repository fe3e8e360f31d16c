//! Sources of frames, and the acquisition threads of those that a lane does not read itself.
//!
//! Which thread: its own. May it block: only in `poll`. A full queue never does: the frame is lost and counted.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex};

use appliance_lane::queue::FrameProducer;
use drivers_frame::{Clock, DurNs, MonoNs, Step};
use rt_config::clock::monotonic_ns;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fd::BorrowedFd;

use crate::confine::{self, Calls};
use crate::lane_thread::notify;
use crate::share::Share;

/// Longest sleep: after it the stop flag is looked at.
const STOP_CHECK: DurNs = DurNs::from_ms(100);

/// What is known of a source's link: a copy that costs a lane nothing but the copying.
#[expect(
    clippy::large_enum_variant,
    reason = "one a device, and a box would allocate where a lane copies"
)]
#[derive(Clone, Copy)]
pub(crate) enum LinkStats {
    Modbus {
        link: drivers_modbus::session::LinkState,
        counters: drivers_modbus::session::Counters,
        last_error: Option<drivers_modbus::session::SessionError>,
    },
    Mqtt {
        link: drivers_mqtt::session::LinkState,
        counters: drivers_mqtt::Counters,
    },
}

/// An edge of a source's link, as a copy too.
#[derive(Clone, Copy, Debug)]
pub(crate) enum LinkEdge {
    Modbus(drivers_modbus::session::LinkChange),
    Mqtt(drivers_mqtt::LinkChange),
}

impl LinkEdge {
    /// Whether the link is up now, and why not. `None` for an attempt that failed: the link was down before, too.
    pub(crate) fn words(self) -> Option<(bool, Option<String>)> {
        match self {
            Self::Modbus(change) => Some((change.up, change.cause.map(|cause| cause.to_string()))),
            Self::Mqtt(drivers_mqtt::LinkChange::Up) => Some((true, None)),
            Self::Mqtt(drivers_mqtt::LinkChange::Down(cause)) => {
                Some((false, Some(cause.to_string())))
            }
            Self::Mqtt(drivers_mqtt::LinkChange::AttemptFailed(_)) => None,
        }
    }
}

/// A link that came up or went down.
#[derive(Debug)]
pub(crate) struct LinkNews {
    pub(crate) lane: usize,
    pub(crate) device: u16,
    pub(crate) at: MonoNs,
    pub(crate) up: bool,
    pub(crate) cause: Option<String>,
}

/// What to wait for at a descriptor.
pub(crate) fn interest(wants_read: bool, wants_write: bool) -> PollFlags {
    let mut flags = PollFlags::empty();
    flags.set(PollFlags::IN, wants_read);
    flags.set(PollFlags::OUT, wants_write);
    flags
}

/// A driver of either protocol.
pub(crate) enum Source {
    Modbus(Box<drivers_modbus::transport::Driver>),
    Mqtt(Box<drivers_mqtt::Driver>),
}

impl Source {
    /// One step of the driver, whichever it is.
    pub(crate) fn step(&mut self, clock: &impl Clock, queue: &mut FrameProducer) -> Step {
        match self {
            Self::Modbus(driver) => driver.step(clock, queue),
            Self::Mqtt(driver) => driver.step(clock, queue),
        }
    }

    pub(crate) fn fd(&self) -> Option<BorrowedFd<'_>> {
        match self {
            Self::Modbus(driver) => driver.fd(),
            Self::Mqtt(driver) => driver.socket(),
        }
    }

    /// The link's edge since the last call.
    pub(crate) fn take_change(&mut self) -> Option<LinkEdge> {
        match self {
            Self::Modbus(driver) => driver.session_mut().take_change().map(LinkEdge::Modbus),
            Self::Mqtt(driver) => driver.take_change().map(LinkEdge::Mqtt),
        }
    }

    /// What is known of the link.
    pub(crate) fn stats(&self) -> LinkStats {
        match self {
            Self::Modbus(driver) => LinkStats::Modbus {
                link: driver.session().link(),
                counters: driver.counters(),
                last_error: driver.session().last_error(),
            },
            Self::Mqtt(driver) => LinkStats::Mqtt {
                link: driver.state(),
                counters: driver.counters(),
            },
        }
    }
}

/// One source and where its frames go.
pub(crate) struct Feed {
    pub(crate) device: u16,
    pub(crate) source: Source,
    pub(crate) queue: FrameProducer,
    pub(crate) stats: Arc<Mutex<LinkStats>>,
}

/// A thread's work: the sources it steps, and the lane that they feed.
pub(crate) struct Acquisition {
    pub(crate) lane: usize,
    /// Asks a name service at every connect, which may load libraries of this host.
    pub(crate) names: bool,
    pub(crate) feeds: Vec<Feed>,
    pub(crate) wake: Arc<OwnedFd>,
    pub(crate) stop: Arc<AtomicBool>,
    pub(crate) news: Sender<LinkNews>,
    pub(crate) main: Arc<OwnedFd>,
}

impl Acquisition {
    /// Runs until the stop flag is set.
    pub(crate) fn run(mut self) {
        if !self.names
            && let Some(problem) = confine::thread(Calls::Settled)
        {
            say!("tripline-guard: degraded: {problem}");
        }
        let now = || MonoNs::from_ns(monotonic_ns());
        let mut share = Share::new(now());
        while !self.stop.load(Ordering::Acquire) {
            let mut until = MonoNs::NEVER;
            let mut again = false;
            let mut interests = Vec::with_capacity(self.feeds.len());
            for feed in &mut self.feeds {
                let flags = match feed.source.step(&now, &mut feed.queue) {
                    Step::Frame => {
                        notify(self.wake.as_fd());
                        again = true;
                        PollFlags::empty()
                    }
                    Step::Progress => {
                        again = true;
                        PollFlags::empty()
                    }
                    Step::Idle {
                        until: due,
                        wants_read,
                        wants_write,
                    } => {
                        until = until.min(due);
                        interest(wants_read, wants_write)
                    }
                };
                interests.push(flags);
                if let Some((up, cause)) = feed.source.take_change().and_then(LinkEdge::words) {
                    // The main thread is gone only when the guard is: nobody is left to tell then.
                    let _ = self.news.send(LinkNews {
                        lane: self.lane,
                        device: feed.device,
                        at: now(),
                        up,
                        cause,
                    });
                    notify(self.main.as_fd());
                }
            }
            let at = now();
            if let Some(owed) = share.owed(at) {
                // No descriptor of interest: an input that is always ready would end every sleep.
                self.sleep(&[], owed);
            } else if again {
                continue;
            } else {
                self.sleep(&interests, until.since(at).min(STOP_CHECK));
            }
            share.slept(at, now());
        }
    }

    fn sleep(&self, interest: &[PollFlags], patience: DurNs) {
        for feed in &self.feeds {
            // Never waits for a reader: the next turn publishes newer figures anyway.
            if let Ok(mut stats) = feed.stats.try_lock() {
                *stats = feed.source.stats();
            }
        }
        let mut fds: Vec<PollFd<'_>> = self
            .feeds
            .iter()
            .zip(interest)
            .filter_map(|(feed, flags)| Some(PollFd::from_borrowed_fd(feed.source.fd()?, *flags)))
            .collect();
        let timeout = Timespec {
            tv_sec: 0,
            tv_nsec: i64::try_from(patience.as_ns()).unwrap_or(0),
        };
        // An interrupted poll is a short sleep.
        let _ = poll(&mut fds, Some(&timeout));
    }
}

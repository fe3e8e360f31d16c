//! Acquisition threads: MQTT sources, and Modbus devices of lanes that do not read them themselves.
//!
//! Which thread: its own. May it block: only in `poll`. A full queue never does: the frame is lost and counted.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex};

use appliance_lane::queue::FrameProducer;
use drivers_frame::{Clock, DurNs, MonoNs};
use rt_config::clock::monotonic_ns;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fd::BorrowedFd;

use crate::lane_thread::notify;

/// Longest sleep: after it the stop flag is looked at.
const STOP_CHECK: DurNs = DurNs::from_ms(100);

/// What is known of a source's link.
#[derive(Clone, Debug, Default)]
pub(crate) struct LinkStats {
    pub(crate) link: &'static str,
    pub(crate) last_error: Option<String>,
    pub(crate) requests: u64,
    pub(crate) replies: u64,
    pub(crate) anomalies: u64,
    pub(crate) connects: u64,
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

/// A driver of either protocol.
pub(crate) enum Source {
    Modbus(Box<drivers_modbus::transport::Driver>),
    Mqtt(Box<drivers_mqtt::Driver>),
}

/// What a step left behind.
enum Next {
    Frame,
    Again,
    Sleep { until: MonoNs, flags: PollFlags },
}

impl Source {
    fn step(&mut self, clock: &impl Clock, queue: &mut FrameProducer) -> Next {
        let sleep = |until, wants_read, wants_write| {
            let mut flags = PollFlags::empty();
            flags.set(PollFlags::IN, wants_read);
            flags.set(PollFlags::OUT, wants_write);
            Next::Sleep { until, flags }
        };
        match self {
            Self::Modbus(driver) => match driver.step(clock, queue) {
                drivers_modbus::transport::Step::Frame => Next::Frame,
                drivers_modbus::transport::Step::Progress => Next::Again,
                drivers_modbus::transport::Step::Idle {
                    until,
                    wants_read,
                    wants_write,
                } => sleep(until, wants_read, wants_write),
            },
            Self::Mqtt(driver) => match driver.step(clock, queue) {
                drivers_mqtt::Step::Frame => Next::Frame,
                drivers_mqtt::Step::Progress => Next::Again,
                drivers_mqtt::Step::Idle {
                    until,
                    wants_read,
                    wants_write,
                } => sleep(until, wants_read, wants_write),
            },
        }
    }

    fn fd(&self) -> Option<BorrowedFd<'_>> {
        match self {
            Self::Modbus(driver) => driver.fd(),
            Self::Mqtt(driver) => driver.socket(),
        }
    }

    /// An edge of the link: whether it is up, and why not.
    fn take_change(&mut self) -> Option<(bool, Option<String>)> {
        match self {
            Self::Modbus(driver) => driver
                .session_mut()
                .take_change()
                .map(|change| (change.up, change.cause.map(|cause| cause.to_string()))),
            Self::Mqtt(driver) => driver.take_change().and_then(|change| match change {
                drivers_mqtt::LinkChange::Up => Some((true, None)),
                drivers_mqtt::LinkChange::Down(cause) => Some((false, Some(cause.to_string()))),
                // Still down: counted, and shown as the last error; not an edge.
                drivers_mqtt::LinkChange::AttemptFailed(_) => None,
            }),
        }
    }

    fn stats(&self) -> LinkStats {
        match self {
            Self::Modbus(driver) => modbus_stats(
                driver.session().link(),
                driver.session().counters(),
                driver.session().last_error(),
            ),
            Self::Mqtt(driver) => {
                let counters = driver.counters();
                LinkStats {
                    link: match driver.state() {
                        drivers_mqtt::session::LinkState::Up { .. } => "up",
                        drivers_mqtt::session::LinkState::Disconnected { .. } => "down",
                        _ => "connecting",
                    },
                    last_error: counters.last_error.map(|error| error.to_string()),
                    requests: counters.attempts,
                    replies: counters.messages,
                    anomalies: counters
                        .malformed
                        .saturating_add(counters.oversize)
                        .saturating_add(counters.dropped_retained)
                        .saturating_add(counters.dropped_duplicate)
                        .saturating_add(counters.protocol_errors)
                        .saturating_add(counters.progress_timeouts),
                    connects: counters.ups,
                }
            }
        }
    }
}

/// A Modbus link in the words of the control socket.
pub(crate) fn modbus_stats(
    link: drivers_modbus::session::LinkState,
    counters: drivers_modbus::session::Counters,
    last_error: Option<drivers_modbus::session::SessionError>,
) -> LinkStats {
    use drivers_modbus::session::LinkState;
    LinkStats {
        link: match link {
            LinkState::Down => "down",
            LinkState::Connecting => "connecting",
            LinkState::Up => "up",
        },
        last_error: last_error.map(|error| error.to_string()),
        requests: counters.requests,
        replies: counters.replies,
        anomalies: counters
            .anomalies
            .saturating_add(counters.timeouts)
            .saturating_add(counters.exceptions),
        connects: counters.connects,
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
    pub(crate) feeds: Vec<Feed>,
    pub(crate) wake: Arc<OwnedFd>,
    pub(crate) stop: Arc<AtomicBool>,
    pub(crate) news: Sender<LinkNews>,
    pub(crate) main: Arc<OwnedFd>,
}

impl Acquisition {
    /// Runs until the stop flag is set.
    pub(crate) fn run(mut self) {
        let now = || MonoNs::from_ns(monotonic_ns());
        while !self.stop.load(Ordering::Acquire) {
            let mut until = MonoNs::NEVER;
            let mut again = false;
            let mut interest = Vec::with_capacity(self.feeds.len());
            for feed in &mut self.feeds {
                let flags = match feed.source.step(&now, &mut feed.queue) {
                    Next::Frame => {
                        notify(self.wake.as_fd());
                        again = true;
                        PollFlags::empty()
                    }
                    Next::Again => {
                        again = true;
                        PollFlags::empty()
                    }
                    Next::Sleep { until: due, flags } => {
                        until = until.min(due);
                        flags
                    }
                };
                interest.push(flags);
                if let Some((up, cause)) = feed.source.take_change() {
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
            if !again {
                self.sleep(&interest, until.since(now()).min(STOP_CHECK));
            }
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

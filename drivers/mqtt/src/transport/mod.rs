//! Sockets, TLS, and the loops that drive a session.
//!
//! Which thread: one thread a link. May it block: a step never does, but for name resolution: when `host` is a name and
//! an attempt is due, the system's resolver blocks the step for as long as it likes (by default up to 5 s for each try
//! of each server). No lane is on that thread and the link is down at that moment, so nothing else waits; addresses
//! skip it. Worst case of a step otherwise: one `send`, one `recv`, one packet.
//! Hazards: H-15 (half-open links end by deadline and TCP_USER_TIMEOUT), H-23, H-76.

mod driver;
mod publisher;
mod pump;
mod stream;
mod tls;

pub use driver::Driver;
pub use drivers_frame::Step;
pub use publisher::{Publisher, PublisherDriver, PublisherStep};
pub use tls::TlsFileError;

use drivers_frame::MonoNs;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fd::BorrowedFd;

/// `CLOCK_MONOTONIC` now: the clock for [`Driver::run`] outside of simulations.
pub fn monotonic_now() -> MonoNs {
    MonoNs::from_ns(rt_config::clock::monotonic_ns())
}

/// Longest sleep in a loop: after it the stop flag is looked at.
const STOP_CHECK_NS: u64 = 100_000_000;

/// Sleeps until `until`, the socket or the other descriptor is ready, or the stop flag should be looked at.
fn wait(
    now: MonoNs,
    until: MonoNs,
    socket: Option<(BorrowedFd<'_>, PollFlags)>,
    wake: Option<BorrowedFd<'_>>,
) {
    let ns = until.since(now).as_ns().min(STOP_CHECK_NS);
    let timeout = Timespec {
        tv_sec: 0,
        tv_nsec: i64::try_from(ns).unwrap_or(0),
    };
    // A failing poll (EINTR) is a short sleep: the next step looks at everything again.
    let _ = match (socket, wake) {
        (Some((socket, flags)), Some(wake)) => poll(
            &mut [
                PollFd::from_borrowed_fd(socket, flags),
                PollFd::from_borrowed_fd(wake, PollFlags::IN),
            ],
            Some(&timeout),
        ),
        (Some((fd, flags)), None) => {
            poll(&mut [PollFd::from_borrowed_fd(fd, flags)], Some(&timeout))
        }
        (None, Some(fd)) => poll(
            &mut [PollFd::from_borrowed_fd(fd, PollFlags::IN)],
            Some(&timeout),
        ),
        (None, None) => poll(&mut [], Some(&timeout)),
    };
}

/// The poll flags of an idle step.
fn flags(wants_read: bool, wants_write: bool) -> PollFlags {
    let mut flags = PollFlags::empty();
    flags.set(PollFlags::IN, wants_read);
    flags.set(PollFlags::OUT, wants_write);
    flags
}

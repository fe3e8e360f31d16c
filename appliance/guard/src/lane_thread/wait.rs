//! How a lane waits for work.

use std::os::fd::AsFd;
use std::sync::Arc;

use drivers_frame::{DurNs, MonoNs};
use rt_config::limits::{DEVICES_MAX, OUTPUTS_MAX};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::{Runner, now};

impl Runner {
    /// Sleeps until a socket is ready, somebody wakes the lane, or something is due. When it owes a rest it does so whether
    /// an input is ready or not; outputs and whoever wakes it end that sleep too.
    pub(super) fn wait(&mut self, owed: Option<DurNs>) {
        let at = now();
        let outputs = self.outputs.iter();
        let due = outputs
            .map(|output| output.connection.idle().until)
            .fold(self.next_tick, MonoNs::min);
        let inputs = self.inline.iter().map(|inline| inline.until);
        let due = match owed {
            Some(owed) => due.min(at.after(owed)),
            None => inputs.fold(due, MonoNs::min),
        };
        if due <= at {
            return;
        }
        let inputs_too = owed.is_none();
        // A short list when it is enough: preparing the long one takes longer than the poll.
        const SHORT: usize = 16;
        const LONG: usize = 1 + DEVICES_MAX + OUTPUTS_MAX;
        if self.inline.len().saturating_add(self.outputs.len()) < SHORT {
            self.wait_on::<SHORT>(due.since(at), inputs_too);
        } else {
            self.wait_on::<LONG>(due.since(at), inputs_too);
        }
        self.share.slept(at, now());
    }

    fn wait_on<const N: usize>(&mut self, patience: DurNs, inputs_too: bool) {
        let wake = Arc::clone(&self.wake);
        let nothing = || PollFd::from_borrowed_fd(wake.as_fd(), PollFlags::empty());
        let mut fds: [PollFd<'_>; N] = std::array::from_fn(|_| nothing());
        let mut slots = fds.iter_mut();
        if let Some(slot) = slots.next() {
            *slot = PollFd::from_borrowed_fd(wake.as_fd(), PollFlags::IN);
        }
        let inline = self
            .inline
            .iter()
            .map(|inline| (inline.source.fd(), inline.interest))
            .map(|(fd, interest)| (fd.filter(|_| inputs_too), interest));
        let outputs = self
            .outputs
            .iter()
            .map(|output| (output.connection.fd(), output.interest()));
        for (slot, (fd, flags)) in slots.zip(inline.chain(outputs)) {
            // Nothing of interest: not even a hang-up may end the sleep, or it would end every one.
            if let Some(fd) = fd.filter(|_| !flags.is_empty()) {
                *slot = PollFd::from_borrowed_fd(fd, flags);
            }
        }
        let timeout = timespec(patience);
        // An interrupted poll is a short sleep: the next turn looks at everything that is due.
        let _ = poll(&mut fds, Some(&timeout));
        let mut woken = false;
        let mut inline_ready = [false; DEVICES_MAX];
        let mut output_ready = [false; OUTPUTS_MAX];
        let mut results = fds.iter().map(|fd| !fd.revents().is_empty());
        if let Some(ready) = results.next() {
            woken = ready;
        }
        for (ready, result) in inline_ready
            .iter_mut()
            .zip(results.by_ref().take(self.inline.len()))
        {
            *ready = result;
        }
        for (ready, result) in output_ready.iter_mut().zip(results) {
            *ready = result;
        }
        for (inline, ready) in self.inline.iter_mut().zip(inline_ready) {
            inline.ready |= ready;
        }
        for (output, ready) in self.outputs.iter_mut().zip(output_ready) {
            output.ready |= ready;
        }
        if woken {
            let _ = rustix::io::read(self.wake.as_fd(), &mut [0_u8; 8]);
        }
    }
}

/// Sleeps as a parked lane does when nothing comes.
pub(super) fn sleep(patience: DurNs) {
    let _ = poll(&mut [], Some(&timespec(patience)));
}

fn timespec(patience: DurNs) -> Timespec {
    Timespec {
        tv_sec: i64::try_from(patience.as_ns() / 1_000_000_000).unwrap_or(0),
        tv_nsec: i64::try_from(patience.as_ns() % 1_000_000_000).unwrap_or(0),
    }
}

//! The sensor subscriber on its acquisition thread.

use super::pump::{Pump, Pumped};
use super::{Step, flags, wait};
use crate::config::{ConfigError, SubscriberConfig};
use crate::counters::{Counters, LinkChange};
use crate::session::{LinkState, Session, SubscriberSession};
use drivers_frame::{Clock, DeviceId, FrameSink, MonoNs};
use rustix::fd::BorrowedFd;
use std::sync::atomic::{AtomicBool, Ordering};

/// Subscribes to one broker and hands frames over.
///
/// Between the return of `recv` and [`FrameSink::push_frame`] there is only parsing; PUBACK goes out in the step after
/// the frame. A waveform's block is handed over in the buffer that it was received into. On plain TCP nothing is allocated for a message, JSON with escapes in its strings excepted.
pub struct Driver {
    session: SubscriberSession,
    pump: Pump,
}

impl Driver {
    /// Checks the configuration, reads the certificates, reserves everything. Nothing is connected yet.
    ///
    /// # Errors
    /// The first [`ConfigError`].
    pub fn new(config: &SubscriberConfig) -> Result<Self, ConfigError> {
        Ok(Self {
            session: SubscriberSession::new(config)?,
            pump: Pump::new(&config.broker, config.block_buffer_bytes())?,
        })
    }

    /// Which device of the lane this is.
    pub fn device(&self) -> DeviceId {
        self.session.device()
    }

    /// Where the link stands.
    pub fn state(&self) -> LinkState {
        self.session.link().state()
    }

    /// A copy of the counters.
    pub fn counters(&self) -> Counters {
        self.session.link().counters()
    }

    /// The link's edge since the last call, if there was one.
    pub fn take_change(&mut self) -> Option<LinkChange> {
        self.session.link_mut().take_change()
    }

    /// The socket to wait for after [`Step::Idle`]; none while disconnected. It is another one after a reconnect.
    pub fn socket(&self) -> Option<BorrowedFd<'_>> {
        self.pump.fd()
    }

    /// One step: at most one `recv`, at most one frame. Blocks only in name resolution (see [`super`]).
    pub fn step(&mut self, clock: &impl Clock, sink: &mut impl FrameSink) -> Step {
        match self.pump.step(&mut self.session, clock) {
            Pumped::Handled(handled) => {
                self.session
                    .hand_over(handled, self.pump.reader_mut(), sink)
            }
            Pumped::Progress => Step::Progress,
            Pumped::Idle {
                until,
                wants_read,
                wants_write,
            } => Step::Idle {
                until,
                wants_read,
                wants_write,
            },
        }
    }

    /// Steps until `stop` is set, sleeping in `poll` when there is nothing to do; then leaves in order.
    ///
    /// `wake` is called after each frame, before it is acknowledged to the broker. `change` is called on every edge of
    /// the link, failed attempts included (they are as rare as the back-off). `stop` is seen within 100 ms, but for a
    /// name resolution that is under way.
    pub fn run(
        &mut self,
        clock: &impl Clock,
        sink: &mut impl FrameSink,
        mut wake: impl FnMut(),
        stop: &AtomicBool,
        mut change: impl FnMut(LinkChange),
    ) {
        while !stop.load(Ordering::Acquire) {
            match self.step(clock, sink) {
                Step::Frame => wake(),
                Step::Progress => {}
                Step::Idle {
                    until,
                    wants_read,
                    wants_write,
                } => {
                    let flags = flags(wants_read, wants_write);
                    wait(
                        clock.now(),
                        until,
                        self.socket().map(|fd| (fd, flags)),
                        None,
                    );
                }
            }
            if let Some(edge) = self.take_change() {
                change(edge);
            }
        }
        self.disconnect(clock.now());
        if let Some(edge) = self.take_change() {
            change(edge);
        }
    }

    /// Leaves in order. The next step connects again after the back-off.
    pub fn disconnect(&mut self, now: MonoNs) {
        self.pump.leave(&mut self.session, now);
    }
}

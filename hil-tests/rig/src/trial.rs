//! One trial: arm, be quiet, raise the value, wait for the stop.
//!
//! What: the device's loop with the stopwatch around it. Thread: the device's. Blocks: never while measured (on the
//! MQTT road it yields, because the broker shares its core). Allocates: never while measured.
//!
//! ```text
//!            rearm answered, run = true         quiet time over                  stop written
//!   Arming ──────────────────────────▶ Quiet ──────────────────▶ Raised ──────────────────────▶ Stopped
//!      │ 5 s                             │ stop written            │ 5 s, or a stop before any over-limit reply
//!      ▼                                 ▼                         ▼
//!   NotArmed                           Early                    NotStopped, Early
//! ```

use std::io;
use std::time::{Duration, Instant};

use crate::control::{Control, Order};
use crate::device::{Device, Pass};
use crate::limits::{PASSES_PER_ACCEPT, PUBLISH_PERIOD, QUIET_MAX, QUIET_MIN, START_MAX};
use crate::plant::{NORMAL, OVER};
use crate::publisher::Publisher;
use crate::stats::Random;
use crate::system::SystemError;

/// How a trial ended.
#[derive(Debug)]
pub(crate) enum Trial {
    Stopped {
        /// Over-limit reply sent (or over-limit publish about to be sent) to stop write received.
        stop_ns: u64,
        /// Intended time of the rise to stop write received.
        rise_ns: u64,
    },
    /// The reset was refused.
    Refused(SystemError),
    /// The run coil did not become true.
    NotArmed,
    /// A stop without a demand.
    Early,
    /// No stop.
    NotStopped,
}

/// The device's loop for one system in one round.
pub(crate) struct Engine<'a> {
    pub(crate) device: &'a mut Device,
    pub(crate) control: &'a Control,
    pub(crate) random: &'a mut Random,
    publisher: Option<Publisher>,
    publish_due: Instant,
    publish_over: bool,
    passes: u32,
    trial_max: Duration,
    /// Time of the longest pass while spinning: what the device's core lost to others at most.
    pub(crate) longest_pass: Duration,
}

/// What one turn of the loop saw.
struct Turn {
    pass: Pass,
    /// An over-limit value was published: its due time, and the reading right before its `send`.
    published: Option<(Instant, Instant)>,
}

impl<'a> Engine<'a> {
    pub(crate) fn new(
        device: &'a mut Device,
        control: &'a Control,
        random: &'a mut Random,
        publisher: Option<Publisher>,
        trial_max: Duration,
    ) -> Self {
        Self {
            device,
            control,
            random,
            publisher,
            publish_due: Instant::now(),
            publish_over: false,
            passes: 0,
            trial_max,
            longest_pass: Duration::ZERO,
        }
    }

    /// Gives an order and serves the device until it has been carried out. The outer error is the rig's: the control
    /// thread did not come back, and nothing more can be measured.
    pub(crate) fn carry_out(
        &mut self,
        order: Order,
    ) -> Result<Result<(), SystemError>, SystemError> {
        self.control.order(order)?;
        let deadline = Instant::now() + START_MAX;
        loop {
            if let Some(answer) = self.control.answer() {
                return Ok(answer);
            }
            self.turn_politely().map_err(lost_broker)?;
            if Instant::now() > deadline {
                return Err(SystemError::new(
                    "carry out an order",
                    format!("{order:?} took more than {} s", START_MAX.as_secs()),
                ));
            }
        }
    }

    /// Runs one trial of the system of this index.
    pub(crate) fn trial(&mut self, index: usize) -> Result<Trial, SystemError> {
        self.lower();
        if let Err(refused) = self.carry_out(Order::Rearm(index))? {
            return Ok(Trial::Refused(refused));
        }
        let deadline = Instant::now() + self.trial_max;
        while !self.device.plant.runs() {
            self.turn_politely().map_err(lost_broker)?;
            if Instant::now() > deadline {
                return Ok(Trial::NotArmed);
            }
        }
        let end = self.measure().map_err(lost_broker);
        self.lower();
        end
    }

    /// The measured part.
    fn measure(&mut self) -> io::Result<Trial> {
        let spread = u64::try_from((QUIET_MAX - QUIET_MIN).as_nanos()).unwrap_or(u64::MAX);
        let quiet = QUIET_MIN + Duration::from_nanos(self.random.below(spread));
        let mut now = Instant::now();
        let rise_due = now + quiet;
        while now < rise_due {
            self.turn()?;
            if !self.device.plant.runs() {
                return Ok(Trial::Early);
            }
            now = self.clock(now);
        }
        self.raise();
        let deadline = rise_due + self.trial_max;
        // The intended time of the rise, and the reading that starts the watch.
        let mut rise = rise_due;
        let mut demand = None;
        loop {
            let turn = self.turn()?;
            if let Some((due, sent)) = turn.published
                && demand.is_none()
            {
                rise = due;
                demand = Some(sent);
            }
            demand = demand.or(turn.pass.over_sent);
            if let Some(stop) = turn.pass.stop_received {
                let Some(took) = demand.and_then(|d| stop.checked_duration_since(d)) else {
                    return Ok(Trial::Early);
                };
                return Ok(Trial::Stopped {
                    stop_ns: nanoseconds(took),
                    rise_ns: nanoseconds(stop.saturating_duration_since(rise)),
                });
            }
            now = self.clock(now);
            if now > deadline {
                return Ok(Trial::NotStopped);
            }
        }
    }

    fn raise(&mut self) {
        if self.publisher.is_some() {
            self.publish_over = true;
        } else {
            self.device.plant.set_value(OVER);
        }
    }

    fn lower(&mut self) {
        self.publish_over = false;
        self.device.plant.set_value(NORMAL);
    }

    fn clock(&mut self, before: Instant) -> Instant {
        let now = Instant::now();
        self.longest_pass = self.longest_pass.max(now.saturating_duration_since(before));
        now
    }

    /// One turn while others may need this core: systems that start, the control thread.
    fn turn_politely(&mut self) -> io::Result<Turn> {
        self.device.accept();
        let turn = self.turn();
        std::thread::yield_now();
        turn
    }

    fn turn(&mut self) -> io::Result<Turn> {
        self.passes = self.passes.wrapping_add(1);
        if self.passes.is_multiple_of(PASSES_PER_ACCEPT) {
            self.device.accept();
        }
        let pass = self.device.serve();
        let mut published = None;
        if let Some(publisher) = &mut self.publisher {
            let due = self.publish_due;
            let now = Instant::now();
            if now >= due {
                // Open loop: a late message does not move the next, unless a whole period was lost.
                self.publish_due = if now - due > PUBLISH_PERIOD {
                    now + PUBLISH_PERIOD
                } else {
                    due + PUBLISH_PERIOD
                };
                if self.publish_over {
                    published = Some((due, publisher.over()?));
                } else {
                    publisher.normal()?;
                }
            }
            // The broker lives on this core.
            std::thread::yield_now();
        }
        Ok(Turn { pass, published })
    }
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

fn lost_broker(e: io::Error) -> SystemError {
    SystemError::new("publish to the broker", e)
}

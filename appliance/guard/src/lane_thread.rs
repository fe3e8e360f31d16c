//! A lane's thread: acquire, ingest, tick, drive, confirm, wait. The thin shell around the pure lane.
//!
//! Which thread: one pinned lane thread. May it block: only in [`Runner::wait`], and not at all when it spins. After
//! `seal()` it makes these system calls and no others: `recv`, `readv`, `send`, `connect`, `socket`, `close`, `fcntl`,
//! `setsockopt`, `getsockopt`, `getpeername`, `getsockname`, `ppoll`, `read` and `write` of an eventfd, `clock_gettime` where
//! the vDSO cannot. A filter ends the guard at any that is not on the list of [`crate::confine`] (I11). Hazards: H-27 to H-32 as far as one thread can see them, H-61.

mod acts;
mod analyzers;
mod outputs;
mod wait;

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use appliance_lane::queue::{FrameConsumer, FrameProducer};
use appliance_lane::{Hold, Lane, ResetRefusal};
use appliance_sandbox::RuleModule;
use drivers_frame::{DeviceId, DurNs, MonoNs, Step};
use rt_config::clock::monotonic_ns;
use rtrb::{Consumer, Producer};
use rules_bundle::HostAssumption;
use rustix::event::PollFlags;

use crate::acquire::{Source, interest};
use crate::analyzers::{CanaryWatch, Price, ReplayWatch, Seats};
use crate::calibrate::{self, Measured};
use crate::message::{Command, DeviceSnapshot, Message, OutputSnapshot, Snapshot};
use crate::pulse::{Beat, Orders, Phase, Stage as Checkpoint};
use crate::share::Share;
use crate::stages::{Stage, Stages};
use crate::timing::{Timing, Verdict};

pub(crate) use outputs::Driven;

/// How long a lane that goes down waits for its stops to be confirmed.
const SHUTDOWN_PATIENCE: DurNs = DurNs::from_ms(2_000);

/// How a lane ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LaneEnd {
    /// Every output confirmed its safe value.
    Safe,
    /// At least one did not in time.
    Unconfirmed,
}

/// A device that the lane reads itself.
pub(crate) struct Inline {
    pub(crate) device: DeviceId,
    pub(crate) source: Source,
    pub(crate) queue: FrameProducer,
    until: MonoNs,
    interest: PollFlags,
    ready: bool,
}

impl Inline {
    pub(crate) fn new(device: DeviceId, source: Source, queue: FrameProducer) -> Self {
        Self {
            device,
            source,
            queue,
            until: MonoNs::ZERO,
            interest: PollFlags::empty(),
            ready: true,
        }
    }
}

/// Everything a lane's thread owns.
pub(crate) struct Runner {
    pub(crate) lane: Lane<RuleModule, Seats>,
    pub(crate) inline: Vec<Inline>,
    pub(crate) queues: Vec<(DeviceId, FrameConsumer)>,
    /// Of each waveform, the place of its device in `queues`: where its buffers go back.
    pub(crate) homes: Vec<usize>,
    /// More blocks wait than a tick takes.
    pub(crate) more_blocks: bool,
    pub(crate) canaries: Vec<CanaryWatch>,
    pub(crate) replays: Vec<ReplayWatch>,
    pub(crate) outputs: Vec<Driven>,
    pub(crate) commands: Consumer<Command>,
    pub(crate) messages: Producer<Message>,
    /// Written by whoever has something for this lane.
    pub(crate) wake: Arc<OwnedFd>,
    /// Read by the main thread.
    pub(crate) main: Arc<OwnedFd>,
    pub(crate) stages: Stages,
    pub(crate) timer_period: DurNs,
    pub(crate) spin: bool,
    /// What it leaves of its core to others when it does not spin.
    pub(crate) share: Share,
    pub(crate) next_tick: MonoNs,
    pub(crate) stop_by: Option<MonoNs>,
    pub(crate) messages_lost: u64,
    pub(crate) told_main: bool,
    /// How late ticks begin.
    pub(crate) timing: Timing,
    /// What the sentinel watches.
    pub(crate) beat: Beat,
    /// What the sentinel orders.
    pub(crate) orders: Arc<Orders>,
    /// The order to stop for good was taken.
    pub(crate) forbidden: bool,
}

fn now() -> MonoNs {
    MonoNs::from_ns(monotonic_ns())
}

impl Runner {
    /// Runs until the guard goes down.
    pub(crate) fn run(mut self) -> LaneEnd {
        self.beat.enter(Phase::Running);
        loop {
            #[cfg(feature = "inject")]
            crate::inject::turn();
            self.beat.begin();
            let progress = self.acquire();
            let taken = self.ingest();
            let commanded = self.obey();
            let at = now();
            let ticked = taken || commanded || at >= self.next_tick;
            if ticked {
                self.tick(at, taken);
            }
            self.confirm();
            if ticked {
                self.beat.complete(at);
            }
            #[cfg(feature = "inject")]
            if crate::inject::runs_away() {
                self.beat.feed();
            }
            self.tell_main();
            if let Some(end) = self.ended() {
                self.beat.enter(Phase::Ended);
                return end;
            }
            if self.spin {
                continue;
            }
            let owed = self.share.owed(at);
            if !(progress || self.more_blocks) || owed.is_some() {
                self.wait(owed);
            }
        }
    }

    /// One step of every device that is due, readable, or may be without asking the kernel first. `true` when another
    /// step should follow at once.
    ///
    /// A frame is never followed by the next request before the tick that takes it: a stop leaves first.
    fn acquire(&mut self) -> bool {
        let mut progress = false;
        let at = if self.spin { MonoNs::ZERO } else { now() };
        for inline in &mut self.inline {
            if !self.spin && !inline.ready && at < inline.until {
                continue;
            }
            inline.ready = false;
            match inline.source.step(&now, &mut inline.queue) {
                Step::Frame | Step::Progress => {
                    inline.ready = true;
                    progress = true;
                }
                Step::Idle {
                    until,
                    wants_read,
                    wants_write,
                } => {
                    inline.until = until;
                    inline.interest = interest(wants_read, wants_write);
                }
            }
            if let Some(change) = inline.source.take_change() {
                let message = Message::Link {
                    at: now(),
                    device: inline.device.0,
                    change,
                };
                send(
                    &mut self.messages,
                    message,
                    &mut self.messages_lost,
                    &mut self.told_main,
                );
            }
        }
        self.beat.pass(Checkpoint::Acquire);
        progress
    }

    /// Takes every queued sample. `true` when there was one, or when frames were lost.
    fn ingest(&mut self) -> bool {
        #[cfg(feature = "inject")]
        if crate::inject::skips() {
            return false;
        }
        let mut any = false;
        for (device, queue) in &mut self.queues {
            // Lost first: what is drained afterwards may be fresher than the loss.
            let lost = queue.newly_lost();
            if lost > 0 {
                self.lane.frames_lost(*device, lost, now());
                any = true;
            }
            if queue.is_empty() {
                continue;
            }
            let mut oldest = MonoNs::NEVER;
            let lane = &mut self.lane;
            queue.drain(|sample| {
                oldest = oldest.min(sample.at);
                lane.ingest(sample);
            });
            self.stages
                .of(Stage::AcquireToIngest)
                .record(now().since(oldest));
            any = true;
        }
        any |= self.take_blocks();
        self.beat.pass(Checkpoint::Ingest);
        any
    }

    fn obey(&mut self) -> bool {
        let mut any = self.obey_orders();
        any |= self.look_at_canaries();
        any |= self.look_at_replays();
        while let Ok(command) = self.commands.pop() {
            any = true;
            let message = match command {
                Command::Act { id, act } => Message::Acted {
                    id,
                    acted: self.act(act),
                },
                Command::Trip => {
                    self.lane.trip(now());
                    Message::Tripped
                }
                Command::Snapshot(mut snapshot) => {
                    self.fill(&mut snapshot);
                    Message::Snapshot(snapshot)
                }
                Command::ShutDown => {
                    let at = now();
                    self.lane.shut_down(at);
                    self.stop_by = Some(at.after(SHUTDOWN_PATIENCE));
                    continue;
                }
            };
            send(
                &mut self.messages,
                message,
                &mut self.messages_lost,
                &mut self.told_main,
            );
        }
        self.beat.pass(Checkpoint::Obey);
        any
    }

    /// Takes the sentinel's order, which comes once and is for good. `true` when it came now.
    fn obey_orders(&mut self) -> bool {
        if self.forbidden || !self.orders.is_forbidden() {
            return false;
        }
        self.forbidden = true;
        self.lane.hold(Hold::Watchdog, now());
        true
    }

    fn tick(&mut self, at: MonoNs, taken: bool) {
        if let Some(late) = self.timing.begin(at) {
            if late.verdict == Verdict::Trip {
                self.lane.overrun(at);
            }
            send(
                &mut self.messages,
                Message::Late(late),
                &mut self.messages_lost,
                &mut self.told_main,
            );
        }
        self.lane.tick(at);
        let evaluated = now();
        if taken {
            self.stages.of(Stage::Evaluate).record(evaluated.since(at));
        }
        if let Some(spent) = self.lane.analyzer_engine_mut().take_spent() {
            self.stages.of(Stage::Analyze).record(spent);
        }
        self.beat.pass_tick(self.lane.checkpoint().signature);
        self.drive(evaluated);
        for event in self.lane.events() {
            let message = Message::Event(*event);
            send(
                &mut self.messages,
                message,
                &mut self.messages_lost,
                &mut self.told_main,
            );
        }
        self.lane.clear_events();
        self.give_blocks_back();
        self.next_tick = at.after(self.timer_period).min(self.lane.next_due());
        self.timing.end(at, self.next_tick);
    }

    fn fill(&mut self, snapshot: &mut Snapshot) {
        snapshot.at = now();
        snapshot.counters = self.lane.counters();
        snapshot.counters.events_lost = snapshot
            .counters
            .events_lost
            .saturating_add(self.messages_lost);
        snapshot.window_overruns = self.lane.window_overruns();
        snapshot.refusal = self.lane.reset_refusal();
        std::mem::swap(&mut snapshot.stages, &mut self.stages);
        self.fill_analyzers(snapshot);
        snapshot.outputs.clear();
        for (index, output) in (0_u16..).zip(&self.outputs) {
            if snapshot.outputs.len() < snapshot.outputs.capacity() {
                snapshot.outputs.push(OutputSnapshot {
                    permit: output.connection.permit(),
                    latch: self.lane.latch_of(index),
                    connected: output.connection.is_up(),
                    confirmed: output.confirmed,
                    counters: output.connection.counters(),
                });
            }
        }
        snapshot.devices.clear();
        for inline in &self.inline {
            if snapshot.devices.len() < snapshot.devices.capacity() {
                snapshot.devices.push(DeviceSnapshot {
                    device: inline.device.0,
                    stats: inline.source.stats(),
                });
            }
        }
        snapshot.tags.clear();
        snapshot.rules.clear();
        if snapshot.detail {
            snapshot.views.fill(&self.lane);
            for index in (0..).map(drivers_frame::TagId) {
                match self.lane.tag(index) {
                    Some(view) if snapshot.tags.len() < snapshot.tags.capacity() => {
                        snapshot.tags.push(view)
                    }
                    _ => break,
                }
            }
            for index in 0.. {
                match self.lane.rule(index) {
                    Some((state, cause, _)) if snapshot.rules.len() < snapshot.rules.capacity() => {
                        snapshot.rules.push((state, cause));
                    }
                    _ => break,
                }
            }
        }
    }

    /// Wakes the main thread, once a turn, after everything that matters has left.
    fn tell_main(&mut self) {
        if std::mem::take(&mut self.told_main) {
            notify(self.main.as_fd());
        }
    }

    fn ended(&self) -> Option<LaneEnd> {
        let stop_by = self.stop_by?;
        if self.lane.all_proved_safe() {
            return Some(LaneEnd::Safe);
        }
        (now() > stop_by).then_some(LaneEnd::Unconfirmed)
    }

    /// Evaluates every rule once without effect, so that the first real tick finds code and data in memory.
    pub(crate) fn warm_up(&mut self) {
        self.lane.warm_up();
        let _ = self.lane.reset_refusal() == Some(ResetRefusal::NothingLatched);
    }

    /// Measures this host where the lane runs, and holds the lane when it is slower than assumed: the cause. `fuel` is
    /// that of all conditions, `prices` are those of analyzers by their names, `rest` is for how long an input may wait
    /// because its reader rests.
    pub(crate) fn calibrate(
        &mut self,
        fuel: u64,
        prices: Vec<(String, Price)>,
        assumed: HostAssumption,
        rest: DurNs,
    ) -> Option<String> {
        let mut prices = prices;
        let measure = || {
            let prices = prices
                .iter_mut()
                .filter_map(|(name, price)| Some((name.clone(), price.measure(now)?)))
                .collect();
            let fuel_ps = calibrate::fuel_ps(fuel, &now, || self.lane.warm_up());
            let (turn, rest) = if self.spin {
                // It does not sleep, so nothing wakes it.
                (DurNs::ZERO, DurNs::ZERO)
            } else {
                (calibrate::turn(&now, wait::sleep), rest)
            };
            Measured {
                fuel_ps,
                prices,
                turn,
                rest,
            }
        };
        let cause = calibrate::patiently(assumed, wait::sleep, measure)?;
        self.lane.hold(Hold::HostTooSlow, now());
        Some(cause)
    }
}

fn send(messages: &mut Producer<Message>, message: Message, lost: &mut u64, told: &mut bool) {
    *told = true;
    if let Err(rtrb::PushError::Full(message)) = messages.push(message) {
        *lost = lost.saturating_add(1);
        // Only a snapshot owns memory, and the main thread asks for one at a time: this queue cannot be full for it.
        drop(message);
    }
}

/// Adds one to an eventfd: whoever polls it wakes. Cannot block: the counter would have to reach 2^64.
pub(crate) fn notify(fd: BorrowedFd<'_>) {
    let _ = rustix::io::write(fd, &1_u64.to_ne_bytes());
}

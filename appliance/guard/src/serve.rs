//! The main thread after start: takes what lanes report, answers the control socket, goes down in order.

mod acts;
mod answer;
mod bypasses;
mod checks;
mod down;
mod growth;
mod keep;
mod press;
mod reset;
mod shelf;
mod watch;

use std::collections::BTreeMap;
use std::io::{PipeReader, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use appliance_control::EventBody;
use appliance_lane::{Event, EventKind};
use drivers_frame::{DurNs, MonoNs};
use rt_config::clock::{monotonic_ns, wall_ns};
use rt_config::host;
use rtrb::{Consumer, Producer};
use rules_bundle::{Bundle, LanePlan};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::acquire::LinkStats;
use crate::analyzers::{BackgroundView, Figures};
use crate::control::{Connection, EventLog, Listener};
use crate::exit::Exit;
use crate::lane_thread::{LaneEnd, notify};
use crate::message::{Acted, Command, Message, Snapshot};
use crate::outside::Outside;
use crate::pulse::{Orders, Pulse};
use crate::report::{self, Placement};
use crate::sentinel::Sentinel;
use crate::stages::{Recorder, Stages};
use crate::start::{AnalyzerNews, News};
use crate::timing::{self, Verdict};
use crate::window::Fault;
pub(crate) use keep::Keeper;

use bypasses::Bypasses;
use press::Press;
use shelf::Shelf;

/// How long a lane may take to answer. It answers within its timer period; this bounds a hang.
const ANSWER_PATIENCE: Duration = Duration::from_secs(2);

/// How long the main thread sleeps at most: then it looks whether the sentinel still beats.
const LOOK_EVERY_NS: i64 = 100_000_000;

/// A running lane, seen from the main thread.
pub(crate) struct LaneHandle {
    pub(crate) thread: Option<JoinHandle<Option<LaneEnd>>>,
    pub(crate) feeds: Vec<JoinHandle<()>>,
    pub(crate) commands: Producer<Command>,
    pub(crate) messages: Consumer<Message>,
    pub(crate) wake: Arc<OwnedFd>,
    pub(crate) placement: Placement,
    /// Per device; `None` for one that the lane reads itself, or that has only outputs.
    pub(crate) stats: Vec<Option<Arc<Mutex<LinkStats>>>>,
    /// Per analyzer; `None` for one of class safety.
    pub(crate) analyzer_views: Vec<Option<Arc<Mutex<BackgroundView>>>>,
    /// What the lane shows of itself.
    pub(crate) pulse: Arc<Pulse>,
    /// What the sentinel found.
    pub(crate) orders: Arc<Orders>,
    /// What was told of that.
    pub(crate) told: Option<Fault>,
    pub(crate) told_proved: bool,
    pub(crate) spare: Option<Box<Snapshot>>,
}

/// What start hands over.
pub(crate) struct Parts {
    pub(crate) bundle: Bundle,
    pub(crate) listener: Listener,
    pub(crate) signals: PipeReader,
    pub(crate) degraded: Vec<String>,
    pub(crate) lanes: Vec<LaneHandle>,
    pub(crate) sentinel: Sentinel,
    pub(crate) outside: Outside,
    pub(crate) keeper: Keeper,
    pub(crate) news: News,
    pub(crate) analyzer_news: AnalyzerNews,
    pub(crate) stop: Arc<AtomicBool>,
    pub(crate) wake: Arc<OwnedFd>,
    pub(crate) no_deep_idle: Option<host::NoDeepIdle>,
}

/// What a lane answered to a command.
#[derive(Default)]
struct Answers {
    snapshot: Option<Box<Snapshot>>,
    acted: Option<(u64, Acted)>,
    tripped: bool,
}

/// What is added up of a lane.
struct Totals {
    stages: Stages,
    rules: BTreeMap<u16, (Recorder, u64)>,
    /// What was computed of each rule.
    bounds: Vec<Option<DurNs>>,
    events_lost: u64,
    /// Of every analyzer.
    figures: Vec<Figures>,
}

impl Totals {
    /// The computed bound of what is measured of a rule.
    fn bound(&self, rule: u16) -> Option<DurNs> {
        self.bounds.get(usize::from(rule)).copied().flatten()
    }
}

/// The guard, running.
pub(crate) struct Guard {
    plan: rules_bundle::Plan,
    hash: String,
    parts: Running,
    clients: Vec<Connection>,
    log: EventLog,
    answers: Vec<Answers>,
    totals: Vec<Totals>,
    press: Press,
    bypasses: Bypasses,
    shelf: Shelf,
    act_id: u64,
    started: u64,
    stopping: bool,
    beats: watch::BeatWatch,
    growth: growth::GrowthWatch,
    keeper: Keeper,
}

struct Running {
    listener: Listener,
    signals: PipeReader,
    degraded: Vec<String>,
    lanes: Vec<LaneHandle>,
    sentinel: Sentinel,
    outside: Outside,
    news: News,
    analyzer_news: AnalyzerNews,
    stop: Arc<AtomicBool>,
    wake: Arc<OwnedFd>,
    _no_deep_idle: Option<host::NoDeepIdle>,
}

impl Guard {
    pub(crate) fn new(parts: Parts) -> Self {
        let lanes = parts.lanes.len();
        let totals = parts
            .bundle
            .plan
            .lanes
            .iter()
            .filter_map(|plan| {
                Some(Totals {
                    stages: Stages::new()?,
                    rules: BTreeMap::new(),
                    bounds: timing::bounds(plan),
                    events_lost: 0,
                    figures: plan
                        .analyzers()
                        .map(|_| Figures::new())
                        .collect::<Option<_>>()?,
                })
            })
            .collect();
        Self {
            plan: parts.bundle.plan,
            hash: parts.bundle.hash.to_string(),
            parts: Running {
                listener: parts.listener,
                signals: parts.signals,
                degraded: parts.degraded,
                lanes: parts.lanes,
                sentinel: parts.sentinel,
                outside: parts.outside,
                news: parts.news,
                analyzer_news: parts.analyzer_news,
                stop: parts.stop,
                wake: parts.wake,
                _no_deep_idle: parts.no_deep_idle,
            },
            clients: Vec::new(),
            log: EventLog::default(),
            answers: std::iter::repeat_with(Answers::default)
                .take(lanes)
                .collect(),
            totals,
            press: Press::default(),
            bypasses: Bypasses::default(),
            shelf: Shelf::default(),
            act_id: 0,
            started: monotonic_ns(),
            stopping: false,
            beats: watch::BeatWatch::new(MonoNs::from_ns(monotonic_ns())),
            growth: growth::GrowthWatch::new(MonoNs::from_ns(monotonic_ns())),
            keeper: parts.keeper,
        }
    }

    /// Serves until asked to stop. A lane that dies or hangs does not end it: its outputs are stopped, the others go on.
    pub(crate) fn serve(mut self) -> Exit {
        self.parts.outside.ready();
        loop {
            self.wait();
            #[cfg(feature = "inject")]
            crate::inject::main_turn();
            self.take_reports();
            self.look_after();
            self.keep();
            self.watch_growth();
            self.feed_outside();
            if self.asked_to_stop() {
                return self.go_down();
            }
            self.remind();
            self.serve_clients();
            self.publish();
        }
    }

    fn wait(&mut self) {
        let mut fds = vec![
            PollFd::new(&self.parts.wake, PollFlags::IN),
            PollFd::new(&self.parts.signals, PollFlags::IN),
            PollFd::new(self.parts.listener.socket(), PollFlags::IN),
        ];
        for client in &self.clients {
            let mut flags = PollFlags::empty();
            flags.set(PollFlags::IN, client.wants_read());
            flags.set(PollFlags::OUT, client.wants_write());
            fds.push(PollFd::new(client.stream(), flags));
        }
        let busy = self.clients.iter().any(Connection::has_request);
        let patience = Timespec {
            tv_sec: 0,
            tv_nsec: if busy { 0 } else { LOOK_EVERY_NS },
        };
        // An interrupted poll is a wake-up like any other.
        let _ = poll(&mut fds, Some(&patience));
        self.clear_wake();
    }

    fn clear_wake(&self) {
        let _ = rustix::io::read(self.parts.wake.as_fd(), &mut [0_u8; 8]);
    }

    fn take_reports(&mut self) {
        for index in 0..self.parts.lanes.len() {
            while let Some(message) = self
                .parts
                .lanes
                .get_mut(index)
                .and_then(|lane| lane.messages.pop().ok())
            {
                self.take(index, message);
            }
        }
        while let Ok((lane, event)) = self.parts.analyzer_news.try_recv() {
            self.take(lane, Message::Event(event));
        }
        while let Ok(news) = self.parts.news.try_recv() {
            if let Some(plan) = self.plan.lanes.get(news.lane) {
                let body = EventBody::Link {
                    device: report::device_name(plan, drivers_frame::DeviceId(news.device)),
                    up: news.up,
                    cause: news.cause,
                };
                note(&mut self.log, plan, news.at, body);
            }
        }
    }

    fn take(&mut self, index: usize, message: Message) {
        let (Some(plan), Some(answers), Some(totals)) = (
            self.plan.lanes.get(index),
            self.answers.get_mut(index),
            self.totals.get_mut(index),
        ) else {
            return;
        };
        match message {
            Message::Event(Event { at, kind }) => {
                if let EventKind::StopConfirmed {
                    rule,
                    latency,
                    missed,
                } = kind
                    && let Some(fresh) = Recorder::new()
                {
                    let (recorder, misses) = totals.rules.entry(rule).or_insert((fresh, 0));
                    recorder.record(latency);
                    *misses = misses.saturating_add(u64::from(missed));
                    if let Some(bound) = totals.bound(rule).filter(|bound| latency > *bound) {
                        note(
                            &mut self.log,
                            plan,
                            at,
                            checks::bound(plan, rule, latency, bound),
                        );
                    }
                }
                if let EventKind::BypassEnded { point, .. } = kind {
                    self.bypasses.end(index, point);
                }
                let passed = monotonic_ns().saturating_sub(at.as_ns());
                self.keeper
                    .take(plan, wall_ns().saturating_sub(passed), &kind);
                if let Some(body) = report::event_body(plan, &self.plan.modules, &kind) {
                    note(&mut self.log, plan, at, body);
                }
            }
            Message::Late(late) => {
                if late.verdict == Verdict::Trip {
                    say!("tripline-guard: timing: {}", checks::late_words(plan, late));
                }
                note(&mut self.log, plan, late.at, checks::late(plan, late));
            }
            Message::Link { at, device, change } => {
                if let Some((up, cause)) = change.words() {
                    let device = report::device_name(plan, drivers_frame::DeviceId(device));
                    note(
                        &mut self.log,
                        plan,
                        at,
                        EventBody::Link { device, up, cause },
                    );
                }
            }
            Message::OutputFault { at, output, cause } => {
                let body = EventBody::OutputFault {
                    output: report::output_name(plan, output),
                    cause: cause.as_str().to_owned(),
                };
                note(&mut self.log, plan, at, body);
            }
            Message::Acted { id, acted } => answers.acted = Some((id, acted)),
            Message::Tripped => answers.tripped = true,
            Message::Snapshot(mut snapshot) => {
                totals.stages.absorb(&mut snapshot.stages);
                for (total, new) in totals.figures.iter_mut().zip(&mut snapshot.figures) {
                    total.absorb(new);
                }
                totals.events_lost = snapshot.counters.events_lost;
                answers.snapshot = Some(snapshot);
            }
        }
    }

    /// Sends a command to every lane and waits until `done` says of each that it answered.
    fn ask(
        &mut self,
        make: impl Fn(&mut LaneHandle) -> Option<Command>,
        done: impl Fn(&Answers) -> bool,
    ) -> Result<(), String> {
        let waited_for = |lane: &LaneHandle| !lane.orders.is_silent();
        for lane in self.parts.lanes.iter_mut().filter(|lane| waited_for(lane)) {
            let command = make(lane).ok_or("a lane is busy with an earlier question; ask again")?;
            lane.commands
                .push(command)
                .map_err(|_| "a lane does not take commands")?;
            notify(lane.wake.as_fd());
        }
        // A lane may fall silent while it is waited for.
        self.await_answers(|lanes, answers| {
            let mut both = lanes.iter().zip(answers);
            both.all(|(lane, answers)| !waited_for(lane) || done(answers))
        })
    }

    /// Waits until `done` says that what was asked is answered.
    fn await_answers(
        &mut self,
        done: impl Fn(&[LaneHandle], &[Answers]) -> bool,
    ) -> Result<(), String> {
        let until = Instant::now().checked_add(ANSWER_PATIENCE);
        while !done(&self.parts.lanes, &self.answers) {
            if until.is_none_or(|until| Instant::now() >= until) {
                return Err("a lane did not answer in time; its watchdogs decide now".to_owned());
            }
            let patience = Timespec {
                tv_sec: 0,
                tv_nsec: 10_000_000,
            };
            let _ = poll(
                &mut [PollFd::new(&self.parts.wake, PollFlags::IN)],
                Some(&patience),
            );
            self.clear_wake();
            self.take_reports();
        }
        Ok(())
    }

    /// A snapshot of every lane; given back by [`Guard::give_back`].
    fn snapshots(&mut self, detail: bool) -> Result<(), String> {
        self.ask(
            |lane| {
                let mut spare = lane.spare.take()?;
                spare.detail = detail;
                Some(Command::Snapshot(spare))
            },
            |answers| answers.snapshot.is_some(),
        )
    }

    fn give_back(&mut self) {
        for (lane, answers) in self.parts.lanes.iter_mut().zip(&mut self.answers) {
            if let Some(snapshot) = answers.snapshot.take() {
                lane.spare = Some(snapshot);
            }
        }
    }

    fn asked_to_stop(&mut self) -> bool {
        matches!(self.parts.signals.read(&mut [0_u8; 16]), Ok(count) if count > 0)
    }
}

fn note(log: &mut EventLog, plan: &LanePlan, at: MonoNs, body: EventBody) {
    // The wall time of the event, not of this line: both clocks are read now, the difference is what passed since.
    let passed = monotonic_ns().saturating_sub(at.as_ns());
    log.push(
        at.as_ns(),
        wall_ns().saturating_sub(passed),
        &plan.name,
        body,
    );
}

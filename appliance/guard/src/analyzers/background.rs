//! Class background: analyzers that may take their time, on cores that no lane has.
//!
//! Which thread: its own, one a lane, scheduled as every other program. May it block: yes; nobody waits for it. A frame that
//! finds no free job is dropped by the lane and counted; a result that finds no room is lost as any frame of a device.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex};

use appliance_lane::analyzer::{FrameFault, Judge};
use appliance_lane::queue::FrameProducer;
use appliance_lane::{Event, EventKind};
use appliance_sandbox::{Analyzer, AnalyzerFault, Engine, OutputValue};
use drivers_frame::{Block, FrameSink, MonoNs, Sample, Scaling};
use rules_sdk_abi::{Level, Verdict};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::Figures;
use super::canary::CanaryJudge;
use super::seats::{Inbox, Job, JobFrame, frame, now};
use crate::confine::{self, Calls};
use crate::lane_thread::notify;

/// Longest sleep: after it the stop flag and the canaries are looked at.
const LOOK_NS: i64 = 20_000_000;

/// What can be seen of an analyzer of class background.
pub(crate) struct BackgroundView {
    pub(crate) faults: u64,
    pub(crate) replaced: u64,
    pub(crate) spares: Option<u8>,
    pub(crate) last: Option<Result<Verdict, FrameFault>>,
    pub(crate) figures: Figures,
}

/// An analyzer and where its results go.
pub(super) struct Worker {
    /// Its number in the lane.
    pub(super) number: u16,
    pub(super) analyzer: Analyzer,
    pub(super) scaling: Scaling,
    pub(super) judge: Judge,
    pub(super) outputs: Vec<OutputValue>,
    pub(super) samples: Vec<Sample>,
    pub(super) queue: FrameProducer,
    pub(super) canary: Option<CanaryJudge>,
    pub(super) dead: bool,
    pub(super) gone: bool,
    pub(super) replaced: u64,
    pub(super) last: Option<Result<Verdict, FrameFault>>,
    pub(super) view: Arc<Mutex<BackgroundView>>,
}

/// A thread's work.
pub(crate) struct Background {
    pub(super) lane: usize,
    pub(super) inbox: Inbox,
    pub(super) workers: Vec<Worker>,
    pub(super) engine: Engine,
    /// Of the lane.
    pub(super) wake: Arc<OwnedFd>,
    pub(super) main: Arc<OwnedFd>,
    pub(super) stop: Arc<AtomicBool>,
    pub(super) news: Sender<(usize, Event)>,
}

impl Background {
    /// Runs until the stop flag is set.
    pub(crate) fn run(mut self) {
        self.engine.prepare_thread();
        if let Some(problem) = confine::thread(Calls::Analyzers) {
            say!("tripline-guard: degraded: {problem}");
        }
        while !self.stop.load(Ordering::Acquire) {
            while let Ok(mut job) = self.inbox.jobs.pop() {
                self.work(&mut job);
                // There is room for every job there is.
                let _ = self.inbox.done.push(job);
                notify(self.wake.as_fd());
            }
            self.look_at_canaries();
            self.sleep();
        }
    }

    fn work(&mut self, job: &mut Job) {
        for job_frame in &job.frames {
            let worker = self
                .workers
                .iter_mut()
                .find(|worker| usize::from(worker.number) == job_frame.analyzer);
            if let Some(worker) = worker {
                let events = worker.process(job_frame, job.block.as_ref());
                tell(&self.news, self.lane, &self.main, events);
            }
        }
    }

    /// One whose canary was missed has failed now, not with its next frame.
    fn look_at_canaries(&mut self) {
        let at = now();
        for worker in &mut self.workers {
            let missed = worker
                .canary
                .as_ref()
                .is_some_and(|canary| canary.is_missed(at));
            let newly = missed && !worker.dead;
            worker.dead = missed;
            if newly {
                let events = worker.conclude(Err(FrameFault::Canary), at);
                tell(&self.news, self.lane, &self.main, events);
                notify(self.wake.as_fd());
            }
        }
    }

    fn sleep(&self) {
        let timeout = Timespec {
            tv_sec: 0,
            tv_nsec: LOOK_NS,
        };
        let wake = self.inbox.wake.as_fd();
        // An interrupted poll is a short sleep.
        let _ = poll(
            &mut [PollFd::from_borrowed_fd(wake, PollFlags::IN)],
            Some(&timeout),
        );
        let _ = rustix::io::read(wake, &mut [0_u8; 8]);
    }
}

fn tell(
    news: &Sender<(usize, Event)>,
    lane: usize,
    main: &OwnedFd,
    events: impl IntoIterator<Item = Event>,
) {
    let mut any = false;
    for event in events {
        any = true;
        // The main thread is gone only when the guard is: nobody is left to tell then.
        let _ = news.send((lane, event));
    }
    if any {
        notify(main.as_fd());
    }
}

impl Worker {
    fn process(&mut self, job: &JobFrame, block: Option<&Block>) -> Vec<Event> {
        let frame = frame(job.at, job.gap, job.inputs(), block, self.scaling);
        let judged = if self.dead {
            Err(FrameFault::Canary)
        } else {
            let begin = now();
            let answer = self.analyzer.process(&frame, &mut self.outputs);
            let time = now().since(begin);
            if let Ok(mut view) = self.view.lock() {
                view.figures
                    .record(time, answer.ok().map(|answer| answer.fuel));
            }
            self.judge
                .judge(answer.map(|answer| answer.verdict), job.at)
        };
        self.conclude(judged, job.at)
    }

    fn conclude(&mut self, judged: Result<Verdict, FrameFault>, at: MonoNs) -> Vec<Event> {
        self.samples.clear();
        for position in 0.. {
            let Some(sample) = self.judge.sample(position, judged, &self.outputs, at) else {
                break;
            };
            self.samples.push(sample);
        }
        // A full queue is counted by itself, and the lane holds the tags bad.
        let _ = self.queue.push_frame(&self.samples);
        let events = self.words(judged);
        if let Ok(mut view) = self.view.lock() {
            view.last = Some(judged);
            view.faults = view.faults.saturating_add(u64::from(judged.is_err()));
            view.spares = self.spares();
            view.replaced = self.replaced;
        }
        events
    }

    fn spares(&self) -> Option<u8> {
        self.analyzer
            .is_seated()
            .then(|| u8::try_from(self.analyzer.spares()).unwrap_or(u8::MAX))
    }

    /// What is worth telling, as a lane tells it of class safety.
    fn words(&mut self, judged: Result<Verdict, FrameFault>) -> Vec<Event> {
        const NO_SPARE: FrameFault = FrameFault::Module(AnalyzerFault::NoSpare);
        let analyzer = self.number;
        let at = now();
        let mut events = Vec::new();
        let mut say = |kind| events.push(Event { at, kind });
        let before = self.last.replace(judged);
        let was = match before {
            None => Level::Normal,
            Some(Ok(before)) => before.level,
            Some(Err(_)) => self.judge.failure_level(),
        };
        let mut told = false;
        let failed = match judged {
            Ok(verdict) => {
                if verdict.level != was {
                    say(EventKind::AnalyzerVerdict { analyzer, verdict });
                }
                false
            }
            // The lane tells of canaries.
            Err(FrameFault::Canary) => return events,
            Err(fault) => {
                // One that fails the same way frame by frame is told once, and counted (H-77).
                told =
                    before.is_some_and(|before| before.is_err_and(|before| before.is_like(fault)));
                if fault != NO_SPARE && !told {
                    say(EventKind::AnalyzerFailed { analyzer, fault });
                }
                match fault {
                    FrameFault::Flapping => {
                        // An empty seat shows in the next call.
                        let _ = self.analyzer.replace();
                        true
                    }
                    FrameFault::Module(fault) => fault.instance_is_lost(),
                    FrameFault::Canary => false,
                }
            }
        };
        let spares = self.spares();
        let was_gone = std::mem::replace(&mut self.gone, spares.is_none());
        match spares {
            Some(left) if failed || was_gone => {
                self.replaced = self.replaced.saturating_add(1);
                if told {
                    return events;
                }
                say(EventKind::AnalyzerReplaced { analyzer, left });
            }
            None if !was_gone => say(EventKind::AnalyzerFailed {
                analyzer,
                fault: NO_SPARE,
            }),
            _ => {}
        }
        events
    }
}

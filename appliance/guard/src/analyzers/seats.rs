//! The lane's side: instances of class safety in their seats, and the way of frames to class background.
//!
//! Which thread: the lane's. May it block: no. While no call fails nothing is allocated.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use appliance_lane::analyzer::{AnalyzerEngine, Call};
use appliance_sandbox::{Analyzer, AnalyzerFault, Frame, InputValue, OutputValue, Samples};
use drivers_frame::{Block, DurNs, MonoNs, Scaling};
use rt_config::clock::monotonic_ns;
use rt_config::limits;
use rtrb::{Consumer, Producer, RingBuffer};
use rules_sdk_abi::{Flags, Verdict};

use super::Figures;
use crate::lane_thread::notify;

/// An analyzer's place.
pub(super) enum Seat {
    /// Called in the tick.
    Safety {
        analyzer: Box<Analyzer>,
        scaling: Scaling,
    },
    /// Called elsewhere.
    Background,
}

/// See the module.
pub(crate) struct Seats {
    pub(super) seats: Vec<Seat>,
    pub(super) outbox: Option<Outbox>,
    /// One each seat.
    pub(super) figures: Vec<Figures>,
    /// Time of the calls since it was asked for.
    pub(super) spent: DurNs,
}

impl Seats {
    /// Time of the calls since the last question; `None` when there were none.
    pub(crate) fn take_spent(&mut self) -> Option<DurNs> {
        let spent = std::mem::take(&mut self.spent);
        (spent > DurNs::ZERO).then_some(spent)
    }

    /// Exchanges the figures for others, which are empty. Both lists have one for each analyzer.
    pub(crate) fn swap_figures(&mut self, figures: &mut [Figures]) {
        self.figures
            .iter_mut()
            .zip(figures)
            .for_each(|(own, other)| std::mem::swap(own, other));
    }

    /// A block that class background is done with. Until there is none.
    pub(crate) fn reclaim(&mut self) -> Option<Block> {
        self.outbox.as_mut()?.reclaim()
    }
}

impl AnalyzerEngine for Seats {
    fn process(
        &mut self,
        analyzer: usize,
        call: &Call<'_>,
        outputs: &mut [OutputValue],
    ) -> Result<Verdict, AnalyzerFault> {
        let (Some(Seat::Safety { analyzer, scaling }), Some(figures)) =
            (self.seats.get_mut(analyzer), self.figures.get_mut(analyzer))
        else {
            return Err(AnalyzerFault::NoSpare);
        };
        let frame = frame(call.at, call.gap, call.inputs, call.block, *scaling);
        let begin = now();
        let answer = analyzer.process(&frame, outputs);
        let time = now().since(begin);
        self.spent = self.spent.plus(time);
        if answer != Err(AnalyzerFault::NoSpare) {
            figures.record(time, answer.ok().map(|answer| answer.fuel));
        }
        answer.map(|answer| answer.verdict)
    }

    fn replace(&mut self, analyzer: usize) {
        if let Some(Seat::Safety { analyzer, .. }) = self.seats.get_mut(analyzer) {
            // An empty seat shows in the next call.
            let _ = analyzer.replace();
        }
    }

    fn spares(&self, analyzer: usize) -> Option<u8> {
        match self.seats.get(analyzer)? {
            Seat::Safety { analyzer, .. } if analyzer.is_seated() => {
                Some(u8::try_from(analyzer.spares()).unwrap_or(u8::MAX))
            }
            Seat::Safety { .. } | Seat::Background => None,
        }
    }

    fn stage(&mut self, analyzer: usize, call: &Call<'_>) {
        if let Some(outbox) = &mut self.outbox {
            outbox.stage(analyzer, call);
        }
    }

    fn submit(&mut self, block: Option<Block>) -> Result<(), Option<Block>> {
        match &mut self.outbox {
            Some(outbox) => outbox.submit(block),
            None => Err(block),
        }
    }
}

/// A frame in the sandbox's words.
pub(super) fn frame<'a>(
    at: MonoNs,
    gap: bool,
    inputs: &'a [InputValue],
    block: Option<&'a Block>,
    scaling: Scaling,
) -> Frame<'a> {
    Frame {
        at,
        flags: if gap { Flags::GAP } else { Flags::default() },
        inputs,
        block: block.map(|block| Samples::Received { block, scaling }),
    }
}

pub(super) fn now() -> MonoNs {
    MonoNs::from_ns(monotonic_ns())
}

/// A frame on its way to class background.
pub(super) struct JobFrame {
    pub(super) analyzer: usize,
    pub(super) at: MonoNs,
    pub(super) gap: bool,
    inputs: [InputValue; limits::ANALYZER_ENTRIES_MAX],
    count: usize,
}

impl JobFrame {
    pub(super) fn inputs(&self) -> &[InputValue] {
        self.inputs.get(..self.count).unwrap_or(&[])
    }
}

/// Frames about one block, or about none. Made before the lane is sealed; goes round for ever.
pub(super) struct Job {
    pub(super) frames: Vec<JobFrame>,
    pub(super) block: Option<Block>,
}

/// Jobs to class background, and back.
pub(super) struct Outbox {
    jobs: Producer<Job>,
    done: Consumer<Job>,
    free: Vec<Job>,
    wake: Arc<OwnedFd>,
}

/// The other end.
pub(super) struct Inbox {
    pub(super) jobs: Consumer<Job>,
    pub(super) done: Producer<Job>,
    pub(super) wake: Arc<OwnedFd>,
}

/// Jobs for a thread that serves so many analyzers. `wake` is written when there is one.
pub(super) fn jobs(analyzers: usize, wake: &Arc<OwnedFd>) -> (Outbox, Inbox) {
    let count = limits::BACKGROUND_JOBS;
    let (jobs, jobs_out) = RingBuffer::new(count);
    let (done_in, done) = RingBuffer::new(count);
    let job = || Job {
        frames: Vec::with_capacity(analyzers),
        block: None,
    };
    (
        Outbox {
            jobs,
            done,
            free: std::iter::repeat_with(job).take(count).collect(),
            wake: Arc::clone(wake),
        },
        Inbox {
            jobs: jobs_out,
            done: done_in,
            wake: Arc::clone(wake),
        },
    )
}

impl Outbox {
    fn stage(&mut self, analyzer: usize, call: &Call<'_>) {
        // Without a free job the thread is behind: `submit` says so.
        let Some(job) = self.free.last_mut() else {
            return;
        };
        let mut inputs = [InputValue::default(); limits::ANALYZER_ENTRIES_MAX];
        for (to, from) in inputs.iter_mut().zip(call.inputs) {
            *to = *from;
        }
        if job.frames.len() < job.frames.capacity() {
            job.frames.push(JobFrame {
                analyzer,
                at: call.at,
                gap: call.gap,
                inputs,
                count: call.inputs.len(),
            });
        }
    }

    fn submit(&mut self, block: Option<Block>) -> Result<(), Option<Block>> {
        let Some(mut job) = self.free.pop() else {
            return Err(block);
        };
        job.block = block;
        match self.jobs.push(job) {
            Ok(()) => {
                notify(self.wake.as_fd());
                Ok(())
            }
            // There is room for every job there is; were there none, this frame is dropped like one without a free job.
            Err(rtrb::PushError::Full(mut job)) => {
                let block = job.block.take();
                self.keep(job);
                Err(block)
            }
        }
    }

    fn reclaim(&mut self) -> Option<Block> {
        while let Ok(mut job) = self.done.pop() {
            let block = job.block.take();
            self.keep(job);
            if block.is_some() {
                return block;
            }
        }
        None
    }

    fn keep(&mut self, mut job: Job) {
        job.frames.clear();
        // Reserved for every job there is: this never allocates.
        self.free.push(job);
    }
}

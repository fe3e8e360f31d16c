//! Analyzers in virtual time: real modules in the real sandbox, on the lane and behind it.
//!
//! What is a copy of the product's here: the seats (`appliance/guard/src/analyzers/seats.rs`), the loop of class background and
//! the one that makes spares. Fuel ends a call as in the product; the deadline by epochs is real time and never acts.

pub mod module;

use std::collections::VecDeque;

use appliance_lane::analyzer::{AnalyzerEngine, Call, FrameFault, Judge};
use appliance_sandbox::{
    Analyzer, AnalyzerFault, AnalyzerModule, Frame, InputValue, OutputValue, Refiller, Samples,
};
use drivers_frame::{Block, MonoNs, Sample, Scaling};
use rt_config::limits;
use rules_bundle::AnalyzerPlan;
use rules_sdk_abi::{Flags, Verdict};

use crate::scenario::Scenario;

/// A call, as the lane made it.
#[derive(Clone, Debug)]
pub struct Called {
    /// Which analyzer.
    pub analyzer: usize,
    /// The time that it was given.
    pub at: u64,
    /// Samples are missing before its block, as the lane and the block itself say.
    pub gap: bool,
    /// Its inputs.
    pub inputs: Vec<InputValue>,
    /// The bytes of its block.
    pub block: Option<Vec<u8>>,
}

impl Called {
    fn new(analyzer: usize, call: &Call<'_>, block: Option<&Block>) -> Self {
        Self {
            analyzer,
            at: call.at.as_ns(),
            gap: call.gap || block.is_some_and(|block| block.head().gap),
            inputs: call.inputs.to_vec(),
            block: block.map(|block| block.raw().to_vec()),
        }
    }
}

struct Seat {
    /// None of class background.
    analyzer: Option<Analyzer>,
    scaling: Scaling,
}

/// Frames for class background, and their block.
pub struct Job {
    frames: Vec<Called>,
    block: Option<Block>,
}

/// The lane's side.
pub struct Seats {
    seats: Vec<Seat>,
    /// Calls of class safety, and frames staged for class background, since they were last looked at.
    pub calls: Vec<Called>,
    staged: Vec<Called>,
    jobs: VecDeque<Job>,
    /// Jobs that were handed over since it was last asked.
    pub handed_over: usize,
    /// Frames dropped because class background is behind.
    pub dropped: u64,
}

impl AnalyzerEngine for Seats {
    fn process(
        &mut self,
        analyzer: usize,
        call: &Call<'_>,
        outputs: &mut [OutputValue],
    ) -> Result<Verdict, AnalyzerFault> {
        self.calls.push(Called::new(analyzer, call, call.block));
        let seat = self.seats.get_mut(analyzer);
        let Some((own, scaling)) =
            seat.and_then(|seat| Some((seat.analyzer.as_mut()?, seat.scaling)))
        else {
            return Err(AnalyzerFault::NoSpare);
        };
        let frame = frame(call.at, call.gap, call.inputs, call.block, scaling);
        own.process(&frame, outputs).map(|answer| answer.verdict)
    }

    fn replace(&mut self, analyzer: usize) {
        if let Some(own) = &mut self.seats[analyzer].analyzer {
            let _ = own.replace();
        }
    }

    fn spares(&self, analyzer: usize) -> Option<u8> {
        let own = self.seats.get(analyzer)?.analyzer.as_ref()?;
        own.is_seated().then(|| own.spares() as u8)
    }

    fn stage(&mut self, analyzer: usize, call: &Call<'_>) {
        let called = Called::new(analyzer, call, None);
        self.calls.push(called.clone());
        self.staged.push(called);
    }

    fn submit(&mut self, block: Option<Block>) -> Result<(), Option<Block>> {
        let mut frames = std::mem::take(&mut self.staged);
        if self.jobs.len() >= limits::BACKGROUND_JOBS {
            self.dropped += frames.len() as u64;
            return Err(block);
        }
        for frame in &mut frames {
            frame.gap |= block.as_ref().is_some_and(|block| block.head().gap);
            frame.block = block.as_ref().map(|block| block.raw().to_vec());
        }
        self.jobs.push_back(Job { frames, block });
        self.handed_over += 1;
        Ok(())
    }
}

fn frame<'a>(
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

/// An analyzer of class background.
struct Worker {
    number: usize,
    device: usize,
    analyzer: Analyzer,
    scaling: Scaling,
    judge: Judge,
    outputs: Vec<OutputValue>,
}

/// What class background was asked, and answered.
#[derive(Clone, Debug)]
pub struct Answered {
    /// Index of the device.
    pub device: usize,
    /// What it was asked.
    pub called: Called,
    /// What came of it.
    pub samples: Vec<Sample>,
}

/// Class background, and what makes spares.
pub struct Backstage {
    workers: Vec<Worker>,
    /// One for each analyzer.
    refillers: Vec<Refiller>,
}

/// All analyzers of a lane, set up.
pub fn set_up(scenario: &Scenario, modules: &[AnalyzerModule]) -> (Seats, Backstage) {
    let mut seats = Vec::new();
    let mut workers = Vec::new();
    let mut refillers = Vec::new();
    let plans = scenario.plan.analyzers();
    for (number, ((device, _, plan), module)) in plans.zip(modules).enumerate() {
        let spares = usize::from(plan.spares);
        let (analyzer, refiller) = module.with_spares(spares).expect("it was set up before");
        refillers.push(refiller);
        let scaling = scaling(plan);
        let mut analyzer = Some(analyzer);
        if scenario.analyzers[number].background {
            workers.extend(analyzer.take().map(|analyzer| Worker {
                number,
                device,
                analyzer,
                scaling,
                judge: Judge::new(plan),
                outputs: vec![OutputValue::BAD; plan.outputs.len()],
            }));
        }
        seats.push(Seat { analyzer, scaling });
    }
    let seats = Seats {
        seats,
        calls: Vec::new(),
        staged: Vec::new(),
        jobs: VecDeque::new(),
        handed_over: 0,
        dropped: 0,
    };
    (seats, Backstage { workers, refillers })
}

fn scaling(plan: &AnalyzerPlan) -> Scaling {
    plan.waveform.map_or(
        Scaling {
            scale: 1.0,
            offset: 0.0,
        },
        |waveform| Scaling {
            scale: waveform.scale,
            offset: waveform.offset,
        },
    )
}

impl Backstage {
    /// What makes spares takes a turn for one analyzer.
    pub fn refill(&mut self, analyzer: usize) {
        if let Some(refiller) = self.refillers.get_mut(analyzer) {
            refiller.turn().expect("it was set up before");
        }
    }

    /// Does the oldest job: what was asked, and what came of it. Gives the block back.
    pub fn work(&mut self, seats: &mut Seats) -> (Vec<Answered>, Option<Block>) {
        let Some(mut job) = seats.jobs.pop_front() else {
            return (Vec::new(), None);
        };
        let mut done = Vec::new();
        for called in std::mem::take(&mut job.frames) {
            let own = |worker: &&mut Worker| worker.number == called.analyzer;
            if let Some(worker) = self.workers.iter_mut().find(own) {
                let samples = worker.process(&called, job.block.as_ref());
                done.push(Answered {
                    device: worker.device,
                    called,
                    samples,
                });
            }
        }
        (done, job.block)
    }
}

impl Worker {
    fn process(&mut self, called: &Called, block: Option<&Block>) -> Vec<Sample> {
        let at = MonoNs::from_ns(called.at);
        let frame = frame(at, called.gap, &called.inputs, block, self.scaling);
        let answer = self.analyzer.process(&frame, &mut self.outputs);
        let answer = answer.map(|answer| answer.verdict);
        let judged = self.judge.judge(answer, at);
        if judged == Err(FrameFault::Flapping) {
            let _ = self.analyzer.replace();
        }
        let sample = |position| self.judge.sample(position, judged, &self.outputs, at);
        (0..).map_while(sample).collect()
    }
}

//! Replay from a clean instance: whether what an analyzer says is spoiled by what it saw long ago (H-41).
//!
//! ```text
//!  Analyzer ─ Recorder ── the newest calls, as the module saw them, and the answer to the last ──▶ Replayer
//!      ▲          ▲                                                                          clean instance,
//!      │ calls    └──────────────────────────── the same memory, to be used again ◀───────── the same calls
//! ```
//!
//! A module whose author says that it remembers N calls must answer the N-th of N calls in a row as any other instance does,
//! bit for bit. Calls are kept only while a comparison is due: a call in a row is one with news, usable inputs, and a block
//! that follows without a gap; any other, one that fails, and an instance that is replaced begin the row anew.
//!
//! Which thread: [`Recorder`] that of the analyzer, a lane's perhaps: it copies each call once, into memory made before, and
//! neither allocates nor locks. [`Replayer`] off the lane: it makes instances. May it block: a step as long as one call.

use drivers_frame::{DurNs, MonoNs};
use rtrb::{Consumer, Producer, RingBuffer};
use rules_sdk_abi::{Flags, HEADER_BYTES, Level, VALUE_BYTES, Verdict};

use super::fault::AnalyzerFault;
use super::instance::{AnalyzerInstance, Answer, Frame, InputValue, OutputValue, Samples};
use super::module::AnalyzerModule;
use super::spare::Analyzer;

/// What is kept of an analyzer's calls, and how often.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReplaySpec {
    /// Calls that its answers depend on, the answered one included; at least 1.
    pub calls: u32,
    /// Samples of its blocks; 0 when it takes no waveform. Calls with more of them are not kept.
    pub samples: u32,
    /// Time between two comparisons.
    pub every: DurNs,
}

/// What a step of a [`Replayer`] came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReplayStep {
    /// There is nothing to compare.
    Idle,
    /// A call was made, and there are more.
    Working,
    /// The comparison that was due then is over: a clean instance gave the same answer, bit for bit.
    Agrees(MonoNs),
    /// It did not, or it failed where the analyzer had answered.
    Differs(MonoNs),
    /// It could not be asked: no instance could be made, or this thread did not get the time.
    Undone(MonoNs),
}

/// Calls in a row. The memory goes round for ever.
pub(super) struct Record {
    /// `most` cells of `cell` bytes each.
    cells: Vec<u8>,
    cell: usize,
    most: usize,
    filled: usize,
    due: MonoNs,
    verdict: Verdict,
    outputs: Vec<OutputValue>,
}

impl Record {
    fn cell(&self, index: usize) -> Option<&[u8]> {
        self.cells.get(self.range(index)?)
    }

    fn range(&self, index: usize) -> Option<std::ops::Range<usize>> {
        let start = index.checked_mul(self.cell)?;
        Some(start..start.checked_add(self.cell)?)
    }

    /// Whether these are the answer, bit for bit.
    fn is_answer(&self, verdict: Verdict, outputs: &[OutputValue]) -> bool {
        let same = |(own, other): (&OutputValue, &OutputValue)| {
            own.quality == other.quality && own.value.to_bits() == other.value.to_bits()
        };
        self.verdict == verdict
            && self.outputs.len() == outputs.len()
            && self.outputs.iter().zip(outputs).all(same)
    }
}

/// The analyzer's side.
pub(super) struct Recorder {
    idle: Option<Box<Record>>,
    out: Producer<Box<Record>>,
    back: Consumer<Box<Record>>,
    every: DurNs,
    /// When the next comparison is due.
    due: MonoNs,
    /// Most bytes of a block, as the module sees it; `None` when it takes none.
    block: Option<usize>,
    /// Bytes of a sample.
    sample: usize,
}

/// The clean side, on a thread that may allocate.
pub struct Replayer {
    module: AnalyzerModule,
    records: Consumer<Box<Record>>,
    back: Producer<Box<Record>>,
    work: Option<Work>,
}

/// A comparison under way.
struct Work {
    record: Box<Record>,
    instance: AnalyzerInstance,
    next: usize,
    outputs: Vec<OutputValue>,
}

impl Analyzer {
    /// From now on its calls are kept when a comparison is due. `module` is the one that its instances are of.
    pub fn replayed(&mut self, module: &AnalyzerModule, spec: ReplaySpec) -> Replayer {
        // One record goes round.
        let (out, records) = RingBuffer::new(1);
        let (back_in, back) = RingBuffer::new(1);
        let shape = module.spec();
        let bytes = |count: u32, each: u32| {
            usize::try_from(count.saturating_mul(each)).unwrap_or(usize::MAX)
        };
        let block = shape.waveform.map_or(0, |waveform| {
            let samples = spec.samples.min(waveform.samples_max);
            bytes(samples, waveform.format.bytes())
        });
        let cell = bytes(1, HEADER_BYTES)
            .saturating_add(bytes(u32::from(shape.inputs), VALUE_BYTES))
            .saturating_add(block);
        let most = usize::try_from(spec.calls.max(1)).unwrap_or(1);
        self.recorder = Some(Recorder {
            idle: Some(Box::new(Record {
                cells: vec![0; cell.saturating_mul(most)],
                cell,
                most,
                filled: 0,
                due: MonoNs::ZERO,
                verdict: Verdict {
                    level: Level::Normal,
                    cause: 0,
                },
                outputs: vec![OutputValue::BAD; shape.outputs.len()],
            })),
            out,
            back,
            every: spec.every,
            due: MonoNs::ZERO,
            block: shape.waveform.map(|_| block),
            sample: shape
                .waveform
                .map_or(0, |waveform| bytes(1, waveform.format.bytes())),
        });
        Replayer {
            module: module.clone(),
            records,
            back: back_in,
            work: None,
        }
    }
}

impl Recorder {
    /// Where a call is to be kept; `None` when it is not.
    pub(super) fn cell(&mut self, frame: &Frame<'_>) -> Option<&mut [u8]> {
        if self.idle.is_none() {
            self.idle = self.back.pop().ok();
        }
        let in_row = self.is_in_row(frame);
        let record = self.idle.as_mut()?;
        if record.filled == 0 {
            if frame.at < self.due {
                return None;
            }
            // The first is due when there is something to compare.
            record.due = if self.due == MonoNs::ZERO {
                frame.at
            } else {
                self.due
            };
        }
        if !in_row {
            record.filled = 0;
            return None;
        }
        let range = record.range(record.filled)?;
        record.cells.get_mut(range)
    }

    /// A call for which there was a cell is over. Hands the record over with the last of the row.
    pub(super) fn end(
        &mut self,
        at: MonoNs,
        result: Result<Answer, AnalyzerFault>,
        outputs: &[OutputValue],
    ) {
        let Some(record) = &mut self.idle else {
            return;
        };
        let Ok(answer) = result else {
            record.filled = 0;
            return;
        };
        record.filled = record.filled.saturating_add(1);
        if record.filled < record.most {
            return;
        }
        record.verdict = answer.verdict;
        for (own, output) in record.outputs.iter_mut().zip(outputs) {
            *own = *output;
        }
        // Comparisons that were missed are not made up for.
        let next = record.due.after(self.every);
        self.due = if next > at { next } else { at };
        if let Some(record) = self.idle.take()
            && let Err(rtrb::PushError::Full(record)) = self.out.push(record)
        {
            // There is room for the one record there is.
            self.idle = Some(record);
            self.restart();
        }
    }

    /// The row begins anew: of another instance, or because a call is not kept.
    pub(super) fn restart(&mut self) {
        if let Some(record) = &mut self.idle {
            record.filled = 0;
        }
    }

    /// Whether after enough calls like this one every instance must answer alike.
    fn is_in_row(&self, frame: &Frame<'_>) -> bool {
        let usable = |input: &InputValue| input.quality.is_usable() && input.value.is_finite();
        let gap = frame.flags.0 & Flags::GAP.0 != 0
            || match &frame.block {
                Some(Samples::Received { block, .. }) => block.head().gap,
                _ => false,
            };
        let fits = match (&frame.block, self.block) {
            (Some(block), Some(room)) => self.bytes_of(block) <= room,
            (None, None) => true,
            _ => false,
        };
        let news = frame.block.is_some() || frame.inputs.iter().any(|input| input.changed);
        news && fits && !gap && frame.inputs.iter().all(usable)
    }

    /// As the module sees it.
    fn bytes_of(&self, block: &Samples<'_>) -> usize {
        match block {
            Samples::Ready { bytes, .. } => bytes.len(),
            Samples::Received { block, .. } => {
                let count = usize::try_from(block.head().count).unwrap_or(usize::MAX);
                count.saturating_mul(self.sample)
            }
        }
    }
}

impl Replayer {
    /// Makes one call of a clean instance, when a comparison is due or under way. Allocates.
    pub fn step(&mut self) -> ReplayStep {
        let Some(mut work) = self.work.take() else {
            return self.begin();
        };
        let due = work.record.due;
        let call = work.record.cell(work.next);
        let answer = match call {
            Some(call) => work.instance.process_again(call, &mut work.outputs),
            None => Err(AnalyzerFault::Counts),
        };
        work.next = work.next.saturating_add(1);
        let answer = match answer {
            Ok(_) if work.next < work.record.most => {
                self.work = Some(work);
                return ReplayStep::Working;
            }
            Ok(answer) => answer,
            // Not the module's doing: this thread was held up.
            Err(AnalyzerFault::Deadline) => return self.end(work.record, ReplayStep::Undone(due)),
            Err(_) => return self.end(work.record, ReplayStep::Differs(due)),
        };
        let step = if work.record.is_answer(answer.verdict, &work.outputs) {
            ReplayStep::Agrees(due)
        } else {
            ReplayStep::Differs(due)
        };
        self.end(work.record, step)
    }

    fn begin(&mut self) -> ReplayStep {
        let Ok(record) = self.records.pop() else {
            return ReplayStep::Idle;
        };
        match self.module.instantiate() {
            Ok(instance) => {
                self.work = Some(Work {
                    outputs: vec![OutputValue::BAD; record.outputs.len()],
                    record,
                    instance,
                    next: 0,
                });
                ReplayStep::Working
            }
            Err(_) => {
                let due = record.due;
                self.end(record, ReplayStep::Undone(due))
            }
        }
    }

    fn end(&mut self, mut record: Box<Record>, step: ReplayStep) -> ReplayStep {
        record.filled = 0;
        // There is room for the one record there is.
        let _ = self.back.push(record);
        step
    }
}

//! Warm spares: an instance that was lost is replaced on the lane by one that waits, and dropped elsewhere.

use drivers_frame::planted;
use rtrb::{Consumer, Producer, RingBuffer};

use super::fault::AnalyzerFault;
use super::instance::{AnalyzerInstance, Answer, Frame, OutputValue};
use super::module::{AnalyzerError, AnalyzerModule};
use super::replay::Recorder;

/// The lane's side: the instance in the seat, and the way to its spares.
pub struct Analyzer {
    seat: Option<Box<AnalyzerInstance>>,
    ready: Consumer<Box<AnalyzerInstance>>,
    retired: Producer<Box<AnalyzerInstance>>,
    pub(super) recorder: Option<Recorder>,
}

/// The other side, on a thread that may allocate: makes spares and drops what was retired.
///
/// Making one maps its memory and dropping one unmaps it. A sibling thread that maps disturbs a lane (by microseconds, not
/// by its verdicts), and in a sound pack it never happens after start: so a turn makes one, and the caller bounds how often
/// it takes a turn.
pub struct Refiller {
    module: AnalyzerModule,
    ready: Producer<Box<AnalyzerInstance>>,
    retired: Consumer<Box<AnalyzerInstance>>,
}

impl AnalyzerModule {
    /// An instance in the seat with `spares` behind it, all set up now.
    ///
    /// # Errors
    /// [`AnalyzerError`] when one of them cannot be set up.
    pub fn with_spares(&self, spares: usize) -> Result<(Analyzer, Refiller), AnalyzerError> {
        let (ready_in, ready) = RingBuffer::new(spares);
        // Every instance there can be fits: the one in the seat, those that are ready, and one that the refiller holds.
        let (retired, retired_out) = RingBuffer::new(spares.saturating_add(2));
        let seat = Some(Box::new(self.instantiate()?));
        let analyzer = Analyzer {
            seat,
            ready,
            retired,
            recorder: None,
        };
        let mut refiller = Refiller {
            module: self.clone(),
            ready: ready_in,
            retired: retired_out,
        };
        while refiller.ready.slots() > 0 {
            refiller.make_one()?;
        }
        Ok((analyzer, refiller))
    }
}

impl Analyzer {
    /// As [`AnalyzerInstance::process`]. After a fault that loses the instance a spare takes the seat before this
    /// returns; its first frame carries `RESTARTED`.
    ///
    /// # Errors
    /// [`AnalyzerFault`]; [`AnalyzerFault::NoSpare`] when the seat is empty.
    pub fn process(
        &mut self,
        frame: &Frame<'_>,
        outputs: &mut [OutputValue],
    ) -> Result<Answer, AnalyzerFault> {
        if self.seat.is_none() {
            self.seat = self.ready.pop().ok();
        }
        let Some(instance) = &mut self.seat else {
            outputs.fill(OutputValue::BAD);
            return Err(AnalyzerFault::NoSpare);
        };
        let mut recorder = self.recorder.as_mut();
        let cell = recorder
            .as_deref_mut()
            .and_then(|recorder| recorder.cell(frame));
        let kept = cell.is_some();
        let result = instance.process_kept(frame, outputs, cell);
        if let Some(recorder) = recorder.filter(|_| kept) {
            recorder.end(frame.at, result, outputs);
        }
        if let Err(fault) = result
            && fault.instance_is_lost()
        {
            self.replace();
        }
        result
    }

    /// Takes the instance out of its seat and puts a spare in: after a fault, or because it flaps. False when no spare is
    /// ready: the seat is empty until one is.
    pub fn replace(&mut self) -> bool {
        if planted!(LostInstanceKept) {
            return true;
        }
        if let Some(recorder) = &mut self.recorder {
            recorder.restart();
        }
        let lost = std::mem::replace(&mut self.seat, self.ready.pop().ok());
        if let Some(lost) = lost
            && let Err(rtrb::PushError::Full(kept)) = self.retired.push(lost)
        {
            // There is room for every instance there can be; were there none, it stays allocated rather than being freed
            // on a lane.
            let _ = std::mem::ManuallyDrop::new(kept);
        }
        self.seat.is_some()
    }

    /// Whether the next call finds an instance: one in the seat, or a spare that takes it.
    pub fn is_seated(&self) -> bool {
        self.seat.is_some() || self.spares() > 0
    }

    /// Spares that are ready.
    pub fn spares(&self) -> usize {
        self.ready.slots()
    }

    /// As [`AnalyzerInstance::state_hash`].
    ///
    /// # Errors
    /// [`AnalyzerFault`]; the instance is then replaced.
    pub fn state_hash(&mut self) -> Result<u64, AnalyzerFault> {
        let instance = self.seat.as_mut().ok_or(AnalyzerFault::NoSpare)?;
        let result = instance.state_hash();
        if result.is_err() {
            self.replace();
        }
        result
    }
}

impl Refiller {
    /// Drops what was retired and makes at most one spare: call it now and then, at a rate that bounds what instantiation
    /// costs the process. Allocates. Returns whether a spare is still missing.
    ///
    /// # Errors
    /// [`AnalyzerError`] when no instance could be made.
    pub fn turn(&mut self) -> Result<bool, AnalyzerError> {
        while self.retired.pop().is_ok() {}
        if self.ready.slots() > 0 {
            self.make_one()?;
        }
        Ok(self.ready.slots() > 0)
    }

    fn make_one(&mut self) -> Result<(), AnalyzerError> {
        let spare = Box::new(self.module.instantiate()?);
        // A slot was free, and this is the only producer.
        let _ = self.ready.push(spare);
        Ok(())
    }
}

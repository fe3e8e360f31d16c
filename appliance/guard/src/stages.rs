//! Latency of each stage of a lane, in fixed histograms with a single writer.
//!
//! The lane records into its own set; on a snapshot the set is swapped for an empty one, so that recording never waits
//! and never allocates (H-82). The main thread adds the sets up.

use drivers_frame::DurNs;
use hdrhistogram::Histogram;

/// Longest time a histogram tells apart; longer ones count as this (the exact maximum is kept beside).
const LONGEST_NS: u64 = 10_000_000_000;

/// A stage of a lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// From the receipt of a sample to the tick that takes it.
    AcquireToIngest,
    /// The calls of analyzers within a tick, together.
    Analyze,
    /// The tick: staleness, analyzers, evaluation of what changed, latches.
    Evaluate,
    /// From the end of the tick to the return of the send that stops.
    Drive,
    /// From a write to its echo.
    Confirm,
}

impl Stage {
    pub(crate) const ALL: [Self; 5] = [
        Self::AcquireToIngest,
        Self::Analyze,
        Self::Evaluate,
        Self::Drive,
        Self::Confirm,
    ];

    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::AcquireToIngest => "acquire_to_ingest",
            Self::Analyze => "analyze",
            Self::Evaluate => "evaluate",
            Self::Drive => "drive",
            Self::Confirm => "confirm",
        }
    }
}

/// One distribution with its exact extremes.
#[derive(Clone)]
pub(crate) struct Recorder {
    pub(crate) histogram: Histogram<u64>,
    pub(crate) min_ns: u64,
    pub(crate) max_ns: u64,
}

impl Recorder {
    /// An empty one, with all memory it will ever need. `None` never happens: the bounds are constants that fit.
    pub(crate) fn new() -> Option<Self> {
        Some(Self {
            histogram: Histogram::new_with_bounds(1, LONGEST_NS, 3).ok()?,
            min_ns: u64::MAX,
            max_ns: 0,
        })
    }

    pub(crate) fn record(&mut self, span: DurNs) {
        let ns = span.as_ns();
        self.histogram.saturating_record(ns);
        self.min_ns = self.min_ns.min(ns);
        self.max_ns = self.max_ns.max(ns);
    }

    /// Adds another one and empties it.
    pub(crate) fn absorb(&mut self, other: &mut Self) {
        // Same bounds: adding cannot fail.
        let _ = self.histogram.add(&other.histogram);
        self.min_ns = self.min_ns.min(other.min_ns);
        self.max_ns = self.max_ns.max(other.max_ns);
        other.histogram.reset();
        other.min_ns = u64::MAX;
        other.max_ns = 0;
    }
}

/// All stages of a lane.
pub(crate) struct Stages {
    recorders: [Recorder; 5],
}

impl Stages {
    pub(crate) fn new() -> Option<Self> {
        Some(Self {
            recorders: [
                Recorder::new()?,
                Recorder::new()?,
                Recorder::new()?,
                Recorder::new()?,
                Recorder::new()?,
            ],
        })
    }

    pub(crate) fn of(&mut self, stage: Stage) -> &mut Recorder {
        let [acquire, analyze, evaluate, drive, confirm] = &mut self.recorders;
        match stage {
            Stage::AcquireToIngest => acquire,
            Stage::Analyze => analyze,
            Stage::Evaluate => evaluate,
            Stage::Drive => drive,
            Stage::Confirm => confirm,
        }
    }

    pub(crate) fn get(&self, stage: Stage) -> &Recorder {
        let [acquire, analyze, evaluate, drive, confirm] = &self.recorders;
        match stage {
            Stage::AcquireToIngest => acquire,
            Stage::Analyze => analyze,
            Stage::Evaluate => evaluate,
            Stage::Drive => drive,
            Stage::Confirm => confirm,
        }
    }

    pub(crate) fn absorb(&mut self, other: &mut Self) {
        for (own, new) in self.recorders.iter_mut().zip(&mut other.recorders) {
            own.absorb(new);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_maximum_is_exact_and_what_is_too_long_is_not_lost() {
        let mut recorder = Recorder::new().unwrap();
        recorder.record(DurNs::from_ns(123_456_789));
        recorder.record(DurNs::from_ms(60_000));
        assert_eq!(recorder.max_ns, 60_000_000_000, "H-82");
        assert_eq!(recorder.histogram.len(), 2);
        let mut sum = Recorder::new().unwrap();
        sum.absorb(&mut recorder);
        assert_eq!((sum.histogram.len(), recorder.histogram.len()), (2, 0));
        assert_eq!((sum.min_ns, sum.max_ns), (123_456_789, 60_000_000_000));
    }
}

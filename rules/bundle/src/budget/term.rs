//! The terms of a sum, and a path of them.

use drivers_frame::DurNs;

/// A part of a reaction time, in the order of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TermKind {
    /// From the cause to the sample's arrival.
    Acquisition,
    /// Samples or messages that are dropped before the channel is bad.
    Tolerated,
    /// The last good sample may have been under way this long.
    Transport,
    /// Until a silent channel is stale.
    Freshness,
    /// From a ready socket to the tick that takes the frame; twice with a thread between.
    Turn,
    /// Blocks or calls that an analyzer waits for before it speaks, by its author's word.
    Verdict,
    /// Until an analyzer is called that is called by the clock, and until one that runs in the background has answered.
    Analyzer,
    /// The rule's on-delay.
    OnDelay,
    /// The rule's debounce, at most.
    Debounce,
    /// Until the lane looks at its timers.
    Timer,
    /// Evaluation of every rule that can be due, and a call of every analyzer in the tick.
    Tick,
    /// Blocks copied to the analyzers in the tick, and what surrounds their calls.
    Copy,
    /// From the tick's end to the send.
    Write,
    /// The controlled stop before the power is removed (category 1).
    PowerOff,
    /// Until the write is echoed.
    Confirmation,
    /// Until the place was read back.
    ReadBack,
    /// From the written stop to the removed energy.
    Device,
    /// Until the feedback proves the stop, when that is later than the device's own time.
    Feedback,
}

impl TermKind {
    /// For people.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Acquisition => "acquisition",
            Self::Tolerated => "tolerated samples",
            Self::Transport => "last sample under way",
            Self::Freshness => "stale_after",
            Self::Turn => "turn",
            Self::Verdict => "verdict_after",
            Self::Analyzer => "analyzer",
            Self::Tick => "tick at full load",
            Self::Copy => "copy of blocks",
            Self::OnDelay => "for",
            Self::Debounce => "debounce",
            Self::Timer => "timer",
            Self::Write => "write",
            Self::Confirmation => "confirm_within",
            Self::ReadBack => "read_back",
            Self::Device => "device_time",
            Self::Feedback => "feedback",
            Self::PowerOff => "power_off_after",
        }
    }
}

/// A term of the sum.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Term {
    /// Which part.
    pub kind: TermKind,
    /// The tag or output that it is about; empty for the lane's own.
    pub of: String,
    /// How long at most.
    pub time: DurNs,
}

/// One path to the stop: its terms in order of time, none of them zero.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Path {
    /// The terms.
    pub terms: Vec<Term>,
}

impl Path {
    /// The sum; saturates.
    pub fn total(&self) -> DurNs {
        self.terms
            .iter()
            .fold(DurNs::ZERO, |sum, term| sum.plus(term.time))
    }

    /// The largest term, the first of equals.
    pub fn dominant(&self) -> Option<&Term> {
        self.terms.iter().rev().max_by_key(|term| term.time.as_ns())
    }

    /// Adds a term; a second one of the same kind and name makes the first longer, so that a table shows the whole sum.
    pub(super) fn add(&mut self, kind: TermKind, of: &str, time: DurNs) {
        if time == DurNs::ZERO {
            return;
        }
        let known = self
            .terms
            .iter_mut()
            .find(|term| term.kind == kind && term.of == of);
        match known {
            Some(term) => term.time = term.time.plus(time),
            None => self.terms.push(Term {
                kind,
                of: of.to_owned(),
                time,
            }),
        }
    }
}

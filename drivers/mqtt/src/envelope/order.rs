//! Where a message stands among those before it: by its sequence, its source's time, and its arrival.
//!
//! A recording of what the source once sent must never be taken again, neither after the source began anew nor after its
//! sequence wrapped; and a source that began anew, or whose clock was set, must not be refused for ever. So the sequence
//! orders, and the time bounds: nothing is taken that is not newer than `floor`, which is the time of the first message of
//! the source's present run, and rises, at each quarter turn of the sequence, to the time of the quarter turn before.

use crate::limits::{CLOCK_DRIFT_PPM, CLOCK_DRIFT_SPAN_NS, SEQUENCE_AHEAD_MAX};
use drivers_frame::DurNs;

/// Where a message stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// The newest; `lost` are missing before it.
    Next { lost: u32 },
    /// The source began anew, and `lost` of its messages are missing: one at least, nobody knows what was before.
    Restart { lost: u32 },
    /// Taken before.
    Seen,
    /// Older than the newest.
    Old,
}

/// A message's place, and what its time says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) place: Place,
    /// Longer on its way than allowed.
    pub(super) delayed: bool,
    /// The source's clock was set (H-24).
    pub(super) clock_jump: bool,
}

#[derive(Clone, Copy, Debug)]
struct Newest {
    sequence: u32,
    /// Its source's time.
    time_ns: u64,
    /// Its arrival.
    at_ns: u64,
}

#[derive(Debug)]
pub(super) struct Order {
    max_delay: Option<DurNs>,
    /// One restart in this span.
    restart_every: DurNs,
    newest: Option<Newest>,
    /// Bit `n`: the sequence `n` before the newest was taken.
    taken: u64,
    /// The latest source time seen.
    latest_ns: u64,
    /// Nothing that is not newer is taken.
    floor_ns: u64,
    /// `latest_ns` when the sequence last entered a new quarter of its turn.
    quarter_ns: u64,
    restarted_at_ns: Option<u64>,
    /// Arrival less source time of the fastest message, in ns, as the clocks may have drifted since.
    fastest_ns: i128,
}

impl Order {
    pub(super) fn new(max_delay: Option<DurNs>, restart_every: DurNs) -> Self {
        Self {
            max_delay,
            restart_every,
            newest: None,
            taken: 0,
            latest_ns: 0,
            floor_ns: 0,
            quarter_ns: 0,
            restarted_at_ns: None,
            fastest_ns: 0,
        }
    }

    /// Places the message `sequence` of the source's time `time_ns` that arrived `at_ns` on our monotonic clock.
    pub(super) fn place(&mut self, sequence: u32, time_ns: u64, at_ns: u64) -> Seen {
        let this = Newest {
            sequence,
            time_ns,
            at_ns,
        };
        let Some(newest) = self.newest else {
            // The first one: nothing is known that it could contradict.
            self.floor_ns = time_ns;
            self.quarter_ns = time_ns;
            return self.begin(this, Place::Next { lost: 0 });
        };
        let ahead = sequence.wrapping_sub(newest.sequence);
        let old = |place| Seen {
            place,
            delayed: false,
            clock_jump: false,
        };
        if (1..SEQUENCE_AHEAD_MAX).contains(&ahead) {
            if time_ns <= self.floor_ns {
                return old(Place::Old);
            }
            return self.next(newest, this, ahead);
        }
        if time_ns > self.latest_ns {
            // One source's later message has the higher sequence, unless it began anew.
            let again = self
                .restarted_at_ns
                .is_none_or(|before| at_ns.saturating_sub(before) >= self.restart_every.as_ns());
            if !again {
                return old(Place::Old);
            }
            self.restarted_at_ns = Some(at_ns);
            // Not the newest time seen: what was held back of the run before is newer than that.
            self.floor_ns = time_ns;
            self.quarter_ns = time_ns;
            return self.begin(
                this,
                Place::Restart {
                    lost: sequence.max(1),
                },
            );
        }
        let behind = newest.sequence.wrapping_sub(sequence);
        let bit = 1_u64.checked_shl(behind).unwrap_or(0);
        old(if self.taken & bit == 0 {
            Place::Old
        } else {
            Place::Seen
        })
    }

    /// The first message of a run of the source: its delay is the measure of those after it.
    fn begin(&mut self, this: Newest, place: Place) -> Seen {
        self.newest = Some(this);
        self.taken = 1;
        self.latest_ns = self.latest_ns.max(this.time_ns);
        self.fastest_ns = offset(this);
        Seen {
            place,
            delayed: false,
            clock_jump: false,
        }
    }

    fn next(&mut self, newest: Newest, this: Newest, ahead: u32) -> Seen {
        self.newest = Some(this);
        self.taken = self.taken.checked_shl(ahead).unwrap_or(0) | 1;
        self.latest_ns = self.latest_ns.max(this.time_ns);
        if (newest.sequence ^ this.sequence) & SEQUENCE_AHEAD_MAX.wrapping_neg() != 0 {
            self.floor_ns = self.floor_ns.max(self.quarter_ns);
            self.quarter_ns = self.latest_ns;
        }
        let (delayed, clock_jump) = self
            .max_delay
            .map_or((false, false), |max| self.delay(newest, this, max));
        Seen {
            place: Place::Next {
                lost: ahead.saturating_sub(1),
            },
            delayed,
            clock_jump,
        }
    }

    /// Whether a message was too slow, and whether its source's clock was set.
    ///
    /// A delay never makes a later message's time earlier, so an earlier time is the clock's; nor can a message be faster
    /// than the fastest by more than a delay that was allowed. Any other growth is taken for delay, for as long as it
    /// lasts: a clock set back by less than the time between two messages cannot be told from messages held up.
    fn delay(&mut self, newest: Newest, this: Newest, max: DurNs) -> (bool, bool) {
        let offset = offset(this);
        let max = i128::from(max.as_ns());
        let set_back = this.time_ns < newest.time_ns;
        let set_forward = offset.saturating_add(max) < self.fastest_ns;
        if set_back || set_forward {
            self.fastest_ns = offset;
            return (false, true);
        }
        let span = this
            .at_ns
            .saturating_sub(newest.at_ns)
            .min(CLOCK_DRIFT_SPAN_NS);
        let drift = span
            .saturating_mul(CLOCK_DRIFT_PPM)
            .checked_div(1_000_000)
            .unwrap_or(0);
        let fastest = self
            .fastest_ns
            .saturating_add(i128::from(drift))
            .min(offset);
        if offset.saturating_sub(fastest) > max {
            // The measure stays: while all are late, nobody learns to take that for usual.
            return (true, false);
        }
        self.fastest_ns = fastest;
        (false, false)
    }
}

/// Arrival less source time. Two clocks of unrelated origin: only its changes mean anything.
fn offset(message: Newest) -> i128 {
    i128::from(message.at_ns).saturating_sub(i128::from(message.time_ns))
}

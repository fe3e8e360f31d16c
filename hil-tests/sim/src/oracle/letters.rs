//! Enveloped messages (H-17 to H-21): which were genuine, in order and in time, and how many errors the guard was shown.

use std::collections::{BTreeMap, VecDeque};

use drivers_frame::TagId;

use super::Oracle;
use crate::coverage::Coverage;
use crate::guard::Guard;
use crate::scenario::{MS, Scenario};
use crate::sometimes;

/// Who wrote a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Written {
    /// The topic's source.
    Here {
        /// How often it had begun anew.
        run: u32,
        /// Its sequence.
        sequence: u32,
        /// Its clock was right.
        clock_right: bool,
    },
    /// Somebody else, for another topic, or it was damaged since.
    Elsewhere,
}

/// A message, as only the judge knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Letter {
    /// Whose topic it is sent to.
    pub tag: usize,
    /// The reading in it.
    pub number: Option<u64>,
    /// By whom.
    pub written: Written,
    /// It was sent at once.
    pub in_time: bool,
}

/// Furthest sequence that counts as later.
const AHEAD_MAX: u32 = 1 << 30;

/// What the judge knows of a topic.
#[derive(Clone, Debug, Default)]
pub(super) struct TopicSeen {
    /// Which readings were written, and under which setting of the source's clock.
    epochs: BTreeMap<u64, u32>,
    /// Run and sequence of the newest genuine message that the guard received.
    newest: Option<(u32, u32)>,
    /// The source's clock was wrong, or it began anew, since the guard started: how many errors that is, is the guard's
    /// affair, and not less than one where something is amiss.
    unsettled: bool,
    /// When errors were received; never more than the guard must have counted.
    errors: VecDeque<u64>,
    /// More than the budget, and nothing good since.
    over: bool,
    /// Messages received, and which of them was the last that was beyond the budget.
    received: u64,
    over_at: u64,
    /// Readings received within the budget, and as which message first.
    within: BTreeMap<u64, u64>,
    /// The newest reading that was believed.
    taken: Option<u64>,
    /// Under which setting of the clock the fastest message arrived, after how long, and when.
    fastest: Option<(u32, u64, u64)>,
}

impl TopicSeen {
    pub(super) fn restarted(&mut self) {
        *self = Self {
            epochs: std::mem::take(&mut self.epochs),
            ..Self::default()
        };
    }

    /// How many errors this message shows at least.
    fn errors_of(&mut self, written: Written) -> u64 {
        let Written::Here {
            run,
            sequence,
            clock_right,
        } = written
        else {
            return 1;
        };
        self.unsettled |= !clock_right;
        let Some((newest_run, newest)) = self.newest else {
            self.newest = Some((run, sequence));
            return 0;
        };
        if run < newest_run {
            return u64::from(!self.unsettled);
        }
        self.unsettled |= run > newest_run;
        let ahead = sequence.wrapping_sub(newest);
        let later = (1..AHEAD_MAX).contains(&ahead);
        if later || run > newest_run {
            self.newest = Some((run, sequence));
        }
        if self.unsettled {
            return 0;
        }
        if later { u64::from(ahead - 1) } else { 1 }
    }
}

impl Oracle {
    /// A source wrote a reading.
    pub fn written(&mut self, tag: usize, number: u64, epoch: u32) {
        self.topics[tag].epochs.insert(number, epoch);
    }

    /// The guard has taken a message from the network.
    pub fn received(
        &mut self,
        scenario: &Scenario,
        letter: Letter,
        now: u64,
        coverage: &mut Coverage,
    ) {
        let Some(envelope) = scenario.tags[letter.tag].envelope else {
            return;
        };
        let seen = &mut self.topics[letter.tag];
        let most = usize::from(envelope.errors);
        let errors = seen.errors_of(letter.written).min(most as u64 + 1);
        seen.errors.extend((0..errors).map(|_| now));
        seen.errors.retain(|at| now - at < envelope.within);
        let over = seen.errors.len() > most;
        sometimes!(coverage, "an error within the budget", errors > 0 && !over);
        sometimes!(coverage, "more errors than the budget", over && !seen.over);
        seen.received += 1;
        if over {
            seen.over = true;
            seen.over_at = seen.received;
        } else if let Some(number) = letter.number {
            let received = seen.received;
            seen.within.entry(number).or_insert(received);
        }
    }

    /// A usable value of an enveloped topic was handed over.
    pub(super) fn judge_letter(
        &mut self,
        scenario: &Scenario,
        tag: usize,
        number: u64,
        at: u64,
        now: u64,
        coverage: &mut Coverage,
    ) {
        let Some(envelope) = scenario.tags[tag].envelope else {
            return;
        };
        let made = self.readings[tag].at(number);
        let seen = &mut self.topics[tag];
        // Several messages may have been taken at once: what came after this one does not count yet.
        let Some(received) = seen.within.get(&number).copied() else {
            return self.fail("I6", now, format!("tag {tag} is given reading {number}, and no message within its topic's budget had it"));
        };
        if seen.over && seen.over_at < received {
            sometimes!(coverage, "a topic is within its budget again", true);
            seen.over = false;
        }
        let (Some(epoch), Some(made)) = (seen.epochs.get(&number).copied(), made) else {
            return self.fail(
                "I5",
                now,
                format!("tag {tag}: its source never wrote reading {number}"),
            );
        };
        if let Some(newest) = seen.taken.filter(|newest| number <= *newest) {
            return self.fail(
                "I5",
                now,
                format!("tag {tag}: reading {number} is taken after reading {newest}"),
            );
        }
        seen.taken = Some(number);
        let age = at.saturating_sub(made);
        let Some(most) = envelope.max_delay else {
            return;
        };
        let before = seen.fastest.filter(|(own, _, _)| *own == epoch);
        // 1 ms a second is taken for drift of the clocks.
        let fastest = before.map(|(_, fastest, then)| fastest + at.saturating_sub(then) / 1_000);
        let fastest_now = fastest.map_or(age, |fastest| fastest.min(age));
        seen.fastest = Some((epoch, fastest_now, at));
        if fastest.is_some_and(|fastest| age > fastest + most + MS) {
            self.fail(
                "I4",
                now,
                format!(
                    "tag {tag}: a reading {} ms old is taken, and {} ms are allowed",
                    age / MS,
                    most / MS
                ),
            );
        }
    }

    /// Nothing is believed of a topic beyond its budget.
    pub(super) fn judge_topics(&mut self, scenario: &Scenario, guard: &Guard, now: u64) {
        for (tag, known) in scenario.tags.iter().enumerate() {
            if known.envelope.is_none() || !self.topics[tag].over {
                continue;
            }
            let view = guard.lane.tag(TagId(tag as u16));
            if view.is_some_and(|view| view.quality.is_usable()) {
                self.fail(
                    "I6",
                    now,
                    format!("tag {tag} is believed, and its topic had more errors than its budget"),
                );
            }
        }
    }
}

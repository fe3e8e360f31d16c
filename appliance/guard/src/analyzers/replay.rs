//! Comparisons of analyzers with clean instances (H-41): made on the thread `analyzers`, a slice at a time, and what they come to
//! left in a word for the lane. No lock.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use appliance_lane::analyzer::ReplayNews;
use appliance_sandbox::{ReplayStep, Replayer};
use drivers_frame::{DurNs, MonoNs};
use rt_config::limits;

use super::seats::now;

/// What the newest comparison came to: when it was due, times two, and one more when it differs. 0 before the first. Monotonic
/// time takes 292 years to need the bit.
#[derive(Default)]
pub(super) struct ReplayWord(AtomicU64);

impl ReplayWord {
    fn leave(&self, due: MonoNs, differs: bool) {
        let word = due.as_ns() << 1 | u64::from(differs);
        self.0.store(word, Ordering::Release);
    }
}

/// A lane's look at one analyzer's comparisons.
pub(crate) struct ReplayWatch {
    pub(crate) analyzer: u16,
    word: Arc<ReplayWord>,
    seen: u64,
}

impl ReplayWatch {
    pub(super) fn new(analyzer: u16, word: Arc<ReplayWord>) -> Self {
        Self {
            analyzer,
            word,
            seen: 0,
        }
    }

    /// What is new since the last look, and when that was due.
    pub(crate) fn look(&mut self) -> Option<(ReplayNews, MonoNs)> {
        let word = self.word.0.load(Ordering::Acquire);
        if word == self.seen {
            return None;
        }
        self.seen = word;
        let news = match word & 1 {
            0 => ReplayNews::Agrees,
            _ => ReplayNews::Differs,
        };
        Some((news, MonoNs::from_ns(word >> 1)))
    }
}

/// The comparisons of one analyzer.
pub(super) struct Comparison {
    pub(super) replayer: Replayer,
    pub(super) word: Arc<ReplayWord>,
}

/// All comparisons of a guard, in a ring.
#[derive(Default)]
pub(super) struct Comparisons {
    pub(super) all: Vec<Comparison>,
    next: usize,
}

impl Comparisons {
    /// Goes on with them until the slice is used up: one for all, since a canary that is due waits for all of them. Who had no
    /// turn has the first one the next time.
    pub(super) fn turn(&mut self) {
        let until = now().after(DurNs::from_us(limits::REPLAY_SLICE_US));
        in_ring(&mut self.all, &mut self.next, |one| {
            one.turn(until);
            now() < until
        });
    }
}

/// A turn for each from `next` on, until one says that there is no time for more.
fn in_ring<T>(all: &mut [T], next: &mut usize, mut turn: impl FnMut(&mut T) -> bool) {
    for _ in 0..all.len() {
        let index = next.checked_rem(all.len()).unwrap_or(0);
        *next = index.saturating_add(1);
        if all.get_mut(index).is_some_and(|one| !turn(one)) {
            return;
        }
    }
}

impl Comparison {
    /// Calls until then, once at least, or until there is nothing more to do. One that cannot be done leaves no word: the lane
    /// sees that by itself.
    fn turn(&mut self, until: MonoNs) {
        loop {
            match self.replayer.step() {
                ReplayStep::Working if now() < until => {}
                ReplayStep::Working | ReplayStep::Idle | ReplayStep::Undone(_) => return,
                ReplayStep::Agrees(due) => return self.word.leave(due, false),
                ReplayStep::Differs(due) => return self.word.leave(due, true),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn h40_h41_all_comparisons_share_one_slice_and_none_is_left_out() {
        let mut turns = [0_u32; 7];
        let mut next = 0;
        for slice in 0..14 {
            let mut room = 2;
            in_ring(&mut turns, &mut next, |turns| {
                *turns += 1;
                room -= 1;
                room > 0
            });
            assert_eq!(turns.iter().sum::<u32>(), 2 * (slice + 1), "H-40");
        }
        assert_eq!(turns, [4; 7], "H-41");
        // With nothing to do each has one turn, and there is an end.
        in_ring(&mut turns, &mut next, |turns| {
            *turns += 1;
            true
        });
        assert_eq!(turns, [5; 7], "H-41");
    }

    #[test]
    fn h41_every_comparison_is_seen_once_with_its_time() {
        let word = Arc::new(ReplayWord::default());
        let mut watch = ReplayWatch::new(3, Arc::clone(&word));
        assert_eq!(watch.look(), None);
        let at = MonoNs::from_ns;
        word.leave(at(1_000), false);
        assert_eq!(watch.look(), Some((ReplayNews::Agrees, at(1_000))), "H-41");
        assert_eq!(watch.look(), None);
        word.leave(at(2_000), true);
        assert_eq!(watch.look(), Some((ReplayNews::Differs, at(2_000))), "H-41");
        assert_eq!(watch.look(), None);
    }
}

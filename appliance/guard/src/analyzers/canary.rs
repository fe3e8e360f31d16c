//! The word that a canary's trials leave for whoever acts upon it: written by one thread, read by another, no lock.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use drivers_frame::{DurNs, MonoNs};
use rules_bundle::CanaryPlan;

/// A trial that failed. Monotonic time never comes that far.
const MISSED: u64 = u64::MAX;

/// What the newest trial came to. 0 before the first.
#[derive(Default)]
pub(crate) struct CanaryWord(AtomicU64);

impl CanaryWord {
    /// The trial that was due then made its shadow instance speak.
    pub(crate) fn pass(&self, due: MonoNs) {
        self.0.store(due.as_ns(), Ordering::Release);
    }

    /// It did not.
    pub(crate) fn miss(&self) {
        self.0.store(MISSED, Ordering::Release);
    }
}

/// News of a canary.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CanaryNews {
    /// It spoke, in the trial that was due then.
    Passed(MonoNs),
    /// It did not.
    Missed,
}

/// A lane's look at one canary.
pub(crate) struct CanaryWatch {
    pub(crate) analyzer: u16,
    word: Arc<CanaryWord>,
    seen: u64,
}

impl CanaryWatch {
    pub(crate) fn new(analyzer: u16, word: Arc<CanaryWord>) -> Self {
        Self {
            analyzer,
            word,
            seen: 0,
        }
    }

    /// What is new since the last look.
    pub(crate) fn look(&mut self) -> Option<CanaryNews> {
        let word = self.word.0.load(Ordering::Acquire);
        if word == self.seen {
            return None;
        }
        self.seen = word;
        Some(match word {
            MISSED => CanaryNews::Missed,
            due => CanaryNews::Passed(MonoNs::from_ns(due)),
        })
    }
}

/// Class background's look at its canary: dead until proved alive in time, as on a lane.
pub(crate) struct CanaryJudge {
    word: Arc<CanaryWord>,
    patience: DurNs,
    start: MonoNs,
}

impl CanaryJudge {
    pub(crate) fn new(plan: &CanaryPlan, word: Arc<CanaryWord>, start: MonoNs) -> Self {
        Self {
            word,
            patience: plan.every.plus(plan.within),
            start,
        }
    }

    /// Whether nothing counts that the analyzer says now.
    pub(crate) fn is_missed(&self, now: MonoNs) -> bool {
        let passed = match self.word.0.load(Ordering::Acquire) {
            MISSED => return true,
            0 => self.start,
            due => MonoNs::from_ns(due),
        };
        now.since(passed) > self.patience
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(ms: u64) -> MonoNs {
        MonoNs::from_ns(ms * 1_000_000)
    }

    #[test]
    fn h40_every_trial_is_seen_once_and_a_silence_is_a_miss() {
        let word = Arc::new(CanaryWord::default());
        let mut watch = CanaryWatch::new(3, Arc::clone(&word));
        let plan = CanaryPlan {
            every: DurNs::from_ms(100),
            expect: rules_bundle::Level::Danger,
            within: DurNs::from_ms(10),
            frames: 1,
            inputs: vec![],
            block: None,
        };
        let judge = CanaryJudge::new(&plan, Arc::clone(&word), ms(1_000));
        assert_eq!(watch.look(), None);
        assert!(!judge.is_missed(ms(1_110)));
        assert!(judge.is_missed(ms(1_111)), "H-40: no trial at all");
        word.pass(ms(1_100));
        assert_eq!(watch.look(), Some(CanaryNews::Passed(ms(1_100))));
        assert_eq!(watch.look(), None);
        assert!(!judge.is_missed(ms(1_210)));
        word.miss();
        assert_eq!(watch.look(), Some(CanaryNews::Missed), "H-40");
        assert!(judge.is_missed(ms(1_110)), "H-40");
        word.pass(ms(1_300));
        assert_eq!(watch.look(), Some(CanaryNews::Passed(ms(1_300))));
        assert!(!judge.is_missed(ms(1_300)));
    }
}

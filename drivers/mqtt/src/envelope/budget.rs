//! How many errors are tolerated within a span: exactly, by the times of the last ones.

use drivers_frame::{DurNs, MonoNs};

/// Remembers one error more than it tolerates. Allocates once.
#[derive(Debug)]
pub(super) struct Budget {
    within: DurNs,
    /// A ring; the oldest is at `next` once it is full.
    times: Box<[MonoNs]>,
    next: usize,
    full: bool,
}

impl Budget {
    pub(super) fn new(errors: u16, within: DurNs) -> Self {
        Self {
            within,
            times: vec![MonoNs::ZERO; usize::from(errors).saturating_add(1)].into_boxed_slice(),
            next: 0,
            full: false,
        }
    }

    /// Notes `times` errors. More than the budget holds are as bad as one more than it holds.
    pub(super) fn spend(&mut self, times: u64, at: MonoNs) {
        let size = self.times.len();
        for _ in 0..usize::try_from(times).unwrap_or(usize::MAX).min(size) {
            if let Some(slot) = self.times.get_mut(self.next) {
                *slot = at;
            }
            self.next = self.next.saturating_add(1);
            if self.next >= size {
                self.next = 0;
                self.full = true;
            }
        }
    }

    /// Whether more errors than tolerated were noted in the span before `at`. An error counts for less than the span:
    /// when it is over, the error is forgotten.
    pub(super) fn is_exceeded(&self, at: MonoNs) -> bool {
        let oldest = self.times.get(self.next).copied();
        self.full && oldest.is_some_and(|oldest| at.since(oldest) < self.within)
    }
}

//! Latches of trip groups: a trip stays, its first cause is kept, and one code path alone releases it (H-53).

use drivers_frame::{MonoNs, planted};

use crate::LatchCause;
use crate::complement::Complement;

/// What holds a trip group stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Latch {
    /// The first cause since the last reset.
    pub first_out: LatchCause,
    /// When it was latched.
    pub at: MonoNs,
    /// When the sample arrived that caused it; the time of the cause itself where no sample did.
    pub origin: MonoNs,
}

const OPEN: Complement = Complement::new(0x0F);
const CLOSED: Complement = Complement::new(0xA5);

/// A trip group: outputs that are latched and released together.
pub(crate) struct Group {
    latch: Option<Latch>,
    closed: Complement,
}

impl Group {
    /// Boot is tripped.
    pub(crate) fn boot(start: MonoNs) -> Self {
        let mut group = Self {
            latch: Some(Latch {
                first_out: LatchCause::Boot,
                at: start,
                origin: start,
            }),
            closed: CLOSED,
        };
        if planted!(BootNotTripped) {
            group.release();
        }
        group
    }

    /// Latches it. `true` when it was not latched before: the first cause wins, later ones are not recorded here.
    pub(crate) fn latch(&mut self, first_out: LatchCause, at: MonoNs, origin: MonoNs) -> bool {
        self.closed = CLOSED;
        if self.latch.is_some() && !planted!(FirstOutOverwritten) {
            return false;
        }
        self.latch = Some(Latch {
            first_out,
            at,
            origin,
        });
        true
    }

    /// Opens it. `true` when it was latched.
    pub(crate) fn release(&mut self) -> bool {
        self.closed = OPEN;
        self.latch.take().is_some()
    }

    /// What holds it.
    pub(crate) fn get(&self) -> Option<Latch> {
        self.latch
    }

    /// Whether it is latched. Damaged memory counts as latched.
    pub(crate) fn is_latched(&self) -> bool {
        self.latch.is_some() || self.closed != OPEN
    }

    /// Whether both stores agree (H-33).
    pub(crate) fn is_intact(&self) -> bool {
        self.closed == if self.latch.is_some() { CLOSED } else { OPEN }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_cause_is_kept() {
        let mut group = Group::boot(MonoNs::ZERO);
        assert!(!group.latch(LatchCause::Operator, MonoNs::from_ns(1), MonoNs::from_ns(1)));
        assert_eq!(
            group.get().unwrap().first_out,
            LatchCause::Boot,
            "I9: boot is tripped"
        );
        assert!(group.release());
        assert!(!group.is_latched());
        assert!(!group.release());
        assert!(group.latch(LatchCause::Operator, MonoNs::from_ns(2), MonoNs::from_ns(2)));
        assert!(!group.latch(
            LatchCause::OutputFault,
            MonoNs::from_ns(3),
            MonoNs::from_ns(3)
        ));
        assert_eq!(group.get().unwrap().first_out, LatchCause::Operator);
    }

    #[test]
    fn h33_a_latch_whose_memory_is_damaged_is_latched_and_seen() {
        for bit in 0..8 {
            let mut group = Group::boot(MonoNs::ZERO);
            group.release();
            assert!(group.is_intact());
            group.closed.damage(1 << bit, 0);
            assert!(group.is_latched());
            assert!(!group.is_intact());
            let mut group = Group::boot(MonoNs::ZERO);
            group.latch = None;
            assert!(group.is_latched(), "a cause that was wiped out");
            assert!(!group.is_intact());
        }
    }
}

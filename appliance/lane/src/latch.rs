//! Latches: a trip stays, its first cause is kept, and one code path alone releases it (H-53).

use drivers_frame::MonoNs;

use crate::LatchCause;

/// What holds an output stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Latch {
    /// The first cause since the last reset.
    pub first_out: LatchCause,
    /// When it was latched.
    pub at: MonoNs,
    /// When the sample arrived that caused it; the time of the cause itself where no sample did.
    pub origin: MonoNs,
}

/// An output as the lane sees it.
pub(crate) struct Output {
    pub(crate) latch: Option<Latch>,
    /// Rule whose stop is being confirmed.
    pub(crate) stopping: Option<u16>,
    /// The safe value was confirmed and nothing went wrong since: a reset may release it.
    pub(crate) proved_safe: bool,
}

impl Output {
    /// Boot is tripped.
    pub(crate) fn boot(start: MonoNs) -> Self {
        Self {
            latch: Some(Latch {
                first_out: LatchCause::Boot,
                at: start,
                origin: start,
            }),
            stopping: None,
            proved_safe: false,
        }
    }

    /// Latches it. `true` when it was not latched before: the first cause wins, later ones are not recorded here.
    pub(crate) fn latch(&mut self, first_out: LatchCause, at: MonoNs, origin: MonoNs) -> bool {
        if self.latch.is_some() {
            return false;
        }
        self.latch = Some(Latch {
            first_out,
            at,
            origin,
        });
        self.proved_safe = false;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_cause_is_kept() {
        let mut output = Output::boot(MonoNs::ZERO);
        assert!(!output.latch(LatchCause::Operator, MonoNs::from_ns(1), MonoNs::from_ns(1)));
        assert_eq!(
            output.latch.unwrap().first_out,
            LatchCause::Boot,
            "I9: boot is tripped"
        );
        output.latch = None;
        assert!(output.latch(LatchCause::Operator, MonoNs::from_ns(2), MonoNs::from_ns(2)));
        assert!(!output.latch(
            LatchCause::OutputFault,
            MonoNs::from_ns(3),
            MonoNs::from_ns(3)
        ));
        assert_eq!(output.latch.unwrap().first_out, LatchCause::Operator);
    }
}

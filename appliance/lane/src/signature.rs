//! The checkpoint signature of a tick: every stage adds its mark, and only all of them once, in order, give the
//! expected value (H-32; IEC 61508-7, A.9.4: logical monitoring of the program sequence).

/// A stage of a tick, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub(crate) enum Stage {
    /// What went stale.
    Freshness = 0x9E37_79B9,
    /// Every analyzer that is due.
    Analyzers = 0x85EB_CA6B,
    /// Ages, permissions, bypasses.
    Timers = 0x7F4A_7C15,
    /// Channels beside one another.
    Votings = 0xBF58_476D,
    /// Every rule that is due.
    Evaluation = 0x1CE4_E5B9,
    /// Delays that are over.
    Delays = 0x94D0_49BB,
    /// Outputs: proofs, permits.
    Outputs = 0x1331_11EB,
    /// The reset.
    Reset = 0xD6E8_FEB8,
    /// A slice of the memory.
    Memory = 0x6659_FD93,
}

const ORDER: [Stage; 9] = [
    Stage::Freshness,
    Stage::Analyzers,
    Stage::Timers,
    Stage::Votings,
    Stage::Evaluation,
    Stage::Delays,
    Stage::Outputs,
    Stage::Reset,
    Stage::Memory,
];

/// The signature of a tick that ran every stage once, in order.
pub const EXPECTED_SIGNATURE: u32 = {
    let mut signature = Signature::new();
    let mut index = 0;
    while index < ORDER.len() {
        #[expect(clippy::indexing_slicing, reason = "evaluated at compile time")]
        signature.pass(ORDER[index]);
        index += 1;
    }
    signature.get()
};

/// The signature so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Signature(u32);

impl Signature {
    pub(crate) const fn new() -> Self {
        Self(0x811C_9DC5)
    }

    #[expect(clippy::as_conversions, reason = "a mark is its discriminant")]
    pub(crate) const fn pass(&mut self, stage: Stage) {
        // The rotation makes the order count, the product makes a repeated mark not cancel itself.
        self.0 = (self.0.rotate_left(5) ^ stage as u32).wrapping_mul(0x0100_0193);
    }

    pub(crate) const fn get(self) -> u32 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(stages: &[Stage]) -> u32 {
        let mut signature = Signature::new();
        stages.iter().for_each(|stage| signature.pass(*stage));
        signature.get()
    }

    #[test]
    fn h32_a_stage_that_is_skipped_repeated_or_exchanged_is_seen() {
        assert_eq!(of(&ORDER), EXPECTED_SIGNATURE);
        for (index, stage) in ORDER.into_iter().enumerate() {
            let mut skipped = ORDER.to_vec();
            skipped.remove(index);
            assert_ne!(of(&skipped), EXPECTED_SIGNATURE);
            let mut repeated = ORDER.to_vec();
            repeated.insert(index, stage);
            assert_ne!(of(&repeated), EXPECTED_SIGNATURE);
            for other in index + 1..ORDER.len() {
                let mut exchanged = ORDER;
                exchanged.swap(index, other);
                assert_ne!(of(&exchanged), EXPECTED_SIGNATURE);
            }
        }
        assert_ne!(of(&[]), EXPECTED_SIGNATURE);
    }
}

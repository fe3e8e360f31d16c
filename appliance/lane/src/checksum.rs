//! Checksums over what a lane was configured with, verified in slices (H-33).

/// FNV-1a, 64 bit: any single change of a word changes it, and it costs a multiplication a word.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Checksum(u64);

impl Checksum {
    pub(crate) const fn new() -> Self {
        Self(0xCBF2_9CE4_8422_2325)
    }

    pub(crate) const fn word(self, word: u64) -> Self {
        Self(
            (self.0 ^ word)
                .wrapping_mul(0x0000_0100_0000_01B3)
                .rotate_left(23),
        )
    }

    pub(crate) const fn get(self) -> u64 {
        self.0
    }
}

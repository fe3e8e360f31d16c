//! Hash of an analyzer's state: FNV-1a, 64 bits, over the bytes of what is given, little-endian. The C header and the
//! AssemblyScript file have the same one.

/// A hash in the making. Give it all that the next verdict depends on, always in the same order.
#[derive(Clone, Copy, Debug)]
#[must_use]
pub struct StateHash(u64);

impl Default for StateHash {
    fn default() -> Self {
        Self::new()
    }
}

impl StateHash {
    /// Of nothing yet: FNV's offset basis (<http://www.isthe.com/chongo/tech/comp/fnv/>).
    pub const fn new() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }

    /// An integer.
    pub fn u64(self, value: u64) -> Self {
        Self(value.to_le_bytes().into_iter().fold(self.0, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
        }))
    }

    /// A float, by its bits.
    pub fn f64(self, value: f64) -> Self {
        self.u64(value.to_bits())
    }

    /// Floats, by their bits.
    pub fn f64s(self, values: &[f64]) -> Self {
        values.iter().fold(self, |hash, value| hash.f64(*value))
    }

    /// Floats, by their bits, widened.
    pub fn f32s(self, values: &[f32]) -> Self {
        values
            .iter()
            .fold(self, |hash, value| hash.u64(u64::from(value.to_bits())))
    }

    /// A flag.
    pub fn bool(self, value: bool) -> Self {
        self.u64(u64::from(value))
    }

    /// The hash.
    pub const fn finish(self) -> u64 {
        self.0
    }
}

//! A byte kept with its complement: a flipped bit in either is seen when it is read (H-33; IEC 61508-2, A.5).

/// A byte and its complement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Complement {
    value: u8,
    inverse: u8,
}

impl Complement {
    /// Stores `value`.
    pub const fn new(value: u8) -> Self {
        Self {
            value,
            inverse: !value,
        }
    }

    /// The value; `None` when it is damaged.
    pub const fn get(self) -> Option<u8> {
        if self.value == !self.inverse {
            Some(self.value)
        } else {
            None
        }
    }
}

#[cfg(test)]
impl Complement {
    /// Flips bits of the value or of the inverse, as memory might.
    pub(crate) fn damage(&mut self, value: u8, inverse: u8) {
        self.value ^= value;
        self.inverse ^= inverse;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn h33_every_flipped_bit_is_seen() {
        for value in [0, 1, 0x5A, 0xFF] {
            for bit in 0..8 {
                for (low, high) in [(1 << bit, 0), (0, 1 << bit)] {
                    let mut stored = Complement::new(value);
                    assert_eq!(stored.get(), Some(value));
                    stored.damage(low, high);
                    assert_eq!(stored.get(), None);
                }
            }
        }
    }
}

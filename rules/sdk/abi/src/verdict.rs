//! The packed verdict.

/// How bad it is. Ordered: the worse wins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    /// Nothing.
    #[default]
    Normal,
    /// Tell.
    Alert,
    /// Stop.
    Danger,
}

/// What an analyzer said.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Verdict {
    /// Level.
    pub level: Level,
    /// 0 for none, else the number of an entry of the metadata's causes, from 1.
    pub cause: u8,
}

/// The module returned what is no verdict (H-39).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the module returned {0:#x}, which is no verdict")]
pub struct Nonsense(pub u64);

impl Verdict {
    /// The verdict in the `i64` that `tl_process` returned, of a module with so many causes.
    ///
    /// # Errors
    /// [`Nonsense`]: an unknown level, a cause that the metadata does not name or that stands with normal, bits that
    /// must be 0.
    #[inline]
    pub fn unpack(packed: i64, causes: u8) -> Result<Self, Nonsense> {
        let bits = packed.cast_unsigned();
        let [level, cause, rest @ ..] = bits.to_le_bytes();
        let level = match level {
            0 if cause == 0 => Level::Normal,
            1 => Level::Alert,
            2 => Level::Danger,
            _ => return Err(Nonsense(bits)),
        };
        if cause > causes || rest != [0; 6] {
            return Err(Nonsense(bits));
        }
        Ok(Self { level, cause })
    }

    /// The same as a module returns it.
    pub fn pack(self) -> i64 {
        let level: u8 = match self.level {
            Level::Normal => 0,
            Level::Alert => 1,
            Level::Danger => 2,
        };
        i64::from(u16::from_le_bytes([level, self.cause]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn h39_every_packed_verdict_is_itself_or_nonsense() {
        let mut taken = 0;
        for bits in 0..0x2_0000_i64 {
            match Verdict::unpack(bits, 3) {
                Ok(verdict) => {
                    assert_eq!(verdict.pack(), bits, "H-39");
                    taken += 1;
                }
                Err(nonsense) => assert_eq!(nonsense, Nonsense(bits as u64)),
            }
        }
        assert_eq!(
            taken,
            1 + 2 * 4,
            "normal without a cause; alert and danger with none of three"
        );
        for high in 16..64 {
            assert!(Verdict::unpack(1 << high, 3).is_err(), "H-39: bit {high}");
        }
        assert!(Verdict::unpack(-1, 255).is_err());
    }
}

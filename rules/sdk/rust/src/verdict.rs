//! What an analyzer answers.

/// A verdict with its cause: the number of an entry of the metadata's `causes`, from 1; 0 names none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verdict {
    level: u8,
    cause: u8,
}

impl Verdict {
    /// Nothing.
    pub const NORMAL: Self = Self { level: 0, cause: 0 };

    /// Tell.
    pub const fn alert(cause: u8) -> Self {
        Self { level: 1, cause }
    }

    /// Stop.
    pub const fn danger(cause: u8) -> Self {
        Self { level: 2, cause }
    }

    /// The worse of both; of two that are equally bad, this one.
    #[must_use]
    pub const fn worse(self, other: Self) -> Self {
        if other.level > self.level {
            other
        } else {
            self
        }
    }

    /// As `tl_process` returns it.
    pub const fn pack(self) -> i64 {
        u16::from_le_bytes([self.level, self.cause]) as i64
    }
}

/// Parameters that an analyzer will not work with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refused(i32);

impl Refused {
    /// Each parameter may be right, and together they are not.
    pub const COMBINATION: Self = Self(-1);

    /// The parameter with this number, from 0 in the order of the metadata.
    pub const fn param(number: u8) -> Self {
        Self(number as i32 + 1)
    }

    /// As `tl_init` returns it.
    pub const fn code(self) -> i32 {
        self.0
    }
}

//! From raw registers or bytes to a value in engineering units.
//!
//! One codec serves Modbus registers and binary MQTT payloads, so that a type, an order or a range means the same on
//! both. Registers arrive as 16-bit words (MODBUS Application Protocol V1.1b3, 4.2: big-endian within a word); how two or
//! four words form one value is the vendor's choice, hence the explicit orders.

use crate::{Cause, CurrentLoop, Quality, current};

/// How a value is stored by the device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum ValueType {
    /// A bit: a coil, a discrete input, or one bit of a register.
    Bool,
    /// Unsigned, one register.
    U16,
    /// Two's complement, one register.
    I16,
    /// Unsigned, two registers.
    U32,
    /// Two's complement, two registers.
    I32,
    /// Unsigned, four registers. Exact as a sample up to 2^53; beyond, the sample is uncertain.
    U64,
    /// Two's complement, four registers. Exact as a sample up to 2^53; beyond, the sample is uncertain.
    I64,
    /// IEEE 754 binary32, two registers.
    F32,
    /// IEEE 754 binary64, four registers.
    F64,
}

impl ValueType {
    /// How many 16-bit words the value takes (a `Bool` in a register takes one).
    #[inline]
    pub const fn words(self) -> usize {
        match self {
            Self::Bool | Self::U16 | Self::I16 => 1,
            Self::U32 | Self::I32 | Self::F32 => 2,
            Self::U64 | Self::I64 | Self::F64 => 4,
        }
    }

    /// How many bytes the value takes in a binary payload (a `Bool` takes one).
    pub const fn bytes(self) -> usize {
        match self {
            Self::Bool => 1,
            Self::U16 | Self::I16 => 2,
            Self::U32 | Self::I32 | Self::F32 => 4,
            Self::U64 | Self::I64 | Self::F64 => 8,
        }
    }
}

/// Order of the 16-bit words of a value of more than one word.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum WordOrder {
    /// Most significant word at the lowest address ("ABCD").
    #[default]
    BigEndian,
    /// Least significant word at the lowest address ("CDAB").
    LittleEndian,
}

/// Order of the bytes within each 16-bit word (registers), or of all bytes (binary payloads).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum ByteOrder {
    /// As the Modbus standard says.
    #[default]
    BigEndian,
    /// Swapped ("BADC").
    LittleEndian,
}

/// `value = raw * scale + offset`, in the tag's unit.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Scaling {
    /// Factor; finite and not zero.
    pub scale: f64,
    /// Summand in the tag's unit; finite.
    pub offset: f64,
}

impl Default for Scaling {
    fn default() -> Self {
        Self {
            scale: 1.0,
            offset: 0.0,
        }
    }
}

/// Valid range in the tag's unit, both ends included. Outside it a sample is bad.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Range {
    /// Lowest valid value.
    pub min: f64,
    /// Highest valid value.
    pub max: f64,
}

impl Range {
    /// Every finite value.
    pub const FINITE: Self = Self {
        min: f64::MIN,
        max: f64::MAX,
    };
}

/// How one tag's raw value becomes a sample's value and quality.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct ValueCodec {
    /// Storage type.
    pub kind: ValueType,
    /// Word order, for values of two and four words.
    pub words: WordOrder,
    /// Byte order within a word (registers) or of the value (payloads).
    pub bytes: ByteOrder,
    /// For [`ValueType::Bool`] in a register: which bit, 0 is the least significant.
    pub bit: u8,
    /// Scale and offset; ignored for [`ValueType::Bool`].
    pub scaling: Scaling,
    /// Valid range after scaling; ignored for [`ValueType::Bool`], and for a current loop, which its bands judge.
    pub range: Range,
    /// The raw value is a 4-20 mA loop's current, which is judged first; ignored for [`ValueType::Bool`].
    pub current: Option<CurrentLoop>,
}

/// A decoded value: what a [`crate::Sample`] carries beside its tag and time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Decoded {
    /// In the tag's unit; 0.0 when the quality is not usable, so that no garbage travels.
    pub value: f64,
    /// Good, uncertain or bad.
    pub quality: Quality,
    /// Why not good.
    pub cause: Cause,
}

impl Decoded {
    /// A value that is not one.
    #[inline]
    pub const fn bad(cause: Cause) -> Self {
        Self {
            value: 0.0,
            quality: Quality::Bad,
            cause,
        }
    }

    #[inline]
    const fn good(value: f64) -> Self {
        Self {
            value,
            quality: Quality::Good,
            cause: Cause::None,
        }
    }
}

/// Largest integer up to which every integer is a binary64: 2^53.
const EXACT_INTEGER_MAX: u64 = 1 << 53;

impl ValueCodec {
    /// A codec for `kind` in standard order, unscaled, every finite value valid.
    pub const fn plain(kind: ValueType) -> Self {
        Self {
            kind,
            words: WordOrder::BigEndian,
            bytes: ByteOrder::BigEndian,
            bit: 0,
            scaling: Scaling {
                scale: 1.0,
                offset: 0.0,
            },
            range: Range::FINITE,
            current: None,
        }
    }

    /// Decodes from registers, each given as the number that the standard makes of its two bytes.
    ///
    /// `registers` must hold exactly [`ValueType::words`] words; any other count is [`Cause::Malformed`] (H-9).
    pub fn decode_registers(&self, registers: &[u16]) -> Decoded {
        match *registers {
            [a] => self.decode_words([a]),
            [a, b] => self.decode_words([a, b]),
            [a, b, c, d] => self.decode_words([a, b, c, d]),
            _ => Decoded::bad(Cause::Malformed),
        }
    }

    /// The same from the bytes of a reply: two a register, the more significant one first.
    ///
    /// A lane does this for every value of every frame, so it is one pass, and inlined where the frame is filled.
    #[inline]
    pub fn decode_wire(&self, bytes: &[u8]) -> Decoded {
        let word = |high, low| u16::from_be_bytes([high, low]);
        match *bytes {
            [a, b] => self.decode_words([word(a, b)]),
            [a, b, c, d] => self.decode_words([word(a, b), word(c, d)]),
            [a, b, c, d, e, f, g, h] => {
                self.decode_words([word(a, b), word(c, d), word(e, f), word(g, h)])
            }
            _ => Decoded::bad(Cause::Malformed),
        }
    }

    #[inline]
    fn decode_words<const N: usize>(&self, mut words: [u16; N]) -> Decoded {
        if N != self.kind.words() {
            return Decoded::bad(Cause::Malformed);
        }
        if self.bytes == ByteOrder::LittleEndian {
            words = words.map(u16::swap_bytes);
        }
        if self.kind == ValueType::Bool {
            let word = words.first().copied().unwrap_or(0);
            return match word.checked_shr(u32::from(self.bit)) {
                Some(shifted) => Self::decode_bit(shifted & 1 == 1),
                None => Decoded::bad(Cause::Malformed),
            };
        }
        let fold = |raw: u64, word: u16| (raw << 16) | u64::from(word);
        let raw = match self.words {
            WordOrder::BigEndian => words.into_iter().fold(0, fold),
            WordOrder::LittleEndian => words.into_iter().rev().fold(0, fold),
        };
        self.decode_raw(raw)
    }

    /// Decodes from a binary payload slice of exactly [`ValueType::bytes`] bytes; any other count is
    /// [`Cause::Malformed`]. A `Bool` byte is 0 or 1, anything else is malformed.
    pub fn decode_bytes(&self, bytes: &[u8]) -> Decoded {
        if bytes.len() != self.kind.bytes() {
            return Decoded::bad(Cause::Malformed);
        }
        let mut raw: u64 = 0;
        match self.bytes {
            ByteOrder::BigEndian => {
                for byte in bytes {
                    raw = (raw << 8) | u64::from(*byte);
                }
            }
            ByteOrder::LittleEndian => {
                for byte in bytes.iter().rev() {
                    raw = (raw << 8) | u64::from(*byte);
                }
            }
        }
        if self.kind == ValueType::Bool {
            return match raw {
                0 => Self::decode_bit(false),
                1 => Self::decode_bit(true),
                _ => Decoded::bad(Cause::Malformed),
            };
        }
        self.decode_raw(raw)
    }

    /// A bit (coil, discrete input, JSON boolean) as a value: 0.0 or 1.0.
    #[inline]
    pub const fn decode_bit(bit: bool) -> Decoded {
        Decoded::good(if bit { 1.0 } else { 0.0 })
    }

    /// A number that is already one (JSON, plain text): scaled and checked.
    pub fn decode_number(&self, raw: f64) -> Decoded {
        if self.kind == ValueType::Bool {
            return if raw == 0.0 {
                Self::decode_bit(false)
            } else if raw.to_bits() == 1.0_f64.to_bits() {
                Self::decode_bit(true)
            } else {
                Decoded::bad(Cause::Malformed)
            };
        }
        self.scaled(raw)
    }

    #[inline]
    fn scaled(&self, raw: f64) -> Decoded {
        let value = raw * self.scaling.scale + self.scaling.offset;
        if let Some(current_loop) = self.current {
            return Self::judged_by_current(current_loop, raw, value);
        }
        if !value.is_finite() {
            return Decoded::bad(Cause::NotFinite);
        }
        if value < self.range.min {
            return Decoded::bad(Cause::BelowRange);
        }
        if value > self.range.max {
            return Decoded::bad(Cause::AboveRange);
        }
        Decoded::good(value)
    }

    fn judged_by_current(current_loop: CurrentLoop, raw: f64, value: f64) -> Decoded {
        let (quality, cause) = current::band(current_loop.current_ma(raw));
        if !quality.is_usable() {
            return Decoded::bad(cause);
        }
        if !value.is_finite() {
            return Decoded::bad(Cause::NotFinite);
        }
        Decoded {
            value,
            quality,
            cause,
        }
    }

    /// Interprets the low [`ValueType::bytes`] bytes of `raw`. Truncating and sign-changing casts are the point here.
    #[expect(
        clippy::as_conversions,
        reason = "reinterpreting a bit pattern of known width; 64-bit integers beyond 2^53 are marked uncertain"
    )]
    #[inline]
    fn decode_raw(&self, raw: u64) -> Decoded {
        let (number, exact) = match self.kind {
            ValueType::Bool => return Decoded::bad(Cause::Malformed),
            ValueType::U16 => (f64::from(raw as u16), true),
            ValueType::U32 => (f64::from(raw as u32), true),
            ValueType::U64 => (raw as f64, raw <= EXACT_INTEGER_MAX),
            ValueType::I16 => (f64::from(raw as u16 as i16), true),
            ValueType::I32 => (f64::from(raw as u32 as i32), true),
            ValueType::I64 => {
                let raw = raw as i64;
                (raw as f64, raw.unsigned_abs() <= EXACT_INTEGER_MAX)
            }
            ValueType::F32 => (f64::from(f32::from_bits(raw as u32)), true),
            ValueType::F64 => (f64::from_bits(raw), true),
        };
        let decoded = self.scaled(number);
        if decoded.quality == Quality::Good && !exact {
            return Decoded {
                quality: Quality::Uncertain,
                cause: Cause::Inexact,
                ..decoded
            };
        }
        decoded
    }
}

#[cfg(test)]
mod tests;

//! Units of measurement: dimension, exact scale, and the offset of temperature scales.
//!
//! Which thread: compile time only, never a lane. May it block: no. Worst case: constant, tables are walked once.
//! Hazards: H-5 (a threshold in the wrong unit).
//!
//! A scale is kept as a ratio of integers, not as one binary64, because 1/1000 has no binary form: `tag / 1000` is
//! correctly rounded where `tag * 0.001` is not, and converting there and back gives the same number.

use std::borrow::Cow;
use std::fmt;

use crate::unit_table::{Entry, TABLE};

/// Exponents of length, mass, time, electric current, temperature and plane angle, in this order.
///
/// The angle is a dimension of its own here (in the SI it is a ratio) so that degrees never pass for a count.
pub(crate) type Dims = [i8; 6];

/// A unit of measurement.
///
/// Two units are equal when they mean the same; how they are written does not matter (`°C` equals `degC`).
#[derive(Clone, Debug)]
pub struct Unit {
    symbol: Cow<'static, str>,
    dims: Dims,
    /// `SI value = (value + zero) * scale.0 / scale.1`.
    scale: (u128, u128),
    /// Offset of an affine temperature scale in its own degrees, as a ratio; `None` for every other unit.
    zero: Option<(i128, i128)>,
    /// A temperature difference, which must not be mistaken for a temperature.
    difference: bool,
}

impl PartialEq for Unit {
    fn eq(&self, other: &Self) -> bool {
        self.dims == other.dims
            && self.scale == other.scale
            && self.zero == other.zero
            && self.difference == other.difference
    }
}

impl Eq for Unit {}

impl fmt::Display for Unit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.symbol)
    }
}

/// How a value in one unit becomes a value in another: `value * multiplier / divisor + summand`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Conversion {
    /// First step; 1.0 when there is none.
    pub multiplier: f64,
    /// Second step; 1.0 when there is none.
    pub divisor: f64,
    /// Third step, in the target unit; 0.0 unless a temperature scale is involved.
    pub summand: f64,
}

impl Conversion {
    /// The conversion that changes nothing.
    pub const IDENTITY: Self = Self {
        multiplier: 1.0,
        divisor: 1.0,
        summand: 0.0,
    };

    /// True when there is nothing to compute.
    pub fn is_identity(&self) -> bool {
        *self == Self::IDENTITY
    }

    /// Converts one value. Each step rounds once, to nearest.
    pub fn apply(&self, value: f64) -> f64 {
        value * self.multiplier / self.divisor + self.summand
    }

    /// Converts a number that somebody wrote down: in decimal, so that `0.0071 m/s` is `7.1 mm/s` to the last bit
    /// although neither 0.0071 nor 7.1 has a binary form. Falls back to [`Conversion::apply`] where the scale is no
    /// decimal one.
    pub fn apply_to_literal(&self, value: f64) -> f64 {
        self.scaled_in_decimal(value)
            .map_or_else(|| self.apply(value), |scaled| scaled + self.summand)
    }

    fn scaled_in_decimal(&self, value: f64) -> Option<f64> {
        const EXACT_MAX: f64 = 9_007_199_254_740_992.0;
        let whole = self.multiplier >= 1.0
            && self.multiplier <= EXACT_MAX
            && self.multiplier.fract() <= 0.0;
        if !whole || !value.is_finite() {
            return None;
        }
        let shift = format!("{:e}", self.divisor);
        let shift: i32 = shift.strip_prefix("1e")?.parse().ok()?;
        // The shortest decimal that reads as this number: what was written.
        let text = format!("{value:e}");
        let (digits, exponent) = text.split_once('e')?;
        let (sign, digits) = match digits.strip_prefix('-') {
            Some(digits) => ("-", digits),
            None => ("", digits),
        };
        let (integer, fraction) = digits.split_once('.').unwrap_or((digits, ""));
        let digits: u128 = format!("{integer}{fraction}").parse().ok()?;
        let product = digits.checked_mul(self.multiplier as u128)?;
        let exponent: i32 = exponent.parse().ok()?;
        let exponent = exponent - i32::try_from(fraction.len()).ok()? - shift;
        format!("{sign}{product}e{exponent}").parse().ok()
    }
}

impl Unit {
    /// The unit of a plain number.
    pub const ONE: Self = Self::linear("1", [0; 6], 1, 1);
    /// Nanoseconds: the unit of `age(tag)` and of every duration inside a compiled rule.
    pub const NANOSECOND: Self = Self::linear("ns", [0, 0, 1, 0, 0, 0], 1, 1_000_000_000);
    /// Seconds: what `rate(tag, span)` divides by.
    pub const SECOND: Self = Self::linear("s", [0, 0, 1, 0, 0, 0], 1, 1);

    const fn linear(symbol: &'static str, dims: Dims, num: u128, den: u128) -> Self {
        Self {
            symbol: Cow::Borrowed(symbol),
            dims,
            scale: (num, den),
            zero: None,
            difference: false,
        }
    }

    pub(crate) fn from_entry(entry: &Entry) -> Self {
        Self {
            symbol: Cow::Borrowed(entry.symbol),
            dims: entry.dims,
            scale: reduce(entry.num, entry.den),
            zero: entry.zero,
            difference: false,
        }
    }

    /// How the unit is written.
    pub fn symbol(&self) -> &str {
        &self.symbol
    }

    /// True for a number without dimension: a count, a ratio, a percentage.
    pub fn is_dimensionless(&self) -> bool {
        self.dims == [0; 6]
    }

    /// True for a duration.
    pub fn is_time(&self) -> bool {
        self.dims == Self::SECOND.dims
    }

    /// True for degC and degF, whose zero is not the absence of the quantity.
    pub fn is_affine(&self) -> bool {
        self.zero.is_some()
    }

    /// True for the unit of a temperature difference (what subtracting two temperatures gives).
    pub fn is_difference(&self) -> bool {
        self.difference
    }

    /// True for `%`.
    pub fn is_percent(&self) -> bool {
        self.is_dimensionless() && self.scale == (1, 100)
    }

    /// True when both measure the same kind of quantity.
    pub fn same_dimension(&self, other: &Self) -> bool {
        self.dims == other.dims
    }

    /// What the unit measures, in words: "velocity". `None` for a compound that has no usual name.
    pub fn quantity(&self) -> Option<&'static str> {
        if self.is_dimensionless() {
            return Some("plain number");
        }
        TABLE
            .iter()
            .find(|entry| entry.dims == self.dims)
            .map(|entry| entry.quantity)
    }

    /// Units of the table that convert to this one, in the table's order, without spelling variants.
    pub fn alternatives(&self) -> Vec<&'static str> {
        TABLE
            .iter()
            .filter(|entry| entry.dims == self.dims && !entry.alias)
            .map(|entry| entry.symbol)
            .collect()
    }

    /// How a reading in `self` becomes a reading in `target`; `None` when they measure different quantities, or when
    /// one is a temperature with an offset and the other a temperature difference.
    pub fn conversion_to(&self, target: &Self) -> Option<Conversion> {
        let mixes =
            (self.difference && target.is_affine()) || (target.difference && self.is_affine());
        if mixes {
            return None;
        }
        let linear = self.difference_conversion_to(target)?;
        if self.zero == target.zero && self.scale == target.scale {
            return Some(linear);
        }
        // (v + z1) * k = t + z2, so the summand is z1 * k - z2, computed exactly.
        let (num, den) = self.ratio_to(target)?;
        let (zero_num, zero_den) = self.zero.unwrap_or((0, 1));
        let (target_num, target_den) = target.zero.unwrap_or((0, 1));
        let left_num = zero_num.checked_mul(i128::try_from(num).ok()?)?;
        let left_den = zero_den.checked_mul(i128::try_from(den).ok()?)?;
        let top = left_num
            .checked_mul(target_den)?
            .checked_sub(target_num.checked_mul(left_den)?)?;
        let bottom = left_den.checked_mul(target_den)?;
        Some(Conversion {
            summand: top as f64 / bottom as f64,
            ..linear
        })
    }

    /// How a *difference* of readings in `self` becomes one in `target`: the scale without the offset. Dead bands,
    /// rates and standard deviations convert like this.
    pub fn difference_conversion_to(&self, target: &Self) -> Option<Conversion> {
        const EXACT_MAX: u128 = 1 << 53;
        let (num, den) = self.ratio_to(target)?;
        if num <= EXACT_MAX && den <= EXACT_MAX {
            return Some(Conversion {
                multiplier: num as f64,
                divisor: den as f64,
                summand: 0.0,
            });
        }
        Some(Conversion {
            multiplier: num as f64 / den as f64,
            ..Conversion::IDENTITY
        })
    }

    /// Converts one reading; `None` like [`Unit::conversion_to`].
    pub fn convert(&self, value: f64, target: &Self) -> Option<f64> {
        Some(self.conversion_to(target)?.apply(value))
    }

    /// Converts one difference; `None` when the units measure different quantities.
    pub fn convert_difference(&self, value: f64, target: &Self) -> Option<f64> {
        Some(self.difference_conversion_to(target)?.apply(value))
    }

    fn ratio_to(&self, target: &Self) -> Option<(u128, u128)> {
        if self.dims != target.dims {
            return None;
        }
        // Across first, so that the products stay small.
        let (a, d) = reduce(self.scale.0, target.scale.0);
        let (c, b) = reduce(target.scale.1, self.scale.1);
        Some((a.checked_mul(c)?, b.checked_mul(d)?))
    }

    /// The unit of a difference of two readings: `K` for `degC`, otherwise the same unit.
    pub fn difference_unit(&self) -> Self {
        if self.dims != [0, 0, 0, 0, 1, 0] {
            return self.clone();
        }
        let symbol = match (self.is_affine(), self.scale) {
            (true, (1, 1)) => Cow::Borrowed("K"),
            (true, _) => Cow::Borrowed("degF (difference)"),
            _ => self.symbol.clone(),
        };
        Self {
            symbol,
            zero: None,
            difference: true,
            ..self.clone()
        }
    }

    pub(crate) fn not_a_difference(self) -> Self {
        Self {
            difference: false,
            ..self
        }
    }

    /// The unit of a product; `None` for temperatures with an offset, or beyond what can be represented.
    pub fn product(&self, other: &Self) -> Option<Self> {
        if self.is_affine() || other.is_affine() {
            return None;
        }
        self.combined(other, other.dims, other.scale, "·")
    }

    /// The unit of a quotient; `None` like [`Unit::product`].
    pub fn quotient(&self, other: &Self) -> Option<Self> {
        if self.is_affine() || other.is_affine() {
            return None;
        }
        let mut inverse = [0; 6];
        for (to, from) in inverse.iter_mut().zip(other.dims) {
            *to = i8::checked_neg(from)?;
        }
        self.combined(other, inverse, (other.scale.1, other.scale.0), "/")
    }

    fn combined(&self, other: &Self, dims: Dims, scale: (u128, u128), sign: &str) -> Option<Self> {
        let mut sum = [0; 6];
        for ((to, a), b) in sum.iter_mut().zip(self.dims).zip(dims) {
            *to = i8::checked_add(a, b)?;
        }
        let (a, d) = reduce(self.scale.0, scale.1);
        let (c, b) = reduce(scale.0, self.scale.1);
        let scale = (a.checked_mul(c)?, b.checked_mul(d)?);
        let plain = |unit: &Self| unit.is_dimensionless() && unit.scale == (1, 1);
        let symbol = if plain(other) {
            self.symbol.clone()
        } else if plain(self) && sign == "·" {
            other.symbol.clone()
        } else if sum == [0; 6] && scale == (1, 1) {
            Cow::Borrowed("1")
        } else if sign == "/" && other.symbol.contains(['/', '·']) {
            Cow::Owned(format!("{}/({})", self.symbol, other.symbol))
        } else {
            Cow::Owned(format!("{}{sign}{}", self.symbol, other.symbol))
        };
        let symbol = if symbol.len() > SYMBOL_BYTES_MAX {
            Cow::Owned(si_symbol(&sum))
        } else {
            symbol
        };
        // A difference stays one when it is only scaled.
        let difference = sum == [0, 0, 0, 0, 1, 0] && (self.difference || other.difference);
        Some(Self {
            symbol,
            dims: sum,
            scale,
            zero: None,
            difference,
        })
    }

    /// The unit of a square root, or `None` when an exponent is odd or the unit has an offset.
    ///
    /// The second value converts the operand first; it is the identity unless the scale is no perfect square.
    pub fn square_root(&self) -> Option<(Self, Conversion)> {
        if self.is_affine() || self.dims.iter().any(|exponent| exponent % 2 != 0) {
            return None;
        }
        let mut dims = self.dims;
        for exponent in &mut dims {
            *exponent /= 2;
        }
        let exact = perfect_root(self.scale.0).zip(perfect_root(self.scale.1));
        let (scale, conversion) = match exact {
            Some(scale) => (scale, Conversion::IDENTITY),
            None => {
                let base = Self {
                    scale: (1, 1),
                    ..self.clone()
                };
                ((1, 1), self.difference_conversion_to(&base)?)
            }
        };
        let known = TABLE.iter().find(|entry| {
            entry.dims == dims && reduce(entry.num, entry.den) == scale && entry.zero.is_none()
        });
        let symbol = match known {
            Some(entry) => Cow::Borrowed(entry.symbol),
            None if conversion.is_identity() => Cow::Owned(format!("√({})", self.symbol)),
            None => Cow::Owned(si_symbol(&dims)),
        };
        let unit = Self {
            symbol,
            dims,
            scale,
            zero: None,
            difference: false,
        };
        Some((unit, conversion))
    }
}

/// Longest symbol a compound keeps; a longer one is written in SI base units instead.
const SYMBOL_BYTES_MAX: usize = 48;

fn si_symbol(dims: &Dims) -> String {
    let mut text = String::new();
    for (name, exponent) in ["m", "kg", "s", "A", "K", "rad"].iter().zip(dims) {
        if *exponent != 0 {
            if !text.is_empty() {
                text.push('·');
            }
            text.push_str(name);
            if *exponent != 1 {
                text.push_str(&format!("^{exponent}"));
            }
        }
    }
    if text.is_empty() {
        text.push('1');
    }
    text
}

fn reduce(a: u128, b: u128) -> (u128, u128) {
    let (mut x, mut y) = (a, b);
    while y != 0 {
        (x, y) = (y, x % y);
    }
    // The divisor of two scales, which are positive, is positive.
    let divisor = x.max(1);
    (a / divisor, b / divisor)
}

fn perfect_root(value: u128) -> Option<u128> {
    let root = value.isqrt();
    (root.checked_mul(root)? == value).then_some(root)
}

/// The unit called `name`, or `None`. Every spelling of the table is accepted; `1` is the unit of plain numbers.
pub fn parse_unit(name: &str) -> Option<Unit> {
    TABLE
        .iter()
        .find(|entry| entry.symbol == name)
        .map(Unit::from_entry)
}

/// Every unit's name, in the order of the reference, spelling variants included.
pub fn unit_names() -> Vec<&'static str> {
    TABLE.iter().map(|entry| entry.symbol).collect()
}

/// The longest unit at the start of `text` that is not the beginning of a longer word, and its length in bytes.
pub(crate) fn longest_unit(text: &str) -> Option<(Unit, usize)> {
    TABLE
        .iter()
        .filter(|entry| entry.symbol != "1" && text.starts_with(entry.symbol))
        .filter(|entry| {
            let rest = text.get(entry.symbol.len()..).unwrap_or("");
            // After "%" a word may follow at once; after a letter it would be part of the same word.
            entry.symbol == "%" || !rest.starts_with(is_unit_word)
        })
        .max_by_key(|entry| entry.symbol.len())
        .map(|entry| (Unit::from_entry(entry), entry.symbol.len()))
}

/// Characters that continue a word: a unit followed by one of them is another, unknown word.
pub(crate) fn is_unit_word(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '_' | '.' | '°' | '²' | '³' | 'µ' | '^')
}

#[cfg(test)]
mod tests;

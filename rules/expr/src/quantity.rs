//! Numbers with units outside expressions: ranges, dead bands, constants and delays of a pack.

use crate::error::nearest;
use crate::unit::{Unit, parse_unit, unit_names};
use std::fmt;

/// Why a text is not a quantity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum QuantityError {
    /// Nothing there.
    Empty,
    /// It does not begin with a number.
    Number {
        /// What stands there.
        received: String,
    },
    /// The number is beyond what can be represented.
    NotFinite {
        /// What stands there.
        received: String,
    },
    /// What follows the number is not a unit.
    Unit {
        /// What stands there.
        received: String,
    },
}

impl fmt::Display for QuantityError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => write!(
                f,
                "a quantity is missing; write a number with its unit, such as `7.1 mm/s`"
            ),
            Self::Number { received } => write!(
                f,
                "`{received}` does not begin with a number; write one with a decimal point and its unit, such as `7.1 mm/s`"
            ),
            Self::NotFinite { received } => write!(
                f,
                "`{received}` is too large for a number; write a smaller one"
            ),
            Self::Unit { received } => {
                write!(f, "`{received}` is not a unit; ")?;
                match nearest(received, unit_names().into_iter()) {
                    Some(unit) => write!(f, "did you mean `{unit}`?"),
                    None => write!(f, "the units are listed in docs/expressions.md"),
                }
            }
        }
    }
}

impl std::error::Error for QuantityError {}

/// Parses a number with an optional unit, such as `7.1 mm/s`, `-40 degC` or `0.5`. Without a unit it is in
/// [`Unit::ONE`]; whether that is allowed is the caller's to decide.
///
/// # Errors
/// What is wrong with the text, with a way out.
pub fn parse_quantity(text: &str) -> Result<(f64, Unit), QuantityError> {
    let text = text.trim();
    if text.is_empty() {
        return Err(QuantityError::Empty);
    }
    let (number, rest) = text.split_at(number_length(text));
    let received = || text.to_owned();
    let value: f64 = number.parse().map_err(|_| QuantityError::Number {
        received: received(),
    })?;
    if !value.is_finite() {
        return Err(QuantityError::NotFinite {
            received: received(),
        });
    }
    let rest = rest.trim_start();
    if rest.is_empty() {
        return Ok((value, Unit::ONE));
    }
    match parse_unit(rest) {
        Some(unit) => Ok((value, unit)),
        None => Err(QuantityError::Unit {
            received: rest.to_owned(),
        }),
    }
}

/// Bytes of the number at the start of `text`: sign, digits, point and digits, exponent.
fn number_length(text: &str) -> usize {
    let bytes = text.as_bytes();
    let digits = |from: usize| {
        bytes
            .iter()
            .skip(from)
            .take_while(|byte| byte.is_ascii_digit())
            .count()
    };
    let at = |index: usize| bytes.get(index).copied().unwrap_or(0);
    let mut length = usize::from(matches!(at(0), b'+' | b'-'));
    let whole = digits(length);
    if whole == 0 {
        return 0;
    }
    length += whole;
    if at(length) == b'.' && digits(length + 1) > 0 {
        length += 1 + digits(length + 1);
    }
    if matches!(at(length), b'e' | b'E') {
        let sign = usize::from(matches!(at(length + 1), b'+' | b'-'));
        let exponent = digits(length + 1 + sign);
        if exponent > 0 {
            length += 1 + sign + exponent;
        }
    }
    length
}

/// Why a text is not a duration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DurationError {
    /// Not even a quantity.
    Quantity(QuantityError),
    /// A quantity, but not of time.
    NotTime {
        /// What stands there.
        received: String,
    },
    /// Less than nothing.
    Negative {
        /// What stands there.
        received: String,
    },
    /// More than 104 days, beyond which nanoseconds are no longer exact.
    TooLong {
        /// What stands there.
        received: String,
    },
    /// Not a whole number of nanoseconds and less than one.
    TooShort {
        /// What stands there.
        received: String,
    },
}

impl fmt::Display for DurationError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Quantity(cause) => write!(f, "{cause}"),
            Self::NotTime { received } => write!(
                f,
                "`{received}` is not a duration; write a number with a unit of time, such as `500ms` or `2 s`"
            ),
            Self::Negative { received } => {
                write!(f, "`{received}` is negative; a duration is at least `0 ms`")
            }
            Self::TooLong { received } => {
                write!(f, "`{received}` is too long; at most 104 days are possible")
            }
            Self::TooShort { received } => write!(
                f,
                "`{received}` is less than a nanosecond; write `0 ms` or at least `1 ns`"
            ),
        }
    }
}

impl std::error::Error for DurationError {}

/// Parses a duration such as `500ms`, `2 s` or `1.5 min` to nanoseconds, rounded to the nearest.
///
/// # Errors
/// What is wrong with the text, with a way out. A bare number is refused, `0` too: its unit may be guessed wrongly.
pub fn parse_duration(text: &str) -> Result<u64, DurationError> {
    /// Up to 2^53 a binary64 holds every whole number.
    const NS_MAX: f64 = 9_007_199_254_740_992.0;
    let (value, unit) = parse_quantity(text).map_err(DurationError::Quantity)?;
    let received = || text.trim().to_owned();
    if !unit.is_time() {
        return Err(DurationError::NotTime {
            received: received(),
        });
    }
    let exact = unit
        .conversion_to(&Unit::NANOSECOND)
        .ok_or_else(|| DurationError::NotTime {
            received: received(),
        })?
        .apply_to_literal(value);
    let ns = exact.round();
    if ns < 0.0 || value < 0.0 {
        return Err(DurationError::Negative {
            received: received(),
        });
    }
    if ns > NS_MAX {
        return Err(DurationError::TooLong {
            received: received(),
        });
    }
    if ns < 1.0 && value > 0.0 {
        return Err(DurationError::TooShort {
            received: received(),
        });
    }
    // A whole number between 0 and 2^53: the cast is exact.
    Ok(ns as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_parse() {
        for (text, value, unit) in [
            ("7.1 mm/s", 7.1, "mm/s"),
            ("7.1mm/s", 7.1, "mm/s"),
            ("-40 degC", -40.0, "degC"),
            ("  12 % ", 12.0, "%"),
            ("1e3 rpm", 1000.0, "rpm"),
            ("+2.5e-3", 0.0025, "1"),
            ("3 count", 3.0, "count"),
            ("0 m", 0.0, "m"),
        ] {
            let (got, got_unit) = parse_quantity(text).unwrap();
            assert_eq!(
                (got.to_bits(), got_unit.symbol()),
                (f64::to_bits(value), unit),
                "{text}"
            );
        }
    }

    #[test]
    fn what_is_no_quantity_is_refused_with_a_way_out() {
        for (text, message) in [
            (
                "",
                "a quantity is missing; write a number with its unit, such as `7.1 mm/s`",
            ),
            (
                "fast",
                "`fast` does not begin with a number; write one with a decimal point and its unit, such as `7.1 mm/s`",
            ),
            (
                ".nan",
                "`.nan` does not begin with a number; write one with a decimal point and its unit, such as `7.1 mm/s`",
            ),
            (
                "7,1 mm/s",
                "`,1 mm/s` is not a unit; the units are listed in docs/expressions.md",
            ),
            ("7.1 mm/sec", "`mm/sec` is not a unit; did you mean `mm/s`?"),
            (
                "1e999 m",
                "`1e999 m` is too large for a number; write a smaller one",
            ),
            ("5 m s", "`m s` is not a unit; did you mean `m/s`?"),
        ] {
            assert_eq!(
                parse_quantity(text).unwrap_err().to_string(),
                message,
                "H-46: {text}"
            );
        }
    }

    #[test]
    fn durations_are_nanoseconds() {
        for (text, ns) in [
            ("500ms", 500_000_000),
            ("0 ms", 0),
            ("0.1 s", 100_000_000),
            ("1.5 min", 90_000_000_000),
            ("250us", 250_000),
            ("1 ns", 1),
            ("2 h", 7_200_000_000_000),
        ] {
            assert_eq!(parse_duration(text), Ok(ns), "{text}");
        }
        let received = |text: &str| text.to_owned();
        assert_eq!(
            parse_duration("500"),
            Err(DurationError::NotTime {
                received: received("500")
            })
        );
        assert_eq!(
            parse_duration("5 m"),
            Err(DurationError::NotTime {
                received: received("5 m")
            })
        );
        assert_eq!(
            parse_duration("-1 s"),
            Err(DurationError::Negative {
                received: received("-1 s")
            })
        );
        assert_eq!(
            parse_duration("9000 h"),
            Err(DurationError::TooLong {
                received: received("9000 h")
            })
        );
        assert_eq!(
            parse_duration("0.1 ns"),
            Err(DurationError::TooShort {
                received: received("0.1 ns")
            })
        );
        assert_eq!(
            parse_duration(""),
            Err(DurationError::Quantity(QuantityError::Empty))
        );
    }
}

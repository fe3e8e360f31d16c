//! A whole payload that is one decimal number.

use super::Number;
use crate::limits::NUMBER_BYTES_MAX;

/// Reads a payload that is one decimal number, ASCII white space around it trimmed.
///
/// `None` for anything else. Words that Rust's own parser takes (`inf`, `nan`, `infinity`), hexadecimal, digit
/// separators, decimal commas and units are not numbers here (H-21). A number too large for a 64-bit float comes back
/// infinite, so that the sample says "not a finite number".
pub fn parse_number(payload: &[u8]) -> Option<Number> {
    let text = payload.trim_ascii();
    if text.len() > NUMBER_BYTES_MAX || !is_decimal(text) {
        return None;
    }
    let text = std::str::from_utf8(text).ok()?;
    let digits = text.strip_prefix('+').unwrap_or(text);
    if let Ok(integer) = digits.parse::<i64>() {
        return Some(Number::from_i64(integer));
    }
    if let Ok(integer) = digits.parse::<u64>() {
        return Some(Number::from_u64(integer));
    }
    digits.parse().ok().map(Number::from_f64)
}

/// `[+-] digits [. digits] [e [+-] digits]`, with a digit before the point or after it.
fn is_decimal(text: &[u8]) -> bool {
    let sign = |text: &'_ [u8]| usize::from(matches!(text.first(), Some(b'+' | b'-')));
    let digits = |text: &[u8]| text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let after = |text: &'_ [u8], count: usize| -> usize { count.min(text.len()) };

    let rest = text.get(after(text, sign(text))..).unwrap_or_default();
    let whole = digits(rest);
    let mut rest = rest.get(whole..).unwrap_or_default();
    let mut fraction = 0;
    if let Some(tail) = rest.strip_prefix(b".") {
        fraction = digits(tail);
        rest = tail.get(fraction..).unwrap_or_default();
    }
    if whole == 0 && fraction == 0 {
        return false;
    }
    if let Some((b'e' | b'E', tail)) = rest.split_first() {
        let tail = tail.get(after(tail, sign(tail))..).unwrap_or_default();
        let exponent = digits(tail);
        return exponent > 0 && exponent == tail.len();
    }
    rest.is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn decimal_numbers_and_nothing_else() {
        for (text, value) in [
            ("0", 0.0),
            ("-0.5", -0.5),
            ("+12", 12.0),
            ("\t 3.25 \r\n", 3.25),
            (".5", 0.5),
            ("5.", 5.0),
            ("1e3", 1000.0),
            ("1E-3", 0.001),
            ("18446744073709551615", 18_446_744_073_709_551_615.0),
        ] {
            let number = parse_number(text.as_bytes()).unwrap();
            assert_eq!(number.value.to_bits(), f64::to_bits(value), "{text}");
        }
        for text in [
            "", " ", ".", "-", "+", "e5", "1e", "1e+", "1.2.3", "0x10", "1_000", "1,5", "inf",
            "-inf", "NaN", "infinity", "12 V", "1 2", "++1", "+-1", "true", "\u{0661}",
        ] {
            assert_eq!(parse_number(text.as_bytes()), None, "H-21: {text:?}");
        }
        assert_eq!(parse_number(&[b'1'; NUMBER_BYTES_MAX + 1]), None);
        assert_eq!(parse_number(&[0xFF, 0xFE]), None);
    }

    proptest! {
        #[test]
        fn every_finite_float_survives_its_text(value in proptest::num::f64::NORMAL | proptest::num::f64::ZERO) {
            let text = format!("{value:?}");
            let number = parse_number(text.as_bytes()).unwrap();
            prop_assert_eq!(number.value.to_bits(), value.to_bits());
        }

        #[test]
        fn any_bytes_give_a_number_or_none(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            if let Some(number) = parse_number(&bytes) {
                prop_assert!(!number.value.is_nan());
            }
        }
    }
}

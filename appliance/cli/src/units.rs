//! Times and sizes as people read them.

/// A time with three significant digits or more and a unit: `850 ns`, `12.3 µs`, `1.50 ms`, `2.00 s`.
pub(crate) fn time(ns: u64) -> String {
    let (divisor, unit) = match ns {
        0..1_000 => return format!("{ns} ns"),
        1_000..1_000_000 => (1e3, "µs"),
        1_000_000..1_000_000_000 => (1e6, "ms"),
        _ => (1e9, "s"),
    };
    let value = to_f64(ns) / divisor;
    let decimals = if value < 10.0 {
        2
    } else if value < 100.0 {
        1
    } else {
        0
    };
    format!("{value:.decimals$} {unit}")
}

/// A length of time a person lives through: `3 s`, `2 min 05 s`, `1 h 02 min`, `4 d 03 h`.
pub(crate) fn span(ns: u64) -> String {
    let seconds = ns / 1_000_000_000;
    match seconds {
        0 => time(ns),
        1..60 => format!("{seconds} s"),
        60..3_600 => format!("{} min {:02} s", seconds / 60, seconds % 60),
        3_600..86_400 => format!("{} h {:02} min", seconds / 3_600, seconds / 60 % 60),
        _ => format!("{} d {:02} h", seconds / 86_400, seconds / 3_600 % 24),
    }
}

/// `1 case`, `2 cases`.
pub(crate) fn counted(count: usize, noun: &str) -> String {
    format!("{count} {noun}{}", if count == 1 { "" } else { "s" })
}

/// `812 B`, `12.3 KiB`, `4.0 MiB`.
pub(crate) fn size(bytes: u64) -> String {
    let value = to_f64(bytes);
    match bytes {
        0..1_024 => format!("{bytes} B"),
        1_024..1_048_576 => format!("{:.1} KiB", value / 1_024.0),
        _ => format!("{:.1} MiB", value / 1_048_576.0),
    }
}

/// A value with as many digits as say something: four significant ones, no exponent for what sensors measure.
pub(crate) fn value(value: f64) -> String {
    let size = value.abs();
    if size == 0.0 || (1e-3..1e9).contains(&size) {
        let decimals = if size >= 1_000.0 {
            0
        } else if size >= 100.0 {
            1
        } else if size >= 10.0 {
            2
        } else {
            3
        };
        let text = format!("{value:.decimals$}");
        if text.contains('.') {
            return text.trim_end_matches('0').trim_end_matches('.').to_owned();
        }
        return text;
    }
    format!("{value:.3e}")
}

/// For display only: beyond 2^53 the last digits are rounded.
#[expect(
    clippy::as_conversions,
    reason = "there is no lossless conversion, and none is needed to print a figure"
)]
pub(crate) const fn to_f64(value: u64) -> f64 {
    value as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_keep_three_digits() {
        for (ns, expected) in [
            (0, "0 ns"),
            (999, "999 ns"),
            (1_000, "1.00 µs"),
            (12_340, "12.3 µs"),
            (123_400, "123 µs"),
            (1_500_000, "1.50 ms"),
            (59_000_000_000, "59.0 s"),
        ] {
            assert_eq!(time(ns), expected);
        }
    }

    #[test]
    fn spans_and_sizes() {
        assert_eq!(span(500_000_000), "500 ms");
        assert_eq!(span(59_900_000_000), "59 s");
        assert_eq!(span(125_000_000_000), "2 min 05 s");
        assert_eq!(span(3_725_000_000_000), "1 h 02 min");
        assert_eq!(span(4 * 86_400_000_000_000), "4 d 00 h");
        assert_eq!(size(812), "812 B");
        assert_eq!(size(12_595), "12.3 KiB");
        assert_eq!(size(4 << 20), "4.0 MiB");
    }

    #[test]
    fn values_keep_what_says_something() {
        for (given, expected) in [
            (0.0, "0"),
            (1.0, "1"),
            (-7.25, "-7.25"),
            (159.96, "160"),
            (1_480.0, "1480"),
            (0.000_01, "1.000e-5"),
        ] {
            assert_eq!(value(given), expected, "{given}");
        }
    }
}

//! Wall time for people, as RFC 3339 in UTC. It labels; nothing is ever decided by it (H-79).

use std::time::{SystemTime, UNIX_EPOCH};

const DAY_S: u64 = 86_400;
/// Days from 0000-03-01 to 1970-01-01 in the proleptic Gregorian calendar.
const DAYS_TO_EPOCH: u64 = 719_468;
/// Days in 400 years, after which the Gregorian calendar repeats.
const DAYS_OF_ERA: u64 = 146_097;

/// `1970-01-01T00:00:00.000000Z` and later: microseconds, so that two events of one tick stay apart in a log.
///
/// `wall_ns` is nanoseconds since 1970 without leap seconds, as the operating system counts them. Every `u64` has a
/// four-digit year (the largest is in 2554).
#[must_use]
pub fn rfc3339(wall_ns: u64) -> String {
    let (seconds, ns) = (wall_ns / 1_000_000_000, wall_ns % 1_000_000_000);
    let (year, month, day) = civil_from_days(seconds / DAY_S);
    let of_day = seconds % DAY_S;
    format!(
        "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}.{:06}Z",
        of_day / 3_600,
        of_day / 60 % 60,
        of_day % 60,
        ns / 1_000
    )
}

/// The clock part of [`rfc3339`] to the millisecond: `12:34:56.789`, UTC.
#[must_use]
pub fn time_of_day(wall_ns: u64) -> String {
    let full = rfc3339(wall_ns);
    full.get(11..23).unwrap_or_default().to_owned()
}

/// Nanoseconds since 1970; 0 when the clock is before that.
#[must_use]
pub fn now_ns() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| {
        u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
    })
}

/// Year, month and day of the day with this number since 1970-01-01. The year is counted from March, so that the leap
/// day is its last; the lengths of March to January then follow (153 m + 2) / 5.
fn civil_from_days(days: u64) -> (u64, u64, u64) {
    let days = days + DAYS_TO_EPOCH;
    let era = days / DAYS_OF_ERA;
    let of_era = days % DAYS_OF_ERA;
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 {
        from_march + 3
    } else {
        from_march - 9
    };
    let year = 400 * era + year_of_era + u64::from(month <= 2);
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    #[test]
    fn known_instants() {
        // Seconds from `date -u -d ... +%s`.
        for (seconds, expected) in [
            (0, "1970-01-01T00:00:00.000000Z"),
            (951_782_399, "2000-02-28T23:59:59.000000Z"),
            (951_782_400, "2000-02-29T00:00:00.000000Z"),
            (951_868_800, "2000-03-01T00:00:00.000000Z"),
            (1_709_210_096, "2024-02-29T12:34:56.000000Z"),
            (1_798_761_599, "2026-12-31T23:59:59.000000Z"),
            (2_147_483_648, "2038-01-19T03:14:08.000000Z"),
            (4_107_542_400, "2100-03-01T00:00:00.000000Z"),
        ] {
            assert_eq!(rfc3339(seconds * SECOND), expected, "{seconds}");
        }
    }

    #[test]
    fn fractions_are_cut_never_rounded_into_the_next_second() {
        assert_eq!(rfc3339(SECOND - 1), "1970-01-01T00:00:00.999999Z");
        assert_eq!(rfc3339(1_234_567), "1970-01-01T00:00:00.001234Z");
        assert_eq!(time_of_day(1_234_567), "00:00:00.001");
    }

    #[test]
    fn every_day_of_four_hundred_years_follows_the_one_before() {
        let leap = |year: u64| {
            year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
        };
        let (mut year, mut month, mut day) = (1970, 1, 1);
        for days in 0..DAYS_OF_ERA {
            assert_eq!(
                civil_from_days(days),
                (year, month, day),
                "H-79: day {days}"
            );
            let length = match month {
                4 | 6 | 9 | 11 => 30,
                2 if leap(year) => 29,
                2 => 28,
                _ => 31,
            };
            day += 1;
            if day > length {
                (month, day) = (month + 1, 1);
            }
            if month > 12 {
                (year, month) = (year + 1, 1);
            }
        }
    }

    #[test]
    fn the_largest_time_still_has_a_four_digit_year() {
        assert_eq!(rfc3339(u64::MAX), "2554-07-21T23:34:33.709551Z");
    }
}

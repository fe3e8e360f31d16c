//! Days of the calendar, in UTC.

use std::fmt;
use std::str::FromStr;

/// A day, written `2027-12-31`. It ends at midnight UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Date {
    year: u16,
    month: u8,
    day: u8,
}

/// Not a day.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("write a day as 2027-12-31")]
pub struct NotADate;

impl Date {
    /// Seconds from 1970-01-01T00:00:00Z to the end of this day. 2038 and leap years included; leap seconds are none in
    /// Unix time.
    pub fn ends_at(self) -> u64 {
        // Days since 1970-01-01 of the proleptic Gregorian calendar: whole years, then months of a year that begins in March.
        let (year, month) = if self.month > 2 {
            (u64::from(self.year), u64::from(self.month) - 3)
        } else {
            (u64::from(self.year) - 1, u64::from(self.month) + 9)
        };
        let days = 365 * year + year / 4 - year / 100
            + year / 400
            + (153 * month + 2) / 5
            + u64::from(self.day)
            - 1
            - 719_468;
        (days + 1) * 86_400
    }
}

impl FromStr for Date {
    type Err = NotADate;

    fn from_str(text: &str) -> Result<Self, NotADate> {
        let digits = |range: std::ops::Range<usize>| {
            text.get(range)
                .filter(|part| part.bytes().all(|byte| byte.is_ascii_digit()))
        };
        let (Some(year), Some("-"), Some(month), Some("-"), Some(day), 10) = (
            digits(0..4),
            text.get(4..5),
            digits(5..7),
            text.get(7..8),
            digits(8..10),
            text.len(),
        ) else {
            return Err(NotADate);
        };
        let (Ok(year), Ok(month), Ok(day)) = (year.parse::<u16>(), month.parse(), day.parse())
        else {
            return Err(NotADate);
        };
        let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
        let days = match month {
            4 | 6 | 9 | 11 => 30,
            2 if leap => 29,
            2 => 28,
            1..=12 => 31,
            _ => return Err(NotADate),
        };
        if year < 1970 || !(1..=days).contains(&day) {
            return Err(NotADate);
        }
        Ok(Self { year, month, day })
    }
}

impl fmt::Display for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}-{:02}-{:02}", self.year, self.month, self.day)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_end_when_the_calendar_says() {
        // `date -u -d '2027-12-31 24:00' +%s`, and the like.
        for (text, seconds) in [
            ("1970-01-01", 86_400),
            ("2000-02-29", 951_868_800),
            ("2026-11-21", 1_795_305_600),
            ("2027-12-31", 1_830_297_600),
            ("2038-01-19", 2_147_558_400),
            ("2100-02-28", 4_107_542_400),
        ] {
            let date: Date = text.parse().unwrap();
            assert_eq!(date.ends_at(), seconds, "H-79: {text}");
            assert_eq!(date.to_string(), text);
        }
    }

    #[test]
    fn what_is_no_day_is_refused() {
        for text in [
            "",
            "2027-13-01",
            "2027-00-01",
            "2027-02-29",
            "2100-02-29",
            "2027-04-31",
            "2027-01-00",
            "1969-12-31",
            "27-01-01",
            "2027-1-1",
            "2027-01-01 ",
            "2027/01/01",
            "+027-01-01",
            "2027-01-0é",
        ] {
            assert_eq!(text.parse::<Date>(), Err(NotADate), "{text}");
        }
    }
}

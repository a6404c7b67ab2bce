//! Instants: what a client's clock says, read from text; what ours says, as a number or as RFC 3339.
//!
//! A submitted timestamp is a decimal number, whose magnitude says its unit, or RFC 3339:
//!
//! ```text
//!   0 .. 10^11 - 1         seconds        until the year 5138
//!   10^11 .. 10^14 - 1     milliseconds   from March 1973 to the year 5138
//!   10^14 .. 10^17 - 1     microseconds   the same years; what is below a millisecond is cut off
//!   1393671600.25          a fraction of either; what is below a millisecond is cut off
//!   2014-03-01T12:00:00.5+01:00           from 1970 to 9999; `T` or a space, `Z` or an offset, any fraction
//! ```

use crate::digits;

/// Milliseconds since 1970, UTC.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Millis(pub u64);

/// Hours since 1970, UTC.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Hour(pub u64);

/// A text that is no timestamp.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a timestamp, it must be s, ms or us since 1970, or RFC 3339 from 1970 to 9999")]
pub struct NotATime;

const DAY: u64 = 86_400;

impl Hour {
    /// The hour of a time in ns since 1970.
    pub fn of_nanos(nanos: u64) -> Hour {
        Hour(nanos / 3_600_000_000_000)
    }
}

impl Millis {
    /// The millisecond of a time in ns since 1970.
    pub fn of_nanos(nanos: u64) -> Millis {
        Millis(nanos / 1_000_000)
    }

    /// Its hour.
    pub fn hour(self) -> Hour {
        Hour(self.0 / 3_600_000)
    }

    /// Reads a submitted timestamp.
    ///
    /// # Errors
    /// [`NotATime`] for all but the forms at the head of this file.
    pub fn parse(text: &[u8]) -> Result<Millis, NotATime> {
        if text.is_empty() || text.len() > 40 {
            return Err(NotATime);
        }
        let whole = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let (whole, rest) = text.split_at(whole);
        let Some((milli, [])) = fraction(rest) else { return rfc3339(text).ok_or(NotATime) };
        let number = number(whole).filter(|_| !whole.is_empty()).ok_or(NotATime)?;
        match number {
            0..100_000_000_000 => Ok(Millis(number * 1000 + milli)),
            100_000_000_000..100_000_000_000_000 => Ok(Millis(number)),
            100_000_000_000_000..100_000_000_000_000_000 => Ok(Millis(number / 1000)),
            _ => Err(NotATime),
        }
    }

    /// Appends the milliseconds as a decimal number.
    pub fn write_decimal(self, out: &mut Vec<u8>) {
        out.extend_from_slice(digits::decimal(self.0, &mut [0; 20]));
    }

    /// Appends RFC 3339 in UTC with milliseconds: `2014-03-01T11:00:00.500Z`. Beyond the year 9999 it has more digits.
    pub fn write_rfc3339(self, out: &mut Vec<u8>) {
        let (seconds, milli) = (self.0 / 1000, self.0 % 1000);
        let (year, month, day) = date(seconds / DAY);
        let clock = seconds % DAY;
        for (value, width, end) in [
            (year, 4, b'-'),
            (month, 2, b'-'),
            (day, 2, b'T'),
            (clock / 3600, 2, b':'),
            (clock / 60 % 60, 2, b':'),
            (clock % 60, 2, b'.'),
            (milli, 3, b'Z'),
        ] {
            let zeros = (1..width).filter(|place| value < 10_u64.pow(*place));
            out.extend(zeros.map(|_| b'0'));
            Millis(value).write_decimal(out);
            out.push(end);
        }
    }
}

/// Digits alone, as a number.
fn number(digits: &[u8]) -> Option<u64> {
    digits.iter().try_fold(0_u64, |sum, digit| {
        let digit = digit.checked_sub(b'0').filter(|d| *d < 10)?;
        sum.checked_mul(10)?.checked_add(digit.into())
    })
}

/// `YYYY-MM-DDTHH:MM:SS[.f](Z|+HH:MM|-HH:MM)`. In a query a `+` that was not encoded arrives as a space: at the
/// offset's place it can mean nothing else.
fn rfc3339(text: &[u8]) -> Option<Millis> {
    let (stamp, rest) = text.split_at_checked(19)?;
    for (at, separators) in [(4, "-"), (7, "-"), (10, "Tt "), (13, ":"), (16, ":")] {
        separators.as_bytes().contains(&stamp[at]).then_some(())?;
    }
    let part = |from: usize, to: usize| number(&stamp[from..to]);
    let (year, month, day) = (part(0, 4)?, part(5, 7)?, part(8, 10)?);
    let (hour, minute, second) = (part(11, 13)?, part(14, 16)?, part(17, 19)?);
    // A leap second is the first of the next minute.
    let real = year >= 1969
        && (1..=12).contains(&month)
        && (1..=days_of(year, month)).contains(&day)
        && (hour < 24 && minute < 60 && second <= 60);
    real.then_some(())?;

    let (milli, zone) = fraction(rest)?;
    let offset = match zone {
        [b'Z' | b'z'] => 0,
        [sign, hours @ .., b':', m1, m2] if hours.len() == 2 => {
            let (hours, minutes) = (number(hours)?, number(&[*m1, *m2])?);
            (hours < 24 && minutes < 60).then_some(())?;
            let seconds = (hours * 3600 + minutes * 60) as i64;
            match sign {
                b'+' | b' ' => seconds,
                b'-' => -seconds,
                _ => return None,
            }
        }
        _ => return None,
    };
    let local = days(year, month, day) * DAY as i64 + (hour * 3600 + minute * 60 + second) as i64;
    let seconds = u64::try_from(local - offset).ok()?;
    Some(Millis(seconds * 1000 + milli))
}

/// The milliseconds of `.digits`, if there are any, and what follows.
fn fraction(text: &[u8]) -> Option<(u64, &[u8])> {
    let Some(after) = text.strip_prefix(b".") else { return Some((0, text)) };
    let count = after.iter().take_while(|b| b.is_ascii_digit()).count();
    let (digits, rest) = after.split_at(count);
    let first = digits.first()?;
    let place = |at: usize| u64::from(digits.get(at).unwrap_or(&b'0') - b'0');
    Some((u64::from(first - b'0') * 100 + place(1) * 10 + place(2), rest))
}

fn leap(year: u64) -> bool {
    (year % 4 == 0 && year % 100 != 0) || year % 400 == 0
}

fn days_of(year: u64, month: u64) -> u64 {
    match month {
        2 => 28 + u64::from(leap(year)),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Leap days before the first of January of `year`, counted from year 1.
fn leaps_before(year: i64) -> i64 {
    let last = year - 1;
    last / 4 - last / 100 + last / 400
}

/// Days from 1970-01-01 to a date.
fn days(year: u64, month: u64, day: u64) -> i64 {
    let years = year as i64 - 1970;
    let before: u64 = (1..month).map(|m| days_of(year, m)).sum();
    years * 365 + leaps_before(year as i64) - leaps_before(1970) + (before + day - 1) as i64
}

/// The date of a day counted from 1970-01-01.
fn date(day: u64) -> (u64, u64, u64) {
    // 400 years are 146,097 days: this is the year or one beside it.
    let mut year = (1969 + day * 400 / 146_097).max(1970);
    while days(year + 1, 1, 1) <= day as i64 {
        year += 1;
    }
    let mut left = day - days(year, 1, 1) as u64;
    let mut month = 1;
    while left >= days_of(year, month) {
        left -= days_of(year, month);
        month += 1;
    }
    (year, month, left + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(millis: u64) -> String {
        let mut out = Vec::new();
        Millis(millis).write_rfc3339(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn the_magnitude_of_a_number_says_its_unit() {
        for (sent, millis) in [
            ("0", 0),
            ("1393671600", 1_393_671_600_000),
            ("00001393671600", 1_393_671_600_000),
            ("99999999999", 99_999_999_999_000),
            ("100000000000", 100_000_000_000),
            ("134545634345", 134_545_634_345),
            ("99999999999999", 99_999_999_999_999),
            ("100000000000000", 100_000_000_000),
            ("1393671600500999", 1_393_671_600_500),
            ("99999999999999999", 99_999_999_999_999),
            // As a language's clock has it that counts seconds in floating point.
            ("1393671600.5", 1_393_671_600_500),
            ("1393671600.0", 1_393_671_600_000),
            ("1393671600.2509999", 1_393_671_600_250),
            ("0.001", 1),
            ("1393671600500.75", 1_393_671_600_500),
            ("1393671600500999.9", 1_393_671_600_500),
        ] {
            assert_eq!(Millis::parse(sent.as_bytes()), Ok(Millis(millis)), "{sent}");
        }
    }

    #[test]
    fn rfc_3339_is_read_in_all_its_forms() {
        for sent in [
            "2014-03-01T11:00:00.5Z",
            "2014-03-01t11:00:00.50z",
            "2014-03-01 11:00:00.500999999999Z",
            "2014-03-01T12:00:00.5+01:00",
            "2014-03-01T12:00:00.5 01:00",
            "2014-02-28T23:30:00.5-11:30",
            "2014-03-01T10:59:60.5Z",
        ] {
            assert_eq!(Millis::parse(sent.as_bytes()), Ok(Millis(1_393_671_600_500)), "{sent}");
        }
        assert_eq!(Millis::parse(b"1969-12-31T23:30:00-00:30"), Ok(Millis(0)));
        assert_eq!(Millis::parse(b"2016-02-29T00:00:00Z"), Ok(Millis(1_456_704_000_000)));
        assert_eq!(Millis::parse(b"9999-12-31T23:59:59.999Z"), Ok(Millis(253_402_300_799_999)));
    }

    #[test]
    fn what_cannot_be_read_is_refused() {
        for sent in [
            "",
            "-1",
            "+1",
            "1.",
            ".5",
            "1.5.5",
            "1.5s",
            "-1.5",
            "1393671600,5",
            "1e9",
            "1.5e9",
            " 1",
            "1 ",
            "0x10",
            "now",
            "100000000000000000",
            "99999999999999999999",
            "184467440737095516160",
            "2014-03-01",
            "2014-03-01T11:00:00",
            "2014-03-01T11:00:00.Z",
            "2014-03-01T11:00:00,5Z",
            "2014-02-29T11:00:00Z",
            "2014-00-01T11:00:00Z",
            "2014-13-01T11:00:00Z",
            "2014-04-31T11:00:00Z",
            "2014-04-00T11:00:00Z",
            "2014-03-01T24:00:00Z",
            "2014-03-01T11:60:00Z",
            "2014-03-01T11:00:61Z",
            "2014-03-01T11:00:00+24:00",
            "2014-03-01T11:00:00+0100",
            "2014-03-01T11:00:00+01:60",
            "2014-03-01T11:00:00*01:00",
            "2014-03-01T11:00:00ZZ",
            "2014/03/01T11:00:00Z",
            "1969-12-31T23:59:59Z",
            "1970-01-01T00:00:00+00:01",
            "0000-01-01T00:00:00Z",
            "2014-03-01T11:00:00\u{e9}Z",
            "2014-03-01T11:00:00.00000000000000000000000Z",
        ] {
            assert_eq!(Millis::parse(sent.as_bytes()), Err(NotATime), "{sent}");
        }
    }

    #[test]
    fn every_day_reads_back_from_its_text() {
        for day in 0..2_932_897 {
            let millis = Millis(day * DAY * 1000 + day % 86_400_000);
            let text = text(millis.0);
            assert_eq!(Millis::parse(text.as_bytes()), Ok(millis), "{text}");
        }
    }

    #[test]
    fn known_instants_have_their_known_texts() {
        assert_eq!(text(0), "1970-01-01T00:00:00.000Z");
        assert_eq!(text(951_782_399_999), "2000-02-28T23:59:59.999Z");
        assert_eq!(text(951_868_799_007), "2000-02-29T23:59:59.007Z");
        assert_eq!(text(253_402_300_800_000), "10000-01-01T00:00:00.000Z");
        assert_eq!(text(u64::MAX), "584556019-04-03T14:25:51.615Z");
        let mut out = b"x".to_vec();
        Millis(u64::MAX).write_decimal(&mut out);
        assert_eq!(out, b"x18446744073709551615");
    }

    #[test]
    fn nanoseconds_have_their_millisecond_and_hour() {
        assert_eq!(Millis::of_nanos(1_999_999), Millis(1));
        assert_eq!(Hour::of_nanos(7_200_000_000_000), Hour(2));
        assert_eq!(Millis(7_199_999).hour(), Hour(1));
    }
}

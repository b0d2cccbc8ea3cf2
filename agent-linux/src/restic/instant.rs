//! restic's times (RFC 3339) as timestamps.

use schema::Timestamp;

/// A time, and what clock and calendar showed where it was taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Moment {
    /// The instant.
    pub at: Timestamp,
    /// The year there.
    pub year: i64,
    /// The month, from 1.
    pub month: i64,
    /// The day of the month, from 1.
    pub day: i64,
    /// The hour of the day, from 0.
    pub hour: i64,
}

impl Moment {
    /// Days since 1970-01-01 there.
    pub(crate) fn days(&self) -> i64 {
        days_from_civil(self.year, self.month, self.day)
    }
}

/// Reads `2026-11-23T08:57:09.318945141Z` or one with an offset; `None` for anything else, and before 1970.
pub(crate) fn parse(text: &str) -> Option<Timestamp> {
    moment(text).map(|moment| moment.at)
}

/// The same in seconds and nanoseconds, as a file system has it.
pub(crate) fn nanos(text: &str) -> Option<(i64, i64)> {
    let seconds = i64::try_from(parse(text)?.0 / 1000).ok()?;
    let fraction = text.get(19..)?.strip_prefix('.').unwrap_or_default();
    let digits = fraction.bytes().take_while(u8::is_ascii_digit).chain(core::iter::repeat(b'0')).take(9);
    Some((seconds, digits.fold(0, |nanos, digit| nanos * 10 + i64::from(digit - b'0'))))
}

/// The same, with what the clock there showed.
pub(crate) fn moment(text: &str) -> Option<Moment> {
    let bytes = text.as_bytes();
    if !text.is_ascii() || bytes.len() < 20 {
        return None;
    }
    let number = |from: usize, to: usize| -> Option<i64> {
        let digits = text.get(from..to)?;
        digits.bytes().all(|b| b.is_ascii_digit()).then(|| digits.parse().ok())?
    };
    let marks = [(4, b'-'), (7, b'-'), (10, b'T'), (13, b':'), (16, b':')];
    if marks.iter().any(|&(at, mark)| bytes[at] != mark) {
        return None;
    }
    let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
    let (hour, minute, second) = (number(11, 13)?, number(14, 16)?, number(17, 19)?);
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let mut rest = &text[19..];
    let mut ms = 0;
    if let Some(fraction) = rest.strip_prefix('.') {
        let end = fraction.find(|c: char| !c.is_ascii_digit())?;
        let digits = &fraction[..end.min(3)];
        ms = digits.parse::<i64>().ok()? * 10_i64.pow(3 - u32::try_from(digits.len()).ok()?);
        rest = &fraction[end..];
    }
    let offset_minutes = match (rest.as_bytes().first()?, rest.len()) {
        (b'Z', 1) => 0,
        (sign @ (b'+' | b'-'), 6) if rest.as_bytes()[3] == b':' => {
            let at = text.len() - 6;
            let minutes = number(at + 1, at + 3)? * 60 + number(at + 4, at + 6)?;
            if *sign == b'+' { minutes } else { -minutes }
        }
        _ => return None,
    };
    let seconds = days_from_civil(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second;
    let at = u64::try_from((seconds - offset_minutes * 60) * 1000 + ms).ok().map(Timestamp)?;
    Some(Moment { at, year, month, day, hour })
}

/// Days since 1970-01-01 in the Gregorian calendar (Howard Hinnant's algorithm).
pub(crate) fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_of_restic_are_read_to_the_millisecond() {
        let cases = [
            ("1970-01-01T00:00:00Z", 0),
            ("2026-11-23T08:57:09.318945141Z", 1_795_424_229_318),
            ("2026-11-23T09:57:09.3+01:00", 1_795_424_229_300),
            ("2026-11-23T03:27:09.31-05:30", 1_795_424_229_310),
            ("2000-02-29T23:59:59Z", 951_868_799_000),
        ];
        for (text, ms) in cases {
            assert_eq!(parse(text), Some(Timestamp(ms)), "{text}");
        }
    }

    #[test]
    fn times_of_files_are_read_to_the_nanosecond() {
        for (text, time) in [
            ("2000-02-29T23:59:59Z", (951_868_799, 0)),
            ("2026-11-23T08:57:09.318945141Z", (1_795_424_229, 318_945_141)),
            ("2026-11-23T09:57:09.3+01:00", (1_795_424_229, 300_000_000)),
        ] {
            assert_eq!(nanos(text), Some(time), "{text}");
        }
        assert_eq!(nanos("yesterday"), None);
    }

    #[test]
    fn anything_else_is_no_time() {
        for junk in [
            "",
            "yesterday",
            "2026-11-23",
            "2026-13-23T08:57:09Z",
            "2026-11-23T08:57:09",
            "2026-11-23T08:57:09.",
            "2026-11-23T08:57:09.Z",
            "2026-11-23T08:57:09+1",
            "1969-12-31T23:59:59Z",
            "2026-11-23T08:57:0é.3Z",
        ] {
            assert_eq!(parse(junk), None, "{junk:?}");
        }
    }
}

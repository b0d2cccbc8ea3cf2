//! How figures and times are written: pure functions from values to words.

use schema::Timestamp;
use serde::Serialize;

const SECOND: u64 = 1_000;
const MINUTE: u64 = 60 * SECOND;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;

/// An instant as a page shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct When {
    /// Relative, or short.
    pub(crate) text: String,
    /// In full, for the title.
    pub(crate) exact: String,
    /// RFC 3339.
    pub(crate) iso: String,
}

impl When {
    /// How long ago, or how far ahead.
    pub(crate) fn ago(now: Timestamp, at: Timestamp) -> Self {
        Self { text: ago(now, at), exact: exact(at), iso: rfc3339(at) }
    }

    /// The time of day.
    pub(crate) fn clock(at: Timestamp) -> Self {
        Self { text: clock(at), exact: exact(at), iso: rfc3339(at) }
    }

    /// The day and time, for what is not today.
    pub(crate) fn until(at: Timestamp) -> Self {
        Self { text: strftime(at, "%a %-d %b %H:%M UTC"), exact: exact(at), iso: rfc3339(at) }
    }

    /// The day and time, short.
    pub(crate) fn short(at: Timestamp) -> Self {
        Self { text: strftime(at, "%a %-d %b %H:%M"), exact: exact(at), iso: rfc3339(at) }
    }
}

fn strftime(at: Timestamp, pattern: &str) -> String {
    let ms = i64::try_from(at.0).unwrap_or(i64::MAX);
    // The year 9999 is as far as the calendar goes; a peer's clock may say more.
    let instant = jiff::Timestamp::from_millisecond(ms).unwrap_or(jiff::Timestamp::MAX);
    instant.strftime(pattern).to_string()
}

/// `2026-11-23T06:41:12Z`.
pub fn rfc3339(at: Timestamp) -> String {
    strftime(at, "%Y-%m-%dT%H:%M:%SZ")
}

/// The instant of an RFC 3339 text.
pub(crate) fn from_rfc3339(text: &str) -> Option<Timestamp> {
    let instant: jiff::Timestamp = text.parse().ok()?;
    u64::try_from(instant.as_millisecond()).ok().map(Timestamp)
}

/// `Mon 23 Nov 2026 06:41:12 UTC`.
pub(crate) fn exact(at: Timestamp) -> String {
    strftime(at, "%a %-d %b %Y %H:%M:%S UTC")
}

/// `06:41:12`.
pub(crate) fn clock(at: Timestamp) -> String {
    strftime(at, "%H:%M:%S")
}

/// `2026-11-23`: as fields for a date have it.
pub(crate) fn day_of(at: Timestamp) -> String {
    strftime(at, "%Y-%m-%d")
}

/// `23 Nov`.
pub(crate) fn day(at: Timestamp) -> String {
    strftime(at, "%-d %b")
}

/// `3 d ago`, `in 19 min`, `now`.
#[must_use]
pub fn ago(now: Timestamp, at: Timestamp) -> String {
    if at > now {
        match at.ms_since(now) {
            ms if ms < SECOND => "now".to_owned(),
            ms => format!("in {}", span(ms)),
        }
    } else {
        match now.ms_since(at) {
            ms if ms < 2 * SECOND => "now".to_owned(),
            ms => format!("{} ago", span(ms)),
        }
    }
}

/// One unit, rounded down: `12 s`, `5 min`, `29 h`, `3 d`.
pub(crate) fn span(ms: u64) -> String {
    match ms {
        ms if ms < 2 * MINUTE => format!("{} s", ms / SECOND),
        ms if ms < 2 * HOUR => format!("{} min", ms / MINUTE),
        ms if ms < 2 * DAY => format!("{} h", ms / HOUR),
        ms => format!("{} d", ms / DAY),
    }
}

/// Two units: `2 h 12 min`, `4 s`.
pub(crate) fn duration(secs: u64) -> String {
    let (days, hours, minutes, rest) = (secs / 86_400, secs / 3_600 % 24, secs / 60 % 60, secs % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{rest} s"),
        (0, 0, m) if m < 10 && rest > 0 => format!("{m} min {rest} s"),
        (0, 0, m) => format!("{m} min"),
        (0, h, 0) => format!("{h} h"),
        (0, h, m) => format!("{h} h {m} min"),
        (d, 0, _) => format!("{d} d"),
        (d, h, _) => format!("{d} d {h} h"),
    }
}

/// Number and IEC unit apart: (`1.84`, `TiB`).
pub(crate) fn bytes_parts(bytes: u64) -> (String, &'static str) {
    const UNITS: [&str; 6] = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];
    let mut value = bytes as f64;
    let mut unit = 0;
    // 999.5 and more would be written with four digits.
    while value >= 999.5 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    let number = match value {
        _ if unit == 0 => format!("{bytes}"),
        value if value < 9.995 => format!("{value:.2}"),
        value if value < 99.95 => format!("{value:.1}"),
        value => count(value.round() as u64),
    };
    (number, UNITS[unit])
}

/// `1.84 TiB`.
pub(crate) fn bytes(bytes: u64) -> String {
    let (number, unit) = bytes_parts(bytes);
    format!("{number} {unit}")
}

/// `18,240`.
pub(crate) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// `1 file`, `18,240 files`.
pub(crate) fn many(number: u64, word: &str) -> String {
    format!("{} {word}{}", count(number), if number == 1 { "" } else { "s" })
}

/// The text, cut to `most` characters with an ellipsis.
pub(crate) fn cut(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        None => text.to_owned(),
        Some((end, _)) => format!("{}…", &text[..end]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_three_digits_and_a_binary_unit() {
        for (size, text) in [
            (0, "0 B"),
            (999, "999 B"),
            (1_000, "0.98 KiB"),
            (1_024, "1.00 KiB"),
            (10 * 1024 + 100, "10.1 KiB"),
            (212 << 30, "212 GiB"),
            (1_023 << 20, "1.00 GiB"),
            (2_023_101_441_925, "1.84 TiB"),
            (u64::MAX, "16,384 PiB"),
        ] {
            assert_eq!(bytes(size), text, "{size}");
        }
    }

    #[test]
    fn ages_have_one_unit_and_know_the_future() {
        let now = Timestamp(1_795_415_000_000);
        for (secs, text) in [
            (0, "now"),
            (12, "12 s ago"),
            (119, "119 s ago"),
            (120, "2 min ago"),
            (7_199, "119 min ago"),
            (29 * 3_600, "29 h ago"),
            (3 * 86_400 + 5, "3 d ago"),
        ] {
            assert_eq!(ago(now, Timestamp(now.0 - secs * 1_000)), text);
        }
        assert_eq!(ago(now, now.plus_ms(19 * 60_000)), "in 19 min");
    }

    #[test]
    fn durations_have_at_most_two_units() {
        for (secs, text) in [
            (4, "4 s"),
            (61, "1 min 1 s"),
            (660, "11 min"),
            (3_600, "1 h"),
            (7_920, "2 h 12 min"),
            (90_000, "1 d 1 h"),
        ] {
            assert_eq!(duration(secs), text);
        }
    }

    #[test]
    fn times_are_written_and_read_in_utc() {
        let at = Timestamp(1_795_415_472_000);
        assert_eq!(exact(at), "Mon 23 Nov 2026 06:31:12 UTC");
        assert_eq!(rfc3339(at), "2026-11-23T06:31:12Z");
        assert_eq!(from_rfc3339("2026-11-23T08:31:12+02:00"), Some(at));
        assert_eq!(from_rfc3339("yesterday"), None);
        assert!(exact(Timestamp(u64::MAX)).ends_with("UTC"), "an impossible clock is no panic");
    }

    #[test]
    fn long_text_is_cut_between_characters() {
        assert_eq!(cut("äöü", 2), "äö…");
        assert_eq!(cut("äö", 2), "äö");
        assert_eq!(many(1, "file"), "1 file");
        assert_eq!(many(18_240, "file"), "18,240 files");
    }
}

//! restic's keep rules, for the one question that restic itself can't be asked: would they keep a snapshot if only certain
//! ones of the newer were there? Pure.

use super::instant::{Moment, days_from_civil};
use schema::{Keep, Timestamp};

const DAY_MS: i64 = 86_400_000;
const HOUR_MS: i64 = 3_600_000;

/// A walk over snapshots, newest first, in the way restic walks over them.
#[derive(Clone, Debug)]
pub(crate) struct Walk {
    /// How many each rule may still keep, and in which of its spans the last kept one is: last, hourly, daily, weekly,
    /// monthly, yearly.
    rules: [(u16, i64); 6],
    within: Option<Span>,
    /// What is newer than this is kept by the rule `within`.
    newer_than: Option<Timestamp>,
    place: i64,
}

/// A length of time as restic writes it: `1y5m7d2h`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Span {
    years: i64,
    months: i64,
    days: i64,
    hours: i64,
}

impl Walk {
    pub(crate) fn by(keep: &Keep<'_>) -> Self {
        let counts = [keep.last, keep.hourly, keep.daily, keep.weekly, keep.monthly, keep.yearly];
        Self {
            rules: counts.map(|count| (count, -1)),
            within: Span::read(keep.within),
            newer_than: None,
            place: 0,
        }
    }

    /// Takes the next snapshot, no newer than the one before: whether the rules keep it.
    pub(crate) fn keeps(&mut self, next: &Moment) -> bool {
        if self.place == 0 {
            self.newer_than = self.within.map(|span| span.before(next));
        }
        let spans = [
            self.place,
            next.days() * 24 + next.hour,
            next.days(),
            (next.days() + 3).div_euclid(7),
            next.year * 12 + next.month,
            next.year,
        ];
        self.place += 1;
        let mut is_kept = self.newer_than.is_some_and(|limit| next.at > limit);
        for ((left, last), span) in self.rules.iter_mut().zip(spans) {
            if *left > 0 && *last != span {
                (*left, *last, is_kept) = (*left - 1, span, true);
            }
        }
        is_kept
    }

    /// Whether nothing older than this can be kept any more.
    pub(crate) fn is_over(&self, next: &Moment) -> bool {
        self.rules.iter().all(|(left, _)| *left == 0)
            && (self.within.is_none() || self.newer_than.is_some_and(|limit| next.at <= limit))
    }
}

impl Span {
    fn read(text: &str) -> Option<Self> {
        let (mut span, mut number) = (Self::default(), 0_i64);
        for byte in text.bytes() {
            if byte.is_ascii_digit() {
                number = number.saturating_mul(10).saturating_add(i64::from(byte - b'0')).min(1_000_000);
                continue;
            }
            match byte {
                b'y' => span.years = number,
                b'm' => span.months = number,
                b'd' => span.days = number,
                b'h' => span.hours = number,
                _ => return None,
            }
            number = 0;
        }
        (!text.is_empty()).then_some(span)
    }

    /// So long before a moment, by the calendar there: a day that the month does not have is one of the next month.
    fn before(&self, moment: &Moment) -> Timestamp {
        let months = moment.year * 12 + moment.month - 1 - self.years * 12 - self.months;
        let first = days_from_civil(months.div_euclid(12), months.rem_euclid(12) + 1, 1);
        let back = moment.days() - (first + moment.day - 1 - self.days);
        let at = i64::try_from(moment.at.0).unwrap_or(i64::MAX);
        let at =
            at.saturating_sub(back.saturating_mul(DAY_MS)).saturating_sub(self.hours.saturating_mul(HOUR_MS));
        Timestamp(u64::try_from(at).unwrap_or(0))
    }
}

#[cfg(test)]
mod tests {
    use super::super::instant::moment;
    use super::*;

    fn kept(keep: Keep<'_>, times: &[&str]) -> String {
        let mut walk = Walk::by(&keep);
        times.iter().map(|time| if walk.keeps(&moment(time).unwrap()) { 'k' } else { '-' }).collect()
    }

    #[test]
    fn each_rule_keeps_the_last_of_its_spans() {
        let times = [
            "2026-03-02T10:30:00Z", // a Monday
            "2026-03-02T10:10:00Z",
            "2026-03-02T09:00:00Z",
            "2026-03-01T23:00:00Z",
            "2026-02-28T23:00:00Z",
            "2025-12-31T23:00:00Z",
        ];
        let none = Keep::default();
        for (keep, wanted) in [
            (Keep { last: 2, ..none }, "kk----"),
            (Keep { hourly: 3, ..none }, "k-kk--"),
            (Keep { daily: 2, ..none }, "k--k--"),
            (Keep { weekly: 2, ..none }, "k--k--"),
            (Keep { monthly: 2, ..none }, "k---k-"),
            (Keep { yearly: 2, ..none }, "k----k"),
            (Keep { last: 1, yearly: 1, ..none }, "k-----"),
            (Keep { within: "1d", ..none }, "kkkk--"),
            (Keep { within: "2d12h", ..none }, "kkkkk-"),
            (Keep { within: "1h", yearly: 2, ..none }, "kk---k"),
        ] {
            assert_eq!(kept(keep, &times), wanted, "{keep:?}");
        }
    }

    #[test]
    fn a_span_goes_back_by_the_calendar() {
        let back = |text: &str, from: &str| Span::read(text).unwrap().before(&moment(from).unwrap());
        for (text, from, to) in [
            ("1m", "2026-03-31T12:00:00Z", "2026-03-03T12:00:00Z"),
            ("1y", "2024-02-29T12:00:00Z", "2023-03-01T12:00:00Z"),
            ("14m3d2h", "2026-03-05T01:00:00+02:00", "2025-01-01T23:00:00+02:00"),
        ] {
            assert_eq!(back(text, from), moment(to).unwrap().at, "{text} before {from}");
        }
        assert_eq!(Span::read(""), None);
        assert_eq!(back("9999y", "2026-01-01T00:00:00Z"), Timestamp(0));
    }

    #[test]
    fn the_day_is_the_one_where_the_snapshot_was_taken() {
        let times = ["2026-03-02T00:30:00+02:00", "2026-03-01T23:30:00+02:00"];
        assert_eq!(kept(Keep { daily: 2, ..Keep::default() }, &times), "kk");
    }
}

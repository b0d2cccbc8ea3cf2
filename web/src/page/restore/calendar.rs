//! A month of a source group: on which days there are snapshots. Days are those of UTC, as everywhere on pages.

use crate::format::{day_of, many};
use jiff::civil::Date;
use serde::Serialize;
use std::collections::BTreeMap;

/// A day of the month.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Day {
    pub(crate) number: i8,
    /// `27 November, 2 snapshots`.
    pub(crate) label: String,
    /// restic's id of the newest snapshot of the day; `None` = there is none.
    pub(crate) snapshot: Option<String>,
    /// The snapshot that is looked into is one of this day.
    pub(crate) current: bool,
}

/// Another month that has snapshots.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Month {
    /// `2026-11`, as it is asked for.
    pub(crate) value: String,
    /// `November 2026`.
    pub(crate) name: String,
}

/// A month, week by week, from Monday on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Calendar {
    pub(crate) name: String,
    /// The nearest month before this one that has snapshots.
    pub(crate) previous: Option<Month>,
    /// The nearest one after it.
    pub(crate) next: Option<Month>,
    /// Seven days each; `None` = it is of another month.
    pub(crate) weeks: Vec<Vec<Option<Day>>>,
}

#[cfg(test)]
impl Calendar {
    pub(crate) fn sample(s: &crate::sample::Sample) -> Self {
        let day = |number, snapshot, current| {
            Some(Day { number, label: s.text("27 November, 2 snapshots"), snapshot, current })
        };
        let id = || s.some("4d02a9f1c0ffee00");
        Self {
            name: s.text("November 2026"),
            previous: Some(Month { value: "2026-10".to_owned(), name: s.text("October 2026") }),
            next: None,
            weeks: vec![vec![None, day(1, None, false), day(2, id(), false), day(3, id(), true)]],
        }
    }
}

/// The first day of a month that is written as `2026-11`.
pub(super) fn month_of(text: &str) -> Option<Date> {
    let is_plain = text.len() == 7 && text.bytes().all(|b| b.is_ascii_digit() || b == b'-');
    is_plain.then(|| format!("{text}-01").parse().ok()).flatten()
}

/// The month as it is written in an address.
pub(super) fn written(month: Date) -> String {
    month.strftime("%Y-%m").to_string()
}

/// The calendar of snapshots, newest first, each with its time and id; `current` is the time of the one that is looked
/// into, whose month is shown unless another one is asked for.
pub(super) fn calendar<'a>(
    snapshots: impl Iterator<Item = (schema::Timestamp, &'a str)>,
    current: schema::Timestamp,
    asked: Option<Date>,
) -> Option<Calendar> {
    let date_of = |at| day_of(at).parse::<Date>().ok();
    let mut days: BTreeMap<Date, (&str, u64)> = BTreeMap::new();
    for (at, id) in snapshots {
        if let Some(date) = date_of(at) {
            days.entry(date).or_insert((id, 0)).1 += 1;
        }
    }
    let current = date_of(current)?;
    let first = asked.unwrap_or(current).first_of_month();
    let last = first.last_of_month();
    let month = |date: &Date| Month { value: written(*date), name: date.strftime("%B %Y").to_string() };
    let blank = usize::try_from(first.weekday().to_monday_zero_offset()).unwrap_or_default();
    let mut cells: Vec<Option<Day>> = vec![None; blank];
    cells.extend((1..=first.days_in_month()).map(|number| {
        let date = first.with().day(number).build().ok()?;
        let found = days.get(&date);
        let count = found.map_or_else(|| "no snapshot".to_owned(), |(_, count)| many(*count, "snapshot"));
        Some(Day {
            number,
            label: format!("{}, {count}", date.strftime("%-d %B")),
            snapshot: found.map(|(id, _)| (*id).to_owned()),
            current: date == current,
        })
    }));
    cells.resize(cells.len().next_multiple_of(7), None);
    Some(Calendar {
        name: month(&first).name,
        previous: days.range(..first).next_back().map(|(date, _)| month(date)),
        next: days.range(last..).find(|(date, _)| **date > last).map(|(date, _)| month(date)),
        weeks: cells.chunks(7).map(<[_]>::to_vec).collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use schema::Timestamp;

    fn at(text: &str) -> Timestamp {
        crate::format::from_rfc3339(text).unwrap()
    }

    fn numbers(calendar: &Calendar) -> Vec<String> {
        let cell = |cell: &Option<Day>| match cell {
            None => "..".to_owned(),
            Some(day) => format!("{:>2}{}", day.number, if day.snapshot.is_some() { "*" } else { "" }),
        };
        calendar.weeks.iter().map(|week| week.iter().map(cell).collect::<Vec<_>>().join(" ")).collect()
    }

    #[test]
    fn a_month_begins_on_its_weekday_and_shows_the_days_that_have_snapshots() {
        let rows = [
            (at("2026-11-27T23:59:59Z"), "c"),
            (at("2026-11-27T00:00:00Z"), "b"),
            (at("2026-11-01T12:00:00Z"), "a"),
            (at("2026-08-31T12:00:00Z"), "0"),
        ];
        let shown = calendar(rows.into_iter(), rows[1].0, None).unwrap();
        assert_eq!(shown.name, "November 2026");
        let weeks = numbers(&shown);
        assert_eq!(weeks[0], ".. .. .. .. .. ..  1*");
        assert_eq!(weeks[4], "23 24 25 26 27* 28 29");
        assert_eq!(weeks[5], "30 .. .. .. .. .. ..");
        let day = shown.weeks[4][4].as_ref().unwrap();
        assert_eq!((day.label.as_str(), day.current), ("27 November, 2 snapshots", true));
        assert_eq!(day.snapshot.as_deref(), Some("c"), "the newest of the day");
        assert_eq!(shown.weeks[4][5].as_ref().unwrap().label, "28 November, no snapshot");
        // Months without snapshots are passed over.
        let previous = shown.previous.unwrap();
        assert_eq!((previous.value.as_str(), previous.name.as_str()), ("2026-08", "August 2026"));
        assert_eq!(shown.next, None);
        let shown = calendar(rows.into_iter(), rows[1].0, month_of("2026-08")).unwrap();
        assert_eq!((shown.previous, shown.next.unwrap().value.as_str()), (None, "2026-11"));
        assert!(shown.weeks.iter().flatten().flatten().all(|day| !day.current));
    }

    #[test]
    fn what_is_no_month_asks_for_none() {
        assert!(month_of("2026-11").is_some());
        for text in ["", "2026", "2026-13", "2026-11-02", "20261-1", "-026-11", "2026-1ü"] {
            assert_eq!(month_of(text), None, "{text}");
        }
        let shown = calendar([(Timestamp(u64::MAX), "a")].into_iter(), Timestamp(u64::MAX), None).unwrap();
        assert_eq!(shown.name, "December 9999", "as far as the calendar goes");
    }
}

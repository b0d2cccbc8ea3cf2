//! Cron expressions in a time zone: five fields as in crontab(5), or a nickname such as `@weekly`.
//!
//! A wall clock time that daylight saving leaves out fires at the end of the gap; one that comes twice fires the
//! first time only.

use croner::errors::CronError as Wrong;
use croner::parser::{CronParser, Seconds, Year};
use croner::{CivilDate, CivilDateTime, CivilTime, CronDateTime, Resolution, Weekday};
use jiff::civil::DateTime;
use jiff::tz::{AmbiguousOffset, TimeZone};
use schema::Timestamp;
use std::cmp::Ordering;

/// Why a text is no cron expression.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum CronError {
    /// The expression is wrong.
    #[error("{0}")]
    Pattern(String),
    /// There is no such zone.
    #[error("there is no time zone {0}: give a name such as Europe/Helsinki")]
    Zone(String),
}

/// An expression and the zone in which it is meant.
#[derive(Clone, Debug)]
pub(crate) struct Cron {
    pattern: croner::Cron,
    zone: TimeZone,
}

impl Cron {
    /// Reads an expression.
    pub(crate) fn parse(text: &str, zone: &str) -> Result<Self, CronError> {
        let zone = TimeZone::get(zone).map_err(|_| CronError::Zone(zone.to_owned()))?;
        let parser = CronParser::builder().seconds(Seconds::Disallowed).year(Year::Disallowed).build();
        let pattern = parser.parse(text).map_err(|wrong| CronError::Pattern(words(&wrong)))?;
        Ok(Self { pattern, zone })
    }

    /// The first time behind `at`; `None` when there is none as far as the calendar goes.
    pub(crate) fn next_after(&self, at: Timestamp) -> Option<Timestamp> {
        let instant = jiff::Timestamp::from_millisecond(i64::try_from(at.0).ok()?).ok()?;
        let next = self.pattern.find_next_occurrence(&Local { instant, zone: &self.zone }, false).ok()?;
        u64::try_from(next.instant.as_millisecond()).ok().map(Timestamp).filter(|next| *next > at)
    }

    /// It in English.
    pub(crate) fn in_words(&self) -> String {
        self.pattern.describe().trim_end_matches('.').to_owned()
    }
}

fn words(wrong: &Wrong) -> String {
    match wrong {
        Wrong::InvalidPattern(text) | Wrong::IllegalCharacters(text) | Wrong::ComponentError(text) => {
            text.trim_end_matches('.').to_owned()
        }
        Wrong::EmptyPattern => "it is empty".to_owned(),
        other => other.to_string().trim_end_matches('.').to_owned(),
    }
}

/// An instant as croner walks with it.
#[derive(Clone)]
struct Local<'z> {
    instant: jiff::Timestamp,
    zone: &'z TimeZone,
}

impl CronDateTime for Local<'_> {
    fn to_civil(&self) -> CivilDateTime {
        let local = self.zone.to_datetime(self.instant);
        let part = |number: i8| u32::from(number.unsigned_abs());
        CivilDateTime::new(
            CivilDate::from_parts_unchecked(i32::from(local.year()), part(local.month()), part(local.day())),
            CivilTime::from_parts_unchecked(part(local.hour()), part(local.minute()), part(local.second())),
        )
    }

    fn civil_weekday(&self) -> Weekday {
        let day = self.zone.to_datetime(self.instant).weekday().to_sunday_zero_offset();
        Weekday::from_days_from_sunday(u32::from(day.unsigned_abs()))
    }

    fn resolve_civil(&self, civil: CivilDateTime) -> Result<Resolution<Self>, Wrong> {
        let date = |_| Wrong::InvalidDate;
        let part = |number: u32| i8::try_from(number).map_err(|_| Wrong::InvalidDate);
        let year = i16::try_from(civil.year()).map_err(|_| Wrong::InvalidDate)?;
        let (month, day, hour) = (part(civil.month())?, part(civil.day())?, part(civil.hour())?);
        let (minute, second) = (part(civil.minute())?, part(civil.second())?);
        let local = DateTime::new(year, month, day, hour, minute, second, 0).map_err(date)?;
        let at = |offset: jiff::tz::Offset| {
            let instant = offset.to_timestamp(local).map_err(date)?;
            Ok::<_, Wrong>(Self { instant, zone: self.zone })
        };
        Ok(match self.zone.to_ambiguous_timestamp(local).offset() {
            AmbiguousOffset::Unambiguous { offset } => Resolution::Single(at(offset)?),
            AmbiguousOffset::Fold { before, after } => Resolution::Ambiguous(at(before)?, at(after)?),
            AmbiguousOffset::Gap { .. } => Resolution::Gap,
        })
    }

    fn checked_add_seconds(&self, seconds: i64) -> Option<Self> {
        let instant = self.instant.checked_add(jiff::SignedDuration::from_secs(seconds)).ok()?;
        Some(Self { instant, zone: self.zone })
    }

    fn cmp_instant(&self, other: &Self) -> Ordering {
        self.instant.cmp(&other.instant)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        Timestamp(text.parse::<jiff::Timestamp>().unwrap().as_millisecond() as u64)
    }

    fn next(cron: &str, zone: &str, after: &str) -> String {
        let next = Cron::parse(cron, zone).unwrap().next_after(at(after)).unwrap();
        jiff::Timestamp::from_millisecond(next.0 as i64).unwrap().to_string()
    }

    #[test]
    fn it_fires_by_the_wall_clock_of_its_zone() {
        for (cron, zone, after, fires) in [
            ("0 4 * * *", "UTC", "2026-01-01T04:00:00Z", "2026-01-02T04:00:00Z"),
            ("0 4 * * *", "Europe/Helsinki", "2026-01-01T00:00:00Z", "2026-01-01T02:00:00Z"),
            ("30 1 * * SUN", "UTC", "2026-11-23T00:00:00Z", "2026-11-29T01:30:00Z"),
            ("@monthly", "UTC", "2026-11-23T00:00:00Z", "2026-12-01T00:00:00Z"),
            // Half past two does not exist on this day: it fires when the gap ends.
            ("30 2 * * *", "Europe/Berlin", "2026-03-28T12:00:00Z", "2026-03-29T01:00:00Z"),
            // And on this one twice: it fires the first time,
            ("30 2 * * *", "Europe/Berlin", "2026-10-24T12:00:00Z", "2026-10-25T00:30:00Z"),
            // and not the second.
            ("30 2 * * *", "Europe/Berlin", "2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z"),
        ] {
            assert_eq!(next(cron, zone, after), fires, "{cron} {zone} after {after}");
        }
    }

    #[test]
    fn what_is_no_expression_is_an_error_and_what_never_fires_says_so() {
        for cron in ["", "hello", "* * * *", "0 0 4 * * *", "61 * * * *", "* * * * * * 2030"] {
            assert!(Cron::parse(cron, "UTC").is_err(), "{cron}");
        }
        assert!(matches!(Cron::parse("0 4 * * *", "Europe/Nowhere"), Err(CronError::Zone(_))));
        assert_eq!(Cron::parse("0 0 30 2 *", "UTC").unwrap().next_after(Timestamp(0)), None);
        assert_eq!(Cron::parse("0 4 * * *", "UTC").unwrap().next_after(Timestamp(u64::MAX)), None);
        assert_eq!(Cron::parse("0 4 * * 0", "UTC").unwrap().in_words(), "At 04:00, on Sunday");
    }
}

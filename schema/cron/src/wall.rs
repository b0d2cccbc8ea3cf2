//! A wall clock without a time zone, for the library to walk on: what happens when clocks are changed is our own rule.

use croner::errors::CronError;
use croner::{CivilDate, CivilDateTime, CivilTime, CronDateTime, Resolution, Weekday};
use jiff::civil::DateTime;
use std::cmp::Ordering;

#[derive(Clone)]
pub(crate) struct Wall(pub(crate) DateTime);

impl CronDateTime for Wall {
    fn to_civil(&self) -> CivilDateTime {
        let (date, time) = (self.0.date(), self.0.time());
        // jiff holds nothing but real dates and times.
        CivilDateTime::new(
            CivilDate::from_ymd_opt(date.year().into(), date.month() as u32, date.day() as u32)
                .unwrap_or(CivilDate::from_parts_unchecked(1970, 1, 1)),
            CivilTime::from_hms_opt(time.hour() as u32, time.minute() as u32, time.second() as u32)
                .unwrap_or(CivilTime::MIDNIGHT),
        )
    }

    fn civil_weekday(&self) -> Weekday {
        Weekday::from_days_from_sunday(self.0.weekday().to_sunday_zero_offset() as u32)
    }

    fn resolve_civil(&self, civil: CivilDateTime) -> Result<Resolution<Self>, CronError> {
        let year = i16::try_from(civil.year()).map_err(|_| CronError::InvalidDate)?;
        let [month, day, hour, minute, second] =
            [civil.month(), civil.day(), civil.hour(), civil.minute(), civil.second()].map(|part| part as i8);
        DateTime::new(year, month, day, hour, minute, second, 0)
            .map(|wall| Resolution::Single(Self(wall)))
            .map_err(|_| CronError::InvalidDate)
    }

    fn checked_add_seconds(&self, seconds: i64) -> Option<Self> {
        self.0.checked_add(jiff::SignedDuration::from_secs(seconds)).ok().map(Self)
    }

    fn cmp_instant(&self, other: &Self) -> Ordering {
        self.0.cmp(&other.0)
    }
}

//! When a rule fires: days, windows and cron expressions by the wall clock of a zone.

use super::jitter::jitter_ms;
use crate::record::{Every, Rule, Window};
use crate::units::DAY_MS;
use cron::Cron;
use jiff::ToSpan;
use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;
use schema::Timestamp;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

const HOUR_MS: u64 = 3_600_000;
/// How many days are looked through for an open window: one may fall into the hour that daylight saving leaves out.
const LOOK_DAYS: i32 = 4;

/// A zone, and its name for cron.
pub(crate) struct Calendar<'a> {
    name: &'a str,
    zone: TimeZone,
}

impl<'a> Calendar<'a> {
    /// The calendar of a zone; of UTC where there is no such zone any more: good for telling times, and nothing is run
    /// by it.
    pub(crate) fn of(name: &'a str) -> Self {
        cron::find_zone(name).map_or(Self { name: "UTC", zone: TimeZone::UTC }, |zone| Self { name, zone })
    }

    /// Whether there is such a zone.
    pub(crate) fn knows(name: &str) -> bool {
        cron::is_timezone(name)
    }

    /// The wall clock.
    pub(crate) fn local(&self, at: Timestamp) -> DateTime {
        let ms = i64::try_from(at.0).unwrap_or(i64::MAX);
        self.zone.to_datetime(jiff::Timestamp::from_millisecond(ms).unwrap_or(jiff::Timestamp::MAX))
    }

    /// The instant of a wall clock; behind the gap, and the first of two.
    fn instant(&self, local: DateTime) -> Timestamp {
        let at = self.zone.to_timestamp(local).map_or(0, jiff::Timestamp::as_millisecond);
        Timestamp(u64::try_from(at).unwrap_or(0))
    }

    fn opening(&self, window: Window, date: Date) -> Timestamp {
        let minute = |number: u16| i8::try_from(number).unwrap_or(0);
        self.instant(date.at(minute(window.from / 60 % 24), minute(window.from % 60), 0, 0))
    }

    /// Whether a window is open.
    fn is_open(&self, window: Window, at: Timestamp) -> bool {
        let minute = minute_of_day(self.local(at));
        if window.from < window.until {
            (window.from..window.until).contains(&minute)
        } else {
            minute >= window.from || minute < window.until
        }
    }

    /// The day on which the window that was open last before `at` (or is open) began.
    fn night_of(&self, window: Window, at: Timestamp) -> Date {
        let local = self.local(at);
        let has_begun = minute_of_day(local) >= window.from;
        if has_begun { local.date() } else { local.date().saturating_sub(1.day()) }
    }

    /// The first instant from `at` on at which the window is open.
    pub(crate) fn open_from(&self, window: Option<Window>, at: Timestamp) -> Timestamp {
        let Some(window) = window.filter(|window| !self.is_open(*window, at)) else { return at };
        let today = self.local(at).date();
        (0..LOOK_DAYS)
            .map(|day| self.opening(window, today.saturating_add(day.days())))
            .find(|opening| *opening >= at && self.is_open(window, *opening))
            .unwrap_or(at)
    }

    /// When a rule fires next after it fired at `last`, before its window is looked at; always later than `last`.
    /// With days and a window it is nights that are counted, so that runs don't creep through the window; it is due
    /// `jitter` minutes after the window opens.
    pub(crate) fn next(&self, rule: &Rule, jitter: u16, last: Timestamp) -> Option<Timestamp> {
        let next = match &rule.every {
            Every::Hours(hours) => last.plus_ms(u64::from(*hours) * HOUR_MS),
            Every::Days(days) => {
                let days = i32::from(*days).days();
                match rule.window {
                    Some(window) => self
                        .opening(window, self.night_of(window, last).saturating_add(days))
                        .plus_ms(jitter_ms(jitter)),
                    None => self.instant(self.local(last).saturating_add(days)),
                }
            }
            Every::Cron(text) => return parsed(text, self.name)?.next_after(last),
        };
        // At the edges of daylight saving a day can seem to be none.
        Some(if next > last { next } else { last.plus_ms(DAY_MS) })
    }
}

thread_local! {
    /// What was parsed of late: to parse costs far more than to ask for the next time, a fleet has few different
    /// expressions, and each tick asks for all of them.
    static PARSED: RefCell<BTreeMap<(String, String), Rc<Cron>>> = const { RefCell::new(BTreeMap::new()) };
}
/// The most that are kept of them; then it begins anew.
const MAX_PARSED: usize = 256;

fn parsed(text: &str, zone: &str) -> Option<Rc<Cron>> {
    let key = (text.to_owned(), zone.to_owned());
    if let Some(known) = PARSED.with_borrow(|known| known.get(&key).cloned()) {
        return Some(known);
    }
    let cron = Rc::new(Cron::parse(text, zone).ok()?);
    PARSED.with_borrow_mut(|known| {
        if known.len() >= MAX_PARSED {
            known.clear();
        }
        known.insert(key, Rc::clone(&cron));
    });
    Some(cron)
}

fn minute_of_day(local: DateTime) -> u16 {
    u16::from(local.hour().unsigned_abs()) * 60 + u16::from(local.minute().unsigned_abs())
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn at(text: &str) -> Timestamp {
        Timestamp(text.parse::<jiff::Timestamp>().unwrap().as_millisecond() as u64)
    }

    fn rule(every: Every, window: Option<(u16, u16)>) -> Rule {
        let window = window.map(|(from, until)| Window { from: from * 60, until: until * 60 });
        Rule { enabled: true, every, window }
    }

    #[test]
    fn a_rule_fires_as_the_table_says() {
        let night = Some((2, 6));
        let over_midnight = Some((22, 4));
        let weekly = || Every::Cron("0 4 * * SUN".to_owned());
        for (zone, rule, last, due) in [
            // Nights are counted, whenever in the night it ran.
            ("UTC", rule(Every::Days(1), night), "2026-01-01T02:00:30Z", "2026-01-02T02:00:00Z"),
            ("UTC", rule(Every::Days(1), night), "2026-01-01T05:59:59Z", "2026-01-02T02:00:00Z"),
            ("UTC", rule(Every::Days(7), night), "2026-01-01T03:00:00Z", "2026-01-08T02:00:00Z"),
            // By hand at noon, or just before the window: the night before has had it.
            ("UTC", rule(Every::Days(1), night), "2026-01-01T12:00:00Z", "2026-01-02T02:00:00Z"),
            ("UTC", rule(Every::Days(7), night), "2026-01-08T01:00:00Z", "2026-01-14T02:00:00Z"),
            // A window over midnight belongs to the day on which it begins.
            ("UTC", rule(Every::Days(1), over_midnight), "2026-01-02T03:00:00Z", "2026-01-02T22:00:00Z"),
            ("UTC", rule(Every::Days(1), over_midnight), "2026-01-01T23:00:00Z", "2026-01-02T22:00:00Z"),
            // Without a window the wall clock stays, also over a change of it.
            ("Europe/Berlin", rule(Every::Days(1), None), "2026-03-28T11:00:00Z", "2026-03-29T10:00:00Z"),
            ("Europe/Berlin", rule(Every::Days(1), night), "2026-03-28T02:00:00Z", "2026-03-29T01:00:00Z"),
            ("UTC", rule(Every::Hours(12), night), "2026-01-01T03:00:00Z", "2026-01-01T15:00:00Z"),
            ("Europe/Berlin", rule(weekly(), None), "2026-03-22T03:00:00Z", "2026-03-29T02:00:00Z"),
        ] {
            assert_eq!(Calendar::of(zone).next(&rule, 0, at(last)), Some(at(due)), "{zone} {rule:?} {last}");
        }
    }

    #[test]
    fn a_window_opens_as_the_table_says() {
        let window = |from, until| Some(Window { from, until });
        for (zone, window, from, opens) in [
            ("UTC", window(120, 360), "2026-01-01T00:00:00Z", "2026-01-01T02:00:00Z"),
            ("UTC", window(120, 360), "2026-01-01T02:00:00Z", "2026-01-01T02:00:00Z"),
            ("UTC", window(120, 360), "2026-01-01T05:59:59Z", "2026-01-01T05:59:59Z"),
            ("UTC", window(120, 360), "2026-01-01T06:00:00Z", "2026-01-02T02:00:00Z"),
            ("UTC", window(1320, 240), "2026-01-01T03:59:00Z", "2026-01-01T03:59:00Z"),
            ("UTC", window(1320, 240), "2026-01-01T04:00:00Z", "2026-01-01T22:00:00Z"),
            ("UTC", None, "2026-01-01T04:00:00Z", "2026-01-01T04:00:00Z"),
            // From two to three does not exist on this day: the next night has it.
            ("Europe/Berlin", window(120, 180), "2026-03-29T00:00:00Z", "2026-03-30T00:00:00Z"),
        ] {
            let opens_at = Calendar::of(zone).open_from(window, at(from));
            assert_eq!(opens_at, at(opens), "{zone} {window:?} {from}");
        }
    }

    #[test]
    fn an_unknown_zone_counts_as_utc() {
        assert_eq!(Calendar::of("Europe/Nowhere").local(at("2026-07-01T12:00:00Z")).hour(), 12);
    }
}

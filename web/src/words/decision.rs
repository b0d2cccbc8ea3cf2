//! Decisions of maintenance in words, by the wall clock of their zone.

use super::hold::{held, refused};
use fleet::maintenance::{Action, Decision, MAX_TRIES, Reach, Why};
use fleet::record::{Maintenance, Window};
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use schema::Timestamp;

/// A decision in words: what it is, and the rest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DecisionWords {
    /// `due in 3 days`, `skipped`, `held back`.
    pub(crate) lead: String,
    /// `Thu 26 Nov, between 04:00 and 08:00`, `no admin credentials`.
    pub(crate) rest: String,
}

impl std::fmt::Display for DecisionWords {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "{}: {}", self.lead, self.rest)
    }
}

/// The words for a decision.
pub(crate) fn decision(decision: &Decision, now: Timestamp, settings: &Maintenance) -> DecisionWords {
    let mut words = of_all(decision, now, settings);
    if let Some((group, why)) = &decision.left_out {
        words.rest = format!("{}; without {}", words.rest, held(group, *why));
    }
    words
}

/// Whether it is not due because it was done today, by the wall clock of its zone.
pub(crate) fn is_done_today(decision: &Decision, now: Timestamp, settings: &Maintenance) -> bool {
    let Why::NotDue { done_at: Some(done_at) } = decision.why else { return false };
    let clock = WallClock::of(settings);
    decision.due_at.is_some() && clock.at(done_at).date() == clock.at(now).date()
}

/// The wall clock of a zone; of UTC where there is no such zone any more.
struct WallClock(TimeZone);

impl WallClock {
    fn of(settings: &Maintenance) -> Self {
        Self(cron::find_zone(&settings.timezone).unwrap_or(TimeZone::UTC))
    }

    fn at(&self, at: Timestamp) -> DateTime {
        let ms = i64::try_from(at.0).unwrap_or(i64::MAX);
        self.0.to_datetime(jiff::Timestamp::from_millisecond(ms).unwrap_or(jiff::Timestamp::MAX))
    }
}

fn of_all(decision: &Decision, now: Timestamp, settings: &Maintenance) -> DecisionWords {
    let clock = WallClock::of(settings);
    let window = settings.rule(decision.kind).and_then(|rule| rule.window);
    if let (Why::NotDue { .. }, Some(due_at)) = (&decision.why, decision.due_at) {
        if is_done_today(decision, now, settings) {
            let rest = format!("due again {}", when(&clock, now, due_at, window));
            return DecisionWords { lead: "done today".to_owned(), rest };
        }
        return not_due(&clock, now, due_at, window);
    }
    let due = || decision.due_at.map_or_else(String::new, |at| when(&clock, now, at, window));
    let rest = match &decision.why {
        Why::Off => "nothing is done here by itself".to_owned(),
        Why::NoRepository => "no repository credentials".to_owned(),
        Why::Replaced => "another repository is at its address: look at it first".to_owned(),
        Why::NoSnapshot => "nothing has been backed up yet".to_owned(),
        Why::BackupsHeld => "another machine took its place, and its backups are not started yet".to_owned(),
        Why::NoAdminCredentials => "no admin credentials".to_owned(),
        Why::AdminUnreadable => "the admin credentials can't be opened: set them again".to_owned(),
        Why::AdminForbidden => "the agent on this host refuses admin credentials".to_owned(),
        Why::AppendOnly => "the storage is append-only, and there are no admin credentials".to_owned(),
        Why::NoKeepRule => "no source group has a retention rule".to_owned(),
        Why::InProgress(since) => format!("since {}", moment(&clock, *since)),
        Why::NotDue { .. } | Why::Due => "it runs within a minute".to_owned(),
        Why::OutsideWindow => format!("its window opens {}", due()),
        Why::Retry(1) => format!("tried again {}, at most {MAX_TRIES} times in a row", due()),
        Why::Retry(n) => format!("{n} times in a row, tried again {}, at most {MAX_TRIES} times", due()),
        Why::GaveUp(n) => format!("{n} times in a row or more, tried again when it is due: {}", due()),
        Why::PutOff => format!("postponed by the host's policy, tried again {}", due()),
        Why::Never => "the cron expression never fires again".to_owned(),
        Why::NoTimeZone(name) => {
            format!("the time zone {name} is not known any more: choose another one")
        }
        Why::Unreachable(Reach::NotEnrolled) => "no agent is enrolled yet".to_owned(),
        Why::Unreachable(Reach::WireUnsupported) => "the agent speaks another protocol version".to_owned(),
        Why::Unreachable(Reach::Online | Reach::Offline) => "host is offline".to_owned(),
        Why::Locked(lock) => {
            let stale = if lock.stale { ", and the lock looks stale: unlock it" } else { "" };
            format!("the repository is locked since {}{stale}", moment(&clock, lock.since))
        }
        Why::OwnJob(kind) => format!("the {} of this host has not ended", kind.as_str()),
        Why::Neighbour { host, kind } => {
            format!("the {} of {host} uses the same repository", kind.as_str())
        }
        Why::Held { group, why } => held(group, *why),
        Why::ListFirst(group) => {
            format!("the snapshots are listed first, for those of {group} from before it was set up here")
        }
        Why::After(kind) => format!("{} comes first", kind.as_str()),
        Why::Refused(why) => refused(why),
    };
    let lead = match (&decision.why, decision.action) {
        (Why::Off, _) => "off",
        (Why::InProgress(_), _) => "in progress",
        (Why::Retry(_) | Why::GaveUp(_), Action::Wait) => "failed",
        (_, Action::Run) => "due now",
        (_, Action::Wait) => "due",
        (_, Action::Skip) => "skipped",
        (_, Action::Hold) => "held back",
    };
    DecisionWords { lead: lead.to_owned(), rest }
}

fn not_due(clock: &WallClock, now: Timestamp, due_at: Timestamp, window: Option<Window>) -> DecisionWords {
    let days = days_until(clock, now, due_at);
    let lead = match days {
        0 => "due today".to_owned(),
        1 => "due tomorrow".to_owned(),
        days => format!("due in {days} days"),
    };
    let hours = hours(clock, due_at, window);
    let rest = match days {
        0 | 1 => hours,
        _ if window.is_some() => format!("{}, {hours}", day(clock, now, due_at)),
        _ => format!("{} {hours}", day(clock, now, due_at)),
    };
    DecisionWords { lead, rest }
}

fn days_until(clock: &WallClock, now: Timestamp, at: Timestamp) -> i32 {
    let span = clock.at(at).date() - clock.at(now).date();
    span.get_days()
}

/// `today at 04:00`, `tomorrow, between 04:00 and 08:00`, `Thu 26 Nov 04:00`.
fn when(clock: &WallClock, now: Timestamp, at: Timestamp, window: Option<Window>) -> String {
    let hours = hours(clock, at, window);
    let day = match days_until(clock, now, at) {
        0 if window.is_none() => return hours,
        0 => "today".to_owned(),
        1 => "tomorrow".to_owned(),
        _ => day(clock, now, at),
    };
    if window.is_some() { format!("{day}, {hours}") } else { format!("{day} {hours}") }
}

fn hours(clock: &WallClock, at: Timestamp, window: Option<Window>) -> String {
    let time = || clock.at(at).strftime("%H:%M").to_string();
    // What is due inside the window (another try, say) is due at its time, not when the window opens.
    window.map_or_else(
        || format!("at {}", time()),
        |window| format!("between {} and {}", time(), window.ends()[1]),
    )
}

/// With the year where it could be taken for a nearer one.
fn day(clock: &WallClock, now: Timestamp, at: Timestamp) -> String {
    let form = if days_until(clock, now, at) > 300 { "%a %-d %b %Y" } else { "%a %-d %b" };
    clock.at(at).strftime(form).to_string()
}

fn moment(clock: &WallClock, at: Timestamp) -> String {
    clock.at(at).strftime("%a %-d %b %H:%M").to_string()
}

#[cfg(test)]
mod tests;

//! Decisions in words, by the wall clock of their zone.

use super::calendar::Calendar;
use super::decide::{Action, Decision, MAX_TRIES, Reach, Why};
use crate::record::{Maintenance, Window};
use crate::refused::held_words;
use schema::Timestamp;

/// A decision in words: what it is, and the rest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Words {
    /// `due in 3 days`, `skipped`, `held back`.
    pub lead: String,
    /// `Thu 26 Nov, between 04:00 and 08:00`, `no admin credentials`.
    pub rest: String,
}

impl std::fmt::Display for Words {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "{}: {}", self.lead, self.rest)
    }
}

impl Decision {
    /// The words for it.
    #[must_use]
    pub fn words(&self, now: Timestamp, settings: &Maintenance) -> Words {
        let mut words = self.words_of_all(now, settings);
        if let Some((group, why)) = &self.left_out {
            words.rest = format!("{}; without {}", words.rest, held_words(group, *why));
        }
        words
    }

    fn words_of_all(&self, now: Timestamp, settings: &Maintenance) -> Words {
        let calendar = Calendar::of(&settings.timezone);
        let window = settings.rule(self.kind).and_then(|rule| rule.window);
        if let (Why::NotDue { done_at }, Some(due_at)) = (&self.why, self.due_at) {
            return not_due(&calendar, now, due_at, window, *done_at);
        }
        let due = || self.due_at.map_or_else(String::new, |at| when(&calendar, now, at, window));
        let rest = match &self.why {
            Why::Off => "nothing is done here by itself".to_owned(),
            Why::NoRepository => "no repository credentials".to_owned(),
            Why::Replaced => "another repository is at its address: look at it first".to_owned(),
            Why::NoSnapshot => "nothing has been backed up yet".to_owned(),
            Why::NoAdminCredentials => "no admin credentials".to_owned(),
            Why::AdminUnreadable => "the admin credentials can't be opened: set them again".to_owned(),
            Why::AdminForbidden => "the agent on this host refuses admin credentials".to_owned(),
            Why::AppendOnly => "the storage is append-only, and there are no admin credentials".to_owned(),
            Why::NoKeepRule => "no source group has a keep rule".to_owned(),
            Why::InProgress(since) => format!("since {}", moment(&calendar, *since)),
            Why::NotDue { .. } | Why::Due => "it runs within a minute".to_owned(),
            Why::OutsideWindow => format!("its window opens {}", due()),
            Why::Retry(1) => format!("tried again {}, at most {MAX_TRIES} times in a row", due()),
            Why::Retry(n) => {
                format!("{n} times in a row, tried again {}, at most {MAX_TRIES} times", due())
            }
            Why::GaveUp(n) => format!("{n} times in a row or more, tried again when it is due: {}", due()),
            Why::PutOff => format!("the host put it off, tried again {}", due()),
            Why::Never => "the cron expression never fires again".to_owned(),
            Why::NoTimeZone(name) => {
                format!("the time zone {name} is not known any more: choose another one")
            }
            Why::Unreachable(Reach::NotEnrolled) => "no agent is enrolled yet".to_owned(),
            Why::Unreachable(Reach::WireUnsupported) => "the agent can't be spoken with".to_owned(),
            Why::Unreachable(_) => "host is offline".to_owned(),
            Why::Locked(lock) => {
                let stale = if lock.stale { ", and the lock looks stale: unlock it" } else { "" };
                format!("the repository is locked since {}{stale}", moment(&calendar, lock.since))
            }
            Why::OwnJob(kind) => format!("the {} of this host has not ended", kind.as_str()),
            Why::Neighbour { host, kind } => {
                format!("the {} of {host} uses the same repository", kind.as_str())
            }
            Why::Held { group, why } => held_words(group, *why),
            Why::ListFirst(group) => {
                format!("the snapshots are listed first, for those of {group} from before it was set up here")
            }
            Why::After(kind) => format!("{} comes first", kind.as_str()),
            Why::Refused(words) => words.clone(),
        };
        let lead = match (&self.why, self.action) {
            (Why::Off, _) => "off",
            (Why::InProgress(_), _) => "in progress",
            (Why::Retry(_) | Why::GaveUp(_), Action::Wait) => "failed",
            (_, Action::Run) => "due now",
            (_, Action::Wait) => "due",
            (_, Action::Skip) => "skipped",
            (_, Action::Hold) => "held back",
        };
        Words { lead: lead.to_owned(), rest }
    }
}

fn not_due(
    calendar: &Calendar<'_>,
    now: Timestamp,
    due_at: Timestamp,
    window: Option<Window>,
    done_at: Option<Timestamp>,
) -> Words {
    let today = calendar.local(now).date();
    if done_at.is_some_and(|at| calendar.local(at).date() == today) {
        let rest = format!("due again {}", when(calendar, now, due_at, window));
        return Words { lead: "done today".to_owned(), rest };
    }
    let lead = match days_until(calendar, now, due_at) {
        0 => "due today".to_owned(),
        1 => "due tomorrow".to_owned(),
        days => format!("due in {days} days"),
    };
    let hours = hours(calendar, due_at, window);
    let rest = match days_until(calendar, now, due_at) {
        0 | 1 => hours,
        _ if window.is_some() => format!("{}, {hours}", day(calendar, now, due_at)),
        _ => format!("{} {hours}", day(calendar, now, due_at)),
    };
    Words { lead, rest }
}

fn days_until(calendar: &Calendar<'_>, now: Timestamp, at: Timestamp) -> i32 {
    let span = calendar.local(at).date() - calendar.local(now).date();
    span.get_days()
}

/// `today at 04:00`, `tomorrow, between 04:00 and 08:00`, `Thu 26 Nov 04:00`.
fn when(calendar: &Calendar<'_>, now: Timestamp, at: Timestamp, window: Option<Window>) -> String {
    let hours = hours(calendar, at, window);
    let day = match days_until(calendar, now, at) {
        0 if window.is_none() => return hours,
        0 => "today".to_owned(),
        1 => "tomorrow".to_owned(),
        _ => day(calendar, now, at),
    };
    if window.is_some() { format!("{day}, {hours}") } else { format!("{day} {hours}") }
}

fn hours(calendar: &Calendar<'_>, at: Timestamp, window: Option<Window>) -> String {
    let time = || calendar.local(at).strftime("%H:%M").to_string();
    // What is due inside the window (another try, say) is due at its time, not when the window opens.
    window.map_or_else(
        || format!("at {}", time()),
        |window| format!("between {} and {}", time(), window.ends()[1]),
    )
}

/// With the year where it could be taken for a nearer one.
fn day(calendar: &Calendar<'_>, now: Timestamp, at: Timestamp) -> String {
    let form = if days_until(calendar, now, at) > 300 { "%a %-d %b %Y" } else { "%a %-d %b" };
    calendar.local(at).strftime(form).to_string()
}

fn moment(calendar: &Calendar<'_>, at: Timestamp) -> String {
    calendar.local(at).strftime("%a %-d %b %H:%M").to_string()
}

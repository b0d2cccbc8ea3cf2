//! How the last check stands: one function for the page, the API and the view tree.

use super::calendar::Calendar;
use crate::record::{CheckSeen, Maintenance};
use crate::units::DAY_MS;
use schema::Timestamp;

/// Where nothing is checked by itself, a check is overdue after this.
const OVERDUE_WHEN_OFF_MS: u64 = 35 * DAY_MS;

/// How the last check stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CheckStatus {
    /// It found no errors, and is not too old.
    Ok,
    /// It found errors.
    Errors,
    /// It found none, but the next two were due since.
    Overdue,
    /// There is none.
    Never,
}

impl CheckStatus {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Ok, Self::Errors, Self::Overdue, Self::Never];

    /// Its word in the API and the view tree.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Errors => "errors",
            Self::Overdue => "overdue",
            Self::Never => "never",
        }
    }
}

/// Judges the last check by the settings. One that is missed is no reason to worry, two are.
#[must_use]
pub fn check_status(check: Option<&CheckSeen>, settings: &Maintenance, now: Timestamp) -> CheckStatus {
    let Some(check) = check else { return CheckStatus::Never };
    if check.errors > 0 {
        return CheckStatus::Errors;
    }
    let overdue_at = overdue_at(check.at, settings);
    if overdue_at.is_some_and(|overdue_at| now > overdue_at) { CheckStatus::Overdue } else { CheckStatus::Ok }
}

/// When it is too long ago that a repository was checked, or was found; `None` = its rule is never due.
pub(crate) fn overdue_at(since: Timestamp, settings: &Maintenance) -> Option<Timestamp> {
    let rule = &settings.check;
    if !rule.enabled {
        return Some(since.plus_ms(OVERDUE_WHEN_OFF_MS));
    }
    let calendar = Calendar::of(&settings.timezone);
    // The whole window of the second belongs to it.
    let next = |at| calendar.next(rule, 0, at).map(|next| calendar.open_from(rule.window, next));
    next(since).and_then(next).map(|second| second.plus_ms(DAY_MS))
}

/// How long a proof counts where nothing is proven by itself.
const PROVEN_WHEN_OFF_MS: u64 = 62 * DAY_MS;

/// When a group that could be proven since then is unproven. A proof counts for twice its interval; before the first one
/// a group has as long as its first drill can take to be due, and two days for a host that is away in that night. `None`
/// = its rule is never due, or it is off and nothing was proven.
pub(crate) fn unproven_at(
    since: Timestamp,
    proven_at: Option<Timestamp>,
    settings: &Maintenance,
) -> Option<Timestamp> {
    let rule = &settings.drill;
    if !rule.enabled {
        return proven_at.map(|at| at.plus_ms(PROVEN_WHEN_OFF_MS));
    }
    let calendar = Calendar::of(&settings.timezone);
    let next = |at| calendar.next(rule, 0, at).map(|next| calendar.open_from(rule.window, next));
    match proven_at {
        Some(at) => next(at).and_then(next).map(|second| second.plus_ms(DAY_MS)),
        None => next(since).map(|first| first.plus_ms(2 * DAY_MS)),
    }
}

#[cfg(test)]
mod tests {
    use super::super::calendar::tests::at;
    use super::*;

    #[test]
    fn a_proof_counts_for_twice_its_interval_and_the_first_one_is_waited_for() {
        let settings = Maintenance::default();
        let mut off = settings.clone();
        off.drill.enabled = false;
        let since = at("2026-01-01T03:00:00Z");
        let day = |proven, settings: &Maintenance| unproven_at(since, proven, settings);
        assert_eq!(day(None, &settings), Some(at("2026-02-02T02:00:00Z")));
        let proven = at("2026-01-10T03:00:00Z");
        assert_eq!(day(Some(proven), &settings), Some(at("2026-03-12T02:00:00Z")));
        assert_eq!(day(None, &off), None);
        assert_eq!(day(Some(proven), &off), Some(proven.plus_ms(PROVEN_WHEN_OFF_MS)));
    }

    #[test]
    fn a_check_stands_as_the_table_says() {
        use CheckStatus as S;
        let settings = Maintenance::default();
        let mut off = settings.clone();
        off.check.enabled = false;
        let checked = at("2026-01-01T03:00:00Z");
        for (what, errors, settings, now, status) in [
            ("just now", 0, &settings, "2026-01-01T03:00:00Z", S::Ok),
            ("one was missed", 0, &settings, "2026-01-14T00:00:00Z", S::Ok),
            ("the second was due and may still run", 0, &settings, "2026-01-15T12:00:00Z", S::Ok),
            ("two were missed", 0, &settings, "2026-01-16T12:00:00Z", S::Overdue),
            ("errors are told first", 2, &settings, "2026-02-01T00:00:00Z", S::Errors),
            ("off, a month old", 0, &off, "2026-01-31T00:00:00Z", S::Ok),
            ("off, and old", 0, &off, "2026-02-06T00:00:00Z", S::Overdue),
        ] {
            let check = CheckSeen { at: checked, errors, subset_pct: 5, by: None };
            assert_eq!(check_status(Some(&check), settings, at(now)), status, "{what}");
        }
        assert_eq!(check_status(None, &settings, checked), S::Never);
    }
}

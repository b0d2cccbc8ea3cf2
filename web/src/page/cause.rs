//! Why a host needs a person, in words, and the one safe step.

use super::attention::SafeAction;
use crate::explanation::{Explanation, NextStep};
use crate::words::reason;
use fleet::{Ended, HostRow, Reason, Status};
use schema::{JobId, JobKind, Timestamp};
use std::borrow::Cow;

/// The one safe step, before it is put into words and an address.
pub(super) enum Next {
    /// Look at a page of the host.
    Look(&'static str, &'static str),
    /// Set something there.
    Set(&'static str, &'static str),
    /// See why a job did not succeed.
    Job(JobId),
    /// See what waits.
    Pending,
    /// Credentials are the cause.
    Credentials(&'static str),
}

impl Next {
    pub(super) fn action(self, host: &str) -> SafeAction {
        match self {
            Self::Look(words, path) => SafeAction::look(words, format!("/hosts/{host}{path}")),
            Self::Set(words, path) => SafeAction::set(words, format!("/hosts/{host}{path}")),
            Self::Job(job) => SafeAction::look("See why", format!("/jobs/{job}")),
            Self::Pending => SafeAction::look("See why", "/pending".to_owned()),
            Self::Credentials(words) => SafeAction::set(words, format!("/hosts/{host}/repo#connection")),
        }
    }
}

/// The heading of a cause that has one of its own, where the reason's words say less, or how long it lasts.
const fn heading(status: Status, reason: &Reason) -> Option<&'static str> {
    Some(match reason {
        Reason::Wire { .. } => "The agent speaks another protocol version",
        Reason::Quarantine { .. } => "Two machines have its identity",
        Reason::NotEnrolled => "No agent enrolled yet",
        Reason::NoRepository => "Has no repository credentials",
        Reason::NoGroup => "Has nothing to back up",
        Reason::Never { .. } if matches!(status, Status::New) => "Never backed up",
        Reason::Missed { .. } => "A due backup waits",
        Reason::Old { .. } => "The last good backup is too old",
        Reason::CheckOverdue { .. } => "The check of the repository is overdue",
        _ => return None,
    })
}

/// The backup that a state comes from, where there is something to explain.
pub(super) fn end_of(row: &HostRow) -> Option<(Ended, Explanation)> {
    let from = row.from?;
    Some((from, Explanation::of_end(JobKind::Backup, from.state, from.refusal, from.class, from.agent_gone)?))
}

/// The cause of a host that needs a person, and the one safe step.
pub(super) fn cause_of(now: Timestamp, row: &HostRow) -> (Cow<'static, str>, Next) {
    match end_of(row).filter(|_| row.reason.mended_at().is_none()) {
        Some((_, cause)) if cause.step == NextStep::RepoCredentials => {
            return (cause.title.into(), Next::Credentials(cause.step_words));
        }
        Some((from, cause)) => return (cause.title.into(), Next::Job(from.job)),
        None => {}
    }
    let words =
        heading(row.status, &row.reason).map_or_else(|| reason(&row.reason, now).into(), Cow::Borrowed);
    let next = match row.reason {
        Reason::Wire { .. } => Next::Look("What to do", ""),
        Reason::Quarantine { .. } => Next::Look("What to do", "/quarantine"),
        Reason::NotEnrolled => Next::Set("Enrol it", "/enrol"),
        Reason::NoRepository => Next::Set("Set credentials", "/repo#connection"),
        Reason::NoGroup => Next::Set("Add group", "/new-group"),
        Reason::Missed { .. } => Next::Pending,
        Reason::BackupsHeld { .. } => Next::Look("Restore, then start", "#held"),
        Reason::Offline { .. } => Next::Look("What to check", ""),
        Reason::CheckOverdue { .. } => Next::Look("See why", "/repo#maintenance"),
        Reason::NoSchedule { .. } => Next::Set("Add schedule", "/new-schedule"),
        Reason::CredentialsRefused { .. } => Next::Credentials("Set credentials"),
        Reason::Unusual { .. } => Next::Look("Look at it", "#groups"),
        Reason::Mended { .. } => Next::Set("Back up now", "#groups"),
        _ => Next::Look("Look at it", ""),
    };
    (words, next)
}

//! What a host that needs somebody begins with: its incident.

use super::attention::SafeAction;
use super::cause::{cause_of, end_of};
use super::soundness::found;
use crate::format::{When, ago, many, span};
use crate::words::{advice, by};
use ::fleet::record::{Cause, Severity, UnusualBackups};
use ::fleet::{CauseGroup, FleetState, HostRow, IncidentState, Reason, StoreError};
use schema::Timestamp;
use serde::Serialize;

/// The incident of a host.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct HostIncident {
    /// Since when, and how many hosts it meets.
    pub(crate) label: String,
    pub(crate) is_critical: bool,
    pub(crate) cause: String,
    /// What probably happened and what to do.
    pub(crate) text: Option<&'static str>,
    /// What an unusual backup found: from what to what.
    pub(crate) found: Option<String>,
    /// How many others have the same.
    pub(crate) others: Option<String>,
    /// What was saved is safe.
    pub(crate) safe: String,
    /// The one safe step; `None` = it would lead to this very page.
    pub(crate) action: Option<SafeAction>,
    /// Its own page; `None` = it is not written down yet.
    pub(crate) href: Option<String>,
    pub(crate) acked: Option<String>,
}

impl HostIncident {
    /// `None` = the host needs nobody, somebody knows, or the page has words of its own for it.
    pub(crate) fn read(state: &FleetState, row: &HostRow) -> Result<Option<Self>, StoreError> {
        if !row.needs_attention() {
            return Ok(None);
        }
        let groups = state.cause_groups()?;
        let group = groups.of(row.host.id).filter(|group| !has_its_own_words(group.incident.cause));
        let Some(mut incident) = group.map(|group| Self::new(state.now(), row, group)) else {
            return Ok(None);
        };
        if let Reason::Unusual { group, .. } = &row.reason
            && let Some(unusual) = unusual_backups(state, row, group.as_deref())?
        {
            incident.found = Some(found(&unusual));
            incident.action = Some(SafeAction::look("See the backup", format!("/jobs/{}", unusual.last.job)));
        }
        Ok(Some(incident))
    }

    fn new(now: Timestamp, row: &HostRow, group: &CauseGroup) -> Self {
        let incident = &group.incident;
        let (cause, next) = cause_of(now, row);
        let host = row.host.id.to_string();
        Self {
            label: label(now, group),
            is_critical: incident.severity == Severity::Critical,
            cause: cause.into_owned(),
            text: match row.reason.mended_at() {
                Some(_) => Some(
                    "It was tried since, and works again. The host is not protected until a backup has ended well: the next \
                     one shows it, and this goes by itself.",
                ),
                None => {
                    end_of(row).map(|(_, explanation)| explanation.text).or_else(|| advice(incident.cause))
                }
            },
            found: None,
            others: others(group),
            safe: safe(now, row),
            action: Some(next.action(&host)).filter(|step| step.href != format!("/hosts/{host}")),
            href: group.is_stored.then(|| format!("/incidents/{}", incident.id)),
            acked: incident
                .ack
                .as_ref()
                .map(|ack| format!("Acknowledged by {} until {}.", by(&ack.by), When::until(ack.until).text)),
        }
    }
}

/// The unusual backups of a group at which nobody has looked; `None` for the group = of the first that has some.
fn unusual_backups(
    state: &FleetState,
    row: &HostRow,
    group: Option<&str>,
) -> Result<Option<UnusualBackups>, StoreError> {
    for known in state.groups(row.host.id)? {
        if group.is_none_or(|group| group == known.name)
            && let Some(unusual) = state.soundness(row.host.id, &known.name)?.unusual
        {
            return Ok(Some(unusual));
        }
    }
    Ok(None)
}

/// Set-up, a held host and a quarantine are told by the page itself, with what to do.
const fn has_its_own_words(cause: Cause) -> bool {
    matches!(
        cause,
        Cause::NotEnrolled
            | Cause::NoRepository
            | Cause::NoGroup
            | Cause::Never
            | Cause::BackupsHeld
            | Cause::Quarantine
            | Cause::Wire
    )
}

fn label(now: Timestamp, group: &CauseGroup) -> String {
    let incident = &group.incident;
    let word = match IncidentState::of(incident) {
        IncidentState::Open | IncidentState::Ended => "Open",
        IncidentState::Noticed => "Noticed",
    };
    let hosts = match group.hosts.len() {
        1 => String::new(),
        all => format!(", {}", many(all as u64, "host")),
    };
    let since = incident.since;
    format!("{word} since {}, {}{hosts}", When::until(since).text, span(now.ms_since(since)))
}

fn others(group: &CauseGroup) -> Option<String> {
    let others = (group.hosts.len() as u64).checked_sub(1).filter(|others| *others > 0)?;
    let (hosts, see) = (many(others, "other host"), if others == 1 { "has" } else { "have" });
    Some(match &group.incident.storage {
        Some(storage) => format!("{hosts} at {storage} {see} the same, so the cause is probably there."),
        None => format!("{hosts} {see} the same."),
    })
}

fn safe(now: Timestamp, row: &HostRow) -> String {
    let good = match row.last_good_at {
        Some(at) => format!("Last good backup {}.", ago(now, at)),
        None => "No good backup so far.".to_owned(),
    };
    let next = row.next_run_at.map(|at| format!(" Next run {}.", ago(now, at)));
    format!("{good}{}", next.unwrap_or_default())
}

#[cfg(test)]
impl HostIncident {
    pub(crate) fn sample(s: &crate::sample::Sample) -> Self {
        Self {
            label: s.text("Open since Mon 23 Nov 06:41 UTC, 3 h, 7 hosts"),
            is_critical: true,
            cause: s.text("Repository can't be reached"),
            text: Some("The storage did not answer."),
            found: s.some("120 of 124 files are not as they were."),
            others: s.some("6 other hosts at nas:8000 have the same, so the cause is probably there."),
            safe: s.text("Last good backup 1 d ago. Next run in 3 h."),
            action: Some(SafeAction::look("See why", "/jobs/01".to_owned())),
            href: Some("/incidents/01".to_owned()),
            acked: s.some("Acknowledged by mira until Mon 30 Nov 08:00 UTC."),
        }
    }
}

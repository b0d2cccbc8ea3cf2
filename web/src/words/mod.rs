//! What jobs, states and outcomes are called on pages, and in the API where it says the same in words.

mod archives;
mod damage;
mod decision;
mod hold;
mod incident;
mod kits;
mod notices;
mod pending;
mod period;
mod protection;
mod reason;
mod standbys;
mod terms;

pub(crate) use archives::{ArchivesWords, archives};
pub(crate) use damage::unreadable;
pub(crate) use decision::{DecisionWords, decision, is_done_today};
pub(crate) use hold::{hold, refused};
pub(crate) use incident::{advice, cause_title, ending, incident_label, incident_title};
pub(crate) use kits::{gap, kits};
pub(crate) use notices::{channel_leads_to, channel_state, channel_waits, notices, webhook_form};
pub(crate) use pending::{given_up, setback};
#[cfg(test)]
pub(crate) use period::PeriodLine;
#[cfg(test)]
pub(crate) use period::sample as period_sample;
pub(crate) use period::{AHEAD_DAYS, PeriodPart, PeriodWords, period_words};
pub(crate) use protection::protected;
pub(crate) use reason::{reason, reason_of_several};
pub(crate) use standbys::{former, heard, late_standbys, succession};
pub(crate) use terms::{class, job_kind, overwrite, restore_target};

use crate::format::{bytes, count, cut, duration, many};
use fleet::record::*;
use fleet::{HostRow, Status};
use schema::Slot;
use serde::Serialize;
use std::collections::BTreeMap;

/// A state with its word; the template knows the shape and the colour of the state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Badge {
    pub(crate) state: &'static str,
    pub(crate) text: String,
}

impl Badge {
    pub(crate) fn new(state: &'static str, text: impl Into<String>) -> Self {
        Self { state, text: text.into() }
    }
}

/// The state of a status in the templates.
pub(crate) const fn status_state(status: Status) -> &'static str {
    match status {
        Status::Failed => "failed",
        Status::Offline => "offline",
        Status::Missed => "missed",
        Status::Stale | Status::Warning | Status::CheckOverdue => "warning",
        Status::Running => "running",
        Status::New => "never",
        Status::Unproven => "unproven",
        Status::Ok => "ok",
    }
}

/// How a host stands, short.
pub(crate) fn host_badge(row: &HostRow) -> Badge {
    let plain = match row.status {
        Status::Failed => "Failed",
        Status::Offline => "Offline",
        Status::Missed => "Missed",
        Status::Stale => "Stale",
        Status::Warning => "Warning",
        Status::CheckOverdue => "Check overdue",
        Status::Running => "Running",
        Status::New => "Never backed up",
        Status::Unproven => "Unproven",
        Status::Ok => "Ok",
    };
    let why = reason(&row.reason, row.now);
    let text = if why.is_empty() { plain.to_owned() } else { why };
    match row.is_known {
        true => Badge::new(status_state(row.status), text),
        false => Badge::new("unset", format!("Last known: {text}")),
    }
}

/// The state of a job in the templates.
pub(crate) const fn job_state(state: JobState) -> &'static str {
    match state {
        JobState::Queued | JobState::Sent | JobState::Accepted => "queued",
        JobState::Running => "running",
        JobState::Succeeded => "ok",
        JobState::Warning => "warning",
        JobState::Failed | JobState::Lost => "failed",
        JobState::Cancelled => "cancelled",
    }
}

/// The state of a job with its word.
pub(crate) fn job_badge(job: &Job) -> Badge {
    let text = match job.state {
        JobState::Queued => "Queued",
        JobState::Sent => "Sent",
        JobState::Accepted => "Accepted",
        JobState::Running if job.cancel_asked_at.is_some() => "Being cancelled",
        JobState::Running => "Running",
        JobState::Succeeded => "Succeeded",
        JobState::Warning => "Warning",
        JobState::Failed => "Failed",
        JobState::Cancelled => cancelled(job),
        JobState::Lost => "Lost",
    };
    let state = if is_broken_off(job) { "failed" } else { job_state(job.state) };
    Badge::new(state, text)
}

/// Whether it was cut short with nobody wanting that.
pub(crate) fn is_broken_off(job: &Job) -> bool {
    job.ended_by().is_some_and(EndedBy::is_interruption)
}

/// What a job that did not come to its end is called, by who ended it.
pub(crate) fn cancelled(job: &Job) -> &'static str {
    match job.ended_by() {
        Some(EndedBy::Agent | EndedBy::Machine) => "Interrupted",
        Some(EndedBy::Policy) => "Postponed",
        Some(EndedBy::Server) => "Withdrawn",
        Some(EndedBy::Person) | None => "Cancelled",
    }
}

/// What a job is, as a title: `Backup of media`.
pub(crate) fn job_title(what: &JobWhat) -> String {
    match what {
        JobWhat::Backup { group } => format!("{} of {group}", job_kind(what.kind(), false)),
        JobWhat::Drill(plan) => format!("{} of {}", job_kind(what.kind(), false), plan.group),
        JobWhat::Browse { path } => format!("List {}", cut(path, 80)),
        JobWhat::Diff { against, snapshot } => {
            format!("Comparison of snapshot {} with {}", cut(snapshot, 8), cut(against, 8))
        }
        JobWhat::Find(plan) => format!("Search for {}", cut(&plan.pattern, 80)),
        JobWhat::Ls { snapshot, path } => {
            format!("List {} of snapshot {}", cut(path, 80), cut(snapshot, 8))
        }
        JobWhat::Download { path, .. } => format!("Download of {}", cut(path, 80)),
        JobWhat::Restore(plan) => {
            let kind = job_kind(what.kind(), plan.dry_run);
            match plan.paths.as_slice() {
                [] => format!("{kind} of snapshot {}", cut(&plan.snapshot, 8)),
                [one] => format!("{kind} of {}", cut(one, 80)),
                [first, rest @ ..] => {
                    format!("{kind} of {} and {} more", cut(first, 80), count(rest.len() as u64))
                }
            }
        }
        what => job_kind(what.kind(), what.is_dry_run()).to_owned(),
    }
}

/// Who caused it, as (name, kind). Of the server and the agent there is only one: the name says all.
pub(crate) fn actor(actor: &Actor) -> (String, &'static str) {
    match actor {
        Actor::Operator(name) => (name.clone(), "operator"),
        Actor::Token(name) => (name.clone(), "API token"),
        Actor::Schedule(name) => (name.clone(), "schedule"),
        Actor::System => ("the server".to_owned(), ""),
        Actor::Agent => ("the agent".to_owned(), ""),
        Actor::Link(name) => (format!("the link of a message by {name}"), ""),
    }
}

/// Who it was, in a sentence.
pub(crate) fn by(who: &Actor) -> String {
    match who {
        Actor::Token(name) => format!("API token {name}"),
        other => actor(other).0,
    }
}

/// What an audited action is called.
pub(crate) fn action(action: AuditAction, target: &AuditTarget) -> String {
    let on_host = matches!(target, AuditTarget::Host(..));
    let words = match action {
        AuditAction::SetupDone => "created the first account",
        AuditAction::AuthorityNext => "told agents of a next authority",
        AuditAction::AuthorityRetired => "had the next authority take the place of the present one",
        AuditAction::AddressRetired => "retired an address of the server",
        AuditAction::SessionOpened => "signed in",
        AuditAction::SessionClosed => "signed out",
        AuditAction::OperatorSignInRefused => "tried to sign in",
        AuditAction::OperatorCreated => "added an operator",
        AuditAction::OperatorDeleted => "deleted an operator",
        AuditAction::OperatorPassword => "changed a password",
        AuditAction::OperatorRole => "changed a role",
        AuditAction::TokenCreated if on_host => "created an enrolment token",
        AuditAction::TokenCreated => "created an API token",
        AuditAction::TokenDeleted => "deleted an API token",
        AuditAction::ViewerCreated => "added an MQTT viewer",
        AuditAction::ViewerDeleted => "deleted an MQTT viewer",
        AuditAction::DownloadEnded => "ended a download",
        AuditAction::RepoPasswordShown => "looked at the repository's password",
        AuditAction::RepoPasswordRefused => "was refused the repository's password",
        AuditAction::KitMade => "made a break-glass kit",
        AuditAction::KitRefused => "was refused a break-glass kit",
        AuditAction::ArchiveMade => "made an archive of the server",
        AuditAction::ArchiveDownloaded => "downloaded an archive of the server",
        AuditAction::ArchiveRefused => "was refused an archive of the server",
        AuditAction::ArchiveKeyChanged => "changed who can open archives of the server",
        AuditAction::ServerSuperseded => "was told that another server has its place, and stands still",
        AuditAction::ChannelCreated => "added a channel of notices",
        AuditAction::ChannelChanged => "changed a channel of notices",
        AuditAction::ChannelDeleted => "deleted a channel of notices",
        AuditAction::ChannelTested => "tested a channel of notices",
        AuditAction::RouteCreated => "added a route of notices",
        AuditAction::RouteChanged => "changed a route of notices",
        AuditAction::RouteDeleted => "deleted a route of notices",
        AuditAction::GraceChanged => "changed the grace of a label",
        AuditAction::GraceDeleted => "deleted the grace of a label",
        AuditAction::ReportChanged => "changed when a report is sent",
        AuditAction::ReportSent => "had a report sent",
        AuditAction::FeedCreated => "made a feed",
        AuditAction::FeedDeleted => "deleted a feed",
        AuditAction::HomeAssistantSwitched => "switched discovery by Home Assistant",
        AuditAction::StandbyAdded => "added a standby of the server",
        AuditAction::StandbyFetched => "sent an archive of the server to a standby",
        AuditAction::StandbyRemoved => "removed a standby of the server",
        AuditAction::ServerRestored => "was restored from an archive",
        AuditAction::ServerSalvaged => "was made anew of what could be read of a damaged data file",
        AuditAction::HostTakenIn => "took in a machine that a lost server had enrolled",
        AuditAction::HostReturned => "came back after a restore of the server",
        AuditAction::HostSuperseded => "obeys another server made from this one",
        AuditAction::HostCreated => "added a host",
        AuditAction::HostDeleted => "deleted a host",
        AuditAction::HostEnrolled => "enrolled",
        AuditAction::HostReplaced => "took the place of",
        AuditAction::HostBackupsStarted => "started the backups of",
        AuditAction::HostLabelled => "changed labels",
        AuditAction::HostAcknowledged => "acknowledged the status of",
        AuditAction::HostUnacknowledged => "undid the acknowledgement of",
        AuditAction::HostRenamed => "renamed a host",
        AuditAction::EnrollRefused => "was refused enrolment",
        AuditAction::CredentialsSet => "set credentials",
        AuditAction::CredentialsHostKeyAccepted => "accepted a storage's host key",
        AuditAction::CredentialsDeleted => "removed credentials",
        AuditAction::AuthorityAccepted => "accepted another certificate authority",
        AuditAction::GroupAccepted => "accepted the last backup of a source group",
        AuditAction::CredentialsLent => "lent credentials to another host, for one job",
        AuditAction::CredentialsRefused => "refused credentials",
        AuditAction::GroupCreated => "added a source group",
        AuditAction::GroupChanged => "changed a source group",
        AuditAction::GroupDeleted => "deleted a source group",
        AuditAction::ScheduleCreated => "added a schedule",
        AuditAction::ScheduleChanged => "changed a schedule",
        AuditAction::ScheduleDeleted => "deleted a schedule",
        AuditAction::MaintenanceChanged => "changed the maintenance of",
        AuditAction::PendingAbandoned => "gave up a due backup",
        AuditAction::PendingDropped => "dropped a pending backup",
        AuditAction::PendingHurried => "retried all pending backups",
        AuditAction::IncidentAcknowledged => "acknowledged",
        AuditAction::IncidentUnacknowledged => "undid the acknowledgement of",
        AuditAction::JobCancelled => "cancelled a job",
        AuditAction::AgentForged => "sent a message that can't be decrypted",
        AuditAction::RepoClaimed => "claimed a repository that it was not given:",
        AuditAction::RepoShareConfirmed => "confirmed that two hosts share a repository:",
        AuditAction::RepoShareUndone => "withdrew that two hosts share a repository:",
        AuditAction::JobsRemoved => "removed old jobs",
        AuditAction::RepoReplaced => "found another repository at the address of",
        AuditAction::HostQuarantined => "was quarantined:",
        AuditAction::HostUnplanned => "can't run what is scheduled on",
        AuditAction::HostReleased => "lifted the quarantine of",
        AuditAction::AgentOdd => "sent a message that is not understood",
        AuditAction::AgentTrouble => "reported a problem",
        AuditAction::MqttRefused => "was refused by the broker",
        AuditAction::Job(kind) => return format!("requested {}", kind.as_str()),
    };
    words.to_owned()
}

/// How long restic ran, in words.
pub(crate) fn ran(job: &Job) -> Option<String> {
    let (start, end) = (job.started_at?, job.finished_at?);
    Some(duration(end.ms_since(start) / 1_000))
}

/// What came of a job, in a line.
pub(crate) fn job_result(job: &Job, progress: Option<&JobProgress>) -> String {
    match job.state {
        JobState::Queued => "waits for its host".to_owned(),
        JobState::Sent => "sent to the host".to_owned(),
        JobState::Accepted => "accepted by the agent".to_owned(),
        JobState::Running => match progress {
            Some(progress) if progress.permille > 0 => format!("{} %", progress.permille / 10),
            _ => "running".to_owned(),
        },
        JobState::Failed | JobState::Lost | JobState::Cancelled => match job.ended_by() {
            Some(EndedBy::Person) => "cancelled on request".to_owned(),
            Some(EndedBy::Policy) => "postponed by the host's policy".to_owned(),
            Some(EndedBy::Server) => "withdrawn by the server".to_owned(),
            Some(EndedBy::Agent | EndedBy::Machine) | None => crate::explanation::Explanation::of(job)
                .map_or_else(|| job.message.clone(), |cause| cause.title.to_owned()),
        },
        JobState::Succeeded | JobState::Warning => {
            let mut text = match &job.figures {
                JobFigures::Restore(done) => restored(done, job.what.is_dry_run()),
                others => figures(others),
            };
            if let JobWhat::Forget { held, .. } = &job.what
                && !held.is_empty()
            {
                let names: Vec<&str> = held.iter().map(|(name, _)| name.as_str()).collect();
                text = format!("{text}, skipped {}", names.join(", "));
            }
            if let Some(ran) = ran(job) {
                text = if text.is_empty() { format!("took {ran}") } else { format!("{text}, {ran}") };
            }
            text
        }
    }
}

/// The figures of a job, in a line.
pub(crate) fn figures(figures: &JobFigures) -> String {
    match figures {
        JobFigures::None => String::new(),
        JobFigures::Probe(probe) => {
            let kind = match probe.append_only {
                Some(true) => ", append-only",
                Some(false) => ", may delete",
                None => "",
            };
            format!("answered in {} ms{kind}", count(u64::from(probe.answered_ms)))
        }
        JobFigures::Init { repo } => format!("created repository {}", short_id(&repo.to_string())),
        JobFigures::Backup(backup) => {
            let added = backup.added_packed_bytes.unwrap_or(backup.added_bytes);
            let changed = backup.files_new.saturating_add(backup.files_changed);
            let unread = match backup.errors {
                0 => String::new(),
                errors => format!(", {} not read", many(u64::from(errors), "file")),
            };
            format!("{} new in {}{unread}", bytes(added), many(changed, "file"))
        }
        JobFigures::Forget(groups) => {
            let removed = groups.iter().fold(0_u64, |all, group| all.saturating_add(group.removed.into()));
            format!("forgot {}", many(removed, "snapshot"))
        }
        JobFigures::Prune { freed_bytes, .. } => format!("freed {}", bytes(*freed_bytes)),
        JobFigures::Check { errors: 0, subset_pct } => format!("read {subset_pct} % of the data, no errors"),
        JobFigures::Check { errors, subset_pct } => {
            format!("read {subset_pct} % of the data, {}", many(u64::from(*errors), "error"))
        }
        JobFigures::Unlock { removed: 0 } => "there was no lock to remove".to_owned(),
        JobFigures::Unlock { removed } => format!("removed {}", many(u64::from(*removed), "lock")),
        JobFigures::Stats { total_bytes, .. } => format!("{} in the storage", bytes(*total_bytes)),
        JobFigures::Snapshots { count, left_out: 0 } => many(u64::from(*count), "snapshot"),
        JobFigures::Snapshots { count: all, left_out } => {
            format!(
                "{}, {} of them not shown",
                many(u64::from(*all), "snapshot"),
                count(u64::from(*left_out))
            )
        }
        JobFigures::Restore(done) => restored(done, false),
        JobFigures::Drill(found) => drilled(found),
        JobFigures::Folder { entries, .. } => many_entries(u64::from(*entries)),
        JobFigures::Differences(found) => format!(
            "{} added, {} removed, {} changed",
            count(found.added),
            count(found.removed),
            count(found.changed.saturating_add(found.types))
        ),
        JobFigures::Found { hits: 0, snapshots, .. } => {
            format!("found nothing in {}", many(u64::from(*snapshots), "snapshot"))
        }
        JobFigures::Found { hits, snapshots, .. } => {
            format!("found {} in {}", many(u64::from(*hits), "hit"), many(u64::from(*snapshots), "snapshot"))
        }
        JobFigures::Download { bytes: sent } => format!("sent {}", bytes(*sent)),
        JobFigures::HostKey { key, .. } => format!("was shown {}", host_key(key)),
    }
}

/// What a restore came to, in a few words.
fn restored(done: &RestoreFigures, is_dry_run: bool) -> String {
    let verb = if is_dry_run { "would restore" } else { "restored" };
    let written = done.files.saturating_add(done.replaced);
    let all = written.saturating_add(done.skipped).saturating_add(done.failed);
    match done.failed {
        0 => format!("{verb} {}, {}", many(written, "file"), bytes(done.bytes)),
        failed => format!("{verb} {} of {}; {} failed", count(written), many(all, "file"), count(failed)),
    }
}

/// What a drill came to, in a few words.
fn drilled(found: &DrillFigures) -> String {
    let right = u64::from(found.equal) + u64::from(found.changed_since);
    format!("{} of {} proven, {}", count(right), many(u64::from(found.drawn), "file"), bytes(found.bytes))
}

/// A host key in words: its fingerprint.
pub(crate) fn host_key(key: &str) -> String {
    fleet::host_key_fingerprint(key).unwrap_or_else(|| "a host key that can't be read".to_owned())
}

/// What a snapshot lacks, in a few words; `None` = nothing that is known.
pub(crate) fn snapshot_lacks(row: &SnapshotRow, lacking: &BTreeMap<String, Flawed>) -> Option<String> {
    let flawed = lacking.get(row.id.get(..8)?).filter(|flawed| row.id.starts_with(&flawed.snapshot))?;
    Some(match &flawed.lack {
        None => "less than half of the usual size".to_owned(),
        Some(lack) if !lack.paths.is_empty() => {
            let more = lack.paths.len().saturating_sub(3) as u64 + u64::from(lack.paths_left_out);
            let shown: Vec<&str> = lack.paths.iter().take(3).map(String::as_str).collect();
            let more = if more > 0 { format!(" and {} more", count(more)) } else { String::new() };
            cut(&format!("missing {}{more}", shown.join(", ")), 200)
        }
        Some(lack) if lack.errors > 0 => format!("missing {}", many(lack.errors, "file")),
        Some(lack) => class(lack.class).to_owned(),
    })
}

/// How many entries of a folder.
pub(crate) fn many_entries(number: u64) -> String {
    if number == 1 { "1 entry".to_owned() } else { format!("{} entries", count(number)) }
}

/// The first ten characters of an id.
pub(crate) fn short_id(id: &str) -> String {
    id.chars().take(10).collect()
}

/// A credential slot in addresses.
pub(crate) const fn slot_path(slot: Slot) -> &'static str {
    match slot {
        Slot::Repo => "repo-credentials",
        Slot::Admin => "admin-credentials",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_of_audited_actions_and_classes_are_as_they_were() {
        let words =
            |known: AuditAction| format!("{}: {}\n", known.code(), action(known, &AuditTarget::Server));
        insta::assert_snapshot!("actions", AuditAction::all().map(words).collect::<String>());
        let words = |known: schema::Class| format!("{}: {}\n", known.as_str(), class(known));
        insta::assert_snapshot!("classes", schema::Class::ALL.map(words).concat());
    }

    #[test]
    fn who_caused_it_is_told_once() {
        for (who, told) in [
            (Actor::Operator("ada".to_owned()), ("ada", "operator")),
            (Actor::Token("ci".to_owned()), ("ci", "API token")),
            (Actor::System, ("the server", "")),
            (Actor::Agent, ("the agent", "")),
            (Actor::Link("mail".to_owned()), ("the link of a message by mail", "")),
        ] {
            let (name, kind) = actor(&who);
            assert_eq!((name.as_str(), kind), told);
        }
    }
}

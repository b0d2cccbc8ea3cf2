//! What a server that was restored from an archive does with a host whose agent has gone on without it.
//!
//! The archive knows less than the agent: jobs that the server of before has asked for, reports that it has taken,
//! backups that were due and have been made. The agent says what is needed for that nothing is done twice and nothing
//! that it still holds is lost: see "Incarnations" in the crate doc of [`schema`].

use super::LinkState;
use crate::audit;
use crate::change::Changed;
use crate::hosts;
use crate::incarnation;
use crate::job::{self, own, transition};
use crate::op::Op;
use crate::pending;
use crate::record::{Actor, AuditAction, AuditTarget, Job, JobWhat, Presence, Restoration, Superseded};
use crate::refused::{Refused, StoreError};
use crate::request::By;
use crate::schedule;
use crate::store::{GROUPS, JOBS, OUTBOX, PRESENCES, Reads, Span};
use schema::report::Finished;
use schema::{CommandSeq, GroupKey, HeldJob, HeldPhase, Hello, HostId, JobId, JobKind, Timestamp};

/// How far ahead of the server's clock an agent's idea of it may be: it counts on from when it said hello.
const AHEAD_MS: u64 = 120_000;
/// How long before its archive a job may have been made that the archive does not know: by another machine's clock.
const SKEW_MS: u64 = 3_600_000;

/// The agent has heard of a server that was made of this one: nothing else of its hello is taken.
pub(super) fn superseded(
    op: &mut Op<'_, '_>,
    host: HostId,
    before: Presence,
    hello: &Hello<'_>,
) -> Result<(), StoreError> {
    let by = hello.incarnation;
    if before.superseded.as_ref().is_some_and(|known| known.by == by) && !before.online {
        return Ok(());
    }
    let is_news = before.superseded.is_none();
    let since = before.superseded.as_ref().map_or(op.now, |known| known.since);
    let presence = Presence {
        superseded: Some(Superseded { by, since }),
        online: false,
        changed_at: if before.online { Some(op.now) } else { before.changed_at },
        ..before
    };
    op.tx.put(&PRESENCES, &host, &presence)?;
    op.tx.effects.changed(Changed::Host(host));
    if !is_news {
        return Ok(());
    }
    let target = hosts::target(op.tx, host)?;
    if let AuditTarget::Host(_, name) = &target {
        tracing::warn!(
            host = name,
            incarnation = %by,
            "its agent obeys another server that was made of this one, and takes nothing from this one: stop the one that is not to be"
        );
    }
    let words = format!(
        "its agent obeys another server that was made of this one (incarnation {by}): it takes nothing from this one, and \
         keeps its reports for the other"
    );
    audit::note(&mut op.as_by(&By::system()), AuditAction::HostSuperseded, target, words)
}

/// Occurrences that were served while this server did not exist are not due any more. While the host is not online:
/// nothing of it is handed over.
pub(super) fn settle_due(op: &mut Op<'_, '_>, host: HostId, hello: &Hello<'_>) -> Result<(), Refused> {
    for row in schedule::of_host(op.tx, host)? {
        schedule::tick::note_due(op, host, &row.schedule.name)?;
    }
    for saved in hello.saved.iter() {
        // A clock that is ahead tells nothing: the occurrence is done again.
        if saved.at <= op.now.plus_ms(AHEAD_MS) {
            pending::saved_meanwhile(op, host, saved.group, saved.at)?;
        }
    }
    Ok(())
}

/// Commands of the archive that the agent has taken from the server of before do not go out again: what became of their
/// jobs it says itself, or nobody knows.
pub(super) fn drop_taken(
    op: &mut Op<'_, '_>,
    host: HostId,
    state: &LinkState,
    taken: CommandSeq,
) -> Result<(), StoreError> {
    let until = taken.min(state.former_commands);
    op.tx.remove_all(&OUTBOX, &Span::under(&host).through(&(host, until))).map(|_| ())
}

/// Backups that the agent holds and this server has not heard of: it asks for no other meanwhile.
pub(super) fn adopt_held(op: &mut Op<'_, '_>, host: HostId, held: &[HeldJob]) -> Result<(), Refused> {
    for held in held {
        let Some(key) = held.group else { continue };
        if let Some(what) = backup_of(op.tx, host, key)?
            && let Some(mut job) = unheard_of(op, host, held.job, what)?
        {
            if held.phase == HeldPhase::Running {
                transition::started(&mut job, op.now, op.now);
            }
            job::create(op, &job)?;
        }
    }
    Ok(())
}

/// A job that another server has asked for has ended. `None` = it is known, or can't be written down as a job; then the
/// audit says that it has ended.
pub(super) fn adopt_ended(
    op: &mut Op<'_, '_>,
    host: HostId,
    finished: &Finished<'_>,
) -> Result<(), StoreError> {
    let Some(kind) = finished.kind else { return Ok(()) };
    if op.tx.has(&JOBS, &finished.job)? || incarnation::restoration(op.tx)?.is_none() {
        return Ok(());
    }
    let what = match finished.group {
        Some(key) => backup_of(op.tx, host, key)?,
        None => what_of(kind, &finished.summary),
    };
    if let Some(what) = what {
        if let Some(job) = unheard_of(op, host, finished.job, what)? {
            job::create(op, &job)?;
        }
        return Ok(());
    }
    if !op.may_note(host) {
        return Ok(());
    }
    let target = hosts::target(op.tx, host)?;
    let words = format!(
        "{} {}, which the server asked for that is lost: {}",
        kind.as_str(),
        finished.job,
        crate::record::JobState::from(finished.outcome).as_str()
    );
    audit::note_of_host(op, host, AuditAction::AgentOdd, target, words).map(|_| ())
}

/// What is said once of a host that has come back.
pub(super) struct Loss {
    /// Reports that the server of before has taken.
    pub(super) reports: u64,
    /// Commands that it has given out.
    pub(super) commands: u64,
}

impl Loss {
    /// What the counts of both sides tell, before they are brought together.
    pub(super) fn of(state: &LinkState, hello: &Hello<'_>) -> Self {
        let acked = hello.first_unacked.previous();
        Self {
            // Of another journal than the archive knows, all.
            reports: if state.stream == Some(hello.stream) { acked.since(state.reports) } else { acked.0 },
            commands: hello.taken.since(state.former_commands),
        }
    }
}

/// Says so in the audit: for each host once a restore.
pub(super) fn note(op: &mut Op<'_, '_>, host: HostId, loss: &Loss) -> Result<(), StoreError> {
    let Some(Restoration { archive_made_at, restored_at, .. }) = incarnation::restoration(op.tx)? else {
        return Ok(());
    };
    let span = incarnation::span(archive_made_at, restored_at);
    let Loss { reports, commands } = *loss;
    let words = match (reports, commands) {
        (0, 0) => {
            format!("back after the restore, {span}: nothing of it was told to the server that is lost")
        }
        _ => format!(
            "back after the restore, {span}: {reports} reports of it were told to the server that is lost, and {commands} \
             commands came from there"
        ),
    };
    let target = hosts::target(op.tx, host)?;
    // It takes nothing of the share of the audit that is the host's.
    audit::note(&mut op.as_by(&By::system()), AuditAction::HostReturned, target, words)
}

/// A backup of the source group that this key stands for; `None` = this server does not know it.
fn backup_of(reads: &impl Reads, host: HostId, key: GroupKey) -> Result<Option<JobWhat>, StoreError> {
    let groups = reads.keys(&GROUPS, &Span::under(&host), usize::MAX)?;
    let group = groups.into_iter().map(|(_, name)| name).find(|name| GroupKey::of(name) == key);
    Ok(group.map(|group| JobWhat::Backup { group }))
}

/// What a job did, where its kind says enough.
fn what_of(kind: JobKind, summary: &schema::Summary<'_>) -> Option<JobWhat> {
    Some(match kind {
        JobKind::Probe => JobWhat::Probe,
        JobKind::Init => JobWhat::Init,
        JobKind::Prune => JobWhat::Prune,
        JobKind::Stats => JobWhat::Stats,
        JobKind::Snapshots => JobWhat::Snapshots,
        JobKind::Check => match summary {
            schema::Summary::Check { subset_pct, .. } => JobWhat::Check { subset_pct: *subset_pct },
            _ => return None,
        },
        _ => return None,
    })
}

/// A record of a job that the server of before has made, accepted; `None` = it is known, or no honest agent has it.
fn unheard_of(
    op: &mut Op<'_, '_>,
    host: HostId,
    id: JobId,
    what: JobWhat,
) -> Result<Option<Job>, StoreError> {
    let Some(restoration) = incarnation::restoration(op.tx)? else { return Ok(None) };
    let is_of_then = id.made_at().plus_ms(SKEW_MS) >= restoration.archive_made_at;
    if op.tx.has(&JOBS, &id)? || !is_of_then {
        return Ok(None);
    }
    if let Err(over) = own::fits(op, host, id)? {
        op.tx.effects.refused.push((host, over));
        return Ok(None);
    }
    let made_at: Timestamp = id.made_at().min(op.now);
    let mut job = Job::new(id, host, what, Actor::System, made_at, CommandSeq::ZERO);
    transition::accepted(&mut job, op.now, op.now);
    Ok(Some(job))
}

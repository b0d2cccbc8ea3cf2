//! The rows of pending runs, and what becomes of one when its job has ended.

use super::decide::{self, GroupSchedule, RunAction};
use super::retry::{self, TryResult};
use super::setback::{GiveUp, Setback};
use crate::audit;
use crate::change::Changed;
use crate::groups::origins;
use crate::hosts;
use crate::op::Op;
use crate::record::{Actor, AuditAction, GivenUp, Job, JobWhat, PendingRun};
use crate::refused::{Refused, StoreError};
use crate::request::By;
use crate::schedule;
use crate::store::{
    GIVEN_UP, GROUPS, HOST_PENDING, PENDING, PENDING_DUE, PENDING_WAITING, Reads, SCHEDULES, Span, Tx,
};
use crate::units::DAY_MS;
use schema::{HostId, JobId, PendingId, Timestamp};

/// How long a run that was given up is shown.
pub(crate) const GIVEN_UP_KEPT_MS: u64 = 7 * DAY_MS;
/// The most of them that are kept.
const MAX_GIVEN_UP: usize = 1_000;

pub(super) fn title(run: &PendingRun) -> String {
    format!("{} of schedule {}", run.group, run.schedule)
}

/// A run that waits.
pub(super) fn find(reads: &impl Reads, id: PendingId) -> Result<PendingRun, Refused> {
    reads.get(&PENDING, &id)?.filter(waits).ok_or(Refused::PendingNotFound)
}

pub(super) fn waits(run: &PendingRun) -> bool {
    run.job.is_none()
}

/// Whether the clock says when it is tried.
pub(super) fn is_timed(run: &PendingRun) -> bool {
    waits(run) && !run.asleep && run.next_attempt_at.is_some()
}

/// A host's runs, oldest first.
pub(crate) fn of_host(reads: &impl Reads, host: HostId) -> Result<Vec<PendingRun>, StoreError> {
    let mut runs = Vec::new();
    for (_, id) in reads.keys(&HOST_PENDING, &Span::under(&host), usize::MAX)? {
        runs.extend(reads.get(&PENDING, &id)?);
    }
    Ok(runs)
}

/// Writes a run and its indices.
pub(crate) fn put(tx: &mut Tx<'_>, before: Option<&PendingRun>, run: &PendingRun) -> Result<(), StoreError> {
    if before == Some(run) {
        return Ok(());
    }
    before.map_or(Ok(()), |before| unlist(tx, before))?;
    tx.put(&PENDING, &run.id, run)?;
    tx.put(&HOST_PENDING, &(run.host, run.id), &())?;
    if waits(run) {
        tx.put(&PENDING_WAITING, &(run.due_at.0, run.id), &())?;
    }
    if let Some(at) = run.next_attempt_at.filter(|_| is_timed(run)) {
        tx.put(&PENDING_DUE, &(at.0, run.id), &())?;
    }
    told(tx, run.host)
}

pub(super) fn remove(tx: &mut Tx<'_>, run: &PendingRun) -> Result<(), StoreError> {
    unlist(tx, run)?;
    tx.remove(&HOST_PENDING, &(run.host, run.id))?;
    tx.remove(&PENDING, &run.id)?;
    told(tx, run.host)
}

pub(super) fn unlist(tx: &mut Tx<'_>, run: &PendingRun) -> Result<(), StoreError> {
    if waits(run) {
        tx.remove(&PENDING_WAITING, &(run.due_at.0, run.id))?;
    }
    if let Some(at) = run.next_attempt_at.filter(|_| is_timed(run)) {
        tx.remove(&PENDING_DUE, &(at.0, run.id))?;
    }
    Ok(())
}

pub(super) fn told(tx: &mut Tx<'_>, host: HostId) -> Result<(), StoreError> {
    let oldest = of_host(tx, host)?.iter().filter(|run| waits(run)).map(|run| run.due_at).min();
    hosts::change_summary(tx, host, |summary| summary.waits_since = oldest)?;
    tx.effects.changed(Changed::Pending(host));
    Ok(())
}

/// Gives a run up, for everybody to see; `last` is what its last try came to, where it is for that, and `job` the
/// backup of that try.
pub(super) fn abandon(
    op: &mut Op<'_, '_>,
    run: &PendingRun,
    why: GiveUp,
    last: Option<Setback>,
    job: Option<JobId>,
) -> Result<(), StoreError> {
    remove(op.tx, run)?;
    let tried = last.map(|last| run.waiting(None, run.attempt.saturating_add(1), &last, job, op.now));
    let given_up =
        GivenUp { at: op.now, reason: why.code().to_owned(), run: tried.unwrap_or_else(|| run.clone()) };
    op.tx.put(&GIVEN_UP, &(op.now.0, run.id), &given_up)?;
    let kept = op.tx.keys(&GIVEN_UP, &Span::ALL, MAX_GIVEN_UP + 1)?;
    if kept.len() > MAX_GIVEN_UP {
        op.tx.remove(&GIVEN_UP, &kept[0])?;
    }
    let by = By { actor: Actor::Schedule(run.schedule.clone()), peer: String::new() };
    let target = hosts::target(op.tx, run.host)?;
    let detail = format!("{}: {}", title(run), why.detail(&given_up.run));
    audit::note(&mut op.as_by(&by), AuditAction::PendingAbandoned, target, detail)
}

/// A backup has ended, or its end was corrected.
///
/// An occurrence is met by a good backup that was made for it, or of its group and begun at or after its due time; what
/// came due later waits on, however late this is heard of.
pub(crate) fn job_ended(op: &mut Op<'_, '_>, job: &Job) -> Result<(), StoreError> {
    let now = op.now;
    let JobWhat::Backup { group } = &job.what else { return Ok(()) };
    // It may have another name by now.
    let group = origins::owner_of(op.tx, job.host, group)?.unwrap_or_else(|| group.clone());
    let verdict = retry::judge(job);
    for run in of_host(op.tx, job.host)? {
        let is_own = run.job == Some(job.id);
        if verdict == TryResult::Done && (is_own || run.group == group) {
            let rest = due_after(op.tx, &run, served_until(job, &run))?;
            settle(op.tx, &run, rest.map(|rest| if is_own { rest.anew(now) } else { rest }))?;
        } else if is_own {
            // One that never began stands for all that waited for it.
            let until =
                if job.started_at.is_some() { served_until(job, &run) } else { now.max(run.last_due_at) };
            came_to_nothing(op, &run, (job, &verdict), until)?;
        }
    }
    Ok(())
}

/// Occurrences of a run up to here are a job's.
pub(super) fn served_until(job: &Job, run: &PendingRun) -> Timestamp {
    let made_for = job.made_for.as_ref().filter(|made_for| made_for.schedule == run.schedule);
    made_for.map_or(job.began_at(), |made_for| made_for.due_at.max(job.began_at()))
}

/// What of a run came due after an instant; `None` = nothing.
pub(super) fn due_after(
    reads: &impl Reads,
    run: &PendingRun,
    after: Timestamp,
) -> Result<Option<PendingRun>, StoreError> {
    if after < run.due_at {
        return Ok(Some(run.clone()));
    }
    if after >= run.last_due_at {
        return Ok(None);
    }
    let left = schedule::occurred(reads, (run.host, &run.schedule), after, run.last_due_at)?;
    // Its times are other ones now: the last of them is still one.
    let (due_at, missed) = left.map_or((run.last_due_at, 1), |left| (left.first, left.count.min(run.missed)));
    Ok(Some(PendingRun { due_at, missed, ..run.clone() }))
}

/// What is left of a run; `None` = it is done.
pub(super) fn settle(tx: &mut Tx<'_>, run: &PendingRun, rest: Option<PendingRun>) -> Result<(), StoreError> {
    match rest {
        Some(rest) => put(tx, Some(run), &rest),
        None => remove(tx, run),
    }
}

/// The job of a run has ended, and there is no good backup.
pub(super) fn came_to_nothing(
    op: &mut Op<'_, '_>,
    run: &PendingRun,
    (job, verdict): (&Job, &TryResult),
    until: Timestamp,
) -> Result<(), StoreError> {
    let now = op.now;
    if until < run.due_at {
        // It had begun before: this was no try of it.
        let waits = PendingRun { attempt: run.attempt, last_error: run.last_error.clone(), ..run.anew(now) };
        return put(op.tx, Some(run), &waits);
    }
    let rest = due_after(op.tx, run, until)?.map(|rest| rest.anew(now));
    let (why, last) = match verdict {
        TryResult::Done | TryResult::Dropped => return settle(op.tx, run, rest),
        TryResult::Later(setback) => {
            let until = Some(now.plus_ms(retry::LONGEST_MS / 2));
            return put(op.tx, Some(run), &run.waiting(until, run.attempt, setback, Some(job.id), now));
        }
        TryResult::Again(setback) => match rule_of(op.tx, run)? {
            None => (GiveUp::PlanGone, None),
            Some(rule) => match decide::came_to_nothing(run, rule.retry_max, setback.clone(), now) {
                RunAction::Wait { until, attempt, setback, .. } => {
                    return put(op.tx, Some(run), &run.waiting(until, attempt, &setback, Some(job.id), now));
                }
                RunAction::Abandon { why, last, .. } => (why, last),
                RunAction::Dispatch { .. } | RunAction::Follow { .. } => return Ok(()),
            },
        },
        TryResult::GiveUp(setback) => (GiveUp::NoUse, Some(setback.clone())),
    };
    abandon(op, run, why, last, Some(job.id))?;
    rest.map_or(Ok(()), |rest| put(op.tx, None, &rest))
}

/// A schedule or a source group has another name, or is on or off now.
pub(crate) fn change_all(
    tx: &mut Tx<'_>,
    host: HostId,
    change: impl Fn(&mut PendingRun),
) -> Result<(), StoreError> {
    for before in of_host(tx, host)? {
        let mut after = before.clone();
        change(&mut after);
        put(tx, Some(&before), &after)?;
    }
    Ok(())
}

/// The host is deleted.
pub(crate) fn host_deleted(tx: &mut Tx<'_>, host: HostId) -> Result<(), StoreError> {
    for run in of_host(tx, host)? {
        unlist(tx, &run)?;
        tx.remove(&PENDING, &run.id)?;
    }
    tx.remove_all(&HOST_PENDING, &Span::under(&host))?;
    let given_up = tx.rows(&GIVEN_UP, &Span::ALL)?;
    for (key, _) in given_up.iter().filter(|(_, given_up)| given_up.run.host == host) {
        tx.remove(&GIVEN_UP, key)?;
    }
    tx.effects.changed(Changed::Pending(host));
    Ok(())
}

/// Those that were given up long ago.
pub(super) fn old_span(now: Timestamp) -> Span {
    Span::ALL.before(&(now.0.saturating_sub(GIVEN_UP_KEPT_MS), PendingId([0; 16])))
}

pub(crate) fn has_old(reads: &impl Reads, now: Timestamp) -> Result<bool, StoreError> {
    Ok(!reads.keys(&GIVEN_UP, &old_span(now), 1)?.is_empty())
}

pub(crate) fn remove_old(op: &mut Op<'_, '_>) -> Result<(), StoreError> {
    op.tx.remove_all(&GIVEN_UP, &old_span(op.now)).map(|_| ())
}

/// What its schedule says of a run. Schedule and group may each allow fewer tries than the other.
pub(crate) fn rule_of(reads: &impl Reads, run: &PendingRun) -> Result<Option<GroupSchedule>, StoreError> {
    let row = reads.get(&SCHEDULES, &(run.host, run.schedule.clone()))?;
    let Some(schedule) = row.map(|row| row.schedule).filter(|known| known.groups.contains(&run.group)) else {
        return Ok(None);
    };
    let Some(group) = reads.get(&GROUPS, &(run.host, run.group.clone()))? else { return Ok(None) };
    let retry_max = schedule.retry_max.min(group.retry_max);
    Ok(Some(GroupSchedule { enabled: schedule.enabled, retry_max }))
}

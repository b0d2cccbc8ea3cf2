//! Due backups until they have succeeded: one run for each schedule and source group of a host.
//!
//! A run is born when its schedule is due, in the transaction that moves the schedule's mark, and is handed to its host
//! in the same one if that can be. It waits while the host is away or the backup is refused, is handed over again when
//! the backup came to nothing, and goes when there is a snapshot, whoever asked for it. So a server that is killed at
//! any point neither doubles a backup nor forgets one: mark, run, job and command are on disk together or not at all.
//!
//! An occurrence is met by a backup that was made for it, or by one of its group that began at or after its due time,
//! and by no other: a result that comes late, or that nobody waited for, swallows nothing that came due meanwhile.
//!
//! What is decided stands in [`plan`] and [`retry`]; this module keeps the rows and their indices.

pub(crate) mod drain;
pub(crate) mod plan;
pub(crate) mod retry;

use crate::audit;
use crate::change::Changed;
use crate::context::Context;
use crate::dispatch;
use crate::fleet::Fleet;
use crate::groups::origins;
use crate::hosts;
use crate::record::{Actor, AuditTarget, GivenUp, Job, JobState, JobWhat, PendingRun};
use crate::refused::{Refused, StoreError};
use crate::request::By;
use crate::schedule;
use crate::store::{GIVEN_UP, HOST_PENDING, JOBS, PENDING, PENDING_DUE, PENDING_WAITING, Reads, Span, Tx};
use crate::units::DAY_MS;
use plan::Action;
use retry::{Verdict, Why};
use schema::{HostId, JobId, PendingId, Timestamp};

/// How long a run that was given up is shown.
pub(crate) const GIVEN_UP_KEPT_MS: u64 = 7 * DAY_MS;
/// The most of them that are kept.
const MAX_GIVEN_UP: usize = 1_000;
/// What a backup says that was dispatched for nothing.
const BY_ITSELF: &str = "not needed: the agent did this backup by itself while it could not reach the server";
/// Runs that are hurried in one operation.
const AT_ONCE: usize = 50;

impl Fleet {
    /// Tries a run that waits at once. Answers the job, which may be one that is open already; refuses as any
    /// run-now does, and the run waits on.
    pub async fn run_pending(&self, run: PendingId, by: By) -> Result<Job, Refused> {
        let context = self.context();
        self.write(move |tx| {
            let before = find(tx, run)?;
            let job = match drain::dispatch(&context, tx, &before, &by) {
                Ok(job) => job,
                Err(Refused::JobInProgress { job }) => tx.get(&JOBS, &job)?.ok_or(Refused::JobNotFound)?,
                Err(refused) => return Err(refused),
            };
            put(tx, Some(&before), &before.come_due(context.now()).handed_over(job.id))?;
            Ok(job)
        })
        .await
    }

    /// Tries all runs that wait for a time, at once. Those whose host is away go on waiting for its hello. Returns
    /// how many are tried.
    pub async fn run_all_pending(&self, by: By) -> Result<usize, Refused> {
        let context = self.context();
        let now = context.now();
        let due: Vec<PendingId> = {
            let view = self.view()?;
            view.keys(&PENDING_DUE, &Span::ALL, usize::MAX)?.into_iter().map(|(_, run)| run).collect()
        };
        for runs in due.chunks(AT_ONCE) {
            let runs = runs.to_vec();
            self.write(move |tx| {
                for id in &runs {
                    let Some(before) = tx.get(&PENDING, id)?.filter(is_timed) else { continue };
                    put(tx, Some(&before), &PendingRun { next_attempt_at: Some(now), ..before.clone() })?;
                }
                Ok(())
            })
            .await?;
        }
        if !due.is_empty() {
            let count = due.len();
            self.write(move |tx| {
                let detail = format!("{count} backups");
                Ok(audit::note(tx, now, &by, "pending.hurried", AuditTarget::Server, detail)?)
            })
            .await?;
        }
        self.drain_due().await?;
        Ok(due.len())
    }

    /// Lets a run that waits go. Its schedule goes on as always.
    pub async fn drop_pending(&self, run: PendingId, by: By) -> Result<(), Refused> {
        let context = self.context();
        self.write(move |tx| {
            let before = find(tx, run)?;
            remove(tx, &before)?;
            let target = hosts::target(tx, before.host)?;
            audit::note(tx, context.now(), &by, "pending.dropped", target, title(&before))?;
            Ok(())
        })
        .await
    }
}

fn title(run: &PendingRun) -> String {
    format!("{} of schedule {}", run.group, run.schedule)
}

/// A run that waits.
fn find(reads: &impl Reads, id: PendingId) -> Result<PendingRun, Refused> {
    reads.get(&PENDING, &id)?.filter(waits).ok_or(Refused::PendingNotFound)
}

fn waits(run: &PendingRun) -> bool {
    run.job.is_none()
}

/// Whether the clock says when it is tried.
fn is_timed(run: &PendingRun) -> bool {
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

fn remove(tx: &mut Tx<'_>, run: &PendingRun) -> Result<(), StoreError> {
    unlist(tx, run)?;
    tx.remove(&HOST_PENDING, &(run.host, run.id))?;
    tx.remove(&PENDING, &run.id)?;
    told(tx, run.host)
}

fn unlist(tx: &mut Tx<'_>, run: &PendingRun) -> Result<(), StoreError> {
    if waits(run) {
        tx.remove(&PENDING_WAITING, &(run.due_at.0, run.id))?;
    }
    if let Some(at) = run.next_attempt_at.filter(|_| is_timed(run)) {
        tx.remove(&PENDING_DUE, &(at.0, run.id))?;
    }
    Ok(())
}

fn told(tx: &mut Tx<'_>, host: HostId) -> Result<(), StoreError> {
    let oldest = of_host(tx, host)?.iter().filter(|run| waits(run)).map(|run| run.due_at).min();
    hosts::change_summary(tx, host, |summary| summary.waits_since = oldest)?;
    tx.effects.changed(Changed::Pending(host));
    Ok(())
}

/// Gives a run up, for everybody to see.
fn abandon(tx: &mut Tx<'_>, run: &PendingRun, reason: &str, now: Timestamp) -> Result<(), StoreError> {
    remove(tx, run)?;
    let given_up = GivenUp { at: now, reason: reason.to_owned(), run: run.clone() };
    tx.put(&GIVEN_UP, &(now.0, run.id), &given_up)?;
    let kept = tx.keys(&GIVEN_UP, &Span::ALL, MAX_GIVEN_UP + 1)?;
    if kept.len() > MAX_GIVEN_UP {
        tx.remove(&GIVEN_UP, &kept[0])?;
    }
    let by = By { actor: Actor::Schedule(run.schedule.clone()), peer: String::new() };
    let target = hosts::target(tx, run.host)?;
    audit::note(tx, now, &by, "pending.abandoned", target, format!("{}: {reason}", title(run)))
}

/// A backup has ended, or its end was corrected.
///
/// An occurrence is met by a good backup that was made for it, or of its group and begun at or after its due time; what
/// came due later waits on, however late this is heard of.
pub(crate) fn job_ended(tx: &mut Tx<'_>, job: &Job, now: Timestamp) -> Result<(), StoreError> {
    let JobWhat::Backup { group } = &job.what else { return Ok(()) };
    // It may have another name by now.
    let group = origins::owner_of(tx, job.host, group)?.unwrap_or_else(|| group.clone());
    let verdict = retry::judge(job);
    for run in of_host(tx, job.host)? {
        let is_own = run.job == Some(job.id);
        if verdict == Verdict::Done && (is_own || run.group == group) {
            let rest = due_after(tx, &run, served_until(job, &run))?;
            settle(tx, &run, rest.map(|rest| if is_own { rest.anew(now) } else { rest }))?;
        } else if is_own {
            // One that never began stands for all that waited for it.
            let until =
                if job.started_at.is_some() { served_until(job, &run) } else { now.max(run.last_due_at) };
            came_to_nothing(tx, &run, (job, &verdict), until, now)?;
        }
    }
    Ok(())
}

/// Occurrences of a run up to here are a job's.
fn served_until(job: &Job, run: &PendingRun) -> Timestamp {
    let made_for = job.made_for.as_ref().filter(|made_for| made_for.schedule == run.schedule);
    made_for.map_or(job.began_at(), |made_for| made_for.due_at.max(job.began_at()))
}

/// What of a run came due after an instant; `None` = nothing.
fn due_after(
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
fn settle(tx: &mut Tx<'_>, run: &PendingRun, rest: Option<PendingRun>) -> Result<(), StoreError> {
    match rest {
        Some(rest) => put(tx, Some(run), &rest),
        None => remove(tx, run),
    }
}

/// The job of a run has ended, and there is no good backup.
fn came_to_nothing(
    tx: &mut Tx<'_>,
    run: &PendingRun,
    (job, verdict): (&Job, &Verdict),
    until: Timestamp,
    now: Timestamp,
) -> Result<(), StoreError> {
    if until < run.due_at {
        // It had begun before: this was no try of it.
        let waits = PendingRun { attempt: run.attempt, last_error: run.last_error.clone(), ..run.anew(now) };
        return put(tx, Some(run), &waits);
    }
    let rest = due_after(tx, run, until)?.map(|rest| rest.anew(now));
    let reason = match verdict {
        Verdict::Done | Verdict::Dropped => return settle(tx, run, rest),
        Verdict::Later(why) => {
            let until = Some(now.plus_ms(retry::LONGEST_MS / 2));
            return put(tx, Some(run), &run.waiting(until, run.attempt, why.clone(), Some(job.id), now));
        }
        Verdict::Again(why) => match drain::rule_of(tx, run)? {
            None => "the schedule or the source group is gone".to_owned(),
            Some(rule) => match plan::came_to_nothing(run, rule.retry_max, why.clone(), now) {
                Action::Wait { until, attempt, why, .. } => {
                    return put(tx, Some(run), &run.waiting(until, attempt, why, Some(job.id), now));
                }
                Action::Abandon { reason, .. } => reason,
                Action::Dispatch { .. } | Action::Follow { .. } => return Ok(()),
            },
        },
        Verdict::GiveUp(Why { message, .. }) => format!("{message}, which another try would not mend"),
    };
    abandon(tx, run, &reason, now)?;
    rest.map_or(Ok(()), |rest| put(tx, None, &rest))
}

/// The agent did by itself what waits, or what was dispatched and never got there. A run that also stands for later
/// occurrences waits on.
pub(crate) fn taken_over(
    context: &Context,
    tx: &mut Tx<'_>,
    (host, schedule, group): (HostId, &str, &str),
    due_at: Timestamp,
    job: JobId,
    now: Timestamp,
) -> Result<(), Refused> {
    let is_it =
        |run: &PendingRun| run.schedule == schedule && run.group == group && run.last_due_at <= due_at;
    for run in of_host(tx, host)?.into_iter().filter(is_it) {
        let dispatched = run.job.map_or(Ok(None), |job| tx.get(&JOBS, &job))?;
        if dispatched.as_ref().is_some_and(|job| job.state > JobState::Sent) {
            // The agent has that one, too.
            continue;
        }
        put(tx, Some(&run), &run.come_due(now).handed_over(job))?;
        if let Some(dispatched) = dispatched {
            dispatch::withdraw(context, tx, &dispatched, BY_ITSELF, now)?;
        }
    }
    Ok(())
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
fn old_span(now: Timestamp) -> Span {
    Span::ALL.before(&(now.0.saturating_sub(GIVEN_UP_KEPT_MS), PendingId([0; 16])))
}

pub(crate) fn has_old(reads: &impl Reads, now: Timestamp) -> Result<bool, StoreError> {
    Ok(!reads.keys(&GIVEN_UP, &old_span(now), 1)?.is_empty())
}

pub(crate) fn remove_old(tx: &mut Tx<'_>, now: Timestamp) -> Result<(), StoreError> {
    tx.remove_all(&GIVEN_UP, &old_span(now)).map(|_| ())
}

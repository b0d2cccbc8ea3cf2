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
//! What is decided stands in [`decide`] and [`retry`], the rows and their indices in [`runs`].

pub(crate) mod decide;
pub(crate) mod drain;
pub(crate) mod retry;
mod runs;
mod setback;

pub(crate) use runs::{change_all, has_old, host_deleted, job_ended, of_host, put, remove_old, rule_of};
pub use setback::{GiveUp, Setback};

use runs::{due_after, find, is_timed, remove, settle, title};

use crate::audit;
use crate::dispatch;
use crate::fleet::Fleet;
use crate::hosts;
use crate::op::Op;
use crate::record::{AuditAction, AuditTarget, Job, JobState, PendingRun};
use crate::refused::{Refused, StoreError};
use crate::request::By;
use crate::store::{JOBS, PENDING, PENDING_DUE, Reads, Span};
use schema::{GroupKey, HostId, JobId, PendingId, Timestamp};

/// What a backup says that was dispatched for nothing.
const BY_ITSELF: &str = "not needed: the agent did this backup by itself while it could not reach the server";
/// Runs that are hurried in one operation.
const AT_ONCE: usize = 50;

impl Fleet {
    /// Tries a run that waits at once. Answers the job, which may be one that is open already; refuses as any
    /// run-now does, and the run waits on.
    pub async fn run_pending(&self, run: PendingId, by: By) -> Result<Job, Refused> {
        self.write(by, move |op| {
            let before = find(op.tx, run)?;
            let job = match drain::dispatch(op, &before) {
                Ok(job) => job,
                Err(Refused::JobInProgress { job }) => op.tx.get(&JOBS, &job)?.ok_or(Refused::JobNotFound)?,
                Err(refused) => return Err(refused),
            };
            put(op.tx, Some(&before), &before.come_due(op.now).handed_over(job.id))?;
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
            self.write(by.clone(), move |op| {
                for id in &runs {
                    let Some(before) = op.tx.get(&PENDING, id)?.filter(is_timed) else { continue };
                    put(op.tx, Some(&before), &PendingRun { next_attempt_at: Some(now), ..before.clone() })?;
                }
                Ok(())
            })
            .await?;
        }
        if !due.is_empty() {
            let count = due.len();
            self.write(by, move |op| {
                let detail = format!("{count} backups");
                Ok(audit::note(op, AuditAction::PendingHurried, AuditTarget::Server, detail)?)
            })
            .await?;
        }
        self.drain_due().await?;
        Ok(due.len())
    }

    /// Lets a run that waits go. Its schedule goes on as always.
    pub async fn drop_pending(&self, run: PendingId, by: By) -> Result<(), Refused> {
        self.write(by, move |op| {
            let before = find(op.tx, run)?;
            remove(op.tx, &before)?;
            let target = hosts::target(op.tx, before.host)?;
            audit::note(op, AuditAction::PendingDropped, target, title(&before))?;
            Ok(())
        })
        .await
    }
}

/// The host has saved a source group in a time of which this server knows nothing, by a backup that it took then: what was
/// due before is not due any more.
pub(crate) fn saved_meanwhile(
    op: &mut Op<'_, '_>,
    host: HostId,
    group: GroupKey,
    taken_at: Timestamp,
) -> Result<(), StoreError> {
    for run in of_host(op.tx, host)?.into_iter().filter(|run| GroupKey::of(&run.group) == group) {
        let rest = due_after(op.tx, &run, taken_at)?;
        settle(op.tx, &run, rest)?;
    }
    Ok(())
}

/// The agent did by itself what waits, or what was dispatched and never got there. A run that also stands for later
/// occurrences waits on.
pub(crate) fn taken_over(
    op: &mut Op<'_, '_>,
    (host, schedule, group): (HostId, &str, &str),
    due_at: Timestamp,
    job: JobId,
) -> Result<(), Refused> {
    let now = op.now;
    let is_it =
        |run: &PendingRun| run.schedule == schedule && run.group == group && run.last_due_at <= due_at;
    for run in of_host(op.tx, host)?.into_iter().filter(is_it) {
        let dispatched = run.job.map_or(Ok(None), |job| op.tx.get(&JOBS, &job))?;
        if dispatched.as_ref().is_some_and(|job| job.state > JobState::Sent) {
            // The agent has that one, too.
            continue;
        }
        put(op.tx, Some(&run), &run.come_due(now).handed_over(job))?;
        if let Some(dispatched) = dispatched {
            dispatch::withdraw(op, &dispatched, BY_ITSELF)?;
        }
    }
    Ok(())
}

//! Jobs: their records and indices, how their state moves, their logs, what is live.

mod figures;
pub(crate) mod live;
pub(crate) mod log;
pub(crate) mod own;
mod row;
pub(crate) mod step;

pub(crate) use row::{bytes_of, kind_key, latest, newest, open_jobs};

use crate::budget;
use crate::change::Changed;
use crate::folder;
use crate::listing;
use crate::maintenance::fired;
use crate::op::Op;
use crate::pending;
use crate::record::{Job, JobWhat};
use crate::refused::StoreError;
use crate::soundness;
use crate::store::{
    ENTRIES, EXCLUSIVE_JOBS, HOST_JOBS, JOBS, KIND_JOBS, LISTED, LOG_STATES, LOGS, OPEN_JOBS, Reads,
    SUMMARIES, Span, Tx,
};
use row::next_open;
use schema::{HostId, JobId};

/// Writes a job that is new.
pub(crate) fn create(op: &mut Op<'_, '_>, job: &Job) -> Result<(), StoreError> {
    op.tx.put(&HOST_JOBS, &(job.host, job.id), &())?;
    if !job.what.is_dry_run() {
        op.tx.put(&KIND_JOBS, &(job.host, kind_key(job.what.kind()), job.id), &())?;
    }
    if !job.state.is_ended() {
        op.tx.put(&OPEN_JOBS, &(job.host, job.id), &())?;
        if job.what.is_exclusive() {
            op.tx.put(&EXCLUSIVE_JOBS, &(job.host, job.id), &())?;
        }
    }
    budget::change_usage(op.tx, job.host, |usage| {
        usage.jobs += 1;
        usage.bytes = usage.bytes.saturating_add(budget::JOB_BYTES);
    })?;
    save(op, None, job)
}

/// Removes a job that has ended, with its log and what it listed.
pub(crate) fn remove(tx: &mut Tx<'_>, job: &Job) -> Result<(), StoreError> {
    let bytes = bytes_of(tx, job.id)?;
    tx.remove(&JOBS, &job.id)?;
    tx.remove(&HOST_JOBS, &(job.host, job.id))?;
    tx.remove(&KIND_JOBS, &(job.host, kind_key(job.what.kind()), job.id))?;
    tx.remove(&LOG_STATES, &job.id)?;
    tx.remove_all(&LOGS, &Span::under(&job.id))?;
    budget::remove_pieces(tx, &LISTED, job.id)?;
    budget::remove_pieces(tx, &ENTRIES, job.id)?;
    tx.effects.ended.push(job.id);
    tx.effects.changed(Changed::Job { host: job.host, job: job.id });
    budget::change_usage(tx, job.host, |usage| {
        usage.jobs = usage.jobs.saturating_sub(1);
        usage.bytes = usage.bytes.saturating_sub(bytes);
    })
}

/// Writes a job that was changed; what follows (indices, the host's summary, listeners) follows here.
pub(crate) fn save(op: &mut Op<'_, '_>, before: Option<&Job>, job: &Job) -> Result<(), StoreError> {
    op.tx.put(&JOBS, &job.id, job)?;
    let was_ended = before.is_some_and(|before| before.state.is_ended());
    if let Some(before) = before {
        match (before.state.is_ended(), job.state.is_ended()) {
            (false, true) => {
                op.tx.remove(&OPEN_JOBS, &(job.host, job.id))?;
                if job.what.is_exclusive() {
                    op.tx.remove(&EXCLUSIVE_JOBS, &(job.host, job.id))?;
                }
                op.tx.effects.ended.push(job.id);
            }
            (true, false) => {
                op.tx.put(&OPEN_JOBS, &(job.host, job.id), &())?;
                if job.what.is_exclusive() {
                    op.tx.put(&EXCLUSIVE_JOBS, &(job.host, job.id), &())?;
                }
            }
            _ => {}
        }
    }
    if job.what == JobWhat::Snapshots
        && job.state.is_ended()
        && before.is_some_and(|old| old.state != job.state)
    {
        listing::job_ended(op, job)?;
    }
    if job.state.is_ended() && before.is_some_and(|old| old.state != job.state) {
        folder::job_ended(op, job)?;
    }
    if before.is_none_or(|before| before.state != job.state) {
        fired::job_changed(op.tx, job)?;
    }
    let sound = if job.state.is_ended() { soundness::backup_ended(op, job)? } else { None };
    let mut summary = op.tx.get(&SUMMARIES, &job.host)?.unwrap_or_default();
    summary.count_open(before.is_some() && !was_ended, !job.state.is_ended());
    let next = if job.state.is_ended() && summary.runs(job.id) { next_open(op.tx, job.host)? } else { None };
    summary.take_job(job, next, sound.as_ref(), op.now);
    op.tx.put(&SUMMARIES, &job.host, &summary)?;
    op.tx.effects.changed(Changed::Job { host: job.host, job: job.id });
    if job.state.is_ended() && before.is_none_or(|before| before.state != job.state) {
        pending::job_ended(op, job)?;
    }
    Ok(())
}

/// Changes one job, if it is there and its host's.
pub(crate) fn change(
    op: &mut Op<'_, '_>,
    host: HostId,
    job: JobId,
    change: impl FnOnce(&mut Job) -> bool,
) -> Result<Option<Job>, StoreError> {
    let Some(before) = op.tx.get(&JOBS, &job)?.filter(|record| record.host == host) else { return Ok(None) };
    let mut after = before.clone();
    if change(&mut after) {
        save(op, Some(&before), &after)?;
    }
    Ok(Some(after))
}

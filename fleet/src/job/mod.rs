//! Jobs: their records and indices, how their state moves, their logs, what is live.

mod figures;
pub(crate) mod follow;
pub(crate) mod live;
pub(crate) mod log;
pub(crate) mod own;
mod row;
pub(crate) mod transition;

pub(crate) use row::{bytes_of, kind_key, latest, newest, open_jobs, open_jobs_by_others};

use crate::budget;
use crate::change::Changed;
use crate::op::Op;
use crate::record::Job;
use crate::refused::StoreError;
use crate::store::{
    ENTRIES, FINDS, FOUND, HOST_JOBS, JOBS, KIND_JOBS, LISTED, LOG_STATES, LOGS, Reads, SOURCE_JOBS, Span, Tx,
};
use row::next_open;
use schema::{HostId, JobId};

/// Writes a job that is new.
pub(crate) fn create(op: &mut Op<'_, '_>, job: &Job) -> Result<(), StoreError> {
    op.tx.put(&HOST_JOBS, &(job.host, job.id), &())?;
    if let Some(source) = job.for_other() {
        op.tx.put(&SOURCE_JOBS, &(source, job.id), &())?;
    }
    if !job.what.is_dry_run() {
        op.tx.put(&KIND_JOBS, &(job.host, kind_key(job.what.kind()), job.id), &())?;
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
    if let Some(source) = job.for_other() {
        tx.remove(&SOURCE_JOBS, &(source, job.id))?;
    }
    tx.remove(&LOG_STATES, &job.id)?;
    tx.remove_all(&LOGS, &Span::under(&job.id))?;
    budget::remove_pieces(tx, &LISTED, job.id)?;
    budget::remove_pieces(tx, &ENTRIES, job.id)?;
    budget::remove_pieces(tx, &FOUND, job.id)?;
    tx.remove(&FINDS, &(job.host, job.id))?;
    tx.effects.ended.push(job.id);
    tx.effects.changed(Changed::Job { host: job.host, job: job.id });
    budget::change_usage(tx, job.host, |usage| {
        usage.jobs = usage.jobs.saturating_sub(1);
        usage.bytes = usage.bytes.saturating_sub(bytes);
    })
}

/// Writes a job, and what follows from that.
pub(crate) fn save(op: &mut Op<'_, '_>, before: Option<&Job>, job: &Job) -> Result<(), StoreError> {
    op.tx.put(&JOBS, &job.id, job)?;
    follow::written(op, before, job)
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

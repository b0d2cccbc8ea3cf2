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
use crate::pending;
use crate::record::{Job, JobWhat};
use crate::refused::StoreError;
use crate::soundness;
use crate::store::{
    ENTRIES, EXCLUSIVE_JOBS, HOST_JOBS, JOBS, KIND_JOBS, LISTED, LOG_STATES, LOGS, OPEN_JOBS, Reads,
    SUMMARIES, Span, Tx,
};
use row::next_open;
use schema::{HostId, JobId, Timestamp};

/// Writes a job that is new.
pub(crate) fn create(tx: &mut Tx<'_>, job: &Job, now: Timestamp) -> Result<(), StoreError> {
    tx.put(&HOST_JOBS, &(job.host, job.id), &())?;
    if !job.what.is_dry_run() {
        tx.put(&KIND_JOBS, &(job.host, kind_key(job.what.kind()), job.id), &())?;
    }
    if !job.state.is_ended() {
        tx.put(&OPEN_JOBS, &(job.host, job.id), &())?;
        if job.what.is_exclusive() {
            tx.put(&EXCLUSIVE_JOBS, &(job.host, job.id), &())?;
        }
    }
    budget::change_usage(tx, job.host, |usage| {
        usage.jobs += 1;
        usage.bytes = usage.bytes.saturating_add(budget::JOB_BYTES);
    })?;
    save(tx, None, job, now)
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
pub(crate) fn save(
    tx: &mut Tx<'_>,
    before: Option<&Job>,
    job: &Job,
    now: Timestamp,
) -> Result<(), StoreError> {
    tx.put(&JOBS, &job.id, job)?;
    let was_ended = before.is_some_and(|before| before.state.is_ended());
    if let Some(before) = before {
        match (before.state.is_ended(), job.state.is_ended()) {
            (false, true) => {
                tx.remove(&OPEN_JOBS, &(job.host, job.id))?;
                if job.what.is_exclusive() {
                    tx.remove(&EXCLUSIVE_JOBS, &(job.host, job.id))?;
                }
                tx.effects.ended.push(job.id);
            }
            (true, false) => {
                tx.put(&OPEN_JOBS, &(job.host, job.id), &())?;
                if job.what.is_exclusive() {
                    tx.put(&EXCLUSIVE_JOBS, &(job.host, job.id), &())?;
                }
            }
            _ => {}
        }
    }
    if job.what == JobWhat::Snapshots
        && job.state.is_ended()
        && before.is_some_and(|old| old.state != job.state)
    {
        listing::job_ended(tx, job, now)?;
    }
    if job.state.is_ended() && before.is_some_and(|old| old.state != job.state) {
        folder::job_ended(tx, job, now)?;
    }
    if before.is_none_or(|before| before.state != job.state) {
        fired::job_changed(tx, job)?;
    }
    let sound = if job.state.is_ended() { soundness::backup_ended(tx, job, now)? } else { None };
    let mut summary = tx.get(&SUMMARIES, &job.host)?.unwrap_or_default();
    summary.count_open(before.is_some() && !was_ended, !job.state.is_ended());
    let next = if job.state.is_ended() && summary.runs(job.id) { next_open(tx, job.host)? } else { None };
    summary.take_job(job, next, sound.as_ref(), now);
    tx.put(&SUMMARIES, &job.host, &summary)?;
    tx.effects.changed(Changed::Job { host: job.host, job: job.id });
    if job.state.is_ended() && before.is_none_or(|before| before.state != job.state) {
        pending::job_ended(tx, job, now)?;
    }
    Ok(())
}

/// Changes one job, if it is there and its host's.
pub(crate) fn change(
    tx: &mut Tx<'_>,
    host: HostId,
    job: JobId,
    now: Timestamp,
    change: impl FnOnce(&mut Job) -> bool,
) -> Result<Option<Job>, StoreError> {
    let Some(before) = tx.get(&JOBS, &job)?.filter(|record| record.host == host) else { return Ok(None) };
    let mut after = before.clone();
    if change(&mut after) {
        save(tx, Some(&before), &after, now)?;
    }
    Ok(Some(after))
}

//! Jobs as they are found.

use crate::budget;
use crate::record::{Job, JobState};
use crate::refused::StoreError;
use crate::store::{JOBS, KIND_JOBS, LOG_STATES, OPEN_JOBS, Order, Reads, SOURCE_JOBS, Span, Tx};
use schema::{HostId, JobId, JobKind};
use std::ops::ControlFlow;

/// The place of a kind in keys.
pub(crate) fn kind_key(kind: JobKind) -> u8 {
    // Wire order, which only ever grows.
    kind as u8
}

/// What a job takes of the data file, about.
pub(crate) fn bytes_of(reads: &impl Reads, job: JobId) -> Result<u64, StoreError> {
    let log = reads.get(&LOG_STATES, &job)?.unwrap_or_default();
    Ok(budget::JOB_BYTES + log.head_bytes + log.tail_bytes)
}

/// The open job that a person would call the running one: the first that runs, else the oldest.
pub(super) fn next_open(tx: &Tx<'_>, host: HostId) -> Result<Option<Job>, StoreError> {
    const LOOK_AT: usize = 32;
    let mut first = None;
    for (_, id) in tx.keys(&OPEN_JOBS, &Span::under(&host), LOOK_AT)? {
        let Some(job) = tx.get(&JOBS, &id)? else { continue };
        if job.state == JobState::Running {
            return Ok(Some(job));
        }
        first.get_or_insert(job);
    }
    Ok(first)
}

/// A host's open jobs, oldest first; at most `max`.
pub(crate) fn open_jobs(reads: &impl Reads, host: HostId, max: usize) -> Result<Vec<Job>, StoreError> {
    let mut jobs = Vec::new();
    for (_, id) in reads.keys(&OPEN_JOBS, &Span::under(&host), max)? {
        jobs.extend(reads.get(&JOBS, &id)?);
    }
    Ok(jobs)
}

/// The open jobs that other hosts do on a host's repository, newest first; those among the newest `max`.
pub(crate) fn open_jobs_by_others(
    reads: &impl Reads,
    source: HostId,
    max: usize,
) -> Result<Vec<Job>, StoreError> {
    let (mut jobs, mut looked_at) = (Vec::new(), 0);
    reads.walk(&SOURCE_JOBS, &Span::under(&source), Order::Descending, |(_, id), ()| {
        looked_at += 1;
        jobs.extend(reads.get(&JOBS, &id)?.filter(|job| !job.state.is_ended()));
        Ok(if looked_at < max { ControlFlow::Continue(()) } else { ControlFlow::Break(()) })
    })?;
    Ok(jobs)
}

/// The newest job of a kind.
pub(crate) fn latest(reads: &impl Reads, host: HostId, kind: JobKind) -> Result<Option<Job>, StoreError> {
    let newest = newest(reads, host, kind, 1)?;
    newest.first().map_or(Ok(None), |id| reads.get(&JOBS, id))
}

/// The newest jobs of a kind, so many at most, newest first.
pub(crate) fn newest(
    reads: &impl Reads,
    host: HostId,
    kind: JobKind,
    limit: usize,
) -> Result<Vec<JobId>, StoreError> {
    let mut ids = Vec::new();
    reads.walk(&KIND_JOBS, &Span::under(&(host, kind_key(kind))), Order::Descending, |(_, _, id), ()| {
        ids.push(id);
        Ok(if ids.len() < limit { ControlFlow::Continue(()) } else { ControlFlow::Break(()) })
    })?;
    Ok(ids)
}

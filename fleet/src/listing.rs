//! Snapshot listings: collected while a listing job runs, shown when it has ended well.

use crate::job::kind_key;
use crate::record::{Job, JobFigures, JobState, JobWhat, SnapshotRow};
use crate::refused::StoreError;
use crate::store::{JOBS, KIND_JOBS, LISTED, LISTINGS, Order, Reads, Span, Tx, first_form};
use schema::report::Snapshot;
use schema::{HostId, Items, JobId, JobKind, Timestamp};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::ops::ControlFlow;

/// The most snapshots of a listing that are kept.
const MAX_SNAPSHOTS: u32 = 200_000;
/// The most backups whose sizes are looked for.
const MAX_BACKUPS: usize = 4_000;
/// Letters of a short snapshot id.
const SHORT_ID: usize = 8;

/// The newest whole listing of a host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Listing {
    job: JobId,
    at: Timestamp,
}

/// A piece of a listing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SnapshotPage(Vec<SnapshotRow>);
first_form!(Listing, SnapshotPage);

/// Takes a piece of a listing that still runs.
pub(crate) fn take_page<'a>(
    tx: &mut Tx<'_>,
    host: HostId,
    job: JobId,
    first: u32,
    snapshots: &Items<'a, Snapshot<'a>>,
) -> Result<(), StoreError> {
    let Some(record) = tx.get(&JOBS, &job)? else { return Ok(()) };
    let is_open_listing =
        record.host == host && record.what == JobWhat::Snapshots && !has_result(record.state);
    if !is_open_listing || first >= MAX_SNAPSHOTS {
        return Ok(());
    }
    let page = SnapshotPage(snapshots.iter().map(|snapshot| row(&snapshot)).collect());
    tx.put(&LISTED, &(job, first), &page)
}

const fn has_result(state: JobState) -> bool {
    matches!(state, JobState::Succeeded | JobState::Warning)
}

/// A listing job has ended: well, and its pieces replace those of the one before; or not, and they go.
pub(crate) fn job_ended(tx: &mut Tx<'_>, job: &Job, now: Timestamp) -> Result<(), StoreError> {
    let old = if has_result(job.state) {
        let at = job.finished_at.unwrap_or(now).min(now);
        fill_sizes(tx, job)?;
        let old = tx.get(&LISTINGS, &job.host)?;
        tx.put(&LISTINGS, &job.host, &Listing { job: job.id, at })?;
        tx.effects.changed(crate::change::Changed::Repo(job.host));
        old.map(|listing| listing.job).filter(|old| *old != job.id)
    } else {
        // What is only presumed may still turn out well.
        Some(job.id).filter(|_| !job.presumed)
    };
    if let Some(old) = old {
        tx.remove_all(&LISTED, &Span::under(&old))?;
    }
    Ok(())
}

/// restic before 0.17 does not tell how large a snapshot is. The backup that made it did, and so may the last listing,
/// which knew the job while it was kept.
fn fill_sizes(tx: &mut Tx<'_>, listing: &Job) -> Result<(), StoreError> {
    let pages = tx.rows(&LISTED, &Span::under(&listing.id))?;
    let lacks = |row: &SnapshotRow| row.bytes.is_none();
    if !pages.iter().any(|(_, SnapshotPage(rows))| rows.iter().any(lacks)) {
        return Ok(());
    }
    let mut known = HashMap::new();
    for row in read(tx, listing.host)?.map(|(_, rows)| rows).unwrap_or_default() {
        if !lacks(&row) {
            known.insert(short(&row.id).to_owned(), (row.files, row.bytes, row.added_packed_bytes));
        }
    }
    let mut backups = Vec::new();
    let span = Span::under(&(listing.host, kind_key(JobKind::Backup)));
    tx.walk(&KIND_JOBS, &span, Order::Descending, |(_, _, id), ()| {
        backups.push(id);
        Ok(if backups.len() < MAX_BACKUPS { ControlFlow::Continue(()) } else { ControlFlow::Break(()) })
    })?;
    for id in backups {
        if let Some(Job { figures: JobFigures::Backup(made), .. }) = tx.get(&JOBS, &id)?
            && !made.snapshot.is_empty()
        {
            let figures = (Some(made.total_files), Some(made.total_bytes), made.added_packed_bytes);
            known.insert(short(&made.snapshot).to_owned(), figures);
        }
    }
    for (key, SnapshotPage(mut rows)) in pages {
        let mut is_changed = false;
        for row in rows.iter_mut().filter(|row| lacks(row)) {
            if let Some(figures) = known.get(short(&row.id)) {
                (row.files, row.bytes, row.added_packed_bytes) = *figures;
                is_changed = true;
            }
        }
        if is_changed {
            tx.put(&LISTED, &key, &SnapshotPage(rows))?;
        }
    }
    Ok(())
}

/// The short form of a snapshot's id: a backup tells no more of it with some versions of restic.
fn short(id: &str) -> &str {
    id.get(..SHORT_ID).unwrap_or(id)
}

/// The snapshots of the newest whole listing, oldest first, and when it was made.
pub(crate) fn read(
    reads: &impl Reads,
    host: HostId,
) -> Result<Option<(Timestamp, Vec<SnapshotRow>)>, StoreError> {
    let Some(listing) = reads.get(&LISTINGS, &host)? else { return Ok(None) };
    let mut rows = Vec::new();
    reads.walk(&LISTED, &Span::under(&listing.job), Order::Ascending, |_, SnapshotPage(page)| {
        rows.extend(page);
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(Some((listing.at, rows)))
}

fn row(snapshot: &Snapshot<'_>) -> SnapshotRow {
    SnapshotRow {
        id: snapshot.id.to_owned(),
        time: snapshot.time,
        hostname: snapshot.hostname.to_owned(),
        tags: snapshot.tags.iter().map(str::to_owned).collect(),
        paths: snapshot.paths.iter().map(str::to_owned).collect(),
        files: snapshot.size.map(|size| size.files),
        bytes: snapshot.size.map(|size| size.bytes),
        added_packed_bytes: snapshot.size.map(|size| size.added_packed_bytes),
    }
}

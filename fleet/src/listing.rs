//! Snapshot listings: collected while a listing job runs, shown when it has ended well.

use crate::record::{Job, JobState, JobWhat, SnapshotRow};
use crate::refused::StoreError;
use crate::store::{JOBS, LISTED, LISTINGS, Order, Reads, Span, Tx, first_form};
use schema::report::Snapshot;
use schema::{HostId, Items, JobId, Timestamp};
use serde::{Deserialize, Serialize};
use std::ops::ControlFlow;

/// The most snapshots of a listing that are kept.
const MAX_SNAPSHOTS: u32 = 200_000;

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

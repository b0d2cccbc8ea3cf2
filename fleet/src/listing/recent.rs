//! Snapshots that are newer than the newest listing: each good backup tells of its own, so that nobody has to list the
//! repository to see it.

use super::row::short;
use crate::job;
use crate::record::{Job, JobFigures, JobState, JobWhat, Listing, SnapshotRow};
use crate::refused::StoreError;
use crate::store::{GROUPS, HOSTS, JOBS, Reads};
use schema::job::COMMAND_SOURCE;
use schema::{HostId, JobKind};
use std::collections::BTreeMap;

/// The most backups since the listing that are looked at. A schedule lists long before.
const MOST: usize = 1_000;

/// What the backups since a listing have made, by the short id; of no listing: all of them. Newest jobs only.
///
/// A host runs its backups and listings in the order in which they were asked for, so a snapshot of a backup that was asked
/// for before the listing is in it, or is gone.
pub(super) fn since(
    reads: &impl Reads,
    host: HostId,
    listing: Option<&Listing>,
) -> Result<BTreeMap<String, SnapshotRow>, StoreError> {
    let mut rows = BTreeMap::new();
    let Some(record) = reads.get(&HOSTS, &host)? else { return Ok(rows) };
    for id in job::newest(reads, host, JobKind::Backup, MOST)? {
        if listing.is_some_and(|listing| id <= listing.job) {
            break;
        }
        let Some(job) = reads.get(&JOBS, &id)? else { continue };
        if let Some(row) = made_by(reads, &job, &record.restic_host)? {
            rows.insert(short(&row.id).to_owned(), row);
        }
    }
    Ok(rows)
}

/// The snapshot of a backup, as far as the backup tells of it.
fn made_by(reads: &impl Reads, job: &Job, hostname: &str) -> Result<Option<SnapshotRow>, StoreError> {
    let (JobWhat::Backup { group }, JobFigures::Backup(figures)) = (&job.what, &job.figures) else {
        return Ok(None);
    };
    if !matches!(job.state, JobState::Succeeded | JobState::Warning) || figures.snapshot.is_empty() {
        return Ok(None);
    }
    let paths =
        reads.get(&GROUPS, &(job.host, group.clone()))?.map(|group| group.includes).unwrap_or_default();
    Ok(Some(SnapshotRow {
        id: figures.snapshot.clone(),
        time: job.began_at(),
        hostname: hostname.to_owned(),
        tags: vec![group.clone()],
        paths: paths.into_iter().filter(|path| !path.starts_with(COMMAND_SOURCE)).collect(),
        files: Some(figures.total_files),
        bytes: Some(figures.total_bytes),
        added_packed_bytes: figures.added_packed_bytes,
        tags_left_out: 0,
        paths_left_out: 0,
    }))
}

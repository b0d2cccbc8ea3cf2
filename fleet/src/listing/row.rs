//! The rows of a listing, as all read them.

use crate::record::{SnapshotPage, SnapshotRow};
use crate::refused::StoreError;
use crate::store::{LISTED, LISTINGS, Order, Reads, Span};
use schema::{HostId, Timestamp};
use std::ops::ControlFlow;

/// The most backups whose sizes are looked for.
pub(crate) const MAX_BACKUPS: usize = 4_000;
/// Letters of a short snapshot id.
const SHORT_ID: usize = 8;

/// The short form of a snapshot's id: a backup tells no more of it with some versions of restic.
pub(crate) fn short(id: &str) -> &str {
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

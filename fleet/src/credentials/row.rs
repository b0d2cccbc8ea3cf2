//! The rows of credentials, as all read them.

use super::place::storage_of;
use crate::record::{CredentialsRow, Job};
use crate::refused::StoreError;
use crate::store::{CREDENTIALS, Reads, Tx};
use schema::{HostId, Slot};
use std::sync::Arc;

pub(super) const fn slot_key(slot: Slot) -> u8 {
    match slot {
        Slot::Repo => 0,
        Slot::Admin => 1,
    }
}

/// Whether a slot holds anything.
pub(crate) fn is_set(reads: &impl Reads, host: HostId, slot: Slot) -> Result<bool, StoreError> {
    Ok(row_of(reads, host, slot)?.is_some_and(|row| row.facts.is_some()))
}

pub(crate) fn row_of(
    reads: &impl Reads,
    host: HostId,
    slot: Slot,
) -> Result<Option<CredentialsRow>, StoreError> {
    reads.get(&CREDENTIALS, &(host, slot_key(slot)))
}

/// The everyday slot of a host, where it can be read: where not, the host says so.
pub(crate) fn readable_row_of(
    reads: &impl Reads,
    host: HostId,
) -> Result<Option<CredentialsRow>, StoreError> {
    match row_of(reads, host, Slot::Repo) {
        Err(StoreError::Row { .. }) => Ok(None),
        row => row,
    }
}

/// The storage that a slot leads to, where others may be on it, too.
pub(crate) fn storage_of_row(row: &CredentialsRow) -> Option<Arc<str>> {
    row.facts.as_ref().and_then(|facts| storage_of(&facts.url)).map(Arc::from)
}

/// Whether the credentials have changed since this job was made: it says nothing of those that stand now.
pub(crate) fn is_outdated(tx: &Tx<'_>, job: &Job) -> Result<bool, StoreError> {
    let row = row_of(tx, job.host, Slot::Repo)?;
    Ok(row.and_then(|row| row.facts).is_none_or(|facts| job.created_at < facts.updated_at))
}

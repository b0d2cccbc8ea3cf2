//! The rows of the standbys of this server: one value of the file.

use crate::op::Op;
use crate::record::StandbyRow;
use crate::record::meta::{META_STANDBYS, Meta};
use crate::refused::StoreError;
use crate::store::{META, Reads};

/// All of them, in the order in which they were added.
pub(crate) fn rows(reads: &impl Reads) -> Result<Vec<StandbyRow>, StoreError> {
    match reads.get(&META, &META_STANDBYS.to_owned())? {
        None => Ok(Vec::new()),
        Some(Meta::Standbys(rows)) => Ok(rows),
        Some(_) => Err(StoreError::Row { table: META.name(), why: "it is of another sort" }),
    }
}

/// Writes all of them.
pub(crate) fn put(op: &mut Op<'_, '_>, rows: Vec<StandbyRow>) -> Result<(), StoreError> {
    op.tx.put(&META, &META_STANDBYS.to_owned(), &Meta::Standbys(rows))
}

/// The standby of this recipient is one no more.
pub(crate) fn forget(op: &mut Op<'_, '_>, recipient: &str) -> Result<(), StoreError> {
    let mut rows = rows(op.tx)?;
    rows.retain(|row| row.recipient != recipient);
    put(op, rows)
}

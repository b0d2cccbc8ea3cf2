//! How often this server was restored from an archive.
//!
//! What happened between the archive and its restore the server does not know. The number tells that there is such a gap; so
//! far it stands in the data file, in archives and in the audit, and agents are not told of it.

use crate::op::Op;
use crate::record::meta::{META_INCARNATION, Meta};
use crate::refused::StoreError;
use crate::store::{META, Reads};
use schema::Incarnation;

/// That of a data file.
pub(crate) fn read(reads: &impl Reads) -> Result<Incarnation, StoreError> {
    match reads.get(&META, &META_INCARNATION.to_owned())? {
        None => Ok(Incarnation::ZERO),
        Some(Meta::Incarnation(incarnation)) => Ok(incarnation),
        Some(_) => Err(StoreError::Row { table: META.name(), why: "it is of another sort" }),
    }
}

/// The server begins anew; its number from now on.
pub(crate) fn begin_anew(op: &mut Op<'_, '_>) -> Result<Incarnation, StoreError> {
    let next = read(op.tx)?.next();
    op.tx.put(&META, &META_INCARNATION.to_owned(), &Meta::Incarnation(next))?;
    Ok(next)
}

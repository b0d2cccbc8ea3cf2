//! Which incarnation of the server this is: it grows with each restore from an archive, and agents hold to the highest
//! that they have heard of.
//!
//! What happened between the archive and its restore the server does not know. What it does with a host that comes back
//! stands in `link/returned`.

use crate::op::Op;
use crate::record::Restoration;
use crate::record::meta::{META_INCARNATION, META_RESTORATION, META_SUCCEEDED, Meta};
use crate::refused::StoreError;
use crate::store::{LINK_STATES, META, Reads, Span};
use schema::{Incarnation, Timestamp};

/// That of a data file.
pub(crate) fn read(reads: &impl Reads) -> Result<Incarnation, StoreError> {
    match reads.get(&META, &META_INCARNATION.to_owned())? {
        None => Ok(Incarnation::ZERO),
        Some(Meta::Incarnation(incarnation)) => Ok(incarnation),
        Some(_) => Err(StoreError::Row { table: META.name(), why: "it is of another sort" }),
    }
}

/// The last restore of a data file; `None` = there was none.
pub(crate) fn restoration(reads: &impl Reads) -> Result<Option<Restoration>, StoreError> {
    match reads.get(&META, &META_RESTORATION.to_owned())? {
        None => Ok(None),
        Some(Meta::Restoration(restoration)) => Ok(Some(restoration)),
        Some(_) => Err(StoreError::Row { table: META.name(), why: "it is of another sort" }),
    }
}

/// The server begins anew, from an archive of `archive_made_at`; its number from now on. Of two servers that are made of
/// one archive, the one that was restored later has the higher one, as far as clocks are right.
pub(crate) fn begin_anew(op: &mut Op<'_, '_>, archive_made_at: Timestamp) -> Result<Incarnation, StoreError> {
    let restored_at = op.now;
    let incarnation = read(op.tx)?.next().max(Incarnation(restored_at.0 / 1_000));
    op.tx.put(&META, &META_INCARNATION.to_owned(), &Meta::Incarnation(incarnation))?;
    // It is the one that counts from now on, as far as nobody says otherwise.
    op.tx.remove(&META, &META_SUCCEEDED.to_owned())?;
    let restoration = Restoration { incarnation, archive_made_at, restored_at, dismissed: false };
    op.tx.put(&META, &META_RESTORATION.to_owned(), &Meta::Restoration(restoration))?;
    for (host, mut state) in op.tx.rows(&LINK_STATES, &Span::ALL)? {
        state.former_commands = state.last_command;
        op.tx.put(&LINK_STATES, &host, &state)?;
    }
    Ok(incarnation)
}

/// Which span of time is lost, in words.
pub(crate) fn span(archive_made_at: Timestamp, restored_at: Timestamp) -> String {
    let at = |Timestamp(ms)| {
        jiff::Timestamp::from_millisecond(i64::try_from(ms).unwrap_or(i64::MAX))
            .map_or_else(|_| format!("{ms} ms"), |at| format!("{at:.0}"))
    };
    format!("from the archive of {}, restored {}", at(archive_made_at), at(restored_at))
}

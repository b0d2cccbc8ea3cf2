//! Which incarnation of the server this is: it grows with each restore from an archive, and agents hold to the highest
//! that they have heard of.
//!
//! What happened between the archive and its restore the server does not know. What it does with a host that comes back
//! stands in `link/returned`.

use crate::op::Op;
use crate::record::Restoration;
use crate::record::meta::{
    LostSpan, META_INCARNATION, META_LOST, META_PREDECESSOR, META_RESTORATION, META_SUCCEEDED, Meta,
};
use crate::refused::StoreError;
use crate::store::{LINK_STATES, META, Reads, Span};
use schema::{Incarnation, Timestamp};

/// So many restores are remembered; the oldest two become one.
const MOST_SPANS: usize = 32;

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

/// What was lost at each restore, oldest first; the last one is that of [`restoration`].
pub(crate) fn lost(reads: &impl Reads) -> Result<Vec<LostSpan>, StoreError> {
    let mut spans = match reads.get(&META, &META_LOST.to_owned())? {
        None => Vec::new(),
        Some(Meta::Lost(spans)) => spans,
        Some(_) => return Err(StoreError::Row { table: META.name(), why: "it is of another sort" }),
    };
    // One of before these were written down.
    if let Some(Restoration { archive_made_at, restored_at, .. }) = restoration(reads)?
        && spans.last().is_none_or(|last| last.restored_at != restored_at)
    {
        spans.push(LostSpan { known_until: archive_made_at, restored_at, is_salvage: false });
    }
    Ok(spans)
}

/// The server begins anew, from what was known until `known_until`; its number from now on, which is above `above`. Of two
/// servers that are made of one archive, the one that was restored later has the higher one, as far as clocks are right.
pub(crate) fn begin_anew(
    op: &mut Op<'_, '_>,
    known_until: Timestamp,
    above: Incarnation,
    is_salvage: bool,
) -> Result<Incarnation, StoreError> {
    let restored_at = op.now;
    // A clock that is behind what is known already is wrong.
    let clock = Incarnation(restored_at.max(known_until).0 / 1_000);
    let incarnation = read(op.tx)?.next().max(above.next()).max(clock);
    op.tx.put(&META, &META_INCARNATION.to_owned(), &Meta::Incarnation(incarnation))?;
    // It is the one that counts from now on, as far as nobody says otherwise.
    op.tx.remove(&META, &META_SUCCEEDED.to_owned())?;
    // Whose place the server of the archive once had is no longer told: where that was, that server itself may be now, and a
    // copy that somebody only looks at would make it stand still.
    op.tx.remove(&META, &META_PREDECESSOR.to_owned())?;
    let mut spans = lost(op.tx)?;
    spans.push(LostSpan { known_until, restored_at, is_salvage });
    if let [first, second, rest @ ..] = spans.as_slice()
        && rest.len() + 2 > MOST_SPANS
    {
        let both = LostSpan { known_until: first.known_until, ..*second };
        spans = [&[both], rest].concat();
    }
    op.tx.put(&META, &META_LOST.to_owned(), &Meta::Lost(spans))?;
    let restoration =
        Restoration { incarnation, archive_made_at: known_until, restored_at, dismissed: false };
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

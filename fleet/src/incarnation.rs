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

/// The highest number above which a restore may be asked to be: the end of the year 9999. No clock has come so far.
pub const MOST_INCARNATION: u64 = 253_402_300_799_999_999;

/// So many numbers stand for each millisecond of a clock; which of them a restore gets is drawn.
const DRAWN: u64 = 1_000;

/// So many numbers stand for each second of a clock that is behind its archive…
const BEHIND_DRAWN: u64 = 10;
/// …since this one, the first of 2020: all of them together are less than an hour of a clock that is right.
const BEHIND_SINCE_S: u64 = 1_577_836_800;

/// The lowest number of an instant.
pub(crate) const fn at(Timestamp(ms): Timestamp) -> Incarnation {
    Incarnation(ms.saturating_mul(DRAWN))
}

/// The number of a server that begins anew now, from what was known until `known_until`: above `above`, the highest that has been
/// heard of. `drawn` tells apart those that begin in one millisecond: pure.
///
/// Where a clock was ahead, so that this one does not reach what has been heard of, the time since the archive goes on from there:
/// of two servers that are made of one archive the later one still has the higher number.
///
/// Where the clock is behind the archive, somebody has said that it is right, or it is by minutes: the number is that of the archive
/// then, and a little more with each second of this clock, so that the later one has the higher number there, too.
fn next(above: Incarnation, known_until: Timestamp, now: Timestamp, drawn: u64) -> Incarnation {
    let clock = if now < known_until {
        let seconds = (now.0 / 1_000).saturating_sub(BEHIND_SINCE_S);
        at(known_until)
            .0
            .saturating_add(seconds.saturating_mul(BEHIND_DRAWN))
            .saturating_add(drawn % BEHIND_DRAWN)
    } else {
        at(now).0.saturating_add(drawn % DRAWN)
    };
    let ahead = above.next().0.saturating_add(at(Timestamp(now.ms_since(known_until))).0);
    Incarnation(if above < at(known_until) { clock } else { clock.max(ahead.saturating_add(drawn % DRAWN)) })
}

/// Whether the number of a server that begins anew can be given again as the one to be above: pure. Otherwise no archive of before
/// could be restored any more.
pub(crate) fn can_be_given_again(above: Incarnation, known_until: Timestamp, now: Timestamp) -> bool {
    next(above, known_until, now, DRAWN - 1).0 <= MOST_INCARNATION
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
    let above = read(op.tx)?.max(above);
    let drawn = u64::from_le_bytes(op.facts.random());
    // What a salvage has read goes on from when it was read, whenever it was written.
    let begins = if is_salvage { restored_at } else { known_until };
    let incarnation = next(above, begins, restored_at, drawn);
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

#[cfg(test)]
mod tests {
    use super::*;

    const T: u64 = 1_780_000_000_000;

    #[test]
    fn the_later_of_two_servers_of_one_archive_has_the_higher_number() {
        let made_at = Timestamp(T);
        for heard in [Incarnation::ZERO, Incarnation(T / 1_000), at(made_at), at(Timestamp(9 * T))] {
            for since in [0, 1, 17, 999, 86_400_000] {
                let now = Timestamp(T + since);
                let first = next(heard, made_at, now, 999);
                let second = next(heard, made_at, Timestamp(now.0 + 1), 0);
                assert!(heard < first && first < second, "{heard} {since}: {first} {second}");
                // In the same millisecond they are told apart by what was drawn.
                assert_ne!(first, next(heard, made_at, now, 998), "{heard} {since}");
            }
        }
    }

    #[test]
    fn a_number_that_could_not_be_given_again_is_told() {
        let can = |above: u64| can_be_given_again(Incarnation(above), Timestamp(T), Timestamp(T + 5_000));
        assert!(can(0) && can(MOST_INCARNATION / 2));
        // With the time since the archive, and what is drawn.
        assert!(can(MOST_INCARNATION - 5_000_000 - DRAWN) && !can(MOST_INCARNATION - 5_000_000));
        assert!(!can(MOST_INCARNATION) && !can(u64::MAX));
    }

    #[test]
    fn a_number_is_of_its_instant_where_no_clock_was_ahead() {
        let number = next(at(Timestamp(T)), Timestamp(T + 5), Timestamp(T + 9), 1_234);
        assert_eq!(number, Incarnation((T + 9) * 1_000 + 234));
        let behind = |before: u64, drawn| next(Incarnation(7), Timestamp(T), Timestamp(T - before), drawn);
        assert!(behind(50, 0) >= at(Timestamp(T)), "a clock that is behind");
        for before in [1_001, 60_000, 86_400_000] {
            assert!(behind(before, 999) < behind(before - 1_000, 0), "{before}");
            assert!(behind(before, 999) < next(Incarnation(7), Timestamp(T), Timestamp(T + 3_600_000), 0));
        }
        assert_eq!(next(Incarnation(u64::MAX - 1), Timestamp(T), Timestamp(T), 5), Incarnation(u64::MAX));
    }
}

//! How the fleet stood on each day: a row a day (UTC), so that a report can say what has changed.

use crate::record::FleetDay;
use crate::refused::StoreError;
use crate::store::{FLEET_DAYS, Reads, Span, Tx};
use crate::units::DAY_MS;
use schema::Timestamp;

/// So long a day is kept.
const KEPT_MS: u64 = 400 * DAY_MS;
/// A day that lies further before the begin of a period says nothing of it.
const BEFORE_MS: u64 = 7 * DAY_MS;

/// Whether nobody has looked today. Pure.
pub(crate) fn is_due(last: Option<FleetDay>, now: Timestamp) -> bool {
    last.is_none_or(|last| last.at.0 / DAY_MS != now.0 / DAY_MS)
}

/// The last day that is known.
pub(crate) fn last(reads: &impl Reads) -> Result<Option<FleetDay>, StoreError> {
    Ok(reads.last(&FLEET_DAYS, &Span::ALL)?.map(|(_, day)| day))
}

/// The last day that is known until then.
pub(super) fn before(reads: &impl Reads, at: Timestamp) -> Result<Option<FleetDay>, StoreError> {
    let span = Span::ALL.from(&at.0.saturating_sub(BEFORE_MS)).through(&at.0);
    Ok(reads.last(&FLEET_DAYS, &span)?.map(|(_, day)| day))
}

/// Writes today. What lies ahead was written by a clock that was wrong, and what is too old goes.
pub(crate) fn put(tx: &mut Tx<'_>, day: &FleetDay) -> Result<(), StoreError> {
    tx.remove_all(&FLEET_DAYS, &Span::ALL.after(&day.at.0))?;
    tx.remove_all(&FLEET_DAYS, &Span::ALL.before(&day.at.0.saturating_sub(KEPT_MS)))?;
    tx.put(&FLEET_DAYS, &day.at.0, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_is_looked_at_once_and_again_where_the_clock_was_ahead() {
        let at = |ms: u64| FleetDay { at: Timestamp(ms), hosts: 1, protected: 1, proven: 0 };
        let now = Timestamp(1_000 * DAY_MS + 5);
        assert!(is_due(None, now));
        assert!(!is_due(Some(at(1_000 * DAY_MS)), now));
        assert!(is_due(Some(at(1_000 * DAY_MS - 1)), now));
        assert!(is_due(Some(at(1_400 * DAY_MS)), now));
    }
}

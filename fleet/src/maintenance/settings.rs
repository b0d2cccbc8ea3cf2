//! The settings of a host.

use super::calendar::Calendar;
use crate::record::Maintenance;
use crate::refused::StoreError;
use crate::store::{MAINTENANCE, Reads};
use schema::HostId;

/// The settings of a host; those of a new one when none are stored: by the server's own clock, in `timezone`.
pub(crate) fn of(timezone: &str, reads: &impl Reads, host: HostId) -> Result<Maintenance, StoreError> {
    Ok(reads.get(&MAINTENANCE, &host)?.unwrap_or_else(|| usual(timezone)))
}

/// Those of a host whose settings nobody has changed.
pub(super) fn usual(timezone: &str) -> Maintenance {
    let timezone = if Calendar::knows(timezone) { timezone } else { "UTC" };
    Maintenance { timezone: timezone.to_owned(), ..Maintenance::default() }
}

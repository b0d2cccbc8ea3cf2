//! How many hosts are protected, in words.

use crate::format::{count, many};
use fleet::FleetCounts;

/// How many are, where the server can know that.
pub(crate) fn protected(counts: &FleetCounts, is_known: bool) -> String {
    let total = many(u64::from(counts.total), "host");
    match is_known {
        true => format!("{} of {total} protected", count(counts.protected.into())),
        false => format!("{total}, as this server knew them last"),
    }
}

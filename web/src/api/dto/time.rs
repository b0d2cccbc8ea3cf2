//! Times as the API writes them.

use crate::format::rfc3339;
use schema::Timestamp;

/// An RFC 3339 time; `None` stays null.
pub(super) fn time(at: Option<Timestamp>) -> Option<String> {
    at.map(rfc3339)
}

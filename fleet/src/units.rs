//! Spans of time.

/// A day in milliseconds.
pub(crate) const DAY_MS: u64 = 86_400_000;

/// A minute in milliseconds.
pub(crate) const MINUTE_MS: u64 = 60_000;

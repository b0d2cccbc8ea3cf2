//! Spans of time.

/// A day in milliseconds.
pub(crate) const DAY_MS: u64 = 86_400_000;

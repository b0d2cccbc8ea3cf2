//! The one place where this program reads the clock and draws random bytes.

use schema::Timestamp;
use std::time::{SystemTime, UNIX_EPOCH};

/// Now, by the wall clock; 0 before 1970.
#[expect(
    clippy::disallowed_methods,
    reason = "the driver's clock: everything else takes `now` as an argument"
)]
pub fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

/// Now, for the deadlines of tasks: the clock of their timers, which a test may stop.
#[expect(
    clippy::disallowed_methods,
    reason = "the clock of the drivers; a deadline is an argument below them"
)]
pub(crate) fn instant() -> tokio::time::Instant {
    tokio::time::Instant::now()
}

/// Fills `buffer` from the system's random source.
///
/// # Panics
/// When the system has none: nothing secret could be made then.
#[expect(
    clippy::disallowed_methods,
    reason = "the driver's random source: everything else takes it as an argument"
)]
#[expect(clippy::expect_used, reason = "without a random source no key, token or nonce may be made")]
pub fn random(buffer: &mut [u8]) {
    getrandom::fill(buffer).expect("the system has no random source");
}

/// The IANA name of this machine's time zone; empty when it can't be told.
#[must_use]
pub fn zone() -> String {
    let system = jiff::tz::TimeZone::try_system().ok();
    let name = system.as_ref().and_then(|zone| zone.iana_name()).unwrap_or_default();
    // The same zone; people know it by its short name.
    if name == "Etc/UTC" { "UTC".to_owned() } else { name.to_owned() }
}

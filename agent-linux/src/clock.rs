//! The only place where the agent reads its clocks.

use agent_core::{Monotonic, Now};
use schema::Timestamp;
use std::{
    sync::OnceLock,
    time::{Instant, SystemTime, UNIX_EPOCH},
};

/// The wall clock; may jump.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "this is the driver's clock")]
pub fn wall() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

/// The clock that never jumps; its zero is the first call.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "this is the driver's clock")]
pub fn mono() -> Monotonic {
    static START: OnceLock<Instant> = OnceLock::new();
    let since = START.get_or_init(Instant::now).elapsed();
    Monotonic(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

/// Now, for the deadlines of tasks: the clock of their timers, which a test may stop.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "this is the driver's clock")]
pub fn instant() -> tokio::time::Instant {
    tokio::time::Instant::now()
}

/// Both of the first two.
#[must_use]
pub fn now() -> Now {
    Now { mono: mono(), wall: wall() }
}

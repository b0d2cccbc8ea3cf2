//! A host's clock against the server's.
//!
//! It is measured at each hello, and an agent whose clock is set says hello anew. From [`SHOWN_FROM_MS`] on it is shown,
//! and the times that a host states of its own work are corrected by it: when a report was written, when a job was
//! started and ended, when a figure of the repository was seen. What the host only passes on is left as it is: the times
//! of snapshots and locks, which are other machines' as well, and due times, which are the server's own. In which order
//! things happened is never read from a clock: reports and figures are numbered.

use crate::refused::StoreError;
use crate::store::{PRESENCES, Reads};
use schema::{HostId, Timestamp};

/// A clock that is off by so much is shown, and corrected for, in milliseconds.
pub const SHOWN_FROM_MS: u64 = 60_000;
/// A clock that is off by so much is a reason to look at the host, in milliseconds.
pub const WARNED_FROM_MS: u64 = 3_600_000;

/// By how much a host's clock is ahead of the server's, in milliseconds; negative: behind.
#[must_use]
pub fn ahead_ms(host_says: Timestamp, now: Timestamp) -> i64 {
    let off = i64::try_from(host_says.0.abs_diff(now.0)).unwrap_or(i64::MAX);
    if host_says < now { -off } else { off }
}

/// How a host's clock stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct HostClock {
    ahead_ms: i64,
}

impl HostClock {
    /// As its last hello showed it.
    pub(crate) fn of(reads: &impl Reads, host: HostId) -> Result<Self, StoreError> {
        let ahead_ms = reads.get(&PRESENCES, &host)?.and_then(|presence| presence.clock_ahead_ms);
        Ok(Self::ahead_by(ahead_ms.unwrap_or_default()))
    }

    /// One that is off by so much.
    pub(crate) const fn ahead_by(ahead_ms: i64) -> Self {
        let is_off = ahead_ms.unsigned_abs() >= SHOWN_FROM_MS;
        Self { ahead_ms: if is_off { ahead_ms } else { 0 } }
    }

    /// A time that the host states, by the server's clock.
    pub(crate) const fn corrected(self, at: Timestamp) -> Timestamp {
        let off = self.ahead_ms.unsigned_abs();
        Timestamp(if self.ahead_ms > 0 { at.0.saturating_sub(off) } else { at.0.saturating_add(off) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_corrected_both_ways_and_a_clock_that_is_nearly_right_is_believed() {
        let now = Timestamp(1_795_392_000_000);
        for off in [0, 59_999, 60_000, 13 * 3_600_000, 900_000_000_000] {
            for host_says in [Timestamp(now.0 + off), Timestamp(now.0 - off)] {
                let corrected = HostClock::ahead_by(ahead_ms(host_says, now)).corrected(host_says);
                assert_eq!(corrected, if off < SHOWN_FROM_MS { host_says } else { now });
            }
        }
        for absurd in [Timestamp(0), Timestamp(u64::MAX)] {
            let _ = HostClock::ahead_by(ahead_ms(absurd, now)).corrected(absurd);
            let _ = HostClock::ahead_by(ahead_ms(now, absurd)).corrected(Timestamp(u64::MAX));
        }
    }
}

//! How far a round is, and whether the clock can be relied on meanwhile.

use crate::units::DAY_MS;
use schema::{HostId, JobId, Timestamp};
use std::collections::BTreeMap;

/// A clock that goes further from one sweep to the next was set, or the server slept.
const MOST_BETWEEN_MS: u64 = 2 * 3_600_000;

/// How far a round is. In memory: a restart begins anew.
#[derive(Debug, Default)]
pub(crate) struct Round {
    /// The last job that was looked at.
    pub(super) after: Option<JobId>,
    pub(super) rests_until: Timestamp,
    pub(super) old: u64,
    pub(super) over: BTreeMap<HostId, u64>,
    pub(super) watch: Watch,
}

/// How long the clock has gone on as a clock does. One that was set years ahead would make all jobs old at once: what is
/// old by it goes only after a day in which somebody can notice.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Watch {
    since: Timestamp,
    last: Timestamp,
}

impl Watch {
    /// Notes the time of a sweep: whether it can be relied on.
    pub(super) fn is_steady(&mut self, now: Timestamp) -> bool {
        let step_ms = now.ms_since(self.last);
        if now < self.last || step_ms > MOST_BETWEEN_MS {
            self.since = now;
        }
        self.last = now;
        now.ms_since(self.since) >= DAY_MS
    }
}

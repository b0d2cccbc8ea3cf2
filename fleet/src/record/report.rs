//! Reports: when they are made, and what one says.

use super::{Cause, RouteState, Sending};
use schema::{HostId, Timestamp};
use serde::{Deserialize, Serialize};

/// How often a report is made, and on which day.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ReportEvery {
    /// Each week on this day: 0 is Monday, 6 is Sunday.
    Weekly(u8),
    /// Each month on this day, from 1 to 28.
    Monthly(u8),
}

/// When a channel is sent a report.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReportPlan {
    /// Whether it is sent at all.
    pub state: RouteState,
    /// How often, and on which day.
    pub every: ReportEvery,
    /// At which minute of that day, by the wall clock.
    pub minute: u16,
    /// IANA name of the zone in which day and minute are meant.
    pub timezone: String,
}

/// The plan of a channel, and how far it is done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ReportRow {
    pub(crate) plan: ReportPlan,
    /// What was due until then is made, or was not to be.
    pub(crate) done_until: Timestamp,
}

/// A report in the outbox of a channel: it says the same at each try.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct WaitingReport {
    /// Its message; it tells no notices.
    pub(crate) sending: Sending,
    pub(crate) period: Period,
}

/// How the fleet stood on a day.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FleetDay {
    /// When that was looked at.
    pub at: Timestamp,
    /// All hosts.
    pub hosts: u32,
    /// Hosts that were protected.
    pub protected: u32,
    /// Hosts that were proven.
    pub proven: u32,
}

/// Of how many backups or proofs is said how they ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndCounts {
    /// They ended well; of backups also those with warnings whose snapshot is whole.
    pub good: u32,
    /// How many of those had warnings.
    pub with_warnings: u32,
    /// They failed, or were broken off with nobody wanting that.
    pub failed: u32,
}

impl EndCounts {
    /// All of them.
    #[must_use]
    pub const fn all(&self) -> u32 {
        self.good.saturating_add(self.failed)
    }
}

/// A cause and how many have it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CauseCount {
    /// Why.
    pub cause: Cause,
    /// At which storage; `None` = it is of none, or nobody knows.
    pub storage: Option<String>,
    /// How many.
    pub count: u32,
}

/// A backup that took long.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SlowRun {
    /// On which host.
    pub host: HostId,
    /// What that is called.
    pub name: String,
    /// Name of the source group.
    pub group: String,
    /// How long it took, in seconds.
    pub secs: u64,
    /// When it ended.
    pub ended_at: Timestamp,
}

/// A repository that is large.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LargeRepo {
    /// Of which host; of one that several share, the first of them by name.
    pub host: HostId,
    /// What that is called.
    pub name: String,
    /// Its size, in bytes.
    pub bytes: u64,
}

/// How fast a storage grows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StorageRate {
    /// Bytes a day; negative: it shrinks.
    pub per_day_bytes: i64,
    /// Of how many days that is made: those of the repository of which the fewest are known.
    pub days: u32,
    /// Of how many repositories.
    pub repositories: u32,
}

/// A storage.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StorageSeen {
    /// As addresses name it; `None` = of none that is known.
    pub storage: Option<String>,
    /// Repositories there of which the size is known; one that hosts share counts once.
    pub repositories: u32,
    /// Their size, in bytes.
    pub bytes: u64,
    /// By how much that has changed in the period, in bytes; `None` = it is not known of any of them.
    pub change_bytes: Option<i64>,
    /// How fast it grows; `None` = too little is known.
    pub rate: Option<StorageRate>,
}

impl StorageSeen {
    /// How large it will be after so many days, in bytes, if it goes on like that; `None` = too little is known, or it does
    /// not grow.
    #[must_use]
    pub fn bytes_in(&self, days: u32) -> Option<u64> {
        let rate = self.rate.filter(|rate| rate.per_day_bytes > 0)?;
        let more = rate.per_day_bytes.unsigned_abs().saturating_mul(u64::from(days));
        Some(self.bytes.saturating_add(more))
    }
}

/// How many hosts have a version of a program.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VersionCount {
    /// Which.
    pub version: String,
    /// How many hosts.
    pub hosts: u32,
}

/// The first of a list, and how many more there are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct First<T> {
    /// The first of them.
    pub items: Vec<T>,
    /// How many more there are.
    pub left_out: u32,
}

impl<T> Default for First<T> {
    fn default() -> Self {
        Self { items: Vec::new(), left_out: 0 }
    }
}

impl<T> First<T> {
    /// The first `most` of all.
    #[must_use]
    pub fn of(mut all: Vec<T>, most: usize) -> Self {
        let left_out = u32::try_from(all.len().saturating_sub(most)).unwrap_or(u32::MAX);
        all.truncate(most);
        Self { items: all, left_out }
    }
}

/// What happened in a period, and how the fleet stands at its end: what a report says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Period {
    /// When this was read.
    pub made_at: Timestamp,
    /// Where the period begins.
    pub from: Timestamp,
    /// Where it ends: what came then or later is not in it.
    pub until: Timestamp,
    /// How the fleet stood when this was read.
    pub now: FleetDay,
    /// How it stood at the begin of the period; `None` = nobody has looked then.
    pub before: Option<FleetDay>,
    /// Why hosts need somebody, and of how many; most first.
    pub in_need: First<CauseCount>,
    /// How the backups of the period ended.
    pub backups: EndCounts,
    /// Why some of them failed; most first.
    pub failures: First<CauseCount>,
    /// How the proofs of the period ended.
    pub proofs: EndCounts,
    /// Incidents that have opened in the period.
    pub opened: u32,
    /// Incidents that have ended in it.
    pub ended: u32,
    /// Hosts that were added in it and are there still, by name.
    pub added: First<String>,
    /// The longest backup of each source group, the longest first.
    pub slowest: First<SlowRun>,
    /// The largest repositories.
    pub largest: First<LargeRepo>,
    /// All storages, the largest first.
    pub storages: First<StorageSeen>,
    /// Versions of agents, oldest first.
    pub agents: First<VersionCount>,
    /// Versions of restic, oldest first.
    pub restics: First<VersionCount>,
    /// Jobs that were made before this were not counted, for there were too many; `None` = all were.
    pub jobs_since: Option<Timestamp>,
}

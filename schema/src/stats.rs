//! Agent → server: the figures of the repository. Each has a time of its own.

use crate::{JobId, RepoId, Timestamp};
use serde::{Deserialize, Serialize};

/// Retained on `repo/stats`. A figure that is not known is `None` and leaves what the server has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RepoStats<'a> {
    /// The journal the agent writes, see [`crate::Hello::stream`].
    pub stream: u64,
    /// Grows with each message of one stream.
    pub revision: u64,
    /// When it was written.
    pub at: Timestamp,
    /// The job it came from.
    pub job: Option<JobId>,
    /// restic's repository id.
    pub repo: Option<RepoId>,
    /// Size in the storage.
    pub size: Option<Size>,
    /// Snapshots.
    pub snapshots: Option<SnapshotCount>,
    /// The last check.
    pub check: Option<CheckResult>,
    /// The last prune.
    pub prune: Option<PruneResult>,
    /// The lock, looked at last.
    #[serde(borrow)]
    pub lock: Option<LockSeen<'a>>,
}

/// Size in the storage.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Size {
    /// When it was known.
    pub at: Timestamp,
    /// In bytes, as stored.
    pub bytes: u64,
    /// How it is known.
    pub source: SizeSource,
}

/// How a size is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SizeSource {
    /// `restic stats --mode raw-data`, or prune's own figure.
    Measured,
    /// The last measured size and what backups have added since.
    Summed,
}

/// How many snapshots there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SnapshotCount {
    /// When they were counted.
    pub at: Timestamp,
    /// How many.
    pub count: u32,
    /// The newest one's time.
    pub newest_at: Option<Timestamp>,
}

/// What a check found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckResult {
    /// When it ended.
    pub at: Timestamp,
    /// How many errors.
    pub errors: u32,
    /// How much of the data was read, in percent.
    pub subset_pct: u8,
}

/// What a prune did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PruneResult {
    /// When it ended.
    pub at: Timestamp,
    /// Given back, in bytes.
    pub freed_bytes: u64,
}

/// What the last look at the repository's locks saw.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LockSeen<'a> {
    /// When it was looked.
    pub at: Timestamp,
    /// The oldest lock; `None` = there is none.
    #[serde(borrow)]
    pub lock: Option<Lock<'a>>,
}

/// A lock in the repository.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lock<'a> {
    /// Since when.
    pub since: Timestamp,
    /// Whether it keeps all others out.
    pub exclusive: bool,
    /// Who: machine.
    pub hostname: &'a str,
    /// Who: account.
    pub username: &'a str,
    /// Who: process.
    pub pid: u32,
    /// Whether the reporting agent started its process and knows it to be gone, or it is older than restic's own limit of half an hour.
    pub stale: bool,
}

//! Agent → server: the figures of the repository. Each has a time of its own.

use crate::{JobId, RepoId, StatsRevision, Stream, Timestamp};
use serde::{Deserialize, Serialize};

/// Retained on `repo/stats`. A figure that is not known is `None` and leaves what the server has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RepoStats<'a> {
    /// The journal the agent writes, see [`crate::Hello::stream`].
    pub stream: Stream,
    /// Grows with each message of one stream.
    pub revision: StatsRevision,
    /// When it was written.
    pub at: Timestamp,
    /// The job it came from.
    pub job: Option<JobId>,
    /// restic's repository id; `None` = not known.
    pub repo: Option<RepoId>,
    /// Size of the repository in its storage; `None` = not known.
    pub size: Option<Size>,
    /// Number of snapshots; `None` = not known.
    pub snapshots: Option<SnapshotCount>,
    /// Result of the last check; `None` = none is known.
    pub check: Option<CheckResult>,
    /// Result of the last prune; `None` = none is known.
    pub prune: Option<PruneResult>,
    /// The lock, looked at last.
    #[serde(borrow)]
    pub lock: Option<LockSeen<'a>>,
}

/// Size of a repository in its storage.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Size {
    /// When the size was known.
    pub at: Timestamp,
    /// Size as stored, in bytes.
    pub bytes: u64,
    /// Where the figure comes from.
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
    /// Number of snapshots.
    pub count: u32,
    /// When the newest snapshot was taken; `None` = not known, or there is none.
    pub newest_at: Option<Timestamp>,
}

/// Result of a check of the repository.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckResult {
    /// When it ended.
    pub at: Timestamp,
    /// Number of errors that restic found.
    pub errors: u32,
    /// How much of the data was read, in percent.
    pub subset_pct: u8,
}

/// Result of a prune of the repository.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PruneResult {
    /// When it ended.
    pub at: Timestamp,
    /// Bytes that the storage got back.
    pub freed_bytes: u64,
}

/// What the last look at the repository's locks saw.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LockSeen<'a> {
    /// When locks were looked for.
    pub at: Timestamp,
    /// The oldest lock; `None` = there is none.
    #[serde(borrow)]
    pub lock: Option<Lock<'a>>,
}

/// A lock in the repository.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lock<'a> {
    /// Since when the lock is held.
    pub since: Timestamp,
    /// Whether it keeps all others out.
    pub exclusive: bool,
    /// Name of the machine that holds it.
    pub hostname: &'a str,
    /// Name of the account that holds it.
    pub username: &'a str,
    /// Process id of the holder on its machine.
    pub pid: u32,
    /// Whether the reporting agent started its process and knows it to be gone, or it is older than restic's own limit of half an hour.
    pub stale: bool,
}

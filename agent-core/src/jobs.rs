use schema::{GroupKey, JobId, JobKind, ReportSeq, Timestamp};
use serde::{Deserialize, Serialize};

/// How many answered jobs are remembered, so that a command that comes again is not answered again.
pub const MAX_KNOWN_JOBS: usize = 64;

/// What the core keeps of an accepted job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ticket {
    /// The job's id.
    pub job: JobId,
    /// Of what kind.
    pub kind: JobKind,
    /// Whether it goes before the jobs that wait.
    pub urgent: bool,
    /// When its command expires, by the server's clock.
    pub expires_at: Timestamp,
    /// When it must have ended, in seconds after its start; 0 = no deadline.
    pub deadline_secs: u32,
    /// The source group that it saves; `None` = it is no backup.
    pub group: Option<GroupKey>,
    /// Whether the agent has made it by itself.
    pub own: bool,
    /// Whether it works on another host's repository, with credentials that are held for it in memory alone: it does not
    /// outlive this process.
    pub for_other: bool,
    /// When it was taken: by the server's clock, or by the machine's own where that was not known.
    pub taken_at: Timestamp,
}

/// How many source groups are remembered by when a backup of theirs was taken last.
pub const MAX_TAKEN_GROUPS: usize = 64;

/// When backups of a source group were taken last, whoever asked for them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TakenGroup {
    /// Key of the source group.
    pub group: GroupKey,
    /// When, see [`Ticket::taken_at`].
    pub at: Timestamp,
    /// The job whose backup was taken last.
    pub job: JobId,
    /// When one was taken before it: what counts again when that job was broken off.
    pub before: Option<Timestamp>,
    /// When the last one was taken that has ended well; see [`schema::Hello::saved`].
    pub saved: Option<Timestamp>,
}

/// A job that was answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Known {
    /// The job that was answered.
    pub job: JobId,
    /// The number of the report that ends it; `None` while it is held.
    pub ended_by: Option<ReportSeq>,
}

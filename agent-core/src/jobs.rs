use schema::{JobId, JobKind, Timestamp};
use serde::{Deserialize, Serialize};

/// How many answered jobs are remembered, so that a command that comes again is not answered again.
pub const MAX_KNOWN_JOBS: usize = 64;

/// What the core keeps of an accepted job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ticket {
    /// Which.
    pub job: JobId,
    /// Of what kind.
    pub kind: JobKind,
    /// Whether it goes before the jobs that wait.
    pub urgent: bool,
    /// When its command expires.
    pub expires_at: Timestamp,
    /// When it must have ended, in seconds after its start; 0 = no deadline.
    pub deadline_secs: u32,
}

/// A job that was answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Known {
    /// Which.
    pub job: JobId,
    /// The number of the report that ends it; `None` while it is held.
    pub ended_by: Option<u64>,
}

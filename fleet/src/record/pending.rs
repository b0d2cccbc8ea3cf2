use schema::{HostId, JobId, PendingId, Timestamp};
use serde::{Deserialize, Serialize};

/// A due backup that has not succeeded yet: one for each schedule and source group of a host. It waits while `job` is
/// `None`, and is handed to its host otherwise.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PendingRun {
    /// Unique id of the pending run.
    pub id: PendingId,
    /// The host to back up.
    pub host: HostId,
    /// Name of the schedule that made the backup due.
    pub schedule: String,
    /// Name of the source group to back up.
    pub group: String,
    /// The first due time that this run stands for.
    pub due_at: Timestamp,
    /// The last due time that this run stands for.
    pub last_due_at: Timestamp,
    /// Number of due times that this run stands for.
    pub missed: u32,
    /// Number of tries that failed. An absent host does not count as a try.
    pub attempt: u16,
    /// When it is tried next; `None` = when the host says hello.
    pub next_attempt_at: Option<Timestamp>,
    /// Why it still waits; `None` = no reason is stored.
    pub last_error: Option<TryError>,
    /// The backup that was dispatched for it.
    pub job: Option<JobId>,
    /// Whether its schedule is switched off, so that it is not tried.
    pub asleep: bool,
}

/// Why a pending run did not succeed, or could not be started.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TryError {
    /// When that was found.
    pub at: Timestamp,
    /// The code of a [`crate::Setback`].
    pub code: String,
    /// What was said of it that the code does not tell; older servers wrote the words of the code here.
    pub message: String,
    /// The job that failed, where there was one.
    pub job: Option<JobId>,
}

/// A pending run that was abandoned.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GivenUp {
    /// When it was abandoned.
    pub at: Timestamp,
    /// The code of a [`crate::GiveUp`]; older servers wrote words.
    pub reason: String,
    /// The run as it was last, with the result of its last try.
    pub run: PendingRun,
}

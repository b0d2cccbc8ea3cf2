use schema::{HostId, JobId, PendingId, Timestamp};
use serde::{Deserialize, Serialize};

/// A due backup that has not succeeded yet: one for each schedule and source group of a host. It waits while `job` is
/// `None`, and is handed to its host otherwise.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PendingRun {
    /// Its own.
    pub id: PendingId,
    /// Where.
    pub host: HostId,
    /// Whose.
    pub schedule: String,
    /// What.
    pub group: String,
    /// The first due time that it stands for.
    pub due_at: Timestamp,
    /// The last of them.
    pub last_due_at: Timestamp,
    /// How many they are.
    pub missed: u32,
    /// Tries that came to nothing. That the host is away is no try.
    pub attempt: u16,
    /// When it is tried next; `None` = when the host says hello.
    pub next_attempt_at: Option<Timestamp>,
    /// Why it waits.
    pub last_error: Option<TryError>,
    /// The backup that was dispatched for it.
    pub job: Option<JobId>,
    /// Its schedule is off.
    pub asleep: bool,
}

/// Why a try came to nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TryError {
    /// When.
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
    /// When.
    pub at: Timestamp,
    /// The code of a [`crate::GiveUp`]; older servers wrote words.
    pub reason: String,
    /// As it was last, with what its last try came to.
    pub run: PendingRun,
}

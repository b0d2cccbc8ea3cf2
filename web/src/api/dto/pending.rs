//! Due backups that wait.

use super::time::time;
use crate::format::rfc3339;
use crate::words::setback;
use fleet::record::PendingRun;
use serde::Serialize;
use utoipa::ToSchema;

#[derive(Serialize, ToSchema)]
#[schema(as = TryError)]
pub(crate) struct TryErrorOut {
    at: String,
    /// A code of this API, a class of failure, why an agent refuses, or a word of its own: `no_room`, `lost`,
    /// `interrupted`, `withdrawn`, `no_answer`, `no_snapshot`.
    code: String,
    /// The same in words.
    message: String,
    /// The job that failed, where there was one.
    job: Option<String>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = Pending)]
pub(crate) struct PendingOut {
    id: String,
    host: String,
    schedule: String,
    group: String,
    /// The first due time that it stands for.
    due_at: String,
    /// How many due times it stands for, that one included.
    missed: u32,
    /// Tries that came to nothing. That the host is away is no try.
    attempt: u16,
    /// Its schedule is off: nothing is tried until it is on again.
    asleep: bool,
    /// Null: when the host reconnects, or its schedule is enabled again; always null of a server that only reads.
    next_attempt_at: Option<String>,
    last_error: Option<TryErrorOut>,
}

impl PendingOut {
    /// `begins` = the server begins backups at all.
    pub(crate) fn new(run: PendingRun, begins: bool) -> Self {
        Self {
            id: run.id.to_string(),
            host: run.host.to_string(),
            schedule: run.schedule,
            group: run.group,
            due_at: rfc3339(run.due_at),
            missed: run.missed,
            attempt: run.attempt,
            asleep: run.asleep,
            next_attempt_at: time(run.next_attempt_at.filter(|_| begins && !run.asleep)),
            last_error: run.last_error.map(|error| TryErrorOut {
                at: rfc3339(error.at),
                message: setback(&error),
                code: error.code,
                job: error.job.map(|job| job.to_string()),
            }),
        }
    }
}

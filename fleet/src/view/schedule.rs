use crate::record::{Schedule, ScheduleRow};
use cron::Cron;
use schema::{HostId, Timestamp};

/// A schedule and when it is due.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScheduleView {
    /// The schedule as stored.
    pub schedule: Schedule,
    /// The next due time; `None` = it is off, or this server begins nothing any more.
    pub next_due_at: Option<Timestamp>,
    /// When it runs next on its host: so long after the due time as the host is spread.
    pub next_run_at: Option<Timestamp>,
    /// Why it is never due although it is on, in words.
    pub problem: Option<String>,
}

impl ScheduleView {
    pub(crate) fn new(host: HostId, row: ScheduleRow) -> Self {
        let next_run_at = row.runs_at(host);
        let is_read = Cron::parse(&row.schedule.cron, &row.schedule.timezone);
        let problem = is_read.err().filter(|_| row.schedule.enabled).map(|error| error.to_string());
        Self { schedule: row.schedule, next_due_at: row.next_due_at, next_run_at, problem }
    }

    /// The same of a server that may begin nothing any more.
    pub(crate) fn if_begun(self, begins: bool) -> Self {
        let only = |at: Option<Timestamp>| at.filter(|_| begins);
        Self { next_due_at: only(self.next_due_at), next_run_at: only(self.next_run_at), ..self }
    }
}

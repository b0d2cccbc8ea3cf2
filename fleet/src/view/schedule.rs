use crate::record::Schedule;
use crate::schedule::ScheduleRow;
use schema::Timestamp;

/// A schedule and when it is due.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScheduleView {
    /// The schedule.
    pub schedule: Schedule,
    /// The next due time; `None` = it is off.
    pub next_due_at: Option<Timestamp>,
}

impl From<ScheduleRow> for ScheduleView {
    fn from(row: ScheduleRow) -> Self {
        Self { schedule: row.schedule, next_due_at: row.next_due_at }
    }
}

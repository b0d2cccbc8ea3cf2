use schema::Timestamp;
use serde::{Deserialize, Serialize};

/// When source groups of a host are backed up by themselves.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Schedule {
    /// Unique in its host, see [`schema::name::is_valid`].
    pub name: String,
    /// Five fields, or `@daily` and the like.
    pub cron: String,
    /// IANA name.
    pub timezone: String,
    /// The source groups that it backs up.
    pub groups: Vec<String>,
    /// Whether it runs.
    pub enabled: bool,
    /// How often a backup that came to nothing is tried again; a group may allow less. 0 = not.
    pub retry_max: u16,
    /// Hosts are spread over so many seconds after the due time, each by a fixed delay.
    pub jitter_secs: u32,
}

/// A schedule and how far it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ScheduleRow {
    pub(crate) schedule: Schedule,
    /// Occurrences up to here are dealt with.
    pub(crate) handled_at: Timestamp,
    /// The next due time; `None` = it is off, or never due again.
    pub(crate) next_due_at: Option<Timestamp>,
    /// The longest time between two of its occurrences.
    pub(crate) longest_ms: u64,
}

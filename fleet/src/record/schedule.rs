use schema::Timestamp;
use serde::{Deserialize, Serialize};

/// When source groups of a host are backed up by themselves.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Schedule {
    /// Unique in its host, see [`schema::name::is_valid`].
    pub name: String,
    /// Cron expression with five fields, or a shorthand such as `@daily`.
    pub cron: String,
    /// IANA name of the time zone in which the expression is meant.
    pub timezone: String,
    /// Names of the source groups that it backs up.
    pub groups: Vec<String>,
    /// Whether it is switched on.
    pub enabled: bool,
    /// How often a failed backup is tried again; a group may allow less. 0 = never.
    pub retry_max: u16,
    /// Hosts are spread over this many seconds after the due time, each by a fixed delay.
    pub jitter_secs: u32,
}

/// A schedule as stored, with how far its due times are dealt with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ScheduleRow {
    pub(crate) schedule: Schedule,
    /// Occurrences up to here are dealt with.
    pub(crate) handled_at: Timestamp,
    /// The next due time; `None` = it is off, or never due again.
    pub(crate) next_due_at: Option<Timestamp>,
    /// The longest time between two of its due times, in milliseconds.
    pub(crate) longest_ms: u64,
}

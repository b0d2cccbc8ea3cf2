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

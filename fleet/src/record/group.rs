use serde::{Deserialize, Serialize};

/// A source group: a named set of paths of a host. Its name is the restic tag of its snapshots.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Group {
    /// Unique in its host, see [`schema::name::is_valid`].
    pub name: String,
    /// Absolute paths.
    pub includes: Vec<String>,
    /// restic exclude patterns.
    pub excludes: Vec<String>,
    /// File names that mark a folder to leave out.
    pub exclude_if_present: Vec<String>,
    /// Stay on the file systems of the paths.
    pub one_file_system: bool,
    /// Paths that must be mount points.
    pub required_mounts: Vec<String>,
    /// Hooks by name from the agent's policy, before.
    pub hooks_before: Vec<String>,
    /// Hooks after.
    pub hooks_after: Vec<String>,
    /// What forget keeps.
    pub keep: Retention,
    /// How often a scheduled backup is tried again; 0 = not.
    pub retry_max: u16,
    /// Snapshots of other tags or host names that belong to it too: of its former names, or adopted.
    pub origins: Vec<Origin>,
}

/// Whose snapshots belong to a group beside its own.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Origin {
    /// The host name in them.
    pub hostname: String,
    /// Their tag; empty = they have none.
    pub tag: String,
}

/// restic's `--keep-*`; 0 or empty = no rule.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Retention {
    /// The newest ones.
    pub last: u16,
    /// One an hour.
    pub hourly: u16,
    /// One a day.
    pub daily: u16,
    /// One a week.
    pub weekly: u16,
    /// One a month.
    pub monthly: u16,
    /// One a year.
    pub yearly: u16,
    /// All newer than this, such as `1y5m7d2h`.
    pub within: String,
}

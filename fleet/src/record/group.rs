use serde::{Deserialize, Serialize};

/// A source group: a named set of paths of a host. Its name is the restic tag of its snapshots.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Group {
    /// Unique in its host, see [`schema::name::is_valid`].
    pub name: String,
    /// Absolute paths that are backed up.
    pub includes: Vec<String>,
    /// Patterns of what is left out, as restic's `--exclude` reads them.
    pub excludes: Vec<String>,
    /// File names that mark a folder to leave out.
    pub exclude_if_present: Vec<String>,
    /// Whether to stay on the file systems of the paths (restic's `--one-file-system`).
    pub one_file_system: bool,
    /// Paths that must be mount points.
    pub required_mounts: Vec<String>,
    /// Names of hooks in the agent's policy that run before the backup.
    pub hooks_before: Vec<String>,
    /// Names of hooks in the agent's policy that run after the backup.
    pub hooks_after: Vec<String>,
    /// Rules for what forget keeps.
    pub keep: Retention,
    /// How often a scheduled backup that failed is tried again; 0 = never.
    pub retry_max: u16,
    /// Snapshots of other tags or host names that belong to it too: of its former names, or adopted.
    pub origins: Vec<Origin>,
    /// A person's word that it is backed up by hand, and that a good backup may be so many days old; 0 = it is backed up by
    /// a schedule.
    pub by_hand_days: u16,
}

/// Whose snapshots belong to a group beside its own.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Origin {
    /// Host name in those snapshots.
    pub hostname: String,
    /// Tag of those snapshots; empty = they have none.
    pub tag: String,
}

/// restic's `--keep-*`; 0 or empty = no rule.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Retention {
    /// Number of newest snapshots to keep.
    pub last: u16,
    /// Number of hours of which the newest snapshot is kept.
    pub hourly: u16,
    /// Number of days of which the newest snapshot is kept.
    pub daily: u16,
    /// Number of weeks of which the newest snapshot is kept.
    pub weekly: u16,
    /// Number of months of which the newest snapshot is kept.
    pub monthly: u16,
    /// Number of years of which the newest snapshot is kept.
    pub yearly: u16,
    /// Keep all snapshots newer than this duration, such as `1y5m7d2h`; empty = no rule.
    pub within: String,
}

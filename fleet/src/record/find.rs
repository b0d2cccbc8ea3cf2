use schema::{JobId, Timestamp, report::ChangeKind, report::EntryKind};
use serde::{Deserialize, Serialize};

/// A search by name: what is looked for, and in which snapshots.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FindPlan {
    /// restic's pattern as a person writes it; one without `*`, `?`, `[`, `\` and `/` is looked for anywhere in a name.
    pub pattern: String,
    /// Capital letters are as small ones.
    pub ignore_case: bool,
    /// Only the snapshots of this source group; `None` = of the host.
    pub group: Option<String>,
    /// Only the newest so many; 0 = as many as one search takes.
    pub newest: u32,
    /// Only those taken at this time or later.
    pub since: Option<Timestamp>,
}

/// What a search has found, by path.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// When it ended.
    pub at: Timestamp,
    /// Each path once, sorted.
    pub paths: Vec<FoundPath>,
    /// How many entries did not come: too many, or of too long a path.
    pub left_out: u32,
}

/// A path that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundPath {
    /// Its absolute path inside the snapshots, as people write it.
    pub path: String,
    /// What it is there, newest first.
    pub versions: Vec<FoundVersion>,
}

/// What a path is in one snapshot or several one after the other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundVersion {
    /// The snapshots that have it, of those that were looked through, newest first; at least one.
    pub held_by: Vec<String>,
    /// When the newest of them was taken.
    pub time: Timestamp,
    /// Whether it is a folder, a file, a link or something else.
    pub kind: EntryKind,
    /// Its size in bytes; of a folder, of all that is in it.
    pub bytes: u64,
    /// Of a folder: how many files are in it.
    pub files: u64,
    /// When it was changed last; of a folder, when anything in it was. `None` = not known.
    pub modified_at: Option<Timestamp>,
}

impl FoundVersion {
    /// The newest snapshot that has it.
    #[must_use]
    pub fn snapshot(&self) -> &str {
        self.held_by.first().map_or("", String::as_str)
    }
}

impl Found {
    /// A part of the paths, and behind which one to go on; `None` = this was the last part.
    #[must_use]
    pub fn part(&self, limit: usize, after: Option<&str>) -> (&[FoundPath], Option<&str>) {
        let begin = after.map_or(0, |after| self.paths.partition_point(|found| found.path.as_str() <= after));
        let end = begin.saturating_add(limit.max(1)).min(self.paths.len());
        let part = &self.paths[begin..end];
        (part, part.last().filter(|_| end < self.paths.len()).map(|last| last.path.as_str()))
    }
}

/// What two snapshots differ in, by path.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Differences {
    /// When the comparison ended.
    pub at: Timestamp,
    /// Each path once, sorted.
    pub changes: Vec<ChangeRow>,
    /// How many changes did not come: too many, or of too long a path.
    pub left_out: u32,
}

impl Differences {
    /// A part of the changes, and behind which path to go on; `None` = this was the last part.
    #[must_use]
    pub fn part(&self, limit: usize, after: Option<&str>) -> (&[ChangeRow], Option<&str>) {
        let begin = after.map_or(0, |after| self.changes.partition_point(|row| row.path.as_str() <= after));
        let end = begin.saturating_add(limit.max(1)).min(self.changes.len());
        let part = &self.changes[begin..end];
        (part, part.last().filter(|_| end < self.changes.len()).map(|last| last.path.as_str()))
    }
}

/// A path in which two snapshots differ.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ChangeRow {
    /// Its absolute path inside the snapshots, as people write it.
    pub path: String,
    /// What became of it.
    pub change: ChangeKind,
    /// Whether it is a folder; in the newer one, when both have it.
    pub is_folder: bool,
    /// Its size in bytes, in the newer one when that has it; 0 of what is no file.
    pub bytes: u64,
}

/// What two snapshots differ in, in numbers of files and folders. Sizes in bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DiffFigures {
    /// Only the newer one has them.
    pub added: u64,
    /// Only the older one has them.
    pub removed: u64,
    /// Their content differs.
    pub changed: u64,
    /// They are of another kind.
    pub types: u64,
    /// Size of the files that were added, as far as they came.
    pub added_bytes: u64,
    /// The same of those that were removed.
    pub removed_bytes: u64,
    /// The same of those that changed, as they are in the newer one.
    pub changed_bytes: u64,
    /// How many of the changes did not come.
    pub left_out: u64,
}

/// What is remembered of a search or a comparison that has ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct FoundSeen {
    pub(crate) at: Timestamp,
    pub(crate) left_out: u32,
}

/// A piece of what a search has found, as it came.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct FoundPage(pub(crate) Vec<FoundRow>);

/// One row of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum FoundRow {
    /// An entry whose name matches.
    Entry { path: String, kind: EntryKind, bytes: u64, files: u64, modified_at: Option<Timestamp> },
    /// All entries since the last one of these are in this snapshot.
    Snapshot { id: String, time: Timestamp },
    /// Of a comparison: a path that differs.
    Change(ChangeRow),
}

/// The key of a search among those of its host.
pub(crate) type FindKey = (schema::HostId, JobId);

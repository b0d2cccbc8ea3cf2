use schema::{JobId, Timestamp, report::EntryKind};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// Where a folder is: on the host itself or in a snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FolderPlace<'a> {
    /// A folder of the host's own file system.
    Host,
    /// A folder inside the snapshot with this id of restic's.
    Snapshot(&'a str),
}

/// A folder as it was listed last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Folder {
    /// When it was listed.
    pub at: Timestamp,
    /// What was in it: folders first, then by name.
    pub entries: Vec<EntryRow>,
    /// How many entries did not come: too many, or of a name that is no UTF-8.
    pub left_out: u32,
}

/// Where a part of a folder's entries ended.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct EntryCursor(bool, String);

impl EntryCursor {
    fn of(entry: &EntryRow) -> Self {
        Self(entry.is_file_like(), entry.name.clone())
    }
}

impl fmt::Display for EntryCursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", if self.0 { "file" } else { "folder" }, self.1)
    }
}

impl FromStr for EntryCursor {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        match text.split_once('/') {
            Some(("file", name)) => Ok(Self(true, name.to_owned())),
            Some(("folder", name)) => Ok(Self(false, name.to_owned())),
            _ => Err(()),
        }
    }
}

impl Folder {
    /// A part of its entries, and where to go on; `None` = this was the last part.
    #[must_use]
    pub fn part(&self, limit: usize, cursor: Option<&EntryCursor>) -> (&[EntryRow], Option<EntryCursor>) {
        let begin =
            cursor.map_or(0, |after| self.entries.partition_point(|entry| EntryCursor::of(entry) <= *after));
        let end = begin.saturating_add(limit.max(1)).min(self.entries.len());
        let part = &self.entries[begin..end];
        (part, part.last().filter(|_| end < self.entries.len()).map(EntryCursor::of))
    }
}

/// An entry of a folder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EntryRow {
    /// Name of the entry, without its folder.
    pub name: String,
    /// Whether it is a folder, a file, a link or something else.
    pub kind: EntryKind,
    /// Size in bytes; 0 when it is not a file.
    pub bytes: u64,
    /// When it was changed last; `None` = not known.
    pub modified_at: Option<Timestamp>,
}

impl EntryRow {
    /// Whether there is nothing inside it.
    #[must_use]
    pub const fn is_file_like(&self) -> bool {
        !matches!(self.kind, EntryKind::Folder)
    }
}

/// The newest whole listing of a folder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct FolderSeen {
    pub(crate) job: JobId,
    pub(crate) at: Timestamp,
    pub(crate) left_out: u32,
}

/// A piece of a listing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct EntryPage(pub(crate) Vec<EntryRow>);

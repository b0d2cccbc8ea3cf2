use schema::{Timestamp, report::EntryKind};
use serde::{Deserialize, Serialize};

/// Whose folder it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FolderPlace<'a> {
    /// The host's own.
    Host,
    /// That of the snapshot with this id of restic's.
    Snapshot(&'a str),
}

/// A folder as it was listed last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Folder {
    /// When.
    pub at: Timestamp,
    /// What was in it: folders first, then by name.
    pub entries: Vec<EntryRow>,
    /// How many entries did not come: too many, or of a name that is no UTF-8.
    pub left_out: u32,
}

/// An entry of a folder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EntryRow {
    /// Its name.
    pub name: String,
    /// What it is.
    pub kind: EntryKind,
    /// Its size; 0 of what is no file.
    pub bytes: u64,
    /// When it was changed last.
    pub modified_at: Option<Timestamp>,
}

impl EntryRow {
    /// Whether there is nothing inside it.
    #[must_use]
    pub const fn is_file_like(&self) -> bool {
        !matches!(self.kind, EntryKind::Folder)
    }
}

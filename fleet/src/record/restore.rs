use schema::{HostId, Overwrite};
use serde::{Deserialize, Serialize};

/// What to restore and where to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RestorePlan {
    /// The host whose snapshot it is. The host that restores it is the job's.
    pub source: HostId,
    /// restic's id of the snapshot.
    pub snapshot: String,
    /// Absolute paths inside the snapshot, as people write them; empty = all.
    pub paths: Vec<String>,
    /// Where it goes.
    pub target: RestoreTarget,
    /// What becomes of files that are there already.
    pub overwrite: Overwrite,
    /// Delete what is there and the snapshot lacks.
    pub delete: bool,
    /// Read back what was written.
    pub verify: bool,
    /// Only say what would be written.
    pub dry_run: bool,
}

/// Where a restore goes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum RestoreTarget {
    /// Into a folder that the agent makes for it.
    NewFolder {
        /// The folder that it is made in; empty = the agent's own base for restores.
        within: String,
    },
    /// Into this folder.
    Folder {
        /// The folder, absolute.
        path: String,
    },
    /// To where it was.
    Original,
}

impl RestoreTarget {
    /// The stable word for the kind of target in the API and in forms.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::NewFolder { .. } => "new_folder",
            Self::Folder { .. } => "folder",
            Self::Original => "original",
        }
    }
}

impl RestorePlan {
    /// Whether it may change or delete what is there, so that a person has to confirm it by the host's name.
    #[must_use]
    pub const fn must_be_confirmed(&self) -> bool {
        !self.dry_run && (self.delete || matches!(self.target, RestoreTarget::Original))
    }
}

/// What a restore has written, or a dry run of it would. Files are all that is no folder.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RestoreFigures {
    /// Number of files that were not there before.
    pub files: u64,
    /// Number of files that were there and were written anew.
    pub replaced: u64,
    /// Number of files that were there and were left alone.
    pub skipped: u64,
    /// Number of files and folders that were deleted.
    pub deleted: u64,
    /// Number of files that could not be written whole.
    pub failed: u64,
    /// Bytes written.
    pub bytes: u64,
    /// The folder in which it is, as people write it; `/` = where it was.
    pub target: String,
    /// Room at the target before, in bytes; `None` = not known.
    pub free_bytes: Option<u64>,
    /// The numbers are the agent's own reckoning, not restic's.
    pub is_estimate: bool,
    /// All that was written was read back and was right; what was left alone was not looked into.
    pub verified: bool,
    /// What failed, in the order in which it did.
    pub failures: Vec<RestoreFailure>,
    /// How many more there were.
    pub failures_left_out: u64,
}

/// A file or folder that was not restored, or not whole.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RestoreFailure {
    /// Its path inside the snapshot, as people write it.
    pub path: String,
    /// Why, in restic's words or the agent's.
    pub reason: String,
}

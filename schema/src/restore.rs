//! The words of a restore: what, where to, over what, and what came of it.

use crate::{Items, OsText};
use serde::{Deserialize, Serialize};

/// What to restore and where to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RestoreSpec<'a> {
    /// restic's id of the snapshot, in hexadecimal.
    pub snapshot: &'a str,
    /// Absolute paths inside the snapshot, each a file, or a folder with all that is in it; empty = all.
    #[serde(borrow)]
    pub paths: Items<'a, OsText<'a>>,
    /// Where it goes.
    #[serde(borrow)]
    pub target: RestoreTarget<'a>,
    /// What becomes of files that are there already.
    pub overwrite: Overwrite,
    /// Delete what is there and the snapshot lacks (restic's `--delete`).
    pub delete: bool,
    /// Read back what was written and compare (restic's `--verify`).
    pub verify: bool,
    /// Only say what would be written.
    pub dry_run: bool,
}

/// Where a restore goes. The whole path of what is restored is made again below it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RestoreTarget<'a> {
    /// Into a folder that the agent makes for it, called after the snapshot and the time.
    NewFolder {
        /// The folder that it is made in; empty = the agent's own base for restores.
        #[serde(borrow)]
        within: OsText<'a>,
    },
    /// Into this folder. It is made when it is not there.
    Folder {
        /// The folder, absolute.
        #[serde(borrow)]
        path: OsText<'a>,
    },
    /// To where it was.
    Original,
}

/// What becomes of a file that is there already: restic's `--overwrite`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Overwrite {
    /// It stays.
    Never,
    /// It is replaced by one that was changed later.
    IfNewer,
    /// It is replaced when its size or time is another one.
    IfChanged,
    /// It is replaced when its content is another one, which is read to know.
    Always,
}

impl Overwrite {
    /// All variants in wire order.
    pub const ALL: [Self; 4] = [Self::Never, Self::IfNewer, Self::IfChanged, Self::Always];

    /// Its word in the API.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Never => "never",
            Self::IfNewer => "if_newer",
            Self::IfChanged => "if_changed",
            Self::Always => "always",
        }
    }

    /// restic's word for it.
    #[must_use]
    pub const fn as_restic(self) -> &'static str {
        match self {
            Self::Never => "never",
            Self::IfNewer => "if-newer",
            Self::IfChanged => "if-changed",
            Self::Always => "always",
        }
    }
}

/// What a restore has written, or a dry run of it would. Files are all that is no folder: links and devices, too.
///
/// Files that were asked for and are in the snapshot are written, replaced, left alone, or failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RestoreSummary<'a> {
    /// Number of files that were not there before.
    pub files: u64,
    /// Number of files that were there and were written anew.
    pub replaced: u64,
    /// Number of files that were there and were left alone.
    pub skipped: u64,
    /// Number of files and folders that were there and are not any more.
    pub deleted: u64,
    /// Number of files that were asked for and could not be written whole.
    pub failed: u64,
    /// Bytes written.
    pub bytes: u64,
    /// The folder in which it is; `/` = where it was. Of a dry run: the folder as far as it is known.
    #[serde(borrow)]
    pub target: OsText<'a>,
    /// Room at the target, in bytes, before it was written to; `None` = not known.
    pub free_bytes: Option<u64>,
    /// The numbers are the agent's own reckoning: this restic does not say them, or it was ended before it did.
    pub is_estimate: bool,
    /// All that was written was read back and was right; what was left alone was not looked into.
    pub verified: bool,
    /// What failed; at most [`crate::limits::MAX_RESTORE_FAILURES`].
    #[serde(borrow)]
    pub failures: Items<'a, RestoreFailure<'a>>,
    /// How many more there were.
    pub failures_left_out: u64,
}

/// A file or folder that was not restored, or not whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RestoreFailure<'a> {
    /// Its path inside the snapshot.
    #[serde(borrow)]
    pub path: OsText<'a>,
    /// Why, in restic's words or the agent's.
    pub reason: &'a str,
}

//! The words of a drill: files drawn by lot from a snapshot, restored, compared, and taken away again.

use crate::{Items, OsText};
use serde::{Deserialize, Serialize};

/// What a drill found. Each file that was drawn is equal, changed since, unreadable, different, or was not tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DrillSummary<'a> {
    /// restic's id of the snapshot, in hexadecimal.
    pub snapshot: &'a str,
    /// Number of files in the snapshot.
    pub of_files: u64,
    /// Size of those files in bytes.
    pub of_bytes: u64,
    /// Number of files that were drawn.
    pub drawn: u32,
    /// Number of files that were restored and have the content that the host has.
    pub equal: u32,
    /// Number of files that were restored whole by restic's own reckoning, and have been changed on the host since.
    pub changed_since: u32,
    /// Number of files that could not be restored.
    pub unreadable: u32,
    /// Number of files that were restored with other content than the host has, where nothing has changed since.
    pub different: u32,
    /// Number of files that were drawn and of which nothing is known: the drill was over before.
    pub not_tried: u32,
    /// Size of the files that were restored whole, in bytes.
    pub bytes: u64,
    /// How long restic took to restore them, in milliseconds.
    pub restore_ms: u64,
    /// What the bounds have cut.
    pub cuts: DrillCuts,
    /// The files that are unreadable or different; at most [`crate::limits::MAX_DRILL_FINDINGS`].
    #[serde(borrow)]
    pub findings: Items<'a, DrillFinding<'a>>,
    /// How many more there were.
    pub findings_left_out: u32,
}

/// What the bounds of a drill have cut.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DrillCuts {
    /// Number of files that are larger than all that may be drawn.
    pub too_large: u64,
    /// Number of files whose paths are no UTF-8, or too long: restic's listing does not name them exactly.
    pub odd_names: u64,
    /// Number of files that the lot fell on and for which no bytes were left.
    pub over_bytes: u32,
    /// The most bytes were lowered to what there is room for in the agent's folder.
    pub short_of_room: bool,
    /// It was over before all files were restored and compared.
    pub out_of_time: bool,
}

/// A file that a drill could not prove.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DrillFinding<'a> {
    /// Its path inside the snapshot.
    #[serde(borrow)]
    pub path: OsText<'a>,
    /// What is the matter with it.
    pub fault: DrillFault,
    /// Why, in restic's words or the agent's; may be empty.
    pub reason: &'a str,
}

/// What is the matter with a file that was drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DrillFault {
    /// It could not be restored.
    Unreadable,
    /// What was restored has other content than the host has.
    Different,
}

impl DrillFault {
    /// All variants in wire order.
    pub const ALL: [Self; 2] = [Self::Unreadable, Self::Different];

    /// Its word in the API.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unreadable => "unreadable",
            Self::Different => "different",
        }
    }
}

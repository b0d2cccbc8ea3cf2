//! Searches by name: what is looked for, and what was found.

use super::time::time;
use super::words;
use crate::format::rfc3339;
use crate::problem::Problem;
use fleet::Page;
use fleet::record::{ChangeRow, Differences, FindPlan, Found, FoundPath, FoundVersion};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A search by name in the snapshots of a host.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = FindRequest)]
pub(crate) struct FindBody {
    /// restic's pattern: `*`, `?`, `[a-z]`, `**` between slashes, and `\` before a letter that means itself. One without
    /// any of these and without a slash is looked for anywhere in a name. A byte that is no UTF-8 is written as `\xfc`.
    pub(crate) pattern: String,
    /// Only the snapshots of this source group; absent: those of the host.
    #[serde(default)]
    pub(crate) group: Option<String>,
    /// Only the newest so many; absent: as many as one search takes, the newest 300.
    #[serde(default)]
    pub(crate) newest: Option<u32>,
    /// Only snapshots taken at or after this RFC 3339 time.
    #[serde(default)]
    pub(crate) since: Option<String>,
    /// Capital letters are as small ones.
    #[serde(default)]
    pub(crate) ignore_case: bool,
}

impl FindBody {
    pub(crate) fn plan(self) -> Result<FindPlan, Problem> {
        let since = match self.since.as_deref() {
            None => None,
            Some(text) => Some(crate::format::from_rfc3339(text).ok_or_else(|| {
                Problem::invalid("since", "This is no RFC 3339 time, as 2026-11-23T06:41:12Z.")
            })?),
        };
        Ok(FindPlan {
            pattern: self.pattern,
            ignore_case: self.ignore_case,
            group: self.group,
            newest: self.newest.unwrap_or(0),
            since,
        })
    }
}

/// What a path is in one snapshot, or in several one after the other.
#[derive(Serialize, ToSchema)]
#[schema(as = FoundVersion)]
pub(crate) struct FoundVersionOut {
    /// The newest snapshot that has it.
    snapshot: String,
    /// When that was taken.
    time: String,
    #[schema(value_type = words::EntryKind)]
    kind: &'static str,
    /// Of a folder: of all files in it.
    bytes: u64,
    /// Of a folder: how many files are in it; else 0.
    files: u64,
    /// Of a folder: when anything in it was changed last, permissions among it.
    modified_at: Option<String>,
    /// How many of the snapshots that were looked through have it.
    snapshots: usize,
}

impl From<&FoundVersion> for FoundVersionOut {
    fn from(version: &FoundVersion) -> Self {
        Self {
            snapshot: version.snapshot().to_owned(),
            time: rfc3339(version.time),
            kind: version.kind.as_str(),
            bytes: version.bytes,
            files: version.files,
            modified_at: time(version.modified_at),
            snapshots: version.held_by.len(),
        }
    }
}

/// A path that was found.
#[derive(Serialize, ToSchema)]
#[schema(as = FoundPath)]
pub(crate) struct FoundPathOut {
    path: String,
    /// What it is in the newest version.
    #[schema(value_type = Option<words::EntryKind>)]
    kind: Option<&'static str>,
    /// Newest first.
    versions: Vec<FoundVersionOut>,
}

impl From<&FoundPath> for FoundPathOut {
    fn from(found: &FoundPath) -> Self {
        Self {
            path: found.path.clone(),
            kind: found.versions.first().map(|version| version.kind.as_str()),
            versions: found.versions.iter().map(FoundVersionOut::from).collect(),
        }
    }
}

#[derive(Serialize, ToSchema)]
#[schema(as = Found)]
pub(crate) struct FoundOut {
    /// When the search ended; null = it has not ended well, or its results are not kept any more: they are for a day, the
    /// newest 20 of a host.
    found_at: Option<String>,
    /// Sorted by path.
    items: Vec<FoundPathOut>,
    next: Option<String>,
    /// How many paths are kept, on all pages.
    total: usize,
    /// Entries that did not come, one for each snapshot: more than 10,000, or of too long a path.
    left_out: u32,
}

impl FoundOut {
    pub(crate) fn new(found: Option<Found>, page: &Page) -> Self {
        let (found_at, found) = (found.as_ref().map(|found| rfc3339(found.at)), found.unwrap_or_default());
        let (paths, next) = found.part(page.limit, page.cursor.as_deref());
        Self {
            found_at,
            items: paths.iter().map(FoundPathOut::from).collect(),
            next: next.map(str::to_owned),
            total: found.paths.len(),
            left_out: found.left_out,
        }
    }
}

/// A comparison of a snapshot with another one.
#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = DiffRequest)]
pub(crate) struct DiffBody {
    /// restic's id of the other snapshot, 8 to 64 digits; absent: the one before it, in its source group.
    #[serde(default)]
    pub(crate) against: Option<String>,
}

/// A path in which two snapshots differ.
#[derive(Serialize, ToSchema)]
#[schema(as = Difference)]
pub(crate) struct DifferenceOut {
    path: String,
    #[schema(value_type = words::ChangeKind)]
    change: &'static str,
    /// Whether it is a folder; in the snapshot itself, when both have it.
    folder: bool,
    /// Its size in the snapshot itself, of what was removed in the other one; 0 of what is no file.
    bytes: u64,
}

impl From<&ChangeRow> for DifferenceOut {
    fn from(row: &ChangeRow) -> Self {
        Self { path: row.path.clone(), change: row.change.as_str(), folder: row.is_folder, bytes: row.bytes }
    }
}

#[derive(Serialize, ToSchema)]
#[schema(as = Differences)]
pub(crate) struct DifferencesOut {
    /// When the comparison ended; null = it has not ended well, or is not kept any more: as long as what a search found.
    compared_at: Option<String>,
    /// Sorted by path.
    items: Vec<DifferenceOut>,
    next: Option<String>,
    /// How many changes are kept, on all pages.
    total: usize,
    /// Changes that did not come: more than 10,000, or of too long a path. The totals in the summary of the job count them.
    left_out: u32,
}

impl DifferencesOut {
    pub(crate) fn new(found: Option<Differences>, page: &Page) -> Self {
        let (compared_at, found) = (found.as_ref().map(|found| rfc3339(found.at)), found.unwrap_or_default());
        let (changes, next) = found.part(page.limit, page.cursor.as_deref());
        Self {
            compared_at,
            items: changes.iter().map(DifferenceOut::from).collect(),
            next: next.map(str::to_owned),
            total: found.changes.len(),
            left_out: found.left_out,
        }
    }
}

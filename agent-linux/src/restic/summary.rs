//! What came of a job, owned; and its way to the wire.

use schema::{
    Class, Items, ItemsFull, OsText, RepoId, Slot, SourceFinding, SourceReason, Summary, Timestamp,
    drill::{DrillCuts, DrillFault, DrillFinding, DrillSummary},
    job::{BackupSummary, DiffTotals, ForgetResult, ProbeSummary},
    limits::{MAX_DRILL_FINDINGS, MAX_SOURCE_FINDINGS},
    report::{Entry, EntryKind, Snapshot, SnapshotSize},
    restore::{RestoreFailure, RestoreSummary},
};
use serde::{Serialize, Serializer};
use std::{os::unix::ffi::OsStrExt as _, path::PathBuf};

/// What came of a job, in figures.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum JobSummary {
    /// Nothing to say beyond the outcome.
    #[default]
    None,
    /// Of a probe.
    Probe(ProbeSummary),
    /// Of an init.
    Init(RepoId),
    /// Of a backup.
    Backup(BackupDone),
    /// Of a forget, one for each group with a keep rule.
    Forget(Vec<ForgetCount>),
    /// Of a prune.
    Prune(PruneDone),
    /// Of a check.
    Check {
        /// How many errors restic counted.
        errors: u32,
        /// How much of the data was read, in percent.
        subset_pct: u8,
    },
    /// Of an unlock: how many locks were removed.
    Unlock(u32),
    /// Of a stats.
    Stats(StatsDone),
    /// Of a listing.
    Snapshots {
        /// How many snapshots there are.
        count: u32,
        /// How many of them did not come.
        left_out: u32,
    },
    /// Of a restore.
    Restore(RestoreDone),
    /// Of a drill.
    Drill(DrillDone),
    /// Of the listing of a folder.
    Folder {
        /// How many entries came.
        entries: u32,
        /// How many were left out, beyond the limit.
        left_out: u32,
    },
    /// Of a search by name.
    Found {
        /// How many snapshots were looked through.
        snapshots: u32,
        /// How many more were asked for.
        snapshots_left_out: u32,
        /// How many entries came.
        hits: u32,
        /// How many did not.
        left_out: u32,
    },
    /// Of a comparison of two snapshots.
    Differences(DiffTotals),
    /// Of any job that ended because the storage's host key is not known, or another one.
    HostKey {
        /// The slot whose storage it is.
        slot: Slot,
        /// Its kind and its base64.
        key: String,
    },
    /// Of a download: how many bytes were sent.
    Download(u64),
}

/// restic's backup summary.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BackupDone {
    /// The snapshot, hex (8 characters before 0.17); empty when none was made.
    pub snapshot: String,
    /// Files that were not there before.
    pub files_new: u64,
    /// Files that differ from the snapshot before.
    pub files_changed: u64,
    /// Files that are as in the snapshot before.
    pub files_unmodified: u64,
    /// All files read or compared.
    pub total_files: u64,
    /// Size of those files in bytes.
    pub total_bytes: u64,
    /// New data before compression.
    pub added_bytes: u64,
    /// New data as stored; `None` where restic doesn't say.
    pub added_packed_bytes: Option<u64>,
    /// Files that could not be read.
    pub errors: u32,
    /// What there is to say of single paths: of the source group, and those that could not be read.
    pub findings: Vec<SourceSeen>,
    /// How many more there are.
    pub findings_left_out: u32,
}

/// What there is to say of one path of a source group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceSeen {
    /// The path, as the source group names it.
    pub path: String,
    /// What is remarkable about it.
    pub reason: SourceReason,
    /// Of a link: where it leads; empty otherwise.
    pub leads_to: String,
}

impl SourceSeen {
    /// The finding for the wire.
    #[must_use]
    pub fn to_wire(&self) -> SourceFinding<'_> {
        SourceFinding { path: &self.path, reason: self.reason, leads_to: &self.leads_to }
    }
}

/// What restic says of a prune.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PruneDone {
    /// Given back to the storage.
    pub freed_bytes: u64,
    /// Bytes that were written anew.
    pub repacked_bytes: u64,
    /// Packs that were written anew.
    pub repacked_packs: u32,
    /// Left in the repository.
    pub remaining_bytes: u64,
}

/// What restic says of a repository's size.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StatsDone {
    /// What the repository takes in the storage, in bytes.
    pub total_bytes: u64,
    /// Number of blobs, restic's pieces of files and folders.
    pub blobs: u64,
}

/// What came of a restore, or would of a dry run; as in [`schema::restore::RestoreSummary`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RestoreDone {
    /// Number of files that were not there before.
    pub files: u64,
    /// Number of files that were written anew.
    pub replaced: u64,
    /// Number of files that were left alone.
    pub skipped: u64,
    /// Number of files and folders that were deleted.
    pub deleted: u64,
    /// Number of files that failed.
    pub failed: u64,
    /// Bytes written.
    pub bytes: u64,
    /// The folder in which it is.
    pub target: PathBuf,
    /// Room at the target before.
    pub free_bytes: Option<u64>,
    /// The numbers are not restic's.
    pub is_estimate: bool,
    /// All was read back.
    pub verified: bool,
    /// The first that failed: path, as people see it, and reason.
    pub failures: Vec<(String, String)>,
}

impl RestoreDone {
    fn to_wire<'b>(&'b self, buffer: &'b mut [u8]) -> RestoreSummary<'b> {
        let wire =
            self.failures.iter().map(|(path, reason)| RestoreFailure { path: path.as_str().into(), reason });
        let failures: Items<'_, RestoreFailure<'_>> = fitting(wire, buffer);
        RestoreSummary {
            files: self.files,
            replaced: self.replaced,
            skipped: self.skipped,
            deleted: self.deleted,
            failed: self.failed,
            bytes: self.bytes,
            target: OsText::new(self.target.as_os_str().as_bytes()),
            free_bytes: self.free_bytes,
            is_estimate: self.is_estimate,
            verified: self.verified,
            failures,
            failures_left_out: self.failed.saturating_sub(failures.count() as u64),
        }
    }
}

/// What a drill found; as in [`schema::drill::DrillSummary`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DrillDone {
    /// The snapshot, hex.
    pub snapshot: String,
    /// Number of files in the snapshot.
    pub of_files: u64,
    /// Size of those files in bytes.
    pub of_bytes: u64,
    /// Number of files that were drawn.
    pub drawn: u32,
    /// Number of files that have the content that the host has.
    pub equal: u32,
    /// Number of files that were restored whole and have been changed on the host since.
    pub changed_since: u32,
    /// Number of files that could not be restored.
    pub unreadable: u32,
    /// Number of files that came back with other content.
    pub different: u32,
    /// Number of files of which nothing is known.
    pub not_tried: u32,
    /// Size of the files that were restored whole, in bytes.
    pub bytes: u64,
    /// How long restic took to restore them, in milliseconds.
    pub restore_ms: u64,
    /// What the bounds have cut.
    pub cuts: DrillCuts,
    /// The files that are unreadable or different: path, as people see it, fault and reason.
    pub findings: Vec<(String, DrillFault, String)>,
}

impl DrillDone {
    fn to_wire<'b>(&'b self, buffer: &'b mut [u8]) -> DrillSummary<'b> {
        let wire = self.findings.iter().take(MAX_DRILL_FINDINGS).map(|(path, fault, reason)| DrillFinding {
            path: path.as_str().into(),
            fault: *fault,
            reason,
        });
        let findings: Items<'_, DrillFinding<'_>> = fitting(wire, buffer);
        let left_out = self.findings.len() - findings.count();
        DrillSummary {
            snapshot: &self.snapshot,
            of_files: self.of_files,
            of_bytes: self.of_bytes,
            drawn: self.drawn,
            equal: self.equal,
            changed_since: self.changed_since,
            unreadable: self.unreadable,
            different: self.different,
            not_tried: self.not_tried,
            bytes: self.bytes,
            restore_ms: self.restore_ms,
            cuts: self.cuts,
            findings,
            findings_left_out: u32::try_from(left_out).unwrap_or(u32::MAX),
        }
    }
}

/// What one run of `restic forget` did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ForgetCount {
    /// The group's name.
    pub group: String,
    /// Number of snapshots kept.
    pub kept: u32,
    /// Number of snapshots removed.
    pub removed: u32,
    /// Why it failed, or was not tried; `None` = it was done.
    pub class: Option<Class>,
    /// Of those kept: whole ones that the rules would have dropped.
    pub spared: u32,
    /// Of the lacking ones that were named, those that are still there; `None` = it was not looked.
    pub lacking: Option<Vec<String>>,
}

impl ForgetCount {
    /// Of a group to which nothing was done yet.
    #[must_use]
    pub fn of(group: &str) -> Self {
        Self { group: group.to_owned(), kept: 0, removed: 0, class: None, spared: 0, lacking: None }
    }
}

impl JobSummary {
    /// The summary of a listing of which `given_up` more did not come; any other stays as it is.
    #[must_use]
    pub fn without(self, given_up: u32) -> Self {
        match self {
            Self::Snapshots { count, left_out } => {
                Self::Snapshots { count, left_out: left_out.saturating_add(given_up) }
            }
            Self::Folder { entries, left_out } => Self::Folder {
                entries: entries.saturating_sub(given_up),
                left_out: left_out.saturating_add(given_up),
            },
            Self::Found { snapshots, snapshots_left_out, hits, left_out } => Self::Found {
                snapshots,
                snapshots_left_out,
                hits: hits.saturating_sub(given_up),
                left_out: left_out.saturating_add(given_up),
            },
            Self::Differences(totals) => Self::Differences(DiffTotals {
                left_out: totals.left_out.saturating_add(given_up.into()),
                ..totals
            }),
            other => other,
        }
    }

    /// The summary for the wire; `buffer` holds what it lists. Groups that don't fit are left out.
    #[must_use]
    pub fn to_wire<'b>(&'b self, buffer: &'b mut [u8]) -> Summary<'b> {
        match self {
            Self::None => Summary::None,
            Self::Probe(found) => Summary::Probe(*found),
            Self::Init(repo) => Summary::Init { repo: *repo },
            Self::Backup(done) => {
                let findings = fitting(
                    done.findings.iter().take(MAX_SOURCE_FINDINGS).map(SourceSeen::to_wire),
                    &mut buffer[..],
                );
                Summary::Backup(BackupSummary {
                    snapshot: &done.snapshot,
                    files_new: done.files_new,
                    files_changed: done.files_changed,
                    files_unmodified: done.files_unmodified,
                    total_files: done.total_files,
                    total_bytes: done.total_bytes,
                    added_bytes: done.added_bytes,
                    added_packed_bytes: done.added_packed_bytes,
                    errors: done.errors,
                    findings,
                    findings_left_out: u32::try_from(done.findings.len() - findings.count())
                        .unwrap_or(u32::MAX)
                        .saturating_add(done.findings_left_out),
                })
            }
            Self::Forget(groups) => {
                let with = |says_lacking| groups.iter().map(move |count| WireForget { count, says_lacking });
                // What each group came to is said in any case: so short that it has room for all groups of a host.
                let whole = fitting::<ForgetResult<'_>, _>(with(true), buffer).count() == groups.len();
                Summary::Forget { groups: fitting(with(whole), buffer) }
            }
            Self::Prune(done) => Summary::Prune {
                freed_bytes: done.freed_bytes,
                repacked_packs: done.repacked_packs,
                repacked_bytes: done.repacked_bytes,
                remaining_bytes: done.remaining_bytes,
            },
            Self::Check { errors, subset_pct } => Summary::Check { errors: *errors, subset_pct: *subset_pct },
            Self::Unlock(removed) => Summary::Unlock { removed: *removed },
            Self::Stats(done) => Summary::Stats { total_bytes: done.total_bytes, blobs: done.blobs },
            Self::Snapshots { count, left_out } => Summary::Snapshots { count: *count, left_out: *left_out },
            Self::Restore(done) => Summary::Restore(done.to_wire(buffer)),
            Self::Drill(done) => Summary::Drill(done.to_wire(buffer)),
            Self::Folder { entries, left_out } => Summary::Folder { entries: *entries, left_out: *left_out },
            Self::Found { snapshots, snapshots_left_out, hits, left_out } => Summary::Found {
                snapshots: *snapshots,
                snapshots_left_out: *snapshots_left_out,
                hits: *hits,
                left_out: *left_out,
            },
            Self::Differences(totals) => Summary::Differences(*totals),
            Self::HostKey { slot, key } => Summary::HostKey { slot: *slot, key },
            Self::Download(bytes) => Summary::Download { bytes: *bytes },
        }
    }
}

impl JobSummary {
    /// Whether lists belong to it, for which [`Self::to_wire`] needs room.
    #[must_use]
    pub const fn has_list(&self) -> bool {
        match self {
            Self::Backup(done) => !done.findings.is_empty(),
            Self::Forget(groups) => !groups.is_empty(),
            Self::Restore(done) => !done.failures.is_empty(),
            Self::Drill(done) => !done.findings.is_empty(),
            _ => false,
        }
    }
}

/// Writes what a forget did to a group in the form of the wire.
struct WireForget<'a> {
    count: &'a ForgetCount,
    /// Whether the snapshots that lack something are named.
    says_lacking: bool,
}

impl Serialize for WireForget<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let count = self.count;
        let ids = count.lacking.as_deref().filter(|_| self.says_lacking);
        let mut list = vec![0; ids.map_or(0, |ids| ids.iter().map(|id| id.len() + 1).sum())];
        let lacking = ids.map(|ids| Items::write(ids.iter().map(String::as_str), &mut list));
        let result = ForgetResult {
            group: &count.group,
            kept: count.kept,
            removed: count.removed,
            class: count.class,
            spared: count.spared,
            // Without room nothing is said of them.
            lacking: lacking.and_then(Result::ok),
        };
        result.serialize(serializer)
    }
}

/// As many of the items, from the first on, as the buffer takes.
fn fitting<'b, T, S: Serialize>(
    items: impl Iterator<Item = S> + Clone,
    buffer: &'b mut [u8],
) -> Items<'b, T> {
    let mut rest = &mut buffer[..];
    let mut fits = 0;
    for item in items.clone() {
        match schema::encode(&item, rest).map(|used| used.len()) {
            Ok(used) => rest = &mut core::mem::take(&mut rest)[used..],
            Err(_) => break,
        }
        fits += 1;
    }
    Items::write(items.take(fits), buffer).unwrap_or_default()
}

/// One snapshot of a listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SnapshotSeen {
    /// restic's id, hex, 64 characters.
    pub id: String,
    /// When it was taken.
    pub time: Timestamp,
    /// The host name in it.
    pub hostname: String,
    /// Tags of the snapshot.
    pub tags: Vec<String>,
    /// Paths that were backed up.
    pub paths: Vec<String>,
    /// Files and bytes in it, where restic says.
    pub size: Option<SnapshotSize>,
    /// How many tags there was no room for.
    pub tags_left_out: u32,
    /// How many paths there was no room for.
    pub paths_left_out: u32,
}

impl SnapshotSeen {
    /// The snapshot for the wire; the two buffers hold its tags and paths.
    pub fn to_wire<'b>(&'b self, tags: &'b mut [u8], paths: &'b mut [u8]) -> Result<Snapshot<'b>, ItemsFull> {
        Ok(Snapshot {
            id: &self.id,
            time: self.time,
            hostname: &self.hostname,
            tags: Items::write(self.tags.iter().map(String::as_str), tags)?,
            paths: Items::write(self.paths.iter().map(String::as_str), paths)?,
            size: self.size,
            tags_left_out: self.tags_left_out,
            paths_left_out: self.paths_left_out,
        })
    }
}

/// One entry of a folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EntrySeen {
    /// Its name, as the file system has it.
    pub name: Vec<u8>,
    /// What it is.
    pub kind: EntryKind,
    /// Its size; 0 of what is no file.
    pub bytes: u64,
    /// When it was changed last.
    pub modified_at: Option<Timestamp>,
}

impl EntrySeen {
    /// The entry for the wire.
    #[must_use]
    pub fn to_wire(&self) -> Entry<'_> {
        Entry {
            name: OsText::new(&self.name),
            kind: self.kind,
            bytes: self.bytes,
            modified_at: self.modified_at,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_forget_tells_of_all_groups_and_where_room_is_short_not_which_snapshots_lack_something() {
        let count = |n: usize| ForgetCount {
            group: format!("{n:063}"),
            kept: u32::MAX,
            removed: u32::MAX,
            class: Some(Class::Other),
            spared: u32::MAX,
            lacking: Some(vec!["0badcafe0badcafe".to_owned(); 1_000]),
        };
        for (groups, told) in [(1, 1), (64, 0)] {
            let summary = JobSummary::Forget((0..groups).map(count).collect());
            let mut buffer = vec![0; schema::limits::MAX_MESSAGE_BYTES / 2];
            let Summary::Forget { groups: results } = summary.to_wire(&mut buffer) else {
                panic!("not a forget")
            };
            assert_eq!(results.iter().count(), groups);
            assert_eq!(results.iter().filter(|result| result.lacking.is_some()).count(), told);
        }
    }
}

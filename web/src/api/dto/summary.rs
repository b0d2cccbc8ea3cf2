//! What came of a job, by its kind.

use super::drill::DrillSummary;
use super::said::said;
use super::words;
use crate::words::short_id;
use fleet::record::{JobFigures, RestoreFigures, SourceFinding};
use serde::Serialize;
use utoipa::ToSchema;

/// One shape a kind. No field is allowed beyond those named, so that no answer fits two shapes.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
#[schema(as = Summary)]
pub(crate) enum SummaryOut {
    Probe(ProbeSummary),
    Init(InitSummary),
    Backup(BackupSummary),
    Forget(Vec<ForgetSummary>),
    Prune(PruneSummary),
    Check(CheckSummary),
    Unlock(UnlockSummary),
    Stats(StatsSummary),
    Snapshots(SnapshotsSummary),
    Restore(RestoreSummary),
    Drill(DrillSummary),
    Folder(FolderSummary),
    Found(FoundSummary),
    Differences(DifferencesSummary),
    HostKey(HostKeySummary),
    Download(DownloadSummary),
}

#[derive(Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ProbeSummary {
    repo: Option<String>,
    repo_version: Option<u8>,
    /// Null: unknown.
    append_only: Option<bool>,
    answered_ms: u32,
}

#[derive(Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct InitSummary {
    repo: String,
}

#[derive(Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct BackupSummary {
    /// Empty: none was made.
    snapshot: String,
    files_new: u64,
    files_changed: u64,
    files_unmodified: u64,
    total_files: u64,
    total_bytes: u64,
    added_bytes: u64,
    added_packed_bytes: Option<u64>,
    /// Files that could not be read.
    errors: u32,
    /// What is to be said of single paths of the source group: what brought nothing to the snapshot, and why; what the
    /// agent leaves out by itself.
    findings: Vec<SourceFindingOut>,
    /// How many more there were.
    findings_left_out: u32,
}

#[derive(Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = SourceFinding)]
pub(crate) struct SourceFindingOut {
    path: String,
    #[schema(value_type = words::SourceReason)]
    reason: &'static str,
    /// Of a link: where it leads. Of a missing path: one that is there and looks the same.
    leads_to: Option<String>,
    /// The same in a sentence.
    text: String,
}

impl SourceFindingOut {
    fn of(found: &SourceFinding) -> Self {
        Self {
            path: found.path.clone(),
            reason: found.reason.as_str(),
            leads_to: said(&found.leads_to),
            text: found.to_string(),
        }
    }
}

/// What became of one source group.
#[derive(Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ForgetSummary {
    group: String,
    kept: u32,
    removed: u32,
    #[schema(value_type = Option<words::Class>)]
    class: Option<&'static str>,
    /// Of those kept: complete ones that the rules would have dropped, were it not for newer ones that lack data.
    spared: u32,
}

#[derive(Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PruneSummary {
    freed_bytes: u64,
    repacked_packs: u32,
    repacked_bytes: u64,
    remaining_bytes: u64,
}

#[derive(Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct CheckSummary {
    errors: u32,
    subset_pct: u8,
}

#[derive(Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct UnlockSummary {
    /// Number of locks that were removed.
    removed: u32,
}

#[derive(Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct StatsSummary {
    total_bytes: u64,
    blobs: u64,
}

#[derive(Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SnapshotsSummary {
    count: u32,
    /// How many of them did not come.
    left_out: u32,
}

#[derive(Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RestoreSummary {
    /// Files (all that is no folder) that were not there before.
    files: u64,
    /// Files that were there and were written anew.
    replaced: u64,
    /// Files that were there and were left alone.
    skipped: u64,
    /// Files and folders that were there and are not any more.
    deleted: u64,
    /// Files that could not be written whole.
    failed: u64,
    /// Bytes written.
    bytes: u64,
    /// The folder in which it is; `/`: where it was. Of a dry run: the folder that it would go into, or be made in. Null: it
    /// ended before there was one.
    target: Option<String>,
    /// Room at the target before. Null: unknown.
    free_bytes: Option<u64>,
    /// The numbers are the agent's reckoning: this restic does not say them, or it was ended before it did.
    estimate: bool,
    /// All that was written was read back and was right; what was left alone was not looked into.
    verified: bool,
    /// The first of the files that failed.
    failures: Vec<RestoreFailureOut>,
    /// How many more failed.
    failures_left_out: u64,
}

/// A file or folder that was not restored, or not whole.
#[derive(Serialize, ToSchema)]
#[schema(as = RestoreFailure)]
pub(crate) struct RestoreFailureOut {
    path: String,
    /// In restic's words or the agent's.
    reason: String,
}

/// Of the listing of a folder.
#[derive(Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct FolderSummary {
    entries: u32,
    left_out: u32,
}

/// Of a search by name.
#[derive(Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct FoundSummary {
    /// Snapshots that were looked through.
    snapshots: u32,
    /// Snapshots that were asked for and not looked through: too many, or not to be read.
    snapshots_left_out: u32,
    /// Entries that came, one for each snapshot that has it.
    hits: u32,
    /// Entries that did not.
    left_out: u32,
}

/// Of a comparison of two snapshots, in numbers of files and folders.
#[derive(Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct DifferencesSummary {
    added: u64,
    removed: u64,
    changed: u64,
    /// Of another kind, such as a folder in place of a file.
    types: u64,
    /// Sizes of files, of the changes that came.
    added_bytes: u64,
    removed_bytes: u64,
    changed_bytes: u64,
    /// Changes that did not come.
    left_out: u64,
}

/// Of any job that ended because the storage's ssh host key is not known, or another one.
#[derive(Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct HostKeySummary {
    /// The credentials whose storage it is.
    #[schema(value_type = words::Slot)]
    slot: &'static str,
    /// The key that it shows.
    host_key: String,
    /// Its fingerprint, as ssh shows it; null: it is no key.
    fingerprint: Option<String>,
}

/// Of a download.
#[derive(Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct DownloadSummary {
    /// How many bytes the agent sent: of a folder, before they were compressed.
    sent_bytes: u64,
}

impl SummaryOut {
    /// The shape of these figures; `None` = there are none.
    pub(crate) fn of(figures: &JobFigures) -> Option<Self> {
        Some(match figures {
            JobFigures::None => return None,
            JobFigures::Probe(probe) => Self::Probe(ProbeSummary {
                repo: probe.repo.map(|id| short_id(&id.to_string())),
                repo_version: probe.repo_version,
                append_only: probe.append_only,
                answered_ms: probe.answered_ms,
            }),
            JobFigures::Init { repo } => Self::Init(InitSummary { repo: short_id(&repo.to_string()) }),
            JobFigures::Backup(backup) => Self::Backup(BackupSummary {
                snapshot: backup.snapshot.clone(),
                files_new: backup.files_new,
                files_changed: backup.files_changed,
                files_unmodified: backup.files_unmodified,
                total_files: backup.total_files,
                total_bytes: backup.total_bytes,
                added_bytes: backup.added_bytes,
                added_packed_bytes: backup.added_packed_bytes,
                errors: backup.errors,
                findings: backup.findings.iter().map(SourceFindingOut::of).collect(),
                findings_left_out: backup.findings_left_out,
            }),
            JobFigures::Forget(groups) => Self::Forget(
                groups
                    .iter()
                    .map(|group| ForgetSummary {
                        group: group.group.clone(),
                        kept: group.kept,
                        removed: group.removed,
                        class: group.class.map(schema::Class::as_str),
                        spared: group.spared,
                    })
                    .collect(),
            ),
            JobFigures::Prune { freed_bytes, repacked_packs, repacked_bytes, remaining_bytes } => {
                Self::Prune(PruneSummary {
                    freed_bytes: *freed_bytes,
                    repacked_packs: *repacked_packs,
                    repacked_bytes: *repacked_bytes,
                    remaining_bytes: *remaining_bytes,
                })
            }
            JobFigures::Check { errors, subset_pct } => {
                Self::Check(CheckSummary { errors: *errors, subset_pct: *subset_pct })
            }
            JobFigures::Unlock { removed } => Self::Unlock(UnlockSummary { removed: *removed }),
            JobFigures::Stats { total_bytes, blobs } => {
                Self::Stats(StatsSummary { total_bytes: *total_bytes, blobs: *blobs })
            }
            JobFigures::Snapshots { count, left_out } => {
                Self::Snapshots(SnapshotsSummary { count: *count, left_out: *left_out })
            }
            JobFigures::Restore(figures) => Self::Restore(restored(figures)),
            JobFigures::Drill(found) => Self::Drill(found.into()),
            JobFigures::Folder { entries, left_out } => {
                Self::Folder(FolderSummary { entries: *entries, left_out: *left_out })
            }
            JobFigures::Differences(totals) => Self::Differences(DifferencesSummary {
                added: totals.added,
                removed: totals.removed,
                changed: totals.changed,
                types: totals.types,
                added_bytes: totals.added_bytes,
                removed_bytes: totals.removed_bytes,
                changed_bytes: totals.changed_bytes,
                left_out: totals.left_out,
            }),
            JobFigures::Found { snapshots, snapshots_left_out, hits, left_out } => {
                Self::Found(FoundSummary {
                    snapshots: *snapshots,
                    snapshots_left_out: *snapshots_left_out,
                    hits: *hits,
                    left_out: *left_out,
                })
            }
            JobFigures::Download { bytes } => Self::Download(DownloadSummary { sent_bytes: *bytes }),
            JobFigures::HostKey { slot, key } => Self::HostKey(HostKeySummary {
                slot: slot.as_str(),
                host_key: key.clone(),
                fingerprint: fleet::host_key_fingerprint(key),
            }),
        })
    }
}

fn restored(figures: &RestoreFigures) -> RestoreSummary {
    let failures = figures
        .failures
        .iter()
        .map(|failure| RestoreFailureOut { path: failure.path.clone(), reason: failure.reason.clone() });
    RestoreSummary {
        files: figures.files,
        replaced: figures.replaced,
        skipped: figures.skipped,
        deleted: figures.deleted,
        failed: figures.failed,
        bytes: figures.bytes,
        target: said(&figures.target),
        free_bytes: figures.free_bytes,
        estimate: figures.is_estimate,
        verified: figures.verified,
        failures: failures.collect(),
        failures_left_out: figures.failures_left_out,
    }
}

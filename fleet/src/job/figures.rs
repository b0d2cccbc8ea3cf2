//! From the wire's figures to the record's. Sizes are bounded, so that no sum of them is absurd because one host is.

use crate::bounds::MOST_BYTES;
use crate::bounds::clip;
use crate::record::{
    BackupFigures, DiffFigures, DrillCuts, DrillFigures, DrillFinding, ForgetFigures, JobFigures,
    ProbeFigures, RestoreFailure, RestoreFigures, SourceFinding,
};
use schema::{
    Summary,
    drill::DrillSummary,
    limits::{MAX_DRILL_FINDINGS, MAX_RESTORE_FAILURES, MAX_SOURCE_FINDINGS, MAX_VALUE_BYTES},
    restore::RestoreSummary,
};

pub(super) fn of(summary: &Summary<'_>) -> JobFigures {
    match *summary {
        Summary::None => JobFigures::None,
        Summary::Probe(probe) => JobFigures::Probe(ProbeFigures {
            repo: probe.repo,
            repo_version: probe.repo_version,
            append_only: probe.append_only,
            answered_ms: probe.answered_ms,
        }),
        Summary::Init { repo } => JobFigures::Init { repo },
        Summary::Backup(backup) => JobFigures::Backup(BackupFigures {
            snapshot: clip(backup.snapshot),
            files_new: backup.files_new,
            files_changed: backup.files_changed,
            files_unmodified: backup.files_unmodified,
            total_files: backup.total_files,
            total_bytes: bounded(backup.total_bytes),
            added_bytes: bounded(backup.added_bytes),
            added_packed_bytes: backup.added_packed_bytes.map(bounded),
            errors: backup.errors,
            findings: backup.findings.iter().take(MAX_SOURCE_FINDINGS).map(|found| finding(&found)).collect(),
            findings_left_out: backup.findings_left_out.saturating_add(surplus(backup.findings.count())),
        }),
        Summary::Forget { groups } => JobFigures::Forget(
            groups
                .iter()
                .map(|group| ForgetFigures {
                    group: clip(group.group),
                    kept: group.kept,
                    removed: group.removed,
                    class: group.class,
                    spared: group.spared,
                })
                .collect(),
        ),
        Summary::Prune { freed_bytes, repacked_packs, repacked_bytes, remaining_bytes } => {
            JobFigures::Prune {
                freed_bytes: bounded(freed_bytes),
                repacked_packs,
                repacked_bytes: bounded(repacked_bytes),
                remaining_bytes: bounded(remaining_bytes),
            }
        }
        Summary::Check { errors, subset_pct } => JobFigures::Check { errors, subset_pct },
        Summary::Unlock { removed } => JobFigures::Unlock { removed },
        Summary::Stats { total_bytes, blobs } => {
            JobFigures::Stats { total_bytes: bounded(total_bytes), blobs }
        }
        Summary::Snapshots { count, left_out } => JobFigures::Snapshots { count, left_out },
        Summary::Restore(done) => JobFigures::Restore(restored(&done)),
        Summary::Drill(found) => JobFigures::Drill(drilled(&found)),
        Summary::Folder { entries, left_out } => JobFigures::Folder { entries, left_out },
        Summary::Differences(totals) => JobFigures::Differences(DiffFigures {
            added: bounded(totals.added),
            removed: bounded(totals.removed),
            changed: bounded(totals.changed),
            types: bounded(totals.types),
            added_bytes: bounded(totals.added_bytes),
            removed_bytes: bounded(totals.removed_bytes),
            changed_bytes: bounded(totals.changed_bytes),
            left_out: bounded(totals.left_out),
        }),
        Summary::Found { snapshots, snapshots_left_out, hits, left_out } => {
            JobFigures::Found { snapshots, snapshots_left_out, hits, left_out }
        }
        Summary::Download { bytes } => JobFigures::Download { bytes: bounded(bytes) },
        Summary::HostKey { slot, key } => {
            let key = key[..key.floor_char_boundary(MAX_VALUE_BYTES)].to_owned();
            JobFigures::HostKey { slot, key }
        }
    }
}

fn restored(done: &RestoreSummary<'_>) -> RestoreFigures {
    let cut = |text: String| text[..text.floor_char_boundary(MAX_VALUE_BYTES)].to_owned();
    let failures = done.failures.iter().take(MAX_RESTORE_FAILURES).map(|failure| RestoreFailure {
        path: cut(failure.path.to_string()),
        reason: cut(failure.reason.to_owned()),
    });
    RestoreFigures {
        files: bounded(done.files),
        replaced: bounded(done.replaced),
        skipped: bounded(done.skipped),
        deleted: bounded(done.deleted),
        failed: bounded(done.failed),
        bytes: bounded(done.bytes),
        target: cut(done.target.to_string()),
        free_bytes: done.free_bytes.map(bounded),
        is_estimate: done.is_estimate,
        // Nothing was read back where nothing was written.
        verified: done.verified && done.files.saturating_add(done.replaced) > 0,
        failures: failures.collect(),
        failures_left_out: bounded(done.failures_left_out)
            .saturating_add(done.failures.iter().skip(MAX_RESTORE_FAILURES).count() as u64),
    }
}

fn drilled(found: &DrillSummary<'_>) -> DrillFigures {
    let cut = |text: String| text[..text.floor_char_boundary(MAX_VALUE_BYTES)].to_owned();
    let findings = found.findings.iter().take(MAX_DRILL_FINDINGS).map(|finding| DrillFinding {
        path: cut(finding.path.to_string()),
        fault: finding.fault,
        reason: cut(finding.reason.to_owned()),
    });
    let surplus = found.findings.count().saturating_sub(MAX_DRILL_FINDINGS);
    DrillFigures {
        snapshot: clip(found.snapshot),
        of_files: bounded(found.of_files),
        of_bytes: bounded(found.of_bytes),
        drawn: found.drawn,
        equal: found.equal,
        changed_since: found.changed_since,
        unreadable: found.unreadable,
        different: found.different,
        not_tried: found.not_tried,
        bytes: bounded(found.bytes),
        restore_ms: bounded(found.restore_ms),
        cuts: DrillCuts {
            too_large: bounded(found.cuts.too_large),
            odd_names: bounded(found.cuts.odd_names),
            over_bytes: found.cuts.over_bytes,
            short_of_room: found.cuts.short_of_room,
            out_of_time: found.cuts.out_of_time,
        },
        findings: findings.collect(),
        findings_left_out: found.findings_left_out.saturating_add(u32::try_from(surplus).unwrap_or(u32::MAX)),
    }
}

fn finding(found: &schema::SourceFinding<'_>) -> SourceFinding {
    let cut = |text: &str| text[..text.floor_char_boundary(MAX_VALUE_BYTES)].to_owned();
    SourceFinding { path: cut(found.path), reason: found.reason, leads_to: cut(found.leads_to) }
}

/// How many of a list are over what is kept.
fn surplus(findings: usize) -> u32 {
    u32::try_from(findings.saturating_sub(MAX_SOURCE_FINDINGS)).unwrap_or(u32::MAX)
}

fn bounded(bytes: u64) -> u64 {
    bytes.min(MOST_BYTES)
}

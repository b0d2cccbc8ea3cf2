//! Arbitrary messages, drawn from a string of bytes: shorter strings give simpler messages, so that proptest's
//! shrinking of the bytes shrinks the message.

use schema::{
    Abilities, Bulk, BulkBody, Class, Command, CommandBody, CommandSeq, ConfigUpdate, Credentials,
    EnrollRefusal, EnrollRequest, EnrollResponse, Epoch, GroupKey, HeldJob, HeldPhase, Hello, HelloAnswer,
    HostId, Incarnation, InstallationId, Items, JobId, JobKind, JobSpec, Keep, Live, LogLine, LogStream,
    OsText, Outcome, Over, Plan, PlanRevision, Presence, Progress, Refusal, RepoId, RepoStats, Report,
    ReportBody, ReportSeq, Run, SavedGroup, Slot, SlotRevision, SourceReason, StatsRevision, Stream, Summary,
    Timestamp, ToAgent, TokenId,
    drill::{DrillCuts, DrillFault, DrillFinding, DrillSummary},
    job::{
        BackupSpec, BackupSummary, DiffTotals, DrillSpec, FindSpec, ForgetGroup, ForgetResult, Origin,
        ProbeSummary, Right, SourceFinding,
    },
    plan::PlannedSchedule,
    report::{ChangeKind, Entry, EntryKind, Finished, Hit, Snapshot, SnapshotSize, Trouble},
    restore::{Overwrite, RestoreFailure, RestoreSpec, RestoreSummary, RestoreTarget},
    stats::{CheckResult, Lock, LockSeen, PruneResult, Size, SizeSource, SnapshotCount},
};
use serde::Serialize;

/// Where choices come from; endless zeros behind its end.
pub(crate) struct Source<'a>(pub(crate) &'a [u8]);

impl Source<'_> {
    fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        *first
    }

    /// Small numbers, the largest one, and everything between.
    fn number(&mut self) -> u64 {
        match self.byte() {
            small @ 0..=127 => u64::from(small),
            128..=143 => u64::MAX,
            _ => (0..8).fold(0, |number, _| number << 8 | u64::from(self.byte())),
        }
    }
}

/// Can be drawn.
pub(crate) trait Draw: Sized {
    fn draw(source: &mut Source) -> Self;
}

/// An enum that knows the names of its variants, as the golden files write them.
pub(crate) trait Variants {
    const NAMES: &'static [&'static str];
    /// The name of this one. Its match has no wildcard: a new variant does not compile until it is named here.
    fn name(&self) -> &'static str;
}

macro_rules! draw_numbers {
    ($($number:ty),*) => {$(
        impl Draw for $number {
            fn draw(source: &mut Source) -> Self {
                source.number() as $number
            }
        }
    )*};
}

draw_numbers!(u8, u16, u32, u64, i32);

macro_rules! draw_numberings {
    ($($numbering:ident),*) => {$(
        impl Draw for $numbering {
            fn draw(source: &mut Source) -> Self {
                Self(source.number())
            }
        }
    )*};
}

draw_numberings!(
    CommandSeq,
    ReportSeq,
    Epoch,
    Stream,
    SlotRevision,
    PlanRevision,
    StatsRevision,
    Incarnation
);

impl Draw for GroupKey {
    fn draw(source: &mut Source) -> Self {
        Self::of(Draw::draw(source))
    }
}

impl Draw for bool {
    fn draw(source: &mut Source) -> Self {
        source.byte() % 2 == 1
    }
}

impl<const N: usize> Draw for [u8; N] {
    fn draw(source: &mut Source) -> Self {
        std::array::from_fn(|_| source.byte())
    }
}

/// Messages borrow; what they borrow from lives as long as the test does.
impl Draw for &'static str {
    fn draw(source: &mut Source) -> Self {
        let chars = source.byte() % 40;
        let text: String = (0..chars)
            .map(|_| match source.byte() {
                byte @ 0..=199 => char::from(byte % 128),
                200..=219 => 'é',
                220..=239 => '保',
                _ => '🜚',
            })
            .collect();
        text.leak()
    }
}

impl Draw for &'static [u8] {
    fn draw(source: &mut Source<'_>) -> Self {
        let count = source.byte() % 8;
        Vec::leak((0..count).map(|_| source.byte()).collect())
    }
}

impl Draw for OsText<'static> {
    fn draw(source: &mut Source) -> Self {
        let count = source.byte() % 40;
        let bytes: Vec<u8> = (0..count).map(|_| source.byte()).collect();
        Self::new(bytes.leak())
    }
}

impl<T: Draw> Draw for Option<T> {
    fn draw(source: &mut Source) -> Self {
        bool::draw(source).then(|| T::draw(source))
    }
}

impl Draw for (&'static str, &'static str) {
    fn draw(source: &mut Source) -> Self {
        (Draw::draw(source), Draw::draw(source))
    }
}

impl<T: Draw + Serialize> Draw for Items<'static, T> {
    fn draw(source: &mut Source) -> Self {
        let count = source.byte() % 4;
        let list: Vec<T> = (0..count).map(|_| T::draw(source)).collect();
        list_of(list)
    }
}

/// A list that lives as long as the test does.
pub(crate) fn list_of<T, S: Serialize>(list: impl AsRef<[S]>) -> Items<'static, T> {
    let list = list.as_ref();
    let size = |item: &S| schema::encode(item, &mut [0; 8 * 1024]).expect("a short element").len();
    let room = vec![0; list.iter().map(size).sum()].leak();
    Items::write(list, room).expect("fits exactly")
}

macro_rules! draw {
    (struct $name:ident $(<$life:lifetime>)? { $($field:tt),* }) => {
        impl Draw for $name $(<$life>)? {
            fn draw(source: &mut Source) -> Self {
                $name { $($field: Draw::draw(source)),* }
            }
        }
    };
    (enum $name:ident $(<$life:lifetime>)? { $($variant:ident $({ $($field:tt),* })?),* $(,)? }) => {
        impl Draw for $name $(<$life>)? {
            #[allow(unused_variables)] // a variant without fields draws nothing
            fn draw(source: &mut Source) -> Self {
                let variants: &[fn(&mut Source) -> Self] =
                    &[$(|source| $name::$variant { $($($field: Draw::draw(source)),*)? }),*];
                variants[usize::from(source.byte()) % variants.len()](source)
            }
        }

        impl Variants for $name $(<$life>)? {
            const NAMES: &'static [&'static str] =
                &[$(concat!(stringify!($name), ".", stringify!($variant))),*];

            fn name(&self) -> &'static str {
                match self {
                    $($name::$variant { .. } => concat!(stringify!($name), ".", stringify!($variant))),*
                }
            }
        }
    };
}

draw!(struct Timestamp { 0 });
draw!(struct HostId { 0 });
draw!(struct JobId { 0 });
draw!(struct TokenId { 0 });
draw!(struct RepoId { 0 });
draw!(struct InstallationId { 0 });

draw!(enum ToAgent<'static> { Command { 0 }, Ack { stream, through, answer, refused }, Credit { job, before } });
draw!(struct Bulk<'static> { job, epoch, number, body });
draw!(enum BulkBody<'static> { Begin { bytes }, Chunk { 0 }, End { bytes, sha256 }, Broken });
draw!(struct HelloAnswer { epoch, at, incarnation });
draw!(struct Command<'static> { seq, expires_at, body });
draw!(enum CommandBody<'static> { Run { 0 }, Cancel { job }, ConfigUpdate { 0 } });
draw!(struct Run<'static> { job, restic_host, deadline_secs, spec, for_host });
draw!(
    enum Slot {
        Repo,
        Admin,
    }
);
draw!(struct ConfigUpdate<'static> { slot, revision, for_job, credentials });
draw!(struct Credentials<'static> { url, username, password, repo_password, ca, host_keys, env });

draw!(
    enum JobKind {
        Probe,
        Init,
        Backup,
        Forget,
        Prune,
        Check,
        Unlock,
        Stats,
        Snapshots,
        Ls,
        Restore,
        Browse,
        Drill,
        Find,
        Diff,
        Download,
    }
);
draw!(enum JobSpec<'static> {
    Probe, Init, Backup { 0 }, Forget { groups, others, dry_run }, Prune { dry_run }, Check { subset_pct },
    Unlock { all }, Stats, Snapshots, Ls { snapshot, path }, Restore { 0 }, Browse { path },
    Drill { 0 },
    Find { 0 }, Diff { against, snapshot },
    Download { snapshot, path, archive },
});
draw!(struct FindSpec<'static> { pattern, ignore_case, members, newest, since });
draw!(enum Hit<'static> { Entry { path, kind, bytes, files, modified_at }, Snapshot { id, time }, Change { path, change, is_folder, bytes } });
draw!(
    enum ChangeKind {
        Added,
        Removed,
        Changed,
        Type,
    }
);
draw!(struct DiffTotals {
    added, removed, changed, types, added_bytes, removed_bytes, changed_bytes, left_out
});
draw!(struct BackupSpec<'static> {
    group, includes, excludes, exclude_if_present, one_file_system, required_mounts, hooks_before, hooks_after,
    dry_run, origins
});
draw!(struct Origin<'static> { hostname, tag });
draw!(struct ForgetGroup<'static> { group, keep, origins, lacking, whole, right, began_at });
draw!(struct Right<'static> { snapshot, at, files, bytes });
draw!(struct Keep<'static> { last, hourly, daily, weekly, monthly, yearly, within });
draw!(struct RestoreSpec<'static> { snapshot, paths, target, overwrite, delete, verify, dry_run });
draw!(enum RestoreTarget<'static> { NewFolder { within }, Folder { path }, Original });
draw!(
    enum Overwrite {
        Never,
        IfNewer,
        IfChanged,
        Always,
    }
);
draw!(struct RestoreSummary<'static> {
    files, replaced, skipped, deleted, failed, bytes, target, free_bytes, is_estimate, verified, failures,
    failures_left_out
});
draw!(struct RestoreFailure<'static> { path, reason });
draw!(struct DrillSpec<'static> { group, origins, seed, max_files, max_bytes, max_secs });
draw!(struct DrillSummary<'static> {
    snapshot, of_files, of_bytes, drawn, equal, changed_since, unreadable, different, not_tried, bytes, restore_ms,
    cuts, findings, findings_left_out
});
draw!(struct DrillCuts { too_large, odd_names, over_bytes, short_of_room, out_of_time });
draw!(struct DrillFinding<'static> { path, fault, reason });
draw!(
    enum DrillFault {
        Unreadable,
        Different,
    }
);
draw!(
    enum Outcome {
        Succeeded,
        Warning,
        Failed,
        Cancelled,
    }
);
draw!(
    enum Class {
        RepoLocked,
        Auth,
        RepoMissing,
        AppendOnly,
        Network,
        SourceMissing,
        SourceUnreadable,
        DiskFull,
        ResticMissing,
        Timeout,
        Cancelled,
        Hook,
        Damaged,
        RepoExists,
        Policy,
        NoCredentials,
        AgentRestarted,
        Other,
        SourceEmpty,
        NotTried,
        OtherRepo,
        NotNow,
        InvalidPattern,
        UnknownAuthority,
        WrongName,
        CertificateExpired,
        NoTls,
        NeedsTls,
        UnknownHostKey,
        HostKeyChanged,
        ProofFailed,
        NotInSnapshot,
        NotDownloadable,
    }
);
draw!(enum Summary<'static> {
    None, Probe { 0 }, Init { repo }, Backup { 0 }, Forget { groups },
    Prune { freed_bytes, repacked_packs, repacked_bytes, remaining_bytes }, Check { errors, subset_pct }, Unlock { removed },
    Stats { total_bytes, blobs }, Snapshots { count, left_out }, Restore { 0 },
    Folder { entries, left_out },
    HostKey { slot, key },
    Drill { 0 },
    Found { snapshots, snapshots_left_out, hits, left_out },
    Differences { 0 },
    Download { bytes },
});
draw!(struct ProbeSummary { repo, repo_version, append_only, answered_ms });
draw!(struct BackupSummary<'static> {
    snapshot, files_new, files_changed, files_unmodified, total_files, total_bytes, added_bytes,
    added_packed_bytes, errors, findings, findings_left_out
});
draw!(struct SourceFinding<'static> { path, reason, leads_to });
draw!(
    enum SourceReason {
        Missing,
        NotMounted,
        DeadLink,
        Link,
        Empty,
        Excluded,
        OtherFileSystem,
        OnlyLinks,
        Special,
        Unreadable,
        OwnRepository,
        OwnState,
    }
);
draw!(struct ForgetResult<'static> { group, kept, removed, class, spared, lacking });

draw!(struct Report<'static> { stream, seq, taken, at, body });
draw!(enum ReportBody<'static> {
    Accepted { job, behind }, Refused { job, reason, detail }, Started { job },
    Log { job, first_line, lines }, Finished { 0 }, ConfigApplied { slot, revision, refused },
    Snapshots { job, first, snapshots }, NotUnderstood { seq }, Dropped, CancelMissed { job },
    Trouble { kind, detail }, Entries { job, first, entries }, Own { job, schedule, group, due_at },
    Found { job, first, hits }, CredentialsHeld { job },
});
draw!(struct Finished<'static> {
    job, outcome, class, exit_code, started_at, finished_at, message, log_lines, summary, kind, group
});
draw!(
    enum Over {
        Messages,
        Bytes,
        OwnJobs,
        OwnDate,
        Listing,
        Audit,
        Share,
    }
);
draw!(
    enum Refusal {
        QueueFull,
        Expired,
        AlreadyStarted,
        Policy,
        Unsupported,
        NoCredentials,
        StateFolder,
        Busy,
    }
);
draw!(
    enum Trouble {
        JournalSetAside,
        StateFolder,
        CredentialsSetAside,
        StateFolderMended,
    }
);
draw!(struct Snapshot<'static> { id, time, hostname, tags, paths, size, tags_left_out, paths_left_out });
draw!(struct Entry<'static> { name, kind, bytes, modified_at });
draw!(
    enum EntryKind {
        Folder,
        File,
        Symlink,
        Other,
    }
);
draw!(struct SnapshotSize { files, bytes, added_packed_bytes });

draw!(enum Live<'static> { Progress { 0 }, Log { job, first_line, lines } });
draw!(struct Progress<'static> {
    job, at, permille, files_done, files_total, bytes_done, bytes_total, bytes_read, errors, left_secs, current
});
draw!(struct LogLine<'static> { after_ms, stream, text });
draw!(
    enum LogStream {
        Agent,
        Out,
        Err,
    }
);

draw!(struct Abilities { 0 });
draw!(enum Presence<'static> { Hello { 0 }, Gone { epoch, clean } });
draw!(struct Hello<'static> {
    epoch, stream, boot_id, installation, agent_version, restic_version, os, arch, hostname, jobs, taken,
    first_unacked, last_report, plan_revision, repo_revision, state_free_bytes, at, abilities, incarnation, saved,
    address, trusts
});
draw!(struct HeldJob { job, phase, group });
draw!(struct SavedGroup { group, at });
draw!(
    enum HeldPhase {
        Queued,
        Running,
        Finished,
    }
);

draw!(struct Plan<'static> {
    revision, incarnation, backups_held, restic_host, groups, schedules, addresses, authorities
});
draw!(struct PlannedSchedule<'static> { name, cron, timezone, groups, jitter_secs, zone_rules });

draw!(struct RepoStats<'static> { stream, revision, at, job, repo, size, snapshots, check, prune, lock });
draw!(struct Size { at, bytes, source });
draw!(
    enum SizeSource {
        Measured,
        Summed,
    }
);
draw!(struct SnapshotCount { at, count, newest_at });
draw!(struct CheckResult { at, errors, subset_pct });
draw!(struct PruneResult { at, freed_bytes });
draw!(struct LockSeen<'static> { at, lock });
draw!(struct Lock<'static> { since, exclusive, hostname, username, pid, stale });

draw!(struct EnrollRequest<'static> { installation, hostname, os, arch, agent_version });
draw!(enum EnrollResponse<'static> {
    Welcome { host, host_name, password, link_key, key_id, backups_held }, Refused { 0 },
});
draw!(
    enum EnrollRefusal {
        Used,
        Expired,
        HostGone,
    }
);

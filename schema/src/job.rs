//! The words of a job: kinds, specifications, outcomes, summaries.

use crate::{
    Items, OsText, RepoId, Slot, Timestamp,
    drill::DrillSummary,
    restore::{RestoreSpec, RestoreSummary},
};
use core::fmt;
use serde::{Deserialize, Serialize};

/// The kinds of work that an agent does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum JobKind {
    /// Look whether the repository is reachable, initialised, and opens.
    Probe,
    /// Create the repository.
    Init,
    /// Back up one source group.
    Backup,
    /// Drop snapshots by the retention rules.
    Forget,
    /// Free the space of forgotten snapshots.
    Prune,
    /// Verify the repository.
    Check,
    /// Remove stale locks.
    Unlock,
    /// Measure the repository.
    Stats,
    /// List the snapshots of the repository.
    Snapshots,
    /// List files of a snapshot.
    Ls,
    /// Restore files from a snapshot.
    Restore,
    /// List a folder of the host itself.
    Browse,
    /// Restore files drawn by lot into a scratch folder, compare them, and take them away again.
    Drill,
    /// Look for names in snapshots.
    Find,
    /// Compare two snapshots.
    Diff,
    /// Send a file or folder of a snapshot to whoever downloads it.
    Download,
}

impl JobKind {
    /// All kinds in wire order.
    pub const ALL: [Self; 16] = [
        Self::Probe,
        Self::Init,
        Self::Backup,
        Self::Forget,
        Self::Prune,
        Self::Check,
        Self::Unlock,
        Self::Stats,
        Self::Snapshots,
        Self::Ls,
        Self::Restore,
        Self::Browse,
        Self::Drill,
        Self::Find,
        Self::Diff,
        Self::Download,
    ];

    /// Its word in topics, addresses and pages.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Probe => "probe",
            Self::Init => "init",
            Self::Backup => "backup",
            Self::Forget => "forget",
            Self::Prune => "prune",
            Self::Check => "check",
            Self::Unlock => "unlock",
            Self::Stats => "stats",
            Self::Snapshots => "snapshots",
            Self::Ls => "ls",
            Self::Restore => "restore",
            Self::Browse => "browse",
            Self::Drill => "drill",
            Self::Find => "find",
            Self::Diff => "diff",
            Self::Download => "download",
        }
    }

    /// The kind of this word.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == word)
    }

    /// Whether restic takes an exclusive lock: no other job of the repository may run beside it.
    #[must_use]
    pub const fn is_exclusive(self) -> bool {
        matches!(self, Self::Forget | Self::Prune | Self::Check)
    }
}

/// What a job is to do, in full.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum JobSpec<'a> {
    /// A job of kind [`JobKind::Probe`].
    Probe,
    /// A job of kind [`JobKind::Init`].
    Init,
    /// A job of kind [`JobKind::Backup`].
    #[serde(borrow)]
    Backup(BackupSpec<'a>),
    /// A job of kind [`JobKind::Forget`].
    Forget {
        /// Each is one run of `restic forget`.
        #[serde(borrow)]
        groups: Items<'a, ForgetGroup<'a>>,
        /// Whose snapshots are of other groups of the host: one that is theirs as well stays.
        #[serde(borrow)]
        others: Items<'a, Origin<'a>>,
        /// Only say what would be dropped.
        dry_run: bool,
    },
    /// A job of kind [`JobKind::Prune`].
    Prune {
        /// Only say what would be freed.
        dry_run: bool,
    },
    /// A job of kind [`JobKind::Check`].
    Check {
        /// How much of the data to read, 0 to 100 percent; 0 = structure only.
        subset_pct: u8,
    },
    /// A job of kind [`JobKind::Unlock`].
    Unlock {
        /// Also locks that look alive.
        all: bool,
    },
    /// A job of kind [`JobKind::Stats`].
    Stats,
    /// A job of kind [`JobKind::Snapshots`].
    Snapshots,
    /// A job of kind [`JobKind::Ls`].
    Ls {
        /// restic's id of the snapshot, in hexadecimal.
        snapshot: &'a str,
        /// Path of the folder to list.
        #[serde(borrow)]
        path: OsText<'a>,
    },
    /// A job of kind [`JobKind::Restore`].
    #[serde(borrow)]
    Restore(RestoreSpec<'a>),
    /// See [`JobKind::Browse`]. Needs no repository.
    Browse {
        /// The folder to list, absolute.
        #[serde(borrow)]
        path: OsText<'a>,
    },
    /// A job of kind [`JobKind::Drill`].
    #[serde(borrow)]
    Drill(DrillSpec<'a>),
    /// A job of kind [`JobKind::Find`].
    #[serde(borrow)]
    Find(FindSpec<'a>),
    /// A job of kind [`JobKind::Diff`].
    Diff {
        /// restic's id of the older snapshot, in hexadecimal.
        against: &'a str,
        /// restic's id of the snapshot that is compared with it.
        snapshot: &'a str,
    },
    /// A job of kind [`JobKind::Download`]; its bytes come as [`crate::Bulk`].
    Download {
        /// restic's id of the snapshot, in hexadecimal.
        snapshot: &'a str,
        /// Path of the file or folder inside the snapshot, absolute.
        #[serde(borrow)]
        path: OsText<'a>,
        /// It is a folder, to be sent as a tar archive; else it is a file, to be sent as it is.
        archive: bool,
    },
}

impl JobSpec<'_> {
    /// The kind of this job.
    #[must_use]
    pub const fn kind(&self) -> JobKind {
        match self {
            Self::Probe => JobKind::Probe,
            Self::Init => JobKind::Init,
            Self::Backup(_) => JobKind::Backup,
            Self::Forget { .. } => JobKind::Forget,
            Self::Prune { .. } => JobKind::Prune,
            Self::Check { .. } => JobKind::Check,
            Self::Unlock { .. } => JobKind::Unlock,
            Self::Stats => JobKind::Stats,
            Self::Snapshots => JobKind::Snapshots,
            Self::Ls { .. } => JobKind::Ls,
            Self::Restore(_) => JobKind::Restore,
            Self::Browse { .. } => JobKind::Browse,
            Self::Drill(_) => JobKind::Drill,
            Self::Find(_) => JobKind::Find,
            Self::Diff { .. } => JobKind::Diff,
            Self::Download { .. } => JobKind::Download,
        }
    }
}

/// A source group to back up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackupSpec<'a> {
    /// The group's name, and restic's tag.
    pub group: &'a str,
    /// Absolute paths to keep; or `command:` and the name of one command from the agent's local policy, whose output
    /// is saved in their place.
    #[serde(borrow)]
    pub includes: Items<'a, &'a str>,
    /// Patterns of what is left out, as restic's `--exclude` reads them.
    #[serde(borrow)]
    pub excludes: Items<'a, &'a str>,
    /// A folder that holds a file of one of these names is left out (`--exclude-if-present`).
    #[serde(borrow)]
    pub exclude_if_present: Items<'a, &'a str>,
    /// Stay on the file systems of the paths.
    pub one_file_system: bool,
    /// Paths that must be mount points, or the job fails instead of saving an empty folder.
    #[serde(borrow)]
    pub required_mounts: Items<'a, &'a str>,
    /// Hooks to run before, by name from the agent's local policy.
    #[serde(borrow)]
    pub hooks_before: Items<'a, &'a str>,
    /// Names of hooks to run after the backup.
    #[serde(borrow)]
    pub hooks_after: Items<'a, &'a str>,
    /// Only say what would be saved.
    pub dry_run: bool,
    /// What else belongs to the group: the first backup after a rename goes on from the newest of these.
    #[serde(borrow)]
    pub origins: Items<'a, Origin<'a>>,
}

/// What to look for, and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FindSpec<'a> {
    /// restic's pattern, as the file system has names: bytes.
    #[serde(borrow)]
    pub pattern: OsText<'a>,
    /// Capital letters are as small ones.
    pub ignore_case: bool,
    /// Whose snapshots are looked through; empty = those of the run's host name, and when there are none, all.
    #[serde(borrow)]
    pub members: Items<'a, Origin<'a>>,
    /// Only the newest so many; 0 = as many as one search takes, see [`crate::limits::MAX_FIND_SNAPSHOTS`].
    pub newest: u32,
    /// Only those taken at this time or later.
    pub since: Option<Timestamp>,
}

/// Snapshots that belong to a source group though they have another tag or host name: it was renamed, or goes on with
/// what somebody else made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin<'a> {
    /// The host name in them.
    pub hostname: &'a str,
    /// Their tag; empty = they have none.
    pub tag: &'a str,
}

/// The retention of one group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ForgetGroup<'a> {
    /// The group's name, and restic's tag.
    pub group: &'a str,
    /// Rules for which snapshots stay.
    pub keep: Keep<'a>,
    /// What else belongs to the group.
    #[serde(borrow)]
    pub origins: Items<'a, Origin<'a>>,
    /// The snapshots that lack something of what the group names, by the first 8 to 16 letters of their ids: they push
    /// no whole one out.
    #[serde(borrow)]
    pub lacking: Items<'a, &'a str>,
    /// The newest ones that are known to be whole, named in the same way, newest first by the order in which they were
    /// made: only these push each other out.
    #[serde(borrow)]
    pub whole: Items<'a, &'a str>,
    /// What a person has said is right.
    #[serde(borrow)]
    pub right: Option<Right<'a>>,
    /// When the first backup of the group was made here; `None` = there was none.
    pub began_at: Option<Timestamp>,
}

/// A person's word that a group is right as a backup found it: of what older snapshots hold beyond that, nothing is
/// missed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Right<'a> {
    /// The snapshot of that backup.
    pub snapshot: &'a str,
    /// When that was made: it counts for what is older, should the snapshot be gone.
    pub at: Timestamp,
    /// How many files it holds.
    pub files: u64,
    /// Size of those files in bytes.
    pub bytes: u64,
}

impl<'a> ForgetGroup<'a> {
    /// A group that was never called otherwise, and of whose snapshots nothing is known.
    #[must_use]
    pub const fn new(group: &'a str, keep: Keep<'a>) -> Self {
        Self {
            group,
            keep,
            origins: Items::EMPTY,
            lacking: Items::EMPTY,
            whole: Items::EMPTY,
            right: None,
            began_at: None,
        }
    }
}

/// Retention: how many snapshots to keep of each sort; 0 = no rule. restic's `--keep-*`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Keep<'a> {
    /// Number of newest snapshots to keep.
    pub last: u16,
    /// Number of hours of which the newest snapshot is kept.
    pub hourly: u16,
    /// Number of days of which the newest snapshot is kept.
    pub daily: u16,
    /// Number of weeks of which the newest snapshot is kept.
    pub weekly: u16,
    /// Number of months of which the newest snapshot is kept.
    pub monthly: u16,
    /// Number of years of which the newest snapshot is kept.
    pub yearly: u16,
    /// All newer than this (`1y5m7d2h`); empty = no rule.
    pub within: &'a str,
}

impl Keep<'_> {
    /// Whether there is no rule at all: such a group is never forgotten.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.last == 0
            && self.hourly == 0
            && self.daily == 0
            && self.weekly == 0
            && self.monthly == 0
            && self.yearly == 0
            && self.within.is_empty()
    }
}

/// What to draw files from, and how much of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DrillSpec<'a> {
    /// Name of the source group, and restic's tag. Its newest snapshot is drawn from.
    pub group: &'a str,
    /// What else belongs to the group.
    #[serde(borrow)]
    pub origins: Items<'a, Origin<'a>>,
    /// Which lot: the same number draws the same files from the same snapshot.
    pub seed: u64,
    /// The most files, at least 1; the agent takes no more than [`crate::limits::MAX_DRILL_FILES`].
    pub max_files: u16,
    /// The most bytes in all. A larger file is never drawn.
    pub max_bytes: u64,
    /// How long restoring and comparing may take, in seconds; what is not done by then is not tried.
    pub max_secs: u32,
}

/// What an include begins with that is not a path but names a command of the agent's local policy.
pub const COMMAND_SOURCE: &str = "command:";

/// How a job ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// All of the work was done.
    Succeeded,
    /// Done in part: a snapshot exists, but some files could not be read.
    Warning,
    /// The work was not done.
    Failed,
    /// Ended because somebody asked for it.
    Cancelled,
}

/// Why a job failed, or why it warns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Class {
    /// Another process holds a lock.
    RepoLocked,
    /// A password or a user name is wrong.
    Auth,
    /// There is no repository at the address.
    RepoMissing,
    /// The storage lets nothing be deleted.
    AppendOnly,
    /// The repository's server can't be reached.
    Network,
    /// A path to back up does not exist, or is not mounted.
    SourceMissing,
    /// Some files could not be read.
    SourceUnreadable,
    /// There is no space left.
    DiskFull,
    /// restic is not installed or can't be started.
    ResticMissing,
    /// The job took longer than its deadline allows.
    Timeout,
    /// Somebody ended the job before it was done.
    Cancelled,
    /// A hook failed, or a command whose output is saved.
    Hook,
    /// restic found errors in the repository.
    Damaged,
    /// There is a repository already.
    RepoExists,
    /// The agent's own local policy forbids it.
    Policy,
    /// The agent has no credentials for it.
    NoCredentials,
    /// The agent was restarted while it ran.
    AgentRestarted,
    /// None of the above: read restic's last lines.
    Other,
    /// A snapshot was made without a single file in it, or in one of its paths.
    SourceEmpty,
    /// Of a part of a job: not tried, because what failed before would have met it too.
    NotTried,
    /// The admin credentials open another repository than the everyday ones.
    OtherRepo,
    /// The agent's own local policy wants it at another time, or on another network.
    NotNow,
    /// An exclude pattern of the source group can't be read.
    InvalidPattern,
    /// The certificate of the storage is of an authority that the host does not know.
    UnknownAuthority,
    /// The certificate of the storage is for another name, or not for a server.
    WrongName,
    /// The certificate of the storage is not valid any more, or not yet.
    CertificateExpired,
    /// The storage speaks no TLS, and the address says `https`.
    NoTls,
    /// The storage seems to speak TLS only, and the address says `http`.
    NeedsTls,
    /// The storage's ssh host key is none that the host knows.
    UnknownHostKey,
    /// The storage's ssh host key is another one than it was.
    HostKeyChanged,
    /// A drill found files that can't be restored, or whose content is another one.
    ProofFailed,
    /// What is to be downloaded is not in the snapshot.
    NotInSnapshot,
    /// What is to be downloaded is there, and can't be given in the form that was asked for, or in none.
    NotDownloadable,
}

impl Class {
    /// All classes in wire order.
    pub const ALL: [Self; 33] = [
        Self::RepoLocked,
        Self::Auth,
        Self::RepoMissing,
        Self::AppendOnly,
        Self::Network,
        Self::SourceMissing,
        Self::SourceUnreadable,
        Self::DiskFull,
        Self::ResticMissing,
        Self::Timeout,
        Self::Cancelled,
        Self::Hook,
        Self::Damaged,
        Self::RepoExists,
        Self::Policy,
        Self::NoCredentials,
        Self::AgentRestarted,
        Self::Other,
        Self::SourceEmpty,
        Self::NotTried,
        Self::OtherRepo,
        Self::NotNow,
        Self::InvalidPattern,
        Self::UnknownAuthority,
        Self::WrongName,
        Self::CertificateExpired,
        Self::NoTls,
        Self::NeedsTls,
        Self::UnknownHostKey,
        Self::HostKeyChanged,
        Self::ProofFailed,
        Self::NotInSnapshot,
        Self::NotDownloadable,
    ];

    /// Its word in the API, the view tree and metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::RepoLocked => "repo_locked",
            Self::Auth => "auth",
            Self::RepoMissing => "repo_missing",
            Self::AppendOnly => "append_only",
            Self::Network => "network",
            Self::SourceMissing => "source_missing",
            Self::SourceUnreadable => "source_unreadable",
            Self::DiskFull => "disk_full",
            Self::ResticMissing => "restic_missing",
            Self::Timeout => "timeout",
            Self::Cancelled => "cancelled",
            Self::Hook => "hook",
            Self::Damaged => "damaged",
            Self::RepoExists => "repo_exists",
            Self::Policy => "policy",
            Self::NoCredentials => "no_credentials",
            Self::AgentRestarted => "agent_restarted",
            Self::Other => "other",
            Self::SourceEmpty => "source_empty",
            Self::NotTried => "not_tried",
            Self::OtherRepo => "other_repo",
            Self::NotNow => "not_now",
            Self::InvalidPattern => "invalid_pattern",
            Self::UnknownAuthority => "unknown_authority",
            Self::WrongName => "wrong_name",
            Self::CertificateExpired => "certificate_expired",
            Self::NoTls => "no_tls",
            Self::NeedsTls => "needs_tls",
            Self::UnknownHostKey => "unknown_host_key",
            Self::HostKeyChanged => "host_key_changed",
            Self::ProofFailed => "proof_failed",
            Self::NotInSnapshot => "not_in_snapshot",
            Self::NotDownloadable => "not_downloadable",
        }
    }
}

/// What came of a job, in figures.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Summary<'a> {
    /// Nothing to say beyond the outcome.
    None,
    /// Figures of a probe.
    Probe(ProbeSummary),
    /// Figures of an init.
    Init {
        /// The repository that was made.
        repo: RepoId,
    },
    /// Figures of a backup.
    #[serde(borrow)]
    Backup(BackupSummary<'a>),
    /// Figures of a forget.
    Forget {
        /// One result for each source group.
        #[serde(borrow)]
        groups: Items<'a, ForgetResult<'a>>,
    },
    /// Figures of a prune.
    Prune {
        /// Given back to the storage, in bytes.
        freed_bytes: u64,
        /// Packs that were written anew to get rid of unused parts.
        repacked_packs: u32,
        /// Their parts that are in use, in bytes.
        repacked_bytes: u64,
        /// Left in the repository, in bytes.
        remaining_bytes: u64,
    },
    /// Figures of a check.
    Check {
        /// How many errors restic counted.
        errors: u32,
        /// How much of the data was read, in percent.
        subset_pct: u8,
    },
    /// Figures of an unlock.
    Unlock {
        /// How many locks were removed.
        removed: u32,
    },
    /// Figures of a measurement (restic's `stats`).
    Stats {
        /// Size of the repository in its storage, in bytes.
        total_bytes: u64,
        /// Number of blobs (restic's pieces of files) in the repository.
        blobs: u64,
    },
    /// Of a listing; the snapshots themselves came in their own reports.
    Snapshots {
        /// Number of snapshots in the repository.
        count: u32,
        /// How many of them did not come: no room for them on the agent, or not to be read.
        left_out: u32,
    },
    /// Figures of a restore.
    #[serde(borrow)]
    Restore(RestoreSummary<'a>),
    /// Of the listing of a folder; its entries came in their own reports.
    Folder {
        /// Number of entries that came.
        entries: u32,
        /// How many did not: too many, or of a name that is no UTF-8.
        left_out: u32,
    },
    /// Of a job that ended because the storage's ssh host key is not known, or another one.
    HostKey {
        /// The slot whose storage it is.
        slot: Slot,
        /// The key that the storage shows: its kind and its base64, as in `known_hosts`.
        key: &'a str,
    },
    /// Figures of a drill.
    #[serde(borrow)]
    Drill(DrillSummary<'a>),
    /// Of a search by name; what was found came in its own reports.
    Found {
        /// Number of snapshots that were looked through.
        snapshots: u32,
        /// Number of snapshots that were asked for and not looked through: too many.
        snapshots_left_out: u32,
        /// Number of entries that came, one for each snapshot that has it.
        hits: u32,
        /// Number of entries that did not: too many, too long, or of a name that restic does not tell.
        left_out: u32,
    },
    /// Of a comparison of two snapshots; the changes themselves came in their own reports.
    Differences(DiffTotals),
    /// Figures of a download.
    Download {
        /// How many bytes were sent.
        bytes: u64,
    },
}

/// What two snapshots differ in, in numbers of files and folders.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DiffTotals {
    /// Only the newer one has them.
    pub added: u64,
    /// Only the older one has them.
    pub removed: u64,
    /// Their content differs.
    pub changed: u64,
    /// They are of another kind, such as a folder in place of a file.
    pub types: u64,
    /// Size of the files that were added, in bytes, as far as they came.
    pub added_bytes: u64,
    /// The same of those that were removed.
    pub removed_bytes: u64,
    /// The same of those that changed, as they are in the newer one.
    pub changed_bytes: u64,
    /// How many of the changes did not come: too many, too long, or of a name that restic does not tell.
    pub left_out: u64,
}

/// What a probe found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProbeSummary {
    /// The repository, when there is one and it opens.
    pub repo: Option<RepoId>,
    /// Version of restic's repository format.
    pub repo_version: Option<u8>,
    /// Whether the storage refuses to delete; `None` = could not be told without writing.
    pub append_only: Option<bool>,
    /// How long the storage took to answer.
    pub answered_ms: u32,
}

/// restic's backup summary. Sizes in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackupSummary<'a> {
    /// The snapshot, hex; empty when none was made.
    pub snapshot: &'a str,
    /// Files that were not there before.
    pub files_new: u64,
    /// Number of files that differ from the previous snapshot.
    pub files_changed: u64,
    /// Number of files that are as in the previous snapshot.
    pub files_unmodified: u64,
    /// All files read or compared.
    pub total_files: u64,
    /// Size of all files in bytes.
    pub total_bytes: u64,
    /// New data before compression, in bytes.
    pub added_bytes: u64,
    /// New data as stored; `None` where restic doesn't say (before 0.17).
    pub added_packed_bytes: Option<u64>,
    /// Files that could not be read.
    pub errors: u32,
    /// What is to be said of single paths of the source group; at most [`crate::limits::MAX_SOURCE_FINDINGS`].
    #[serde(borrow)]
    pub findings: Items<'a, SourceFinding<'a>>,
    /// How many more there were.
    pub findings_left_out: u32,
}

/// What is to be said of one path of a source group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceFinding<'a> {
    /// The path, as the source group names it.
    pub path: &'a str,
    /// What is the matter with it.
    pub reason: SourceReason,
    /// Of a link: where it leads. Of a missing path: one that is there and looks the same. Empty otherwise.
    pub leads_to: &'a str,
}

/// Why a path brings nothing to a snapshot, or is left out of it by the agent itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SourceReason {
    /// There is no such path.
    Missing,
    /// The machine's table of mounts names it, and nothing is mounted there.
    NotMounted,
    /// A link to something that is not there.
    DeadLink,
    /// A link: restic keeps the link alone.
    Link,
    /// A folder without a single file.
    Empty,
    /// All that is in it is excluded by the source group.
    Excluded,
    /// All that is in it lies on other file systems, and the source group stays on one.
    OtherFileSystem,
    /// A folder that holds nothing but links.
    OnlyLinks,
    /// A device, a pipe or a socket, or a folder of them: there is no content to keep.
    Special,
    /// The path can't be read.
    Unreadable,
    /// Not saved: the repository itself lies there.
    OwnRepository,
    /// Not saved: the agent's own folder, which holds its keys.
    OwnState,
}

impl SourceReason {
    /// All reasons in wire order.
    pub const ALL: [Self; 12] = [
        Self::Missing,
        Self::NotMounted,
        Self::DeadLink,
        Self::Link,
        Self::Empty,
        Self::Excluded,
        Self::OtherFileSystem,
        Self::OnlyLinks,
        Self::Special,
        Self::Unreadable,
        Self::OwnRepository,
        Self::OwnState,
    ];

    /// Its word in the API.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::NotMounted => "not_mounted",
            Self::DeadLink => "dead_link",
            Self::Link => "link",
            Self::Empty => "empty",
            Self::Excluded => "excluded",
            Self::OtherFileSystem => "other_file_system",
            Self::OnlyLinks => "only_links",
            Self::Special => "special",
            Self::Unreadable => "unreadable",
            Self::OwnRepository => "own_repository",
            Self::OwnState => "own_state",
        }
    }

    /// What a backup with such a path warns of; `None` = nothing is missing.
    #[must_use]
    pub const fn class(self) -> Option<Class> {
        match self {
            Self::Missing | Self::NotMounted | Self::DeadLink => Some(Class::SourceMissing),
            Self::Link
            | Self::Empty
            | Self::Excluded
            | Self::OtherFileSystem
            | Self::OnlyLinks
            | Self::Special => Some(Class::SourceEmpty),
            Self::Unreadable => Some(Class::SourceUnreadable),
            Self::OwnRepository | Self::OwnState => None,
        }
    }
}

impl fmt::Display for SourceFinding<'_> {
    /// In words, as a log and a page say it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { path, reason, leads_to } = self;
        match reason {
            SourceReason::Missing if leads_to.is_empty() => write!(f, "{path}: no such path"),
            SourceReason::Missing => write!(
                f,
                "{path}: no such path, but one is there that looks the same, with a letter written as other characters: \
                 name {leads_to} instead"
            ),
            SourceReason::NotMounted => write!(f, "{path}: an empty folder, nothing is mounted on it"),
            SourceReason::DeadLink => write!(f, "{path}: a link to {leads_to}, which is not there"),
            SourceReason::Link => {
                write!(
                    f,
                    "{path}: a link to {leads_to}; restic keeps only the link, so name {leads_to} instead"
                )
            }
            SourceReason::Empty => write!(f, "{path}: not a single file is in it"),
            SourceReason::Excluded => write!(f, "{path}: all of it is excluded by the source group"),
            SourceReason::OtherFileSystem => {
                write!(f, "{path}: all of it lies on other file systems, which the source group leaves out")
            }
            SourceReason::OnlyLinks => {
                write!(f, "{path}: only links are in it, and restic keeps nothing of what they lead to")
            }
            SourceReason::Special => write!(f, "{path}: a device, pipe or socket, without content to keep"),
            SourceReason::Unreadable => write!(f, "{path}: it can't be read"),
            SourceReason::OwnRepository => {
                write!(f, "{path}: left out, for the repository itself lies there")
            }
            SourceReason::OwnState => {
                write!(f, "{path}: left out, for it is the agent's own folder and holds its keys")
            }
        }
    }
}

/// What the retention of one group did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ForgetResult<'a> {
    /// Name of the source group.
    pub group: &'a str,
    /// Number of snapshots kept.
    pub kept: u32,
    /// Number of snapshots removed.
    pub removed: u32,
    /// Why it failed, if it did.
    pub class: Option<Class>,
    /// Of those kept: whole ones that the rules would have dropped, were it not for newer ones that lack something.
    pub spared: u32,
    /// Of [`ForgetGroup::lacking`] those that the repository still has; `None` = it was not looked.
    #[serde(borrow)]
    pub lacking: Option<Items<'a, &'a str>>,
}

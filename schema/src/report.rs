//! Agent → server, durable.

use crate::{
    Class, CommandSeq, GroupKey, Items, JobId, JobKind, LogLine, OsText, Outcome, ReportSeq, Slot,
    SlotRevision, Stream, Summary, Timestamp,
};
use serde::{Deserialize, Serialize};

/// A numbered report. It stays in the agent's journal until the server has committed it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report<'a> {
    /// The journal, see [`crate::Hello::stream`].
    pub stream: Stream,
    /// Its place in the journal, from 1.
    pub seq: ReportSeq,
    /// The highest command number taken when it was written: each command up to it is answered by this report or an
    /// earlier one. 0 in a [`ReportBody::Dropped`], which says nothing of commands.
    pub taken: CommandSeq,
    /// When it was written, by the agent's clock.
    pub at: Timestamp,
    /// What the report says.
    #[serde(borrow)]
    pub body: ReportBody<'a>,
}

/// What a report says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReportBody<'a> {
    /// A job was taken and will run.
    Accepted {
        /// The job that was taken.
        job: JobId,
        /// How many jobs run before it.
        behind: u8,
    },
    /// A job will not run.
    Refused {
        /// The job that will not run.
        job: JobId,
        /// Why the agent refuses it.
        reason: Refusal,
        /// More, in words; may be empty.
        detail: &'a str,
    },
    /// restic is about to be started.
    Started {
        /// The job that starts.
        job: JobId,
    },
    /// A piece of a job's log.
    Log {
        /// The job whose log it is.
        job: JobId,
        /// The number of its first line, from 0.
        first_line: u32,
        /// The log lines.
        #[serde(borrow)]
        lines: Items<'a, LogLine<'a>>,
    },
    /// A job has ended.
    #[serde(borrow)]
    Finished(Finished<'a>),
    /// Credentials were stored, or not.
    ConfigApplied {
        /// The slot that the credentials were for.
        slot: Slot,
        /// The revision it has now.
        revision: SlotRevision,
        /// Why it was not stored; `None` = stored.
        refused: Option<Refusal>,
    },
    /// A piece of a snapshot listing.
    Snapshots {
        /// The job that listed the snapshots.
        job: JobId,
        /// The number of its first snapshot, from 0.
        first: u32,
        /// The snapshots, oldest first.
        #[serde(borrow)]
        snapshots: Items<'a, Snapshot<'a>>,
    },
    /// A command that could not be decoded was taken and dropped.
    NotUnderstood {
        /// Sequence number of the command.
        seq: CommandSeq,
    },
    /// What stood under this number was given up for want of space.
    Dropped,
    /// A cancel found no such job here: it has ended, or never came.
    CancelMissed {
        /// The job that was to be cancelled.
        job: JobId,
    },
    /// Something is wrong with the agent itself.
    Trouble {
        /// What is wrong.
        kind: Trouble,
        /// Details in words for people.
        detail: &'a str,
    },
    /// A piece of the listing of a folder.
    Entries {
        /// The listing job.
        job: JobId,
        /// The number of its first entry, from 0.
        first: u32,
        /// The entries, in the order in which they were found.
        #[serde(borrow)]
        entries: Items<'a, Entry<'a>>,
    },
    /// While the server was away, a backup of the plan came due: the agent has taken it by itself. Comes before
    /// everything else of that job.
    Own {
        /// The job; the agent has made its id.
        job: JobId,
        /// Name of the schedule.
        schedule: &'a str,
        /// Name of the source group.
        group: &'a str,
        /// When it was due: with the schedule it names the occurrence. Earlier ones that nobody ran are in it.
        due_at: Timestamp,
    },
    /// A piece of what a search by name found.
    Found {
        /// The job that searches.
        job: JobId,
        /// The number of its first hit, from 0.
        first: u32,
        /// What was found, in the order in which it was.
        #[serde(borrow)]
        hits: Items<'a, Hit<'a>>,
    },
    /// The credentials of another host that came for a job are held for it. Where they are not, the job is refused.
    CredentialsHeld {
        /// The job that they came for.
        job: JobId,
    },
}

/// How a job ended, and what it did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finished<'a> {
    /// The job that has ended.
    pub job: JobId,
    /// How it ended.
    pub outcome: Outcome,
    /// Why, when it is not plain success.
    pub class: Option<Class>,
    /// restic's exit code; `None` when it did not run or was killed.
    pub exit_code: Option<i32>,
    /// When restic was started, by the agent's clock; `None` when it was not.
    pub started_at: Option<Timestamp>,
    /// When it ended, by the agent's clock.
    pub finished_at: Timestamp,
    /// restic's own last words, or what the agent has to say.
    pub message: &'a str,
    /// How many log lines there were, sent or given up.
    pub log_lines: u32,
    /// What the job did, in numbers; which ones depends on its kind.
    #[serde(borrow)]
    pub summary: Summary<'a>,
    /// Of what kind it was, for a server that does not know the job: one that was restored from an archive of before it.
    pub kind: Option<JobKind>,
    /// The source group that it was to save; `None` = it was no backup.
    pub group: Option<GroupKey>,
}

/// Why an agent does not do what it was told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Refusal {
    /// It holds as many jobs as it can.
    QueueFull,
    /// The command came after its time limit.
    Expired,
    /// This job id was started before.
    AlreadyStarted,
    /// The local policy forbids it.
    Policy,
    /// This agent can't do this kind of job.
    Unsupported,
    /// There are no credentials for it.
    NoCredentials,
    /// It could not be written to the state folder.
    StateFolder,
    /// It would have to wait for another job, and is of use only at once.
    Busy,
}

impl Refusal {
    /// All variants.
    pub const ALL: [Self; 8] = [
        Self::QueueFull,
        Self::Expired,
        Self::AlreadyStarted,
        Self::Policy,
        Self::Unsupported,
        Self::NoCredentials,
        Self::StateFolder,
        Self::Busy,
    ];

    /// Its word in the API.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::QueueFull => "queue_full",
            Self::Expired => "expired",
            Self::AlreadyStarted => "already_started",
            Self::Policy => "policy",
            Self::Unsupported => "unsupported",
            Self::NoCredentials => "no_credentials",
            Self::StateFolder => "state_folder",
            Self::Busy => "busy",
        }
    }
}

/// What can be wrong with an agent itself, or is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Trouble {
    /// The journal was damaged and set aside.
    JournalSetAside,
    /// The state folder can't be written.
    StateFolder,
    /// Stored credentials can't be opened and were set aside.
    CredentialsSetAside,
    /// The state folder can be written again.
    StateFolderMended,
}

/// A snapshot as restic lists it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot<'a> {
    /// restic's id, hex, 64 characters.
    pub id: &'a str,
    /// When it was taken.
    pub time: Timestamp,
    /// The host name in it.
    pub hostname: &'a str,
    /// Tags of the snapshot.
    #[serde(borrow)]
    pub tags: Items<'a, &'a str>,
    /// Paths that were backed up.
    #[serde(borrow)]
    pub paths: Items<'a, &'a str>,
    /// Files and bytes in it, where restic says (0.17 on).
    pub size: Option<SnapshotSize>,
    /// How many more tags it has: what makes a snapshot too large for a report is left out of it, never the snapshot.
    pub tags_left_out: u32,
    /// How many more paths it has.
    pub paths_left_out: u32,
}

/// How large a snapshot is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SnapshotSize {
    /// Number of files in the snapshot.
    pub files: u64,
    /// Size of the files when restored, in bytes.
    pub bytes: u64,
    /// What it added to the repository, as stored.
    pub added_packed_bytes: u64,
}

/// One entry of a folder, of a snapshot or of the host itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry<'a> {
    /// Its name, without the folder.
    #[serde(borrow)]
    pub name: OsText<'a>,
    /// Whether the entry is a folder, a file, a link or something else.
    pub kind: EntryKind,
    /// Its size; 0 of what is no file.
    pub bytes: u64,
    /// When it was changed last.
    pub modified_at: Option<Timestamp>,
}

/// A piece of what was found. restic says only behind the matches of a snapshot which one it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Hit<'a> {
    /// Something whose name matches.
    Entry {
        /// Its absolute path inside the snapshot.
        #[serde(borrow)]
        path: OsText<'a>,
        /// Whether it is a folder, a file, a link or something else.
        kind: EntryKind,
        /// Its size in bytes; of a folder, of all that is in it.
        bytes: u64,
        /// Of a folder: how many files, links and the like are in it.
        files: u64,
        /// When it was changed last; of a folder, when anything in it was.
        modified_at: Option<Timestamp>,
    },
    /// All entries since the last one of these are in this snapshot.
    Snapshot {
        /// restic's id, hex, 64 characters.
        id: &'a str,
        /// When the snapshot was taken.
        time: Timestamp,
    },
    /// Of a comparison of two snapshots: a path in which they differ.
    Change {
        /// Its absolute path inside the snapshots.
        #[serde(borrow)]
        path: OsText<'a>,
        /// What became of it.
        change: ChangeKind,
        /// Whether it is a folder; in the newer one, when both have it.
        is_folder: bool,
        /// Its size in bytes, in the newer one when that has it; 0 of what is no file.
        bytes: u64,
    },
}

/// What became of a path between two snapshots.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ChangeKind {
    /// Only the newer snapshot has it.
    Added,
    /// Only the older snapshot has it.
    Removed,
    /// Its content differs.
    Changed,
    /// It is of another kind.
    Type,
}

impl ChangeKind {
    /// All variants.
    pub const ALL: [Self; 4] = [Self::Added, Self::Removed, Self::Changed, Self::Type];

    /// Its word in the API.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Added => "added",
            Self::Removed => "removed",
            Self::Changed => "changed",
            Self::Type => "type",
        }
    }
}

/// What an entry of a folder is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EntryKind {
    /// The entry is a folder.
    Folder,
    /// The entry is a plain file.
    File,
    /// The entry is a symbolic link.
    Symlink,
    /// A device, a socket and the like.
    Other,
}

impl EntryKind {
    /// All variants.
    pub const ALL: [Self; 4] = [Self::Folder, Self::File, Self::Symlink, Self::Other];

    /// Its word in the API.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Folder => "folder",
            Self::File => "file",
            Self::Symlink => "symlink",
            Self::Other => "other",
        }
    }
}

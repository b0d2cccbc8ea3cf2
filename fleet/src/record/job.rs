use super::{
    Actor, DiffFigures, DownloadForm, DrillFigures, DrillPlan, FindPlan, Hold, RestoreFigures, RestorePlan,
    Retention,
};
use schema::{
    Class, CommandSeq, HostId, JobId, JobKind, Outcome, Refusal, RepoId, Slot, SourceReason, Timestamp,
};
use serde::{Deserialize, Serialize};
use std::fmt;

/// One run of one kind on one host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Job {
    /// Unique id; ids sort by the time at which the job was created.
    pub id: JobId,
    /// The host that the job runs on.
    pub host: HostId,
    /// The work that it does, and on what.
    pub what: JobWhat,
    /// How far it has come, or how it ended.
    pub state: JobState,
    /// Why it failed or ended with a warning; `None` = it has not ended, or nothing went wrong.
    pub class: Option<Class>,
    /// Why the agent refused to run it; `None` = it was not refused.
    pub refusal: Option<Refusal>,
    /// Who caused it.
    pub actor: Actor,
    /// When the record was written.
    pub created_at: Timestamp,
    /// When its command was first handed to the host's session, by the server's clock; `None` = not yet.
    pub sent_at: Option<Timestamp>,
    /// When the agent took it; `None` = it has not, as far as is known here.
    pub accepted_at: Option<Timestamp>,
    /// When restic was started, by the agent's clock; `None` = it was never started, as far as is known here.
    pub started_at: Option<Timestamp>,
    /// When it ended, by the agent's clock (the server's, when the agent never said).
    pub finished_at: Option<Timestamp>,
    /// When somebody asked to end it; `None` = nobody has.
    pub cancel_asked_at: Option<Timestamp>,
    /// Its end is what the server made of the agent's silence; a late report still corrects it.
    pub presumed: bool,
    /// Sequence number of its command in the host's outbox.
    pub command_seq: CommandSeq,
    /// restic's exit code; `None` = restic did not run, was killed, or has not ended yet.
    pub exit_code: Option<i32>,
    /// restic's last words, or why it never ran; in words that say what to do.
    pub message: String,
    /// Number of log lines that came from the agent, whether they were kept or not.
    pub log_lines: u32,
    /// What the job did, in numbers; which ones depends on its kind.
    pub figures: JobFigures,
    /// Others went on without it before its host said what became of it: it counts as done for none of them.
    pub late: bool,
    /// Who asked to end it, a person or the server; see [`Job::ended_by`].
    pub cancel_asked_by: Option<Actor>,
    /// The due time for which the agent began this backup by itself; `None` = the server dispatched the job.
    pub made_for: Option<Occurrence>,
    /// Why no agent could say what became of it; `None` = one has said so, or has lost it.
    pub agent_gone: Option<AgentGone>,
}

/// What took the agent away that had an open job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum AgentGone {
    /// The host was enrolled anew, with the state folder that it had.
    Reenrolled,
    /// Another machine took the host's place, or the same one with another state folder.
    Replaced,
    /// This server was restored, and the agent told the lost one what became of it.
    ServerRestored,
}

impl AgentGone {
    /// All variants.
    pub const ALL: [Self; 3] = [Self::Reenrolled, Self::Replaced, Self::ServerRestored];

    /// The stable word that the API uses for it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Reenrolled => "reenrolled",
            Self::Replaced => "replaced",
            Self::ServerRestored => "server_restored",
        }
    }
}

/// A due time of a schedule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Occurrence {
    /// Name of the schedule.
    pub schedule: String,
    /// When the schedule was due.
    pub due_at: Timestamp,
}

impl Job {
    /// A job that was just made, its command in the outbox.
    #[must_use]
    pub fn new(
        id: JobId,
        host: HostId,
        what: JobWhat,
        actor: Actor,
        created_at: Timestamp,
        command_seq: CommandSeq,
    ) -> Self {
        Self {
            id,
            host,
            what,
            state: JobState::Queued,
            class: None,
            refusal: None,
            actor,
            created_at,
            sent_at: None,
            accepted_at: None,
            started_at: None,
            finished_at: None,
            cancel_asked_at: None,
            presumed: false,
            command_seq,
            exit_code: None,
            message: String::new(),
            log_lines: 0,
            figures: JobFigures::None,
            late: false,
            cancel_asked_by: None,
            made_for: None,
            agent_gone: None,
        }
    }

    /// The host whose repository it works on, when another host does it; `None` = the host's own.
    #[must_use]
    pub fn for_other(&self) -> Option<HostId> {
        self.what.source().filter(|source| *source != self.host)
    }

    /// The host whose repository it works on.
    #[must_use]
    pub fn repository_of(&self) -> HostId {
        self.what.source().unwrap_or(self.host)
    }

    /// When restic was started, and never before the job was made: a job that was dispatched for a due backup has begun
    /// after its time. One that was never started has begun, if at all, when it was made.
    #[must_use]
    pub fn began_at(&self) -> Timestamp {
        self.started_at.map_or(self.created_at, |at| at.max(self.created_at))
    }

    /// Whether a person, or a token in a person's hands, asked to end it.
    #[must_use]
    pub const fn is_cancelled_by_person(&self) -> bool {
        matches!(self.cancel_asked_by, Some(Actor::Operator(_) | Actor::Token(_)))
    }

    /// Whether it may have ended well all the same: only the server that is lost has heard.
    #[must_use]
    pub const fn is_untold(&self) -> bool {
        matches!(self.agent_gone, Some(AgentGone::ServerRestored))
    }

    /// Who ended it before it was done; `None` = it has not ended, or came to an end of its own, good or bad.
    ///
    /// How it ended does not say this: an agent that is stopped in order says `cancelled`, as for a person's cancel,
    /// and one that was killed says `failed`.
    #[must_use]
    pub const fn ended_by(&self) -> Option<EndedBy> {
        let machine = match (self.state, self.class) {
            (JobState::Cancelled, Some(Class::NotNow)) => EndedBy::Policy,
            (JobState::Cancelled | JobState::Failed, Some(Class::AgentRestarted)) | (JobState::Lost, _) => {
                EndedBy::Agent
            }
            (JobState::Cancelled, Some(_)) => EndedBy::Machine,
            // No agent says so without a class.
            (JobState::Cancelled, None) => EndedBy::Server,
            _ => return None,
        };
        Some(match self.cancel_asked_by {
            _ if self.is_cancelled_by_person() => EndedBy::Person,
            Some(_) => EndedBy::Server,
            None => machine,
        })
    }
}

/// Who ended a job before it was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndedBy {
    /// A person, or a token in a person's hands. Only this is a decision.
    Person,
    /// The agent, which was stopped, updated or killed, or its machine went down.
    Agent,
    /// Something else on the host: a signal that neither this server nor the agent sent.
    Machine,
    /// The host's own policy, which puts it off.
    Policy,
    /// The server, which took it back.
    Server,
}

impl EndedBy {
    /// All variants.
    pub const ALL: [Self; 5] = [Self::Person, Self::Agent, Self::Machine, Self::Policy, Self::Server];

    /// The stable word that the API uses for it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Person => "person",
            Self::Agent => "agent",
            Self::Machine => "machine",
            Self::Policy => "policy",
            Self::Server => "server",
        }
    }

    /// Whether the job was broken off with nobody wanting that: it counts as a failure that may mend itself. What was
    /// put off or taken back was no try.
    #[must_use]
    pub const fn is_interruption(self) -> bool {
        matches!(self, Self::Agent | Self::Machine)
    }
}

/// What a job does, with what a person wants to see of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum JobWhat {
    /// Look whether the repository is there and can be opened.
    Probe,
    /// Create the repository.
    Init,
    /// Back up one source group.
    Backup {
        /// Name of the source group.
        group: String,
    },
    /// Remove snapshots by the keep rules of the source groups.
    Forget {
        /// The groups and their rules at the time.
        groups: Vec<(String, Retention)>,
        /// The groups that were left out, and why nothing of them was to go.
        held: Vec<(String, Hold)>,
    },
    /// Say what retention would drop of one group, by rules that need not be stored.
    ForgetDryRun {
        /// Name of the source group.
        group: String,
        /// The keep rules to try.
        keep: Retention,
        /// Why nothing of it is to go, whatever they say.
        held: Option<Hold>,
    },
    /// Remove data from the repository that no snapshot needs.
    Prune,
    /// Verify the repository.
    Check {
        /// Percent of the data to read.
        subset_pct: u8,
    },
    /// Remove locks of the repository.
    Unlock {
        /// Also remove locks whose process may still run, not only stale ones.
        all: bool,
    },
    /// Measure how much the repository takes in its storage.
    Stats,
    /// List the snapshots of the repository.
    Snapshots,
    /// List a folder of a snapshot.
    Ls {
        /// restic's id of the snapshot.
        snapshot: String,
        /// Absolute path of the folder inside the snapshot.
        path: String,
    },
    /// List a folder of the host itself.
    Browse {
        /// Absolute path of the folder on the host.
        path: String,
    },
    /// Restore files of a snapshot, or say what that would write.
    Restore(RestorePlan),
    /// Restore files drawn by lot, compare them, and take them away again.
    Drill(DrillPlan),
    /// Look for names in snapshots.
    Find(FindPlan),
    /// Compare two snapshots.
    Diff {
        /// restic's id of the older snapshot.
        against: String,
        /// restic's id of the snapshot that is compared with it.
        snapshot: String,
    },
    /// Send a file or folder of a snapshot to whoever downloads it.
    Download {
        /// restic's id of the snapshot.
        snapshot: String,
        /// Absolute path inside the snapshot, as people write it.
        path: String,
        /// As what it is downloaded.
        form: DownloadForm,
        /// The host whose snapshot it is. The host that sends it is the job's.
        source: HostId,
    },
}

impl JobWhat {
    /// The host whose snapshot is restored or sent, which may be another one than does it; `None` = it is always its own.
    #[must_use]
    pub const fn source(&self) -> Option<HostId> {
        match self {
            Self::Restore(RestorePlan { source, .. }) | Self::Download { source, .. } => Some(*source),
            _ => None,
        }
    }

    /// The kind of job on the wire; a dry run of forget is a forget, too.
    #[must_use]
    pub const fn kind(&self) -> JobKind {
        match self {
            Self::Probe => JobKind::Probe,
            Self::Init => JobKind::Init,
            Self::Backup { .. } => JobKind::Backup,
            Self::Forget { .. } | Self::ForgetDryRun { .. } => JobKind::Forget,
            Self::Prune => JobKind::Prune,
            Self::Check { .. } => JobKind::Check,
            Self::Unlock { .. } => JobKind::Unlock,
            Self::Stats => JobKind::Stats,
            Self::Snapshots => JobKind::Snapshots,
            Self::Ls { .. } => JobKind::Ls,
            Self::Browse { .. } => JobKind::Browse,
            Self::Restore(_) => JobKind::Restore,
            Self::Drill(_) => JobKind::Drill,
            Self::Find(_) => JobKind::Find,
            Self::Diff { .. } => JobKind::Diff,
            Self::Download { .. } => JobKind::Download,
        }
    }

    /// Whether it only says what it would do: then it counts as no job of its kind.
    #[must_use]
    pub const fn is_dry_run(&self) -> bool {
        matches!(self, Self::ForgetDryRun { .. } | Self::Restore(RestorePlan { dry_run: true, .. }))
    }

    /// Whether its only purpose is to show something to a person who has a page open.
    #[must_use]
    pub const fn is_look(&self) -> bool {
        self.is_dry_run()
            || matches!(self, Self::Ls { .. } | Self::Browse { .. } | Self::Find(_) | Self::Diff { .. })
    }

    /// Whether it needs the repository to itself, so that no other job may run on it at the same time.
    #[must_use]
    pub const fn is_exclusive(&self) -> bool {
        self.kind().is_exclusive() && !self.is_dry_run()
    }
}

/// How far a job is. Moves only by what the agent reports, `Queued → Sent` apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum JobState {
    /// Its command is in the outbox.
    Queued,
    /// The command was handed to the host's session.
    Sent,
    /// The agent has confirmed that it took the command; the job waits or is about to start.
    Accepted,
    /// The agent has started restic.
    Running,
    /// It ended without errors.
    Succeeded,
    /// It ended, but something was left out, such as files that could not be read.
    Warning,
    /// It failed, or the agent refused it.
    Failed,
    /// Ended before it was done; [`Job::ended_by`] says by whom.
    Cancelled,
    /// The agent said hello again and knows nothing of it.
    Lost,
}

impl JobState {
    /// All states: first those that a job passes through, then those in which it ends.
    pub const ALL: [Self; 9] = [
        Self::Queued,
        Self::Sent,
        Self::Accepted,
        Self::Running,
        Self::Succeeded,
        Self::Warning,
        Self::Failed,
        Self::Cancelled,
        Self::Lost,
    ];

    /// Its word in the API and on pages.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Sent => "sent",
            Self::Accepted => "accepted",
            Self::Running => "running",
            Self::Succeeded => "succeeded",
            Self::Warning => "warning",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
            Self::Lost => "lost",
        }
    }

    /// Whether nothing more will happen to it.
    #[must_use]
    pub const fn is_ended(self) -> bool {
        matches!(self, Self::Succeeded | Self::Warning | Self::Failed | Self::Cancelled | Self::Lost)
    }
}

impl From<Outcome> for JobState {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Succeeded => Self::Succeeded,
            Outcome::Warning => Self::Warning,
            Outcome::Failed => Self::Failed,
            Outcome::Cancelled => Self::Cancelled,
        }
    }
}

/// What came of a job, in figures.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum JobFigures {
    /// There are no figures, or none yet.
    #[default]
    None,
    /// Figures of a probe.
    Probe(ProbeFigures),
    /// Figures of an init.
    Init {
        /// Id of the repository that was created.
        repo: RepoId,
    },
    /// Figures of a backup.
    Backup(BackupFigures),
    /// Figures of a forget, one entry for each source group.
    Forget(Vec<ForgetFigures>),
    /// Figures of a prune.
    Prune {
        /// Bytes that the storage got back.
        freed_bytes: u64,
        /// Number of pack files that were rewritten.
        repacked_packs: u32,
        /// Bytes of the rewritten pack files that were still needed and so were kept.
        repacked_bytes: u64,
        /// Bytes left in the repository afterwards.
        remaining_bytes: u64,
    },
    /// Figures of a check.
    Check {
        /// Number of errors that restic found.
        errors: u32,
        /// How much of the data was read, in percent.
        subset_pct: u8,
    },
    /// Figures of an unlock.
    Unlock {
        /// Number of locks that were removed.
        removed: u32,
    },
    /// Figures of a measurement (restic's `stats`).
    Stats {
        /// Size of the repository in its storage, in bytes.
        total_bytes: u64,
        /// Number of blobs (restic's pieces of files) in the repository.
        blobs: u64,
    },
    /// Figures of a listing of snapshots.
    Snapshots {
        /// Number of snapshots in the repository.
        count: u32,
        /// Number of snapshots that are missing from the listing that came.
        left_out: u32,
    },
    /// Figures of a restore.
    Restore(RestoreFigures),
    /// Of the listing of a folder.
    Folder {
        /// Number of entries that came.
        entries: u32,
        /// Number of entries of the folder that did not come.
        left_out: u32,
    },
    /// Of any job that ended because the storage's ssh host key is not known, or another one.
    HostKey {
        /// The credential slot whose storage it is.
        slot: Slot,
        /// The key that it shows, as the agent says.
        key: String,
    },
    /// Figures of a drill.
    Drill(DrillFigures),
    /// Of a search by name.
    Found {
        /// Number of snapshots that were looked through.
        snapshots: u32,
        /// Number of snapshots that were asked for and not looked through.
        snapshots_left_out: u32,
        /// Number of entries that came, one for each snapshot that has it.
        hits: u32,
        /// Number of entries that did not come.
        left_out: u32,
    },
    /// Of a comparison of two snapshots.
    Differences(DiffFigures),
    /// Figures of a download.
    Download {
        /// How many bytes the agent sent.
        bytes: u64,
    },
}

/// What a probe found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProbeFigures {
    /// Id of the repository; `None` = it could not be opened.
    pub repo: Option<RepoId>,
    /// Version of restic's repository format; `None` = not known.
    pub repo_version: Option<u8>,
    /// Whether the storage refuses to delete; `None` = not known.
    pub append_only: Option<bool>,
    /// How long the storage took to answer, in milliseconds.
    pub answered_ms: u32,
}

/// What a backup saved. Sizes in bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackupFigures {
    /// restic's id of the snapshot; empty when none was made.
    pub snapshot: String,
    /// Number of files that were not in the previous snapshot.
    pub files_new: u64,
    /// Number of files that differ from the previous snapshot.
    pub files_changed: u64,
    /// Number of files that are as in the previous snapshot.
    pub files_unmodified: u64,
    /// Number of all files in the snapshot.
    pub total_files: u64,
    /// Size of all files in the snapshot, in bytes.
    pub total_bytes: u64,
    /// Bytes of data that the repository did not hold before, uncompressed.
    pub added_bytes: u64,
    /// The same data as stored, after compression, in bytes; `None` = restic did not say.
    pub added_packed_bytes: Option<u64>,
    /// Number of files that could not be read.
    pub errors: u32,
    /// Remarks on single paths of the source group, such as a path that is missing.
    pub findings: Vec<SourceFinding>,
    /// Number of further findings for which there was no room.
    pub findings_left_out: u32,
}

/// A remark on one path of a source group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceFinding {
    /// The path, as the source group names it.
    pub path: String,
    /// What is the matter with it.
    pub reason: SourceReason,
    /// Of a link: where it leads. Of a missing path: one that is there and looks the same. Empty otherwise.
    pub leads_to: String,
}

impl fmt::Display for SourceFinding {
    /// Uses the same words as [`schema::SourceFinding`].
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { path, reason, leads_to } = self;
        schema::SourceFinding { path, reason: *reason, leads_to }.fmt(f)
    }
}

/// What forget did to one group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ForgetFigures {
    /// Name of the source group.
    pub group: String,
    /// Number of snapshots kept.
    pub kept: u32,
    /// Number of snapshots removed.
    pub removed: u32,
    /// Why it failed; `None` = it did not.
    pub class: Option<Class>,
    /// Of those kept: whole ones that the rules would have dropped, were it not for newer ones that lack something.
    pub spared: u32,
}

/// How far a running job is. Lives in memory only.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct JobProgress {
    /// When it was heard, by the server's clock.
    pub at: Timestamp,
    /// How much is done, in thousandths.
    pub permille: u16,
    /// Number of files done so far.
    pub files_done: u64,
    /// Number of files that restic has found so far; may grow while it still scans.
    pub files_total: u64,
    /// Number of bytes done so far.
    pub bytes_done: u64,
    /// Number of bytes that restic has found so far; may grow while it still scans.
    pub bytes_total: u64,
    /// Of a restore: bytes that restic has read by now, from the repository mostly; 0 = not known.
    pub bytes_read: u64,
    /// Number of files that could not be read so far.
    pub errors: u32,
    /// Bytes a second over the last seconds; `None` until there are two readings.
    pub rate_bytes: Option<u64>,
    /// Seconds left: restic's own figure, else computed from the rate; `None` = not known.
    pub left_secs: Option<u64>,
    /// Path of the file that restic works on just now.
    pub current: String,
    /// Rates of the past, oldest first, at most 120, for a chart: (when, bytes a second).
    pub rates: Vec<(Timestamp, u64)>,
}

/// A stored piece of a log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogChunk {
    /// Number of the first line, counted from 0 through the whole log.
    pub first_line: u32,
    /// The lines: (milliseconds after the start, stream, text). Stream 0 is the agent, 1 standard output, 2
    /// standard error.
    pub lines: Vec<(u32, u8, String)>,
}

/// A job's log as kept: head and tail, with the cut shown.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogText {
    /// The pieces in order, with gaps where lines were left out.
    pub chunks: Vec<LogChunk>,
    /// Number of lines that came, kept or not.
    pub total_lines: u32,
    /// Number of lines that came and were not kept.
    pub left_out: u32,
}

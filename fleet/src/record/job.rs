use super::{Actor, Hold, Retention};
use schema::{Class, HostId, JobId, JobKind, Outcome, Refusal, RepoId, Slot, SourceReason, Timestamp};
use serde::{Deserialize, Serialize};
use std::fmt;

/// One run of one kind on one host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Job {
    /// Sorts by creation.
    pub id: JobId,
    /// Where.
    pub host: HostId,
    /// What.
    pub what: JobWhat,
    /// How far.
    pub state: JobState,
    /// Why it failed, or warns.
    pub class: Option<Class>,
    /// Why the agent refused it.
    pub refusal: Option<Refusal>,
    /// Who caused it.
    pub actor: Actor,
    /// When the record was written.
    pub created_at: Timestamp,
    /// When its command was first handed to the host's session.
    pub sent_at: Option<Timestamp>,
    /// When the agent took it.
    pub accepted_at: Option<Timestamp>,
    /// When restic was started, by the agent's clock.
    pub started_at: Option<Timestamp>,
    /// When it ended, by the agent's clock (the server's, when the agent never said).
    pub finished_at: Option<Timestamp>,
    /// When somebody asked to end it.
    pub cancel_asked_at: Option<Timestamp>,
    /// Its end is what the server made of the agent's silence; a late report still corrects it.
    pub presumed: bool,
    /// Its command in the outbox.
    pub command_seq: u64,
    /// restic's exit code.
    pub exit_code: Option<i32>,
    /// restic's last words, or why it never ran; in words that say what to do.
    pub message: String,
    /// Log lines that came, kept or not.
    pub log_lines: u32,
    /// The figures.
    pub figures: JobFigures,
    /// Others went on without it before its host said what became of it: it counts as done for none of them.
    pub late: bool,
    /// Who asked to end it, a person or the server; see [`Job::ended_by`].
    pub cancel_asked_by: Option<Actor>,
    /// The occurrence that the agent began it for by itself.
    pub made_for: Option<Occurrence>,
}

/// A due time of a schedule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Occurrence {
    /// Whose.
    pub schedule: String,
    /// When.
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
        command_seq: u64,
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
        }
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
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Person, Self::Agent, Self::Machine, Self::Policy, Self::Server];

    /// Its word in the API.
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
    /// Is the repository there?
    Probe,
    /// Make it.
    Init,
    /// Save one source group.
    Backup {
        /// Its name.
        group: String,
    },
    /// Apply retention.
    Forget {
        /// The groups and their rules at the time.
        groups: Vec<(String, Retention)>,
        /// The groups that were left out, and why nothing of them was to go.
        held: Vec<(String, Hold)>,
    },
    /// Say what retention would drop of one group, by rules that need not be stored.
    ForgetDryRun {
        /// Its name.
        group: String,
        /// The rules.
        keep: Retention,
        /// Why nothing of it is to go, whatever they say.
        held: Option<Hold>,
    },
    /// Free space.
    Prune,
    /// Verify.
    Check {
        /// Percent of the data to read.
        subset_pct: u8,
    },
    /// Remove locks.
    Unlock {
        /// Live ones too.
        all: bool,
    },
    /// Measure.
    Stats,
    /// List snapshots.
    Snapshots,
    /// List a folder of a snapshot.
    Ls {
        /// restic's id.
        snapshot: String,
        /// The folder.
        path: String,
    },
    /// List a folder of the host itself.
    Browse {
        /// The folder.
        path: String,
    },
}

impl JobWhat {
    /// The kind of it.
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
        }
    }

    /// Whether it only says what it would do: then it counts as no job of its kind.
    #[must_use]
    pub const fn is_dry_run(&self) -> bool {
        matches!(self, Self::ForgetDryRun { .. })
    }

    /// Whether it only looks at something for whoever is at a page just now.
    #[must_use]
    pub const fn is_look(&self) -> bool {
        matches!(self, Self::ForgetDryRun { .. } | Self::Ls { .. } | Self::Browse { .. })
    }

    /// Whether it needs the repository alone.
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
    /// The agent has it.
    Accepted,
    /// restic runs.
    Running,
    /// Done.
    Succeeded,
    /// Done in part.
    Warning,
    /// Not done (refused by the agent, too).
    Failed,
    /// Ended before it was done; who ended it says [`Job::ended_by`].
    Cancelled,
    /// The agent said hello again and knows nothing of it.
    Lost,
}

impl JobState {
    /// All of them, in the order of a life.
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
    /// Nothing.
    #[default]
    None,
    /// Of a probe.
    Probe(ProbeFigures),
    /// Of an init.
    Init {
        /// The repository made.
        repo: RepoId,
    },
    /// Of a backup.
    Backup(BackupFigures),
    /// Of a forget.
    Forget(Vec<ForgetFigures>),
    /// Of a prune, in bytes.
    Prune {
        /// Given back.
        freed_bytes: u64,
        /// Packs that were written anew.
        repacked_packs: u32,
        /// What of them was kept.
        repacked_bytes: u64,
        /// Left.
        remaining_bytes: u64,
    },
    /// Of a check.
    Check {
        /// Errors.
        errors: u32,
        /// Percent of the data read.
        subset_pct: u8,
    },
    /// Of an unlock.
    Unlock {
        /// Locks removed.
        removed: u32,
    },
    /// Of a stats.
    Stats {
        /// Size in the storage.
        total_bytes: u64,
        /// Blobs.
        blobs: u64,
    },
    /// Of a listing.
    Snapshots {
        /// How many there are.
        count: u32,
        /// How many of them did not come.
        left_out: u32,
    },
    /// Of a restore.
    Restore {
        /// Files written.
        files: u64,
        /// Bytes written.
        bytes: u64,
        /// Files left as they were.
        skipped: u64,
    },
    /// Of the listing of a folder.
    Folder {
        /// Entries that came.
        entries: u32,
        /// Entries that did not.
        left_out: u32,
    },
    /// Of any job that ended because the storage's ssh host key is not known, or another one.
    HostKey {
        /// The slot whose storage it is.
        slot: Slot,
        /// The key that it shows, as the agent says.
        key: String,
    },
}

/// What a probe found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProbeFigures {
    /// The repository, when it opens.
    pub repo: Option<RepoId>,
    /// restic's format.
    pub repo_version: Option<u8>,
    /// Whether the storage refuses to delete.
    pub append_only: Option<bool>,
    /// How long it took to answer.
    pub answered_ms: u32,
}

/// What a backup saved. Sizes in bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackupFigures {
    /// restic's snapshot id; empty when none.
    pub snapshot: String,
    /// Files not there before.
    pub files_new: u64,
    /// Files that differ.
    pub files_changed: u64,
    /// Files as before.
    pub files_unmodified: u64,
    /// All of them.
    pub total_files: u64,
    /// Their size.
    pub total_bytes: u64,
    /// New data.
    pub added_bytes: u64,
    /// New data as stored.
    pub added_packed_bytes: Option<u64>,
    /// Files that could not be read.
    pub errors: u32,
    /// What is to be said of single paths of the source group.
    pub findings: Vec<SourceFinding>,
    /// How many more there were.
    pub findings_left_out: u32,
}

/// What is to be said of one path of a source group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceFinding {
    /// The path.
    pub path: String,
    /// What it is.
    pub reason: SourceReason,
    /// Of a link: where it leads. Of a missing path: one that is there and looks the same. Empty otherwise.
    pub leads_to: String,
}

impl fmt::Display for SourceFinding {
    /// In the words of the wire's.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { path, reason, leads_to } = self;
        schema::SourceFinding { path, reason: *reason, leads_to }.fmt(f)
    }
}

/// What forget did to one group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ForgetFigures {
    /// The group.
    pub group: String,
    /// Snapshots kept.
    pub kept: u32,
    /// Snapshots dropped.
    pub removed: u32,
    /// Why it failed.
    pub class: Option<Class>,
    /// Of those kept: whole ones that the rules would have dropped, were it not for newer ones that lack something.
    pub spared: u32,
}

/// How far a running job is. Lives in memory only.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct JobProgress {
    /// When it was heard, by the server's clock.
    pub at: Timestamp,
    /// Thousandths.
    pub permille: u16,
    /// Files done.
    pub files_done: u64,
    /// Files known.
    pub files_total: u64,
    /// Bytes done.
    pub bytes_done: u64,
    /// Bytes known.
    pub bytes_total: u64,
    /// Files not read.
    pub errors: u32,
    /// Bytes a second over the last seconds; `None` until there are two readings.
    pub rate_bytes: Option<u64>,
    /// Seconds left: restic's own figure, else from the rate.
    pub left_secs: Option<u64>,
    /// The file of right now.
    pub current: String,
    /// Rates of the past, oldest first, at most 120, for a chart: (when, bytes a second).
    pub rates: Vec<(Timestamp, u64)>,
}

/// A stored piece of a log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogChunk {
    /// Number of the first line.
    pub first_line: u32,
    /// (milliseconds after start, stream: 0 agent 1 out 2 err, text).
    pub lines: Vec<(u32, u8, String)>,
}

/// A job's log as kept: head and tail, with the cut shown.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogText {
    /// In order, with holes where lines were left out.
    pub chunks: Vec<LogChunk>,
    /// Lines that came in all.
    pub total_lines: u32,
    /// Lines left out.
    pub left_out: u32,
}

//! What a running job says, what may be asked of it meanwhile, and how it ended.

use super::{
    figures::Figures,
    find::HitSeen,
    order::CarriedOver,
    summary::{EntrySeen, JobSummary, SnapshotSeen},
};
use schema::{Class, LogStream, Outcome, Timestamp};

/// Something that happens while a job runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JobEvent {
    /// A log line.
    Log {
        /// Milliseconds after the job's start.
        after_ms: u32,
        /// Who wrote it.
        stream: LogStream,
        /// The text: clean, without secrets, at most [`schema::limits::MAX_LOG_LINE_BYTES`].
        text: String,
    },
    /// How far it is; dropped when the channel is full.
    Progress(JobProgress),
    /// A snapshot of a listing, oldest first.
    Snapshot(SnapshotSeen),
    /// An entry of a folder.
    Entry(EntrySeen),
    /// Something that a search by name has found.
    Hit(HitSeen),
    /// What a download is about is there, and how many bytes the snapshot says it has.
    Begin(Option<u64>),
    /// Bytes of it, as many as the server has let be sent.
    Chunk(Vec<u8>),
    /// All of them were given.
    Whole,
}

/// How far one run of restic is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct JobProgress {
    /// How much is done, in thousandths, at most 1000.
    pub permille: u16,
    /// Number of files done so far.
    pub files_done: u64,
    /// Number of files that restic has found so far.
    pub files_total: u64,
    /// Number of bytes done so far.
    pub bytes_done: u64,
    /// Number of bytes that restic has found so far.
    pub bytes_total: u64,
    /// Of a restore: the bytes that restic has read by now, from the repository mostly. It holds back what it has fetched until
    /// a piece of up to 32 MiB is whole, so this moves first. 0 = not known.
    pub bytes_read: u64,
    /// Files that could not be read so far.
    pub errors: u32,
    /// How long restic thinks it will still take, in seconds.
    pub left_secs: Option<u32>,
    /// The file or step of right now; may be empty.
    pub current: String,
}

/// What may be asked of a running job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Control {
    /// End it cleanly; after 30 seconds it is killed all the same.
    Interrupt,
    /// End it now.
    Kill,
    /// Pieces of a download with a lower number may be sent.
    Credit(u32),
    /// Nobody hears a download any more: end it cleanly.
    Leave,
}

/// How a job ended.
#[derive(Clone, Debug)]
pub struct JobEnd {
    /// How the job ended.
    pub outcome: Outcome,
    /// Why, when it is not plain success.
    pub class: Option<Class>,
    /// What to do, and restic's last lines.
    pub message: String,
    /// restic's exit code; `None` when it did not run or was killed.
    pub exit_code: Option<i32>,
    /// When restic was started for the job itself; `None` when it was not.
    pub started_at: Option<Timestamp>,
    /// When the job ended.
    pub finished_at: Timestamp,
    /// The figures of the job.
    pub summary: JobSummary,
    /// What this job and those before it have found out, for the next job.
    pub known: CarriedOver,
    /// Whether the repository's figures are worth telling.
    pub figures_changed: bool,
}

impl JobEnd {
    /// Of a job on another host's repository: what it has found out says nothing of the agent's own, whose figures these
    /// are.
    pub(crate) fn of_another_host(self, figures: Figures) -> Self {
        let summary = match self.summary {
            JobSummary::HostKey { .. } => JobSummary::None,
            summary => summary,
        };
        Self { known: CarriedOver { figures, ..self.known }, figures_changed: false, summary, ..self }
    }
}

//! The job that runs now, and what it has said that is not sent yet.

use super::{listing::Listed, log::Log};
use crate::{
    reports,
    restic::{Control, EntrySeen, HitSeen, JobEnd, JobEvent, JobProgress, SnapshotSeen},
};
use ring::digest;
use schema::{Epoch, JobId, Progress, limits::MAX_VALUE_BYTES};
use tokio::{
    sync::mpsc,
    task::{JoinError, JoinHandle},
};

/// A job that runs in its task.
#[derive(Debug)]
pub(super) struct RunningJob {
    pub(super) job: JobId,
    pub(super) log: Log,
    pub(super) events: mpsc::Receiver<JobEvent>,
    pub(super) control: mpsc::Sender<Control>,
    pub(super) task: JoinHandle<JobEnd>,
    pub(super) progress: JobProgress,
    pub(super) progress_at: schema::Timestamp,
    pub(super) snapshots: Listed<SnapshotSeen>,
    pub(super) entries: Listed<EntrySeen>,
    pub(super) hits: Listed<HitSeen>,
    /// How many snapshots, entries and hits there was no room for in the journal.
    pub(super) given_up: u32,
    /// What it sends to whoever downloads.
    pub(super) transfer: Option<Transfer>,
    pub(super) is_download: bool,
}

/// What was sent of a download.
pub(super) struct Transfer {
    pub(super) epoch: Epoch,
    /// The number of the next piece.
    pub(super) next: u32,
    pub(super) bytes: u64,
    pub(super) digest: digest::Context,
}

impl std::fmt::Debug for Transfer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Transfer({} bytes)", self.bytes)
    }
}

/// What a running job brings.
#[derive(Debug)]
pub(super) enum JobStep {
    Event(JobEvent),
    Ended(Box<Result<JobEnd, JoinError>>),
}

impl RunningJob {
    /// What happens next; all events come before the end.
    pub(super) async fn step(&mut self) -> JobStep {
        match self.events.recv().await {
            Some(event) => JobStep::Event(event),
            None => JobStep::Ended(Box::new((&mut self.task).await)),
        }
    }

    /// Whether pieces of a listing have been sent.
    pub(super) const fn lists(&self) -> bool {
        self.snapshots.has_begun() || self.entries.has_begun() || self.hits.has_begun()
    }

    /// The newest progress.
    pub(super) fn progress(&self) -> Progress<'_> {
        let seen = &self.progress;
        Progress {
            job: self.job,
            at: self.progress_at,
            permille: seen.permille,
            files_done: seen.files_done,
            files_total: seen.files_total,
            bytes_done: seen.bytes_done,
            bytes_total: seen.bytes_total,
            bytes_read: seen.bytes_read,
            errors: seen.errors,
            left_secs: seen.left_secs,
            current: reports::cut(&seen.current, MAX_VALUE_BYTES),
        }
    }
}

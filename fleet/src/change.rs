//! What follows from a commit: who is told, which outbox is looked at, what memory lets go of.

use crate::budget::Spending;
use schema::command::Over;
use schema::{HostId, IncidentId, JobId};
use serde::Serialize;
use std::collections::BTreeSet;

/// The place of a change among all since the server started, from 1. Prints as the bare number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ChangeSeq(pub u64);

impl std::fmt::Display for ChangeSeq {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

/// Something was committed (or, for `JobLive` and live lines, heard).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Grows by one with each change while the server runs.
    pub seq: ChangeSeq,
    /// The thing that changed.
    pub what: Changed,
}

/// What a commit has changed.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Changed {
    /// A host: its facts, presence, or whether it is there.
    Host(HostId),
    /// A job's stored record.
    Job {
        /// The host of the job.
        host: HostId,
        /// The job that changed.
        job: JobId,
    },
    /// A job's progress, at most once a second.
    JobLive {
        /// The host of the job.
        host: HostId,
        /// The job that made progress.
        job: JobId,
    },
    /// A job's log.
    JobLog {
        /// The host of the job.
        host: HostId,
        /// The job whose log grew or was changed.
        job: JobId,
    },
    /// What is known of a repository.
    Repo(HostId),
    /// The source groups of a host.
    Groups(HostId),
    /// The schedules of a host.
    Schedules(HostId),
    /// The pending runs of a host: due backups that wait.
    Pending(HostId),
    /// The credentials of a host.
    Credentials(HostId),
    /// An incident: it is new, whom it meets, how it stands.
    Incident(IncidentId),
    /// The audit log got another line.
    Audit,
    /// Accounts of people, API tokens or MQTT viewers.
    Accounts,
    /// Channels, routes, or what waits to be told.
    Notices,
    /// What is in break-glass kits.
    Kits,
    /// What other people's tools may find.
    Integrations,
    /// The plan by which a host's agent backs up while the server is away.
    Plan(HostId),
    /// Messages passed while somebody watches them.
    Traffic,
    /// The data file was found damaged: from now on it is only read.
    Damage,
    /// Another server has the place of this one, which stands still from now on.
    Succeeded,
}

/// What follows from a batch once it is committed.
#[derive(Debug, Default)]
pub(crate) struct Effects {
    pub(crate) changes: Vec<Changed>,
    pub(crate) wakes: Vec<HostId>,
    /// Link keys that are no longer what memory has.
    pub(crate) relinked: Vec<HostId>,
    /// Jobs whose live state is not needed any more.
    pub(crate) ended: Vec<JobId>,
    /// (job, line): lines before it are durable now.
    pub(crate) durable_lines: Vec<(JobId, u32)>,
    /// Hosts of which a list may show something else now.
    pub(crate) listed: BTreeSet<HostId>,
    /// Hosts of which something odd was audited.
    pub(crate) noted: Vec<HostId>,
    /// What hosts have spent of their budgets.
    pub(crate) spent: Vec<Spending>,
    /// What was refused to hosts that are over a budget.
    pub(crate) refused: Vec<(HostId, Over)>,
    /// The newest job id that was made.
    pub(crate) last_job: Option<JobId>,
    /// Something else was written than what is noted in passing.
    pub(crate) is_change: bool,
}

/// How long the lists of the [`Effects`] were when an operation began: when it is refused, they are cut back to that.
#[derive(Clone, Copy)]
pub(crate) struct Savepoint(usize, usize, usize, usize, usize, usize, usize, usize);

impl Effects {
    pub(crate) fn changed(&mut self, what: Changed) {
        self.changes.push(what);
    }

    pub(crate) fn wake(&mut self, host: HostId) {
        self.wakes.push(host);
    }

    pub(crate) fn mark(&self) -> Savepoint {
        Savepoint(
            self.changes.len(),
            self.wakes.len(),
            self.relinked.len(),
            self.ended.len(),
            self.durable_lines.len(),
            self.noted.len(),
            self.refused.len(),
            self.spent.len(),
        )
    }

    pub(crate) fn cut_back(&mut self, mark: Savepoint) {
        self.changes.truncate(mark.0);
        self.wakes.truncate(mark.1);
        self.relinked.truncate(mark.2);
        self.ended.truncate(mark.3);
        self.durable_lines.truncate(mark.4);
        self.noted.truncate(mark.5);
        self.refused.truncate(mark.6);
        self.spent.truncate(mark.7);
    }
}

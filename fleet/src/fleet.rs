#![allow(unused_variables, clippy::unused_async, reason = "signatures first; bodies follow")]
use crate::record::*;
use crate::refused::{OpenError, Refused, StoreError};
use crate::request::{By, JobRequest, OperatorChange};
use crate::snapshot::Snapshot;
use schema::{HostId, JobId, Slot, Timestamp, TokenId};
use std::{path::Path, sync::Arc};
use tokio::sync::broadcast;

/// What the outside gives: the clock and the dice.
#[derive(Clone)]
pub struct Driver {
    /// The wall clock.
    pub now: Arc<dyn Fn() -> Timestamp + Send + Sync>,
    /// Fills a buffer from a cryptographic random source.
    pub random: Arc<dyn Fn(&mut [u8]) + Send + Sync>,
}

/// What tokens and codes need to know of the server.
#[derive(Clone, Debug)]
pub struct Settings {
    /// `host:port` that agents dial.
    pub mqtt_address: String,
    /// SHA-256 of the certificate of the server's own authority.
    pub ca_fingerprint: [u8; 32],
}

/// Something was committed (or, for `JobLive` and live lines, heard).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Grows by one with each change while the server runs.
    pub seq: u64,
    /// What.
    pub what: Changed,
}

/// What changed.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Changed {
    /// A host: its facts, presence, or whether it is there.
    Host(HostId),
    /// A job's record.
    Job {
        /// Where.
        host: HostId,
        /// Which.
        job: JobId,
    },
    /// A job's progress, at most once a second.
    JobLive {
        /// Where.
        host: HostId,
        /// Which.
        job: JobId,
    },
    /// A job's log.
    JobLog {
        /// Where.
        host: HostId,
        /// Which.
        job: JobId,
    },
    /// What is known of a repository.
    Repo(HostId),
    /// Source groups.
    Groups(HostId),
    /// Credentials.
    Credentials(HostId),
    /// The audit.
    Audit,
    /// Operators, tokens, viewers.
    Accounts,
}

/// A fresh enrolment token: the record, and the text to copy that is shown once.
#[derive(Clone, Debug)]
pub struct NewEnrollToken {
    /// What may be seen later.
    pub token: EnrollToken,
    /// `hf1.…`
    pub text: Secret,
}

/// What ingest does after a message.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Handled {
    /// To send on the host's `cmd` at once.
    pub reply: Option<Vec<u8>>,
    /// The outbox grew or was rewound: look at it from number 0.
    pub wake: bool,
}

/// The one door. Cheap to clone.
#[derive(Clone)]
pub struct Fleet;

fn later<T>() -> Result<T, Refused> {
    Err(Refused::Store(StoreError::Closed))
}

impl Fleet {
    /// Opens the data folder.
    pub fn open(data_dir: &Path, settings: Settings, driver: Driver) -> Result<Self, OpenError> {
        Err(StoreError::Closed.into())
    }
    /// The same with the master key elsewhere (a systemd credential).
    pub fn open_with_key(
        data_dir: &Path,
        key_file: &Path,
        settings: Settings,
        driver: Driver,
    ) -> Result<Self, OpenError> {
        Err(StoreError::Closed.into())
    }
    /// A fleet that is gone with the process.
    pub fn in_memory(settings: Settings, driver: Driver) -> Result<Self, OpenError> {
        Err(StoreError::Closed.into())
    }
    /// The driver's clock.
    pub fn now(&self) -> Timestamp {
        Timestamp(0)
    }
    /// One consistent snapshot.
    pub fn read(&self) -> Result<Snapshot, StoreError> {
        Err(StoreError::Closed)
    }
    /// What changes from now on. Who lags (`RecvError::Lagged`) reads anew what it shows.
    pub fn changes(&self) -> broadcast::Receiver<Change> {
        broadcast::channel(1).1
    }
    /// Hosts whose outbox got something. Who lags looks at all outboxes.
    pub fn wakes(&self) -> broadcast::Receiver<HostId> {
        broadcast::channel(1).1
    }
    /// How far a job is.
    pub fn progress(&self, job: JobId) -> Option<JobProgress> {
        None
    }
    /// Lines that came live and are not durable yet.
    pub fn live_log(&self, job: JobId) -> Vec<LogChunk> {
        Vec::new()
    }
    /// Ends the writer when all that was asked before is committed.
    pub async fn shutdown(&self) {}

    pub async fn create_host(
        &self,
        name: &str,
        labels: Vec<String>,
        by: By,
    ) -> Result<(Host, NewEnrollToken), Refused> {
        later()
    }
    pub async fn update_host(
        &self,
        host: HostId,
        name: Option<String>,
        labels: Option<Vec<String>>,
        by: By,
    ) -> Result<Host, Refused> {
        later()
    }
    pub async fn delete_host(&self, host: HostId, by: By) -> Result<(), Refused> {
        later()
    }
    pub async fn new_enroll_token(&self, host: HostId, by: By) -> Result<NewEnrollToken, Refused> {
        later()
    }
    pub async fn put_credentials(
        &self,
        host: HostId,
        slot: Slot,
        input: CredentialsInput,
        by: By,
    ) -> Result<CredentialsFacts, Refused> {
        later()
    }
    pub async fn delete_credentials(&self, host: HostId, slot: Slot, by: By) -> Result<(), Refused> {
        later()
    }
    pub async fn put_group(
        &self,
        host: HostId,
        old_name: Option<&str>,
        group: Group,
        by: By,
    ) -> Result<Group, Refused> {
        later()
    }
    pub async fn delete_group(&self, host: HostId, name: &str, by: By) -> Result<(), Refused> {
        later()
    }
    pub async fn dispatch(&self, host: HostId, request: JobRequest, by: By) -> Result<Job, Refused> {
        later()
    }
    pub async fn cancel(&self, job: JobId, by: By) -> Result<Job, Refused> {
        later()
    }
    pub async fn setup_code(&self) -> Result<Option<Secret>, StoreError> {
        Err(StoreError::Closed)
    }
    pub async fn set_up(
        &self,
        code: &str,
        name: &str,
        password_hash: String,
        by: By,
    ) -> Result<Operator, Refused> {
        later()
    }
    pub async fn create_operator(
        &self,
        name: &str,
        role: Role,
        password_hash: String,
        by: By,
    ) -> Result<Operator, Refused> {
        later()
    }
    pub async fn update_operator(
        &self,
        name: &str,
        change: OperatorChange,
        by: By,
    ) -> Result<Operator, Refused> {
        later()
    }
    pub async fn delete_operator(&self, name: &str, by: By) -> Result<(), Refused> {
        later()
    }
    pub async fn open_session(&self, operator: &str, peer: &str) -> Result<(Secret, Session), Refused> {
        later()
    }
    pub async fn touch_session(&self, cookie: &str) {}
    pub async fn close_session(&self, cookie: &str) {}
    pub async fn create_api_token(
        &self,
        name: &str,
        role: Role,
        by: By,
    ) -> Result<(ApiToken, Secret), Refused> {
        later()
    }
    pub async fn touch_api_token(&self, secret: &str) {}
    pub async fn delete_api_token(&self, id: &str, by: By) -> Result<(), Refused> {
        later()
    }
    pub async fn create_viewer(&self, name: &str, debug: bool, by: By) -> Result<(Viewer, Secret), Refused> {
        later()
    }
    pub async fn delete_viewer(&self, name: &str, by: By) -> Result<(), Refused> {
        later()
    }
    pub async fn audit(&self, entry: AuditEntry) {}

    pub fn login_host(&self, id: HostId, password: &str) -> bool {
        false
    }
    pub fn login_enroll(&self, token: TokenId, password: &str) -> bool {
        false
    }
    pub fn login_viewer(&self, name: &str, password: &str) -> Option<Viewer> {
        None
    }
    pub async fn enroll(&self, token: TokenId, payload: &[u8], peer: &str) -> Vec<u8> {
        Vec::new()
    }
    pub async fn handle_report(&self, host: HostId, payload: &[u8], peer: &str) -> Handled {
        Handled::default()
    }
    pub async fn handle_presence(&self, host: HostId, payload: &[u8], peer: &str) -> Handled {
        Handled::default()
    }
    pub async fn handle_stats(&self, host: HostId, payload: &[u8]) -> Handled {
        Handled::default()
    }
    pub fn handle_live(&self, host: HostId, payload: &[u8]) {}
    pub fn commands_after(&self, host: HostId, after_seq: u64, max: usize) -> Vec<(u64, Vec<u8>)> {
        Vec::new()
    }
    pub async fn command_sent(&self, host: HostId, through: u64) {}
    pub async fn command_delivered(&self, host: HostId, seq: u64) {}
    pub fn plan(&self, host: HostId) -> Option<Vec<u8>> {
        None
    }
    pub async fn sweep(&self) {}
}

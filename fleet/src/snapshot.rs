#![allow(unused_variables, reason = "signatures first; bodies follow")]
use crate::record::*;
use crate::refused::{Refused, StoreError};
use crate::request::JobRequest;
use crate::view::*;
use schema::{HostId, JobId, JobKind, Slot, Timestamp};

/// One consistent state of the fleet. Everything is read from the same commit.
pub struct Snapshot;

fn later<T>() -> Result<T, StoreError> {
    Err(StoreError::Closed)
}

impl Snapshot {
    /// Hosts, worst first, then by name.
    pub fn fleet(&self, filter: &HostFilter) -> Result<Vec<HostRow>, StoreError> {
        later()
    }
    pub fn fleet_counts(&self) -> Result<FleetCounts, StoreError> {
        later()
    }
    pub fn host(&self, id: HostId) -> Result<Option<Host>, StoreError> {
        later()
    }
    pub fn host_by_name(&self, name: &str) -> Result<Option<Host>, StoreError> {
        later()
    }
    pub fn host_row(&self, id: HostId) -> Result<Option<HostRow>, StoreError> {
        later()
    }
    pub fn presence(&self, host: HostId) -> Result<Presence, StoreError> {
        later()
    }
    pub fn groups(&self, host: HostId) -> Result<Vec<Group>, StoreError> {
        later()
    }
    pub fn group(&self, host: HostId, name: &str) -> Result<Option<Group>, StoreError> {
        later()
    }
    pub fn credentials(&self, host: HostId, slot: Slot) -> Result<Option<CredentialsFacts>, StoreError> {
        later()
    }
    pub fn repo(&self, host: HostId) -> Result<RepoState, StoreError> {
        later()
    }
    pub fn repo_history(&self, host: HostId) -> Result<Vec<RepoPoint>, StoreError> {
        later()
    }
    pub fn snapshots(&self, host: HostId) -> Result<Option<(Timestamp, Vec<SnapshotRow>)>, StoreError> {
        later()
    }
    pub fn job(&self, id: JobId) -> Result<Option<Job>, StoreError> {
        later()
    }
    pub fn jobs(&self, filter: &JobFilter, page: &Page) -> Result<Paged<Job>, StoreError> {
        later()
    }
    pub fn open_jobs(&self, host: HostId) -> Result<Vec<Job>, StoreError> {
        later()
    }
    pub fn latest_job(&self, host: HostId, kind: JobKind) -> Result<Option<Job>, StoreError> {
        later()
    }
    pub fn last_good_backup(&self, host: HostId, group: Option<&str>) -> Result<Option<Job>, StoreError> {
        later()
    }
    pub fn job_log(&self, job: JobId) -> Result<LogText, StoreError> {
        later()
    }
    pub fn enroll_token(&self, host: HostId) -> Result<Option<EnrollToken>, StoreError> {
        later()
    }
    pub fn audit(&self, filter: &AuditFilter, page: &Page) -> Result<Paged<AuditEntry>, StoreError> {
        later()
    }
    pub fn operators(&self) -> Result<Vec<Operator>, StoreError> {
        later()
    }
    pub fn operator(&self, name: &str) -> Result<Option<Operator>, StoreError> {
        later()
    }
    pub fn session(&self, cookie: &str) -> Result<Option<(Session, Operator)>, StoreError> {
        later()
    }
    pub fn api_tokens(&self) -> Result<Vec<ApiToken>, StoreError> {
        later()
    }
    pub fn api_token(&self, secret: &str) -> Result<Option<ApiToken>, StoreError> {
        later()
    }
    pub fn viewers(&self) -> Result<Vec<Viewer>, StoreError> {
        later()
    }
    /// Why a request would be refused right now; `None` = it would be carried out.
    pub fn blocked(&self, host: HostId, request: &JobRequest) -> Result<Option<Refused>, StoreError> {
        later()
    }
    pub fn storage_bytes(&self) -> u64 {
        0
    }
}

//! Stored rows, in the words of the domain. They are not wire types and not views.

mod account;
mod audit;
mod credentials;
mod folder;
mod group;
mod host;
mod job;
mod maintenance;
mod pending;
mod repo;
mod schedule;
mod soundness;

pub use account::{ApiToken, Operator, Role, Scope, Scopes, Session, TryCount, Viewer};
pub use audit::{Actor, AuditEntry, AuditTarget};
pub use credentials::{CredentialsFacts, CredentialsInput, Secret, SlotState};
pub use folder::{EntryCursor, EntryRow, Folder, FolderPlace};
pub use group::{Group, Origin, Retention};
pub use host::{Acked, EnrollToken, Host, HostFacts, Machine, Presence, Quarantine, Twin, WireProblem};
pub use job::{
    BackupFigures, EndedBy, ForgetFigures, Job, JobFigures, JobProgress, JobState, JobWhat, LogChunk,
    LogText, Occurrence, ProbeFigures, SourceFinding,
};
pub use maintenance::{Every, Maintenance, MaintenanceInput, Rule, RuleInput, Window};
pub use pending::{GivenUp, PendingRun, TryError};
pub use repo::{
    CheckSeen, Confirmed, Dated, Listed, LockHolder, LockView, PruneSeen, Replaced, RepoPoint, RepoState,
    Sharer, SizeSeen, SnapshotRow, SnapshotsSeen, Stated, Tested, Told, ToldLock, WhyShared,
};
pub use schedule::Schedule;
pub use soundness::{Accepted, Extent, Flawed, Hold, Lack, Loss, Newest, Past, Soundness, Whole};

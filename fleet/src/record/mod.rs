//! Stored rows, in the words of the domain. They are not wire types and not views.

mod access;
mod account;
mod archive;
mod audit;
mod audit_action;
mod credentials;
mod download;
mod drill;
mod feed;
mod find;
mod folder;
mod grace;
mod group;
mod host;
mod incident;
mod job;
mod kit;
mod last_run;
mod listing;
mod log;
mod maintenance;
pub(crate) mod meta;
mod notice;
mod pending;
mod repo;
mod report;
mod restore;
mod schedule;
mod soundness;
mod standby;
mod summary;
mod usage;

pub(crate) use access::{Arrivals, CameBy};
pub use access::{Fingerprint, GivenAddress, TrustedAuthority};
pub use account::{ApiToken, Operator, Role, Scope, Scopes, Session, TryCount, Viewer};
pub(crate) use archive::{ArchiveKeyRow, ClosedBy};
pub use audit::{Actor, AuditEntry, AuditTarget};
pub use audit_action::AuditAction;
pub use credentials::{CredentialsFacts, CredentialsInput, Secret, SlotState};
pub(crate) use credentials::{CredentialsRow, Place};
pub use download::DownloadForm;
pub(crate) use drill::GroupProof;
pub use drill::{DrillCuts, DrillFigures, DrillFinding, DrillPlan, Proof, ProofFailure, RestoreRate};
pub(crate) use feed::FeedRow;
pub use feed::{Feed, FeedKind, FeedOf};
pub use find::{ChangeRow, DiffFigures, Differences, FindPlan, Found, FoundPath, FoundVersion};
pub(crate) use find::{FindKey, FoundPage, FoundRow, FoundSeen};
pub use folder::{EntryCursor, EntryRow, Folder, FolderPlace};
pub(crate) use folder::{EntryPage, FolderSeen};
pub use grace::Grace;
pub use group::{Group, Origin, Retention};
pub use host::{
    Acked, AgentAbilities, BackupsHeld, EnrollToken, Host, HostFacts, Machine, Presence, Quarantine,
    Superseded, TokenMachine, Twin, WireProblem,
};
pub(crate) use host::{TOKEN_LIVES_MS, TokenRow};
pub(crate) use incident::LONGEST_REST_MS;
pub use incident::{Cause, Ending, Incident, IncidentAck, Left, Met, Noted, Severity, Subject, Worsened};
pub use job::{
    AgentGone, BackupFigures, EndedBy, ForgetFigures, Job, JobFigures, JobProgress, JobState, JobWhat,
    LogChunk, LogText, Occurrence, ProbeFigures, SourceFinding,
};
pub(crate) use kit::InKit;
pub(crate) use last_run::LastRuns;
pub use last_run::{GroupDrill, LastRun, Latest};
pub(crate) use listing::{Listing, ListingState, SnapshotPage};
pub(crate) use log::LogState;
pub use maintenance::{Every, Maintenance, MaintenanceInput, Rule, RuleInput, Window};
pub use meta::Restoration;
pub use notice::{
    BodyTemplate, Channel, ChannelFlags, ChannelId, ChannelSecrets, Email, Event, Healthchecks, Heartbeat,
    LostMessage, MailSecurity, MessageId, Notice, QuietHours, Route, RouteState, Script, SendCounts,
    SendError, SendFault, Signal, Watched, Webhook, WebhookForm,
};
pub(crate) use notice::{ChannelRow, ChannelState, Sending, WaitingNotice, WaitingPing};
pub use pending::{GivenUp, PendingRun, TryError};
pub use repo::{
    CheckSeen, Confirmed, Dated, Listed, LockHolder, LockView, PruneSeen, Replaced, RepoPoint, RepoState,
    Sharer, SizeSeen, SnapshotRow, SnapshotsSeen, Stated, Tested, Told, ToldLock, WhyShared,
};
pub use report::{
    CauseCount, EndCounts, First, FleetDay, LargeRepo, Period, ReportEvery, ReportPlan, SlowRun, StorageRate,
    StorageSeen, VersionCount,
};
pub(crate) use report::{ReportRow, WaitingReport};
pub use restore::{RestoreFailure, RestoreFigures, RestorePlan, RestoreTarget};
pub use schedule::Schedule;
pub(crate) use schedule::ScheduleRow;
pub(crate) use soundness::named_by;
pub use soundness::{
    Accepted, Baseline, Churn, Extent, Flawed, Hold, Lack, Loss, Newest, Past, Soundness, Unusual,
    UnusualBackup, UnusualBackups, Whole,
};
pub(crate) use standby::StandbyRow;
pub use standby::{Predecessor, Succession};
pub use summary::Ended;
pub use summary::Unplanned;
pub(crate) use summary::{GroupSummary, Summary, UNREADABLE_SCHEDULES};
pub use usage::Usage;

//! What incidents are made of: how each host and the server stand, from the one judgement that pages, API, metrics and
//! topics show.

use super::grace;
use crate::record::{Cause, Grace, Severity, Subject};
use crate::view::{HostStanding, Status};
use schema::{Class, HostId, Timestamp};
use std::sync::Arc;

/// A host, as far as incidents go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct HostSeen {
    pub(crate) host: HostId,
    pub(crate) storage: Option<Arc<str>>,
    pub(crate) condition: Condition,
    /// How long its labels let it have what it has before that is an incident, in milliseconds; 0 = as long as others.
    pub(crate) grace_ms: u64,
}

/// How a host stands, as far as incidents go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Condition {
    /// It needs nobody.
    Well,
    /// A job runs, and what was before it is not known to be over.
    Busy,
    /// It needs somebody.
    Needs(Need),
}

/// Why a host or the server needs somebody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Need {
    pub(crate) cause: Cause,
    pub(crate) severity: Severity,
    /// Since when, as far as is known.
    pub(crate) since: Timestamp,
    /// Somebody has acknowledged how this very host stands.
    pub(crate) is_acked: bool,
}

/// Something of the server itself that needs somebody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ServerNeed {
    /// What it is: one of the causes of the server.
    pub cause: Cause,
    /// How bad it is.
    pub severity: Severity,
}

/// The same, and of what: of the server itself, or of a channel of notices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct OwnNeed {
    pub(crate) subject: Subject,
    pub(crate) cause: Cause,
    pub(crate) severity: Severity,
    /// Since when; `None` = since it is seen.
    pub(crate) since: Option<Timestamp>,
}

impl From<ServerNeed> for OwnNeed {
    fn from(need: ServerNeed) -> Self {
        let ServerNeed { cause, severity } = need;
        Self { subject: Subject::Server, cause, severity, since: None }
    }
}

/// How a host stands.
pub(crate) fn of_host(standing: &HostStanding, graces: &[Grace]) -> HostSeen {
    let condition = condition(standing);
    let grace_ms = match condition {
        Condition::Needs(need) => grace::longer_ms(graces, &standing.host.labels, need.cause),
        Condition::Well | Condition::Busy => 0,
    };
    HostSeen { host: standing.host.id, storage: standing.storage.clone(), condition, grace_ms }
}

fn condition(standing: &HostStanding) -> Condition {
    let severity = match standing.status {
        Status::Ok => return Condition::Well,
        Status::Running => return Condition::Busy,
        Status::Failed | Status::Offline | Status::Missed | Status::Stale => Severity::Critical,
        Status::Warning | Status::CheckOverdue | Status::New | Status::Unproven => Severity::Warning,
    };
    let Some(cause) = standing.cause() else { return Condition::Well };
    let ended_at = standing.from.map(|from| from.at);
    let since = standing.reason.since().or(ended_at).or(standing.last_good_at);
    Condition::Needs(Need {
        cause,
        severity,
        since: since.unwrap_or(standing.host.created_at),
        is_acked: standing.acked.is_some(),
    })
}

/// Who has one cause in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum InCommon {
    /// Who is on the same storage; where that is not known, who got it at about the same time.
    Storage,
    /// Who got it at about the same time: what met one of them probably met the others.
    Time,
    /// Whoever has it: it comes slowly, and what was saved is safe.
    Cause,
}

/// Who has this cause in common.
pub(super) const fn in_common(cause: Cause) -> InCommon {
    match cause {
        Cause::Damaged | Cause::Replaced => InCommon::Storage,
        Cause::Failed { class: Some(class), .. }
        | Cause::Lacking { class: Some(class) }
        | Cause::CredentialsRefused { class }
            if is_of_storage(class) =>
        {
            InCommon::Storage
        }
        Cause::NotEnrolled
        | Cause::NoRepository
        | Cause::NoGroup
        | Cause::Never
        | Cause::CheckOverdue
        | Cause::Held { .. }
        | Cause::Clock { .. }
        | Cause::Unproven
        | Cause::NoSchedule
        | Cause::Certificate
        | Cause::ServerDisk
        | Cause::ArchiveLate
        | Cause::StandbyLate
        | Cause::Channel => InCommon::Cause,
        _ => InCommon::Time,
    }
}

/// Whether it is probably the storage.
const fn is_of_storage(class: Class) -> bool {
    match class {
        Class::RepoLocked
        | Class::Auth
        | Class::RepoMissing
        | Class::AppendOnly
        | Class::Network
        | Class::DiskFull
        | Class::Timeout
        | Class::Damaged
        | Class::UnknownAuthority
        | Class::WrongName
        | Class::CertificateExpired
        | Class::NoTls
        | Class::NeedsTls
        | Class::UnknownHostKey
        | Class::HostKeyChanged => true,
        Class::SourceMissing
        | Class::SourceUnreadable
        | Class::ResticMissing
        | Class::Cancelled
        | Class::Hook
        | Class::RepoExists
        | Class::Policy
        | Class::NoCredentials
        | Class::AgentRestarted
        | Class::Other
        | Class::SourceEmpty
        | Class::NotTried
        | Class::OtherRepo
        | Class::NotNow
        | Class::InvalidPattern
        | Class::NotInSnapshot
        | Class::NotDownloadable
        | Class::ProofFailed => false,
    }
}

use super::audit_action::AuditAction;
use schema::{HostId, IncidentId, JobId, Timestamp};
use serde::{Deserialize, Serialize};

/// Who caused something.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Actor {
    /// A person, by account name.
    Operator(String),
    /// An API token, by name.
    Token(String),
    /// A schedule, by name.
    Schedule(String),
    /// The server itself (maintenance, start, command line).
    #[default]
    System,
    /// An agent, by itself or by its messages.
    Agent,
    /// Whoever has a message with a link that acknowledges, by the name of the channel that it went by.
    Link(String),
}

impl Actor {
    /// The stable word for the sort of actor: `actor_kind` (also `created_by_kind`, `updated_by_kind`) in the
    /// API.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Operator(_) => "operator",
            Self::Token(_) => "token",
            Self::Schedule(_) => "schedule",
            Self::System => "system",
            Self::Agent => "agent",
            Self::Link(_) => "link",
        }
    }

    /// Its name, where it has one.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Operator(name) | Self::Token(name) | Self::Schedule(name) | Self::Link(name) => name,
            Self::System => "system",
            Self::Agent => "agent",
        }
    }
}

/// What was acted on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum AuditTarget {
    /// The server as a whole.
    Server,
    /// A host, and its name at the time.
    Host(HostId, String),
    /// A job of a host.
    Job(HostId, JobId),
    /// An account of any sort, by name.
    Account(String),
    /// An incident.
    Incident(IncidentId),
}

/// Who did what to what, when, from where. Never a secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditEntry {
    /// When it happened.
    pub at: Timestamp,
    /// Who did it.
    pub actor: Actor,
    /// What: a dotted word such as `host.created`, `credentials.set`, `mqtt.refused`.
    pub action: AuditAction,
    /// What it was done to.
    pub target: AuditTarget,
    /// From which address; empty = from the server itself.
    pub peer: String,
    /// Details in words for people; may be empty.
    pub detail: String,
}

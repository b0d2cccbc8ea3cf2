use crate::record::JobState;
use schema::{HostId, JobKind, Timestamp};

/// A part of a long list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// At most so many items, 1 to 500.
    pub limit: usize,
    /// Where the last part ended; `None` = from the start.
    pub cursor: Option<String>,
}

impl Default for Page {
    fn default() -> Self {
        Self { limit: 50, cursor: None }
    }
}

/// One part of a long list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Paged<T> {
    /// The items; may be fewer than asked for although there are more.
    pub items: Vec<T>,
    /// Where to go on; `None` = this was the last part.
    pub next: Option<String>,
}

/// Which jobs; `None` = any.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct JobFilter {
    /// Only jobs of this host.
    pub host: Option<HostId>,
    /// Only jobs of this kind.
    pub kind: Option<JobKind>,
    /// Only jobs in this state.
    pub state: Option<JobState>,
    /// Made at or after this instant.
    pub since: Option<Timestamp>,
    /// Those too whose only purpose is to show something, of all kinds.
    pub looks: bool,
}

/// Which audit entries: parts of the words, in any case.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AuditFilter {
    /// Text that the actor's name or kind contains.
    pub actor: Option<String>,
    /// Text that the action's code contains.
    pub action: Option<String>,
    /// Text that the target's id or name contains.
    pub target: Option<String>,
}

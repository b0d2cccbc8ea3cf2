//! Incidents, as they are shown.

use super::host_row::HostRow;
use crate::record::{Incident, Left};
use schema::{HostId, Timestamp};
use std::collections::BTreeMap;

/// How far an incident is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IncidentState {
    /// It is in its grace: it may be over before it is one.
    Noticed,
    /// It lasts.
    Open,
    /// Nobody has its cause any more.
    Ended,
}

impl IncidentState {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Noticed, Self::Open, Self::Ended];

    /// How far this one is.
    #[must_use]
    pub const fn of(incident: &Incident) -> Self {
        match (incident.ended, incident.opened_at) {
            (_, None) => Self::Noticed,
            (None, Some(_)) => Self::Open,
            (Some(_), Some(_)) => Self::Ended,
        }
    }

    /// Its word in the API.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Noticed => "noticed",
            Self::Open => "open",
            Self::Ended => "ended",
        }
    }

    /// The state of this word.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == word)
    }
}

/// An incident and whom it meets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IncidentView {
    /// The incident itself, as stored.
    pub incident: Incident,
    /// How many have its cause now; the server itself counts as one.
    pub count: u32,
    /// How many of them wait for a good backup: what their last one failed of is mended.
    pub mended: u32,
    /// Hosts that it meets, those that have the cause now first, then those that had it; those that were deleted are not
    /// there.
    pub hosts: Vec<MetHost>,
    /// How many more hosts there are.
    pub hosts_left_out: u32,
    /// Channels of notices that it meets, those that fail now first, then those that failed; those that were deleted are
    /// not there.
    pub channels: Vec<MetChannel>,
}

/// A channel of notices that an incident meets, or met.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MetChannel {
    /// What it is called.
    pub name: String,
    /// Since when it fails.
    pub since: Timestamp,
    /// When it did so no more; `None` = it still does.
    pub left_at: Option<Timestamp>,
}

/// A host that an incident meets, or met.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MetHost {
    /// Which host.
    pub host: HostId,
    /// What it is called now.
    pub name: String,
    /// Since when it has the cause.
    pub since: Timestamp,
    /// When what its last backup failed of was seen to be mended; it has the cause until a good backup shows it.
    pub mended_at: Option<Timestamp>,
    /// When it had it no more, and why; `None` = it still has it.
    pub left: Option<(Timestamp, Left)>,
}

/// The hosts that need somebody, by what they have in common.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CauseGroups {
    /// Each of them.
    pub all: Vec<CauseGroup>,
    /// The place there of the group of each host.
    pub of_host: BTreeMap<HostId, usize>,
}

impl CauseGroups {
    /// The group of a host; `None` = it needs nobody.
    #[must_use]
    pub fn of(&self, host: HostId) -> Option<&CauseGroup> {
        self.of_host.get(&host).and_then(|at| self.all.get(*at))
    }

    /// Whether a host needs somebody, and nobody has acknowledged that: neither how it stands nor its incident.
    #[must_use]
    pub fn in_need(&self, row: &HostRow) -> bool {
        row.needs_attention() && self.of(row.host.id).is_none_or(|group| group.incident.ack.is_none())
    }
}

/// Hosts that need somebody for the same cause.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CauseGroup {
    /// The incident, as it stands now; before it is written down, as it will be.
    pub incident: Incident,
    /// It is written down, so that it has an id and a page.
    pub is_stored: bool,
    /// It is of those on one storage, or on none that is known; else the storage says nothing.
    pub is_by_storage: bool,
    /// Who has the cause.
    pub hosts: Vec<HostId>,
}

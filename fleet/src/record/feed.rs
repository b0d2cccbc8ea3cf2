use super::Actor;
use schema::{HostId, Timestamp};
use serde::{Deserialize, Serialize};

/// What a feed is read by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum FeedKind {
    /// Status pages: JSON.
    Status,
    /// An image on another page: SVG.
    Badge,
    /// Calendars: what is due.
    Calendar,
}

impl FeedKind {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Status, Self::Badge, Self::Calendar];

    /// Its word in the API.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Status => "status",
            Self::Badge => "badge",
            Self::Calendar => "calendar",
        }
    }

    /// What the file is called at the end of its address.
    #[must_use]
    pub const fn file(self) -> &'static str {
        match self {
            Self::Status => "status.json",
            Self::Badge => "badge.svg",
            Self::Calendar => "calendar.ics",
        }
    }
}

/// Of which hosts a feed tells.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum FeedOf {
    /// All.
    Fleet,
    /// Those with this label.
    Label(String),
    /// This one.
    Host(HostId),
}

/// An address by which others read a little of the fleet without an account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Feed {
    /// What it is called here; not part of its address.
    pub name: String,
    /// What it is read by.
    pub kind: FeedKind,
    /// Of which hosts it tells.
    pub of: FeedOf,
    /// Whether it names hosts.
    pub names: bool,
    /// When it was made.
    pub created_at: Timestamp,
    /// Who made it.
    pub created_by: Actor,
}

/// A feed as it is stored: whoever reads that does not know its address.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct FeedRow {
    pub(crate) feed: Feed,
    /// SHA-256 of the key in its address.
    pub(crate) key_sha256: [u8; 32],
}

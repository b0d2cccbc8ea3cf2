use super::{
    ArchiveKeyRow, FeedRow, GivenAddress, Grace, Predecessor, StandbyRow, Succession, TrustedAuthority,
};
use schema::{Incarnation, Timestamp};
use serde::{Deserialize, Serialize};

/// A single value of the file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Meta {
    Format(u32),
    /// Sealed with the master key, to see at the start whether the key fits.
    KeyCheck(Vec<u8>),
    /// The next number of the audit.
    NextAudit(u64),
    /// How many entries of the audit each share holds.
    AuditCounts([u64; 3]),
    /// SHA-256 of the present authority, which enrolled agents trust.
    Authority([u8; 32]),
    /// Which incarnation the server is.
    Incarnation(Incarnation),
    /// For whom archives of the server are encrypted.
    ArchiveKey(ArchiveKeyRow),
    /// The last restore of the server.
    Restoration(Restoration),
    /// The addresses by which agents reach this server, in order.
    Addresses(Vec<GivenAddress>),
    /// The authorities that agents are told to trust: the present one, and the next when there is one.
    Trusted(Vec<TrustedAuthority>),
    /// The standbys of this server.
    Standbys(Vec<StandbyRow>),
    /// The server of which this one was the standby.
    Predecessor(Predecessor),
    /// Another server has the place of this one.
    Succeeded(Succession),
    /// What was lost at each restore, oldest first.
    Lost(Vec<LostSpan>),
    /// Whether Home Assistant finds the hosts.
    HomeAssistant(bool),
    /// Addresses by which others read a little of the fleet.
    Feeds(Vec<FeedRow>),
    /// Labels whose hosts may have some causes for longer before that is an incident.
    Graces(Vec<Grace>),
}

/// Of which time the server knows nothing, for it was made of what was known before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LostSpan {
    /// What was known until then.
    pub(crate) known_until: Timestamp,
    /// When the server began anew.
    pub(crate) restored_at: Timestamp,
    /// It was made of what could be read of a damaged data file, not of an archive.
    pub(crate) is_salvage: bool,
}

/// A restore of the server from an archive.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Restoration {
    /// What the server is since.
    pub incarnation: Incarnation,
    /// When the archive was made: what came later, this server has not heard.
    pub archive_made_at: Timestamp,
    /// When it was restored.
    pub restored_at: Timestamp,
    /// Somebody has seen enough of it.
    pub dismissed: bool,
}

pub(crate) const META_FORMAT: &str = "format";
pub(crate) const META_KEY_CHECK: &str = "key_check";
pub(crate) const META_AUDIT_COUNTS: &str = "audit_counts";
pub(crate) const META_NEXT_AUDIT: &str = "next_audit";
pub(crate) const META_AUTHORITY: &str = "authority";
pub(crate) const META_TRUSTED: &str = "trusted";
pub(crate) const META_INCARNATION: &str = "incarnation";
pub(crate) const META_RESTORATION: &str = "restoration";
pub(crate) const META_FEEDS: &str = "feeds";
pub(crate) const META_GRACES: &str = "graces";
pub(crate) const META_HOME_ASSISTANT: &str = "home_assistant";
pub(crate) const META_LOST: &str = "lost";
pub(crate) const META_ADDRESSES: &str = "addresses";
pub(crate) const META_ARCHIVE_KEY: &str = "archive_key";
pub(crate) const META_STANDBYS: &str = "standbys";
pub(crate) const META_PREDECESSOR: &str = "predecessor";
pub(crate) const META_SUCCEEDED: &str = "succeeded";

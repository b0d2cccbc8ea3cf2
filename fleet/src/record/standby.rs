use schema::{Incarnation, Timestamp};
use serde::{Deserialize, Serialize};

/// A standby: another program that keeps archives of this server, to take its place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct StandbyRow {
    /// What it is called.
    pub(crate) name: String,
    /// For whom its archives are encrypted: an `age` recipient.
    pub(crate) recipient: String,
    /// SHA-256 of the token with which it asks.
    pub(crate) token_sha256: [u8; 32],
    /// When it was added.
    pub(crate) added_at: Timestamp,
    /// When an archive was sent to it last.
    pub(crate) fetched_at: Option<Timestamp>,
    /// How long that was.
    pub(crate) bytes: u64,
    /// From which address it asked for that.
    pub(crate) peer: String,
}

/// The server of which a promoted one was the standby: it is told when it comes back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Predecessor {
    /// Where its pages were.
    pub url: String,
    /// The authority (PEM) of its certificate; `None` = one that the machine trusts.
    pub authority: Option<String>,
    /// Whether it may be asked without TLS when it is another machine.
    pub plain: bool,
}

/// Another server was made of this one and has taken its place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Succession {
    /// Which incarnation it is.
    pub incarnation: Incarnation,
    /// Since when.
    pub since: Timestamp,
    /// Where its pages are.
    pub url: String,
}

use schema::Timestamp;
use serde::{Deserialize, Serialize};

/// SHA-256 of a certificate.
pub type Fingerprint = [u8; 32];

/// An authority of this server that agents are told to trust.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrustedAuthority {
    /// Its certificate, DER.
    pub certificate: Vec<u8>,
    /// Since when they are told so.
    pub since: Timestamp,
}

/// One of the addresses by which agents reach this server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GivenAddress {
    /// See [`schema::address`].
    pub address: String,
    /// Since when the settings do not name it any more, and it is given only until nobody needs it; `None` = they do.
    pub retiring_since: Option<Timestamp>,
}

/// How a host has reached this server since it was enrolled.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Arrivals {
    /// The addresses by which it came, the last one first; see [`crate::addresses`].
    pub(crate) came_by: Vec<CameBy>,
    /// The authorities that its agent has said it trusts.
    pub(crate) trusts: Vec<Fingerprint>,
}

/// An address by which a host has said hello.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct CameBy {
    /// As its agent says.
    pub(crate) address: String,
    /// When it did so last.
    pub(crate) at: Timestamp,
}

//! How agents reach this server.

use crate::format::rfc3339;
use data_encoding::HEXLOWER;
use fleet::record::Secret;
use fleet::{AddressUse, AuthorityUse, Dependent};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

#[derive(Serialize, ToSchema)]
#[schema(as = AgentAccess)]
pub(crate) struct AgentAccessOut {
    /// The addresses that agents are given, in the order in which they are tried.
    addresses: Vec<AddressOut>,
    /// The authorities that agents are told to trust: the present one, and the next while there is one.
    authorities: Vec<AuthorityOut>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = ServerAddress)]
pub(crate) struct AddressOut {
    /// `host:port`, an IPv6 address in brackets.
    address: String,
    /// Since when the settings do not name it any more, and it is given only until every host has come by another; null:
    /// they do.
    retiring_since: Option<String>,
    /// Enrolled hosts that came by it last.
    hosts: usize,
    /// Enrolled hosts that have come by no other address that stays, or by none since this one retires, or not at all yet: they
    /// would be lost without it. A host that is here by an address that retires counts for each that stays, too.
    dependent: usize,
    /// The first 100 of them, by name.
    dependents: Vec<DependentOut>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = ServerAuthority)]
pub(crate) struct AuthorityOut {
    /// SHA-256 of its certificate, in hexadecimal digits.
    fingerprint: String,
    /// Since when agents are told of it.
    since: String,
    /// Enrolled hosts whose agents have said that they trust it.
    hosts: usize,
    /// Those that have not: they would be lost, were it the only one.
    lacking: usize,
    /// The first 100 of them, by name.
    lacking_hosts: Vec<DependentOut>,
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = RotateAuthority)]
pub(crate) struct RotateIn {
    /// Also when hosts are lost by it, until somebody enrols them anew.
    #[serde(default)]
    pub(crate) force: bool,
    /// The own password again, where hosts are lost; a token has none.
    #[schema(value_type = Option<String>)]
    pub(crate) password: Option<Secret>,
}

impl From<AuthorityUse> for AuthorityOut {
    fn from(it: AuthorityUse) -> Self {
        Self {
            fingerprint: HEXLOWER.encode(&it.fingerprint),
            since: rfc3339(it.authority.since),
            hosts: it.hosts,
            lacking: it.lacking,
            lacking_hosts: it.listed.into_iter().map(DependentOut::from).collect(),
        }
    }
}

#[derive(Serialize, ToSchema)]
#[schema(as = DependentHost)]
pub(crate) struct DependentOut {
    host: String,
    name: String,
    /// When it said hello last; null: not since it was enrolled.
    seen_at: Option<String>,
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = RetireAddress)]
pub(crate) struct RetireIn {
    /// One that retires.
    pub(crate) address: String,
    /// Also when hosts are lost with it, until somebody enrols them anew.
    #[serde(default)]
    pub(crate) force: bool,
    /// The own password again, where hosts are lost; a token has none.
    #[schema(value_type = Option<String>)]
    pub(crate) password: Option<Secret>,
}

impl From<Dependent> for DependentOut {
    fn from(it: Dependent) -> Self {
        Self { host: it.host.to_string(), name: it.name, seen_at: it.seen_at.map(rfc3339) }
    }
}

impl From<AddressUse> for AddressOut {
    fn from(it: AddressUse) -> Self {
        Self {
            address: it.given.address,
            retiring_since: it.given.retiring_since.map(rfc3339),
            hosts: it.hosts,
            dependent: it.dependent,
            dependents: it.listed.into_iter().map(DependentOut::from).collect(),
        }
    }
}

impl AgentAccessOut {
    pub(crate) fn new(addresses: Vec<AddressUse>, authorities: Vec<AuthorityUse>) -> Self {
        Self {
            addresses: addresses.into_iter().map(AddressOut::from).collect(),
            authorities: authorities.into_iter().map(AuthorityOut::from).collect(),
        }
    }
}

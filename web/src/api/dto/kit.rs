//! Break-glass kits.

use crate::format::rfc3339;
use fleet::record::Secret;
use fleet::{KitGap, Kits, WhyGap};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// So many gaps are named; all are counted.
const MOST_NAMED: usize = 500;

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewKit)]
pub(crate) struct KitIn {
    /// Ids or names. With neither hosts nor labels, all hosts.
    #[serde(default)]
    pub(crate) hosts: Vec<String>,
    /// Hosts that have one of these labels, beside those that are named.
    #[serde(default)]
    pub(crate) labels: Vec<String>,
    /// At least 12 characters; the file opens with it alone.
    #[schema(value_type = String)]
    pub(crate) passphrase: Secret,
    /// The own password again; a token has none.
    #[schema(value_type = Option<String>)]
    pub(crate) password: Option<Secret>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = Kits)]
pub(crate) struct KitOut {
    /// When the newest kit was made; null: never.
    newest_made_at: Option<String>,
    /// Hosts that have credentials.
    hosts: usize,
    /// Those of them that are in no kit.
    in_no_kit: usize,
    /// Those whose credentials have changed since the newest kit that holds them.
    changed_since: usize,
    /// Both by name, the first 500.
    gaps: Vec<KitGapOut>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = KitGap)]
pub(crate) struct KitGapOut {
    host: String,
    name: String,
    /// `in_no_kit` or `changed_since`.
    why: &'static str,
    /// When the newest kit was made that holds it.
    kit_made_at: Option<String>,
}

impl From<Kits> for KitOut {
    fn from(kits: Kits) -> Self {
        Self {
            newest_made_at: kits.newest_at.map(rfc3339),
            hosts: kits.hosts,
            in_no_kit: kits.lacking(),
            changed_since: kits.outdated(),
            gaps: kits.gaps.into_iter().take(MOST_NAMED).map(KitGapOut::from).collect(),
        }
    }
}

impl From<KitGap> for KitGapOut {
    fn from(gap: KitGap) -> Self {
        let kit_made_at = match gap.why {
            WhyGap::InNone => None,
            WhyGap::ChangedSince(at) => Some(rfc3339(at)),
        };
        Self { host: gap.host.to_string(), name: gap.name, why: gap.why.code(), kit_made_at }
    }
}

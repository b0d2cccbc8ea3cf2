//! The data file.

use crate::format::rfc3339;
use fleet::{Damage, Found, KeyGap, Scrub, TableDamage};
use serde::Serialize;
use utoipa::ToSchema;

#[derive(Serialize, ToSchema)]
#[schema(as = Storage)]
pub(crate) struct StorageOut {
    /// `ok`: the last look found it whole; `unknown`: nobody has looked since the start, or could not; `damaged`: it is
    /// damaged, and the server only reads.
    state: &'static str,
    /// When it was looked through last.
    checked_at: Option<String>,
    /// How the damage shows, or why it could not be looked through, in words.
    why: Option<String>,
    /// Tables of a damaged file of which something can't be read.
    tables: Vec<TableDamageOut>,
    /// Names of hosts that what can't be read is of, as far as that is known.
    hosts: Vec<String>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = TableDamage)]
pub(crate) struct TableDamageOut {
    table: String,
    /// Rows that were read.
    read: u64,
    /// Rows that can't be read; null: how many is not known.
    unreadable: Option<u64>,
    /// Rows that were read and mean nothing.
    undecodable: u64,
    /// The places where rows are missing, at most 100.
    gaps: Vec<KeyGapOut>,
}

/// Rows are missing between these keys.
#[derive(Serialize, ToSchema)]
#[schema(as = KeyGap)]
pub(crate) struct KeyGapOut {
    /// Null: the table begins with the gap.
    after: Option<String>,
    /// Null: the table ends with the gap.
    before: Option<String>,
}

impl StorageOut {
    /// What the last look has found, and what is known of damage.
    pub(crate) fn new(scrub: Option<Scrub>, damage: Option<&Damage>) -> Self {
        let checked_at = scrub.as_ref().map(|scrub| rfc3339(scrub.at));
        let (state, why) = match scrub.map(|scrub| scrub.found) {
            Some(Found::Damage(why)) => ("damaged", Some(why)),
            Some(Found::Well(_)) => ("ok", None),
            Some(Found::Failed(why)) => ("unknown", Some(why)),
            None => ("unknown", None),
        };
        let hosts = damage.map(|damage| [damage.remade_hosts.clone(), damage.hosts.clone()].concat());
        let tables = damage.map(|damage| damage.torn_tables().map(TableDamageOut::from).collect());
        Self { state, checked_at, why, tables: tables.unwrap_or_default(), hosts: hosts.unwrap_or_default() }
    }
}

impl From<&TableDamage> for TableDamageOut {
    fn from(table: &TableDamage) -> Self {
        let gap = |gap: &KeyGap| KeyGapOut { after: gap.after.clone(), before: gap.before.clone() };
        Self {
            table: table.table.clone(),
            read: table.read,
            unreadable: table.unreadable,
            undecodable: table.undecodable,
            gaps: table.gaps.iter().map(gap).collect(),
        }
    }
}

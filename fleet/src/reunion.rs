//! What people see of a restore: which hosts have come back since, and which obey another server.

use crate::fleet::Fleet;
use crate::incarnation;
use crate::record::meta::{META_RESTORATION, Meta};
use crate::record::{Restoration, Superseded};
use crate::refused::{Refused, StoreError};
use crate::request::By;
use crate::roster::RosterEntry;
use crate::store::{META, Reads};
use schema::HostId;

/// A restore, and how far the hosts have come back since.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reunion {
    /// The restore.
    pub restoration: Restoration,
    /// The server was made of what could be read of a damaged data file, not of an archive.
    pub is_salvage: bool,
    /// How many hosts there are that were enrolled when the archive was made.
    pub hosts: usize,
    /// Those that have not come back yet, with their names, oldest first.
    pub away: Vec<(HostId, String)>,
}

/// A host whose agent obeys another server that was made of this one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SupersededHost {
    /// The host.
    pub host: HostId,
    /// Its name.
    pub name: String,
    /// Of which server it has heard, and since when this one knows.
    pub superseded: Superseded,
}

impl Fleet {
    /// Whoever looked after the last restore has seen enough of it. Doing it again changes nothing.
    pub async fn dismiss_restoration(&self, by: By) -> Result<(), Refused> {
        self.write(by, move |op| {
            if let Some(known) = incarnation::restoration(op.tx)? {
                let seen = Restoration { dismissed: true, ..known };
                op.tx.put(&META, &META_RESTORATION.to_owned(), &Meta::Restoration(seen))?;
            }
            Ok(())
        })
        .await
    }
}

/// The last restore; `None` = there was none.
pub(crate) fn of(reads: &impl Reads, entries: &[RosterEntry]) -> Result<Option<Reunion>, StoreError> {
    let Some(restoration) = incarnation::restoration(reads)? else { return Ok(None) };
    let was_there = |entry: &&RosterEntry| {
        entry.host.enrolled_at.is_some_and(|enrolled_at| enrolled_at <= restoration.archive_made_at)
    };
    let is_away = |entry: &&RosterEntry| entry.presence.incarnation < restoration.incarnation;
    let there = entries.iter().filter(was_there);
    let is_salvage = incarnation::lost(reads)?.last().is_some_and(|span| span.is_salvage);
    let away = there.clone().filter(is_away).map(|entry| (entry.host.id, entry.host.name.clone())).collect();
    Ok(Some(Reunion { hosts: there.count(), restoration, is_salvage, away }))
}

/// Hosts that obey another server, oldest first.
pub(crate) fn superseded(entries: &[RosterEntry]) -> Vec<SupersededHost> {
    let of = |entry: &RosterEntry| {
        let superseded = entry.presence.superseded.clone()?;
        Some(SupersededHost { host: entry.host.id, name: entry.host.name.clone(), superseded })
    };
    entries.iter().filter_map(of).collect()
}

//! What became of the hosts since the server was restored, and of the server before it.

use crate::format::rfc3339;
use fleet::{FormerFound, FormerServer, Reunion, SupersededHost};
use schema::HostId;
use serde::Serialize;
use utoipa::ToSchema;

#[derive(Serialize, ToSchema)]
#[schema(as = Restoration)]
pub(crate) struct RestorationOut {
    /// The last restore, salvage or promotion; null: this server was made of no other one.
    restored: Option<RestoredOut>,
    /// The server whose place this one has; null: none is known.
    former: Option<FormerServerOut>,
    /// Hosts whose agents obey another server that was made of this one, and restored later.
    superseded: Vec<SupersededHostOut>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = Restored)]
pub(crate) struct RestoredOut {
    /// What the server is since: higher than all before.
    incarnation: u64,
    /// When the archive was made: what came later, this server has not heard.
    archive_made_at: String,
    restored_at: String,
    /// It was made of what could be read of a damaged data file, not of an archive.
    salvaged: bool,
    /// How many hosts there are that were enrolled when the archive was made.
    hosts: usize,
    /// Those of them that have not come back yet.
    away: Vec<HostNameOut>,
    /// Somebody has seen enough of it.
    dismissed: bool,
}

#[derive(Serialize, ToSchema)]
#[schema(as = HostName)]
pub(crate) struct HostNameOut {
    id: String,
    name: String,
}

/// The server whose place this one has, and whether it knows that.
#[derive(Serialize, ToSchema)]
#[schema(as = FormerServer)]
pub(crate) struct FormerServerOut {
    /// Where its pages were.
    url: String,
    /// `unknown`: it was not tried yet, since the start; `stands_still`: it knows, and changes nothing any more;
    /// `other_server`: this server itself answers there, or one that was restored later; `untold`: it was not reached.
    state: &'static str,
    /// Why it was not reached, in words.
    why: Option<String>,
    /// When it was tried last, since the start.
    tried_at: Option<String>,
    /// When it was told last, since the start.
    told_at: Option<String>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = SupersededHost)]
pub(crate) struct SupersededHostOut {
    id: String,
    name: String,
    /// Since when this server knows.
    since: String,
    /// The incarnation of the server that its agent obeys.
    incarnation: u64,
}

impl RestorationOut {
    /// The last restore, the server before it, and the hosts that obey a later one.
    pub(crate) fn new(
        reunion: Option<Reunion>,
        former: Option<FormerServer>,
        superseded: Vec<SupersededHost>,
    ) -> Self {
        Self {
            restored: reunion.map(RestoredOut::from),
            former: former.map(FormerServerOut::from),
            superseded: superseded.into_iter().map(SupersededHostOut::from).collect(),
        }
    }
}

impl From<Reunion> for RestoredOut {
    fn from(reunion: Reunion) -> Self {
        let name = |(id, name): (HostId, String)| HostNameOut { id: id.to_string(), name };
        Self {
            incarnation: reunion.restoration.incarnation.0,
            archive_made_at: rfc3339(reunion.restoration.archive_made_at),
            restored_at: rfc3339(reunion.restoration.restored_at),
            salvaged: reunion.is_salvage,
            hosts: reunion.hosts,
            away: reunion.away.into_iter().map(name).collect(),
            dismissed: reunion.restoration.dismissed,
        }
    }
}

impl From<FormerServer> for FormerServerOut {
    fn from(former: FormerServer) -> Self {
        let (tried_at, found) = former.last.map_or((None, None), |(at, found)| (Some(at), Some(found)));
        let (state, why) = match found {
            None => ("unknown", None),
            Some(FormerFound::StandsStill) => ("stands_still", None),
            Some(FormerFound::OtherServer) => ("other_server", None),
            Some(FormerFound::Untold(why)) => ("untold", Some(why)),
        };
        Self {
            url: former.url,
            state,
            why,
            tried_at: tried_at.map(rfc3339),
            told_at: former.told_at.map(rfc3339),
        }
    }
}

impl From<SupersededHost> for SupersededHostOut {
    fn from(known: SupersededHost) -> Self {
        Self {
            id: known.host.to_string(),
            name: known.name,
            since: rfc3339(known.superseded.since),
            incarnation: known.superseded.by.0,
        }
    }
}

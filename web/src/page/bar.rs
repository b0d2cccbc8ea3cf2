//! The bar above the pages of a host whose agent can't be spoken with.

use super::refused::{HREF, before, is_from};
use crate::format::ago;
use crate::problem::sentence;
use crate::refused_connection::{NotLetIn, RefusedConnection};
use fleet::HostRow;
use fleet::record::Presence;
use schema::Timestamp;
use serde::Serialize;

/// A machine that was refused so long ago does not ask any more, in milliseconds: an agent tries each quarter of an hour.
const STILL_ASKS_MS: u64 = 3_600_000;

/// Why an agent can't be spoken with.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct BarView {
    pub(crate) title: String,
    pub(crate) text: String,
    /// Where to read more, and its words.
    pub(crate) more: Option<(String, &'static str)>,
}

impl BarView {
    pub(crate) fn new(now: Timestamp, row: &HostRow, refused: &[RefusedConnection]) -> Option<Self> {
        Self::of_quarantine(now, row)
            .or_else(|| Self::of_wire(now, &row.presence))
            .or_else(|| Self::of_refusal(now, row, refused))
    }

    fn of_quarantine(now: Timestamp, row: &HostRow) -> Option<Self> {
        let found = row.presence.quarantine.as_ref()?;
        Some(Self {
            title: "Two machines have this host's identity".to_owned(),
            text: format!(
                "Detected {}. Both are refused, so nothing can be run here.",
                ago(now, found.since)
            ),
            more: Some((format!("/hosts/{}/quarantine", row.host.id), "See what to do")),
        })
    }

    fn of_wire(now: Timestamp, presence: &Presence) -> Option<Self> {
        let problem = presence.wire_problem.as_ref()?;
        let (version, newest) = (problem.version, schema::CURRENT);
        let spoken = match (schema::MIN, newest) {
            (oldest, newest) if oldest == newest => format!("version {newest}"),
            (oldest, newest) => format!("versions {oldest} to {newest}"),
        };
        let who = if version > newest { "server" } else { "agent" };
        Some(Self {
            title: "The agent speaks a protocol version that this server does not".to_owned(),
            text: format!(
                "Last seen {}: version {version}; this server speaks {spoken}. Nothing can be run on this host until \
                 the {who} is updated. Its backups so far are untouched.",
                ago(now, problem.at),
            ),
            more: None,
        })
    }

    /// Why a host that is away is not let in, if its machine asks to be; and of a host that is here, that a machine which
    /// it was before still asks.
    fn of_refusal(now: Timestamp, row: &HostRow, found: &[RefusedConnection]) -> Option<Self> {
        let is_here = row.presence.online;
        let id = row.host.id.to_string();
        let is_its = |refused: &&RefusedConnection| match refused.reason {
            NotLetIn::HostPassword => {
                let is_recent = !is_here || refused.last_ms_ago < STILL_ASKS_MS;
                is_recent && refused.name.as_deref() == Some(id.as_str())
            }
            NotLetIn::Untrusted => !is_here && is_from(row, refused),
            _ => false,
        };
        let refused = found.iter().filter(|refused| refused.let_in_ms_ago.is_none()).find(is_its)?;
        Some(Self {
            title: if is_here {
                "Another machine still connects as this host, and is refused".to_owned()
            } else {
                "A machine that connects as this host is refused".to_owned()
            },
            text: format!(
                "From {}, last {}: {}",
                refused.origin,
                ago(now, before(now, refused.last_ms_ago)),
                sentence(refused.reason.words()),
            ),
            more: Some((HREF.to_owned(), "See what to do")),
        })
    }
}

//! Whom the broker did not let in during the last day, with why and what to do.

use super::attention::{Attention, SafeAction};
use crate::app::Ctx;
use crate::format::{When, ago, count, many};
use crate::problem::Problem;
use crate::refused_connection::{NotLetIn, RefusedConnection};
use crate::template::View;
use axum::body::Body;
use axum::http::Response;
use fleet::{HostFilter, HostRow};
use schema::{Epoch, HostId, Timestamp};
use serde::Serialize;
use std::collections::BTreeSet;

/// Where the page is.
pub(crate) const HREF: &str = "/refused-connections";

/// Tries of one machine for one reason.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct RefusedRow {
    pub(crate) from: String,
    /// The host that was last heard from there, or that it says it is.
    pub(crate) host: Option<(String, String)>,
    /// The name that it gave, when that is no host's.
    pub(crate) name: Option<String>,
    pub(crate) reason: String,
    pub(crate) code: &'static str,
    pub(crate) advice: &'static str,
    pub(crate) action: Option<SafeAction>,
    pub(crate) tries: String,
    pub(crate) first: When,
    pub(crate) last: When,
}

/// The page.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct RefusedView {
    pub(crate) rows: Vec<RefusedRow>,
    /// Rows that gave way to others, in words.
    pub(crate) left_out: Option<String>,
}

impl View for RefusedView {
    const TEMPLATE: &'static str = "page/refused.html";
    const NAV: &'static str = "fleet";
    const PARTS: &'static [&'static str] = &[];
}

#[cfg(test)]
impl crate::sample::Samples for RefusedView {
    fn samples(s: &crate::sample::Sample) -> Vec<Self> {
        let refused = |action| RefusedRow {
            from: s.text("192.0.2.7"),
            host: Some((s.text("boat-pi"), "/x".to_owned())),
            name: s.some("boat-pi"),
            reason: s.text("No TLS, or none that fits"),
            code: "no_tls",
            advice: "Set it to TLS.",
            action,
            tries: s.text("3"),
            first: s.when(),
            last: s.when(),
        };
        let action = SafeAction::look("See both machines", "/x".to_owned());
        [vec![refused(Some(action)), refused(None)], Vec::new()]
            .map(|rows| Self { rows, left_out: s.some("2 older ones were dropped.") })
            .into()
    }
}

/// `GET /refused-connections`.
pub(crate) async fn show(ctx: Ctx) -> Result<Response<Body>, Problem> {
    ctx.read(|ctx, state| {
        let (hosts, now) = (state.fleet(&HostFilter::default()), ctx.now());
        let found = (ctx.app.settings.refused_connections)();
        ctx.page(&RefusedView {
            rows: found.rows.iter().map(|refused| row(&hosts, now, refused)).collect(),
            left_out: (found.left_out > 0).then(|| {
                let rows = many(found.left_out, "row");
                format!("{rows} older ones were dropped since the server started.")
            }),
        })
    })
    .await
}

fn row(hosts: &[HostRow], now: Timestamp, refused: &RefusedConnection) -> RefusedRow {
    let host = host_of(hosts, refused);
    let sentence = refused.reason.words();
    let is_former = host.as_ref().is_some_and(|row| is_former(row, refused));
    let link = host.as_ref().map(|row| format!("/hosts/{}", row.host.id));
    RefusedRow {
        from: refused.origin.clone(),
        name: match (&refused.name, &host) {
            (Some(name), Some(row)) if *name == row.host.id.to_string() => None,
            (name, _) => name.clone().filter(|name| !name.is_empty()),
        },
        reason: crate::problem::sentence(sentence),
        code: refused.reason.code(),
        advice: if is_former { FORMER_ADVICE } else { refused.reason.advice() },
        action: action(refused.reason, link.as_deref()).filter(|_| !is_former),
        tries: count(refused.tries),
        first: When::ago(now, before(now, refused.first_ms_ago)),
        last: When::ago(now, before(now, refused.last_ms_ago)),
        host: host.map(|row| row.host.name.clone()).zip(link),
    }
}

/// What to do about a machine that the host was before.
const FORMER_ADVICE: &str = "Another machine is this host now, and this is the one before it, or a copy of that. Stop its \
                             agent: alone it goes on backing up by the plan and with the credentials that it has. If you \
                             can't, change the password of the storage.";

/// Whether it is a machine that the host was before: another one is connected with the login of now, or was enrolled and
/// has not connected yet, or has taken its place.
fn is_former(row: &HostRow, refused: &RefusedConnection) -> bool {
    let (host, presence) = (&row.host, &row.presence);
    let is_new = host.enrolled_at.is_some() && presence.epoch == Epoch::ZERO;
    refused.reason == NotLetIn::HostPassword && (presence.online || is_new || host.backups_held.is_some())
}

/// The one safe step.
fn action(reason: NotLetIn, host: Option<&str>) -> Option<SafeAction> {
    match (reason, host) {
        (NotLetIn::Quarantined, Some(host)) => {
            Some(SafeAction::look("See both machines", format!("{host}/quarantine")))
        }
        (NotLetIn::HostPassword | NotLetIn::Untrusted, Some(host)) => {
            Some(SafeAction::set("Enrol it again", format!("{host}/settings")))
        }
        (NotLetIn::UnknownHost, _) => Some(SafeAction::set("Add host", "/hosts/new".to_owned())),
        _ => None,
    }
}

pub(crate) fn before(now: Timestamp, ms: u64) -> Timestamp {
    Timestamp(now.0.saturating_sub(ms))
}

/// The host that it says it is, else the one host that was last heard from that address, when it looks like an agent.
fn host_of<'a>(hosts: &'a [HostRow], refused: &RefusedConnection) -> Option<&'a HostRow> {
    let named = refused.name.as_deref().and_then(|name| name.parse::<HostId>().ok());
    if let Some(row) = named.and_then(|id| hosts.iter().find(|row| row.host.id == id)) {
        return Some(row);
    }
    if refused.reason != NotLetIn::Untrusted {
        return None;
    }
    let mut from_there = hosts.iter().filter(|row| is_from(row, refused));
    let first = from_there.next()?;
    from_there.next().is_none().then_some(first)
}

/// Whether this host was last heard from there, and is not connected.
pub(crate) fn is_from(row: &HostRow, refused: &RefusedConnection) -> bool {
    !row.presence.online && row.presence.peer.as_deref() == Some(refused.origin.as_str())
}

/// What looks like agents that try again and again, for the list of what needs a person: an agent tries at least each
/// quarter of an hour.
pub(crate) fn attention(now: Timestamp, found: &[RefusedConnection]) -> Option<Attention> {
    const RECENT_MS: u64 = 3_600_000;
    const TRIES: u64 = 3;
    let again = |refused: &&RefusedConnection| {
        refused.reason.is_agent() && refused.last_ms_ago <= RECENT_MS && refused.tries >= TRIES
    };
    let last = found.iter().filter(again).map(|refused| refused.last_ms_ago).min()?;
    let origins: BTreeSet<&str> = found.iter().filter(again).map(|refused| refused.origin.as_str()).collect();
    let first = origins.first()?;
    let more = origins.len() - 1;
    Some(Attention {
        state: "warning",
        cause: "What looks like an agent is refused".to_owned(),
        hosts: vec![((*first).to_owned(), HREF.to_owned())],
        more,
        text: format!("it last tried {}.", ago(now, before(now, last))),
        action: SafeAction::look("See why", HREF.to_owned()),
        ack: None,
    })
}

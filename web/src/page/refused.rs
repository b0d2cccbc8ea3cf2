//! Whom the broker did not let in during the last day, with why and what to do.

use super::attention::{Attention, SafeAction};
use super::confirm::ConfirmView;
use crate::app::Ctx;
use crate::format::{When, ago, count, many};
use crate::problem::Problem;
use crate::refused_connection::{NotLetIn, RefusedConnection};
use crate::template::View;
use axum::body::Body;
use axum::extract::Path;
use axum::http::Response;
use fleet::record::Host;
use fleet::{HostFilter, HostRow, Newcomer, Refused};
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
    /// Since when it is let in: it is over.
    pub(crate) let_in: Option<When>,
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
            let_in: None,
        };
        let over = RefusedRow { let_in: Some(s.when()), ..refused(None) };
        let action = SafeAction::look("See both machines", "/x".to_owned());
        [vec![refused(Some(action)), refused(None), over], Vec::new()]
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
            rows: {
                let newcomers = ctx.app.fleet.newcomers();
                let refused = found.rows.iter().filter(|refused| refused.stands(&newcomers));
                refused.map(|refused| row((&hosts, &newcomers), now, refused)).collect()
            },
            left_out: (found.left_out > 0).then(|| {
                let rows = many(found.left_out, "row");
                format!("{rows} older ones were dropped since the server started.")
            }),
        })
    })
    .await
}

fn row(
    (hosts, newcomers): (&[HostRow], &[Newcomer]),
    now: Timestamp,
    refused: &RefusedConnection,
) -> RefusedRow {
    let host = host_of(hosts, refused);
    let is_it = |newcomer: &&Newcomer| refused.name.as_deref() == Some(newcomer.host.to_string().as_str());
    let newcomer = newcomers.iter().filter(|_| refused.reason == NotLetIn::Newcomer).find(is_it);
    let sentence = refused.reason.words();
    let is_former = host.as_ref().is_some_and(|row| is_former(row, refused));
    let link = host.as_ref().map(|row| format!("/hosts/{}", row.host.id));
    let is_over = refused.let_in_ms_ago.is_some();
    RefusedRow {
        from: refused.origin.clone(),
        name: match (&refused.name, &host) {
            (Some(name), Some(row)) if *name == row.host.id.to_string() => None,
            (name, _) => {
                let called = newcomer.map(|newcomer| newcomer.name.clone());
                called.or_else(|| name.clone().filter(|name| !name.is_empty()))
            }
        },
        reason: crate::problem::sentence(sentence),
        code: refused.reason.code(),
        advice: if is_former { FORMER_ADVICE } else { refused.reason.advice() },
        action: match newcomer {
            Some(newcomer) => Some(SafeAction::set("Take it in", place_of(newcomer))),
            None => action(refused.reason, link.as_deref()).filter(|_| !is_former && !is_over),
        },
        tries: count(refused.tries),
        first: When::ago(now, before(now, refused.first_ms_ago)),
        last: When::ago(now, before(now, refused.last_ms_ago)),
        let_in: refused.let_in_ms_ago.map(|ms| When::ago(now, before(now, ms))),
        host: host.map(|row| row.host.name.clone()).zip(link),
    }
}

/// Where a machine is taken in.
fn place_of(newcomer: &Newcomer) -> String {
    format!("{HREF}/{}/{}", newcomer.host, newcomer.enrolled_at.0)
}

/// The machine that is meant: of a host several may have been enrolled, one after the other.
fn find(newcomers: Vec<Newcomer>, host: &str, enrolled_at: &str) -> Result<Newcomer, Refused> {
    let is_it = |newcomer: &Newcomer| {
        newcomer.host.to_string() == host && newcomer.enrolled_at.0.to_string() == enrolled_at
    };
    newcomers.into_iter().find(is_it).ok_or(Refused::NewcomerNotFound)
}

/// `GET /refused-connections/{host}/{enrolled_at}`: whether a machine is to be taken in.
pub(crate) async fn confirm(
    ctx: Ctx,
    Path((host, enrolled_at)): Path<(String, String)>,
) -> Result<Response<Body>, Problem> {
    ctx.read(move |ctx, state| {
        // It was taken in, or the server has started since: then it knocks again.
        let Ok(found) = find(ctx.app.fleet.newcomers(), &host, &enrolled_at) else {
            return Ok(ctx.go(HREF));
        };
        let rows = (ctx.app.settings.refused_connections)().rows;
        let from = rows.iter().find(|row| row.name.as_deref() == Some(host.as_str()));
        let known = state.host(found.host)?;
        ctx.page(&question(ctx.now(), &found, from, known.as_ref()))
    })
    .await
}

fn question(
    now: Timestamp,
    found: &Newcomer,
    from: Option<&RefusedConnection>,
    known: Option<&Host>,
) -> ConfirmView {
    let from = from.map(|from| format!(", and tries from {}", from.origin)).unwrap_or_default();
    let (hostname, name, enrolled) = (&found.hostname, &found.name, ago(now, found.enrolled_at));
    let who = format!("The machine {hostname} was enrolled as {name} {enrolled}{from}.");
    let proof = "Its login proves that: only the server that is lost can have given it. What that one heard later, such as \
                 that the machine was given away, nobody knows here.";
    let becomes = match known {
        Some(known) => format!(
            "It becomes {}. The machine that is that host now is shut out for good, and what it runs counts as lost.",
            known.name
        ),
        None => "It becomes a host of this name, or of one like it if that is taken. Source groups, schedules and \
                 credentials have to be set anew."
            .to_owned(),
    };
    ConfirmView {
        title: format!("Take in {name}?"),
        body: vec![who, proof.to_owned(), becomes],
        action: place_of(found),
        button: "Take it in".to_owned(),
        dismiss: "Cancel".to_owned(),
        back: HREF.to_owned(),
    }
}

/// `POST /refused-connections/{host}/{enrolled_at}`: takes it in.
pub(crate) async fn take_in(
    ctx: Ctx,
    Path((host, enrolled_at)): Path<(String, String)>,
) -> Result<Response<Body>, Problem> {
    // It was taken in, by a first press of the button.
    let Ok(found) = find(ctx.app.fleet.newcomers(), &host, &enrolled_at) else { return Ok(ctx.go(HREF)) };
    let host = ctx.app.fleet.take_in(found.host, found.enrolled_at, ctx.by()).await?;
    Ok(ctx.go(&format!("/hosts/{}", host.id)))
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
        let is_again = refused.let_in_ms_ago.is_none() && refused.tries >= TRIES;
        refused.reason.is_agent() && refused.last_ms_ago <= RECENT_MS && is_again
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
        rest: None,
    })
}

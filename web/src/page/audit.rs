//! Who did what, to what, from where.

use super::filter_link::FilterLink;
use crate::api::audit::filter;
use crate::app::Ctx;
use crate::format::{When, many};
use crate::problem::Problem;
use crate::query::Query;
use crate::template::View;
use crate::words::actor;
use axum::body::Body;
use axum::http::Response;
use fleet::record::{AuditEntry, AuditTarget};
use fleet::{AuditFilter, FleetState, Page};
use schema::Timestamp;
use serde::Serialize;

/// An entry.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct AuditEntryView {
    pub(crate) when: When,
    pub(crate) actor: String,
    pub(crate) kind: &'static str,
    pub(crate) action: String,
    /// The action's code, to search for.
    pub(crate) word: &'static str,
    pub(crate) target: String,
    pub(crate) href: Option<String>,
    pub(crate) peer: String,
    pub(crate) detail: String,
}

/// The page.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct AuditView {
    pub(crate) actor: String,
    pub(crate) action: String,
    pub(crate) target: String,
    pub(crate) actors: Vec<FilterLink>,
    pub(crate) rows: Vec<AuditEntryView>,
    pub(crate) shown: String,
    pub(crate) older: Option<String>,
    /// Where the newest part is fetched again; older parts stay as they are.
    pub(crate) part_href: Option<String>,
    /// All that fits the filter, as a file.
    pub(crate) export_href: String,
}

impl View for AuditView {
    const TEMPLATE: &'static str = "page/audit.html";
    const NAV: &'static str = "audit";
    const PARTS: &'static [&'static str] = &["audit-rows"];
}

#[cfg(test)]
impl crate::sample::Samples for AuditView {
    fn samples(s: &crate::sample::Sample) -> Vec<Self> {
        vec![Self {
            actor: s.text("mira"),
            action: s.text("host."),
            target: s.text("boat-pi"),
            actors: vec![FilterLink::sample(s)],
            rows: vec![AuditEntryView {
                when: s.when(),
                actor: s.text("mira"),
                kind: "operator",
                action: s.text("added a host"),
                word: "host.created",
                target: s.text("boat-pi"),
                href: Some("/hosts/01".to_owned()),
                peer: s.text("192.0.2.7"),
                detail: s.text("boats"),
            }],
            shown: s.text("1 entry"),
            older: Some("/audit?cursor=1".to_owned()),
            part_href: Some("/audit?part=audit-rows".to_owned()),
            export_href: "/audit.csv".to_owned(),
        }]
    }
}

/// `GET /audit`.
pub(crate) async fn show(ctx: Ctx, query: Query) -> Result<Response<Body>, Problem> {
    let (filter, page) = (filter(&query), query.page_of::<u64>()?);
    ctx.read(move |ctx, state| ctx.page(&read(ctx, state, &filter, &page)?)).await
}

fn read(ctx: &Ctx, state: &FleetState, filter: &AuditFilter, page: &Page) -> Result<AuditView, Problem> {
    let now = ctx.now();
    let found = state.audit(filter, page)?;
    let address = |actor: Option<&str>, more: &[(&str, &str)]| {
        let mut text = form_urlencoded::Serializer::new(String::new());
        for (key, value) in more {
            text.append_pair(key, value);
        }
        let parts =
            [("actor", actor), ("action", filter.action.as_deref()), ("target", filter.target.as_deref())];
        for (key, value) in parts {
            if let Some(value) = value {
                text.append_pair(key, value);
            }
        }
        match text.finish() {
            query if query.is_empty() => "/audit".to_owned(),
            query => format!("/audit?{query}"),
        }
    };
    let current = filter.actor.as_deref();
    let kinds = [
        ("Everyone", None),
        ("Operators", Some("operator")),
        ("Schedules", Some("schedule")),
        ("System", Some("system")),
        ("Agents", Some("agent")),
    ];
    Ok(AuditView {
        actors: kinds
            .into_iter()
            .map(|(label, actor)| FilterLink {
                label: label.to_owned(),
                href: address(actor, &[]),
                count: String::new(),
                current: current == actor,
            })
            .collect(),
        shown: many(found.items.len() as u64, "entry").replace("entrys", "entries"),
        rows: found.items.into_iter().map(|e| view(state, now, e)).collect::<Result<_, _>>()?,
        older: found.next.map(|next| address(current, &[("cursor", &next)])),
        export_href: address(current, &[]).replacen("/audit", "/audit.csv", 1),
        part_href: page.cursor.is_none().then(|| address(current, &[("part", "audit-rows")])),
        actor: filter.actor.clone().unwrap_or_default(),
        action: filter.action.clone().unwrap_or_default(),
        target: filter.target.clone().unwrap_or_default(),
    })
}

fn view(state: &FleetState, now: Timestamp, entry: AuditEntry) -> Result<AuditEntryView, Problem> {
    let (name, kind) = actor(&entry.actor);
    let (target, href) = match &entry.target {
        AuditTarget::Server => ("server".to_owned(), None),
        AuditTarget::Host(id, name) => (name.clone(), Some(format!("/hosts/{id}"))),
        AuditTarget::Job(host, id) => {
            let host = state.host(*host)?.map_or_else(|| "a deleted host".to_owned(), |host| host.name);
            (format!("a job on {host}"), Some(format!("/jobs/{id}")))
        }
        AuditTarget::Account(name) => (name.clone(), None),
        AuditTarget::Incident(id) => ("an incident".to_owned(), Some(format!("/incidents/{id}"))),
    };
    Ok(AuditEntryView {
        when: When::ago(now, entry.at),
        actor: name,
        kind,
        action: crate::words::action(entry.action, &entry.target),
        word: entry.action.code(),
        target,
        href,
        peer: if entry.peer.is_empty() { "server".to_owned() } else { entry.peer },
        detail: crate::format::cut(&entry.detail, 300),
    })
}

//! The fleet: the daily glance.

use super::attention::{Attention, SafeAction};
use super::cause::cause_of;
use super::filter_link::FilterLink;
use crate::api::host::filter;
use crate::app::Ctx;
use crate::chart::{self, Strip};
use crate::format::{When, ago, bytes, count, duration, many};
use crate::problem::Problem;
use crate::query::Query;
use crate::template::View;
use crate::words::{Badge, cause_title, host_badge, incident_title, protected, status_state};
use ::fleet::{CauseGroup, CauseGroups, FleetCounts, HostFilter, HostRow, ProofStatus, Refused, Status};
use axum::body::Body;
use axum::extract::Path;
use axum::http::{Response, StatusCode};
use schema::Timestamp;
use serde::Serialize;
use std::collections::BTreeSet;
use std::fmt::Write as _;

/// So many rows are on a page; the worst come first.
const PAGE_ROWS: usize = 50;
/// So many causes need a person at once.
const MOST_CAUSES: usize = 8;
/// So many hosts are named beside one cause.
const MOST_NAMES: usize = 5;
/// A size older than this looks old.
const STALE_MS: u64 = 2 * 86_400_000;

/// A host's row.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct FleetRow {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) href: String,
    pub(crate) os: String,
    pub(crate) badge: Badge,
    pub(crate) unprotected: bool,
    pub(crate) strip: Strip,
    pub(crate) stale: bool,
    pub(crate) good: Option<When>,
    pub(crate) size: Option<String>,
    pub(crate) size_note: String,
    pub(crate) next: Option<When>,
    pub(crate) online: bool,
    pub(crate) seen: String,
}

#[cfg(test)]
impl FleetRow {
    pub(crate) fn sample(s: &crate::sample::Sample) -> Self {
        use ::fleet::Day;
        Self {
            id: "01".to_owned(),
            name: s.text("boat-pi"),
            href: "/hosts/01".to_owned(),
            os: s.text("Debian GNU/Linux 12"),
            badge: Badge::new("never", s.text("Not backed up yet")),
            unprotected: true,
            strip: chart::strip(&[Day::Ok, Day::Failed, Day::None, Day::Missed, Day::Warning, Day::Running]),
            stale: true,
            good: Some(s.when()),
            size: s.some("1.84 TiB"),
            size_note: s.text("as of Mon 23 Nov 2026 06:41:12 UTC"),
            next: Some(s.when()),
            online: true,
            seen: s.text("2 h ago"),
        }
    }
}

/// A column's head; pressed, it sorts by it.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Column {
    pub(crate) label: &'static str,
    pub(crate) href: Option<String>,
    /// `ascending`, `descending`; `None` = by another one.
    pub(crate) sorted: Option<&'static str>,
    pub(crate) number: bool,
    pub(crate) roomy: bool,
}

/// What the rows are sorted by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sort {
    Worst,
    Name,
    Good,
    Size,
    Next,
    Seen,
}

impl Sort {
    const ALL: [(Self, &'static str, &'static str); 6] = [
        (Self::Worst, "worst", "worst first"),
        (Self::Name, "name", "by name"),
        (Self::Good, "good", "by the last good backup"),
        (Self::Size, "size", "by size"),
        (Self::Next, "next", "by the next run"),
        (Self::Seen, "seen", "by when they were last seen"),
    ];

    fn words(self) -> (&'static str, &'static str) {
        Self::ALL.into_iter().find(|known| known.0 == self).map_or(("", ""), |known| (known.1, known.2))
    }
}

/// The order of the rows: what by, and whether turned round.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Order {
    by: Sort,
    down: bool,
}

impl Order {
    const WORST: Self = Self { by: Sort::Worst, down: false };

    /// `name`, or `-name` turned round.
    fn of(query: &Query) -> Result<Self, Problem> {
        let Some(text) = query.get("sort") else { return Ok(Self::WORST) };
        let (word, down) = text.strip_prefix('-').map_or((text, false), |word| (word, true));
        let found = Sort::ALL.into_iter().find(|known| known.1 == word);
        let by = found.ok_or_else(|| {
            let words = crate::query::one_of(Sort::ALL.map(|known| known.1));
            Problem::invalid("sort", format!("The value of sort is {words}; with - before it turned round."))
        })?;
        Ok(Self { by: by.0, down })
    }

    fn text(self) -> String {
        format!("{}{}", if self.down { "-" } else { "" }, self.by.words().0)
    }

    /// Sorts rows that come worst first; what is not known comes last either way.
    fn sort(self, rows: &mut [&HostRow]) {
        let key = |row: &HostRow| match self.by {
            Sort::Worst | Sort::Name => None,
            Sort::Good => row.last_good_at.map(|at| at.0),
            Sort::Size => row.size_bytes,
            Sort::Next => row.next_run_at.map(|at| at.0),
            Sort::Seen if row.presence.online => Some(u64::MAX),
            Sort::Seen => row.presence.last_seen_at.map(|at| at.0),
        };
        match self.by {
            Sort::Worst => {}
            Sort::Name => rows.sort_by_cached_key(|row| row.host.name.to_lowercase()),
            _ if self.down => rows.sort_by_key(|row| (key(row).is_none(), std::cmp::Reverse(key(row)))),
            _ => rows.sort_by_key(|row| (key(row).is_none(), key(row))),
        }
        if self.down && matches!(self.by, Sort::Worst | Sort::Name) {
            rows.reverse();
        }
    }
}

/// One row, fetched alone.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct FleetRowView {
    pub(crate) h: FleetRow,
}

impl View for FleetRowView {
    const TEMPLATE: &'static str = "part/fleet-row.html";
    const NAV: &'static str = "fleet";
    const PARTS: &'static [&'static str] = &[];
}

#[cfg(test)]
impl crate::sample::Samples for FleetRowView {
    fn samples(s: &crate::sample::Sample) -> Vec<Self> {
        vec![Self { h: FleetRow::sample(s) }]
    }
}

/// The fleet page.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct FleetView {
    pub(crate) empty: bool,
    /// What stands above all: how many are protected, where that can be known.
    pub(crate) title: String,
    pub(crate) need: Option<String>,
    /// How those that need attention and those that are protected add up.
    pub(crate) sums: Option<String>,
    pub(crate) note: String,
    pub(crate) attention: Vec<Attention>,
    /// How many more causes there are.
    pub(crate) attention_more: Option<String>,
    pub(crate) q: String,
    /// What a search keeps of the address: names and values.
    pub(crate) kept: Vec<(&'static str, String)>,
    /// Where a search is sent, and where the filters are fetched again.
    pub(crate) search_href: String,
    pub(crate) filters_href: String,
    /// Where the reader is: search, filter, order and page.
    pub(crate) address: String,
    pub(crate) filters: Vec<FilterLink>,
    pub(crate) rows: Vec<FleetRow>,
    pub(crate) columns: Vec<Column>,
    /// How the rows are sorted, in words.
    pub(crate) order: &'static str,
    pub(crate) rows_href: String,
    /// Where files are found by name on the hosts that are shown, and what those are called.
    pub(crate) find_href: String,
    pub(crate) find_on: String,
    pub(crate) shown: String,
    pub(crate) before_href: Option<String>,
    pub(crate) next_href: Option<String>,
}

impl View for FleetView {
    const TEMPLATE: &'static str = "page/fleet.html";
    const NAV: &'static str = "fleet";
    const PARTS: &'static [&'static str] =
        &["fleet-sentence", "fleet-attention", "fleet-list", "fleet-filters", "fleet-hosts"];
}

#[cfg(test)]
impl crate::sample::Samples for FleetView {
    fn samples(s: &crate::sample::Sample) -> Vec<Self> {
        let column = |label, sorted, number, roomy| Column {
            label,
            href: Some("/".to_owned()).filter(|_| number),
            sorted,
            number,
            roomy,
        };
        vec![Self {
            empty: false,
            title: "3 of 4 hosts protected".to_owned(),
            need: s.some("1 needs attention"),
            sums: s.some("1 is not protected and needs attention."),
            note: s.text("Last good backup 2 h ago. 3 online."),
            attention: ["failed", "offline", "missed", "warning", "never", "unproven"]
                .map(|state| Attention::sample(s, state))
                .into(),
            attention_more: s.some("2 more causes"),
            q: s.text("boat"),
            kept: vec![("state", "ok".to_owned()), ("storage", s.text("nas:8000"))],
            search_href: "/?part=fleet-list&state=ok".to_owned(),
            filters_href: "/?part=fleet-filters&q=boat&state=ok".to_owned(),
            address: s.text("/?q=boat&state=ok"),
            columns: vec![
                column("Host", Some("ascending"), true, false),
                column("Last 30 days", None, false, true),
            ],
            order: "by name",
            filters: vec![FilterLink::sample(s)],
            rows: vec![FleetRow::sample(s)],
            rows_href: "/?part=fleet-hosts".to_owned(),
            find_href: "/find?q=boat".to_owned(),
            find_on: "these 4 hosts".to_owned(),
            shown: s.text("1 to 4 of 4, worst first"),
            before_href: Some("/?page=1".to_owned()),
            next_href: Some("/?page=3".to_owned()),
        }]
    }
}

/// How the server is, as every page says it: alone, without the hosts.
#[derive(Serialize)]
pub(crate) struct ServerView;

impl View for ServerView {
    const TEMPLATE: &'static str = "part/nav-server.html";
    const NAV: &'static str = "fleet";
    const PARTS: &'static [&'static str] = &["nav-server"];
}

#[cfg(test)]
impl crate::sample::Samples for ServerView {
    fn samples(s: &crate::sample::Sample) -> Vec<Self> {
        let _ = s;
        vec![Self]
    }
}

/// `GET /`.
pub(crate) async fn show(ctx: Ctx, query: Query) -> Result<Response<Body>, Problem> {
    if ctx.part.as_deref() == Some("nav-server") {
        return ctx.show(StatusCode::OK, ServerView).await;
    }
    let (filter, order, page) = (filter(&query)?, Order::of(&query)?, page_of(&query)?);
    ctx.read(move |ctx, state| {
        if state.hosts_are_lost() {
            return Err(Problem::unreadable());
        }
        let all = state.fleet(&HostFilter::default());
        let now = ctx.now();
        let groups = state.cause_groups()?;
        let mut view = view(now, (&all, &groups), state.is_known(), &ListPosition { filter, order, page });
        view.attention.extend(super::refused::attention(now, &(ctx.app.settings.refused_connections)().rows));
        let former = ctx.app.fleet.former_server()?;
        view.attention.extend(super::restoration::attention(now, state, former.as_ref())?);
        if ctx.app.fleet.succession().is_some() {
            // What its hosts need now the other server says; what is to be done here stands at the top.
            view.attention.clear();
            view.attention_more = None;
        }
        ctx.page(&view)
    })
    .await
}

/// `GET /hosts/{host}/row`: of the list, for a page that shows it.
pub(crate) async fn row_alone(ctx: Ctx, Path(host): Path<String>) -> Result<Response<Body>, Problem> {
    ctx.read(move |ctx, state| {
        let host = ctx.host(state, &host)?;
        if !ctx.htmx {
            return Ok(ctx.go(&format!("/hosts/{}", host.id)));
        }
        let found = state.host_row(host.id).ok_or(Refused::HostNotFound)?;
        ctx.page(&FleetRowView { h: row(ctx.now(), &found) })
    })
    .await
}

/// Which page, counted from 1.
fn page_of(query: &Query) -> Result<usize, Problem> {
    match query.get("page") {
        None => Ok(1),
        Some(text) => text
            .parse()
            .ok()
            .filter(|page| (1..=1_000_000).contains(page))
            .ok_or_else(|| Problem::invalid("page", "Pages are counted from 1.")),
    }
}

/// Where a reader is in the list.
#[derive(Clone, Debug)]
struct ListPosition {
    filter: HostFilter,
    order: Order,
    page: usize,
}

impl ListPosition {
    /// The same with another state, on its first page.
    fn with_state(&self, state: Option<Status>) -> Self {
        Self { filter: HostFilter { state, ..self.filter.clone() }, page: 1, ..self.clone() }
    }

    /// What is kept of it in an address, the search first.
    fn fields(&self) -> Vec<(&'static str, String)> {
        let HostFilter { q, label, state, old_agent, cause, storage } = &self.filter;
        let fields = [
            q.as_ref().map(|q| ("q", q.clone())),
            label.as_ref().map(|label| ("label", label.clone())),
            state.map(|state| ("state", state.as_str().to_owned())),
            old_agent.then(|| ("agent", "old".to_owned())),
            cause.map(|cause| ("cause", cause.key())),
            storage.as_ref().map(|storage| ("storage", storage.clone().unwrap_or_default())),
            (self.order != Order::WORST).then(|| ("sort", self.order.text())),
            (self.page > 1).then(|| ("page", self.page.to_string())),
        ];
        fields.into_iter().flatten().collect()
    }

    /// What a search keeps of it.
    fn beside_search(&self) -> Vec<(&'static str, String)> {
        self.fields().into_iter().filter(|(name, _)| !matches!(*name, "q" | "page")).collect()
    }

    /// Its address.
    fn href(&self) -> String {
        address(None, &self.fields())
    }
}

/// The address of the page with these fields, or of a part of it.
fn address(part: Option<&str>, fields: &[(&str, String)]) -> String {
    let mut query = form_urlencoded::Serializer::new(String::new());
    query.extend_pairs(part.map(|part| ("part", part)));
    query.extend_pairs(fields);
    match query.finish() {
        query if query.is_empty() => "/".to_owned(),
        query => format!("/?{query}"),
    }
}

fn view(
    now: Timestamp,
    (all, groups): (&[HostRow], &CauseGroups),
    is_known: bool,
    place: &ListPosition,
) -> FleetView {
    let mut counts = FleetCounts::default();
    all.iter().for_each(|row| counts.count(row, groups.in_need(row)));
    // What is counted beside each filter is what it would show.
    let searched =
        ListPosition { filter: HostFilter { old_agent: false, ..place.filter.clone() }, ..place.clone() };
    let any_state = searched.with_state(None);
    let fits = any_state.filter.wanted();
    let found: Vec<&HostRow> = all.iter().filter(|row| fits(row)).collect();
    let wanted = place.filter.wanted();
    let mut rows: Vec<&HostRow> = found.iter().copied().filter(|row| wanted(row)).collect();
    place.order.sort(&mut rows);
    let is_acked = |row: &&HostRow| {
        row.acked.is_some() || groups.of(row.host.id).is_some_and(|group| group.incident.ack.is_some())
    };
    let acked = all.iter().filter(is_acked).count();
    let (attention, left_out) = attention(now, all, groups);
    // Hosts may have gone since the page was shown: then the last one there is.
    let page = place.page.min(rows.len().div_ceil(PAGE_ROWS).max(1));
    let place = &ListPosition { page, ..place.clone() };
    let first = (page - 1) * PAGE_ROWS;
    let last = (first + PAGE_ROWS).min(rows.len());
    let on_page = |page: usize| ListPosition { page, ..place.clone() }.href();
    FleetView {
        empty: all.is_empty(),
        title: protected(&counts, is_known),
        need: (is_known && counts.in_need() > 0).then(|| in_need(counts.in_need())),
        sums: sums(&counts).filter(|_| is_known),
        note: if is_known { note(now, all, acked) } else { last_note(now, all) },
        attention,
        attention_more: (left_out > 0).then(|| many(left_out as u64, "more cause")),
        q: place.filter.q.clone().unwrap_or_default(),
        kept: place.beside_search(),
        search_href: address(Some("fleet-list"), &place.beside_search()),
        filters_href: address(Some("fleet-filters"), &place.fields()),
        address: place.href(),
        filters: filters(&found, &searched, place),
        rows: rows[first..last].iter().map(|r| row(now, r)).collect(),
        columns: columns(place.order, |order| ListPosition { order, page: 1, ..place.clone() }.href()),
        order: place.order.by.words().1,
        rows_href: address(Some("fleet-hosts"), &place.fields()),
        find_href: {
            let sought = ListPosition { order: Order::WORST, page: 1, ..place.clone() };
            format!("/find{}", sought.href().trim_start_matches('/'))
        },
        find_on: match rows.len() {
            1 => "this host".to_owned(),
            all => format!("these {}", many(all as u64, "host")),
        },
        shown: if rows.len() <= PAGE_ROWS {
            many(rows.len() as u64, "host")
        } else {
            format!(
                "{} to {last} of {}, {}",
                first + 1,
                many(rows.len() as u64, "host"),
                place.order.by.words().1
            )
        },
        before_href: (page > 1).then(|| on_page(page - 1)),
        next_href: (last < rows.len()).then(|| on_page(page + 1)),
    }
}

/// The filters, each with how many hosts it shows: of those that are searched for.
fn filters(found: &[&HostRow], searched: &ListPosition, place: &ListPosition) -> Vec<FilterLink> {
    let number = |is_counted: &dyn Fn(&HostRow) -> bool| {
        count(found.iter().filter(|row| is_counted(row)).count() as u64)
    };
    let state_words = |status: Status| match status {
        Status::CheckOverdue => "Check overdue".to_owned(),
        status => crate::problem::sentence(status.as_str()).trim_end_matches('.').to_owned(),
    };
    let state = place.filter.state;
    let mut filters = vec![FilterLink {
        label: "All".to_owned(),
        href: searched.with_state(None).href(),
        count: number(&|_| true),
        current: state.is_none() && !place.filter.old_agent,
    }];
    let is_there = |status: Status| found.iter().any(|row| row.status == status);
    let shown = |status: &Status| is_there(*status) || *status == Status::Ok || state == Some(*status);
    filters.extend(Status::ALL.into_iter().filter(shown).map(|status| FilterLink {
        label: state_words(status),
        href: searched.with_state(Some(status)).href(),
        count: number(&|row| row.status == status),
        current: state == Some(status) && !place.filter.old_agent,
    }));
    let old = found.iter().any(|row| row.has_old_agent());
    if old || place.filter.old_agent {
        let old_agent = !place.filter.old_agent;
        let all = searched.with_state(None);
        filters.push(FilterLink {
            label: "Old agent".to_owned(),
            href: ListPosition { filter: HostFilter { old_agent, ..all.filter.clone() }, ..all }.href(),
            count: number(&|row| row.has_old_agent()),
            current: place.filter.old_agent,
        });
    }
    if let Some(cause) = place.filter.cause {
        // Pressed again, it shows all.
        let HostFilter { q, label, .. } = place.filter.clone();
        let filter = HostFilter { q, label, ..HostFilter::default() };
        let storage = place.filter.storage.clone().flatten();
        filters.push(FilterLink {
            label: cause_title(cause, storage.as_deref()),
            href: ListPosition { filter, page: 1, ..place.clone() }.href(),
            count: number(&|_| true),
            current: true,
        });
    }
    filters
}

fn in_need(hosts: u32) -> String {
    format!("{} need{} attention", count(hosts.into()), if hosts == 1 { "s" } else { "" })
}

/// How the numbers of the sentence add up: those that are not protected, and those that need attention although they are.
fn sums(counts: &FleetCounts) -> Option<String> {
    let (unprotected, calm) = (counts.unprotected(), counts.unprotected() - counts.unprotected_in_need);
    let are = |hosts: u32| if hosts == 1 { "is" } else { "are" };
    let mut text = match (unprotected, counts.unprotected_in_need) {
        (0, _) => String::new(),
        (all, 0) => format!("{} {} not protected, and acknowledged or running.", count(all.into()), are(all)),
        (all, need) if all == need => {
            format!("{} {} not protected.", count(all.into()), are(all))
        }
        (all, need) => format!(
            "{} {} not protected: {}, {} {} acknowledged or running.",
            count(all.into()),
            are(all),
            in_need(need),
            count(calm.into()),
            are(calm)
        ),
    };
    match counts.protected_in_need {
        0 => {}
        need if counts.unprotected_in_need == 0 => {
            let _ = write!(
                text,
                " {} although {} protected.",
                in_need(need),
                if need == 1 { "it is" } else { "they are" }
            );
        }
        need => {
            let more =
                if need == 1 { "needs attention although it is" } else { "need attention although they are" };
            let _ = write!(text, " {} more {more} protected.", count(need.into()));
        }
    }
    Some(text.trim_start().to_owned()).filter(|text| !text.is_empty())
}

/// The heads of the columns.
fn columns(order: Order, href: impl Fn(Order) -> String) -> Vec<Column> {
    let column = |label, by: Option<Sort>| {
        let is_current = by == Some(order.by);
        // Times and sizes are asked for the newest and the largest first.
        let first_down = matches!(by, Some(Sort::Good | Sort::Size | Sort::Seen));
        let down = if is_current { !order.down } else { first_down };
        Column {
            label,
            href: by.map(|by| href(Order { by, down })),
            sorted: is_current.then_some(if order.down { "descending" } else { "ascending" }),
            number: by == Some(Sort::Size),
            roomy: matches!(by, Some(Sort::Next | Sort::Seen)),
        }
    };
    vec![
        column("Host", Some(Sort::Name)),
        column("State", Some(Sort::Worst)),
        column("Last 30 days", None),
        column("Last good backup", Some(Sort::Good)),
        column("Size", Some(Sort::Size)),
        column("Next run", Some(Sort::Next)),
        column("Seen", Some(Sort::Seen)),
    ]
}

/// What a server says that hears of nothing any more.
fn last_note(now: Timestamp, all: &[HostRow]) -> String {
    let newest = all.iter().filter_map(|row| row.last_good_at).max();
    let newest = newest.map(|at| format!(" The last good backup that it heard of was {}.", ago(now, at)));
    format!("Whether they are protected now, it can’t know.{}", newest.unwrap_or_default())
}

/// What went on and what runs, in a sentence or two.
fn note(now: Timestamp, all: &[HostRow], acked: usize) -> String {
    let running = all.iter().filter(|row| row.running().is_some()).count();
    let newest = all.iter().filter_map(|row| row.last_good_at).max();
    let mut parts = Vec::new();
    if let Some(at) = newest {
        parts.push(format!("Last good backup {}.", ago(now, at)));
    }
    if running > 0 {
        parts.push(format!("{} running jobs right now.", many(running as u64, "host")));
    }
    if acked > 0 {
        parts.push(format!("{} acknowledged.", many(acked as u64, "host")));
    }
    parts.extend(proven(now, all));
    let online = all.iter().filter(|row| row.presence.online).count();
    parts.push(format!("{} online.", count(online as u64)));
    parts.join(" ")
}

/// How many hosts are proven, the oldest proof, and how long all of it would take; `None` = there is nothing to prove.
fn proven(now: Timestamp, all: &[HostRow]) -> Option<String> {
    let could_be = all.iter().filter(|row| row.proof.status != ProofStatus::Nothing);
    let proven = could_be.clone().filter(|row| row.proof.status == ProofStatus::Proven).count();
    let number = could_be.count();
    let oldest = all.iter().filter_map(|row| row.proof.proven_at).min();
    let estimates = all.iter().filter_map(|row| row.proof.estimate);
    let (secs, known) = estimates
        .fold((0_u64, 0_u64), |(secs, known), estimate| (secs.saturating_add(estimate.secs), known + 1));
    let oldest = oldest.map_or_else(String::new, |at| format!(", the oldest proof {}", ago(now, at)));
    let takes = match known {
        0 => String::new(),
        known if known == number as u64 => format!("; all would take about {} to restore", duration(secs)),
        known => format!("; {} of them would take about {} to restore", count(known), duration(secs)),
    };
    (number > 0)
        .then(|| format!("{} of {} proven{oldest}{takes}.", count(proven as u64), count(number as u64)))
}

fn row(now: Timestamp, row: &HostRow) -> FleetRow {
    let facts = row.host.facts.as_ref();
    let stale = row.size_at.is_some_and(|at| now.ms_since(at) > STALE_MS);
    FleetRow {
        id: row.host.id.to_string(),
        name: row.host.name.clone(),
        href: format!("/hosts/{}", row.host.id),
        os: match facts {
            None => "not enrolled yet".to_owned(),
            Some(facts) if row.has_old_agent() => format!("{}, old agent {}", facts.os, facts.agent_version),
            Some(facts) => facts.os.clone(),
        },
        badge: host_badge(row),
        unprotected: !row.protected,
        strip: chart::strip(&row.days()),
        stale: stale || row.status == Status::Offline,
        good: row.last_good_at.map(|at| When::ago(now, at)),
        size: row.size_bytes.map(bytes),
        size_note: row.size_at.map(|at| format!("as of {}", crate::format::exact(at))).unwrap_or_default(),
        next: row.next_run_at.map(|at| When::ago(now, at)),
        online: row.presence.online,
        seen: match (row.presence.online, row.presence.last_seen_at) {
            (true, _) => "now".to_owned(),
            (false, Some(at)) => ago(now, at),
            (false, None) => "never".to_owned(),
        },
    }
}

/// A line of what needs a person, and the groups in it.
struct Line<'g> {
    groups: Vec<&'g CauseGroup>,
    /// How many wait for a good backup to show that they are mended.
    mended: u64,
    shown: Attention,
}

/// The groups of hosts that need a person, worst first: the incidents as they stand now. Those of the same cause stand in
/// one line, also when they began at different times. Thousands may be in one: of most of them nothing is written but the
/// count. Returns how many lines are not shown.
fn attention(now: Timestamp, all: &[HostRow], groups: &CauseGroups) -> (Vec<Attention>, usize) {
    let common = |group: &CauseGroup| (group.incident.cause, group.incident.storage.clone());
    let mut lines: Vec<Line<'_>> = Vec::new();
    let mut left_out = BTreeSet::new();
    for row in all.iter().filter(|row| row.needs_attention()) {
        let Some(group) = groups.of(row.host.id) else { continue };
        let name = || (row.host.name.clone(), format!("/hosts/{}", row.host.id));
        if let Some(line) = lines.iter_mut().find(|line| common(line.groups[0]) == common(group)) {
            if !line.groups.iter().any(|known| std::ptr::eq(*known, group)) {
                line.groups.push(group);
            }
            line.mended += u64::from(row.reason.mended_at().is_some());
            if line.shown.hosts.len() < MOST_NAMES {
                line.shown.hosts.push(name());
            } else {
                line.shown.more += 1;
            }
        } else if lines.len() < MOST_CAUSES {
            let mended = u64::from(row.reason.mended_at().is_some());
            lines.push(Line { groups: vec![group], mended, shown: alone(now, row, group, name()) });
        } else {
            left_out.insert(common(group));
        }
    }
    (lines.into_iter().map(Line::attention).collect(), left_out.len())
}

/// A line of one host: its own cause, and its own step.
fn alone(now: Timestamp, row: &HostRow, group: &CauseGroup, name: (String, String)) -> Attention {
    let text = match row.last_good_at {
        Some(at) => format!("last good backup {}", ago(now, at)),
        None if row.last_backup().is_some() => "no good backup so far".to_owned(),
        None => format!("added {}, never backed up", ago(now, row.host.created_at)),
    };
    let (cause, next) = cause_of(now, row);
    Attention {
        state: status_state(row.status),
        cause: cause.into_owned(),
        hosts: vec![name],
        more: 0,
        text: format!("{text}{}.", rests(&[group])),
        action: next.action(&row.host.id.to_string()),
        ack: Some((format!("/hosts/{}/acknowledge", row.host.id), row.mark()))
            .filter(|_| group.incident.ack.is_none()),
        rest: None,
    }
}

impl Line<'_> {
    /// With several hosts the one action of one of them would be wrong for the others.
    fn attention(self) -> Attention {
        let Self { groups, mended, mut shown } = self;
        if shown.hosts.len() == 1 {
            return shown;
        }
        let incident = &groups[0].incident;
        let href = format!("/incidents/{}", incident.id);
        shown.cause = incident_title(incident);
        shown.ack = None;
        shown.action = SafeAction::look("Show them", rows_of(groups[0]));
        shown.text = match groups.as_slice() {
            [only] => {
                shown.rest =
                    (only.is_stored && incident.ack.is_none()).then(|| format!("{href}#acknowledge"));
                format!("since {}{}.", When::until(incident.since).text, rests(&groups))
            }
            several => format!("from {} different times{}.", several.len(), rests(&groups)),
        };
        if mended > 0 {
            shown.text =
                format!("{} {} mended, waiting for proof by a good backup.", shown.text, count(mended));
        }
        shown
    }
}

/// Where the rows are of those who have this very cause.
fn rows_of(group: &CauseGroup) -> String {
    let storage = group.is_by_storage.then(|| group.incident.storage.clone());
    let filter = HostFilter { cause: Some(group.incident.cause), storage, ..HostFilter::default() };
    let place = ListPosition { filter, order: Order::WORST, page: 1 };
    format!("{}#fleet-list", place.href())
}

/// Until when all of them rest, behind what else is said.
fn rests(groups: &[&CauseGroup]) -> String {
    let until: Option<Vec<Timestamp>> =
        groups.iter().map(|group| group.incident.ack.as_ref().map(|ack| ack.until)).collect();
    let first = until.and_then(|until| until.into_iter().min());
    first.map_or_else(String::new, |until| format!("; acknowledged until {}", When::until(until).text))
}

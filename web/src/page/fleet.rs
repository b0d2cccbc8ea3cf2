//! The fleet: the daily glance.

use super::attention::{Attention, SafeAction};
use super::cause::cause_of;
use super::filter_link::FilterLink;
use crate::api::host::filter;
use crate::app::Ctx;
use crate::chart::{self, Strip};
use crate::format::{When, ago, bytes, duration, many};
use crate::problem::Problem;
use crate::query::Query;
use crate::template::View;
use crate::words::{Badge, host_badge, incident_title, status_state};
use ::fleet::{CauseGroup, CauseGroups, FleetCounts, HostFilter, HostRow, ProofStatus, Refused, Status};
use axum::body::Body;
use axum::extract::Path;
use axum::http::{Response, StatusCode};
use schema::Timestamp;
use serde::Serialize;
use std::collections::BTreeSet;

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
    pub(crate) protected: u32,
    pub(crate) total: String,
    pub(crate) need: Option<String>,
    pub(crate) note: String,
    pub(crate) attention: Vec<Attention>,
    /// How many more causes there are.
    pub(crate) attention_more: Option<String>,
    pub(crate) q: String,
    pub(crate) state: Option<&'static str>,
    pub(crate) state_query: String,
    pub(crate) filters: Vec<FilterLink>,
    pub(crate) rows: Vec<FleetRow>,
    pub(crate) columns: Vec<Column>,
    /// How the rows are sorted, in words.
    pub(crate) order: &'static str,
    /// What stands behind the address of a search.
    pub(crate) sort_query: String,
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
    const PARTS: &'static [&'static str] = &["fleet-sentence", "fleet-attention", "fleet-hosts"];
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
            protected: 3,
            total: "4 hosts".to_owned(),
            need: s.some("1 needs attention"),
            note: s.text("Last good backup 2 h ago. 3 online."),
            attention: ["failed", "offline", "missed", "warning", "never", "unproven"]
                .map(|state| Attention::sample(s, state))
                .into(),
            attention_more: s.some("2 more causes"),
            q: s.text("boat"),
            state: Some("ok"),
            state_query: "&state=ok".to_owned(),
            columns: vec![
                column("Host", Some("ascending"), true, false),
                column("Last 30 days", None, false, true),
            ],
            order: "by name",
            sort_query: "&sort=name".to_owned(),
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
        let all = state.fleet(&HostFilter::default());
        let now = ctx.now();
        let groups = state.cause_groups()?;
        let mut view = view(now, (&all, &groups), &filter, order, page);
        view.attention.extend(super::refused::attention(now, &(ctx.app.settings.refused_connections)().rows));
        view.attention.extend(super::restoration::attention(now, state)?);
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

fn view(
    now: Timestamp,
    (all, groups): (&[HostRow], &CauseGroups),
    filter: &HostFilter,
    order: Order,
    page: usize,
) -> FleetView {
    let mut counts = FleetCounts::default();
    all.iter().for_each(|row| counts.count(row));
    let wanted = filter.wanted();
    let mut rows: Vec<&HostRow> = all.iter().filter(|row| wanted(row)).collect();
    order.sort(&mut rows);
    let is_acked = |row: &&HostRow| {
        row.acked.is_some() || groups.of(row.host.id).is_some_and(|group| group.incident.ack.is_some())
    };
    let need = all.iter().filter(|row| row.needs_attention() && !is_acked(row)).count();
    let acked = all.iter().filter(is_acked).count();
    let (attention, left_out) = attention(now, all, groups);
    // Hosts may have gone since the page was shown: then the last one there is.
    let page = page.min(rows.len().div_ceil(PAGE_ROWS).max(1));
    let first = (page - 1) * PAGE_ROWS;
    let last = (first + PAGE_ROWS).min(rows.len());
    let href = |part: bool, state: Option<Status>, order: Order, page: usize| {
        let mut query = form_urlencoded::Serializer::new(String::new());
        if part {
            query.append_pair("part", "fleet-hosts");
        }
        if let Some(q) = filter.q.as_deref() {
            query.append_pair("q", q);
        }
        if let Some(label) = filter.label.as_deref() {
            query.append_pair("label", label);
        }
        if let Some(state) = state {
            query.append_pair("state", state.as_str());
        }
        if filter.old_agent {
            query.append_pair("agent", "old");
        }
        if order != Order::WORST {
            query.append_pair("sort", &order.text());
        }
        if page > 1 {
            query.append_pair("page", &page.to_string());
        }
        match query.finish() {
            query if query.is_empty() => "/".to_owned(),
            query => format!("/?{query}"),
        }
    };
    let state_words = |status: Status| match status {
        Status::New => "New".to_owned(),
        Status::Unproven => "Unproven".to_owned(),
        Status::CheckOverdue => "Check overdue".to_owned(),
        status => crate::problem::sentence(status.as_str()).trim_end_matches('.').to_owned(),
    };
    let mut filters = vec![FilterLink {
        label: "All".to_owned(),
        href: href(false, None, order, 1),
        count: crate::format::count(u64::from(counts.total)),
        current: filter.state.is_none() && !filter.old_agent,
    }];
    filters.extend(
        Status::ALL
            .into_iter()
            .filter(|status| counts.of(*status) > 0 || *status == Status::Ok || filter.state == Some(*status))
            .map(|status| FilterLink {
                label: state_words(status),
                href: href(false, Some(status), order, 1),
                count: crate::format::count(u64::from(counts.of(status))),
                current: filter.state == Some(status),
            }),
    );
    let old = all.iter().filter(|row| row.has_old_agent()).count();
    if old > 0 || filter.old_agent {
        filters.push(FilterLink {
            label: "Old agent".to_owned(),
            href: if filter.old_agent { "/".to_owned() } else { "/?agent=old".to_owned() },
            count: crate::format::count(old as u64),
            current: filter.old_agent,
        });
    }
    FleetView {
        empty: all.is_empty(),
        protected: counts.protected,
        total: many(u64::from(counts.total), "host"),
        need: (need > 0).then(|| format!("{need} need{} attention", if need == 1 { "s" } else { "" })),
        note: note(now, all, acked),
        attention,
        attention_more: (left_out > 0).then(|| many(left_out as u64, "more cause")),
        q: filter.q.clone().unwrap_or_default(),
        state: filter.state.map(Status::as_str),
        state_query: filter.state.map(|state| format!("&state={}", state.as_str())).unwrap_or_default(),
        filters,
        rows: rows[first..last].iter().map(|r| row(now, r)).collect(),
        columns: columns(order, |order| href(false, filter.state, order, 1)),
        order: order.by.words().1,
        sort_query: if order == Order::WORST { String::new() } else { format!("&sort={}", order.text()) },
        rows_href: href(true, filter.state, order, page),
        find_href: format!("/find{}", href(false, filter.state, Order::WORST, 1).trim_start_matches('/')),
        find_on: match rows.len() {
            1 => "this host".to_owned(),
            all => format!("these {}", many(all as u64, "host")),
        },
        shown: if rows.len() <= PAGE_ROWS {
            many(rows.len() as u64, "host")
        } else {
            format!("{} to {last} of {}, {}", first + 1, many(rows.len() as u64, "host"), order.by.words().1)
        },
        before_href: (page > 1).then(|| href(false, filter.state, order, page - 1)),
        next_href: (last < rows.len()).then(|| href(false, filter.state, order, page + 1)),
    }
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
    parts.push(format!("{online} online."));
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
        known => format!("; {known} of them would take about {} to restore", duration(secs)),
    };
    (number > 0).then(|| format!("{proven} of {number} proven{oldest}{takes}."))
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
            if line.shown.hosts.len() < MOST_NAMES {
                line.shown.hosts.push(name());
            } else {
                line.shown.more += 1;
            }
        } else if lines.len() < MOST_CAUSES {
            lines.push(Line { groups: vec![group], shown: alone(now, row, group, name()) });
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
        let Self { groups, mut shown } = self;
        if shown.hosts.len() == 1 {
            return shown;
        }
        let incident = &groups[0].incident;
        let href = format!("/incidents/{}", incident.id);
        shown.cause = incident_title(incident);
        shown.ack = None;
        shown.action = SafeAction::look("Show them", "/incidents".to_owned());
        shown.text = match groups.as_slice() {
            [only] => {
                shown.rest =
                    (only.is_stored && incident.ack.is_none()).then(|| format!("{href}#acknowledge"));
                if only.is_stored {
                    shown.action = SafeAction::look("Show them", href);
                }
                format!("since {}{}.", When::until(incident.since).text, rests(&groups))
            }
            several => format!("from {} different times{}.", several.len(), rests(&groups)),
        };
        shown
    }
}

/// Until when all of them rest, behind what else is said.
fn rests(groups: &[&CauseGroup]) -> String {
    let until: Option<Vec<Timestamp>> =
        groups.iter().map(|group| group.incident.ack.as_ref().map(|ack| ack.until)).collect();
    let first = until.and_then(|until| until.into_iter().min());
    first.map_or_else(String::new, |until| format!("; acknowledged until {}", When::until(until).text))
}

//! All incidents: what is open, and what was.

use super::filter_link::FilterLink;
use super::incident_line::IncidentLine;
use crate::app::Ctx;
use crate::format::{count, many};
use crate::problem::Problem;
use crate::query::Query;
use crate::reading::Reading;
use crate::template::View;
use ::fleet::{FleetState, IncidentState, IncidentView, Page};
use axum::body::Body;
use axum::http::{Response, StatusCode};
use schema::IncidentId;
use serde::Serialize;

/// So many open ones are on the page.
const OPEN: usize = 100;
/// So many of those that are too new, and of those that have ended.
const OTHERS: usize = 20;
/// So many hosts of one are listed; its own page has more.
const HOSTS: usize = 50;

/// The page.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct IncidentsView {
    pub(crate) sentence: String,
    pub(crate) is_calm: bool,
    pub(crate) note: String,
    pub(crate) filters: Vec<FilterLink>,
    pub(crate) open: Vec<IncidentLine>,
    /// More are open than are shown.
    pub(crate) open_more: Option<String>,
    /// In their grace.
    pub(crate) noticed: Vec<IncidentLine>,
    pub(crate) ended: Vec<IncidentLine>,
    pub(crate) older: Option<String>,
    pub(crate) part_href: String,
}

impl View for IncidentsView {
    const TEMPLATE: &'static str = "page/incidents.html";
    const NAV: &'static str = "incidents";
    const PARTS: &'static [&'static str] = &["incidents"];
}

#[cfg(test)]
impl crate::sample::Samples for IncidentsView {
    fn samples(s: &crate::sample::Sample) -> Vec<Self> {
        let open = Self {
            sentence: s.text("1 incident needs you; 1 more is acknowledged"),
            is_calm: false,
            note: s.text("Together they meet 14 hosts."),
            filters: vec![FilterLink::sample(s)],
            open: ["failed", "warning"].map(|state| IncidentLine::sample(s, state)).into(),
            open_more: s.some("More incidents are open than are shown"),
            noticed: vec![IncidentLine::sample(s, "failed")],
            ended: vec![IncidentLine::sample(s, "ok")],
            older: Some("/incidents?cursor=01".to_owned()),
            part_href: "/incidents?part=incidents".to_owned(),
        };
        let calm = Self {
            sentence: "No incident is open".to_owned(),
            is_calm: true,
            open: Vec::new(),
            open_more: None,
            noticed: Vec::new(),
            ended: Vec::new(),
            older: None,
            ..open.clone()
        };
        vec![open, calm]
    }
}

/// How many need somebody, beside the link that every page has: alone.
#[derive(Serialize)]
pub(crate) struct IncidentCountView;

impl View for IncidentCountView {
    const TEMPLATE: &'static str = "part/nav-incidents.html";
    const NAV: &'static str = "incidents";
    const PARTS: &'static [&'static str] = &["nav-incidents"];
}

#[cfg(test)]
impl crate::sample::Samples for IncidentCountView {
    fn samples(s: &crate::sample::Sample) -> Vec<Self> {
        let _ = s;
        vec![Self]
    }
}

/// Which of the open ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Which {
    All,
    NeedYou,
    Acknowledged,
}

impl Which {
    const ALL: [(Self, &'static str, &'static str); 3] = [
        (Self::All, "", "All"),
        (Self::NeedYou, "need-you", "Need you"),
        (Self::Acknowledged, "acknowledged", "Acknowledged"),
    ];

    fn of(query: &Query) -> Result<Self, Problem> {
        let words = "need-you or acknowledged";
        let found = query.word("show", words, |word| Self::ALL.into_iter().find(|known| known.1 == word))?;
        Ok(found.map_or(Self::All, |known| known.0))
    }

    fn has(self, seen: &IncidentView) -> bool {
        let rests = seen.incident.ack.is_some();
        match self {
            Self::All => true,
            Self::NeedYou => !rests,
            Self::Acknowledged => rests,
        }
    }
}

/// `GET /incidents`.
pub(crate) async fn show(ctx: Ctx, query: Query) -> Result<Response<Body>, Problem> {
    if ctx.part.as_deref() == Some("nav-incidents") {
        return ctx.show(StatusCode::OK, IncidentCountView).await;
    }
    let (which, page) = (Which::of(&query)?, query.page_of::<IncidentId>()?);
    ctx.read(move |ctx, state| ctx.page(&read(ctx, state, which, page.cursor.as_deref())?)).await
}

fn read(
    ctx: &Reading,
    state: &FleetState,
    which: Which,
    cursor: Option<&str>,
) -> Result<IncidentsView, Problem> {
    let now = ctx.now();
    let newest = |limit| Page { limit, cursor: None };
    let standing = state.incidents(Some(IncidentState::Open), &newest(OPEN), HOSTS)?;
    let noticed = state.incidents(Some(IncidentState::Noticed), &newest(OTHERS), HOSTS)?;
    let ended = state.incidents(
        Some(IncidentState::Ended),
        &Page { limit: OTHERS, cursor: cursor.map(str::to_owned) },
        HOSTS,
    )?;
    let (counts, resting) = state.incident_counts()?;
    let all: u32 = counts.iter().sum();
    let need = all.saturating_sub(resting);
    let of_hosts = standing.items.iter().filter(|seen| !seen.incident.cause.is_of_server());
    let met: u64 = of_hosts.map(|seen| u64::from(seen.count)).sum();
    // Those that are worse come first, and of these those that last the longest.
    let mut open: Vec<IncidentView> = standing.items.into_iter().filter(|seen| which.has(seen)).collect();
    open.sort_by_key(|seen| (std::cmp::Reverse(seen.incident.severity), seen.incident.since));
    let count_of = |which| match which {
        Which::All => all,
        Which::NeedYou => need,
        Which::Acknowledged => resting,
    };
    let address = |more: &[(&str, &str)]| {
        let mut query = form_urlencoded::Serializer::new(String::new());
        let show = Which::ALL.into_iter().find(|known| known.0 == which).map_or("", |known| known.1);
        let own = [("show", show), ("cursor", cursor.unwrap_or_default())];
        let wanted = more.iter().copied().chain(own).filter(|(_, value)| !value.is_empty());
        let mut known = std::collections::BTreeSet::new();
        query.extend_pairs(wanted.filter(|(name, _)| known.insert(*name)));
        format!("/incidents?{}", query.finish())
    };
    Ok(IncidentsView {
        sentence: if state.is_known() { sentence(need, resting) } else { last_sentence(all) },
        is_calm: need == 0 || !state.is_known(),
        note: if state.is_known() { note(all, met) } else { LAST_NOTE.to_owned() },
        filters: Which::ALL
            .into_iter()
            .filter(|_| resting > 0)
            .map(|(known, word, label)| FilterLink {
                label: label.to_owned(),
                href: if word.is_empty() {
                    "/incidents".to_owned()
                } else {
                    format!("/incidents?show={word}")
                },
                count: count(u64::from(count_of(known))),
                current: known == which,
            })
            .collect(),
        open_more: standing
            .next
            .map(|_| format!("The newest {OPEN} of {} are shown", many(u64::from(all), "open incident"))),
        open: IncidentLine::all(now, state, open),
        noticed: IncidentLine::all(now, state, noticed.items),
        ended: IncidentLine::all(now, state, ended.items),
        older: ended.next.map(|next| address(&[("cursor", &next)])),
        part_href: address(&[("part", "incidents")]),
    })
}

/// What a server says of incidents that hears of nothing any more.
fn last_sentence(all: u32) -> String {
    match all {
        0 => "No incident was open when this server heard of its hosts last".to_owned(),
        1 => "1 incident was open when this server heard of its hosts last".to_owned(),
        all => {
            format!("{} incidents were open when this server heard of its hosts last", count(u64::from(all)))
        }
    }
}

/// Beside that.
const LAST_NOTE: &str = "What is open now, it can’t know.";

fn sentence(need: u32, resting: u32) -> String {
    let need_you = |number: u32| {
        let needs = if number == 1 { "needs" } else { "need" };
        format!("{} {needs} you", many(u64::from(number), "incident"))
    };
    match (need, resting) {
        (0, 0) => "No incident is open".to_owned(),
        (need, 0) => need_you(need),
        (0, 1) => "1 incident is open, and acknowledged".to_owned(),
        (0, resting) => format!("{} are open, and acknowledged", many(u64::from(resting), "incident")),
        (need, 1) => format!("{}; 1 more is acknowledged", need_you(need)),
        (need, resting) => format!("{}; {} more are acknowledged", need_you(need), count(u64::from(resting))),
    }
}

fn note(all: u32, met: u64) -> String {
    match (all, met) {
        (0, _) => "A cause that lasts longer than its grace, mostly five minutes, opens one.".to_owned(),
        (_, 0) => "It meets no host, but the server itself.".to_owned(),
        (1, met) => format!("It meets {}.", many(met, "host")),
        (_, met) => format!("Together they meet {}.", many(met, "host")),
    }
}

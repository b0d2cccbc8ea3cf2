//! Lists of jobs: of all hosts, and of one.

use super::filter_link::FilterLink;
use super::head::HostHead;
use crate::api::job::filter;
use crate::app::Ctx;
use crate::format::When;
use crate::problem::Problem;
use crate::query::Query;
use crate::template::View;
use crate::words::{Badge, actor, job_badge, job_result, job_title};
use axum::body::Body;
use axum::extract::Path;
use axum::http::Response;
use fleet::record::{Job, JobState};
use fleet::{FleetState, JobFilter};
use schema::{HostId, JobId, JobKind, Timestamp};
use serde::Serialize;

/// A job's row.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct JobRow {
    pub(crate) id: String,
    pub(crate) href: String,
    pub(crate) title: String,
    /// Its host, where the list is of all.
    pub(crate) host: Option<String>,
    pub(crate) badge: Badge,
    pub(crate) result: String,
    pub(crate) by: String,
    pub(crate) by_kind: &'static str,
    pub(crate) when: When,
}

/// The list with its filters.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct JobList {
    pub(crate) states: Vec<FilterLink>,
    pub(crate) kinds: Vec<FilterLink>,
    pub(crate) rows: Vec<JobRow>,
    pub(crate) older: Option<String>,
    pub(crate) empty: &'static str,
    /// What the list depends on; older parts stay as they are.
    pub(crate) topics: Option<String>,
    pub(crate) part_href: String,
}

#[cfg(test)]
impl JobList {
    pub(crate) fn sample(s: &crate::sample::Sample) -> Self {
        Self {
            states: vec![FilterLink::sample(s)],
            kinds: vec![FilterLink::sample(s)],
            rows: vec![JobRow {
                id: "01".to_owned(),
                href: "/jobs/01".to_owned(),
                title: s.text("Backup of media"),
                host: s.some("boat-pi"),
                badge: Badge::new("cancelled", s.text("Cancelled")),
                result: s.text("cancelled on request"),
                by: s.text("mira"),
                by_kind: "operator",
                when: s.when(),
            }],
            older: Some("/jobs?cursor=1".to_owned()),
            empty: "No job matches.",
            topics: Some("jobs".to_owned()),
            part_href: "/jobs?part=job-rows".to_owned(),
        }
    }
}

/// The jobs of all hosts.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct JobsView {
    pub(crate) list: JobList,
}

impl View for JobsView {
    const TEMPLATE: &'static str = "page/jobs.html";
    const NAV: &'static str = "jobs";
    const PARTS: &'static [&'static str] = &["job-rows"];
}

#[cfg(test)]
impl crate::sample::Samples for JobsView {
    fn samples(s: &crate::sample::Sample) -> Vec<Self> {
        vec![Self { list: JobList::sample(s) }]
    }
}

/// The jobs of one host.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct HostJobsView {
    pub(crate) head: HostHead,
    pub(crate) list: JobList,
}

impl View for HostJobsView {
    const TEMPLATE: &'static str = "page/host-jobs.html";
    const NAV: &'static str = "fleet";
    const PARTS: &'static [&'static str] = &["host-presence", "job-rows"];
}

#[cfg(test)]
impl crate::sample::Samples for HostJobsView {
    fn samples(s: &crate::sample::Sample) -> Vec<Self> {
        vec![Self { head: HostHead::sample(s), list: JobList::sample(s) }]
    }
}

/// `GET /jobs`.
pub(crate) async fn all(ctx: Ctx, query: Query) -> Result<Response<Body>, Problem> {
    ctx.read(move |ctx, state| {
        let list = read(ctx, state, "/jobs", &query, None)?;
        ctx.page(&JobsView { list })
    })
    .await
}

/// `GET /hosts/{host}/jobs`.
pub(crate) async fn of_host(
    ctx: Ctx,
    Path(host): Path<String>,
    query: Query,
) -> Result<Response<Body>, Problem> {
    ctx.read(move |ctx, state| {
        let (head, row) = HostHead::read(ctx, state, &host, "jobs")?;
        let list = read(ctx, state, &format!("{}/jobs", head.href), &query, Some(row.host.id))?;
        ctx.page(&HostJobsView { head, list })
    })
    .await
}

const STATES: [JobState; 6] = [
    JobState::Queued,
    JobState::Running,
    JobState::Succeeded,
    JobState::Warning,
    JobState::Failed,
    JobState::Cancelled,
];

const KINDS: [JobKind; 5] =
    [JobKind::Backup, JobKind::Check, JobKind::Prune, JobKind::Forget, JobKind::Snapshots];

fn read(
    ctx: &Ctx,
    fleet_state: &FleetState,
    base: &str,
    query: &Query,
    host: Option<HostId>,
) -> Result<JobList, Problem> {
    let mut filter = filter(ctx, fleet_state, query)?;
    filter.host = host.or(filter.host);
    let page = query.page_of::<JobId>()?;
    let jobs = fleet_state.jobs(&filter, &page)?;
    let address = |state: Option<JobState>, kind: Option<JobKind>, more: &[(&str, &str)]| {
        let mut text = form_urlencoded::Serializer::new(String::new());
        for (key, value) in more {
            text.append_pair(key, value);
        }
        if let Some(host) = filter.host.filter(|_| host.is_none()) {
            text.append_pair("host", &host.to_string());
        }
        if let Some(state) = state {
            text.append_pair("state", state.as_str());
        }
        if let Some(kind) = kind {
            text.append_pair("kind", kind.as_str());
        }
        match text.finish() {
            query if query.is_empty() => base.to_owned(),
            query => format!("{base}?{query}"),
        }
    };
    let link = |label: &str, href: String, current: bool| FilterLink {
        label: label.to_owned(),
        href,
        count: String::new(),
        current,
    };
    let JobFilter { state, kind, .. } = filter;
    let mut states = vec![link("Any state", address(None, kind, &[]), state.is_none())];
    states.extend(STATES.map(|s| link(s.as_str(), address(Some(s), kind, &[]), state == Some(s))));
    let mut kinds = vec![link("Any kind", address(state, None, &[]), kind.is_none())];
    kinds.extend(KINDS.map(|k| link(k.as_str(), address(state, Some(k), &[]), kind == Some(k))));
    let now = ctx.now();
    let rows = jobs.items.iter().map(|job| row(ctx, fleet_state, now, job, host.is_none()));
    let newest = page.cursor.is_none();
    Ok(JobList {
        states,
        kinds,
        rows: rows.collect::<Result<_, _>>()?,
        older: jobs.next.map(|next| address(state, kind, &[("cursor", &next)])),
        empty: if state.is_some() || kind.is_some() {
            "No job matches."
        } else {
            "Every backup, check and test will be listed here, with its result."
        },
        topics: newest.then(|| host.map_or_else(|| "jobs".to_owned(), |host| format!("host/{host}"))),
        part_href: address(state, kind, &[("part", "job-rows")]),
    })
}

fn row(ctx: &Ctx, state: &FleetState, now: Timestamp, job: &Job, with_host: bool) -> Result<JobRow, Problem> {
    let (by, by_kind) = actor(&job.actor);
    let host = match with_host || job.for_other().is_some() {
        true => Some(state.host(job.host)?.map_or_else(|| "deleted host".to_owned(), |host| host.name)),
        false => None,
    };
    Ok(JobRow {
        id: job.id.to_string(),
        href: format!("/jobs/{}", job.id),
        title: job_title(&job.what),
        host,
        badge: job_badge(job),
        result: job_result(job, ctx.app.fleet.progress(job.id).as_ref()),
        by,
        by_kind,
        when: When::ago(now, job.started_at.unwrap_or(job.created_at)),
    })
}
